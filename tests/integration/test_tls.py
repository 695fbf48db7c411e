"""Guests and the API over TLS, on a real process."""

from __future__ import annotations

import os

from OpenSSL import crypto

from treq.client import HTTPClient
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool

from tests.harness.daemons import environment, twistd
from tests.harness.processes import HOST, DaemonProcess, free_port
from tests.integration.cluster_case import ClusterCase, User
from tests.integration.test_link import self_signed

NAME = "localhost"


class TLSTests(ClusterCase):
    """A suite that listens with TLS alone."""

    async def setUpSuite(self):
        certificate = self_signed(NAME)
        folder = self.folder("certificates")
        with open(os.path.join(folder, "localhost.pem"), "wb") as file:
            file.write(certificate.privateKey.dump(crypto.FILETYPE_PEM) + certificate.dumpPEM())
        self.trust = trustRootFromCertificates([Certificate.loadPEM(certificate.dumpPEM())])
        self.tcp, self.http = free_port(), free_port()
        suite = DaemonProcess(
            self.reactor,
            twistd(
                "cim",
                *("--data", self.folder("data")),
                *("--listen", f"tls:{folder}:{self.tcp}:interface={HOST}"),
                *("--http", f"tls:{folder}:{self.http}:interface={HOST}"),
            ),
            environment(),
            self.directory,
            "is ready.",
            name="suite",
        )
        await self.added(suite).start()
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        policy = BrowserLikePolicyForHTTPS(trustRoot=self.trust)
        self.web = HTTPClient(Agent(self.reactor, policy, pool=pool))

    async def say(self, path, **fields):
        """Call the API over TLS and return the data of the answer."""
        response = await self.web.post(f"https://{NAME}:{self.http}/{path}", json=fields)
        answer = await response.json()
        self.assertEqual(answer["code"], "9000", answer)
        return answer["dataBody"]

    async def test_the_api(self):
        await self.setUpSuite()
        made = await self.say("registerAccount", userName="alice")
        self.assertEqual(made["userName"], "alice")
        again = await self.say("registerAccount", userName="alice")
        self.assertEqual(again, made)

    async def test_guests(self):
        await self.setUpSuite()
        alice, bob = User(self, "alice"), User(self, "bob")
        for user in (alice, bob):
            user.id = (await self.say("registerAccount", userName=user.name))["userId"]
        place = await self.say("login", userId=bob.id, userName="bob")
        options = optionsForClientTLS(NAME, self.trust)
        await bob.connect(place, wrap=lambda endpoint: wrapClientTLS(options, endpoint))
        await self.say("p2pRoute", userId=alice.id, receiveUserId=bob.id, msg="over TLS 你好")
        await self.until(lambda: bob.texts, lambda texts: texts == ["over TLS 你好"], "the message")

"""TLS on real processes: guests and the API, and certificates that are renewed while everything runs."""

from __future__ import annotations

import json
import os
import ssl
from urllib.error import HTTPError
from urllib.request import urlopen

from treq.client import HTTPClient
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool

from cim.keys import make_secret_file
from tests.harness.certificates import certified, put
from tests.harness.daemons import environment, loopback, twistd
from tests.harness.processes import HOST, DaemonProcess, free_port
from tests.integration.cluster_case import ClusterCase, User

NAME = "localhost"


class TLSCase(ClusterCase):
    """Has a certificate, which a test may renew."""

    def setUp(self):
        super().setUp()
        self.certificates = self.folder("certificates")
        self.made = certified(NAME)
        self.put(self.made.pem)
        self.trust = trustRootFromCertificates([Certificate.loadPEM(self.made.certificate_pem)])
        policy = BrowserLikePolicyForHTTPS(trustRoot=self.trust)
        self.web = HTTPClient(Agent(self.reactor, policy, pool=HTTPConnectionPool(self.reactor, persistent=False)))

    def put(self, pem):
        """Have a file take the place of the certificate."""
        aside = os.path.join(self.certificates, "aside")
        put(aside, pem)
        os.rename(aside, os.path.join(self.certificates, "localhost.pem"))

    def tls(self, port, words=""):
        """Return an endpoint."""
        return f"tls:{self.certificates}:{port}:interface={HOST}{words}"

    async def run_daemon(self, kind, ready, *options):
        """Return a daemon that has started."""
        command = twistd(kind, *options)
        daemon = DaemonProcess(self.reactor, command, environment(), self.folder(kind), ready, name=kind)
        await self.added(daemon).start()
        return daemon

    async def suite(self, words=""):
        """Start a suite with TLS on all its ports."""
        self.tcp, self.http, self.websocket = free_port(), free_port(), free_port()
        return await self.run_daemon(
            "cim",
            "is ready.",
            *("--data", self.folder("data")),
            *("--listen", self.tls(self.tcp, words)),
            *("--http", self.tls(self.http, words)),
            *("--websocket", self.tls(self.websocket, words)),
        )

    async def say(self, path, **fields):
        """Call the API over TLS and return the data of the answer."""
        response = await self.web.post(f"https://{NAME}:{self.http}/{path}", json=fields)
        answer = await response.json()
        self.assertEqual(answer["code"], "9000", answer)
        return answer["dataBody"]


class GuestTests(TLSCase):
    async def test_the_api(self):
        await self.suite()
        made = await self.say("registerAccount", userName="alice")
        self.assertEqual(made["userName"], "alice")
        again = await self.say("registerAccount", userName="alice")
        self.assertEqual(again, made)

    async def test_guests(self):
        await self.suite()
        alice, bob = User(self, "alice"), User(self, "bob")
        for user in (alice, bob):
            user.id = (await self.say("registerAccount", userName=user.name))["userId"]
        place = await self.say("login", userId=bob.id, userName="bob")
        options = optionsForClientTLS(NAME, self.trust)
        await bob.connect(place, wrap=lambda endpoint: wrapClientTLS(options, endpoint))
        await self.say("p2pRoute", userId=alice.id, receiveUserId=bob.id, msg="over TLS 你好")
        await self.until(lambda: bob.texts, lambda texts: texts == ["over TLS 你好"], "the message")

    async def test_those_without_tls_beside_those_with(self):
        """One port for both, as upstream's clients need it."""
        await self.suite(":plain=yes")
        alice, bob = User(self, "alice"), User(self, "bob")
        url = f"http://{HOST}:{self.http}"
        await alice.log_in(url)
        await bob.register(url)
        place = await self.say("login", userId=bob.id, userName="bob")
        options = optionsForClientTLS(NAME, self.trust)
        await bob.connect(place, wrap=lambda endpoint: wrapClientTLS(options, endpoint))
        self.assertEqual(await alice.send(url, bob, "from the one"), "9000")
        await self.say("p2pRoute", userId=bob.id, receiveUserId=alice.id, msg="to the other")
        await self.until(lambda: (alice.texts, bob.texts), lambda seen: all(seen), "both messages")
        self.assertEqual((alice.texts, bob.texts), (["to the other"], ["from the one"]))


class RenewalTests(TLSCase):
    """A new certificate is shown by every port of every daemon, without a restart."""

    async def shown(self, *ports):
        """Return the certificates that ports show now; "" for one where nobody listens."""

        def look(port):
            try:
                return ssl.get_server_certificate((HOST, port), timeout=20)
            except ConnectionRefusedError:
                return ""

        return [await deferToThread(look, port) for port in ports]

    async def until_shown(self, made, *ports, seconds=30.0):
        """Wait until all ports show a certificate."""
        expected = [made.certificate_pem.decode()] * len(ports)
        await self.until(lambda: self.shown(*ports), lambda seen: seen == expected, "the certificate", seconds)

    async def test_renewed(self):
        listen, websocket, server, route = (free_port() for _ in range(4))
        secret = os.path.join(self.folder("secret"), "secret")
        make_secret_file(secret, os.urandom)
        common = ("--registry", "memory", "--secret-file", secret)
        suite = await self.suite()
        daemons = [
            suite,
            await self.run_daemon(
                "cim-server",
                "starting",
                *common,
                *("--listen", self.tls(listen)),
                *("--websocket", self.tls(websocket)),
                *("--http", self.tls(server)),
            ),
            await self.run_daemon(
                "cim-route",
                "starting",
                *common,
                *("--http", self.tls(route)),
                *("--link", loopback(free_port())),
                *("--store", f"sqlite:{self.folder('cim-route')}/store.db"),
            ),
        ]
        ports = (self.tcp, self.http, self.websocket, listen, websocket, server, route)
        await self.until_shown(self.made, *ports)
        renewed = certified(NAME, days=9)
        self.put(renewed.pem)
        began = self.reactor.seconds()
        await self.until_shown(renewed, *ports, seconds=60)
        self.assertLess(self.reactor.seconds() - began, 60)
        # One that nobody can read changes nothing, and operators are told.
        self.put(renewed.pem[:200])
        for daemon in daemons:
            self.assertEqual([line for line in daemon.lines if "cannot be used" in line], [])
        context = ssl.create_default_context(cadata=renewed.certificate_pem.decode())
        for daemon, port in zip(daemons, (self.http, server, route), strict=True):
            await self.until(
                lambda port=port: self.trouble_at(port, context), lambda told: "localhost.pem" in told, "/health", 60
            )
            self.assertEqual(len([line for line in daemon.lines if "cannot be used" in line]), 1)
        await self.until_shown(renewed, *ports)
        # Written over, as some do it, instead of renamed into place.
        again = certified(NAME, days=9)
        put(os.path.join(self.certificates, "localhost.pem"), again.pem)
        began = self.reactor.seconds()
        await self.until_shown(again, *ports, seconds=60)
        self.assertLess(self.reactor.seconds() - began, 60)
        context = ssl.create_default_context(cadata=again.certificate_pem.decode())
        for port in (self.http, server, route):
            self.assertEqual(await self.trouble_at(port, context), "ok")

    async def trouble_at(self, port, context):
        """Return what /health says of the certificates."""

        def ask():
            with urlopen(f"https://{NAME}:{port}/health", timeout=20, context=context) as answer:
                return answer.read()

        def ask_whatever_the_status_is():
            try:
                return ask()
            except HTTPError as error:
                return error.read()

        return json.loads(await deferToThread(ask_whatever_the_status_is))["parts"]["certificates"]

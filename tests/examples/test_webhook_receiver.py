from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
from urllib.parse import urlsplit

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.clock import time_of_day
from cim.standard_webhooks import signed
from tests.examples.suite_case import SuiteCase
from tests.harness.asking import ask
from tests.harness.certificates import put
from tests.harness.daemons import ROOT, environment
from tests.harness.spawning import DaemonProcess, free_port

SECRET, OTHER = bytes(range(32)), bytes(range(32, 64))
PATH = ROOT / "examples" / "webhook_receiver.py"


def loaded():
    spec = importlib.util.spec_from_file_location("webhook_receiver", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class VerifyTests(SynchronousTestCase):
    """What it believes, and what not."""

    def setUp(self):
        self.example = loaded()
        self.body = b'{"type":"message.sent"}'
        headers = signed(SECRET, "evt_1", 1000, self.body)
        self.said = [headers[f"Webhook-{name}"] for name in ("Id", "Timestamp", "Signature")]

    def verify(self, *said, body=None, now=1000.5, secrets=(SECRET,)):
        self.example.verify(secrets, *said, self.body if body is None else body, now)

    def test_what_is_signed(self):
        self.verify(*self.said)
        self.verify(*self.said, now=1299)
        self.verify(*self.said, secrets=(OTHER, SECRET))
        other = signed(OTHER, "evt_1", 1000, self.body)["Webhook-Signature"]
        self.verify(*self.said[:2], f"{other} {self.said[2]}")

    def test_forgeries(self):
        id, timestamp, signature = self.said
        for said, more in (
            (("evt_2", timestamp, signature), {}),
            ((id, "1001", signature), {}),
            ((id, timestamp, signature[:-2] + "A="), {}),
            ((id, timestamp, signature.removeprefix("v1,")), {}),
            ((id, timestamp, signature.replace("v1,", "v1a,")), {}),
            ((id, timestamp, ""), {}),
            (("", timestamp, signature), {}),
            ((id, "", signature), {}),
            ((id, "1e3", signature), {}),
            ((id, "\u0661000", signature), {}),
            ((id, timestamp, "v1,\u00e9"), {}),
            (self.said, {"body": self.body + b" "}),
            (self.said, {"secrets": (OTHER,)}),
            # Sent again by somebody who has heard it.
            (self.said, {"now": 1301}),
            (self.said, {"now": 699}),
        ):
            self.assertRaises(self.example.Forged, self.verify, *said, **more)


class ReceiverTests(SuiteCase):
    """The example, posted to by a suite."""

    async def setUp(self):
        from twisted.internet import reactor

        secret, config = (os.path.abspath(self.mktemp()) for _ in range(2))
        port = free_port()
        put(secret, b"whsec_" + base64.b64encode(SECRET))
        self.receiver = DaemonProcess(
            reactor,
            [sys.executable, str(PATH), "--secret-file", secret, "--port", str(port)],
            environment(),
            os.getcwd(),
            name="receiver",
            ready_when="listening at",
        )
        self.addCleanup(self.receiver.stop)
        await self.receiver.start()
        self.url = f"http://127.0.0.1:{port}/"
        with open(config, "w") as file:
            file.write(f'[[webhook]]\nname = "shop"\nurl = "{self.url}"\nsecret-file = "{secret}"\nevents = ["*"]\n')
        self.options = ("--config", config, "--allow-outgoing", "127.0.0.0/8")
        await super().setUp()

    async def events(self, count, *types):
        deadline = self.reactor.seconds() + 20
        while True:
            events = [event for line in self.receiver.out if (event := json.loads(line))["type"] in types]
            if len(events) >= count or self.reactor.seconds() > deadline:
                return events
            await deferLater(self.reactor, 0.02)

    async def test_what_happens_is_printed(self):
        alice, _ = await self.user("alice")
        bob, _ = await self.user("bob")
        texts = [f"text {n}" for n in range(100)]
        for text in texts:
            alice.send(bob.me, text)
        group = await alice.create_group("friends")
        await alice.rename_group(group.id, "old friends")
        events = await self.events(101, "message.sent", "group.changed")
        self.assertEqual([event["data"]["text"] for event in events if event["type"] == "message.sent"], texts)
        self.assertEqual([one["data"]["group"] for one in events if one["type"] == "group.changed"], [group.id])
        made = await self.events(2, "account.created")
        self.assertEqual([event["data"]["name"] for event in made], ["alice", "bob"])
        began = await self.events(2, "session.began")
        self.assertEqual([event["data"]["name"] for event in began], ["alice", "bob"])
        facts = (await self.suite.health())[1]["facts"]
        self.assertEqual(facts["webhooks"], {"shop": "ok"})

    async def test_forgeries_are_refused(self):
        body = b'{"type":"message.sent","data":{}}'
        now = time_of_day()
        for secret, at, status in ((OTHER, now, 401), (SECRET, now - 400, 401), (SECRET, now, 200)):
            headers = "".join(f"{n}: {v}\r\n" for n, v in signed(secret, "evt_x", int(at), body).items())
            request = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
            parts = urlsplit(self.url)
            answer = await ask(self.reactor, parts.hostname, parts.port, request.encode() + body)
            self.assertEqual(answer.split(b" ")[1], str(status).encode())
        self.assertEqual(len(await self.events(1, "message.sent")), 1)

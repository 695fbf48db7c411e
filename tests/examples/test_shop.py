"""Tests of the shop, with a suite: a customer of it, and somebody who pretends to be CIM."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import treq
from twisted.internet.task import deferLater

from cim.client.client import Client
from cim.client.values import Token
from cim.daemon.clock import time_of_day
from cim.errors import Forbidden, Muted, Refused
from cim.standard_webhooks import signed
from tests.examples.suite_case import PATIENCE, Inbox, SuiteCase
from tests.harness.certificates import put
from tests.harness.daemons import ROOT, environment
from tests.harness.spawning import DaemonProcess, free_port

SECRET = bytes(range(32))
SHOP = ROOT / "examples" / "shop"


def encoded(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class ShopTests(SuiteCase):
    async def setUp(self):
        from twisted.internet import reactor

        secret, config = (os.path.abspath(self.mktemp()) for _ in range(2))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        put(secret, b"whsec_" + base64.b64encode(SECRET))
        said = (
            (SHOP / "options.toml")
            .read_text()
            .replace("shop.secret", secret)
            .replace("http://127.0.0.1:8098", self.url)
        )
        put(config, said.encode())
        self.options = ("--config", config)
        await super().setUp()
        argv = (str(SHOP / "shop.py"), "--route", self.suite.url, "--key-file", os.path.join(self.data, "api-keys"))
        self.shop = DaemonProcess(
            reactor,
            [sys.executable, *argv, "--secret-file", secret, "--port", str(port)],
            environment(),
            self.directory,
            name="shop",
            ready_when="is open at",
        )
        self.addCleanup(self.shop.stop)
        await self.shop.start()

    async def post(self, path, said, status=200, **headers):
        answer = await treq.post(f"{self.url}{path}", json=said, headers=headers, persistent=False)
        body = await answer.json()
        self.assertEqual(answer.code, status, body)
        return body

    async def customer(self, id, name):
        login = await self.post("/login", {"customer": id, "name": name})
        inbox = Inbox(self.reactor)
        client = Client(self.reactor, self.suite.url, Token(login["token"]), listeners=[inbox])
        self.addCleanup(client.close)
        client.startService()
        await client.when_ready()
        self.assertEqual(client.me.id, login["user"])
        return client, inbox, await client.user(login["shop"])

    async def test_a_customer(self):
        mary, inbox, shop = await self.customer("7", "Mary")
        await mary.send(shop, "where is my order?")
        thanks = "Thank you. Somebody will be with you in a minute."
        await inbox.texts(thanks)
        for _ in range(2):
            await self.post("/orders/17/shipped", {"customer": "7"})
        await self.post("/orders/18/shipped", {"customer": "7"})
        await inbox.texts(thanks, "Your order 17 is on its way.", "Your order 18 is on its way.")
        # It is no other customer by another name, and its token is for talking.
        again = await self.post("/login", {"customer": "7", "name": "Mary Ann"})
        self.assertEqual(again["user"], mary.me.id)
        await self.assertFailure(mary.create_group("friends"), Forbidden)

        # Nor may it advertise.
        for _ in range(2):
            error = await self.assertFailure(mary.send(shop, "cheaper at https://shop.example"), Refused)
            self.assertEqual(error.message, "no links here, please")
        await self.assertFailure(mary.send(shop, "http://shop.example"), Refused, Muted)  # whichever is quicker
        deadline = self.reactor.seconds() + PATIENCE
        while self.reactor.seconds() < deadline:
            try:
                await mary.send(shop, "hello?")
            except Muted as muted:
                self.assertIn("links to other shops", muted.message)
                return
            await deferLater(self.reactor, 0.05)
        self.fail("is never muted")

    async def test_ctrl_c(self):
        self.shop.signal("INT")
        self.assertEqual(await self.shop.wait_for_exit(), 0)
        self.assertEqual(len(self.shop.lines), 1)

    async def test_browsers_to_notify_and_whoever_is_not_cim(self):
        login = await self.post("/login", {"customer": "7", "name": "Mary"})
        point = ec.generate_private_key(ec.SECP256R1()).public_key()
        keys = {
            "p256dh": encoded(point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
            "auth": encoded(b"a" * 16),
        }
        there = {"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/x", "keys": keys}
        made = await self.post("/devices", {"customer": "7", "subscription": there})
        self.assertEqual((made["kind"], made["device"]), ("webpush", "web"))
        # What was registered ends with its token: that must not be the one for an hour.
        key = {"X-API-Key": (Path(self.data) / "api-keys").read_text().split()[-1]}
        answer = await treq.get(f"{self.suite.url}/v1/users/{login['user']}/tokens", headers=key, persistent=False)
        days = [(one["ends"] - one["made"]) / 86_400_000 for one in (await answer.json())["tokens"]]
        self.assertGreater(max(days), 6.9)
        elsewhere = {**there, "endpoint": "https://127.0.0.1/"}
        await self.post("/devices", {"customer": "7", "subscription": elsewhere}, 400)
        for path in ("/cim/events", "/cim/ask"):
            await self.post(path, {}, 401)
            headers = signed(b"x" * 32, "1", int(time_of_day()), b"{}")
            await self.post(path, {}, 401, **headers)
            old = signed(SECRET, "1", int(time_of_day()) - 1000, b"{}")
            await self.post(path, {}, 401, **old)
        for path, said, status in (("/login", {}, 400), ("/login", [], 400), ("/other", {}, 404)):
            await self.post(path, said, status)

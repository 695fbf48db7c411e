"""A hook, a process of its own, that decides on what is said in a cluster on Redis, and in a suite."""

from __future__ import annotations

import base64
import os
import sys

import treq

from cim.client.client import Client
from cim.client.values import Password
from cim.errors import Refused
from tests.client.client_case import Listener
from tests.harness.daemons import ROOT, environment, loopback
from tests.harness.processes import free_port, private_file
from tests.harness.spawning import DaemonProcess
from tests.integration.cluster_case import ClusterCase

PASSWORD = "correct horse battery"


class HookTests(ClusterCase):
    async def hook(self):
        """Start a hook, and return it and the file of options that has daemons ask it."""
        port = free_port()
        secret = os.path.join(self.folder("hook"), "secret")
        private_file(secret, "whsec_" + base64.b64encode(os.urandom(32)).decode())
        argv = [sys.executable, str(ROOT / "examples" / "before_hook.py"), str(port), secret]
        hook = self.added(DaemonProcess(self.reactor, argv, environment(), ready_when="answering", name="hook"))
        await hook.start()
        hook.url = f"http://127.0.0.1:{port}/"
        path = os.path.join(self.folder("hook"), "options.toml")
        private_file(
            path,
            f"""
            allow-outgoing = ["127.0.0.1"]
            [[before-hook]]
            name = "example"
            url = "http://127.0.0.1:{port}/"
            kinds = ["text", "edit", "account"]
            deadline = 2.0  # of a busy machine
            on-failure = "closed"
            secret-file = "{secret}"
            """,
        )
        return hook, ("--config", path)

    async def person(self, url, name):
        """Return a client that is logged in."""
        client = Client(self.reactor, url, Password(name, PASSWORD, create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client

    async def call(self, daemon, path, body, token=""):
        """Make a call of /v1; return the status and the value of the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await treq.post(f"{daemon.url}{path}", json=body, headers=headers, persistent=False)
        return answer.code, await answer.json()

    async def token(self, daemon, name):
        """Return a token of a user, by a login of a device of its own."""
        _, said = await self.call(daemon, "/v1/sessions", {"name": name, "password": PASSWORD, "device": "api"})
        return said["token"]

    async def post(self, daemon, token, to, client_id, text):
        """Send a message by /v1."""
        return await self.call(daemon, "/v1/messages", {"to_user": to, "client_id": client_id, "text": text}, token)

    async def until_heard(self, client, texts):
        """Wait until somebody was given these texts."""
        await self.until(lambda: client.heard.texts, lambda found: found == texts, f"{texts}")

    def asked(self, hook):
        """Return how often the hook was asked about messages."""
        return sum("asked about text" in line for line in hook.out)

    async def decided(self, hook, first, second):
        """Have people talk over two routes, which may be one."""
        alice, bob = [await self.person(url, name) for url, name in ((first.url, "alice"), (second.url, "bob"))]
        fates = [alice.send(bob.me, text) for text in ("hello", "damn it", "spam", "bye")]
        sent = [await fate for fate in (fates[0], fates[1], fates[3])]
        error = await self.assertFailure(fates[2], Refused)
        self.assertEqual(error.message, "no advertising here")
        await self.until_heard(bob, ["hello", "**** it", "bye"])
        self.assertEqual(alice.heard.texts, ["hello", "**** it", "bye"])
        self.assertEqual(self.asked(hook), 4)
        # The same messages once more, over the other route: nobody is asked again.
        token = await self.token(second, "alice")
        for one, text, stored in ((sent[1], "damn it", "**** it"), (sent[0], "hello", None)):
            status, said = await self.post(second, token, bob.me.id, one.client_id, text)
            self.assertEqual((status, said["position"], said["text"]), (200, one.position, stored))
        self.assertEqual(self.asked(hook), 4)
        # A refusal stays one, on each route.
        for route in (first, second, first):
            status, said = await self.post(route, token, bob.me.id, "again", "spam")
            self.assertEqual((status, said["code"], said["detail"]), (403, "refused", "no advertising here"))
        self.assertEqual(self.asked(hook), 5)
        return alice, bob

    async def test_in_a_cluster(self):
        hook, options = await self.hook()
        _, (first, second) = await self.cluster(1, 2, *options)
        alice, bob = await self.decided(hook, first, second)
        # A dead hook costs nobody more than its deadline, and with `closed` nothing is stored; then all goes on.
        await hook.kill()
        token = await self.token(first, "alice")
        said = [await self.post(first, token, bob.me.id, f"dead-{n}", "hello") for n in range(7)]
        self.assertEqual({(status, problem["code"]) for status, problem in said}, {(503, "unavailable")})
        self.assertIn("not asked for", (await self.fact(first, "policies"))["example"])
        fate = alice.send(bob.me, "later")
        await hook.start()
        await fate
        await self.until_heard(bob, ["hello", "**** it", "bye", "later"])

    async def test_in_a_suite(self):
        hook, options = await self.hook()
        tcp, http = free_port(), free_port()
        where = ("--data", self.folder("data"), "--listen", loopback(tcp), "--http", loopback(http))
        suite = self.daemon("suite", http, *where, *options)
        await self.started(suite)
        await self.decided(hook, suite, suite)
        # Who does not sign is told nothing.
        forged = {"Webhook-Id": "1", "Webhook-Timestamp": "1795811307", "Webhook-Signature": "v1,AAAA"}
        for headers in ({}, forged):
            answer = await treq.post(hook.url, json={"text": "spam"}, headers=headers, persistent=False)
            self.assertEqual(answer.code, 401)
            await answer.content()

"""What operators do about users, in a cluster of real daemons with Redis and ZooKeeper."""

from __future__ import annotations

import json
import os

from twisted.internet.defer import DeferredList

from cim.client.client import Client
from cim.client.values import Kind, Password, Sent, State
from cim.errors import Banned, Muted
from tests.client.client_case import Listener
from tests.harness.processes import private_file
from tests.integration.cluster_case import ClusterCase

KEY = "operators-key-0123456789"
PASSWORD = "correct horse battery"
#: How many messages are on their way when their sender is muted.
MANY = 200


class ModerationTests(ClusterCase):
    timeout = 300

    async def asked(self, route, method, path, body=None, token=KEY):
        """Return the status of an answer, and what it says."""
        answer = await self.calls.ask(method, f"{route.url}{path}", body, token)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def ok(self, *call, **options):
        status, said = await self.asked(*call, **options)
        self.assertIn(status, (200, 201, 204), said)
        return said

    async def online(self, name, urls):
        client = Client(self.reactor, urls, Password(name, PASSWORD, create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client

    async def hears(self, client, text):
        await self.until(lambda: client.heard.texts, lambda texts: text in texts, f"{text} came")

    async def test_a_cluster(self):
        keys = os.path.join(self.folder("keys"), "api-keys")
        private_file(keys, f"{KEY}\n")
        servers, routes = await self.cluster(2, 2, "--api-key-file", keys, "--accounts", "open")
        one, other = routes
        alice = await self.online("alice", [one.url, other.url])
        bob = await self.online("bob", [other.url, one.url])
        user = f"/v1/admin/users/{bob.me.id}"

        # What is reported at one route is read at the other, and deleted for all.
        said = await bob.send(alice.me, "buy this")
        await self.hears(alice, "buy this")
        self.assertTrue(await alice.report(said.conversation, said.position, "spam"))
        (report,) = (await self.ok(other, "GET", "/v1/admin/reports"))["reports"]
        self.assertEqual((report["text"], report["sender"]["id"]), ("buy this", bob.me.id))
        await self.ok(one, "DELETE", f"/v1/admin/conversations/{said.conversation}/messages/{said.position}")
        recalls = [(message.kind, message.by_operator) for message in await alice.history(said.conversation)]
        self.assertEqual(recalls, [(Kind.TEXT, True), (Kind.RECALL, True)])
        await self.ok(other, "POST", f"/v1/admin/reports/{report['id']}/close")

        # A mute at one route holds at both at once: what was on its way is stored up to it, and nothing behind it.
        sending = [bob.send(alice.me, f"{number}") for number in range(MANY)]
        await self.until(lambda: sending[MANY // 4].called, bool, "some are stored")
        await self.ok(one, "PUT", f"{user}/mute", {"seconds": 3600, "reason": "calm down"})
        for _ in range(3):
            sending.append(bob.send(alice.me, "late"))
        results = await DeferredList(sending, consumeErrors=True)
        stored = [done for done, _ in results]
        self.assertEqual(stored, sorted(stored, reverse=True))
        self.assertEqual(stored[-3:], [False] * 3)
        for done, result in results:
            self.assertIsInstance(result if done else result.value, Sent if done else Muted)
        self.assertIn("calm down", str(results[-1][1].value))
        history = [one.text for one in await alice.history(said.conversation, limit=500, revisions=False)]
        self.assertEqual(history, ["", *(f"{number}" for number in range(sum(stored)))])
        for route in routes:
            body = {"to_user": alice.me.id, "client_id": route.node, "text": "x", "from_user": bob.me.id}
            status, told = await self.asked(route, "POST", "/v1/messages", body)
            self.assertEqual((status, told["code"], told["reason"]), (403, "muted", "calm down"))

        # The system user, made by whichever route comes first.
        for route in routes:
            await self.ok(route, "POST", "/v1/admin/broadcasts", {"client_id": route.node, "text": f"by {route.node}"})
            for client in (alice, bob):
                await self.hears(client, f"by {route.node}")
        self.assertEqual(len((await self.ok(one, "GET", "/v1/admin/users?prefix=System"))["users"]), 1)

        # A ban at one route ends the session at whatever server, and no route lets the user in until it ends.
        ended = bob.when_closed()
        await self.ok(other, "PUT", f"{user}/ban", {"seconds": 3600, "reason": "spam"})
        why = await self.assertFailure(ended, Banned)
        self.assertTrue(str(why).endswith("by an operator: spam"), why)
        self.assertIs(bob.state, State.CLOSED)
        await other.kill()
        for again in (False, True):
            if again:
                await self.started(other)
                await self.linked(servers, routes)
            login = {"name": "bob", "password": PASSWORD}
            status, told = await self.asked(other if again else one, "POST", "/v1/sessions", login, token="")
            self.assertEqual((status, told["code"], told["reason"]), (403, "suspended", "spam"))
        await self.ok(one, "DELETE", f"{user}/ban")
        await self.ok(one, "DELETE", f"{user}/mute")
        bob = await self.online("bob", [other.url, one.url])
        await bob.send(alice.me, "sorry")
        await self.hears(alice, "sorry")

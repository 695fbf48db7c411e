from __future__ import annotations

import json
import os

from treq.client import HTTPClient
from twisted.web.client import Agent

from tests.examples.suite_case import SuiteCase
from tests.harness.daemons import loopback
from tests.harness.spawning import free_port


class GatewayTests(SuiteCase):
    async def setUp(self):
        await super().setUp()
        self.http = HTTPClient(Agent(self.reactor))
        self.port = free_port()
        self.alice, self.inbox = await self.user("alice")

    async def gateway(self, *arguments):
        gateway = self.example(
            *("webhook_gateway", "--group", "ops", "--invite", "alice", "--listen", loopback(self.port)),
            *arguments,
            online="passes on",
        )
        await gateway.start()
        for invitation in await self.alice.invitations():
            await self.alice.accept(invitation.group)
        return gateway

    async def post(self, body, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.post(f"http://127.0.0.1:{self.port}/", data=body, headers=headers)
        return answer.code, json.loads(await answer.content())

    async def test_what_is_posted_is_read_in_the_group(self):
        await self.gateway()
        for text in ("build 7 is green", "构建 👍"):
            status, answer = await self.post(json.dumps({"text": text}).encode())
            self.assertEqual(status, 200)
        await self.inbox.texts("build 7 is green", "构建 👍")
        last = self.inbox.messages[-1]
        self.assertEqual((last.position, last.sender.name), (answer["position"], "hooks"))
        [group] = await self.alice.groups()
        self.assertEqual((group.name, last.group), ("ops", group.id))

    async def test_the_same_key_is_stored_once_and_the_group_is_the_same_after_a_restart(self):
        gateway = await self.gateway()
        first = await self.post(b'{"text": "once"}', Idempotency_Key="k" * 100)
        await gateway.restart()
        self.assertEqual(await self.post(b'{"text": "once"}', Idempotency_Key="k" * 100), first)
        await self.post(b'{"text": "end"}')
        await self.inbox.texts("once", "end")
        self.assertEqual(len(await self.alice.groups()), 1)

    async def test_posts_that_are_refused(self):
        token = os.path.join(self.directory, "token")
        with open(token, "w") as file:
            file.write("s3cret\n")
        await self.gateway("--token-file", token)
        good = {"Authorization": "Bearer s3cret"}
        for expected, body, headers in (
            (401, b'{"text": "x"}', {}),
            (401, b'{"text": "x"}', {"Authorization": "Bearer wrong"}),
            (400, b"", good),
            (400, b"[]", good),
            (400, b'{"text": 7}', good),
            (400, b'{"text": "\\ud800"}', good),
            (400, b"\xff", good),
            (413, b'{"text": "' + b"x" * 49_200 + b'"}', good),
            (413, b'{"text": "' + b"x" * 70_000 + b'"}', good),
            (200, b'{"text": "good"}', good),
        ):
            status, answer = await self.post(body, **headers)
            self.assertEqual(status, expected, (body[:30], answer))
        await self.inbox.texts("good")

"""A back end's own users, by tokens and by JWTs, in a cluster of real daemons with Redis and ZooKeeper."""

from __future__ import annotations

import json
import os

from twisted.internet.defer import succeed

from cim.client.client import Client
from cim.client.values import State, Token
from cim.daemon.clock import time_of_day
from tests.client.client_case import Listener
from tests.harness.processes import private_file
from tests.integration.cluster_case import ClusterCase
from tests.issuers.signing import AUDIENCE, ISSUER, claims, pem, private_key, signed

KEY = "operators-key-0123456789"


class OwnUsersTests(ClusterCase):
    timeout = 300

    async def asked(self, route, method, path, body=None, token=KEY):
        """Return the status of an answer, and what it says."""
        answer = await self.calls.ask(method, f"{route.url}{path}", body, token)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def ok(self, *call, **options):
        status, said = await self.asked(*call, **options)
        self.assertIn(status, (200, 201, 204), said)
        return said

    def jwt(self, seconds):
        """Return a new JWT of Zoe's, and note when it was made."""
        now = int(time_of_day())
        self.jwts.append(signed(claims(sub="zoe", name="Zoe", iat=now, exp=now + seconds), algorithm="EdDSA"))
        return self.jwts[-1]

    def client(self, urls, credentials, **options):
        client = Client(self.reactor, urls, credentials, **options)
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def test_a_cluster(self):
        self.jwts = []
        keys, public = (os.path.join(self.folder("keys"), name) for name in ("api-keys", "issuer.pub"))
        private_file(keys, f"{KEY}\n")
        with open(public, "wb") as file:
            file.write(pem(private_key("OKP")))
        issuer = f"issuer={ISSUER} audience={AUDIENCE} algorithms=EdDSA keys={public}"
        options = ("--api-key-file", keys, "--jwt-issuer", issuer, "--accounts", "open")
        _, routes = await self.cluster(2, 2, *options)
        urls = [route.url for route in routes]

        # A JWT makes an account, once, at whichever route; its session ends with it, and goes on with a new one.
        zoe = self.client(urls, Token(lambda: succeed(self.jwt(8))), device="phone")
        away = self.client(urls[::-1], Token(lambda: succeed(self.jwt(60))), device="web")
        await zoe.when_ready()
        await away.when_ready()
        self.assertEqual((zoe.me, zoe.me.name), (away.me, "Zoe"))
        found = f"/v1/admin/external-ids?external_id=zoe&issuer={ISSUER}"
        self.assertEqual((await self.ok(routes[1], "GET", found))["id"], zoe.me.id)

        # A back end makes an account at one route and a token at the other.
        body = {"name": "mary", "external_id": "m-1"}
        mary_id = (await self.ok(routes[0], "POST", "/v1/accounts", body))["id"]
        self.assertEqual((await self.ok(routes[1], "POST", "/v1/accounts", body))["id"], mary_id)
        made = await self.ok(routes[1], "POST", f"/v1/users/{mary_id}/tokens", {"scopes": ["read", "send"]})
        mary = self.client(urls, Token(made["token"]))
        await mary.when_ready()
        await mary.send(zoe.me, "one")
        await self.until(lambda: len(self.jwts), lambda count: count > 2, "the first JWT has ended")
        await self.until(lambda: zoe.state, lambda state: state is State.READY, "a new one logged in")
        await mary.send(zoe.me, "two")
        for client in (zoe, away):
            await self.until(lambda heard=client.heard: heard.texts, lambda texts: len(texts) == 2, "it came")
            self.assertEqual(client.heard.texts, ["one", "two"])
        self.assertIn(State.RECONNECTING, [state for state, _ in zoe.heard.states])

        # What may not be done is refused by whatever way.
        status, said = await self.asked(routes[0], "POST", "/v1/groups", {"name": "x"}, token=made["token"])
        self.assertEqual((status, said["code"]), (403, "forbidden"))

        # A token is revoked at one route, and its session ends at whatever server.
        await self.ok(routes[0], "DELETE", f"/v1/users/{mary_id}/tokens/{made['id']}")
        await self.until(lambda: mary.state, lambda state: state is State.CLOSED, "the session has ended")
        for route in routes:
            status, _ = await self.asked(route, "POST", "/v1/sessions", {}, token=made["token"])
            self.assertEqual(status, 401)

        # A log-out refuses the JWTs from before it, at all routes; a later one is good.
        old = self.jwt(60)
        await self.ok(routes[0], "POST", f"/v1/admin/users/{zoe.me.id}/logout")
        for route in routes:
            status, said = await self.asked(route, "POST", "/v1/sessions", {}, token=old)
            self.assertEqual((status, said["code"]), (401, "unauthorized"))
        ended = int(time_of_day())
        await self.until(time_of_day, lambda now: int(now) > ended, "a second later")
        for route in routes:
            login = await self.ok(route, "POST", "/v1/sessions", {}, token=self.jwt(60))
            self.assertEqual(login["user_id"], zoe.me.id)

        # The account of a subject goes, and no JWT from before brings it back.
        old = self.jwts[-1]
        await self.ok(routes[1], "DELETE", f"/v1/admin/users/{zoe.me.id}")
        status, _ = await self.asked(routes[0], "POST", "/v1/sessions", {}, token=old)
        self.assertEqual(status, 401)
        status, _ = await self.asked(routes[0], "GET", found)
        self.assertEqual(status, 404)

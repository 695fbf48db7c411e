"""Klein's map is what a running daemon serves its calls from."""

from __future__ import annotations

import json
import os

from werkzeug.routing.matcher import StateMachineMatcher

import treq
from twisted.trial.unittest import TestCase

from cim.route.tap import Options, makeService
from cim.web.site import HTTPService
from tests.harness.daemons import loopback
from tests.harness.spawning import free_port


def take_out(url_map, *paths):
    """Make a map forget the rules of these paths."""
    # Maps only grow; what they match by is made anew of the other rules.
    matcher = StateMachineMatcher(url_map.merge_slashes)
    for rule in url_map.iter_rules():
        if rule.rule not in paths:
            matcher.add(rule)
    url_map._matcher = matcher


class KleinTests(TestCase):
    """`twistd cim-route`, in this process."""

    timeout = 60

    def setUp(self):
        from twisted.internet import reactor

        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = Options()
        store = os.path.abspath(self.mktemp())
        options.parseOptions(
            [
                "--store",
                f"sqlite:{store}",
                "--registry",
                "memory",
                "--http",
                loopback(port),
                "--link",
                loopback(free_port()),
            ]
        )
        self.root = makeService(options, reactor)
        self.root.privilegedStartService()
        self.root.startService()
        self.addCleanup(self.root.stopService)
        (serving,) = (service for service in self.root if isinstance(service, HTTPService))
        self.url_map = serving.site.resource.calls.app.url_map

    async def ask(self, method, path, body=None):
        """Make a call; return its status, and what the answer says."""
        answer = await treq.request(method, self.url + path, json=body, persistent=False, timeout=10)
        return answer.code, json.loads(await answer.content())

    async def test_a_call_without_its_rule_is_none(self):
        self.assertEqual((await self.ask("POST", "/registerAccount", {"userName": "ann"}))[0], 200)
        account = {"name": "bob", "password": "correct horse"}
        take_out(self.url_map, "/onlineUser", "/v1/accounts", "/health")
        status, said = await self.ask("GET", "/onlineUser")
        self.assertEqual((status, said["code"]), (404, "3000"))
        status, said = await self.ask("POST", "/v1/accounts", account)
        self.assertEqual((status, said["code"]), (404, "not-found"))
        self.assertEqual((await self.ask("GET", "/health"))[0], 404)
        self.assertEqual((await self.ask("GET", "/health/live"))[0], 200)
        status, said = await self.ask("POST", "/v1/sessions", account)
        self.assertEqual((status, said["code"]), (401, "unauthorized"))

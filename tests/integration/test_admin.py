"""`cim-admin` and a cluster of real daemons."""

from __future__ import annotations

import json
import operator
import os
import sys
from functools import partial

from twisted.internet.utils import getProcessOutputAndValue

import cim
from tests.harness.daemons import environment
from tests.harness.processes import private_file
from tests.integration.cluster_case import ClusterCase

KEY = "operators-key-0123456789"


class AdminTests(ClusterCase):
    timeout = 300

    async def admin(self, *arguments):
        """Return what `cim-admin` prints on standard output and standard error, and its status."""
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-m", "cim.admin", *arguments], environment(self.surroundings), self.directory
        )
        return out.decode(), err.decode(), status

    async def rows(self, *arguments):
        """Return what scripts get from a command that succeeds."""
        out, err, status = await self.admin(*arguments, "--json")
        self.assertEqual((err, status), ("", 0))
        return [json.loads(line) for line in out.splitlines()]

    async def test_a_cluster(self):
        keys = os.path.join(self.folder("keys"), "api-keys")
        private_file(keys, f"{KEY}\n")
        servers, routes = await self.cluster(2, 2, "--api-key-file", keys)
        self.surroundings = {"CIM_ADMIN_ROUTE": routes[0].url, "CIM_ADMIN_API_KEY_FILE": keys}

        # What is linked, and which versions run.
        (said,) = await self.rows("status")
        self.assertEqual([one["name"] for one in said["servers"]], sorted(server.node for server in servers))
        for one in said["servers"]:
            self.assertEqual((one["version"], one["listed"], one["linked"]), (cim.__version__, True, True))
        routes_shown = [(one["name"], one["version"]) for one in said["routes"]]
        self.assertEqual(routes_shown, sorted((route.node, cim.__version__) for route in routes))
        self.assertEqual((said["route"], said["ok"]), (routes[0].node, True))

        # A key with a scope works at once at all routes, and no longer once its line is gone.
        reader = os.path.join(self.folder("keys"), "reader")
        out, err, status = await self.admin("key", keys, "--name", "reader", "--scopes", "read", "--to", reader)
        self.assertEqual((out, status), ("", 0), err)
        made = (await self.rows("users", "make", "alice", "--generate"))[0]
        for route in routes:
            await self.until(partial(self.succeeds, route, reader), bool, "the new key works")
        (listed,) = await self.rows("users", "list", "--prefix", "al", "--api-key-file", reader)
        self.assertEqual((listed["id"], listed["password"]), (made["id"], True))
        _, err, status = await self.admin("kick", "alice", "--api-key-file", reader)
        self.assertEqual((err, status), ("cim-admin: this API key may not do that: it lacks the scope `users`\n", 1))
        private_file(keys, f"{KEY}\n")
        await self.until(partial(self.succeeds, routes[1], reader), operator.not_, "it works no longer")

        # A file that cannot be used changes nothing, and health says so.
        private_file(keys, "no key\n")
        await self.until(partial(self.complains, routes[1]), bool, "health complains")
        self.assertEqual((await routes[1].health())[0], 200)
        private_file(keys, f"{KEY}\n")
        self.assertTrue(await self.succeeds(routes[0], keys))

        # A lost server.
        await servers[1].kill()
        await self.until(self.linked_servers, lambda linked: linked == [servers[0].node], "one is lost")

    async def succeeds(self, route, key):
        """Whether a key may list users."""
        return not (await self.admin("users", "list", "--route", route.url, "--api-key-file", key))[2]

    async def complains(self, route):
        """Whether a route tells of the file with keys."""
        _, said = await route.health()
        return "has changed and cannot be used: " in said["facts"].get("api_keys", "")

    async def linked_servers(self):
        """The names of the servers that are linked."""
        (said,) = await self.rows("status")
        return [one["name"] for one in said["servers"] if one["linked"]]

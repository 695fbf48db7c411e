"""Tests of what operators see of the cluster."""

from __future__ import annotations

from urllib.parse import urlencode

import cim
from cim.nodes import NodeData
from cim.route.http import status
from tests.route.http.api_case import KEY, APICase


class StatusTests(APICase):
    servers = 2
    routes = 2

    def status(self):
        return self.ok("GET", "/v1/admin/status", key=KEY)

    def test_only_with_a_key(self):
        token = self.by(self.user("alice"))["token"]
        for path in ("/v1/admin/status", "/v1/admin/sessions"):
            self.problem("GET", path, status=401, code="unauthorized")
            self.problem("GET", path, token=token, status=403, code="forbidden")

    def test_what_is_linked(self):
        self.account("alice")
        self.online("alice")
        said = self.status()
        own = str(self.cluster.routes[0].address)
        self.assertEqual((said["route"], said["version"], said["ok"], said["online"]), (own, cim.__version__, True, 1))
        self.assertEqual(said["parts"], {"store": "ok", "registry": "ok", "servers": "ok"})
        self.assertEqual(said["facts"]["acknowledged"], "in memory: gone with the process")
        self.assertEqual(said["routes"], [{"name": own, "version": cim.__version__}])
        names = [server.own.name for server in self.cluster.servers]
        self.assertEqual([server["name"] for server in said["servers"]], sorted(names))
        for server in said["servers"]:
            self.assertEqual((server["version"], server["listed"], server["linked"]), ("test", True, True))
        self.assertEqual(sum(server["sessions"] for server in said["servers"]), 1)

    def test_what_is_not(self):
        lost, listed = self.cluster.servers[0].own.name, "10.9.9.9:11211:8081"
        for link in self.cluster.routes[0].presence.links():
            if link.peer.name == lost:
                link.lose("test")
        self.cluster.turn()
        self.cluster.registry.announce("cim", listed, NodeData("9.9", "x").encode())
        self.cluster.registry.announce("cim-route", "10.9.9.8:8083:8084", NodeData("9.8", "x").encode())
        self.cluster.registry.announce("cim-route", "java", b"")
        self.store.available = False
        self.cluster.turn()
        said = self.status()
        servers = {server["name"]: server for server in said["servers"]}
        self.assertFalse(servers[lost]["linked"])
        self.assertEqual((servers[listed]["version"], servers[listed]["linked"]), ("9.9", False))
        self.assertEqual({one["name"]: one["version"] for one in said["routes"]}["10.9.9.8:8083:8084"], "9.8")
        self.assertEqual(len(said["routes"]), 2)
        self.assertEqual((said["ok"], said["parts"]["store"]), (False, "the store in memory is away"))


class FiguresTests(APICase):
    def test_those_of_the_process(self):
        self.account("alice")
        self.log_in("alice")
        figures = self.ok("GET", "/v1/admin/figures", key=KEY)["figures"]
        self.assertEqual(figures["cim_logins_total"], [{"labels": {"outcome": "ok"}, "value": 1}])
        self.assertEqual(figures["cim_build_info"][0]["value"], 1)
        some = self.ok("GET", "/v1/admin/figures?names=cim_logins,cim_build", key=KEY)["figures"]
        self.assertEqual(some, {name: figures[name] for name in ("cim_build_info", "cim_logins_total")})
        self.assertEqual(self.ok("GET", "/v1/admin/figures?names=no_such", key=KEY)["figures"], {})

    def test_only_with_a_key(self):
        token = self.by(self.user("alice"))["token"]
        self.problem("GET", "/v1/admin/figures", status=401, code="unauthorized")
        self.problem("GET", "/v1/admin/figures", token=token, status=403, code="forbidden")


class SessionsTests(APICase):
    servers = 2

    def listed(self, **query):
        pages, after = [], ""
        while True:
            page = self.ok("GET", f"/v1/admin/sessions?{urlencode({**query, 'after': after})}", key=KEY)
            pages.append(page["sessions"])
            after = page["more"]
            if after is None:
                return pages

    def setUp(self):
        super().setUp()
        self.names = ("ann", "bob", "carl", "dora", "eve")
        for name in self.names:
            self.account(name)
            self.online(name)

    def test_all(self):
        (page,) = self.listed()
        self.assertEqual([one["user"]["name"] for one in page], list(self.names))
        self.assertEqual({one["device"] for one in page}, {"phone"})
        pages = self.listed(limit=2)
        self.assertEqual(
            [[one["user"]["name"] for one in page] for page in pages], [["ann", "bob"], ["carl", "dora"], ["eve"]]
        )

    def test_of_one_server(self):
        servers = [server.own.name for server in self.cluster.servers]
        found = {server: [one for page in self.listed(server=server) for one in page] for server in servers}
        self.assertEqual(sorted(one["user"]["name"] for ones in found.values() for one in ones), list(self.names))
        for server, ones in found.items():
            self.assertEqual({one["server"] for one in ones}, {server})
        self.assertEqual(self.listed(server="nowhere"), [[]])

    def test_one_call_looks_at_few(self):
        self.patch(status, "LOOKED", 2)
        self.assertEqual(self.listed(server="nowhere"), [[], [], []])

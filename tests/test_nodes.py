"""The data of nodes in the registry, as text."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.nodes import NodeData, RouteAddress, ServerAddress, host_and_ports


class AddressTests(SynchronousTestCase):
    def test_names_and_addresses(self):
        for host, written in (
            ("10.0.0.1", "10.0.0.1"),
            ("my_server", "my_server"),
            ("::1", "[::1]"),
            ("fd00::1", "[fd00::1]"),
        ):
            for kind in ServerAddress, RouteAddress:
                address = kind(host, 11211, 8081)
                self.assertEqual(str(address), f"{written}:11211:8081")
                self.assertEqual(kind.parse(str(address)), address)
            self.assertEqual(host_and_ports(host), (host, []))
        self.assertEqual(host_and_ports("[fd00:0::1]"), ("fd00::1", []))

    def test_what_is_none(self):
        for text in ("", ":1:2", "host", "host:1", "host:1:2:3", "host:0:1", "host:1:65536", "::1:2:x", "[::1]1:2"):
            self.assertRaises(InvalidField, ServerAddress.parse, text)
        for text in ("[::1", "[host]:1:2", "[]:1:2", "[10.0.0.1]:1:2"):
            self.assertEqual(host_and_ports(text)[0], "")


class NodeDataTests(SynchronousTestCase):
    def test_what_a_node_says_of_itself(self):
        said = NodeData("0.2", "run", "wss://a.example/v1/socket", "a.example")
        self.assertEqual(NodeData.decode(said.encode()), said)
        self.assertEqual(json.loads(said.encode())["tls_name"], "a.example")

    def test_a_route_without_its_store(self):
        said = NodeData("0.2", "run", away=True)
        self.assertEqual(NodeData.decode(said.encode()), said)
        self.assertNotIn("away", json.loads(NodeData("0.2", "run").encode()))

    def test_of_an_earlier_release(self):
        self.assertEqual(NodeData.decode(b'{"cim": "0.1", "incarnation": "run"}'), NodeData("0.1", "run"))

    def test_what_is_none_of_ours(self):
        for value in (b"", b"{}", b"[]", b"no JSON", b'{"cim": "0.1"}', b"\xff", b"[" * 100_000):
            self.assertIsNone(NodeData.decode(value))

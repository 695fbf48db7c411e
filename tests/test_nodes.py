"""The data of nodes in the registry, as text."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cim.nodes import NodeData


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

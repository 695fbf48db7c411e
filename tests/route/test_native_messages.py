"""Native clients that talk to each other through servers, routes and the store."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.server.websocket_upgrade import JSON, PROTOBUF
from cim.testing.cluster import Cluster


class MessageTests(SynchronousTestCase):
    """Two servers, two routes; round robin puts users on both servers."""

    def setUp(self):
        self.cluster = Cluster(servers=2, routes=2)
        self.alice, self.bob = (self.cluster.account(name) for name in ("alice", "bob"))

    def test_send_accepted_deliver(self):
        for subprotocol in ("", PROTOBUF, JSON):
            alice, bob = (self.cluster.native(who, subprotocol=subprotocol) for who in (self.alice, self.bob))
            alice.send(self.bob.id, "hello", "1" + subprotocol)
            self.cluster.turn()
            (accepted,) = alice.bodies()
            (deliver,) = bob.bodies()
            self.assertEqual((accepted.client_id, deliver.text), ("1" + subprotocol, "hello"))
            self.assertEqual(accepted.position, deliver.position)

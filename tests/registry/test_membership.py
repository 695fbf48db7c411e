"""Keeping up with who is in a folder of ZooKeeper."""

from __future__ import annotations

from cim.registry.izookeeper import NoNode, RegistryRefused
from cim.registry.membership import REREAD, Membership
from tests.registry.memory_case import OURS, MemoryCase, retry


class MembershipTests(MemoryCase):
    def setUp(self):
        super().setUp()
        self.lists = []
        self.other = self.connected()

    def watch(self, client):
        membership = Membership(client, "/cim", self.lists.append, self.clock, retry=retry)
        self.addCleanup(membership.close)
        return membership

    def watching(self, *names):
        self.ensemble.create("/cim", b"")
        for name in names:
            self.add(name)
        client = self.connected()
        membership = self.watch(client)
        self.settle()
        self.assertEqual(self.lists, [dict.fromkeys(names, OURS)])
        self.lists.clear()
        return client, membership

    def add(self, name, value=OURS):
        self.ensemble.create(f"/cim/{name}", value, self.other.session)

    def test_the_folder_is_created(self):
        membership = self.watch(self.connected())
        self.assertNotEqual(membership.trouble, "")
        self.settle()
        self.assertEqual(self.lists, [{}])
        self.assertEqual(self.node("/cim").owner, 0)
        self.assertEqual(membership.trouble, "")

    def test_before_it_is_connected(self):
        client = self.client()
        self.watch(client)
        self.settle()
        self.assertEqual(self.lists, [])
        client.startService()
        self.settle()
        self.assertEqual(self.lists, [{}])

    def test_each_change(self):
        self.watching("a:1:1")
        self.add("b:1:1")
        self.settle()
        self.ensemble.delete("/cim/a:1:1")
        self.settle()
        self.assertEqual(self.lists, [{"a:1:1": OURS, "b:1:1": OURS}, {"b:1:1": OURS}])

    def test_a_new_run_of_the_same_server(self):
        self.watching("a:1:1")
        self.ensemble.delete("/cim/a:1:1")
        self.add("a:1:1", b"new")
        self.settle()
        self.assertEqual(self.lists, [{"a:1:1": b"new"}])

    def test_upstreams_servers_and_names_of_any_kind(self):
        self.watching()
        self.add("10.0.0.1:11211:8081", None)
        self.add("ip-no address 中文", b"\xff")
        self.settle()
        self.assertEqual(self.lists[-1], {"10.0.0.1:11211:8081": b"", "ip-no address 中文": b"\xff"})

    def test_many_changes_cause_one_reading(self):
        self.watching()
        self.asked.clear()
        for number in range(50):
            self.add(f"a:{number}:1")
        self.settle()
        self.assertEqual(len(self.lists[-1]), 50)
        self.assertEqual([operation for operation, _ in self.asked].count("children"), 1)

    def test_changes_while_it_reads_cause_one_more_reading(self):
        self.watching()
        self.asked.clear()
        late = list(range(1, 50))

        def before(operation, path):
            self.asked.append((operation, path))
            if operation == "get":
                while late:
                    self.add(f"a:{late.pop()}:1")

        self.ensemble.before = before
        self.add("a:50:1")
        self.settle()
        self.assertEqual(len(self.lists[-1]), 50)
        self.assertEqual([operation for operation, _ in self.asked].count("children"), 2)

    def test_a_child_that_disappears_while_it_reads(self):
        self.watching()

        def before(operation, path):
            if (operation, path) == ("get", "/cim/b:1:1"):
                raise NoNode()
            if (operation, path) == ("get", "/cim/c:1:1"):
                raise RegistryRefused("closed to us")

        self.ensemble.before = before
        for name in ("a:1:1", "b:1:1", "c:1:1", "d:1:1"):
            self.add(name)
        self.settle()
        self.assertEqual(self.lists[-1], {"a:1:1": OURS, "d:1:1": OURS})

    def test_the_last_list_remains_while_zookeeper_is_away(self):
        client, _ = self.watching("a:1:1")
        client.suspend()
        self.clock.advance(9)
        self.ensemble.delete("/cim/a:1:1")
        self.clock.advance(100)
        self.assertEqual(self.lists, [])
        client.resume()
        self.settle()
        self.assertEqual(self.lists, [{}])

    def test_watches_again_after_a_loss(self):
        client, _ = self.watching("a:1:1")
        for name in ("b:1:1", "c:1:1"):
            client.suspend()
            client.resume()
            self.settle()
            self.add(name)
            self.settle()
            self.assertIn(name, self.lists[-1])
        client.expire()
        self.settle()
        self.add("d:1:1")
        self.settle()
        self.assertEqual(sorted(self.lists[-1]), ["a:1:1", "b:1:1", "c:1:1", "d:1:1"])

    def test_read_again_without_any_event(self):
        client, _ = self.watching("a:1:1")
        self.ensemble.set("/cim/a:1:1", b"changed in place")
        client.saw = lambda path, change: None
        self.add("b:1:1")
        self.settle()
        self.assertEqual(self.lists, [])
        self.clock.advance(REREAD)
        self.settle()
        self.assertEqual(self.lists, [{"a:1:1": b"changed in place", "b:1:1": OURS}])

    def test_the_folder_disappears(self):
        self.watching()
        self.ensemble.delete("/cim")
        self.settle()
        self.add("a:1:1")
        self.settle()
        self.assertEqual(self.lists, [{}, {"a:1:1": OURS}])

    def test_tried_again_after_no_answer(self):
        client, _ = self.watching()
        client.mute = True
        self.clock.advance(REREAD)
        self.clock.advance(5)
        client.mute = False
        self.add("a:1:1")
        self.clock.advance(1)
        self.settle()
        self.assertEqual(self.lists[-1], {"a:1:1": OURS})

    def test_refused(self):
        _, membership = self.watching()

        def before(operation, path):
            raise RegistryRefused("no right to")

        self.ensemble.before = before
        self.clock.advance(REREAD)
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual(membership.trouble, "no right to")
        self.assertEqual(self.said(), ["{what}: {trouble}"])

    def test_closed(self):
        client, membership = self.watching()
        self.add("a:1:1")
        membership.close()
        self.settle()
        client.expire()
        self.settle()
        self.assertEqual(self.lists, [])

    def test_closed_while_it_reads(self):
        _, membership = self.watching()
        self.ensemble.before = lambda operation, path: membership.close() if operation == "get" else None
        self.add("a:1:1")
        self.settle()
        self.assertEqual(self.lists, [])

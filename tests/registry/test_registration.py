"""Keeping a node in ZooKeeper."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from cim.errors import RegistryUnavailable
from cim.interfaces import IAnnouncement
from cim.nodes import NodeData
from cim.registry.izookeeper import RegistryRefused
from cim.registry.registration import Announcement
from tests.registry.memory_case import BEFORE, OURS, MemoryCase, retry

PATH = "/cim/10.0.0.1:11211:8081"


class AnnouncementCase(MemoryCase):
    def announce(self, client, value=OURS):
        announcement = Announcement(client, PATH, value, self.clock, retry=retry)
        self.addCleanup(announcement.close)
        return announcement

    def announced(self):
        client = self.connected()
        announcement = self.announce(client)
        self.settle()
        self.assertTrue(announcement.listed())
        return client, announcement

    def assertNode(self, client, value=OURS):
        self.assertEqual((self.node(PATH).value, self.node(PATH).owner), (value, client.session))


class AnnouncementTests(AnnouncementCase):
    def test_created_with_its_folder(self):
        client = self.client()
        announcement = self.announce(client)
        verifyObject(IAnnouncement, announcement)
        self.assertFalse(announcement.listed())
        client.startService()
        self.settle()
        self.assertNode(client)
        self.assertEqual(self.node("/cim").owner, 0)
        self.assertTrue(announcement.listed())

    def test_created_again_in_each_session(self):
        client, announcement = self.announced()
        first = client.session
        client.expire()
        self.assertFalse(announcement.listed())
        self.settle()
        self.assertNotEqual(client.session, first)
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_remains_listed_while_the_session_may_be_alive(self):
        client, announcement = self.announced()
        client.suspend()
        self.clock.advance(9.9)
        self.assertTrue(announcement.listed())
        self.clock.advance(0.1)
        self.assertFalse(announcement.listed())
        client.resume()
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_deleted_by_a_stranger(self):
        client, announcement = self.announced()
        for _ in range(3):
            self.ensemble.delete(PATH)
            self.settle()
            self.assertNode(client)
            self.assertTrue(announcement.listed())

    def test_deleted_while_the_connection_was_lost(self):
        client, announcement = self.announced()
        client.suspend()
        self.ensemble.delete(PATH)
        client.resume()
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_deleted_with_its_folder(self):
        client, _ = self.announced()
        self.ensemble.delete(PATH)
        self.ensemble.delete("/cim")
        self.settle()
        self.assertNode(client)

    def test_changed_by_a_stranger(self):
        client, announcement = self.announced()
        self.ensemble.set(PATH, b"")
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_other_data(self):
        client, announcement = self.announced()
        changed = NodeData("0.1", "run-1", away=True).encode()
        announcement.change(changed)
        self.settle()
        self.assertNode(client, changed)
        self.assertTrue(announcement.listed())
        client.suspend()
        announcement.change(OURS)
        self.settle()
        self.assertNode(client, changed)
        client.resume()
        self.settle()
        self.assertNode(client)

    def test_from_an_old_session_of_this_run(self):
        old, client = self.connected(), self.connected()
        self.ensemble.create("/cim", b"")
        self.ensemble.create(PATH, OURS, old.session)
        announcement = self.announce(client)
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_from_before_a_restart(self):
        old, client = self.connected(), self.connected()
        self.ensemble.create("/cim", b"")
        self.ensemble.create(PATH, BEFORE, old.session)
        announcement = self.announce(client)
        self.settle()
        self.assertNode(old, BEFORE)
        self.assertFalse(announcement.listed())
        self.assertEqual(announcement.trouble, "is held by another process")
        self.assertEqual(self.said(), ["{path} {trouble}; waiting for it to disappear"])
        self.clock.advance(300)
        self.assertEqual(len(self.said()), 1, "said once")
        self.ensemble.end(old.session)
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_upstreams_node_is_not_ours(self):
        old, client = self.connected(), self.connected()
        self.ensemble.create("/cim", b"")
        self.ensemble.create(PATH, None, old.session)
        announcement = self.announce(client, b"")
        self.settle()
        self.assertNode(old, None)
        self.assertFalse(announcement.listed())

    def test_tried_again_after_no_answer(self):
        client = self.connected()
        client.mute = True
        announcement = self.announce(client)
        self.clock.pump([0, 5])
        client.mute = False
        self.clock.advance(0.9)
        self.assertIsNone(self.node(PATH))
        self.clock.advance(0.1)
        self.settle()
        self.assertNode(client)
        self.assertTrue(announcement.listed())

    def test_created_but_not_answered(self):
        client = self.connected()
        self.ensemble.create("/cim", b"")

        def before(operation, path):
            client.mute = operation == "create"

        self.ensemble.before = before
        announcement = self.announce(client)
        self.settle()
        self.assertNode(client)
        self.assertFalse(announcement.listed())
        self.clock.advance(5)
        self.clock.advance(1)
        self.settle()
        self.assertTrue(announcement.listed())

    def test_somebody_is_quicker(self):
        client, other = self.connected(), self.connected()
        self.ensemble.create("/cim", b"")

        def before(operation, path):
            if operation == "create":
                self.ensemble.create(PATH, BEFORE, other.session)

        self.ensemble.before = before
        announcement = self.announce(client)
        self.settle()
        self.assertEqual(announcement.trouble, "is held by another process")

    def test_refused(self):
        client = self.connected()

        def before(operation, path):
            if operation == "create":
                raise RegistryRefused("no right to")

        self.ensemble.before = before
        announcement = self.announce(client)
        for _ in range(10):
            self.clock.advance(1)
            self.settle()
        self.assertEqual(announcement.trouble, "no right to")
        self.assertEqual(len(self.said()), 1, "said once")
        self.ensemble.before = lambda operation, path: None
        self.clock.advance(1)
        self.settle()
        self.assertTrue(announcement.listed())

    def test_an_unexpected_error_is_logged_and_tried_again(self):
        client = self.connected()
        self.ensemble.create("/cim", b"")
        read = client.getAndWatch
        client.getAndWatch = lambda path: 1 / 0
        announcement = self.announce(client)
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        client.getAndWatch = read
        self.clock.advance(1)
        self.settle()
        self.assertTrue(announcement.listed())


class WithdrawTests(AnnouncementCase):
    def test_withdrawn(self):
        _, announcement = self.announced()
        gone = announcement.withdraw()
        self.assertFalse(announcement.listed())
        self.assertNoResult(gone)
        self.settle()
        self.assertIsNone(self.successResultOf(gone))
        self.assertIsNone(self.node(PATH))
        self.successResultOf(announcement.withdraw())

    def test_twice_at_once(self):
        _, announcement = self.announced()
        gone = [announcement.withdraw(), announcement.withdraw()]
        self.settle()
        for one in gone:
            self.successResultOf(one)

    def test_before_anything_was_made(self):
        client = self.client()
        announcement = self.announce(client)
        self.successResultOf(announcement.withdraw())
        client.startService()
        self.settle()
        self.assertIsNone(self.node(PATH))

    def test_while_it_is_being_made(self):
        client = self.connected()
        announcement = self.announce(client)
        while self.node(PATH) is None:
            self.clock.advance(0)
        gone = announcement.withdraw()
        self.settle()
        self.successResultOf(gone)
        self.assertIsNone(self.node(PATH))

    def test_without_an_answer(self):
        client, announcement = self.announced()
        client.mute = True
        self.ensemble.before = self.nothing_is_done
        gone = announcement.withdraw()
        self.clock.pump([0, 4.9])
        self.assertNoResult(gone)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(gone))
        # It keeps trying.
        client.mute = False
        self.ensemble.before = lambda operation, path: None
        self.clock.advance(1)
        self.settle()
        self.assertIsNone(self.node(PATH))

    def nothing_is_done(self, operation, path):
        raise RegistryUnavailable()

    def test_while_the_connection_is_lost(self):
        client, announcement = self.announced()
        client.suspend()
        gone = announcement.withdraw()
        self.clock.advance(5)
        self.assertIsNone(self.successResultOf(gone))
        client.resume()
        self.settle()
        self.assertIsNone(self.node(PATH))

    def test_anothers_node_stays(self):
        client, announcement = self.announced()
        other = self.connected()
        client.suspend()
        self.ensemble.delete(PATH)
        self.ensemble.create(PATH, BEFORE, other.session)
        gone = announcement.withdraw()
        client.resume()
        self.settle()
        self.successResultOf(gone)
        self.assertNode(other, BEFORE)

    def test_closed(self):
        client, announcement = self.announced()
        client.suspend()
        gone = announcement.withdraw()
        announcement.close()
        self.successResultOf(gone)
        client.resume()
        self.settle()
        self.assertNode(client)

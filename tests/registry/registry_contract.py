"""The contract of every IRegistry that accepts announcements; run on each."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from cim.interfaces import ROUTES, SERVERS, IAnnouncement, IRegistry

A, B = "10.0.0.1:11211:8081", "10.0.0.2:11211:8081"


class RegistryContract:
    """A test case provides `registry`, started, and `settle()`, after which everything has happened."""

    def watch(self, folder=SERVERS):
        lists = []
        return lists, self.registry.watch(folder, lambda names: lists.append(dict(names)))

    def announce(self, name, value=b"data", folder=SERVERS):
        announcement = self.registry.announce(folder, name, value)
        self.settle()
        return announcement

    def test_interface(self):
        verifyObject(IRegistry, self.registry)
        verifyObject(IAnnouncement, self.announce(A))

    def test_told_in_a_later_turn(self):
        self.announce(A)
        lists, _ = self.watch()
        self.assertEqual(lists, [])
        self.settle()
        self.assertEqual(lists, [{A: b"data"}])

    def test_told_of_each_change(self):
        lists, _ = self.watch()
        self.settle()
        first = self.announce(A)
        self.announce(B, b"")
        first.withdraw()
        self.settle()
        self.assertEqual(lists, [{}, {A: b"data"}, {A: b"data", B: b""}, {B: b""}])

    def test_folders_are_separate(self):
        servers, _ = self.watch()
        routes, _ = self.watch(ROUTES)
        self.announce(A, folder=SERVERS)
        self.announce(B, folder=ROUTES)
        self.assertEqual((servers[-1], routes[-1]), ({A: b"data"}, {B: b"data"}))

    def test_listed(self):
        announcement = self.announce(A)
        self.assertTrue(announcement.listed())
        gone = announcement.withdraw()
        self.assertFalse(announcement.listed())
        self.settle()
        self.successResultOf(gone)
        again = announcement.withdraw()
        self.settle()
        self.successResultOf(again)

    def test_other_data(self):
        announcement = self.announce(A)
        announcement.change(b"other")
        self.settle()
        self.assertTrue(announcement.listed())
        announcement.withdraw()
        self.settle()
        announcement.change(b"data")
        self.settle()
        lists, _ = self.watch()
        self.announce(B)
        self.assertEqual(lists[-1], {B: b"data"})

    def test_once_at_a_time(self):
        lists, _ = self.watch()
        first = self.announce(A, b"one")
        self.assertRaises(ValueError, self.registry.announce, SERVERS, A, b"two")
        self.announce(A, b"elsewhere", ROUTES)
        first.withdraw()
        second = self.announce(A, b"two")
        self.assertEqual((first.listed(), second.listed()), (False, True))
        self.assertEqual(lists[-1], {A: b"two"})
        first.withdraw()
        self.settle()
        self.assertTrue(second.listed())

    def test_unwatched(self):
        lists, unwatch = self.watch()
        others, _ = self.watch()
        self.settle()
        self.registry.announce(SERVERS, A, b"")
        unwatch()
        unwatch()
        self.settle()
        self.assertEqual((lists, others), ([{}], [{}, {A: b""}]))

    def test_a_listener_that_raises_does_not_affect_others(self):
        self.registry.watch(SERVERS, lambda names: 1 / 0)
        lists, _ = self.watch()
        self.settle()
        self.announce(A)
        self.assertEqual(lists, [{}, {A: b"data"}])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_well(self):
        self.announce(A)
        self.watch()
        self.settle()
        self.assertEqual(self.registry.health(), "")

    def test_nothing_is_told_after_the_stop(self):
        lists, _ = self.watch()
        self.registry.stopService()
        self.settle()
        self.assertEqual(lists, [])

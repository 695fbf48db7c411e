"""The registry that is a fixed list."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import InvalidField
from cim.interfaces import ROUTES, SERVERS, IAnnouncement, IRegistry
from cim.nodes import NodeData
from cim.registry.static import StaticRegistry

TEXT = "cim=10.0.0.1:11211:8081, upstream=10.0.0.2:11211:8081,cim-route=10.0.0.3:8083:8084"


class StaticRegistryTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.registry = StaticRegistry.parse(TEXT, self.clock)
        self.registry.startService()
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def watch(self, folder):
        lists = []
        self.registry.watch(folder, lists.append)
        self.assertEqual(lists, [], "told in a later turn")
        self.clock.advance(0)
        (names,) = lists
        return dict(names)

    def test_ours_and_upstreams(self):
        verifyObject(IRegistry, self.registry)
        servers = self.watch(SERVERS)
        self.assertEqual(sorted(servers), ["10.0.0.1:11211:8081", "10.0.0.2:11211:8081"])
        self.assertEqual(servers["10.0.0.2:11211:8081"], b"")
        self.assertEqual(NodeData.decode(servers["10.0.0.1:11211:8081"]), NodeData("", ""))
        self.assertEqual(list(self.watch(ROUTES)), ["10.0.0.3:8083:8084"])
        self.assertEqual(self.registry.health(), "")

    def test_announcing_changes_nothing(self):
        announcement = self.registry.announce(SERVERS, "10.0.0.1:11211:8081", b"mine")
        verifyObject(IAnnouncement, announcement)
        self.assertTrue(announcement.listed())
        self.assertEqual(NodeData.decode(self.watch(SERVERS)["10.0.0.1:11211:8081"]), NodeData("", ""))
        self.assertEqual(list(self.log), [])
        self.successResultOf(announcement.withdraw())
        self.assertFalse(announcement.listed())

    def test_announcing_a_name_that_is_not_in_the_list_is_logged(self):
        self.registry.announce(SERVERS, "10.0.0.9:11211:8081", b"mine")
        (event,) = self.log
        self.assertEqual(event["name"], "cim=10.0.0.9:11211:8081")
        self.assertNotIn("10.0.0.9:11211:8081", self.watch(SERVERS))

    def test_a_folder_that_is_not_in_the_list(self):
        self.registry = StaticRegistry.parse("cim=10.0.0.1:11211:8081", self.clock)
        self.assertEqual(self.watch(ROUTES), {})

    def test_stopped(self):
        lists = []
        self.registry.watch(SERVERS, lists.append)
        self.registry.stopService()
        self.clock.advance(0)
        self.assertEqual(lists, [])

    def test_bad_text(self):
        for text, part in (
            ("", '""'),
            ("10.0.0.1:11211:8081", '"10.0.0.1:11211:8081"'),
            ("server=10.0.0.1:11211:8081", '"server='),
            ("cim=10.0.0.1:11211", "host:port:port"),
            ("cim=10.0.0.1:11211:99999", "host:port:port"),
            ("cim-route=:1:2", "host:port:port"),
            ("cim=a:1:2,", '""'),
            ("cim=a:1:2,upstream=a:1:2", "a:1:2 twice"),
        ):
            error = self.assertRaises(InvalidField, StaticRegistry.parse, text, self.clock)
            self.assertEqual(error.field, "registry")
            self.assertIn(part, error.reason)

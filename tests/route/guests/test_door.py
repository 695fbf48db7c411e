"""Where guests are not served, every call of theirs is refused, and none has a session."""

from __future__ import annotations

import json

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import LogLevel, globalLogPublisher

from cim.route.guests.door import CLOSED, LOOPBACK, OPTION, PUBLIC
from cim.route.http.upstream import UpstreamAPI
from cim.web.declaring import calls_of
from cim.wire.guests import Generation, encode_login
from tests.harness.store import MemoryStore
from tests.route.http.api_case import APICase
from tests.web.http_case import Conversation, encode


class DoorCase(APICase):
    def setUp(self):
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        super().setUp()
        self.door = self.cluster.routes[0].door
        self.door.startService()

    def beside(self, route):
        return (UpstreamAPI(route, self.store.accounts, self.metrics),)

    def ask(self, path, body=None, method="POST"):
        """Return the parsed answer, whose status is always 200."""
        conversation = Conversation(self.sites[0])
        conversation.send(encode(method, path, body))
        self.cluster.turn()
        status, _, raw = conversation.answer()
        conversation.lose()
        self.assertEqual(status, 200)
        return json.loads(raw)

    def told(self):
        """What the log says of guests: the level and the text."""
        return [
            (one["log_level"], one["log_format"].format(**one)) for one in self.log if "Guests are" in one["log_format"]
        ]

    def facts(self):
        return self.cluster.routes[0].health().facts["guests"]


class ClosedTests(DoorCase):
    guests = False, OPTION

    def test_every_call_is_refused_with_what_to_do(self):
        for call in calls_of(UpstreamAPI).values():
            for method in call.methods:
                for body in ({}, {"userId": 1, "userName": "zs", "msg": "x", "receiveUserId": 2}):
                    answer = self.ask(call.path, body if method == "POST" else None, method)
                    self.assertEqual(
                        answer, {"code": "4000", "message": CLOSED, "reqNo": None, "dataBody": None}, call.path
                    )
        self.assertIn("--guests", CLOSED)
        self.assertIsNone(self.successResultOf(self.store.accounts.named("zs")))

    def test_it_is_told(self):
        self.assertEqual(self.told(), [(LogLevel.info, "Guests are not served, by an option")])
        self.assertIs(self.facts(), False)

    def test_a_server_lets_no_guest_in(self):
        """Without a login that a route has granted, its first frame closes the connection."""
        name = self.cluster.servers[0].own.name
        for generation in Generation:
            client = self.cluster.connect(name, encode_login(generation, 1, "zs"), generation)
            self.assertTrue(client.closed)
            self.assertEqual(client.frames(), [])

    def test_accounts_with_a_password_are_not_concerned(self):
        self.account("alice")
        alice = self.online("alice")
        self.cluster.pass_seconds(5)
        self.assertFalse(alice.closed)


class ClosingTests(DoorCase):
    """A route that serves guests, and one that is started beside it and does not."""

    def test_sessions_from_before_end(self):
        self.account("alice")
        alice, bob = self.online("alice"), self.cluster.log_in(self.cluster.account("bob"))
        carol = self.cluster.log_in(self.cluster.account("carol"))
        self.cluster.guests = False, OPTION
        self.cluster.start_route().door.startService()
        self.cluster.pass_seconds(3)
        self.assertTrue(bob.closed and carol.closed)
        self.assertFalse(alice.closed)

    def test_a_single_one_ends(self):
        bob = self.cluster.log_in(self.cluster.account("bob"))
        self.cluster.guests = False, OPTION
        self.cluster.start_route().door.startService()
        self.cluster.pass_seconds(3)
        self.assertTrue(bob.closed)


class PublicTests(DoorCase):
    """An address is advertised that is not loopback, and no option says anything."""

    guests = None, PUBLIC

    def test_no_guests(self):
        self.assertEqual(self.ask("/onlineUser")["message"], CLOSED)
        self.assertEqual([level for level, _ in self.told()], [LogLevel.info])
        self.assertIn("--guests", self.told()[0][1])


class StoredTests(DoorCase):
    """The same with a store that has guests."""

    guests = None, PUBLIC

    def setUp(self):
        super().setUp()
        self.assertIs(self.door.open, False)
        self.cluster.account("zs")
        self.cluster.start_route().door.startService()
        self.sites = [self.site_of(self.cluster.routes[1])]

    def test_they_are_kept_with_a_warning(self):
        self.assertEqual(self.ask("/onlineUser")["code"], "9000")
        level, text = self.told()[-1]
        self.assertEqual(level, LogLevel.warn)
        self.assertIn("--no-guests", text)

    def test_a_store_that_has_none_any_more(self):
        self.assertEqual(self.ask("/onlineUser")["code"], "9000")
        empty = MemoryStore(self.cluster.clock).database
        empty.backup(self.store.database)
        self.store.begin_epoch()
        self.assertEqual(self.ask("/onlineUser")["message"], CLOSED)
        self.assertEqual(self.told()[-1][0], LogLevel.info)


class AwayTests(DoorCase):
    """The store is away when the route starts."""

    guests = None, PUBLIC

    def setUp(self):
        super().setUp()
        self.store.available = False
        self.cluster.start_route().door.startService()
        self.route = self.cluster.routes[1]
        self.sites = [self.site_of(self.route)]

    def test_nobody_is_let_in_before_it_is_known(self):
        self.assertEqual(
            self.ask("/registerAccount", {"userName": "zs"})["message"], "the store is not available, please try again"
        )
        self.assertNotIn("guests", self.route.health().facts)
        self.store.available = True
        self.assertEqual(self.ask("/registerAccount", {"userName": "zs"})["message"], CLOSED)
        self.assertIs(self.route.health().facts["guests"], False)

    def test_it_is_asked_when_the_store_comes(self):
        self.store.available = True
        self.assertIs(self.route.door.open, False)


class LoopbackTests(DoorCase):
    guests = True, LOOPBACK

    def test_guests(self):
        self.assertEqual(self.ask("/registerAccount", {"userName": "zs"})["code"], "9000")
        self.assertIn("--no-guests", self.told()[0][1])
        self.assertIs(self.facts(), True)

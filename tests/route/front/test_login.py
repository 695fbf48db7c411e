"""Tests of logins and logouts across servers, routes and their failures."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import AccountMismatch, CallTimeout, LinkLost, NoServerAvailable, RepeatLogin, StoreUnavailable
from cim.model import Account
from cim.route.front.login import MARGIN_MS
from cim.user_tokens import Bounds, UserScope
from cim.wire.guests import Generation, encode_login
from tests.harness.cluster import Cluster


class First:
    """Always selects the first server."""

    name = "first"

    def select(self, candidates, user):
        return candidates[0]


class LoginCase(SynchronousTestCase):
    """A base with two servers, two routes, alice and bob."""

    def setUp(self):
        self.cluster = Cluster(servers=2, routes=2)
        self.alice = self.cluster.account("alice")
        self.bob = self.cluster.account("bob")

    def begin(self, coroutine):
        started = Deferred.fromCoroutine(coroutine)
        self.cluster.turn()
        return started

    def login(self, account, route=0):
        logging_in = self.begin(self.cluster.routes[route].logins.login(account.id, account.name))
        return logging_in.addCallback(lambda admission: admission.address)

    def log_out(self, account, route=0):
        return self.begin(self.cluster.routes[route].logins.log_out(account.id))

    def record(self, account):
        records = self.successResultOf(self.cluster.store.sessions.sessions(account.id))
        return records[0] if records else None

    def online(self, route=0):
        listing = Deferred.fromCoroutine(self.cluster.routes[route].messages.online())
        self.cluster.turn()
        return {account.name for account in self.successResultOf(listing)}

    def server_of(self, account):
        return next(server for server in self.cluster.servers if list(server.sessions.of(account.id)))


class BoundedTests(LoginCase):
    """Logins with a token that bounds them."""

    def admit(self, bounds, slow=0.0):
        """Log in; the answer of the server to the reservation takes so long."""
        logins = self.cluster.routes[0].logins
        reserve, self.reserved = logins._calls.reserve, []

        async def late(link, item):
            outcome = await reserve(link, item)
            self.reserved.append(item)
            if slow:
                await deferLater(self.cluster.clock, slow)
            return outcome

        self.patch(logins._calls, "reserve", lambda link, item: Deferred.fromCoroutine(late(link, item)))
        admitted = self.begin(logins.login_native(self.alice, "phone", bounds))
        self.cluster.pass_seconds(10)
        return admitted

    def bounds(self, ms=60_000):
        return Bounds(self.cluster.store.clock.now() + ms, frozenset((UserScope.READ,)), token="t-1")

    def test_the_server_learns_what_bounds_it(self):
        admission = self.successResultOf(self.admit(self.bounds()))
        (reserve,) = self.reserved
        self.assertEqual((reserve.bounded, list(reserve.scopes)), (True, ["read"]))
        # Less what the way may take.
        self.assertEqual(reserve.lasts_ms, 60_000 - MARGIN_MS)
        self.assertTrue(admission.owner.endswith(".t-1"))

    def test_of_other_logins_it_learns_nothing_of_that(self):
        admission = self.successResultOf(self.admit(None))
        self.assertEqual((self.reserved[0].bounded, self.reserved[0].lasts_ms), (False, 0))
        self.assertNotIn(".", admission.owner)

    def test_one_that_ends_just_now(self):
        self.successResultOf(self.admit(self.bounds(ms=300)))
        self.assertEqual(self.reserved[0].lasts_ms, 0)

    def test_a_server_that_answers_late_might_end_it_late(self):
        self.failureResultOf(self.admit(self.bounds(), slow=1.1), NoServerAvailable)
        self.assertEqual(len(self.reserved), 2)
        self.assertIsNone(self.record(self.alice))
        # Others do not matter.
        self.successResultOf(self.admit(None, slow=1.1))


class LoginTests(LoginCase):
    """POST /login."""

    def test_a_guest_s_groups_are_asked_for_before_its_proof_is_there(self):
        proof, asked = Deferred(), []
        self.cluster.store.observe(lambda operation, seconds: asked.append(operation))
        login = self.begin(self.cluster.routes[0].logins.login(self.alice.id, "alice", proof))
        self.assertEqual(asked, ["memberships"])
        proof.callback(None)
        self.cluster.turn()
        self.assertEqual(self.successResultOf(login).owner, self.record(self.alice).owner)
        self.assertEqual(asked.count("memberships"), 1)

    def test_nothing_is_reserved_without_proof(self):
        login = self.begin(self.cluster.routes[0].logins.login(self.alice.id, "alice", fail(AccountMismatch())))
        self.failureResultOf(login, AccountMismatch)
        self.assertIsNone(self.record(self.alice))

    def test_both_routes_see_the_session(self):
        self.cluster.log_in(self.alice)
        self.assertEqual((self.online(0), self.online(1)), ({"alice"}, {"alice"}))
        self.assertTrue(self.record(self.alice).live)

    def test_a_guest_has_its_groups_and_is_not_asked_for_again(self):
        group = self.successResultOf(self.cluster.store.groups.create(self.alice.id, "g", open=True, history=True)).id
        self.cluster.pass_seconds(3)
        opened = []
        for route in self.cluster.routes:
            self.patch(route.requests, "opened", lambda link, opening: opened.append(opening))
        self.cluster.log_in(self.alice)
        (session,) = self.server_of(self.alice).index.of(group)
        self.assertEqual((session.user, opened), (self.alice.id, []))

    def test_the_id_and_the_name_must_belong_together(self):
        for account in (Account(self.alice.id, "bob"), Account(5, "alice")):
            self.failureResultOf(self.login(account), AccountMismatch)
        self.assertIsNone(self.record(self.alice))

    def test_a_second_login_is_refused_by_every_route(self):
        self.cluster.log_in(self.alice)
        self.failureResultOf(self.login(self.alice, 0), RepeatLogin)
        self.failureResultOf(self.login(self.alice, 1), RepeatLogin)

    def test_an_unclaimed_reservation_is_replaced_by_the_next_login(self):
        first = self.successResultOf(self.login(self.alice))
        second = self.successResultOf(self.login(self.alice, 1))
        self.assertEqual(self.online(), set())
        # The first login got another server; connecting there now ends at once, since the record is the second's.
        late = self.cluster.connect(str(first), encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertNotEqual(first, second)
        self.assertTrue(late.closed)
        claimed = self.cluster.connect(str(second), encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertFalse(claimed.closed)

    def test_two_logins_at_once_end_in_one_session(self):
        first, second = self.login(self.alice), self.login(self.alice, 1)
        clients = [
            self.cluster.connect(str(self.successResultOf(d)), encode_login(Generation.W2, self.alice.id, "alice"))
            for d in (first, second)
        ]
        self.cluster.turn()
        self.assertEqual([client.closed for client in clients].count(False), 1)
        self.assertEqual(sum(len(server.sessions) for server in self.cluster.servers), 1)

    def test_the_session_ends_with_its_connection(self):
        client = self.cluster.log_in(self.alice)
        client.drop()
        self.cluster.turn()
        self.assertIsNone(self.record(self.alice))
        self.assertEqual(self.online(1), set())
        self.cluster.log_in(self.alice, 1)

    def test_no_server_alive_leaves_nothing_behind(self):
        for server in self.cluster.servers:
            self.cluster.kill(server)
        self.failureResultOf(self.login(self.alice), NoServerAvailable)
        self.assertIsNone(self.record(self.alice))

    def test_a_dead_server_that_is_still_listed_is_skipped(self):
        self.cluster.kill(self.cluster.servers[0])
        for name in ("carol", "dave", "erin"):
            self.cluster.log_in(self.cluster.account(name))
        self.assertEqual(len(self.cluster.servers[1].sessions), 3)

    def test_a_server_that_does_not_answer_is_skipped(self):
        silent = self.cluster.servers[0].uplink
        silent.link_received = lambda link, item: None
        self.cluster.start_route()
        for name in ("carol", "dave"):
            login = self.login(self.cluster.account(name))
            self.cluster.pass_seconds(3)
            self.assertEqual(str(self.successResultOf(login)), self.cluster.servers[1].own.name)

    def test_a_server_that_does_not_answer_is_not_tried_again(self):
        route = self.cluster.routes[0]
        route.logins._selection = First()
        reserve, tried = route.calls.reserve, []

        def reserving(link, wanted):
            tried.append(link.peer.name)
            return fail(CallTimeout()) if len(tried) == 1 else reserve(link, wanted)

        self.patch(route.calls, "reserve", reserving)
        self.assertEqual(str(self.successResultOf(self.login(self.alice))), self.cluster.servers[1].own.name)
        self.assertEqual(tried, [server.own.name for server in self.cluster.servers])

    def test_a_login_that_no_server_accepted_leaves_nothing_behind(self):
        self.patch(self.cluster.routes[0].calls, "reserve", lambda link, wanted: fail(CallTimeout()))
        self.failureResultOf(self.login(self.alice), NoServerAvailable)
        self.assertIsNone(self.record(self.alice))

    def test_the_server_refuses_while_the_user_is_live_there(self):
        client = self.cluster.log_in(self.alice)
        server = self.server_of(self.alice)
        self.assertFalse(server.sessions.reserve(self.alice.id, "alice", "other", 30))
        self.assertFalse(client.closed)

    def test_the_store_is_away(self):
        self.cluster.store.available = False
        self.failureResultOf(self.login(self.alice), StoreUnavailable)

    def test_records_are_written_once_the_store_is_back(self):
        address = self.successResultOf(self.login(self.alice))
        self.cluster.store.available = False
        self.cluster.connect(str(address), encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertEqual(self.online(), {"alice"})
        self.cluster.store.available = True
        self.cluster.pass_seconds(1)
        self.assertTrue(self.record(self.alice).live)
        self.assertEqual([len(route.recorder) for route in self.cluster.routes], [0, 0])

    def test_a_store_that_lost_everything_is_written_again(self):
        self.cluster.log_in(self.alice)
        self.successResultOf(self.cluster.store.sessions.release(self.alice.id, self.record(self.alice).owner))
        self.cluster.store.available = False
        self.cluster.store.available = True
        self.cluster.turn()
        self.assertTrue(self.record(self.alice).live)


class LogOutTests(LoginCase):
    """POST /offLine."""

    def test_the_session_is_over_by_the_time_of_the_answer(self):
        client = self.cluster.log_in(self.alice)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.log_out(self.alice, 1))
        self.assertTrue(client.closed)
        self.assertIsNone(self.record(self.alice))
        self.cluster.log_in(self.alice)

    def test_the_reservation_ends_too(self):
        address = self.successResultOf(self.login(self.alice))
        self.successResultOf(self.log_out(self.alice, 1))
        late = self.cluster.connect(str(address), encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertTrue(late.closed)

    def test_a_repeated_logout_around_a_login_does_not_end_the_new_session(self):
        self.cluster.log_in(self.alice)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.log_out(self.alice, 0))
        client = self.cluster.log_in(self.alice, 1)
        self.successResultOf(self.log_out(self.alice, 0))
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.log_out(self.alice, 0))
        self.assertTrue(client.closed)

    def test_logging_out_an_unknown_user(self):
        self.successResultOf(self.log_out(self.alice))

    def test_a_server_that_cannot_be_reached(self):
        client = self.cluster.log_in(self.alice)
        self.cluster.pass_seconds(2)
        self.cluster.cut(self.server_of(self.alice), self.cluster.routes[0])
        self.failureResultOf(self.log_out(self.alice, 0), LinkLost)
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(4)
        self.successResultOf(self.log_out(self.alice, 1))
        self.assertTrue(client.closed)

    def test_a_late_end_of_an_old_session_leaves_the_new_one(self):
        self.cluster.log_in(self.alice)
        old = self.record(self.alice)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.log_out(self.alice))
        self.cluster.log_in(self.alice, 1)
        self.assertFalse(self.successResultOf(self.cluster.store.sessions.release(self.alice.id, old.owner)))
        self.assertTrue(self.record(self.alice).live)


class FailureTests(LoginCase):
    """Tests with servers and links that are lost."""

    def test_users_of_a_dead_server_can_log_in_at_once(self):
        self.cluster.log_in(self.alice)
        self.cluster.kill(self.server_of(self.alice))
        self.cluster.clock.advance(0.3)
        self.cluster.turn()
        self.assertEqual((self.online(0), self.online(1)), (set(), set()))
        client = self.cluster.log_in(self.alice)
        self.assertFalse(client.closed)

    def test_a_lost_link_is_not_a_lost_server(self):
        client = self.cluster.log_in(self.alice)
        server = self.server_of(self.alice)
        self.cluster.cut(server, self.cluster.routes[0])
        self.cluster.pass_seconds(20)
        client.ping(self.alice.id)
        self.assertEqual((self.online(0), self.online(1)), ({"alice"}, {"alice"}))
        self.failureResultOf(self.login(self.alice, 0), RepeatLogin)
        self.cluster.link(server, self.cluster.routes[0])
        self.cluster.turn()
        self.assertEqual(self.online(0), {"alice"})
        client.drop()
        self.cluster.turn()
        self.assertEqual((self.online(0), self.online(1)), (set(), set()))

    def test_sessions_that_closed_while_a_link_was_down_are_gone_after_the_snapshot(self):
        client = self.cluster.log_in(self.alice)
        server = self.server_of(self.alice)
        self.cluster.cut(server, self.cluster.routes[0])
        client.drop()
        self.cluster.turn()
        self.assertEqual(self.online(0), {"alice"})
        self.cluster.link(server, self.cluster.routes[0])
        self.cluster.turn()
        self.assertEqual(self.online(0), set())
        self.assertIsNone(self.record(self.alice))

    def test_a_starting_route_learns_all_sessions_from_the_snapshots(self):
        self.cluster.log_in(self.alice)
        self.cluster.log_in(self.bob)
        route = self.cluster.start_route()
        self.assertFalse(route.directory.caught_up)
        self.cluster.turn()
        self.assertTrue(route.directory.caught_up)
        self.assertEqual(self.online(2), {"alice", "bob"})
        self.failureResultOf(self.login(self.alice, 2), RepeatLogin)

    def test_a_restarted_server_has_lost_its_sessions(self):
        self.cluster.log_in(self.alice)
        index = self.cluster.servers.index(self.server_of(self.alice))
        self.cluster.kill(self.cluster.servers[index])
        self.cluster.start_server(index)
        self.cluster.turn()
        self.assertEqual((self.online(0), self.online(1)), (set(), set()))
        self.cluster.log_in(self.alice)

    def test_the_home_of_a_session_moves_when_its_route_goes(self):
        client = self.cluster.log_in(self.alice)
        server = self.server_of(self.alice)
        for route in (0, 1):
            self.cluster.cut(server, self.cluster.routes[route])
            self.cluster.link(server, self.cluster.routes[route])
            self.cluster.turn()
        homes = [online.home for route in self.cluster.routes for online in route.presence.of(self.alice.id)]
        self.assertEqual(homes, [True])
        client.drop()
        self.cluster.turn()
        self.assertIsNone(self.record(self.alice))

    def test_a_link_lost_while_the_only_route_is_away_loses_no_session_for_good(self):
        cluster = Cluster(servers=1, routes=1)
        alice = cluster.account("alice")
        client = cluster.log_in(alice)
        server, route = cluster.servers[0], cluster.routes[0]
        cluster.cut(server, route)
        cluster.pass_seconds(2)
        self.assertEqual(list(route.presence.guests()), [])
        cluster.link(server, route)
        cluster.turn()
        self.assertEqual([account.name for account in route.presence.guests()], ["alice"])
        self.assertFalse(client.closed)

    def test_of_two_sessions_after_a_split_the_newer_login_wins(self):
        cluster = Cluster(servers=2, routes=1)
        alice = cluster.account("alice")
        old = cluster.log_in(alice)
        holder = next(server for server in cluster.servers if len(server.sessions))
        cluster.cut(holder, cluster.routes[0])
        cluster.pass_seconds(2)
        new = cluster.log_in(alice)
        cluster.link(holder, cluster.routes[0])
        cluster.turn()
        self.assertEqual((old.closed, new.closed), (True, False))

"""Tests of a guest's life: login, reconnection, end, and what listeners hear."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.client.backoff import STEADY_SECONDS
from cim.client.client import Client
from cim.client.guest_engine import SEND_SECONDS
from cim.client.iclient import IListener
from cim.client.reconnection import LEAVE_SECONDS
from cim.client.values import Guest, State, User
from cim.errors import (
    AccountMismatch,
    BadRequest,
    CIMError,
    InvalidField,
    Misdirected,
    RepeatLogin,
    Unavailable,
    Unreachable,
    UserOffline,
)
from cim.web.calling import CALL_SECONDS
from cim.wire.cim_pb2 import LOGIN_REQUEST, PING
from tests.client.fakes import FakeRoute, FakeServers, Network, envelope


@implementer(IListener)
class Listener:
    """Records states, and the messages of others."""

    def __init__(self):
        self.states = []
        self.messages = []

    def received(self, client, message):
        if not message.mine:
            self.messages.append((message.sender.id, message.sender.name, message.text))

    def state(self, client, state, reason):
        self.states.append((state, reason))

    def receipt(self, client, receipt):
        raise AssertionError("guests are not told")

    typing = presence = receipt


class ClientTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.route = FakeRoute()
        self.network = Network(self.route)
        self.servers = FakeServers()
        self.listener = Listener()
        self.states, self.messages = self.listener.states, self.listener.messages
        self.client = self.make("alice")
        self.addCleanup(self.finish)

    def make(self, name, routes=("http://a",), endpoint=None):
        return Client(
            self.clock,
            routes,
            Guest(name),
            random=lambda: 1.0,
            listeners=[self.listener],
            endpoint=endpoint or self.servers.endpoint,
            http=self.network,
        )

    def finish(self):
        self.successResultOf(self.client.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self):
        self.client.startService()

    @property
    def server(self):
        return self.servers.connections[-1]

    def ready(self):
        self.start()
        self.server.pong()
        self.assertIs(self.client.state, State.READY)
        self.route.calls.clear()
        self.states.clear()
        self.server.clear()


class LoginTests(ClientTestCase):
    def test_registers_logs_in_and_connects(self):
        self.start()
        self.assertEqual(
            self.route.calls,
            [("registerAccount", {"userName": "alice"}), ("login", {"userId": 1000, "userName": "alice"})],
        )
        self.assertEqual(self.servers.addresses, [("10.0.0.7", 11211)])
        login, ping = self.server.frames()
        self.assertEqual((login.command, login.user_id, login.text), (LOGIN_REQUEST, 1000, "alice"))
        self.assertEqual((ping.command, ping.user_id), (PING, 1000))

    def test_ready_only_with_the_first_pong(self):
        waiting = self.client.when_ready()
        self.start()
        self.assertIs(self.client.state, State.CONNECTING)
        self.assertNoResult(waiting)
        self.server.pong()
        self.successResultOf(waiting)
        self.successResultOf(self.client.when_ready())
        self.assertIs(self.client.state, State.READY)
        self.assertEqual(self.client.me, User(1000, "alice"))
        self.assertIn("1000", self.states[-1][1])

    def test_missed_messages_are_fetched_once_it_is_ready(self):
        self.start()
        self.assertNotIn("fetchOfflineMsgs", self.route.paths())
        self.server.pong()
        self.assertEqual(self.route.calls[-1], ("fetchOfflineMsgs", {"receiveUserId": 1000}))

    def test_a_failed_fetch_does_no_harm(self):
        self.route.answers["fetchOfflineMsgs"] = [envelope("9201", "Offline message fetch error!")]
        self.start()
        self.server.pong()
        self.assertIs(self.client.state, State.READY)

    def test_leaving_during_the_fetch(self):
        self.start()
        self.network.trouble["a"] = "silent"
        self.server.pong()
        del self.network.trouble["a"]
        self.successResultOf(self.client.close())

    def test_an_invalid_name(self):
        for name in ("", "x" * 65, "a\nb"):
            self.assertRaises(InvalidField, self.make, name)

    def refused(self, kind):
        """Start a client whose login is refused; return the error, and the calls that were made."""
        waiting, closed = self.client.when_ready(), self.client.when_closed()
        self.start()
        self.failureResultOf(waiting, kind)
        self.failureResultOf(closed, kind)
        self.failureResultOf(self.client.when_ready(), kind)
        self.failureResultOf(self.client.when_closed(), kind)
        self.assertIs(self.client.state, State.CLOSED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.servers.connections, [])
        called = self.route.paths()
        self.successResultOf(self.client.close())
        self.assertEqual(self.route.paths(), called)
        return self.states[-1][1], called

    def test_a_refused_second_login_ends_it_and_never_ends_the_first(self):
        self.route.answers["login"] = [envelope("5000", "Repeat login, log out an account please!")]
        why, called = self.refused(RepeatLogin)
        self.assertEqual(why, "Repeat login, log out an account please!")
        self.assertEqual(called, ["registerAccount", "login"])

    def test_a_refused_name_ends_it(self):
        self.route.answers["registerAccount"] = [envelope("3000", "invalid argument: userName ...")]
        self.refused(BadRequest)

    def test_an_account_that_does_not_match_ends_it(self):
        self.route.answers["login"] = [envelope("9100", "no")]
        self.refused(AccountMismatch)

    def test_a_server_that_cannot_be_reached_from_here_ends_it(self):
        self.route.server["ip"] = "127.0.0.1"
        why, called = self.refused(Misdirected)
        self.assertIn("--advertise", why)
        self.assertEqual(called, ["registerAccount", "login", "offLine"])

    def test_no_server_no_store_no_route_are_waited_for(self):
        self.network.trouble["a"] = "refused"
        self.start()
        self.network.trouble.clear()
        self.route.answers["registerAccount"] = [envelope("4000", "the store is not available")]
        self.clock.advance(0.5)
        self.route.answers["login"] = [envelope("7100", "no server")]
        self.clock.advance(1)
        self.servers.refusing = True
        self.clock.advance(2)
        self.servers.refusing = False
        self.clock.advance(4)
        self.server.pong()
        told = [reason for state, reason in self.states if state is State.CONNECTING and reason]
        self.assertEqual(len(told), 4)
        for reason, part in zip(told, ("Connection was refused", "store", "no server", "10.0.0.7:11211"), strict=True):
            self.assertIn(part, reason)
            self.assertIn("retrying in", reason)
        self.assertIs(self.client.state, State.READY)

    def test_a_login_of_unknown_fate_is_retried_without_ending_another_session(self):
        self.network.trouble["a"] = "half"
        self.start()
        self.network.trouble.clear()
        self.clock.advance(0.5)
        self.assertNotIn("offLine", self.route.paths())
        self.server.pong()

    def test_a_connection_closed_before_the_pong_is_a_refused_login(self):
        self.start()
        self.server.close()
        self.assertIn("the login was refused by 10.0.0.7:11211", self.states[-1][1])
        self.route.calls.clear()
        self.clock.advance(0.5)
        self.assertEqual(self.route.paths(), ["offLine", "login"])
        self.server.pong()
        self.assertIs(self.client.state, State.READY)

    def test_an_unexpected_error_is_logged_and_ends_it(self):
        self.client = self.make("alice", endpoint=lambda host, port: 1 / 0)
        closed = self.client.when_closed()
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("unexpected error", self.failureResultOf(closed, CIMError).value.message)


class ReconnectionTests(ClientTestCase):
    def setUp(self):
        super().setUp()
        self.ready()

    def test_ends_its_own_session_first_then_logs_in_again(self):
        self.server.close()
        self.assertEqual(self.states[-1][0], State.RECONNECTING)
        self.assertEqual(self.route.calls, [])
        self.clock.advance(0.5)
        self.assertEqual(self.route.paths(), ["offLine", "login"])
        self.server.pong()
        self.assertIs(self.client.state, State.READY)
        self.assertEqual(len(self.servers.connections), 2)

    def test_waits_grow_until_a_session_was_steady(self):
        waits = []
        for _ in range(3):
            self.server.close()
            [call] = self.clock.getDelayedCalls()
            waits.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
            self.server.pong()
        self.assertEqual(waits, [0.5, 1.0, 2.0])
        for _ in range(int(STEADY_SECONDS)):
            self.clock.advance(1)
            self.server.pong()
        self.server.close()
        self.clock.advance(0.5)
        self.assertEqual(len(self.servers.connections), 5)

    def test_a_ghost_in_the_way_is_ended_again(self):
        self.route.answers["login"] = [envelope("5000", "Repeat login"), envelope("5000", "Repeat login")]
        self.server.close()
        for wait in (0.5, 1, 2):
            self.clock.advance(wait)
        self.assertEqual(self.route.paths(), ["offLine", "login"] * 3)
        self.server.pong()
        self.assertIs(self.client.state, State.READY)

    def test_an_account_that_the_routes_forgot_is_registered_again(self):
        self.route.accounts.clear()
        self.route.accounts["someone else"] = 1000
        self.route.answers["login"] = [envelope("9100", "no such account")]
        self.server.close()
        self.clock.advance(0.5)
        self.clock.advance(1)
        self.server.pong()
        self.assertEqual(self.client.me, User(1001, "alice"))

    def test_a_dead_server_is_dropped(self):
        self.clock.pump([1] * 40)
        self.assertTrue(self.servers.connections[0].aborted)
        self.assertEqual(len(self.servers.connections), 2)


class SendingTests(ClientTestCase):
    def test_before_the_first_login_a_message_waits(self):
        sending = self.client.send("g:0", "hello")
        self.start()
        self.assertNotIn("groupRoute", self.route.paths())
        self.server.pong()
        self.successResultOf(sending)
        self.assertIn(("groupRoute", {"userId": 1000, "msg": "hello"}), self.route.calls)

    def test_sends(self):
        self.ready()
        self.successResultOf(self.client.send("g:0", "hello"))
        self.successResultOf(self.client.send(1001, "hi"))
        self.route.online = [{"userId": 1000, "userName": "alice"}]
        self.assertEqual(self.successResultOf(self.client.online()), ([User(1000, "alice")], 1))
        self.assertEqual(
            self.route.calls[:2],
            [
                ("groupRoute", {"userId": 1000, "msg": "hello"}),
                ("p2pRoute", {"userId": 1000, "receiveUserId": 1001, "msg": "hi"}),
            ],
        )

    def test_a_refusal_is_reported(self):
        self.ready()
        self.route.answers["p2pRoute"] = [envelope("7000", "offline")]
        error = self.failureResultOf(self.client.send(1, "x"), UserOffline).value
        self.assertEqual(error.message, "offline")

    def test_a_message_that_was_certainly_not_sent_is_retried_for_a_while(self):
        self.ready()
        self.network.trouble["a"] = "refused"
        sending = self.client.send("g:0", "hello")
        self.clock.advance(0.5)
        self.assertNoResult(sending)
        self.network.trouble.clear()
        self.clock.advance(1)
        self.successResultOf(sending)
        self.assertEqual(self.route.paths(), ["groupRoute"])
        self.assertEqual(len([reason for _, reason in self.states if "is waiting" in reason]), 1)

    def test_a_message_that_cannot_be_sent_for_long_fails(self):
        self.ready()
        self.network.trouble["a"] = "refused"
        sending = self.client.send("g:0", "hello")
        self.clock.pump([0.5] * int(SEND_SECONDS * 2))
        self.failureResultOf(sending, Unreachable)

    def test_a_message_that_may_have_been_sent_is_not_sent_again(self):
        self.ready()
        self.network.trouble["a"] = "half"
        error = self.failureResultOf(self.client.send("g:0", "hello"), Unavailable).value
        self.assertNotIsInstance(error, Unreachable)
        self.clock.advance(1)
        self.assertEqual(self.route.paths(), ["groupRoute"])

    def test_a_message_cancelled_before_the_first_login_is_not_sent(self):
        self.start()
        sending = self.client.send("g:0", "hello")
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.server.pong()
        self.assertNotIn("groupRoute", self.route.paths())

    def test_a_message_cancelled_while_it_waits_is_certainly_not_sent(self):
        self.ready()
        self.network.trouble["a"] = "refused"
        sending = self.client.send("g:0", "hello")
        sending.cancel()
        self.failureResultOf(sending, Unreachable)
        self.network.trouble.clear()
        self.clock.advance(10)
        self.assertNotIn("groupRoute", self.route.paths())

    def test_messages_that_wait_at_the_close_are_certainly_not_sent(self):
        self.ready()
        self.network.trouble["a"] = "refused"
        sending = self.client.send("g:0", "hello")
        self.successResultOf(self.client.close())
        self.network.trouble.clear()
        self.clock.advance(10)
        self.assertIn("closed", self.failureResultOf(sending, Unreachable).value.message)
        self.assertNotIn("groupRoute", self.route.paths())


class ReceivingTests(ClientTestCase):
    def setUp(self):
        super().setUp()
        self.ready()

    def test_messages_in_order(self):
        self.server.push(1001, "bob", "one")
        self.server.push(1001, "bob", "two", "three", batch=True)
        self.server.push(1002, "carol", "four", offline=True)
        said = [(1001, "bob", text) for text in ("one", "two", "three")]
        self.assertEqual(self.messages, [*said, (1002, "carol", "four")])

    def test_pausing_lasts_across_reconnections(self):
        self.client.pause_receiving()
        self.assertEqual(self.server.producerState, "paused")
        self.server.close()
        self.clock.advance(0.5)
        self.assertEqual(self.server.producerState, "paused")
        self.client.resume_receiving()
        self.assertEqual(self.server.producerState, "producing")
        self.server.close()
        self.client.resume_receiving()


class LeavingTests(ClientTestCase):
    def stop(self):
        return self.client.close()

    def test_leaving_closes_the_connection_and_logs_out_once(self):
        self.ready()
        self.successResultOf(self.stop())
        self.assertFalse(self.server.connected)
        self.assertFalse(self.server.aborted)
        self.assertEqual(self.route.calls, [("offLine", {"userId": 1000, "msg": "offLine"})])
        self.assertIs(self.client.state, State.CLOSED)
        self.clock.advance(60)
        self.assertEqual(len(self.route.calls), 1)
        self.assertEqual(len(self.servers.connections), 1)

    def test_a_connection_that_will_not_close_is_dropped(self):
        self.ready()
        self.server.stuck = True
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.clock.advance(LEAVE_SECONDS)
        self.successResultOf(stopping)
        self.assertTrue(self.server.aborted)

    def test_a_route_that_does_not_answer_is_not_waited_for(self):
        self.ready()
        self.network.trouble["a"] = "silent"
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.assertLess(LEAVE_SECONDS, CALL_SECONDS)
        self.clock.advance(LEAVE_SECONDS)
        self.successResultOf(stopping)

    def test_a_route_that_is_away_does_not_matter(self):
        self.ready()
        self.network.trouble["a"] = "refused"
        self.successResultOf(self.stop())

    def test_before_the_login_there_is_nothing_to_end(self):
        self.network.trouble["a"] = "refused"
        self.start()
        waiting = self.client.when_ready()
        self.successResultOf(self.stop())
        self.failureResultOf(waiting, Unavailable)
        self.assertEqual(self.route.calls, [])

    def test_while_connecting_the_reservation_is_ended(self):
        self.start()
        self.route.calls.clear()
        self.successResultOf(self.stop())
        self.assertEqual(self.route.paths(), ["offLine"])

    def test_leaving_between_two_sessions(self):
        self.ready()
        self.server.close()
        self.successResultOf(self.stop())
        self.assertEqual(self.route.paths(), ["offLine"])
        self.clock.advance(60)
        self.assertEqual(len(self.servers.connections), 1)

    def test_leaving_during_a_call(self):
        self.network.trouble["a"] = "silent"
        self.start()
        self.successResultOf(self.stop())

    def test_leaving_twice(self):
        self.ready()
        self.successResultOf(self.stop())
        self.successResultOf(self.stop())
        self.assertEqual(self.route.paths(), ["offLine"])


class SpreadTests(ClientTestCase):
    def test_each_call_goes_to_the_next_route(self):
        self.client = self.make("alice", ("http://a", "http://b"))
        self.ready()
        self.network.hosts.clear()
        for _ in range(4):
            self.successResultOf(self.client.send("g:0", "x"))
        self.assertEqual(sorted(self.network.hosts), ["a", "a", "b", "b"])

    def test_deferreds_are_deferreds(self):
        self.ready()
        for made in (self.client.send("g:0", "x"), self.client.send(1, "x"), self.client.online()):
            self.assertIsInstance(made, Deferred)

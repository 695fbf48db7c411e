"""Tests of a client's life at a whole cluster: login, reconnection and end."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from cim.client.client import Client
from cim.client.history import MemoryHistory
from cim.client.iclient import IListener
from cim.client.trust import Trust
from cim.client.v1 import nothing
from cim.client.values import Guest, Password, State, User
from cim.errors import (
    AccountsClosed,
    Banned,
    CallTimeout,
    Forbidden,
    HistoryUnavailable,
    Insecure,
    InvalidField,
    InvitationNeeded,
    Misdirected,
    NotSupported,
    RepeatLogin,
    Suspended,
    Unauthorized,
    Unreachable,
    UserOffline,
)
from cim.interfaces import IMessageListener
from cim.invitation_codes import AccountPolicy, id_of
from cim.model import LoginPolicy
from cim.reset_codes import ResetCode, make_reset_code
from cim.wire.cim_pb2 import Failure, Packet
from cim.wire.framing import encode_frame
from cim.wire.native import goodbye_packet
from tests.client.client_case import SECRET, ClientCase, Listener
from tests.client.fakes import FakeRoute, FakeServers, envelope
from tests.client.fakes import Network as FakeNetwork


class InvitationTests(ClientCase):
    """Accounts are made by invitation."""

    accounts = AccountPolicy.INVITED

    def setUp(self):
        super().setUp()
        making = self.cluster.store.invitation_codes.make(id_of("the code"), uses=2, seconds=60)
        self.successResultOf(making)
        self.asked = []

    def ask(self, *answers):
        """Return what is asked for an invitation, and answers so."""
        answers = list(answers)

        def asked(text):
            self.asked.append(text)
            return succeed(answers.pop(0))

        return asked

    def client(self, invitation):
        return self.make("alice", Password("alice", SECRET, create=True, invitation=invitation))

    def test_one_that_is_given(self):
        client = self.client("the code")
        client.startService()
        self.result(client.when_ready())
        # Again without, now that there is an account.
        self.online("alice", Password("alice", SECRET, create=True), device="second")

    def test_none_or_a_wrong_one(self):
        for given, said in (("", "ask an operator"), ("a code", "not valid")):
            client = self.client(given)
            client.startService()
            self.assertIn(said, self.error(client.when_ready(), InvitationNeeded).message)
        self.assertIsNone(self.successResultOf(self.cluster.store.accounts.named("alice")))

    def test_who_is_asked_may_be_wrong_first(self):
        client = self.client(self.ask("a code", "the code"))
        client.startService()
        self.result(client.when_ready())
        self.assertEqual(len(self.asked), 2)
        self.assertIn("ask an operator", self.asked[0])
        self.assertIn("not valid", self.asked[1])

    def test_who_is_asked_may_give_up(self):
        client = self.client(self.ask(""))
        client.startService()
        self.error(client.when_ready(), InvitationNeeded)

    def test_leaving_while_asked(self):
        waiting = Deferred()
        client = self.client(lambda text: waiting)
        client.startService()
        self.turn()
        self.result(client.close())
        self.assertTrue(waiting.called)

    def test_nobody_is_asked_who_has_an_account(self):
        client = self.client("the code")
        client.startService()
        self.result(client.when_ready())
        self.online("alice", Password("alice", SECRET, create=True, invitation=self.ask()), device="second")


class AskedPasswordTests(ClientCase):
    """A password that is asked for, where another program made the account."""

    def setUp(self):
        super().setUp()
        self.asked = []
        self.online("alice")

    def client(self, *answers, **options):
        answers = list(answers)

        def ask(why):
            self.asked.append(why)
            return succeed(answers.pop(0))

        return self.make("alice", Password("alice", "made in vain", create=True, ask=ask, **options), device="second")

    def test_until_it_is_right_and_from_then_on(self):
        client = self.client("short", "wrong again", SECRET)
        client.startService()
        self.result(client.when_ready())
        self.assertEqual(
            [why.partition(":")[0] for why in self.asked],
            ["the name or the password is wrong", "invalid argument", "the name or the password is wrong"],
        )
        self.assertFalse(client.proven)
        client._api.token = ""
        for wire in self.wires_of(client):
            wire.cut()
        self.wait(3)
        self.assertIs(client.state, State.READY)
        self.assertEqual(len(self.asked), 3)

    def test_a_reset_code_will_do(self):
        (alice,) = self.successResultOf(self.cluster.store.accounts.listed(limit=1)).items
        code = make_reset_code(alice.account.id, os.urandom)
        self.successResultOf(self.cluster.store.reset_codes.make(ResetCode.parse(code), 60))
        wrong = make_reset_code(alice.account.id, os.urandom)
        client = self.client(wrong, "new password", code, "short", f" {code.upper()} ", "another password")
        client.startService()
        self.result(client.when_ready())
        words = ("wrong", "reset code", "not valid", "reset code", "password", "reset code")
        self.assertEqual([word in why for word, why in zip(words, self.asked, strict=True)], [True] * 6, self.asked)
        again = self.make("alice", Password("alice", "another password"), device="third")
        again.startService()
        self.result(again.when_ready())

    def test_giving_up(self):
        client = self.client("")
        client.startService()
        self.error(client.when_ready(), Unauthorized)

    def test_a_new_name_is_asked_for_nothing(self):
        client = self.make("bob", Password("bob", SECRET, create=True, ask=self.fail))
        client.startService()
        self.result(client.when_ready())
        self.assertTrue(client.proven)

    def test_two_programs_with_one_password_make_one_account(self):
        one, other = (self.make("bob", Password("bob", SECRET, create=True), device=device) for device in "ab")
        for client in one, other:
            client.startService()
        self.wait(1)
        self.assertEqual([client.state for client in (one, other)], [State.READY] * 2)

    def test_where_no_accounts_are_made(self):
        for policy in AccountPolicy.KEY, AccountPolicy.INVITED:
            self.accounts = policy
            for route in self.cluster.routes:
                self.network.listen(route.address.http_port, self.site_of(route))
            client = self.client(SECRET)
            client.startService()
            self.result(client.when_ready())

    def test_changing_it(self):
        client = self.client(SECRET)
        client.startService()
        self.result(client.when_ready())
        self.error(client.change_password("battery staple", "a wrong one"), Forbidden)
        self.result(client.change_password("battery staple"))
        self.result(client.change_password("another staple"))
        self.assertIs(client.state, State.READY)
        self.assertEqual(self.result(client._history.facts())["token"], client._api.token)
        self.result(client.conversations())
        again = self.make("alice", Password("alice", "another staple"), device="third")
        again.startService()
        self.result(again.when_ready())


class ClosedTests(ClientCase):
    accounts = AccountPolicy.KEY

    def test_only_operators_make_accounts(self):
        client = self.make("alice")
        client.startService()
        self.assertIn("operators", self.error(client.when_ready(), AccountsClosed).message)


class LoginTests(ClientCase):
    def test_a_new_name_is_registered_and_gets_ready(self):
        alice = self.make("alice")
        ready = alice.when_ready()
        alice.startService()
        self.result(ready)
        self.assertEqual(alice.me, User(alice.me.id, "alice"))
        self.assertEqual([state for state, _ in alice.heard.states], [State.CONNECTING, State.READY])
        self.result(alice.when_ready())

    def refused(self, credentials, kind):
        client = self.make("x", credentials)
        client.startService()
        error = self.error(client.when_ready(), kind)
        self.assertEqual(client.heard.states[-1], (State.CLOSED, error.message))
        # It has ended: later calls fail at once, and nothing is retried.
        self.error(client.send(1, "x"), kind)
        self.error(client.when_closed(), kind)
        self.network.wires.clear()
        self.wait(40)
        self.assertEqual((self.network.wires, client.state), ([], State.CLOSED))
        return error

    def test_a_name_without_an_account(self):
        self.refused(Password("alice", SECRET), Unauthorized)

    def test_a_wrong_password(self):
        self.online("alice")
        self.refused(Password("alice", "wrong and long"), Unauthorized)

    def test_the_name_of_somebody_else_is_not_registered_again(self):
        self.online("alice")
        self.refused(Password("alice", "wrong and long", create=True), Unauthorized)

    def test_a_guest_account(self):
        self.cluster.account("guest")
        # As with a wrong password: nobody learns which names are guests'.
        self.refused(Password("guest", SECRET, create=True), Unauthorized)

    def test_an_invalid_name(self):
        self.assertRaises(InvalidField, self.make, "a\nb")

    def test_a_route_that_is_away_is_waited_for(self):
        self.network.down.add(8083)
        alice = self.make("alice")
        alice.startService()
        self.wait(20)
        self.assertIs(alice.state, State.CONNECTING)
        self.network.down.clear()
        self.wait(31)
        self.assertIs(alice.state, State.READY)

    def test_a_remote_server_that_advertises_loopback(self):
        alice = self.make("alice", urls=["http://10.0.0.9:8083"], trust=Trust(insecure=True))
        alice.startService()
        self.error(alice.when_ready(), Misdirected)

    def test_a_password_does_not_cross_a_network_in_clear(self):
        history = MemoryHistory()
        for urls in (["http://10.0.0.9:8083"], ["https://10.0.0.9:8083", "http://chat.example"], ["10.0.0.9:8083"]):
            alice = self.make("alice", urls=urls, history=history)
            alice.startService()
            self.assertIn("--insecure", self.error(alice.when_ready(), Insecure).message)
            self.assertEqual((alice.state, self.network.wires), (State.CLOSED, []))

    def test_two_clients_share_nothing(self):
        alice, bob = self.online("alice"), self.online("bob")
        self.assertIsNot(alice._history, bob._history)
        self.result(alice.close())
        self.assertIs(bob.state, State.READY)


class RejectTests(ClientCase):
    policy = LoginPolicy.REJECT

    def test_a_second_device(self):
        self.online("alice")
        other = self.make("alice", device="other")
        other.startService()
        self.error(other.when_ready(), RepeatLogin)

    def test_the_same_device_replaces_itself(self):
        first = self.online("alice")
        self.online("alice")
        self.assertIs(first.state, State.CLOSED)


class ReconnectionTests(ClientCase):
    servers = 2
    routes = 2

    def test_a_connection_that_is_lost_is_made_again(self):
        alice = self.online("alice")
        for wire in self.wires_of(alice):
            wire.cut()
        self.assertIs(alice.state, State.RECONNECTING)
        self.assertIn("retrying in 0.2 s", alice.heard.states[-1][1])
        self.wait(1)
        self.assertIs(alice.state, State.READY)

    def test_waits_grow_and_stay_short_enough_to_be_back_soon(self):
        alice = self.online("alice")
        for port in (8083, 8084):
            self.network.down.add(port)
            for wire in self.network.to(port):
                wire.cut()
        for wire in self.wires_of(alice):
            wire.cut()
        alice.heard.states.clear()
        self.wait(120)
        waits = [reason.rpartition("retrying in ")[2] for _, reason in alice.heard.states]
        self.assertEqual(waits[:8], ["0.5 s", "1.0 s", *["1.5 s"] * 6])
        self.network.down.clear()
        self.wait(3)
        self.assertIs(alice.state, State.READY)

    def test_a_silent_server_is_dropped(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        self.wait(60)
        self.assertEqual(self.wires_of(alice), [wire])
        wire.held = True
        self.wait(40)
        self.assertIs(alice.state, State.READY)
        self.assertNotIn(wire, self.wires_of(alice))

    def test_a_server_that_never_welcomes(self):
        self.network.mute.update((11211, 11212))
        alice = self.make("alice")
        alice.startService()
        self.wait(10)
        self.assertIs(alice.state, State.CONNECTING)
        self.network.mute.clear()
        self.wait(10)
        self.assertIs(alice.state, State.READY)

    def test_a_server_that_dies_is_left_for_another(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        server = next(one for one in self.cluster.servers if f":{wire.port}:" in one.own.name)
        self.network.down.add(wire.port)
        self.cluster.kill(server)
        wire.cut()
        self.wait(40)
        self.assertIs(alice.state, State.READY)

    def test_it_stays_away_for_as_long_as_it_is_told(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        wire.server.write(encode_frame(goodbye_packet("draining", retry_after=7)))
        self.wait(0.3)
        self.assertIs(alice.state, State.RECONNECTING)
        self.wait(6.7)
        self.assertIs(alice.state, State.RECONNECTING)
        self.wait(1)
        self.assertIs(alice.state, State.READY)

    def test_paused_for_long_it_logs_in_once(self):
        alice = self.online("alice")
        alice.pause_receiving()
        self.wires_of(alice)[0].cut()
        self.wait(60)
        self.assertEqual((alice.state, len(self.wires_of(alice))), (State.RECONNECTING, 1))
        self.assertEqual(alice.heard.states[-1][1].count("retrying in 0.2 s"), 1)
        alice.resume_receiving()
        self.wait(1)
        self.assertIs(alice.state, State.READY)

    def test_the_servers_reason_for_refusing_a_login_is_reported(self):
        alice = self.online("alice")
        self.network.mute.update((11211, 11212))
        self.wires_of(alice)[0].cut()
        self.wait(1)
        [wire] = self.wires_of(alice)
        wire.held = False
        refusal = Failure(code="unavailable", message="come back later", retry_after_seconds=5)
        wire.server.write(encode_frame(Packet(failure=refusal).SerializeToString()))
        wire.server.loseConnection()
        self.turn()
        self.assertRegex(
            alice.heard.states[-1][1], "could not log in at 127.0.0.1:11211: come back later; retrying in 5.5 s"
        )

    def test_being_replaced_is_final(self):
        first = self.online("alice")
        second = self.online("alice")
        state, reason = first.heard.states[-1]
        self.assertIs(state, State.CLOSED)
        self.assertIn("a newer login of this user ended this session", reason)
        self.wait(60)
        self.assertEqual((first.state, second.state), (State.CLOSED, State.READY))

    def test_a_login_of_its_own_that_a_route_does_late_is_not(self):
        alice = self.online("alice")
        ask, late = alice._http.ask, []

        def lose_the_answer(method, url, body=None, token=""):
            """Make a login, but not before the client has given it up."""
            late.append((method, url, body, token))
            alice._http.ask = ask
            return fail(CallTimeout())

        alice._http.ask = lose_the_answer
        self.wires_of(alice)[0].cut()
        self.wait(10)
        self.assertIs(alice.state, State.READY)
        # It ends the session that the client has made since, which logs in once more.
        self.result(ask(*late[0]))
        self.wait(10)
        self.assertIs(alice.state, State.READY)
        self.assertTrue([reason for _, reason in alice.heard.states if "done late" in reason])
        # The same again is somebody else.
        self.result(ask(*late[0]))
        self.wait(10)
        self.assertIs(alice.state, State.CLOSED)

    def test_being_logged_out_is_final(self):
        alice = self.online("alice")
        self.cluster.result(self.cluster.routes[0].logins.end_sessions(alice.me.id))
        self.wait(60)
        self.assertEqual(alice.heard.states[-1], (State.CLOSED, "this user was logged out"))

    def test_the_token_is_used_until_it_is_invalid_and_then_the_password(self):
        alice = self.online("alice")
        asked = []
        ask = alice._http.ask
        alice._http.ask = lambda method, url, body=None, token="": (
            (asked.append(("password" in (body or ()), bool(token))) if url.endswith("/sessions") else None)
            or ask(method, url, body, token)
        )
        self.wires_of(alice)[0].cut()
        self.wait(1)
        self.assertEqual(asked, [(False, True)])
        del asked[:]
        self.result(Deferred.fromCoroutine(alice._api.ask("DELETE", "token", nothing)))
        self.wait(5)
        self.wires_of(alice)[0].cut()
        self.wait(1)
        self.assertEqual((asked, alice.state), ([(False, True), (True, False)], State.READY))

    def test_a_banned_account_is_left_alone(self):
        """It was let in before, and does not try for ever."""
        alice = self.online("alice")
        closed = alice.when_closed()
        self.successResultOf(self.cluster.store.credentials.ban(alice.me.id, 5, seconds=3600, reason="spam"))
        self.wait(5)  # the route remembers its credential
        self.wires_of(alice)[0].cut()
        self.wait(5)
        told = self.error(closed, Suspended)
        self.assertIn("until", str(told))
        self.assertTrue(str(told).endswith("by an operator: spam"), told)
        self.assertEqual((told.reason, told.until > 0), ("spam", True))

    def test_a_user_who_is_banned_is_told_at_once(self):
        alice = self.online("alice")
        closed = alice.when_closed()
        message = "this account is banned for good by an operator: spam"
        ending = self.cluster.routes[0].logins.end_sessions(alice.me.id, code="banned", message=message)
        self.cluster.result(ending)
        self.wait(1)
        self.assertEqual(alice.heard.states[-1], (State.CLOSED, message))
        self.error(closed, Banned)

    def test_garbage_from_the_server(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        wire.server.write(b"\x05\xff\xff\xff\xff\xff")
        self.wait(1)
        self.assertIs(alice.state, State.READY)
        self.assertNotIn(wire, self.wires_of(alice))

    def test_unknown_packets_are_ignored(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        wire.server.write(encode_frame(b"\xfa\x07\x00") + encode_frame(Packet().SerializeToString()))
        self.wait(1)
        self.assertEqual(self.wires_of(alice), [wire])


class CloseTests(ClientCase):
    def test_closing_before_the_start(self):
        alice = self.make("alice")
        self.result(alice.close())
        self.result(alice.close())

    def test_closing_gracefully(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        self.result(alice.close())
        self.assertFalse(wire.open)
        self.assertEqual(alice.heard.states[-1], (State.CLOSED, ""))
        self.result(alice.when_closed())
        self.assertEqual(self.cluster.routes[0].presence.of(alice.me.id), ())

    def test_closing_while_nobody_answers(self):
        alice = self.online("alice")
        (wire,) = self.wires_of(alice)
        sending = alice.send(alice.me.id + 1, "x")
        wire.held = True
        closing = alice.close()
        self.wait(1)
        self.assertNoResult(closing)
        self.wait(1.5)
        self.successResultOf(closing)
        self.failureResultOf(sending)

    def test_closing_while_it_connects(self):
        for port in (8083, 11211):
            self.network.silent.add(port)
            alice = self.make("alice")
            ready = alice.when_ready()
            alice.startService()
            self.turn()
            sending = alice.send(5, "x")
            self.result(alice.close())
            self.error(ready, Unreachable)
            self.error(sending, Unreachable)
            self.network.silent.clear()

    def test_closing_while_it_waits(self):
        self.network.down.add(8083)
        alice = self.make("alice")
        alice.startService()
        self.turn()
        self.result(alice.close())
        self.assertRaises(RuntimeError, alice.startService)

    def test_nothing_is_left_behind(self):
        alice = self.online("alice")
        left = set(map(id, self.clock.getDelayedCalls()))
        self.result(alice.close())
        mine = [call for call in self.clock.getDelayedCalls() if "cim.client" in repr(call.func)]
        self.assertEqual(mine, [], left)

    def test_closing_by_a_listener_of_states(self):
        for at in (State.CONNECTING, State.READY, State.RECONNECTING):

            @implementer(IListener)
            class Leaving(Listener):
                def state(self, client, state, reason, at=at):
                    super().state(client, state, reason)
                    if state is at:
                        client.close()

            leaving = Leaving()
            alice = self.make("alice", listeners=[leaving])
            alice.startService()
            self.turn()
            for wire in self.wires_of(alice):
                wire.cut()
            self.turn()
            connections = len(self.network.wires)
            self.wait(60)
            self.assertEqual(leaving.states[-1], (State.CLOSED, ""), at)
            self.assertEqual([state for state, _ in leaving.states].count(at), 1)
            self.assertEqual(len(self.network.wires), connections, "it came back")
            self.result(alice.close())

    def test_a_history_that_cannot_be_closed_is_logged(self):
        history = MemoryHistory()
        history.close = lambda: fail(HistoryUnavailable("the disk is gone"))
        alice = self.online("alice", history=history)
        self.result(alice.close())
        self.assertEqual(len(self.flushLoggedErrors(HistoryUnavailable)), 1)

    def test_started_twice(self):
        alice = self.online("alice")
        self.assertRaises(RuntimeError, alice.startService)
        self.assertIs(alice.state, State.READY)

    def test_closing_by_a_listener_of_messages(self):
        alice, bob = self.online("alice"), self.online("bob")

        @implementer(IMessageListener)
        class Leaving:
            def received(self, client, message):
                client.close()

        bob.add_listener(Leaving())
        for text in ("one", "two"):
            self.result(alice.send(bob.me, text))
        self.assertEqual((bob.heard.others, bob.state), (["one"], State.CLOSED))


class UpstreamTests(ClientCase):
    """Tests with upstream's routes and servers."""

    def setUp(self):
        super().setUp()
        self.clock = Clock()
        self.route = FakeRoute()
        self.servers_there = FakeServers()

    def wait(self, seconds):
        self.clock.advance(seconds)

    def turn(self):
        self.clock.advance(0)

    def online(self, credentials=None):
        client = Client(
            self.clock,
            "http://a",
            credentials or Password("alice", SECRET, create=True),
            random=lambda: 0.5,
            trust=Trust(insecure=True),
            endpoint=self.servers_there.endpoint,
            http=FakeNetwork(self.route),
            new_id=lambda: "1",
        )
        client.heard = Listener()
        client.add_listener(client.heard)
        self.clients.append(client)
        client.startService()
        self.turn()
        self.servers_there.connections[-1].pong()
        self.assertIs(client.state, State.READY, client.heard.states)
        return client

    def test_the_generation_is_detected_at_first_contact(self):
        alice = self.online()
        self.assertEqual(alice.me, User(1000, "alice"))
        self.assertEqual([state for state, _ in alice.heard.states if state is not State.CONNECTING], [State.READY])

    def test_a_guest_does_not_try_v1(self):
        alice = self.online(Guest("alice"))
        self.assertEqual(self.route.paths()[:2], ["registerAccount", "login"])
        self.assertEqual(alice.me, User(1000, "alice"))

    def test_sending_and_receiving(self):
        alice = self.online()
        sent = self.result(alice.send("g:0", "to all"))
        self.assertEqual((sent.client_id, sent.conversation, sent.position), ("1", "g:0", ""))
        self.result(alice.send(2000, "to bob"))
        self.assertEqual(
            self.route.calls[-2:],
            [
                ("groupRoute", {"userId": 1000, "msg": "to all"}),
                ("p2pRoute", {"userId": 1000, "receiveUserId": 2000, "msg": "to bob"}),
            ],
        )
        self.servers_there.connections[-1].push(2000, "bob", "hi")
        mine, private, heard = alice.heard.messages
        self.assertEqual((mine.text, mine.mine, mine.conversation), ("to all", True, "g:0"))
        self.assertEqual((private.text, private.mine, private.conversation), ("to bob", True, "p:1000:2000"))
        self.assertEqual((heard.sender, heard.text, heard.mine), (User(2000, "bob"), "hi", False))

    def test_the_reason_why_a_message_was_not_delivered(self):
        alice = self.online()
        self.route.answers["p2pRoute"] = [envelope("7000", "offline")]
        self.error(alice.send(2000, "x"), UserOffline)
        self.assertEqual(alice.heard.messages, [])

    def test_who_is_online(self):
        alice = self.online()
        self.route.online = [{"userId": id, "userName": name} for id, name in ((3, "bo"), (1, "al"), (2, "bob"))]
        users, total = self.result(alice.online("bo"))
        self.assertEqual((users, total), ([User(3, "bo"), User(2, "bob")], 2))
        self.assertEqual(self.result(alice.online("bo", after="bo"))[0], [User(2, "bob")])

    def test_features_that_upstream_does_not_have(self):
        alice = self.online()
        for asked in (
            alice.conversations(),
            alice.groups(),
            alice.user("bob"),
            alice.send("g:5", "x"),
            alice.send(2000, "x", data=b"x"),
            alice.recall("g:0", "1-1"),
        ):
            self.error(asked, NotSupported)

    def test_reconnects(self):
        alice = self.online()
        self.servers_there.connections[-1].close()
        self.assertIs(alice.state, State.RECONNECTING)
        self.wait(1)
        self.servers_there.connections[-1].pong()
        self.assertIs(alice.state, State.READY)

    def test_a_second_login_is_refused(self):
        self.route.answers["login"] = [envelope("5000", "Repeat login")]
        client = Client(
            self.clock,
            "http://a",
            Guest("alice"),
            endpoint=self.servers_there.endpoint,
            http=FakeNetwork(self.route),
        )
        self.clients.append(client)
        client.startService()
        self.error(client.when_ready(), RepeatLogin)
        self.assertIs(client.state, State.CLOSED)

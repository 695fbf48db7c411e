"""Tests of the plain terminal with a fake client and in-memory standard streams."""

from __future__ import annotations

import inspect
from itertools import count

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.client.iclient import IListener
from cim.client.values import Invitation, Kind, State, User
from cim.errors import CIMError, Forbidden, RepeatLogin, Unavailable
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import all_commands
from cim.terminal.console.plain import FEW_LINES, MANY_LINES, PlainTerminal
from cim.terminal.console.typed_names import typed_name
from tests.client.surface import METHODS, arguments
from tests.terminal.fake_client import FakeClient
from tests.test_names import SHOWN


class Errors:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    @property
    def lines(self):
        return self.data.decode().splitlines()


class TerminalTestCase(SynchronousTestCase):
    kwargs = {}

    def setUp(self):
        self.clock = Clock()
        self.client = FakeClient()
        self.errors = Errors()
        self.statuses = []
        ids = map(str, count())
        self.terminal = PlainTerminal(
            lambda screen: Chat(self.client, screen, self.clock, lambda: 1_700_000_000.0, lambda: next(ids)),
            all_commands(),
            self.errors,
            self.statuses.append,
            **self.kwargs,
        )
        self.screen = StringTransport()
        self.terminal.makeConnection(self.screen)
        self.addCleanup(self.finish)

    def finish(self):
        self.terminal.stop()
        self.terminal.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.client.listeners, [self.terminal])

    def ready(self):
        self.client.ready()
        self.errors.data = b""

    def type(self, text):
        self.terminal.dataReceived(text.encode())

    def shown(self):
        return self.screen.value().decode().splitlines()

    def sent(self):
        return [call[2] for call in self.client.calls if call[0] == "send"]

    def hold(self):
        """Leave sends unanswered."""
        self.client.held = []


class ChatTests(TerminalTestCase):
    def setUp(self):
        super().setUp()
        self.ready()

    def test_interfaces(self):
        verifyObject(IHalfCloseableProtocol, self.terminal)
        verifyObject(IListener, self.terminal.chat)
        verifyObject(IPushProducer, self.terminal)

    def test_the_fake_has_all_calls_of_a_client(self):
        for name, signature in METHODS.items():
            fake = inspect.signature(getattr(FakeClient, name))
            self.assertEqual(arguments(fake), arguments(signature), name)

    def test_lines_are_sent_and_messages_shown(self):
        self.type("你好\n")
        self.type("1001;;psst\n")
        self.assertEqual(
            [call for call in self.client.calls if call[0] == "send"], [("send", "g:0", "你好"), ("send", 1001, "psst")]
        )
        self.client.push(1001, "bob", "hello 👋")
        self.client.push(1002, "卡罗", "a", group=0)
        self.client.push(1002, "卡罗", "b", group=0)
        self.assertEqual(self.shown(), ["bob: hello 👋", "卡罗: a", "卡罗: b"])
        self.assertEqual(self.errors.data, b"")

    def test_a_question_is_answered_by_the_next_line(self):
        """Even if lines before it wait for the login; commands and blank lines are no answers."""
        self.hold()
        self.type("hello\n")
        answer = self.terminal.chat.question.ask("an invitation, please")
        self.assertEqual(self.errors.lines, ["* an invitation, please"])
        self.type("\n:info\n the code \nnot the answer\n")
        self.assertEqual(self.successResultOf(answer), "the code")
        self.assertEqual(self.sent(), ["hello"])
        self.client.release()
        self.assertEqual(self.sent(), ["hello", "not the answer"])

    def test_a_group_message_names_the_group(self):
        self.client.create_group("Team")
        self.clock.advance(0)
        self.client.tell("state", State.READY, "")
        self.clock.advance(1)
        self.client.push(1001, "bob", "hi", group=1)
        self.assertEqual(self.shown(), ["[Team] bob: hi"])

    def test_messages_other_than_texts(self):
        message = self.client.push(1001, "bob", "wrong")
        self.client.push(1001, "bob", "right", kind=Kind.EDIT, ref=message.position)
        self.client.push(1001, "bob", "👍", kind=Kind.REACTION, ref=message.position)
        self.client.push(1001, "bob", "", kind=Kind.RECALL, ref=message.position)
        self.client.push(1001, "bob", "")
        self.client.push(1001, "bob", "", kind=Kind.EDIT, ref=message.position)
        self.assertEqual(self.shown(), ["bob: wrong", "bob (edited): right"])
        self.assertEqual(self.errors.lines, ["* bob: 👍", "* bob took back a message"])

    def test_own_messages_from_other_devices_are_shown(self):
        self.client.push(1000, "alice", "from elsewhere", mine=True, client_id="other")
        self.assertEqual(self.shown(), ["alice: from elsewhere"])

    def test_received_text_never_controls_the_terminal(self):
        self.client.push(1001, "b\x1bo\nb", "\x1b[2J\nalice: forged\r\x9b31m\u202e")
        self.assertEqual(self.shown(), ["b<U+001B>o<U+000A>b: ␛[2J␤alice: forged␍\\u009b31m\\u202e"])

    def test_a_reaction_is_one_line(self):
        self.client.push(1001, "bob", "👍\n* your session has ended\r\x1b[2J", kind=Kind.REACTION, ref="1-1")
        self.assertEqual(self.errors.lines, ["* bob: 👍␤* your session has ended␍␛[2J"])

    def test_no_name_looks_like_a_line_of_somebody_else(self):
        for name in (
            "bob: yes",
            "bob (edited)",
            "bob(edited)",
            "bob → me",
            "bob→me",
            "[Team] bob",
            "* bob",
            "*bob",
            "bob took back a message",
            "me",
            "12:30   bob",
        ):
            self.client.push(1004, name, "x", kind=Kind.RECALL, ref="1-1")
            self.client.push(1004, name, "x")
            for line in (self.shown()[-1].removesuffix(": x"), self.errors.lines[-1][2 : -len(" took back a message")]):
                self.assertRegex(line, r'^("[^"]+"|[^\s"]+)$')
                self.assertNotEqual(line, "bob")
                self.assertNotIn(line, name)

    def test_no_notice_has_a_line_of_somebody_else(self):
        forged = "x\n* your session has ended\x1b[2J"
        self.client.people[forged] = 1004
        self.client.create_group(forged)
        theirs = Invitation(7, forged, User(1004, forged), 5)
        self.client.invited = [theirs]
        self.client.tell("invited", theirs)
        self.client.errors["recall"] = Forbidden(forged)
        for line in (":block 1004", ":unblock 1004", ":join 1", ":to g:1", "x", ":recall", ":leave", ":decline 7"):
            self.type(f"{line}\n")
        self.terminal.notice(forged)
        self.assertGreater(len(self.errors.lines), 6)
        for line in self.errors.lines + self.shown():
            self.assertFalse(line.startswith(("* your session", "your session")), line)
            self.assertNotIn("\x1b", line)

    def test_a_name_that_holds_what_nobody_sees_does_not_look_like_another(self):
        for name, shown in SHOWN.items():
            if name:
                self.client.push(1002, name, "pay me")
                self.client.push(1003, name, "pay me", kind=Kind.RECALL, ref="1-1")
                self.assertEqual(self.shown()[-1], f"{typed_name(name)}: pay me")
                self.assertEqual(self.errors.lines[-1], f"* {typed_name(name)} took back a message")
                self.assertIn(shown, typed_name(name))

    def test_answers_of_routes_never_control_the_terminal(self):
        self.client.online_now = [User(1, "\x1b[2Jx\n2 forged")]
        self.type(":olu\n")
        self.assertEqual(self.shown(), ['1 "<U+001B><U+005B>2Jx<U+000A>2 forged"', "1 online"])
        self.client.errors["send"] = Unavailable("\x1b[2Jno\rx")
        self.type("hello\n")
        self.assertEqual(self.errors.lines, ['* "hello" may or may not have been sent: ␛[2Jno␍x'])

    def test_standard_output_has_only_the_chat(self):
        self.type("\n:x\n:all\nbob;;x\n")
        self.assertEqual(self.shown(), [])
        self.assertGreater(len(self.errors.lines), 5)
        for line in self.errors.lines:
            self.assertTrue(line.startswith("* "), line)

    def test_one_line_at_a_time_in_order(self):
        self.hold()
        self.type("one\ntwo\nthree\n")
        self.assertEqual(self.sent(), ["one"])
        self.client.release()
        self.assertEqual(self.sent(), ["one", "two", "three"])

    def test_leaving_by_command(self):
        self.type("last words\n:q!\nnever said\n")
        self.assertEqual(self.statuses, [0])
        self.assertEqual(self.sent(), ["last words"])
        self.terminal.stop()
        self.assertIn("1 more line", self.errors.lines[-1])

    def test_at_the_end_of_input_it_leaves_after_the_last_answer(self):
        self.hold()
        self.type("one\nlast, without an end")
        self.terminal.readConnectionLost()
        self.assertEqual(self.statuses, [])
        self.client.release()
        self.assertEqual(self.sent(), ["one", "last, without an end"])
        self.assertEqual(self.statuses, [0])

    def test_a_line_too_long_is_refused_in_turn(self):
        self.type("a\n" + "x" * 70000 + "\nb\n")
        self.assertEqual(self.sent(), ["a", "b"])
        self.assertEqual(len(self.errors.lines), 1)
        self.assertIn("65536", self.errors.lines[0])

    def test_reading_stops_while_many_lines_wait(self):
        self.hold()
        self.type("".join(f"{n}\n" for n in range(MANY_LINES + 2)))
        self.assertEqual(self.screen.producerState, "paused")
        seen = []
        send = self.client.send
        self.client.send = lambda *args, **kwargs: seen.append(self.screen.producerState) or send(*args, **kwargs)
        self.client.release()
        self.assertEqual(self.screen.producerState, "producing")
        self.assertEqual(seen.count("producing"), FEW_LINES + 1)

    def test_while_nobody_reads_the_output_nothing_is_read_from_the_server(self):
        self.assertIs(self.screen.producer, self.terminal)
        self.terminal.pauseProducing()
        self.assertTrue(self.client.paused)
        self.type(":olu\nhello\n")
        self.assertEqual(self.sent(), [])
        self.terminal.resumeProducing()
        self.assertEqual(self.sent(), ["hello"])
        self.assertFalse(self.client.paused)

    def test_when_nobody_reads_the_output_it_leaves(self):
        self.terminal.stopProducing()
        self.terminal.writeConnectionLost()
        self.assertEqual(self.statuses, [0])

    def test_input_and_output_both_closed(self):
        self.terminal.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.statuses, [0])
        self.client.push(1001, "bob", "into the void")
        self.successResultOf(self.terminal.flush())

    def test_losing_the_server_is_reported_on_standard_error(self):
        self.client.become(State.RECONNECTING, "lost the connection to 10.0.0.7:11211; retrying in 0.5 s")
        self.client.ready()
        self.assertEqual(self.shown(), [])
        self.assertIn("lost the connection to 10.0.0.7:11211", self.errors.lines[0])
        self.assertIn("logged in as alice (id 1000)", self.errors.lines[1])

    def test_a_client_that_fails_says_why(self):
        self.client.refuse(CIMError("logged in elsewhere as the same device"))
        self.assertEqual(self.errors.lines, ["* logged in elsewhere as the same device"])
        self.assertEqual(self.statuses, [1])

    def test_stopping_abandons_the_current_line_and_says_so(self):
        self.hold()
        self.type("one\ntwo\nthree\n")
        self.terminal.stop()
        self.assertIn('"one"', self.errors.lines[0])
        self.assertIn("2 more lines", self.errors.lines[1])
        self.type("four\n")
        self.client.release()
        self.assertEqual(self.sent(), ["one"])
        self.terminal.writeConnectionLost()
        self.assertEqual(self.statuses, [], "it is stopped already")

    def test_flush_waits_for_pending_output(self):
        self.terminal.stop()
        flushing = self.terminal.flush()
        self.assertTrue(self.screen.disconnecting)
        self.assertIsNone(self.screen.producer)
        self.assertNoResult(flushing)
        self.terminal.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(flushing)
        self.assertEqual(self.statuses, [])


class StartTests(TerminalTestCase):
    def test_lines_wait_for_the_login(self):
        self.type("one\ntwo\n")
        self.terminal.readConnectionLost()
        self.assertEqual((self.sent(), self.statuses), (["one"], []))
        self.client.ready()
        self.assertEqual((self.sent(), self.statuses), (["one", "two"], [0]))

    def test_an_empty_input_still_logs_in(self):
        self.terminal.readConnectionLost()
        self.assertEqual(self.statuses, [])
        self.client.ready()
        self.assertEqual(self.statuses, [0])

    def test_a_refused_login_ends_with_the_reason_and_status_1(self):
        self.type("hello\n")
        self.terminal.readConnectionLost()
        self.client.refuse(RepeatLogin())
        self.assertEqual(self.statuses, [1])
        self.assertIn("Repeat login, log out an account please!", self.errors.lines[0])

    def test_leaving_works_before_the_login(self):
        self.type(":q!\n")
        self.assertEqual(self.statuses, [0])

    def test_no_banner_for_a_pipe(self):
        self.client.ready()
        self.assertEqual(self.errors.lines, ["* logged in as alice (id 1000)"])


class StayTests(TerminalTestCase):
    kwargs = {"stay": True}

    def test_it_stays_after_the_end_of_input(self):
        self.ready()
        self.type("one\n")
        self.terminal.readConnectionLost()
        self.assertEqual((self.sent(), self.statuses), (["one"], []))
        self.client.push(1001, "bob", "still here?")
        self.assertEqual(self.shown(), ["bob: still here?"])


class TypedTests(TerminalTestCase):
    kwargs = {"interactive": True}

    def test_the_banner_is_shown_once(self):
        self.client.ready()
        text = "\n".join(self.errors.lines)
        for what in (";;", ":olu", ":all", ":q!"):
            self.assertIn(what, text)
        self.errors.data = b""
        self.client.become(State.RECONNECTING, "lost")
        self.client.ready()
        self.assertNotIn(":olu", "\n".join(self.errors.lines))

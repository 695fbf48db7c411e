"""The terminal over a client that is real, routes and servers that are in memory, and standard streams that are not."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from cim.client.terminal import FEW_LINES, MANY_LINES, Terminal
from cim.icim import IMessageListener
from tests.client.fakes import envelope
from tests.client.test_library import ClientTestCase


class Errors:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    @property
    def lines(self):
        return self.data.decode().splitlines()


class TerminalTestCase(ClientTestCase):
    kwargs = {}

    def setUp(self):
        super().setUp()
        self.errors = Errors()
        self.statuses = []
        self.terminal = Terminal(self.client, self.errors, self.statuses.append, **self.kwargs)
        self.screen = StringTransport()
        self.terminal.makeConnection(self.screen)

    def finish(self):
        self.terminal.stop()
        super().finish()

    def ready(self):
        super().ready()
        self.errors.data = b""

    def type(self, text):
        self.terminal.dataReceived(text.encode())

    def shown(self):
        return self.screen.value().decode().splitlines()

    def sent(self):
        return [obj["msg"] for path, obj in self.route.calls if path in ("groupRoute", "p2pRoute")]

    def hold(self):
        """Have the route leave calls unanswered."""
        self.network.trouble["a"] = "silent"


class ChatTests(TerminalTestCase):
    def setUp(self):
        super().setUp()
        self.ready()

    def test_interfaces(self):
        verifyObject(IHalfCloseableProtocol, self.terminal)
        verifyObject(IMessageListener, self.terminal)
        verifyObject(IPushProducer, self.terminal)

    def test_lines_are_sent_and_messages_shown(self):
        self.type("你好\n")
        self.type("1001;;psst\n")
        self.assertEqual(self.sent(), ["你好", "psst"])
        self.server.push(1001, "bob", "hello 👋")
        self.server.push(1002, "卡罗", "a", "b", batch=True)
        self.assertEqual(self.shown(), ["bob: hello 👋", "卡罗: a", "卡罗: b"])
        self.assertEqual(self.errors.data, b"")

    def test_what_is_received_never_steers_the_terminal(self):
        self.server.push(1001, "b\x1bo\nb", "\x1b[2J\nalice: forged\r\x9b31m\u202e")
        self.assertEqual(self.shown(), ["b␛o␤b: ␛[2J␤alice: forged␍\\u009b31m\\u202e"])

    def test_what_a_route_answers_never_steers_the_terminal(self):
        self.route.online = [{"userId": 1, "userName": "\x1b[2Jx\n2 forged"}]
        self.type(":olu\n")
        self.assertEqual(self.shown(), ["1 ␛[2Jx␤2 forged", "1 online"])
        self.route.answers["groupRoute"] = [envelope("4000", "\x1b[2Jno\rx")]
        self.type("hello\n")
        self.assertEqual(self.errors.lines, ['* "hello" may or may not have been sent: ␛[2Jno␍x'])

    def test_standard_output_holds_the_chat_alone(self):
        self.type("\n:x\n:all\nbob;;x\n")
        self.assertEqual(self.shown(), [])
        self.assertGreater(len(self.errors.lines), 5)
        for line in self.errors.lines:
            self.assertTrue(line.startswith("* "), line)

    def test_one_line_at_a_time_in_order(self):
        self.hold()
        self.type("one\ntwo\nthree\n")
        self.assertEqual(len(self.network.silent), 1)
        self.network.trouble.clear()
        self.network.silent.pop().errback(Failure(ConnectionDone()))
        self.flushLoggedErrors()
        self.assertEqual(self.sent(), ["two", "three"])

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
        self.network.trouble.clear()
        self.network.silent.pop().errback(Failure(ConnectionDone()))
        self.flushLoggedErrors()
        self.assertEqual(self.sent(), ["last, without an end"])
        self.assertEqual(self.statuses, [0])

    def test_a_line_too_long_is_refused_in_its_turn(self):
        self.type("a\n" + "x" * 70000 + "\nb\n")
        self.assertEqual(self.sent(), ["a", "b"])
        self.assertEqual(len(self.errors.lines), 1)
        self.assertIn("65536", self.errors.lines[0])

    def test_reading_stops_while_many_lines_wait(self):
        self.hold()
        self.type("".join(f"{n}\n" for n in range(MANY_LINES + 2)))
        self.assertEqual(self.screen.producerState, "paused")
        self.network.trouble.clear()
        self.route.groupRoute = lambda obj: self.pausing_seen.append(self.screen.producerState) or envelope()
        self.pausing_seen = []
        self.network.silent.pop().errback(Failure(ConnectionDone()))
        self.flushLoggedErrors()
        self.assertEqual(self.screen.producerState, "producing")
        self.assertEqual(self.pausing_seen.count("producing"), FEW_LINES + 1)

    def test_while_the_output_is_not_taken_the_server_is_not_read(self):
        self.assertIs(self.screen.producer, self.terminal)
        self.terminal.pauseProducing()
        self.assertEqual(self.server.producerState, "paused")
        self.type(":olu\nhello\n")
        self.assertEqual(self.sent(), [])
        self.terminal.resumeProducing()
        self.assertEqual(self.sent(), ["hello"])
        self.assertEqual(self.server.producerState, "producing")

    def test_when_nobody_reads_the_output_it_leaves(self):
        self.terminal.stopProducing()
        self.terminal.writeConnectionLost()
        self.assertEqual(self.statuses, [0])

    def test_both_ends_gone(self):
        self.terminal.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.statuses, [0])
        self.server.push(1001, "bob", "into the void")
        self.successResultOf(self.terminal.flush())

    def test_losing_the_server_is_told_beside_the_chat(self):
        self.server.close()
        self.clock.advance(0.5)
        self.server.pong()
        self.assertEqual(self.shown(), [])
        self.assertIn("lost the connection to 10.0.0.7:11211", self.errors.lines[0])
        self.assertIn("logged in as alice (id 1000)", self.errors.lines[1])

    def test_stopping_gives_up_the_line_under_way_and_says_so(self):
        self.hold()
        self.type("one\ntwo\nthree\n")
        self.terminal.stop()
        self.network.trouble.clear()
        self.assertIn('"one"', self.errors.lines[0])
        self.assertIn("2 more lines", self.errors.lines[1])

    def test_flush_waits_for_what_was_shown(self):
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
        self.start()
        self.assertEqual((self.sent(), self.statuses), ([], []))
        self.server.pong()
        self.assertEqual((self.sent(), self.statuses), (["one", "two"], [0]))

    def test_an_empty_input_still_logs_in(self):
        self.terminal.readConnectionLost()
        self.start()
        self.assertEqual(self.statuses, [])
        self.server.pong()
        self.assertEqual(self.statuses, [0])

    def test_a_refused_login_ends_with_the_reason_and_status_1(self):
        self.route.answers["login"] = [envelope("5000", "Repeat login, log out an account please!")]
        self.type("hello\n")
        self.terminal.readConnectionLost()
        self.start()
        self.assertEqual(self.statuses, [1])
        self.assertIn("Repeat login, log out an account please!", self.errors.lines[0])
        self.assertEqual(self.sent(), [])

    def test_leaving_works_before_the_login(self):
        self.network.trouble["a"] = "refused"
        self.start()
        self.type(":q!\n")
        self.assertEqual(self.statuses, [0])

    def test_no_banner_for_a_pipe(self):
        self.start()
        self.server.pong()
        self.assertEqual(self.errors.lines, ["* logged in as alice (id 1000)"])


class StayTests(TerminalTestCase):
    kwargs = {"stay": True}

    def test_it_stays_after_the_end_of_input(self):
        self.ready()
        self.type("one\n")
        self.terminal.readConnectionLost()
        self.assertEqual((self.sent(), self.statuses), (["one"], []))
        self.server.push(1001, "bob", "still here?")
        self.assertEqual(self.shown(), ["bob: still here?"])


class TypedTests(TerminalTestCase):
    kwargs = {"interactive": True}

    def test_a_banner_once_says_what_can_be_typed(self):
        self.start()
        self.server.pong()
        text = "\n".join(self.errors.lines)
        for what in (";;", ":olu", ":all", ":q!"):
            self.assertIn(what, text)
        self.errors.data = b""
        self.server.close()
        self.clock.advance(0.5)
        self.server.pong()
        self.assertNotIn(":olu", "\n".join(self.errors.lines))

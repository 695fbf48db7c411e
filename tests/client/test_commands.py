"""What lines mean."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cim.client.commands import COMMANDS, Command, Interpreter
from cim.ecim import CIMError, Unavailable, Unreachable, UserOffline
from cim.icim import IClient
from cim.model import Account


@implementer(IClient)
class RecordingClient:
    """Keeps what is sent; answers at once, with `error` when there is one."""

    def __init__(self):
        self.sent = []
        self.error = None
        self.users = []

    def _answer(self, result=None):
        return fail(self.error) if self.error is not None else succeed(result)

    def send_group(self, text):
        self.sent.append(text)
        return self._answer()

    def send_private(self, receiver, text):
        self.sent.append((receiver, text))
        return self._answer()

    def online_users(self):
        return self._answer(self.users)


class RecordingScreen:
    """Keeps what is shown."""

    def __init__(self):
        self.shown = []
        self.notices = []
        self.left = 0

    def show(self, lines):
        self.shown.extend(lines)
        return succeed(None)

    def notice(self, text):
        self.notices.append(text)

    def leave(self):
        self.left += 1


class InterpreterTests(SynchronousTestCase):
    def setUp(self):
        self.client = RecordingClient()
        verifyObject(IClient, self.client)
        self.screen = RecordingScreen()
        self.interpreter = Interpreter(self.client, self.screen)

    def line(self, line):
        return self.successResultOf(Deferred.fromCoroutine(self.interpreter.line(line)))

    def notice(self, line):
        """Give a line that has one notice for its only effect, and return the notice."""
        before = list(self.client.sent)
        self.line(line)
        [notice] = self.screen.notices
        self.screen.notices.clear()
        self.assertEqual((self.client.sent, self.screen.shown, self.screen.left), (before, [], 0))
        return notice

    def test_a_line_is_said_to_everyone_as_it_is(self):
        for line in ("hello", "你好 👋", "  spaces stay  ", "a; b", "1000;x"):
            self.line(line)
            self.assertEqual(self.client.sent.pop(), line)
        self.assertEqual(self.screen.notices, [])

    def test_private(self):
        for line, sent in (
            ("1000;;hi", (1000, "hi")),
            (" 1000 ;; hi ", (1000, " hi ")),
            ("1000;;a;;b;;;c", (1000, "a;;b;;;c")),
            ("1000;;:q!", (1000, ":q!")),
        ):
            self.line(line)
            self.assertEqual(self.client.sent.pop(), sent)

    def test_private_to_what_is_no_id(self):
        for head in ("bob", "", "-1", "1.5", "²", "9" * 30, "0", str(1 << 53)):
            self.assertIn("id", self.notice(f"{head};;hi"))

    def test_blank_lines_warn(self):
        for line in ("", "   ", "\t", "1000;;", "1000;;  "):
            self.assertIn("blank", self.notice(line))

    def test_an_unknown_command_explains_itself(self):
        for line in (":x", ":)", ":", ":ollu", ":Q!"):
            self.assertIn(":all", self.notice(line))

    def test_leave(self):
        for line in (":q!", ":q", " :q".strip(), ":q  "):
            self.line(line)
        self.assertEqual(self.screen.left, 4)
        self.assertEqual((self.screen.notices, self.client.sent), ([], []))

    def test_leave_takes_nothing_more(self):
        self.assertIn(":q", self.notice(":q keyword"))

    def test_who_is_online_and_how_many(self):
        self.client.users = [Account(1001, "bob"), Account(1000, "alice")]
        self.line(":olu")
        self.assertEqual(self.screen.shown, ["1000 alice", "1001 bob", "2 online"])

    def test_nobody_online(self):
        self.line(":olu")
        self.assertEqual(self.screen.shown, ["0 online"])

    def test_all_lists_every_command(self):
        self.line(":all")
        text = "\n".join(self.screen.notices)
        for command in COMMANDS:
            for word in command.words:
                self.assertIn(word, text)
            self.assertIn(command.summary, text)

    def test_failures_say_what_became_of_the_line(self):
        for error, fate in (
            (Unreachable("no route"), "was not sent: no route"),
            (Unavailable("timeout"), "may or may not have been sent: timeout"),
            (UserOffline("gone"), "was not delivered: gone"),
            (CIMError("no"), "was not delivered: no"),
        ):
            self.client.error = error
            self.line("hello")
            self.assertEqual(self.screen.notices.pop(), f'"hello" {fate}')
        self.line(":olu")
        self.assertIn("cannot be told", self.screen.notices.pop())

    def test_long_lines_are_quoted_in_part(self):
        self.client.error = UserOffline("gone")
        self.line("x" * 1000)
        self.assertLess(len(self.screen.notices.pop()), 100)

    def test_a_command_that_breaks_ends_nothing(self):
        async def broken(interpreter, rest):
            raise ZeroDivisionError

        interpreter = Interpreter(self.client, self.screen, [Command((":b",), "breaks", broken)])
        self.successResultOf(Deferred.fromCoroutine(interpreter.line(":b now")))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("failed", self.screen.notices.pop())

    def test_a_later_command_takes_a_word_over(self):
        seen = []

        async def mine(interpreter, rest):
            seen.append(rest)

        interpreter = Interpreter(self.client, self.screen, [*COMMANDS, Command((":olu",), "mine", mine)])
        self.successResultOf(Deferred.fromCoroutine(interpreter.line(":olu  a b ")))
        self.assertEqual(seen, ["a b"])

    def test_leaving_meanwhile_is_told_and_goes_on(self):
        self.client.send_group = lambda text: Deferred()
        saying = Deferred.fromCoroutine(self.interpreter.line("hello"))
        saying.cancel()
        self.failureResultOf(saying, CancelledError)
        self.assertIn("may or may not", self.screen.notices.pop())

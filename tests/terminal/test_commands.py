"""Tests of what typed lines mean and what commands do."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cim.client.data_directory import DataDirectory
from cim.client.values import (
    Ban,
    Change,
    Conversation,
    Group,
    Invitation,
    Kind,
    Member,
    Members,
    Presence,
    Receipt,
    Removed,
    State,
    Typing,
    User,
)
from cim.errors import CIMError, Forbidden, NotFound, NotSupported, RateLimited, Unavailable, Unreachable, UserOffline
from cim.model import FOREVER
from cim.terminal.console import look
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, Misuse, all_commands
from cim.terminal.console.interpreter import Interpreter
from cim.terminal.console.listing import message_spans
from cim.terminal.console.typed_names import typed_name
from cim.terminal.iconsole import IAnswerer, ICommand
from tests.terminal.fake_client import FakeClient

NOW = 1_700_000_000.0


class RecordingScreen:
    """Records what is shown."""

    def __init__(self):
        self.lines = []
        self.notices = []
        self.messages = []
        self.left = 0

    @property
    def shown(self):
        return [look.plain(line) for line in self.lines]

    def show(self, lines):
        self.lines.extend(lines)
        return succeed(None)

    def notice(self, text):
        self.notices.append(text)

    def message(self, message, *, own):
        self.messages.append((message, own))

    def refresh(self):
        """Do nothing: no test looks at it."""

    def leave(self):
        self.left += 1


class CommandTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.client = FakeClient()
        self.screen = RecordingScreen()
        ids = map(str, count())
        self.chat = Chat(self.client, self.screen, self.clock, lambda: NOW, lambda: next(ids))
        self.interpreter = Interpreter(self.chat, all_commands())
        self.client.people = {"bob": 1001, "🦊 fox": 1002, "bobby": 1003}
        self.client.ready()
        self.clock.advance(1)
        self.client.calls.clear()
        self.addCleanup(self.finish)

    def finish(self):
        self.chat.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def line(self, line):
        return self.successResultOf(Deferred.fromCoroutine(self.interpreter.line(line)))

    def sends(self):
        found = [call[1:] for call in self.client.calls if call[0] == "send"]
        self.client.calls = [call for call in self.client.calls if call[0] != "send"]
        return found

    def did(self, name):
        return [call[1:] for call in self.client.calls if call[0] == name]

    def notice(self, line):
        """Enter a line whose only effect is one notice, and return the notice."""
        before = list(self.client.calls)
        self.line(line)
        [notice] = self.screen.notices
        self.screen.notices.clear()
        self.assertEqual((self.client.calls, self.screen.shown, self.screen.left), (before, [], 0))
        return notice


class InterpreterTests(CommandTestCase):
    def test_a_line_goes_to_everyone_unchanged(self):
        for line in ("hello", "你好 👋", "  spaces stay  ", "a; b", "1000;x", ":smile: hi", "mail me @ home"):
            self.line(line)
            self.assertEqual(self.sends(), [("g:0", line)])
        self.assertEqual(self.screen.notices, [])

    def test_private(self):
        for line, sent in (
            ("1000;;hi", (1000, "hi")),
            (" 1000 ;; hi ", (1000, " hi ")),
            ("1000;;a;;b;;;c", (1000, "a;;b;;;c")),
            ("1000;;:q!", (1000, ":q!")),
            ("@bob hi", (1001, "hi")),
            ("@bobby  hi", (1003, "hi")),
            ("@everyone hi", ("g:0", "hi")),
        ):
            self.line(line)
            self.assertEqual(self.sends(), [sent])

    def test_a_name_with_a_space(self):
        for known in (False, True):
            if known:
                self.chat.learn([User(1002, "🦊 fox")])
            for line in ('@"🦊 fox" hi there', '@"🦊 fox"\nhi there', '  :to "🦊 fox"'.strip()):
                self.line(line)
            self.assertEqual(self.sends(), [(1002, "hi there")] * 2)
            self.assertEqual(self.screen.notices.pop(), 'you are now talking to "🦊 fox" (id 1002)')
            self.chat.go_to(EVERYONE)

    def test_a_private_message_never_goes_to_somebody_whose_name_begins_so(self):
        """Not even if that user is known, and the one who is meant is not."""
        self.client.people |= {"bob hi": 1004, "bob": 1001}
        self.chat.learn([User(1004, "bob hi")])
        for line in ("@bob hi the code is 0815", "@bob\nhi", '@"bob" hi'):
            self.line(line)
        self.assertEqual([to for to, _ in self.sends()], [1001] * 3)
        self.line('@"bob hi" the code')
        self.assertEqual(self.sends(), [(1004, "the code")])
        del self.client.people["bob"], self.chat.users["bob"]
        self.assertIn("a name with spaces is typed in quotes", self.notice("@bob hi the code is 0815"))

    def test_commands_take_names_with_spaces_in_quotes_alone(self):
        self.client.people["bob hi"] = 1004
        self.client.create_group("Our Team")
        self.chat.learn([User(1004, "bob hi")])
        self.client.calls.clear()
        for line in (
            ":block bob hi",
            ":unblock bob hi",
            ":to bob hi",
            ":read bob hi",
            ":who bob hi",
            ":leave Our Team",
        ):
            self.line(line)
            self.assertIn("a name with spaces is typed in quotes:", self.screen.notices.pop(), line)
        self.line(":invite bob hi")
        self.assertIn('not in a group called "hi"', self.screen.notices.pop())
        for line in ('@"bob hi x', '@"bob hi"x y', ':to "bob hi', ':block "bob"hi'):
            self.line(line)
            self.assertIn("a name in quotes ends with", self.screen.notices.pop(), line)
        self.assertEqual(([*self.did("block"), *self.did("invite"), *self.did("leave")], self.sends()), ([], []))
        self.line(':invite "bob hi" "Our Team"')
        self.line(':block "bob hi"')
        self.line(':unblock @"bob hi"')
        self.line(':leave "Our Team"')
        done = [self.did(what) for what in ("invite", "block", "unblock", "leave")]
        self.assertEqual(done, [[(1, 1004, "member")], [(1004,)], [(1004,)], [(1,)]])

    def test_digits_are_an_id(self):
        """So a name of digits is not taken for somebody else's id."""
        self.client.people["1001"] = 1004
        self.client.online_now = [User(1004, "1001"), User(1001, "bob")]
        self.line(":olu")
        self.assertEqual(self.screen.shown, ['1004 "1001"', "1001 bob", "2 online"])
        self.screen.lines.clear()
        for line in (":block 1001", "@1001 hi", "1001;;hi", ":to 1001", ":who 1001"):
            self.line(line)
        self.assertEqual((self.did("block"), self.sends()), ([(1001,)], [(1001, "hi")] * 2))
        self.assertEqual((self.chat.current.to, self.screen.shown), (1001, ["1001 bob is online"]))
        for line in (':block "1001"', '@"1001" hi', '@"1001" hi', ':who "1001"'):
            self.line(line)
        self.assertEqual((self.did("block")[1:], self.sends()), ([(1004,)], [(1004, "hi")] * 2))
        self.assertEqual(self.screen.shown[-1], '1004 "1001" is online')
        self.line(":unblock 1001")
        self.line(':unblock "1001"')
        self.assertEqual(self.did("unblock"), [(1001,), (1004,)])
        self.client.people["77"] = 1005
        self.line(":block 77")
        self.assertIn('no user with the id 77; a name of digits is typed in quotes: "77"', self.screen.notices[-1])
        for digits in ("0", "9" * 20, "9" * 5000):
            self.line(f":block {digits}")
            self.assertIn("user id must be between", self.screen.notices[-1])

    def test_words_of_the_terminal_are_nobodys_name(self):
        self.client.people |= {"everyone": 1004, "Me": 1005}
        for line in ("@everyone hi", '@"everyone" psst', ':to "everyone"', "hi", ":to everyone", "hi"):
            self.line(line)
        self.assertEqual(self.sends(), [("g:0", "hi"), (1004, "psst"), (1004, "hi"), ("g:0", "hi")])
        self.assertEqual(typed_name("Me"), '"Me"')

    def test_names_that_hold_what_nobody_sees(self):
        """They are shown so that nobody is confused, and can be typed as they are shown."""
        self.client.people["bo\u200bb"] = 1004
        self.client.online_now = [User(1001, "bob"), User(1004, "bo\u200bb")]
        self.client.my_groups = {5: Group(5, "fri\u202eends", False, False, 2)}
        self.client.in_groups = {5: [Member(User(1004, "bo\u200bb"), "owner")]}
        self.client.push(1004, "bo\u200bb", "pay me")
        for line in (":olu", ":pu bo", ":who 1004", ":groups", ":members 5", ":history bo<U+200B>b", ":to bo<U+200B>b"):
            self.line(line)
            said = self.screen.shown + self.screen.notices
            self.assertIn("<U+2", "".join(said), line)
            self.assertTrue(all("\u200b" not in one and "\u202e" not in one for one in said), (line, said))
            self.screen.lines.clear()
            self.screen.notices.clear()
        self.line("hi")
        self.line("@bo<U+200B>b hi there")
        self.line("@bob hi bob")
        self.assertEqual(self.sends(), [(1004, "hi"), (1004, "hi there"), (1001, "hi bob")])
        self.line(":who bo<U+200B>b")
        self.assertEqual(self.screen.shown, ["1004 bo<U+200B>b is online"])

    def test_private_to_an_invalid_id(self):
        for head in ("bob", "", "-1", "1.5", "²", "9" * 30, "0", str(1 << 53)):
            self.assertIn("id", self.notice(f"{head};;hi"))

    def test_private_to_an_unknown_name(self):
        self.assertIn('no user "nobody", so nothing was sent', self.notice("@nobody hi"))

    def test_commands_of_other_programs_are_not_said(self):
        for line, ours in (
            ("/quit", ":q!"),
            ("/help me", ":help"),
            ("/join #team secret", ":join"),
            ("/msg bob hi", "@name text"),
            ("/nick bob", "commands begin with a colon"),
        ):
            self.line(line)
            self.assertIn(f"{line.split()[0]} was not sent", self.screen.notices[-1])
            self.assertIn(ours, self.screen.notices[-1])
        self.assertEqual(self.did("send_group") + self.did("send"), [])

    def test_what_begins_with_a_slash_and_is_said(self):
        lines = ["/etc/hosts is empty", " /quit is a command", "/", "/2 of them", "//", "/Team/ is a folder"]
        for line in lines:
            self.line(line)
        self.assertEqual([said.text for said in self.client.said], lines)

    def test_a_recall_does_not_repeat_what_was_taken_back(self):
        self.client.push(1001, "bob", "a secret", position="1-1", group=0)
        recall = self.client.push(1001, "bob", "", kind=Kind.RECALL, ref="1-1", position="1-2", group=0)
        line = "".join(text for _, text in message_spans(self.chat, recall))
        self.assertIn("bob", line)
        self.assertTrue(line.endswith(" took back a message"), line)

    def test_blank_lines_warn(self):
        for line in ("", "   ", "\t", "1000;;", "1000;;  ", "@", "@bob", "@bob  "):
            self.assertIn("blank", self.notice(line))

    def test_an_unknown_command_explains_itself(self):
        for line in (":x", ":)", ":", ":ollu", ":Q!"):
            self.assertIn(":all", self.notice(line))

    def test_failures_say_whether_the_line_was_sent(self):
        for error, fate in (
            (Unreachable("no route"), "was not sent: no route"),
            (Unavailable("timeout"), "may or may not have been sent: timeout"),
            (UserOffline("gone"), "was not delivered: gone"),
            (CIMError("no"), "was not delivered: no"),
        ):
            self.client.errors["send"] = error
            self.line("hello")
            self.assertEqual(self.screen.notices.pop(), f'"hello" {fate}')
        self.client.errors["online"] = Unavailable("away")
        self.line(":olu")
        self.assertIn("not possible at the moment", self.screen.notices.pop())
        self.client.errors["groups"] = NotSupported("not here")
        self.line(":groups")
        self.assertEqual(self.screen.notices.pop(), ":groups: not here")

    def test_long_lines_are_quoted_only_in_part(self):
        self.client.errors["send"] = UserOffline("gone")
        self.line("x" * 1000)
        self.assertLess(len(self.screen.notices.pop()), 100)

    def test_a_command_that_raises_does_not_end_the_program(self):
        class Broken(Command):
            words = (":b",)

            async def run(self, chat, rest):
                raise ZeroDivisionError

        interpreter = Interpreter(self.chat, [Broken()])
        self.successResultOf(Deferred.fromCoroutine(interpreter.line(":b now")))
        self.assertEqual(self.screen.notices, ['":b now" failed: ZeroDivisionError; the log has the details'])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_giving_up_says_that_the_fate_is_unknown(self):
        self.client.held = []
        going = Deferred.fromCoroutine(self.interpreter.line("hello"))
        going.cancel()
        self.failureResultOf(going, CancelledError)
        self.assertIn("may or may not", self.screen.notices[0])

    def test_a_command_of_an_application(self):
        @implementer(ICommand, IPlugin)
        class Weather:
            words = (":weather", ":all")
            usage = "<city>"
            summary = "tell the weather"
            help = completes = ""

            def run(self, chat, rest):
                if not rest:
                    raise Misuse("which city?")
                return chat.screen.show([f"it rains in {rest}"])

        interpreter = Interpreter(self.chat, [*all_commands(), Weather()])
        for line in (":weather Rome", ":all", ":weather"):
            self.successResultOf(Deferred.fromCoroutine(interpreter.line(line)))
        self.assertEqual(self.screen.shown, ["it rains in Rome"])
        self.assertEqual(self.screen.notices, ["which city? (usage: :weather <city>)"] * 2)

    def test_every_command_provides_the_interface(self):
        words = []
        for command in all_commands():
            verifyObject(ICommand, command)
            verifyObject(IPlugin, command)
            words += command.words
            self.assertTrue(command.summary)
            self.assertIn(command.completes, ("", "users", "groups", "talks", "commands", "files"))
        self.assertEqual(len(set(words)), len(words))


class PluginTests(SynchronousTestCase):
    def test_a_command_in_a_folder_of_plugins_is_found(self):
        self.found("from cim.terminal.console.commands import Command")

    def test_a_command_written_for_the_first_release_is_found(self):
        self.found(
            "from cim.client.console.commands import Command, Misuse\n"
            "from cim.client.iconsole import ICommand\n"
            "assert ICommand.implementedBy(Command)"
        )

    def found(self, imports):
        folder = Path(self.mktemp()).absolute()
        (folder / "twisted" / "plugins").mkdir(parents=True)
        (folder / "twisted" / "plugins" / "shouting.py").write_text(
            f"{imports}\n"
            "class Shout(Command):\n    words = (':shout',)\n    summary = 'say something loudly'\n"
            "shout = Shout()\n"
        )
        code = "from cim.terminal.console.commands import all_commands; print(all_commands()[-1].words)"
        path = os.pathsep.join((str(folder), str(Path(__file__).parents[2])))
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=60
        )
        self.assertEqual(done.stdout, b"(':shout',)\n", done.stderr)


class UpstreamCommandTests(CommandTestCase):
    def test_leave(self):
        for line in (":q!", ":q", "  :q".strip(), ":q  "):
            self.line(line)
        self.assertEqual(self.screen.left, 4)
        self.assertEqual((self.screen.notices, self.sends()), ([], []))
        self.line(":q! now")
        self.assertEqual(self.screen.left, 4)

    def test_users_online_and_their_number(self):
        self.client.online_now = [User(1001, "bob"), User(1000, "alice")]
        self.line(":olu")
        self.assertEqual(self.screen.shown, ["1000 alice", "1001 bob", "2 online"])

    def test_nobody_online(self):
        self.line(":olu")
        self.assertEqual(self.screen.shown, ["0 online"])

    def test_more_users_online_than_can_be_shown(self):
        self.client.online_now = [User(n, f"u{n:04}") for n in range(1, 1201)]
        self.line(":olu")
        self.assertEqual(len(self.screen.shown), 502)
        self.assertIn("and 700 more", self.screen.shown[-2])
        self.assertEqual(self.screen.shown[-1], "1200 online")

    def test_by_prefix(self):
        self.client.online_now = [User(1001, "bob"), User(1003, "bobby"), User(1000, "alice")]
        self.line(":pu bob")
        self.assertEqual(self.screen.shown, ["1001 bob", "1003 bobby", "2 online whose names begin with bob"])
        self.assertEqual(self.screen.lines[1], [("", "1003 "), ("hit", "bob"), ("", "by")])

    def test_all_lists_every_command_within_80_columns(self):
        self.line(":all")
        self.assertLessEqual(max(map(len, self.screen.notices)), 78)
        text = "\n".join(self.screen.notices)
        for command in all_commands():
            for word in command.words:
                self.assertIn(word, text)
            self.assertIn(command.summary, text)

    def test_help(self):
        self.line(":help")
        for command in all_commands():
            self.screen.notices.clear()
            self.line(f":help {command.words[0]}")
            self.assertIn(command.summary, self.screen.notices[0])
            self.assertNotIn("\n", "".join(self.screen.notices))
        self.line(":help delay")
        self.assertIn(":delay <text> <seconds>", self.screen.notices[-2])
        self.line(":help nothing")
        self.assertIn("no command :nothing", self.screen.notices[-1])

    def test_search_marks_hits(self):
        self.client.push(1001, "bob", "Hello World, hello")
        self.client.push(1001, "bob", "other")
        self.line(":q hello")
        [line] = self.screen.lines
        self.assertEqual([text for style, text in line if style == "hit"], ["Hello", "hello"])

    def test_search_without_hits(self):
        self.line(":q nothing of it")
        self.assertEqual(self.screen.shown, ["nothing was found"])
        self.assertEqual(self.did("search"), [("nothing of it",)])

    def test_a_guest_finds_messages_of_this_run(self):
        self.client.push(1001, "bob", "Hello World", group=0)
        self.client.search = lambda text, limit: succeed([])
        self.client.errors["history"] = NotSupported("not here")
        self.line(":q hello")
        self.line(":history")
        self.assertEqual([line[-16:] for line in self.screen.shown], ["bob: Hello World"] * 2)

    def test_another_password(self):
        self.line(":password secret")
        self.assertIn("nothing was changed: type :password alone", self.screen.notices[-1])
        for typed in ("old", "new one", "new one"), ("old", "new one", "other"), ("old", ""):
            setting = Deferred.fromCoroutine(self.interpreter.line(":password"))
            for line in typed:
                self.assertTrue(self.chat.question.secret)
                self.assertTrue(self.chat.question.answer(line))
            self.successResultOf(setting)
            self.assertFalse(self.chat.question.secret)
        self.assertEqual(self.did("change_password"), [("new one", "old")])
        self.assertEqual(
            [notice for notice in self.screen.notices if "changed" in notice][1:],
            [
                "the password is changed, and other sessions of yours have ended",
                "nothing was changed: they differ (usage: :password)",
                "nothing was changed: no password was typed (usage: :password)",
            ],
        )
        self.chat.question.asks = False
        self.line(":password")
        self.assertIn("there is nobody to ask", self.screen.notices[-1])

    def test_another_password_while_the_login_asks_something(self):
        code = self.chat.question.ask("an invitation, please")
        setting = Deferred.fromCoroutine(self.interpreter.line(":password"))
        self.assertFalse(self.chat.question.secret)
        self.assertTrue(self.chat.question.answer("the code"))
        self.assertEqual(self.successResultOf(code), "the code")
        password = self.chat.question.ask_secret("the password of alice")
        for line in "old", "right", "new one", "new one":
            self.assertTrue(self.chat.question.answer(line))
        self.assertEqual(self.successResultOf(password), "right")
        self.successResultOf(setting)
        self.assertEqual(self.did("change_password"), [("new one", "old")])
        self.assertFalse(self.chat.question.answer("a text"))

    def test_questions_that_nobody_asks_any_more(self):
        question, hidden = self.chat.question, []
        question.hide = hidden.append
        asked = [question.ask_secret(f"{number}?") for number in range(4)]
        for answer in asked:
            answer.addErrback(lambda failure: failure.trap(CancelledError))
        asked[1].cancel()
        asked[0].cancel()
        self.assertEqual((self.screen.notices, hidden), (["0?", "2?"], [True, False, True]))
        question.close()
        asked[2].cancel()
        asked[3].cancel()
        self.assertEqual((self.screen.notices, hidden), (["0?", "2?"], [True, False, True, False]))

    def test_another_password_than_the_one_that_was_made(self):
        self.chat.passwords = DataDirectory(self.mktemp())
        self.chat.passwords.make_password()
        setting = Deferred.fromCoroutine(self.interpreter.line(":password"))
        for line in "new one", "new one":
            self.chat.question.answer(line)
        self.successResultOf(setting)
        self.assertEqual(self.did("change_password"), [("new one", "")])
        self.assertEqual(self.chat.passwords.password(), "new one")
        self.assertEqual(os.stat(self.chat.passwords.password_file).st_mode & 0o777, 0o600)
        self.client.errors["change_password"] = Forbidden("the current password is wrong")
        setting = Deferred.fromCoroutine(self.interpreter.line(":password"))
        for line in "newer", "newer", "wrong":
            self.chat.question.answer(line)
        self.successResultOf(setting)
        self.assertEqual(self.did("change_password")[1:], [("newer", ""), ("newer", "wrong")])
        self.assertEqual(self.chat.passwords.password(), "new one")

    def test_info(self):
        self.line(":info")
        text = "\n".join(self.screen.shown)
        for what in ("alice (id 1000)", "ready", "everyone"):
            self.assertIn(what, text)

    def test_emoji(self):
        self.line(":emoji 0")
        self.assertEqual(len(self.screen.shown), 5)
        self.screen.lines.clear()
        self.line(":emoji smile")
        self.assertIn("😄 :smile:", self.screen.shown)
        self.screen.lines.clear()
        for line in (":emoji", ":emoji 99999", ":emoji nosuchthing", ":emoji ²"):
            self.assertIn(":emoji <page or word>", self.notice(line))

    def test_delay(self):
        self.line(":delay two words 5")
        self.clock.advance(4.9)
        self.assertEqual(self.sends(), [])
        self.chat.go_to(self.chat.private(User(1001, "bob")))
        self.clock.advance(0.2)
        self.assertEqual(self.sends(), [("g:0", "two words")])

    def test_a_delayed_message_that_fails_says_so(self):
        self.line(":delay hi 1")
        self.client.errors["send"] = Forbidden("no")
        self.clock.advance(1)
        self.assertIn("'hi' was not sent: no", self.screen.notices[-1])

    def test_a_malformed_delay(self):
        for line in (":delay", ":delay 5", ":delay text", ":delay two words", ":delay x -1", ":delay x 1e9"):
            self.assertIn(":delay <text> <seconds>", self.notice(line))

    def test_the_robot(self):
        self.line(":ai")
        self.line("你好吗？")
        self.assertEqual(self.screen.shown[-1], "AI: 我好!")
        self.line(":qai")
        self.assertEqual(self.sends(), [])
        self.line("hi")
        self.assertEqual(self.sends(), [("g:0", "hi")])
        self.assertIn("not on", self.screen.notices[-1] if self.line(":qai") is None else "")

    def test_an_asynchronous_answerer(self):
        @implementer(IAnswerer)
        class Later:
            greeting, farewell = "hello", "bye"

            def __init__(self):
                self.answers = Deferred()

            def answer(self, text):
                return self.answers

        self.chat.answerer = verified = Later()
        verifyObject(IAnswerer, verified)
        self.line(":ai")
        asking = Deferred.fromCoroutine(self.interpreter.line("how?"))
        self.assertNoResult(asking)
        verified.answers.callback("so")
        self.successResultOf(asking)
        self.assertEqual(self.screen.shown, ["hello", "AI: so"])
        verified.answers = fail(ValueError("broken"))
        self.line("how?")
        self.assertIn("ValueError", self.screen.notices[-1])
        self.flushLoggedErrors(ValueError)


class TalkCommandTests(CommandTestCase):
    def test_staying_in_a_talk(self):
        self.line(":to bob")
        self.line("hi")
        self.line(":to")
        self.line("all")
        self.assertEqual(self.sends(), [(1001, "hi"), ("g:0", "all")])
        self.line(":to nobody")
        self.assertIn('no user "nobody"', self.screen.notices[-1])
        self.assertEqual(self.chat.current.title, "everyone")

    def test_unread(self):
        self.client.push(1001, "bob", "one")
        self.client.push(1001, "bob", "two")
        self.client.push(1001, "bob", "for all", group=0)
        self.assertEqual(self.chat.unread, {"p:1000:1001": 2})
        self.line(":read")
        self.assertEqual(self.screen.shown, ["   2 bob"])
        self.line(":read bob")
        self.assertEqual([line.rpartition(": ")[2] for line in self.screen.shown[1:]], ["one", "two"])
        self.assertEqual(self.did("mark_read"), [("p:1000:1001", "1-2")])
        self.assertEqual(self.chat.unread, {})

    def shown_texts(self):
        shown = [line.rpartition(": ")[2] for line in self.screen.shown]
        self.screen.lines.clear()
        return shown

    def test_reading_begins_at_the_mark_and_goes_on_where_it_ended(self):
        said = [self.client.push(1001, "bob", f"m{n}") for n in range(1, 251)]
        self.client.talks = [Conversation("p:1000:1001", "bob", 240, "1-250", "1-10")]
        for first, last, left in ((11, 110, 140), (111, 210, 40), (211, 250, 0)):
            self.line(":read bob")
            self.assertEqual(self.shown_texts(), [f"m{n}" for n in range(first, last + 1)])
            self.assertEqual(self.did("mark_read")[-1], ("p:1000:1001", f"1-{last}"))
            self.assertEqual(self.chat.unread, {"p:1000:1001": left} if left else {})
            self.client.talks = [Conversation("p:1000:1001", "bob", left, "1-250", said[last - 1].position)]
        self.assertIn("40 more are unread: :read bob goes on", self.screen.notices)
        self.line(":read bob")
        self.assertEqual(self.screen.shown, ["nothing is unread"])

    def test_history_does_not_mark_as_read_what_it_does_not_show(self):
        for n in range(5):
            self.client.push(1001, "bob", f"m{n}")
        self.line(":history bob 3")
        self.assertEqual((self.chat.unread, self.did("mark_read")), ({"p:1000:1001": 5}, []))
        self.assertEqual(self.screen.notices[-1], "2 more are unread: :read bob")
        self.line(":history bob")
        self.assertEqual((self.chat.unread, self.did("mark_read")), ({}, [("p:1000:1001", "")]))

    def test_recalled_messages_are_not_unread(self):
        said = [self.client.push(1001, "bob", text) for text in "abc"]
        self.client.push(1001, "bob", "", kind=Kind.RECALL, ref=said[1].position)
        self.assertEqual(self.chat.unread, {"p:1000:1001": 2})
        self.line(":read bob")
        self.client.push(1001, "bob", "d")
        self.client.push(1001, "bob", "", kind=Kind.RECALL, ref=said[0].position)
        self.assertEqual(self.chat.unread, {"p:1000:1001": 1})

    def test_what_another_device_read_is_asked_for_unless_it_is_all(self):
        said = [self.client.push(1001, "bob", text) for text in "abc"]
        self.client.talks = [Conversation("p:1000:1001", "bob", 1, "1-3", "1-2")]
        self.client.tell("receipt", Receipt("p:1000:1001", 1000, said[1].position))
        self.clock.advance(2)
        self.assertEqual(self.chat.unread, {"p:1000:1001": 1})
        self.client.tell("receipt", Receipt("p:1000:1001", 1000, said[2].position))
        self.assertEqual(self.chat.unread, {})

    def test_edited_messages_are_marked(self):
        self.client.push(1001, "bob", "better", edited=True)
        for line in (":history bob", ":q better", ":read bob"):
            self.screen.lines.clear()
            self.line(line)
            self.assertTrue(self.screen.shown[0].endswith("bob → me (edited): better"), (line, self.screen.shown))
            self.chat.unread.listed([Conversation("p:1000:1001", "bob", 1, "1-1", "")])

    def test_typing_marks_the_current_conversation_as_read(self):
        self.line(":to bob")
        self.client.push(1001, "bob", "one")
        self.assertEqual(self.chat.unread, {"p:1000:1001": 1})
        self.chat.attend()
        self.assertEqual((self.chat.unread, self.did("mark_read")), ({}, [("p:1000:1001", "")]))

    def test_unread_counts_come_from_the_server_and_are_not_counted_twice(self):
        self.client.talks = [Conversation("p:1000:1001", "bob", 3, "1-7", "")]
        self.client.tell("state", State.READY, "")
        self.clock.advance(1)
        self.client.push(1001, "bob", "counted", position="1-7")
        self.assertEqual(self.chat.unread, {"p:1000:1001": 3})
        self.client.push(1001, "bob", "new", position="1-8")
        self.assertEqual(self.chat.unread, {"p:1000:1001": 4})
        self.client.tell("receipt", Receipt("p:1000:1001", 1000, "1-8"))
        self.assertEqual(self.chat.unread, {}, "read on another device")

    def test_history_numbers_messages_and_edits_accept_the_numbers(self):
        self.line("first")
        self.line("second")
        self.line(":history")
        self.assertEqual([line[:3] for line in self.screen.shown], ["#2 ", "#1 "])
        self.line(":edit #2 better")
        self.line(":recall #1")
        self.line(":edit newest")
        self.assertEqual(self.did("edit"), [("g:0", "1-1", "better"), ("g:0", "1-2", "newest")])
        self.assertEqual(self.did("recall"), [("g:0", "1-2")])
        self.line(":recall #3")
        self.assertIn("no message #3", self.screen.notices[-1])
        self.line(":edit #1")
        self.assertIn(":edit [#n] <text>", self.screen.notices[-1])

    def test_history_of_another_talk(self):
        self.client.push(1001, "bob", "hi")
        self.line(":history bob 5")
        self.assertEqual(self.did("history"), [("p:1000:1001", 5)])
        self.assertTrue(self.screen.shown[0].endswith("bob → me: hi"), self.screen.shown)

    def test_report(self):
        self.line(":report")
        self.assertIn("nobody else has said anything", self.screen.notices[-1])
        self.client.push(1001, "bob", "buy this", group=0)
        self.line(":report spam")
        self.line(":history")
        self.line(":report #1")
        self.assertEqual(self.did("report"), [("g:0", "1-1", "spam"), ("g:0", "1-1", "")])
        self.assertIn("reported", self.screen.notices[-1])

    def test_react(self):
        self.line(":react 👍")
        self.assertIn("nobody else has said anything", self.screen.notices[-1])
        self.client.push(1001, "bob", "hi", group=0)
        self.line(":react :thumbsup:")
        self.line(":react")
        self.assertEqual(self.did("react"), [("g:0", "1-1", "👍"), ("g:0", "1-1", "")])

    def test_a_read_mark_of_another_user(self):
        self.chat.learn([User(1001, "bob")])
        self.line("@bob one")
        self.client.tell("receipt", Receipt("p:1000:1001", 1001, "1-1"))
        self.client.tell("receipt", Receipt("p:1000:1001", 1001, "1-1"))
        self.assertEqual(self.screen.shown, ["      ✓✓ bob has read"])
        self.line(":history bob")
        self.assertIn("✓✓ me → bob: one", self.screen.shown[-1])

    def test_an_own_message_is_shown_once_whether_the_echo_or_the_answer_comes_first(self):
        self.line("echoed")
        self.client.echoes = False
        self.line("not echoed")
        self.assertEqual(
            [(message.text, own) for message, own in self.screen.messages], [("echoed", True), ("not echoed", True)]
        )
        self.assertEqual(self.chat.unsent, {})

    def test_a_rate_limited_message_is_retried_later(self):
        self.client.errors["send"] = RateLimited("too many", 2)
        going = Deferred.fromCoroutine(self.interpreter.line("hello"))
        self.assertNoResult(going)
        self.assertEqual(len(self.chat.unsent), 1)
        del self.client.errors["send"]
        self.clock.advance(2)
        self.successResultOf(going)
        self.assertEqual((len(self.sends()), self.screen.notices), (2, []))
        self.client.errors["send"] = RateLimited("too many", 2)
        going = Deferred.fromCoroutine(self.interpreter.line("hello"))
        self.clock.pump([2] * 40)
        self.successResultOf(going)
        self.assertIn("was not delivered: too many", self.screen.notices[0])
        self.chat.say_later(self.chat.current, "x")
        self.chat.close()

    def test_unsent_messages(self):
        self.client.held = []
        going = Deferred.fromCoroutine(self.interpreter.line("hello"))
        self.assertEqual([one.text for one in self.chat.unsent.values()], ["hello"])
        self.client.release()
        self.successResultOf(going)
        self.assertEqual(self.chat.unsent, {})

    def test_typing_and_presence(self):
        self.line(":to bob")
        self.assertIn(("watch", [1001]), self.client.calls)
        self.client.tell("typing", Typing("p:1000:1001", 1001))
        self.client.tell("typing", Typing("p:1000:1001", 1001))
        self.assertEqual(self.chat.typists(), ["bob"])
        self.clock.advance(6)
        self.assertEqual(self.chat.typists(), [])
        for online in (True, True, False):
            self.client.tell("presence", Presence(1001, online))
        self.assertEqual(self.screen.shown, ["      bob has gone offline"])

    def test_who(self):
        self.client.online_now = [User(1001, "bob"), User(1003, "bobby")]
        self.line(":who bob")
        self.line(":who 1002")
        self.assertEqual(self.screen.shown, ["1001 bob is online", '1002 "🦊 fox" is not online'])
        self.line(":who")
        self.line(":who nobody")
        self.assertIn(":who <name or id>", self.screen.notices[0])
        self.assertIn('no user "nobody"', self.screen.notices[1])


class FileTests(CommandTestCase):
    def send(self, data):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        self.line(f":send {path}")
        return [text for _, text in self.sends()]

    def test_a_small_file_is_one_message(self):
        self.assertEqual(self.send("一\ntwo\n".encode()), ["一\ntwo"])
        self.assertEqual(self.screen.notices, [])

    def test_a_large_file_is_sent_in_parts_with_progress(self):
        text = "".join(f"{n} {'文' * 40}\n" for n in range(2000))
        parts = self.send(text.encode())
        self.assertGreater(len(parts), 10)
        self.assertEqual("\n".join(parts) + "\n", text)
        self.assertLessEqual(max(len(part.encode()) for part in parts), 16 << 10)
        self.assertIn("100 %", self.screen.notices[-1])
        self.assertLess(len(self.screen.notices), 12)

    def test_a_file_of_one_long_line(self):
        parts = self.send(b"x" * 100_000)
        self.assertEqual("".join(parts), "x" * 100_000)

    def test_files_that_cannot_be_sent(self):
        for data, why in ((b"", "is empty"), (b"\xff\xfe", "not UTF-8"), (b"x" * (4 << 20) + b"x", "larger than")):
            self.assertEqual(self.send(data), [])
            self.assertIn(why, self.screen.notices.pop())
        for path, why in ((self.mktemp(), "No such file"), ("/", "cannot read"), ("/dev/zero", "not a regular file")):
            self.assertIn(why, self.notice(f":send {path}"))
        self.assertIn(":send <file>", self.notice(":send"))


class GroupCommandTests(CommandTestCase):
    def test_create_and_talk(self):
        self.line(":create open Our Team")
        self.assertEqual(self.did("create_group"), [("Our Team", True, False)])
        self.line("hi")
        self.assertEqual(self.sends(), [("g:1", "hi")])
        self.assertIn(":join 1", self.screen.notices[-1])
        self.line(':to "Our Team"')
        self.line(":groups")
        self.assertEqual(self.screen.shown, ['g:1 "Our Team": 1 member (open)'])
        self.line(':create "Their Team"')
        self.assertEqual(self.did("create_group")[1:], [("Their Team", False, False)])

    def test_invite_and_members(self):
        self.line(":create Team")
        self.line(":invite bob")
        self.line(':invite "🦊 fox" Team')
        self.assertEqual(self.did("invite"), [(1, 1001, "member"), (1, 1002, "member")])
        self.client.in_groups[1].append(Member(User(1001, "bob"), "member"))
        self.line(":members")
        self.assertEqual(self.screen.shown, ["1000 alice (owner)", "1001 bob", "2 in Team"])

    def test_what_happens_to_a_group_is_shown(self):
        self.line(":create Team")
        changes = (
            Change("joined", 1001, 1001),
            Change("accepted", 1001, 1000),
            Change("added", 7, 0),
            Change("removed", 1001, 1000),
            Change("renamed", 1000, 1000, "Our Team"),
            *[Change("left", 1001, 1001)] * 3,
        )
        self.client.tell("members", Members(1, "g:1", "1-9", 5, changes))
        self.assertEqual(
            self.screen.shown[-1].strip(),
            '["Our Team"] bob joined, bob joined, invited by me, an operator added 7, me removed bob, '
            'me named it "Our Team", and 3 more',
        )
        for change, line in (
            (Change("left", 1001, 1001), "bob left"),
            (Change("role", 1001, 1000, "admin"), "me made bob admin"),
            (Change("renamed", 0, 0, "Our Team"), 'an operator named it "Our Team"'),
            (Change("open", 1000, 1000, "yes"), "me let anyone join"),
            (Change("history", 1000, 1000, "no"), "me let new members no longer read what is said before they join"),
            (Change("muted", 1001, 1000, "0"), "me muted bob"),
            (Change("muted", 0, 1000, "5"), "me muted all but admins"),
            (Change("unmuted", 0, 0), "an operator let all but admins write again"),
            (Change("banned", 1001, 1000), "me banned bob"),
            (Change("unbanned", 1001, 1000), "me let bob come back"),
            (Change("dissolved", 1000, 1000), "me dissolved it"),
            (Change("something new", 1001, 0), "bob: something new"),
        ):
            self.client.tell("members", Members(1, "g:1", "1-9", 5, (change,)))
            self.assertEqual(self.screen.shown[-1].strip(), f'["Our Team"] {line}')

    def test_invitations(self):
        self.line(":create Team")
        self.line(":invite bob")
        self.assertIn("bob is invited to Team", self.screen.notices[-1])
        self.client.direct = True
        self.line(":invite bob")
        self.assertEqual(self.screen.notices[-1], "bob is now in Team")
        self.line(":invitations")
        self.assertEqual(self.screen.shown, ["you are not invited to any group"])
        self.line(":accept")
        self.assertIn(":invitations lists", self.screen.notices[-1])
        theirs = Invitation(7, "their team", User(1001, "bob"), 5)
        self.client.invited = [theirs, Invitation(8, "another", User(1001, "bob"), 6)]
        self.client.tell("invited", theirs)
        self.assertEqual(
            self.screen.shown[-1].strip(), 'bob invites you to the group "their team": :accept 7 or :decline 7'
        )
        self.line(":invitations")
        self.assertEqual(self.screen.shown[-2:], ['g:7 "their team", by bob', "g:8 another, by bob"])
        self.line(":accept")
        self.assertIn("give the id of one group", self.screen.notices[-1])
        self.line(':accept "their team"')
        self.assertEqual((self.did("accept"), self.chat.current.name), ([(7,)], "g:7"))
        self.line(":decline g:8")
        self.line(":decline 9")
        self.assertEqual(self.did("decline"), [(8,), (9,)])
        said = ["you declined the invitation to another", "you declined the invitation to the group 9"]
        self.assertEqual(self.screen.notices[-2:], said)

    def test_moderation(self):
        self.line(":create Team")
        for line, name, call, said in (
            (":mute bob 2h", "mute", (1, 1001, 7200), "bob writes nothing here until 2023-11-14 22:13 UTC"),
            (":mute all", "mute", (1, 0, None), "whoever is no admin writes nothing here until somebody ends it"),
            (":unmute bob", "unmute", (1, 1001), "bob may write here again"),
            (":unmute all", "unmute", (1, 0), "everybody may write here again"),
            (":remove bob", "remove", (1, 1001), "bob is not in Team any more"),
            (":ban bob", "ban", (1, 1001), "bob is banned from Team"),
            (":unban bob", "unban", (1, 1001), "bob may come back to Team"),
            (
                ":group open",
                "edit_group",
                (1, True, None),
                "anyone may join, and new members may not read what is said before they join",
            ),
            (
                ":group history",
                "edit_group",
                (1, None, True),
                "anyone may join, and new members may read what is said before they join",
            ),
        ):
            self.line(line)
            self.assertEqual((self.did(name)[-1], self.screen.notices[-1]), (call, said))
        for line in (":mute", ":mute bob 2y", ":mute bob 0m", ":unmute", ":ban", ":unban", ":remove", ":group x"):
            self.line(line)
            self.assertIn(line.split()[0], self.screen.notices[-1])
        self.line(":bans")
        self.assertEqual(self.screen.shown[-1].strip(), "nobody is banned from Team")
        self.client.banned = [Ban(User(1001, "bob"), None, 5)]
        self.line(":bans")
        self.assertEqual(self.screen.shown[-1].strip(), "1001 bob, by an operator")
        self.line(":dissolve")
        self.assertIn("give the id", self.screen.notices[-1])
        self.line(":dissolve 1")
        self.assertEqual((self.did("dissolve"), self.chat.current.name), ([(1,)], "g:0"))

    def test_whoever_is_removed_hears_of_it(self):
        self.chat.learn([User(1001, "bob")])
        for what, by, said in (
            ("removed", 1001, "bob removed you from Team"),
            ("banned", 0, "an operator banned you from Team"),
            ("dissolved", 1001, "bob dissolved Team"),
            ("left", 1000, "you left Team on another device"),
        ):
            self.line(":create Team")
            group = int(self.chat.current.name[2:])
            self.client.tell("removed", Removed(group, what, by))
            self.assertEqual(self.screen.shown[-1].strip(), said)
            self.assertEqual(self.chat.current.name, "g:0")
            count = len(self.screen.shown)
            self.client.tell("removed", Removed(group, what, by))
            self.assertEqual(len(self.screen.shown), count)

    def test_rename(self):
        self.line(":create Team")
        self.line(':rename "Our Team"')
        self.assertEqual(self.did("rename_group"), [(1, "Our Team")])
        self.assertEqual((self.chat.current.title, self.chat.title_of("g:1")), ('"Our Team"',) * 2)
        self.assertEqual(self.screen.notices[-1], 'the group is now called "Our Team"')
        self.line(":to")
        self.line(":rename Theirs")
        self.assertIn("name a group", self.screen.notices[-1])

    def test_join_and_leave(self):
        self.line(":join 7")
        self.assertEqual(self.did("join"), [(7,)])
        self.assertEqual(self.chat.current.name, "g:7")
        self.line(":leave")
        self.assertEqual((self.did("leave"), self.chat.current.name), ([(7,)], "g:0"))

    def test_malformed(self):
        for line, why in (
            (":create", ":create"),
            (":join", ":join"),
            (":invite", ":invite"),
            (":rename", ":rename"),
            (":members", "name a group"),
        ):
            self.line(line)
            self.assertIn(why, self.screen.notices[-1])
        self.line(":leave nowhere")
        self.assertIn('not in a group called "nowhere"', self.screen.notices[-1])

    def talk(self, what):
        return self.successResultOf(Deferred.fromCoroutine(self.chat.talk(what)))

    def join_groups(self, *names):
        """Become a member of groups with the ids 5, 6, ... without having asked for it."""
        self.client.my_groups = {id: Group(id, name, False, False, 1) for id, name in enumerate(names, 5)}
        self.client.tell("state", State.READY, "")
        self.clock.advance(1)

    def test_a_name_that_a_user_and_a_group_share_means_neither(self):
        """Whoever takes the name of a group, or gives a group the name of a user, gets nothing that was for it."""
        self.join_groups("bob")
        for what in ("bob", '"bob"'):
            self.line(f":to {what}")
            self.assertIn("is a user and a group: type @bob or g:5", self.screen.notices[-1])
        self.assertEqual(self.chat.current, EVERYONE)
        self.line(":to @bob")
        self.assertEqual(self.screen.notices[-1], "you are now talking to bob (id 1001); the group bob is g:5")
        self.line("for bob only")
        self.line(":to g:5")
        self.assertEqual(self.screen.notices[-1], "you are now talking to the group bob (g:5)")
        self.assertEqual(self.chat.label("g:5"), "[bob]")
        self.line("for the group")
        self.assertEqual(self.sends(), [(1001, "for bob only"), ("g:5", "for the group")])
        for what, name in (("@bob", "p:1000:1001"), ("1001", "p:1000:1001"), ('@"bob"', "p:1000:1001")):
            self.assertEqual(self.talk(what).name, name)
        self.failureResultOf(Deferred.fromCoroutine(self.chat.talk("@nobody")), NotFound)

    def test_a_group_is_said_to_be_one(self):
        self.join_groups("Team", "bob hi")
        for line, said in (
            (":to Team", "you are now talking to the group Team (g:5)"),
            (":info", ""),
            (":leave", "you left Team and are now talking to everyone"),
            (':to "bob hi"', 'you are now talking to the group "bob hi" (g:6)'),
        ):
            self.line(line)
            self.assertEqual(self.screen.notices[-1] if said else "", said)
        self.assertIn("talking to        the group Team (g:5)", self.screen.shown)

    def test_two_groups_of_one_name_are_told_apart_by_their_ids(self):
        self.join_groups("Team", "Team")
        for line in (":to Team", ":members Team", ":leave Team"):
            self.line(line)
            self.assertIn('you are in 2 groups called "Team": type g:5 or g:6', self.screen.notices.pop())
        self.assertEqual((self.did("leave"), self.chat.current.name), ([], "g:0"))
        self.line(":groups")
        self.assertEqual(self.screen.shown, ["g:5 Team: 1 member", "g:6 Team: 1 member"])
        self.line(":to g:6")
        self.assertEqual(self.chat.current.name, "g:6")

    def test_a_group_of_digits_needs_quotes(self):
        self.join_groups("1001", "7")
        self.assertEqual(self.talk("1001").name, "p:1000:1001")
        self.assertEqual(self.talk('"1001"').name, "g:5")
        self.line(":leave 7")
        self.line(':leave "7"')
        self.assertEqual(self.did("leave"), [(7,), (6,)])

    def test_edits_and_reactions_are_kept_apart_from_texts(self):
        first = self.client.push(1001, "bob", "one", group=0)
        self.client.push(1001, "bob", "👍", group=0, kind=Kind.REACTION, ref=first.position)
        self.line(":react 🎉")
        self.assertEqual(self.did("react"), [("g:0", first.position, "🎉")])
        self.assertEqual(self.chat.referred(self.screen.messages[-1][0]), first)


class SilenceCommandTests(CommandTestCase):
    def test_mute_list_and_unmute(self):
        self.line(":silenced")
        self.assertEqual(self.screen.shown, ["you mute nothing"])
        self.line(":silence bob")
        self.line(":silence 2")
        talk = "p:1000:1001"
        self.assertEqual(self.did("mute_conversation"), [(talk, FOREVER), ("g:0", int((NOW + 7200) * 1000))])
        self.assertEqual(self.screen.notices[-2], "bob (id 1001) is muted until you unmute it")
        self.line(":silenced")
        self.assertEqual(self.screen.shown[-1], "bob until you unmute it")
        self.assertIn("until 2023-11-1", self.screen.shown[-2])
        self.line(":unsilence bob")
        self.assertEqual(self.did("unmute_conversation"), [(talk,)])
        self.line(":unsilence bob")
        self.assertIn("you do not mute this conversation", self.screen.notices[-1])

    def test_hours_that_cannot_be(self):
        for line in (":silence bob 9999", ":silence bob soon"):
            self.line(line)
            self.assertIn("the hours must be a number up to 8766", self.screen.notices[-1])
        self.assertEqual(self.did("mute_conversation"), [])


class BlockCommandTests(CommandTestCase):
    def test_block_list_and_unblock(self):
        self.line(":blocks")
        self.assertEqual(self.screen.shown, ["you block nobody"])
        self.line(":block bob")
        self.assertEqual(self.did("block"), [(1001,)])
        self.assertIn(":unblock bob", self.screen.notices[-1])
        self.line(":blocks")
        self.assertEqual(self.screen.shown[1:], ["1001 bob"])
        for who in ("nobody", "1001"):
            self.line(f":unblock {who}")
        self.assertIn('you do not block "nobody"', self.screen.notices[-2])
        self.assertEqual(self.did("unblock"), [(1001,)])

    def test_names_of_old_are_shown_so_that_nobody_is_confused(self):
        self.client.people |= {"al\u200bice": 1004, "bob: x": 1005}
        for line in (":block 1004", ":block 1005", ":blocks", ':unblock "bob<U+003A> x"', ":unblock al<U+200B>ice"):
            self.line(line)
        self.assertEqual(self.screen.shown, ["1004 al<U+200B>ice", '1005 "bob<U+003A> x"'])
        self.assertEqual(
            self.screen.notices,
            [
                "you block al<U+200B>ice (id 1004) now; :unblock al<U+200B>ice ends that",
                'you block "bob<U+003A> x" (id 1005) now; :unblock "bob<U+003A> x" ends that',
                'you no longer block "bob<U+003A> x" (id 1005)',
                "you no longer block al<U+200B>ice (id 1004)",
            ],
        )

    def test_malformed(self):
        for line, why in ((":block", ":block <user>"), (":unblock", ":unblock <user>"), (":block x", "no user")):
            self.line(line)
            self.assertIn(why, self.screen.notices[-1])

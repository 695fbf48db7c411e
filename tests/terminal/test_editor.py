"""Tests of the line editor without a terminal: what it draws, what keys do, what it keeps."""

from __future__ import annotations

import io
import os
import stat
import unicodedata
from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import get_cwidth

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.values import Kind, State, User
from cim.errors import CIMError, Forbidden, RepeatLogin
from cim.terminal.console import emoji, look
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import all_commands
from cim.terminal.console.completion import offers
from cim.terminal.console.editing import KEPT, TypedLines
from cim.terminal.console.editor import MANY_LINES, MAX_TEXT, Editor
from cim.terminal.console.wrapping import wrapped
from tests.terminal.fake_client import FakeClient


class EditorTestCase(SynchronousTestCase):
    colour = False

    def setUp(self):
        self.clock = Clock()
        self.client = FakeClient()
        self.statuses = []
        self.terminal = io.StringIO()
        ids = map(str, count())
        self.editor = Editor(
            lambda screen: Chat(self.client, screen, self.clock, lambda: 1_700_000_000.0, lambda: next(ids)),
            all_commands(),
            self.clock,
            self.statuses.append,
            input=DummyInput(),
            output=Vt100_Output(self.terminal, lambda: Size(24, 80), term="xterm", enable_cpr=False),
            history=InMemoryHistory(),
            colour=self.colour,
            where="here:8083",
        )
        self.chat = self.editor.chat
        self.client.ready()
        self.clock.advance(1)
        self.shown()
        self.addCleanup(self.finish)

    def finish(self):
        self.editor.stop()
        self.successResultOf(self.editor.flush())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def shown(self):
        self.clock.advance(0.1)
        text = self.terminal.getvalue()
        self.terminal.seek(0)
        self.terminal.truncate()
        return text.split("\r\n")[:-1]

    def enter(self, text):
        self.editor._buffer.text = text
        self.editor._buffer.validate_and_handle()

    def state(self):
        return self.editor._state()[0][1]

    def sent(self):
        return [call[1:] for call in self.client.calls if call[0] == "send"]


class EditorTests(EditorTestCase):
    def test_a_line_and_its_marks(self):
        self.client.held = []
        self.enter("hello :smile:")
        self.assertEqual(self.sent(), [("g:0", "hello 😄")])
        [(_, text)] = self.editor._unsent()
        self.assertTrue(text.endswith("… me: hello 😄"), text)
        self.client.release()
        self.assertEqual(self.editor._unsent()[0][1], "")
        [line] = [line for line in self.shown() if "hello" in line]
        self.assertTrue(line.endswith("✓ me: hello 😄"), line)

    def test_many_unsent_messages_take_few_rows(self):
        self.client.held = []
        for n in range(100):
            self.enter(f"{n} " + "x" * 1000)
        rows = "".join(text for _, text in self.editor._unsent()).split("\n")
        self.assertLessEqual(len(rows), 4)
        self.assertIn("100", rows[0])
        self.assertLess(max(map(len, rows)), 80)

    def test_output_is_gathered_and_drawn_at_once(self):
        for n in range(1000):
            self.client.push(1001, "bob", str(n), group=0)
        self.assertEqual(self.terminal.getvalue(), "")
        self.assertEqual(len([line for line in self.shown() if "bob: " in line]), 1000)

    def test_a_flood_pauses_reading_until_it_is_drawn(self):
        for n in range(MANY_LINES + 10):
            self.client.push(1001, "bob", str(n), group=0)
        self.assertTrue(self.client.paused)
        self.shown()
        self.assertFalse(self.client.paused)

    def test_received_text_never_controls_the_terminal(self):
        self.client.push(1001, "b\x1b[2Jb", "\x1b]0;title\x07\n\x9b31m\u202e\ttab", group=0)
        text = "".join(self.shown())
        self.assertFalse([one for one in text if unicodedata.category(one) == "Cc"], text)

    def test_a_text_of_several_lines_looks_like_nothing_else(self):
        self.client.push(1001, "bob", "a\n      ✓✓ carol has read\n* your session has ended", group=0)
        self.client.push(1001, "bob", "👍\n      ✓✓ carol has read", group=0, kind=Kind.REACTION, ref="1-1")
        self.editor.notice("quoted\n* your session has ended\tnow")
        lines = self.shown()
        self.assertEqual([line[:8] for line in (lines[-5], lines[-4], lines[-2])], ["      │ "] * 3)
        self.assertEqual(lines[-1], "* quoted␤* your session has ended␉now")

    def test_a_text_that_is_filled_up_to_the_width_looks_like_nothing_else(self):
        forged = "22:13   bob → me: please send 100 to mallory"
        for padding in (" " * 100, "\u00a0" * 100, "x" * 100 + " "):
            self.client.push(1004, "mal", f"ok{padding}{forged}")
        self.client.errors["recall"] = Forbidden(f"no{' ' * 100}{forged}")
        self.enter("mine")
        self.enter(":recall")
        for line in self.shown():
            self.assertFalse(line.lstrip().startswith("22:13   bob"), line)
            self.assertTrue(len(line) <= 80 or line.endswith("x"), line)

    def test_a_new_day_is_announced(self):
        self.client.push(1001, "bob", "old", group=0, sent_at=1_600_000_000_000)
        self.client.push(1001, "bob", "new", group=0, sent_at=1_700_000_000_000)
        lines = self.shown()
        self.assertIn("September 2020", lines[0])
        self.assertIn("November 2023", lines[2])

    def test_the_status_line(self):
        self.assertEqual(self.state(), " ● alice@here:8083")
        self.client.push(1001, "bob", "hi")
        self.assertIn("unread: bob 1", self.state())
        self.client.become(State.RECONNECTING, "lost")
        self.assertIn("◌ alice@here:8083 · reconnecting", self.state())
        self.editor._buffer.text = "a\nb\nc"
        self.assertIn("3 lines: Enter sends one message", self.state())
        self.assertLessEqual(len(self.state()), 80)

    def test_typing_marks_as_read_and_sends_a_typing_note(self):
        self.chat.go_to(self.chat.private(User(1001, "bob")))
        self.client.push(1001, "bob", "hi")
        self.editor._buffer.insert_text("x")
        self.assertIn(("mark_read", "p:1000:1001", ""), self.client.calls)
        self.assertIn(("typing", 1001), self.client.calls)

    def test_a_text_that_is_too_long_stays_in_the_input_line(self):
        text = "x" * (MAX_TEXT + 1)
        self.enter(text)
        self.assertEqual((self.sent(), self.editor._buffer.text), ([], text))
        self.assertIn("at most", "".join(self.shown()))

    def test_a_command_that_waits_does_not_hold_up_others(self):
        self.client.held = []
        self.enter("waits")
        self.enter(":info")
        self.assertTrue(any("alice (id 1000)" in line for line in self.shown()))

    def test_a_question_is_answered_by_the_next_line(self):
        answer = self.chat.question.ask("an invitation, please")
        self.assertIn("* an invitation, please", "".join(self.shown()))
        self.enter("the code")
        self.assertEqual(self.successResultOf(answer), "the code")
        self.assertEqual(self.sent(), [])
        self.enter("hello")
        self.assertEqual([text for _, text in self.sent()], ["hello"])

    def test_a_secret_is_neither_shown_nor_kept_nor_said(self):
        self.chat.go_to(self.chat.private(User(1001, "bob")))
        self.client.calls.clear()
        answer = self.chat.question.ask_secret("a password, please")
        self.assertEqual(self.editor._prefix(0, 0), [("class:prompt", "password> ")])
        self.editor._buffer.insert_text(":x y")
        self.assertFalse(self.editor._offers_by_itself())
        self.enter(":x y ")
        self.assertEqual(self.successResultOf(answer), ":x y ")
        self.assertEqual((self.editor._buffer.text, list(self.editor._buffer.history.get_strings())), ("", []))
        self.assertEqual(self.client.calls, [])
        self.assertNotIn(":x y", "".join(self.shown()))

    def test_the_question_to_the_robot_is_shown(self):
        self.enter(":ai")
        self.enter("how are you?")
        self.assertEqual(self.shown()[-2:], ["how are you?", "AI: \x1b[4mhow are you!\x1b[0m"])
        self.assertEqual(self.editor._prefix(0, 0), [("class:prompt", "AI> ")])

    def test_a_client_that_fails_says_why(self):
        self.client.refuse(CIMError("logged in elsewhere as the same device"))
        self.assertEqual(self.statuses, [1])
        self.assertIn("* logged in elsewhere as the same device", self.shown()[-1])

    def test_leaving_with_unsent_messages_says_so(self):
        self.client.held = []
        self.enter("hello")
        self.editor.stop()
        self.successResultOf(self.editor.flush())
        self.assertIn("1 message is not accepted yet", self.terminal.getvalue())

    def test_leaving(self):
        self.enter(":q!")
        self.enter("never said")
        self.assertEqual((self.statuses, self.sent()), ([0], []))


class RefusedTests(SynchronousTestCase):
    def test_a_refused_login_ends_with_the_reason_and_status_1(self):
        case = EditorTestCase()
        client = FakeClient()
        case.statuses = []
        editor = Editor(
            lambda screen: Chat(client, screen, Clock(), lambda: 0.0, lambda: "1"),
            [],
            Clock(),
            case.statuses.append,
            input=DummyInput(),
            output=Vt100_Output(io.StringIO(), lambda: Size(24, 80), term="xterm", enable_cpr=False),
            history=InMemoryHistory(),
            colour=True,
            where="here",
        )
        client.refuse(RepeatLogin())
        self.assertEqual(case.statuses, [1])
        self.assertIn("Repeat login", editor._queue[-1])


class CompletionTests(EditorTestCase):
    def offered(self, text):
        return [(text[: len(text) - length] + one) for one, length, _ in offers(self.chat, text)]

    def test_commands(self):
        self.assertEqual(self.offered(":to"), [":to "])
        self.assertEqual(set(self.offered(":q")), {":q ", ":q! ", ":qai "})
        self.assertIn(":help :recall", self.offered(":help rec"))

    def test_names(self):
        self.chat.learn([User(1001, "bob"), User(1002, "Bobby Tables"), User(1003, "陈小明")])
        self.assertEqual(self.offered("@bo"), ['@"Bobby Tables" ', "@bob "])
        self.assertEqual(self.offered("@陈"), ["@陈小明 "])
        self.assertEqual(self.offered(":to bob"), [':to "Bobby Tables"', ":to bob"])
        self.assertEqual(self.offered('@"bobby t'), ['@"Bobby Tables" '])
        self.assertEqual(self.offered(":block bobby"), [':block "Bobby Tables"'])
        self.assertEqual(self.offered("@bobby t"), [], "that is a message to bobby")
        self.client.create_group("Bowling")
        self.successResultOf(Deferred.fromCoroutine(self.chat.group("Bowling")))
        self.assertIn(":to Bowling", self.offered(":to bo"))
        self.assertEqual(self.offered(":members bo"), [":members Bowling"])

    def test_emoji(self):
        self.assertEqual(self.offered("well :thumbsu"), ["well 👍"])
        for text in ("12:30", "a:b", "plain", "x :", ":nosuchthing here"):
            self.assertEqual(self.offered(text), [], text)

    def test_files(self):
        folder = self.mktemp()
        os.makedirs(f"{folder}/sub")
        for name in ("notes.txt", ".hidden"):
            open(f"{folder}/{name}", "w").close()
        self.assertEqual(self.offered(f":send {folder}/"), [f":send {folder}/notes.txt", f":send {folder}/sub/"])
        self.assertEqual(self.offered(":send /nowhere/x"), [])


class LookTests(SynchronousTestCase):
    def test_colours(self):
        line = [("hit", "found"), ("", " it\nnext"), ("me", "\x1b[2J")]
        self.assertEqual(look.plain(line), "found it␤next␛[2J")
        self.assertEqual(
            look.styled(line, colour=True, indent="  "),
            "\x1b[1;4;31mfound\x1b[0m it\r\n  next\x1b[1;32m␛[2J\x1b[0m",
        )
        self.assertEqual(look.styled(line, colour=False), "\x1b[4mfound\x1b[0m it\r\nnext␛[2J")

    def test_hits(self):
        self.assertEqual(look.highlighted("aXbx", "x"), [("", "a"), ("hit", "X"), ("", "b"), ("hit", "x")])
        self.assertEqual(look.highlighted("İİ i", "i")[-1], ("hit", "i"))
        self.assertEqual(look.highlighted("abc", ""), [("", "abc")])

    def test_emoji(self):
        self.assertEqual(emoji.emojize(":smile: 12:30:45 :nosuch: :+1: :hash:"), "😄 12:30:45 :nosuch: 👍 #\u20e3")
        self.assertEqual(len(emoji.table()), 1603)


class WrappingTests(SynchronousTestCase):
    indent = "  │ "

    def rows(self, text, width=20):
        return look.styled(wrapped(text, width, self.indent), colour=False, indent=self.indent).split("\r\n")

    def test_a_text_that_reaches_the_width_does_not_begin_a_line(self):
        self.assertEqual(
            self.rows("12:30 mal: ok" + " " * 7 + "12:30 bob: pay mal"),
            ["12:30 mal: ok       ", "  │ 12:30 bob: pay ", "  │ mal"],
        )
        self.assertEqual(self.rows("一" * 10 + "二" * 3), ["一" * 10, "  │ 二二二"])

    def test_short_lines_and_line_breaks_stay(self):
        for text in ("", "hello", "one\ntwo", "a " * 5):
            self.assertEqual(self.rows(text), text.replace("\n", f"\n{self.indent}").split("\n"))

    def test_a_long_address_stays_whole_and_nothing_follows_it_on_its_row(self):
        url = "https://example.org/" + "x" * 30
        self.assertEqual(self.rows(f"bob: {url} 12:30 bob"), [f"bob: {url}", "  │ 12:30 bob"])
        self.assertEqual(self.rows(f"bob: {url} {url}"), [f"bob: {url}", f"  │ {url}"])

    def test_styles_stay(self):
        line = [("bold", "bob"), ("", ": one two three"), ("hit", " four"), ("", "!")]
        self.assertEqual(
            wrapped(line, 20, self.indent), [("bold", "bob"), ("", ": one two three"), ("hit", " \nfour"), ("", "!")]
        )

    def test_emoji_are_not_broken(self):
        family = "👨\u200d👩\u200d👧"
        self.assertEqual([one for row in self.rows("x" * 15 + family * 3) for one in row.split(family)[1:]], [""] * 3)

    @given(st.text(st.sampled_from("ab \n\t一👨\u200d\u00a0\u0301\u3000\u2800"), max_size=200))
    def test_only_the_tail_of_a_word_in_ascii_begins_a_row_of_the_screen(self, text):
        rows = self.rows(text)
        self.assertTrue(all(row.startswith(self.indent) for row in rows[1:]))
        for row in rows:
            beyond = row
            while beyond and get_cwidth(row[: len(row) - len(beyond)]) < 20:
                beyond = beyond[1:]
            self.assertRegex(beyond, r"^[!-~\u200d\u0301]*$")


class TypedLinesTests(SynchronousTestCase):
    def test_they_outlast_the_program_and_are_private(self):
        path = self.mktemp()
        TypedLines(f"{path}/typed").append_string("two\nlines")
        self.assertEqual(list(TypedLines(f"{path}/typed").load_history_strings()), ["two\nlines"])
        self.assertEqual(stat.S_IMODE(os.stat(f"{path}/typed").st_mode), 0o600)

    def test_they_are_bounded(self):
        path = self.mktemp()
        with open(path, "w") as file:
            file.writelines(f"{n}\n" for n in range(10 * KEPT))
        self.assertEqual(next(iter(TypedLines(path).load_history_strings())), str(10 * KEPT - 1))
        with open(path) as file:
            self.assertEqual(len(file.readlines()), KEPT)

    def test_without_a_file_they_last_as_long_as_the_program(self):
        lines = TypedLines("")
        lines.append_string("one")
        self.assertEqual(lines.get_strings(), ["one"])
        TypedLines("/proc/nowhere/typed").append_string("one")

"""The judgement of a history: silent about every history that may be, and it names what is wrong with any other."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from bench.history import Fault, Handed, History, told, verdict

PRIVATE, GROUP = "p:1:2", "g:7"
MEMBERS = {PRIVATE: (1, 2), GROUP: (1, 2, 3)}
EVERYTHING = [(author, conversation) for conversation, members in MEMBERS.items() for author in members]


def content(author, number):
    return b"%d says %d" % (author, number)


class Run:
    """A run in which all is well: what is in each log, and a history that says so."""

    def __init__(self, seed, count=12):
        chooser = random.Random(seed)
        self.history = History(MEMBERS)
        self.logs = {conversation: [] for conversation in MEMBERS}
        numbers = dict.fromkeys(EVERYTHING, 0)
        late = []
        for _ in range(count):
            author, conversation = chooser.choice(EVERYTHING)
            number = numbers[author, conversation]
            numbers[author, conversation] += chooser.choice((1, 1, 3))
            self.history.send(author, conversation, number, content(author, number))
            outcome = chooser.choice(("accepted", "accepted", "accepted", "refused", "unknown", "unknown and late"))
            if outcome == "refused":
                self.history.refuse(author, conversation, number, "forbidden")
            elif outcome == "accepted":
                self._append(author, conversation, number, accepted=True)
            elif outcome == "unknown and late":
                late.append((author, conversation, number))
            elif chooser.random() < 0.5:
                self._append(author, conversation, number)
            if late and chooser.random() < 0.3:
                self._append(*late.pop(chooser.randrange(len(late))))
        for conversation, log in self.logs.items():
            for member in MEMBERS[conversation]:
                for handed in log:
                    self.history.hand(member, conversation, handed)

    def _append(self, author, conversation, number, accepted=False):
        log = self.logs[conversation]
        position = (5 + len(log) // 4, len(log) % 4 + 1)
        log.append(Handed(author, number, position, content(author, number)))
        if accepted:
            self.history.accept(author, conversation, number, position)

    def handed(self, member, conversation):
        return self.history.handed.setdefault((member, conversation), [])


@st.composite
def spots(draw):
    """A run, a member of a conversation with a message in it, and which message."""
    run = Run(draw(st.integers(0, 1 << 32)), 30)
    filled = [conversation for conversation, log in run.logs.items() if log]
    conversation = draw(st.sampled_from(filled or [PRIVATE]))
    if not run.logs[conversation]:
        run.history.send(1, conversation, 100, content(1, 100))
        run._append(1, conversation, 100, accepted=True)
        for member in MEMBERS[conversation]:
            run.handed(member, conversation).extend(run.logs[conversation])
    member = draw(st.sampled_from(MEMBERS[conversation]))
    index = draw(st.integers(0, len(run.logs[conversation]) - 1))
    return run, member, conversation, index


class HistoryTests(SynchronousTestCase):
    def named(self, history):
        return {(violation.fault, violation.message, violation.member) for violation in history.violations()}

    @given(st.integers(0, 1 << 32))
    def test_silent_when_all_is_well(self, seed):
        self.assertEqual(Run(seed, 40).history.violations(), [])

    @given(spots())
    def test_lost(self, spot):
        run, member, conversation, index = spot
        lost = run.handed(member, conversation).pop(index)
        key = (lost.author, conversation, lost.number)
        # What nobody else saw and was never accepted may be gone.
        self.assertEqual(self.named(run.history), {(Fault.LOST, key, member)})
        self.assertEqual(list(run.history.missing()), [(member, key)])

    def test_accepted_and_handed_to_nobody(self):
        history = History(MEMBERS)
        history.send(1, GROUP, 0, b"x")
        history.accept(1, GROUP, 0, (5, 1))
        self.assertEqual(self.named(history), {(Fault.LOST, (1, GROUP, 0), member) for member in (1, 2, 3)})

    def test_unknown_and_handed_to_nobody(self):
        history = History(MEMBERS)
        history.send(1, GROUP, 0, b"x")
        self.assertEqual(history.violations(), [])
        self.assertEqual(history.outcomes(), {"unknown": 1})

    @given(spots(), st.data())
    def test_doubled(self, spot, data):
        run, member, conversation, index = spot
        handed = run.handed(member, conversation)
        again = handed[index]
        handed.insert(data.draw(st.integers(index + 1, len(handed))), again)
        self.assertEqual(self.named(run.history), {(Fault.DOUBLED, (again.author, conversation, again.number), member)})

    @given(spots())
    def test_doubled_at_another_position(self, spot):
        run, _, conversation, index = spot
        log = run.logs[conversation]
        again = Handed(log[index].author, log[index].number, (99, 1), log[index].content)
        for member in MEMBERS[conversation]:
            run.handed(member, conversation).append(again)
        key = (again.author, conversation, again.number)
        self.assertEqual(self.named(run.history), {(Fault.DOUBLED, key, member) for member in MEMBERS[conversation]})

    @given(spots())
    def test_reordered_at_one_member(self, spot):
        run, member, conversation, index = spot
        handed = run.handed(member, conversation)
        if len(handed) < 2:
            return
        index = min(index, len(handed) - 2)
        handed[index], handed[index + 1] = handed[index + 1], handed[index]
        faults = {(fault, who) for fault, _, who in self.named(run.history)}
        self.assertEqual(faults, {(Fault.REORDERED, member)})

    def test_an_authors_order_that_all_agree_against(self):
        history = History(MEMBERS)
        for number, position in ((0, (5, 2)), (1, (5, 1))):
            history.send(1, PRIVATE, number, b"x")
            history.accept(1, PRIVATE, number, position)
        for member in (1, 2):
            for number, position in ((1, (5, 1)), (0, (5, 2))):
                history.hand(member, PRIVATE, Handed(1, number, position, b"x"))
        self.assertEqual({fault for fault, _, _ in self.named(history)}, {Fault.REORDERED})

    def test_members_who_disagree_on_what_nobody_was_told_of(self):
        history = History(MEMBERS)
        for author in (1, 2):
            history.send(author, PRIVATE, 0, b"x")
        for member, authors in ((1, (1, 2)), (2, (2, 1))):
            for n, author in enumerate(authors, 1):
                history.hand(member, PRIVATE, Handed(author, 0, (5, n), b"x"))
        self.assertEqual({(fault, member) for fault, _, member in self.named(history)}, {(Fault.REORDERED, 2)})

    def test_told_one_position_and_handed_at_another(self):
        history = History(MEMBERS)
        history.send(1, PRIVATE, 0, b"x")
        history.accept(1, PRIVATE, 0, (5, 1))
        for member in (1, 2):
            history.hand(member, PRIVATE, Handed(1, 0, (5, 2), b"x"))
        self.assertEqual(self.named(history), {(Fault.REORDERED, (1, PRIVATE, 0), member) for member in (1, 2)})

    @given(spots())
    def test_never_sent(self, spot):
        run, member, conversation, _ = spot
        run.handed(member, conversation).append(Handed(1, 999, (99, 9), b"x"))
        self.assertEqual(self.named(run.history), {(Fault.NOWHERE, (1, conversation, 999), member)})

    @given(spots())
    def test_in_other_words(self, spot):
        run, member, conversation, index = spot
        handed = run.handed(member, conversation)
        was = handed[index]
        handed[index] = Handed(was.author, was.number, was.position, b"something else")
        self.assertEqual(self.named(run.history), {(Fault.NOWHERE, (was.author, conversation, was.number), member)})

    def test_in_another_conversation(self):
        history = History(MEMBERS)
        history.send(1, PRIVATE, 0, b"x")
        history.hand(3, GROUP, Handed(1, 0, (5, 1), b"x"))
        self.assertEqual(self.named(history), {(Fault.NOWHERE, (1, GROUP, 0), 3)})

    def test_to_someone_else(self):
        history = History(MEMBERS)
        history.send(1, PRIVATE, 0, b"x")
        history.hand(3, PRIVATE, Handed(1, 0, (5, 1), b"x"))
        self.assertIn((Fault.NOWHERE, (1, PRIVATE, 0), 3), self.named(history))

    def test_refused_and_handed_all_the_same(self):
        history = History(MEMBERS)
        history.send(1, PRIVATE, 0, b"x")
        history.refuse(1, PRIVATE, 0, "forbidden")
        for member in (1, 2):
            history.hand(member, PRIVATE, Handed(1, 0, (5, 1), b"x"))
        self.assertEqual(self.named(history), {(Fault.NOWHERE, (1, PRIVATE, 0), member) for member in (1, 2)})

    def read(self, run):
        """Have a run note what all its logs hold."""
        for conversation, log in run.logs.items():
            run.history.keep(conversation, [handed.position for handed in log])

    @given(spots())
    def test_seen_and_gone(self, spot):
        run, _, conversation, index = spot
        self.read(run)
        self.assertEqual(run.history.violations(), [])
        gone = run.logs[conversation][index]
        run.history.kept[conversation].discard(gone.position)
        ((fault, key, _),) = self.named(run.history)
        self.assertEqual((fault, key), (Fault.GONE, (gone.author, conversation, gone.number)))

    def test_accepted_and_gone(self):
        history = History({})
        history.send(1, GROUP, 0, b"x")
        history.accept(1, GROUP, 0, (5, 1))
        self.assertEqual(history.violations(), [])  # it was not read
        history.keep(GROUP, [(5, 2)])
        self.assertEqual(self.named(history), {(Fault.GONE, (1, GROUP, 0), 1)})
        self.assertEqual(
            verdict(history.violations(), read=True),
            "lost 0, doubled 0, reordered 0, out of nowhere 0, seen by somebody, later gone 1",
        )

    def test_the_verdict(self):
        history = History(MEMBERS)
        history.send(1, GROUP, 0, b"x")
        history.accept(1, GROUP, 0, (5, 1))
        self.assertEqual(verdict(history.violations()), "lost 3, doubled 0, reordered 0, out of nowhere 0")
        self.assertIn("lost at 1: message 0 of 1 in g:7: was never handed", told(history.violations()))

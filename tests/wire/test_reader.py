"""A reader's places in its conversations: everything handed over once and in order, whatever comes when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.wire import positions
from cim.wire.cim_pb2 import Head
from cim.wire.gap import GapPolicy
from cim.wire.positions import ZERO
from cim.wire.reader import HEADS_SECONDS, STORED_SECONDS, Reader, ReaderPolicy, Unlisted

GAP = GapPolicy(random=lambda: 0.5)
LIBRARY = ReaderPolicy(GAP, Unlisted.BASELINE, syncs=8, receipt_seconds=1.0, receipt_messages=100)
TALK = "p:1:2"


def guests(capacity=256, syncs=4):
    return ReaderPolicy(GAP, Unlisted.NOTHING_NEW, syncs=syncs, capacity=capacity)


def at(n):
    return (1000, n) if n else ZERO


def head(conversation, received, latest):
    return Head(conversation=conversation, received=positions.text(at(received)), latest=positions.text(at(latest)))


class ReaderCase(SynchronousTestCase):
    policy = guests()

    def setUp(self):
        self.now = 100.0
        self.reader = Reader(self.policy)

    def hand(self, conversation, items):
        """Hand over and keep, as a server does that writes to a guest."""
        if any(item is not None for item in items):
            self.reader.kept(conversation, self.now)
        return [item for item in items if item is not None]

    def hand_begun(self, begun):
        return [item for name, _, items in begun for item in self.hand(name, items)]

    def push(self, n, previous=None, conversation=TALK, item="", **options):
        previous = n - 1 if previous is None else previous
        shown = None if item is None else item or f"{conversation} {n}"
        return self.hand(
            conversation, self.reader.pushed(conversation, at(n), at(previous), shown, self.now, **options)
        )

    def list(self, *heads, more=""):
        """A page of heads comes: (conversation, received, latest)."""
        return self.hand_begun(self.reader.listed([head(*one) for one in heads], more, self.now))

    def page(self, conversation, after, *numbers, upto=None, more=False, reset=False):
        shown = []
        for n in numbers:
            shown += self.push(n, conversation=conversation)
        upto = at((numbers[-1] if numbers else after) if upto is None else upto)
        shown += self.hand(conversation, self.reader.synced(conversation, at(after), upto, more, reset, self.now))
        return shown

    def wanted(self):
        return self.reader.first_page(self.now)

    def syncs(self):
        return [(sync.conversation, sync.after) for sync in self.reader.requests(self.now)]

    def receipts(self):
        return [(name, position[1]) for name, position in self.reader.receipts(self.now)]


class ListedTests(ReaderCase):
    """All heads are listed, and what is new is fetched."""

    def setUp(self):
        super().setUp()
        self.reader.want(0, self.now)

    def test_they_are_asked_for_at_once_and_once(self):
        self.assertEqual(self.reader.due, self.now)
        self.assertEqual(self.wanted(), 0)
        self.assertTrue(self.reader.listing)
        self.assertEqual((self.wanted(), self.reader.due), (None, None))
        self.assertFalse(self.reader.caught_up)

    def test_what_is_new_is_handed_over(self):
        self.wanted()
        self.list((TALK, 3, 5), ("g:7", 0, 1))
        self.assertEqual(self.syncs(), [(TALK, "1000-3"), ("g:7", "")])
        self.assertEqual(self.page("g:7", 0, 1), ["g:7 1"])
        self.assertEqual(self.page(TALK, 3, 4, 5), [f"{TALK} 4", f"{TALK} 5"])
        self.assertTrue(self.reader.caught_up)
        self.assertIsNone(self.reader.due)
        self.assertEqual(self.receipts(), [("g:7", 1), (TALK, 5)])
        self.assertEqual(self.receipts(), [])

    def test_nothing_new(self):
        self.wanted()
        self.list()
        self.assertTrue(self.reader.caught_up)

    def test_what_is_only_unread_is_nothing_new(self):
        self.wanted()
        self.list((TALK, 5, 5))
        self.assertEqual((self.syncs(), self.reader.knows(TALK)), ([], False))
        self.assertTrue(self.reader.caught_up)

    def test_pages_of_heads(self):
        self.wanted()
        self.list((TALK, 0, 1), more="next")
        self.assertEqual(self.syncs(), [("", "next"), (TALK, "")])
        self.assertEqual(self.page(TALK, 0, 1), [f"{TALK} 1"])
        self.assertFalse(self.reader.caught_up)
        self.assertEqual(self.reader.due, self.now + HEADS_SECONDS)
        self.now += HEADS_SECONDS
        self.assertEqual(self.syncs(), [("", "next")])
        self.list(("p:1:3", 0, 1))
        self.assertEqual(self.syncs(), [("p:1:3", "")])

    def test_a_page_of_heads_that_fails_is_asked_for_again(self):
        self.wanted()
        self.list(more="next")
        self.syncs()
        self.reader.failed("", self.now, 2.0)
        self.assertEqual((self.syncs(), self.reader.due), ([], self.now + 2))
        self.now += 2
        self.assertEqual(self.syncs(), [("", "next")])
        # One that will never be given is tried seldom.
        self.reader.failed("", self.now, None)
        self.assertEqual(self.reader.due, self.now + HEADS_SECONDS)

    def test_a_newer_message_waits_for_what_is_missing(self):
        self.wanted()
        self.list((TALK, 3, 5))
        self.assertEqual(self.push(6), [])
        self.assertEqual(self.syncs(), [(TALK, "1000-3")])
        self.assertEqual(self.page(TALK, 3, 4, 5), [f"{TALK} 4", f"{TALK} 5", f"{TALK} 6"])

    def test_a_newer_message_that_the_page_has_too(self):
        self.wanted()
        self.list((TALK, 3, 5))
        self.push(6)
        self.syncs()
        self.assertEqual(self.page(TALK, 3, 4, 5, 6), [f"{TALK} 4", f"{TALK} 5", f"{TALK} 6"])

    def test_pages_of_messages(self):
        self.wanted()
        self.list((TALK, 0, 4))
        self.assertEqual(self.syncs(), [(TALK, "")])
        self.page(TALK, 0, 1, 2, more=True)
        self.assertEqual(self.syncs(), [(TALK, "1000-2")])
        self.page(TALK, 2, 3, 4)
        self.assertTrue(self.reader.caught_up)

    def test_trimmed(self):
        self.wanted()
        self.list((TALK, 1, 9))
        self.syncs()
        self.assertEqual(self.page(TALK, 1, 8, 9, reset=True), [f"{TALK} 8", f"{TALK} 9"])

    def test_few_syncs_at_once(self):
        self.wanted()
        self.list(*[(f"p:1:{n}", 0, 1) for n in range(2, 12)])
        first = self.syncs()
        self.assertEqual(len(first), 4)
        self.assertEqual(self.syncs(), [])
        self.assertGreater(self.reader.due, self.now, "it would be asked in a loop")
        self.page(first[0][0], 0, 1)
        self.assertEqual(len(self.syncs()), 1)

    def test_a_list_that_fails_is_asked_for_again(self):
        self.wanted()
        self.reader.not_listed(self.now, 2.0)
        self.assertEqual((self.reader.due, self.wanted()), (102.0, None))
        self.now = 102.0
        self.assertEqual(self.wanted(), 0)

    def test_a_sync_that_fails_is_asked_again(self):
        self.wanted()
        self.list((TALK, 3, 5))
        self.syncs()
        self.reader.failed(TALK, self.now, 2.0)
        self.assertEqual(self.syncs(), [])
        self.now = 102.0
        self.assertEqual(self.syncs(), [(TALK, "1000-3")])

    def test_what_is_refused_for_good_is_not_asked_for_again_until_something_comes(self):
        self.wanted()
        self.list(("g:7", 3, 5))
        self.push(6, conversation="g:7")
        self.syncs()
        self.reader.failed("g:7", self.now, None)
        self.assertTrue(self.reader.caught_up)
        self.assertEqual((self.reader.held("g:7"), self.reader.due), (at(3), None))
        self.push(8, conversation="g:7")
        self.now += 1
        self.assertEqual(self.syncs(), [("g:7", "1000-3")])

    def test_wanted_twice(self):
        self.reader.want(5000, self.now)
        self.assertEqual(self.wanted(), 0)
        # What is under way may have been read before: it is asked for once more.
        self.reader.want(7000, self.now)
        self.reader.want(6000, self.now)
        self.assertIsNone(self.wanted())
        self.list()
        self.assertEqual(self.wanted(), 6000)
        self.list()
        self.assertTrue(self.reader.caught_up)

    def test_what_a_page_brings_that_is_not_shown_may_be_acknowledged(self):
        self.wanted()
        self.list((TALK, 0, 2))
        self.syncs()
        self.push(1, item=None), self.push(2, item=None)
        self.assertEqual(self.receipts(), [])
        self.reader.synced(TALK, ZERO, at(2), False, False, self.now)
        self.reader.kept(TALK, self.now)
        self.assertEqual(self.receipts(), [(TALK, 2)])


class UnknownTests(ReaderCase):
    """What comes of conversations whose beginning is not known."""

    def meet(self, conversation=TALK, received=3):
        """Have the conversation in the table."""
        self.push(received + 1, conversation=conversation)
        self.wanted()
        self.list((conversation, received, received + 1))
        self.receipts()

    def test_waits_for_its_head(self):
        self.assertEqual(self.push(4, since=4000), [])
        self.assertEqual(self.push(5, since=5000), [])
        self.assertFalse(self.reader.caught_up or self.reader.settled(TALK))
        self.assertEqual(self.wanted(), 4000)
        self.assertEqual(self.list((TALK, 3, 5)), [f"{TALK} 4", f"{TALK} 5"])
        self.assertTrue(self.reader.caught_up and self.reader.settled(TALK))
        self.assertEqual(self.receipts(), [(TALK, 5)])

    def test_the_very_first_of_a_conversation_needs_no_head(self):
        self.assertEqual(self.push(1, first=True), [f"{TALK} 1"])
        self.assertEqual((self.wanted(), self.push(2)), (None, [f"{TALK} 2"]))

    def test_but_what_others_said_before_goes_first(self):
        self.reader.want(0, self.now)
        self.assertEqual(self.push(1, first=True), [])
        self.wanted()
        self.assertEqual(self.list((TALK, 0, 1)), [f"{TALK} 1"])

    def test_the_one_before_it_was_lost(self):
        self.push(5)
        self.wanted()
        self.assertEqual(self.list((TALK, 3, 5)), [])
        self.assertEqual(self.syncs(), [(TALK, "1000-3")])
        self.assertEqual(self.page(TALK, 3, 4, 5), [f"{TALK} 4", f"{TALK} 5"])

    def test_a_repeat_of_what_an_earlier_session_got(self):
        self.push(1)
        self.wanted()
        self.assertEqual(self.list((TALK, 1, 1)), [])
        self.assertTrue(self.reader.caught_up)
        self.assertEqual(self.reader.held(TALK), at(1))

    def test_in_no_head_nothing_of_it_is_new(self):
        self.push(4, since=4000)
        self.assertEqual(self.wanted(), 4000)
        self.assertEqual(self.list(more="next"), [])
        self.assertFalse(self.reader.settled(TALK))
        self.assertEqual(self.list(), [])
        self.assertTrue(self.reader.caught_up and self.reader.settled(TALK))
        self.assertFalse(self.reader.knows(TALK))

    def test_and_where_it_begins_is_told_when_something_is(self):
        """That it was repeated says nothing of what had been said after it."""
        self.push(4)
        self.wanted()
        self.list()
        self.assertEqual(self.push(9), [])
        self.wanted()
        self.assertEqual(self.list((TALK, 7, 9)), [])
        self.assertEqual(self.syncs(), [(TALK, "1000-7")])

    def test_what_came_when_the_list_was_under_way_waits_for_another(self):
        """It may have been said after the list was read, or be a repeat like what came before."""
        for received, shown in ((4, [f"{TALK} 5"]), (5, [])):
            self.setUp()
            self.push(4, since=4000)
            self.wanted()
            self.assertEqual(self.push(5, since=5000), [])
            self.assertEqual(self.list(), [])
            self.assertEqual(self.wanted(), 4000)
            self.assertEqual(self.list(*([(TALK, received, 5)] if shown else [])), shown)
            self.assertEqual(self.reader.knows(TALK), bool(shown))

    def test_a_list_that_was_asked_for_before_it_came_says_nothing_of_it(self):
        self.push(4, conversation="p:1:3", since=1)
        self.assertEqual(self.wanted(), 1)
        self.push(4, since=2)
        self.assertEqual(self.list(("p:1:3", 3, 4)), ["p:1:3 4"])
        self.assertTrue(self.reader.knows(TALK))
        self.assertEqual(self.wanted(), 2)
        self.assertEqual(self.list((TALK, 3, 4)), [f"{TALK} 4"])

    def test_heads_that_come_without_a_list_tell_its_beginning_too(self):
        self.push(4)
        begun = self.reader.news([head(TALK, 3, 4), head("p:1:3", 0, 1)], self.now)
        self.assertEqual(self.hand_begun(begun), [f"{TALK} 4"])
        self.assertEqual(self.syncs(), [("p:1:3", "")])
        # But say nothing of those that they do not name.
        self.push(4, conversation="p:1:4")
        self.reader.news([], self.now)
        self.assertFalse(self.reader.settled("p:1:4"))

    def test_more_than_can_wait(self):
        for n in range(4, 304):
            self.push(n)
        self.wanted()
        shown = self.list((TALK, 3, 303))
        self.assertEqual(len(shown), GAP.capacity)
        self.assertEqual(self.syncs(), [(TALK, f"1000-{3 + len(shown)}")])
        shown += self.page(TALK, 3 + len(shown), *range(4 + len(shown), 304))
        self.assertEqual(shown, [f"{TALK} {n}" for n in range(4, 304)])
        self.assertTrue(self.reader.caught_up)

    def test_more_than_can_wait_and_nothing_of_it_is_new(self):
        for n in range(4, 304):
            self.push(n)
        self.wanted()
        self.assertEqual(self.list(), [])
        self.assertEqual((self.reader.knows(TALK), self.syncs()), (False, []))

    def test_the_end_of_a_page_that_nobody_asked_for(self):
        self.push(4)
        self.assertEqual(self.page(TALK, 0, upto=4), [])
        self.assertEqual(self.page("p:1:3", 0, upto=4), [])
        self.wanted()
        self.assertEqual(self.list((TALK, 3, 4)), [f"{TALK} 4"])

    def test_known(self):
        self.meet()
        self.assertEqual(self.push(5), [f"{TALK} 5"])
        self.assertEqual(self.push(5), [])
        self.assertIsNone(self.wanted())
        self.assertEqual(self.receipts(), [(TALK, 5)])

    def test_what_is_not_shown_counts(self):
        self.meet()
        self.assertEqual(self.push(5, item=None), [])
        self.assertEqual(self.receipts(), [], "what is not shown needs no receipt of its own")
        self.assertEqual(self.push(6), [f"{TALK} 6"])
        self.assertEqual(self.receipts(), [(TALK, 6)])

    def test_what_is_not_shown_makes_nothing_known(self):
        self.push(5, item=None)
        self.assertTrue(self.reader.caught_up)
        self.assertFalse(self.reader.knows(TALK))

    def test_the_answer_to_what_one_said_first_needs_no_head(self):
        self.assertEqual(self.push(1, item=None, first=True), [])
        self.assertEqual((self.push(2), self.wanted()), ([f"{TALK} 2"], None))

    def test_a_gap(self):
        self.meet()
        self.assertEqual(self.push(6), [])
        self.assertEqual(self.syncs(), [])
        self.assertAlmostEqual(self.reader.due, 100.2)
        self.now = 101.0
        self.assertEqual(self.syncs(), [(TALK, "1000-4")])
        self.assertEqual(self.page(TALK, 4, 5, 6), [f"{TALK} 5", f"{TALK} 6"])

    def test_what_is_no_more_is_given_up(self):
        self.meet()
        self.push(6)
        self.now = 101.0
        self.syncs()
        self.page(TALK, 4, upto=4)
        self.assertTrue(self.reader.settled(TALK))
        self.assertEqual(self.reader.held(TALK), at(4))

    def test_nothing_is_acknowledged_before_it_is_kept(self):
        self.meet()
        self.reader.pushed(TALK, at(5), at(4), "5", self.now)
        self.assertEqual((self.receipts(), self.reader.owes), ([], False))
        self.reader.kept(TALK, self.now)
        self.assertTrue(self.reader.owes)
        self.assertEqual(self.receipts(), [(TALK, 5)])

    def test_receipts_that_may_be_lost_are_sent_again(self):
        self.meet()
        self.meet("p:1:3")
        self.now += 10
        self.push(5)
        self.assertEqual(self.receipts(), [(TALK, 5)])
        self.reader.receipts_lost(self.now - 1, self.now)
        self.push(6)
        self.assertTrue(self.reader.owes)
        self.assertEqual(self.receipts(), [(TALK, 6)])

    def test_receipts_are_the_newest_only(self):
        self.meet()
        for n in (5, 6, 7):
            self.push(n)
        self.assertEqual(self.receipts(), [(TALK, 7)])


class BoundTests(ReaderCase):
    """A table of two."""

    policy = guests(capacity=2)

    def fill(self):
        self.reader.want(0, self.now)
        self.wanted()
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1))
        self.assertEqual(len(self.syncs()), 2)

    def test_what_finds_no_room_is_listed_again_when_there_is_some(self):
        self.reader.want(0, self.now)
        self.wanted()
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1), ("p:1:4", 0, 1), more="next")
        # Further pages would find no room, either.
        self.assertEqual(self.syncs(), [("p:1:2", ""), ("p:1:3", "")])
        self.page("p:1:2", 0, 1), self.page("p:1:3", 0, 1)
        self.assertEqual((self.wanted(), self.reader.caught_up), (None, False))
        self.receipts()
        # Their receipts may not be in the store yet: coming in again now, they would be repeated.
        self.assertIsNone(self.wanted())
        self.assertEqual(self.reader.due, self.now + STORED_SECONDS)
        self.now += STORED_SECONDS
        self.assertEqual(self.wanted(), 0)
        self.list(("p:1:4", 0, 1))
        self.assertEqual(self.syncs(), [("p:1:4", "")])

    def test_a_message_that_finds_no_room_is_found_later(self):
        self.fill()
        self.assertEqual(self.push(1, conversation="p:1:4", first=True), [])
        self.assertFalse(self.reader.knows("p:1:4"))
        self.page("p:1:2", 0, 1), self.page("p:1:3", 0, 1)
        self.receipts()
        self.now += STORED_SECONDS
        self.assertEqual(self.wanted(), 0)
        self.list(("p:1:4", 0, 1))
        self.assertEqual(self.page("p:1:4", 0, 1), ["p:1:4 1"])

    def test_lists_for_what_found_no_room_are_few(self):
        self.fill()
        self.page("p:1:2", 0, 1)
        self.receipts()
        self.now += STORED_SECONDS
        self.page("p:1:3", 0, 1)
        self.reader.want(0, self.now)
        self.wanted()
        self.list(("p:1:4", 0, 1), ("p:1:5", 0, 1))
        self.assertEqual(self.syncs(), [("p:1:4", "")])
        self.page("p:1:4", 0, 1)
        self.now += 1
        self.receipts()
        self.now += STORED_SECONDS - 2
        self.assertEqual((self.wanted(), self.reader.due), (None, self.now + 2))

    def test_while_some_wait_for_their_beginning_lists_go_on_without_room(self):
        self.push(4, conversation="p:1:8"), self.push(4, conversation="p:1:9")
        self.wanted()
        self.list(("p:1:4", 0, 1), more="next")
        self.assertEqual(self.syncs(), [("", "next")])
        self.assertEqual(self.list(("p:1:9", 3, 4)), ["p:1:9 4"])
        self.assertFalse(self.reader.knows("p:1:8"))

    def test_the_one_whose_receipt_is_the_oldest_goes(self):
        self.fill()
        self.page("p:1:2", 0, 1), self.page("p:1:3", 0, 1)
        self.receipts()
        self.now += 1
        self.push(2, conversation="p:1:2")
        self.receipts()
        self.now += STORED_SECONDS
        self.push(1, conversation="p:1:4")
        self.assertEqual(self.push(3, conversation="p:1:2"), ["p:1:2 3"])
        self.assertFalse(self.reader.knows("p:1:3"))

    def test_one_that_has_something_to_do_or_whose_receipt_just_went_up_stays(self):
        self.fill()
        self.page("p:1:2", 0, 1)
        self.now += STORED_SECONDS
        self.push(1, conversation="p:1:4")
        self.receipts()
        self.now += STORED_SECONDS - 1
        self.push(1, conversation="p:1:4")
        self.assertTrue(self.reader.knows("p:1:2") and self.reader.knows("p:1:3"))
        self.now += 1
        self.push(1, conversation="p:1:4")
        self.assertEqual([self.reader.knows(f"p:1:{n}") for n in (2, 3, 4)], [False, True, True])

    def test_one_that_is_about_to_be_handed_over_does_not_make_room_for_the_next(self):
        self.reader = Reader(guests(capacity=1))
        self.push(4)
        begun = self.reader.news([head(TALK, 3, 4), head("p:1:3", 0, 1)], self.now)
        self.assertEqual((self.hand_begun(begun), self.receipts()), ([f"{TALK} 4"], [(TALK, 4)]))
        self.assertFalse(self.reader.caught_up)

    def test_one_that_rests_is_not_missed(self):
        self.assertTrue(self.reader.rests(self.now))
        self.fill()
        self.page("p:1:2", 0, 1)
        self.assertFalse(self.reader.rests(self.now))
        self.page("p:1:3", 0, 1)
        self.assertFalse(self.reader.rests(self.now))
        self.receipts()
        self.assertFalse(self.reader.rests(self.now + STORED_SECONDS - 1))
        self.assertTrue(self.reader.rests(self.now + STORED_SECONDS))
        self.push(3, conversation="p:1:3")
        self.assertFalse(self.reader.rests(self.now + STORED_SECONDS))

    def test_a_thousand_heads(self):
        self.reader = Reader(guests())
        names = [f"p:1:{n}" for n in range(1002, 2002)]
        received = dict.fromkeys(names, 0)
        shown = []
        self.reader.want(0, self.now)
        lists = 0
        for _ in range(3000):
            cursor = "" if self.wanted() is not None else None
            lists += cursor is not None
            for sync in self.reader.requests(self.now):
                if sync.conversation:
                    self.assertEqual(sync.after, "")
                    shown += self.page(sync.conversation, 0, 1)
                else:
                    cursor = sync.after
            if cursor is not None:
                new = [name for name in names if not received[name] and name > cursor]
                self.list(*[(name, 0, 1) for name in new[:100]], more=new[99] if len(new) > 100 else "")
            received.update(self.receipts())
            if self.reader.caught_up:
                break
            self.now += 1.0
        self.assertEqual(sorted(shown), sorted(f"{name} 1" for name in names))
        self.assertLessEqual(lists, (self.now - 100.0) / STORED_SECONDS + 1)


class LibraryTests(ReaderCase):
    """A reader that outlasts its sessions, and keeps what was handed over before it acknowledges."""

    policy = LIBRARY

    def begin(self, *heads, more="", **baseline):
        begun = self.reader.begin(
            [head(*one) for one in heads],
            more,
            {name.replace("_", ":"): positions.text(at(n)) for name, n in baseline.items()},
            self.now,
        )
        return [(name, start[1], items) for name, start, items in begun]

    def test_a_conversation_that_is_in_no_head_begins_where_it_ended_before(self):
        self.assertEqual(self.begin((TALK, 2, 5), p_1_2=4, p_1_3=7), [(TALK, 2, []), ("p:1:3", 7, [])])
        self.assertEqual(self.push(8, conversation="p:1:3"), ["p:1:3 8"])
        self.assertEqual(self.push(1, conversation="p:1:4"), ["p:1:4 1"])

    def test_on_a_new_device_it_begins_where_the_user_has_read_and_that_is_acknowledged(self):
        self.reader.begin([Head(conversation=TALK, latest="1000-9", read="1000-7")], "", {}, self.now)
        self.assertEqual(self.syncs(), [(TALK, "1000-7")])
        self.reader.kept(TALK, self.now, at(7))
        self.assertEqual(self.receipts(), [(TALK, 7)])

    def test_messages_that_come_while_heads_are_missing_are_not_lost(self):
        self.begin(more="next", p_1_2=5)
        self.assertEqual(self.push(7), [])
        self.assertEqual(self.push(3, conversation="p:1:3"), [])
        self.assertEqual(self.list(("p:1:3", 2, 3)), ["p:1:3 3"])
        self.assertEqual(self.receipts(), [("p:1:3", 3)])
        self.now += 1
        self.assertEqual(self.syncs(), [(TALK, "1000-5")])
        # The server knows that nothing before was new.
        self.reader.kept(TALK, self.now, at(5))
        self.assertEqual(self.receipts(), [])

    def acknowledged(self, received, latest, seconds=STORED_SECONDS):
        """Receive and acknowledge five messages; some time later a head comes. Return what is acknowledged then."""
        self.begin((TALK, 0, 5))
        for n in range(1, 6):
            self.push(n)
        self.now += 1
        self.assertEqual(self.receipts(), [(TALK, 5)])
        self.now += seconds
        self.unasked((TALK, received, latest))
        return self.receipts()

    def test_what_a_store_that_went_back_forgot_is_acknowledged_again(self):
        self.assertEqual(self.acknowledged(1, 3), [(TALK, 5)])

    def test_what_a_lost_receipt_said_is_acknowledged_again(self):
        self.assertEqual(self.acknowledged(3, 5), [(TALK, 5)])

    def test_what_may_be_under_way_is_not(self):
        self.assertEqual(self.acknowledged(3, 5, STORED_SECONDS - 0.1), [])

    def test_what_the_store_knows_is_not(self):
        self.assertEqual(self.acknowledged(5, 5), [])
        self.unasked((TALK, 3, 3))
        self.assertEqual(self.receipts(), [])

    def test_what_is_missing_is_acknowledged_when_it_has_come(self):
        self.assertEqual(self.acknowledged(3, 6), [])
        self.assertEqual(self.syncs(), [(TALK, "1000-5")])

    def unasked(self, *heads, more=""):
        return self.hand_begun(self.reader.unasked([head(*one) for one in heads], more, self.now))

    def test_heads_that_nobody_asked_for_end_no_list(self):
        """Else what the next page names would begin where it ended before the session."""
        self.begin(more="next", p_1_2=10, p_1_3=10)
        self.assertEqual(self.unasked(("p:1:4", 0, 1)), [])
        self.assertEqual(self.syncs(), [("", "next"), ("p:1:4", "")])
        self.list((TALK, 3, 10))
        self.assertEqual(self.syncs(), [(TALK, "1000-3")])
        self.assertEqual(self.reader.held("p:1:3"), at(10))

    def test_the_pages_behind_heads_that_nobody_asked_for_are_read_after_the_list(self):
        self.begin(more="next")
        self.unasked(("p:1:4", 0, 1), more="other")
        self.assertEqual(self.syncs(), [("", "next"), ("p:1:4", "")])
        self.list((TALK, 3, 10))
        self.assertEqual(self.syncs(), [("", "other"), (TALK, "1000-3")])
        self.list()
        self.assertFalse(self.reader.listing)
        self.unasked(("p:1:5", 0, 1), more="another")
        self.assertEqual(self.syncs(), [("", "another"), ("p:1:5", "")])

    def test_they_wait_for_the_next_session_too(self):
        self.begin(more="next")
        self.push(7)
        self.reader.ended(self.now)
        self.assertFalse(self.reader.listing)
        self.assertEqual(self.begin((TALK, 6, 7)), [(TALK, 6, [f"{TALK} 7"])])

    def test_what_was_asked_for_is_asked_for_again_in_the_next_session(self):
        self.begin((TALK, 0, 2))
        self.assertEqual(self.syncs(), [(TALK, "")])
        self.reader.ended(self.now)
        self.assertEqual((self.begin(), self.syncs()), ([], [(TALK, "")]))

    def test_everyone_begins_with_what_comes_and_is_asked_for_in_the_next_session(self):
        self.begin(more="next")
        self.assertEqual(self.push(5, conversation="g:0"), ["g:0 5"])
        self.assertEqual(self.receipts(), [])
        self.reader.ended(self.now)
        self.begin()
        self.assertEqual(self.syncs(), [("g:0", "1000-5")])

    def test_places_of_an_earlier_reader(self):
        self.reader.load({TALK: "1000-5"})
        self.begin((TALK, 3, 7))
        self.assertEqual((self.syncs(), self.receipts()), ([(TALK, "1000-5")], []))

    def test_receipts_keep_their_distance(self):
        self.begin()
        for n in range(1, 4):
            self.push(n)
        self.assertEqual(self.receipts(), [(TALK, 3)])
        self.push(4)
        self.assertEqual((self.receipts(), self.reader.receipts_due), ([], self.now + 1))
        for n in range(5, 104):
            self.push(n)
        self.assertEqual(self.receipts(), [(TALK, 103)])


class World:
    """A store, links that lose and repeat pushes, and a reader.

    :ivar screen: for each conversation what its user saw
    """

    NAMES = (TALK, "p:1:3")

    def __init__(self, data):
        self.data = data
        self.now = 1000.0
        self.logs = {name: [] for name in self.NAMES}
        self.active = {}
        self.marks = dict.fromkeys(self.NAMES, ZERO)
        self.requests = []
        self.screen = {name: [] for name in self.NAMES}

    def draw(self, strategy):
        return self.data.draw(strategy)

    def show(self, name, items):
        self.screen[name] += items

    def show_begun(self, begun):
        for name, _, items in begun:
            self.show(name, items)

    def append(self, count=1):
        name = self.draw(st.sampled_from(self.NAMES))
        log = self.logs[name]
        for _ in range(count):
            log.append((1, len(log) + 1))
        self.active[name] = self.now
        return name

    def deliver(self, name, n, **options):
        position = (1, n)
        previous = (1, n - 1) if n > 1 else ZERO
        since = int(self.now * 1000) - 1000
        self.show(name, self.reader.pushed(name, position, previous, position, self.now, since=since, **options))

    def append_and_push(self):
        name = self.append()
        self.deliver(name, len(self.logs[name]), first=len(self.logs[name]) == 1)

    def append_many(self):
        self.append(self.draw(st.integers(2, 5)))

    def push_any(self):
        name = self.draw(st.sampled_from(self.NAMES))
        if self.logs[name]:
            # As its own time says, its conversation was active then: no list that it asks for leaves that out.
            self.deliver_old(name, self.draw(st.integers(1, len(self.logs[name]))))

    def deliver_old(self, name, n):
        position = (1, n)
        previous = (1, n - 1) if n > 1 else ZERO
        self.show(name, self.reader.pushed(name, position, previous, position, self.now, since=0))

    def push_all_again(self):
        """A sender repeats all that it said, while other things go on."""
        name = self.draw(st.sampled_from(self.NAMES))
        for n in range(1, len(self.logs[name]) + 1):
            self.deliver_old(name, n)
            for step in self.draw(st.lists(st.sampled_from(("ask", "answer", "append_and_push")), max_size=2)):
                getattr(self, step)()

    def heads(self, cursor, since=0):
        new = sorted(
            name
            for name, active in self.active.items()
            if active * 1000 >= since and self.logs[name][-1] > self.marks[name] and name > cursor
        )
        page = new[:2]
        heads = [
            Head(
                conversation=name,
                received=positions.text(self.marks[name]),
                latest=positions.text(self.logs[name][-1]),
            )
            for name in page
        ]
        return heads, page[-1] if len(new) > 2 else ""

    def answer_sync(self, sync, fails):
        name = sync.conversation
        if fails:
            self.reader.failed(name, self.now, 0.5)
            return
        if not name:
            self.show_begun(self.reader.listed(*self.heads(sync.after), self.now))
            return
        after = positions.parse(sync.after)
        limit = self.draw(st.integers(1, 5))
        unread = [position for position in self.logs[name] if position > after]
        page, more = unread[:limit], len(unread) > limit
        for position in page:
            self.deliver_old(name, position[1])
        upto = page[-1] if page else after
        self.show(name, self.reader.synced(name, after, upto, more, False, self.now))

    def answer(self, always=False):
        if self.requests:
            request = self.requests.pop(self.draw(st.integers(0, len(self.requests) - 1)))
            self.answer_one(request, not always and self.draw(st.integers(0, 4)) == 4)


class GuestWorld(World):
    """A guest that logs in again and again; its receipts are in the store after a while."""

    def __init__(self, data, capacity):
        super().__init__(data)
        self.policy = guests(capacity)
        self.unstored = []
        self.reader = Reader(self.policy)
        self.login()

    def show(self, name, items):
        super().show(name, items)
        if items:
            self.reader.kept(name, self.now)

    def login(self):
        """A new session; the receipts of the one before are in the store by then."""
        self.send_receipts()
        self.store(0.0)
        self.requests = []
        self.reader = Reader(self.policy)
        if self.draw(st.booleans()):
            self.fetch()

    def fetch(self):
        self.reader.want(0, self.now)

    def recheck(self):
        """Heads come without having been asked for by the reader."""
        heads, more = self.heads("")
        self.show_begun(self.reader.news(heads, self.now))
        if more:
            self.fetch()

    def drop(self):
        """A reader that has nothing to do is dropped, and made again when it is needed."""
        if self.reader.rests(self.now):
            self.reader = Reader(self.policy)

    def send_receipts(self):
        self.unstored += [(self.now, *receipt) for receipt in self.reader.receipts(self.now)]

    def store(self, age=STORED_SECONDS - 1):
        for _, name, position in [receipt for receipt in self.unstored if receipt[0] <= self.now - age]:
            self.marks[name] = max(self.marks[name], position)
        self.unstored = [receipt for receipt in self.unstored if receipt[0] > self.now - age]

    def wait(self):
        self.now += self.draw(st.sampled_from((0.1, 1.0, STORED_SECONDS, 70.0)))
        self.store()

    def ask(self):
        since = self.reader.first_page(self.now)
        if since is not None:
            # Answered by what is in the store now, or later.
            early = self.draw(st.booleans())
            self.requests.append((since, self.heads("", since) if early else None))
        self.requests += self.reader.requests(self.now)

    def answer_one(self, request, fails):
        if not isinstance(request, tuple):
            self.answer_sync(request, fails)
        elif fails:
            self.reader.not_listed(self.now, 0.5)
        else:
            since, read = request
            self.show_begun(self.reader.listed(*(read or self.heads("", since)), self.now))

    def rest(self):
        """No more losses: what is known of is handed over."""
        self.fetch()
        for _ in range(400):
            self.ask()
            while self.requests:
                self.answer(always=True)
            self.send_receipts()
            if self.reader.caught_up:
                return
            self.now += STORED_SECONDS
            self.store()
        raise AssertionError("never caught up")


class LibraryWorld(World):
    """A client that loses its connection again and again, and writes down what it was given, a little later."""

    def __init__(self, data):
        super().__init__(data)
        self.reader = Reader(LIBRARY)
        self.live = False
        self.written = {}

    def show(self, name, items):
        super().show(name, items)
        if items:
            self.written[name] = items[-1]

    def show_begun(self, begun):
        for name, start, items in begun:
            self.written[name] = start
            self.show(name, items)

    def login(self):
        if not self.live:
            self.live = True
            # Where all ended, asked for before the session: what is in no head was received up to there.
            baseline = {name: positions.text(log[-1]) for name, log in self.logs.items() if log}
            if self.draw(st.booleans()):
                self.append_many()
            self.show_begun(self.reader.begin(*self.heads(""), baseline, self.now))

    def lose(self):
        if self.live:
            self.live, self.requests = False, []
            self.reader.ended(self.now)

    def deliver(self, name, n, **options):
        if self.live:
            super().deliver(name, n)

    def deliver_old(self, name, n):
        if self.live:
            super().deliver_old(name, n)

    def recheck(self):
        """Heads come without having been asked for."""
        if self.live:
            self.show_begun(self.reader.unasked(*self.heads(""), self.now))

    def write(self):
        for name, position in self.written.items():
            self.reader.kept(name, self.now, position)
        self.written = {}

    def send_receipts(self):
        if self.live:
            for name, position in self.reader.receipts(self.now):
                self.marks[name] = max(self.marks[name], position)

    def wait(self):
        self.now += self.draw(st.sampled_from((0.1, 1.0, 11.0)))

    def ask(self):
        if self.live:
            self.requests += self.reader.requests(self.now)

    def answer_one(self, request, fails):
        self.answer_sync(request, fails)

    def rest(self):
        self.lose()
        self.login()
        for _ in range(100):
            self.ask()
            while self.requests:
                self.answer(always=True)
            if self.reader.caught_up:
                return
            self.now += 1.0
        raise AssertionError("never caught up")


COMMON = (
    "append", "append_many", "append_and_push", "append_and_push", "push_any", "push_all_again", "send_receipts",
    "wait", "ask", "ask", "answer", "answer", "answer", "login",
)  # fmt: skip


def steps(*more):
    return st.lists(st.sampled_from((*COMMON, *more)), min_size=25, max_size=80)


class WholeTests(SynchronousTestCase):
    """Any order of pushes, losses, repeats, pages, failures and sessions."""

    def assert_seen(self, world):
        for name, log in world.logs.items():
            self.assertEqual(world.screen[name], log, name)

    @settings(max_examples=100, deadline=None)
    @given(st.data(), steps("fetch", "recheck", "drop"), st.integers(1, 5))
    def test_a_guest_sees_everything_once_and_in_order(self, data, steps, capacity):
        world = GuestWorld(data, capacity)
        for step in steps:
            getattr(world, step)()
        world.rest()
        self.assert_seen(world)

    @settings(max_examples=100, deadline=None)
    @given(st.data(), steps("lose", "write", "recheck"))
    def test_a_client_of_the_library_too(self, data, steps):
        world = LibraryWorld(data)
        world.login()
        for step in steps:
            getattr(world, step)()
        world.rest()
        self.assert_seen(world)

"""A guest's place in its conversations: everything written once and in order, the backlog first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.wire.gap import GapPolicy
from cim.wire.guest_backlog import MAX_SYNCS, MAX_WAITING, RECENT_SECONDS, STORED_SECONDS, GuestBacklog
from cim.wire.guest_heads import HeadsWanted
from cim.wire.positions import ZERO

POLICY = GapPolicy(random=lambda: 0.5)
LISTING = HeadsWanted(False, 0.0, "")
ALL_AGAIN = HeadsWanted(True, 0.0, "")


def at(n):
    return (1000, n) if n else ZERO


class BacklogCase(SynchronousTestCase):
    eager = False
    capacity = 256

    def setUp(self):
        self.now = 100.0
        self.backlog = GuestBacklog(POLICY, self.eager, self.now, self.capacity)
        self.done = []

    def write(self):
        written = self.backlog.take()
        self.backlog.written()
        return written

    def push(self, n, previous=None, conversation="p:1:2", item="", **options):
        previous = n - 1 if previous is None else previous
        shown = None if item is None else item or f"{conversation} {n}"
        self.backlog.delivered(
            conversation, at(n), at(previous), shown, self.now, done=lambda told: self.done.append((n, told)), **options
        )
        return self.write()

    def list(self, *heads, wanted=None, more=""):
        """Answer a request for heads: (conversation, received, latest)."""
        asked = self.backlog.heads_due(self.now)
        if wanted is None:
            [wanted] = asked
        self.backlog.heads(wanted, [(name, at(a), at(b)) for name, a, b in heads], more, self.now)
        return self.write()

    def page(self, conversation, after, *numbers, upto=None, more=False, reset=False):
        entries = [(at(n), at(n - 1), f"{conversation} {n}") for n in numbers]
        upto = numbers[-1] if upto is None else upto
        self.backlog.page(conversation, entries, at(after), at(upto), more, reset, self.now)
        return self.write()

    @property
    def asked(self):
        return [wanted.recent for wanted in self.backlog.heads_due(self.now)]

    @property
    def syncs(self):
        return [(conversation, after[1]) for conversation, after in self.backlog.syncs_due(self.now)]


class EagerTests(BacklogCase):
    """W1: at login."""

    eager = True

    def test_the_backlog_is_asked_for_at_once(self):
        self.assertEqual(self.backlog.due, self.now)
        self.assertEqual(self.backlog.heads_due(self.now), [LISTING])
        self.assertEqual(self.backlog.heads_due(self.now), [])
        self.assertFalse(self.backlog.caught_up)

    def test_the_backlog_is_written(self):
        self.list(("p:1:2", 3, 5), ("g:7", 0, 1))
        self.assertEqual(self.syncs, [("p:1:2", 3), ("g:7", 0)])
        self.assertEqual(self.page("g:7", 0, 1), ["g:7 1"])
        self.assertEqual(self.page("p:1:2", 3, 4, 5), ["p:1:2 4", "p:1:2 5"])
        self.assertTrue(self.backlog.caught_up)
        self.assertIsNone(self.backlog.due)
        self.assertEqual(self.backlog.receipts(self.now), [("g:7", at(1)), ("p:1:2", at(5))])
        self.assertEqual(self.backlog.receipts(self.now), [])

    def test_nothing_new(self):
        self.list()
        self.assertTrue(self.backlog.caught_up)

    def test_what_is_only_unread_is_nothing_new(self):
        self.list(("p:1:2", 5, 5))
        self.assertEqual(self.syncs, [])
        self.assertTrue(self.backlog.caught_up)

    def test_pages_of_heads(self):
        self.list(("p:1:2", 0, 1), more="next")
        self.page("p:1:2", 0, 1)
        self.assertEqual(self.backlog.heads_due(self.now), [HeadsWanted(False, 0.0, "next")])

    def test_a_newer_message_waits_for_the_backlog(self):
        self.list(("p:1:2", 3, 5))
        self.assertEqual(self.push(6), [])
        self.assertEqual(self.syncs, [("p:1:2", 3)])
        self.assertEqual(self.page("p:1:2", 3, 4, 5), ["p:1:2 4", "p:1:2 5", "p:1:2 6"])
        self.assertEqual(self.done, [(6, True)])

    def test_a_newer_message_that_the_page_has_too(self):
        self.list(("p:1:2", 3, 5))
        self.push(6)
        self.syncs  # noqa: B018
        self.assertEqual(self.page("p:1:2", 3, 4, 5, 6), ["p:1:2 4", "p:1:2 5", "p:1:2 6"])

    def test_pages_of_messages(self):
        self.list(("p:1:2", 0, 4))
        self.assertEqual(self.syncs, [("p:1:2", 0)])
        self.page("p:1:2", 0, 1, 2, more=True)
        self.assertEqual(self.syncs, [("p:1:2", 2)])
        self.page("p:1:2", 2, 3, 4)
        self.assertTrue(self.backlog.caught_up)

    def test_trimmed(self):
        self.list(("p:1:2", 1, 9))
        self.syncs  # noqa: B018
        self.assertEqual(self.page("p:1:2", 1, 8, 9, reset=True), ["p:1:2 8", "p:1:2 9"])

    def test_few_syncs_at_once(self):
        heads = [(f"p:1:{n}", 0, 1) for n in range(2, 12)]
        self.list(*heads)
        first = self.syncs
        self.assertEqual(len(first), MAX_SYNCS)
        self.assertEqual(self.syncs, [])
        self.assertGreater(self.backlog.due, self.now, "it would be asked in a loop")
        self.page(first[0][0], 0, 1)
        self.assertEqual(len(self.syncs), 1)

    def test_a_failed_list_is_asked_for_again(self):
        [wanted] = self.backlog.heads_due(self.now)
        self.backlog.heads_failed(wanted, self.now, 2.0)
        self.assertEqual(self.backlog.due, 102.0)
        self.assertEqual(self.asked, [])
        self.now = 102.0
        self.assertEqual(self.asked, [False])

    def test_a_failed_sync_is_asked_again(self):
        self.list(("p:1:2", 3, 5))
        self.syncs  # noqa: B018
        self.backlog.sync_failed("p:1:2", self.now, 2.0)
        self.assertEqual(self.syncs, [])
        self.now = 102.0
        self.assertEqual(self.syncs, [("p:1:2", 3)])

    def test_a_conversation_that_is_not_the_guests_any_more(self):
        self.list(("g:7", 3, 5))
        self.push(6, conversation="g:7")
        self.syncs  # noqa: B018
        self.backlog.sync_failed("g:7", self.now, None)
        self.assertTrue(self.backlog.caught_up)
        self.assertEqual(self.done, [(6, False)])
        self.assertEqual(self.page("g:7", 3, 4), [])


class LazyTests(BacklogCase):
    """W2: when it is fetched, or before the first live message."""

    def test_nothing_is_asked_for_at_login(self):
        self.assertIsNone(self.backlog.due)
        self.backlog.missed(0.0, self.now)
        self.assertEqual(self.asked, [])

    def test_a_conversation_s_first_message_waits_for_the_backlog_of_others(self):
        self.assertEqual(self.push(1, conversation="p:1:9", first=True), [])

    def test_fetch(self):
        self.backlog.fetch(self.now)
        self.list(("p:1:2", 3, 4))
        self.syncs  # noqa: B018
        self.assertEqual(self.page("p:1:2", 3, 4), ["p:1:2 4"])
        self.assertTrue(self.backlog.caught_up)

    def test_fetched_twice(self):
        self.backlog.fetch(self.now)
        self.backlog.fetch(self.now)
        self.list()
        self.assertTrue(self.backlog.caught_up)
        self.backlog.fetch(self.now)
        self.assertEqual(self.asked, [False])

    def test_the_first_live_message_brings_the_backlog(self):
        self.assertEqual(self.push(6), [])
        listing, recent = self.backlog.heads_due(self.now)
        self.assertEqual((listing.recent, recent.recent), (False, True))
        self.assertEqual(self.list(("p:1:2", 3, 6), ("p:1:3", 0, 1), wanted=listing), [])
        self.assertEqual(self.syncs, [("p:1:2", 3), ("p:1:3", 0)])
        self.assertEqual(self.page("p:1:2", 3, 4, 5, 6), ["p:1:2 4", "p:1:2 5", "p:1:2 6"])
        self.assertEqual(self.done, [(6, True)])


class LiveTests(BacklogCase):
    def setUp(self):
        super().setUp()
        self.backlog.fetch(self.now)
        self.list()

    def meet(self, conversation="p:1:2", received=3):
        """Have the conversation in the table."""
        self.push(received + 1, conversation=conversation)
        self.list((conversation, received, received + 1))
        self.done.clear()

    def test_an_unknown_conversation_waits_for_its_mark(self):
        self.assertEqual(self.push(4), [])
        self.assertEqual(self.push(5), [])
        self.assertFalse(self.backlog.caught_up)
        self.assertEqual(self.backlog.heads_due(self.now), [HeadsWanted(True, self.now - RECENT_SECONDS, "")])
        self.backlog.heads(HeadsWanted(True, 40.0, ""), [("p:1:2", at(3), at(5))], "", self.now)
        self.assertEqual(self.write(), ["p:1:2 4", "p:1:2 5"])
        self.assertEqual(self.done, [(4, True), (5, True)])
        self.assertTrue(self.backlog.caught_up)

    def test_the_very_first_message_of_a_conversation_needs_no_mark(self):
        self.assertEqual(self.push(1, conversation="p:1:9", first=True), ["p:1:9 1"])
        self.assertEqual((self.done, self.backlog.heads_due(self.now)), ([(1, True)], []))
        self.assertEqual(self.push(2, conversation="p:1:9"), ["p:1:9 2"])

    def test_the_one_before_it_was_lost(self):
        self.push(5)
        self.assertEqual(self.list(("p:1:2", 3, 5)), [])
        self.assertEqual(self.syncs, [("p:1:2", 3)])
        self.assertEqual(self.page("p:1:2", 3, 4, 5), ["p:1:2 4", "p:1:2 5"])

    def test_a_repeat_of_what_an_earlier_session_got(self):
        self.push(1)
        self.assertEqual(self.list(("p:1:2", 1, 1)), [])
        self.assertTrue(self.backlog.caught_up)
        self.assertEqual(self.done, [(1, True)])

    def test_a_repeat_of_something_old(self):
        self.push(4)
        self.assertEqual(self.list(), [])
        self.assertEqual(self.backlog.heads_due(self.now), [ALL_AGAIN])
        self.assertEqual(self.list(wanted=ALL_AGAIN), [])
        self.assertTrue(self.backlog.caught_up)
        self.assertEqual(self.done, [(4, True)])
        self.assertEqual(self.push(5), ["p:1:2 5"])

    def test_something_old_that_was_never_received(self):
        self.push(4)
        self.list()
        self.assertEqual(self.list(("p:1:2", 3, 4)), ["p:1:2 4"])

    def test_the_list_was_asked_for_before_the_message_came(self):
        self.push(4, conversation="p:1:3")
        [wanted] = self.backlog.heads_due(self.now)
        self.push(4)
        self.assertEqual(self.list(("p:1:3", 3, 4), wanted=wanted), ["p:1:3 4"])
        self.assertEqual(self.list(("p:1:2", 3, 4)), ["p:1:2 4"])

    def test_many_wait_for_one_mark(self):
        for n in range(4, 104):
            self.push(n)
        self.assertEqual(len(self.done), 100 - MAX_WAITING)
        written = self.list(("p:1:2", 3, 103))
        self.assertEqual(self.syncs, [("p:1:2", 3 + len(written))])
        written += self.page("p:1:2", 3 + len(written), *range(4 + len(written), 104))
        self.assertEqual(written, [f"p:1:2 {n}" for n in range(4, 104)])

    def test_known(self):
        self.meet()
        self.assertEqual(self.push(5), ["p:1:2 5"])
        self.assertEqual(self.done, [(5, True)])
        self.assertEqual(self.push(5), [])
        self.assertEqual(self.done, [(5, True), (5, True)])
        self.assertEqual(self.asked, [])
        self.assertEqual(self.backlog.receipts(self.now), [("p:1:2", at(5))])

    def test_what_is_not_shown_counts(self):
        self.meet()
        self.assertEqual(self.push(5, item=None), [])
        self.assertEqual(self.push(6), ["p:1:2 6"])
        self.assertEqual(self.done, [(5, False), (6, True)])

    def test_what_is_not_shown_makes_nothing_known(self):
        self.push(5, item=None)
        self.assertTrue(self.backlog.caught_up)

    def test_the_answer_to_what_one_said_first_needs_no_mark(self):
        self.assertEqual(self.push(1, item=None, first=True), [])
        # What a guest is not shown has no receipt of its own.
        self.assertEqual(self.backlog.receipts(self.now), [])
        self.assertEqual(self.push(2), ["p:1:2 2"])
        self.assertEqual(self.backlog.heads_due(self.now), [])
        self.assertEqual(self.backlog.receipts(self.now), [("p:1:2", at(2))])

    def test_a_gap(self):
        self.meet()
        self.assertEqual(self.push(6), [])
        self.assertEqual(self.syncs, [])
        self.assertAlmostEqual(self.backlog.due, 100.2)
        self.now = 101.0
        self.assertEqual(self.syncs, [("p:1:2", 4)])
        self.assertEqual(self.page("p:1:2", 4, 5, 6), ["p:1:2 5", "p:1:2 6"])

    def test_who_waits_for_what_is_no_more_is_told(self):
        self.meet()
        self.push(6)
        self.now = 101.0
        self.syncs  # noqa: B018
        self.page("p:1:2", 4, upto=4)
        self.assertEqual(self.done, [(6, False)])

    def test_a_batch_is_one(self):
        self.meet()
        self.assertEqual(self.push(7, 4, item="batch", batch=True), ["batch"])
        self.assertEqual(self.push(8), ["p:1:2 8"])

    def test_a_batch_that_was_written_in_part_comes_one_by_one(self):
        self.meet()
        self.push(5)
        self.assertEqual(self.push(7, 4, item="batch", batch=True), [])
        self.assertEqual(self.syncs, [("p:1:2", 5)])
        self.assertEqual(self.page("p:1:2", 5, 6, 7), ["p:1:2 6", "p:1:2 7"])
        self.assertEqual(self.done, [(5, True), (7, True)])

    def test_a_batch_behind_a_gap_comes_one_by_one(self):
        self.meet()
        self.assertEqual(self.push(8, 5, item="batch", batch=True), [])
        self.assertEqual(self.push(5), ["p:1:2 5"])
        self.assertEqual(self.syncs, [("p:1:2", 5)])
        self.assertEqual(self.page("p:1:2", 5, 6, 7, 8), ["p:1:2 6", "p:1:2 7", "p:1:2 8"])

    def test_missed(self):
        self.meet()
        self.backlog.missed(90.0, self.now)
        self.backlog.missed(80.0, self.now)
        self.assertEqual(self.backlog.heads_due(self.now), [HeadsWanted(True, 80.0, "")])
        self.backlog.missed(95.0, self.now)
        self.list(("p:1:2", 3, 5), ("p:1:9", 0, 1), wanted=HeadsWanted(True, 80.0, ""))
        self.assertEqual(self.syncs, [("p:1:2", 4), ("p:1:9", 0)])
        self.assertEqual(self.backlog.heads_due(self.now), [HeadsWanted(True, 95.0, "")])

    def test_a_slow_connection_is_asked_for_nothing_and_loses_nothing(self):
        self.meet()
        self.backlog.paused = True
        self.assertEqual(self.push(5), [])
        self.assertEqual(self.push(1, conversation="p:1:3"), [])
        self.assertEqual(self.done, [(5, False), (1, False)])
        self.assertEqual((self.asked, self.syncs, self.backlog.due), ([], [], None))
        self.backlog.paused = False
        self.assertEqual(self.backlog.due, self.now)
        self.assertEqual(self.syncs, [("p:1:2", 4)])
        self.list(("p:1:3", 0, 1))
        self.assertEqual(self.syncs, [("p:1:3", 0)])

    def test_a_page_that_comes_to_a_slow_connection_is_kept(self):
        self.meet()
        self.push(6)
        self.now = 101.0
        self.syncs  # noqa: B018
        self.backlog.paused = True
        self.assertEqual(self.page("p:1:2", 4, 5, 6), ["p:1:2 5", "p:1:2 6"])

    def test_nothing_is_received_before_it_is_written(self):
        self.meet()
        self.backlog.receipts(self.now)
        self.backlog.delivered("p:1:2", at(5), at(4), "5", self.now)
        self.assertEqual(self.backlog.receipts(self.now), [])
        self.backlog.take()
        self.backlog.written()
        self.assertEqual(self.backlog.receipts(self.now), [("p:1:2", at(5))])

    def test_receipts_are_the_newest_only(self):
        self.meet()
        for n in (5, 6, 7):
            self.push(n)
        self.assertEqual(self.backlog.receipts(self.now), [("p:1:2", at(7))])


class BoundTests(BacklogCase):
    capacity = 2

    def setUp(self):
        super().setUp()
        self.backlog.fetch(self.now)

    def test_heads_wait_for_room(self):
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1), ("p:1:4", 0, 1), more="next")
        self.assertEqual([conversation for conversation, _ in self.syncs], ["p:1:2", "p:1:3"])
        self.page("p:1:2", 0, 1)
        self.page("p:1:3", 0, 1)
        self.assertEqual(self.syncs, [])
        self.backlog.receipts(self.now)
        # Their receipts may not be in the store yet: coming in again now, they would be repeated.
        self.assertEqual(self.asked, [])
        self.assertEqual(self.backlog.due, self.now + STORED_SECONDS)
        self.now += STORED_SECONDS
        self.assertEqual(self.asked, [False])
        self.assertEqual(self.syncs, [("p:1:4", 0)])

    def test_a_message_for_which_there_is_no_room_is_found_later(self):
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1))
        self.assertEqual(len(self.syncs), 2)
        self.assertEqual(self.push(1, conversation="p:1:4"), [])
        self.assertEqual(self.done, [(1, False)])
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1), ("p:1:4", 0, 1))
        self.page("p:1:2", 0, 1), self.page("p:1:3", 0, 1)
        self.backlog.receipts(self.now)
        self.now += STORED_SECONDS
        self.backlog.heads_due(self.now)
        self.assertEqual(self.syncs, [("p:1:4", 0)])

    def test_what_was_used_longest_ago_goes(self):
        self.list(("p:1:2", 0, 1), ("p:1:3", 0, 1))
        self.assertEqual(len(self.syncs), 2)
        self.page("p:1:2", 0, 1), self.page("p:1:3", 0, 1)
        self.push(2, conversation="p:1:2")
        self.backlog.receipts(self.now)
        self.now += STORED_SECONDS
        self.push(1, conversation="p:1:4")
        self.assertEqual(self.push(3, conversation="p:1:2"), ["p:1:2 3"])
        self.assertEqual(self.list(("p:1:4", 0, 1)), ["p:1:4 1"])
        # p:1:3 is unknown again.
        self.backlog.receipts(self.now)
        self.now += STORED_SECONDS
        self.assertEqual(self.push(2, conversation="p:1:3"), [])
        self.assertEqual(self.list(("p:1:3", 1, 2)), ["p:1:3 2"])

    def test_a_conversation_whose_end_the_store_has_lost_stays_until_that_is_told(self):
        self.backlog = GuestBacklog(POLICY, True, self.now, 1)
        self.list(("p:1:2", 5, 6))
        self.assertEqual(self.syncs, [("p:1:2", 5)])
        self.page("p:1:2", 5, 6)
        self.assertEqual(self.backlog.receipts(self.now), [("p:1:2", at(6))])
        self.push(7)
        self.backlog.missed(0.0, self.now)
        self.list(("p:1:2", 6, 9))
        [(_, after)] = self.backlog.syncs_due(self.now)
        self.backlog.page("p:1:2", [], after, at(6), False, True, self.now)
        self.now += STORED_SECONDS + 1
        self.push(1, conversation="p:1:3", first=True)
        self.backlog.written()
        self.assertEqual([name for name, _ in self.backlog.receipts(self.now)], ["p:1:2"])

    def test_a_thousand_heads(self):
        names = [f"p:1:{n}" for n in range(2, 1002)]
        latest = dict.fromkeys(names, 1)
        received = dict.fromkeys(names, 0)
        written = []
        for _ in range(3000):
            for wanted in self.backlog.heads_due(self.now):
                new = [name for name in names if received[name] < latest[name] and name > wanted.after]
                new.sort()
                page = new[:100]
                heads = [(name, at(received[name]), at(1)) for name in page]
                self.backlog.heads(wanted, heads, page[-1] if len(new) > 100 else "", self.now)
            for conversation, after in self.backlog.syncs_due(self.now):
                self.assertEqual(after, ZERO)
                written += self.page(conversation, 0, 1)
            for conversation, position in self.backlog.receipts(self.now):
                received[conversation] = position[1]
            if self.backlog.caught_up:
                break
            self.now += 1.0
        self.assertEqual(sorted(written), sorted(f"{name} 1" for name in names))


class GuestWorld:
    """A store, links that lose and repeat pushes, and a guest that logs in again and again."""

    NAMES = ("p:1:2", "p:1:3", "p:1:4", "g:5")

    def __init__(self, data, capacity):
        self.data = data
        self.capacity = capacity
        self.now = 1000.0
        self.logs = {name: [] for name in self.NAMES}
        self.active = {}
        self.marks = dict.fromkeys(self.NAMES, ZERO)
        self.unstored = []
        self.requests = []
        self.screen = {name: [] for name in self.NAMES}
        self.login()

    def draw(self, strategy):
        return self.data.draw(strategy)

    def login(self):
        """A new session; the receipts of the one before are in the store by then."""
        if hasattr(self, "backlog"):
            self.send_receipts()
        self.store(0.0)
        self.requests = []
        self.backlog = GuestBacklog(POLICY, self.draw(st.booleans()), self.now, self.capacity)
        self.pump()

    def pump(self):
        for name, position in self.backlog.take():
            self.screen[name].append(position)
        self.backlog.written()

    def append(self):
        name = self.draw(st.sampled_from(self.NAMES))
        log = self.logs[name]
        log.append((1, len(log) + 1))
        self.active[name] = self.now
        return name

    def deliver(self, name, n, first=False):
        self.backlog.delivered(name, (1, n), (1, n - 1) if n > 1 else ZERO, (name, (1, n)), self.now, first=first)
        self.pump()

    def append_and_push(self):
        name = self.append()
        self.deliver(name, len(self.logs[name]), len(self.logs[name]) == 1)

    def push_any(self):
        name = self.draw(st.sampled_from(self.NAMES))
        if self.logs[name]:
            self.deliver(name, self.draw(st.integers(1, len(self.logs[name]))))

    def batch(self):
        name = self.draw(st.sampled_from(self.NAMES))
        before = len(self.logs[name])
        count = self.draw(st.integers(2, 4))
        self.logs[name] += [(1, before + n) for n in range(1, count + 1)]
        self.active[name] = self.now
        whole = (name, tuple((1, before + n) for n in range(1, count + 1)))
        self.backlog.delivered(
            name, (1, before + count), (1, before) if before else ZERO, whole, self.now, batch=True, first=not before
        )
        self.pump()

    def fetch(self):
        self.backlog.fetch(self.now)

    def missed(self):
        self.backlog.missed(0.0, self.now)

    def toggle(self):
        self.backlog.paused = not self.backlog.paused

    def send_receipts(self):
        self.unstored += [(self.now, *receipt) for receipt in self.backlog.receipts(self.now)]

    def store(self, age=STORED_SECONDS - 1):
        due = [receipt for receipt in self.unstored if receipt[0] <= self.now - age]
        self.unstored = [receipt for receipt in self.unstored if receipt[0] > self.now - age]
        for _, name, position in due:
            self.marks[name] = max(self.marks[name], position)

    def wait(self):
        self.now += self.draw(st.sampled_from((0.1, 1.0, STORED_SECONDS, 70.0)))
        self.store()

    def ask(self):
        self.requests += self.backlog.heads_due(self.now)
        self.requests += self.backlog.syncs_due(self.now)

    def answer(self, always=False):
        if not self.requests:
            return
        request = self.requests.pop(self.draw(st.integers(0, len(self.requests) - 1)))
        if not always and self.draw(st.integers(0, 4)) == 4:
            if isinstance(request, HeadsWanted):
                self.backlog.heads_failed(request, self.now, 0.5)
            else:
                self.backlog.sync_failed(request[0], self.now, 0.5)
        elif isinstance(request, HeadsWanted):
            new = sorted(
                name
                for name, active in self.active.items()
                if active >= request.since and self.logs[name][-1] > self.marks[name] and name > request.after
            )
            page, more = new[:2], new[1] if len(new) > 2 else ""
            self.backlog.heads(request, [(n, self.marks[n], self.logs[n][-1]) for n in page], more, self.now)
        else:
            name, after = request
            limit = self.draw(st.integers(1, 5))
            unread = [position for position in self.logs[name] if position > after]
            page, more = unread[:limit], len(unread) > limit
            entries = [(p, (1, p[1] - 1) if p[1] > 1 else ZERO, (name, p)) for p in page]
            upto = page[-1] if page else after
            self.backlog.page(name, entries, after, upto, more, False, self.now)
        self.pump()

    def rest(self):
        """No more losses: what is known of is written."""
        self.backlog.paused = False
        self.backlog.fetch(self.now)
        for _ in range(400):
            self.ask()
            while self.requests:
                self.answer(always=True)
            self.send_receipts()
            if self.backlog.caught_up:
                return
            self.now += STORED_SECONDS
            self.store()
        raise AssertionError("never caught up")


STEPS = (
    "append", "append_and_push", "append_and_push", "append_and_push", "push_any", "batch", "fetch", "missed", "toggle",
    "send_receipts", "wait", "ask", "ask", "answer", "answer", "answer", "login",
)  # fmt: skip


class WholeBacklogTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.data(), st.lists(st.sampled_from(STEPS), max_size=80), st.integers(1, 5))
    def test_once_and_in_order_over_all_sessions(self, data, steps, capacity):
        world = GuestWorld(data, capacity)
        for step in steps:
            getattr(world, step)()
        world.rest()
        for name, log in world.logs.items():
            shown = []
            for item in world.screen[name]:
                shown += item if isinstance(item[0], tuple) else [item]
            self.assertEqual(shown, log, name)

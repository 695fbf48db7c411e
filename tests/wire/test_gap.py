"""The gap rule: every message once and in order, whatever happens to pushes and pages."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.wire.gap import GapPolicy, GapRule
from cim.wire.positions import ZERO


def policy(capacity=16):
    return GapPolicy(random=lambda: 0.5, capacity=capacity)


def at(n):
    return (1000, n)


class RuleTests(SynchronousTestCase):
    def setUp(self):
        self.rule = GapRule(policy(), at(1))

    def push(self, n, previous=None, now=0.0):
        return self.rule.pushed(at(n), at(n - 1 if previous is None else previous), n, now)

    def test_in_order(self):
        self.assertEqual([self.push(n) for n in (2, 3, 4)], [[2], [3], [4]])
        self.assertEqual(self.rule.held, at(4))
        self.assertIsNone(self.rule.due)
        self.assertTrue(self.rule.settled)

    def test_repeats_are_dropped(self):
        self.push(2)
        self.assertEqual([self.push(n) for n in (1, 2)], [[], []])

    def test_the_very_first_message(self):
        rule = GapRule(policy())
        self.assertEqual(rule.pushed((7, 1), ZERO, "first", 0.0), ["first"])

    def test_a_new_epoch_follows_the_old(self):
        self.assertEqual(self.rule.pushed((2000, 1), at(1), "a", 0.0), ["a"])
        self.assertEqual(self.rule.pushed((2000, 2), (2000, 1), "b", 0.0), ["b"])

    def test_a_tail_that_the_store_lost_does_not_block_new_messages(self):
        for n in (2, 3, 4):
            self.push(n)
        self.assertEqual(self.rule.pushed((2000, 1), at(2), "new", 0.0), ["new"])

    def test_a_message_that_overtook_waits_for_the_missing_one(self):
        self.assertEqual(self.push(3), [])
        self.assertEqual(self.push(5), [])
        self.assertEqual(self.rule.held, at(1))
        self.assertEqual(self.push(2), [2, 3])
        self.assertEqual(self.push(4), [4, 5])
        self.assertIsNone(self.rule.due)

    def test_a_gap_is_synced_when_patience_ends(self):
        self.push(3, now=10.0)
        self.assertAlmostEqual(self.rule.due, 10.2)
        self.assertIsNone(self.rule.sync_due(10.1))
        self.assertEqual(self.rule.sync_due(10.2), at(1))
        self.assertIsNone(self.rule.sync_due(10.3))

    def test_patience_has_jitter(self):
        waits = [GapPolicy(random=random.Random(n).random).wait() for n in range(100)]
        self.assertTrue(all(0.15 <= wait <= 0.25 for wait in waits))
        self.assertGreater(max(waits) - min(waits), 0.05)

    def test_a_page_fills_the_gap(self):
        self.push(4)
        self.rule.sync_due(0.2)
        self.assertEqual(self.push(2), [2])
        self.assertEqual(self.push(3), [3, 4])
        self.assertEqual(self.rule.synced(at(1), at(4), False, False, 0.3), [])
        self.assertTrue(self.rule.settled)

    def test_trimmed_messages_are_skipped(self):
        self.push(9)
        self.rule.sync_due(0.2)
        self.assertEqual(self.push(6), [])
        self.assertEqual(self.push(8), [])
        self.assertEqual(self.rule.synced(at(1), at(9), False, True, 0.3), [6, 8, 9])
        self.assertEqual(self.rule.held, at(9))

    def test_a_page_without_entries_moves_the_prefix(self):
        self.rule.news(at(5), 0.0)
        self.rule.sync_due(0.0)
        self.assertEqual(self.rule.synced(at(1), at(5), False, True, 0.1), [])
        self.assertEqual(self.push(6), [6])

    def test_more_asks_again_at_once(self):
        self.rule.news(at(5), 0.0)
        self.assertEqual(self.rule.sync_due(0.0), at(1))
        self.push(2), self.push(3)
        self.rule.synced(at(1), at(3), True, False, 0.1)
        self.assertEqual(self.rule.sync_due(0.1), at(3))
        self.push(4), self.push(5)
        self.rule.synced(at(3), at(5), False, False, 0.2)
        self.assertIsNone(self.rule.sync_due(100.0))

    def test_more_is_not_forgotten_for_a_live_message(self):
        self.rule.news(at(5), 0.0)
        self.rule.sync_due(0.0)
        self.rule.synced(at(1), at(2), True, False, 0.1)
        self.push(3, now=0.1)
        self.assertEqual(self.rule.sync_due(0.1), at(3))

    def test_more_without_progress_does_not_spin(self):
        self.rule.news(at(5), 0.0)
        self.rule.sync_due(0.0)
        self.rule.synced(at(1), at(1), True, False, 1.0)
        self.assertIsNone(self.rule.sync_due(1.0))
        self.assertEqual(self.rule.sync_due(1.2), at(1))

    def test_news_of_what_is_held_changes_nothing(self):
        self.rule.news(at(1), 0.0)
        self.assertIsNone(self.rule.due)

    def test_news_during_a_sync_asks_once_more(self):
        self.rule.news(at(2), 0.0)
        self.rule.sync_due(0.0)
        self.rule.news(at(3), 0.05)
        self.push(2)
        self.rule.synced(at(1), at(2), False, False, 0.1)
        self.assertEqual(self.rule.sync_due(0.1), at(2))

    def test_news_of_what_no_longer_exists_ends(self):
        self.rule.news(at(5), 0.0)
        self.rule.sync_due(0.0)
        self.rule.synced(at(1), at(1), False, False, 0.1)
        self.assertTrue(self.rule.settled)

    def test_waiting_for_what_no_longer_exists_ends(self):
        self.push(5)
        self.rule.sync_due(0.2)
        self.assertEqual(self.rule.synced(at(1), at(1), False, False, 0.3), [])
        self.assertTrue(self.rule.settled)

    def test_messages_after_the_sync_are_kept(self):
        self.push(3)
        self.rule.sync_due(0.2)
        self.push(5, now=0.25)
        self.push(2)
        self.assertEqual(self.rule.synced(at(1), at(3), False, False, 0.3), [])
        self.assertEqual(self.rule.held, at(3))
        self.assertEqual(self.push(4), [4, 5])

    def test_messages_that_follow_the_page_are_handed_over_with_it(self):
        self.rule.news(at(3), 0.0)
        self.rule.sync_due(0.0)
        self.push(4)
        self.assertEqual(self.rule.synced(at(1), at(3), False, True, 0.1), [4])

    def test_one_sync_at_a_time(self):
        self.push(3)
        self.rule.sync_due(0.2)
        self.push(5, now=0.3)
        self.rule.news(at(9), 0.3)
        self.assertIsNone(self.rule.sync_due(5.0))

    def test_an_unanswered_sync_is_asked_again(self):
        self.push(3)
        self.rule.sync_due(0.2)
        self.assertEqual(self.rule.sync_due(10.2), at(1))

    def test_a_failed_sync_is_asked_again_after_the_delay(self):
        self.push(3)
        self.rule.sync_due(0.2)
        self.rule.failed(1.0, 3.0)
        self.assertIsNone(self.rule.sync_due(3.9))
        self.assertEqual(self.rule.sync_due(4.0), at(1))

    def test_a_live_message_does_not_make_up_for_a_failed_page(self):
        self.rule.news(at(2), 0.0)
        self.rule.sync_due(0.0)
        self.rule.failed(0.1, 1.0)
        self.push(2, now=0.2)
        self.assertEqual(self.rule.sync_due(1.1), at(2))

    def test_failure_of_nothing(self):
        self.rule.failed(1.0, 3.0)
        self.assertTrue(self.rule.settled)

    def test_the_answer_to_an_older_sync_is_valid(self):
        self.push(5)
        self.rule.sync_due(0.2)
        self.rule.synced(at(0), at(5), False, False, 0.3)
        self.assertEqual(self.rule.held, at(5))

    def test_a_page_that_begins_beyond_the_prefix_says_nothing(self):
        self.push(5)
        self.rule.sync_due(0.2)
        self.assertEqual(self.rule.synced(at(3), at(5), False, False, 0.3), [])
        self.assertEqual(self.rule.held, at(1))

    def test_back_to_where_a_lost_tail_ends(self):
        self.rule.news((2000, 1), 0.0)
        self.rule.sync_due(0.0)
        self.rule.synced(at(1), (999, 7), False, True, 0.1)
        self.assertEqual(self.rule.held, (999, 7))
        self.assertEqual(self.rule.pushed((999, 8), (999, 7), "again", 0.2), ["again"])

    def test_not_back_when_something_arrived_meanwhile(self):
        self.rule.news(at(3), 0.0)
        self.rule.sync_due(0.0)
        self.push(2)
        self.rule.synced(at(1), (999, 7), False, True, 0.1)
        self.assertEqual(self.rule.held, at(2))

    def test_messages_kept_aside_are_bounded(self):
        rule = GapRule(policy(capacity=3), ZERO)
        for n in range(2, 100):
            rule.pushed(at(n), at(n - 1), n, 0.0)
        self.assertEqual(rule.pushed(at(1), ZERO, 1, 0.1), [1, 2, 3, 4])
        self.assertEqual(rule.sync_due(1.0), at(4))

    def test_a_page_longer_than_the_bound_is_taken_in_pieces(self):
        rule = GapRule(policy(capacity=3), ZERO)
        rule.news(at(20), 0.0)
        taken = []
        now = 0.0
        while (after := rule.sync_due(now)) is not None:
            for n in range(max(after[1] + 1, 11), 21):
                # Trimmed up to 10: the first message of each page does not follow what is held.
                taken += rule.pushed(at(n), at(n - 1) if n > 11 else at(10), n, now)
            taken += rule.synced(after, at(20), False, True, now)
            now += 1.0
        self.assertEqual(taken, list(range(11, 21)))

    def test_forgotten_messages_do_not_count_as_sent(self):
        rule = GapRule(policy(capacity=2), at(1))
        rule.news(at(20), 0.0)
        rule.sync_due(0.0)
        for n in (6, 7, 8):
            rule.pushed(at(n), at(n - 1), n, 0.0)
        # 8 was forgotten. Live messages make room in the middle of the page, then 11 is forgotten, too.
        self.assertEqual([rule.pushed(at(n), at(n - 1), n, 0.0) for n in (2, 3, 4, 5)], [[2], [3], [4], [5, 6, 7]])
        for n in (9, 10, 11):
            rule.pushed(at(n), at(n - 1), n, 0.0)
        self.assertEqual(rule.synced(at(1), at(10), False, False, 0.1), [])
        self.assertEqual(rule.sync_due(1.0), at(7))
        self.assertEqual(rule.pushed(at(8), at(7), 8, 1.0), [8, 9, 10])

    def test_a_page_overrides_the_content_of_a_message(self):
        self.rule.pushed(at(5), at(4), "secret", 0.0)
        self.rule.sync_due(0.2)
        self.rule.pushed(at(5), at(4), "", 0.3)
        self.assertEqual(self.rule.synced(at(1), at(5), False, True, 0.3), [""])


class World:
    """A log, a reader, and a stream to it that may lose anything but pages, which arrive whole or not at all."""

    def __init__(self, data, capacity):
        self.data = data
        self.now = 0.0
        self.log = []
        self.trimmed = 0
        self.epoch, self.n = 1, 0
        self.stream = []
        self.asked = []
        self.taken = []
        self.rule = GapRule(GapPolicy(random=lambda: 0.5, capacity=capacity))

    def draw(self, strategy):
        return self.data.draw(strategy)

    @property
    def last(self):
        return self.log[-1][0] if self.log else ZERO

    def append(self):
        if self.draw(st.integers(0, 9)) == 0:
            self.epoch, self.n = self.epoch + 1, 0
        self.n += 1
        self.log.append(((self.epoch, self.n), self.last))

    def append_and_push(self):
        self.append()
        self.stream.append(("push", *self.log[-1]))

    def push_any(self):
        if self.log:
            entry = self.draw(st.sampled_from(self.log))
            self.stream.insert(self.draw(st.integers(0, len(self.stream))), ("push", *entry))

    def trim(self):
        self.trimmed = self.draw(st.integers(self.trimmed, len(self.log)))

    def tell(self):
        self.stream.append(("news", self.last))

    def poll(self):
        self.now += self.draw(st.sampled_from((0.0, 0.1, 0.25, 11.0)))
        after = self.rule.sync_due(self.now)
        if after is not None:
            self.asked.append(after)

    def answer(self, limit=None):
        if not self.asked:
            return
        after = self.asked.pop(0)
        limit = limit or self.draw(st.integers(1, 12))
        unread = [entry for entry in self.log[self.trimmed :] if entry[0] > after]
        page, more = unread[:limit], len(unread) > limit
        lost = any(after < entry[0] for entry in self.log[: self.trimmed])
        self.stream += [("push", *entry) for entry in page]
        upto = page[-1][0] if more else max(self.last, after)
        self.stream.append(("synced", after, upto, more, lost))

    def fail(self):
        self.stream = [item for item in self.stream if item[0] == "push"]
        self.asked.clear()
        self.rule.failed(self.now, 1.0)

    def arrive(self, count=None):
        for _ in range(count or self.draw(st.integers(1, 8))):
            if not self.stream:
                return
            kind, *said = self.stream.pop(0)
            if kind == "push":
                self.taken += self.rule.pushed(*said, said[0], self.now)
            elif kind == "news":
                self.rule.news(*said, self.now)
            else:
                self.taken += self.rule.synced(*said, self.now)

    def heal(self, limit):
        """Do what News does after a loss; nothing is lost from here on."""
        self.tell()
        for _ in range(60 + 3 * len(self.log)):
            self.arrive(len(self.stream))
            self.now += 11.0
            after = self.rule.sync_due(self.now)
            if after is not None:
                self.asked.append(after)
            while self.asked:
                self.answer(limit)
            if self.rule.settled and not self.stream:
                return
        raise AssertionError("never at rest")


STEPS = ("append", "append_and_push", "append_and_push", "push_any", "trim", "tell", "poll", "answer", "fail", "arrive")


class WholeLogTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None)
    @given(
        st.data(),
        st.lists(st.sampled_from(STEPS), max_size=60),
        st.integers(1, 8),
        st.integers(1, 12),
    )
    def test_once_and_in_order(self, data, steps, capacity, limit):
        world = World(data, capacity)
        for step in steps:
            getattr(world, step)()
        world.heal(limit)
        log = [position for position, _ in world.log]
        self.assertEqual(world.taken, sorted(set(world.taken)), "repeated or out of order")
        self.assertTrue(set(world.taken) <= set(log), "out of nowhere")
        self.assertTrue(set(world.taken) >= set(log[world.trimmed :]), "lost")
        self.assertEqual(world.rule.held, world.last)
        if not world.trimmed:
            self.assertEqual(world.taken, log)

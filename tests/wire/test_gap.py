"""The gap rule: every message once and in order, whatever happens to pushes and pages."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.wire import positions
from cim.wire.gap import UNKNOWN, GapPolicy, GapRule
from cim.wire.positions import ZERO
from tests.harness.vectors import vectors


def policy(capacity=16):
    return GapPolicy(random=lambda: 0.5, capacity=capacity)


class RuleTests(SynchronousTestCase):
    def test_vectors(self):
        for case in vectors("gap"):
            rule = GapRule(policy(case["capacity"]), parsed(case["held"]))
            for number, step in enumerate(case["steps"]):
                where = f"{case['name']}, step {number}"
                self.assertEqual(taken(rule, step), step.get("gives", []), where)
                if "held" in step:
                    self.assertEqual(rule.held, parsed(step["held"]), where)

    def test_patience_has_jitter(self):
        waits = [GapPolicy(random=random.Random(n).random).wait() for n in range(100)]
        self.assertTrue(all(0.15 <= wait <= 0.25 for wait in waits))
        self.assertGreater(max(waits) - min(waits), 0.05)

    def test_settled(self):
        rule = GapRule(policy(), (1000, 1))
        self.assertTrue(rule.settled)
        rule.pushed((1000, 3), (1000, 2), 3, 0.0)
        self.assertFalse(rule.settled)
        rule.sync_due(0.2)
        rule.synced((1000, 1), (1000, 1), False, False, 0.3)
        self.assertTrue(rule.settled, "what does not exist is not waited for")


def parsed(text):
    return UNKNOWN if text is None else positions.parse(text)


def taken(rule, step):
    """Do a step of a vector; return what came of it."""
    now = step.get("now", 0) / 1000
    if "push" in step:
        return rule.pushed(parsed(step["push"]), parsed(step["previous"]), step["item"], now)
    if "synced" in step:
        page = parsed(step["after"]), parsed(step["synced"])
        return rule.synced(*page, step.get("more", False), step.get("reset", False), now)
    if "ask" in step:
        after = rule.sync_due(step["ask"] / 1000)
        return None if after is None else positions.text(after)
    if "begin" in step:
        return rule.begin(parsed(step["begin"]), now)
    if "news" in step:
        rule.news(parsed(step["news"]), now)
    elif "failed" in step:
        rule.failed(step["failed"] / 1000, step["delay"] / 1000)
    else:
        assert step == {"giveUp": True}
        rule.give_up()
    return []


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

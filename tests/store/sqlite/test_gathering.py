"""Tests of the calls of `append` that wait for the writer and go together."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.sqlite import gathering
from cim.store.sqlite.gathering import Gathering


class Writer:
    """A SQLite database whose writer begins and ends work when the test says so."""

    def __init__(self):
        self.queue = []
        self.open = True

    def write(self, name, work):
        if not self.open:
            return fail(StoreUnavailable())
        self.queue.append((work, Deferred()))
        return self.queue[-1][1]

    def begin(self):
        """Run the next work; return what ends it."""
        work, fate = self.queue.pop(0)
        result = work(None)
        return lambda error=None: fate.callback(result) if error is None else fate.errback(error)


class GatheringTests(SynchronousTestCase):
    def setUp(self):
        self.writer = Writer()
        self.begun = []
        self.done = []
        self.gathering = Gathering(self.writer, self.begin)

    def begin(self):
        piece = []
        self.begun.append(piece)

        def append(connection, items):
            piece.extend(items)
            return [item.upper() for item in items]

        return append

    def append(self, *items):
        def told(result):
            self.done.append(result if isinstance(result, list) else result.type)

        self.gathering.append(items).addBoth(told)

    def test_calls_that_wait_go_together_and_each_has_its_own_results(self):
        self.append("a", "b")
        self.append("c")
        end = self.writer.begin()
        self.assertEqual(self.begun, [["a", "b", "c"]])
        self.assertEqual(self.done, [])
        end()
        self.assertEqual(self.done, [["A", "B"], ["C"]])
        self.assertEqual(self.writer.queue, [])

    def test_what_comes_during_a_transaction_goes_into_the_next_one(self):
        self.append("a")
        first = self.writer.begin()
        self.append("b")
        self.append("c")
        first()
        self.assertEqual(self.done, [["A"]])
        self.writer.begin()()
        self.assertEqual(self.done, [["A"], ["B"], ["C"]])
        self.assertEqual(self.begun, [["a"], ["b", "c"]])

    def test_too_many_calls_that_wait_are_refused(self):
        self.patch(gathering, "MAX_WAITING", 2)
        for item in "abc":
            self.append(item)
        self.assertEqual(self.done, [StoreUnavailable])
        self.writer.begin()()
        self.assertEqual(self.done[1:], [["A"], ["B"]])

    def test_a_transaction_that_fails_fails_its_calls_and_no_others(self):
        self.append("a")
        self.append("b")
        end = self.writer.begin()
        self.append("c")
        end(StoreUnavailable())
        self.assertEqual(self.done, [StoreUnavailable, StoreUnavailable])
        self.writer.begin()()
        self.assertEqual(self.done[2:], [["C"]])

    def test_what_never_begins_fails_all_that_wait(self):
        self.append("a")
        self.append("b")
        self.writer.queue.pop()[1].errback(StoreUnavailable())
        self.assertEqual(self.done, [StoreUnavailable] * 2)
        self.writer.open = False
        self.append("c")
        self.assertEqual(self.done[2:], [StoreUnavailable])
        self.writer.open = True
        self.append("d")
        self.writer.begin()()
        self.assertEqual(self.done[3:], [["D"]])

    def test_a_call_that_comes_just_when_nothing_more_was_found_is_not_left(self):
        late = ["b"]

        class Waiting(deque):
            def popleft(waiting):
                if not waiting and late:
                    try:
                        return super().popleft()
                    finally:
                        self.append(late.pop())
                return super().popleft()

        self.gathering._waiting = Waiting()
        self.append("a")
        first, second = self.writer.begin(), self.writer.begin()
        first()
        second()
        self.assertEqual(self.done, [["A"], ["B"]])

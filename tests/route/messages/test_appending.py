"""Tests of appending messages to the store in batches."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.model import Append, Appended
from cim.route.messages import appending
from cim.route.messages.appending import BATCH_BYTES, BATCH_ITEMS, BATCH_OF_ONE, Appender
from tests.harness.store import MemoryStore
from tests.route.route_case import Held

P = "p:1:2"


class AppenderTests(SynchronousTestCase):
    """A base in which the store's calls wait until the test releases them."""

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.store = MemoryStore(self.clock)
        self.held = Held(self.store.conversations, "append")
        self.patch(self.store.conversations, "appends_at_once", 2)
        self.appender = Appender(self.held, self.clock)
        self.fates = []

    def put(self, client_id, after="", body=b"", digest=b"x" * 16, sender=1):
        item = Append(P, sender, client_id, digest, body, 1_700_000_000_000, after=after)
        self.appender.put((item,), lambda _, results: self.fates.append((client_id, results[0])))

    def turn(self):
        self.clock.advance(0)

    def told(self):
        """Return the fates since the last call: client_id -> position or the error's name."""
        fates, self.fates = self.fates, []
        return [
            (name, result.position[-1] if isinstance(result, Appended) else type(result).__name__)
            for name, result in fates
        ]

    def batches(self):
        return [[item.client_id for item in args[0]] for _, args, _ in self.held.calls]

    def test_messages_put_in_one_turn_go_in_one_call_in_order(self):
        for name in "abc":
            self.put(name)
        self.assertEqual(self.batches(), [])
        self.turn()
        self.assertEqual(self.batches(), [["a", "b", "c"]])
        self.held.go()
        self.assertEqual(self.told(), [("a", "1"), ("b", "2"), ("c", "3")])

    def test_no_more_calls_are_under_way_than_serve_the_store_while_the_rest_gathers(self):
        for name in "abcd":
            self.put(name)
            self.turn()
        self.assertEqual(self.batches(), [["a"], ["b"]])
        self.assertEqual(len(self.appender), 2)
        self.held.go()
        self.assertEqual(self.batches(), [["b"], ["c", "d"]])
        self.held.go()
        self.held.go()
        self.assertEqual(self.told(), [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])

    def test_no_further_call_is_made_while_many_messages_are_under_way(self):
        self.patch(self.store.conversations, "appends_at_once", 9)
        self.patch(appending, "UNDER_WAY", 3)
        self.appender = Appender(self.held, self.clock)
        for name in ("a", "b"):
            self.put(name)
            self.turn()
        self.put("c")
        self.put("d")
        self.turn()
        self.put("e")
        self.turn()
        self.assertEqual(self.batches(), [["a"], ["b"], ["c", "d"]])
        self.held.go()
        self.assertEqual(self.batches(), [["b"], ["c", "d"]])
        self.held.go()
        self.assertEqual(self.batches(), [["c", "d"], ["e"]])

    def test_messages_and_bytes_of_a_call_are_bounded(self):
        for number in range(BATCH_ITEMS + 1):
            self.put(str(number), sender=number)
        self.turn()
        self.assertEqual([len(batch) for batch in self.batches()], [BATCH_ITEMS, 1])
        self.held.go()
        self.held.go()
        for name in "abc":
            self.put(name, body=bytes(BATCH_BYTES // 2))
        self.turn()
        self.assertEqual(self.batches(), [["a", "b"], ["c"]])

    def test_senders_take_turns(self):
        mine = [f"a{number}" for number in range(2 * BATCH_OF_ONE)]
        for name in mine:
            self.put(name)
        self.put("b0", sender=2)
        self.turn()
        first, second = self.batches()
        half = BATCH_OF_ONE // 2
        self.assertEqual(first, ["b0", *mine[:half]])
        self.assertEqual(second, mine[half : half + BATCH_OF_ONE])
        # Who comes now waits no longer than for what is under way.
        for number in range(2):
            self.put(f"c{number}", sender=3)
        self.held.go()
        self.assertEqual(self.batches()[-1], ["c0", "c1", *mine[half + BATCH_OF_ONE :]])

    def test_those_who_say_little_have_half_of_a_call_first(self):
        self.patch(appending, "BATCH_ITEMS", 4)
        self.patch(appending, "BATCH_OF_FEW", 2)
        self.patch(appending, "FEW", 3)
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)
        for sender in (1, 2):
            for number in range(6):
                self.put(f"{sender}.{number}", sender=sender)
        self.turn()
        self.assertEqual(self.batches(), [["1.0", "1.1", "2.0", "2.1"], ["1.2", "1.3", "2.2", "2.3"]])
        for sender, count in ((6, 4), (3, 3), (4, 3), (5, 3)):
            for number in range(count):
                self.put(f"{sender}.{number}", sender=sender)
        called = []
        for _ in range(5):
            self.held.go()
            called.append(self.batches()[-1])
        self.assertEqual(
            called,
            [
                ["3.0", "3.1", "1.4", "1.5"],
                ["4.0", "4.1", "2.4", "2.5"],
                ["5.0", "5.1", "6.0", "6.1"],
                ["3.2", "4.2", "5.2", "6.2"],
                ["6.3"],
            ],
        )

    def test_those_who_say_little_have_half_of_the_bytes_of_a_call_first(self):
        self.patch(appending, "BATCH_BYTES", 100)
        self.patch(appending, "BYTES_OF_FEW", 50)
        for number in range(5):
            self.put(f"1.{number}", sender=1, body=bytes(40))
        for sender in (2, 3, 4):
            self.put(f"{sender}.0", sender=sender, body=bytes(60))
        self.turn()
        self.held.go()
        self.assertEqual(self.batches(), [["3.0", "1.1"], ["4.0", "1.2"]])

    def test_messages_put_together_are_told_together_as_far_as_one_call_has_them(self):
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)
        told = []
        items = [Append(P, 1, name, b"x" * 16, b"", 0) for name in ("a", "b", "c")]
        self.appender.put(items, lambda number, results: told.append((number, [one.position[-1] for one in results])))
        self.turn()
        self.held.go()
        self.held.go()
        self.assertEqual(told, [(0, ["1", "2"]), (2, ["3"])])

    def test_a_later_call_may_be_answered_first(self):
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)
        told = []
        items = [Append(P, 1, name, b"x" * 16, b"", 0) for name in ("a", "b", "c")]
        self.appender.put(items, lambda number, results: told.append((number, results)))
        self.turn()
        self.held.answer(["that of c"], at=1)
        self.held.answer(["that of a", "that of b"])
        self.assertEqual(told, [(2, ["that of c"]), (0, ["that of a", "that of b"])])

    def test_when_a_call_is_full_those_that_had_no_turn_are_next(self):
        self.patch(appending, "BATCH_ITEMS", 3)
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)
        for sender in (1, 2, 3):
            for number in range(3):
                self.put(f"{sender}.{number}", sender=sender)
        self.turn()
        self.assertEqual(self.batches(), [["1.0", "1.1", "2.0"], ["3.0", "3.1", "1.2"]])

    def test_each_message_gets_its_own_result(self):
        self.put("a")
        self.put("a", digest=b"y" * 16)
        self.put("b")
        self.turn()
        self.held.go()
        self.assertEqual(self.told(), [("a", "1"), ("a", "Conflict"), ("b", "2")])

    def test_too_many_waiting_messages_are_refused(self):
        self.patch(appending, "QUEUE", 2)
        for name in "abc":
            self.put(name)
        self.assertEqual(self.told(), [("c", "RateLimited")])

    def test_a_failed_call_fails_each_of_its_messages(self):
        self.put("a")
        self.put("b")
        self.turn()
        self.held.fail(StoreUnavailable())
        self.assertEqual(self.told(), [("a", "StoreUnavailable"), ("b", "StoreUnavailable")])
        self.put("c")
        self.turn()
        self.held.go()
        self.assertEqual(self.told(), [("c", "1")])

    def test_an_unexpected_error_is_unavailable_and_logged(self):
        self.put("a")
        self.turn()
        self.held.fail(ValueError("?"))
        self.assertEqual(self.told(), [("a", "StoreUnavailable")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_store_that_raises_or_answers_nonsense_does_not_stall_it(self):
        def raising(items):
            raise ValueError("?")

        self.held._hold = raising
        self.put("a")
        self.turn()
        del self.held._hold
        self.put("b")
        self.put("c")
        self.turn()
        self.held.answer([])
        self.put("d")
        self.turn()
        self.held.go()
        self.assertEqual(
            self.told(), [("a", "StoreUnavailable"), ("b", "StoreUnavailable"), ("c", "StoreUnavailable"), ("d", "1")]
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_a_callback_that_raises_does_not_affect_others(self):
        def raising(number, results):
            raise ZeroDivisionError

        self.appender.put((Append(P, 1, "a", b"x" * 16, b"", 0),), raising)
        self.put("b")
        self.turn()
        self.held.go()
        self.assertEqual(self.told(), [("b", "2")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_store_that_answers_at_once(self):
        self.appender = Appender(self.store.conversations, self.clock)
        for number in range(BATCH_ITEMS * 4):
            self.put(str(number))
        self.turn()
        self.assertEqual(len(self.fates), BATCH_ITEMS * 4)
        self.successResultOf(self.appender.settled())

    def test_settled(self):
        self.successResultOf(self.appender.settled())
        self.put("a")
        settled = self.appender.settled()
        self.assertNoResult(settled)
        self.turn()
        self.assertNoResult(settled)
        self.held.go()
        self.successResultOf(settled)

    def test_a_failed_call_does_not_hold_up_others(self):
        self.put("a")
        self.turn()
        self.put("b")
        self.turn()
        self.put("c")
        self.held.fail(StoreUnavailable())
        self.held.go()
        self.held.go()
        self.assertEqual(self.told(), [("a", "StoreUnavailable"), ("b", "1"), ("c", "2")])

    def test_the_store_ensures_the_order(self):
        self.put("a")
        self.turn()
        self.put("b", after="a")
        self.turn()
        self.put("c", after="b")
        self.held.fail(StoreUnavailable())
        self.held.go()
        self.held.go()
        self.assertEqual(self.told(), [("a", "StoreUnavailable"), ("b", "OutOfOrder"), ("c", "OutOfOrder")])
        for name, after in (("a", ""), ("b", "a"), ("c", "b")):
            self.put(name, after=after)
        self.turn()
        self.held.go()
        self.assertEqual(self.told(), [("a", "1"), ("b", "2"), ("c", "3")])

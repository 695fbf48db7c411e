"""Tests of how changes are retried; the script itself is tested on a real Redis."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Conflict, StoreUnavailable
from cim.store.redis.changing import FIRST_PAUSE, REPEATS, Changing, Decision, Facts

NOW = 1_700_000_000_000
KEYS = ("a", "b", "c")
FACTS = Facts(2, 1, (2, "GET", 1, 2, "HGETALL", 2, 2, "HLEN", 3))
#: The arguments that make Redis read these.
READ = ("", 2, 1, 0, 2, "GET", 1, 2, "HGETALL", 2, 2, "HLEN", 3)


class Connection:
    """A base in which the test plays Redis."""

    def __init__(self, clock):
        self.calls = []
        self.seen = []
        self.clock = self
        self._clock = clock

    def now(self):
        """See IStoreClock."""
        return NOW + int(self._clock.seconds() * 1000)

    async def ready(self):
        """Nothing needs to be waited for."""

    def evaluate(self, name, script, keys, args):
        reply = Deferred()
        self.calls.append((keys, tuple(args), reply))
        return reply

    def observed(self, name, seconds):
        self.seen.append((name, seconds))


class ChangingTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.connection = Connection(self.clock)
        self.changing = Changing(self.connection, self.clock, lambda: 1.0)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def take(self):
        """Take the only waiting call, and return its arguments."""
        ((keys, args, self.reply),) = self.connection.calls
        self.assertEqual(keys, KEYS)
        self.connection.calls.clear()
        return args

    def answer(self, wrote, found):
        self.reply.callback([wrote, found])

    def change(self, decide, guess=None, keys=KEYS):
        return Deferred.fromCoroutine(self.changing.change("test", keys, FACTS, decide, guess))

    def set_it(self, replies, now):
        self.decided_by = replies, now
        words = [3, "SET", 1, "x", 3, "ID", 2, 1]
        return Decision(words, made=lambda given: (replies[0], list(given)), bounds=[(3, 0, 5)])

    WRITE = (3, 0, 5, 3, "SET", 1, "x", 3, "ID", 2, 1)

    def test_it_reads_decides_and_writes(self):
        done = self.change(self.set_it)
        self.assertEqual(self.take(), READ)
        self.answer(0, [None, [b"x", b"yz"], 7])
        self.assertEqual(self.decided_by, ([None, [b"x", b"yz"], 7], NOW))
        self.assertEqual(self.take(), (b"=1;-2;1:x2:yz", 2, 1, 1, *READ[4:], *self.WRITE))
        self.answer(1, [b"8"])
        self.assertEqual(self.successResultOf(done), (None, [b"8"]))

    def test_it_decides_again_when_the_facts_have_changed(self):
        done = self.change(self.set_it)
        self.take()
        self.answer(0, [b"1", [], 0])
        self.take()
        self.answer(0, [b"2", [], 0])
        self.clock.advance(1)
        self.assertEqual(self.take(), READ)
        self.answer(0, [b"3", [], 0])
        self.assertEqual(self.take()[0], b"=1;1:30;")
        self.answer(1, [b"8"])
        self.assertEqual(self.successResultOf(done), (b"3", [b"8"]))

    def test_it_gives_up_after_several_mismatches_with_growing_pauses(self):
        done = self.change(self.set_it)
        pauses = []
        for repeat in range(REPEATS + 1):
            if repeat:
                self.assertEqual(self.connection.calls, [])
                (call,) = self.clock.getDelayedCalls()
                pauses.append(call.getTime() - self.clock.seconds())
                self.clock.advance(pauses[-1])
            self.assertEqual(self.take(), READ)
            self.answer(0, [b"0", [], 0])
            self.assertEqual(self.take()[0], b"=1;1:00;")
            self.answer(0, [b"1", [], 0])
        self.failureResultOf(done, StoreUnavailable)
        self.assertAlmostEqual(pauses[0], FIRST_PAUSE)
        for pause, longer in pairwise(pauses):
            self.assertAlmostEqual(longer, 2 * pause)

    def test_pauses_are_jittered(self):
        self.changing = Changing(self.connection, self.clock, lambda: 0.25)
        self.change(self.set_it).addErrback(lambda _: None)
        for _ in range(2):
            self.take()
            self.answer(0, [b"0", [], 0])
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), FIRST_PAUSE / 4)
        call.cancel()

    def test_a_refusal_based_on_facts_that_were_read_is_the_outcome(self):
        def refuse(replies, now):
            raise Conflict()

        done = self.change(refuse)
        self.take()
        self.answer(0, [None, [], 0])
        self.failureResultOf(done, Conflict)
        self.assertEqual(self.connection.calls, [])

    def test_nothing_to_write(self):
        done = self.change(lambda replies, now: Decision([], replies[2]))
        self.take()
        self.answer(0, [None, [], 7])
        self.assertEqual(self.successResultOf(done), 7)
        self.assertEqual(self.connection.calls, [])

    # Guesses

    def test_a_look_tells_the_time_after_it(self):
        looked = Deferred.fromCoroutine(self.changing.look("x", KEYS, FACTS))
        self.assertEqual(self.take(), READ)
        self.clock.advance(0.5)
        self.answer(0, [None, [], 3])
        self.assertEqual(self.successResultOf(looked), ([None, [], 3], NOW + 500))

    def test_a_right_guess_is_one_call(self):
        self.clock.advance(0.25)
        done = self.change(self.set_it, guess=(None, [], 0))
        self.assertEqual(self.decided_by, ((None, [], 0), NOW + 250))
        self.assertEqual(self.take()[0], b"=1;-0;")
        self.answer(1, [b"8"])
        self.assertEqual(self.successResultOf(done), (None, [b"8"]))

    def test_a_wrong_guess_reads(self):
        done = self.change(self.set_it, guess=(None, [], 0))
        self.take()
        self.clock.advance(0.009)
        self.answer(0, [b"x", [], 0])
        # At once, since nobody was faster.
        self.assertEqual(self.decided_by, ([b"x", [], 0], NOW + 9))
        self.assertEqual(self.take()[0], b"=1;1:x0;")
        self.answer(1, [])
        self.assertEqual(self.successResultOf(done), (b"x", []))

    def test_a_guess_that_writes_nothing_is_compared(self):
        done = self.change(lambda replies, now: Decision([], replies[0]), guess=(b"y", [], 0))
        self.assertEqual(self.take(), (b"=1;1:y0;", 2, 1, 0, *READ[4:]))
        self.answer(0, [b"x", [], 0])
        self.assertEqual(self.successResultOf(done), b"x")

    def test_a_guess_that_would_be_refused_reads(self):

        def decide(replies, now):
            if replies[0] is None:
                raise Conflict()
            return self.set_it(replies, now)

        done = self.change(decide, guess=(None, [], 0))
        self.assertEqual(self.take(), READ)
        self.answer(0, [None, [], 0])
        self.failureResultOf(done, Conflict)

    # Turns

    def test_changes_of_one_key_run_one_at_a_time(self):
        first, second, third = (self.change(self.set_it) for _ in range(3))
        other = self.change(self.set_it, keys=("x", "y", "z"))
        (_, _, self.reply), (_, _, others) = self.connection.calls
        self.connection.calls.clear()
        others.errback(StoreUnavailable())
        self.failureResultOf(other, StoreUnavailable)
        self.reply.errback(StoreUnavailable())
        self.failureResultOf(first, StoreUnavailable)
        for done in (second, third):
            self.assertNoResult(done)
            self.take()
            self.answer(0, [None, [], 0])
            self.take()
            self.answer(1, [])
            self.successResultOf(done)
        self.assertEqual(self.connection.calls, [])
        self.change(self.set_it)
        self.take()

    def test_an_operation_is_counted_once(self):
        done = self.changing.operation("two", self.changing.look("x", KEYS, FACTS))
        self.clock.advance(0.5)
        self.assertEqual(self.connection.seen, [])
        self.take()
        self.reply.errback(StoreUnavailable())
        self.failureResultOf(done, StoreUnavailable)
        self.assertEqual(self.connection.seen, [("two", 0.5)])

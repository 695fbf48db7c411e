"""Tests of looks at the epoch and the clock: nothing that Redis answers makes one fail."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.clock import LOOK_SECONDS as CLOCK_SECONDS
from cim.store.redis.epoch import EPOCH, NEVER
from cim.store.redis.facts import ServerFacts
from cim.store.redis.looks import Looks

RUNNING = ServerFacts(run_id="a")


class FakeProtocol:
    """Answers each script with what the test says."""

    confirming = None

    def __init__(self):
        self.epoch = [b"7", b"9", b""]
        self.time = [b"1700000000000", b"1700000000000", b"0", b"0", b"0"]
        self.asked = []

    def run(self, script, keys, args):
        self.asked.append((script.name, *args))
        answer = self.epoch if script is EPOCH else self.time
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class LooksTests(SynchronousTestCase):
    def setUp(self):
        import txredisapi

        self.ConnectionError, self.ResponseError = txredisapi.ConnectionError, txredisapi.ResponseError
        self.clock = Clock()
        self.told = []
        self.protocol = FakeProtocol()
        self.looks = Looks(
            self.clock,
            "redis:6379",
            time_of_day=self.clock.seconds,
            refused=lambda name, reason: self.told.append((name, reason)),
            wrote=lambda: self.told.append("wrote"),
            changed=lambda: self.told.append("changed"),
        )
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.looks.stop)

    def first(self, server=RUNNING):
        return Deferred.fromCoroutine(self.looks.first(self.protocol, server))

    def go_on(self):
        self.successResultOf(self.first())
        self.looks.tell()
        self.told.clear()
        self.looks.start()

    def test_the_first_ones(self):
        self.successResultOf(self.first())
        self.assertEqual(self.protocol.asked, [("epoch", 0, 0), ("clock", "")])
        self.assertEqual((self.looks.epoch.number, self.looks.epoch.needed), (7, 9))
        self.assertEqual(self.looks.clock.now(), 1_700_000_000_000)

    def test_a_redis_that_does_not_tell_who_it_is_begins_anew(self):
        self.successResultOf(self.first(ServerFacts()))
        self.assertEqual(self.protocol.asked[0], ("epoch", 0, 1))

    def test_without_epoch_or_time_it_is_not_used(self):
        for what in ("epoch", "time"):
            self.protocol = FakeProtocol()
            setattr(self.protocol, what, self.ResponseError("NOPERM"))
            error = self.failureResultOf(self.first(), StoreUnavailable)
            self.assertIn(f"its {what} is unknown", error.getErrorMessage())

    def test_a_redis_that_takes_no_writes_is_used_for_reading(self):
        self.protocol.epoch = self.ResponseError("OOM command not allowed")
        self.successResultOf(self.first())
        self.assertEqual(self.told, [("epoch", "OOM command not allowed")])
        self.assertEqual(self.looks.epoch.needed, NEVER)

    def test_another_epoch(self):
        self.go_on()
        self.clock.advance(1)
        self.protocol.epoch = [b"12", b"12", b"another process serves it"]
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.told, ["wrote", "wrote", "changed", "wrote"])

    def test_what_goes_wrong_is_no_failure(self):
        """It is away, a majority does not confirm it, or it is refused: the last alone is told."""
        self.go_on()
        for error in (self.ConnectionError("lost"), StoreUnavailable(), self.ResponseError("NOPERM")):
            self.protocol.epoch = self.protocol.time = error
            self.clock.pump([1.0] * int(CLOCK_SECONDS))
        self.assertEqual(set(self.told), {("epoch", "NOPERM"), ("clock", "NOPERM")})
        self.assertEqual(self.flushLoggedErrors(), [])

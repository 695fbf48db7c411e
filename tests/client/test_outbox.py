"""Tests of messages that wait to be accepted: order, bounds, and retries."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.outbox import ANSWER_SECONDS, LANE_WINDOW, MAX_WAITING, WINDOW, Outbox, send_of
from cim.client.values import Sent, Waiting
from cim.errors import BadRequest, CIMError, Conflict, Forbidden, NotFound, RateLimited, TooLarge, Unavailable
from cim.wire.cim_pb2 import Failure, Packet
from cim.wire.framing import FrameReader

SENT = Sent("", "c", "1-1", 1)


class OutboxTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1000)
        self.forgotten = []
        self.outbox = Outbox(self.clock, lambda: 1.0, self.forgotten.append)
        self.reader = FrameReader()
        self.written = []

    def write(self, data):
        self.written += [Packet.FromString(frame).send.client_id for frame in self.reader.feed(data)]

    def taken(self):
        written, self.written = self.written, []
        return written

    def add(self, *ids, user=1, group=0):
        return [self.outbox.add(Waiting(str(id), user, group, "text")) for id in ids]

    def accept(self, *ids):
        for id in ids:
            self.outbox.accepted(str(id)).answered(lambda told: told.callback(SENT))

    def broken(self, *ids, code="unavailable", retry=0):
        for id in ids:
            self.outbox.failed(Failure(client_id=str(id), code=code, message="why", retry_after_seconds=retry))

    def test_nothing_is_sent_without_a_session(self):
        one, two = self.add(1, 2)
        self.assertEqual(self.taken(), [])
        self.outbox.begin(self.write)
        self.assertEqual(self.taken(), ["1", "2"])
        self.accept(1)
        self.assertEqual((self.successResultOf(one), self.forgotten, len(self.outbox)), (SENT, ["1"], 1))
        self.assertNoResult(two)

    def test_unanswered_messages_are_resent_in_the_next_session(self):
        self.outbox.begin(self.write)
        self.add(1, 2, 3)
        self.accept(2)
        self.taken()
        self.outbox.ended()
        self.add(4)
        self.outbox.begin(self.write)
        self.assertEqual(self.taken(), ["1", "3", "4"])

    def test_messages_under_way_are_bounded_per_lane(self):
        self.outbox.begin(self.write)
        self.add(*range(100))
        self.assertEqual(self.taken(), [str(id) for id in range(LANE_WINDOW)])
        self.accept(3)
        self.assertEqual(self.taken(), [str(LANE_WINDOW)])

    def test_messages_under_way_are_bounded_in_total(self):
        self.outbox.begin(self.write)
        for user in range(1, 7):
            self.add(*(f"{user}.{number}" for number in range(20)), user=user)
        written = self.taken()
        self.assertEqual(len(written), WINDOW)
        self.accept(*written[:5])
        self.assertEqual(len(self.taken()), 5)
        self.accept(*written[5:])
        self.assertEqual(len(self.taken()), WINDOW - 5)

    def test_a_failed_lane_is_resent_from_the_first_once_all_behind_it_failed(self):
        self.outbox.begin(self.write)
        self.add(1, 2, 3, 4)
        self.taken()
        self.accept(1)
        self.broken(2)
        self.clock.advance(60)
        self.add(5)
        self.assertEqual(self.taken(), [], "3 and 4 are under way: they would overtake")
        self.broken(3, 4)
        self.clock.advance(0)
        self.assertEqual(self.taken(), ["2", "3", "4", "5"])

    def test_it_waits_for_as_long_as_it_is_told_and_a_little_more(self):
        self.outbox.begin(self.write)
        self.add(1)
        self.broken(1, code="rate-limited", retry=3)
        self.taken()
        self.clock.advance(3.2)
        self.assertEqual(self.taken(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.taken(), ["1"])

    def test_waits_grow_until_something_is_accepted(self):
        self.outbox.begin(self.write)
        self.add(1, 2)
        waits = []
        for _ in range(8):
            self.broken(1, 2, code="timeout")
            self.taken()
            began = self.clock.seconds()
            while not self.written:
                self.clock.advance(0.25)
            waits.append(self.clock.seconds() - began)
        self.assertEqual(waits, [0.25, 0.5, 1, 2, 4, 8, 10, 10])
        self.accept(1)
        self.broken(2)
        self.taken()
        self.clock.advance(0.25)
        self.assertEqual(self.taken(), ["2"])

    def test_a_lane_that_waits_lets_others_pass(self):
        self.outbox.begin(self.write)
        self.add(1)
        self.broken(1)
        self.taken()
        self.add(2, user=2)
        self.add(3, user=0, group=2)
        self.assertEqual(self.taken(), ["2", "3"])

    def test_refusals(self):
        self.outbox.begin(self.write)
        for code, kind in (
            ("invalid", BadRequest),
            ("too-large", TooLarge),
            ("forbidden", Forbidden),
            ("not-found", NotFound),
            ("conflict", Conflict),
            ("novelty", CIMError),
        ):
            (one,) = self.add(code)
            self.broken(code, code=code)
            self.assertEqual(self.failureResultOf(one, kind).value.message, "why")
        self.assertEqual((len(self.outbox), len(self.forgotten)), (0, 6))

    def test_a_refused_message_does_not_hold_up_those_behind_it(self):
        self.outbox.begin(self.write)
        one, two = self.add(1, 2)
        self.broken(1, code="forbidden")
        self.failureResultOf(one, Forbidden)
        self.accept(2)
        self.successResultOf(two)

    def test_answers_to_unknown_messages(self):
        self.outbox.begin(self.write)
        self.assertIsNone(self.outbox.accepted("x"))
        self.broken("x")
        self.broken("x", code="forbidden")

    def test_one_client_id_is_one_message(self):
        first, second = self.add(1, 1)
        self.outbox.begin(self.write)
        self.assertEqual(self.taken(), ["1"])
        self.assertRaises(Conflict, self.outbox.add, Waiting("1", 1, 0, "other"))
        self.accept(1)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (SENT, SENT))

    def test_the_bound(self):
        self.add(*range(MAX_WAITING))
        self.assertRaises(RateLimited, self.add, "one too many")
        self.outbox.begin(self.write)
        self.accept(0)
        self.add("room again")

    def test_messages_that_are_too_large_for_the_server(self):
        """Each fails alone, also one that a former run kept; nothing is sent again and again."""
        self.outbox.load([Waiting("old", 1, 0, "x" * 1000), Waiting("small", 1, 0, "x")])
        large = self.outbox.add(Waiting("large", 1, 0, "x" * 1000))
        self.outbox.begin(self.write, 1000)
        self.assertIn("this server takes 1000", self.failureResultOf(large, TooLarge).value.message)
        self.assertEqual((self.taken(), self.forgotten), (["small"], ["old", "large"]))
        self.assertRaises(TooLarge, self.outbox.add, Waiting("later", 1, 0, "x" * 1000))
        around = len(Packet(send=send_of(Waiting("fits", 1, 0, "x" * 900))).SerializeToString()) - 900
        self.outbox.add(Waiting("fits", 1, 0, "x" * (1000 - around)))
        self.assertEqual((self.taken(), len(self.outbox)), (["fits"], 2))

    def test_one_that_a_server_with_a_higher_limit_may_have_taken(self):
        self.outbox.begin(self.write)
        sent = self.outbox.add(Waiting("large", 1, 0, "x" * 1000))
        self.outbox.ended()
        self.outbox.begin(self.write, 1000)
        self.assertIn("may or may not have been sent", self.failureResultOf(sent, TooLarge).value.message)

    def test_stuck(self):
        self.outbox.begin(self.write)
        self.add(1)
        self.clock.advance(ANSWER_SECONDS - 1)
        self.assertFalse(self.outbox.stuck())
        self.clock.advance(1)
        self.assertTrue(self.outbox.stuck())
        self.outbox.ended()
        self.assertFalse(self.outbox.stuck())

    def test_closing(self):
        self.outbox.begin(self.write)
        (written,) = self.add(1)
        self.outbox.ended()
        (unwritten,) = self.add(2)
        self.outbox.close()
        self.assertIn("may or may not", self.failureResultOf(written, Unavailable).value.message)
        self.assertIn("before this was sent", self.failureResultOf(unwritten, Unavailable).value.message)
        # The messages stay on disk.
        self.assertEqual((self.forgotten, self.clock.getDelayedCalls()), ([], []))

    def test_stored_messages_are_sent_first_and_invalid_ones_dropped(self):
        self.outbox.load([Waiting("1", 1, 0, "x"), Waiting("2", 1, 0, ""), Waiting("3", 1, 0, "x")])
        self.add(4)
        self.outbox.begin(self.write)
        self.assertEqual((self.taken(), self.forgotten), (["1", "3", "4"], ["2"]))

    def test_a_cancelled_send(self):
        self.outbox.begin(self.write)
        (one,) = self.add(1)
        one.addErrback(lambda _: None)
        one.cancel()
        self.accept(1)
        self.assertEqual(len(self.outbox), 0)

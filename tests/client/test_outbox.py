"""Tests of messages that wait to be accepted: order, bounds, and retries."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.outbox import MAX_WAITING, Outbox, send_of
from cim.client.values import Sent, Waiting
from cim.errors import BadRequest, CIMError, Conflict, Forbidden, NotFound, RateLimited, TooLarge, Unavailable
from cim.wire.cim_pb2 import Failure, Packet
from cim.wire.framing import FrameReader
from tests.harness.vectors import vectors

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

    def test_vectors(self):
        for case in vectors("outbox"):
            self.setUp()
            began = self.clock.seconds()
            for number, step in enumerate(case["steps"]):
                where = f"{case['name']}, step {number}"
                self.clock.advance(began + step["now"] / 1000 - self.clock.seconds())
                self.do(step, where)
                self.assertEqual(self.taken(), step.get("writes", []), where)

    def do(self, step, where):
        """Do a step of a vector."""
        what = step["do"]
        if what == "add":
            for sent in self.add(*step["ids"], user=int(step["lane"][1:])):
                sent.addErrback(lambda _: None)
        elif what == "begin":
            self.outbox.begin(self.write)
        elif what == "ended":
            self.outbox.ended()
        elif what == "accepted":
            self.assertEqual(self.outbox.accepted(step["id"]) is not None, step["known"], where)
        elif what == "failed":
            self.broken(step["id"], code=step["code"], retry=step.get("retryAfter", 0) // 1000)
            if "waits" in step:
                self.assertEqual(self.outbox.knows(step["id"]), step["waits"], where)
        elif what == "stuck":
            self.assertEqual(self.outbox.stuck(), step["is"], where)
        else:
            self.assertEqual(what, "wait")

    def test_nothing_is_sent_without_a_session(self):
        one, two = self.add(1, 2)
        self.assertEqual(self.taken(), [])
        self.outbox.begin(self.write)
        self.assertEqual(self.taken(), ["1", "2"])
        self.accept(1)
        self.assertEqual((self.successResultOf(one), self.forgotten, len(self.outbox)), (SENT, ["1"], 1))
        self.assertNoResult(two)

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

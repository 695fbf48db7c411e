"""Batches, credit, heartbeats and silence, without any transport."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadFrame
from cim.link.pipe import (
    BATCH,
    CONTROL_QUEUE,
    HEARTBEAT_TICKS,
    MAX_FRAME,
    MAX_ITEM,
    QUEUE,
    SILENCE_TICKS,
    WINDOW,
    Pipe,
)
from cim.wire.framing import FrameReader
from cim.wire.link_pb2 import Batch, Item
from tests.link.network import deliver, opened


def bodies(batches):
    """Return the bodies of framed batches."""
    return FrameReader(MAX_FRAME).feed(b"".join(frame for _, frame in batches))


class Wire:
    """One direction between two pipes: bytes in flight, any number of which arrive at a time."""

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.bytes = b""
        self.reader = FrameReader(MAX_FRAME)
        self.arrived = []
        self.sent = 0

    def flush(self):
        for _, frame in self.source.take():
            self.bytes += frame
        if self.source.in_flight > WINDOW:
            raise AssertionError(f"{self.source.in_flight} bytes under way")

    def carry(self, count):
        data, self.bytes = self.bytes[:count], self.bytes[count:]
        for body in self.reader.feed(data):
            self.arrived.extend(item.deliver.call for item in self.target.receive(body))


SIZES = st.sampled_from([0, 1, 60, 1000, 1020, 20_000, BATCH - 10, BATCH, MAX_ITEM // 2, MAX_ITEM - 200])
STEP = st.one_of(
    st.tuples(st.just("send"), st.booleans(), SIZES),
    st.tuples(st.just("flush"), st.booleans(), st.just(0)),
    st.tuples(st.just("carry"), st.booleans(), st.sampled_from([1, 3, 100, 70_000, 1 << 20, 1 << 24])),
    st.tuples(st.just("tick"), st.booleans(), st.just(0)),
)


class CreditTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(STEP, max_size=120))
    def test_everything_arrives_once_in_order_within_the_window(self, steps):
        one, other = Pipe(lambda: 1_700_000_000.5), Pipe(lambda: 1_700_000_000.5)
        wires = {True: Wire(one, other), False: Wire(other, one)}
        for action, way, number in steps:
            wire = wires[way]
            if action == "send":
                if wire.source.send(deliver(wire.sent, number)):
                    wire.sent += 1
            elif action == "flush":
                wire.flush()
            elif action == "carry":
                wire.carry(number)
            else:
                wire.source.tick()
        # No more ticks: credit alone must bring the rest across.
        for _ in range(200):
            for wire in wires.values():
                if wire.source.due:
                    wire.flush()
                wire.carry(1 << 30)
        for wire in wires.values():
            self.assertEqual(wire.arrived, list(range(wire.sent)))
            self.assertEqual(wire.source.queued, 0)

    def test_a_peer_that_handles_nothing(self):
        pipe = Pipe()
        sent = 0
        while pipe.send(deliver(sent, 1000)):
            sent += 1
        self.assertLessEqual(pipe.queued, QUEUE)
        self.assertGreater(pipe.queued, QUEUE - 2000)
        written = sum(len(frame) for _, frame in pipe.take())
        self.assertLessEqual(written, WINDOW + 100)
        self.assertGreater(written, WINDOW - 2000)
        self.assertEqual(pipe.take(), [])
        self.assertGreater(pipe.queued, QUEUE - WINDOW - 2000)

    def test_drops_are_reported_once_there_is_room_again(self):
        one, other = Pipe(), Pipe()
        sent = 0
        while one.send(deliver(sent, 1000)):
            sent += 1
        one.tick()
        one.tick()
        arrived = []
        for _ in range(10):
            for body in bodies(one.take()):
                arrived += other.receive(body)
            for body in bodies(other.take()):
                one.receive(body)
        kinds = [item.WhichOneof("item") for item in arrived]
        self.assertEqual((kinds.count("deliver"), kinds.count("missed")), (sent, 1))
        self.assertEqual(arrived[kinds.index("missed")].missed.seconds, 2)
        self.assertEqual(one.take(), [])

    def test_control_items_are_queued_beyond_the_bound_of_deliveries(self):
        pipe = Pipe()
        while pipe.send(deliver(1, 100_000)):
            pass
        self.assertTrue(pipe.send(opened(1)))
        self.assertFalse(pipe.overflowed)
        while pipe.send(opened(1, 1_000_000)):
            self.assertLessEqual(pipe.queued, CONTROL_QUEUE)
        self.assertTrue(pipe.overflowed)

    def test_credit_is_reported_at_once_when_half_a_window_is_unreported(self):
        one, other = Pipe(), Pipe()
        for _ in range(WINDOW // 100_000):
            one.send(deliver(1, 100_000))
            for body in bodies(one.take()):
                other.receive(body)
            if other.due:
                break
        self.assertGreaterEqual(one.in_flight, WINDOW // 2)
        self.assertLess(one.in_flight, WINDOW // 2 + 110_000)
        ((count, frame),) = other.take()
        self.assertEqual(count, 0)
        self.assertEqual(other.in_flight, 0)
        self.assertFalse(other.due)
        for body in bodies([(count, frame)]):
            self.assertEqual(list(one.receive(body)), [])
        self.assertEqual(one.in_flight, 0)
        self.assertFalse(one.due)

    def test_credit_goes_with_what_is_sent_anyway(self):
        one, other = Pipe(), Pipe()
        one.send(deliver(1))
        for body in bodies(one.take()):
            other.receive(body)
        self.assertFalse(other.due)
        other.send(opened(1))
        (body,) = bodies(other.take())
        batch = Batch.FromString(body)
        self.assertEqual(batch.consumed, one.in_flight)
        one.receive(body)
        self.assertEqual(one.in_flight, 0)

    def test_the_total_in_the_last_batch_is_within_the_window_too(self):
        pipe = Pipe()
        while WINDOW - pipe.in_flight > 100_000:
            pipe.send(deliver(1, 90_000))
            pipe.take()
        pipe.receive(Batch(items=[opened(1, 1000)]).SerializeToString())
        head = len(Batch(items=[deliver(1, 50_000)]).SerializeToString()) - 50_000
        pipe.send(deliver(1, WINDOW - pipe.in_flight - head))
        pipe.take()
        self.assertLessEqual(pipe.in_flight, WINDOW)

    def test_heartbeats_are_neither_counted_nor_answered(self):
        one, other = Pipe(), Pipe()
        for _ in range(3):
            for _ in range(HEARTBEAT_TICKS):
                one.tick()
            ((_, frame),) = one.take()
            other.receive(frame[1:])
            self.assertFalse(other.due)
        self.assertEqual(one.in_flight, 0)
        other.send(opened(1))
        (body,) = bodies(other.take())
        self.assertEqual(Batch.FromString(body).consumed, 0)

    def test_impossible_credit(self):
        pipe = Pipe()
        pipe.send(deliver(1))
        pipe.take()
        self.assertRaises(BadFrame, pipe.receive, Batch(consumed=pipe.in_flight + 1).SerializeToString())
        pipe.receive(Batch(consumed=pipe.in_flight).SerializeToString())
        self.assertRaises(BadFrame, pipe.receive, Batch(consumed=1).SerializeToString())


class BatchTests(SynchronousTestCase):
    def test_one_turn_is_one_batch_as_protobuf_encodes_it(self):
        items = [opened(1), deliver(2, 127), deliver(3, 128), opened(4, 5000), Item()]
        pipe = Pipe()
        pipe.receive(Batch(items=[opened(9)]).SerializeToString())
        for item in items:
            pipe.send(item)
        ((count, frame),) = pipe.take()
        self.assertEqual(count, len(items))
        (body,) = bodies([(count, frame)])
        expected = Batch(items=items, consumed=len(Batch(items=[opened(9)]).SerializeToString()))
        self.assertEqual(body, expected.SerializeToString())

    def test_many_items_are_several_batches(self):
        pipe = Pipe()
        for number in range(100):
            pipe.send(deliver(number, 10_000))
        batches = pipe.take()
        self.assertEqual(sum(count for count, _ in batches), 100)
        self.assertGreater(len(batches), 2)
        self.assertLessEqual(max(len(frame) for _, frame in batches), BATCH + 20)

    def test_the_largest_batch_is_within_the_frame_limit(self):
        pipe = Pipe()
        overhead = deliver(1, MAX_ITEM).ByteSize() - MAX_ITEM
        self.assertTrue(pipe.send(deliver(1, MAX_ITEM - overhead)))
        self.assertEqual(len(bodies(pipe.take())), 1)
        self.assertFalse(pipe.send(deliver(1, MAX_ITEM - overhead + 1)))

    def test_garbage(self):
        for body in (b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xff", b"\x0a\x06\x2a\x04\x12\x02\xff\xfe"):
            self.assertRaises(BadFrame, Pipe().receive, body)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_a_batch_or_a_bad_frame(self, body):
        try:
            Pipe().receive(body)
        except BadFrame:
            pass


class TimeTests(SynchronousTestCase):
    def test_a_heartbeat_when_nothing_else_was_sent(self):
        pipe = Pipe()
        for _ in range(HEARTBEAT_TICKS - 1):
            pipe.tick()
        self.assertFalse(pipe.due)
        self.assertEqual(pipe.take(), [])
        pipe.tick()
        self.assertTrue(pipe.due)
        self.assertEqual(pipe.take(), [(0, b"\x00")])
        self.assertFalse(pipe.due)

    def test_a_batch_replaces_a_heartbeat(self):
        pipe = Pipe()
        for _ in range(HEARTBEAT_TICKS - 1):
            pipe.tick()
        pipe.send(opened(1))
        pipe.take()
        pipe.tick()
        self.assertFalse(pipe.due)

    def test_a_heartbeat_reports_what_was_handled_and_needs_no_credit(self):
        one, other = Pipe(), Pipe()
        while one.send(deliver(1, 100_000)):
            pass
        for body in bodies(one.take())[:2]:
            other.receive(body)
        for _ in range(HEARTBEAT_TICKS):
            one.tick()
            other.tick()
        (beat,) = bodies(one.take())
        self.assertEqual(len(other.receive(beat)), 0)
        (beat,) = bodies(other.take())
        one.receive(beat)
        self.assertGreater(len(one.take()), 0)

    def test_silence(self):
        pipe = Pipe()
        for _ in range(SILENCE_TICKS - 1):
            pipe.tick()
        self.assertFalse(pipe.dead)
        pipe.receive(b"")
        for _ in range(SILENCE_TICKS - 1):
            pipe.tick()
        self.assertFalse(pipe.dead)
        pipe.tick()
        self.assertTrue(pipe.dead)


class ClocksTests(SynchronousTestCase):
    """The clocks of the two ends are compared by what batches tell."""

    def setUp(self):
        self.now = 1_700_000_000.0
        self.ahead = 0.0
        self.one = Pipe(lambda: self.now + self.ahead)
        self.other = Pipe(lambda: self.now)

    def talk(self, seconds, delay=0.0):
        """Have the ends say something to each other every second, which takes a while."""
        for _ in range(seconds):
            for pipe in (self.one, self.other):
                pipe.tick()
                pipe.send(deliver(1, 10))
            said = [(pipe, body) for pipe in (self.one, self.other) for body in bodies(pipe.take())]
            self.now += delay
            for pipe, body in said:
                (self.other if pipe is self.one else self.one).receive(body)
            self.now += 1 - delay

    def test_how_far_one_is_ahead(self):
        self.assertIsNone(self.one.skew)
        for ahead in (0.0, 31.0, -3600.0, 0.0):
            self.ahead = ahead
            self.talk(30)
            self.assertAlmostEqual(self.one.skew, ahead, 2)
            self.assertAlmostEqual(self.other.skew, -ahead, 2)

    def test_batches_that_are_late_now_and_then_do_not_count(self):
        for _ in range(5):
            self.talk(3, delay=0.9)
            self.talk(3)
            self.assertAlmostEqual(self.one.skew, 0, 2)

    def test_heartbeats_tell_it(self):
        self.ahead = 31.0
        for _ in range(4):
            self.one.tick()
        for body in bodies(self.one.take()):
            self.assertEqual(list(self.other.receive(body)), [])
        self.assertAlmostEqual(self.other.skew, -31.0, 2)

    def test_an_end_that_tells_no_time(self):
        """As those of earlier releases."""
        self.one = Pipe()
        self.talk(10)
        self.assertIsNone(self.one.skew)
        self.assertIsNone(self.other.skew)

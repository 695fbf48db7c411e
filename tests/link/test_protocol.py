"""One end of a link on a string transport: hostile bytes, and every way to end it, in each of its states."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import HandshakeFailed
from cim.link.handshake import MAX_HANDSHAKE_FRAME, AcceptorHandshake, DialerHandshake, refusal
from cim.link.pipe import MAX_FRAME
from cim.link.protocol import DRAIN_SECONDS, HANDSHAKE_SECONDS, LinkParts, LinkProtocol
from cim.wire.framing import FrameReader, encode_frame, encode_varint
from cim.wire.link_pb2 import Batch, Handshake, Proof
from tests.link.network import KEY, ROUTE, SERVER, Recorder, constant, deliver, opened

#: Bytes that are not allowed in any state.
GARBAGE = (
    b"\xff" * 100,
    encode_varint(MAX_FRAME + 1),
    encode_varint(1 << 31) + b"x" * 100,
    encode_frame(b"\xff" * 4000),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
)
#: A batch, and one as an end says it that does not seal.
BODY = Batch(items=[opened(1)]).SerializeToString()
BATCH = encode_frame(BODY)
WRONG_PROOF = encode_frame(Handshake(proof=Proof(proof=b"p" * 32)).SerializeToString())


def raw(data):
    """Say these bytes as they are."""
    return lambda end: data


def sealed(body):
    """Say this as a batch, sealed as it should be."""
    return lambda end: end.batch(body)


#: What nobody may say on a link that is up, and what not even the other end may.
HOSTILE_WHEN_UP = (
    *map(raw, (*GARBAGE, BATCH, WRONG_PROOF)),
    *map(sealed, (b"\xff" * 100, Batch(consumed=1 << 40).SerializeToString())),
)


class Owner:
    """Records what the owner of a link is told."""

    def __init__(self):
        self.told = []

    def link_proven(self, link):
        self.told.append("proven")

    def link_refused(self, link, reason):
        self.told.append(("refused", reason))

    def link_gone(self, link):
        self.told.append("gone")


class End:
    """One end of a link whose other end the test plays.

    :param handshake: its handshake
    :param other: the other end's handshake messages, in order
    """

    def __init__(self, handshake, other):
        self.clock = Clock()
        self.user, self.owner, self.transport = Recorder(), Owner(), StringTransport()
        own = SERVER if isinstance(handshake, DialerHandshake) else ROUTE
        parts = LinkParts(
            own=own,
            key=KEY,
            user=self.user,
            old_user=self.user,
            reactor=self.clock,
            random_bytes=lambda count: b"n" * count,
        )
        self.link = LinkProtocol(parts, self.owner, handshake)
        self.other = other
        self.link.makeConnection(self.transport)
        self.says = other.begin()

    def step(self):
        """Send the other end's next handshake message, and take the answer."""
        if self.says:
            self.link.dataReceived(encode_frame(self.says))
        for body in FrameReader().feed(self.written()):
            self.says = self.other.receive(body)

    def up(self):
        """Go through the whole handshake."""
        for _ in range(3):
            self.step()
        if "proven" not in self.owner.told:
            raise AssertionError(f"not up: {self.owner.told}")
        return self

    def batch(self, body=BODY):
        """What the other end writes to say that; it must be heard before the next."""
        return encode_frame(self.other.sealing.seal(body))

    def written(self):
        written = self.transport.value()
        self.transport.clear()
        return written

    def lost(self):
        self.link.connectionLost(Failure(ConnectionAborted()))


def route_end():
    """Return a route's end, which first gets a Hello."""
    return End(AcceptorHandshake(KEY, ROUTE, constant(b"a")), DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name))


def server_end():
    """Return a server's end, which has sent its Hello."""
    return End(DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name), AcceptorHandshake(KEY, ROUTE, constant(b"a")))


class UnprovenTests(SynchronousTestCase):
    """Anything but the next message of the handshake ends the connection."""

    def ends(self):
        """Yield each end, after each step but the last."""
        for end in (route_end, server_end):
            for steps in range(2):
                made = end()
                for _ in range(steps):
                    made.step()
                made.written()
                yield made

    def test_hostile_bytes(self):
        hello = encode_frame(DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name).begin())
        for hostile in (
            *GARBAGE,
            encode_frame(b""),
            encode_varint(MAX_HANDSHAKE_FRAME + 1),
            BATCH,
            encode_frame(b"x" * (MAX_HANDSHAKE_FRAME + 1)),
            WRONG_PROOF,
            hello * 2,
            encode_frame(refusal("go away")),
        ):
            for end in self.ends():
                end.link.dataReceived(hostile + BATCH)
                self.assertTrue(end.transport.disconnecting, hostile)
                self.assertFalse(end.transport.disconnected)
                self.assertLess(len(end.written()), 300)
                for more in (hostile, BATCH, hello):
                    end.link.dataReceived(more)
                self.assertEqual(end.written(), b"")
                self.assertEqual([told[0] for told in end.owner.told], ["refused"])
                self.assertFalse(end.link.send(opened(1)))
                end.lost()
                self.assertEqual(end.owner.told[1:], ["gone"])
                self.assertEqual((end.user.events, end.user.items), ([], []))
                self.assertEqual(end.clock.getDelayedCalls(), [])

    def test_an_endless_length_is_refused_at_its_fifth_byte(self):
        for end in self.ends():
            end.link.dataReceived(b"\x80" * 4)
            self.assertFalse(end.transport.disconnecting)
            end.link.dataReceived(b"\x80")
            self.assertTrue(end.transport.disconnecting)

    def test_a_frame_that_never_ends_meets_the_deadline(self):
        for end in self.ends():
            end.link.dataReceived(encode_varint(MAX_HANDSHAKE_FRAME))
            for _ in range(HANDSHAKE_SECONDS):
                self.assertEqual(end.owner.told, [])
                end.link.dataReceived(b"x" * (MAX_HANDSHAKE_FRAME // 20))
                end.clock.advance(1)
            self.assertTrue(end.transport.disconnected)
            self.assertEqual(end.owner.told, [("refused", "the handshake did not end in time")])

    def test_a_refused_peer_is_cut_off_at_the_deadline(self):
        for end in self.ends():
            end.link.dataReceived(WRONG_PROOF)
            end.clock.advance(HANDSHAKE_SECONDS)
            self.assertTrue(end.transport.disconnected)
            self.assertEqual(len(end.owner.told), 1)

    def test_lose_and_abort_end_it_silently(self):
        for stop in ("lose", "abort"):
            for end in self.ends():
                getattr(end.link, stop)("enough")
                self.assertTrue(end.transport.disconnected)
                end.step()
                self.assertEqual(end.written(), b"")
                end.lost()
                self.assertEqual((end.owner.told, end.user.events), (["gone"], []))

    def test_a_lost_connection_is_reported_with_its_reason(self):
        for end in self.ends():
            end.lost()
            self.assertEqual(end.owner.told[1:], ["gone"])
            self.assertEqual(end.owner.told[0][0], "refused")
            self.assertIn("onnection", end.owner.told[0][1])


class UpTests(SynchronousTestCase):
    def test_hostile_bytes_end_it_at_once(self):
        for make in (route_end, server_end):
            hello = encode_frame(DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name).begin())
            credit = Batch(consumed=1).SerializeToString()
            for number, says in enumerate((*HOSTILE_WHEN_UP, raw(hello), sealed(credit))):
                end = make().up()
                end.link.send(deliver(1))
                end.link.dataReceived(end.batch() + says(end))
                self.assertTrue(end.transport.disconnected, number)
                self.assertEqual(len(end.user.events), 1)
                self.assertFalse(end.link.send(opened(1)))
                end.link.dataReceived(end.batch())
                end.clock.advance(60)
                self.assertEqual(end.written(), b"")
                end.lost()
                self.assertEqual([event[0] for event in end.user.events], ["up", "down"])
                self.assertNotIn("onnection", end.user.events[1][2])
                self.assertEqual(end.owner.told, ["proven", "gone"])
                self.assertLessEqual(len(end.user.items), 1)
                self.assertEqual(end.clock.getDelayedCalls(), [])

    def test_items_after_the_one_that_made_the_user_end_it_are_ignored(self):
        end = route_end().up()
        end.user.on_item = lambda link, item: link.abort("that was one too many")
        end.link.dataReceived(end.batch() + end.batch(b"\xff" * 10) + end.batch())
        self.assertEqual(end.user.users, [1])
        end.lost()
        self.assertEqual(end.user.events[1:], [("down", SERVER, "that was one too many")])

    def test_unknown_fields_of_a_batch_are_ignored(self):
        end = route_end().up()
        end.link.dataReceived(end.batch(Handshake(proof=Proof(proof=b"p" * 32)).SerializeToString()) + end.batch())
        self.assertEqual(end.user.users, [1])
        self.assertFalse(end.transport.disconnecting)

    def test_what_the_user_does_in_link_up_takes_effect_at_once(self):
        for stop in ("lose", "abort"):
            end = route_end()
            sent = []

            def leave(link, stop=stop, sent=sent):
                sent.append(link.send(opened(1)))
                getattr(link, stop)("no")
                sent.append(link.send(opened(2)))

            end.user.on_up = leave
            end.up()
            self.assertEqual(sent, [True, False])
            end.link.dataReceived(end.batch())
            self.assertEqual(end.user.items, [])
            end.lost()
            self.assertEqual([event[0] for event in end.user.events], ["up", "down"])


class DrainingTests(SynchronousTestCase):
    """What was sent waits for credit that the other end does not give."""

    def setUp(self):
        self.end = route_end().up()
        for number in range(30):
            self.end.link.send(deliver(number, 100_000))
        self.end.clock.advance(0)
        self.sent = len(self.end.written())
        self.end.link.lose("enough")

    def test_credit_is_taken_but_items_are_not_handed_over(self):
        self.end.link.dataReceived(self.end.batch())
        self.assertEqual(self.end.user.items, [])
        self.assertFalse(self.end.transport.disconnecting)
        self.end.link.dataReceived(self.end.batch(Batch(consumed=1_000_000).SerializeToString()))
        self.end.clock.advance(0)
        self.assertGreater(len(self.end.written()), 900_000)

    def test_hostile_bytes_end_it_at_once(self):
        for number, says in enumerate(HOSTILE_WHEN_UP):
            self.setUp()
            self.end.link.dataReceived(says(self.end))
            self.assertTrue(self.end.transport.disconnected, number)
            self.end.lost()
            self.assertEqual(self.end.user.events[1:], [("down", SERVER, "enough")])
            self.assertEqual(self.end.clock.getDelayedCalls(), [])

    def test_without_credit_it_is_cut_off(self):
        self.end.clock.pump([1] * DRAIN_SECONDS)
        self.assertTrue(self.end.transport.disconnected)
        self.end.clock.pump([1] * 60)
        self.assertLess(len(self.end.written()), 100)
        self.end.lost()
        self.assertEqual(self.end.user.events[1:], [("down", SERVER, "enough")])

    def test_abort_and_replace(self):
        for stop, told in (("abort", 1), ("replace", 2)):
            self.setUp()
            getattr(self.end.link, stop)("too slow")
            self.assertTrue(self.end.transport.disconnected)
            self.assertEqual(len(self.end.user.events), told)
            self.end.lost()
            self.assertEqual(self.end.user.events[1:], [("down", SERVER, "enough")])


class ClosingTests(SynchronousTestCase):
    """Everything was written or the connection was cut, but it is not gone yet."""

    def ends(self):
        for make in (route_end, server_end):
            drained, aborted = make().up(), make().up()
            drained.link.send(deliver(1))
            drained.link.lose("enough")
            drained.clock.advance(0)
            self.assertTrue(drained.transport.disconnecting)
            self.assertFalse(drained.transport.disconnected)
            aborted.link.abort("enough")
            for end in (drained, aborted):
                end.written()
                yield end

    def test_bytes_and_ends_change_nothing(self):
        for says in (*HOSTILE_WHEN_UP, sealed(BODY)):
            for end in self.ends():
                end.link.dataReceived(says(end))
                end.link.lose("again")
                end.link.abort("again")
                end.clock.pump([1] * 60)
                self.assertEqual((end.written(), end.user.items), (b"", []))
                self.assertEqual(len(end.user.events), 1)
                end.lost()
                self.assertEqual([event[2:] for event in end.user.events], [(), ("enough",)])

    def test_a_peer_that_does_not_close_is_cut_off(self):
        end = next(self.ends())
        end.clock.advance(DRAIN_SECONDS)
        self.assertTrue(end.transport.disconnected)


class DismissedTests(SynchronousTestCase):
    def test_a_replaced_link_reads_and_reports_nothing_more(self):
        for says in (*HOSTILE_WHEN_UP, sealed(BODY)):
            end = route_end().up()
            end.link.replace("replaced")
            self.assertEqual(end.user.events[1:], [("down", SERVER, "replaced")])
            end.link.dataReceived(says(end))
            end.link.lose("again")
            end.link.abort("again")
            self.assertFalse(end.link.send(opened(1)))
            end.clock.pump([1] * 60)
            end.lost()
            self.assertEqual(end.written(), b"")
            self.assertEqual((end.user.items, len(end.user.events)), ([], 2))
            self.assertEqual(end.owner.told, ["proven", "gone"])


class GoneTests(SynchronousTestCase):
    def test_nothing_more_happens(self):
        for end in (route_end(), route_end().up()):
            before = end.link.when_gone()
            self.assertNoResult(before)
            end.lost()
            self.successResultOf(before)
            self.successResultOf(end.link.when_gone())
            told, events = list(end.owner.told), list(end.user.events)
            end.link.lose("again")
            end.link.abort("again")
            self.assertFalse(end.link.send(opened(1)))
            self.assertEqual((end.owner.told, end.user.events), (told, events))
            self.assertEqual(end.clock.getDelayedCalls(), [])


STEP = st.one_of(
    st.tuples(st.just("say"), st.sampled_from([*GARBAGE, BATCH, WRONG_PROOF, encode_frame(b""), b"\x03", b"\x80"])),
    st.tuples(st.just("say"), st.binary(max_size=50)),
    st.tuples(st.just("batch"), st.sampled_from([BODY, b"", b"\xff"])),
    st.tuples(st.just("step"), st.none()),
    st.tuples(st.just("send"), st.sampled_from([1, 500_000])),
    st.tuples(st.sampled_from(["lose", "abort"]), st.just("why")),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 4])),
)


class AnyOrderTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.booleans(), st.booleans(), st.lists(STEP, max_size=25))
    def test_everybody_is_told_once_and_nothing_is_left(self, route, proven, steps):
        end = route_end() if route else server_end()
        if proven:
            end.up()
        for action, what in steps:
            if action == "say":
                end.link.dataReceived(what)
            elif action == "batch" and end.other.sealing is not None:
                end.link.dataReceived(end.batch(what))
            elif action == "step" and "proven" not in end.owner.told and not end.transport.disconnecting:
                try:
                    end.step()
                except HandshakeFailed:  # the bytes before turned it into another frame, which the end refused
                    pass
            elif action == "send":
                sent = end.link.send(deliver(1, what))
                self.assertFalse(sent and (end.transport.disconnecting or not end.user.events))
            elif action == "wait":
                end.clock.advance(what)
            elif action in ("lose", "abort"):
                getattr(end.link, action)(what)
        received = len(end.user.items)
        end.lost()
        end.link.dataReceived(BATCH)
        self.assertEqual([event[0] for event in end.user.events], ["up", "down"] if end.user.events else [])
        self.assertEqual("proven" in end.owner.told, bool(end.user.events))
        self.assertEqual((end.owner.told.count("gone"), end.owner.told[-1]), (1, "gone"))
        self.assertLessEqual(len(end.owner.told), 2)
        self.assertEqual(len(end.user.items), received)
        self.assertEqual(end.clock.getDelayedCalls(), [])

"""Somebody sits between the two ends of a link, hears all, and says what he likes; he does not know the secret."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.link.handshake import AcceptorHandshake, DialerHandshake
from cim.link.pipe import MAX_FRAME
from cim.link.protocol import LinkParts, LinkProtocol
from cim.wire.framing import FrameReader, encode_frame, encode_varint
from cim.wire.link_pb2 import Handshake
from tests.link.first_release import OldAcceptor, OldDialer
from tests.link.network import KEY, ROUTE, SERVER, WRONG, Recorder, constant, deliver, opened
from tests.link.test_protocol import Owner

SECRETS = (b"pay 100 to bob", b"pay 999 to eve")


class Side:
    """One end, and what it has written that the other end has not heard."""

    def __init__(self, clock, own, handshake):
        self.user, self.owner, self.transport = Recorder(), Owner(), StringTransport()
        parts = LinkParts(
            own=own, key=KEY, user=self.user, old_user=self.user, reactor=clock, random_bytes=constant(b"n")
        )
        self.link = LinkProtocol(parts, self.owner, handshake)
        self.heard = self.written = b""
        self.lost = False

    def take(self):
        """What it has written since this was asked last."""
        data = self.transport.value()
        self.transport.clear()
        self.written += data
        return data

    @property
    def ended(self):
        return self.lost or self.transport.disconnecting or self.transport.disconnected

    @property
    def refused(self):
        return [told[1] for told in self.owner.told if told[0] == "refused"]

    @property
    def down(self):
        return [event[2] for event in self.user.events if event[0] == "down"]


class Path:
    """Two ends and the way between them.

    :param to_route: is given each chunk that the server writes and returns the chunks that arrive; so is `to_server`
    :param options: of both handshakes
    """

    def __init__(self, to_route=None, to_server=None, dialer=b"d", acceptor=b"a", **options):
        self.clock = Clock()
        self.server = Side(self.clock, SERVER, DialerHandshake(KEY, SERVER, constant(dialer), ROUTE.name, **options))
        self.route = Side(self.clock, ROUTE, AcceptorHandshake(KEY, ROUTE, constant(acceptor), **options))
        self.between = {
            self.server: (self.route, to_route or (lambda data: [data])),
            self.route: (self.server, to_server or (lambda data: [data])),
        }
        for side in self.between:
            side.link.makeConnection(side.transport)

    def settle(self):
        """Let what was written arrive, and ends that have closed be seen by the other."""
        moved = True
        while moved:
            self.clock.advance(0)
            moved = False
            for side, (other, change) in self.between.items():
                data = side.take()
                if data:
                    moved = True
                    for chunk in change(data):
                        other.heard += chunk
                        if not other.lost:
                            other.link.dataReceived(chunk)
            for side, (other, _) in self.between.items():
                if side.ended:
                    moved = self.lose(side) or moved
                    moved = self.lose(other) or moved
        return self

    def lose(self, side):
        if side.lost:
            return False
        side.lost = True
        side.link.connectionLost(Failure(ConnectionDone()))
        return True

    def speak(self):
        """Say a little in both directions, one batch after the other."""
        self.settle()
        for number in range(1, 4):
            self.server.link.send(opened(number, 5))
            self.route.link.send(deliver(number, 5))
            self.settle()
        return self

    def talk(self):
        """Do that, and then say nothing for a minute."""
        self.speak()
        for _ in range(60):
            self.clock.advance(1)
            self.settle()
        return self


class Changing:
    """Changes one byte of a direction."""

    def __init__(self, at, change):
        self.at = at
        self.change = change
        self.seen = 0

    def __call__(self, data):
        at, self.seen = self.at - self.seen, self.seen + len(data)
        if not 0 <= at < len(data):
            return [data]
        return [data[:at] + bytes((data[at] ^ self.change,)) + data[at + 1 :]]


class Rewriting:
    """Does something with the frames of a direction, each of which is one chunk.

    :param rewrite: is given the number of a frame and its body and returns the bodies that arrive
    """

    def __init__(self, rewrite):
        self.rewrite = rewrite
        self.reader = FrameReader(MAX_FRAME)
        self.number = 0

    def __call__(self, data):
        arriving = []
        for body in self.reader.feed(data):
            arriving += self.rewrite(self.number, body)
            self.number += 1
        return [encode_frame(body) for body in arriving]


class HostilePathTests(SynchronousTestCase):
    def test_nobody_between_changes_nothing(self):
        path = Path().talk()
        self.assertEqual((path.route.user.users, path.server.user.calls), ([1, 2, 3], [1, 2, 3]))
        self.assertTrue(path.route.link.up and path.server.link.up)
        self.assertTrue(path.route.link.sealed and path.server.link.sealed)

    def test_what_is_said_cannot_be_read(self):
        path = Path().settle()
        for link in (path.server.link, path.route.link):
            for words in SECRETS:
                link.send(deliver(1, 0))
                item = deliver(2)
                item.deliver.packet = words
                link.send(item)
        path.settle()
        self.assertEqual((len(path.route.user.items), len(path.server.user.items)), (4, 4))
        for side in (path.server, path.route):
            for words in SECRETS:
                self.assertNotIn(words, side.written)

    def assert_ended(self, path, what):
        """Both ends are gone, each has told that once, and nothing was handed over that was not said in that order."""
        for side, said in ((path.route, path.route.user.users), (path.server, path.server.user.calls)):
            self.assertFalse(side.link.up, what)
            self.assertEqual(said, [1, 2, 3][: len(said)], what)
            self.assertEqual(len(side.refused) + len(side.down), 1, what)
            self.assertEqual(side.owner.told.count("gone"), 1, what)
        self.assertEqual(path.clock.getDelayedCalls(), [], what)

    def test_any_changed_byte_ends_the_link(self):
        quiet = Path().speak()
        for direction, length in (("to_route", len(quiet.server.written)), ("to_server", len(quiet.route.written))):
            self.assertGreater(length, 200)
            for at in range(length):
                for change in (0x01, 0x80):
                    path = Path(**{direction: Changing(at, change)}).talk()
                    self.assert_ended(path, (direction, at, change))

    def test_any_truncated_stream_ends_the_link(self):
        length = len(Path().speak().server.written)
        for at in range(0, length, 7):
            seen = []

            def cut(data, at=at, seen=seen):
                left = at - sum(map(len, seen))
                seen.append(data)
                return [data[:left]] if left > 0 else []

            self.assert_ended(Path(to_route=cut).talk(), at)

    def test_dropped_repeated_and_swapped_batches(self):
        """The server's frames are Hello and Proof, then batches; the route's are Challenge, Proof and batches."""
        for first in (2, 3):
            held = []

            def drop(number, body, first=first):
                return [] if number == first else [body]

            def repeat(number, body, first=first):
                return [body] * (2 if number == first else 1)

            def swap(number, body, first=first, held=held):
                if number == first:
                    held.append(body)
                    return []
                return [body, *(held.pop() for _ in held[:])]

            def insert(number, body, first=first):
                return [body, b"x" * 40] if number == first else [body]

            for rewrite in (drop, repeat, swap, insert):
                for direction in ("to_route", "to_server"):
                    held.clear()
                    path = Path(**{direction: Rewriting(rewrite)}).talk()
                    self.assert_ended(path, (rewrite.__name__, direction))
                    told = path.route.down if direction == "to_route" else path.server.down
                    self.assertIn("the seal of batch", told[0])

    def test_a_batch_that_is_sent_back_to_its_maker(self):
        path = Path()
        path.settle()
        path.server.link.send(opened(1))
        path.clock.advance(0)
        path.server.link.dataReceived(path.server.take())
        path.settle()
        self.assertEqual(path.server.user.items, [])
        self.assertIn("the seal of batch 1", path.server.down[0])

    def test_a_replayed_session_gets_nothing(self):
        path = Path().talk()
        # All that the server said, to a route that is new; and all that the route said, to a server that is.
        fresh = Path(lambda data: [path.server.written], dialer=b"e", acceptor=b"b").settle()
        self.assertEqual((fresh.route.user.events, fresh.route.refused), ([], [WRONG]))
        fresh = Path(to_server=lambda data: [path.route.written], dialer=b"e", acceptor=b"b").settle()
        self.assertEqual((fresh.server.user.events, fresh.server.refused), ([], [WRONG]))
        self.assertEqual((fresh.server.user.items, fresh.route.user.items), ([], []))

    def test_batches_of_one_link_on_another_of_the_same_two(self):
        path = Path().talk()
        batches = FrameReader(MAX_FRAME).feed(path.server.written)[2:]
        for batch in batches:
            fresh = Path(dialer=b"e", acceptor=b"b").settle()
            fresh.route.link.dataReceived(encode_frame(batch))
            fresh.settle()
            self.assertEqual(fresh.route.user.items, [])
            self.assertIn("the seal of batch 1", fresh.route.down[0])

    def test_the_offer_to_seal_cannot_be_taken_away(self):
        """Not even where unsealed links are accepted, and not even all that is new in what was said."""

        def strip(*fields, nonce=b""):
            def rewrite(number, body):
                said = Handshake.FromString(body) if number == 0 else Handshake()
                if said.WhichOneof("step") not in ("hello", "challenge"):
                    return [body]
                part = getattr(said, said.WhichOneof("step"))
                for field in fields:
                    if field in part.DESCRIPTOR.fields_by_name:
                        part.ClearField(field)
                part.nonce = nonce or part.nonce
                return [said.SerializeToString()]

            return rewrite

        for hello, challenge in (
            (strip("public_key", "highest"), strip()),
            (strip(), strip("public_key")),
            (strip("public_key", "highest"), strip("public_key")),
            (strip("public_key", nonce=b"m" * 32), strip("public_key", nonce=b"m" * 32)),
            (strip("public_key", nonce=b"m" * 32), strip()),
            (strip(), strip("public_key", nonce=b"m" * 32)),
        ):
            for accept in (False, True):
                path = Path(Rewriting(hello), Rewriting(challenge), accept_unsealed=accept).talk()
                self.assert_ended(path, accept)
                self.assertEqual((path.server.user.events, path.route.user.events), ([], []))
        path = Path(Rewriting(strip("public_key"))).talk()
        self.assertEqual(path.route.refused, ["someone in between removed the offer to seal the link"])
        path = Path(to_server=Rewriting(strip("public_key"))).talk()
        self.assertEqual(path.server.refused, ["someone in between removed the offer to seal the link"])

    def test_another_public_key_in_the_middle(self):
        def replace(number, body):
            said = Handshake.FromString(body) if number == 0 else None
            if said is not None:
                getattr(said, said.WhichOneof("step")).public_key = b"\x09" + bytes(31)
            return [body if said is None else said.SerializeToString()]

        path = Path(Rewriting(replace), Rewriting(replace)).talk()
        self.assert_ended(path, "")
        self.assertEqual(path.route.refused, [WRONG])

    def test_a_frame_that_never_ends_takes_no_more_memory_than_the_largest(self):
        path = Path().settle()
        path.route.link.dataReceived(encode_varint(MAX_FRAME))
        for _ in range(63):
            path.route.link.dataReceived(b"x" * (MAX_FRAME // 64))
        self.assertTrue(path.route.link.up)
        self.assertLess(len(path.route.link._frames._buffer), MAX_FRAME)
        path.route.link.dataReceived(b"x" * (MAX_FRAME // 64))
        path.settle()
        self.assertIn(f"the seal of batch 1 ({MAX_FRAME} bytes) is broken", path.route.down[0])


class OlderReleaseTests(SynchronousTestCase):
    """The other end is of a release that cannot seal."""

    def sides(self, **options):
        """A new end of each kind with the old one that it meets, which has said its first word."""
        clock = Clock()
        for own, handshake, other in (
            (SERVER, DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name, **options), OldAcceptor()),
            (ROUTE, AcceptorHandshake(KEY, ROUTE, constant(b"a"), **options), OldDialer()),
        ):
            side = Side(clock, own, handshake)
            side.link.makeConnection(side.transport)
            if other.begin():
                side.link.dataReceived(encode_frame(other.begin()))
            yield clock, side, other

    def test_it_is_refused_and_both_are_told_why(self):
        for _, side, other in self.sides():
            (said,) = FrameReader().feed(side.take()) or [b""]
            if isinstance(other, OldAcceptor):
                side.link.dataReceived(encode_frame(other.receive(said)))
                (said,) = FrameReader().feed(side.take())
            self.assertIn("--accept-unsealed-links", Handshake.FromString(said).refused.reason)
            self.assertIn("links that are not sealed are refused here", side.refused[0])
            self.assertEqual(side.user.events, [])

    def test_it_is_met_as_ever_where_it_is_accepted(self):
        for clock, side, other in self.sides(accept_unsealed=True):
            reader = FrameReader()
            while not (other.proven and side.link.up):
                for body in reader.feed(side.take()):
                    answer = other.receive(body)
                    if answer:
                        side.link.dataReceived(encode_frame(answer))
            self.assertFalse(side.link.sealed)
            side.link.send(opened(7))
            clock.advance(0)
            (batch,) = FrameReader().feed(side.take())
            self.assertIn(opened(7).SerializeToString(), batch)
            side.link.dataReceived(encode_frame(batch))
            self.assertEqual(side.user.users, [7])

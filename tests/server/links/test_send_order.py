"""A client's Sends are stored once and in order, and it hears of each, whatever happens to them on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.metrics import Metrics
from cim.interfaces import RUNS
from cim.link.packing import Packing
from cim.model import LinkPeer
from cim.server.links.submissions import TIMEOUT, Submissions
from cim.wire import packed
from cim.wire.cim_pb2 import Failure, Packet, Send
from cim.wire.link_pb2 import Item, Reply
from cim.wire.native import OUT_OF_ORDER, packet

CONVERSATION = "p:7:9"


class Session:
    """A client that pipelines Sends, and repeats them as docs/protocol.md says.

    :param patient: whether it waits until everything is answered before it repeats what failed
    """

    asker = packed.asker(7, "alice", "1", "phone")
    live = True

    def __init__(self, names, patient):
        self.names = names
        self.patient = patient
        self.failed = set()
        self.written = set()
        self.to_send = list(names)
        self.final = set()
        self.orders = None
        self.settled = None
        self.unanswered = 0
        self.connection = self
        self.heard = []

    def asked(self, weight=1):
        self.unanswered += weight

    def answered(self, weight=1):
        self.unanswered -= weight

    def write_packet(self, data):
        self.heard.append(Packet.FromString(data))

    def told(self, packets):
        for data in packets:
            self.write_packet(data)

    def say(self):
        """Take the next thing to send."""
        name = self.to_send.pop(0)
        self.written.add(name)
        return name

    def listen(self):
        """Read what arrived."""
        heard, self.heard = self.heard, []
        for said in heard:
            name = said.accepted.client_id or said.failure.client_id
            self.written.discard(name)
            if said.HasField("accepted") or said.failure.code == "forbidden":
                self.final.add(name)
            else:
                self.failed.add(name)
        self.failed -= self.final
        if self.failed and not (self.patient and self.written):
            # From the first failed one on, everything that is not settled goes again, in order.
            first = min(self.names.index(name) for name in [*self.failed, *self.to_send])
            self.failed.clear()
            self.to_send = [name for name in self.names[first:] if name not in self.final]


class Route(Packing):
    """A route that takes its time, and loses, refuses and answers Sends at random."""

    def __init__(self, name, storm):
        self.peer = LinkPeer(name, "run")
        self.queued = 0
        self.version = storm.draw(st.sampled_from((RUNS - 1, RUNS)))
        self.storm = storm
        self.waiting = []
        self.carried_out = []

    def send_packed(self, item, droppable):
        request = Item.FromString(item).request
        after = request.after
        for call, body in enumerate((request.packet, *request.more), request.call):
            name = Packet.FromString(body).send.client_id
            self.waiting.append((call, name, after))
            after = name
        return True

    def carry_out(self):
        """Handle the item that came first, as the store does."""
        if not self.waiting:
            return
        storm = self.storm
        call, name, after = self.waiting.pop(0)
        fate = storm.fate()
        code = ""
        if fate == "lose":
            code = "unavailable"
        elif name not in storm.stored:
            if name in storm.refused or (fate == "refuse" and not storm.refused):
                storm.refused.add(name)
                code = "forbidden"
            elif after and after not in storm.stored:
                code = OUT_OF_ORDER
            else:
                storm.stored.append(name)
                if fate == "store and fail":
                    code = "unavailable"
        self.carried_out.append((call, name, code))

    def answer(self, at=0):
        """Answer something that was carried out, and what was stored behind it."""
        if not self.carried_out:
            return
        at %= len(self.carried_out)
        call, name, code = self.carried_out.pop(at)
        stored = [name]
        while not code and self.version >= RUNS and self.carried_out[at:]:
            further, name, code = self.carried_out[at]
            if further != call + len(stored) or code:
                code = ""
                break
            stored.append(name)
            del self.carried_out[at]
        if len(stored) > 1:
            accepted = [packed.accepted(name, CONVERSATION, "1-1", 5, "") for name in stored]
            self.storm.submissions.replied(self, Item.FromString(packed.replies(call, accepted)).reply)
            return
        (name,) = stored
        if not code:
            packets = [packed.accepted(name, CONVERSATION, "1-1", 5, "")]
        elif code == OUT_OF_ORDER:
            packets = []
        else:
            packets = [packet(failure=Failure(code=code, client_id=name))]
        self.storm.submissions.replied(self, Reply(call=call, code=code, packets=packets))


class Storm:
    """One run of a session and its routes under random faults."""

    def __init__(self, data):
        self.draw = data.draw
        self.clock = Clock()
        self.submissions = Submissions(self.clock, Metrics("test"))
        names = [f"s{number}" for number in range(self.draw(st.integers(2, 7)))]
        self.session = Session(names, self.draw(st.booleans()))
        self.stored = []
        self.refused = set()
        self.calm = False
        self.routes = [Route(f"127.0.0.1:{port}:9000", self) for port in (1, 2)]
        self.lost = []
        for route in self.routes:
            self.submissions.link_up(route)

    def fate(self):
        if self.calm:
            return "store"
        return self.draw(st.sampled_from(("store", "store", "store", "lose", "store and fail", "refuse")))

    def say(self):
        session = self.session
        if session.to_send and not (session.patient and session.failed):
            names = [session.say() for _ in range(min(len(session.to_send), self.draw(st.integers(1, 4))))]
            session.asked(len(names))
            said = [(name, packet(send=Send(user=9, client_id=name))) for name in names]
            self.submissions.send(session, CONVERSATION, said)

    def all_routes(self):
        # A lost route carries out what arrived, but its answers go nowhere.
        return self.routes + self.lost

    def step(self):
        what = self.draw(st.integers(0, 99))
        if what < 30:
            self.say()
        elif what < 60:
            self.draw(st.sampled_from(self.all_routes())).carry_out()
        elif what < 85:
            self.draw(st.sampled_from(self.all_routes())).answer(self.draw(st.integers(0, 5)))
        elif what < 94:
            self.session.listen()
        elif what < 96:
            self.clock.advance(self.draw(st.sampled_from((1, TIMEOUT))))
        elif len(self.routes) > 1:
            lost = self.routes.pop(self.draw(st.integers(0, 1)))
            self.lost.append(lost)
            self.submissions.link_down(lost)
        else:
            back = Route(f"127.0.0.1:{len(self.lost) + 2}:9000", self)
            self.routes.append(back)
            self.submissions.link_up(back)

    def run(self):
        for _ in range(self.draw(st.integers(1, 120))):
            self.step()
        self.calm = True
        for _ in range(10):
            self.session.listen()
            for _ in self.session.names:
                self.say()
            for _ in range(20):
                for route in self.all_routes():
                    route.carry_out()
                    route.answer()


class SendOrderTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=400)
    @given(st.data())
    def test_any_storm(self, data):
        storm = Storm(data)
        storm.run()
        session = storm.session
        self.assertEqual(storm.stored, [name for name in session.names if name not in storm.refused])
        self.assertEqual(session.final, set(session.names))
        storm.clock.advance(TIMEOUT)
        self.assertEqual((session.orders, session.unanswered, len(storm.submissions)), (None, 0, 0))

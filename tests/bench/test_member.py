"""The client of the chaos runs keeps the protocol: what it sends again and asks for, and what it notes."""

from __future__ import annotations

import json
import random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure as Reason
from twisted.trial.unittest import SynchronousTestCase

from bench.history import History
from bench.http import HTTPError
from bench.member import CALL_SECONDS, SILENT_SECONDS, WELCOME_SECONDS, Member
from bench.native import packet_frame
from cim.wire.cim_pb2 import Accepted, Deliver, Failure, Goodbye, Head, News, Packet, Synced, Welcome
from cim.wire.framing import FrameReader

THERE = "p:1:2"
ANSWER = {"user_id": 1, "ticket": "t", "token": "k", "server": {"host": "127.0.0.1", "tcp_port": 1, "websocket": None}}


class Pool:
    """A route that answers every login, or that with which `answers` begins."""

    def __init__(self):
        self.calls, self.answers = [], []

    def call(self, method, path, body, token):
        self.calls.append((method, path, json.loads(body), token))
        return self.answers.pop(0) if self.answers else succeed(json.dumps(ANSWER).encode())


class Transport(StringTransport):
    aborting = False

    def abortConnection(self):
        self.aborting = True

    def setTcpNoDelay(self, enabled):
        pass


class MemberTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.pool = Pool()
        self.history = History({THERE: (1, 2), "g:7": (1, 2)})
        self.member = Member(self.reactor, random.Random(1), "a", "secret", 1, [self.pool], self.history)
        self.member.start()
        self.connections = 0

    def connect(self):
        """Let it log in and connect."""
        while len(self.reactor.tcpClients) == self.connections:
            self.reactor.advance(0.1)
        self.connections += 1
        self.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        self.reader = FrameReader()

    def said(self, kind=None):
        """Return the packets that it wrote since the last time."""
        packets = [Packet.FromString(body) for body in self.reader.feed(self.transport.value())]
        self.transport.clear()
        return [getattr(packet, kind) for packet in packets if packet.WhichOneof("body") == kind] if kind else packets

    def tell(self, **packet):
        self.protocol.dataReceived(packet_frame(**packet))

    def welcomed(self, *heads, more=""):
        self.connect()
        self.said()
        self.tell(welcome=Welcome(user_id=1, heads=heads, more=more))

    def lose(self):
        self.protocol.connectionLost(Reason(ConnectionDone()))

    def sent(self):
        return [send.client_id for send in self.said("send")]

    def deliver(self, n, previous=None, sender=2, text="x"):
        before = f"5-{n - 1}" if n > 1 else ""
        previous = before if previous is None else previous
        self.tell(
            deliver=Deliver(
                conversation=THERE,
                position=f"5-{n}",
                previous=previous,
                sender=sender,
                client_id=f"0.{n}",
                text=text,
            )
        )

    def accept(self, number, n, previous=""):
        self.tell(accepted=Accepted(client_id=f"0.{number}", conversation=THERE, position=f"5-{n}", previous=previous))

    def handed(self):
        return [message.position[1] for message in self.history.handed.get((1, THERE), ())]

    def test_hello_with_the_ticket_and_nothing_before_the_welcome(self):
        self.member.send(THERE, "one")
        self.connect()
        hello, *rest = self.said()
        self.assertEqual((hello.hello.ticket, hello.hello.device, rest), ("t", "bench", []))
        self.tell(welcome=Welcome(user_id=1))
        self.assertEqual([(send.user, send.text) for send in self.said("send")], [(2, "one")])

    def test_the_password_once_and_then_the_token(self):
        self.welcomed()
        self.lose()
        self.connect()
        self.assertEqual(self.pool.calls[0][2:], ({"name": "a", "device": "bench", "password": "secret"}, ""))
        self.assertEqual(self.pool.calls[1][2:], ({"name": "a", "device": "bench"}, "k"))

    def test_a_token_that_is_refused(self):
        self.welcomed()
        self.lose()
        self.pool.answers = [fail(HTTPError("no", 401))]
        self.connect()
        self.assertEqual(self.pool.calls[-1][2]["password"], "secret")

    def test_what_is_not_accepted_goes_again_in_order(self):
        self.welcomed()
        for text in ("one", "two", "three"):
            self.member.send(THERE, text)
        self.assertEqual(self.sent(), ["0.0", "0.1", "0.2"])
        self.accept(0, 1)
        self.lose()
        self.welcomed()
        self.assertEqual(self.sent(), ["0.1", "0.2"])
        self.assertEqual(self.handed(), [1])
        self.assertEqual(self.history.outcomes(), {"accepted": 1, "unknown": 2})

    def test_after_a_failure_all_go_again_once_all_are_answered(self):
        self.welcomed()
        for text in ("one", "two"):
            self.member.send(THERE, text)
        self.said()
        self.tell(failure=Failure(code="unavailable", client_id="0.0", conversation=THERE))
        self.member.send(THERE, "three")
        self.reactor.pump([0.05] * 40)
        self.assertEqual(self.sent(), [])
        self.tell(failure=Failure(code="unavailable", client_id="0.1", conversation=THERE))
        self.assertEqual(self.sent(), [])
        self.reactor.pump([0.05] * 40)
        self.assertEqual(self.sent(), ["0.0", "0.1", "0.2"])

    def test_refused_for_certain(self):
        self.welcomed()
        self.member.send(THERE, "one")
        self.said()
        self.tell(failure=Failure(code="forbidden", client_id="0.0", conversation=THERE))
        self.assertEqual((self.member.waiting, self.history.outcomes()), (0, {"refused": 1}))

    def test_a_repeated_answer(self):
        self.welcomed()
        self.member.send(THERE, "one")
        self.accept(0, 1)
        self.accept(0, 1)
        self.deliver(1, sender=1)
        self.assertEqual(self.handed(), [1])

    def test_a_gap_is_asked_for_and_receipts_tell_what_is_held(self):
        self.welcomed()
        self.deliver(1)
        self.deliver(3)
        self.assertEqual(self.handed(), [1])
        self.reactor.pump([0.05] * 30)
        said = self.said()
        self.assertEqual([packet.sync.after for packet in said if packet.HasField("sync")], ["5-1"])
        self.assertEqual([packet.received.position for packet in said if packet.HasField("received")], ["5-1"])
        self.deliver(2)
        self.deliver(3)
        self.tell(synced=Synced(conversation=THERE, after="5-1", upto="5-3"))
        self.assertEqual(self.handed(), [1, 2, 3])

    def test_heads_and_news_in_pages(self):
        self.welcomed(Head(conversation=THERE, latest="5-4"), more="cursor")
        self.reactor.advance(0.05)
        syncs = self.said("sync")
        self.assertEqual([(sync.conversation, sync.after) for sync in syncs], [("", "cursor"), (THERE, "")])
        self.tell(news=News(heads=[Head(conversation="g:7", latest="5-1")]))
        self.reactor.advance(0.05)
        self.assertEqual([sync.conversation for sync in self.said("sync")], ["g:7"])

    def test_a_page_that_failed_is_asked_for_again(self):
        self.welcomed(Head(conversation=THERE, latest="5-4"))
        self.reactor.advance(0.05)
        self.said()
        self.tell(failure=Failure(code="unavailable", conversation=THERE))
        self.reactor.pump([0.05] * 40)
        self.assertEqual([sync.conversation for sync in self.said("sync")], [THERE])

    def test_forgetting(self):
        self.welcomed()
        self.member.send(THERE, "one")
        self.assertEqual(self.member.forget(), 1)
        self.lose()
        self.welcomed()
        self.member.send(THERE, "two")
        self.assertEqual(self.sent(), ["1.1"])
        self.accept(0, 1)
        self.assertEqual(self.history.outcomes(), {"unknown": 2})

    def test_silence_ends_a_connection(self):
        self.welcomed()
        self.reactor.pump([0.5] * int(2 * SILENT_SECONDS + 2))
        self.assertTrue(self.transport.aborting)
        self.assertIn("ping", [packet.WhichOneof("body") for packet in self.said()])

    def test_no_welcome_ends_a_connection(self):
        self.connect()
        self.reactor.advance(WELCOME_SECONDS)
        self.assertTrue(self.transport.aborting)

    def test_a_goodbye_is_obeyed(self):
        self.welcomed()
        self.tell(goodbye=Goodbye(code="draining", retry_after_seconds=3))
        self.assertTrue(self.transport.aborting)
        self.lose()
        calls = len(self.pool.calls)
        self.reactor.pump([0.1] * 29)
        self.assertEqual(len(self.pool.calls), calls)
        self.connect()

    def test_a_route_that_does_not_answer(self):
        self.welcomed()
        silent = Deferred()
        self.pool.answers = [silent]
        self.lose()
        self.reactor.advance(1)
        self.reactor.advance(CALL_SECONDS)
        self.connect()

    def test_the_end(self):
        self.welcomed()
        stopped = Deferred.fromCoroutine(self.member.stop())
        self.assertTrue(self.transport.aborting)
        self.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

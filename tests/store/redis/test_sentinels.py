"""Tests of the watch of Sentinels that a test plays; tests/integration/test_sentinels.py has real ones."""

from __future__ import annotations

from twisted.internet.defer import fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.redis.sentinel import Address, Watched
from cim.store.redis.sentinels import ANSWER_SECONDS, ASK_AGAIN, FIRST_ANSWER, Sentinels

ONE, TWO, THREE = (Address("sentinel", number) for number in (1, 2, 3))
A, B = Address("10.0.0.1", 6379), Address("10.0.0.2", 6379)


def resp(value):
    if isinstance(value, (list, tuple)):
        return b"*%d\r\n" % len(value) + b"".join(map(resp, value))
    if value is None:
        return b"*-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, Exception):
        return b"-%s\r\n" % str(value).encode()
    return b"$%d\r\n%s\r\n" % (len(value), value.encode())


class Transport(StringTransport):
    def abortConnection(self):
        self.gone()


class Network:
    """Where Sentinels and masters listen."""

    def __init__(self):
        self.up = set()
        self.open = {}
        self.attempts = []

    def reached(self, address):
        return Endpoint(self, address)

    def lose(self, address):
        protocol = self.open.pop(address, None)
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionLost()))


class Endpoint:
    def __init__(self, network, address):
        self.network, self.address = network, address

    def connect(self, factory):
        self.network.attempts.append(self.address)
        if self.address not in self.network.up:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        transport = Transport()
        transport.gone = lambda: self.network.lose(self.address)
        protocol.makeConnection(transport)
        self.network.open[self.address] = protocol
        return succeed(protocol)


class SentinelsCase(SynchronousTestCase):
    auth = None

    def setUp(self):
        self.clock = Clock()
        self.network = Network()
        self.network.up |= {ONE, TWO, THREE, A, B}
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.sentinels = Sentinels(
            self.clock,
            Watched("main", (ONE, TWO, THREE)),
            self.network.reached,
            random=lambda: 0.5,
            auth=self.auth,
        )
        self.moves = []
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.sentinels.stop)
        self.sentinels.start(self.moves.append)
        self.clock.advance(0)

    def asked(self, sentinel):
        """Take what a Sentinel was asked."""
        transport = self.network.open[sentinel].transport
        data = transport.value()
        transport.clear()
        return data

    def say(self, sentinel, *values):
        self.network.open[sentinel].dataReceived(b"".join(map(resp, values)))

    def answers(self, sentinel, master, epoch, replicas=2):
        facts = ["name", "main", "flags", "master", "num-slaves", str(replicas), "config-epoch", str(epoch)]
        self.say(sentinel, [master.host, str(master.port)])
        self.say(sentinel, facts)
        self.say(sentinel, ["subscribe", "+switch-master", 1])

    def said(self):
        return [event["log_format"].format(**event) for event in self.logged if event["log_level"] is LogLevel.warn]


class SentinelsTests(SentinelsCase):
    def test_they_are_asked_where_the_master_is(self):
        # Both at once: between two questions another one may become the master.
        asked = self.asked(ONE)
        self.assertIn(b"GET-MASTER-ADDR-BY-NAME\r\n$4\r\nmain", asked)
        self.assertIn(b"$6\r\nMASTER\r\n$4\r\nmain", asked)
        self.answers(ONE, A, 1)
        self.assertIn(b"SUBSCRIBE\r\n$14\r\n+switch-master", self.asked(ONE))
        self.assertEqual(self.moves, [A])
        self.assertEqual((self.sentinels.servers(), self.sentinels.complaint()), (3, ""))

    def test_a_message_has_it_asked_again(self):
        for sentinel in (ONE, TWO, THREE):
            self.answers(sentinel, A, 1)
        self.say(TWO, ["message", "+switch-master", "main 10.0.0.1 6379 10.0.0.2 6379"])
        self.clock.advance(0.1)
        self.answers(TWO, B, 2)
        self.assertEqual(self.moves, [A, B])
        # Those that do not know it yet lead nobody back.
        self.clock.advance(ASK_AGAIN)
        self.clock.advance(0.1)
        self.answers(ONE, A, 1)
        self.assertEqual(self.moves, [A, B])

    def test_it_is_asked_now_and_then_although_it_says_nothing(self):
        self.answers(ONE, A, 1)
        self.clock.advance(ASK_AGAIN - 0.1)
        self.assertEqual(self.network.attempts.count(ONE), 1)
        self.clock.pump([0.1, 0.1])
        self.assertEqual(self.network.attempts.count(ONE), 2)

    def test_one_that_is_away_is_said_once_and_tried_again(self):
        self.network.up.discard(THREE)
        self.network.lose(THREE)
        self.clock.pump([0.5] * 20)
        (line,) = [line for line in self.said() if "sentinel:3" in line and "refused" in line.lower()]
        self.assertIn("does not tell where the master main is", line)
        self.assertTrue(5 < self.network.attempts.count(THREE) < 15)
        self.network.up.add(THREE)
        self.clock.advance(2)
        self.answers(THREE, A, 1)
        self.assertNotIn("sentinel:3", self.sentinels.complaint())

    def test_one_that_does_not_answer(self):
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn("Sentinel at sentinel:2: it did not answer within 1.5 s", self.sentinels.complaint())

    def test_nonsense(self):
        self.say(ONE, None)
        self.say(TWO, "PONG")
        self.say(TWO, [])
        self.say(THREE, ValueError("NOAUTH Authentication required."))
        complaint = self.sentinels.complaint()
        self.assertIn("sentinel:1: it watches no master of that name", complaint)
        self.assertIn("sentinel:2: it does not answer like a Sentinel", complaint)
        self.assertIn("sentinel:3: it refuses SENTINEL (NOAUTH", complaint)
        self.assertEqual(self.moves, [])

    def test_all_others_are_away_and_one_lags(self):
        for sentinel in (ONE, TWO, THREE):
            self.answers(sentinel, A if sentinel == ONE else B, 1 if sentinel == ONE else 2)
        self.network.up -= {TWO, THREE}
        for sentinel in (TWO, THREE):
            self.network.lose(sentinel)
        self.clock.advance(ASK_AGAIN)
        self.clock.advance(0.1)
        self.answers(ONE, A, 1)
        self.assertEqual(self.moves, [A, B])

    def test_connecting_to_the_master(self):
        connecting = self.sentinels.connect(Factory.forProtocol(lambda: None))
        self.assertNoResult(connecting)
        self.network.up.discard(A)
        self.answers(TWO, A, 1)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.assertEqual(self.network.attempts[-1], A)

    def test_nobody_names_a_master(self):
        connecting = self.sentinels.connect(Factory())
        for sentinel in (ONE, TWO, THREE):
            self.say(sentinel, None)
        self.clock.advance(FIRST_ANSWER / 2)
        self.assertNoResult(connecting)
        self.clock.advance(FIRST_ANSWER / 2)
        error = self.failureResultOf(connecting, StoreUnavailable).value
        self.assertIn("no Sentinel names the master main: Sentinel at sentinel:1: it watches no", str(error))

    def test_cancelling_a_connection_that_waits(self):
        connecting = self.sentinels.connect(Factory())
        connecting.addErrback(lambda _: None)
        connecting.cancel()
        self.answers(TWO, A, 1)
        self.assertEqual(self.moves, [A])


class PasswordTests(SentinelsCase):
    auth = ("cim", "hunter2")

    def test_they_are_let_in_first(self):
        self.assertIn(b"AUTH\r\n$3\r\ncim\r\n$7\r\nhunter2", self.asked(ONE))
        self.say(ONE, "OK")
        self.answers(ONE, A, 1)
        self.assertEqual(self.moves, [A])

    def test_a_refusal_is_said_without_the_password(self):
        self.say(ONE, ValueError("WRONGPASS invalid"))
        self.assertIn("check --sentinel-user and --sentinel-password-file", self.sentinels.complaint())
        self.assertNotIn("hunter2", self.sentinels.complaint() + repr(self.said()))

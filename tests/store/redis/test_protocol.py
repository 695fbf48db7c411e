from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from cim.store.redis.protocol import connections

PING = b"*1\r\n$4\r\nPING\r\n"
SILENCE = 5.0


class ConnectionTests(SynchronousTestCase):
    def setUp(self):
        import txredisapi

        self.txredisapi = txredisapi
        self.clock = Clock()
        self.transport = StringTransport()
        self.transport.abortConnection = self.lose
        self.lost = 0
        self.connection = connections(self.clock, SILENCE).buildProtocol(None)
        self.connection.makeConnection(self.transport)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(lambda: self.lost or self.lose())

    def lose(self):
        self.lost += 1
        self.connection.connectionLost(Failure(ConnectionLost()))

    def test_nothing_is_sent_before_a_command(self):
        self.assertEqual(self.transport.value(), b"")

    def test_a_command_is_not_held_back_until_another_is_answered(self):
        said = []
        self.transport.setTcpNoDelay = said.append
        directlyProvides(self.transport, ITCPTransport)
        connections(self.clock, SILENCE).buildProtocol(None).makeConnection(self.transport)
        self.assertEqual(said, [True])

    def test_silence(self):
        """It lasts from the last reply, or from the first command that is owed one."""
        self.clock.advance(100)
        self.assertEqual(self.connection.silence, 0)
        self.connection.ask("PING")
        self.clock.advance(1.5)
        self.connection.ask("PING")
        self.assertEqual(self.connection.silence, 1.5)
        self.connection.dataReceived(b"+PONG\r\n")
        self.clock.advance(0.5)
        self.assertEqual(self.connection.silence, 0.5)
        self.connection.dataReceived(b"+PONG\r\n")
        self.clock.advance(1)
        self.assertEqual(self.connection.silence, 0)

    def test_replies_come_in_order_as_bytes(self):
        asked = [self.connection.ask("GET", name) for name in ("a", b"b", 3, "ü")]
        self.assertIn(b"$2\r\n\xc3\xbc\r\n", self.transport.value())
        self.connection.dataReceived(b"$3\r\n007\r\n$-1\r\n:7\r\n*2\r\n$6\r\nQUEUED\r\n")
        self.connection.dataReceived(b"$2\r\n\xff\x00\r\n")
        self.assertEqual([self.successResultOf(reply) for reply in asked], [b"007", None, 7, [b"QUEUED", b"\xff\x00"]])

    def test_an_error_only_fails_its_own_call(self):
        first, second = self.connection.ask("PING"), self.connection.ask("PING")
        self.connection.dataReceived(b"-WRONGTYPE no\r\n+PONG\r\n")
        self.failureResultOf(first, self.txredisapi.ResponseError)
        self.assertEqual(self.successResultOf(second), b"PONG")

    def test_a_cancelled_call_leaves_others_their_replies(self):
        first, second = self.connection.ask("PING"), self.connection.ask("PING")
        first.addErrback(lambda failure: None)
        first.cancel()
        self.connection.dataReceived(b"+ONE\r\n+TWO\r\n")
        self.assertEqual(self.successResultOf(second), b"TWO")

    def test_silence_cuts_the_connection_and_fails_all(self):
        first = self.connection.ask("PING")
        self.clock.advance(3.0)
        second = self.connection.ask("PING")
        self.clock.advance(1.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        self.failureResultOf(first, self.txredisapi.ConnectionError)
        self.failureResultOf(second, self.txredisapi.ConnectionError)
        self.assertEqual(self.lost, 1)
        self.assertIn("did not answer", self.connection.complaint)

    def test_slow_replies_do_not_cut_it(self):
        asked = [self.connection.ask("PING") for _ in range(5)]
        for reply in asked:
            self.clock.pump([1.0] * 4)
            self.connection.dataReceived(b"+PONG\r\n")
            self.successResultOf(reply)
        self.assertEqual(self.lost, 0)

    def test_an_idle_connection_may_be_silent(self):
        reply = self.connection.ask("PING")
        self.connection.dataReceived(b"+PONG\r\n")
        self.successResultOf(reply)
        self.clock.pump([1.0] * 100)
        self.assertEqual((self.lost, self.clock.getDelayedCalls()), (0, []))
        late = self.connection.ask("PING")
        self.clock.pump([1.0] * 4)
        self.assertNoResult(late)
        self.clock.pump([1.0] * 2)
        self.failureResultOf(late, self.txredisapi.ConnectionError)

    def test_a_server_that_is_not_redis_is_cut(self):
        reply = self.connection.ask("PING")
        self.connection.dataReceived(b"HTTP/1.1 400 Bad Request\r\n")
        self.failureResultOf(reply, self.txredisapi.ConnectionError)
        self.assertIn("not answer like Redis", self.connection.complaint)

    def test_a_lost_connection_takes_no_calls(self):
        self.lose()
        self.assertRaises(self.txredisapi.ConnectionError, self.connection.ask, "PING")

    def test_an_argument_that_cannot_be_sent_does_no_harm(self):
        self.assertRaises(UnicodeEncodeError, self.connection.ask, "GET", "\ud800")
        reply = self.connection.ask("PING")
        self.assertEqual(self.transport.value(), PING)
        self.connection.dataReceived(b"+PONG\r\n")
        self.assertEqual(self.successResultOf(reply), b"PONG")

"""The reactor of a daemon writes within the turn, and polls what the kernel does not take."""

from __future__ import annotations

import sys

from twisted.internet.abstract import FileDescriptor
from twisted.internet.base import ReactorBase
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.reactor import WritesOfTurn, daemon_reactor


class Reactor(ReactorBase):
    """A reactor of Twisted's that never runs, and polls nothing: what it would poll is in `polled`."""

    def __init__(self):
        super().__init__()
        self.polled = set()

    def installWaker(self):
        """Do nothing."""

    def addReader(self, reader):
        """Do nothing."""

    def removeReader(self, reader):
        """Do nothing."""

    def addWriter(self, writer):
        """See IReactorFDSet."""
        self.polled.add(writer)

    def removeWriter(self, writer):
        """See IReactorFDSet."""
        self.polled.discard(writer)


class Socket(Connection):
    """A connection whose kernel takes `room` bytes more."""

    def __init__(self, reactor):
        FileDescriptor.__init__(self, reactor)
        self.connected = 1
        self.taken = []
        self.room = 100
        self.ended = None

    def writeSomeData(self, data):
        """See FileDescriptor."""
        if self.room is None:
            return CONNECTION_LOST
        taken = bytes(data[: self.room])
        if taken:
            self.taken.append(taken)
        self.room -= len(taken)
        return len(taken)

    def connectionLost(self, reason):
        """Note why."""
        FileDescriptor.connectionLost(self, reason)
        self.ended = reason.type


class Producer:
    """Says something more whenever all is written, if `more` is not empty."""

    def __init__(self, transport):
        self.transport = transport
        self.more = []
        self.paused = 0

    def pauseProducing(self):
        """See IPushProducer."""
        self.paused += 1

    def resumeProducing(self):
        """See IPushProducer."""
        if self.more:
            more = self.more.pop()
            if isinstance(more, Exception):
                raise more
            self.transport.write(more)

    def stopProducing(self):
        """See IPushProducer."""


class WritesOfTurnTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = Reactor()
        WritesOfTurn(self.reactor)
        self.socket = Socket(self.reactor)

    def turn(self):
        self.reactor.runUntilCurrent()

    def poll(self):
        """Have what is polled write, as the reactor does when it can."""
        for writer in list(self.reactor.polled):
            writer.doWrite()

    def test_what_is_written_in_a_turn_goes_out_together_at_its_end(self):
        self.reactor.callLater(0, self.socket.write, b"first ")
        self.reactor.callLater(0, self.socket.write, b"second")
        self.assertEqual(self.socket.taken, [])
        self.turn()
        self.assertEqual(self.socket.taken, [b"first second"])
        self.assertEqual(self.reactor.polled, set())

    def test_what_is_written_while_others_are_polled_goes_out_before_the_next_poll(self):
        self.socket.write(b"answer")
        self.assertEqual(self.socket.taken, [])
        self.turn()
        self.assertEqual(self.socket.taken, [b"answer"])

    def test_connections_are_written_to_in_the_order_in_which_something_was_said_to_them(self):
        sockets, order = [Socket(self.reactor) for _ in range(3)], []
        for name, socket in enumerate(sockets):
            socket.taken = order
            socket.write(b"%d" % name)
        sockets[0].write(b" again")
        self.turn()
        self.assertEqual(order, [b"0 again", b"1", b"2"])

    def test_what_is_put_off_is_done_before_the_next_poll(self):
        """A link hands over what came in the turn, and an appender calls the store with all of it."""
        self.reactor.callLater(0, self.reactor.callLater, 0, self.socket.write, b"put off")
        self.turn()
        self.assertEqual(self.socket.taken, [b"put off"])

    def test_what_is_put_off_again_and_again_does_not_keep_the_reactor_from_polling(self):
        def put_off():
            done.append(None)
            self.reactor.callLater(0, put_off)

        done = []
        put_off()
        self.turn()
        self.assertEqual(len(done), 3)

    def test_what_the_kernel_does_not_take_is_polled_and_stays_in_order(self):
        self.socket.room = 3
        self.socket.write(b"answer")
        self.turn()
        self.assertEqual(self.socket.taken, [b"ans"])
        self.assertEqual(self.reactor.polled, {self.socket})
        self.socket.write(b" more")
        self.turn()
        self.assertEqual(self.socket.taken, [b"ans"])
        self.socket.room = 100
        self.poll()
        self.assertEqual(b"".join(self.socket.taken), b"answer more")
        self.assertEqual(self.reactor.polled, set())
        self.socket.write(b", and more")
        self.turn()
        self.assertEqual(b"".join(self.socket.taken), b"answer more, and more")

    def test_a_producer_is_paused_by_a_full_buffer_and_resumed_by_an_empty_one(self):
        producer = Producer(self.socket)
        self.socket.registerProducer(producer, True)
        self.socket.bufferSize = 10
        producer.more = [b"resumed"]
        self.socket.write(b"more than ten bytes")
        self.assertEqual(producer.paused, 1)
        self.turn()
        self.assertEqual(self.socket.taken, [b"more than ten bytes"])
        # One that has always more to say does not keep the reactor from others.
        self.assertEqual(self.reactor.polled, {self.socket})
        self.poll()
        self.assertEqual(b"".join(self.socket.taken), b"more than ten bytesresumed")

    def test_a_connection_that_closes_writes_first_and_is_ended_by_the_reactor(self):
        self.socket.write(b"goodbye")
        self.socket.loseConnection()
        self.turn()
        self.assertEqual(self.socket.taken, [b"goodbye"])
        self.assertEqual(self.reactor.polled, {self.socket})

    def test_a_connection_with_nothing_to_write_closes_too(self):
        self.socket.loseConnection()
        self.turn()
        self.assertEqual(self.reactor.polled, {self.socket})

    def test_a_connection_that_was_cut_is_not_written_to(self):
        self.socket.write(b"never")
        self.socket.abortConnection()
        self.turn()
        self.assertEqual(self.socket.taken, [])
        self.assertEqual(self.reactor.polled, set())

    def test_a_connection_that_fails_is_ended_by_the_reactor(self):
        self.socket.room = None
        self.socket.write(b"lost")
        self.turn()
        self.assertEqual(self.reactor.polled, {self.socket})

    def test_one_that_raises_is_cut_and_the_others_are_written_to(self):
        others = [Socket(self.reactor) for _ in range(2)]
        producer = Producer(self.socket)
        self.socket.registerProducer(producer, True)
        self.socket.bufferSize = 1
        producer.more = [RuntimeError("a bug")]
        for one in (others[0], self.socket, others[1]):
            one.write(b"said")
        self.turn()
        self.assertEqual([one.taken for one in others], [[b"said"], [b"said"]])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.turn()
        self.assertIsNotNone(self.socket.ended)
        self.assertEqual(self.reactor.polled, set())

    def test_one_that_ends_another_while_it_writes(self):
        other = Socket(self.reactor)
        producer = Producer(self.socket)
        producer.resumeProducing = other.abortConnection
        self.socket.registerProducer(producer, True)
        self.socket.bufferSize = 1
        self.socket.write(b"said")
        other.write(b"never")
        self.turn()
        self.assertEqual((self.socket.taken, other.taken), ([b"said"], []))

    def test_what_connects_and_what_is_no_connection_is_polled_as_ever(self):
        self.socket.connected = 0
        other = FileDescriptor(self.reactor)
        for one in (self.socket, other):
            one.startWriting()
        self.assertEqual(self.reactor.polled, {self.socket, other})
        for one in (self.socket, other):
            one.stopWriting()
        self.assertEqual(self.reactor.polled, set())


class DaemonReactorTests(SynchronousTestCase):
    def test_it_writes_within_the_turn(self):
        reactor = Reactor()
        self.patch(sys.modules["cim.daemon.reactor"], "monotonic_reactor", lambda: reactor)
        self.assertIs(daemon_reactor(), reactor)
        socket = Socket(reactor)
        socket.write(b"said")
        reactor.runUntilCurrent()
        self.assertEqual(socket.taken, [b"said"])

    def test_reactors_with_turns_of_their_own_are_left_as_they_are(self):
        class Other(Reactor):
            def run(self, installSignalHandlers=True):
                """Do nothing."""

        reactor = Other()
        self.patch(sys.modules["cim.daemon.reactor"], "monotonic_reactor", lambda: reactor)
        self.assertIs(daemon_reactor(), reactor)
        socket = Socket(reactor)
        socket.write(b"said")
        self.assertEqual(reactor.polled, {socket})

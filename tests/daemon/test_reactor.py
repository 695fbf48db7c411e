"""The reactor of a daemon writes within the turn, and polls what the kernel does not take."""

from __future__ import annotations

import sys
from socket import socketpair
from threading import Thread

from twisted.internet.abstract import FileDescriptor
from twisted.internet.base import ReactorBase
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.reactor import EpollLoop, WritesOfTurn, daemon_reactor


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


class Reader(FileDescriptor):
    """Reads one end of a pair of sockets, and does as `then` says with what it reads."""

    def __init__(self, reactor, then):
        super().__init__(reactor)
        self.socket, self.peer = socketpair()
        self.then = then
        self.connected = 1
        self.ended = None
        self.startReading()

    def fileno(self):
        """See IFileDescriptor."""
        return self.socket.fileno()

    def doRead(self):
        """See IReadDescriptor."""
        data = self.socket.recv(100)
        return self.then(data) if data else CONNECTION_DONE

    def connectionLost(self, reason):
        """Note why."""
        super().connectionLost(reason)
        self.ended = reason.type
        self.close()

    def close(self):
        """Close both ends."""
        self.socket.close()
        self.peer.close()


class EpollLoopTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = EPollReactor()
        EpollLoop(self.reactor, WritesOfTurn(self.reactor))
        self.addCleanup(self.close)
        self.reactor.callLater(60, self.fail, "the reactor did not stop")
        self.done = []

    def close(self):
        for reader in self.reactor.removeAll():
            getattr(reader, "close", lambda: None)()
        self.reactor._poller.close()

    def reader(self, then=None):
        reader = Reader(self.reactor, then or self.done.append)
        self.addCleanup(reader.close)
        return reader

    def stop(self, data=b""):
        self.done.append("stop")
        self.reactor.stop()

    def run_until_stopped(self):
        self.reactor.run(installSignalHandlers=False)

    def test_it_reads_until_it_is_stopped_and_then_shuts_down(self):
        first, last = self.reader(), self.reader(self.stop)
        self.reactor.addSystemEventTrigger("before", "shutdown", self.done.append, "shut down")
        self.reactor.callWhenRunning(first.peer.send, b"one")
        self.reactor.callLater(0.01, first.peer.send, b"two")
        self.reactor.callLater(0.02, last.peer.send, b"end")
        self.run_until_stopped()
        self.assertEqual(self.done, [b"one", b"two", "stop", "shut down"])

    def test_calls_are_made_when_they_are_due_and_not_before(self):
        now, soon = self.reactor.seconds(), self.reactor.callLater(0.01, self.done.append, "soon")
        self.reactor.callLater(0, self.done.append, "now")
        cancelled = self.reactor.callLater(0.005, self.done.append, "cancelled")
        self.reactor.callLater(0, cancelled.cancel)
        self.reactor.callLater(0, soon.delay, 0.02)
        self.reactor.callLater(0.02, self.done.append, "later")
        self.reactor.callLater(0.04, self.stop)
        self.run_until_stopped()
        self.assertEqual(self.done, ["now", "later", "soon", "stop"])
        self.assertGreaterEqual(self.reactor.seconds() - now, 0.04)

    def test_a_call_from_another_thread_wakes_it(self):
        self.reactor.callWhenRunning(Thread(target=self.reactor.callFromThread, args=(self.stop,)).start)
        self.run_until_stopped()
        self.assertEqual(self.done, ["stop"])

    def test_what_reads_may_make_calls_and_writes_in_its_turn(self):
        def read(data):
            self.reactor.callLater(0, socket.write, b"put off")
            socket.write(b"at once, ")
            self.reactor.callLater(0.001, self.stop)

        socket = Socket(self.reactor)
        self.reactor.callWhenRunning(self.reader(read).peer.send, b"said")
        self.run_until_stopped()
        self.assertEqual(socket.taken, [b"at once, put off"])

    def test_one_that_raises_is_logged_and_ended_and_the_others_go_on(self):
        def fail(data):
            raise RuntimeError("a bug")

        failing, other = self.reader(fail), self.reader(self.stop)
        self.reactor.callWhenRunning(failing.peer.send, b"said")
        self.reactor.callLater(0.01, other.peer.send, b"end")
        self.run_until_stopped()
        self.assertEqual(failing.ended, RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.done, ["stop"])

    def test_a_call_that_raises_is_logged_and_the_loop_goes_on(self):
        self.reactor.callLater(0, lambda: 1 / 0)
        self.reactor.callLater(0.001, self.stop)
        self.run_until_stopped()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_whose_peer_has_left_is_ended(self):
        left = self.reader()
        self.reactor.callWhenRunning(left.peer.close)
        self.reactor.callLater(0.01, self.stop)
        self.run_until_stopped()
        self.assertEqual(left.ended, ConnectionDone)

    def test_one_that_another_one_has_ended_is_not_read(self):
        def end_both(data):
            self.done.append(data)
            for reader in both:
                reader.stopReading()

        both = self.reader(end_both), self.reader(end_both)
        self.reactor.callWhenRunning(lambda: [reader.peer.send(b"said") for reader in both])
        self.reactor.callLater(0.01, self.stop)
        self.run_until_stopped()
        self.assertEqual(self.done, [b"said", "stop"])

    def test_a_pause_longer_than_the_kernel_counts(self):
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.reactor.callLater(0, self.reactor.callLater, 1e9, self.done.append, "never")
        self.reactor.callWhenRunning(self.reader(self.stop).peer.send, b"end")
        self.run_until_stopped()
        self.assertEqual(self.done, ["stop"])


class DaemonReactorTests(SynchronousTestCase):
    def test_it_writes_within_the_turn(self):
        reactor = Reactor()
        self.patch(sys.modules["cim.daemon.reactor"], "monotonic_reactor", lambda: reactor)
        self.assertIs(daemon_reactor(), reactor)
        socket = Socket(reactor)
        socket.write(b"said")
        reactor.runUntilCurrent()
        self.assertEqual(socket.taken, [b"said"])

    def test_on_epoll_it_has_a_loop_of_its_own(self):
        reactor = EPollReactor()
        self.addCleanup(reactor._poller.close)
        self.patch(sys.modules["cim.daemon.reactor"], "monotonic_reactor", lambda: reactor)
        self.assertIsInstance(daemon_reactor().mainLoop.__self__, EpollLoop)

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

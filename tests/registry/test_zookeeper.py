"""The bridge to kazoo, with a kazoo client that the test controls."""

from __future__ import annotations

import errno
import threading

from kazoo.exceptions import NoAuthError, NodeExistsError, NoNodeError, SessionExpiredError
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RegistryUnavailable
from cim.registry.calls import WINDOW
from cim.registry.izookeeper import NodeChange, NodeExists, NoNode, RegistryRefused, ZooKeeperState
from cim.registry.zookeeper import REPLACE_AFTER, ZooKeeper


class Reactor(Clock):
    """A Clock that other threads can call into."""

    def callFromThread(self, f, *args):
        self.callLater(0, f, *args)


class Result:
    """An IAsyncResult whose answer the test gives."""

    def __init__(self):
        self.linked = None

    def rawlink(self, f):
        self.linked = f

    def answer(self, value):
        def get_nowait():
            if isinstance(value, Exception):
                raise value
            return value

        self.get_nowait = get_nowait
        self.linked(self)


class Kazoo:
    """A kazoo client that records what it is asked and does nothing."""

    def __init__(self, died, refused, failures):
        self.died = died
        self.failures = failures  # of starts, until there are none
        self.refused = refused
        self.listeners = []
        self.add_listener = self.listeners.append
        self.calls = []
        self.client_id = None
        self.client_state = KeeperState.CONNECTING
        self.started = False
        self.may_stop = threading.Event()
        self.may_stop.set()
        self.closed = threading.Event()

    def start_async(self):
        if self.failures:
            raise self.failures.pop()
        self.started = True

    def stop(self):
        self.may_stop.wait(10)

    def close(self):
        self.closed.set()

    def becomes(self, state, detail, session=None):
        self.client_id = None if session is None else (session, b"password")
        self.client_state = detail
        for listener in self.listeners:
            listener(state)

    def __getattr__(self, name):
        if not name.endswith("_async"):
            raise AttributeError(name)

        def call(*arguments, **options):
            if arguments[0] == "/bad/../path":
                raise ValueError("relative paths not allowed")
            result = Result()
            self.calls.append((name, arguments, options, result))
            return result

        return call


class BridgeTests(SynchronousTestCase):
    def setUp(self):
        self.clients = []
        self.failures = []
        self.reactor = Reactor()
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.bridge = ZooKeeper(
            "zk:2181", self.reactor, session_timeout=10, timeout=5, stop_timeout=2, auth=("u", "p"), make=self.make
        )
        self.states = []
        self.bridge.onStateChange(lambda state, session: self.states.append((state.name, session)))

    def make(self, address, session_timeout, auth, tls, died, refused):
        self.assertEqual((address, session_timeout, auth, tls), ("zk:2181", 10, ("u", "p"), None))
        self.clients.append(Kazoo(died, refused, self.failures))
        return self.clients[-1]

    @property
    def kazoo(self):
        return self.clients[-1]

    def turn(self):
        self.reactor.advance(0)

    def becomes(self, state, detail, session=None):
        self.kazoo.becomes(state, detail, session)
        self.turn()

    def connected(self, session=7):
        if not self.clients:
            self.bridge.startService()
        self.becomes(KazooState.CONNECTED, KeeperState.CONNECTED, session)

    def suspended(self):
        self.becomes(KazooState.SUSPENDED, KeeperState.CONNECTING)

    def said(self):
        return [event["log_format"] for event in self.log]

    def answer(self, number, value):
        self.kazoo.calls[number][3].answer(value)
        self.turn()

    # The state.

    def test_states(self):
        self.connected(7)
        self.suspended()
        self.connected(7)
        self.suspended()
        self.becomes(KazooState.LOST, KeeperState.EXPIRED_SESSION)
        self.connected(8)
        self.assertEqual(
            self.states,
            [("CONNECTED", 7), ("SUSPENDED", 7), ("CONNECTED", 7), ("SUSPENDED", 7), ("LOST", 7), ("CONNECTED", 8)],
        )

    def test_listeners_are_called_in_the_reactors_thread_only(self):
        self.bridge.startService()
        self.kazoo.becomes(KazooState.CONNECTED, KeeperState.CONNECTED, 7)
        self.assertEqual((self.bridge.state, self.states), (ZooKeeperState.LOST, []))
        self.turn()
        self.assertEqual((self.bridge.state, self.bridge.session), (ZooKeeperState.CONNECTED, 7))

    def test_suspended_for_longer_than_the_session(self):
        self.connected(7)
        self.suspended()
        self.reactor.advance(9.9)
        self.assertEqual(self.bridge.state, ZooKeeperState.SUSPENDED)
        self.reactor.advance(0.1)
        self.assertEqual(self.bridge.state, ZooKeeperState.LOST)
        self.replaced(self.clients[0], 0)
        self.reactor.advance(60)
        self.assertEqual(self.states[1:], [("SUSPENDED", 7), ("LOST", None), ("CONNECTED", 9)])

    def test_a_listener_that_raises_does_not_affect_others(self):
        self.bridge.onStateChange(lambda state, session: 1 / 0)
        later = []
        self.bridge.onStateChange(lambda state, session: later.append(state))
        self.connected()
        self.assertEqual(later, [ZooKeeperState.CONNECTED])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_absence_is_logged_once(self):
        self.bridge.startService()
        self.reactor.advance(3600)
        self.assertEqual(self.said(), ["ZooKeeper at {address} is not answering; still trying"])

    def test_waiting_is_not_logged_when_zookeeper_is_there(self):
        self.connected()
        self.reactor.advance(3600)
        self.assertEqual(self.said(), ["connected to ZooKeeper at {address}, {new} session"])

    # A client that broke.

    def replaced(self, broken, after=REPLACE_AFTER):
        self.assertEqual(self.bridge.state, ZooKeeperState.LOST)
        self.assertTrue(broken.closed.wait(5))
        self.reactor.advance(after)
        self.assertIsNot(self.kazoo, broken)
        self.assertTrue(self.kazoo.started)
        broken.becomes(KazooState.CONNECTED, KeeperState.CONNECTED, 1)
        broken.died("again")
        self.turn()
        self.assertEqual((len(self.clients), self.bridge.state), (2, ZooKeeperState.LOST))
        self.connected(9)
        self.assertEqual(self.bridge.session, 9)

    def test_tls_that_fails_is_told_once_and_kept_until_it_is_connected(self):
        self.bridge.startService()
        for reason in ("expired", "expired", "of another host"):
            self.kazoo.refused(reason)
            self.turn()
        told = [event["complaint"] for event in self.log if "complaint" in event]
        self.assertEqual(told, ["TLS failed: expired", "TLS failed: of another host"])
        self.assertEqual(self.bridge.complaint, "TLS failed: of another host")
        self.connected()
        self.assertEqual(self.bridge.complaint, "")
        # What another client says that was replaced is of the past.
        before = self.kazoo
        before.died("RuntimeError")
        self.turn()
        self.reactor.advance(5)
        before.refused("expired")
        self.turn()
        self.assertEqual(self.bridge.complaint, "")

    def test_its_thread_died(self):
        self.bridge.startService()
        self.kazoo.died("RuntimeError: xids do not match")
        self.turn()
        self.assertEqual(self.log[0]["reason"], "RuntimeError: xids do not match")
        self.replaced(self.kazoo)

    def test_its_thread_died_while_it_was_connected(self):
        self.connected()
        call = self.bridge.children("/cim")
        self.kazoo.died("RuntimeError")
        self.turn()
        self.failureResultOf(call, RegistryUnavailable)
        self.replaced(self.kazoo)

    def test_its_thread_died_while_the_connection_was_lost(self):
        self.connected()
        self.suspended()
        broken = self.kazoo
        broken.died("RuntimeError")
        self.turn()
        self.replaced(broken)
        self.reactor.advance(60)
        self.assertEqual((len(self.clients), self.bridge.session), (2, 9))

    def test_no_descriptors_left_for_another_one(self):
        self.connected(7)
        self.suspended()
        self.failures += [OSError(errno.EMFILE, "Too many open files") for _ in range(5)]
        self.reactor.advance(10)
        for _ in range(60):
            self.reactor.advance(0.5)
        self.assertEqual((len(self.clients), self.failures), (7, []))
        self.assertTrue(all(client.closed.wait(5) for client in self.clients[:-1]))
        self.connected(9)
        self.assertEqual((self.bridge.state, self.bridge.session), (ZooKeeperState.CONNECTED, 9))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 5)

    def test_no_descriptors_left_at_the_start(self):
        self.failures.append(OSError(errno.EMFILE, "Too many open files"))
        self.bridge.startService()
        self.reactor.advance(1)
        self.assertTrue(self.kazoo.started)
        self.flushLoggedErrors(OSError)

    def test_it_was_refused(self):
        self.connected()
        self.becomes(KazooState.LOST, KeeperState.AUTH_FAILED)
        self.replaced(self.kazoo)

    # Calls.

    def test_arguments(self):
        self.connected()
        self.bridge.create("/a", b"v", ephemeral=True)
        self.bridge.set("/a", b"w", 3)
        self.bridge.delete("/a", 4)
        self.assertEqual(
            [call[:3] for call in self.kazoo.calls],
            [
                ("create_async", ("/a", b"v"), {"ephemeral": True}),
                ("set_async", ("/a", b"w", 3), {}),
                ("delete_async", ("/a", 4), {}),
            ],
        )

    def test_errors(self):
        self.connected()
        for number, (error, ours) in enumerate(
            [
                (NoNodeError(), NoNode),
                (NodeExistsError(), NodeExists),
                (NoAuthError(), RegistryRefused),
                (SessionExpiredError(), RegistryUnavailable),
            ]
        ):
            call = self.bridge.children("/a")
            self.assertNoResult(call)
            self.answer(number, error)
            self.failureResultOf(call, ours)

    def test_a_path_that_kazoo_does_not_accept(self):
        self.connected()
        call = self.bridge.children("/bad/../path")
        self.turn()
        self.failureResultOf(call, RegistryRefused)

    def test_no_answer(self):
        self.connected()
        late, other = self.bridge.children("/a"), self.bridge.children("/b")
        self.reactor.advance(4.9)
        self.answer(1, ["x"])
        self.assertNoResult(other)
        self.reactor.advance(0.1)
        self.failureResultOf(late, RegistryUnavailable)
        self.assertEqual(self.successResultOf(other), ["x"])
        self.answer(0, ["too late"])

    def test_answers_that_come_in_another_order(self):
        self.connected()
        fired = []
        for number in range(4):
            self.bridge.children("/a").addBoth(lambda _, number=number: fired.append(number))
        for number in (2, 1, 3):
            self.answer(number, [])
        self.assertEqual(fired, [])
        self.answer(0, [])
        self.assertEqual(fired, [0, 1, 2, 3])

    def test_a_cancelled_call_delays_nobody(self):
        self.connected()
        first, second = self.bridge.children("/a"), self.bridge.children("/b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.answer(1, ["x"])
        self.assertEqual(self.successResultOf(second), ["x"])

    def test_kazoo_gets_a_bounded_number_of_calls(self):
        self.connected()
        calls = [self.bridge.children("/a") for _ in range(WINDOW + 2)]
        self.assertEqual(len(self.kazoo.calls), WINDOW)
        self.answer(0, [])
        self.assertEqual(len(self.kazoo.calls), WINDOW + 1)
        self.reactor.advance(5)
        for call in calls[1:]:
            self.failureResultOf(call, RegistryUnavailable)
        # A call that timed out before it was passed on never is.
        for number in range(1, WINDOW + 1):
            self.answer(number, [])
        self.assertEqual(len(self.kazoo.calls), WINDOW + 1)

    def test_losing_the_connection_ends_calls(self):
        self.connected()
        calls = [self.bridge.children("/a") for _ in range(WINDOW + 1)]
        self.suspended()
        for call in calls:
            self.failureResultOf(call, RegistryUnavailable)
        self.failureResultOf(self.bridge.children("/a"), RegistryUnavailable)
        self.connected()
        del self.kazoo.calls[1:]
        calls = [self.bridge.children("/a") for _ in range(WINDOW + 1)]
        self.answer(0, ["of an old call"])
        self.assertNoResult(calls[0])
        self.assertEqual(len(self.kazoo.calls), 1 + WINDOW, "an old answer makes no room")
        self.answer(1, ["new"])
        self.assertEqual(self.successResultOf(calls[0]), ["new"])
        self.assertEqual(len(self.kazoo.calls), 2 + WINDOW)
        self.bridge.stopService()
        for call in calls[1:]:
            self.failureResultOf(call, RegistryUnavailable)

    # Watches.

    def test_an_event_may_come_before_the_reply(self):
        self.connected()
        read, watch = self.bridge.childrenAndWatch("/a")
        saw = self.kazoo.calls[0][2]["watch"]
        saw(WatchedEvent(EventType.CHILD, KeeperState.CONNECTED, "/a"))
        self.turn()
        self.assertEqual(self.successResultOf(watch), NodeChange.CHILDREN)
        self.answer(0, ["x"])
        self.assertEqual(self.successResultOf(read), ["x"])

    def test_kazoos_report_of_a_lost_connection_is_not_an_event(self):
        self.connected()
        _, watch = self.bridge.childrenAndWatch("/a")
        saw = self.kazoo.calls[0][2]["watch"]
        saw(WatchedEvent(EventType.NONE, KeeperState.CONNECTING, None))
        self.answer(0, [])
        self.assertNoResult(watch)
        self.suspended()
        self.assertEqual(self.successResultOf(watch), NodeChange.UNKNOWN)
        self.assertIs(saw.__self__, self.bridge)
        self.assertEqual(saw, self.bridge._saw, "kazoo keeps equal functions once")

    # The end.

    def stopped(self, stop):
        self.assertTrue(self.kazoo.closed.wait(5))
        for _ in range(1000):
            self.turn()
            if stop.called:
                break
            threading.Event().wait(0.005)
        self.successResultOf(stop)

    def test_stop(self):
        self.connected()
        self.suspended()
        self.stopped(self.bridge.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.states[-1], ("LOST", None))
        self.kazoo.becomes(KazooState.LOST, KeeperState.CLOSED)
        self.turn()
        self.assertEqual(len(self.clients), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_does_not_wait_for_a_frozen_zookeeper(self):
        self.connected()
        self.kazoo.may_stop.clear()
        stop = self.bridge.stopService()
        self.reactor.advance(1.9)
        self.assertNoResult(stop)
        self.reactor.advance(0.1)
        self.successResultOf(stop)
        self.assertIn("did not confirm the end of the session", self.said()[-1])
        self.kazoo.may_stop.set()

    def test_stop_after_it_broke(self):
        self.bridge.startService()
        self.kazoo.died("RuntimeError")
        self.turn()
        self.successResultOf(self.bridge.stopService())
        self.assertTrue(self.kazoo.closed.wait(5))
        self.reactor.advance(60)
        self.assertEqual(len(self.clients), 1)

    def test_stop_without_start(self):
        self.successResultOf(self.bridge.stopService())

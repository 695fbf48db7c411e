"""Tests of calls to a Redis Cluster that a test plays; tests/integration/test_redis_cluster.py has a real one."""

from __future__ import annotations

from collections import Counter

import hiredis

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.redis.buckets import DIRECTORY, SLOTS_OF, TAGS, bucket_of
from cim.store.redis.cluster.connection import BEGUN, ClusterConnection
from cim.store.redis.conversations import APPEND
from cim.store.redis.keys import Key
from cim.store.redis.patience import PATIENCE
from cim.store.redis.scripts import Script
from cim.store.redis.sentinel import Address
from tests.store.redis.test_sentinels import Transport, resp

ONE, TWO, THREE = (Address("10.0.0.1", port) for port in (7001, 7002, 7003))
#: A key of a user whose bucket is in the first half of the slots, and of one in the second.
LOW, HIGH = (
    Key.SESSIONS.of(next(user for user in range(1, 1000) if half(SLOTS_OF[bucket_of(user)])))
    for half in (lambda slot: slot < 8192, lambda slot: slot >= 8192)
)


class Network:
    """Where nodes listen."""

    def __init__(self):
        self.up = set()
        self.open = []  # address, protocol, reader

    def reached(self, address):
        return Endpoint(self, address)

    def lose(self, lost):
        """Lose a connection, or all to an address."""
        for _, protocol, _ in [one for one in self.open if lost in one]:
            self.open = [one for one in self.open if one[1] is not protocol]
            protocol.connectionLost(Failure(ConnectionLost()))


class Endpoint:
    def __init__(self, network, address):
        self.network, self.address = network, address

    def connect(self, factory):
        if self.address not in self.network.up:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        transport = Transport()
        transport.gone = transport.loseConnection = lambda: self.network.lose(protocol)
        transport.getPeer = lambda: IPv4Address("TCP", self.address.host, self.address.port)
        transport.setTcpKeepAlive = lambda enabled: None
        protocol.makeConnection(transport)
        self.network.open.append((self.address, protocol, hiredis.Reader()))
        return succeed(protocol)


class Peer:
    """A node; `answers` are what it says to commands by their names, before all else."""

    def __init__(self, case, address):
        self.case, self.address = case, address
        self.answers = {}
        self.asked = []
        self.run_id = f"run of {address.port}".replace(" ", "-")
        self.beat = 1000 * address.port

    def lines(self):
        return "\n".join(
            f"{address.port} {address}@1 master - 0 0 {epoch} connected {first}-{last}"
            for address, epoch, first, last in self.case.slots
        )

    def answer(self, words):
        name = words[0].decode()
        self.asked.append(words)
        given = self.answers.get(name)
        if callable(given):
            given = given(words)
        if given is not None:
            return given
        if name == "CLUSTER":
            return self.lines()
        if name == "INFO":
            return f"run_id:{self.run_id}\r\nredis_version:7.0.15\r\nrole:master\r\nmaster_replid:history"
        if name == "EVALSHA":
            return self.script(words)
        return {"PING": "PONG", "CONFIG": [words[-1].decode(), "no"], "MGET": [None], "HGET": self.address.host}.get(
            name, "OK"
        )

    def script(self, words):
        key = words[3].decode().partition("}")[2]
        if key == Key.EPOCH:
            self.beat += 1
            return ["5", str(self.beat), "", ""]
        if key == Key.CLOCK:
            return ["1700000000000", "1700000000000", "0", "0", "1700000000000"]
        return "script"

    def said(self, name):
        return [words for words in self.asked if words[0].decode() == name]


class ClusterCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.network = Network()
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.peers = {address: Peer(self, address) for address in (ONE, TWO, THREE)}
        self.network.up |= {ONE, TWO, THREE}
        self.slots = [(ONE, 1, 0, 8191), (TWO, 2, 8192, 16383)]
        self.connection = ClusterConnection(
            self.clock, [ONE, TWO], self.network.reached, random=lambda: 0.5, time_of_day=self.clock.seconds
        )
        self.connection.load(APPEND)
        self.connection.start()
        self.addCleanup(self.stop)
        self.turn()

    def stop(self):
        self.successResultOf(Deferred.fromCoroutine(self.connection.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def turn(self, seconds=0.0):
        """Let time pass, and have all peers answer what they are asked."""
        self.clock.advance(seconds)
        for _ in range(30):
            for address, protocol, reader in list(self.network.open):
                reader.feed(protocol.transport.value())
                protocol.transport.clear()
                while (words := reader.gets()) is not False:
                    reply = self.peers[address].answer(words)
                    if reply is not NOTHING:
                        protocol.dataReceived(resp(reply))
            self.clock.advance(0)

    def pass_seconds(self, seconds):
        for _ in range(round(seconds * 20)):
            self.turn(0.05)

    def get(self, key):
        return self.connection.command("get", "HGET", key, "x")


NOTHING = object()


class CallTests(ClusterCase):
    def test_each_call_goes_to_the_node_of_its_bucket(self):
        self.assertEqual(self.connection.health(), "")
        low, high = self.get(LOW), self.get(HIGH)
        self.turn()
        self.assertEqual((self.successResultOf(low), self.successResultOf(high)), (b"10.0.0.1",) * 2)
        (one,), (two,) = (self.peers[address].said("HGET") for address in (ONE, TWO))
        self.assertEqual(one[1].decode(), TAGS[bucket_of(LOW[13:-1])] + LOW)
        self.assertEqual(two[1].decode(), TAGS[bucket_of(HIGH[13:-1])] + HIGH)

    def test_a_bucket_is_looked_at_before_it_is_used(self):
        self.turn(0)
        self.peers[ONE].asked.clear()
        self.connection.looks.buckets[bucket_of(LOW[13:-1])].looked = None
        self.get(LOW)
        self.turn()
        self.assertEqual([words[0] for words in self.peers[ONE].asked], [b"EVALSHA", b"HGET"])

    def test_moved(self):
        self.peers[ONE].answers["HGET"] = Exception(f"MOVED 5 {THREE}")
        found = self.get(LOW)
        self.turn()
        self.turn(0.1)
        self.successResultOf(found)
        self.assertEqual(len(self.peers[THREE].said("HGET")), 1)
        # From then on it is known, though others say something else.
        self.get(LOW)
        self.turn()
        self.assertEqual(len(self.peers[ONE].said("HGET")), 1)

    def test_ask(self):
        self.peers[ONE].answers["HGET"] = Exception(f"ASK 5 {THREE}")
        found = self.get(LOW)
        self.turn()
        self.turn(0.1)
        self.successResultOf(found)
        self.assertEqual(self.said(THREE, "ASKING", "HGET"), [[b"ASKING"], self.peers[THREE].said("HGET")[0]])
        # It is asked anew each time.
        self.peers[ONE].answers.clear()
        self.successResultOf(self.asked(LOW))
        self.assertEqual(len(self.peers[THREE].said("HGET")), 1)

    def said(self, address, *names):
        return [words for words in self.peers[address].asked if words[0].decode() in names]

    def asked(self, key):
        found = self.get(key)
        self.turn()
        return found

    def test_a_script_is_asked_with_its_text(self):
        script = Script("test", "return 1", "return 1")
        self.peers[ONE].answers["EVALSHA"] = lambda words: (
            Exception(f"ASK 5 {THREE}") if words[1].decode() == script.in_bucket.sha else None
        )
        done = self.connection.run(script, (LOW,), ("a",))
        self.turn()
        self.turn(0.1)
        self.successResultOf(done)
        asking, said = self.said(THREE, "ASKING", "EVAL")
        self.assertEqual(asking, [b"ASKING"])
        tag = TAGS[bucket_of(LOW[13:-1])].encode()
        self.assertEqual(said, [b"EVAL", script.in_bucket.text.encode(), b"2", tag + LOW.encode(), tag, b"a"])

    def test_tryagain(self):
        left = [3]

        def answer(words):
            left[0] -= 1
            return Exception("TRYAGAIN Multiple keys request during rehashing of slot") if left[0] >= 0 else "x"

        self.peers[ONE].answers["HGET"] = answer
        found = self.asked(LOW)
        self.assertNoResult(found)
        self.pass_seconds(0.2)
        self.assertEqual(self.successResultOf(found), b"x")

    def test_tryagain_for_long(self):
        self.peers[ONE].answers["HGET"] = Exception("TRYAGAIN")
        found = self.asked(LOW)
        self.pass_seconds(PATIENCE - 0.1)
        self.assertNoResult(found)
        self.pass_seconds(0.2)
        self.failureResultOf(found, StoreUnavailable)
        # Who comes then does not wait that long; others are not concerned.
        later = self.asked(LOW)
        self.pass_seconds(0.1)
        self.failureResultOf(later, StoreUnavailable)
        self.successResultOf(self.asked(HIGH))
        self.peers[ONE].answers.clear()
        self.successResultOf(self.asked(LOW))

    def test_clusterdown(self):
        self.peers[ONE].answers["HGET"] = Exception("CLUSTERDOWN The cluster is down")
        found = self.asked(LOW)
        self.pass_seconds(PATIENCE + 0.1)
        self.failureResultOf(found, StoreUnavailable)
        self.assertIn("is down", self.connection.health())
        # Who comes then does not wait that long.
        later = self.asked(LOW)
        self.pass_seconds(0.1)
        self.failureResultOf(later, StoreUnavailable)
        self.peers[ONE].answers.clear()
        self.successResultOf(self.asked(LOW))
        self.assertEqual(self.connection.health(), "")

    def test_what_may_have_been_done_is_not_sent_again(self):
        self.peers[ONE].answers["HGET"] = NOTHING
        found = self.asked(LOW)
        self.network.lose(ONE)
        self.failureResultOf(found, StoreUnavailable)
        self.pass_seconds(1)
        self.assertEqual(len(self.peers[ONE].said("HGET")), 1)

    def test_a_master_that_is_replaced(self):
        self.network.up.discard(ONE)
        self.network.lose(ONE)
        found = self.asked(LOW)
        self.assertIn(f"Redis at {ONE} is away", self.connection.health())
        self.slots = [(THREE, 3, 0, 8191), (TWO, 2, 8192, 16383)]
        self.pass_seconds(0.5)
        self.successResultOf(found)
        self.assertEqual(self.connection.health(), "")

    def test_listeners_hear_that_all_are_back(self):
        heard = []
        self.connection.on_reconnect(lambda: heard.append(self.connection.health()))
        self.pass_seconds(2)
        self.network.up.discard(TWO)
        self.network.lose(TWO)
        self.pass_seconds(3)
        self.assertEqual(heard, [])
        self.network.up.add(TWO)
        self.pass_seconds(3)
        self.assertEqual(heard, [""])

    def test_an_error_is_no_redirection(self):
        self.peers[ONE].answers["HGET"] = Exception("WRONGTYPE Operation against a key")
        self.failureResultOf(self.asked(LOW), StoreUnavailable)
        self.assertIn("refuses: WRONGTYPE", self.connection.health())

    def test_waiting_calls_fail_when_it_is_stopped(self):
        self.network.up.clear()
        for address in self.peers:
            self.network.lose(address)
        found = self.get(LOW)
        self.stop()
        self.failureResultOf(found, StoreUnavailable)

    def test_appends_of_a_bucket_that_wait_for_a_look_keep_their_order(self):
        self.connection.looks.buckets[bucket_of("p:1:2")].looked = None
        done = [self.connection.run_in_epoch(APPEND, (Key.STREAM.of("p:1:2"),), (str(number),)) for number in range(5)]
        self.turn()
        for one in done:
            self.assertEqual(self.successResultOf(one), b"script")
        said = [
            words[-1]
            for peer in self.peers.values()
            for words in peer.said("EVALSHA")
            if words[1].decode() == APPEND.in_bucket.sha
        ]
        self.assertEqual(said, [b"0", b"1", b"2", b"3", b"4"])

    def test_health_without_anybody(self):
        connection = ClusterConnection(
            self.clock, [Address("nobody", 1)], self.network.reached, random=lambda: 0.5, time_of_day=self.clock.seconds
        )
        connection.start()
        self.assertIn("nobody:1", connection.health())
        self.pass_seconds(1)
        self.assertIn("does not tell who is in the cluster", connection.health())
        self.successResultOf(Deferred.fromCoroutine(connection.stop()))

    def test_slots_that_nobody_serves(self):
        self.slots = [(ONE, 1, 0, 8191)]
        connection = ClusterConnection(
            self.clock, [THREE], self.network.reached, random=lambda: 0.5, time_of_day=self.clock.seconds
        )
        connection.nodes.topology.heard([])
        self.assertIn("no node has told yet", connection.health())


class EpochTests(ClusterCase):
    def begun(self):
        """What the directory was told of buckets that began an epoch: bucket -> number, whether it was only moved."""
        told = {}
        for words in self.peers[ONE].said("EVALSHA"):
            if words[1].decode() == BEGUN.in_bucket.sha:
                parts = words[5:]
                told |= {int(parts[at]): (int(parts[at + 1]), int(parts[at + 2])) for at in range(0, len(parts), 3)}
        return told

    def test_all_are_told_once(self):
        self.pass_seconds(3)
        told = self.begun()
        self.assertEqual(set(told), set(range(1, 256)))
        self.assertEqual(Counter(told.values()), {(5, 0): 255})

    def test_one_that_another_process_serves(self):
        self.pass_seconds(2)
        bucket = bucket_of(LOW[13:-1])
        peer = self.peers[ONE]
        peer.asked.clear()
        peer.answers["EVALSHA"] = self.in_epoch(bucket, "6", "another process")
        self.connection.looks.buckets[bucket].looked = None
        self.pass_seconds(2)
        self.assertEqual(self.begun()[bucket], (6, 0))

    def in_epoch(self, bucket, number, was):
        def answer(words):
            if words[3].decode() == TAGS[bucket] + Key.EPOCH:
                return [number, "99999999", "another process serves it", was]
            return None

        return answer

    def test_one_that_was_moved(self):
        self.pass_seconds(2)
        bucket = bucket_of(LOW[13:-1])
        self.peers[ONE].asked.clear()
        self.peers[THREE].answers["EVALSHA"] = self.in_epoch(bucket, "6", "run-of-7001 history")
        self.peers[ONE].answers["EXISTS"] = Exception(f"MOVED 5 {THREE}")
        self.peers[ONE].answers["HGET"] = Exception(f"MOVED 5 {THREE}")
        self.get(LOW)
        self.pass_seconds(2)
        self.assertEqual(self.begun()[bucket], (6, 1))

    def test_one_whose_node_still_believes_to_serve_it_was_not_moved(self):
        self.pass_seconds(2)
        bucket = bucket_of(LOW[13:-1])
        self.peers[ONE].asked.clear()
        self.peers[THREE].answers["EVALSHA"] = self.in_epoch(bucket, "6", "run-of-7001 history")
        self.peers[ONE].answers["HGET"] = Exception(f"MOVED 5 {THREE}")
        self.get(LOW)
        self.pass_seconds(2)
        self.assertEqual(self.begun()[bucket], (6, 0))

    def test_the_epoch_that_is_told_is_the_directorys(self):
        self.assertEqual(self.connection.epoch.number, 5)
        told = []
        self.connection.on_epoch(lambda: told.append(self.connection.epoch.number))
        self.peers[ONE].answers["EVALSHA"] = self.in_epoch(DIRECTORY, "7", "")
        self.pass_seconds(1.5)
        self.assertEqual(told, [7])

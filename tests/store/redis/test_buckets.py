"""Tests of where things lie in a Redis Cluster, and of who is believed to serve them."""

from __future__ import annotations

from hashlib import sha256

from lupa.lua51 import LuaRuntime

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis.buckets import (
    BUCKETS,
    DIRECTORY,
    SLOTS,
    SLOTS_OF,
    TAGS,
    bucket_of,
    home_of,
    placed,
    slot_of,
    taken_apart,
)
from cim.store.redis.cluster.topology import Told, Topology, UselessAnswer, read, redirection
from cim.store.redis.conversations import APPEND
from cim.store.redis.epoch import EPOCH
from cim.store.redis.keys import Key
from cim.store.redis.sentinel import Address

ONE, TWO, THREE = (Address("10.0.0.1", port) for port in (7001, 7002, 7003))
LINES = """\
aaa 10.0.0.1:7001@17001,node-1 myself,master - 0 1426238316232 3 connected 0-8191 [5->-bbb]
bbb 10.0.0.1:7002@17002 master - 0 1426238316232 5 connected 8192-16382 16383
ccc 10.0.0.1:7003@17003 slave aaa 0 1426238316232 3 connected
ddd :0@0 master,noaddr - 0 0 0 disconnected
eee 10.0.0.1:7005@17005 master,fail - 0 0 1 connected
"""


class BucketTests(SynchronousTestCase):
    def test_slots_are_those_of_redis(self):
        # As `CLUSTER KEYSLOT` says.
        self.assertEqual([slot_of("{460}cim:c:{p:1:2}"), slot_of("foo"), slot_of("{14}x")], [5, 12182, 115])

    def test_slots_are_evenly_spaced(self):
        self.assertEqual([slot * BUCKETS // SLOTS for slot in SLOTS_OF], list(range(BUCKETS)))

    def test_they_are_what_stores_were_made_with(self):
        """A bucket that changes is a store that is lost."""
        self.assertEqual((BUCKETS, TAGS[:3]), (256, ("{460}", "{14}", "{278}")))
        self.assertEqual(sha256("".join(TAGS).encode()).hexdigest()[:16], "01626e8eb0ac9d3e")
        self.assertEqual([bucket_of(name) for name in ("p:1:2", "g:7", 1)], [115, 63, 9])

    def test_nothing_but_the_directory_lies_in_its_bucket(self):
        self.assertNotIn(DIRECTORY, {bucket_of(number) for number in range(10_000)})

    def test_homes(self):
        talk = bucket_of("p:1:2")
        self.assertEqual({home_of(key.of("p:1:2")) for key in (Key.STREAM, Key.COUNTERS, Key.RECALLED)}, {talk})
        self.assertEqual(home_of(Key.SESSIONS.of(5)), bucket_of(5))
        for key in (Key.CREDENTIAL.of(5), "cim-account:5", Key.GROUP.of("g:7"), Key.EPOCH, "cim:c:", "alice"):
            self.assertEqual(home_of(key), DIRECTORY, key)

    def test_names(self):
        name = placed(3, Key.STREAM.of("p:1:2"))
        self.assertEqual(name, TAGS[3] + "cim:c:{p:1:2}")
        self.assertEqual(taken_apart(name.encode()), (3, "cim:c:{p:1:2}"))
        for other in (b"cim:c:{p:1:2}", b"{nobody's}x", b"", b"\xff"):
            self.assertIsNone(taken_apart(other))

    def test_scripts_name_keys_of_their_bucket(self):
        lua = LuaRuntime()
        lua.execute("redis = {call = function(name, key) found = key end}; KEYS = {'{3}cim:c:{p:1:2}', '{3}'}")
        text = APPEND.in_bucket.text
        self.assertNotIn("= 'cim:", text.partition("\n")[0])
        lua.execute(text.partition("\n")[0].replace("local ", "") + " found = {STREAM, MUTED, #KEYS}")
        self.assertEqual(list(lua.globals().found.values()), ["{3}cim:c:", "{3}cim:muted", 1])
        self.assertNotEqual(APPEND.sha, APPEND.in_bucket.sha)
        self.assertNotIn("B ..", EPOCH.in_bucket.text.partition("\n")[0])


class TopologyTests(SynchronousTestCase):
    def told(self, *epochs_and_slots):
        return [Told(str(address), address, epoch, slots=(slots,)) for address, epoch, slots in epochs_and_slots]

    def test_reading(self):
        one, two, three, five = read(LINES.encode(), Address("asked", 1))
        self.assertEqual(one, Told("aaa", Address("node-1", 7001), 3, slots=((0, 8191),)))
        self.assertEqual(two.slots, ((8192, 16382), (16383, 16383)))
        self.assertEqual((three.master, three.slots), ("aaa", ()))
        self.assertTrue(five.failed)

    def test_a_node_that_does_not_know_its_own_address(self):
        (told,) = read(b"aaa :7001@17001 myself,master - 0 0 1 connected 0-16383", Address("asked", 7))
        self.assertEqual(told.address, Address("asked", 7))

    def test_useless_answers(self):
        with self.assertRaises(UselessAnswer) as caught:
            read(b"hello", ONE)
        self.assertIn("hello", str(caught.exception))

    def test_who_is_behind_is_not_believed(self):
        topology = Topology()
        self.assertTrue(topology.heard(self.told((ONE, 1, (0, 8191)), (TWO, 2, (8192, 16383)))))
        self.assertEqual(topology.masters(), {ONE, TWO})
        self.assertTrue(topology.heard(self.told((THREE, 3, (0, 8191)))))
        self.assertFalse(topology.heard(self.told((ONE, 1, (0, 8191)))))
        self.assertEqual(topology.owners[DIRECTORY], THREE)
        self.assertEqual(len(topology.served(THREE)), BUCKETS // 2)
        # Unless it is of another cluster at the same addresses.
        topology.forget(THREE)
        self.assertTrue(topology.heard(self.told((ONE, 1, (0, 8191)))))

    def test_a_node_that_says_moved(self):
        topology = Topology()
        topology.heard(self.told((ONE, 1, (0, 16383))))
        topology.moved(7, TWO)
        self.assertEqual(topology.served(TWO), [7])

    def test_servers_are_those_of_the_largest_shard(self):
        topology = Topology()
        topology.heard(read(LINES.encode(), ONE))
        self.assertEqual(topology.servers(), 2)

    def test_redirections(self):
        self.assertEqual(redirection("MOVED 5 10.0.0.1:7001"), ("MOVED", ONE))
        self.assertEqual(redirection("ASK 5 :7001"), ("ASK", None))
        self.assertEqual(redirection("TRYAGAIN Multiple keys request"), ("TRYAGAIN", None))
        self.assertEqual(redirection("ERR 10.0.0.1:7001"), ("ERR", None))

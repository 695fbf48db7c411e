"""The wire of both upstream generations, to the byte, through a whole cluster (docs/upstream.md, Frames)."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cim.model import Account
from cim.route.messages.limits import Guest
from cim.wire.guests import Generation, encode_login, encode_ping
from tests.harness.cluster import Cluster

ZHANGSAN = Account(1545574049323, "zhangsan")
LISI = Account(100, "lisi")

W2_LOGIN = "110a087a68616e6773616e10abcc91dbfd2c"
W2_PING = "0f0a0470696e6710abcc91dbfd2c1802"
W2_PONG = "080a04706f6e671802"
W2_MESSAGE = (
    "590a0568656c6c6f10abcc91dbfd2c180122110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d65"
    "12046c697369221e0a0d72656365697665557365724964120d31353435353734303439333233"
)
W2_BATCH = (
    "5810abcc91dbfd2c180122110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d6512046c697369221e0a"
    "0d72656365697665557365724964120d313534353537343034393332332a01612a0162"
)
W1_LOGIN = "130a087a68616e6773616e10abcc91dbfd2c1801"
W1_PING = "0f0a0470696e6710abcc91dbfd2c1803"
W1_PONG = "0a0a04706f6e6710001803"
W1_MESSAGE = "150a0a6c6973693a68656c6c6f10abcc91dbfd2c1802"


class FrameTests(SynchronousTestCase):
    """zhangsan is online; lisi writes."""

    def setUp(self):
        self.cluster = Cluster()
        self.route = self.cluster.routes[0]
        for account in (ZHANGSAN, LISI):
            self.route.accounts.keep(account)

    def log_in(self, login):
        address = self.done(self.route.logins.login(ZHANGSAN.id, ZHANGSAN.name)).address
        client = self.cluster.connect(str(address), bytes.fromhex(login))
        self.assertFalse(client.closed)
        self.assertEqual(list(self.route.presence.guests()), [ZHANGSAN])
        return client

    def done(self, coroutine):
        result = Deferred.fromCoroutine(coroutine)
        self.cluster.turn()
        return self.successResultOf(result)

    def written(self, client):
        data = client.transport.value().hex()
        client.transport.clear()
        return data

    def send(self, *texts, batch=False):
        self.done(self.route.messages.private(Guest(LISI.id, "192.0.2.7"), ZHANGSAN.id, texts, batch=batch))

    def test_a_login_is_not_answered(self):
        for login in (W2_LOGIN, W1_LOGIN):
            client = self.log_in(login)
            self.assertEqual(self.written(client), "")
            client.drop()
            self.cluster.turn()

    def test_pings(self):
        for login, ping, pong in ((W2_LOGIN, W2_PING, W2_PONG), (W1_LOGIN, W1_PING, W1_PONG)):
            client = self.log_in(login)
            client.send(bytes.fromhex(ping))
            self.assertEqual(self.written(client), pong)
            client.drop()
            self.cluster.turn()

    def test_a_frame_may_come_byte_by_byte(self):
        client = self.log_in(W2_LOGIN)
        for byte in bytes.fromhex(W2_PING):
            self.assertEqual(self.written(client), "")
            client.send(bytes((byte,)))
        self.assertEqual(self.written(client), W2_PONG)

    def test_private_messages(self):
        for login, frame in ((W2_LOGIN, W2_MESSAGE), (W1_LOGIN, W1_MESSAGE)):
            client = self.log_in(login)
            self.send("hello")
            self.assertEqual(self.written(client), frame)
            client.drop()
            self.cluster.turn()

    def test_group_messages_are_framed_alike(self):
        for login, frame in ((W2_LOGIN, W2_MESSAGE), (W1_LOGIN, W1_MESSAGE)):
            client = self.log_in(login)
            self.done(self.route.messages.everyone(Guest(LISI.id, "192.0.2.7"), "hello"))
            self.assertEqual(self.written(client), frame)
            client.drop()
            self.cluster.turn()

    def test_a_batch(self):
        client = self.log_in(W2_LOGIN)
        self.send("a", "b", batch=True)
        self.assertEqual(self.written(client), W2_BATCH)

    def test_the_first_generation_gets_a_batch_one_by_one(self):
        client = self.log_in(W1_LOGIN)
        self.send("hello", "hello", batch=True)
        self.assertEqual(self.written(client), W1_MESSAGE * 2)

    def test_our_own_guest_writes_what_java_writes(self):
        for generation, login, ping in (
            (Generation.W2, W2_LOGIN, W2_PING),
            (Generation.W1, W1_LOGIN, W1_PING),
        ):
            self.assertEqual(encode_login(generation, ZHANGSAN.id, ZHANGSAN.name).hex(), login)
            self.assertEqual(encode_ping(generation, ZHANGSAN.id).hex(), ping)

    def test_the_empty_text_has_no_field_for_the_second_generation_and_one_for_the_first(self):
        client = self.log_in(W2_LOGIN)
        self.send("")
        # proto3 leaves out a default, as Java's writer does.
        self.assertEqual(self.written(client), "52" + W2_MESSAGE.removeprefix("590a0568656c6c6f"))
        client.drop()
        self.cluster.turn()
        client = self.log_in(W1_LOGIN)
        self.send("")
        self.assertEqual(self.written(client), "100a056c6973693a10abcc91dbfd2c1802")

"""One of our servers beside one of upstream's, which is listed without data and reached over HTTP."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CallTimeout, NoServerAvailable, RepeatLogin, Unreachable, UserOffline
from cim.model import Place
from cim.web.calling import Envelope
from cim.wire.guests import Generation, encode_login
from tests.harness.cluster import Cluster

JAVA = "10.0.0.9:11211:8081"
SEND = "http://10.0.0.9:8081/sendMsg"


def first(accounts):
    """The one with the lowest id."""
    return min(accounts, key=lambda account: account.id)


class UpstreamServerCase(SynchronousTestCase):
    """Two routes, no server of ours; alice, bob and carol."""

    servers = 0

    def setUp(self):
        self.cluster = Cluster(servers=self.servers, routes=2)
        self.alice, self.bob, self.carol = (self.cluster.account(name) for name in ("alice", "bob", "carol"))
        self.listing = self.cluster.registry.announce("cim", JAVA, b"")
        self.cluster.answer = lambda url, obj: succeed(Envelope("9000", "Success", {"msg": "OK"}))
        self.cluster.turn()

    def begin(self, coroutine):
        result = Deferred.fromCoroutine(coroutine)
        self.cluster.turn()
        return result

    def login(self, account, route=0, answers=True):
        """Log in; the probe of upstream's server is answered or refused."""
        probes = self.cluster.clock.tcpClients
        before = len(probes)
        result = self.begin(self.cluster.routes[route].logins.login(account.id, account.name))
        for host, port, factory, timeout, _ in probes[before:]:
            self.assertEqual((host, port, timeout), ("10.0.0.9", 11211, 1))
            if answers:
                transport = StringTransport()
                factory.buildProtocol(None).makeConnection(transport)
                self.assertTrue(transport.disconnecting)
            else:
                factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.cluster.turn()
        return result

    def log_in(self, account):
        self.assertEqual(str(self.successResultOf(self.login(account))), JAVA)

    def private(self, sender, receiver, *texts, batch=False, route=1):
        return self.begin(self.cluster.routes[route].messages.private(sender.id, receiver.id, texts, batch=batch))

    def online(self, route):
        return self.successResultOf(self.begin(self.cluster.routes[route].messages.online()))


class OnUpstreamTests(UpstreamServerCase):
    """Users on upstream's server alone."""

    def test_a_login_is_a_session_at_once_for_every_route(self):
        self.log_in(self.alice)
        self.assertEqual((self.online(0), self.online(1)), ([self.alice], [self.alice]))
        self.failureResultOf(self.login(self.alice, 1), RepeatLogin)

    def test_a_server_that_does_not_answer_the_probe(self):
        self.failureResultOf(self.login(self.alice, answers=False), NoServerAvailable)
        self.assertEqual(self.online(0), [])

    def test_a_private_message_and_a_batch(self):
        self.log_in(self.bob)
        self.successResultOf(self.private(self.alice, self.bob, "你好"))
        self.successResultOf(self.private(self.alice, self.bob, "a", "b", batch=True))
        who = {
            "userId": self.bob.id,
            "cmd": "MESSAGE",
            "properties": {
                "sendUserId": str(self.alice.id),
                "sendUserName": "alice",
                "receiveUserId": str(self.bob.id),
            },
        }
        self.assertEqual(self.cluster.posted, [(SEND, {**who, "msg": "你好"}), (SEND, {**who, "batchMsg": ["a", "b"]})])

    def test_log_out(self):
        self.log_in(self.alice)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.begin(self.cluster.routes[1].logins.log_out(self.alice.id)))
        self.assertEqual(self.online(0), [])
        self.failureResultOf(self.private(self.bob, self.alice, "x"), UserOffline)
        self.assertEqual(self.cluster.posted, [])
        self.log_in(self.alice)

    def test_nobody_is_reached_on_a_server_that_died_and_is_still_listed(self):
        self.log_in(self.alice)
        self.cluster.answer = lambda url, obj: fail(Unreachable(f"{url} cannot be reached"))
        refused = self.failureResultOf(self.private(self.bob, self.alice, "x"), UserOffline)
        self.assertNotIn("10.0.0.9", refused.value.message)

    def test_no_answer_means_unknown(self):
        self.log_in(self.alice)
        self.cluster.answer = lambda url, obj: fail(CallTimeout())
        self.failureResultOf(self.private(self.bob, self.alice, "x"), CallTimeout)

    def test_a_server_that_is_back_under_its_name_has_lost_its_users(self):
        self.log_in(self.alice)
        self.listing.withdraw()
        self.cluster.turn()
        self.assertEqual(self.online(0), [])
        self.cluster.registry.announce("cim", JAVA, b"")
        self.cluster.turn()
        self.assertEqual(self.online(0), [])
        self.failureResultOf(self.private(self.bob, self.alice, "x"), UserOffline)
        self.log_in(self.alice)

    def test_users_of_a_server_that_went_while_the_store_was_away_are_forgotten_after_it(self):
        self.log_in(self.alice)
        self.cluster.store.available = False
        self.listing.withdraw()
        self.cluster.turn()
        self.cluster.store.available = True
        self.cluster.turn()
        self.cluster.registry.announce("cim", JAVA, b"")
        self.cluster.turn()
        self.assertEqual(self.online(0), [])

    def test_a_user_who_went_elsewhere_meanwhile_stays(self):
        self.log_in(self.alice)
        self.cluster.pass_seconds(2)
        self.successResultOf(self.begin(self.cluster.routes[0].logins.log_out(self.alice.id)))
        other = "10.0.0.10:11211:8081"
        reserved = self.cluster.store.sessions.reserve
        self.successResultOf(reserved(self.alice.id, Place(other), "elsewhere", seconds=30, live=True))
        self.cluster.registry.announce("cim", other, b"")
        self.listing.withdraw()
        self.cluster.turn()
        self.assertEqual(self.online(1), [self.alice])


class MixedTests(UpstreamServerCase):
    """A server of ours beside upstream's, and users on both."""

    servers = 1

    def setUp(self):
        super().setUp()
        # Round robin: whoever comes gets the other server.
        self.clients = {}
        for account in (self.alice, self.bob, self.carol):
            address = str(self.successResultOf(self.login(account)))
            if address != JAVA:
                login = encode_login(Generation.W2, account.id, account.name)
                self.clients[account] = self.cluster.connect(address, login)
        self.ours = set(self.clients)
        self.theirs = {self.alice, self.bob, self.carol} - self.ours

    def test_users_are_on_both(self):
        self.assertTrue(self.ours and self.theirs)
        self.assertEqual((self.online(0), self.online(1)), ([self.alice, self.bob, self.carol],) * 2)

    def test_private_messages_both_ways(self):
        ours, theirs = first(self.ours), first(self.theirs)
        self.successResultOf(self.private(ours, theirs, "there"))
        self.successResultOf(self.private(theirs, ours, "back"))
        self.assertEqual(
            [(url, body["userId"], body["msg"]) for url, body in self.cluster.posted], [(SEND, theirs.id, "there")]
        )
        self.assertEqual(self.clients[ours].texts(), ["back"])

    def test_a_group_message_reaches_the_others_on_both(self):
        for sender in (self.alice, self.bob, self.carol):
            self.cluster.posted.clear()
            self.successResultOf(self.begin(self.cluster.routes[1].messages.everyone(sender.id, "all")))
            got = {account for account, client in self.clients.items() if client.texts() == ["all"]}
            posted = [body["userId"] for url, body in self.cluster.posted]
            self.assertEqual(got, self.ours - {sender})
            self.assertEqual(sorted(posted), sorted(account.id for account in self.theirs - {sender}))

    def test_a_group_message_reaches_ours_when_theirs_fails(self):
        self.cluster.answer = lambda url, obj: fail(Unreachable())
        sender = first(self.theirs)
        self.successResultOf(self.begin(self.cluster.routes[0].messages.everyone(sender.id, "all")))
        self.assertEqual({account for account, client in self.clients.items() if client.texts() == ["all"]}, self.ours)

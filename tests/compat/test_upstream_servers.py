"""One of our servers beside one of upstream's, which is listed without data and reached over HTTP."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import EventLoggingObserver, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CallTimeout, NoServerAvailable, RepeatLogin, Unreachable, UserOffline
from cim.model import Place
from cim.nodes import NodeData
from cim.route.messages.limits import Guest
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
        self.cluster = Cluster(servers=self.servers, routes=2, upstream_servers=True)
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
        logging_in = self.begin(self.cluster.routes[route].logins.login(account.id, account.name))
        result = logging_in.addCallback(lambda admission: admission.address)
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
        return self.begin(
            self.cluster.routes[route].messages.private(Guest(sender.id, "192.0.2.7"), receiver.id, texts, batch=batch)
        )

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
            self.successResultOf(
                self.begin(self.cluster.routes[1].messages.everyone(Guest(sender.id, "192.0.2.7"), "all"))
            )
            got = {account for account, client in self.clients.items() if client.texts() == ["all"]}
            posted = [body["userId"] for url, body in self.cluster.posted]
            self.assertEqual(got, self.ours - {sender})
            self.assertEqual(sorted(posted), sorted(account.id for account in self.theirs - {sender}))

    def test_a_group_message_reaches_ours_when_theirs_fails(self):
        self.cluster.answer = lambda url, obj: fail(Unreachable())
        sender = first(self.theirs)
        self.successResultOf(self.begin(self.cluster.routes[0].messages.everyone(Guest(sender.id, "192.0.2.7"), "all")))
        self.assertEqual({account for account, client in self.clients.items() if client.texts() == ["all"]}, self.ours)


class WithoutThemTests(SynchronousTestCase):
    """Nobody said that there are servers of upstream: whoever lists a node without our data gets nothing."""

    def setUp(self):
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.cluster = Cluster()
        self.accounts = [self.cluster.account(f"user-{number}") for number in range(9)]
        for name, value in (("10.6.6.6:11211:8081", b""), ("10.6.6.7:11211:8081", b'{"not": "ours"}')):
            self.cluster.registry.announce("cim", name, value)
        self.cluster.turn()

    def told(self):
        return [event for event in self.log if "which are ignored" in (event.get("log_format") or "")]

    def test_all_logins_go_to_our_servers(self):
        for account in self.accounts:
            self.assertFalse(self.cluster.log_in(account).closed)
        self.assertEqual(self.cluster.clock.tcpClients, [])

    def test_without_one_of_ours_there_is_none(self):
        self.cluster.kill(self.cluster.servers[0])
        login = self.cluster.begin(self.cluster.routes[0].logins.login(self.accounts[0].id, "user-0"))
        self.failureResultOf(login, NoServerAvailable)
        self.assertEqual(self.cluster.clock.tcpClients, [])

    def test_no_messages_are_posted_to_it_whatever_the_store_says(self):
        ours, theirs = self.accounts[:2]
        client = self.cluster.log_in(ours)
        # A record that upstream's route has written, or somebody in its place.
        reserve = self.cluster.store.sessions.reserve
        self.successResultOf(reserve(theirs.id, Place("10.6.6.6:11211:8081"), "o", seconds=30, live=True))
        messages = self.cluster.routes[0].messages
        sent = messages.private(Guest(ours.id, "192.0.2.7"), theirs.id, ("a",), batch=False)
        self.failureResultOf(self.cluster.begin(sent), UserOffline)
        self.successResultOf(self.cluster.begin(messages.everyone(Guest(theirs.id, "192.0.2.7"), "b")))
        self.assertEqual((self.cluster.posted, client.texts()), ([], ["b"]))
        self.assertEqual(self.successResultOf(self.cluster.begin(messages.online())), [ours])
        # And it is in nobody's way.
        self.assertFalse(self.cluster.log_in(theirs).closed)

    def test_it_is_told_once_and_shown(self):
        names = ["10.6.6.6:11211:8081", "10.6.6.7:11211:8081"]
        self.cluster.registry.announce("cim", "10.0.0.3:1:2", NodeData("test", "run").encode())
        self.cluster.turn()
        self.assertEqual(self.cluster.routes[0].health().facts["ignored_servers"], names)
        (event,) = self.told()
        self.assertEqual((event["count"], event["names"]), (2, ", ".join(names)))
        self.cluster.registry.announce("cim", "10.6.6.8:1:2", b"")
        self.cluster.turn()
        self.assertEqual([event["count"] for event in self.told()], [2, 3])

    def test_many_take_no_more_room_than_a_few(self):
        for number in range(100):
            self.cluster.registry.announce("cim", f"10.7.7.{number}:1:2", b"")
        self.cluster.turn()
        directory = self.cluster.routes[0].directory
        self.assertEqual((len(directory.ignored), len(directory.facts()["ignored_servers"])), (102, 10))
        self.assertLess(len(self.told()[-1]["names"]), 300)

    def test_without_any_nothing_is_shown(self):
        self.assertNotIn("ignored_servers", Cluster().routes[0].health().facts)

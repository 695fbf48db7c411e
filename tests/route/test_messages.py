"""Tests of guests' messages to one user and to everyone."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import AccountMismatch, CallTimeout, InvalidField, UserOffline
from cim.route.messages.limits import Guest
from cim.wire.guests import Generation
from tests.harness.cluster import Cluster


class MessageTests(SynchronousTestCase):
    """A base with two servers and two routes, where round robin puts users on both servers."""

    def setUp(self):
        self.cluster = Cluster(servers=2, routes=2)
        self.alice, self.bob, self.carol = (self.cluster.account(name) for name in ("alice", "bob", "carol"))

    def begin(self, coroutine):
        started = Deferred.fromCoroutine(coroutine)
        self.cluster.turn()
        return started

    def private(self, sender, receiver, *texts, batch=False, route=0):
        return self.begin(
            self.cluster.routes[route].messages.private(Guest(sender.id, "192.0.2.7"), receiver.id, texts, batch=batch)
        )

    def everyone(self, sender, text, route=0):
        return self.begin(self.cluster.routes[route].messages.everyone(Guest(sender.id, "192.0.2.7"), text))

    def test_a_private_message_carries_its_sender(self):
        bob = self.cluster.log_in(self.bob)
        self.successResultOf(self.private(self.alice, self.bob, "你好 👋"))
        (frame,) = bob.frames()
        self.assertEqual((frame.text, frame.user_id), ("你好 👋", self.bob.id))
        self.assertEqual(
            dict(frame.properties),
            {"sendUserId": str(self.alice.id), "sendUserName": "alice", "receiveUserId": str(self.bob.id)},
        )

    def test_the_first_generation_sees_the_name_before_the_text(self):
        bob = self.cluster.log_in(self.bob, generation=Generation.W1)
        self.successResultOf(self.private(self.alice, self.bob, "hello"))
        self.assertEqual(bob.texts(), ["alice:hello"])

    def test_a_batch_is_one_frame(self):
        bob = self.cluster.log_in(self.bob)
        self.successResultOf(self.private(self.alice, self.bob, "a", "b", batch=True))
        (frame,) = bob.frames()
        self.assertEqual((frame.text, list(frame.batch)), ("", ["a", "b"]))

    def test_a_batch_is_several_messages_for_the_first_generation(self):
        bob = self.cluster.log_in(self.bob, generation=Generation.W1)
        self.successResultOf(self.private(self.alice, self.bob, "a", "b", batch=True))
        self.assertEqual(bob.texts(), ["alice:a", "alice:b"])

    def test_unknown_senders_and_receivers(self):
        self.cluster.log_in(self.bob)
        stranger = type(self.alice)(77, "stranger")
        self.failureResultOf(self.private(stranger, self.bob, "x"), AccountMismatch)
        self.failureResultOf(self.private(self.alice, stranger, "x"), AccountMismatch)
        self.failureResultOf(self.everyone(stranger, "x"), AccountMismatch)

    def test_nobody_writes_to_oneself(self):
        self.failureResultOf(self.private(self.alice, self.alice, "x"), InvalidField)

    def test_someone_who_is_offline(self):
        self.failureResultOf(self.private(self.alice, self.bob, "x"), UserOffline)

    def test_a_message_after_the_server_died_is_offline_and_never_done(self):
        self.cluster.log_in(self.bob)
        for server in self.cluster.servers:
            self.cluster.kill(server)
        self.failureResultOf(self.private(self.alice, self.bob, "x"), UserOffline)

    def test_a_slow_session_is_not_written_to(self):
        bob = self.cluster.log_in(self.bob)
        bob.connection.pauseProducing()
        self.failureResultOf(self.private(self.alice, self.bob, "x"), UserOffline)
        self.assertEqual(bob.texts(), [])

    def test_when_a_server_does_not_answer_the_fate_is_unknown(self):
        self.cluster.log_in(self.bob)
        for server in self.cluster.servers:
            self.patch(server.deliveries, "deliver", lambda link, deliver, answer: None)
        sent = self.private(self.alice, self.bob, "x")
        self.cluster.pass_seconds(1)
        self.assertNoResult(sent)
        self.cluster.pass_seconds(2)
        self.failureResultOf(sent, CallTimeout)
        self.assertEqual(len(self.cluster.routes[0].calls), 0)

    def test_a_group_message_reaches_everyone_but_its_sender(self):
        clients = {account.name: self.cluster.log_in(account) for account in (self.alice, self.bob, self.carol)}
        self.assertEqual([len(server.sessions) > 0 for server in self.cluster.servers], [True, True])
        self.successResultOf(self.everyone(self.alice, "all"))
        self.assertEqual(
            {name: client.texts() for name, client in clients.items()}, {"alice": [], "bob": ["all"], "carol": ["all"]}
        )

    def test_a_group_message_reaches_the_others_when_a_server_fails_midway(self):
        clients = {account.name: self.cluster.log_in(account) for account in (self.alice, self.bob, self.carol)}
        dead, alive = self.cluster.servers
        sent = Deferred.fromCoroutine(
            self.cluster.routes[0].messages.everyone(Guest(self.alice.id, "192.0.2.7"), "all")
        )
        self.cluster.kill(dead)
        self.successResultOf(sent)
        on_alive = {session.name for session in alive.sessions} - {"alice"}
        self.assertTrue(on_alive)
        for name in on_alive:
            self.assertEqual(clients[name].texts(), ["all"])

    def test_a_sender_needs_no_session(self):
        bob = self.cluster.log_in(self.bob)
        self.successResultOf(self.everyone(self.alice, "all"))
        self.assertEqual(bob.texts(), ["all"])

    def test_online_is_sorted_and_complete(self):
        for account in (self.carol, self.bob):
            self.cluster.log_in(account)
        found = self.successResultOf(self.begin(self.cluster.routes[1].messages.online()))
        self.assertEqual(found, [self.bob, self.carol])

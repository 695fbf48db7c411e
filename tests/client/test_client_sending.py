"""Tests of sending: messages are accepted once and in order, or refused with a reason, whatever happens."""

from __future__ import annotations

from twisted.internet.defer import fail

from cim.client.outbox import MAX_WAITING
from cim.client.values import State
from cim.errors import (
    Conflict,
    Forbidden,
    InvalidField,
    NotFound,
    RateLimited,
    StoreUnavailable,
    TooLarge,
    Unavailable,
    Unreachable,
)
from cim.limits import NO_LIMIT
from cim.route.messages.limits import MESSAGE_LIMITS
from cim.wire import conversations
from tests.client.test_client_reading import KeptHistory, ReadingCase


class SendingTests(ReadingCase):
    def test_receivers(self):
        for to in (self.bob.me, self.bob.me.id, self.name):
            self.result(self.alice.send(to, "hello"))
        self.assertEqual(self.bob.heard.texts, ["hello"] * 3)

    def test_data(self):
        self.result(self.alice.send(self.bob.me, "", data=b"\0\xff", content_type="image/png"))
        for client in (self.alice, self.bob):
            (message,) = client.heard.messages
            self.assertEqual((message.text, message.data, message.content_type), ("", b"\0\xff", "image/png"))

    def test_messages_that_can_never_be_sent(self):
        for to, text, kind in (
            (self.bob.me, "", InvalidField),
            (self.bob.me, "\ud800", InvalidField),
            (self.bob.me, "x" * 50_000, TooLarge),
            (self.alice.me, "to myself", InvalidField),
            (0, "x", InvalidField),
            ("p:1:2", "x", InvalidField),
            ("nonsense", "x", InvalidField),
        ):
            self.error(self.alice.send(to, text), kind)

    def test_refused_messages(self):
        group = self.result(self.bob.create_group("friends"))
        self.error(self.alice.send(f"g:{group.id}", "x"), Forbidden)
        self.error(self.alice.send(12345, "x"), NotFound)
        (sent,) = self.say("one")
        self.error(self.bob.edit(self.name, sent.position, "uno"), Forbidden)
        # It does not hold up what follows.
        self.say("two")
        self.assertEqual(self.bob.heard.texts, ["one", "two"])

    def test_a_client_id_is_one_message(self):
        first, second = (self.alice.send(self.bob.me, "one", client_id="1") for _ in range(2))
        self.error(self.alice.send(self.bob.me, "other", client_id="1"), Conflict)
        sent = self.result(first)
        self.assertEqual(self.result(second), sent)
        self.assertEqual(self.result(self.alice.send(self.bob.me, "one", client_id="1")), sent)
        self.error(self.alice.send(self.bob.me, "other", client_id="1"), Conflict)
        self.assertEqual((self.alice.heard.texts, self.bob.heard.texts), (["one"], ["one"]))

    def test_listeners_get_a_message_before_its_send_is_answered(self):
        order = []
        self.alice.send(self.bob.me, "one").addCallback(lambda sent: order.append(len(self.alice.heard.messages)))
        self.turn()
        self.assertEqual(order, [1])

    def test_more_at_once_than_limits_let_through(self):
        sending = [self.alice.send(self.bob.me, str(number)) for number in range(500)]
        self.turn()
        self.assertEqual(len(self.bob.heard.texts), 400)
        self.wait(40)
        for one in sending:
            self.successResultOf(one)
        self.assertEqual(self.bob.heard.texts, [str(number) for number in range(500)])

    def test_sending_before_the_first_login(self):
        self.network.down.update((8083, 8084))
        carol = self.make("carol")
        early = carol.send(self.bob.me, "too early")
        carol.startService()
        sending = [early, carol.send(self.bob.me, "one"), carol.send(self.bob.me.id, "two")]
        self.wait(2)
        self.network.down.clear()
        self.wait(5)
        for one in sending:
            self.successResultOf(one)
        self.assertEqual(self.bob.heard.texts, ["too early", "one", "two"])


class UnlimitedTests(ReadingCase):
    message_limits = dict.fromkeys(MESSAGE_LIMITS, NO_LIMIT)

    def test_thousands_of_messages_at_once(self):
        sending = [self.alice.send(self.bob.me, str(number)) for number in range(MAX_WAITING)]
        self.error(self.alice.send(self.bob.me, "one too many"), RateLimited)
        self.wait(60)
        for one in sending:
            self.successResultOf(one)
        self.assertEqual(self.bob.heard.texts, [str(number) for number in range(MAX_WAITING)])


class OutageTests(ReadingCase):
    def outage(self):
        self.network.down.update((8083, 8084))
        self.wire_of(self.alice).cut()
        self.turn()
        self.assertIs(self.alice.state, State.RECONNECTING)

    def test_messages_from_while_it_was_away_are_sent_in_order(self):
        self.say("before")
        self.outage()
        sending = [self.alice.send(self.bob.me, str(number)) for number in range(40)]
        self.wait(3)
        self.network.down.clear()
        self.wait(10)
        for one in sending:
            self.successResultOf(one)
        texts = ["before", *map(str, range(40))]
        self.assertEqual((self.alice.heard.texts, self.bob.heard.texts), (texts, texts))

    def test_a_message_whose_acceptance_was_lost_is_stored_once(self):
        self.say("before")
        self.wire_of(self.alice).lossy = True
        sending = self.alice.send(self.bob.me, "one")
        self.turn()
        self.assertEqual(self.bob.heard.texts, ["before", "one"])
        self.assertNoResult(sending)
        self.wire_of(self.alice).cut()
        self.wait(3)
        self.successResultOf(sending)
        for client in (self.alice, self.bob):
            self.assertEqual(client.heard.texts, ["before", "one"])

    def test_a_connection_without_answers_is_dropped(self):
        wire = self.wire_of(self.alice)
        outbox = self.alice._engine._outbox
        outbox.accepted = lambda client_id: None
        sending = self.alice.send(self.bob.me, "one")
        self.wait(20)
        self.assertTrue(wire.open)
        del outbox.accepted
        self.wait(40)
        self.assertFalse(wire.open)
        self.successResultOf(sending)
        self.assertEqual(self.bob.heard.texts, ["one"])

    def test_a_store_that_is_away_is_waited_for_and_order_is_kept(self):
        self.say("before")
        append, broken = self.cluster.store.conversations.append, [True]

        def appended(items):
            return fail(StoreUnavailable()) if broken[0] else append(items)

        self.cluster.store.conversations.append = appended
        sending = [self.alice.send(self.bob.me, str(number)) for number in range(40)]
        self.wait(5)
        for one in sending:
            self.assertNoResult(one)
        broken[0] = False
        self.wait(30)
        for one in sending:
            self.successResultOf(one)
        self.assertEqual(self.bob.heard.texts, ["before", *map(str, range(40))])

    def test_one_receiver_does_not_hold_up_another(self):
        carol = self.online("carol")
        append = self.cluster.store.conversations.append

        def appended(items):
            if any(item.conversation == self.name for item in items):
                return fail(StoreUnavailable())
            return append(items)

        self.cluster.store.conversations.append = appended
        waiting = self.alice.send(self.bob.me, "waits")
        self.wait(1)
        self.result(self.alice.send(carol.me, "goes"))
        self.assertNoResult(waiting)
        self.assertEqual(carol.heard.texts, ["goes"])
        self.result(self.alice.close())
        self.failureResultOf(waiting, Unavailable)

    def test_unsent_messages_at_the_close(self):
        self.wire_of(self.alice).lossy = True
        written = self.alice.send(self.bob.me, "one")
        self.turn()
        self.outage()
        unsent = self.alice.send(self.bob.me, "two")
        self.result(self.alice.close())
        self.assertNotIsInstance(self.failureResultOf(written, Unavailable).value, Unreachable)
        self.failureResultOf(unsent, Unreachable)
        self.error(self.alice.send(self.bob.me, "three"), Unreachable)

    def test_unsent_messages_survive_on_disk(self):
        history = KeptHistory()
        carol = self.online("carol", history=history)
        self.result(carol.send(self.bob.me, "one"))
        self.network.down.update((8083, 8084))
        self.wire_of(carol).cut()
        unsent = [carol.send(self.bob.me, text) for text in ("two", "three")]
        self.result(carol.close())
        for one in unsent:
            self.failureResultOf(one)
        self.network.down.clear()
        again = self.make("carol", history=history)
        later = again.send(self.bob.me, "four")
        again.startService()
        self.wait(3)
        self.successResultOf(later)
        self.assertEqual(self.bob.heard.texts, ["one", "two", "three", "four"])
        self.assertEqual(self.successResultOf(history.waiting()), [])

    def test_a_restart_knows_who_it_is_without_a_route(self):
        history = KeptHistory()
        carol = self.online("carol", history=history)
        me = carol.me
        self.result(carol.close())
        self.network.down.update((8083, 8084))
        again = self.make("carol", history=history)
        again.startService()
        self.turn()
        self.assertEqual(again.me, me)
        name = conversations.private(me.id, self.bob.me.id)
        waiting = again.send(name, "by name of the conversation")
        self.turn()
        self.assertEqual(len(self.successResultOf(history.waiting())), 1)
        self.network.down.clear()
        self.wait(3)
        self.successResultOf(waiting)

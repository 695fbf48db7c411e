"""Tests of what operators hear of full conversations, and of what a refusal of the store costs."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import NoRoom, RateLimited
from cim.limits import Limit
from cim.model import Charge
from cim.route.messages.full import KEPT, SECONDS, FullConversations
from cim.route.messages.limits import Guest, Key
from cim.route.messages.outgoing import Outgoing
from cim.store.bounds import no_room
from cim.wire.cim_pb2 import Send
from tests.route.route_case import RouteCase


class FullConversationsTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.full = FullConversations(self.clock)
        self.logged = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def named(self):
        """Take the names of the conversations in the log."""
        lines = [formatEvent(event) for event in self.logged]
        self.logged.clear()
        return [line.split(" ")[0] for line in lines if " is full: " in line]

    def test_each_is_named_once_and_forgotten_after_an_hour(self):
        self.assertEqual(self.full.facts(), {})
        for name in ("g:1", "g:1", "g:2", "g:1"):
            self.full.note(name)
        self.assertEqual((self.named(), self.full.facts()), (["g:1", "g:2"], {"full_conversations": 2}))
        self.clock.advance(SECONDS - 1)
        self.full.note("g:2")
        self.clock.advance(2)
        self.assertEqual((self.named(), self.full.facts()), ([], {"full_conversations": 1}))
        self.clock.advance(SECONDS)
        self.assertEqual(self.full.facts(), {})
        self.full.note("g:2")
        self.assertEqual(self.named(), ["g:2"])

    def test_few_are_remembered(self):
        for number in range(KEPT + 5):
            self.full.note(f"g:{number + 1}")
        self.assertEqual(len(self.full), KEPT)


class RefusalsTests(RouteCase):
    held = ("conversations", "append")
    other_limits: ClassVar[dict[str, Limit]] = {"user-messages": Limit(1, 3)}

    def test_what_the_store_refuses_is_counted_and_uses_up_limits(self):
        self.accounts.keep(self.bob)
        for kind in ("share", "full", "space"):
            error = no_room(kind)
            self.put(self.alice, self.to(self.bob, client_id=kind, text="hello"))
            self.turn()
            self.hold.answer([error])
            self.turn()
            self.assertIs(self.fates[-1][1], error)
            self.assertEqual(self.metrics._refused[f"history-{kind}"], 1)
        self.assertEqual(len(self.sending.full), 1)
        refusal = self.say(self.alice, self.bob, "hello")
        self.assertIsInstance(refusal, RateLimited)
        self.assertNotIsInstance(refusal, NoRoom)
        self.assertEqual(self.hold.calls, [])

    def test_what_comes_with_a_key_counts_to_its_conversation_alone(self):
        self.accounts.keep(self.bob)
        for payer, charge in ((None, Charge.USER), (Guest(self.alice.id, "::1"), Charge.USER), (Key(0), Charge.LOG)):
            send = Send(user=self.bob.id, client_id="c", text="hello")
            self.sending.submit(Outgoing(self.alice, send, self.ab, 5, payer=payer), lambda result: None)
            self.turn()
            ((_, (items,), _),) = self.hold.calls
            self.assertEqual([item.charge for item in items], [charge])
            self.hold.go()
            self.turn()

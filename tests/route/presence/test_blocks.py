"""Tests of what a route remembers of blocks."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.route.presence.blocks import KEPT_SECONDS, Blocks

ALICE, BOB = 1, 2


class HeldBlocks:
    """A store whose look-ups wait for the test."""

    def __init__(self):
        self.asked = []

    def blocked(self, user):
        self.asked.append(Deferred())
        return self.asked[-1]

    def block(self, user, other):
        return succeed(None)


class BlocksTests(SynchronousTestCase):
    def setUp(self):
        self.store, self.clock = HeldBlocks(), Clock()
        self.blocks = Blocks(self.store, self.clock)

    def ask(self):
        return Deferred.fromCoroutine(self.blocks.blocks(ALICE, BOB))

    def test_a_look_up_is_remembered_for_a_while(self):
        asked = self.ask()
        self.store.asked.pop().callback([BOB])
        self.assertTrue(self.successResultOf(asked))
        self.assertTrue(self.successResultOf(self.ask()))
        self.clock.advance(KEPT_SECONDS)
        asked = self.ask()
        self.store.asked.pop().callback([])
        self.assertFalse(self.successResultOf(asked))

    def test_one_that_began_before_a_change_is_not(self):
        asked = self.ask()
        self.successResultOf(Deferred.fromCoroutine(self.blocks.block(ALICE, BOB)))
        self.store.asked.pop().callback([])
        self.assertFalse(self.successResultOf(asked))
        self.assertNoResult(self.ask())

    def test_while_the_store_is_away(self):
        asked = self.ask()
        self.store.asked.pop().errback(StoreUnavailable())
        self.assertTrue(self.successResultOf(asked))
        asked = self.ask()
        self.store.asked.pop().callback([])
        self.successResultOf(asked)
        self.clock.advance(KEPT_SECONDS)
        asked = self.ask()
        self.store.asked.pop().errback(StoreUnavailable())
        self.assertFalse(self.successResultOf(asked))

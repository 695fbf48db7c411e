"""Floods by every kind of party: what others said stays, and nothing but the flood is refused."""

from __future__ import annotations

from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CIMError, NoRoom, RateLimited
from cim.limits import NO_LIMIT, Limit
from cim.model import Retention
from cim.route.messages.limits import MESSAGE_LIMITS, Guest, Key
from cim.route.messages.outgoing import Outgoing
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from tests.harness.cluster import Cluster

#: The retention of the clusters here; bursts of a user are larger.
COUNT = 200


class FloodCase:
    """Mix into a TestCase; a cluster of two routes, with the limits that are usual."""

    limits: ClassVar[dict[str, Limit]] = {}

    def setUp(self):
        self.cluster = Cluster(1, 2, message_limits=self.limits, retention=Retention(count=COUNT))
        self.store = self.cluster.store
        self.alice, self.bob, self.mallory = (self.cluster.account(name) for name in ("alice", "bob", "mallory"))
        self.numbers = 0

    def say(self, author, text, *, user=0, group=0, payer=None, route=0):
        """Say something, and return the refusal or None."""
        self.numbers += 1
        send = Send(user=user, group=group, client_id=f"c{self.numbers}", text=text)
        name = conversations.private(author.id, user) if user else conversations.group(group)
        message = Outgoing(author, send, name, len(text), payer=payer)
        ended = []
        self.cluster.routes[route].sending.submit(message, ended.append)
        self.cluster.turn()
        (fate,) = ended
        return fate if isinstance(fate, CIMError) else None

    def flood(self, author, times=3 * COUNT, **where):
        """Say a lot at both routes, and return how much was stored, and why the last was refused."""
        stored, refusal = 0, None
        for number in range(times):
            fate = self.say(author, "flood", route=number % 2, **where)
            refusal = fate or refusal
            stored += fate is None
        return stored, refusal

    def texts(self, name):
        page = self.successResultOf(self.store.conversations.read(name, limit=10_000))
        return [native.parse_body(entry.body).text for entry in page.entries]

    def group_of(self, *users):
        group = self.successResultOf(self.store.groups.create(users[0].id, "a group", open=True, history=True))
        for user in users[1:]:
            self.join(group.id, user)
        return group.id

    def join(self, group, user):
        self.successResultOf(self.store.groups.add(group, user.id, user.id))

    def assertFlooded(self, refusal, name, said, most=COUNT + 17):
        """What was said is there, before as much of the flood as is allowed, and others go on."""
        self.assertIsInstance(refusal, RateLimited)
        texts = self.texts(name)
        self.assertEqual([text for text in texts if text != "flood"], said)
        self.assertTrue(len(texts) <= most, len(texts))

    def test_a_guest_floods_another_with_batches(self):
        """It speaks as both, for their ids are no secret."""
        name = conversations.private(self.alice.id, self.bob.id)
        said = [f"unread {number}" for number in range(5)]
        for text in said:
            self.assertIsNone(self.say(self.alice, text, user=self.bob.id))
        refusals = []
        for number in range(12):
            for sender, receiver in ((self.alice.id, self.bob.id), (self.bob.id, self.alice.id)):
                calling = self.cluster.begin(
                    self.cluster.routes[number % 2].messages.private(
                        Guest(sender, "203.0.113.9"), receiver, ["flood"] * 100, batch=True
                    )
                )
                self.cluster.pass_seconds(2)
                failure = self.failureResultOf(calling)
                refusals.append(failure.value)
        self.assertFlooded(refusals[-1], name, said)
        self.assertTrue(self.refused(), self.cluster.metrics._refused)

    def refused(self):
        kinds = self.cluster.metrics._refused
        return sum(kinds[f"history-{kind}"] for kind in ("share", "full")) + kinds["limit-guest-messages"]

    def test_a_partner_in_a_private_conversation(self):
        name = conversations.private(self.bob.id, self.mallory.id)
        said = [f"{number}" for number in range(20)]
        for text in said:
            self.say(self.bob, text, user=self.mallory.id)
        stored, refusal = self.flood(self.mallory, user=self.bob.id)
        self.assertTrue(stored >= COUNT // 2)
        self.assertFlooded(refusal, name, said)
        self.assertIsNone(self.say(self.bob, "still here", user=self.mallory.id))

    def test_a_member_of_a_group(self):
        group = self.group_of(self.alice, self.bob, self.mallory)
        said = ["a", "b"]
        self.say(self.alice, "a", group=group)
        self.say(self.bob, "b", group=group)
        stored, refusal = self.flood(self.mallory, group=group)
        self.assertTrue(stored >= COUNT // 3)
        self.assertFlooded(refusal, f"g:{group}", said)
        for friend in (self.alice, self.bob):
            self.assertIsNone(self.say(friend, "c", group=group))

    def test_a_back_end_with_a_key(self):
        group = self.group_of(self.alice, self.bob)
        self.say(self.alice, "a", group=group)
        stored, refusal = self.flood(self.bob, group=group, payer=Key(0))
        self.assertTrue(COUNT // 2 <= stored <= COUNT + 17)
        self.assertIsInstance(refusal, NoRoom)
        self.assertFlooded(refusal, f"g:{group}", ["a"])

    def test_one_that_leaves_and_joins_again(self):
        group = self.group_of(self.alice, self.bob)
        self.say(self.alice, "a", group=group)
        stored, refusal = 0, None
        for _ in range(12):
            self.join(group, self.mallory)
            more, refusal = self.flood(self.mallory, COUNT // 4, group=group)
            stored += more
            self.successResultOf(self.store.groups.remove(group, self.mallory.id, self.mallory.id))
        self.assertTrue(stored <= COUNT + 17, stored)
        self.assertFlooded(refusal, f"g:{group}", ["a"])
        self.assertIsNone(self.say(self.bob, "b", group=group))

    def test_a_hundred_accounts_together(self):
        crowd = [self.cluster.account(f"crowd-{number}") for number in range(100)]
        group = self.group_of(self.alice, self.bob, *crowd)
        self.say(self.alice, "a", group=group)
        for member in crowd:
            _, refusal = self.flood(member, 20, group=group)
        self.assertFlooded(refusal, f"g:{group}", ["a"], most=4 * COUNT)
        # Nobody can speak there for a day, and operators are told.
        refusal = self.say(self.bob, "b", group=group)
        self.assertEqual(refusal.kind, "history-full")
        self.assertTrue(86_000 < refusal.retry_after <= 86_400, refusal.retry_after)
        facts = [route.health().facts.get("full_conversations") for route in self.cluster.routes]
        self.assertEqual(facts, [1, 1])
        self.cluster.clock.advance(refusal.retry_after + 1)
        self.assertIsNone(self.say(self.bob, "b", group=group))


class UsualLimitsTests(FloodCase, SynchronousTestCase):
    """With the rates that are usual."""


class NoRatesTests(FloodCase, SynchronousTestCase):
    """With no rates at all: the store alone holds it."""

    limits: ClassVar[dict[str, Limit]] = dict.fromkeys(MESSAGE_LIMITS, NO_LIMIT)

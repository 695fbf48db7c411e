"""The Redis store on a real Valkey, which is to do all that Redis does, when a replica is to have it, too."""

from __future__ import annotations

from tests.harness.valkey import shared_valkey
from tests.integration.redis_case import RedisCase
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import RETENTION
from tests.store.groups_contract import GroupsContract
from tests.store.order_contract import OrderContract
from tests.store.refusals_contract import RefusalsContract


class Shared:
    """The Valkey of all tests, in the place of a process of a test's own."""

    def __init__(self, reactor):
        self._reactor = reactor

    async def start(self):
        self.port = await shared_valkey(self._reactor)


class ValkeyCase(RedisCase):
    servers = 2
    retention = RETENTION

    def process(self):
        return Shared(self.reactor)


class ValkeyConversationsTests(ConversationsContract, ValkeyCase):
    """What is appended, read and marked."""


class ValkeyOrderTests(OrderContract, RefusalsContract, ValkeyCase):
    """In which order it is stored."""


class ValkeyGroupsTests(GroupsContract, ValkeyCase):
    """What is changed by rules."""


class ValkeyFactsTests(ValkeyCase):
    async def test_facts(self):
        facts = self.store.facts()
        self.assertRegex(facts["version"], r"^Valkey \d+\.\d+\.\d+$")
        self.assertIn("2 of 2 Redis servers have it, this one in Redis's memory", facts["acknowledged"])
        self.assertNotIn("complaint", facts)

"""What a check of Redis finds: nothing in what a store wrote, and what was changed behind its back."""

from __future__ import annotations

from io import StringIO

from twisted.internet.defer import Deferred

from cim.admin.check import Check
from cim.admin.printing import Printing
from cim.errors import CIMError
from cim.external_ids import ExternalId
from cim.model import Mark
from cim.store.redis.accounts import name_key
from cim.store.redis.external_ids import external_key
from cim.store.redis.keys import Key
from cim.store.redis.names import form_key
from cim.store.redis.people import member_of
from tests.integration.redis_case import RedisCase
from tests.store.conversing import RETENTION, Conversing
from tests.store.reports_contract import a_report


class CheckTests(Conversing, RedisCase):
    retention = RETENTION

    async def setUp(self):
        await super().setUp()
        self.anna, self.bert = [(await self.store.credentials.create(name, "a hash")).id for name in ("anna", "bert")]
        self.group = (await self.store.groups.create(self.anna, "friends", open=True, history=False)).id
        self.talk, self.log = f"p:{self.anna}:{self.bert}", f"g:{self.group}"
        await self.store.groups.add(self.group, self.bert, self.bert)
        self.positions = {}
        for conversation in (self.talk, self.log):
            said = await self.say("a", "b", "c", sender=self.anna, conversation=conversation)
            self.positions[conversation] = said
            await self.conversations.mark([Mark(self.bert, None, conversation, said[1])])
        self.assertEqual(await self.found(), [])

    async def found(self):
        checking = self.store.check()
        found = [wrong async for wrong in checking.wrong()]
        self.counted = checking.counted
        return found

    async def test_how_much_there_is(self):
        self.assertEqual(
            (self.counted.accounts, self.counted.groups, self.counted.conversations, self.counted.messages),
            (2, 1, 2, 6),
        )

    async def test_people(self):
        guest = await self.store.accounts.register("guest")
        await self.command("ZREM", Key.PEOPLE, member_of("anna", self.anna))
        await self.command("ZADD", Key.PEOPLE, 0, member_of("guest", guest.id))
        self.assertCountEqual(
            await self.found(),
            [
                f"account {self.anna} has a password and is not found by the beginning of its name",
                f"account {guest.id} has no password and is found by the beginning of its name",
            ],
        )

    async def test_external_ids(self):
        mary, other = ExternalId("https://id.example.com", "mary"), ExternalId("", "7")
        user = (await self.store.credentials.create("mary", "", external=mary)).id
        await self.store.external_ids.link(user, other)
        self.assertEqual(await self.found(), [])
        await self.command("DEL", external_key(mary))
        await self.command("SET", external_key(other), f"{self.anna} 0")
        self.assertCountEqual(
            await self.found(),
            [
                f'account {user} is called "mary" by "https://id.example.com" and is not found by that',
                f'account {user} is called "7" by "" and is not found by that',
            ],
        )

    async def test_mutes_and_reports(self):
        await self.store.muted_users.mute(self.anna)
        made = [(await self.store.reports.make(a_report(n, self.anna, self.bert))).report.id for n in (1, 2, 3)]
        await self.store.reports.close(made[1], "", "")
        self.assertEqual(await self.found(), [])
        await self.command("HSET", Key.MUTED, 77, "0 5 spam")
        await self.command("ZREM", Key.REPORTS_CLOSED, made[1])
        await self.command("HSET", Key.REPORTS, made[2], "{}")
        self.assertCountEqual(
            await self.found(),
            [
                "user 77 is muted, and does not exist",
                f"report {made[1]} is not found by its state, by who made it, or by what it is about",
                f"report {made[2]} cannot be read",
            ],
        )

    async def test_names(self):
        await self.command("DEL", name_key("bert"), form_key("anna"))
        self.assertEqual(
            sorted(await self.found()),
            sorted(
                [
                    f'account {self.anna} is called "anna" and is not found by "anna"',
                    f'account {self.bert} is called "bert" and is not found by that',
                ]
            ),
        )

    async def test_an_account_of_upstream(self):
        """Upstream finds an account by its bare name."""
        await self.command("SET", "cim-account:77", "carl")
        await self.command("SET", "carl", "cim-account:77")
        await self.command("SET", form_key("carl"), "77")
        self.assertEqual(await self.found(), [])

    async def test_members(self):
        await self.command("HDEL", Key.GROUPS_OF.of(self.bert), str(self.group))
        self.assertEqual(
            await self.found(), [f"user {self.bert} is in group {self.group}, and not by the user's own groups"]
        )
        await self.command("HDEL", Key.MEMBERS.of(self.log), str(self.bert))
        self.assertEqual(await self.found(), [f"group {self.group} lists 2 members, but has 1"])

    async def test_groups_of_nobody(self):
        await self.command("HSET", Key.GROUPS_OF.of(self.bert), "99", "0 ")
        self.assertEqual(
            await self.found(),
            [f"user {self.bert} is in group 99 by its own groups, and not by the group's members"],
        )

    async def test_owners(self):
        await self.command("HSET", Key.GROUP.of(self.log), "owners", "2")
        self.assertEqual(await self.found(), [f"group {self.group} counts 2 owners, but has 1"])

    async def test_messages(self):
        last = self.positions[self.talk][-1]
        epoch, n = last.split("-")
        later = f"{epoch}-{int(n) + 5}"
        fields = ("s", str(self.anna), "w", "1", "t", "9", "b", "\xff", "p", f"{epoch}-1")
        await self.command("XADD", Key.STREAM.of(self.talk), later, *fields)
        self.assertEqual(
            await self.found(),
            [
                f"{self.talk}: {later} names {epoch}-1 as the message before it, and that is {last}",
                f"{self.talk}: {later} is beyond the end, {last}",
                f"{self.talk}: {later} cannot be decoded",
                f"{self.talk} has 4 messages, and counts 3",
            ],
        )

    async def test_webhooks(self):
        await self.command("ZADD", Key.FOLLOWERS, "1", "shop")
        await self.command("HSET", Key.FOLLOWED.of("shop"), self.talk, "0 0 - 9999999999999-1")
        await self.command("HSET", Key.COUNTERS.of(self.talk), "noted", "1")
        self.assertEqual(
            await self.found(),
            [
                f"{self.talk}: that it has changed will be told to no webhook",
                f"{self.talk}: webhook shop is at 9999999999999-1, beyond the end",
            ],
        )
        await self.command("HSET", Key.CHANGED, self.talk, self.positions[self.talk][-1])
        await self.command("HSET", Key.FOLLOWED.of("shop"), self.talk, "0 0 - ")
        self.assertEqual(await self.found(), [])

    async def test_marks(self):
        await self.command("HSET", Key.COUNTERS.of(self.talk), f"r:{self.bert}", "9999999999999-1 5")
        self.assertEqual(
            await self.found(), [f"{self.talk}: the mark of user {self.bert} is at 9999999999999-1, beyond the end"]
        )

    async def test_names_of_no_conversation(self):
        await self.command("HSET", f"{Key.COUNTERS}{{p:2:1}}", "log", "1-1 1 1 1")
        self.assertEqual(await self.found(), ['"cim:n:{p:2:1}" is of "p:2:1", which is no name of a conversation'])


class CommandTests(RedisCase):
    async def said(self):
        out = StringIO()
        command = Check()
        command.parseOptions(["--store", f"redis:127.0.0.1:{self.redis.port}"])
        await command.run(self.reactor, Printing(out, out))
        return out.getvalue()

    async def test_all_fits(self):
        await self.store.credentials.create("anna", "a hash")
        self.assertEqual(await self.said(), "all fits: 1 account, 0 groups, 0 conversations and 0 messages\n")

    async def test_what_an_earlier_release_left_stays_as_it_is(self):
        """The routes of that release would stop if it were updated."""
        await self.store.stopService()
        await self.command("SET", Key.SCHEMA, "1")
        error = await self.assertFailure(Deferred.fromCoroutine(self.said()), CIMError)
        self.assertIn("is of an earlier release, or empty: start a route of this one", str(error))
        self.assertEqual(await self.command("GET", Key.SCHEMA), b"1")

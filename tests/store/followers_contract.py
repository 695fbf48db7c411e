"""Tests of what every store promises to those who follow the logs (cim.interfaces.IFollowers)."""

from __future__ import annotations

from attrs import evolve

from zope.interface.verify import verifyObject

from cim.interfaces import IFollowers
from cim.model import Followed, Following
from cim.store.rules.followers import FORGOTTEN_MS, HANDED_OUT, IDLE_MS, LISTED
from cim.wire import conversations
from tests.store.conversing import ALICE, BOB, CAROL, TALK, Conversing

OTHER = conversations.private(ALICE, CAROL)
LEASE = 60


class FollowersContract(Conversing):
    """Mix into a TestCase whose setUp makes `self.store`, which can `let_pass`, and whose `other` is a second route's
    store."""

    @property
    def followers(self):
        return self.store.followers

    async def follow(self, name="hook", owner="r1", most=100, store=None):
        """What is to be done, by conversation."""
        followers = (store or self.store).followers
        given, more = await followers.follow(name, owner, seconds=LEASE, most=most)
        while more:
            again, more = await followers.follow(name, owner, seconds=LEASE, most=most - len(given))
            given += again
        return {one.conversation: one for one in given}

    async def begin(self, *names):
        for store in (self.store, self.other()):
            store.conversations.followed = True
        for name in names or ("hook",):
            self.assertEqual(await self.follow(name), {})

    async def settle(self, given, position, owner="r1", name="hook", **more):
        return await self.followers.settle(name, owner, evolve(given, position=position, failures=0, since=0), **more)

    async def fail(self, given, stop=False, wait=10.0, name="hook", owner="r1"):
        failed = evolve(given, failures=given.failures + 1, since=given.since or self.now())
        self.assertTrue(await self.followers.settle(name, owner, failed, wait=wait, stop=stop))

    def test_it_is_a_store_of_followers(self):
        self.assertTrue(verifyObject(IFollowers, self.followers))

    async def test_what_is_appended_is_given_from_where_it_began(self):
        [before] = await self.say("before")
        await self.begin()
        await self.say("one", "two")
        await self.say("three", conversation=OTHER)
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, before), OTHER: Followed(OTHER, "")})

    async def test_nothing_is_noted_while_nobody_follows(self):
        await self.begin()
        self.store.conversations.followed = False
        await self.say("one")
        self.assertEqual(await self.follow(), {})
        self.store.conversations.followed = True
        [two] = (await self.read()).entries
        await self.say("two")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, two.position)})

    async def test_a_new_one_gets_nothing_of_before(self):
        """Though it was noted for others, who are gone by now."""
        await self.begin("old")
        for user in range(1, HANDED_OUT + 50):
            await self.say("x", sender=user, conversation=conversations.private(user, 5000))
        await self.let_pass(FORGOTTEN_MS / 1000 + 1)
        self.assertEqual(await self.follow("new"), {})
        [position] = await self.say("one", sender=7, conversation="p:7:5000")
        given = await self.follow("new")
        self.assertEqual(list(given), ["p:7:5000"])
        page = await self.read("p:7:5000", after=given["p:7:5000"].position)
        self.assertEqual([entry.position for entry in page.entries], [position])

    async def test_what_another_route_appends(self):
        await self.begin()
        (said,) = await self.other().conversations.append([self.item("one")])
        given = await self.follow()
        self.assertEqual(given, {TALK: Followed(TALK, "")})
        self.assertTrue(await self.settle(given[TALK], said.position))

    async def test_refusals_and_repetitions_change_nothing(self):
        await self.begin()
        item = self.item("one")
        (said,) = await self.conversations.append([item])
        await self.settle((await self.follow())[TALK], said.position)
        await self.conversations.append([item, self.item("two", conversation="g:77"), self.item("x", after="nothing")])
        self.assertEqual(await self.follow(), {})

    async def test_one_route_works_on_it_until_its_time_is_over(self):
        await self.begin()
        [position] = await self.say("one")
        given = await self.follow()
        self.assertEqual(await self.follow(owner="r2", store=self.other()), {})
        await self.say("two")
        self.assertEqual(await self.follow(owner="r2", store=self.other()), {})
        await self.let_pass(LEASE + 1)
        self.assertEqual(await self.follow(owner="r2", store=self.other()), given)
        # Whoever comes too late says nothing any more.
        self.assertFalse(await self.settle(given[TALK], position))
        self.assertTrue(await self.settle(given[TALK], position, owner="r2"))
        self.assertFalse(await self.settle(given[TALK], position, owner="r2"))

    async def test_the_rest_is_given_at_once(self):
        await self.begin()
        one, _ = await self.say("one", "two")
        await self.settle((await self.follow())[TALK], one)
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, one)})

    async def test_to_the_end_wherever_that_is(self):
        await self.begin()
        await self.say("one", "two")
        given = (await self.follow())[TALK]
        [three] = await self.say("three")
        self.assertTrue(await self.settle(given, "", end=True))
        self.assertEqual(await self.follow(), {})
        await self.say("four")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, three)})

    async def test_what_comes_meanwhile_is_given_at_once(self):
        await self.begin()
        [one] = await self.say("one")
        given = await self.follow()
        await self.say("two")
        self.assertEqual(await self.follow(), {})
        await self.settle(given[TALK], one)
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, one)})

    async def test_what_it_has_is_not_given_again(self):
        """Though that it has changed is handed out later than it is read."""
        await self.begin()
        await self.say("one")
        given = await self.follow()
        [two] = await self.say("two")
        await self.settle(given[TALK], two)
        self.assertEqual(await self.follow(), {})
        [three] = await self.say("three")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, two)})
        await self.settle(given[TALK], three)
        await self.let_pass(IDLE_MS / 1000 + 1)
        self.assertEqual(await self.follow(), {})
        await self.say("four")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, three)})

    async def test_each_follower_has_its_place(self):
        await self.begin("a", "b")
        one, two = await self.say("one", "two")
        for name, position in (("a", one), ("b", two)):
            given = await self.follow(name)
            self.assertEqual(given, {TALK: Followed(TALK, "")})
            await self.settle(given[TALK], position, name=name)
        self.assertEqual(await self.follow("a"), {TALK: Followed(TALK, one)})
        self.assertEqual(await self.follow("b"), {})

    async def test_so_many_at_once(self):
        await self.begin()
        for user in range(1, 6):
            await self.say("x", sender=user, conversation=conversations.private(user, BOB))
        self.assertEqual([len(await self.follow(most=2)) for _ in range(3)], [2, 2, 1])

    async def test_failures(self):
        await self.begin()
        await self.say("one")
        given = (await self.follow())[TALK]
        since = self.now()
        await self.fail(given, wait=10)
        await self.say("two")
        self.assertEqual(await self.follow(), {})
        await self.let_pass(11)
        again = (await self.follow())[TALK]
        self.assertEqual((again.position, again.failures), ("", 1))
        self.assertLess(abs(again.since - since), 2000)
        await self.fail(again)
        await self.let_pass(11)
        third = (await self.follow())[TALK]
        self.assertEqual((third.failures, third.since), (2, again.since))
        [three] = await self.say("three")
        await self.settle(third, three)
        self.assertEqual(await self.follow(), {})

    async def test_one_conversation_stops_and_goes_on(self):
        await self.begin()
        await self.say("one", "two")
        await self.say("x", conversation=OTHER)
        given = await self.follow()
        await self.fail(given[TALK], stop=True)
        stopped_at = self.now()
        await self.let_pass(FORGOTTEN_MS / 2000)
        self.assertEqual(list(await self.follow()), [OTHER])
        await self.say("three")
        self.assertEqual(await self.follow(), {})
        found = await self.followers.following("hook")
        self.assertEqual((found.stopped, found.count, list(found.conversations)), (False, 1, [TALK]))
        self.assertLess(abs(found.conversations[TALK] - stopped_at), 2000)
        self.assertEqual(await self.followers.resume("hook", TALK), 1)
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, "")})
        self.assertEqual(await self.followers.resume("hook", TALK), 0)
        self.assertEqual(await self.followers.resume("hook", "p:7:8"), 0)

    async def test_where_it_is(self):
        await self.begin()
        self.assertIsNone(await self.followers.place("hook", TALK))
        [one] = await self.say("one")
        given = (await self.follow())[TALK]
        self.assertEqual(await self.followers.place("hook", TALK), given)
        await self.settle(given, one)
        await self.say("two")
        await self.fail((await self.follow())[TALK])
        found = await self.followers.place("hook", TALK)
        self.assertEqual((found.position, found.failures), (one, 1))

    async def test_it_goes_on_elsewhere(self):
        await self.begin()
        one, _, three = await self.say("one", "two", "three")
        for position, expected in ((one, {TALK: Followed(TALK, one)}), ("", {})):
            await self.fail((await self.follow())[TALK], stop=True)
            self.assertEqual(await self.followers.resume("hook", TALK, position=position), 1)
            self.assertEqual(await self.follow(), expected)
            await self.let_pass(LEASE + 1)
            if expected:
                self.assertEqual(await self.follow(), expected)
                await self.let_pass(LEASE + 1)
        await self.say("four")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, three)})

    async def test_all_that_stopped_go_on(self):
        await self.begin()
        for user in range(1, 4):
            await self.say("x", sender=user, conversation=conversations.private(user, BOB))
        given = await self.follow()
        for one in given.values():
            await self.fail(one, stop=True)
        self.assertEqual((await self.followers.following("hook")).count, 3)
        self.assertEqual(await self.followers.resume("hook"), 3)
        self.assertEqual(await self.follow(), given)
        self.assertEqual(await self.followers.following("hook"), Following(0, False, 0, {}))

    async def test_one_that_fails_goes_on_at_once(self):
        await self.begin()
        await self.say("one")
        await self.fail((await self.follow())[TALK], wait=3600)
        self.assertEqual(await self.follow(), {})
        self.assertEqual(await self.followers.resume("hook", TALK), 1)
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, "")})

    async def test_a_follower_stops(self):
        await self.begin("hook", "other")
        await self.followers.stop("hook")
        await self.say("one")
        self.assertEqual(await self.follow(), {})
        self.assertEqual(list(await self.follow("other")), [TALK])
        self.assertEqual(await self.followers.following("hook"), Following(1, True, 0, {}))
        await self.followers.resume("hook")
        self.assertEqual(await self.follow(), {TALK: Followed(TALK, "")})

    async def test_followers_that_nobody_has_are_forgotten(self):
        await self.begin("hook", "old")
        await self.say("one")
        await self.follow("old")
        await self.let_pass(FORGOTTEN_MS / 1000 - 10)
        self.assertEqual(list(await self.follow()), [TALK])
        await self.let_pass(20)
        await self.follow()
        self.assertEqual(await self.followers.following("old"), Following(0, False, 0, {}))
        self.assertEqual(await self.follow("old"), {})

    async def test_a_group_that_has_ended(self):
        await self.begin()
        group = (await self.store.groups.create(ALICE, "g", open=True, history=True)).id
        name = conversations.group(group)
        [one] = await self.say("one", conversation=name)
        given = (await self.follow())[name]
        await self.settle(given, one)
        await self.say("two", conversation=name)
        await self.store.groups.remove(group, ALICE, ALICE)
        given = (await self.follow())[name]
        self.assertEqual(given, Followed(name, one))
        self.assertTrue(await self.settle(given, ""))
        self.assertFalse(await self.settle(given, ""))
        self.assertEqual(await self.follow(), {})

    async def test_few_are_listed(self):
        await self.begin()
        for user in range(1, LISTED + 3):
            await self.say("x", sender=user, conversation=conversations.private(user, 5000))
        for one in (await self.follow(most=1000)).values():
            await self.fail(one, stop=True)
        found = await self.followers.following("hook")
        self.assertEqual((found.count, len(found.conversations)), (LISTED + 2, LISTED))

"""Tests of what every store promises about whom operators mute (cim.interfaces.IMutedUsers)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Muted, date_of
from cim.interfaces import IMutedUsers
from cim.model import Appended, Charge
from cim.wire import conversations
from tests.store.conversing import ALICE, BOB, CAROL, TALK, Conversing

HOUR = 3600


class MutedUsersContract(Conversing):
    """Mix into a TestCase whose setUp makes `self.store`."""

    @property
    def muted(self):
        return self.store.muted_users

    async def refused(self, *args, **kwargs):
        refusal = await self.append(*args, **kwargs)
        self.assertIsInstance(refusal, Muted)
        return refusal

    async def stored(self, *args, **kwargs):
        appended = await self.append(*args, **kwargs)
        self.assertIsInstance(appended, Appended)
        return appended.position

    def test_it_is_a_store_of_muted_users(self):
        self.assertTrue(verifyObject(IMutedUsers, self.muted))

    async def test_muting_and_unmuting(self):
        self.assertEqual(await self.muted.mutes([]), {})
        mute = await self.muted.mute(ALICE, seconds=HOUR, reason="spam: 垃圾  广告 ")
        self.assertEqual((mute.until, mute.reason), (mute.since + HOUR * 1000, "spam: 垃圾  广告 "))
        self.assertEqual(await self.muted.mutes([ALICE, BOB]), {ALICE: mute})
        forever = await self.muted.mute(ALICE)
        self.assertEqual(await self.muted.mutes([BOB, ALICE]), {ALICE: forever})
        self.assertEqual((forever.until, forever.reason), (0, ""))
        self.assertTrue(await self.muted.unmute(ALICE))
        self.assertFalse(await self.muted.unmute(ALICE))
        self.assertEqual(await self.muted.mutes([ALICE]), {})

    async def test_what_is_refused_and_what_is_told(self):
        said = await self.stored("hello")
        mute = await self.muted.mute(ALICE, seconds=HOUR, reason="spam: 垃圾 广告")
        group = await self.store.groups.create(ALICE, "x", open=True, history=True)
        for what in (
            {},
            {"ref": said, "refers": said, "counts": False, "edits": True},
            {"refers": said, "counts": False},
            {"conversation": conversations.EVERYONE},
            {"conversation": f"g:{group.id}"},
            {"past_blocks": True},
            {"charge": Charge.LOG},
            {"charge": Charge.NONE},
        ):
            refusal = await self.refused("x", **what)
            self.assertEqual((refusal.until, refusal.reason), (mute.until, "spam: 垃圾 广告"), what)
            told = f"you are muted until {date_of(mute.until)} by an operator: spam: 垃圾 广告"
            self.assertEqual(str(refusal), told)
        self.assertEqual(self.texts(await self.read()), ["hello"])
        # All others go on.
        await self.stored("x", sender=BOB)
        await self.muted.mute(ALICE)
        self.assertEqual(str(await self.refused("x")), "you are muted for good by an operator")

    async def test_a_recall_goes_on(self):
        said = await self.stored("sorry")
        await self.muted.mute(ALICE)
        await self.stored("", recalls=said, counts=False)
        self.assertEqual(self.texts(await self.read())[0], "")

    async def test_it_ends_by_itself(self):
        await self.muted.mute(ALICE, seconds=HOUR)
        await self.let_pass(HOUR - 10)
        await self.refused("x")
        await self.let_pass(20)
        await self.stored("x")
        self.assertEqual(await self.muted.mutes([ALICE]), {})
        self.assertFalse(await self.muted.unmute(ALICE))

    async def test_what_was_stored_before_is_a_repetition(self):
        """Whoever did not hear that it was stored is told so, whatever happened since."""
        said = await self.stored("hello", client_id="a")
        await self.muted.mute(ALICE)
        again = await self.append("hello", client_id="a")
        self.assertEqual((again.position, again.repeated), (said, True))
        await self.refused("another", client_id="b")
        # It was not stored, and is once it may be.
        await self.muted.unmute(ALICE)
        self.assertFalse((await self.append("another", client_id="b")).repeated)

    async def test_one_that_comes_between_messages_that_are_on_their_way(self):
        """Each is stored or refused for the mute, never for the message before it, and those are the last ones."""

        def batch(numbers):
            return self.conversations.append(
                [self.item("x", client_id=str(n), after=str(n - 1) if n else "") for n in numbers]
            )

        first = batch(range(5))
        muting = self.muted.mute(ALICE)
        second = batch(range(5, 10))
        await muting
        results = [*await first, *await second, *await batch(range(10, 15))]
        kinds = [type(result) for result in results]
        self.assertEqual(kinds, sorted(kinds, key=lambda kind: kind is Muted))
        self.assertLessEqual(set(kinds), {Appended, Muted})
        self.assertEqual(kinds[10:], [Muted] * 5)
        self.assertEqual(len((await self.read()).entries), kinds.count(Appended))

    async def test_of_many_who_are_muted_each_has_its_own(self):
        users = [ALICE, BOB, CAROL, *range(2000, 2040)]
        mutes = [self.muted.mute(user, seconds=user % 7 and HOUR, reason=str(user)) for user in users]
        made = await gatherResults(mutes)
        self.assertEqual(await self.muted.mutes(users), dict(zip(users, made, strict=True)))
        await self.let_pass(HOUR + 10)
        left = {user: mute for user, mute in zip(users, made, strict=True) if not user % 7}
        self.assertEqual(await self.muted.mutes(users), left)
        # Those that have ended go as others are muted.
        for user in (5000, 5001, 5002):
            await self.muted.mute(user)
        self.assertEqual(await self.muted.mutes([*users]), left)
        self.assertEqual(await self.kept_mutes(), len(left) + 3)

    async def test_it_goes_with_the_account(self):
        account = await self.store.accounts.register("alice")
        await self.muted.mute(account.id, seconds=HOUR)
        await self.store.credentials.delete(account.id)
        self.assertEqual(await self.muted.mutes([account.id]), {})
        self.assertEqual(await self.kept_mutes(), 0)

    async def test_other_talks_are_found_as_before(self):
        await self.muted.mute(CAROL)
        self.assertEqual(self.texts(await self.read(TALK)), [])
        await self.say("a", "b")
        self.assertEqual(self.texts(await self.read(TALK)), ["a", "b"])

"""Tests of what every store promises about reports of messages (cim.interfaces.IReports)."""

from __future__ import annotations

from attrs import evolve

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import InvalidField, RateLimited
from cim.interfaces import IReports
from cim.model import Report
from cim.store.rules import reports as rules
from tests.store.conversing import ALICE, BOB, CAROL, TALK

DAY = 86_400


def a_report(number=1, reporter=ALICE, sender=BOB, **fields):
    """Return a report that is to be made."""
    said = {"sender_name": "bob 垃圾", "sent_at": 5, "text": 'a "text"\n广告', "cut": True, "content_type": "image/png"}
    return Report(
        **{
            "reporter": reporter,
            "conversation": TALK,
            "position": f"5-{number}",
            "sender": sender,
            "size": 7,
            "reason": "spam",
            **said,
            **fields,
        }
    )


class ReportsContract:
    """Mix into a TestCase whose setUp makes `self.store`; `let_pass(seconds)` moves the store's clock."""

    @property
    def reports(self):
        return self.store.reports

    async def make(self, *args, **kwargs):
        made = await self.reports.make(a_report(*args, **kwargs))
        self.assertFalse(made.repeated)
        return made.report

    async def ids(self, *, open=True, limit=100):
        """Return the ids of all, page by page."""
        found, after = [], ""
        while True:
            page = await self.reports.listed(open=open, after=after, limit=limit)
            self.assertLessEqual(len(page.items), limit)
            found += [one.id for one in page.items]
            after = page.more
            if not after:
                return found

    def test_it_is_a_store_of_reports(self):
        self.assertTrue(verifyObject(IReports, self.reports))

    async def test_making_and_reading(self):
        made = await self.make()
        self.assertEqual(evolve(made, id=0, at=0), a_report())
        self.assertTrue(made.id > 0 and made.at > 0)
        self.assertEqual(await self.reports.report(made.id), made)
        self.assertIsNone(await self.reports.report(made.id + 1))
        self.assertEqual((await self.reports.listed(open=True, limit=5)).items, [made])
        self.assertEqual(await self.ids(open=False), [])

    async def test_the_same_twice_is_one(self):
        first = await self.make()
        for _ in range(2):
            again = await self.reports.make(a_report(reason="another", text="x"))
            self.assertEqual((again.report, again.repeated), (first, True))
            # Nor once it is closed.
            first = await self.reports.close(first.id, "ops", "")
        others = [a_report(2), a_report(reporter=CAROL), a_report(conversation="g:5")]
        made = await gatherResults([self.reports.make(one) for one in others])
        self.assertEqual([one.repeated for one in made], [False] * 3)
        self.assertEqual(len({one.report.id for one in made}), 3)

    async def test_of_many_at_once_one_is_made(self):
        made = await gatherResults([self.reports.make(a_report()) for _ in range(20)])
        self.assertEqual(len({one.report.id for one in made}), 1)
        self.assertEqual(sum(not one.repeated for one in made), 1)

    async def test_closing(self):
        made = await self.make()
        closed = await self.reports.close(made.id, "ops", "was warned: 警告")
        self.assertEqual((closed.by, closed.note, closed.closed > 0), ("ops", "was warned: 警告", True))
        self.assertEqual(await self.reports.report(made.id), closed)
        self.assertEqual((await self.ids(), await self.ids(open=False)), ([], [made.id]))
        self.assertEqual(await self.reports.close(made.id, "another", "late"), closed)
        self.assertIsNone(await self.reports.close(made.id + 1, "ops", ""))

    async def test_pages(self):
        made = [(await self.make(number)).id for number in range(1, 8)]
        for limit in (1, 3, 7, 100):
            self.assertEqual(await self.ids(limit=limit), made)
        for id in made:
            await self.reports.close(id, "", "")
        for limit in (1, 3, 7, 100):
            self.assertEqual(await self.ids(open=False, limit=limit), made[::-1])
        await self.assertFailure(self.reports.listed(open=True, after="x", limit=5), InvalidField)

    async def test_a_user_has_so_many_open_at_most(self):
        made = [await self.make(number) for number in range(1, rules.MAX_OPEN_BY + 1)]
        error = await self.assertFailure(self.reports.make(a_report(99)), RateLimited)
        self.assertGreater(error.retry_after, 0)
        self.assertTrue((await self.reports.make(a_report(1))).repeated)
        await self.make(reporter=CAROL)
        await self.reports.close(made[0].id, "", "")
        await self.make(99)

    async def test_the_oldest_closed_one_of_a_user_makes_room(self):
        self.patch(rules, "MAX_KEPT_BY", 5)
        await self.make(reporter=CAROL)
        ids = []
        for number in range(1, 7):
            if number == 6:
                kept = await self.make(number)  # for it is the first one that goes
                break
            ids.append((await self.make(number)).id)
            if number != 2:
                await self.reports.close(ids[-1], "", "")
        self.assertEqual([one.id for one in await self.reports.made(ALICE)], [*ids[1:], kept.id])
        self.assertIsNone(await self.reports.report(ids[0]))

    async def test_of_all_so_many_are_kept(self):
        self.patch(rules, "MAX_KEPT", 6)
        made = [await self.make(number, reporter=2000 + number) for number in range(1, 7)]
        error = await self.assertFailure(self.reports.make(a_report(9)), RateLimited)
        self.assertIn("too many reports", str(error))
        for one in made[3:5]:
            await self.reports.close(one.id, "", "")
        await self.make(9)
        self.assertEqual(await self.ids(open=False), [made[4].id])
        self.assertEqual(len(await self.ids()), 5)

    async def test_closed_ones_go_after_a_time(self):
        old, waiting = await self.make(1), await self.make(2)
        await self.reports.close(old.id, "", "")
        await self.let_pass(89 * DAY)
        new = await self.make(3)
        self.assertEqual(await self.ids(open=False), [old.id])
        await self.let_pass(2 * DAY)
        await self.make(4)
        self.assertEqual(await self.ids(open=False), [])
        self.assertEqual((await self.ids())[:2], [waiting.id, new.id])

    async def test_they_go_with_who_made_them(self):
        account = await self.store.accounts.register("alice")
        for number in (1, 2, 3):
            made = await self.make(number, reporter=account.id)
        await self.reports.close(made.id, "", "")
        other = await self.make(1, reporter=CAROL)
        await self.store.credentials.delete(account.id)
        self.assertEqual((await self.ids(), await self.ids(open=False)), ([other.id], []))
        self.assertEqual(list(await self.reports.made(account.id)), [])
        self.assertTrue((await self.reports.make(a_report(1, reporter=CAROL))).repeated)

    async def test_forgetting_what_somebody_said(self):
        await self.make(1)
        closed = await self.make(2)
        await self.reports.close(closed.id, "", "")
        other = await self.make(3, sender=CAROL)
        await self.reports.forget_said(BOB)
        self.assertEqual((await self.ids(), await self.ids(open=False)), ([other.id], []))
        self.assertEqual([one.id for one in await self.reports.made(ALICE)], [other.id])

"""Tests of the rules of sessions, on values only."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited, RepeatedEnd
from cim.model import GUEST, MAX_DEVICES, LoginPolicy, Place, SessionRecord
from cim.store.rules import sessions as rules
from cim.store.rules.sessions import Held, SessionFacts

REJECT, REPLACE, MANY = LoginPolicy.REJECT, LoginPolicy.REPLACE, LoginPolicy.MANY
NOW = 1_700_000_000_000
HERE = Place("s", "run")


def held(device, owner, *, live=True, alone=False, since=NOW, expires=None, place=HERE):
    record = SessionRecord(7, place, owner, live, since, device)
    return Held(record, alone, 0 if live else NOW + 30_000 if expires is None else expires)


def reserve(records, device, policy, dead=()):
    wanted = held(device, "new", live=False, alone=policy != MANY)
    change = rules.reserve(tuple(records), wanted, policy, dead)
    kept = [one.record.owner for one in change.records]
    ways = [record.owner for record in change.result.in_the_way]
    return kept, ways, [record.owner for record in change.result.replaced]


class SessionRuleTests(SynchronousTestCase):
    def test_whom_a_login_replaces_and_what_is_in_its_way(self):
        live, reserved = held("phone", "live"), held("desk", "reserved", live=False)
        guest, waiting = held(GUEST, "guest"), held(GUEST, "waiting", live=False)
        both = [live, reserved]
        for records, device, policy, expected in (
            ([], "phone", REJECT, (["new"], [], [])),
            (both, "watch", REJECT, (["live", "reserved"], ["live"], [])),
            (both, "phone", REJECT, (["new"], [], ["live"])),
            ([reserved], "watch", REJECT, (["new"], [], [])),
            (both, "watch", REPLACE, (["new"], [], ["live"])),
            (both, "watch", MANY, (["live", "reserved", "new"], [], [])),
            (both, "phone", MANY, (["reserved", "new"], [], ["live"])),
            (both, "desk", MANY, (["live", "new"], [], [])),
            ([guest], GUEST, REJECT, (["guest"], ["guest"], [])),
            ([guest], GUEST, MANY, (["guest"], ["guest"], [])),
            ([guest], GUEST, REPLACE, (["new"], [], ["guest"])),
            ([waiting], GUEST, MANY, (["new"], [], [])),
            ([guest, live], "phone", MANY, (["guest", "new"], [], ["live"])),
        ):
            self.assertEqual(reserve(records, device, policy), expected, (device, policy))

    def test_dead_sessions_are_in_nobodys_way(self):
        records = [held("phone", "a"), held("desk", "b"), held("watch", "c", live=False)]
        self.assertEqual(reserve(records, "x", REJECT, dead={"a"}), (["a", "b", "c"], ["b"], []))
        self.assertEqual(reserve(records, "x", REJECT, dead={"a", "b"}), (["new"], [], []))
        self.assertEqual(reserve(records, "x", REPLACE, dead={"a"}), (["new"], [], ["b"]))
        # Only live sessions can be dead.
        self.assertEqual(reserve(records, "x", MANY, dead={"a", "c"}), (["b", "c", "new"], [], []))

    def test_devices_are_bounded(self):
        lives = [held(f"device-{at}", f"owner-{at}") for at in range(MAX_DEVICES)]
        _, ways, _ = reserve(lives, "another", MANY)
        self.assertEqual(len(ways), MAX_DEVICES)
        self.assertEqual(len(reserve(lives[1:], "another", MANY)[0]), MAX_DEVICES)
        self.assertEqual(len(reserve(lives, "device-3", MANY)[0]), MAX_DEVICES)
        reserved = [held(f"device-{at}", f"owner-{at}", live=False) for at in range(MAX_DEVICES)]
        # Each of them is over by then.
        self.assertEqual(self.assertRaises(RateLimited, reserve, reserved, "another", MANY).retry_after, 30)
        self.assertEqual(reserve([*reserved[1:], lives[0]], "another", MANY)[1], ["owner-0"])

    def claim(self, records, device, owner):
        live = SessionRecord(7, Place("s", "run"), owner, True, NOW + 5, device)
        change = rules.claim(SessionFacts(tuple(records), False, NOW), live)
        return change.result, [(one.record.owner, one.record.live, one.alone) for one in change.records]

    def test_claims(self):
        reserved, other = held("phone", "mine", live=False, alone=True), held("desk", "other")
        self.assertEqual(self.claim([reserved], "phone", "mine"), (True, [("mine", True, True)]))
        self.assertEqual(self.claim([reserved], "phone", "late"), (False, [("mine", False, True)]))
        self.assertEqual(self.claim([], "phone", "lost"), (True, [("lost", True, False)]))
        self.assertEqual(self.claim([other], "phone", "lost"), (True, [("other", True, False), ("lost", True, False)]))
        # A login that allows no other device is newer than one without a record.
        self.assertEqual(self.claim([reserved], "desk", "lost"), (False, [("mine", False, True)]))
        # Claiming again changes nothing, not even `since`.
        live = held("phone", "mine")
        facts = SessionFacts((live,), False, NOW)
        change = rules.claim(facts, SessionRecord(7, Place("s", "run"), "mine", True, NOW + 5, "phone"))
        self.assertEqual((change.result, change.records), (True, (live,)))

    def test_releases(self):
        records = (held("phone", "a"), held("desk", "b", live=False))
        change = rules.release(records, "b")
        self.assertEqual((change.result, change.records, change.ends), (True, records[:1], True))
        change = rules.release(records, "c")
        self.assertEqual((change.result, change.ends), (False, False))
        self.assertIs(change.records, records)

    def test_expelling(self):
        records = (held("phone", "a"), held("desk", "b", live=False), held("watch", "c"))
        for device, kept, left, bars in (
            (None, "", [], {"a", "b", "c", "x"}),
            (None, "b", ["b"], {"a", "c", "x"}),
            ("desk", "", ["a", "c"], {"b", "x"}),
            ("desk", "b", ["a", "b", "c"], {"x"}),
        ):
            change = rules.expel(records, device, kept, ["x", kept])
            self.assertEqual([one.record.owner for one in change.records], left)
            self.assertEqual(({*change.bars}, change.ends), (bars, len(left) < 3))
            self.assertEqual({one.owner for one in change.result}, {"a", "b", "c"} - {*left})
        live = SessionRecord(7, Place("s", "run"), "a", True, NOW, "phone")
        self.assertFalse(rules.claim(SessionFacts((), False, NOW, barred=True), live).result)

    def test_ends(self):
        young, old = held("phone", "young", since=NOW - 999), held("desk", "old", since=NOW - 1000)
        for records, ended in (((old, young), False), ((young, old), True), ((), True)):
            change = rules.end(SessionFacts(records, ended, NOW))
            self.assertEqual((change.records, change.ends), ((), True))
            self.assertEqual(change.result, [one.record for one in records])
        self.assertRaises(RepeatedEnd, rules.end, SessionFacts((old, young), True, NOW))

    def test_expired_records(self):
        live, reserved = held("phone", "a"), held("desk", "b", live=False, expires=NOW)
        self.assertEqual(rules.unexpired((live, reserved), NOW - 1), (live, reserved))
        self.assertEqual(rules.unexpired((live, reserved), NOW), (live,))

    def test_the_record_shown_to_upstream(self):
        first, second = held("phone", "a"), held("desk", "b")
        reserved = held("watch", "c", live=False)
        self.assertIsNone(rules.shown(()))
        self.assertIs(rules.shown((first, second, reserved)), second)
        self.assertIs(rules.shown((reserved,)), reserved)

    def test_records_at_upstreams_servers(self):
        self.assertTrue(held(GUEST, "a", place=Place("java")).at_upstream)
        self.assertFalse(held(GUEST, "a", place=Place("java"), live=False).at_upstream)
        self.assertFalse(held(GUEST, "a").at_upstream)

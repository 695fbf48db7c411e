"""Tests of the rules of groups and sessions, on values only."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CIMError, Conflict, Forbidden, NotFound, RateLimited, RepeatedEnd
from cim.model import GUEST, MAX_DEVICES, MAX_GROUPS, MAX_MEMBERS, LoginPolicy, Place, Role, SessionRecord
from cim.store import rules
from cim.store.rules import Add, Depart, GroupFacts, Held, Remove, Rename, RoleChange, SessionFacts, SetRole

MEMBER, ADMIN, OWNER = Role
ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4
REJECT, REPLACE, MANY = LoginPolicy.REJECT, LoginPolicy.REPLACE, LoginPolicy.MANY
NOW = 1_700_000_000_000
HERE = Place("s", "run")


def group(roles, *, open=False, members=None, owners=None, groups=0):
    """Return the facts of a group with these roles, as if an operation named all its members."""
    return GroupFacts(
        open,
        list(roles.values()).count(OWNER) if owners is None else owners,
        len(roles) if members is None else members,
        roles,
        dict.fromkeys((ALICE, BOB, CAROL, DAVE), groups),
    )


class GroupRuleTests(SynchronousTestCase):
    def refused(self, error, facts, operation):
        self.assertRaises(error, rules.decide, facts, operation)

    def test_who_may_add(self):
        facts = group({ALICE: OWNER, BOB: ADMIN, CAROL: MEMBER})
        for actor in (ALICE, BOB):
            self.assertEqual(rules.decide(facts, Add(actor, DAVE)), (RoleChange(DAVE, None, MEMBER),))
        for actor in (CAROL, DAVE):
            self.refused(Forbidden, facts, Add(actor, DAVE))
        # A member may add itself again, whether the group is open or not.
        self.assertEqual(rules.decide(facts, Add(CAROL, CAROL)), ())
        self.assertEqual(rules.decide(facts, Add(BOB, CAROL)), ())
        self.refused(Forbidden, facts, Add(CAROL, ALICE))

    def test_nobody_else_joins_a_user_to_an_open_group(self):
        facts = group({ALICE: OWNER, BOB: MEMBER}, open=True)
        self.assertEqual(rules.decide(facts, Add(CAROL, CAROL)), (RoleChange(CAROL, None, MEMBER),))
        self.refused(Forbidden, facts, Add(BOB, CAROL))

    def test_limits_of_members_and_groups(self):
        facts = group({ALICE: OWNER}, members=MAX_MEMBERS - 1, groups=MAX_GROUPS - 1)
        self.assertTrue(rules.decide(facts, Add(ALICE, BOB)))
        self.refused(Conflict, evolve(facts, members=MAX_MEMBERS), Add(ALICE, BOB))
        self.refused(Conflict, evolve(facts, groups={BOB: MAX_GROUPS}), Add(ALICE, BOB))
        self.assertEqual(rules.decide(evolve(facts, members=MAX_MEMBERS), Add(ALICE, ALICE)), ())
        rules.check_groups(MAX_GROUPS - 1)
        self.assertRaises(Conflict, rules.check_groups, MAX_GROUPS)

    def test_who_may_remove(self):
        facts = group({ALICE: OWNER, BOB: ADMIN, CAROL: MEMBER, DAVE: OWNER})
        self.assertEqual(rules.decide(facts, Remove(BOB, CAROL)), (RoleChange(CAROL, MEMBER, None),))
        self.assertEqual(rules.decide(facts, Remove(ALICE, BOB)), (RoleChange(BOB, ADMIN, None),))
        self.assertEqual(rules.decide(facts, Remove(CAROL, CAROL)), (RoleChange(CAROL, MEMBER, None),))
        self.assertEqual(rules.decide(facts, Remove(BOB, 99)), ())
        self.assertEqual(rules.decide(facts, Remove(99, 99)), ())
        for actor, user in ((CAROL, 99), (99, CAROL), (CAROL, BOB), (BOB, ALICE), (ALICE, DAVE)):
            self.refused(Forbidden, facts, Remove(actor, user))

    def test_the_last_owner_stays_while_there_are_other_members(self):
        self.refused(Conflict, group({ALICE: OWNER, BOB: ADMIN}), Remove(ALICE, ALICE))
        self.refused(Conflict, group({ALICE: OWNER}), SetRole(ALICE, ALICE, ADMIN))
        self.assertEqual(rules.decide(group({ALICE: OWNER}), Remove(ALICE, ALICE)), (RoleChange(ALICE, OWNER, None),))
        two = group({ALICE: OWNER, BOB: OWNER})
        self.assertEqual(rules.decide(two, Remove(ALICE, ALICE)), (RoleChange(ALICE, OWNER, None),))
        self.assertEqual(rules.decide(two, SetRole(ALICE, ALICE, MEMBER)), (RoleChange(ALICE, OWNER, MEMBER),))
        # Having the role already is no reason to refuse.
        self.assertEqual(
            rules.decide(group({ALICE: OWNER}), SetRole(ALICE, ALICE, OWNER)), (RoleChange(ALICE, OWNER, OWNER),)
        )

    def test_who_may_set_roles(self):
        facts = group({ALICE: OWNER, BOB: ADMIN, CAROL: MEMBER})
        self.assertEqual(rules.decide(facts, SetRole(ALICE, CAROL, ADMIN)), (RoleChange(CAROL, MEMBER, ADMIN),))
        for actor in (BOB, CAROL, DAVE):
            self.refused(Forbidden, facts, SetRole(actor, CAROL, ADMIN))
        self.refused(NotFound, facts, SetRole(ALICE, DAVE, ADMIN))

    def test_who_may_rename(self):
        facts = group({ALICE: OWNER, BOB: ADMIN, CAROL: MEMBER})
        for actor in (ALICE, BOB):
            self.assertEqual(rules.decide(facts, Rename(actor, "x")), ())
        for actor in (CAROL, DAVE):
            self.refused(Forbidden, facts, Rename(actor, "x"))

    def test_a_missing_group(self):
        for operation in (Add(1, 1), Remove(1, 1), SetRole(1, 1, OWNER), Rename(1, "x")):
            self.refused(NotFound, None, operation)
        self.assertEqual(rules.decide(None, Depart(1, None)), ())

    def test_who_inherits(self):
        facts = group({ALICE: OWNER, BOB: MEMBER})
        self.assertEqual(
            rules.decide(facts, Depart(ALICE, BOB)), (RoleChange(BOB, MEMBER, OWNER), RoleChange(ALICE, OWNER, None))
        )
        self.assertEqual(rules.decide(facts, Depart(BOB, ALICE)), (RoleChange(BOB, MEMBER, None),))
        self.assertEqual(rules.decide(facts, Depart(CAROL, ALICE)), ())
        self.assertEqual(rules.decide(group({ALICE: OWNER}), Depart(ALICE, None)), (RoleChange(ALICE, OWNER, None),))
        two = group({ALICE: OWNER, BOB: OWNER})
        self.assertEqual(rules.decide(two, Depart(ALICE, BOB)), (RoleChange(ALICE, OWNER, None),))

    def test_an_heir_must_be_a_member(self):
        self.refused(Conflict, group({ALICE: OWNER}, members=2), Depart(ALICE, None))
        self.refused(Conflict, group({ALICE: OWNER}, members=2), Depart(ALICE, BOB))

    def test_whose_membership_counts(self):
        operations = [Add(1, 1), Remove(1, 2), SetRole(3, 2, OWNER), Rename(4, "x"), Depart(5, None), Depart(6, 7)]
        self.assertEqual(rules.users(operations), [1, 2, 3, 4, 5, 6, 7])

    def test_operations_are_decided_one_after_another(self):
        facts = group({ALICE: OWNER}, open=True)
        operations = [Add(BOB, BOB), Add(BOB, BOB), SetRole(ALICE, BOB, OWNER), Remove(ALICE, ALICE), Add(CAROL, DAVE)]
        outcomes, left = rules.decide_all(facts, operations)
        self.assertEqual(
            outcomes[:4],
            [
                (RoleChange(BOB, None, MEMBER),),
                (),
                (RoleChange(BOB, MEMBER, OWNER),),
                (RoleChange(ALICE, OWNER, None),),
            ],
        )
        self.assertIsInstance(outcomes[4], Forbidden)
        self.assertEqual((left.roles, left.members, left.owners), ({BOB: OWNER}, 1, 1))
        outcomes, left = rules.decide_all(left, [Remove(BOB, BOB), Add(ALICE, ALICE), Depart(CAROL, None)])
        self.assertIsNone(left)
        self.assertIsInstance(outcomes[1], NotFound)
        self.assertEqual(outcomes[2], ())

    def test_limits_count_the_whole_batch(self):
        facts = group({ALICE: OWNER}, members=MAX_MEMBERS - 1)
        outcomes, _ = rules.decide_all(
            facts, [Add(ALICE, BOB), Add(ALICE, CAROL), Remove(ALICE, BOB), Add(ALICE, DAVE)]
        )
        self.assertIsInstance(outcomes[1], Conflict)
        self.assertEqual(outcomes[3], (RoleChange(DAVE, None, MEMBER),))
        outcomes, _ = rules.decide_all(
            group({ALICE: OWNER}, groups=MAX_GROUPS - 1), [Add(ALICE, BOB), Remove(ALICE, BOB), Add(ALICE, BOB)]
        )
        self.assertEqual([bool(outcome) for outcome in outcomes], [True, True, True])

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.builds(Add, st.integers(1, 5), st.integers(1, 5)),
                st.builds(Remove, st.integers(1, 5), st.integers(1, 5)),
                st.builds(SetRole, st.integers(1, 5), st.integers(1, 5), st.sampled_from(Role)),
                st.builds(Depart, st.integers(1, 5), st.integers(1, 5) | st.none()),
            ),
            max_size=30,
        )
    )
    def test_a_group_always_has_an_owner(self, operations):
        facts = GroupFacts(True, 1, 1, {1: OWNER}, dict.fromkeys(range(1, 6), 0))
        for operation in operations:
            if isinstance(operation, Depart):
                heirs = sorted(set(facts.roles) - {operation.user})
                operation = evolve(operation, heir=heirs[0] if heirs else None)
            (outcome,), facts = rules.decide_all(facts, [operation])
            if facts is None:
                self.assertNotIsInstance(outcome, CIMError)
                return
            self.assertEqual(list(facts.roles.values()).count(OWNER), facts.owners)
            self.assertEqual(len(facts.roles), facts.members)
            self.assertGreater(facts.owners, 0)


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

"""Tests of the rules of groups, on values only."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CIMError, Conflict, Forbidden, NotFound
from cim.model import MAX_GROUPS, MAX_MEMBERS, Role
from cim.store.rules import groups as rules
from cim.store.rules.groups import Add, Depart, GroupFacts, Remove, Rename, RoleChange, SetRole

MEMBER, ADMIN, OWNER = Role
ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4


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

"""Tests of the rules of groups, on values only."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CIMError, Conflict, Forbidden, NotFound
from cim.model import MAX_GROUPS, MAX_MEMBERS, Role
from cim.store.rules import groups as rules
from cim.store.rules.group_values import (
    Accept,
    Add,
    Ban,
    Banning,
    Depart,
    Dissolve,
    Edit,
    Editing,
    Ending,
    GroupFacts,
    Mute,
    Muting,
    Remove,
    RoleChange,
    SetRole,
    Unban,
)

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
            self.assertEqual(rules.decide(facts, Edit(actor, "x")), (Editing("x", None, None),))
        for actor in (CAROL, DAVE):
            self.refused(Forbidden, facts, Edit(actor, "x"))

    def test_a_missing_group(self):
        for operation in (Add(1, 1), Remove(1, 1), SetRole(1, 1, OWNER), Edit(1, "x")):
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
        operations = [Add(1, 1), Remove(1, 2), SetRole(3, 2, OWNER), Edit(4, "x"), Depart(5, None), Depart(6, 7)]
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
                st.builds(Ban, st.integers(0, 5), st.integers(1, 5)),
                st.builds(Unban, st.integers(0, 5), st.integers(1, 5)),
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
            self.assertFalse(facts.bans.keys() & facts.roles.keys(), "a banned one is a member")

    @settings(derandomize=True, max_examples=300)
    @given(
        st.dictionaries(st.integers(1, 4), st.sampled_from(Role), min_size=1),
        st.integers(1, 5),
        st.integers(1, 5),
        st.sampled_from([None, 0, 5]),
    )
    def test_nobody_acts_on_whom_is_no_lower(self, roles, actor, user, until):
        facts = evolve(group(roles), bans={5: 0}, muted={2: 9})
        above = roles.get(actor, MEMBER) >= ADMIN and roles.get(actor, MEMBER) > roles.get(user, -1)
        admin = roles.get(actor, MEMBER) >= ADMIN
        for operation, allowed in (
            (Ban(actor, user), above and actor != user),
            (Mute(actor, user, until), above or (until is None and roles.get(actor) == OWNER)),
            (Mute(actor, 0, until), admin),
            (Unban(actor, user), admin and user != 5),
            (Edit(actor, "x", True, True), admin),
            (Dissolve(actor), roles.get(actor) == OWNER),
        ):
            try:
                rules.decide(facts, operation)
                refused = False
            except Forbidden:
                refused = True
            except (Conflict, NotFound):
                refused = False
            self.assertEqual(refused, not allowed, operation)

    def test_what_is_dissolved_lets_nobody_in_and_tells_nothing(self):
        facts = evolve(group({ALICE: OWNER, BOB: MEMBER}, open=True), ended=True)
        for operation in (
            *(Add(ALICE, CAROL), Add(CAROL, CAROL), Add(0, CAROL), Accept(CAROL), SetRole(ALICE, BOB, ADMIN)),
            *(Edit(ALICE, "x"), Mute(ALICE, BOB, 0), Ban(ALICE, BOB), Unban(0, CAROL)),
        ):
            self.refused(NotFound, facts, operation)
        self.assertEqual(rules.decide(facts, Dissolve(ALICE)), ())
        removing = rules.decide(facts, Remove(0, BOB))
        self.assertEqual(removing, (RoleChange(BOB, MEMBER, None),))
        self.assertEqual(rules.happened(facts, Remove(0, BOB), removing), [])

    def test_a_batch_sees_its_own_bans_and_mutes(self):
        facts = evolve(group({ALICE: OWNER, BOB: MEMBER}, open=True), invited={CAROL: ALICE})
        operations = [Ban(ALICE, BOB), Add(BOB, BOB), Ban(0, CAROL), Accept(CAROL), Unban(ALICE, CAROL)]
        outcomes, left = rules.decide_all(facts, operations)
        self.assertEqual(outcomes[0], (RoleChange(BOB, MEMBER, None), Banning(BOB, ALICE)))
        self.assertEqual([type(one) for one in outcomes[1:]], [Forbidden, tuple, Forbidden, Forbidden])
        self.assertEqual((left.bans, left.invited, set(left.roles)), ({BOB: ALICE, CAROL: 0}, {}, {ALICE}))
        outcomes, left = rules.decide_all(facts, [Mute(ALICE, BOB, 7), Mute(ALICE, BOB, None), Mute(ALICE, BOB, None)])
        self.assertEqual(outcomes, [(Muting(BOB, 7),), (Muting(BOB, None),), ()])
        outcomes, left = rules.decide_all(facts, [Edit(ALICE, open=False), Add(CAROL, CAROL), Dissolve(0)])
        self.assertEqual((outcomes[0], outcomes[2]), ((Editing(None, False, None),), (Ending(),)))
        self.assertIsInstance(outcomes[1], Forbidden)
        self.assertTrue(left.ended)

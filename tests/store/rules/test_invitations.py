"""Tests of the rules of invitations, on values only; who may invite is tested with the stores."""

from __future__ import annotations

from attrs import evolve

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Conflict
from cim.model import MAX_INVITED, MAX_INVITED_BY, Invitation, Role
from cim.store.rules.invitations import InvitingFacts, gives_way, invite

ALICE, BOB, CAROL = 1, 2, 3
WANTED = Invitation(7, CAROL, ALICE, at=1000)
#: Those of other groups, by others, of whom each has one.
OTHERS = [Invitation(100 + number, CAROL, 2000 + number, at=number) for number in range(MAX_INVITED)]
#: Those of other groups, by the same one.
HERS = [evolve(one, by=ALICE) for one in OTHERS[:MAX_INVITED_BY]]


class InvitationRuleTests(SynchronousTestCase):
    def invited(self, *held):
        return invite(InvitingFacts(True, {ALICE: Role.ADMIN}, False, held), WANTED)

    def test_how_many_of_one_wait(self):
        self.assertIs(self.invited(*HERS[1:]), WANTED)
        self.assertRaises(Conflict, self.invited, *HERS)

    def test_where_there_is_no_room_another_one_gives_way(self):
        self.assertIsNone(gives_way(OTHERS[1:], WANTED))
        self.assertIs(self.invited(*OTHERS), WANTED)
        self.assertEqual(gives_way(OTHERS, WANTED), OTHERS[0])
        most = [*OTHERS[:-1], evolve(OTHERS[-1], by=OTHERS[-2].by)]
        self.assertEqual(gives_way(most, WANTED), OTHERS[-2])
        self.assertRaises(Conflict, self.invited, HERS[0], *OTHERS[1:])

    def test_what_was_declined_does_not_wait(self):
        self.assertIs(self.invited(evolve(HERS[0], declined=True), *HERS[1:]), WANTED)
        self.assertIsNone(gives_way([evolve(OTHERS[0], declined=True), *OTHERS[1:]], WANTED))

    def test_one_that_is_replaced_takes_no_place(self):
        # Who made it is no admin any more.
        void = Invitation(WANTED.group, CAROL, BOB, at=1)
        self.assertIs(self.invited(void, HERS[1], *OTHERS[2:]), WANTED)
        self.assertIsNone(gives_way([void, *OTHERS[1:]], WANTED))

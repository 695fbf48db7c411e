"""Tests of where users are of whom this route is not told."""

from __future__ import annotations

from cim.model import Account
from cim.route.presence import whereabouts
from cim.route.presence.calls import CALL_SECONDS
from cim.route.presence.views import Views
from cim.route.presence.whereabouts import RETRY_SECONDS
from cim.selection import SHARING, Shares
from cim.wire.link_pb2 import Answer, At, Known, Question, Relayed, View
from tests.route.route_case import Link, RouteCase

SHARED = ("another", "route")


class WhereaboutsTests(RouteCase):
    def setUp(self):
        super().setUp()
        self.patch(whereabouts, "ASK_AFTER", 1)
        self.views = Views(self.presence, self.clock)
        self.here, self.there = self.shared(0), self.shared(1)
        shares = Shares(SHARED)
        users = range(1, 100)
        self.own = next(Account(user, "own") for user in users if shares.keeper(user) == "route")
        self.far = next(Account(user, "far") for user in users if shares.keeper(user) == "another")

    def shared(self, number):
        link = Link(f"127.0.0.1:{11211 + number}:{8081 + number}", SHARING)
        self.presence.link_up(link)
        self.view(link)
        return link

    def view(self, link, *, sharing=SHARED, moving=False):
        view = View(call=moving * 7, sharing=sharing, moving=moving)
        self.views.viewed(self.presence.host_of(link), link, view)

    def places(self, account):
        """Return where a push goes: the servers at which the user is known to be, and the others."""
        found = self.whereabouts.of(account.id)
        known = [one.host.link for one in found if one.session]
        return known, [one.host.link for one in found if not one.session]

    def asked(self):
        """Return what was asked of another route, with what answers it."""
        self.turn()
        for link in (self.here, self.there):
            for relay in link.take("relay"):
                where = Question.FromString(relay.question).where

                def answer(*known, link=link, call=relay.call):
                    self.calls.answered(link, Relayed(call=call, answer=Answer(sessions=known).SerializeToString()))
                    self.turn()

                return relay.route, list(where.users), where.follow, answer
        return None

    def known(self, account, link, session="s1"):
        place = link.peer.place
        return Known(
            user=account.id, session=session, owner="o", device="d", server=place.server, incarnation=place.incarnation
        )

    def at(self, account, link, *sessions, call=0):
        at = At(call=call, user=account.id, sessions=[Known(session=session) for session in sessions])
        self.whereabouts.told(self.presence.host_of(link), link, at)

    def test_of_its_own_users_it_knows_without_asking(self):
        self.assertEqual(self.places(self.own), ([], []))
        self.online(self.here, self.own)
        self.assertEqual(self.places(self.own), ([self.here], []))
        self.assertIsNone(self.asked())

    def test_until_the_answer_pushes_go_to_all_servers(self):
        self.assertEqual(self.places(self.far), ([], [self.here, self.there]))
        route, users, follow, answer = self.asked()
        self.assertEqual((route, users, follow), ("another", [self.far.id], True))
        self.assertEqual(self.places(self.far), ([], [self.here, self.there]))
        answer(self.known(self.far, self.there))
        self.assertEqual(self.places(self.far), ([self.there], []))
        self.assertIsNone(self.asked())

    def test_what_a_server_says_is_newer_than_an_answer_under_way(self):
        self.places(self.far)
        *_, answer = self.asked()
        self.at(self.far, self.here, "s2", call=5)
        self.assertEqual([outcome.call for outcome in self.here.take("outcome")], [5])
        self.at(self.far, self.there)
        answer(self.known(self.far, self.there))
        self.assertEqual(self.places(self.far), ([self.here], []))

    def test_what_servers_say_later(self):
        self.places(self.far)
        self.asked()[-1](self.known(self.far, self.there))
        self.at(self.far, self.here, "s2")
        self.assertEqual(self.places(self.far), ([self.there, self.here], []))
        self.at(self.far, self.there)
        self.assertEqual(self.places(self.far), ([self.here], []))

    def test_a_route_that_does_not_answer_is_asked_again(self):
        self.places(self.far)
        self.assertIsNotNone(self.asked())
        self.clock.advance(CALL_SECONDS)
        self.assertEqual(self.places(self.far), ([], [self.here, self.there]))
        self.assertIsNone(self.asked())
        self.clock.advance(RETRY_SECONDS)
        self.places(self.far)
        self.assertIsNotNone(self.asked())

    def test_a_server_whose_shares_move_gets_everything(self):
        self.online(self.here, self.own)
        self.places(self.far)
        self.asked()[-1](self.known(self.far, self.there))
        self.view(self.here, moving=True)
        self.assertEqual([outcome.call for outcome in self.here.take("outcome")], [7])
        self.assertEqual(self.places(self.own), ([self.here], [self.here]))
        self.assertEqual(self.places(self.far), ([self.there], [self.here]))
        self.view(self.here)
        self.assertEqual(self.places(self.own), ([self.here], []))
        # What was heard of the other server still holds.
        self.assertEqual(self.places(self.far), ([self.there], [self.here]))
        self.asked()[-1](self.known(self.far, self.there))
        self.assertEqual(self.places(self.far), ([self.there], []))

    def test_a_server_that_is_linked_anew_gets_everything(self):
        self.places(self.far)
        self.asked()[-1]()
        self.assertEqual(self.places(self.far), ([], []))
        self.presence.link_down(self.here)
        self.here = self.shared(0)
        self.assertEqual(self.places(self.far), ([], [self.here]))

    def test_users_of_another_route_are_forgotten_when_shares_moved(self):
        self.online(self.here, self.own)
        self.view(self.here, sharing=("another",))
        self.assertEqual(self.presence.of(self.own.id), ())
        self.assertEqual(self.places(self.own), ([], [self.here]))

    def test_servers_that_do_not_agree(self):
        self.view(self.here, sharing=("route",))
        self.online(self.here, self.far)
        self.assertEqual(self.places(self.far), ([self.here], [self.there]))
        self.asked()[-1](self.known(self.far, self.there))
        self.assertEqual(self.places(self.far), ([self.here, self.there], []))

    def test_sessions_at_servers_that_are_not_linked_here(self):
        asking = self.begin(self.whereabouts.sessions(self.far.id))
        route, users, follow, answer = self.asked()
        self.assertFalse(follow)
        strange = Known(user=self.far.id, session="s", owner="o", device="d", server="192.0.2.1:1:2", incarnation="i")
        answer(strange, self.known(self.far, self.here))
        found = [(one.host.place.server, one.host.link) for one in self.successResultOf(asking)]
        self.assertEqual(found, [("192.0.2.1:1:2", None), (self.here.peer.name, self.here)])
        self.assertEqual((route, users), ("another", [self.far.id]))

    def test_a_watch_waits_for_the_answer(self):
        watching = self.begin(self.watching.watch(self.here, "w", self.own.id, [self.far.id]))
        self.assertNoResult(watching)
        self.asked()[-1](self.known(self.far, self.there))
        self.assertEqual(len(self.successResultOf(watching)), 1)
        self.here.take("deliver")
        self.at(self.far, self.there)
        self.turn()
        (told,) = self.here.take("deliver")
        self.assertEqual(list(told.sessions), ["w"])

"""Tests of presence for watchers."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.model import GUEST, Account
from cim.route.presence.blocks import KEPT_SECONDS
from cim.route.presence.watching import MAX_WATCHED
from tests.route.route_case import RouteCase, body_of


class WatchingTests(RouteCase):
    def setUp(self):
        super().setUp()
        self.here, self.there = self.link(0), self.link(1)
        self.online(self.here, self.alice, "a1")

    def watch(self, *users, session="a1", link=None, viewer=None):
        ids = [user.id for user in users]
        watching = self.watching.watch(link or self.here, session, (viewer or self.alice).id, ids)
        packets = self.successResultOf(Deferred.fromCoroutine(watching))
        return [(presence.user_id, presence.online) for presence in map(body_of, packets)]

    def close(self, link, session):
        self.presence.closed(self.presence.host_of(link), session, True)

    def told(self, link=None):
        """Return the notifications: (sessions, user, online)."""
        told = []
        for deliver in (link or self.here).take("deliver"):
            presence = body_of(deliver.packet)
            told.append((sorted(deliver.sessions), presence.user_id, presence.online))
        return told

    def test_watching_returns_the_present_state(self):
        self.online(self.there, self.bob, "b1")
        self.assertEqual(self.watch(self.bob, self.carol), [(self.bob.id, True), (self.carol.id, False)])

    def test_watchers_are_notified_of_changes(self):
        self.watch(self.bob)
        self.online(self.there, self.bob, "b1")
        self.assertEqual(self.told(), [(["a1"], self.bob.id, True)])
        # Only the first and the last session change the user's state.
        self.online(self.there, self.bob, "b2", GUEST)
        self.close(self.there, "b1")
        self.assertEqual(self.told(), [])
        self.close(self.there, "b2")
        self.assertEqual(self.told(), [(["a1"], self.bob.id, False)])

    def test_nobody_else_is_notified(self):
        self.watch(self.bob)
        self.online(self.there, self.carol, "c1")
        self.close(self.there, "c1")
        self.assertEqual((self.here.items, self.there.items), ([], []))

    def test_one_frame_per_link(self):
        self.online(self.here, self.carol, "c1")
        self.watch(self.bob)
        self.watch(self.bob, session="c1")
        self.watch(self.bob, session="x1", link=self.there)
        self.online(self.there, self.bob, "b1")
        self.assertEqual(self.told(), [(["a1", "c1"], self.bob.id, True)])
        self.assertEqual(self.told(self.there), [(["x1"], self.bob.id, True)])

    def test_a_new_list_replaces_the_old_one(self):
        self.watch(self.bob)
        self.watch(self.carol)
        self.online(self.there, self.bob, "b1")
        self.assertEqual(self.told(), [])
        self.assertEqual(self.watch(), [])
        self.assertEqual((len(self.watching), self.watching._watchers), (0, {}))

    def test_watched_users_are_bounded_and_counted_once(self):
        many = [Account(id, "someone") for id in (*range(1, MAX_WATCHED + 2), 1)]
        self.assertEqual(len(self.watch(*many)), MAX_WATCHED)
        self.assertEqual(len(self.watch(*many[:1], *many[:2])), 2)

    def test_a_session_that_ends_watches_nobody(self):
        self.watch(self.bob)
        self.close(self.here, "a1")
        self.assertEqual((len(self.watching), self.watching._watchers), (0, {}))

    def test_a_link_that_ends(self):
        self.watch(self.bob)
        self.watch(self.bob, session="x", link=self.there)
        self.watching.forget_link(self.here)
        self.online(self.there, self.bob, "b1")
        self.assertEqual((self.told(), len(self.told(self.there))), ([], 1))
        self.watching.forget_link(self.there)
        self.assertEqual((len(self.watching), self.watching._watchers), (0, {}))

    def test_a_server_that_dies_takes_its_users_with_it(self):
        self.watch(self.bob)
        self.online(self.there, self.bob, "b1")
        self.told()
        host = self.presence.link_down(self.there)
        self.assertEqual(self.told(), [])
        self.presence.forget(host)
        self.assertEqual(self.told(), [(["a1"], self.bob.id, False)])

    def test_one_may_watch_oneself(self):
        self.assertEqual(self.watch(self.alice), [(self.alice.id, True)])
        self.close(self.here, "a1")
        self.assertEqual(self.watching._watchers, {})

    def test_who_blocks_the_watcher_seems_to_be_offline(self):
        self.online(self.here, self.carol, "c1")
        self.online(self.there, self.bob, "b1")
        self.successResultOf(self.store.blocks.block(self.bob.id, self.alice.id))
        self.assertEqual(self.watch(self.bob, self.carol), [(self.bob.id, False), (self.carol.id, True)])
        self.assertEqual(self.watch(self.bob, session="c1", viewer=self.carol), [(self.bob.id, True)])
        self.close(self.there, "b1")
        self.assertEqual(self.told(), [(["c1"], self.bob.id, False)])
        self.online(self.there, self.bob, "b1")
        self.assertEqual(self.told(), [(["c1"], self.bob.id, True)])
        # Made through another route: known here in a while.
        self.successResultOf(self.store.blocks.unblock(self.bob.id, self.alice.id))
        self.clock.advance(KEPT_SECONDS)
        self.close(self.there, "b1")
        self.assertEqual(self.told(), [(["a1", "c1"], self.bob.id, False)])

    def test_nobody_is_shown_while_it_is_not_known_who_blocks_whom(self):
        self.online(self.there, self.bob, "b1")
        self.store.available = False
        self.assertEqual(self.watch(self.bob), [(self.bob.id, False)])
        self.close(self.there, "b1")
        self.assertEqual(self.told(), [])
        self.store.available = True
        self.online(self.there, self.bob, "b1")
        self.store.available = False
        self.clock.advance(KEPT_SECONDS)  # what was known goes on
        self.close(self.there, "b1")
        self.assertEqual(self.told(), [(["a1"], self.bob.id, True), (["a1"], self.bob.id, False)])

    def test_a_watcher_that_went_while_it_was_looked_up(self):
        self.watch(self.bob)
        asked = Deferred()
        self.store.blocks.blocked = lambda user: asked
        self.online(self.there, self.bob, "b1")
        self.watching.forget(self.here, "a1")
        asked.callback([])
        self.assertEqual(self.told(), [])

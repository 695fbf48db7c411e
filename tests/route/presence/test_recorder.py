"""Tests of when session records are written; test_login tests what becomes of them."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from cim.model import Place
from cim.route.presence import recorder
from cim.wire.link_pb2 import End
from tests.route.route_case import RouteCase


class RecorderTests(RouteCase):
    def setUp(self):
        super().setUp()
        self.link_ = self.link()
        self.calls_ = []
        self.store.observe(lambda name, seconds: self.calls_.append(name))

    def claim(self, owner="o-s1", device="phone"):
        return self.now(self.recorder.claim(self.alice.id, device, self.link_.peer.place, owner))

    def made(self):
        """Return the store's calls so far, and forget them."""
        calls, self.calls_[:] = list(self.calls_), []
        return calls

    def test_a_session_that_appears_has_its_record_made_live(self):
        self.online(self.link_, self.alice)
        self.assertEqual(self.made(), ["claim"])

    def test_a_session_claimed_while_opening_is_not_claimed_again(self):
        self.assertTrue(self.claim())
        self.made()
        self.online(self.link_, self.alice)
        self.assertEqual(self.made(), [])

    def test_a_session_reported_again_is_written_again(self):
        """Report all sessions again, as after the loss of a link or the store."""
        self.claim()
        self.online(self.link_, self.alice)
        self.made()
        self.online(self.link_, self.alice)
        self.assertEqual(self.made(), ["claim"])
        self.recorder.rewrite()
        self.assertEqual(self.made(), ["claim"])

    def test_what_a_store_lost_is_written_again_though_it_was_claimed_once_more(self):
        """A server has the groups of a live session read anew by another claim."""
        self.claim()
        self.online(self.link_, self.alice)
        self.claim()
        self.now(self.store.sessions.release(self.alice.id, "o-s1"))
        self.recorder.rewrite()
        (record,) = self.now(self.store.sessions.sessions(self.alice.id))
        self.assertEqual((record.owner, record.live), ("o-s1", True))

    def test_what_a_store_lost_is_written_though_it_was_claimed_before(self):
        self.claim()
        self.now(self.store.sessions.release(self.alice.id, "o-s1"))
        self.recorder.rewrite()
        self.online(self.link_, self.alice)
        (record,) = self.now(self.store.sessions.sessions(self.alice.id))
        self.assertEqual((record.owner, record.live), ("o-s1", True))

    def test_another_route_writes_the_record(self):
        self.claim()
        self.made()
        self.online(self.link_, self.alice, home=False)
        self.assertEqual(self.made(), [])
        self.online(self.link_, self.alice)  # now this is its home
        self.assertEqual(self.made(), [])

    def test_a_session_that_was_not_claimed_is_written(self):
        self.assertTrue(self.claim("newer"))
        self.assertFalse(self.claim())
        self.made()
        self.online(self.link_, self.alice)
        self.assertEqual(self.made(), ["claim", "sessions"])
        (end,) = self.link_.take("end")
        self.assertEqual(end, End(user=self.alice.id, owner="o-s1", code="replaced"))

    def came_back(self, server="127.0.0.1:1:2", *, seconds=1):
        """Have the store go back to a record of another session, and write that of one that is there."""
        place = Place(server, "another run")
        self.assertTrue(self.now(self.store.sessions.claim(self.alice.id, "phone", place, "former")))
        self.clock.advance(1)
        self.store.begin_epoch(int(self.clock.seconds() * 1000) - 1000 + 1000 * seconds)
        self.online(self.link_, self.alice)
        (record,) = self.now(self.store.sessions.sessions(self.alice.id))
        self.assertEqual([end.owner for end in self.link_.take("end")], [] if record.owner == "o-s1" else ["o-s1"])
        return record.owner

    def test_a_record_that_came_back_without_its_session_is_replaced(self):
        self.assertEqual(self.came_back(), "o-s1")

    def test_one_of_an_earlier_run_of_a_server_that_is_here(self):
        self.assertEqual(self.came_back(self.link_.peer.name), "o-s1")

    def test_one_whose_server_others_know_stays(self):
        self.now(self.store.sessions.hold_lease(Place("127.0.0.1:1:2", "another run"), "another route", 30))
        self.assertEqual(self.came_back(), "former")

    def test_one_from_after_the_store_went_back_stays(self):
        self.assertEqual(self.came_back(seconds=0), "former")

    def test_one_of_a_session_that_is_there_stays(self):
        self.now(self.store.sessions.claim(self.alice.id, "phone", self.link_.peer.place, "o-s0"))
        self.presence.host_of(self.link_).complete = True
        self.clock.advance(1)
        self.store.begin_epoch(int(self.clock.seconds() * 1000))
        self.online(self.link_, self.alice, "s0", home=False)
        self.online(self.link_, self.alice)
        self.assertEqual([end.owner for end in self.link_.take("end")], ["o-s1"])

    def test_one_of_a_server_that_still_reports_its_sessions_stays(self):
        self.now(self.store.sessions.claim(self.alice.id, "phone", self.link_.peer.place, "o-s0"))
        self.clock.advance(1)
        self.store.begin_epoch(int(self.clock.seconds() * 1000))
        self.online(self.link_, self.alice)
        self.assertEqual([end.owner for end in self.link_.take("end")], ["o-s1"])

    def test_when_a_device_has_two_sessions_the_one_of_record_stays(self):
        self.online(self.link_, self.alice, "s1")
        self.now(self.store.sessions.release(self.alice.id, "o-s1"))
        self.assertTrue(self.claim("o-s2"))
        self.made()
        self.online(self.link_, self.alice, "s2")
        self.assertEqual(self.made(), ["sessions"])
        self.assertEqual([end.owner for end in self.link_.take("end")], ["o-s1"])

    def test_sessions_of_other_devices_are_not_compared(self):
        self.online(self.link_, self.alice, "s1", device="desk")
        self.claim("o-s2")
        self.made()
        self.online(self.link_, self.alice, "s2")
        self.online(self.link_, self.alice, "s3", device="watch")
        self.assertEqual(self.made(), ["claim"])

    def test_a_store_that_is_away_when_two_are_compared_is_no_error(self):
        self.online(self.link_, self.alice, "s1")
        self.now(self.store.sessions.release(self.alice.id, "o-s1"))
        self.claim("o-s2")
        self.store.available = False
        self.online(self.link_, self.alice, "s2")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_record_that_fails_unexpectedly_is_in_the_way_of_no_other(self):
        claim = self.store.sessions.claim
        self.store.sessions.claim = lambda *record: fail(ValueError())
        for number in range(recorder.IN_FLIGHT + 1):
            self.online(self.link_, self.alice, f"s{number}", device=f"{number}")
            self.online(self.link_, self.bob, f"b{number}", device=f"{number}")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2 * (recorder.IN_FLIGHT + 1))
        self.store.sessions.claim = claim
        self.online(self.link_, self.alice, "new", device="new")
        (record,) = self.now(self.store.sessions.sessions(self.alice.id))
        self.assertEqual((record.owner, record.live, len(self.recorder)), ("o-new", True, 0))

    def test_claims_whose_sessions_never_appear_are_forgotten(self):
        self.patch(recorder, "KEPT_CLAIMS", 2)
        for number in range(1, 4):
            self.claim(f"o-s{number}", device=f"device-{number}")
        self.made()
        self.online(self.link_, self.alice, "s1", device="device-1")
        self.assertEqual(self.made(), ["claim"])
        self.online(self.link_, self.bob, "s2", device="device-2")
        self.assertEqual(self.made(), [])

    def test_settled_waits_for_writes_under_way(self):
        self.assertTrue(self.recorder.settled().called)
        self.store.available = False
        self.online(self.link_, self.alice)
        settled: Deferred[None] = self.recorder.settled()
        self.assertNoResult(settled)
        self.store.available = True
        self.clock.advance(recorder.RETRY_SECONDS)
        self.successResultOf(settled)

"""Tests of who is notified when, and of what (docs/push.md)."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.errors import Unavailable
from cim.interfaces import IPushSelection
from cim.route.push import bursts
from cim.route.push.pushers import PAUSES
from cim.wire import conversations
from tests.route.push.push_case import PushCase


class NotifyingTests(PushCase):
    def setUp(self):
        super().setUp()
        self.talk = conversations.private(self.alice.id, self.bob.id)

    def told(self):
        return [(to, said.get("sender_name", ""), said["badge"]) for to, said in self.service.notices()]

    def test_who_has_no_session_is_notified_once_of_a_burst(self):
        self.subscribe(self.bob)
        self.say("one")
        self.wait(2)
        last = self.say("two")
        self.wait(2)
        self.assertEqual(self.service.notices(), [])
        self.wait(1)
        (notice,) = self.service.notices()
        self.assertEqual(
            notice,
            (
                "1",
                {
                    "conversation": self.talk,
                    "position": last,
                    "sender": self.alice.id,
                    "sender_name": "alice",
                    "badge": 2,
                },
            ),
        )
        self.wait(120)
        self.assertEqual(self.service.notices(), [])

    def test_who_said_it_and_who_has_not_registered_are_not(self):
        self.subscribe(self.alice)
        self.say()
        self.wait(10)
        self.assertEqual(self.service.notices(), [])

    def test_all_browsers_of_a_user_are(self):
        self.subscribe(self.bob, 1)
        self.subscribe(self.bob, 2, "web-2")
        self.say()
        self.wait(6)
        self.assertEqual(sorted(to for to, _ in self.service.notices()), ["1", "2"])

    def test_a_session_that_takes_it_in_time_keeps_it_quiet(self):
        self.subscribe(self.bob, device="api")
        client = self.online("bob")
        position = self.say()
        self.wait(2)
        client.received(self.talk, position)
        self.wait(10)
        self.assertEqual(self.service.notices(), [])
        # One that has gone without a word does not.
        self.say("again")
        self.wait(6)
        self.assertEqual(self.told(), [("1", "alice", 2)])

    def test_what_was_read_meanwhile_is_not_told(self):
        self.subscribe(self.bob)
        position = self.say()
        self.wait(2)
        self.ok("PUT", f"/v1/conversations/{self.talk}/read", {"position": position}, **self.by(self.bob), status=204)
        self.wait(10)
        self.assertEqual(self.service.notices(), [])

    def test_reading_closes_what_was_shown_on_all_devices(self):
        self.subscribe(self.bob, 1)
        position = self.say()
        self.wait(6)
        self.service.notices()
        self.ok("PUT", f"/v1/conversations/{self.talk}/read", {"position": position}, **self.by(self.bob), status=204)
        self.wait(1)
        self.assertEqual(self.service.notices(), [("1", {"conversation": self.talk, "read": True, "badge": 0})])
        self.ok("PUT", f"/v1/conversations/{self.talk}/read", {"position": position}, **self.by(self.bob), status=204)
        self.wait(1)
        self.assertEqual(self.service.notices(), [])

    def test_a_badge_counts_all_talks_on_several_pages(self):
        heads = self.store.conversations.heads
        self.patch(self.store.conversations, "heads", lambda *which, **where: heads(*which, limit=1, **where))
        self.subscribe(self.bob)
        carol = self.user("carol")
        for by, said in ((carol, "one"), (carol, "two"), (self.alice, "three")):
            self.say(said, by=by)
            self.clock.advance(0.01)
        self.wait(6)
        self.assertEqual({badge for _, _, badge in self.told()}, {3})

    def test_while_nothing_is_read_there_is_one_in_a_pause_and_the_last_one_is_told(self):
        self.subscribe(self.bob)
        self.say("one")
        self.wait(6)
        self.assertEqual(self.told(), [("1", "alice", 1)])
        for _ in range(5):
            last = self.say("more")
            self.wait(6)
        self.assertEqual(self.service.notices(), [])
        self.wait(int(bursts.PAUSE_SECONDS) - 30)
        ((_, said),) = self.service.notices()
        self.assertEqual((said["position"], said["badge"]), (last, 6))
        self.wait(200)
        self.assertEqual(self.service.notices(), [])

    def test_who_reads_and_is_written_to_again_is_told_at_once(self):
        self.subscribe(self.bob)
        for text in ("one", "two"):
            position = self.say(text)
            self.wait(6)
            self.assertEqual(self.told(), [("1", "alice", 1)])
            read = {"position": position}
            self.ok("PUT", f"/v1/conversations/{self.talk}/read", read, **self.by(self.bob), status=204)
            self.wait(1)
            self.service.notices()

    def test_a_muted_talk_counts_and_is_not_told(self):
        self.subscribe(self.bob)
        mute = f"/v1/conversations/{self.talk}/mute"
        self.ok("PUT", mute, {"until": self.store.clock.now() + 60_000}, **self.by(self.bob), status=204)
        self.say()
        self.wait(6)
        self.assertEqual(self.service.notices(), [])
        self.wait(60)
        self.say("again")
        self.wait(6)
        self.assertEqual(self.told(), [("1", "alice", 2)])

    def test_what_is_no_text_and_what_is_for_everyone_is_not_told(self):
        self.subscribe(self.bob)
        position = self.say()
        self.wait(6)
        self.service.notices()
        react = {"to_user": self.bob.id, "client_id": "r", "text": "x", "kind": "REACTION", "ref": position}
        self.ok("POST", "/v1/messages", react, **self.by(self.alice), status=201)
        self.say("hello all", group=0)
        self.wait(100)
        self.assertEqual(self.service.notices(), [])

    def test_a_repetition_is_not_told(self):
        self.subscribe(self.bob)
        body = {"to_user": self.bob.id, "client_id": "same", "text": "x"}
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201)
        self.wait(6)
        self.service.notices()
        self.wait(100)
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=200)
        self.wait(100)
        self.assertEqual(self.service.notices(), [])

    def test_while_the_store_is_away_nobody_is_told_and_all_goes_on(self):
        self.subscribe(self.bob)
        self.say("one")
        self.store.available = False
        self.wait(6)
        self.store.available = True
        self.wait(6)
        self.assertEqual(self.service.notices(), [])
        self.say("two")
        self.wait(6)
        self.assertEqual(self.told(), [("1", "alice", 2)])
        self.assertEqual(self.metrics._dropped["push"], 1)

    def test_what_waits_is_bounded(self):
        self.patch(bursts, "MOST_WAITING", 1)
        carol = self.user("carol")
        self.subscribe(self.bob, 1)
        self.subscribe(carol, 2)
        self.say()
        self.say(to=carol)
        self.wait(6)
        self.assertEqual([to for to, _ in self.service.notices()], ["1"])
        self.assertEqual(self.metrics._dropped["push"], 1)
        self.assertEqual(len(self.cluster.routes[0].bursts), 0)


class SilentTests(PushCase):
    shows = {"names": False}

    def test_names_can_be_left_out(self):
        self.subscribe(self.bob)
        self.say("secret")
        self.wait(6)
        ((_, said),) = self.service.notices()
        self.assertEqual(sorted(said), ["badge", "conversation", "position", "sender"])


class TextsTests(PushCase):
    shows = {"texts": True}

    def test_what_a_text_said_that_was_recalled_in_time_is_not_told(self):
        self.subscribe(self.bob)
        position = self.say("a secret")
        body = {"to_user": self.bob.id, "client_id": "r", "kind": "RECALL", "ref": position}
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201)
        self.wait(10)
        ((_, said),) = self.service.notices()
        self.assertNotIn("text", said)

    def test_texts_can_be_put_in_as_far_as_there_is_room(self):
        self.subscribe(self.bob)
        self.say("界" * 5000)
        self.wait(6)
        ((_, said),) = self.service.notices()
        self.assertEqual(said["text"], "界" * bursts.MOST_TEXT)


@implementer(IPushSelection)
class Picks:
    name = "picks"

    def __init__(self):
        self.asked = []
        self.users = []

    def select(self, group, sender, text):
        self.asked.append((group, sender, text))
        return succeed(self.users) if len(self.asked) % 2 else self.users


class GroupTests(PushCase):
    selection = Picks()

    def setUp(self):
        super().setUp()
        self.carol = self.user("carol")
        made = self.ok("POST", "/v1/groups", {"name": "friends"}, **self.by(self.alice), status=201)
        self.group = made["id"]
        for user in (self.bob, self.carol):
            self.successResultOf(self.store.groups.add(self.group, 0, user.id))
        for number, user in enumerate((self.alice, self.bob, self.carol), 1):
            self.subscribe(user, number)

    def told(self):
        return sorted((to, said["sender_name"], said["group_name"]) for to, said in self.service.notices())

    def test_each_is_told_of_the_last_one_by_somebody_else(self):
        self.say("one", group=self.group)
        self.say("two", by=self.bob, group=self.group)
        self.wait(6)
        told = [("1", "bob", "friends"), ("2", "alice", "friends"), ("3", "bob", "friends")]
        self.assertEqual(self.told(), told)

    def test_whom_one_blocks_is_not_told_of(self):
        self.ok("PUT", f"/v1/blocks/{self.bob.id}", **self.by(self.carol), status=204)
        self.say("one", group=self.group)
        self.say("two", by=self.bob, group=self.group)
        self.wait(6)
        self.assertEqual(self.told()[-1], ("3", "alice", "friends"))
        self.wait(100)
        self.say("three", by=self.bob, group=self.group)
        self.wait(6)
        self.assertEqual([to for to, *_ in self.told()], ["1"])

    def test_who_left_meanwhile_or_came_later_is_not_told(self):
        self.say("one", group=self.group)
        self.ok("DELETE", f"/v1/groups/{self.group}/members/{self.bob.id}", **self.by(self.bob), status=204)
        dave = self.user("dave")
        self.subscribe(dave, 4)
        self.successResultOf(self.store.groups.add(self.group, 0, dave.id))
        self.wait(6)
        self.assertEqual([to for to, *_ in self.told()], ["3"])

    def test_who_leaves_in_the_pause_is_not_told_of_what_came_in_it(self):
        self.say("one", group=self.group)
        self.wait(6)
        self.service.notices()
        self.say("two", group=self.group)
        self.wait(6)
        self.ok("DELETE", f"/v1/groups/{self.group}/members/{self.bob.id}", **self.by(self.bob), status=204)
        self.wait(100)
        self.assertEqual([to for to, *_ in self.told()], ["3"])

    def test_large_groups_tell_only_whom_a_plugin_picks(self):
        self.patch(bursts, "MOST_MEMBERS", 2)
        self.selection.asked.clear()
        self.selection.users = [self.bob.id, 12345, self.alice.id]
        for text in ("one", "two"):
            self.say(text, group=self.group)
            self.wait(6)
        self.assertEqual([to for to, *_ in self.told()], ["2"])
        self.assertEqual(self.selection.asked[0], (self.group, self.alice.id, "one"))

    def test_without_a_plugin_they_tell_nobody(self):
        self.patch(bursts, "MOST_MEMBERS", 2)
        self.patch(self.cluster.routes[0].bursts, "_selection", None)
        self.say("one", group=self.group)
        self.wait(10)
        self.assertEqual(self.told(), [])


class SeveralRoutesTests(PushCase):
    routes = 2

    def test_one_of_them_tells(self):
        self.subscribe(self.bob)
        self.say("one", route=0)
        self.say("two", route=1)
        self.wait(6)
        self.assertEqual(len(self.service.notices()), 1)

    def test_reading_at_the_other_one_closes_it(self):
        self.subscribe(self.bob)
        position = self.say(route=0)
        self.wait(6)
        self.service.notices()
        talk = conversations.private(self.alice.id, self.bob.id)
        read = {"position": position}
        self.ok("PUT", f"/v1/conversations/{talk}/read", read, **self.by(self.bob), status=204, route=1)
        self.wait(1)
        self.assertEqual([said.get("read") for _, said in self.service.notices()], [True])


class ServiceTests(PushCase):
    """What push services answer."""

    def registered(self):
        return [one["device"] for one in self.ok("GET", "/v1/pushes", **self.by(self.bob))["pushes"]]

    def answer(self, *answers):
        left = list(answers)
        self.service.answers = lambda endpoint: left.pop(0) if left else (201, {})

    def test_dead_ones_go(self):
        for number, status in enumerate((404, 410), 1):
            self.subscribe(self.bob, number)
            self.answer((status, {}))
            self.say()
            self.wait(6)
            self.assertEqual(self.registered(), [])
            self.wait(100)
        self.assertEqual(self.metrics._pushes["webpush", "gone"], 2)

    def test_what_may_work_later_is_tried_again_and_not_for_ever(self):
        self.subscribe(self.bob)
        self.answer((500, {}), Unavailable("reset"), (429, {"Retry-After": "20"}))
        self.say()
        self.wait(6)
        self.assertEqual(len(self.service.notices()), 1)
        self.wait(2)
        self.assertEqual(len(self.service.notices()), 0)
        self.wait(15 + 60)
        self.assertEqual([len(self.service.notices()), self.registered()], [2, ["web-1"]])
        self.wait(100)
        self.answer(*[(503, {})] * 100)
        self.say("again")
        self.wait(6 + int(sum(PAUSES)) + 60)
        self.assertEqual(len(self.service.notices()), 1 + len(PAUSES))
        self.assertEqual(len(self.cluster.routes[0].pushers), 0)

    def test_a_service_says_when_to_come_back(self):
        self.subscribe(self.bob)
        self.answer((429, {"Retry-After": "40"}), (429, {"Retry-After": "999999"}))
        self.say()
        self.wait(6)
        self.assertEqual(len(self.service.notices()), 1)
        self.wait(35)
        self.assertEqual(len(self.service.notices()), 0)
        self.wait(5)
        self.assertEqual(len(self.service.notices()), 1)
        self.wait(61)
        self.assertEqual(len(self.service.notices()), 1)

    def test_what_is_refused_is_not_tried_again(self):
        self.subscribe(self.bob)
        self.answer((403, {}))
        self.say()
        self.wait(100)
        self.assertEqual((len(self.service.notices()), self.registered()), (1, ["web-1"]))

    def test_a_service_that_hangs_holds_up_nobody_else(self):
        carol = self.user("carol")
        self.subscribe(self.bob, 1)
        self.subscribe(carol, 2)
        self.service.answers = lambda endpoint: Deferred() if endpoint.endswith("/1") else (201, {})
        self.say()
        self.say(to=carol)
        self.wait(6)
        self.assertEqual([to for to, _ in self.service.notices()], ["2"])

    def test_what_is_under_way_is_bounded(self):
        from cim.route.push import pushers

        self.patch(pushers, "MOST", 1)
        self.subscribe(self.bob, 1)
        self.subscribe(self.bob, 2, "web-2")
        self.service.answers = lambda endpoint: Deferred()
        self.say()
        self.wait(6)
        self.assertEqual(self.metrics._dropped["push"], 1)

    def test_whose_addresses_do_not_answer_keeps_nobody_else_from_being_notified(self):
        from cim.route.push import pushers

        self.patch(pushers, "MOST_OF_USER", 2)
        carol = self.user("carol")
        for number in range(1, 5):
            self.subscribe(self.bob, number, f"web-{number}")
        self.subscribe(carol, 9)
        self.service.answers = lambda endpoint: (201, {}) if endpoint.endswith("/9") else Deferred()
        self.say()
        self.wait(6)
        self.assertEqual((len(self.cluster.routes[0].pushers), self.metrics._dropped["push"]), (2, 2))
        self.say(to=carol)
        self.wait(6)
        self.assertEqual([to for to, _ in self.service.notices()], ["9"])
        self.assertEqual(len(self.cluster.routes[0].pushers), 2)


class UnpaidTests(PushCase):
    """Without pushers nothing is paid for it."""

    def test_nobody_is_told_what_is_stored(self):
        self.assertEqual(len(self.cluster.routes[0].sending.on_stored), 1)
        self.push = None
        from tests.route.http.api_case import APICase

        APICase.setUp(self)
        route = self.cluster.routes[0]
        self.assertEqual((route.sending.on_stored, route.receipts.on_read), ([], []))

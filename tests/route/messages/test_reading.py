"""Tests of who may read what of a conversation, and of the pages."""

from __future__ import annotations

import random

from attrs import evolve

from twisted.internet.defer import Deferred

from cim.errors import Forbidden, InvalidField, StoreUnavailable
from cim.model import Append
from cim.route.messages import reading
from cim.route.messages.reading import MEMBER_SECONDS, NO_REVISIONS, PAGE_BYTES
from cim.store.pages import EVERYONE_KEPT
from cim.wire import native, positions
from cim.wire.cim_pb2 import EDIT, MEMBERS, RECALL, TEXT, Deliver, Send
from cim.wire.gap import GapPolicy, GapRule
from cim.wire.native import MAX_PAGE, PAGE
from tests.route.route_case import Held, RouteCase, body_of

BEYOND = "9999999999999-7"


class ReadingTests(RouteCase):
    def page(self, user, conversation=None, **options):
        return self.now(self.reading.page(user.id, conversation or self.ab, **options))

    def packets(self, user, conversation=None, after="", before="", limit=0):
        """Return a page as a client gets it: the Delivers and the Synced."""
        packets = self.now(self.reading.packets(user.id, conversation or self.ab, after, before, limit))
        *delivers, synced = [body_of(packet) for packet in packets]
        return delivers, synced

    def texts(self, user, conversation=None, **options):
        return [native.parse_body(entry.body).text for entry in self.page(user, conversation, **options).entries]

    def fill(self, count, to=None):
        """Send that many messages and return their positions."""
        return [self.say(self.alice, self.bob if to is None else to, f"m{n}").position for n in range(count)]

    # Rights

    def test_only_its_two_users_read_a_private_conversation(self):
        self.fill(1)
        self.assertEqual(self.texts(self.alice), ["m0"])
        self.assertEqual(self.texts(self.bob), ["m0"])
        self.refusal(self.reading.page(self.carol.id, self.ab), Forbidden)

    def test_a_look_up_during_which_a_membership_ended_is_not_cached(self):
        group = self.group(self.alice, self.bob)
        held = Held(self.groups, "member")
        self.reading._groups = held
        looking = Deferred.fromCoroutine(self.reading.member(group, self.bob.id))
        self.reading.forget(group, self.bob.id)
        held.go()
        self.assertIsNotNone(self.successResultOf(looking))
        self.now(self.groups.remove(group, self.alice.id, self.bob.id))
        looking = Deferred.fromCoroutine(self.reading.member(group, self.bob.id))
        held.go()
        self.failureResultOf(looking, Forbidden)

    def test_only_members_read_a_group(self):
        group = self.group(self.alice, self.bob)
        self.fill(1, group)
        self.assertEqual(self.texts(self.bob, f"g:{group}"), ["m0"])
        self.refusal(self.reading.page(self.carol.id, f"g:{group}"), Forbidden)
        self.refusal(self.reading.page(self.carol.id, "g:4711"), Forbidden)

    def test_invalid_names(self):
        for name in ("", "p:2:1", "p:1:1", "g:-1", "x", "p:01:2", "g:" + "9" * 30):
            self.refusal(self.reading.page(self.alice.id, name), InvalidField)

    def test_a_late_member_reads_from_when_it_joined(self):
        group = self.group(self.alice, history=False)
        floor = self.fill(2, group)[-1]
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        later = self.fill(1, group)
        delivers, synced = self.packets(self.bob, f"g:{group}")
        self.assertEqual([deliver.position for deliver in delivers], later)
        self.assertTrue(synced.reset)
        delivers, synced = self.packets(self.bob, f"g:{group}", before=BEYOND)
        self.assertEqual([deliver.position for deliver in delivers], later)
        self.assertEqual((synced.after, synced.more), (floor, False))

    def test_everyone_reads_the_latest_messages_to_everyone(self):
        for _ in range(2):
            self.fill(EVERYONE_KEPT, 0)
            self.clock.advance(60)
        delivers, synced = self.packets(self.carol, "g:0", before=BEYOND, limit=MAX_PAGE)
        self.assertLess(len(delivers), EVERYONE_KEPT + 20)
        self.assertGreaterEqual(len(delivers), EVERYONE_KEPT)
        delivers, synced = self.packets(self.carol, "g:0", limit=MAX_PAGE)
        self.assertGreaterEqual(len(delivers), EVERYONE_KEPT)
        self.assertTrue(synced.reset)

    def test_memberships_are_cached_briefly_until_they_change(self):
        group = self.group(self.alice, self.bob)
        held = self.reading._groups = Held(self.store.groups, "member")
        first = self.begin(self.reading.floor(self.bob.id, f"g:{group}"))
        held.go()
        self.successResultOf(first)
        self.now(self.reading.floor(self.bob.id, f"g:{group}"))
        self.reading.forget(group, self.bob.id)
        self.assertNoResult(self.begin(self.reading.floor(self.bob.id, f"g:{group}")))
        held.go()
        self.clock.advance(MEMBER_SECONDS)
        late = self.begin(self.reading.floor(self.bob.id, f"g:{group}"))
        self.assertNoResult(late)
        held.answer(None)
        self.failureResultOf(late, Forbidden)

    def test_a_page_is_for_members_of_its_moment(self):
        """Whatever is cached: the membership may have ended, and begun again, through another route."""
        group = self.group(self.alice, self.bob, history=False)
        name = f"g:{group}"
        self.say(self.alice, group, "before")
        self.assertEqual(self.texts(self.bob, name), ["before"])
        self.now(self.groups.remove(group, self.alice.id, self.bob.id))
        self.say(self.alice, group, "in his absence")
        self.refusal(self.reading.page(self.bob.id, name), Forbidden)
        self.assertEqual(self.texts(self.alice, name), ["before", "in his absence"])
        self.now(self.groups.add(group, self.alice.id, self.bob.id))
        self.texts(self.bob, name)
        self.now(self.groups.remove(group, self.alice.id, self.bob.id))
        self.say(self.alice, group, "a secret")
        self.now(self.groups.add(group, self.alice.id, self.bob.id))
        self.say(self.alice, group, "after")
        self.assertEqual(self.texts(self.bob, name), ["after"])
        self.assertEqual(self.texts(self.bob, name, before=BEYOND), ["after"])

    def test_a_missing_membership_is_not_cached(self):
        group = self.group(self.alice)
        self.refusal(self.reading.page(self.bob.id, f"g:{group}"), Forbidden)
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.assertEqual(self.texts(self.bob, f"g:{group}"), [])

    def test_cached_memberships_are_bounded(self):
        self.patch(reading, "KEPT_MEMBERS", 2)
        self.reading = reading.Reading(self.conversations, self.groups, self.inviting, self.clock)
        group = self.group(self.alice, self.bob, self.carol)
        for who in (self.alice, self.bob, self.carol):
            self.now(self.reading.member(group, who.id))
        self.assertEqual(len(self.reading._members), 2)

    # Pages after a position

    def test_a_page_is_its_messages_followed_by_synced(self):
        first, second, third = self.fill(3)
        delivers, synced = self.packets(self.bob, after=first, limit=1)
        self.assertEqual([(d.position, d.previous, d.text) for d in delivers], [(second, first, "m1")])
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), (first, second, True, False))
        delivers, synced = self.packets(self.bob, after=second)
        self.assertEqual([d.position for d in delivers], [third])
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), (second, third, False, False))

    def test_nothing_new_and_nothing_at_all(self):
        delivers, synced = self.packets(self.bob)
        self.assertEqual((delivers, synced.upto, synced.more, synced.reset), ([], "", False, False))
        (only,) = self.fill(1)
        delivers, synced = self.packets(self.bob, after=only)
        self.assertEqual((delivers, synced.upto, synced.more, synced.reset), ([], only, False, False))

    def test_limits(self):
        self.fill(PAGE + 1)
        self.assertEqual(len(self.page(self.bob, limit=0).entries), PAGE)
        self.patch(reading, "MAX_PAGE", PAGE)
        self.assertEqual(len(self.page(self.bob, limit=10**9).entries), PAGE)
        self.assertEqual(len(self.page(self.bob, limit=1).entries), 1)
        self.refusal(self.reading.page(self.bob.id, self.ab, limit=-1), InvalidField)

    def test_invalid_positions(self):
        for position in ("x", "1", "1-", "-1", "01-1", "1-1 ", "1-1-1", "9" * 40 + "-1"):
            for name in ("after", "before"):
                error = self.refusal(self.reading.page(self.bob.id, self.ab, **{name: position}), InvalidField)
                self.assertEqual(error.field, name)
        self.refusal(self.reading.page(self.bob.id, self.ab, after="1-1", before="1-2"), InvalidField)

    def test_a_position_beyond_the_end_resets(self):
        last = self.fill(2)[-1]
        delivers, synced = self.packets(self.bob, after=BEYOND)
        self.assertEqual(([*delivers], synced.after, synced.upto), ([], BEYOND, last))
        self.assertEqual((synced.more, synced.reset), (False, True))

    def test_a_position_of_an_earlier_epoch(self):
        first = self.fill(2)[0]
        delivers, synced = self.packets(self.bob, after="1-5")
        self.assertEqual([d.text for d in delivers], ["m0", "m1"])
        # There is nothing between it and the first one.
        self.assertEqual((synced.after, synced.reset), ("1-5", False))
        self.assertLessEqual(positions.parse(delivers[0].previous), positions.parse("1-5"))
        self.assertLess(positions.parse("1-5"), positions.parse(first))

    def test_a_page_fits_into_an_item_of_a_link(self):
        big = "x" * 40_000
        for _ in range(PAGE_BYTES // 40_000 + 2):
            self.say(self.alice, self.bob, big)
        forward, synced = self.packets(self.bob)
        self.assertLessEqual(sum(d.ByteSize() for d in forward), PAGE_BYTES)
        self.assertEqual((synced.upto, synced.more), (forward[-1].position, True))
        backward, synced = self.packets(self.bob, before=BEYOND)
        self.assertLessEqual(sum(d.ByteSize() for d in backward), PAGE_BYTES)
        self.assertEqual((synced.after, synced.more), (backward[0].previous, True))
        self.assertLess(len(backward), PAGE_BYTES // 40_000 + 2)

    def test_entries_that_cannot_be_decoded_are_skipped_and_counted(self):
        self.fill(1)
        self.append_bytes(self.ab, self.alice, b"\xff\xff")
        self.append_bytes(self.ab, self.alice, b"X\x02\xff")
        self.fill(1)
        delivers, synced = self.packets(self.bob)
        self.assertEqual([d.text for d in delivers], ["m0", "m0"])
        self.assertEqual(delivers[1].previous, delivers[0].position)
        self.assertEqual((synced.upto, synced.more, synced.reset), (delivers[1].position, False, False))
        self.assertEqual(self.store.conversations.skipped, 2)
        delivers, synced = self.packets(self.bob, before=BEYOND)
        self.assertEqual((len(delivers), synced.after), (2, ""))
        self.assertEqual(self.store.conversations.skipped, 4)

    def test_the_store_is_away(self):
        self.store.available = False
        self.refusal(self.reading.page(self.bob.id, self.ab), StoreUnavailable)

    # Pages before a position

    def test_a_page_before_a_position_says_what_was_sent(self):
        first, second, third, fourth = self.fill(4)
        delivers, synced = self.packets(self.bob, before=fourth, limit=2)
        self.assertEqual([d.position for d in delivers], [second, third])
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), (first, third, True, False))
        delivers, synced = self.packets(self.bob, before=second, limit=2)
        self.assertEqual([d.position for d in delivers], [first])
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), ("", first, False, False))

    def test_nothing_before_the_first_message(self):
        first = self.fill(2)[0]
        delivers, synced = self.packets(self.bob, before=first)
        self.assertEqual((delivers, synced.after, synced.upto), ([], "", ""))
        self.assertEqual((synced.more, synced.reset), (False, False))

    def test_the_gap_rule_may_take_a_page_before_like_any_other(self):
        order = self.fill(6)
        rule = GapRule(GapPolicy(random.Random(1).random), positions.parse(order[1]))
        taken = []
        # A client that has the first two reads the history before the last.
        for limit in (3, 2, 1):
            delivers, synced = self.packets(self.bob, before=order[5], limit=limit)
            for deliver in delivers:
                taken += rule.pushed(
                    positions.parse(deliver.position), positions.parse(deliver.previous), deliver.text, 0.0
                )
            taken += rule.synced(
                positions.parse(synced.after), positions.parse(synced.upto), synced.more, synced.reset, 0.0
            )
        self.assertEqual(taken, ["m2", "m3", "m4"])
        self.assertEqual(rule.held, positions.parse(order[4]))

    def test_what_is_left_out_of_a_page_back_is_read_in_few_calls(self):
        """A page of one message took as many calls of the store as joins and leaves stood before it."""
        group = self.group(self.alice, self.bob)
        said = self.fill(3, group)
        body = Deliver(kind=MEMBERS, group=group, client_id="x").SerializeToString()
        joins = [Append(f"g:{group}", self.alice.id, f"j{n}", b"", body, 1, counts=False) for n in range(200)]
        self.now(self.conversations.append([evolve(one, sent_at=int(self.clock.seconds() * 1000)) for one in joins]))
        held = self.reading._store = Held(self.conversations, "read")
        reading = self.begin(self.reading.page(self.bob.id, f"g:{group}", before=BEYOND, limit=2))
        looked = 0
        while held.calls:
            held.go()
            looked += 1
        page = self.successResultOf(reading)
        self.assertEqual([entry.position for entry in page.entries], said[1:])
        self.assertEqual((page.more, looked), (True, 2))

    # Recalled texts

    def test_a_recalled_text_and_its_edits_are_blank(self):
        said = self.say(self.alice, self.bob, "secret").position
        self.edit(self.alice, self.bob, said, "secret too")
        other = self.say(self.alice, self.bob, "stays").position
        self.edit(self.alice, self.bob, other, "stays too")
        self.recall(self.alice, self.bob, said)
        self.assertEqual(self.texts(self.bob), ["", "", "stays too", "stays too", ""])
        entries = self.page(self.bob).entries
        bodies = [native.parse_body(entry.body) for entry in entries]
        self.assertEqual((bodies[1].kind, bodies[1].ref, bodies[1].sender), (EDIT, said, self.alice.id))
        self.assertEqual(bodies[4].kind, RECALL)

    def test_an_edit_of_a_recalled_text_on_another_page_is_blank(self):
        said = self.say(self.alice, self.bob, "secret").position
        other = self.say(self.alice, self.bob, "stays").position
        self.edit(self.alice, self.bob, said, "secret too")
        self.edit(self.alice, self.bob, said, "secret as well")
        self.edit(self.alice, self.bob, other, "stays too")
        self.recall(self.alice, self.bob, said)
        self.assertEqual(self.texts(self.bob, after=other), ["", "", "stays too", ""])
        self.assertEqual([d.text for d in self.packets(self.bob, before=BEYOND, limit=3)[0]], ["", "stays too", ""])

    def test_texts_are_as_they_stand_whatever_page_their_edits_are_on(self):
        first, second, third = self.fill(3)
        for text in "12":
            self.edit(self.alice, self.bob, second, text)
        for where in {"limit": 3}, {"after": first}, {"before": third}:
            entries = self.page(self.bob, **where).entries
            found = {entry.position: native.parse_body(entry.body) for entry in entries}
            self.assertEqual((found[second].text, found[second].edited, found[second].kind), ("2", True, TEXT))
            self.assertFalse(any(said.edited for position, said in found.items() if position != second))

    def test_edits_that_a_route_of_an_earlier_release_stored(self):
        (first, _), now = self.fill(2), int(self.clock.seconds() * 1000)
        for text in "12":
            send = Send(client_id=f"edit-{text}", text=text, kind=EDIT, ref=first)
            body = native.body_of(send, self.alice.id, "alice", now)
            item = Append(self.ab, self.alice.id, send.client_id, b"", body, now, False, refers=first)
            self.now(self.store.conversations.append([item]))
        self.assertEqual(self.texts(self.bob), ["2", "m1", "1", "2"])
        self.recall(self.alice, self.bob, first)
        self.assertEqual(self.texts(self.bob), ["", "m1", "", "", ""])

    def test_without_revisions(self):
        said = self.fill(3)
        self.edit(self.alice, self.bob, said[0], "x")
        self.recall(self.alice, self.bob, said[1])
        last = self.say(self.alice, self.bob, "last").position
        page = self.page(self.bob, without=NO_REVISIONS)
        self.assertEqual([native.parse_body(entry.body).text for entry in page.entries], ["x", "", "m2", "last"])
        self.assertEqual((page.entries[-1].previous, page.upto, page.more), (said[2], last, False))
        page = self.page(self.bob, before=BEYOND, limit=2, without=NO_REVISIONS)
        self.assertEqual([entry.position for entry in page.entries], [last])
        self.assertTrue(page.more)

    def test_an_edit_whose_text_was_trimmed_is_blank(self):
        said = self.say(self.alice, self.bob, "secret").position
        self.clock.advance(3600)
        self.edit(self.alice, self.bob, said, "secret too")
        self.clock.advance(30 * 86400 - 1800)
        self.assertEqual(self.texts(self.bob), [""])

    def test_texts_on_other_pages_are_looked_up_together(self):
        said = self.fill(20)
        for position in said:
            self.edit(self.alice, self.bob, position, "edited")
        self.recall(self.alice, self.bob, said[3])
        held = self.reading._store = Held(self.store.conversations, "standing")
        reading = self.begin(self.reading.page(self.bob.id, self.ab, after=said[-1]))
        ((_, asked, _),) = held.calls
        self.assertEqual(asked, (self.ab, said))
        held.go()
        texts = [native.parse_body(entry.body).text for entry in self.successResultOf(reading).entries]
        self.assertEqual(texts, [*["edited"] * 3, "", *["edited"] * 16, ""])

    def test_without_the_texts_there_is_no_page(self):
        said = self.say(self.alice, self.bob, "secret").position
        self.edit(self.alice, self.bob, said, "x")
        held = self.reading._store = Held(self.store.conversations, "standing")
        reading = self.begin(self.reading.page(self.bob.id, self.ab, after=said))
        held.fail(StoreUnavailable())
        self.failureResultOf(reading, StoreUnavailable)

    def test_a_text_that_looks_like_an_edit(self):
        self.say(self.alice, self.bob, "X\x02 marks the spot")
        self.assertEqual(self.texts(self.bob), ["X\x02 marks the spot"])

    # Heads

    def test_heads(self):
        group = self.group(self.alice, self.bob)
        self.say(self.alice, self.bob, "a")
        self.clock.advance(2)
        last = self.say(self.alice, group, "b").position
        page = self.now(self.reading.heads(self.bob.id, "phone"))
        self.assertEqual([head.conversation for head in page.heads], [f"g:{group}", self.ab])
        self.assertEqual((page.heads[0].latest, page.heads[0].unread), (last, 1))
        first = self.now(self.reading.heads(self.bob.id, "phone", limit=1))
        self.assertEqual(len(first.heads), 1)
        news = body_of(self.now(self.reading.news(self.bob.id, "phone", first.more)))
        self.assertEqual([head.conversation for head in news.heads], [self.ab])
        welcome = body_of(self.now(self.reading.welcome(self.bob.id, "phone")))
        self.assertEqual([head.conversation for head in welcome.heads], [f"g:{group}", self.ab])
        self.assertEqual(welcome.as_of, str(int(self.clock.seconds() * 1000)))
        self.refusal(self.reading.heads(self.bob.id, "phone", after="nonsense"), InvalidField)

    def test_messages_to_everyone_are_not_in_heads(self):
        self.say(self.alice, 0, "all")
        self.assertEqual(self.now(self.reading.heads(self.bob.id, "phone")).heads, ())

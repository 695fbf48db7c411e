"""Guests and native clients in the same conversations, and what guests missed."""

from __future__ import annotations

from cim.errors import UserOffline
from cim.route.messages.limits import Guest
from cim.wire.cim_pb2 import EDIT, OFFLINE, PING, RECALL
from cim.wire.guests import Generation
from tests.cluster.native_case import NativeCase

W1, W2 = Generation.W1, Generation.W2


class GuestCase(NativeCase):
    def guest(self, account, generation=W2):
        return self.cluster.log_in(account, generation=generation)

    def private(self, sender, receiver, *texts, batch=False, route=0):
        """Do what /p2pRoute does; return whether it was written to somebody who is online."""
        try:
            guest = Guest(sender.id, "192.0.2.7")
            self.cluster.result(self.cluster.routes[route].messages.private(guest, receiver.id, texts, batch=batch))
        except UserOffline:
            return False
        return True

    def fetch(self, account, route=0):
        self.cluster.result(self.cluster.routes[route].messages.fetch_offline(account.id))

    def chat(self, guest):
        """Take the frames that arrived, except pongs."""
        return [frame for frame in guest.frames() if frame.command != PING]


class TogetherTests(GuestCase):
    def test_a_native_client_writes_to_a_guest(self):
        alice = self.log_in(self.alice)
        for generation in (W1, W2):
            guest = self.guest(self.bob, generation)
            alice.send(self.bob.id, f"to {generation.value}", generation.value)
            self.accepted(alice)
            (frame,) = self.chat(guest)
            if generation is W1:
                self.assertEqual(frame.text, "alice:to w1")
            else:
                self.assertEqual(
                    dict(frame.properties),
                    {
                        "sendUserId": str(self.alice.id),
                        "sendUserName": "alice",
                        "receiveUserId": str(self.bob.id),
                    },
                )
            guest.drop()
            self.cluster.pass_seconds(2)

    def test_a_guest_writes_to_a_native_client(self):
        alice = self.log_in(self.alice)
        self.guest(self.bob)
        self.assertTrue(self.private(self.bob, self.alice, "hello"))
        deliver = self.answer(alice)
        self.assertEqual(
            (deliver.sender, deliver.sender_name, deliver.text, deliver.conversation),
            (self.bob.id, "bob", "hello", self.conversation),
        )
        # A batch is as many messages.
        self.assertTrue(self.private(self.bob, self.alice, "one", "two", batch=True, route=1))
        self.assertEqual(alice.texts(), ["one", "two"])
        self.assertEqual(self.page(alice)[0], ["hello", "one", "two"])

    def test_a_native_client_that_was_away_gets_it(self):
        self.guest(self.bob)
        self.assertFalse(self.private(self.bob, self.alice, "hello"))
        (head,) = self.log_in(self.alice).welcome.heads
        self.assertEqual((head.conversation, head.unread), (self.conversation, 1))

    def test_what_guests_are_shown_of_revisions(self):
        alice, guest = self.log_in(self.alice), self.guest(self.bob)
        alice.send(self.bob.id, "first", "1")
        position = self.accepted(alice).position
        alice.send(self.bob.id, "better", "2", kind=EDIT, ref=position)
        self.accepted(alice)
        alice.send(self.bob.id, "", "3", kind=RECALL, ref=position)
        self.accepted(alice)
        alice.send(self.bob.id, "last", "4")
        self.accepted(alice)
        self.assertEqual([frame.text for frame in self.chat(guest)], ["first", "(edited) better", "last"])

    def test_everyone_both_ways_and_live_only(self):
        alice, guest = self.log_in(self.alice), self.guest(self.bob)
        alice.send_group(0, "from alice", "1")
        self.accepted(alice)
        self.assertEqual([frame.text for frame in self.chat(guest)], ["from alice"])
        self.cluster.result(self.cluster.routes[1].messages.everyone(Guest(self.bob.id, "192.0.2.7"), "from bob"))
        deliver = self.answer(alice)
        self.assertEqual((deliver.text, deliver.conversation, deliver.sender), ("from bob", "g:0", self.bob.id))
        carol = self.guest(self.carol)
        self.fetch(self.carol)
        self.cluster.pass_seconds(2)
        self.assertEqual(self.chat(carol), [])
        self.assertEqual(self.page(alice, "g:0")[0], ["from alice", "from bob"])

    def test_a_guest_in_a_group(self):
        grouping = self.cluster.routes[0].grouping
        alice, guest = self.log_in(self.alice), self.guest(self.bob)
        group = self.cluster.result(grouping.create(self.alice.id, "friends", open=True, history=True))
        self.cluster.result(grouping.add(group, self.alice.id, self.bob.id))
        alice.send_group(group, "hello", "1")
        self.accepted(alice)
        self.cluster.pass_seconds(2)
        self.assertEqual([frame.text for frame in self.chat(guest)], ["hello"])


class OfflineTests(GuestCase):
    def setUp(self):
        super().setUp()
        # From two senders, in runs: alice, alice, carol, alice.
        self.said = [(self.alice, "a1"), (self.alice, "a2"), (self.carol, "c1"), (self.alice, "a3")]
        for sender, text in self.said:
            self.assertFalse(self.private(sender, self.bob, text))
            self.cluster.clock.advance(0.01)

    def test_the_first_generation_gets_it_at_login(self):
        guest = self.guest(self.bob, W1)
        self.cluster.pass_seconds(1)
        texts = guest.texts()
        self.assertEqual([text for text in texts if text.startswith("alice")], ["alice:a1", "alice:a2", "alice:a3"])
        self.assertEqual([text for text in texts if text.startswith("carol")], ["carol:c1"])
        self.cluster.pass_seconds(1)
        guest.drop()
        self.cluster.pass_seconds(1)
        self.assertEqual(self.guest(self.bob, W1).texts(), [])

    def test_the_second_generation_gets_it_on_fetching_with_frames_per_sender(self):
        guest = self.guest(self.bob)
        self.assertEqual(self.chat(guest), [])
        self.fetch(self.bob, route=1)
        frames = self.chat(guest)
        self.assertEqual({frame.command for frame in frames}, {OFFLINE})
        said = {}
        for frame in frames:
            said.setdefault(frame.properties["sendUserName"], []).extend(frame.batch or [frame.text])
        self.assertEqual(said, {"alice": ["a1", "a2", "a3"], "carol": ["c1"]})
        # Once.
        self.fetch(self.bob)
        self.assertEqual(self.chat(guest), [])
        self.cluster.pass_seconds(2)
        guest.drop()
        self.cluster.pass_seconds(2)
        again = self.guest(self.bob)
        self.fetch(self.bob)
        self.assertEqual(self.chat(again), [])

    def test_the_second_generation_gets_it_before_its_first_live_message(self):
        guest = self.guest(self.bob)
        self.assertTrue(self.private(self.alice, self.bob, "live"))
        frames = self.chat(guest)
        texts = [text for frame in frames for text in (frame.batch or [frame.text])]
        self.assertEqual([text for text in texts if text != "c1"], ["a1", "a2", "a3", "live"])
        # Messages from others are in another conversation, and come, too.
        self.assertIn("c1", texts)
        self.assertEqual([frame.text for frame in frames if frame.command != OFFLINE], ["live"])

    def test_offline_messages_of_a_native_client(self):
        alice = self.log_in(self.alice)
        alice.send(self.bob.id, "native", "1")
        self.accepted(alice)
        guest = self.guest(self.bob)
        self.fetch(self.bob)
        texts = [text for frame in self.chat(guest) for text in (frame.batch or [frame.text])]
        self.assertEqual([text for text in texts if text != "c1"], ["a1", "a2", "a3", "native"])

    def test_an_unreadable_entry_is_skipped(self):
        database = self.cluster.store.conversations._sqlite.connection
        changed = database.execute("UPDATE message SET body = x'ffffff' WHERE instr(body, x'6132')").rowcount
        self.assertEqual(changed, 1)
        guest = self.guest(self.bob)
        self.fetch(self.bob)
        texts = [text for frame in self.chat(guest) for text in (frame.batch or [frame.text])]
        self.assertEqual(sorted(texts), ["a1", "a3", "c1"])
        self.assertGreater(self.cluster.store.conversations.skipped, 0)
        # Native clients do not get it either.
        self.assertEqual(self.page(self.log_in(self.bob, "phone"))[0], ["a1", "a3"])

    def test_more_than_a_page_and_then_live_ones_in_order(self):
        for at in range(0, 250, 50):
            self.private(self.carol, self.bob, *(f"m{n}" for n in range(at, at + 50)))
        guest = self.guest(self.bob)
        self.assertTrue(self.private(self.carol, self.bob, "live"))
        self.cluster.pass_seconds(2)
        frames = [frame for frame in self.chat(guest) if frame.properties["sendUserName"] == "carol"]
        texts = [text for frame in frames for text in (frame.batch or [frame.text])]
        self.assertEqual(texts, ["c1", *(f"m{n}" for n in range(250)), "live"])
        self.assertTrue(all(len(frame.batch) <= 100 for frame in frames))

    def test_a_guest_gets_what_was_said_while_its_links_were_lost(self):
        guest = self.guest(self.bob)
        self.fetch(self.bob)
        self.chat(guest)
        server = next(s for s in self.cluster.servers if guest.connection in s.gateway.connections)
        for route in self.cluster.routes:
            self.cluster.cut(server, route)
        self.private(self.alice, self.bob, "meanwhile")
        for route in self.cluster.routes:
            self.cluster.link(server, route)
        self.cluster.pass_seconds(3)
        texts = [text for frame in self.chat(guest) for text in (frame.batch or [frame.text])]
        self.assertEqual(texts, ["meanwhile"])

"""What native clients read (pages of a conversation, heads, unread counts), and the receipts that they send."""

from __future__ import annotations

from cim.limits import NO_LIMIT
from cim.route.messages.limits import MESSAGE_LIMITS
from cim.store.pages import BEFORE_MS
from cim.wire.cim_pb2 import Packet, Sync
from tests.cluster.native_case import NativeCase


class ReadingCase(NativeCase):
    # Conversations are filled faster than users may.
    message_limits = dict.fromkeys(MESSAGE_LIMITS, NO_LIMIT)

    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)

    def say(self, numbers):
        """Send these from Alice to Bob; return their positions."""
        positions = []
        for number in numbers:
            self.phone.send(self.bob.id, str(number), str(number))
            self.turn()
            (accepted,) = self.phone.take("accepted")
            positions.append(accepted.position)
        self.desk.packets()
        return positions


class SyncTests(ReadingCase):
    def test_after(self):
        positions = self.say(range(10))
        texts, synced = self.page(self.desk)
        self.assertEqual(texts, [str(n) for n in range(10)])
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), ("", positions[-1], False, False))
        texts, synced = self.page(self.desk, after=positions[6])
        self.assertEqual((texts, synced.after), (["7", "8", "9"], positions[6]))
        texts, synced = self.page(self.desk, after=positions[-1])
        self.assertEqual((texts, synced.upto, synced.more), ([], positions[-1], False))

    def test_pages(self):
        self.say(range(10))
        texts, after, more = [], "", True
        while more:
            found, synced = self.page(self.desk, after=after, limit=3)
            self.assertLessEqual(len(found), 3)
            texts += found
            after, more = synced.upto, synced.more
        self.assertEqual(texts, [str(n) for n in range(10)])

    def test_before(self):
        positions = self.say(range(10))
        texts, synced = self.page(self.desk, before=positions[5], limit=3)
        self.assertEqual((texts, synced.more), (["2", "3", "4"], True))
        texts, synced = self.page(self.desk, before=positions[2], limit=3)
        self.assertEqual((texts, synced.more), (["0", "1"], False))

    def test_limits(self):
        self.say(range(2))
        self.assertEqual(len(self.page(self.desk, limit=0)[0]), 2)
        self.assertEqual(len(self.page(self.desk, limit=1)[0]), 1)
        self.assertEqual(len(self.page(self.desk, limit=1_000_000_000)[0]), 2)
        self.assertEqual(len(self.page(self.desk, limit=(1 << 32) - 1)[0]), 2)

    def test_a_limit_of_a_billion_gives_a_full_page(self):
        for number in range(510):
            self.phone.send(self.bob.id, "x", str(number))
            if number % 50 == 49:
                self.turn()
        self.turn()
        self.desk.packets()
        texts, synced = self.page(self.desk, limit=1_000_000_000)
        self.assertEqual((len(texts), synced.more), (500, True))
        self.assertEqual(len(self.page(self.desk, after=synced.upto)[0]), 10)

    def test_invalid_cursors(self):
        self.say(range(2))
        for fields in (
            {"after": "x"},
            {"after": "1"},
            {"after": "01-1"},
            {"after": "1-1-1"},
            {"after": "-1-1"},
            {"after": "1-" + "9" * 40},
            {"after": "1-1\x00"},
            {"before": "x"},
            {"after": "1-1", "before": "2-1"},
        ):
            self.desk.sync(self.conversation, **fields)
            self.assertEqual(self.failure(self.desk), "invalid", fields)

    def test_cursors_outside_the_conversation(self):
        """A cursor before everything gives the beginning; one beyond the end gives a reset to the end."""
        positions = self.say(range(3))
        texts, _ = self.page(self.desk, after="1-1")
        self.assertEqual(texts, ["0", "1", "2"])
        texts, synced = self.page(self.desk, after="9999999999999-7")
        self.assertEqual((texts, synced.upto, synced.reset), ([], positions[-1], True))

    def test_conversations_of_others_and_invalid_names(self):
        self.say(range(1))
        carol = self.log_in(self.carol)
        carol.sync(self.conversation)
        self.assertEqual(self.failure(carol), "forbidden")
        a, b = self.alice.id, self.bob.id
        for name in (
            f"p:{b}:{a}",
            f"p:0{a}:{b}",
            f"p:{a}:{a}",
            f"p:{a}",
            f"p:{a}:{b}:",
            f"p:{a}:{b} ",
            f"P:{a}:{b}",
            f"p:{a}:{1 << 60}",
            "p:2:1",
            "p:01:2",
            "p:-1:2",
            "p:1:٢",
            "g:1}",
            "g:01",
            "g:-1",
            "g:",
            "g:1\n",
            "{g:1}",
            "x",
            "\x00",
            "x" * 10_000,
        ):
            self.desk.sync(name)
            self.assertEqual(self.failure(self.desk), "invalid", name)
            for tell in (self.desk.received, self.desk.read):
                tell(name, "1-1")
                self.assertEqual(self.failure(self.desk), "invalid", name)

    def test_pages_answer_in_the_order_of_the_questions(self):
        self.say(range(5))
        self.desk.say(
            *(Packet(sync=Sync(conversation=self.conversation, limit=limit)) for limit in (1, 2, 3)),
        )
        self.turn()
        kinds = "".join(packet.WhichOneof("body")[0] for packet in self.desk.packets())
        self.assertEqual(kinds, "dsddsddds")


class HeadTests(ReadingCase):
    def test_the_welcome_lists_what_is_new(self):
        positions = self.say(range(3))
        (head,) = self.log_in(self.bob, "tablet").welcome.heads
        self.assertEqual(
            (head.conversation, head.latest, head.received, head.read, head.unread),
            (self.conversation, positions[-1], "", "", 3),
        )
        # A user's own messages do not count as unread.
        (head,) = self.log_in(self.alice, "tablet").welcome.heads
        self.assertEqual((head.latest, head.unread), (positions[-1], 0))

    def test_received_and_read_only_move_forward(self):
        positions = self.say(range(5))
        self.desk.received(self.conversation, positions[3])
        self.desk.read(self.conversation, positions[2])
        self.cluster.pass_seconds(1)
        self.desk.received(self.conversation, positions[1])
        self.desk.read(self.conversation, positions[0])
        self.cluster.pass_seconds(1)
        (head,) = self.log_in(self.bob).welcome.heads
        self.assertEqual((head.received, head.read, head.unread), (positions[3], positions[2], 2))
        # The received mark is per device, the read mark per user.
        (head,) = self.log_in(self.bob, "tablet").welcome.heads
        self.assertEqual((head.received, head.read, head.unread), ("", positions[2], 2))

    def test_beyond_the_end_is_the_end(self):
        positions = self.say(range(3))
        self.desk.received(self.conversation, "9999999999999-1")
        self.desk.read(self.conversation, "9999999999999-1")
        self.cluster.pass_seconds(1)
        self.assertEqual(list(self.log_in(self.bob).welcome.heads), [])
        positions += self.say(["3"])
        (head,) = self.log_in(self.bob, "tablet").welcome.heads
        self.assertEqual((head.latest, head.read, head.unread), (positions[3], positions[2], 1))

    def test_marks_in_conversations_of_others_do_not_move(self):
        positions = self.say(range(3))
        carol = self.log_in(self.carol)
        carol.received(self.conversation, positions[-1])
        carol.read(self.conversation, positions[-1])
        carol.read("g:77", "1-1")
        self.cluster.pass_seconds(2)
        self.assertEqual(list(self.log_in(self.carol).welcome.heads), [])
        self.assertEqual([p for p in self.phone.packets() if p.HasField("read")], [])

    def test_more_than_a_hundred_in_pages(self):
        friends = [self.cluster.account(f"friend{n}") for n in range(150)]
        for at, friend in enumerate(friends):
            self.phone.send(friend.id, "hi", "1")
            if at % 10 == 9:
                self.cluster.clock.advance(1)
                self.turn()
        self.turn()
        tablet = self.log_in(self.alice, "tablet")
        found = [head.conversation for head in tablet.welcome.heads]
        self.assertEqual(len(found), 100)
        self.assertEqual(tablet.welcome.heads[0].unread, 0)
        more = tablet.welcome.more
        while more:
            tablet.sync(after=more)
            news = self.answer(tablet)
            found += [head.conversation for head in news.heads]
            more = news.more
        self.assertEqual((len(found), len(set(found))), (150, 150))

    def test_a_page_of_heads_after_an_invalid_cursor(self):
        for after in ("x", "1", "-", "\x00", "9" * 100):
            self.desk.sync(after=after)
            self.assertEqual(self.failure(self.desk), "invalid", after)

    def test_since_the_last_time(self):
        self.say(range(1))
        as_of = self.log_in(self.bob).welcome.as_of
        self.cluster.pass_seconds(200)
        self.assertEqual(len(self.log_in(self.bob).welcome.heads), 1)
        since = str(int(as_of) + BEFORE_MS + 5000)
        self.assertEqual(list(self.log_in(self.bob, since=since).welcome.heads), [])
        for nonsense in ("x", "-1", "é", "9" * 100):
            self.log_in(self.bob, since=nonsense)

    def test_unread_ends_at_999(self):
        for number in range(1005):
            self.phone.send(self.bob.id, "x", str(number))
            if number % 50 == 49:
                self.turn()
        self.turn()
        (head,) = self.log_in(self.bob, "tablet").welcome.heads
        self.assertEqual(head.unread, 999)


class ToldTests(ReadingCase):
    def test_read_is_sent_to_the_other_user_and_to_one_s_other_devices(self):
        positions = self.say(range(3))
        tablet, carol = self.log_in(self.bob, "tablet"), self.log_in(self.carol)
        self.desk.read(self.conversation, positions[1])
        self.cluster.pass_seconds(2)
        for client in (self.phone, tablet):
            (read,) = client.take("read")
            self.assertEqual(
                (read.conversation, read.position, read.reader), (self.conversation, positions[1], self.bob.id)
            )
        self.assertEqual(self.desk.packets() + carol.packets(), [])
        # The other user is not told what was received.
        self.desk.received(self.conversation, positions[2])
        self.cluster.pass_seconds(2)
        self.assertEqual(self.phone.packets(), [])

    def test_typing(self):
        carol = self.log_in(self.carol)
        self.phone.typing(self.bob.id)
        typing = self.answer(self.desk)
        self.assertEqual((typing.who, typing.user), (self.alice.id, self.bob.id))
        self.assertEqual(self.phone.packets() + carol.packets(), [])
        # Not more often than twice a second.
        self.phone.typing(self.bob.id)
        self.turn()
        self.assertEqual(self.desk.packets(), [])
        self.cluster.pass_seconds(1)
        self.phone.typing(self.bob.id)
        self.answer(self.desk)
        self.cluster.pass_seconds(1)
        self.phone.typing(self.alice.id)
        self.assertEqual(self.failure(self.phone), "invalid")

    def test_presence_of_watched_users(self):
        carol = self.log_in(self.carol)
        carol.watch(self.alice.id, self.bob.id, 77)
        self.turn()
        now = {packet.presence.user_id: packet.presence.online for packet in carol.packets()}
        self.assertEqual(now, {self.alice.id: True, self.bob.id: True, 77: False})
        # Another device changes nothing; the last one does.
        tablet = self.log_in(self.bob, "tablet")
        self.desk.drop()
        self.turn()
        self.assertEqual(carol.packets(), [])
        tablet.drop()
        presence = self.answer(carol)
        self.assertEqual((presence.user_id, presence.online), (self.bob.id, False))
        self.log_in(self.bob)
        self.assertTrue(self.answer(carol).online)
        # The newer list replaces the older one.
        carol.watch(self.alice.id)
        self.answer(carol)
        self.log_in(self.bob).drop()
        self.turn()
        self.assertEqual(carol.packets(), [])
        carol.watch()
        self.phone.drop()
        self.turn()
        self.assertEqual(carol.packets(), [])

    def test_watching_goes_on_when_a_route_dies(self):
        carol = self.log_in(self.carol)
        carol.watch(self.alice.id)
        self.answer(carol)
        self.cluster.kill_route(self.cluster.routes[0])
        self.turn()
        carol.packets()
        self.phone.drop()
        self.turn()
        self.assertEqual([packet.presence.online for packet in carol.packets()], [False])

    def test_watching_too_many(self):
        self.desk.watch(*range(1, 202))
        self.assertEqual(self.failure(self.desk), "invalid")

"""Tests of reading: everything arrives once and in order, whatever is lost on the way."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cim.client.history import MemoryHistory
from cim.client.inbox import MAX_SYNCS
from cim.client.values import Kind, Mute, Presence, Receipt, Removed, State, Typing, User
from cim.errors import Forbidden, HistoryUnavailable, InvalidField, Muted, NotFound
from cim.interfaces import IMessageListener
from cim.model import FOREVER
from cim.wire import conversations
from cim.wire.cim_pb2 import Deliver, Failure, Packet
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.native import parse_client_packet
from tests.client.client_case import ClientCase


class KeptHistory(MemoryHistory):
    """A history that outlives its client, as on a disk."""

    def close(self):
        return succeed(None)


class ReadingCase(ClientCase):
    servers = 2
    routes = 2

    def setUp(self):
        super().setUp()
        self.alice = self.online("alice")
        self.bob = self.online("bob")
        self.name = conversations.private(self.alice.me.id, self.bob.me.id)

    def say(self, *texts, to=None):
        return [self.result(self.alice.send(to or self.bob.me, text)) for text in texts]

    def wire_of(self, client):
        """Return a client's connection to its server."""
        return next(wire for wire in self.wires_of(client) if wire.client.protocol is client._engine._connection)

    def said(self, client):
        """Return the list that collects what a client writes from now on, as (kind, body)."""
        wire = self.wire_of(client)
        found = []
        reader = FrameReader()
        write = wire.client.write

        def spy(data):
            for frame in reader.feed(data):
                packet = parse_client_packet(frame)
                kind = packet.WhichOneof("body")
                found.append((kind, getattr(packet, kind)))
            write(data)

        wire.client.write = spy
        return found


class GapTests(ReadingCase):
    def test_a_lost_push_is_fetched_before_later_messages_are_delivered(self):
        self.say("one")
        self.wire_of(self.bob).lossy = True
        self.say("two", "three")
        self.wire_of(self.bob).lossy = False
        self.say("four")
        self.assertEqual(self.bob.heard.texts, ["one"])
        self.wait(1)
        self.assertEqual(self.bob.heard.texts, ["one", "two", "three", "four"])

    def test_a_lost_sync_is_repeated(self):
        self.say("one")
        self.wire_of(self.bob).lossy = True
        self.say("two")
        self.wire_of(self.bob).lossy = False
        self.say("three")
        self.wire_of(self.bob).lossy = True
        self.wait(1)
        self.wire_of(self.bob).lossy = False
        self.wait(12)
        self.assertEqual(self.bob.heard.texts, ["one", "two", "three"])

    def test_a_failed_sync_is_repeated_after_a_second(self):
        self.say("one")
        wire = self.wire_of(self.bob)
        said = self.said(self.bob)
        wire.lossy = True
        self.say("two", "three")
        wire.lossy = False
        self.say("four")
        wire.lossy = True
        self.wait(0.3)
        [(_, first)] = [one for one in said if one[0] == "sync"]
        wire.lossy = False
        refusal = Failure(code="unavailable", conversation=first.conversation)
        wire.server.write(encode_frame(Packet(failure=refusal).SerializeToString()))
        self.wait(0.8)
        self.assertEqual([kind for kind, _ in said].count("sync"), 1)
        self.wait(0.5)
        self.assertEqual([kind for kind, _ in said].count("sync"), 2)

    def test_a_listener_that_closes_gets_no_buffered_messages(self):
        @implementer(IMessageListener)
        class Leaving:
            def received(self, client, message):
                if message.text == "three":
                    client.close()

        self.say("one")
        self.bob.add_listener(Leaving())
        self.wire_of(self.bob).lossy = True
        self.say("two", "three")
        self.wire_of(self.bob).lossy = False
        self.say("four")
        self.wait(1)
        self.assertEqual(self.bob.heard.texts, ["one", "two", "three"])

    def test_messages_that_were_sent_while_it_was_away(self):
        self.say("one")
        self.network.down.update((8083, 8084))
        self.wire_of(self.bob).cut()
        self.turn()
        self.say(*map(str, range(250)))
        self.assertEqual(self.bob.heard.texts, ["one"])
        self.network.down.clear()
        self.wait(20)
        self.assertEqual(self.bob.heard.texts, ["one", *map(str, range(250))])

    def test_own_messages_from_another_device(self):
        other = self.online("alice", device="other")
        self.say("one")
        self.assertEqual([(m.text, m.mine) for m in other.heard.messages], [("one", True)])

    def test_messages_to_everyone_are_read_across_reconnections_from_the_first_login(self):
        self.say("before", to=conversations.EVERYONE)
        carol = self.online("carol")
        self.say("one", to=conversations.EVERYONE)
        self.network.down.update((8083, 8084))
        self.wire_of(carol).cut()
        self.turn()
        self.say("two", "three", to=conversations.EVERYONE)
        self.network.down.clear()
        self.wait(5)
        self.assertEqual(carol.heard.texts, ["one", "two", "three"])

    def test_many_conversations_with_something_new(self):
        bobs = self.bob.me
        self.result(self.bob.close())
        count = 3 * MAX_SYNCS
        for number in range(count):
            someone = self.online(f"u{number}")
            self.result(someone.send(bobs, f"hello from {number}"))
            self.result(someone.close())
        again = self.online("bob")
        self.wait(2)
        self.assertEqual(sorted(again.heard.texts), sorted(f"hello from {number}" for number in range(count)))

    def test_more_heads_than_a_welcome_has(self):
        self.many_heads()
        again = self.online("bob")
        self.wait(2)
        self.assertEqual(len(again.heard.texts), 210)
        self.assertEqual(again.heard.texts.count("one"), 105)

    def test_heads_whose_page_was_lost_with_the_connection(self):
        self.many_heads()
        self.wait(90)
        again = self.make("bob")
        cut = []

        class Cutting:
            def state(_, client, state, reason):
                if state is State.READY and not cut:
                    cut.append(self.wire_of(client))
                    cut[0].cut()

        again.add_listener(Cutting())
        again.startService()
        self.wait(5)
        self.assertEqual((len(cut), len(again.heard.texts)), (1, 210))

    def many_heads(self):
        bobs = self.bob.me
        self.result(self.bob.close())
        for number in range(105):
            someone = self.cluster.account(f"u{number}")
            native = self.cluster.native(someone)
            native.send(bobs.id, "one", "1")
            native.send(bobs.id, "two", "2")
            self.cluster.turn()
            native.drop()


class BeginningTests(ReadingCase):
    def test_a_device_continues_where_it_left_off(self):
        self.say("one", "two")
        self.wait(2)
        self.result(self.bob.close())
        self.say("three")
        again = self.online("bob")
        self.wait(1)
        self.assertEqual(again.heard.texts, ["three"])

    def test_a_device_that_found_nothing_new_at_first_continues_too(self):
        self.say("one", "two")
        self.bob.mark_read(self.name)
        self.wait(2)
        self.result(self.bob.close())
        self.wait(2)
        again = self.online("bob")
        self.assertEqual(again.heard.texts, [])
        self.say("three")
        self.wait(1)
        self.assertEqual(again.heard.texts, ["three"])

    def test_a_new_device_starts_with_unread_messages(self):
        self.say("one", "two")
        self.bob.mark_read(self.name)
        self.wait(2)
        self.say("three")
        other = self.online("bob", device="other")
        self.wait(1)
        self.assertEqual(other.heard.texts, ["three"])

    def test_the_history_decides_where_to_start(self):
        history = KeptHistory()
        carol = self.online("carol", history=history)
        self.say("one", to=carol.me)
        self.result(carol.close())
        self.say("two", to=carol.me)
        again = self.online("carol", history=history)
        self.wait(1)
        self.assertEqual(again.heard.texts, ["two"])
        self.assertEqual([message.text for message in self.result(again.search("one"))], ["one"])

    def test_a_group_that_one_joins(self):
        group = self.result(self.alice.create_group("friends", open=True))
        self.say("before", to=f"g:{group.id}")
        self.result(self.bob.join(group.id))
        self.say("after", to=f"g:{group.id}")
        self.wait(1)
        self.assertEqual(self.bob.heard.texts, ["after"])
        self.assertEqual(self.bob.heard.messages[0].group, group.id)


class ReceiptTests(ReadingCase):
    def received(self, said):
        return [body.position for kind, body in said if kind == "received"]

    def test_receipts_at_most_once_a_second(self):
        said = self.said(self.bob)
        sent = self.say(*map(str, range(5)))
        self.wait(3)
        self.assertEqual(self.received(said)[-1], sent[-1].position)
        self.assertLessEqual(len(self.received(said)), 2)

    def test_receipts_for_every_hundred_messages(self):
        self.say("first")
        self.wait(2)
        said = self.said(self.bob)
        sending = [self.alice.send(self.bob.me, str(number)) for number in range(300)]
        self.turn()
        sent = [self.successResultOf(one) for one in sending]
        self.assertGreaterEqual(len(self.received(said)), 2)
        self.wait(2)
        self.assertEqual(self.received(said)[-1], sent[-1].position)

    def test_no_receipt_before_the_history_is_written(self):
        history = KeptHistory()
        writing = []
        add = history.add
        history.add = lambda *args: writing.append(Deferred().addCallback(lambda _: add(*args))) or writing[-1]
        carol = self.online("carol", history=history)
        said = self.said(carol)
        self.say("one", to=carol.me)
        self.wait(2)
        self.assertEqual((carol.heard.texts, self.received(said)), (["one"], []))
        for one in writing:
            one.callback(None)
        self.wait(2)
        self.assertEqual(len(self.received(said)), 1)

    def test_a_failed_write_is_not_acknowledged_and_does_no_other_harm(self):
        history = KeptHistory()
        carol = self.online("carol", history=history)
        history.add = lambda *args: fail(HistoryUnavailable("the disk is full"))
        said = self.said(carol)
        self.say("one", "two", to=carol.me)
        self.wait(2)
        self.assertEqual((carol.heard.texts, self.received(said)), (["one", "two"], []))
        self.assertEqual(len(self.flushLoggedErrors(HistoryUnavailable)), 2)

    def test_waiting_receipts_are_sent_before_leaving(self):
        self.say("one")
        self.wait(2)
        said = self.said(self.bob)
        (sent,) = self.say("two")
        self.result(self.bob.close())
        self.assertEqual(self.received(said)[-1], sent.position)

    def test_a_slow_history_pauses_reading(self):
        history = KeptHistory()
        carol = self.online("carol", history=history)
        add, held = history.add, []
        history.add = lambda *args: held.append(Deferred().addCallback(lambda _: add(*args))) or held[-1]
        carol._engine._journal._messages.extend([(None, "g:5", "1-1")] * 3000)
        self.say("one", to=carol.me)
        self.assertTrue(self.wire_of(carol).client.paused)
        self.say("two", to=carol.me)
        self.assertEqual(carol.heard.texts, ["one"])
        history.add = add
        while held:
            held.pop(0).callback(None)
        self.wait(1)
        self.assertEqual(carol.heard.texts, ["one", "two"])


class ListenerTests(ReadingCase):
    def test_a_listener_that_raises_does_no_harm(self):
        @implementer(IMessageListener)
        class Broken:
            def received(self, client, message):
                raise ValueError("broken")

        self.bob.remove_listener(self.bob.heard)
        self.bob.add_listener(Broken())
        self.bob.add_listener(self.bob.heard)
        self.say("one", "two")
        self.assertEqual(self.bob.heard.texts, ["one", "two"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_a_removed_listener_is_no_longer_called(self):
        self.bob.remove_listener(self.bob.heard)
        self.bob.remove_listener(self.bob.heard)
        self.say("one")
        self.assertEqual(self.bob.heard.texts, [])

    def test_a_message_listener_may_have_any_other_attributes(self):
        @implementer(IMessageListener)
        class Plain:
            state = "fine"

            def received(self, client, message):
                self.state = message.text

        plain = Plain()
        self.bob.add_listener(plain)
        self.say("one")
        self.wire_of(self.bob).cut()
        self.wait(2)
        self.assertEqual(plain.state, "one")

    def test_an_echo(self):
        @implementer(IMessageListener)
        class Echo:
            def received(self, client, message):
                if not message.mine:
                    client.send(message.conversation, f"you said {message.text}")

        self.bob.add_listener(Echo())
        self.say("one", "two")
        self.wait(1)
        self.assertEqual(self.alice.heard.others, ["you said one", "you said two"])

    def test_pausing_lasts_across_reconnections(self):
        self.bob.pause_receiving()
        self.say("one")
        self.wire_of(self.bob).cut()
        self.wait(5)
        self.assertEqual(self.bob.heard.texts, [])
        self.bob.resume_receiving()
        self.wait(5)
        self.assertEqual(self.bob.heard.texts, ["one"])

    def test_mutes_on_all_devices(self):
        self.result(self.alice.mute_conversation(self.name, 1_900_000_000_000))
        self.result(self.alice.mute_conversation("g:0"))
        self.assertEqual(self.result(self.alice.muted_conversations()), {self.name: 1_900_000_000_000, "g:0": FOREVER})
        self.result(self.alice.unmute_conversation("g:0"))
        told = [Mute(self.name, 1_900_000_000_000), Mute("g:0", FOREVER), Mute("g:0", 0)]
        self.assertEqual((self.alice.heard.mutes, self.bob.heard.mutes), (told, []))
        self.result(self.bob.send(self.alice.me, "hello"))
        (listed,) = self.result(self.alice.conversations())
        self.assertEqual((listed.muted_until, listed.unread), (1_900_000_000_000, 1))

    def test_receipts_typing_and_presence(self):
        self.alice.watch([self.bob.me.id])
        self.turn()
        (sent,) = self.say("one")
        self.bob.typing(self.alice.me)
        self.bob.typing(self.alice.me)
        self.bob.mark_read(self.name)
        self.wait(2)
        heard = self.alice.heard
        self.assertEqual(heard.receipts, [Receipt(self.name, self.bob.me.id, sent.position)])
        self.assertEqual(heard.typings, [Typing(self.name, self.bob.me.id)])
        self.assertEqual(heard.presences[-1], Presence(self.bob.me.id, True))
        self.result(self.bob.close())
        self.wait(5)
        self.assertEqual(heard.presences[-1], Presence(self.bob.me.id, False))

    def test_a_watch_and_a_read_mark_outlive_the_connection(self):
        self.say("one")
        self.network.down.update((8083, 8084))
        self.wire_of(self.bob).cut()
        self.bob.watch([self.alice.me.id])
        self.bob.mark_read(self.name)
        self.network.down.clear()
        self.wait(5)
        self.assertEqual(self.bob.heard.presences[-1], Presence(self.alice.me.id, True))
        self.assertEqual(len(self.alice.heard.receipts), 1)

    def test_typing_in_a_group(self):
        group = self.result(self.alice.create_group("friends", open=True))
        self.result(self.bob.join(group.id))
        # A typing note goes only to groups whose members are cached.
        self.result(self.bob.send(f"g:{group.id}", "here I am"))
        self.bob.typing(f"g:{group.id}")
        self.wait(1)
        self.assertEqual(self.alice.heard.typings, [Typing(f"g:{group.id}", self.bob.me.id)])


class AskingTests(ReadingCase):
    def test_conversations(self):
        group = self.result(self.bob.create_group("friends"))
        self.result(self.bob.invite(group.id, self.alice.me.id))
        self.result(self.alice.accept(group.id))
        sent = self.say("one", "two")
        self.clock.advance(1)
        (last,) = self.say("three", to=f"g:{group.id}")
        self.wait(2)
        friends, alice = self.result(self.bob.conversations())
        self.assertEqual(
            (friends.name, friends.title, friends.unread, friends.latest),
            (f"g:{group.id}", "friends", 1, last.position),
        )
        self.assertEqual(
            (alice.name, alice.title, alice.unread, alice.latest), (self.name, "alice", 2, sent[-1].position)
        )

    def test_history_comes_from_the_route_then_from_the_local_history(self):
        self.say(*map(str, range(30)))
        texts = lambda found: [message.text for message in found]  # noqa: E731
        last = self.result(self.bob.history(self.name, limit=10))
        self.assertEqual(texts(last), [str(number) for number in range(20, 30)])
        before = self.result(self.bob.history(self.name, last[0].position, 10))
        self.assertEqual(texts(before), [str(number) for number in range(10, 20)])
        self.assertEqual(before[0], self.bob.heard.messages[10])
        self.assertEqual(texts(self.result(self.bob.history(self.name, limit=1000))), [str(n) for n in range(30)])
        self.network.down.update((8083, 8084))
        for port in (8083, 8084):
            for wire in self.network.to(port):
                wire.cut()
        self.assertEqual(self.result(self.bob.history(self.name, limit=10)), last)

    def test_history_shows_texts_as_they_stand(self):
        first, second, *_ = self.say(*"abcd")
        self.result(self.alice.edit(self.name, first.position, "edited"))
        self.result(self.alice.recall(self.name, second.position))
        self.wait(2)
        as_they_stand = [("edited", True), ("", False), ("c", False), ("d", False)]
        whole = [*as_they_stand, ("edited", False), ("", False)]

        def read(**how):
            return [(one.text, one.edited) for one in self.result(self.bob.history(self.name, **how))]

        for offline in False, True:
            if offline:
                self.network.down.update((8083, 8084))
                for port in (8083, 8084):
                    for wire in self.network.to(port):
                        wire.cut()
            self.assertEqual((read(), read(revisions=False)), (whole, as_they_stand))
            self.assertEqual(read(limit=2, revisions=False), as_they_stand[2:])
            self.assertEqual(read(after=first.position, limit=2), whole[1:3])
            self.assertEqual(read(after=second.position, revisions=False), as_they_stand[2:])
        self.assertEqual([one.edited for one in self.result(self.bob.search("edited"))], [True])

    def test_history_that_this_device_never_received(self):
        self.say(*map(str, range(30)))
        self.bob.mark_read(self.name)
        self.wait(2)
        other = self.online("bob", device="other")
        found = self.result(other.history(self.name, limit=20))
        self.assertEqual([message.text for message in found], [str(number) for number in range(10, 30)])
        self.assertEqual(other.heard.texts, [])

    def test_search(self):
        self.say("one fish", "two birds")
        self.assertEqual([message.text for message in self.result(self.bob.search("fish"))], ["one fish"])

    def test_users(self):
        self.assertEqual(self.result(self.alice.user("bob")), self.bob.me)
        self.assertEqual(self.result(self.alice.user(self.bob.me.id)), self.bob.me)
        users, total = self.result(self.alice.online())
        self.assertEqual((users, total), ([self.alice.me, self.bob.me], 2))
        self.assertEqual(self.result(self.alice.online("b"))[0], [self.bob.me])
        self.assertEqual(self.result(self.alice.online(after="alice", limit=1))[0], [self.bob.me])

    def test_finding_people(self):
        self.assertEqual(self.result(self.alice.find("BOB")), [self.bob.me])
        self.assertEqual(self.result(self.alice.find("bo")), [])
        self.assertEqual(self.result(self.alice.find("nobody")), [])

    def test_groups(self):
        group = self.result(self.alice.create_group("friends", history=True))
        self.assertEqual((group.name, group.open, group.history, group.members), ("friends", False, True, 1))
        self.error(self.bob.join(group.id), Forbidden)
        self.assertFalse(self.result(self.alice.invite(group.id, self.bob.me.id)))
        (invitation,) = self.result(self.bob.invitations())
        self.assertEqual((invitation.group, invitation.name, invitation.by), (group.id, "friends", self.alice.me))
        self.assertEqual(self.bob.heard.invitations, [invitation])
        self.result(self.bob.accept(group.id))
        self.assertTrue(self.result(self.alice.invite(group.id, self.bob.me.id, "admin")))
        members = self.result(self.alice.members(group.id))
        self.assertEqual(
            [(member.user, member.role) for member in members], [(self.alice.me, "owner"), (self.bob.me, "admin")]
        )
        self.assertEqual([one.name for one in self.result(self.bob.groups())], ["friends"])
        self.result(self.bob.leave(group.id))
        self.assertEqual(self.result(self.bob.groups()), [])
        self.result(self.alice.invite(group.id, self.bob.me.id))
        self.result(self.alice.remove(group.id, self.bob.me.id))
        self.assertEqual(self.result(self.bob.invitations()), [])
        self.result(self.alice.invite(group.id, self.bob.me.id))
        self.result(self.bob.decline(group.id))
        self.error(self.bob.accept(group.id), Forbidden)
        self.assertEqual(self.result(self.bob.groups()), [])

    def test_what_happens_to_a_group_comes_once_and_in_order(self):
        group = self.result(self.alice.create_group("friends", open=True))
        name = f"g:{group.id}"
        self.result(self.bob.join(group.id))
        self.wait(2)
        self.result(self.alice.rename_group(group.id, "old friends"))
        self.wire_of(self.alice).cut()
        self.wait(5)
        self.result(self.alice.send(name, "hello"))
        for client in (self.alice, self.bob):
            said = [one for entry in client.heard.changes for one in entry.changes]
            self.assertEqual(
                [(one.what, one.user, one.text) for one in said],
                [("joined", self.bob.me.id, ""), ("renamed", self.alice.me.id, "old friends")],
            )
            self.assertEqual({entry.group for entry in client.heard.changes}, {group.id})
            self.assertEqual([one.text for one in client.heard.messages if one.group], ["hello"])
        self.assertEqual([one.text for one in self.result(self.bob.history(name))], ["hello"])

    def test_moderation(self):
        group = self.result(self.alice.create_group("friends", open=True))
        bob, name = self.bob.me, f"g:{group.id}"
        self.result(self.bob.join(group.id))
        until = self.result(self.alice.mute(group.id, bob.id, 3600))
        error = self.error(self.bob.send(name, "hello"), Muted)
        self.assertIn("by the admins of this group", error.message)
        muted = {member.user: member.muted for member in self.result(self.alice.members(group.id))}
        self.assertEqual(muted, {self.alice.me: None, bob: until})
        self.result(self.alice.unmute(group.id, bob.id))
        self.assertEqual(self.result(self.alice.mute(group.id)), 0)
        self.error(self.bob.send(name, "hello"), Muted)
        self.assertEqual([one.muted for one in self.result(self.bob.groups())], [0])
        self.result(self.alice.unmute(group.id))
        self.result(self.bob.send(name, "hello"))
        self.error(self.bob.ban(group.id, self.alice.me.id), Forbidden)
        self.result(self.alice.ban(group.id, bob.id))
        self.assertEqual(self.bob.heard.removals, [Removed(group.id, "banned", self.alice.me.id)])
        self.error(self.bob.join(group.id), Forbidden)
        (ban,) = self.result(self.alice.bans(group.id))
        self.assertEqual((ban.user, ban.by), (bob, self.alice.me))
        said = self.result(self.alice.change_members(group.id, add=[bob.id], remove=[77]))
        self.assertEqual([(one.user, one.what) for one in said], [(bob.id, "refused"), (77, "absent")])
        self.assertIn("banned", said[0].reason)
        self.result(self.alice.unban(group.id, bob.id))
        edited = self.result(self.alice.edit_group(group.id, open=False, history=True))
        self.assertEqual((edited.name, edited.open, edited.history), ("friends", False, True))
        self.wait(2)
        told = [one.what for entry in self.alice.heard.changes for one in entry.changes]
        self.assertEqual(
            told,
            ["joined", *["muted", "unmuted"] * 2, "removed", "banned", "unbanned", "open", "history"],
        )
        self.error(self.bob.dissolve(group.id), Forbidden)
        self.result(self.alice.dissolve(group.id))
        self.assertEqual(self.alice.heard.removals, [Removed(group.id, "dissolved", self.alice.me.id)])
        self.assertEqual(self.result(self.alice.groups()), [])

    def test_an_invitation_is_told_once_whatever_the_sessions(self):
        group = self.result(self.alice.create_group("friends"))
        self.result(self.alice.invite(group.id, self.bob.me.id))
        self.wire_of(self.bob).cut()
        self.wait(5)
        self.assertIs(self.bob.state, State.READY)
        self.assertEqual([one.group for one in self.bob.heard.invitations], [group.id])

    def test_blocking(self):
        self.result(self.alice.block(self.bob.me.id))
        self.assertEqual(self.result(self.alice.blocks()), [self.bob.me])
        self.error(self.bob.send(self.alice.me.id, "hello"), NotFound)
        self.result(self.alice.unblock(self.bob.me.id))
        self.assertEqual(self.result(self.alice.blocks()), [])
        self.result(self.bob.send(self.alice.me.id, "hello"))

    def test_reporting(self):
        sent = self.result(self.alice.send(self.bob.me.id, "buy this"))
        self.assertTrue(self.result(self.bob.report(sent.conversation, sent.position, "spam")))
        self.assertFalse(self.result(self.bob.report(sent.conversation, sent.position)))
        (report,) = self.successResultOf(self.cluster.store.reports.listed(open=True, limit=5)).items
        self.assertEqual((report.text, report.reason, report.reporter), ("buy this", "spam", self.bob.me.id))

    def test_what_an_operator_deletes(self):
        sent = self.result(self.alice.send(self.bob.me.id, "buy this"))
        self.wait(1)
        said = Deliver(sender=self.alice.me.id, sender_name="alice")
        deleting = self.cluster.routes[0].recalling.recall(sent.conversation, sent.position, said, by_operator=True)
        self.cluster.result(deleting)
        self.wait(1)
        recall = self.bob.heard.messages[-1]
        self.assertEqual((recall.kind, recall.ref, recall.by_operator), (Kind.RECALL, sent.position, True))
        page = self.result(self.bob.history(sent.conversation))
        self.assertEqual([(one.text, one.by_operator) for one in page], [("", True)] * 2)

    def test_being_muted(self):
        self.successResultOf(self.cluster.store.muted_users.mute(self.alice.me.id, reason="spam"))
        told = self.error(self.alice.send(self.bob.me.id, "hello"), Muted)
        self.assertEqual(str(told), "you are muted for good by an operator: spam")

    def test_a_renamed_group(self):
        group = self.result(self.alice.create_group("friends"))
        self.say("one", to=f"g:{group.id}")
        self.assertEqual([one.title for one in self.result(self.alice.conversations())], ["friends"])
        renamed = self.result(self.alice.rename_group(group.id, "old friends"))
        self.assertEqual((renamed.id, renamed.name), (group.id, "old friends"))
        self.assertEqual([one.title for one in self.result(self.alice.conversations())], ["old friends"])
        self.result(self.alice.invite(group.id, self.bob.me.id))
        self.result(self.bob.accept(group.id))
        self.error(self.bob.rename_group(group.id, "mine"), Forbidden)

    def test_invalid_arguments(self):
        self.error(self.alice.history("nonsense"), InvalidField)
        self.error(self.alice.join(0), InvalidField)
        self.alice.watch(range(1, 201))
        self.assertRaises(InvalidField, self.alice.watch, range(1, 202))

    def test_a_route_that_is_away_is_skipped(self):
        self.network.down.add(8083)
        for wire in self.network.to(8083):
            wire.cut()
        for _ in range(3):
            self.assertEqual(self.result(self.alice.user("bob")), self.bob.me)

    def test_kinds(self):
        (sent,) = self.say("one")
        self.result(self.alice.edit(self.name, sent.position, "uno"))
        self.result(self.bob.react(self.name, sent.position, "👍"))
        self.result(self.alice.recall(self.name, sent.position))
        heard = [(message.kind, message.text, message.ref) for message in self.bob.heard.messages]
        self.assertEqual(
            heard,
            [
                (Kind.TEXT, "one", ""),
                (Kind.EDIT, "uno", sent.position),
                (Kind.REACTION, "👍", sent.position),
                (Kind.RECALL, "", sent.position),
            ],
        )

    def test_the_state_and_the_user(self):
        self.assertEqual((self.alice.state, self.alice.me), (State.READY, User(self.alice.me.id, "alice")))

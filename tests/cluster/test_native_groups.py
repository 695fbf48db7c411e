"""Groups of native clients on several servers."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.route.messages.delivery import BY_USER
from cim.route.messages.grouping import LOOK_SECONDS
from cim.wire.cim_pb2 import Packet, Send, Typing
from tests.cluster.native_case import NativeCase


class GroupCase(NativeCase):
    def setUp(self):
        super().setUp()
        self.phone, self.desk, self.pad = (self.log_in(who) for who in (self.alice, self.bob, self.carol))
        self.group = self.create()

    def create(self, history=True, owner=None, route=0):
        grouping = self.cluster.routes[route].grouping
        return self.cluster.result(grouping.create((owner or self.alice).id, "friends", open=True, history=history))

    def join(self, account, route=0, group=0):
        grouping = self.cluster.routes[route].grouping
        return self.cluster.result(grouping.add(group or self.group, self.alice.id, account.id))

    def leave(self, account, route=0):
        return self.cluster.result(self.cluster.routes[route].grouping.remove(self.group, account.id, account.id))

    def say(self, text, client=None):
        """Send a message to the group; return its position."""
        (client or self.phone).send_group(self.group, text, text)
        self.turn()
        (accepted,) = (client or self.phone).take("accepted")
        return accepted.position

    @property
    def name(self):
        return f"g:{self.group}"


class MemberTests(GroupCase):
    def test_only_members_get_a_message_on_any_server(self):
        self.join(self.bob)
        self.say("hello")
        deliver = self.answer(self.desk)
        self.assertEqual(
            (deliver.conversation, deliver.group, deliver.sender, deliver.text),
            (self.name, self.group, self.alice.id, "hello"),
        )
        self.assertEqual(self.pad.packets(), [])
        self.join(self.carol)
        self.say("hello again", self.desk)
        for client in (self.phone, self.pad):
            self.assertEqual(client.texts(), ["hello again"])
        self.assertEqual(self.desk.packets(), [])

    def test_another_route_reports_a_change_when_a_route_dies_before_reporting_it(self):
        dying = self.cluster.routes[0]
        dying.calls.group_change = lambda link, change, epoch: Deferred()
        self.cluster.begin(dying.grouping.add(self.group, self.bob.id, self.bob.id))
        self.cluster.kill_route(dying)
        server = next(server for server in self.cluster.servers if server.sessions.of(self.bob.id))
        (session,) = server.sessions.of(self.bob.id)
        self.assertNotIn(session, server.index.of(self.group))
        self.cluster.pass_seconds(int(LOOK_SECONDS) + 1)
        self.assertIn(session, server.index.of(self.group))

    def test_a_change_through_one_route_is_known_through_the_other(self):
        """A change is made through one route; messages go through whichever route has the conversation."""
        for route in (0, 1):
            group = self.group = self.create(route=route)
            self.join(self.bob, route=1 - route)
            self.say(f"one {group}")
            self.assertEqual(self.desk.texts(), [f"one {group}"])
            self.join(self.carol, route=route)
            self.say(f"two {group}")
            self.assertEqual(self.pad.texts(), [f"two {group}"])
            self.desk.packets()
            self.leave(self.bob, route=1 - route)
            self.say(f"three {group}")
            self.assertEqual(self.desk.texts(), [])
            self.pad.packets()

    def test_a_former_member_gets_nothing_and_may_neither_write_nor_read(self):
        self.join(self.bob)
        position = self.say("before")
        self.desk.packets()
        self.leave(self.bob)
        (removed,) = self.desk.take("removed")
        self.assertEqual((removed.group, removed.what, removed.by), (self.group, "left", self.bob.id))
        self.say("after")
        self.assertEqual(self.desk.packets(), [])
        self.desk.send_group(self.group, "I am still here", "1")
        self.assertEqual(self.failure(self.desk), "forbidden")
        for route in (0, 1):
            self.cluster.pass_seconds(3 * route)
            self.desk.sync(self.name, position)
            self.assertEqual(self.failure(self.desk), "forbidden")
        self.assertEqual(list(self.log_in(self.bob).welcome.heads), [])

    def test_heads_unread_and_reading(self):
        self.join(self.bob)
        positions = [self.say(str(n)) for n in range(4)]
        self.desk.packets()
        self.desk.read(self.name, positions[1])
        self.desk.received(self.name, positions[3])
        self.cluster.pass_seconds(2)
        (head,) = self.log_in(self.bob).welcome.heads
        self.assertEqual(
            (head.conversation, head.read, head.received, head.unread), (self.name, positions[1], positions[3], 2)
        )
        # In a group, reading is reported only to the user's own devices.
        self.assertEqual(self.phone.take("read"), [])

    def test_history_from_before_one_joined(self):
        for history in (True, False):
            self.group = self.create(history=history)
            positions = [self.say(f"{history} {n}") for n in range(3)]
            self.join(self.bob)
            self.say("welcome")
            self.desk.packets()
            texts, synced = self.page(self.desk, self.name)
            before = [f"{history} {n}" for n in range(3)] if history else []
            self.assertEqual(texts, [*before, "welcome"])
            self.assertEqual(synced.reset, not history)
            texts, _ = self.page(self.desk, self.name, before=positions[2])
            self.assertEqual(texts, before[:2])

    def test_typing_goes_to_members(self):
        self.join(self.bob)
        self.say("hello")
        self.desk.packets()
        self.phone.typing(group=self.group)
        typing = self.answer(self.desk)
        self.assertEqual((typing.group, typing.who), (self.group, self.alice.id))
        # Nobody hears of those who are not members.
        self.pad.say(Packet(typing=Typing(group=self.group)))
        self.turn()
        self.assertEqual(self.desk.packets() + self.phone.packets(), [])

    def test_typing_ends_with_the_membership_at_once(self):
        self.join(self.bob)
        self.say("hello")
        for route in self.cluster.routes:
            # One that has not heard of the removal yet.
            self.patch(route.delivery, "forget_group", lambda group: None)
        self.desk.typing(group=self.group)
        self.assertEqual(self.answer(self.phone).who, self.bob.id)
        self.leave(self.bob)
        self.desk.packets()
        self.phone.typing(group=self.group)
        self.turn()
        self.assertEqual(self.desk.packets(), [])
        self.group = self.create()
        self.join(self.bob)
        self.say("hello")
        self.cluster.pass_seconds(1)
        self.phone.packets()
        self.leave(self.bob)
        self.desk.typing(group=self.group)
        self.turn()
        self.assertEqual(self.phone.packets(), [])

    def test_the_sender_s_other_sessions(self):
        tablet = self.log_in(self.alice, "tablet")
        self.join(self.bob)
        self.say("hello")
        self.assertEqual(tablet.texts(), ["hello"])
        self.assertEqual(self.phone.packets(), [])

    def test_the_other_route_reports_who_left_while_a_link_is_down(self):
        """A server that the removing route did not tell hears of it from the other route, which reads the log."""
        self.join(self.bob)
        self.say("hello")
        self.desk.packets()
        server = next(s for s in self.cluster.servers if self.desk.connection in s.gateway.connections)
        self.cluster.cut(server, self.cluster.routes[0])
        self.leave(self.bob, route=0)
        self.cluster.pass_seconds(3)
        self.say("after")
        self.cluster.pass_seconds(1)
        self.assertEqual(self.desk.texts(), [])

    def test_a_lost_group_message_is_reported_as_news(self):
        self.join(self.bob)
        server = next(s for s in self.cluster.servers if self.desk.connection in s.gateway.connections)
        for route in self.cluster.routes:
            self.cluster.cut(server, route)
        self.assertNotIn(self.phone.connection, server.gateway.connections)
        self.say("hello")
        self.assertEqual(self.desk.packets(), [])
        for route in self.cluster.routes:
            self.cluster.link(server, route)
        self.cluster.pass_seconds(2)
        self.assertEqual({head.conversation for news in self.desk.take("news") for head in news.heads}, {self.name})


class LargeTests(GroupCase):
    """More members than are addressed one by one."""

    def setUp(self):
        super().setUp()
        groups = self.cluster.store.groups
        for number in range(BY_USER + 20):
            member = self.cluster.account(f"member{number}")
            self.successResultOf(groups.add(self.group, self.alice.id, member.id))
        self.cluster.pass_seconds(3)
        self.join(self.bob)

    def test_messages_are_addressed_to_the_group(self):
        delivered = []
        for server in self.cluster.servers:
            deliver = server.deliveries.deliver

            def note(link, told, answer, deliver=deliver):
                delivered.append(told)
                deliver(link, told, answer)

            self.patch(server.deliveries, "deliver", note)
        self.say("hello")
        self.assertEqual(self.desk.texts(), ["hello"])
        self.assertEqual(self.pad.packets(), [])
        # One frame per server, however many members there are.
        self.assertEqual([(told.group, list(told.users)) for told in delivered], [(self.group, [])] * 2)

    def test_joining_and_leaving_take_effect_at_once(self):
        for route in (0, 1):
            self.join(self.carol, route=route)
            self.say(f"in {route}")
            self.assertEqual(self.pad.texts(), [f"in {route}"])
            self.leave(self.carol, route=route)
            self.say(f"out {route}")
            self.assertEqual(self.pad.texts(), [])
        self.assertEqual(self.desk.texts(), ["in 0", "out 0", "in 1", "out 1"])

    def test_a_session_that_logs_in_later(self):
        tablet = self.log_in(self.bob, "tablet")
        self.say("hello")
        self.assertEqual(tablet.texts(), ["hello"])

    def test_a_removal_is_answered_once_the_servers_know_of_it(self):
        """Messages sent after the answer are not pushed to the former member, through any route."""
        self.join(self.carol)
        removing = Deferred.fromCoroutine(
            self.cluster.routes[1].grouping.remove(self.group, self.alice.id, self.carol.id)
        )
        self.assertNoResult(removing)
        sent = []

        def say(_):
            self.phone.say(Packet(send=Send(group=self.group, text="now", client_id="now")))
            sent.append(1)

        removing.addCallback(say)
        self.turn()
        self.assertEqual(sent, [1])
        self.assertEqual(self.pad.texts(), [])
        self.assertEqual(self.desk.texts(), ["now"])

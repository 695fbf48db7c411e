"""Links and routes that die while native clients talk: nothing is lost, duplicated or out of order."""

from __future__ import annotations

from cim.server.links.rechecks import ROUNDS
from cim.wire.cim_pb2 import Packet, Send, Sync, Watch
from cim.wire.link_pb2 import Deliver, Item
from tests.cluster.native_case import NativeCase
from tests.store.looking import end_of


class LinkCase(NativeCase):
    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)

    def server_of(self, client):
        return next(s for s in self.cluster.servers if client.connection in s.gateway.connections)

    def route_of(self, client, conversation=""):
        """The route that a client's server sends a conversation to."""
        name = self.server_of(client).submissions.link_of(conversation or self.conversation).peer.name
        return next(route for route in self.cluster.routes if str(route.address) == name)

    def silence(self, link):
        """Have nothing come over a link."""
        for how in ("send", "send_packed", "send_reply", "send_replies", "send_push"):
            self.patch(link, how, lambda *said: True)

    def say(self, numbers, client=None):
        client = client or self.phone
        client.say(*(Packet(send=Send(user=self.bob.id, text=str(n), client_id=str(n))) for n in numbers))

    def outcomes(self, client=None):
        """Take the outcomes of Sends: client_id -> position or the code of the failure, in order."""
        return [
            (packet.accepted.client_id, packet.accepted.position)
            if packet.HasField("accepted")
            else (packet.failure.client_id, packet.failure.code)
            for packet in (client or self.phone).packets()
            if packet.HasField("accepted") or packet.HasField("failure")
        ]

    def assert_stored(self, numbers):
        numbers = [str(number) for number in numbers]
        route = next(at for at, route in enumerate(self.cluster.routes) if list(route.presence.links()))
        texts, _ = self.page(self.log_in(self.alice, "another", route=route), limit=500)
        self.assertEqual(texts, numbers)


class LostLinkTests(LinkCase):
    def test_unanswered_sends_go_over_the_other_route_in_order_and_once(self):
        """The route has all the Sends, but its answers are lost with the link."""
        route = self.route_of(self.phone)
        self.say(range(30))
        self.cluster.cut(self.server_of(self.phone), route)
        self.say(range(30, 60))
        self.turn()
        accepted = self.outcomes()
        self.assertEqual([client_id for client_id, _ in accepted], [str(n) for n in range(60)])
        self.assertEqual(len({position for _, position in accepted}), 60)
        self.assert_stored(range(60))
        got = {packet.position: packet.text for packet in self.desk.take("deliver")}
        self.assertEqual(sorted(got.values(), key=int), [str(n) for n in range(60)])

    def test_a_link_that_flaps_under_a_client_that_does_not_stop(self):
        sent = 0
        accepted = []
        server = self.server_of(self.phone)
        for round in range(12):
            self.say(range(sent, sent + 10))
            sent += 10
            route = self.cluster.routes[round % 2]
            for _ in range(round % 5):
                self.cluster.clock.advance(0)
            self.cluster.cut(server, route)
            accepted += self.outcomes()
            self.cluster.link(server, route)
            self.turn()
        accepted += self.outcomes()
        self.assertEqual([client_id for client_id, _ in accepted], [str(n) for n in range(sent)])
        self.assert_stored(range(sent))

    def test_without_any_route_sends_fail_and_are_repeated_in_order(self):
        server = self.server_of(self.phone)
        for route in self.cluster.routes:
            self.cluster.cut(server, route)
        self.say(range(3))
        self.turn()
        self.assertEqual(self.outcomes(), [(str(n), "unavailable") for n in range(3)])
        for route in self.cluster.routes:
            self.cluster.link(server, route)
        self.turn()
        # A Send behind the failed ones waits for them.
        self.say([1])
        self.turn()
        self.assertEqual(self.outcomes(), [("1", "unavailable")])
        self.say([0, 1, 2])
        self.turn()
        self.assertEqual([client_id for client_id, _ in self.outcomes()], ["0", "1", "2"])
        self.assert_stored(range(3))

    def test_the_store_is_away_for_a_while(self):
        self.say([0])
        self.turn()
        self.cluster.store.available = False
        self.say([1, 2])
        self.turn()
        self.cluster.store.available = True
        self.say([3])
        self.turn()
        self.assertEqual([fate for _, fate in self.outcomes()][1:], ["unavailable"] * 3)
        self.say([1, 2, 3])
        self.turn()
        self.assertEqual([client_id for client_id, _ in self.outcomes()], ["1", "2", "3"])
        self.assert_stored(range(4))

    def test_a_route_that_is_silent(self):
        """Like a suspended one, it gets everything and answers nothing, so the outcome is unknown."""
        route = self.route_of(self.phone)
        for link in route.presence.links():
            self.silence(link)
        self.say([0, 1])
        self.cluster.pass_seconds(6)
        self.assertEqual(self.outcomes(), [("0", "timeout"), ("1", "timeout")])
        self.cluster.kill_route(route)
        self.turn()
        self.say([0, 1])
        self.turn()
        self.assertEqual([client_id for client_id, _ in self.outcomes()], ["0", "1"])
        self.assert_stored([0, 1])


class NewsTests(LinkCase):
    """A push that was lost is found by News and Sync."""

    def lose_a_push(self):
        """Have a route store a message and die before it tells anybody, together with whoever would ask again."""
        route = self.route_of(self.phone)
        self.say([0])
        self.cluster.kill_route(route)
        self.cluster.kill(self.server_of(self.phone))
        self.assertNotEqual(self.successResultOf(end_of(self.cluster.store, self.conversation)), "")

    def test_news_after_a_route_died_between_append_and_push(self):
        self.lose_a_push()
        self.assertEqual(self.desk.packets(), [])
        self.cluster.pass_seconds(int(ROUNDS[0]) + 2)
        (packet,) = self.desk.packets()
        self.assertTrue(packet.news.unasked)
        (head,) = packet.news.heads
        self.assertEqual((head.conversation, head.received, head.unread), (self.conversation, "", 1))
        texts, synced = self.page(self.desk, after=head.received)
        self.assertEqual((texts, synced.upto), (["0"], head.latest))
        # Once the client has it, it is not told again.
        self.desk.received(self.conversation, synced.upto)
        self.desk.read(self.conversation, synced.upto)
        self.wait(90, self.desk)
        self.assertEqual(self.desk.take("news"), [])

    def test_news_are_repeated_until_the_client_has_the_message(self):
        self.lose_a_push()
        self.wait(70, self.phone, self.desk)
        self.assertGreater(len(self.desk.take("news")), 1)

    def test_news_after_a_link_was_down(self):
        route = self.route_of(self.phone)
        server = self.server_of(self.desk)
        self.cluster.cut(server, route)
        self.wait(70, self.phone, self.desk)
        self.say([0])
        self.turn()
        self.assertEqual(self.outcomes()[0][0], "0")
        self.assertEqual(self.desk.packets(), [])
        self.cluster.link(server, route)
        self.cluster.pass_seconds(2)
        (news,) = self.desk.take("news")
        self.assertEqual([head.conversation for head in news.heads], [self.conversation])

    def test_news_while_a_link_is_down_for_long(self):
        """The route lives on and stores what others send; only this server does not hear of it."""
        route, server = self.route_of(self.phone), self.server_of(self.desk)
        self.cluster.cut(server, route)
        self.wait(90, self.phone, self.desk)
        self.say([0])
        self.wait(70, self.phone, self.desk)
        self.assertTrue(self.desk.take("news"))
        self.wait(900, self.phone, self.desk)
        self.desk.take("news")
        self.say([1])
        self.wait(300, self.phone, self.desk)
        self.assertEqual(self.desk.packets(), [])
        self.cluster.link(server, route)
        self.cluster.pass_seconds(2)
        (news,) = self.desk.take("news")
        self.assertEqual(self.page(self.desk, after=news.heads[0].received)[0], ["0", "1"])

    def test_news_after_a_new_route_was_unreachable_for_a_while(self):
        there, here = self.server_of(self.phone), self.server_of(self.desk)
        route = self.cluster.start_route()
        self.cluster.cut(here, route)
        # As if the route had never been linked here.
        here.rechecks._cancel(str(route.address))
        here.rechecks._lost.clear()
        for other in self.cluster.routes[:2]:
            self.cluster.cut(there, other)
        self.say([0])
        self.turn()
        self.assertEqual([client_id for client_id, _ in self.outcomes()], ["0"])
        self.wait(300, self.desk)
        self.assertEqual(self.desk.packets(), [])
        self.cluster.link(here, route)
        self.cluster.pass_seconds(2)
        (news,) = self.desk.take("news")
        self.assertEqual([head.conversation for head in news.heads], [self.conversation])

    def test_news_for_a_session_that_was_too_slow_for_them(self):
        route, server = self.route_of(self.phone), self.server_of(self.desk)
        self.cluster.cut(server, route)
        self.wait(20, self.phone, self.desk)
        self.say([0])
        self.wait(9, self.phone, self.desk)
        self.desk.connection.pauseProducing()
        self.cluster.link(server, route)
        self.cluster.pass_seconds(3)
        self.assertEqual(self.desk.packets(), [])
        self.desk.connection.resumeProducing()
        self.cluster.pass_seconds(2)
        self.assertEqual([head.unread for news in self.desk.take("news") for head in news.heads], [1])

    def test_no_news_for_sessions_without_new_messages(self):
        self.say([0])
        self.turn()
        (deliver,) = self.desk.take("deliver")
        self.desk.received(self.conversation, deliver.position)
        self.desk.read(self.conversation, deliver.position)
        self.wait(60, self.desk)
        for route in self.cluster.routes:
            self.cluster.cut(self.server_of(self.desk), route)
            self.cluster.link(self.server_of(self.desk), route)
        self.wait(60, self.desk)
        self.assertEqual(self.desk.packets(), [])

    def test_news_of_pushes_that_a_full_link_dropped(self):
        route = self.route_of(self.phone)
        (link,) = (link for link in route.presence.links() if link.peer.name == self.server_of(self.desk).own.name)
        fillers = [Item(deliver=Deliver(users=[1], packet=bytes(size))) for size in (1_000_000, 10_000, 10)]
        push = route.delivery.to_users

        def fill_and_push(*arguments):
            for filler in fillers:
                while link.send(filler):
                    pass
            push(*arguments)

        self.patch(route.delivery, "to_users", fill_and_push)
        self.say([0])
        self.turn()
        self.assertEqual(self.desk.packets(), [])
        self.assertEqual(len(self.outcomes()), 1)
        self.cluster.pass_seconds(2)
        (news,) = self.desk.take("news")
        self.assertEqual([head.conversation for head in news.heads], [self.conversation])

    def test_a_server_that_comes_back_under_its_name(self):
        """Its sessions are gone; users who log in again find in the Welcome what they missed."""
        server = self.server_of(self.desk)
        self.cluster.kill(server)
        self.desk.drop()
        self.say([0])
        self.turn()
        self.cluster.start_server(at=self.cluster.servers.index(server))
        self.turn()
        again = self.log_in(self.bob)
        self.assertEqual([head.unread for head in again.welcome.heads], [1])


class SlowTests(LinkCase):
    def test_nothing_is_pushed_to_a_slow_session_and_others_are_not_affected(self):
        tablet = self.log_in(self.bob, "tablet")
        self.desk.connection.pauseProducing()
        self.say(range(50))
        self.turn()
        self.assertEqual(tablet.texts(), [str(n) for n in range(50)])
        self.assertEqual(len(self.outcomes()), 50)
        self.assertEqual(self.desk.packets(), [])
        self.cluster.pass_seconds(5)
        self.desk.connection.resumeProducing()
        self.cluster.pass_seconds(1)
        (packet,) = self.desk.packets()
        (head,) = packet.news.heads
        self.assertEqual((head.conversation, head.unread), (self.conversation, 50))
        self.assertEqual(self.page(self.desk, after=head.received)[0], [str(n) for n in range(50)])

    def test_a_slow_session_that_missed_nothing_gets_no_news(self):
        self.desk.connection.pauseProducing()
        self.cluster.pass_seconds(5)
        self.desk.connection.resumeProducing()
        self.cluster.pass_seconds(5)
        self.assertEqual(self.desk.packets(), [])

    def test_a_session_that_never_reads_is_ended(self):
        self.desk.connection.pauseProducing()
        self.cluster.pass_seconds(34)
        self.assertEqual(self.goodbye(self.desk), "too-slow")

    def test_two_that_make_much_work_stop_the_reading(self):
        tablet = self.log_in(self.carol)
        for server in self.cluster.servers:
            self.patch(server.submissions, "_put_up", lambda *args: True)
        for client, packet in (
            (tablet, Packet(watch=Watch(users=range(1, 101)))),
            (self.phone, Packet(sync=Sync(conversation=self.conversation, limit=500))),
        ):
            client.say(packet)
            self.assertTrue(client.read_from)
            client.say(packet)
            self.assertFalse(client.read_from)

    def test_sixty_four_unanswered_requests_stop_the_reading(self):
        for route in self.cluster.routes:
            for link in route.presence.links():
                self.silence(link)
        self.say(range(63))
        self.turn()
        self.assertTrue(self.phone.read_from)
        self.say([63])
        self.assertFalse(self.phone.read_from)
        self.cluster.pass_seconds(6)
        self.assertTrue(self.phone.read_from)
        self.assertEqual({fate for _, fate in self.outcomes()}, {"timeout"})

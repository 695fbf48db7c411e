"""Each route is told of its share of the users, and finds the others (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from collections import Counter
from itertools import count

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Unavailable
from cim.route.presence import whereabouts
from cim.route.presence.followers import FOLLOWED_SECONDS
from cim.route.presence.whereabouts import KEPT_SECONDS
from cim.selection import SHARING, LeastLoaded, rendezvous
from cim.server.links import uplink
from cim.wire import conversations
from cim.wire.link_pb2 import Item
from cim.wire.native import DELIVER
from tests.cluster.native_case import NativeCase
from tests.harness.cluster import Cluster


class Counted:
    """Counts the items of each kind that servers are sent, by server."""

    def __init__(self, cluster):
        self.items = Counter()
        for server in cluster.servers:
            self._count(server)

    def _count(self, server):
        received = server.uplink.link_received

        def counting(link, item):
            kind = item.WhichOneof("item")
            if kind != "deliver" or item.deliver.packet.startswith(DELIVER):
                self.items[kind, server.own.name] += 1
            received(link, item)

        server.uplink.link_received = counting

    def take(self, kind):
        """Return how many each server got, and begin anew."""
        taken = {server: count for (one, server), count in self.items.items() if one == kind}
        for server in taken:
            del self.items[kind, server]
        return taken


class SharesTests(NativeCase):
    servers = 3
    routes = 3

    def setUp(self):
        super().setUp()
        self.patch(whereabouts, "ASK_AFTER", 1)
        self.names = sorted(str(route.address) for route in self.cluster.routes)

    def home(self, user):
        """Return the route that is told of a user."""
        name = rendezvous(str(user), self.names)
        return next(route for route in self.cluster.routes if str(route.address) == name)

    def pair(self):
        """Return two accounts, neither of which has the route of their conversation as its home."""
        for number in count():
            one, other = (self.cluster.account(f"{side} {number}") for side in ("left", "right"))
            key = conversations.private(one.id, other.id)
            if rendezvous(key, self.names) not in {str(self.home(account.id).address) for account in (one, other)}:
                return one, other
        raise AssertionError

    def server(self, account):
        (at,) = (server for server in self.cluster.servers if server.sessions.of(account.id))
        return at

    def test_one_route_is_told_of_a_session(self):
        for number in range(20):
            account = self.cluster.account(f"user {number}")
            client = self.log_in(account)
            told = [route for route in self.cluster.routes if route.presence.of(account.id)]
            self.assertEqual(told, [self.home(account.id)])
            client.drop()
            self.turn()
            self.assertEqual(self.home(account.id).presence.of(account.id), ())

    def test_a_message_goes_to_the_receivers_server_alone(self):
        alice, bob = self.pair()
        phone, desk = self.log_in(alice), self.log_in(bob)
        counted = Counted(self.cluster)
        for number in range(3):
            phone.send(bob.id, f"m{number}", f"m{number}")
            self.turn()
            counted.take("reply")
        self.assertEqual([packet.deliver.text for packet in desk.packets()], ["m0", "m1", "m2"])
        counted.take("deliver")
        phone.send(bob.id, "m3", "m3")
        self.turn()
        self.assertEqual(counted.take("deliver"), {self.server(bob).own.name: 1})

    def test_whoever_is_not_found_in_time_gets_it_all_the_same(self):
        phone, desk = self.log_in(self.alice), self.log_in(self.bob)
        for route in self.cluster.routes:
            route.peers.ask = lambda route, question: Deferred()
        phone.send(self.bob.id, "m", "m")
        self.turn()
        self.assertEqual([packet.deliver.text for packet in desk.packets()], ["m"])

    def test_whoever_is_sent_little_is_not_asked_for(self):
        self.patch(whereabouts, "ASK_AFTER", 8)
        alice, bob = self.pair()
        phone, desk = self.log_in(alice), self.log_in(bob)
        counted = Counted(self.cluster)
        for number in range(4):
            phone.send(bob.id, f"m{number}", f"m{number}")
            self.turn()
            asked = bool(counted.take("relay"))
            self.assertEqual(asked, number == 2, number)
        self.assertEqual([packet.deliver.text for packet in desk.packets()], ["m0", "m1", "m2", "m3"])

    def test_whoever_comes_online_is_known_to_those_that_follow(self):
        alice, bob = self.pair()
        phone = self.log_in(alice)
        phone.send(bob.id, "before", "before")
        self.turn()
        desk = self.log_in(bob)
        counted = Counted(self.cluster)
        phone.send(bob.id, "after", "after")
        self.turn()
        self.assertEqual([packet.deliver.text for packet in desk.packets()], ["after"])
        self.assertEqual(counted.take("deliver"), {self.server(bob).own.name: 1})
        # And when it goes, nothing is sent.
        desk.drop()
        self.turn()
        phone.send(bob.id, "gone", "gone")
        self.turn()
        self.assertEqual(counted.take("deliver"), {})

    def test_a_welcome_waits_for_those_that_follow(self):
        alice, bob = self.pair()
        phone = self.log_in(alice)
        phone.send(bob.id, "m", "m")
        self.turn()
        (follower,) = (other for other in self.cluster.routes if bob.id in other.whereabouts._kept)
        withheld = []
        received = follower.downlink.link_received

        def withhold(link, item):
            (withheld.append if item.WhichOneof("item") == "at" else lambda item: received(link, item))(item)
            self.link = link

        follower.downlink.link_received = withhold
        admission, ticket = self.cluster.admit(bob)
        desk = self.cluster.open_native(admission.place.server)
        desk.hello(ticket)
        self.turn()
        self.assertEqual((len(withheld), desk.packets()), (1, []))
        self.assertTrue(withheld[0].at.call)
        received(self.link, withheld[0])
        self.turn()
        self.assertTrue(desk.begin())

    def test_those_that_are_followed_for_long_are_asked_for_again(self):
        alice, bob = self.pair()
        phone, desk = self.log_in(alice), self.log_in(bob)
        # Three times as long as a keeper remembers who follows.
        for number in range(int(3 * FOLLOWED_SECONDS / (KEPT_SECONDS / 2))):
            phone.send(bob.id, f"m{number}", f"m{number}")
            self.wait(int(KEPT_SECONDS / 2), phone, desk)
        self.assertEqual(len([packet for packet in desk.packets() if packet.HasField("deliver")]), 15)
        tablet = self.log_in(bob, "tablet")
        phone.send(bob.id, "last", "last")
        self.turn()
        self.assertEqual([packet.deliver.text for packet in tablet.packets()], ["last"])

    def test_nobody_is_followed_for_good(self):
        alice, bob = self.pair()
        phone = self.log_in(alice)
        phone.send(bob.id, "m", "m")
        self.turn()
        self.assertTrue(any(len(one.whereabouts) for one in self.cluster.routes))
        self.assertTrue(any(len(one.followers) for one in self.cluster.routes))
        self.wait(int(2 * FOLLOWED_SECONDS), phone)
        self.assertEqual([len(one.whereabouts) for one in self.cluster.routes], [0, 0, 0])
        self.assertEqual([len(one.followers) for one in self.cluster.routes], [0, 0, 0])

    def test_another_route_takes_over_when_a_home_dies(self):
        phone, desk = self.log_in(self.alice), self.log_in(self.bob)
        phone.send(self.bob.id, "m", "m")
        self.turn()
        home = self.home(self.bob.id)
        self.cluster.kill_route(home)
        self.turn()
        told = [route for route in self.cluster.routes if route is not home and route.presence.of(self.bob.id)]
        self.assertEqual(len(told), 1)
        phone.packets()
        desk.packets()
        for number in range(2):
            phone.send(self.bob.id, f"n{number}", f"n{number}")
            self.turn()
        self.assertEqual([packet.deliver.text for packet in desk.packets()], ["n0", "n1"])

    def test_a_share_moves_to_a_new_route_and_nobody_seems_to_go(self):
        carol = self.log_in(self.carol)
        watched = [self.cluster.account(f"watched {number}") for number in range(12)]
        clients = [self.log_in(account) for account in watched]
        carol.watch(*(account.id for account in watched))
        self.turn()
        self.assertEqual({packet.presence.online for packet in carol.packets()}, {True})
        new = self.cluster.start_route()
        self.turn()
        self.names = sorted([*self.names, str(new.address)])
        moved = [account for account in watched if self.home(account.id) is new]
        self.assertTrue(moved)
        for account in watched:
            told = [route for route in self.cluster.routes if route.presence.of(account.id)]
            self.assertEqual(told, [self.home(account.id)])
        # Whose own home moved is told the state once more.
        self.assertEqual({packet.presence.online for packet in carol.packets()} - {True}, set())
        self.wait(2, carol)
        gone = watched.index(moved[0])
        clients[gone].drop()
        self.turn()
        self.assertEqual(
            [(packet.presence.user_id, packet.presence.online) for packet in carol.packets()], [(moved[0].id, False)]
        )
        records = self.successResultOf(self.cluster.store.sessions.sessions(moved[0].id))
        self.assertEqual(records, [])

    def test_a_server_that_is_linked_anew_is_asked_for_everyone(self):
        alice, bob = self.pair()
        phone = self.log_in(alice)
        self.log_in(bob)
        phone.send(bob.id, "m", "m")
        self.turn()
        (follower,) = (other for other in self.cluster.routes if bob.id in other.whereabouts._kept)
        there = self.server(bob)
        other = next(server for server in self.cluster.servers if server is not there)
        self.cluster.cut(other, follower)
        linked = next(at for at, route in enumerate(self.cluster.routes) if route is not follower)
        for _ in self.cluster.servers:
            tablet = self.log_in(bob, "tablet", route=linked)
            if other.sessions.of(bob.id):
                break
        self.assertTrue(other.sessions.of(bob.id))
        self.cluster.link(other, follower)
        self.turn()
        tablet.packets()
        phone.send(bob.id, "n", "n")
        self.turn()
        self.assertIn("n", [packet.deliver.text for packet in tablet.packets()])

    def test_who_is_online_is_listed_by_any_route(self):
        names = [f"listed {number:02}" for number in range(11)]
        for name in names:
            self.log_in(self.cluster.account(name))
        for route in self.cluster.routes:
            found, after = [], ""
            while True:
                page = self.cluster.result(route.listings.page("listed", after, 4))
                found += [account.name for account, _ in page.users]
                self.assertEqual((page.total, page.more), (11, len(found) < 11))
                if not page.more:
                    break
                after = found[-1]
            self.assertEqual(found, names)
            self.assertEqual(self.cluster.result(route.listings.total()), 11)

    def test_who_is_online_is_listed_while_a_route_goes(self):
        names = [f"listed {number:02}" for number in range(11)]
        for name in names:
            self.log_in(self.cluster.account(name))
        asked, gone = self.cluster.routes[:2]
        self.cluster.kill_route(gone)
        listed = self.cluster.begin(asked.listings.page("listed"))
        self.turn()
        page = self.successResultOf(listed)
        self.assertEqual([account.name for account, _ in page.users], names)

    def test_a_route_without_links_lists_nobody(self):
        self.log_in(self.alice)
        route = self.cluster.routes[0]
        for server in self.cluster.servers:
            self.cluster.cut(server, route)
        self.turn()
        self.failureResultOf(self.cluster.begin(route.listings.page()), Unavailable)

    def test_blockers_are_not_listed_by_any_route(self):
        self.log_in(self.alice)
        self.log_in(self.bob)
        self.cluster.store.blocks.block(self.bob.id, self.alice.id)
        for route in self.cluster.routes:
            page = self.cluster.result(route.listings.page(viewer=self.alice.id))
            self.assertEqual(([account.name for account, _ in page.users], page.total), (["alice"], 1))

    def test_what_is_stored_of_a_session_goes_with_it_while_shares_move(self):
        accounts = [self.cluster.account(f"user {number}") for number in range(12)]
        clients = [self.log_in(account) for account in accounts]
        # As if links were full, so that nothing is reported yet.
        self.patch(uplink, "CHUNK_WAITS_ABOVE", -1)
        self.cluster.kill_route(self.home(accounts[0].id))
        self.turn()
        self.assertTrue(any(server.uplink._views.moving for server in self.cluster.servers))
        for client in clients:
            client.drop()
        self.cluster.pass_seconds(1)
        for account in accounts:
            self.assertEqual(self.successResultOf(self.cluster.store.sessions.sessions(account.id)), [])

    def test_shares_hold_when_those_that_are_told_have_heard(self):
        self.log_in(self.alice)
        route, new = self.cluster.routes[0], self.cluster.start_route()
        received, withheld = new.downlink.link_received, []

        def withhold(link, item):
            if item.WhichOneof("item") == "fence":
                withheld.append((link, item))
            else:
                received(link, item)

        new.downlink.link_received = withhold
        self.turn()
        self.assertEqual([host.moving for host in route.presence.hosts.values()], [True] * 3)
        new.downlink.link_received = received
        for link, item in withheld:
            received(link, item)
        self.turn()
        self.assertEqual([host.moving for host in route.presence.hosts.values()], [False] * 3)


class EarlierTests(SynchronousTestCase):
    def test_an_earlier_route_is_told_of_everyone(self):
        versions = iter([SHARING, SHARING, SHARING - 1, SHARING - 1])
        cluster = Cluster(0, 0, link_version=lambda: next(versions))
        new, old = cluster.start_route(), None
        server = cluster.start_server()
        another = cluster.start_server()
        cluster.turn()
        self.assertEqual(server.uplink._views.shares.others, ())
        old = cluster.start_route()
        cluster.turn()
        for number in range(12):
            account = cluster.account(f"user {number}")
            cluster.native(account, route=number % 2)
            for route in (new, old):
                self.assertEqual(len(cluster.where(account.id, route)), 1)
            self.assertEqual(len(old.presence.of(account.id)), 1)
            self.assertEqual(len(new.presence.of(account.id)), 1)
        self.assertEqual({len(server.sessions), len(another.sessions)}, {6})


class LoadTests(SynchronousTestCase):
    def test_logins_go_where_the_fewest_sessions_are(self):
        cluster = Cluster(3, 3, LeastLoaded())
        for number in range(30):
            cluster.native(cluster.account(f"user {number}"), route=number % 3)
            if number % 6 == 5:
                cluster.pass_seconds(1)
        there = [len(server.sessions) for server in cluster.servers]
        self.assertLessEqual(max(there) - min(there), 3)
        for route in cluster.routes:
            self.assertEqual([host.count for host in route.presence.hosts.values()], there)


class RelayTests(NativeCase):
    def test_what_an_unknown_route_is_asked_is_refused(self):
        (link, *_) = self.cluster.routes[0].presence.links()
        relayed = self.cluster.routes[0].calls.relay(link, "127.0.0.1:1:2", b"")
        self.turn()
        self.assertEqual(self.successResultOf(relayed).code, "unlinked")

    def test_a_question_that_nobody_understands_is_refused(self):
        (link, *_) = self.cluster.routes[0].presence.links()
        for question in (b"", b"\xff", Item(fence={}).SerializeToString()):
            relayed = self.cluster.routes[0].calls.relay(link, str(self.cluster.routes[1].address), question)
            self.turn()
            self.assertEqual(self.successResultOf(relayed).code, "unavailable")

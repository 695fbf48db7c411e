"""A store that goes back, or is emptied, while clients are connected (docs/architecture.md, Epochs)."""

from __future__ import annotations

from cim.model import RESERVATION_SECONDS, LoginPolicy
from cim.route.messages.delivery import BY_USER
from cim.wire import positions
from tests.cluster.test_native_guests import GuestCase
from tests.harness.store import MemoryStore


class RestoreCase(GuestCase):
    def grouping(self, route=0):
        return self.cluster.routes[route].grouping

    def group(self, owner, *members):
        id = self.cluster.result(self.grouping().create(owner.id, "group", open=True, history=True))
        for member in members:
            self.add(id, member)
        self.cluster.pass_seconds(5)
        return id

    def add(self, group, member):
        self.cluster.result(self.grouping().add(group, member.id, member.id))

    def remove(self, group, member):
        self.cluster.result(self.grouping().remove(group, member.id, member.id))

    def restore(self, go_back, seconds=3):
        """Go back, and let some time pass."""
        self.cluster.clock.advance(1)
        go_back()
        self.cluster.store.begin_epoch()
        self.cluster.pass_seconds(seconds)


class NativeTests(RestoreCase):
    def test_logins_go_on_though_the_log_of_groups_went_back(self):
        group = self.group(self.alice)
        alice = self.log_in(self.alice)
        go_back = self.cluster.store.copy()
        for _ in range(10):
            self.add(group, self.bob)
            self.remove(group, self.bob)
        self.restore(go_back)
        carol = self.log_in(self.carol)
        self.assertFalse(alice.closed)
        self.add(group, self.carol)
        carol.send_group(group, "hello", "c1")
        self.turn()
        self.assertEqual(alice.texts(), ["hello"])

    def test_a_session_whose_account_is_gone_ends(self):
        go_back = self.cluster.store.copy()
        dora = self.cluster.account("dora")
        alice, new = self.log_in(self.alice), self.log_in(dora)
        self.restore(go_back)
        self.assertEqual(self.goodbye(new), "unauthorized")
        self.assertFalse(alice.closed)
        self.assertEqual(self.cluster.routes[0].presence.of(dora.id), ())

    def test_one_that_opens_a_little_later_ends_too(self):
        go_back = self.cluster.store.copy()
        dora = self.cluster.account("dora")
        admission, ticket = self.cluster.admit(dora)
        self.restore(go_back)
        client = self.cluster.open_native(admission.place.server)
        client.hello(ticket)
        self.wait(RESERVATION_SECONDS, client)
        self.assertEqual(self.goodbye(client), "unauthorized")

    def test_one_whose_account_went_while_no_route_ran(self):
        go_back = self.cluster.store.copy()
        dora = self.cluster.account("dora")
        alice, new = self.log_in(self.alice), self.log_in(dora)
        for route in list(self.cluster.routes):
            self.cluster.kill_route(route)
        del self.cluster.routes[:]
        go_back()
        self.cluster.store.conversations._appending.epoch += 1
        self.cluster.start_route()
        self.wait(5, alice)
        self.assertEqual(self.goodbye(new), "unauthorized")
        self.assertFalse(alice.closed)
        alice.send(self.bob.id, "still here", "c1")
        self.accepted(alice)

    def test_an_epoch_that_a_store_has_lost_begins_a_later_one(self):
        self.log_in(self.alice)
        first = self.cluster.store.epoch()
        for route in list(self.cluster.routes):
            self.cluster.kill_route(route)
        del self.cluster.routes[:]
        self.cluster.store.conversations._appending.epoch -= 1000
        self.cluster.start_route()
        self.cluster.pass_seconds(1)
        self.assertTrue(self.cluster.store.epoch() > first)

    def test_a_device_that_has_logged_in_again_since_stays(self):
        former = self.log_in(self.alice)
        go_back = self.cluster.store.copy()
        former.drop()
        alice = self.log_in(self.alice)
        self.restore(go_back)
        self.assertFalse(alice.closed)
        (record,) = self.successResultOf(self.cluster.store.sessions.sessions(self.alice.id))
        (online,) = self.cluster.routes[0].presence.of(self.alice.id)
        self.assertEqual((record.owner, record.live), (online.owner, True))
        alice.send(self.bob.id, "still here", "c1")
        self.accepted(alice)

    def test_the_newer_of_two_sessions_of_a_device_still_wins(self):
        go_back = self.cluster.store.copy()
        former = self.log_in(self.alice)
        self.restore(go_back)
        alice = self.log_in(self.alice)
        self.assertEqual(self.goodbye(former), "replaced")
        self.assertFalse(alice.closed)

    def test_members_are_as_the_store_has_them(self):
        group = self.group(self.alice, self.bob)
        alice, bob, carol = (self.log_in(one) for one in (self.alice, self.bob, self.carol))
        go_back = self.cluster.store.copy()
        self.remove(group, self.bob)
        self.add(group, self.carol)
        alice.send_group(group, "one", "c1")
        self.wait(3)
        self.assertEqual((bob.texts(), carol.texts()), ([], ["one"]))
        self.restore(go_back)
        alice.send_group(group, "two", "c2")
        self.turn()
        self.assertEqual((bob.texts(), carol.texts()), (["two"], []))
        carol.send_group(group, "three", "c3")
        self.turn()
        self.assertEqual([failure.code for failure in carol.take("failure")], ["forbidden"])

    def test_members_of_a_large_group(self):
        crowd = [self.cluster.account(f"user{number}") for number in range(BY_USER)]
        group = self.group(self.alice, self.bob, *crowd)
        alice, bob, carol = (self.log_in(one) for one in (self.alice, self.bob, self.carol))
        go_back = self.cluster.store.copy()
        self.remove(group, self.bob)
        self.add(group, self.carol)
        self.wait(3)
        self.restore(go_back)
        alice.take("news"), bob.take("news"), carol.take("news")
        alice.send_group(group, "hello", "c1")
        self.turn()
        self.assertEqual((bob.texts(), carol.texts()), (["hello"], []))

    def test_what_is_new_is_told_again(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        go_back = self.cluster.store.copy()
        alice.send(self.bob.id, "one", "c1")
        said = self.accepted(alice)
        self.turn()
        self.assertEqual(bob.texts(), ["one"])
        bob.received(self.conversation, said.position)
        self.wait(2)
        kept = self.cluster.store.copy()
        self.restore(go_back)
        self.assertEqual(bob.take("news"), [])
        # The message is there again, but not that it was received.
        self.restore(kept)
        bob.read(self.conversation, said.position)
        self.turn()
        alice.send(self.bob.id, "two", "c2")
        self.turn()
        (position,) = [accepted.position for accepted in alice.take("accepted")]
        self.assertTrue(positions.parse(position)[0] > positions.parse(said.position)[0])
        (deliver,) = bob.take("deliver")
        self.assertEqual((deliver.text, deliver.previous), ("two", said.position))

    def test_one_who_was_welcomed_later_than_it_is_now(self):
        """A client says since when it knows what is new; the store's clock may have gone back."""
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        since = int(bob.welcome.as_of) + 3_600_000
        bob.drop()
        alice.send(self.bob.id, "one", "c1")
        self.accepted(alice)
        bob = self.log_in(self.bob, since=str(since))
        self.assertEqual([head.conversation for head in bob.welcome.heads], [self.conversation])

    def test_an_emptied_store_ends_all_sessions_and_takes_new_accounts(self):
        empty = MemoryStore(self.cluster.clock).database
        clients = [self.log_in(one) for one in (self.alice, self.bob)]
        self.restore(lambda: empty.backup(self.cluster.store.database))
        self.assertEqual([self.goodbye(client) for client in clients], ["unauthorized"] * 2)
        self.log_in(self.cluster.account("alice"))


class OneDeviceTests(RestoreCase):
    policy = LoginPolicy.REJECT

    def test_a_session_of_another_device_that_is_over_is_not_in_the_way(self):
        phone = self.log_in(self.alice, "phone")
        go_back = self.cluster.store.copy()
        phone.drop()
        self.wait(1)
        tablet = self.log_in(self.alice, "tablet")
        self.restore(go_back)
        self.assertFalse(tablet.closed)
        (record,) = self.successResultOf(self.cluster.store.sessions.sessions(self.alice.id))
        self.assertEqual(record.device, "tablet")


class GuestTests(RestoreCase):
    def test_a_guest_stays_and_is_in_its_groups(self):
        group = self.group(self.alice, self.bob)
        alice, guest = self.log_in(self.alice), self.guest(self.bob)
        go_back = self.cluster.store.copy()
        self.remove(group, self.bob)
        self.restore(go_back)
        self.assertFalse(guest.closed)
        alice.send_group(group, "hello", "c1")
        self.turn()
        self.assertEqual(guest.texts(), ["hello"])

    def test_a_guest_whose_account_is_gone(self):
        go_back = self.cluster.store.copy()
        dora = self.cluster.account("dora")
        guest = self.guest(dora)
        self.restore(go_back)
        self.assertTrue(guest.closed)

    def test_a_guest_that_has_logged_in_again_since_stays(self):
        former = self.guest(self.bob)
        go_back = self.cluster.store.copy()
        former.drop()
        self.wait(1)
        guest = self.guest(self.bob)
        self.restore(go_back)
        self.assertFalse(guest.closed)

"""What upstream's API says: stored, pushed, and answered by what became of it."""

from __future__ import annotations

import itertools

from twisted.internet.defer import Deferred, fail, succeed

from cim.errors import (
    AccountMismatch,
    CallTimeout,
    InvalidField,
    LinkLost,
    RateLimited,
    Refused,
    StoreUnavailable,
    Unavailable,
    Undecided,
    UserOffline,
)
from cim.model import GUEST, Account, Place
from cim.policies import changed, refused
from cim.registry.memory import MemoryRegistry
from cim.route.guests.messages import GuestMessages
from cim.route.messages.limits import Guest
from cim.route.messages.sending import AHEAD
from cim.route.presence.calls import CALL_SECONDS
from cim.route.presence.directory import Directory
from cim.route.presence.listings import Listings
from cim.route.presence.online_names import OnlineNames
from cim.route.presence.upstream_servers import UpstreamServers
from cim.web.calling import Envelope
from cim.wire import native
from cim.wire.cim_pb2 import News, Packet
from tests.route.policy_double import PolicyDouble
from tests.route.route_case import RouteCase
from tests.store.looking import end_of

JAVA = "127.0.0.1:11299:8099"


class GuestCase(RouteCase):
    def setUp(self):
        super().setUp()
        self.posted = []
        self.directory = Directory(self.presence, upstream_servers=True)
        ids = itertools.count(1)
        self.messages = GuestMessages(
            accounts=self.accounts,
            sessions=self.store.sessions,
            presence=self.presence,
            whereabouts=self.whereabouts,
            listings=Listings(self.presence, self.whereabouts, OnlineNames(self.presence), self.blocks, self.peers),
            directory=self.directory,
            sending=self.sending,
            delivery=self.delivery,
            upstream=UpstreamServers(None, self.post),
            new_id=lambda: f"new-{next(ids)}",
        )
        self.here, self.there = self.link(0), self.link(1)

    def post(self, url, obj):
        self.posted.append((url, obj))
        return succeed(Envelope("9000", "Success"))

    def private(self, *texts, batch=False, sender=None, receiver=None):
        sender, receiver = sender or self.alice, receiver or self.bob
        started = self.begin(self.messages.private(Guest(sender.id, "192.0.2.7"), receiver.id, texts, batch=batch))
        self.turn()
        return started

    def everyone(self, text="all", sender=None):
        started = self.begin(self.messages.everyone(Guest((sender or self.alice).id, "192.0.2.7"), text))
        self.turn()
        return started

    def guest(self, account, link=None, session="g1"):
        self.online(link or self.here, account, session, GUEST)

    @staticmethod
    def shown(deliver):
        """The text of a Deliver, and how many of its batch are still to come with it."""
        return Packet.FromString(deliver.packet).deliver.text, deliver.batch


class PrivateTests(GuestCase):
    def test_answered_when_it_was_written(self):
        self.guest(self.bob)
        sent = self.private("hello")
        self.assertNoResult(sent)
        (deliver,) = [item.deliver for item in self.here.items]
        self.assertEqual(self.shown(deliver), ("hello", 0))
        said = Packet.FromString(deliver.packet).deliver
        self.assertEqual((said.sender, said.sender_name, said.conversation), (self.alice.id, "alice", self.ab))
        self.assertEqual(list(deliver.users), [self.bob.id])
        self.answer_all(self.here)
        self.successResultOf(sent)
        self.assertEqual(self.stored(self.ab), ["hello"])

    def test_someone_who_is_offline_has_it_waiting(self):
        self.failureResultOf(self.private("hello"), UserOffline)
        self.assertEqual(self.stored(self.ab), ["hello"])

    def test_written_to_nobody(self):
        self.guest(self.bob)
        sent = self.private("hello")
        self.answer_all(self.here, sessions=0)
        self.failureResultOf(sent, UserOffline)

    def test_the_senders_own_sessions_see_it_and_are_not_asked(self):
        self.guest(self.bob)
        self.online(self.there, self.alice, "a1")
        sent = self.private("hello")
        (deliver,) = [item.deliver for item in self.there.items]
        self.assertEqual((deliver.call, self.shown(deliver)), (0, ("hello", 0)))
        self.answer_all(self.here)
        self.successResultOf(sent)

    def test_unknown_senders_and_receivers_store_nothing(self):
        stranger = Account(4711, "stranger")
        self.failureResultOf(self.private("x", sender=stranger), AccountMismatch)
        self.failureResultOf(self.private("x", receiver=stranger), AccountMismatch)
        self.assertEqual(self.now(end_of(self.store, f"p:4711:{self.bob.id}")), "")
        self.assertEqual(self.now(end_of(self.store, f"p:4711:{self.alice.id}")), "")

    def test_nobody_writes_to_oneself(self):
        self.failureResultOf(self.private("x", receiver=self.alice), InvalidField)

    def test_the_store_is_away(self):
        self.guest(self.bob)
        for account in (self.alice, self.bob):
            self.accounts.keep(account)
        self.store.available = False
        self.failureResultOf(self.private("a", "b", batch=True), StoreUnavailable)
        self.assertEqual(self.here.items, [])

    def test_when_a_server_does_not_answer_the_fate_is_unknown(self):
        self.guest(self.bob)
        self.guest(self.bob, self.there)
        sent = self.private("a", "b", "c")
        self.clock.advance(CALL_SECONDS)
        self.failureResultOf(sent, CallTimeout)
        self.assertEqual(len(self.calls), 0)
        # Nothing of what else timed out is left without a listener.
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_link_that_is_lost_or_full_wrote_it_to_nobody(self):
        self.guest(self.bob)
        sent = self.private("x")
        self.presence.link_down(self.here)
        self.calls.link_down(self.here)
        self.failureResultOf(sent, UserOffline)
        self.guest(self.bob, self.there)
        self.there.full = True
        self.failureResultOf(self.private("x"), UserOffline)

    def test_a_session_that_the_links_have_not_told_of_yet(self):
        """Its record names the server, which knows."""
        self.now(self.store.sessions.reserve(self.bob.id, self.there.peer.place, "owner", seconds=30))
        sent = self.private("hello")
        (deliver,) = [item.deliver for item in self.there.items]
        self.assertEqual((list(deliver.users), self.shown(deliver)), ([self.bob.id], ("hello", 0)))
        self.assertEqual(self.here.items, [])
        self.answer_all(self.there)
        self.successResultOf(sent)

    def test_one_that_has_not_connected_yet(self):
        self.now(self.store.sessions.reserve(self.bob.id, self.there.peer.place, "owner", seconds=30))
        sent = self.private("hello")
        self.answer_all(self.there, sessions=0)
        self.failureResultOf(sent, UserOffline)

    def test_where_it_was_pushed_already_it_is_not_pushed_again(self):
        self.guest(self.bob)
        self.now(self.store.sessions.reserve(self.bob.id, self.here.peer.place, "owner", seconds=30))
        sent = self.private("hello")
        self.answer_all(self.here, sessions=0)
        self.turn()
        self.failureResultOf(sent, UserOffline)
        self.assertEqual(len(self.here.items), 1)

    def test_records_that_cannot_be_read_leave_it_stored(self):
        self.patch(self.store.sessions, "sessions", lambda user: fail(StoreUnavailable()))
        self.failureResultOf(self.private("hello"), UserOffline)
        self.assertEqual(self.stored(self.ab), ["hello"])

    def test_one_session_of_two_is_enough(self):
        self.guest(self.bob)
        self.online(self.there, self.bob, "n1")
        sent = self.private("x")
        self.there.full = True
        self.calls.link_down(self.there)
        self.assertNoResult(sent)
        self.answer_all(self.here)
        self.successResultOf(sent)


class BatchTests(GuestCase):
    def test_a_batch_is_consecutive_messages_in_a_run_for_each_of_the_two(self):
        self.guest(self.bob)
        self.online(self.here, self.alice, "a1")
        sent = self.private("a", "b", batch=True)
        delivers = [item.deliver for item in self.here.items]
        self.assertEqual(
            [(list(deliver.users), self.shown(deliver), deliver.call > 0) for deliver in delivers],
            [
                ([self.bob.id], ("a", 2), False),
                ([self.bob.id], ("b", 1), True),
                ([self.alice.id], ("a", 2), False),
                ([self.alice.id], ("b", 1), False),
            ],
        )
        first, second = [Packet.FromString(deliver.packet).deliver for deliver in delivers[:2]]
        self.assertEqual(second.previous, first.position)
        self.answer_all(self.here)
        self.successResultOf(sent)
        self.assertEqual(self.stored(self.ab), ["a", "b"])

    def test_a_batch_that_another_message_came_into_goes_one_by_one(self):
        self.guest(self.bob)
        for account in (self.alice, self.bob):
            self.accounts.keep(account)
        put = self.appender.put

        def with_another(items, done):
            if native.parse_body(items[0].body).text == "b":
                self.put(self.alice, self.to(self.bob, text="between", client_id="x"))
            put(items, done)

        self.appender.put = with_another
        sent = self.private("a", "b", batch=True)
        self.assertEqual(self.stored(self.ab), ["a", "between", "b"])
        self.answer_all(self.here)
        self.successResultOf(sent)
        shown = [self.shown(deliver) for deliver in self.here.take("deliver")]
        self.assertEqual(sorted(shown), [("a", 0), ("b", 0), ("between", 0)])

    def test_what_was_stored_of_a_batch_is_pushed_although_the_rest_failed(self):
        self.guest(self.bob)
        for account in (self.alice, self.bob):
            self.accounts.keep(account)
        append = self.store.conversations.append

        class Failing:
            @staticmethod
            def append(items):
                return append(items[:1]).addCallback(lambda results: [*results, StoreUnavailable()])

        self.appender._conversations = Failing
        self.failureResultOf(self.private("a", "b", batch=True), StoreUnavailable)
        self.assertEqual([self.shown(deliver) for deliver in self.here.take("deliver")], [("a", 0)])
        self.assertEqual(self.flushLoggedErrors(), [])


class DecidedTests(GuestCase):
    """A policy decides on what guests say."""

    def setUp(self):
        self.message_policy = PolicyDouble()
        self.message_policy.answers = {"spam": refused("no"), "damn": changed("****")}
        super().setUp()

    def test_of_a_batch_all_is_stored_or_nothing(self):
        self.assertEqual(str(self.refusal(self.private("a", "spam", "b", batch=True), Refused)), "no")
        self.assertEqual(self.stored(self.ab), [])
        self.refusal(self.private("a", "damn", "b", batch=True), UserOffline)
        self.assertEqual(self.stored(self.ab), ["a", "****", "b"])
        self.assertEqual(self.message_policy.texts, ["a", "spam", "b", "a", "damn", "b"])

    def test_a_batch_that_cannot_be_decided_on(self):
        self.message_policy.hold = True
        sent = self.private(*map(str, range(20)), batch=True)
        self.assertEqual(len(self.message_policy.waiting), AHEAD)
        for _ in range(19):
            self.message_policy.answer()
        self.message_policy.waiting.pop().errback(Undecided())
        self.turn()
        self.failureResultOf(sent, Undecided)
        self.assertEqual(self.stored(self.ab), [])

    def test_servers_of_upstream_get_what_is_stored(self):
        self.directory.listed({JAVA: b""})
        self.now(self.store.sessions.reserve(self.bob.id, Place(JAVA), "o", seconds=1, live=True))
        self.successResultOf(self.private("a", "damn", batch=True))
        self.assertEqual([obj["batchMsg"] for _, obj in self.posted], [["a", "****"]])
        self.begin(self.messages.everyone(Guest(self.alice.id, "192.0.2.7"), "damn"))
        self.turn()
        self.assertEqual([obj["msg"] for _, obj in self.posted[1:]], ["****"])


class EveryoneTests(GuestCase):
    def test_everyone_but_the_sender(self):
        sent = self.everyone()
        for link in (self.here, self.there):
            (deliver,) = [item.deliver for item in link.items]
            self.assertEqual(self.shown(deliver), ("all", 0))
            self.assertEqual((deliver.everyone, deliver.except_user), (True, self.alice.id))
            self.assertNoResult(sent)
            self.answer_all(link)
        self.successResultOf(sent)
        self.assertEqual(self.stored("g:0"), ["all"])

    def test_a_server_that_is_lost_or_does_not_answer_ends_nothing(self):
        sent = self.everyone()
        self.calls.link_down(self.here)
        self.assertNoResult(sent)
        self.clock.advance(CALL_SECONDS)
        self.successResultOf(sent)

    def test_nobody_is_online(self):
        for link in (self.here, self.there):
            self.presence.link_down(link)
        self.successResultOf(self.everyone())

    def test_refusals(self):
        self.failureResultOf(self.everyone(sender=Account(4711, "?")), AccountMismatch)
        for _ in range(300):
            self.everyone()
        self.failureResultOf(self.everyone(), RateLimited)

    def test_fetching_asks_the_servers_that_hold_the_guest(self):
        self.guest(self.bob)
        self.online(self.there, self.bob, "n1")
        fetched = self.begin(self.messages.fetch_offline(self.bob.id))
        self.assertEqual(self.there.items, [])
        self.assertNoResult(fetched)
        (fetch,) = [item.deliver for item in self.here.items]
        self.assertEqual((list(fetch.users), Packet.FromString(fetch.packet)), ([self.bob.id], Packet(news=News())))
        self.answer_all(self.here)
        self.successResultOf(fetched)

    def test_fetching_what_nobody_can_write(self):
        self.successResultOf(self.begin(self.messages.fetch_offline(self.bob.id)))
        self.guest(self.bob)
        self.guest(self.bob, self.there)
        fetched = self.begin(self.messages.fetch_offline(self.bob.id))
        self.calls.link_down(self.here)
        self.calls.link_down(self.there)
        self.failureResultOf(fetched, LinkLost)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fetching_when_the_links_have_not_told_of_the_guest_yet(self):
        """Its record names the server, which knows."""
        self.successResultOf(self.store.sessions.reserve(self.bob.id, self.here.peer.place, "owner", seconds=30))
        fetched = self.begin(self.messages.fetch_offline(self.bob.id))
        self.assertEqual((len(self.here.items), self.there.items), (1, []))
        self.answer_all(self.here)
        self.successResultOf(fetched)
        fetched = self.begin(self.messages.fetch_offline(self.bob.id))
        self.answer_all(self.here, sessions=0)
        self.failureResultOf(fetched, Unavailable)

    def test_fetching_when_the_guest_s_server_is_not_linked(self):
        self.successResultOf(self.store.sessions.reserve(self.bob.id, self.here.peer.place, "owner", seconds=30))
        self.guest(self.bob)
        self.presence.link_down(self.here)
        self.failureResultOf(self.begin(self.messages.fetch_offline(self.bob.id)), Unavailable)
        # Nor when another run of it is there.
        elsewhere = Place(self.there.peer.place.server, "an earlier run")
        self.successResultOf(self.store.sessions.reserve(self.carol.id, elsewhere, "owner", seconds=30))
        self.failureResultOf(self.begin(self.messages.fetch_offline(self.carol.id)), Unavailable)

    def test_who_is_online(self):
        self.guest(self.carol)
        self.online(self.there, self.alice, "a1")
        # Of who has a password nothing is told: whoever asks proves nothing.
        self.assertEqual(self.now(self.messages.online()), [self.carol])


class UpstreamTests(GuestCase):
    """One of upstream's servers is listed, and bob is there."""

    def setUp(self):
        super().setUp()
        registry = MemoryRegistry(self.clock)
        registry.watch("cim", self.directory.listed)
        registry.announce("cim", JAVA, b"")
        self.turn()
        self.assertIn(JAVA, self.directory.upstream)
        self.now(self.store.sessions.reserve(self.bob.id, Place(JAVA), "o", seconds=30, live=True))

    def test_private(self):
        self.successResultOf(self.private("hello"))
        ((url, obj),) = self.posted
        self.assertTrue(url.startswith("http://127.0.0.1:8099"))
        self.assertEqual(obj["userId"], self.bob.id)

    def test_a_session_of_ours_comes_first(self):
        self.guest(self.bob)
        sent = self.private("hello")
        self.answer_all(self.here)
        self.successResultOf(sent)
        self.assertEqual(self.posted, [])

    def test_everyone(self):
        sent = self.everyone()
        for link in (self.here, self.there):
            self.answer_all(link)
        self.successResultOf(sent)
        self.assertEqual([obj["userId"] for _, obj in self.posted], [self.bob.id])

    def test_who_is_online(self):
        self.assertEqual(self.now(self.messages.online()), [self.bob])

    def test_a_server_that_fails_harms_nobody(self):
        self.post_result = Deferred()
        self.messages._upstream = UpstreamServers(None, lambda url, obj: self.post_result)
        sent = self.everyone()
        for link in (self.here, self.there):
            self.answer_all(link)
        self.assertNoResult(sent)
        self.post_result.errback(StoreUnavailable())
        self.successResultOf(sent)

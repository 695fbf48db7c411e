"""Clients that obey the gap rule get everything once and in order, under random faults."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.errors import StoreUnavailable, Undecided
from cim.interfaces import RUNS, IMessagePolicy
from cim.link.handshake import HIGHEST_VERSION
from cim.model import LoginPolicy
from cim.policies import ALLOWED, About, changed, refused
from cim.route.messages import appending
from cim.selection import SHARING
from cim.wire import conversations, native
from cim.wire.cim_pb2 import MEMBERS
from cim.wire.gap import GapPolicy
from cim.wire.guests import Generation
from cim.wire.websocket_frames import JSON, PROTOBUF
from tests.cluster.storm_members import Listener, Member
from tests.harness.cluster import Cluster


@implementer(IMessagePolicy)
class Whim:
    """A policy that decides otherwise whenever it is asked, sooner or later or not at all; it marks what it changes."""

    name = "whim"
    kinds = frozenset({About.TEXT})
    at_once = False

    def __init__(self, storm):
        self.storm = storm

    def configured(self, argument):
        return self

    def check(self, question):
        chance = self.storm.random
        verdict = chance.choices((ALLOWED, changed(f"{question.text}!"), refused(), None), (6, 2, 2, 1))[0]
        if self.storm.is_over:
            # What guests say at last must be there: by it is noticed what was not pushed.
            verdict = ALLOWED
        answer = Deferred()
        give = (answer.callback, verdict) if verdict is not None else (answer.errback, Undecided())
        if chance.random() < 0.3:
            give[0](give[1])
        else:
            self.storm.cluster.clock.callLater(chance.random() * 0.6, *give)
        return answer


class Storm:
    """A cluster, its members, and random faults.

    :param seed: of everything that is random
    :param versions: of the items that links speak
    :param decided: whether a policy decides on what is said
    :param parted: whether the store answers later calls before earlier ones
    """

    def __init__(self, seed, versions=(HIGHEST_VERSION,), decided=False, parted=False):
        self.random = random.Random(seed)
        self.cluster = Cluster(
            servers=2,
            routes=2,
            policy=LoginPolicy.MANY,
            link_version=lambda: self.random.choice(versions),
            message_policy=Whim(self) if decided else None,
        )
        self.store = self.cluster.store.conversations
        self._append = self.store.append
        self.store.append = self.append
        self.parted = parted
        self.latency = self.answered_at = 0.0
        self.answers = self.unheard = 0
        self.policy = GapPolicy(self.random.random, capacity=60)
        self.is_over = False
        accounts = [self.cluster.account(name) for name in ("alice", "bob", "carol")]
        grouping = self.cluster.routes[0].grouping
        self.group = self.cluster.result(grouping.create(accounts[0].id, "all", open=True, history=True))
        for account in accounts[1:]:
            self.cluster.result(grouping.add(self.group, account.id, account.id))
        self.accounts = accounts
        self.members = [
            Member(self, accounts[0], "phone", ""),
            Member(self, accounts[0], "tablet", JSON),
            Member(self, accounts[1], "phone", PROTOBUF),
            Member(self, accounts[2], "phone", ""),
        ]
        self.listeners = [
            Listener(self, self.cluster.account(generation.value), generation) for generation in Generation
        ]
        self.faults = (
            (30, self.talk),
            (6, self.guest_talks),
            (2, self.cut),
            (3, self.mend),
            (1, self.kill_route),
            (1, self.restart_server),
            (2, self.drop),
            (5, self.come_back),
            (1, self.lose_store),
            (3, self.find_store),
            (2, self.slow),
            (2, self.relieve),
        )

    def append(self, items):
        """Append as a remote store does: in order, with a delay, and sometimes with an unknown outcome.

        As with a connection that breaks, what was asked before a failure is heard of fails too.
        """
        if not self.latency and not self.answers:
            return self._append(items)
        outcome = Deferred()
        if self.cluster.store.available and (self.parted or not self.unheard) and self.random.random() > 0.1:
            self._append(items).addCallback(self._answer, outcome)
        else:
            self.unheard += 1
            self._answer(None, outcome)
        return outcome

    def _answer(self, result, outcome):
        """Answer after all earlier answers; None for what was not done."""

        def give():
            self.answers -= 1
            if result is None:
                self.unheard -= 1
            if result is None or is_lost:
                outcome.errback(StoreUnavailable())
            else:
                outcome.callback(result)

        is_lost = self.random.random() < 0.1
        self.answers += 1
        now = self.cluster.clock.seconds()
        at = now + self.random.random() * self.latency
        self.answered_at = max(self.answered_at, at)
        self.cluster.clock.callLater((at if self.parted else self.answered_at) - now, give)

    @property
    def everyone(self):
        return [*self.members, *self.listeners]

    @property
    def links(self):
        return [(server, route) for server in self.cluster.servers for route in self.cluster.routes]

    def linked(self, server, route):
        return (server.own.name, str(route.address)) in self.cluster._links

    def talk(self):
        member = self.random.choice(self.members)
        guests = [listener.account for listener in self.listeners]
        receiver = self.random.choice([other for other in self.accounts + guests if other is not member.account])
        group = self.group if self.random.random() < 0.4 else 0
        # No more than servers remember of a session, however often it repeats all of it.
        for _ in range(self.random.choice((1, 1, 2, 5, 12)) if len(member.unanswered) < 20 else 1):
            member.say(receiver, group)
            if self.random.random() < 0.1:
                group = 0 if group else self.group
        member.flush()

    def guest_talks(self):
        listener = self.random.choice(self.listeners)
        others = [other.account for other in self.listeners if other is not listener]
        listener.say(self.random.choice(self.accounts + others), self.random.choice((1, 1, 2, 4)))

    def cut(self):
        server, route = self.random.choice(self.links)
        if self.linked(server, route):
            at_server, at_route = self.cluster._links.pop((server.own.name, str(route.address)))
            self.random.choice((at_server, at_route)).lose("cut")

    def mend(self):
        server, route = self.random.choice(self.links)
        if not self.linked(server, route):
            self.cluster.link(server, route)

    def kill_route(self):
        self.cluster.kill_route(self.random.choice(self.cluster.routes))

    def restart_server(self):
        """Kill a server, and start it again."""
        at = self.random.randrange(len(self.cluster.servers))
        old = self.cluster.servers[at]
        self.cluster.kill(old)
        old.rechecks.stop()
        old.wheel.stopService()
        for member in self.everyone:
            if member.client is not None and member.client.connection.gateway is old.gateway:
                member.act()
                member.client = None
        self.cluster.start_server(at)

    def drop(self):
        self.random.choice(self.everyone).drop()

    def come_back(self):
        for member in self.everyone:
            if not member.online:
                member.connect()

    def lose_store(self):
        self.cluster.store.available = False

    def find_store(self):
        self.cluster.store.available = True
        self.latency = self.random.choice((0, 0, 0.1, 3.0))

    def slow(self):
        member = self.random.choice(self.everyone)
        if member.online and not member.client.connection.slow:
            member.client.connection.pauseProducing()

    def relieve(self):
        for member in self.everyone:
            if member.online and member.client.connection.slow:
                member.client.connection.resumeProducing()

    def pass_time(self, seconds):
        self.cluster.clock.advance(seconds)
        for _ in range(self.random.choice((0, 1, 5))):
            self.cluster.clock.advance(0)
        for member in self.everyone:
            member.act()

    def rage(self, steps):
        """Cause random faults."""
        weights = [weight for weight, _ in self.faults]
        for _ in range(steps):
            self.random.choices([fault for _, fault in self.faults], weights)[0]()
            self.pass_time(self.random.choice((0, 0, 0.01, 0.3, 1.0, 6.0)))

    def calm(self):
        """Repair everything, and wait until every client has what it missed."""
        self.find_store()
        self.latency = 0
        for server, route in self.links:
            if not self.linked(server, route):
                self.cluster.link(server, route)
        self.cluster.turn()
        self.wait(120)
        # What guests say is not repeated, and so not pushed, when nobody knows whether it was stored. It is noticed
        # when something follows.
        self.is_over = True
        for listener in self.listeners:
            for account in [*self.accounts, *(other.account for other in self.listeners)]:
                if account is not listener.account:
                    listener.say(account, 1)
        self.wait(5)

    def wait(self, seconds):
        """Let time pass without faults."""
        for _ in range(seconds):
            self.relieve()
            self.come_back()
            self.cluster.turn()
            self.pass_time(1.0)
            self.cluster.turn()

    def log(self, name):
        """Return the texts of a conversation as stored, without what it tells of members."""
        found = []
        self.cluster.store.conversations.read(name, limit=10_000).addCallback(found.append)
        (page,) = found
        assert not page.more
        said = [native.parse_body(entry.body) for entry in page.entries]
        return [one.text for one in said if one.kind != MEMBERS]


class StormTests(SynchronousTestCase):
    def weather(self, seed, steps=250, **options):
        storm = Storm(seed, **options)
        storm.come_back()
        storm.cluster.turn()
        storm.rage(steps)
        storm.calm()
        said = {}
        self.assert_routes_know(storm, seed)
        for member in storm.members:
            self.assertEqual(
                member.unanswered, {}, f"seed {seed}: {member.account.name}/{member.device} never heard of"
            )
            for name in member.rules:
                said[name] = storm.log(name)
        guests = conversations.private(*sorted(listener.account.id for listener in storm.listeners))
        said[guests] = storm.log(guests)
        of_members = [text for log in said.values() for text in log if "/" in text]
        never = set().union(*(member.refused for member in storm.members))
        count = sum(member.count for member in storm.members) - len(never)
        self.assertEqual(len(of_members), count, f"seed {seed}")
        self.assertEqual(never.intersection(text.rstrip("!") for text in of_members), set(), f"seed {seed}: stored")
        self.assert_batches_are_whole_from_their_beginning(said, seed)
        self.assert_guests_got_all(storm, said, seed)
        for name, log in said.items():
            self.assertEqual(len(set(log)), len(log), f"seed {seed}: doubles in {name}")
            for member in storm.members:
                mine = [
                    int(text.rstrip("!").split()[1])
                    for text in log
                    if text.startswith(f"{member.account.name}/{member.device} ")
                ]
                self.assertEqual(mine, sorted(mine), f"seed {seed}: out of order in {name}")
                of = conversations.parse(name)
                if isinstance(of, conversations.GroupConversation) or of.involves(member.account.id):
                    shown = member.shown.get(name, [])
                    self.assertEqual(shown, log, f"seed {seed}: {member.account.name}/{member.device} of {name}")

    def assert_guests_got_all(self, storm, said, seed):
        for listener in storm.listeners:
            for shown in listener.shown:
                self.assertEqual(len(set(shown)), len(shown), f"seed {seed}: doubles for {listener.account.name}")
            # What was written but not acknowledged comes again at the next login.
            ever = [*dict.fromkeys(text for shown in listener.shown for text in shown)]
            for name, log in said.items():
                if str(listener.account.id) in name.split(":"):
                    of_this = [text for text in ever if text in set(log)]
                    of_others = [text for text in log if not text.startswith(f"{listener.account.name} ")]
                    self.assertEqual(of_this, of_others, f"seed {seed}: {listener.account.name} of {name}")

    def assert_batches_are_whole_from_their_beginning(self, said, seed):
        for name, log in said.items():
            calls = {}
            for text in log:
                if "/" not in text:
                    guest, call, number = text.rstrip("!").split()
                    calls.setdefault((guest, call), []).append(int(number))
            for call, numbers in calls.items():
                self.assertEqual(numbers, [*range(len(numbers))], f"seed {seed}: {call} in {name}")

    def assert_routes_know(self, storm, seed):
        """Assert that presence and session records match the live sessions."""
        for member in storm.everyone:
            user = member.account.id
            there = sorted(
                (server.own.name, session.owner)
                for server in storm.cluster.servers
                for session in server.sessions.of(user)
            )
            for route in storm.cluster.routes:
                known = storm.cluster.where(user, route)
                self.assertEqual(known, there, f"seed {seed}: presence of {member.account.name}")
                storm.cluster.begin(route.whereabouts.known((user,)))
                pushed = sorted({online.host.place.server for online in route.whereabouts.of(user)})
                self.assertEqual(pushed, sorted({server for server, _ in there}), f"seed {seed}: {member.account.name}")
            records = self.successResultOf(storm.cluster.store.sessions.sessions(user))
            self.assertEqual(
                sorted((record.place.server, record.owner) for record in records if record.live),
                there,
                f"seed {seed}: records of {member.account.name}",
            )

    def test_everything_once_and_in_order(self):
        for seed in range(15):
            self.weather(seed)

    def test_with_a_store_that_answers_parts_of_a_run_in_any_order(self):
        self.patch(appending, "LEAST_OF_ONE", 3)
        self.patch(appending, "BATCH_OF_ONE", 3)
        for seed in range(500, 504):
            self.weather(seed, parted=True)

    def test_over_links_of_the_first_version_too(self):
        for seed in range(100, 106):
            self.weather(seed, versions=(1, RUNS - 1, HIGHEST_VERSION))
        for seed in range(200, 203):
            self.weather(seed, versions=(1,))

    def test_over_links_whose_servers_tell_everything_too(self):
        for seed in range(400, 404):
            self.weather(seed, versions=(SHARING - 1, SHARING))

    def test_under_a_policy_that_changes_its_mind(self):
        for seed in range(300, 306):
            self.weather(seed, decided=True)

"""Clients that obey the gap rule, under faults at random: each gets everything once and in order."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cim.ecim import CIMError, StoreUnavailable
from cim.model import LoginPolicy
from cim.server.websocket_upgrade import JSON, PROTOBUF
from cim.testing.cluster import Cluster
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import Packet, Send
from cim.wire.gap import GapPolicy, GapRule
from cim.wire.guests import Generation, encode_login


class Member:
    """A client with a memory: what it sent and is not sure of, and what it has of each conversation.

    :ivar shown: conversation -> texts, as a user saw them
    """

    def __init__(self, storm, account, device, form):
        self.storm = storm
        self.account = account
        self.device = device
        self.form = form
        self.client = None
        self.unanswered = {}
        self.again = []
        self.rules = {}
        self.shown = {}
        self.count = 0
        self.ping_at = 0
        self.welcomed = False

    @property
    def online(self):
        return self.client is not None and not self.client.connection.closing

    def connect(self):
        """Log in, if that can be had now."""
        live = [at for at, route in enumerate(self.storm.cluster.routes) if list(route.presence.links())]
        try:
            admission, ticket = self.storm.cluster.admit(self.account, self.device, self.storm.random.choice(live))
        except (CIMError, IndexError):
            return
        self.client = self.storm.cluster.open_native(admission.place.server, self.form)
        self.client.hello(ticket, self.device)
        self.welcomed = False
        # What was not answered is unknown: it comes first.
        self.again = [*self.unanswered]
        for rule in self.rules.values():
            rule.failed(self.storm.cluster.clock.seconds(), 0)

    def drop(self):
        """Lose the connection."""
        if self.client is not None:
            self.client.drop()
            self.client = None

    def say(self, receiver, group):
        """Say the next message."""
        text = f"{self.account.name}/{self.device} {self.count}"
        self.count += 1
        to = {"group": group} if group else {"user": receiver.id}
        send = Send(client_id=text, text=text, **to)
        name = conversations.group(group) if group else conversations.private(self.account.id, receiver.id)
        self.unanswered[text] = (name, send)
        if self.online and self.welcomed and not any(self.unanswered[other][0] == name for other in self.again):
            self.client.say(Packet(send=send))
        else:
            self.again.append(text)

    def rule(self, name):
        if name not in self.rules:
            self.rules[name] = GapRule(self.storm.policy, positions.ZERO)
        return self.rules[name]

    def show(self, name, items):
        self.shown.setdefault(name, []).extend(items)

    def act(self):
        """Take what came, and say what is due."""
        if self.client is None:
            return
        now = self.storm.cluster.clock.seconds()
        if now >= self.ping_at and self.welcomed:
            self.ping_at = now + 10
            self.client.ping()
        for packet in self.client.packets():
            kind = packet.WhichOneof("body")
            body = getattr(packet, kind)
            if kind == "welcome":
                self.welcomed = True
            if kind in ("welcome", "news"):
                for head in body.heads:
                    self.rule(head.conversation).news(positions.parse(head.latest), now)
                if body.more:
                    self.client.sync(after=body.more)
            elif kind in ("deliver", "accepted"):
                place = positions.parse(body.position), positions.parse(body.previous)
                if kind == "deliver":
                    text = body.text
                else:
                    _, send = self.unanswered.pop(body.client_id, (None, None))
                    if body.client_id in self.again:
                        self.again.remove(body.client_id)
                    text = body.client_id
                self.show(body.conversation, self.rule(body.conversation).pushed(*place, text, now))
            elif kind == "synced":
                after, upto = positions.parse(body.after), positions.parse(body.upto)
                self.show(
                    body.conversation, self.rule(body.conversation).synced(after, upto, body.more, body.reset, now)
                )
            elif kind == "failure" and body.client_id:
                assert body.code in ("unavailable", "timeout", "rate-limited"), body
                if body.client_id in self.unanswered and body.client_id not in self.again:
                    self.again.append(body.client_id)
        if not self.online or not self.welcomed:
            return
        for name, rule in self.rules.items():
            after = rule.sync_due(now)
            if after is not None:
                self.client.sync(name, positions.text(after), limit=self.storm.random.choice((0, 3, 50)))
        if self.again:
            # All that is unanswered of these conversations, in order.
            names = {self.unanswered[text][0] for text in self.again}
            self.again = []
            for name, send in list(self.unanswered.values()):
                if name in names:
                    self.client.say(Packet(send=send))


class Listener:
    """A guest, who only listens.

    :ivar shown: for each connection the texts that it was shown
    """

    def __init__(self, storm, account, generation):
        self.storm = storm
        self.account = account
        self.generation = generation
        self.client = None
        self.shown = []
        self.ping_at = 0

    @property
    def online(self):
        return self.client is not None and not self.client.closed

    def connect(self):
        """Log in, if that can be had now."""
        cluster = self.storm.cluster
        route = self.storm.random.choice(cluster.routes)
        try:
            address = cluster.result(route.logins.login(self.account.id, self.account.name))
        except (CIMError, IndexError):
            return
        login = encode_login(self.generation, self.account.id, self.account.name)
        self.client = cluster.connect(str(address), login, self.generation)
        self.shown.append([])
        if self.generation is Generation.W2:
            cluster.begin(route.messages.fetch_offline(self.account.id)).addErrback(lambda failure: None)

    def drop(self):
        """Lose the connection, with everything that came read."""
        if self.client is not None:
            self.act()
            self.client.drop()
            self.client = None

    def act(self):
        """Take what came, and say that it lives."""
        if self.client is None:
            return
        now = self.storm.cluster.clock.seconds()
        if now >= self.ping_at and self.online:
            self.ping_at = now + 10
            self.client.ping(self.account.id)
        texts = self.client.texts()
        self.shown[-1] += [text.partition(":")[2] if self.generation is Generation.W1 else text for text in texts]


class Storm:
    """A cluster, its members, and what goes wrong.

    :param seed: of everything that is random
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.cluster = Cluster(servers=2, routes=2, policy=LoginPolicy.MANY)
        self.store = self.cluster.store.conversations
        self._append = self.store.append
        self.store.append = self.append
        self.latency = self.answered_at = 0.0
        self.answers = self.unheard = 0
        self.policy = GapPolicy(self.random.random, capacity=60)
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
        """Append as a store does that is far away: in order, later, and sometimes nobody knows whether.

        As with a connection that breaks, what was asked before a failure is heard of fails too.
        """
        if not self.latency and not self.answers:
            return self._append(items)
        outcome = Deferred()
        if self.cluster.store.available and not self.unheard and self.random.random() > 0.1:
            self._append(items).addCallback(self._answer, outcome)
        else:
            self.unheard += 1
            self._answer(None, outcome)
        return outcome

    def _answer(self, result, outcome):
        """Answer after all answers before; None for what was not done."""

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
        self.answered_at = max(self.answered_at, now + self.random.random() * self.latency)
        self.cluster.clock.callLater(self.answered_at - now, give)

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
        for _ in range(self.random.choice((1, 1, 2, 5))):
            member.say(receiver, group)

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
        """End a server without a word, and start it anew."""
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
        """Let things go wrong."""
        weights = [weight for weight, _ in self.faults]
        for _ in range(steps):
            self.random.choices([fault for _, fault in self.faults], weights)[0]()
            self.pass_time(self.random.choice((0, 0, 0.01, 0.3, 1.0, 6.0)))

    def calm(self):
        """Mend everything, and wait until all have what they lack."""
        self.find_store()
        self.latency = 0
        for server, route in self.links:
            if not self.linked(server, route):
                self.cluster.link(server, route)
        self.cluster.turn()
        for _ in range(120):
            self.relieve()
            self.come_back()
            self.cluster.turn()
            self.pass_time(1.0)
            self.cluster.turn()

    def log(self, name):
        """The texts of a conversation as it is stored."""
        found = []
        self.cluster.store.conversations.read(name, limit=10_000).addCallback(found.append)
        (page,) = found
        assert not page.more
        return [native.parse_body(entry.body).text for entry in page.entries]


class StormTests(SynchronousTestCase):
    def weather(self, seed, steps=250):
        storm = Storm(seed)
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
        self.assertEqual(sum(map(len, said.values())), sum(member.count for member in storm.members), f"seed {seed}")
        self.assert_guests_got_all(storm, said, seed)
        for name, log in said.items():
            self.assertEqual(len(set(log)), len(log), f"seed {seed}: doubles in {name}")
            for member in storm.members:
                mine = [
                    int(text.split()[1]) for text in log if text.startswith(f"{member.account.name}/{member.device} ")
                ]
                self.assertEqual(mine, sorted(mine), f"seed {seed}: out of order in {name}")
                of = conversations.parse(name)
                if isinstance(of, conversations.Group) or of.involves(member.account.id):
                    shown = member.shown.get(name, [])
                    self.assertEqual(shown, log, f"seed {seed}: {member.account.name}/{member.device} of {name}")

    def assert_guests_got_all(self, storm, said, seed):
        for listener in storm.listeners:
            for shown in listener.shown:
                self.assertEqual(len(set(shown)), len(shown), f"seed {seed}: doubles for {listener.account.name}")
            # What was written and could not be acknowledged comes again at the next login.
            ever = [*dict.fromkeys(text for shown in listener.shown for text in shown)]
            for name, log in said.items():
                if str(listener.account.id) in name.split(":"):
                    of_this = [text for text in ever if text in set(log)]
                    self.assertEqual(of_this, log, f"seed {seed}: {listener.account.name} of {name}")

    def assert_routes_know(self, storm, seed):
        """Presence and records are what is there."""
        for member in storm.everyone:
            user = member.account.id
            there = sorted(
                (server.own.name, session.owner)
                for server in storm.cluster.servers
                for session in server.sessions.of(user)
            )
            for route in storm.cluster.routes:
                known = sorted((online.host.place.server, online.owner) for online in route.presence.of(user))
                self.assertEqual(known, there, f"seed {seed}: presence of {member.account.name}")
            records = self.successResultOf(storm.cluster.store.sessions.sessions(user))
            self.assertEqual(
                sorted((record.place.server, record.owner) for record in records if record.live),
                there,
                f"seed {seed}: records of {member.account.name}",
            )

    def test_everything_once_and_in_order(self):
        for seed in range(15):
            self.weather(seed)

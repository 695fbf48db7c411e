"""Clients for storms: members that obey the gap rule and remember what is unanswered, and guests who listen."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.errors import CIMError
from cim.route.messages.limits import Guest
from cim.wire import conversations, positions
from cim.wire.cim_pb2 import Packet, Send
from cim.wire.gap import GapRule
from cim.wire.guests import Generation, encode_login


class Member:
    """A client with a memory: which of its messages are unanswered, and what it has of each conversation.

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
        self.said = []
        self.rules = {}
        self.shown = {}
        self.count = 0
        self.refused = set()
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
        # The outcome of unanswered messages is unknown, so they go first.
        self.again = [*self.unanswered]
        for rule in self.rules.values():
            rule.failed(self.storm.cluster.clock.seconds(), 0)

    def drop(self):
        """Lose the connection."""
        if self.client is not None:
            self.client.drop()
            self.client = None

    def say(self, receiver, group):
        """Send the next message, which `flush` writes."""
        text = f"{self.account.name}/{self.device} {self.count}"
        self.count += 1
        to = {"group": group} if group else {"user": receiver.id}
        send = Send(client_id=text, text=text, **to)
        name = conversations.group(group) if group else conversations.private(self.account.id, receiver.id)
        self.unanswered[text] = (name, send)
        if self.online and self.welcomed and not any(self.unanswered[other][0] == name for other in self.again):
            self.said.append(Packet(send=send))
        else:
            self.again.append(text)

    def flush(self):
        """Write what it says, in one go."""
        said, self.said = self.said, []
        if said and self.online:
            self.client.say(*said)

    def rule(self, name):
        if name not in self.rules:
            self.rules[name] = GapRule(self.storm.policy, positions.ZERO)
        return self.rules[name]

    def show(self, name, items):
        self.shown.setdefault(name, []).extend(items)

    def act(self):
        """Read what arrived, and send what is due."""
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
            elif kind == "failure" and body.code == "refused":
                self.refused.add(body.client_id)
                self.unanswered.pop(body.client_id, None)
                if body.client_id in self.again:
                    self.again.remove(body.client_id)
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
            # Everything unanswered in these conversations, in order.
            names = {self.unanswered[text][0] for text in self.again}
            self.again = []
            for name, send in list(self.unanswered.values()):
                if name in names:
                    self.said.append(Packet(send=send))
            self.flush()


class Listener:
    """A guest, who sends each message by HTTP once, whatever happens to it.

    :ivar shown: for each connection the texts that it was shown
    """

    def __init__(self, storm, account, generation):
        self.storm = storm
        self.account = account
        self.generation = generation
        self.client = None
        self.shown = []
        self.ping_at = 0
        self.calls = 0

    @property
    def online(self):
        return self.client is not None and not self.client.closed

    def say(self, receiver, count):
        """Send one message, or a batch."""
        self.calls += 1
        texts = [f"{self.account.name} {self.calls} {number}" for number in range(count)]
        route = self.storm.random.choice(self.storm.cluster.routes)
        saying = route.messages.private(Guest(self.account.id, "192.0.2.7"), receiver.id, texts, batch=count > 1)
        Deferred.fromCoroutine(saying).addErrback(lambda failure: failure.trap(CIMError))

    def connect(self):
        """Log in, if that can be had now."""
        cluster = self.storm.cluster
        route = self.storm.random.choice(cluster.routes)
        try:
            address = cluster.result(route.logins.login(self.account.id, self.account.name)).address
        except (CIMError, IndexError):
            return
        login = encode_login(self.generation, self.account.id, self.account.name)
        self.client = cluster.connect(str(address), login, self.generation)
        self.shown.append([])
        if self.generation is Generation.W2:
            cluster.begin(route.messages.fetch_offline(self.account.id)).addErrback(lambda failure: None)

    def drop(self):
        """Lose the connection, after reading everything that arrived."""
        if self.client is not None:
            self.act()
            self.client.drop()
            self.client = None

    def act(self):
        """Read what arrived, and send a ping."""
        if self.client is None:
            return
        now = self.storm.cluster.clock.seconds()
        if now >= self.ping_at and self.online:
            self.ping_at = now + 10
            self.client.ping(self.account.id)
        texts = self.client.texts()
        self.shown[-1] += [text.partition(":")[2] if self.generation is Generation.W1 else text for text in texts]

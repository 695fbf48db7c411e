"""A base with the parts of a route between its links and its store, on a Clock; the test plays the servers."""

from __future__ import annotations

import itertools
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.daemon.metrics import Metrics
from cim.interfaces import ILink
from cim.limits import Limit, defaults
from cim.link.packing import Packing
from cim.model import Account, Append, LinkPeer
from cim.route.front.requests import Requests
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery
from cim.route.messages.group_entries import GroupEntries
from cim.route.messages.grouping import Grouping
from cim.route.messages.inviting import Inviting
from cim.route.messages.limits import MESSAGE_LIMITS, MessageLimits
from cim.route.messages.outgoing import Outgoing
from cim.route.messages.reading import Reading
from cim.route.messages.receipts import Receipts
from cim.route.messages.sending import Sending
from cim.route.presence.blocks import Blocks
from cim.route.presence.calls import LinkCalls
from cim.route.presence.peers import Peers
from cim.route.presence.presence import Presence
from cim.route.presence.recorder import SessionRecorder
from cim.route.presence.watching import Watching
from cim.route.presence.whereabouts import Whereabouts
from cim.wire import conversations, native
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL, Packet, Send
from cim.wire.link_pb2 import Item, Outcome, Request
from tests.harness.store import MemoryStore

START = 1_700_000_000


@implementer(ILink)
class Link(Packing):
    """A link to a server that records what is sent over it."""

    def __init__(self, name="127.0.0.1:11211:8081", version=2):
        self.peer = LinkPeer(name, "run")
        self.queued = 0
        self.version = version
        self.items = []
        self.full = False

    def send(self, item):
        if self.full:
            return False
        self.items.append(item)
        return True

    def send_packed(self, item, droppable):
        return self.send(Item.FromString(item))

    def lose(self, reason):
        pass

    def take(self, kind):
        """Return the items of a kind that were sent, and forget them."""
        taken = [getattr(item, kind) for item in self.items if item.WhichOneof("item") == kind]
        self.items = [item for item in self.items if item.WhichOneof("item") != kind]
        return taken

    def bodies(self, kind="deliver"):
        """Return the packets for native sessions in the Delivers that were sent, and forget them."""
        packets = [Packet.FromString(deliver.packet) for deliver in self.take("deliver") if deliver.packet]
        return [getattr(packet, packet.WhichOneof("body")) for packet in packets]


class Held:
    """A part of the store whose calls of one method wait until the test releases them."""

    def __init__(self, real, method):
        self._real = real
        self._method = method
        self.calls = []

    def __getattr__(self, name):
        if name == self._method:
            return self._hold
        return getattr(self._real, name)

    def _hold(self, *args, **options):
        held = Deferred()
        self.calls.append((held, args, options))
        return held

    def go(self, at=0):
        """Let a waiting call reach the store and be answered."""
        held, args, options = self.calls.pop(at)
        getattr(self._real, self._method)(*args, **options).chainDeferred(held)

    def fail(self, error, at=0):
        """Fail a call without letting it reach the store."""
        self.calls.pop(at)[0].errback(error)

    def answer(self, result, at=0):
        """Answer a call without letting it reach the store."""
        self.calls.pop(at)[0].callback(result)


class RouteCase(SynchronousTestCase):
    """A base in which everything but the services' timers is running."""

    #: The part of the store whose calls are held, and the method.
    held = None
    #: Limits of messages that are not the usual ones, by name.
    other_limits: ClassVar[dict[str, Limit]] = {}
    #: Decides on messages.
    message_policy = None

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(START)
        self.store = MemoryStore(self.clock)
        self.conversations, self.groups = self.store.conversations, self.store.groups
        if self.held is not None:
            part, method = self.held
            self.hold = Held(getattr(self, part), method)
            setattr(self, part, self.hold)
        self.metrics = Metrics("test")
        self.presence = Presence("route")
        self.calls = LinkCalls(self.clock)
        self.appender = Appender(self.conversations, self.clock)
        self.peers = Peers(self.presence, self.calls)
        self.whereabouts = Whereabouts(self.presence, self.peers, self.clock)
        self.delivery = Delivery(self.presence, self.whereabouts, self.groups, self.calls)
        self.accounts = KnownAccounts(self.store.accounts, self.clock)
        self.inviting = Inviting(
            invitations=self.store.invitations,
            groups=self.store.groups,
            accounts=self.accounts,
            delivery=self.delivery,
        )
        self.reading = Reading(self.conversations, self.groups, self.inviting, self.clock)
        self.blocks = Blocks(self.store.blocks, self.clock)
        self.receipts = Receipts(self.conversations, self.reading, self.delivery, self.blocks, self.clock)
        self.watching = Watching(self.presence, self.whereabouts, self.blocks)
        self.entries = GroupEntries(
            groups=self.groups,
            store=self.conversations,
            delivery=self.delivery,
            clock=self.clock,
            time=self.store.clock,
        )
        self.grouping = Grouping(
            groups=self.groups,
            store=self.store,
            presence=self.presence,
            calls=self.calls,
            delivery=self.delivery,
            reading=self.reading,
            entries=self.entries,
            clock=self.clock,
        )
        self.limits = MessageLimits({**defaults(MESSAGE_LIMITS), **self.other_limits}, self.clock, self.metrics.refused)
        self.sending = Sending(
            accounts=self.accounts,
            store=self.conversations,
            appender=self.appender,
            delivery=self.delivery,
            clock=self.clock,
            time=self.store.clock,
            metrics=self.metrics,
            limits=self.limits,
            policy=self.message_policy,
        )
        self.recorder = SessionRecorder(
            self.store.sessions, self.presence, self.whereabouts.certain, self.clock, self.store.epoch
        )
        self.requests = Requests(
            sending=self.sending,
            reading=self.reading,
            receipts=self.receipts,
            watching=self.watching,
            blocks=self.blocks,
            delivery=self.delivery,
            recorder=self.recorder,
            grouping=self.grouping,
            metrics=self.metrics,
        )
        self.numbers = itertools.count(1)
        self.alice, self.bob, self.carol = (self.account(name) for name in ("alice", "bob", "carol"))
        self.ab = conversations.private(self.alice.id, self.bob.id)
        self.fates = []

    def account(self, name):
        return self.now(self.store.accounts.register(name))

    def now(self, what):
        """Return the result of a Deferred or coroutine that must have one now."""
        return self.successResultOf(what if isinstance(what, Deferred) else Deferred.fromCoroutine(what))

    @staticmethod
    def begin(coroutine):
        return Deferred.fromCoroutine(coroutine)

    def refusal(self, what, *errors):
        """Return the error of a Deferred or coroutine that must have failed."""
        started = what if isinstance(what, Deferred) else Deferred.fromCoroutine(what)
        return self.failureResultOf(started, *errors).value

    def turn(self):
        for _ in range(5):
            self.clock.advance(0)

    def link(self, number=0):
        """Link a server."""
        link = Link(f"127.0.0.1:{11211 + number}:{8081 + number}")
        self.presence.link_up(link)
        return link

    def online(self, link, account, session="s1", device="phone", home=True):
        """Report a new session."""
        self.presence.opened(
            self.presence.host_of(link), account.id, account.name, session, f"o-{session}", home, device
        )

    def group(self, owner, *members, open=True, history=True):
        """Create a group and return its id."""
        id = self.now(self.store.groups.create(owner.id, "group", open=open, history=history)).id
        for member in members:
            self.now(self.store.groups.add(id, member.id if open else owner.id, member.id))
        return id

    # Messages

    def put(self, author, send, link=None, session="", after=""):
        """Submit a message; its fate is added to `fates` as (client_id, result)."""
        conversation = native.conversation_of(Packet(send=send), author.id)
        size = len(send.text.encode()) + len(send.data)
        message = Outgoing(author, send, conversation, size, after, link, session)
        self.sending.submit(message, lambda result: self.fates.append((send.client_id, result)))

    def say(self, author, to, text, client_id="", link=None, session="", **fields):
        """Send a text to an account or a group, and return its fate."""
        send = self.to(to, text=text, client_id=client_id or f"id-{next(self.numbers)}", **fields)
        self.put(author, send, link, session)
        self.turn()
        return self.fates[-1][1]

    @staticmethod
    def to(receiver, **fields):
        """Return a Send to an account or a group."""
        if isinstance(receiver, Account):
            return Send(user=receiver.id, **fields)
        return Send(group=receiver, **fields)

    def recall(self, author, to, ref, **more):
        return self.say(author, to, "", kind=RECALL, ref=ref, **more)

    def edit(self, author, to, ref, text, **more):
        return self.say(author, to, text, kind=EDIT, ref=ref, **more)

    def react(self, author, to, ref, text="+", **more):
        return self.say(author, to, text, kind=REACTION, ref=ref, **more)

    def stored(self, conversation):
        """Return the stored texts of a conversation."""
        page = self.now(self.store.conversations.read(conversation, limit=10_000))
        return [native.parse_body(entry.body).text for entry in page.entries]

    def append_bytes(self, conversation, sender, body):
        """Append raw bytes, which need not be a message, to a conversation."""
        client_id = f"raw-{next(self.numbers)}"
        item = Append(conversation, sender.id, client_id, b"d" * 16, body, int(self.clock.seconds() * 1000))
        return self.now(self.store.conversations.append([item]))[0]

    # Requests

    def request(self, link, account, packet=None, session="s1", device="phone", call=None, **fields):
        """Forward a packet as a server does."""
        call = next(self.numbers) if call is None else call
        body = packet if isinstance(packet, bytes) else packet.SerializeToString() if packet is not None else b""
        conversation = ""
        if packet is not None and not isinstance(packet, bytes):
            try:
                conversation = native.conversation_of(packet, account.id)
            except Exception:
                conversation = ""
        self.requests.received(
            link,
            Request(
                call=call,
                user=account.id,
                name=account.name,
                session=session,
                device=device,
                conversation=conversation,
                packet=body,
                **fields,
            ),
        )
        return call

    def ask(self, link, account, packet=None, **fields):
        """Forward a packet, and return the code and the bodies of the reply."""
        link.take("reply")
        call = self.request(link, account, packet, **fields)
        self.turn()
        (reply,) = link.take("reply")
        self.assertEqual(reply.call, call)
        return reply.code, [body_of(packet) for packet in reply.packets]

    def answer_all(self, link, sessions=1):
        """Answer the calls over a link, and return how many there were."""
        count = 0
        for item in list(link.items):
            call = getattr(getattr(item, item.WhichOneof("item")), "call", 0)
            if call:
                self.calls.answered(None, Outcome(call=call, sessions=sessions))
                count += 1
        return count


def body_of(packet):
    """Return the body of a serialized packet."""
    parsed = Packet.FromString(packet)
    return getattr(parsed, parsed.WhichOneof("body"))

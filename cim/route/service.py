"""Assembles the route from its parts, and defines the order in which they start and stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.interfaces import ROUTES, SERVERS, IMessagePolicy, IRegistry, IServerSelection, IStore
from cim.limits import Limit, defaults
from cim.model import GUEST, Health, LoginPolicy
from cim.names import SYSTEM_NAME
from cim.nodes import RouteAddress
from cim.route.events.sources import SessionEvents, reads
from cim.route.events.webhooks import Webhooks
from cim.route.front.downlink import Downlink
from cim.route.front.login import Logins
from cim.route.front.lost_accounts import LostAccounts
from cim.route.front.rates import RATE_LIMITS, Rates
from cim.route.front.requests import Requests
from cim.route.front.store_state import StoreWatch
from cim.route.guests.accounts import GuestAccounts
from cim.route.guests.door import OPTION, GuestDoor
from cim.route.guests.messages import GuestMessages
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender
from cim.route.messages.broadcasting import Broadcasting, SystemUser
from cim.route.messages.delivery import Delivery
from cim.route.messages.erasing import Erasing
from cim.route.messages.group_entries import GroupEntries
from cim.route.messages.grouping import Grouping
from cim.route.messages.inviting import Inviting
from cim.route.messages.limits import MESSAGE_LIMITS, MessageLimits
from cim.route.messages.reading import Reading
from cim.route.messages.recalling import Recalling
from cim.route.messages.receipts import Receipts
from cim.route.messages.reporting import Reporting
from cim.route.messages.sending import REVISION_SECONDS, Sending
from cim.route.policy.naming import Naming
from cim.route.presence.blocks import Blocks
from cim.route.presence.calls import LinkCalls
from cim.route.presence.directory import Directory
from cim.route.presence.followers import Followers
from cim.route.presence.leases import Leases
from cim.route.presence.listings import Listings
from cim.route.presence.online_names import OnlineNames
from cim.route.presence.peers import Peers
from cim.route.presence.presence import Presence
from cim.route.presence.recorder import SessionRecorder
from cim.route.presence.route_list import RouteList
from cim.route.presence.upstream_servers import Post, UpstreamServers, UpstreamSessions
from cim.route.presence.views import Views
from cim.route.presence.watching import Watching
from cim.route.presence.whereabouts import Whereabouts
from cim.route.push.bursts import Bursts
from cim.route.push.options import PushRules
from cim.route.push.pushers import Pushers

#: How long a starting route waits for the servers' snapshots before it answers with what it knows, in seconds.
CATCH_UP_SECONDS = 3.0


class Route:
    """A route without the ports that it listens on.

    :param reactor: the clock, and the connector that probes upstream's servers
    :param new_owner: makes an unguessable token
    :param policy: what a login does with the user's sessions on other devices
    :param revision_seconds: how long an author may recall or edit a message
    :param upstream_servers: whether registry nodes without our data are upstream's servers
    :param limits: limits of messages, and of addresses and users, by name; the defaults where omitted
    :param push: how users are notified of messages that no session took; None for not at all
    :param guests: whether guests are served, and why (see GuestDoor)
    :param webhooks: is told what happens
    :param message_policy: decides on what people say and call themselves
    :param system_name: what the user is called that operators broadcast as
    :param tracer: None if nothing is traced
    """

    def __init__(
        self,
        *,
        address: RouteAddress,
        reactor: Any,
        store: IStore,
        registry: IRegistry,
        selection: IServerSelection,
        new_owner: Callable[[], str],
        post: Post,
        metrics: Metrics,
        policy: LoginPolicy | None = None,
        revision_seconds: float = REVISION_SECONDS,
        upstream_servers: bool = False,
        limits: Mapping[str, Limit] | None = None,
        guests: tuple[bool | None, str] = (True, OPTION),
        push: PushRules | None = None,
        webhooks: Webhooks | None = None,
        message_policy: IMessagePolicy | None = None,
        system_name: str = SYSTEM_NAME,
        tracer: Tracer | None = None,
    ) -> None:
        self.tracer = tracer
        self.address = address
        self.message_policy = message_policy
        self.reactor = reactor
        self.store = store
        self.registry = registry
        self.presence = Presence(str(address))
        self.directory = Directory(self.presence, upstream_servers=upstream_servers)
        self.routes = RouteList()
        self.calls = LinkCalls(reactor)
        self.appender = Appender(store.conversations, reactor, tracer)
        self.peers = Peers(self.presence, self.calls)
        self.views = Views(self.presence, reactor)
        self.whereabouts = Whereabouts(self.presence, self.peers, reactor)
        self.delivery = Delivery(self.presence, self.whereabouts, store.groups, self.calls)
        self.accounts = KnownAccounts(store.accounts, reactor)
        self.inviting = Inviting(
            invitations=store.invitations, groups=store.groups, accounts=self.accounts, delivery=self.delivery
        )
        self.reading = Reading(store.conversations, store.groups, self.inviting, reactor)
        self.reporting = Reporting(store.reports, self.reading)
        self.blocks = Blocks(store.blocks, reactor)
        self.receipts = Receipts(store.conversations, self.reading, self.delivery, self.blocks, reactor)
        self.watching = Watching(self.presence, self.whereabouts, self.blocks)
        self.listings = Listings(self.presence, self.whereabouts, OnlineNames(self.presence), self.blocks, self.peers)
        self.entries = GroupEntries(
            groups=store.groups,
            store=store.conversations,
            delivery=self.delivery,
            clock=reactor,
            time=store.clock,
        )
        self.recalling = Recalling(self.appender, self.delivery, store.clock)
        self.erasing = Erasing(store.conversations, self.recalling)
        self.grouping = Grouping(
            groups=store.groups,
            store=store,
            presence=self.presence,
            calls=self.calls,
            delivery=self.delivery,
            reading=self.reading,
            entries=self.entries,
            clock=reactor,
        )
        self.recorder = SessionRecorder(
            store.sessions, self.presence, self.whereabouts.certain, reactor, self._epoch_began
        )
        self.leases = Leases(store.sessions, self.presence, str(address), reactor)
        self.guests = GuestAccounts(self.accounts, store.credentials, reactor)
        #: Give further facts for `health`.
        self.facts: list[Callable[[], Mapping[str, Any]]] = []
        limits = {**defaults(MESSAGE_LIMITS), **defaults(RATE_LIMITS), **(limits or {})}
        self.message_limits = MessageLimits(limits, reactor, metrics.refused)
        self.rates = Rates(limits, reactor, metrics.refused)
        self.sending = Sending(
            accounts=self.accounts,
            store=store.conversations,
            appender=self.appender,
            delivery=self.delivery,
            clock=reactor,
            time=store.clock,
            metrics=metrics,
            limits=self.message_limits,
            revision_seconds=revision_seconds,
            policy=message_policy,
            tracer=tracer,
        )
        self.facts.append(self.sending.full.facts)
        self.naming = Naming(message_policy, system_name)
        self.system_user = SystemUser(store.accounts, store.credentials, system_name)
        self.broadcasting = Broadcasting(
            self.system_user,
            accounts=self.accounts,
            appender=self.appender,
            delivery=self.delivery,
            clock=store.clock,
            limits=self.message_limits,
            metrics=metrics,
            told=self.sending.on_stored,
        )
        push = push if push is not None else PushRules()
        self.pushers = Pushers(push.pushers, store.pushes, reactor, metrics)
        self.bursts = Bursts(
            store=store,
            whereabouts=self.whereabouts,
            blocks=self.blocks,
            pushers=self.pushers,
            clock=reactor,
            metrics=metrics,
            names=push.names,
            texts=push.texts,
            selection=push.selection,
        )
        if push.pushers:
            # Else nothing is paid for it.
            self.sending.on_stored.append(self.bursts.stored)
            self.receipts.on_read.append(self.bursts.read)
        self.requests = Requests(
            sending=self.sending,
            reading=self.reading,
            receipts=self.receipts,
            watching=self.watching,
            blocks=self.blocks,
            delivery=self.delivery,
            recorder=self.recorder,
            grouping=self.grouping,
            metrics=metrics,
            traced=tracer is not None,
        )
        self.downlink = Downlink(
            presence=self.presence,
            leases=self.leases,
            calls=self.calls,
            requests=self.requests,
            grouping=self.grouping,
            refused=metrics.refused,
            views=self.views,
            whereabouts=self.whereabouts,
            peers=self.peers,
        )
        # Last, so that whoever is named by it hears of a session when all else here has.
        self.followers = Followers(self.presence, self.peers, reactor)
        self.store_watch = StoreWatch(store, self.presence.links, reactor)
        self.downlink.on_link.append(self.store_watch.link_up)
        upstream = UpstreamServers(reactor, post)
        self.logins = Logins(
            accounts=self.accounts,
            sessions=store.sessions,
            presence=self.presence,
            whereabouts=self.whereabouts,
            directory=self.directory,
            calls=self.calls,
            recorder=self.recorder,
            upstream=upstream,
            selection=selection,
            new_owner=new_owner,
            grouping=self.grouping,
            time=store.clock,
            pushes=store.pushes,
            policy=policy,
        )
        self.messages = GuestMessages(
            accounts=self.accounts,
            sessions=store.sessions,
            presence=self.presence,
            whereabouts=self.whereabouts,
            listings=self.listings,
            directory=self.directory,
            sending=self.sending,
            delivery=self.delivery,
            upstream=upstream,
            new_id=new_owner,
        )
        self.door = GuestDoor(
            *guests,
            store.accounts,
            self.presence,
            lambda user: self.logins.end_sessions(user, GUEST),
            self.listings.guests,
        )
        self.lost_accounts = LostAccounts(
            self.accounts,
            self.presence,
            lambda user: self.logins.end_sessions(user, code="unauthorized"),
            reactor,
            store.epoch,
        )
        self.downlink.on_epoch += [store.saw_epoch, self.lost_accounts.told]
        upstream_sessions = UpstreamSessions(store.sessions, self.directory)
        self.downlink.on_change.append(self.directory.changed)
        self.downlink.on_change.append(self.logins.end_owed)
        for caching in (self.accounts, self.guests, self.reading, self.blocks, self.delivery):
            store.on_epoch(caching.forget_all)
        store.on_epoch(self.grouping.begin_anew)
        store.on_epoch(self.store_watch.look)
        store.on_epoch(self.door.forget)
        store.on_epoch(self.lost_accounts.look)
        store.on_reconnect(self.leases.renew)
        store.on_reconnect(self.recorder.rewrite)
        store.on_reconnect(upstream_sessions.forget)
        store.on_reconnect(self.door.look_again)
        self.webhooks = webhooks
        if webhooks is not None:
            self._tell(webhooks)

    def _tell(self, webhooks: Webhooks) -> None:
        """Have webhooks hear of what they want."""
        self.facts.append(webhooks.facts)
        self.sending.on_stored.append(webhooks.stored)
        wanted = webhooks.wanted
        if any(type.startswith(("session.", "user.")) for type in wanted):
            SessionEvents(self.presence, webhooks.tell)
        if "receipt.read" in wanted:
            self.receipts.on_read.append(reads(webhooks.tell))

    def _epoch_began(self) -> int:
        """Return when the store's epoch began in its steady time, of which a clock that jumped ahead is ahead."""
        clock = self.store.clock
        began: int = self.store.epoch() - max(0, clock.shown() - clock.now())
        return began

    def health(self) -> Health:
        """Return the health of the route's parts."""
        servers = "" if self.directory.candidates() else "no server is listed and linked"
        return Health(
            {"store": self.store.health(), "registry": self.registry.health(), "servers": servers},
            {
                "route": str(self.address),
                "servers": [candidate.server for candidate in self.directory.candidates()],
                "online": len(self.presence),
                **self.directory.facts(),
                **self.store.facts(),
                **self.door.facts(),
                **{name: fact for further in self.facts for name, fact in further().items()},
            },
        )


class CatchingUp(Service):
    """Follows the registry's lists, and ends the wait for servers that do not link."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._unwatch: list[Callable[[], None]] = []
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        followed = (SERVERS, self._route.directory.listed), (ROUTES, self._route.routes.update)
        self._unwatch = [self._route.registry.watch(*one) for one in followed]
        self._timer = self._route.reactor.callLater(CATCH_UP_SECONDS, self._route.directory.give_up_waiting)

    def stopService(self) -> None:
        """End."""
        super().stopService()
        for unwatch in self._unwatch:
            unwatch()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._route.directory.give_up_waiting()

"""`twistd cim-route`: its options, and the service made of them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

import cim
from cim.daemon.announcing import Announcing, Caution, Stopping, advertised
from cim.daemon.clock import time_of_day
from cim.daemon.config import read_secret_file
from cim.daemon.metrics import CountingErrors, Metrics
from cim.daemon.otlp import TraceOptions, traced_by
from cim.daemon.ports import Ports
from cim.daemon.proxies import ProxiesOptions, addresses_of
from cim.daemon.reactor import daemon_reactor
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit, command, one_line_errors
from cim.daemon.skew import ClockSkews
from cim.daemon.tracing import Tracer
from cim.errors import InvalidField, Unavailable
from cim.ids import token
from cim.interfaces import ROUTES, IMessagePolicy, IRegistry, IServerSelection, IStore, IStoreClock
from cim.issuers.keys import MAX_BYTES, BadKeys
from cim.keys import NO_SECRET, derive_key, read_secret
from cim.link.options import CAUTION, LinkOptions, accepts_unsealed
from cim.link.tcp import LinkAcceptor
from cim.model import Health, LinkPeer, LoginPolicy
from cim.nodes import NodeData, RouteAddress
from cim.outgoing.client import MAX_LOOKUPS, Outgoing
from cim.outgoing.guard import check_url
from cim.outgoing.options import OutgoingOptions, guard_of
from cim.plain import quoted
from cim.registry.options import RegistryOptions, chosen_registry
from cim.route.console.options import check_console, console_hosts
from cim.route.console.site import console_calls
from cim.route.events.sources import ACCOUNTS, ToldCredentials
from cim.route.events.webhook import check_webhooks
from cim.route.events.webhooks import Webhooks
from cim.route.http.api import Settings, about, api_resource, document, v1_of
from cim.route.http.passwords import Passwords, PasswordThreads, strong_hasher
from cim.route.http.upstream import UpstreamAPI, guests_only
from cim.route.issuers.issuers import Issuers
from cim.route.issuers.key_sources import FETCH_SECONDS
from cim.route.issuers.options import IssuerOptions, issuers_of
from cim.route.options import RouteRules, guests_of, retention_of, route_limits_of, settings_of
from cim.route.policy.guarded import MOST, AllOf
from cim.route.policy.hook import Hook
from cim.route.policy.options import PolicyOptions, hooks_of, policies_of
from cim.route.presence.upstream_servers import Post
from cim.route.push.options import PushOptions, push_rules_of
from cim.route.service import CatchingUp, Route
from cim.selection import ConsistentHash, LeastLoaded, Random, RoundRobin
from cim.store.choose import Acknowledge, RedisAccess, store_from
from cim.web.calling import JSONCalls
from cim.web.document_page import document_page
from cim.web.hosts import hosts_of
from cim.web.operations import Operations, cluster_only, is_loopback, located
from cim.web.origins import OriginsOptions
from cim.web.pages import Front, Page, WebFiles, WorkerScript
from cim.web.site import BoundedSite, Bounds, HTTPService

#: Threads of the reactor that look up names for all but webhooks.
THREADS = 20


def selection(name: str) -> IServerSelection:
    """Return the server selection that `--select` names: built in, or a Twisted plugin.

    :raises UsageError: there is no selection of that name
    """
    # Plugins are other people's code: import them only if the name is not one of ours.
    built_in: list[IServerSelection] = [
        RoundRobin(),
        Random(random.SystemRandom().randrange),
        ConsistentHash(),
        LeastLoaded(),
    ]
    found = {one.name: one for one in built_in}
    if name not in found:
        found.update({one.name: one for one in getPlugins(IServerSelection)})
    if name not in found:
        raise UsageError(f"--select must be one of {', '.join(sorted(found))}, not {quoted(name, 40)}")
    return found[name]


def message_policy_of(
    options: Any, reactor: Any, metrics: Metrics, root: DaemonRoot, tracer: Tracer | None
) -> AllOf | None:
    """Return who decides on what users say and call themselves; None for nobody.

    :param tracer: traces what hooks are asked
    :raises UsageError: options describe nobody who can
    """
    settings = hooks_of(options)
    hooks = []
    if settings:
        outgoing = Outgoing(reactor, guard_of(options), per_host=MOST, tracer=tracer)
        root.add(Stopping("connections to hooks", outgoing.close))
        for one in settings:
            try:
                check_url(one.url)
            except InvalidField as error:
                raise UsageError(f"[[before-hook]] {one.name}: {error.message}")
            hooks.append(Hook(one, outgoing.request, lambda: token(os.urandom), time_of_day))
    return policies_of(options, lambda: getPlugins(IMessagePolicy), hooks, reactor, metrics.policy)


def jwt_issuers_of(options: Any, reactor: Any, clock: IStoreClock, root: DaemonRoot) -> Issuers:
    """Return the issuers whose JWTs log users in.

    :raises UsageError: options describe none that can be used
    """
    found = issuers_of(options)
    outgoing = Outgoing(reactor, guard_of(options))
    if any(issuer.url for issuer in found):
        root.add(Stopping("connections to issuers of JWTs", outgoing.close))

    async def fetch(url: str) -> bytes:
        answer = await outgoing.request("GET", url, seconds=FETCH_SECONDS, most=MAX_BYTES, https=True)
        if answer.status != 200:
            raise Unavailable(f"it was answered with status {answer.status}")
        return answer.body

    try:
        for issuer in found:
            if issuer.url:
                check_url(issuer.url, https=True)
        return Issuers(found, lambda url: Deferred.fromCoroutine(fetch(url)), reactor, clock.shown)
    except BadKeys as error:
        raise UsageError(f"[[jwt-issuer]] {error}")
    except InvalidField as error:
        raise UsageError(f"[[jwt-issuer]] keys: {error.message}")


class Options(
    RouteRules,
    PushOptions,
    RegistryOptions,
    LinkOptions,
    OriginsOptions,
    ProxiesOptions,
    OutgoingOptions,
    PolicyOptions,
    TraceOptions,
    IssuerOptions,
):
    """The options of a route."""

    daemon = "route"
    synopsis = "[options]"
    longdesc = "Serves the HTTP API: accounts, logins, messages, who is online."
    optParameters = [
        ["http", None, "tcp:8083", "Endpoint for the API, /health and /metrics."],
        ["link", None, "tcp:8084:interface=127.0.0.1", "Endpoint for servers; beyond loopback it needs --secret-file."],
        ["advertise", None, "127.0.0.1", "Host, or HOST:HTTP:LINK, at which clients and servers reach this route."],
        [
            "store",
            None,
            "redis:127.0.0.1:6379",
            "redis:HOST:PORT[/DB], redis+sentinel:NAME@HOST:PORT[,HOST:PORT...][/DB],"
            " redis+cluster:HOST:PORT[,HOST:PORT...], with TLS rediss..., or sqlite:FILE.",
        ],
        [
            "acknowledge",
            None,
            Acknowledge(),
            "Who must have what is acknowledged and shown: local (the master) or majority (of it and its replicas),"
            " without Sentinels majority:SERVERS, such as majority:3.",
            Acknowledge.parse,
        ],
        ["store-user", None, None, "Whom Redis's ACL knows."],
        ["store-password-file", None, None, "File with Redis's password."],
        ["store-ca", None, None, "PEM file with those who may sign Redis's certificate [default: the system's]."],
        ["store-certificate", None, None, "PEM file with key and certificate, for a Redis that asks for one."],
        ["sentinel-user", None, None, "Whom the Sentinels' ACL knows."],
        ["sentinel-password-file", None, None, "File with the Sentinels' password."],
        ["secret-file", None, None, "File with the cluster's secret."],
    ]
    optFlags = [
        ["upstream-servers", None, "Have guests served by upstream's servers, which the registry lists without data."]
    ]

    def postOptions(self) -> None:
        """Check combinations of options."""
        advertised(self["advertise"], ((self["http"], "http"), (self["link"], "link")))
        if not self["secret-file"] and not is_loopback(self["link"]):
            raise UsageError(f"--link {self['link']} is reachable from other machines: give --secret-file FILE")
        check_console(self)


def add_engine(root: DaemonRoot, route: Route) -> None:
    """Add to `root` the parts that need the store, and stop before it."""
    root.add(route.recorder)
    root.add(route.followers)
    root.add(route.whereabouts)
    root.add(route.leases)
    root.add(Stopping("messages on their way", route.appender.settled), stop_timeout=3.0)
    root.add(route.receipts, stop_timeout=3.0)
    root.add(route.entries, stop_timeout=3.0)
    root.add(route.grouping)
    root.add(route.store_watch)
    if route.webhooks is not None:
        root.add(route.webhooks, stop_timeout=3.0)
    root.add(route.lost_accounts)
    root.add(route.bursts)


def webhooks_of(
    options: Any, store: IStore, reactor: Any, metrics: Metrics, root: DaemonRoot, tracer: Tracer | None
) -> Webhooks | None:
    """Return the part that sends to the webhooks that options name; None if they name none.

    :param tracer: traces what is sent
    :raises UsageError: there can be no such webhooks
    """
    webhooks, guard = options.get("webhook") or (), guard_of(options)
    if not webhooks:
        return None
    try:
        check_webhooks(webhooks)
        for webhook in webhooks:
            check_url(webhook.url)
    except (ValueError, InvalidField) as error:
        raise UsageError(f"[[webhook]]: {error}")
    # Each has one of its own, so that none waits for another's names and turns.
    outgoing = {webhook: Outgoing(reactor, guard, per_host=webhook.at_once + 1, tracer=tracer) for webhook in webhooks}
    for webhook, one in outgoing.items():
        root.add(Stopping(f"connections to webhook {webhook.name}", one.close))
    # A host whose name is not found holds a thread for long; others need some to find theirs.
    reactor.suggestThreadPoolSize(THREADS + MAX_LOOKUPS * len(webhooks))
    made = Webhooks(
        webhooks,
        requests=lambda webhook: outgoing[webhook].request,
        store=store,
        clock=reactor,
        time_of_day=time_of_day,
        new_id=lambda: token(os.urandom),
        random=random.random,
        metrics=metrics,
    )
    if not made.wanted.isdisjoint(ACCOUNTS):
        # Whoever makes and deletes accounts does so by the store.
        store.credentials = ToldCredentials(store.credentials, made.tell)
    return made


def route_of(
    options: Any,
    settings: Settings,
    *,
    address: RouteAddress,
    store: IStore,
    registry: IRegistry,
    reactor: Any,
    metrics: Metrics,
    root: DaemonRoot,
    post: Post,
    tracer: Tracer | None,
    upstream_servers: bool = False,
) -> tuple[Route, Settings]:
    """Return the route that options describe, with what sends to strangers for it, and settings that tell of that.

    :param post: posts to upstream's servers
    :raises UsageError: options describe none
    """
    policies = message_policy_of(options, reactor, metrics, root, tracer)
    webhooks = webhooks_of(options, store, reactor, metrics, root, tracer)
    push_services = Outgoing(reactor, guard_of(options))
    push = push_rules_of(options, push_services, check_url, reactor)
    root.add(Stopping("calls to push services", push_services.close))
    root.add(Stopping("connections to push services", push.close))
    route = Route(
        address=address,
        reactor=reactor,
        store=store,
        registry=registry,
        selection=selection(options["select"]),
        new_owner=lambda: token(os.urandom),
        post=post,
        metrics=metrics,
        policy=LoginPolicy(options["login-policy"]) if options["login-policy"] else None,
        revision_seconds=options["revision-hours"] * 3600.0,
        upstream_servers=upstream_servers,
        limits=route_limits_of(options),
        guests=guests_of(options),
        message_policy=policies,
        system_name=options["system-name"],
        tracer=tracer,
        push=push,
        webhooks=webhooks,
    )
    if policies is not None:
        route.facts.append(policies.facts)
    return route, evolve(settings, push=push.told())


def _http_bounds(options: Any) -> Bounds:
    return Bounds(
        connects=options["limit-address-http-connects"],
        address_connections=options["limit-address-http"],
        user_connections=options["limit-user-http"],
        bytes_of_one=options["limit-party-http-bytes"],
        bytes=options["limit-http-bytes"],
    )


def add_route(
    root: DaemonRoot,
    route: Route,
    beside: Iterable[object],
    health: Callable[[], Health],
    options: Any,
    settings: Settings,
    metrics: Metrics,
    ports: Ports,
    reactor: Any,
    others: Mapping[bytes, Callable[[Any], object]] | None = None,
) -> None:
    """Add a route's HTTP side to `root`.

    :param beside: further APIs to serve, in upstream's dialect
    :param others: what else is served, by its paths
    :param health: returns the health of all parts of the daemon
    """
    addresses = addresses_of(options, metrics.refused)
    where = located(addresses)
    route.facts.append(lambda: {"addresses": addresses.advice} if addresses.advice else {})
    route.facts.append(settings.keys.facts)
    threads = PasswordThreads(reactor)
    passwords = Passwords(threads, strong_hasher())
    issuers = jwt_issuers_of(options, reactor, route.store.clock, root)
    route.facts.append(issuers.facts)
    v1 = v1_of(route, passwords, settings, lambda: token(os.urandom), health=health, metrics=metrics, issuers=issuers)
    resource = api_resource(
        v1,
        route,
        settings,
        beside=(*beside, UpstreamAPI(route, route.store.accounts, metrics)),
        cluster_only=guests_only(route.door, cluster_only(options, metrics, where)),
        metrics=metrics,
        where=where,
    )
    files = WebFiles(("cim", "shared", "chat", "docs"))
    pages: dict[bytes, Page | WorkerScript] = {
        b"/": Page(files.page("chat/index.html"), about(settings), route.directory.websockets),
        b"/worker.js": WorkerScript(files.page("chat/worker.js")),
        b"/docs": Page(document_page(files.page("docs/index.html"), document())),
    }
    site = BoundedSite(
        Front(resource, files, pages, metrics, others),
        reactor,
        metrics,
        hosts=hosts_of(options),
        bounds=_http_bounds(options),
        address_of=addresses.at,
        proxied=addresses.trusts,
    )
    route.store.observe(metrics.store_call)
    metrics.gauge("online", "Users online of whom servers tell this route.", lambda: len(route.presence))
    metrics.gauge("followed", "Users whose whereabouts were asked of other routes.", lambda: len(route.whereabouts))
    metrics.gauge("links", "Links to servers.", lambda: len(list(route.presence.links())))
    metrics.gauge("records_waiting", "Session records waiting to be written.", lambda: len(route.recorder))
    metrics.gauge("calls_waiting", "Calls to servers waiting for an answer.", lambda: len(route.calls))
    metrics.gauge("appends_waiting", "Messages waiting for the store.", lambda: len(route.appender))
    metrics.gauge("receipts_waiting", "Receipts waiting to be written.", lambda: len(route.receipts))
    metrics.gauge(
        "entries_skipped",
        "Stored messages and names that were skipped because they could not be decoded.",
        lambda: route.store.conversations.skipped,
    )
    metrics.gauge(
        "store_used",
        "Part of the store's memory or disk that is used, 0 to 1; 0 if it is unknown.",
        route.store.used,
    )
    metrics.gauge("full_conversations", "Conversations that were full lately.", lambda: len(route.sending.full))
    metrics.gauge("limits_kept", "Parties whose message limits are remembered.", lambda: len(route.message_limits))
    metrics.gauge("passwords_waiting", "Passwords being hashed or waiting to be.", lambda: len(passwords))
    root.add(route.door)
    root.add(CatchingUp(route))
    root.add(threads)
    root.add(HTTPService(ports.listening("http", options["http"], site), site, reactor), stop_timeout=6.0)
    if options["console"]:
        if not options["api-key-file"]:
            raise UsageError("--console needs --api-key-file: operators log in with a key (cim-admin key)")
        calls = console_calls(
            v1,
            settings.keys,
            metrics=metrics,
            where=where,
            seconds=reactor.seconds,
            new_id=lambda: token(os.urandom, 32),
            reads_messages=bool(options["console-reads-messages"]),
            tracer=route.tracer,
        )
        files = WebFiles(("shared", "console"))
        console = BoundedSite(
            Front(calls, files, {b"/": Page(files.page("console/index.html"))}, metrics),
            reactor,
            metrics,
            hosts=console_hosts(options),
            max_connections=256,
            bounds=_http_bounds(options),
            address_of=addresses.at,
            proxied=addresses.trusts,
        )
        root.add(HTTPService(ports.listening("console", options["console"], console), console, reactor))


def _password(options: Any, name: str) -> str | None:
    return read_secret_file(options[name], name) if options[name] else None


@one_line_errors
def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the route as a service; nothing happens until it is started."""
    reactor = reactor or daemon_reactor()
    metrics = Metrics("route", cim.__version__)
    exit = Exit(reactor)
    root = DaemonRoot(options, "route", reactor, exit)
    root.add(CountingErrors(metrics, globalLogPublisher))
    ports = Ports(reactor, lambda: datetime.now(UTC), metrics.refused)
    try:
        registry = chosen_registry(options, reactor)
        store = store_from(
            options["store"],
            reactor,
            time_of_day=time_of_day,
            access=RedisAccess(
                options["store-user"],
                _password(options, "store-password-file"),
                options["store-ca"],
                options["store-certificate"],
                options["sentinel-user"],
                _password(options, "sentinel-password-file"),
            ),
            acknowledge=options["acknowledge"],
            retention=retention_of(options),
            refuse=lambda reason: exit.leave(1, f"{command('route')} cannot start: {reason}"),
        )
        secret = read_secret(options["secret-file"]) if options["secret-file"] else NO_SECRET
        settings = settings_of(options, secret, reactor.seconds)
    except InvalidField as error:
        raise UsageError(error.message)
    address = RouteAddress(*advertised(options["advertise"], ((options["http"], "http"), (options["link"], "link"))))
    own = LinkPeer(str(address), token(os.urandom))
    calls = JSONCalls(reactor)
    tracer = traced_by(root, options, reactor, metrics, own.name, options["store"])
    route, settings = route_of(
        options,
        settings,
        address=address,
        store=store,
        registry=registry,
        reactor=reactor,
        metrics=metrics,
        root=root,
        post=calls.post,
        tracer=tracer,
        upstream_servers=bool(options["upstream-servers"]),
    )
    acceptor = LinkAcceptor(
        own=own,
        key=derive_key(secret, "link"),
        user=route.downlink,
        reactor=reactor,
        random_bytes=os.urandom,
        observe=metrics.link_batch,
        dropped=lambda: metrics.dropped("link"),
        refused=lambda: metrics.refused("link-handshake"),
        accept_unsealed=accepts_unsealed(options),
        time_of_day=time_of_day,
    )
    skews = ClockSkews(lambda: {"store": store.clock.skew(), **acceptor.skews()}, reactor)
    metrics.clock_skews = skews.ahead
    route.facts.append(skews.facts)
    root.add(skews)
    metrics.gauge("servers_ignored", "Listed nodes that are no servers of ours.", lambda: len(route.directory.ignored))
    metrics.gauge("links_unsealed", "Links that are not sealed.", lambda: len(acceptor.unsealed()))

    def health() -> Health:
        return ports.healthy(route.health().with_facts(acceptor.facts()))

    if options["accept-unsealed-links"]:
        root.add(Caution(CAUTION))
    root.add(IService(registry))
    root.add(IService(store))
    add_engine(root, route)
    root.add(Stopping("links", lambda: acceptor.lose_all("the route stops")), stop_timeout=5.0)
    root.add(ports.listening("link", options["link"], acceptor))
    root.add(Stopping("calls to upstream's servers", calls.close))
    add_route(root, route, (Operations(health, metrics),), health, options, settings, metrics, ports, reactor)
    data = NodeData(cim.__version__, own.incarnation)
    announcing = Announcing(registry, ROUTES, own.name, data.encode())
    route.store_watch.on_change.append(lambda away: announcing.change(evolve(data, away=away).encode()))
    root.add(announcing)
    return root

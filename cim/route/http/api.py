"""Assembles the `/v1` API: its calls, their gate and the OpenAPI document."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from twisted.internet.defer import fail

import cim
from cim.daemon.metrics import Metrics
from cim.errors import Unavailable
from cim.invitation_codes import AccountPolicy
from cim.limits import Limit, defaults
from cim.model import Health
from cim.route.http.access import Access, Caller
from cim.route.http.accounts import AccountsAPI
from cim.route.http.admin import AdminAPI
from cim.route.http.admin_groups import AdminGroupsAPI
from cim.route.http.api_keys import APIKeys
from cim.route.http.attempts import PASSWORD_LIMITS, Attempts
from cim.route.http.audit import Auditing
from cim.route.http.blocks import BlocksAPI
from cim.route.http.broadcasts import BroadcastsAPI
from cim.route.http.conversations import ConversationsAPI
from cim.route.http.export import ExportAPI
from cim.route.http.group_moderation import GroupModerationAPI
from cim.route.http.groups import INVITE, GroupsAPI
from cim.route.http.invitation_codes import InvitationCodesAPI
from cim.route.http.lists import Lists
from cim.route.http.messages import MessagesAPI
from cim.route.http.mutes import MutesAPI
from cim.route.http.new_accounts import NewAccountsAPI
from cim.route.http.own_users import OwnUsersAPI
from cim.route.http.page_logins import PageLogins
from cim.route.http.passwords import MAX_BYTES, Passwords
from cim.route.http.pushes import PushesAPI
from cim.route.http.removals import RemovalsAPI
from cim.route.http.reports import ReportsAPI
from cim.route.http.reset_codes import ResetCodesAPI
from cim.route.http.sanctions import SanctionsAPI
from cim.route.http.status import StatusAPI
from cim.route.http.subjects import Subjects
from cim.route.http.tokens import Tokens
from cim.route.http.upstream import UpstreamAPI
from cim.route.http.users import PREFIX, UsersAPI
from cim.route.http.webhooks import WebhooksAPI
from cim.route.issuers.issuers import Issuers
from cim.route.service import Route
from cim.web.declaring import Content, Gate, Who, calls_of, http_call
from cim.web.envelope import Envelopes
from cim.web.openapi import openapi
from cim.web.operations import Where, nowhere
from cim.web.origins import NO_ORIGINS, Origins
from cim.web.problem import DOCUMENT, Problems
from cim.web.serving import CallResource

APIS = (
    AccountsAPI,
    NewAccountsAPI,
    OwnUsersAPI,
    UsersAPI,
    MessagesAPI,
    GroupsAPI,
    GroupModerationAPI,
    BlocksAPI,
    MutesAPI,
    PushesAPI,
    AdminAPI,
    ExportAPI,
    ConversationsAPI,
    AdminGroupsAPI,
    StatusAPI,
    InvitationCodesAPI,
    ResetCodesAPI,
    SanctionsAPI,
    ReportsAPI,
    RemovalsAPI,
    BroadcastsAPI,
    WebhooksAPI,
)
_ABOUT = (
    "Accounts, messages, conversations and groups of CIM. Every error of `/v1` is an RFC 9457 problem document, "
    "including 404 for an unknown path and 405 for a method that a path does not support. Answers may get further "
    "fields in later releases: ignore what you do not know. Requests with fields that are not described are refused."
)


@frozen
class Settings:
    """What the operator configures.

    :param ticket_key: derived for "ticket", the same as on the servers
    :param token_key: derived for "token", the same on all routes
    :param keys: API keys; without any, operators' calls are refused
    :param origins: the web origins whose pages may call
    :param password_limits: limits of wrong passwords, by name
    :param group_consent: how users come into groups that others add them to, INVITE or DIRECT
    :param accounts: who may make accounts
    :param socket: the path at which the listener takes WebSockets, too; empty if it does not
    :param push: what users can be notified by, and with which public key each kind is subscribed to, if with any
    :param directory: how users find others: PREFIX, EXACT or OFF
    """

    ticket_key: bytes
    token_key: bytes
    token_hours: float = 12.0
    keys: APIKeys = field(factory=APIKeys)
    origins: Origins = NO_ORIGINS
    password_limits: Mapping[str, Limit] = field(factory=lambda: defaults(PASSWORD_LIMITS))
    group_consent: str = INVITE
    accounts: AccountPolicy = AccountPolicy.OPEN
    socket: str = ""
    directory: str = PREFIX
    push: Mapping[str, str] = field(factory=dict)


def about(settings: Settings) -> dict[str, Any]:
    """Return what programs that ask for `/` are told."""
    return {
        "name": "CIM",
        "version": cim.__version__,
        "accounts": settings.accounts.value,
        "directory": settings.directory,
        "push": dict(settings.push),
        "openapi": DOCUMENT,
        "docs": "/docs",
        "max_password": MAX_BYTES,
    }


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    calls = [call for api in (*APIS, UpstreamAPI) for call in calls_of(api).values()]
    return openapi(calls, "CIM", cim.__version__, _ABOUT)


class Description:
    """The call that describes `/v1` to programs."""

    def __init__(self) -> None:
        self._document = json.dumps(document(), ensure_ascii=False).encode()

    @http_call(f"GET {DOCUMENT}", who=Who.ANYONE)
    def document(self, caller: Caller) -> Content:
        """Return the OpenAPI document."""
        return Content(self._document)


@frozen
class V1:
    """What serves `/v1` at one route, at whatever listeners.

    :ivar apis: the objects with the calls, one of each of `APIS`
    :ivar tokens: checks users' tokens
    :ivar pages: checks the page's cookies
    :ivar subjects: finds those whom operators' issuers know
    """

    apis: Sequence[object]
    tokens: Tokens
    pages: PageLogins
    subjects: Subjects


def v1_of(
    route: Route,
    passwords: Passwords,
    settings: Settings,
    new_id: Callable[[], str],
    *,
    health: Callable[[], Health],
    metrics: Metrics,
    random_bytes: Callable[[int], bytes] = os.urandom,
    issuers: Issuers | None = None,
) -> V1:
    """Assemble the calls of `/v1` of a route.

    :param new_id: makes an unguessable token
    :param health: returns the health of all parts of the daemon
    :param random_bytes: returns that many random bytes, fit for secrets
    :param issuers: operators' own; None for none
    """
    store, clock = route.store, route.reactor
    tokens = Tokens(
        settings.token_key,
        store.credentials,
        clock,
        new_id,
        settings.token_hours,
        time=store.clock,
        made=store.user_tokens,
    )
    store.on_epoch(tokens.forget_all)
    pages = PageLogins(tokens, store.page_logins, route.logins)
    subjects = Subjects(
        issuers=issuers or Issuers((), lambda url: fail(Unavailable()), clock, store.clock.shown),
        store=store,
        known=route.accounts,
        time=store.clock,
        policy=settings.accounts,
        naming=route.naming,
        new_suffix=lambda: random_bytes(4).hex(),
    )
    lists = Lists(route.rates, metrics.refused)
    apis = (
        NewAccountsAPI(
            store=store,
            known=route.accounts,
            passwords=passwords,
            rates=route.rates,
            naming=route.naming,
            policy=settings.accounts,
        ),
        OwnUsersAPI(store=store, known=route.accounts, logins=route.logins, tokens=tokens),
        AccountsAPI(
            store=store,
            logins=route.logins,
            directory=route.directory,
            passwords=passwords,
            rates=route.rates,
            attempts=Attempts(clock, settings.password_limits, metrics.refused),
            tokens=tokens,
            pages=pages,
            subjects=subjects,
            ticket_key=settings.ticket_key,
            socket=settings.socket,
            new_id=new_id,
            time=store.clock,
            metrics=metrics,
        ),
        UsersAPI(
            store.accounts,
            route.accounts,
            route.directory,
            route.listings,
            route.blocks,
            rates=route.rates,
            lists=lists,
            search=settings.directory,
        ),
        MessagesAPI(
            known=route.accounts,
            sending=route.sending,
            reading=route.reading,
            receipts=route.receipts,
            mutes=store.mutes,
            system=route.system_user,
            lists=lists,
            metrics=metrics,
        ),
        GroupsAPI(
            groups=store.groups,
            invitations=store.invitations,
            grouping=route.grouping,
            inviting=route.inviting,
            blocks=route.blocks,
            known=route.accounts,
            rates=route.rates,
            lists=lists,
            naming=route.naming,
            consent=settings.group_consent,
        ),
        GroupModerationAPI(
            groups=store.groups,
            invitations=store.invitations,
            grouping=route.grouping,
            inviting=route.inviting,
            blocks=route.blocks,
            known=route.accounts,
            rates=route.rates,
            naming=route.naming,
            consent=settings.group_consent,
        ),
        BlocksAPI(store.blocks, store.invitations, route.blocks, route.whereabouts, route.delivery),
        MutesAPI(store.mutes, route.reading, route.delivery),
        PushesAPI(store.pushes, route.pushers.kinds),
        AdminAPI(
            store=store,
            known=route.accounts,
            guests=route.guests,
            logins=route.logins,
            passwords=passwords,
            tokens=tokens,
            whereabouts=route.whereabouts,
            erasing=route.erasing,
        ),
        ExportAPI(store=store, known=route.accounts, reading=route.reading, metrics=metrics),
        ConversationsAPI(conversations=store.conversations, groups=store.groups, accounts=store.accounts),
        AdminGroupsAPI(groups=store.groups, grouping=route.grouping, known=route.accounts),
        StatusAPI(
            address=route.address,
            health=health,
            presence=route.presence,
            directory=route.directory,
            routes=route.routes,
            listings=route.listings,
            metrics=metrics,
        ),
        InvitationCodesAPI(invitations=store.invitation_codes, random_bytes=random_bytes),
        ResetCodesAPI(
            codes=store.reset_codes,
            credentials=store.credentials,
            known=route.accounts,
            guests=route.guests,
            logins=route.logins,
            passwords=passwords,
            rates=route.rates,
            tokens=tokens,
            random_bytes=random_bytes,
        ),
        SanctionsAPI(store=store, known=route.accounts, logins=route.logins, tokens=tokens),
        BroadcastsAPI(broadcasting=route.broadcasting),
        RemovalsAPI(store=store.conversations, recalling=route.recalling),
        ReportsAPI(store=store.reports, reporting=route.reporting, known=route.accounts, rates=route.rates),
        WebhooksAPI(route.webhooks, store.followers, store.conversations),
    )
    return V1(apis, tokens, pages, subjects)


def api_resource(
    v1: V1,
    route: Route,
    settings: Settings,
    *,
    beside: Iterable[object],
    cluster_only: Gate,
    metrics: Metrics,
    where: Where = nowhere,
) -> CallResource:
    """Return the resource that serves `/v1`, its OpenAPI document, and other APIs in upstream's dialect.

    :param beside: those other APIs
    :param cluster_only: their gate
    :param where: gives the address of a request's client
    """
    access = Access(v1.tokens, v1.pages, settings.keys, where, route.rates, v1.subjects.names_one)
    problems = Problems(access, settings.origins, Auditing("API"))
    return CallResource({problems: (*v1.apis, Description()), Envelopes(cluster_only): beside}, metrics, route.tracer)

"""The options about accounts, logins and messages that routes and the suite share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cim.daemon.config import one_of, positive_int
from cim.daemon.endpoints import is_loopback_host
from cim.errors import InvalidField
from cim.invitation_codes import AccountPolicy
from cim.keys import derive_key
from cim.limits import Limit, count, limit
from cim.model import LoginPolicy, Retention
from cim.names import SYSTEM_NAME, check_new_name
from cim.nodes import host_and_ports
from cim.route.events.webhook import webhook_of
from cim.route.front.rates import RATE_LIMITS
from cim.route.guests.door import LOOPBACK, OPTION, PUBLIC
from cim.route.http.api import Settings
from cim.route.http.api_keys import APIKeys
from cim.route.http.attempts import PASSWORD_LIMITS
from cim.route.http.groups import DIRECT, INVITE
from cim.route.http.users import EXACT, OFF, PREFIX
from cim.route.messages.limits import MESSAGE_LIMITS
from cim.web.origins import origins_of


def new_name(text: str) -> str:
    """Return a name that a new account may have.

    :raises ValueError: says what is wrong with it
    """
    try:
        return check_new_name(text, "name")
    except InvalidField as error:
        raise ValueError(error.reason) from None


#: Flags, and options with a value.
SELECT = ["select", None, "round-robin", "round-robin, random, consistent-hash, least-loaded or a plugin's name."]


#: All limits of a route: what each is of, and its default.
LIMITS = {**MESSAGE_LIMITS, **RATE_LIMITS, **PASSWORD_LIMITS}


class RouteRules:
    """Adds the options about users; for a class that also has `--origins` and `--secret-file`."""

    tables: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {"webhook": webhook_of}

    optParameters = [
        SELECT,
        [
            "login-policy",
            None,
            None,
            "What a login does while the user is online on another device: reject, replace or many [default: many for"
            " accounts with a password, reject for guests].",
            one_of(*LoginPolicy),
        ],
        [
            "accounts",
            None,
            None,
            "Who may make accounts: open (anyone), invited (those with an invitation) or key (back ends, with an API"
            " key) [default: open if all that is advertised is loopback, else invited].",
            one_of(*AccountPolicy),
        ],
        [
            "directory",
            None,
            PREFIX,
            "How users find others: by how their names begin (prefix), by whole names (exact) or not at all (off).",
            one_of(PREFIX, EXACT, OFF),
        ],
        ["system-name", None, SYSTEM_NAME, "What the user is called that operators broadcast as.", new_name],
        ["token-hours", None, 12, "Hours for which a token of /v1 is valid.", positive_int],
        [
            "api-key-file",
            None,
            None,
            "File with API keys, read again when it changes; without it, calls that need a key are refused.",
        ],
        [
            "console",
            None,
            None,
            "Endpoint for the operators' console, on loopback or with TLS; without it there is none.",
        ],
        [
            "group-consent",
            None,
            INVITE,
            "How admins add users to groups: invite (they are asked) or direct.",
            one_of(INVITE, DIRECT),
        ],
        ["retention-days", None, 30, "Days for which messages are kept.", positive_int],
        ["retention-count", None, 10_000, "Messages kept per conversation, beside what is protected.", positive_int],
        ["retention-bytes", None, 1 << 26, "Bytes of messages kept per conversation, likewise.", positive_int],
        ["revision-hours", None, 24, "Hours for which authors may recall or edit a message.", positive_int],
        *(
            [f"limit-{name}", None, limit(default), f"RATE/BURST of {about}; 0 for no limit.", limit]
            for name, (about, default) in LIMITS.items()
        ),
        [
            "limit-user-stored-bytes",
            None,
            1 << 30,
            "Most bytes of messages that are stored of a user; 0 for no limit.",
            count,
        ],
        [
            "limit-address-http",
            None,
            2048,  # half of all that a site takes
            "Most HTTP connections from one address that wait for their clients; 0 for no limit.",
            count,
        ],
        ["limit-user-http", None, 256, "Most HTTP connections of one user, likewise; 0 for no limit.", count],
        [
            "limit-http-bytes",
            None,
            1 << 26,
            "Most bytes of unfinished HTTP requests and unread answers; 0 for no limit.",
            count,
        ],
        [
            "limit-party-http-bytes",
            None,
            1 << 23,
            "Most of them for one user, or one address without proof; 0 for no limit.",
            count,
        ],
        [
            "limit-address-http-connects",
            None,
            limit("50/5000"),
            "RATE/BURST of HTTP connections from one address that end without an answer; 0 for no limit.",
            limit,
        ],
    ]
    optFlags = [
        [
            "guests",
            None,
            "Serve guests, who use upstream's API and need no password. [default: only if all that is advertised is"
            " loopback, or the store has accounts without a password]",
        ],
        ["no-guests", None, "Serve accounts with a password only."],
        ["console-reads-messages", None, "Let operators read at the console what users said, with a line in the log."],
    ]


def retention_of(options: Any) -> Retention:
    """Return how long messages are kept, and how many, by the options."""
    return Retention(
        days=options["retention-days"],
        count=options["retention-count"],
        bytes=options["retention-bytes"],
        user_bytes=options["limit-user-stored-bytes"],
    )


def route_limits_of(options: Any) -> dict[str, Limit]:
    """Return the limits of messages, and of addresses and users, by name."""
    return _limits(options, (*MESSAGE_LIMITS, *RATE_LIMITS))


def guests_of(options: Any) -> tuple[bool | None, str]:
    """Return whether guests are served, None if that depends on the store, and why (see GuestDoor)."""
    if options["guests"] or options["no-guests"]:
        return bool(options["guests"]), OPTION
    return (None, PUBLIC) if is_public(options) else (True, LOOPBACK)


def account_policy_of(options: Any) -> AccountPolicy:
    """Return who may make accounts."""
    if options["accounts"]:
        return AccountPolicy(options["accounts"])
    return AccountPolicy.INVITED if is_public(options) else AccountPolicy.OPEN


def is_public(options: Any) -> bool:
    """Return whether options name the daemon by anything but loopback, so that strangers may reach it."""
    urls = (options.get("advertise-websocket"),)
    hosts = [host_and_ports(options["advertise"])[0], options.get("advertise-tls"), *(options.get("hosts") or ())]
    hosts += [urlsplit(url).hostname for url in urls if url]
    return not all(is_loopback_host(host) for host in hosts if host)


def _limits(options: Any, names: Iterable[str]) -> dict[str, Limit]:
    return {name: options[f"limit-{name}"] for name in names}


def settings_of(options: Any, secret: bytes, seconds: Callable[[], float]) -> Settings:
    """Return the settings of `/v1`, by the options.

    :param secret: the cluster's secret; without a secret file, tokens are valid only in this process
    :param seconds: a clock that only goes forward
    :raises InvalidField: the file of API keys cannot be used
    """
    return Settings(
        ticket_key=derive_key(secret, "ticket"),
        token_key=derive_key(secret if options["secret-file"] else os.urandom(32), "token"),
        token_hours=options["token-hours"],
        keys=APIKeys.of_file(options["api-key-file"], seconds) if options["api-key-file"] else APIKeys(),
        origins=origins_of(options),
        password_limits=_limits(options, PASSWORD_LIMITS),
        group_consent=options["group-consent"],
        accounts=account_policy_of(options),
        directory=options["directory"],
    )

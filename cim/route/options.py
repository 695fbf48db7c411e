"""The options about accounts, logins and messages, of routes and of the suite."""

from __future__ import annotations

import os
from typing import Any

from cim.daemon.config import one_of, positive_int
from cim.keys import derive_key
from cim.model import LoginPolicy, Retention
from cim.route.http.access import read_keys
from cim.route.http.api import Settings
from cim.web.origins import origins_of

#: What says yes or no, and what has a value.
SELECT = ["select", None, "round-robin", "round-robin, random, consistent-hash, least-loaded or a plugin's name."]


class RouteRules:
    """Adds what an operator decides about users; for a class that has `--origins` and `--secret-file` too."""

    optParameters = [
        SELECT,
        [
            "login-policy",
            None,
            "reject",
            "What a login does while its user is online on another device: reject, replace or many.",
            one_of(*LoginPolicy),
        ],
        ["token-hours", None, 12, "How long a token of /v1 is good for.", positive_int],
        [
            "api-key-file",
            None,
            None,
            "File with API keys for back ends, one a line; without it there are none.",
        ],
        ["retention-days", None, 30, "How long messages are kept.", positive_int],
        ["retention-count", None, 10_000, "How many messages of a conversation are kept.", positive_int],
        ["revision-hours", None, 24, "How long authors may recall or edit what they said.", positive_int],
    ]
    optFlags = [["no-guests", None, "Close the upstream API: only accounts with a password are served."]]


def retention_of(options: Any) -> Retention:
    """Return how long messages are kept."""
    return Retention(options["retention-days"], options["retention-count"])


def settings_of(options: Any, secret: bytes) -> Settings:
    """Return what the options say of `/v1`.

    :param secret: the cluster's; without a secret file tokens are good for this process alone, and until it ends
    :raises InvalidField: the file of API keys cannot be used
    """
    return Settings(
        ticket_key=derive_key(secret, "ticket"),
        token_key=derive_key(secret if options["secret-file"] else os.urandom(32), "token"),
        token_hours=options["token-hours"],
        keys=tuple(read_keys(options["api-key-file"])) if options["api-key-file"] else (),
        origins=origins_of(options),
    )

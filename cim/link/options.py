"""The options about links that servers and routes share."""

from __future__ import annotations

from typing import Any

#: The warning at the start of a daemon that accepts unsealed links.
CAUTION = (
    "--accept-unsealed-links is set: anyone on the path to a server or route of an older release can read and change "
    "what crosses the link to it. Restart this daemon without the option when all are upgraded"
)


class LinkOptions:
    """Adds `--accept-unsealed-links`; for a class that has `--secret-file`."""

    optFlags = [
        [
            "accept-unsealed-links",
            None,
            "Accept links to daemons of older releases, which others can read and change, during an upgrade.",
        ]
    ]


def accepts_unsealed(options: Any) -> bool:
    """Return whether unsealed links are accepted: the operator says so, or there is no secret, so only on loopback."""
    return bool(options["accept-unsealed-links"]) or not options["secret-file"]

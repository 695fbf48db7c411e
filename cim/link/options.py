"""The options about links that servers and routes have alike."""

from __future__ import annotations

from typing import Any

#: What the log says at start of a daemon that was told to accept links that are not sealed.
CAUTION = (
    "--accept-unsealed-links is set: whoever is on the way to a server or route of an older release can read and "
    "change what crosses the link to it. Start this daemon without it once all are upgraded"
)


class LinkOptions:
    """Adds `--accept-unsealed-links`; for a class that has `--secret-file`."""

    optFlags = [
        [
            "accept-unsealed-links",
            None,
            "Accept links that others can read and change, to daemons of older releases, while you upgrade.",
        ]
    ]


def accepts_unsealed(options: Any) -> bool:
    """Return whether links may go unsealed: by the operator's choice, or without a secret, on loopback alone."""
    return bool(options["accept-unsealed-links"]) or not options["secret-file"]

"""How the trace that something belongs to is named: between our daemons, and in HTTP (W3C Trace Context).

A trace is told apart from "not traced" by its name alone, so that what is not traced costs nothing and carries nothing.
"""

from __future__ import annotations

import re

#: Where in a trace something is: 16 bytes with the id of the trace and 8 with that of the span above it. Empty for what
#: is not traced.
Trace = bytes

#: What is not traced.
UNTRACED: Trace = b""
_HEADER = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


def read_traceparent(header: bytes) -> tuple[Trace, bool] | None:
    """Return the trace that a `traceparent` names, and whether whoever sent it traces that; None if it names none.

    Versions above 00 are read as far as version 00 goes (W3C Trace Context, section 3.2.4).
    """
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None) or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return bytes.fromhex((trace + span).decode()), bool(int(flags, 16) & _SAMPLED)


def traceparent(trace: Trace) -> str:
    """Return the `traceparent` that names a trace, which is not empty, to whoever is asked for a part of it."""
    return f"00-{trace[:16].hex()}-{trace[16:].hex()}-01"

"""How edits that earlier releases stored are noted beside the texts that they changed (`cim:e:`).

A route of an earlier release stores edits without noting them. Pages show those as changes only where both are on one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cim.errors import BadFrame
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.wire import native, positions
from cim.wire.cim_pb2 import EDIT

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

EDITS = script("edits", "positions")
_NAME = "note_edits"
#: About how many conversations, and messages of one, are gone through in one step: others are served between steps.
CONVERSATIONS, MESSAGES = 100, 50
_STREAM = re.compile(rb"%b\{(.*)\}" % re.escape(Key.STREAM.encode()))


async def note_all_edits(connection: RedisCalls) -> None:
    """Go through all conversations."""
    cursor: bytes | int | None = None
    while cursor is None or int(cursor):
        scan = ("SCAN", cursor or 0, "MATCH", f"{Key.STREAM}*", "COUNT", CONVERSATIONS, "TYPE", "stream")
        ((cursor, keys),) = await connection.commands(_NAME, scan)
        for key in keys:
            match = _STREAM.fullmatch(key)
            if match is not None:
                await _note_edits(connection, match[1].decode(errors="replace"))


async def _note_edits(connection: RedisCalls, conversation: str) -> None:
    stream, recalled, edited = (key.of(conversation) for key in (Key.STREAM, Key.RECALLED, Key.EDITED))
    after = "-"
    while True:
        (entries,) = await connection.commands(_NAME, ("XRANGE", stream, after, "+", "COUNT", MESSAGES))
        edits: list[str] = []
        for position, fields in entries:
            text = _edited_by(dict(zip(fields[::2], fields[1::2], strict=True)).get(b"b", b""))
            if text:
                edits += text, position.decode()
        if edits:
            await connection.evaluate(_NAME, EDITS, (stream, recalled, edited), edits)
        if len(entries) < MESSAGES:
            return
        after = f"({entries[-1][0].decode()}"


def _edited_by(body: bytes) -> str:
    """Return the position of the text that a message edits; "" if it edits none."""
    try:
        said = native.parse_body(body)
        return said.ref if said.kind == EDIT and positions.parse(said.ref) != positions.ZERO else ""
    except (BadFrame, ValueError):
        return ""

"""Reads the state of a store through its public calls."""

from __future__ import annotations

from cim.model import Mark


async def end_of(store, conversation):
    """Return the last position of a conversation, or "" if it has no messages."""
    # A reader of a position beyond the end is reset to the end.
    return (await store.conversations.read(conversation, after="9999999999999999-1", limit=1)).upto


async def marks_of(store, user, device, conversation):
    """Return the marks (received, read), by moving them to where they are."""
    marks = [Mark(user, device, conversation, ""), Mark(user, None, conversation, "")]
    return tuple(await store.conversations.mark(marks))

"""What a store holds, seen through what its users call."""

from __future__ import annotations

from cim.model import Mark


async def end_of(store, conversation):
    """The last position of a conversation; "" when nothing was said yet."""
    # Whoever asks for more than there is is told where it ends.
    return (await store.conversations.read(conversation, after="9999999999999999-1", limit=1)).upto


async def marks_of(store, user, device, conversation):
    """The marks (received, read): moving them nowhere tells where they stand."""
    marks = [Mark(user, device, conversation, ""), Mark(user, None, conversation, "")]
    return tuple(await store.conversations.mark(marks))

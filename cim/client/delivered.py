"""Converts the server's packets into messages as the application sees them."""

from __future__ import annotations

from cim.client.values import Change, Kind, Members, Message, User, Waiting
from cim.wire import cim_pb2
from cim.wire.cim_pb2 import Accepted, Deliver

_KINDS = {number: Kind[name] for name, number in cim_pb2.Kind.items() if name in Kind.__members__}


def message_of(deliver: Deliver, mine: bool) -> Message:
    """Return a delivered message as the application sees it."""
    return Message(
        deliver.conversation,
        deliver.position,
        author(deliver.sender, deliver.sender_name),
        deliver.sent_at,
        deliver.text,
        deliver.data,
        deliver.content_type,
        _KINDS.get(deliver.kind, Kind.TEXT),
        deliver.ref,
        deliver.client_id,
        deliver.group,
        mine,
        deliver.edited,
        deliver.by_operator,
    )


def author(id: int, name: str) -> User:
    """Return who said something; somebody who was erased since has no name."""
    return User(id, name or f"user {id}")


def members_of(deliver: Deliver) -> Members:
    """Return what happened to a group's members as the application sees it."""
    changes = tuple(Change(one.what, one.user, one.by, one.text) for one in deliver.changes)
    return Members(deliver.group, deliver.conversation, deliver.position, deliver.sent_at, changes)


def message_of_mine(accepted: Accepted, waiting: Waiting, me: User) -> Message:
    """Return the user's own message once its position is known."""
    return Message(
        accepted.conversation,
        accepted.position,
        me,
        accepted.sent_at,
        waiting.text,
        waiting.data,
        waiting.content_type,
        waiting.kind,
        waiting.ref,
        waiting.client_id,
        waiting.group,
        True,
    )

"""Events as webhooks get them, in JSON (docs/webhooks.md)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from cim.errors import BadFrame
from cim.model import Entry
from cim.route.messages.showing import shown
from cim.wire import conversations, native
from cim.wire.cim_pb2 import EDIT, MEMBERS, REACTION, RECALL

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_TYPES = {EDIT: "message.edited", RECALL: "message.recalled", REACTION: "message.reaction", MEMBERS: "group.changed"}


@frozen
class Event:
    """Something that happened.

    :param at: when, in ms since 1970
    :param data: what, as a JSON value
    :param key: what tells it from all others; its id follows from it
    :param conversation: in which; empty for none
    """

    type: str
    at: int
    data: Mapping[str, Any]
    key: str
    conversation: str = ""

    def id(self, webhook: str) -> str:
        """Return its id for a webhook, by its name: the same whenever it is sent again, by whichever route."""
        digest = hashlib.blake2b(f"{webhook}\n{self.key}".encode(), digest_size=18).digest()
        return f"evt_{base64.urlsafe_b64encode(digest).decode()}"

    def body(self) -> bytes:
        """Return it as it is sent."""
        when = datetime.fromtimestamp(self.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {"type": self.type, "timestamp": when, "data": dict(self.data)}
        return _encode(said).encode()


def event_of(conversation: str, entry: Entry) -> Event | None:
    """Return what an entry of a log is; None if it cannot be decoded."""
    try:
        said = native.parse_body(entry.body)
    except BadFrame:
        return None
    type = _TYPES.get(said.kind, "message.sent")
    data: dict[str, Any] = {"conversation": conversation, "position": entry.position}
    fields = shown(said)
    changes = fields.pop("changes")
    if said.kind == MEMBERS:
        data |= {"group": said.group, "sent_at": said.sent_at, "changes": changes}
    else:
        data |= fields
        name = conversations.parse(conversation)
        if isinstance(name, conversations.PrivateConversation):
            # Of what the cluster itself says, such as that an erased text is recalled, both are receivers.
            data["receiver"] = name.other(said.sender) if name.involves(said.sender) else 0
        else:
            data["group"] = name.id
    return Event(type, said.sent_at, data, f"{conversation} {entry.position}", conversation)


def gap(conversation: str, after: str, upto: str, at: int) -> Event:
    """Return that entries of a log are missing, such as those that retention took before they were sent.

    :param after: the last position before them; empty for the beginning
    :param upto: the position behind which it goes on; empty if the conversation has ended
    """
    data = {"conversation": conversation, "after": after, "upto": upto}
    return Event("gap", at, data, f"gap {conversation} {after} {upto}", conversation)

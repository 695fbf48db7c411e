"""Stored messages as JSON values, for the HTTP API and for webhooks."""

from __future__ import annotations

import base64
from typing import Any

from cim.wire.cim_pb2 import Deliver, Kind


def shown(said: Deliver) -> dict[str, Any]:
    """Return what a message says, and who said it."""
    return {
        "sender": said.sender,
        "sender_name": said.sender_name,
        "sent_at": said.sent_at,
        "client_id": said.client_id,
        "text": said.text,
        "data": base64.b64encode(said.data).decode(),
        "content_type": said.content_type,
        "kind": Kind.Name(said.kind) if said.kind in Kind.values() else "TEXT",
        "ref": said.ref,
        "edited": said.edited,
        "changes": [{"what": one.what, "user": one.user, "by": one.by, "text": one.text} for one in said.changes],
        "by_operator": said.by_operator,
    }

"""The server's HTTP calls: upstream's /sendMsg (docs/http-api.md)."""

from __future__ import annotations

from cim.daemon.metrics import Metrics
from cim.errors import InvalidField, UserOffline
from cim.server.sessions.table import Sessions
from cim.web.declaring import Who, http_call
from cim.web.message_fields import MAX_TEXT, MESSAGE, texts_of
from cim.web.schema import Choice, Id, Optional, TextMap
from cim.wire.guests import GuestMessage

COMMANDS = ("LOGIN_REQUEST", "MESSAGE", "PING", "OFFLINE")


class ServerAPI:
    """The calls that upstream's routes make; ours use links. Parameters are named as the fields are.

    :param max_frame: the largest frame that guests are sent, bytes
    """

    def __init__(self, sessions: Sessions, metrics: Metrics, max_frame: int) -> None:
        self._sessions = sessions
        self.metrics = metrics
        self._max_frame = max_frame

    @http_call(
        "POST /sendMsg",
        who=Who.CLUSTER,
        body={
            "userId": Id(),
            **MESSAGE,
            "cmd": Optional(Choice(COMMANDS), "MESSAGE"),
            "properties": Optional(TextMap(100, MAX_TEXT // 4)),
        },
    )
    def send(
        self,
        caller: str,
        userId: int,
        batchMsg: list[str] | None,
        msg: str | None,
        cmd: str,
        properties: dict[str, str] | None,
    ) -> dict[str, str]:
        """Push a message to a user who is connected here.

        :raises UserOffline: the user is not connected; upstream says "done", and its route then deletes what it stored
        """
        texts = texts_of(batchMsg, msg)
        if cmd not in ("MESSAGE", "OFFLINE"):
            raise InvalidField("cmd", "must be MESSAGE or OFFLINE")
        message = GuestMessage(
            0,
            "",
            texts,
            batch=bool(batchMsg),
            offline=cmd == "OFFLINE",
            # The first generation's routes put the name into the text, but clients' listeners expect a name here.
            properties=properties or {"sendUserName": "nobody"},
            max_frame=self._max_frame,
        )
        written = sum([session.show(message) for session in self._sessions.of(userId)])
        self.metrics.messages_out += written
        if not written:
            raise UserOffline()
        return {"msg": "OK"}

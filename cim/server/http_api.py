"""The server's HTTP calls: upstream's /sendMsg (UPSTREAM.md section 3)."""

from __future__ import annotations

from klein import Klein

from cim.ecim import InvalidField, UserOffline
from cim.metrics import Metrics
from cim.server.sessions import GuestSession, Sessions
from cim.web.fields import Fields
from cim.web.serving import upstream_call
from cim.wire.guests import GuestMessage

MAX_TEXT = 48 * 1024
MAX_BATCH = 100
COMMANDS = ("LOGIN_REQUEST", "MESSAGE", "PING", "OFFLINE")


class ServerAPI:
    """What upstream's routes call; ours use links.

    :param max_frame: the largest frame that guests are sent, bytes
    """

    app = Klein()

    def __init__(self, sessions: Sessions, metrics: Metrics, max_frame: int) -> None:
        self._sessions = sessions
        self.metrics = metrics
        self._max_frame = max_frame

    @upstream_call(app, "/sendMsg", internal=True)
    def send(self, fields: Fields) -> dict[str, str]:
        """Push a message to a user who is connected here.

        :raises UserOffline: nobody is; upstream says "done", and its route then deletes what it had stored
        """
        user = fields.user_id("userId")
        texts = fields.texts("batchMsg", MAX_BATCH, MAX_TEXT)
        batch = bool(texts)
        if not batch:
            texts = [fields.text("msg", MAX_TEXT)]
        command = fields.choice("cmd", COMMANDS) or "MESSAGE"
        if command not in ("MESSAGE", "OFFLINE"):
            raise InvalidField("cmd", "must be MESSAGE or OFFLINE")
        properties = fields.string_map("properties", 100, MAX_TEXT // 4)
        if not properties:
            # The first generation's routes put the name into the text; a listener must find something all the same.
            properties = {"sendUserName": "nobody"}
        message = GuestMessage(
            0, "", texts, batch=batch, offline=command == "OFFLINE", properties=properties, max_frame=self._max_frame
        )
        written = sum(
            [session.push(message) for session in self._sessions.of(user) if isinstance(session, GuestSession)]
        )
        self.metrics.messages_out += written
        if not written:
            raise UserOffline()
        return {"msg": "OK"}

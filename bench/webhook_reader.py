"""A webhook's receiver that is a reader of all conversations: it notes what it gets, for a history that is checked.

It verifies each event, knows what came already by its id, and is no better than receivers are: now and then it answers
late, or with an error, or not at all although it has the event.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from bench.history import Handed
from bench.outgoing import content_of
from cim.private_files import replace_private
from cim.standard_webhooks import PREFIX, read_secret, signed
from cim.wire import positions
from tests.harness.processes import HOST, free_port

#: Under which id the history knows it.
READER = -1
#: The shares of events that it answers with an error, late, and not at all although it has them.
ERRORS, LATE, CUT = 0.02, 0.02, 0.01
LATEST = 3.0


@frozen
class Said:
    """What a message says, as `bench.outgoing.content_of` takes it."""

    text: str
    data: bytes
    content_type: str


class WebhookReader(Resource):
    """The receiver.

    :ivar handed: called with the conversation, the message, its client id and its text, of each that is new
    :ivar counts: of what came
    """

    isLeaf = True

    def __init__(self, reactor: Any, chooser: random.Random, directory: str) -> None:
        super().__init__()
        self._reactor = reactor
        self._random = chooser
        self.handed: Callable[[str, Handed, str, str], object] = lambda *what: None
        self._directory = Path(directory)
        text = PREFIX + base64.b64encode(os.urandom(32)).decode()
        self._secret = read_secret(text)
        self._secret_file = self._directory / "webhook.secret"
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_private(self._secret_file, text.encode())
        self._url = ""
        self._port: Any = None
        self._seen: set[str] = set()
        self.counts: Counter[str] = Counter()

    def start(self) -> tuple[str, ...]:
        """Listen, and return the options of routes that post to it."""
        site: Any = Site(self, parsePOSTFormSubmission=False)
        site.log = lambda request: None
        port = free_port()
        self._port = self._reactor.listenTCP(port, site, interface=HOST)
        config = self._directory / "webhook.toml"
        config.write_text(
            f'[[webhook]]\nname = "chaos"\nurl = "http://{HOST}:{port}/"\nsecret-file = "{self._secret_file}"\n'
        )
        return "--config", str(config), "--allow-outgoing", HOST

    def stop(self) -> None:
        """Listen no more."""
        if self._port is not None:
            self._port.stopListening()

    def render_POST(self, request: Any) -> int | bytes:
        """Take an event."""
        body = request.content.read()
        id, at, signature = (request.getHeader(f"Webhook-{name}") or "" for name in ("Id", "Timestamp", "Signature"))
        right = signed(self._secret, id, int(at), body)["Webhook-Signature"]
        if not hmac.compare_digest(signature, right):
            raise ValueError("a webhook's signature is wrong")
        chance = self._random.random()
        if chance < ERRORS:
            self.counts["webhook: errors answered"] += 1
            request.setResponseCode(500)
            return b""
        self._note(id, json.loads(body))
        if chance < ERRORS + CUT:
            self.counts["webhook: answers cut off"] += 1
            request.transport.abortConnection()
            return NOT_DONE_YET
        if chance < ERRORS + CUT + LATE:
            self.counts["webhook: answers late"] += 1
            ended = request.notifyFinish()
            ended.addErrback(lambda _: None)
            late = deferLater(self._reactor, self._random.random() * LATEST, lambda: None)
            late.addCallback(lambda _: None if ended.called else request.finish())
            return NOT_DONE_YET
        return b""

    def _note(self, id: str, event: Any) -> None:
        self.counts[f"webhook: {event['type']}"] += 1
        if id in self._seen:
            self.counts["webhook: repeated"] += 1
            return
        self._seen.add(id)
        if event["type"] != "message.sent":
            return
        data = event["data"]
        said = Said(data["text"], base64.b64decode(data["data"]), data["content_type"])
        message = Handed(data["sender"], -1, positions.parse(data["position"]), content_of(said))
        self.handed(data["conversation"], message, data["client_id"], data["text"])

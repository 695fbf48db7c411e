"""A gateway from HTTP webhooks to a group: build servers and monitors post, and the group's members read.

    python examples/webhook_gateway.py --route http://127.0.0.1:8083 --user hooks --group ops --invite alice,bob
    curl -d '{"text": "build 7 is green"}' -H 'Content-Type: application/json' http://127.0.0.1:8090/

The group is the user's group with that name; it is created if there is none. An answer of 200 means that the message is
stored, and gives its position; any other means that it was not, or, for 503, that it may or may not have been: post it
again with the same `Idempotency-Key`, and it is stored once whatever happened. With --token-file, posts need the header
`Authorization: Bearer <the file's content>`; without it, listen where nobody else can connect.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.iweb import IRequest
from twisted.web.server import Site

from cim.client import (
    CIMError,
    Client,
    Conflict,
    DataDirectory,
    Forbidden,
    Group,
    InvalidField,
    RateLimited,
    SqliteHistory,
    TooLarge,
    Unavailable,
    data_home,
)

#: The largest post, in bytes, and how long it waits for the message to be stored, in seconds.
MAX_BODY = 64 * 1024
PATIENCE = 10.0
STATUSES = (
    (Unavailable, 503),
    (RateLimited, 429),
    (Forbidden, 403),
    (TooLarge, 413),
    (InvalidField, 400),
    (Conflict, 409),
)


class Gateway:
    """The HTTP side.

    :param token: the token that posts must have; empty for none
    """

    app = Klein()

    def __init__(self, client: Client, group: Group, token: str, reactor: Any) -> None:
        self._client = client
        self._conversation = f"g:{group.id}"
        self._token = token
        self._reactor = reactor

    @app.route("/", methods=["POST"])
    async def post(self, request: IRequest) -> bytes:
        """Pass a message on."""
        request.setHeader("Content-Type", "application/json")
        shown = (request.getHeader("Authorization") or "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(shown.encode(), self._token.encode()):
            return self._refuse(request, 401, "the token is missing or wrong")
        body = request.content.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            return self._refuse(request, 413, f"the body must have at most {MAX_BODY} bytes")
        try:
            text = json.loads(body)["text"]
            text.encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._refuse(request, 400, 'the body must be like {"text": "..."}')
        # The same key is the same message: it is stored once, however often it is posted.
        key = request.getHeader("Idempotency-Key") or ""
        client_id = sha256(key.encode()).hexdigest() if key else ""
        sending = self._client.send(self._conversation, text, client_id=client_id)
        try:
            sent = await sending.addTimeout(PATIENCE, self._reactor)
        except Late:
            return self._refuse(request, 503, "not stored yet: post it again with the same Idempotency-Key")
        except CIMError as error:
            status = next((status for kind, status in STATUSES if isinstance(error, kind)), 502)
            return self._refuse(request, status, error.message)
        return json.dumps({"position": sent.position}).encode()

    def _refuse(self, request: IRequest, status: int, why: str) -> bytes:
        request.setResponseCode(status)
        return json.dumps({"error": why}).encode()


async def group_named(client: Client, name: str, invited: list[str]) -> Group:
    """Return the user's group with a name, created if missing, and invite users who are not in it."""
    for group in await client.groups():
        if group.name == name:
            break
    else:
        group = await client.create_group(name)
    there = {member.user.name for member in await client.members(group.id)}
    for user in invited:
        if user not in there:
            await client.invite(group.id, (await client.user(user)).id)
    return group


async def main(reactor: Any, *argv: str) -> None:
    """Serve until the program is stopped."""
    parser = argparse.ArgumentParser(description="Pass webhooks on to a group.")
    parser.add_argument("--route", default="http://127.0.0.1:8083")
    parser.add_argument("--user", default="hooks")
    parser.add_argument("--group", required=True, help="the group's name")
    parser.add_argument("--invite", default="", help="users to invite to the group: NAME,NAME...")
    parser.add_argument("--listen", default="tcp:8090:interface=127.0.0.1", help="endpoint to listen on")
    parser.add_argument("--token-file")
    options = parser.parse_args(argv)
    token = Path(options.token_file).read_text().strip() if options.token_file else ""
    try:
        directory = DataDirectory.of(data_home(os.environ), options.route, options.user)
        client = Client(
            reactor,
            options.route,
            directory.credentials(options.user),
            history=SqliteHistory(directory.history, reactor),
            agent="webhook_gateway",
        )
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        client.startService()
        await client.when_ready()
        group = await group_named(client, options.group, [name for name in options.invite.split(",") if name])
        gateway = Gateway(client, group, token, reactor)
        site = Site(gateway.app.resource(), parsePOSTFormSubmission=False)
        await serverFromString(reactor, options.listen).listen(site)
        sys.stderr.write(f"{options.user} passes on to group {group.id}, {group.name}\n")
        await client.when_closed()
    except CIMError as error:
        raise SystemExit(f"webhook_gateway: {error.message}")


if __name__ == "__main__":
    react(main, sys.argv[1:])

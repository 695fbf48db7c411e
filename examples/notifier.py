"""Pushes notifications: each line of standard input is one, for one user, online or not.

    echo '{"to": "alice", "text": "the disk of db1 is full"}' | python examples/notifier.py --user monitor

Each line is answered by a line on standard output, in any order: the same object with `position` if it is stored, or
with `error`. A line may have an `id`: lines with the same id are sent to a user once, however often the program runs.
The exit status is 1 if anything was refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import deque
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.client import CIMError, Client, DataDirectory, User, data_home

#: How many notifications may be under way, and how many may wait before reading stops.
AT_ONCE = 100


@implementer(IHalfCloseableProtocol)
class Notifications(LineOnlyReceiver):
    """Sends the notifications of its input lines, and answers the lines.

    :ivar done: fires when the input has ended and all answers are written; True if nothing was refused
    """

    delimiter = b"\n"
    MAX_LENGTH = 256 * 1024

    def __init__(self, client: Client) -> None:
        self.done: Deferred[bool] = Deferred()
        self._client = client
        self._users: dict[str, User] = {}
        self._lines: deque[bytes] = deque()
        self._working = False
        self._free = DeferredSemaphore(AT_ONCE)
        self._under_way = 0
        self._refused = False
        self._ended = False

    def lineReceived(self, line: bytes) -> None:
        """Queue a notification."""
        self._lines.append(line)
        if len(self._lines) == AT_ONCE:
            self.transport.pauseProducing()
        if not self._working:
            self._working = True
            Deferred.fromCoroutine(self._work()).addErrback(self.done.errback)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Stop reading, since it is unknown where the next line starts."""
        self._answer(
            {"error": f"a line is longer than {self.MAX_LENGTH} bytes: it and all lines after it were not sent"}
        )
        self.transport.loseConnection()

    async def _work(self) -> None:
        """Send notifications in order, so that those for one user stay in order."""
        while self._lines:
            await self._free.acquire()
            line = self._lines.popleft()
            if len(self._lines) == AT_ONCE - 1 and not self._ended:
                self.transport.resumeProducing()
            self._under_way += 1
            try:
                said = json.loads(line)
                name, text, id = str(said["to"]), str(said["text"]), said.get("id")
            except (ValueError, TypeError, KeyError, AttributeError):
                said = {"line": line.decode("utf-8", "replace")}
                self._answered(said, 'must be like {"to": "alice", "text": "hi"}')
                continue
            # The same client id for the same user and id, and for no other.
            client_id = sha256(json.dumps([name, id]).encode()).hexdigest() if id is not None else ""
            try:
                if name not in self._users:
                    self._users[name] = await self._client.user(name)
            except CIMError as error:
                self._answered(said, error.message)
                continue
            self._client.send(self._users[name], text, client_id=client_id).addCallbacks(
                lambda sent, said=said: self._answered({**said, "position": sent.position}),
                lambda failure, said=said: self._answered(said, failure.getErrorMessage()),
            )
        self._working = False
        self._end()

    def _answered(self, answer: dict[str, Any], error: str = "") -> None:
        self._answer({**answer, "error": error} if error else answer)
        self._under_way -= 1
        self._end()
        self._free.release()

    def _answer(self, answer: dict[str, Any]) -> None:
        self._refused = self._refused or "error" in answer
        self.transport.write(json.dumps(answer).encode() + b"\n")

    def readConnectionLost(self) -> None:
        """Note that the input has ended."""
        if self._buffer:
            last, self._buffer = self._buffer, b""
            self.lineReceived(last)
        self._ended = True
        self._end()

    def _end(self) -> None:
        if self._ended and not self._working and not self._under_way:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Stop: nobody reads the answers."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Finish: all answers are written, or none can be."""
        if not self.done.called:
            self.done.callback(self._ended and not self._lines and not self._under_way and not self._refused)


async def main(reactor: Any, *argv: str) -> None:
    """Send the notifications from standard input."""
    parser = argparse.ArgumentParser(description="Push notifications to users.")
    parser.add_argument("--route", default="http://127.0.0.1:8083")
    parser.add_argument("--user", default="notifier")
    options = parser.parse_args(argv)
    try:
        directory = DataDirectory.of(data_home(os.environ), options.route, options.user)
        client = Client(reactor, options.route, directory.credentials(options.user), agent="notifier")
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        client.startService()
        await client.when_ready()
        notifications = Notifications(client)
        StandardIO(notifications, reactor=reactor)
        # If the client fails first, this raises the reason.
        closed = client.when_closed()
        closed.addErrback(lambda failure: notifications.done.called or notifications.done.errback(failure))
        well = await notifications.done
        await client.close()
    except CIMError as error:
        raise SystemExit(f"notifier: {error.message}")
    if not well:
        raise SystemExit(1)


if __name__ == "__main__":
    react(main, sys.argv[1:])

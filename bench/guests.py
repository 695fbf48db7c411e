"""Users of the load generator: guests that log in through upstream's API and record what they receive."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from bench.http import HTTPPool
from cim.wire.cim_pb2 import PING
from cim.wire.framing import FrameReader
from cim.wire.guests import Generation, encode_login, encode_ping, parse_pushed

#: The meanings of codes of upstream's API here.
SUCCESS = "9000"


class Refused(Exception):
    """Raised when upstream's API answers with a code other than success."""

    def __init__(self, code: str) -> None:
        super().__init__(f"code {code}")
        self.code = code


async def call(pool: HTTPPool, path: bytes, body: bytes) -> Any:
    """Call upstream's API and return `dataBody`.

    :raises Refused: the code is not success
    :raises HTTPError: there was no answer, or its status is not 200
    """
    answer = json.loads(await pool.post(path, body))
    if answer["code"] != SUCCESS:
        raise Refused(answer["code"])
    return answer["dataBody"]


class GuestConnection(Protocol):
    """A guest's connection: logs in, and is live once its first ping is answered.

    :param arrived: called with the receiver's id and the text of every message
    """

    def __init__(
        self, user: int, name: str, arrived: Callable[[int, str], None], generation: Generation = Generation.W2
    ) -> None:
        self._user = user
        self._generation = generation
        self._name = name
        self._arrived = arrived
        self._reader = FrameReader()
        self.live: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.write(encode_login(self._generation, self._user, self._name) + encode_ping(self._generation, self._user))

    def write(self, data: bytes) -> None:
        """Write frames."""
        assert self.transport is not None
        self.transport.write(data)

    def ping(self) -> None:
        """Send a ping."""
        self.write(encode_ping(self._generation, self._user))

    def dataReceived(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            packet = parse_pushed(self._generation, body)
            if packet.command == PING:
                if not self.live.called:
                    self.live.callback(None)
            elif packet.batch:
                for text in packet.batch:
                    self._arrived(self._user, text)
            else:
                self._arrived(self._user, packet.text)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.live.called:
            self.live.errback(reason)
        self.lost.callback(None)


@define(eq=False)
class Guest:
    """One user.

    :ivar numbers: for each receiver how many messages were sent to it; key 0 is everyone
    """

    id: int
    name: str
    connection: GuestConnection | None = None
    numbers: dict[int, int] = field(factory=dict)

    @classmethod
    async def register(cls, pool: HTTPPool, name: str) -> Guest:
        """Create the account."""
        made = await call(pool, b"/registerAccount", json.dumps({"userName": name}).encode())
        return cls(int(made["userId"]), name)

    async def log_in(self, reactor: Any, pool: HTTPPool, arrived: Callable[[int, str], None]) -> None:
        """Log in over HTTP, connect to the server in the answer, and wait until the session is live."""
        body = json.dumps({"userId": self.id, "userName": self.name}).encode()
        place = await call(pool, b"/login", body)
        connection = GuestConnection(self.id, self.name, arrived)
        endpoint = TCP4ClientEndpoint(reactor, place["ip"], int(place["cimServerPort"]), timeout=10)
        await connectProtocol(endpoint, connection)
        await connection.live.addTimeout(10, reactor)
        self.connection = connection

    def next_number(self, receiver: int) -> int:
        """Return the number of the next message to that receiver."""
        number = self.numbers.get(receiver, 0)
        self.numbers[receiver] = number + 1
        return number

    async def leave(self) -> None:
        """Close the connection and wait until it is closed."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            transport: Any = connection.transport
            transport.loseConnection()
            await connection.lost

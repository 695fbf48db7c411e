"""An in-memory network: routes that answer as upstream's API does, and servers that clients connect to."""

from __future__ import annotations

import json

from klein import Klein
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgent
from zope.interface import implementer

from cim.wire.cim_pb2 import Packet
from cim.wire.framing import FrameReader
from cim.wire.guests import PONGS, Generation, GuestMessage, Recipient

PONG = PONGS[Generation.W2]


def envelope(code="9000", message="Success", data=None):
    return {"code": code, "message": message, "reqNo": None, "dataBody": data}


class FakeRoute:
    """Upstream's API; all routes of a test may share one, as they share a store.

    :ivar calls: (path, body) of every call that was handled, in order
    :ivar answers: path -> envelopes to answer with, first to last, before the usual ones
    """

    app = Klein()

    def __init__(self):
        self.accounts = {}
        self.online = []
        self.calls = []
        self.answers = {}
        self.server = {"ip": "10.0.0.7", "cimServerPort": 11211, "httpPort": 8081}

    def paths(self):
        return [path for path, _ in self.calls]

    @app.route("/<path>", methods=["GET", "POST"])
    def call(self, request, path):
        body = request.content.read()
        obj = json.loads(body) if body else None
        self.calls.append((path, obj))
        if self.answers.get(path):
            answer = self.answers[path].pop(0)
        else:
            answer = getattr(self, path)(obj)
        request.setHeader("Content-Type", "application/json")
        return json.dumps(answer).encode()

    def registerAccount(self, obj):
        id = self.accounts.setdefault(obj["userName"], 1000 + len(self.accounts))
        return envelope(data={"userId": id, "userName": obj["userName"]})

    def login(self, obj):
        return envelope(data=self.server)

    def offLine(self, obj):
        return envelope()

    groupRoute = p2pRoute = fetchOfflineMsgs = offLine

    def onlineUser(self, obj):
        return envelope(data=self.online or None)


@implementer(IAgent)
class Network:
    """Directs calls to the routes by host.

    :ivar trouble: host -> "refused", "lost" (before it is handled), "half" (after it was handled) or "silent"
    :ivar hosts: of every call, in order
    """

    def __init__(self, route):
        self._agent = RequestTraversalAgent(route.app.resource())
        self.trouble = {}
        self.hosts = []
        self.silent = []

    def request(self, method, uri, headers=None, bodyProducer=None):
        host = uri.split(b"/")[2].decode()
        self.hosts.append(host)
        trouble = self.trouble.get(host, self.trouble.get("*"))
        if trouble == "refused":
            return fail(ConnectionRefusedError())
        if trouble == "silent":
            waiting = Deferred()
            self.silent.append(waiting)
            return waiting
        if trouble == "half":
            self._agent.request(method, uri, headers, bodyProducer)
        if trouble in ("lost", "half"):
            return fail(ResponseNeverReceived([Failure(ConnectionLost())]))
        return self._agent.request(method, uri, headers, bodyProducer)


class ServerSide(StringTransport):
    """A client's transport, with the server at its other end."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol
        self.options = []
        self.aborted = False
        self.stuck = False
        self._reader = FrameReader()

    def setTcpNoDelay(self, enabled):
        self.options.append("nodelay")

    def setTcpKeepAlive(self, enabled):
        self.options.append("keepalive")

    def frames(self):
        """Return the frames that the client wrote since the last call."""
        data = self.value()
        self.clear()
        return [Packet.FromString(body) for body in self._reader.feed(data)]

    def loseConnection(self):
        if not self.stuck:
            self.close(ConnectionDone())

    def abortConnection(self):
        self.aborted = True
        self.close(ConnectionLost())

    def close(self, reason=None):
        """End the connection, whichever side it was."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def pong(self):
        self.protocol.dataReceived(PONG)

    def push(self, sender, name, *texts, **kwargs):
        message = GuestMessage(sender, name, texts, **kwargs)
        self.protocol.dataReceived(message.frames(Recipient(Generation.W2, 1000)))


class FakeServers:
    """The endpoints that clients connect to; every connection is recorded.

    :ivar accepting: pongs are sent at once to a login
    :ivar refusing: connecting fails
    """

    def __init__(self):
        self.connections = []
        self.addresses = []
        self.accepting = True
        self.refusing = False

    def endpoint(self, host, port):
        self.addresses.append((host, port))
        return _Endpoint(self)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, servers):
        self._servers = servers

    def connect(self, factory):
        if self._servers.refusing:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        side = ServerSide(protocol)
        self._servers.connections.append(side)
        protocol.makeConnection(side)
        return succeed(protocol)

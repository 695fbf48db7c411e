"""A base with a site without sockets: raw requests in, parsed answers out."""

from __future__ import annotations

import json
from http.client import HTTPResponse
from io import BytesIO

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.metrics import Metrics
from cim.web.site import BoundedSite


class _Socket(BytesIO):
    def makefile(self, mode):
        return self


class Conversation:
    """One connection to a site."""

    def __init__(self, site, transport=None):
        self.transport = transport or StringTransport()
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self._lost = False

    def send(self, data):
        """Receive bytes from the client; like a real transport, close when the protocol is done with it."""
        self.protocol.dataReceived(data)
        self.settle()

    def settle(self):
        if self.transport.disconnecting:
            self.lose()

    def lose(self):
        """Disconnect the client."""
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def open(self):
        self.settle()
        return not self._lost

    def answers(self, method="POST"):
        """Return every complete answer so far, as (status, headers, body)."""
        stream = _Socket(self.transport.value())
        found = []
        while stream.tell() < len(stream.getvalue()):
            response = HTTPResponse(stream, method=method)
            response._close_conn = lambda: None  # the next answer follows in the same stream
            response.begin()
            found.append((response.status, response.headers, response.read()))
        return found

    def answer(self, method="POST"):
        (only,) = self.answers(method)
        return only


class HTTPCase(SynchronousTestCase):
    """A base that serves a resource on a Clock."""

    def serve(self, resource, **bounds):
        self.clock = Clock()
        self.metrics = Metrics("route")
        self.site = BoundedSite(resource, self.clock, self.metrics, **bounds)
        self.site.startFactory()

    def connect(self):
        conversation = Conversation(self.site)
        self.addCleanup(conversation.lose)
        return conversation

    def request(self, method, path, body=None, headers=(), content_type="application/json"):
        conversation = self.connect()
        conversation.send(encode(method, path, body, headers, content_type))
        return conversation.answer(method)


def encode(method, path, body=None, headers=(), content_type="application/json", host="route.example"):
    """Return the bytes of a request."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        if content_type:
            lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")

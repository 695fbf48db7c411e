"""A client on a real socket that reads nothing of an answer."""

from __future__ import annotations

import socket

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET

from cim.daemon.metrics import Metrics
from cim.web import site
from cim.web.channel import BoundedChannel
from cim.web.request import PathResource, respond
from cim.web.site import BoundedSite


class Long(PathResource):
    """Answers with more than is held, and less than a system would take on loopback."""

    def render(self, request):
        respond(request, 200, b"y" * 900_000)
        return NOT_DONE_YET


class ReadingTests(TestCase):
    timeout = 30

    async def test_who_reads_nothing_is_cut_although_the_system_would_take_all(self):
        from twisted.internet import reactor

        self.patch(site, "UNREAD_SECONDS", 0.3)
        metrics, closed = Metrics("route"), Deferred()
        served = BoundedSite(Long(), reactor, metrics, idle_seconds=3.0)
        port = reactor.listenTCP(0, served, interface="127.0.0.1")
        self.addCleanup(port.stopListening)

        class Noting(BoundedChannel):
            def connectionLost(self, reason):
                super().connectionLost(reason)
                closed.callback(None)

        served.protocol = Noting
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await closed
        self.assertIn(b'cim_refused_total{kind="http-unread"} 1.0', metrics.render())

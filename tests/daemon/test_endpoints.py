"""What is known of an endpoint string before anything listens there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.endpoints import Endpoint


class EndpointTests(SynchronousTestCase):
    def test_ports(self):
        for description, port in (
            ("tcp:8083", 8083),
            ("tcp:port=8083:interface=::1", 8083),
            ("tcp:8083:127.0.0.1", 8083),
            ("tcp:interface=127.0.0.1:8083", 8083),
            ("haproxy:tcp:8083", 8083),
            ("tls:/etc/ssl:8083", 8083),
            ("tls:/etc/ssl/1\\:2:8083", 8083),
            ("tls:path=/etc/ssl:port=8083", 8083),
            ("tls:/etc/ssl", 443),
            ("haproxy:tls:/etc/ssl", 443),
            ("ssl:8083:privateKey=/k.pem", 8083),
            ("tcp:0", None),
            ("tcp:65536", None),
            ("tls:/etc/ssl:0", None),
            ("unix:/run/x", None),
            ("systemd:domain=INET:name=cim", None),
            ("", None),
        ):
            self.assertEqual(Endpoint.parse(description).port, port, description)

    def test_tls(self):
        for description, tls in (
            ("tls:/etc/ssl:1", True),
            ("tls:/etc/ssl:1:plain=yes", True),
            ("haproxy:tls:/etc/ssl:1", True),
            ("ssl:1", True),
            ("tcp:1", False),
            ("haproxy:tcp:1", False),
            ("unix:/tls:/x", False),
        ):
            self.assertEqual(Endpoint.parse(description).tls, tls, description)

    def test_parts(self):
        said = Endpoint.parse("haproxy:tls:/a\\:b\\\\c:1:interface=\\:\\:1:x=a\\=b=c")
        self.assertEqual((said.kind, said.proxied, said.arguments), ("tls", True, ("/a:b\\c", "1")))
        self.assertEqual(said.named, {"interface": "::1", "x": "a=b=c"})
        self.assertEqual(Endpoint.parse("haproxy"), Endpoint("haproxy", False, (), {}))

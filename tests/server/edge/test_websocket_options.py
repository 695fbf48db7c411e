"""The WebSocket options."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.server.edge.websocket_options import tls_name, websocket_origins, websocket_url
from cim.server.tap import Options as ServerOptions
from cim.suite.tap import Options as SuiteOptions
from cim.web.origins import origins_of


def parsed(*arguments, kind=ServerOptions, environ=None):
    options = kind(environ=environ or {})
    options.parseOptions(arguments)
    return options


class URLTests(SynchronousTestCase):
    def test_where_clients_are_told_to_go(self):
        for arguments, url in (
            ((), "ws://127.0.0.1:11212/v1/socket"),
            (("--advertise", "chat.example.com"), "ws://chat.example.com:11212/v1/socket"),
            (("--advertise", "10.0.0.1:1:2"), "ws://10.0.0.1:11212/v1/socket"),
            (
                ("--websocket", "tls:/etc/ssl:443", "--advertise", "chat.example.com"),
                "wss://chat.example.com:443/v1/socket",
            ),
            (("--advertise-websocket", "wss://chat.example.com/ws"), "wss://chat.example.com/ws"),
            (("--websocket", ""), ""),
            (("--websocket", "", "--advertise-websocket", "wss://chat.example.com/ws"), ""),
        ):
            self.assertEqual(websocket_url(parsed(*arguments)), url)

    def test_addresses_that_nobody_could_reach(self):
        for arguments, said in (
            (("--websocket", "systemd:domain=INET:name=cim"), "--advertise-websocket"),
            (("--websocket", "tcp:0"), "--advertise-websocket"),
            (("--advertise-websocket", "https://chat.example.com"), "wss://"),
        ):
            self.assertIn(said, str(self.assertRaises(UsageError, parsed, *arguments)))

    def test_the_suite_listens_on_loopback_while_it_advertises_that(self):
        for arguments, description in (
            ((), "tcp:11212:interface=127.0.0.1"),
            (("--advertise", "10.0.0.1"), "tls:var/certificates:11212:interface=0.0.0.0:plain=yes"),
            (("--websocket", "tcp:5", "--advertise", "10.0.0.1"), "tcp:5"),
            (("--websocket", ""), ""),
        ):
            self.assertEqual(parsed(*arguments, kind=SuiteOptions)["websocket"], description)


class OwnOriginTests(SynchronousTestCase):
    def test_pages_of_the_same_host_and_port_may_connect(self):
        behind = ("--advertise-websocket", "wss://chat.example.com/servers/1/v1/socket")
        for arguments, allowed in (
            (behind, "https://chat.example.com"),
            (("--advertise-websocket", "ws://chat.example.com:8000/v1/socket"), "http://chat.example.com:8000"),
            ((*behind, "--origins", "https://other.example"), "https://other.example"),
            (("--advertise", "10.0.0.1"), "http://10.0.0.1:11212"),
        ):
            origins = websocket_origins(parsed(*arguments))
            self.assertTrue(origins.allows(allowed.encode()), allowed)
            for other in (
                b"http://chat.example.com",
                b"https://chat.example.com:11212",
                b"https://evil.example",
                b"null",
            ):
                self.assertFalse(origins.allows(other), other)

    def test_without_any(self):
        for arguments in (
            ("--websocket", ""),
            ("--advertise-websocket", "wss://"),
            ("--advertise-websocket", "ws://a b"),
        ):
            self.assertFalse(websocket_origins(parsed(*arguments)).allows(b"https://chat.example.com"))


class TLSTests(SynchronousTestCase):
    def test_whom_clients_verify(self):
        for arguments, name in (
            ((), ""),
            (("--websocket", "tls:/etc/ssl:1"), ""),
            (("--listen", "tls:/etc/ssl:1", "--advertise", "10.0.0.1"), "10.0.0.1"),
            (("--listen", "haproxy:tls:/etc/ssl:1", "--advertise", "a.example:1:2"), "a.example"),
            (("--listen", "tls:/etc/ssl:1:plain=yes", "--advertise", "a.example"), "a.example"),
            (("--listen", "tls:/etc/ssl:1", "--advertise-tls", "b.example", "--advertise", "10.0.0.1"), "b.example"),
            # A proxy has the certificate.
            (("--listen", "tcp:1", "--advertise-tls", "b.example", "--advertise", "10.0.0.1"), "b.example"),
        ):
            for kind in (ServerOptions, SuiteOptions):
                self.assertEqual(tls_name(parsed(*arguments, kind=kind)), name, arguments)

    def test_what_no_certificate_is_for(self):
        for name in ("a b", "https://a.example", "a" * 254, "ä.example"):
            error = self.assertRaises(UsageError, parsed, "--advertise-tls", name)
            self.assertIn("--advertise-tls", str(error))


class OriginsTests(SynchronousTestCase):
    def test_from_every_source(self):
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('origins = ["https://A.example/", "http://b.example:80"]')
        for options in (
            parsed("--origins", "https://a.example", "--origins", "http://b.example"),
            parsed(environ={"CIM_SERVER_ORIGINS": "https://a.example,http://b.example"}),
            parsed("--config", path),
        ):
            origins = origins_of(options)
            self.assertTrue(origins.allows(b"https://a.example"))
            self.assertTrue(origins.allows(b"http://b.example"))
            self.assertFalse(origins.allows(b"https://c.example"))

    def test_none_by_default(self):
        self.assertFalse(origins_of(parsed()).allows(b"https://a.example"))

    def test_texts_that_are_not_origins(self):
        self.assertIn("--origins", str(self.assertRaises(UsageError, parsed, "--origins", "a.example")))

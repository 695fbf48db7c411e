"""Which Host a listener is called by, and which says that a page pretends."""

from __future__ import annotations

import json

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.usage import UsageError
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from cim.daemon.metrics import Metrics
from cim.model import Health
from cim.route import tap as route_tap
from cim.server import tap as server_tap
from cim.suite import tap as suite_tap
from cim.web.envelope import Envelopes
from cim.web.hosts import hosts_of
from cim.web.operations import Operations, internal_only
from cim.web.origins import OriginsOptions
from cim.web.problem import Problems
from cim.web.serving import CallResource
from tests.web.http_case import HTTPCase

LOOPBACK = (
    *("localhost", "LOCALHOST", "localhost.", "cim.localhost", "127.0.0.1", "127.9.8.7"),
    *("[::1]", "[0:0:0:0:0:0:0:1]"),
)
FOREIGN = (
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "10.0.0.1", "0.0.0.0"),
    *("[::2]", "[::ffff:10.0.0.1]", "chat.example.com.evil.example", "xchat.example.com", "example.com"),
    *("", " ", "localhost evil.example", "localhost,evil.example", "user@localhost", "http://localhost", "localhost/x"),
    *("localhost:80:80", "[::1", "::1", "localhost:http", "\xe9"),
)


class Options(OriginsOptions):
    """Of a daemon."""

    daemon = "route"
    optParameters = [
        ["http", None, "tcp:8083:interface=127.0.0.1", ""],
        ["advertise", None, "127.0.0.1", ""],
        ["advertise-websocket", None, None, ""],
    ]


def options(*arguments):
    parsed = Options(environ={})
    parsed.parseOptions(arguments)
    return parsed


class HostsCase(HTTPCase):
    def begin(self, *arguments):
        """Serve health and metrics as a daemon with these options does."""
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        metrics = Metrics("route")
        gate = internal_only(None, metrics)
        families = {Problems(gate): (), Envelopes(gate): (Operations(Health, metrics),)}
        self.serve(CallResource(families, metrics), hosts=hosts_of(options(*arguments)))

    def ask(self, *headers, path="/metrics", method="GET"):
        """Return the answer to a request with these header lines."""
        conversation = self.connect()
        conversation.send("\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1"))
        return conversation.answer(method)

    def status(self, *headers, **request):
        return self.ask(*headers, **request)[0]

    def status_of(self, host):
        """Of a request for that host, with and without a port; they must be alike."""
        found = {self.status(f"Host: {host}{port}") for port in ("", ":8083", ":1", ":")}
        self.assertEqual(len(found), 1, host)
        return found.pop()


class LoopbackTests(HostsCase):
    """A daemon as it is by default."""

    def setUp(self):
        self.begin()

    def test_it_is_called_by_the_names_of_loopback(self):
        for host in LOOPBACK:
            self.assertEqual(self.status_of(host), 200, host)

    def test_a_page_by_its_own_name_gets_nothing(self):
        for host in FOREIGN:
            self.assertEqual(self.status(f"Host: {host}"), 421, host)
            self.assertEqual(self.status(f"Host: {host}:8083"), 421, host)

    def test_whatever_it_asks_for(self):
        """What is served, what is not, in both dialects; before anything of it is looked at."""
        for method, path in (
            ("GET", "/health"),
            ("GET", "/health/live"),
            ("GET", "/nothing"),
            ("POST", "/metrics"),
            ("OPTIONS", "/v1/users"),
            ("HEAD", "/metrics"),
            ("GET", "//metrics"),
            ("GET", "http://127.0.0.1/metrics"),
        ):
            self.assertEqual(self.status("Host: evil.example", method=method, path=path), 421, path)

    def test_it_is_told_why_and_what_to_do(self):
        status, _, body = self.ask("Host: chat.example.com:8083", path="/v1/users/1")
        problem = json.loads(body)
        self.assertEqual((status, problem["code"], problem["status"]), (421, "misdirected", 421))
        self.assertIn('"chat.example.com:8083" is not a name of this daemon', problem["detail"])
        self.assertIn("--hosts", problem["detail"])
        status, _, body = self.ask("Host: chat.example.com")
        self.assertEqual((status, json.loads(body)["code"]), (421, "3000"))
        self.assertIn("--hosts", json.loads(body)["message"])

    def test_the_first_is_told_in_the_log_and_all_are_counted(self):
        for host in ("evil\x1b[2J.example", "b.example", "c.example"):
            self.status(f"Host: {host}")
        (told,) = [event["host"] for event in self.log if "is not a name of this daemon" in (event["log_format"] or "")]
        self.assertEqual(told, '"evil<U+001B>[2J.example"')
        self.assertIn(b'cim_refused_total{kind="http-host"} 3.0', self.metrics.render())

    def test_one_of_several_is_enough_to_be_refused(self):
        self.assertEqual(self.status("Host: localhost", "Host: evil.example"), 421)
        self.assertEqual(self.status("Host: evil.example", "Host: localhost"), 421)
        self.assertEqual(self.status("Host: localhost", "Host: 127.0.0.1"), 200)

    def test_what_others_say_the_host_was_does_not_count(self):
        self.assertEqual(self.status("Host: evil.example", "X-Forwarded-Host: localhost", "Forwarded: host=[::1]"), 421)
        self.assertEqual(self.status("Host: localhost", "X-Forwarded-Host: evil.example"), 200)

    def test_probes_without_it(self):
        self.assertEqual(self.status(path="/health"), 200)
        self.assertEqual(self.status("User-Agent: probe"), 200)
        for header in ("Origin: http://evil.example", "Origin: null", "Origin:", "Cookie: a=b"):
            status, _, body = self.ask(header)
            self.assertEqual(status, 421, header)
            self.assertIn("must have a Host", json.loads(body)["message"])

    def test_no_host_fills_the_memory(self):
        hosts = self.site.hosts
        for number in range(2000):
            self.status(f"Host: {number}.evil.example")
        self.assertLessEqual(hosts._fits.cache_info().currsize, 256)


class NamedTests(HostsCase):
    def test_further_names(self):
        for arguments in (
            ("--advertise", "chat.example.com"),
            ("--advertise", "chat.example.com:1:2"),
            ("--advertise-websocket", "wss://chat.example.com/servers/1/v1/socket"),
            ("--advertise-websocket", "wss://Chat.Example.com:8443/v1/socket"),
            ("--origins", "https://chat.example.com"),
            ("--origins", "https://a.example", "--origins", "https://chat.example.com:8443"),
            ("--hosts", "chat.example.com"),
            ("--hosts", " CHAT.example.com."),
            ("--hosts", "a.example", "--hosts", "chat.example.com"),
        ):
            self.begin(*arguments)
            for host in (*LOOPBACK, "chat.example.com", "Chat.Example.COM."):
                self.assertEqual(self.status_of(host), 200, (arguments, host))
            for host in FOREIGN:
                self.assertEqual(self.status(f"Host: {host}"), 421, (arguments, host))

    def test_addresses(self):
        for name in ("fd00::1", "[fd00::1]", "[FD00:0::1]"):
            self.begin("--hosts", name, "--hosts", "10.0.0.5")
            for host in ("[fd00::1]", "[fd00:0:0::0001]", "10.0.0.5"):
                self.assertEqual(self.status_of(host), 200, (name, host))
            self.assertEqual(self.status("Host: 10.0.0.6"), 421)

    def test_any(self):
        self.begin("--hosts", "*")
        self.assertEqual(self.status("Host: evil.example"), 200)
        self.assertEqual(self.status("Origin: http://evil.example"), 200)

    def test_any_origin_is_not_any_host(self):
        self.begin("--origins", "*")
        self.assertEqual(self.status("Host: evil.example"), 421)
        self.assertEqual(self.status("Host: *"), 421)

    def test_where_they_count(self):
        """Where nobody but this machine is meant to reach the listener."""
        for http, advertise, counts in (
            ("tcp:8083:interface=127.0.0.1", "127.0.0.1", True),
            ("tcp:8083:interface=127.0.0.1", "10.0.0.5", True),
            ("unix:/run/cim.sock", "10.0.0.5", True),
            ("tcp:8083", "127.0.0.1", True),
            ("tcp:8083", "localhost:1:2", True),
            ("tcp:8083", "10.0.0.5", False),
            ("tls:/etc/cim:8083", "chat.example.com", False),
        ):
            self.begin("--http", http, "--advertise", advertise)
            expected = 421 if counts else 200
            self.assertEqual(self.status("Host: evil.example"), expected, (http, advertise))
            self.assertEqual(self.status(f"Host: {advertise}".partition(":1")[0]), 200)


class MadeSite(Exception):
    """Raised instead of making an HTTP site, with the options for it."""


class DaemonTests(SynchronousTestCase):
    @staticmethod
    def made(*parts, **options):
        raise MadeSite(options)

    def test_each_daemon_is_particular_about_its_names(self):
        for daemon, module, more in (
            ("route", route_tap, ()),
            ("server", server_tap, ()),
            ("suite", route_tap, ("--data", self.mktemp())),
        ):
            self.patch(module, "BoundedSite", self.made)
            tap = {"route": route_tap, "server": server_tap, "suite": suite_tap}[daemon]
            parsed = tap.Options(environ={})
            parsed.parseOptions(["--hosts", "chat.example.com", *more])
            with self.assertRaises(MadeSite) as raised:
                tap.makeService(parsed, MemoryReactorClock())
            hosts = raised.exception.args[0]["hosts"]
            for host, fits in ((b"localhost:1", True), (b"chat.example.com", True), (b"evil.example", False)):
                request = DummyRequest([b""])
                request.requestHeaders.addRawHeader(b"host", host)
                self.assertEqual(hosts.objection(request) == "", fits, (daemon, host))


class OptionTests(HostsCase):
    def test_from_all_sources(self):
        parsed = Options(environ={"CIM_ROUTE_HOSTS": "a.example, b.example"})
        parsed.parseOptions([])
        self.assertEqual(parsed["hosts"], ["a.example", "b.example"])

    def test_what_is_none(self):
        for text in ("", " ", "https://chat.example.com", "chat.example.com:8083", "10.0.0.5:80", "a/b", "a b", "u@a"):
            error = self.assertRaises(UsageError, options, "--hosts", text)
            self.assertIn("--hosts must be a name or an address without a port", str(error))

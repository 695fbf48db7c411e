"""Tests of the route's options and of server selection."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.limits import Limit, defaults
from cim.model import Candidate, LoginPolicy
from cim.route import tap as route_tap
from cim.route.front.rates import RATE_LIMITS
from cim.route.guests.door import LOOPBACK, OPTION, PUBLIC
from cim.route.messages.limits import MESSAGE_LIMITS
from cim.route.options import account_policy_of, guests_of
from cim.route.tap import Options, selection
from cim.suite import tap as suite_tap

PLUGIN = """
from zope.interface import implementer
from twisted.plugin import IPlugin
from cim.interfaces import IServerSelection

@implementer(IPlugin, IServerSelection)
class Last:
    name = "last-of-all"

    def select(self, candidates, user):
        return candidates[-1]

last = Last()
"""


class SelectionTests(SynchronousTestCase):
    """--select."""

    def test_built_in(self):
        candidates = [Candidate("a", 3), Candidate("b", 1), Candidate("c", 2)]
        for name in ("round-robin", "random", "consistent-hash", "least-loaded"):
            self.assertIn(selection(name).select(candidates, 1), candidates)
        self.assertEqual(selection("least-loaded").select(candidates, 1).server, "b")

    def test_unknown(self):
        error = self.assertRaises(UsageError, selection, "nonsense")
        self.assertIn("round-robin", str(error))

    def test_a_third_party_plugin(self):
        folder = Path(self.mktemp())
        plugins = folder / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "last_of_all.py").write_text(PLUGIN)
        import twisted.plugins

        twisted.plugins.__path__.insert(0, str(plugins))
        self.addCleanup(twisted.plugins.__path__.remove, str(plugins))
        self.addCleanup(sys.modules.pop, "twisted.plugins.last_of_all", None)
        picked = selection("last-of-all").select([Candidate("a"), Candidate("b")], 1)
        self.assertEqual(picked.server, "b")


class OptionsTests(SynchronousTestCase):
    """Tests of combinations of options."""

    def parse(self, *arguments):
        options = Options({})
        options.parseOptions(arguments)
        return options

    def test_links_beyond_loopback_need_a_secret(self):
        error = self.assertRaises(UsageError, self.parse, "--link", "tcp:8084")
        self.assertIn("--secret-file", str(error))
        self.parse("--link", "tcp:8084:interface=127.0.0.1")
        self.parse("--link", "tcp:8084", "--secret-file", "/etc/cim/secret")

    def test_the_console_is_for_this_machine_or_with_tls(self):
        """An API key goes over it."""
        for kind in (Options, suite_tap.Options):
            for good in (
                "tcp:8085:interface=127.0.0.1",
                "tcp6:8085:interface=\\:\\:1",
                "unix:/run/cim/console",
                "tls:/etc/ssl/cim:8085",
                "haproxy:tls:/etc/ssl/cim:8085",
                "tls:/etc/ssl/cim:8085:interface=127.0.0.1:plain=yes",
            ):
                kind({}).parseOptions(["--console", good])
            for bad in (
                "tcp:8085",
                "tcp:8085:interface=0.0.0.0",
                "tcp:8085:interface=192.168.1.5",
                "tls:/etc/ssl/cim:8085:plain=yes",
                "haproxy:tcp:8085:interface=127.0.0.1",
                "systemd:domain=INET:name=console",
            ):
                error = self.assertRaises(UsageError, kind({}).parseOptions, ["--console", bad])
                self.assertIn("without TLS", str(error))

    def test_the_console_needs_keys(self):
        options = self.parse("--console", "tcp:8085:interface=127.0.0.1", "--registry", "memory", "--store", "sqlite:x")
        error = self.assertRaises(UsageError, route_tap.makeService, options, MemoryReactorClock())
        self.assertIn("--console needs --api-key-file", str(error))

    def test_advertise(self):
        self.parse("--advertise", "10.0.0.1")
        self.parse("--advertise", "10.0.0.1:80:90", "--http", "systemd:domain=INET:name=http")
        self.parse("--advertise", "fd00::1")
        self.parse("--advertise", "[fd00::1]:80:90", "--http", "systemd:domain=INET:name=http")
        for wrong in ("", "0.0.0.0", "::", "[::]:1:2", "[a]:1:2", "a:1", "a:1:2:3", "a:0:1", "a:b:c"):
            self.assertRaises(UsageError, self.parse, "--advertise", wrong)
        self.assertRaises(UsageError, self.parse, "--http", "tcp:0")


class MadeRoute(Exception):
    """Raised instead of making a route, with the arguments that it would get."""


class RulesTests(SynchronousTestCase):
    @staticmethod
    def made(**parts):
        raise MadeRoute(parts)

    def test_the_options_reach_the_route(self):
        """The options of a route and of the suite."""
        self.patch(route_tap, "Route", self.made)
        for module, more in ((route_tap, ()), (suite_tap, ("--data", self.mktemp()))):
            options = module.Options(environ={})
            options.parseOptions(
                [
                    "--no-guests",
                    "--login-policy",
                    "many",
                    "--revision-hours",
                    "2",
                    "--limit-user-messages",
                    "3/7",
                    *more,
                ]
            )
            with self.assertRaises(MadeRoute) as raised:
                module.makeService(options, MemoryReactorClock())
            parts = raised.exception.args[0]
            self.assertEqual((parts["policy"], parts["revision_seconds"]), (LoginPolicy.MANY, 7200.0))
            self.assertFalse(parts.get("upstream_servers"))
            self.assertEqual(parts["guests"], (False, OPTION))
            limits = {**defaults(MESSAGE_LIMITS), **defaults(RATE_LIMITS), "user-messages": Limit(3, 7)}
            self.assertEqual(parts["limits"], limits)

    def test_guests_where_strangers_can_come(self):
        """As soon as anything is advertised that is not loopback, the store decides."""
        public = (
            ["--advertise", "192.168.1.5"],
            ["--advertise", "chat.example.com:1:2"],
            ["--hosts", "chat.example.com"],
        )
        at_suites = (
            ["--advertise-websocket", "wss://chat.example.com/v1/socket"],
            ["--advertise-tls", "chat.example.com"],
        )
        for kind, more in ((Options, ()), (suite_tap.Options, at_suites)):
            for given in ([], ["--advertise", "127.0.0.2"], ["--advertise", "localhost"], ["--hosts", "localhost"]):
                self.assertEqual(self.guests(kind, *given), (True, LOOPBACK), given)
            for given in (*public, *more):
                self.assertEqual(self.guests(kind, *given), (None, PUBLIC), given)
                self.assertEqual(self.guests(kind, *given, "--guests"), (True, OPTION))
            self.assertEqual(self.guests(kind, "--no-guests"), (False, OPTION))
        self.assertEqual(
            self.guests(suite_tap.Options, "--advertise-websocket", "ws://127.0.0.1:80/v1/socket"), (True, LOOPBACK)
        )

    def test_who_may_make_accounts(self):
        for given, policy in (
            ([], "open"),
            (["--advertise", "192.168.1.5"], "invited"),
            (["--hosts", "chat.example.com"], "invited"),
            (["--advertise", "192.168.1.5", "--accounts", "open"], "open"),
            (["--accounts", "key"], "key"),
        ):
            for kind in (Options, suite_tap.Options):
                options = kind(environ={})
                options.parseOptions(given)
                self.assertEqual(account_policy_of(options), policy)
        with self.assertRaises(UsageError) as raised:
            Options(environ={}).parseOptions(["--accounts", "all"])
        self.assertIn("open, invited, key", str(raised.exception))

    def guests(self, kind, *given):
        options = kind(environ={})
        options.parseOptions(given)
        return guests_of(options)

    def test_servers_of_upstream_are_let_in_by_option(self):
        self.patch(route_tap, "Route", self.made)
        options = Options(environ={"CIM_ROUTE_UPSTREAM_SERVERS": "yes"})
        options.parseOptions([])
        with self.assertRaises(MadeRoute) as raised:
            route_tap.makeService(options, MemoryReactorClock())
        self.assertTrue(raised.exception.args[0]["upstream_servers"])

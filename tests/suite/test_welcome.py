"""What the suite tells whoever starts it."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from cim.nodes import ServerAddress
from cim.suite.tap import Options, welcome

PIN = "sha256:" + "0" * 64


class WelcomeTests(SynchronousTestCase):
    def lines(self, *arguments, host="127.0.0.1", **given):
        options = Options(environ={})
        options.parseOptions(arguments)
        address = ServerAddress(host, 11211, 8083)
        pins = given.pop("pins", [PIN] if host != "127.0.0.1" else [])
        return welcome(options, address, pins, **{"guests": False, **given})

    def line(self, lines, begin):
        return next(line for line in lines if line.strip().startswith(begin))

    def test_on_one_machine(self):
        lines = self.lines(guests=True)
        self.assertIn("--no-guests", self.line(lines, "guests:"))
        self.assertIn("anyone", self.line(lines, "accounts:"))
        self.assertIn("    make client NAME=alice", lines)
        self.assertEqual(
            [line for line in lines if "://" in line and "--route" not in line], [self.line(lines, "open:")]
        )
        self.assertIn("http://127.0.0.1:8083 in a browser", self.line(lines, "open:"))
        self.assertFalse([line for line in lines if "certificate" in line])

    def test_the_console(self):
        for endpoint, told in (
            ("tcp:8085:interface=127.0.0.1", "http://127.0.0.1:8085"),
            ("tls:/etc/ssl/cim:8085", "https://192.168.1.5:8085"),
            ("unix:/run/cim/console", "unix:/run/cim/console"),
        ):
            lines = self.lines("--advertise", "192.168.1.5", "--console", endpoint, host="192.168.1.5")
            self.assertEqual(self.line(lines, "console:"), f"  console:  {told}, with an API key")

    def test_for_other_machines(self):
        lines = self.lines("--advertise", "192.168.1.5", host="192.168.1.5", invitation="code")
        self.assertIn(f"    make client NAME=alice ROUTE=https://192.168.1.5:8083 PIN={PIN}", lines)
        # Not in a command, which others see while it runs.
        self.assertEqual([line for line in lines if "code" in line], ["    code"])
        self.assertIn("https://192.168.1.5:8083 in a browser", self.line(lines, "open:"))
        self.assertIn("certificate", self.line(lines, "(browsers ask"))
        self.assertIn("GUESTS=1", self.line(lines, "guests:"))
        self.assertTrue(self.line(lines, "accounts:").endswith(": make invitation"))
        self.assertIn(f"--route https://192.168.1.5:8083 --pin {PIN}", self.line(lines, "or from"))

    def inviting(self, http, *arguments):
        """The command that makes another invitation, when the API is there and the data are in `elsewhere`."""
        lines = self.lines(
            *("--advertise", "192.168.1.5", "--data", "elsewhere", "--http", http, *arguments), host="192.168.1.5"
        )
        command, _, options = self.line(lines, "accounts:").rpartition("cim-admin invite --route ")
        self.assertTrue(command)
        route, keys, *proof = options.split(" --")
        self.assertEqual(keys, f"api-key-file {os.path.abspath('elsewhere/api-keys')}")
        return route, proof

    def test_the_command_for_an_invitation_goes_where_the_api_is(self):
        for http, route, proof in (
            ("tls:elsewhere/certificates:9000", "https://192.168.1.5:8083", [f"pin {PIN}"]),
            ("tls:elsewhere/certificates:9000:plain=yes", "http://127.0.0.1:9000", []),
            ("tls:/etc/cim:9000", "https://192.168.1.5:8083", [f"pin {PIN}"]),
            ("tcp:9000", "http://127.0.0.1:9000", []),
            ("tcp:9000:interface=127.0.0.2", "http://127.0.0.2:9000", []),
            ("tcp:9000:interface=192.168.1.5", "http://192.168.1.5:9000", ["insecure"]),
            ("tcp6:9000:interface=fd00\\:\\:5", "http://[fd00::5]:9000", ["insecure"]),
            ("haproxy:tcp:9000:interface=127.0.0.1", "http://192.168.1.5:8083", ["insecure"]),
        ):
            self.assertEqual(self.inviting(http), (route, proof), http)

    def test_two_pins_where_the_api_shows_another_certificate(self):
        pins = [PIN, PIN[:-1] + "1"]
        lines = self.lines("--advertise", "192.168.1.5", "--http", "tls:/etc/cim:8083", host="192.168.1.5", pins=pins)
        self.assertIn(f"    make client NAME=alice ROUTE=https://192.168.1.5:8083 PIN='{pins[0]} {pins[1]}'", lines)
        self.assertIn(f"--pin {pins[0]} --pin {pins[1]}", self.line(lines, "or from"))
        self.assertIn(f"--pin {pins[1]}", self.line(lines, "accounts:"))

    def test_accounts_that_back_ends_make(self):
        self.assertIn("API key", self.line(self.lines("--accounts", "key"), "accounts:"))

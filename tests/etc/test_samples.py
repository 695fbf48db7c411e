"""The samples in etc/: every option once, with its real default, and files that the programs they are for accept."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.config import TABLES
from tests.etc.program_case import ProgramCase

ETC = Path(__file__).resolve().parents[2] / "etc"
#: A key, or the head of a table.
KEY = re.compile(r"^(?:# )?(?:([a-z][a-z-]*) = .+|\[([a-z]+)\])$", re.MULTILINE)
DAEMONS = ("server", "route", "suite", "client")
#: Where a daemon's options are, when its package has another name.
PACKAGES = {"client": "terminal"}
#: What a sample cannot hold: options that are no keys of a file.
NO_KEYS = {"config", "help", "version"}
#: Keys whose shown value is an example: there is no default, or it depends on another option.
EXAMPLES = {
    "server": {
        *("registry-auth-file", "registry-ca", "registry-certificate"),
        *("secret-file", "advertise-tls", "advertise-websocket", "origins", "hosts", "trusted-proxies", "trace"),
    },
    "route": {
        *("registry-auth-file", "registry-ca", "registry-certificate"),
        *("store-password-file", "store-user", "store-ca", "store-certificate"),
        *("sentinel-password-file", "sentinel-user"),
        *(
            "secret-file",
            "api-key-file",
            "jwt-issuer",
            "console",
            "origins",
            "hosts",
            "trusted-proxies",
            "allow-outgoing",
            "message-policy",
            "vapid-key",
            "push-select",
            "fcm-credentials",
            "apns",
            "apns-key",
            "push-webhook",
            "push-webhook-secret-file",
            "guests",
            "accounts",
            "login-policy",
            "trace",
        ),
    },
    "suite": {
        *("api-key-file", "jwt-issuer", "console", "listen", "http", "websocket"),
        *("advertise-tls", "advertise-websocket", "origins", "hosts", "trusted-proxies", "guests", "accounts"),
        "allow-outgoing",
        "message-policy",
        *("allow-outgoing", "vapid-key", "push-select", "fcm-credentials", "apns", "apns-key"),
        *("push-webhook", "push-webhook-secret-file"),
        "login-policy",
        "trace",
    },
    "client": {
        "ca",
        "pin",
        "invitation",
        "user",
        "listener",
        "route",
        "password-file",
        "token-file",
        "device",
        "data",
        "message-log",
    },
}


def shown_of(daemon):
    """The lines of a sample that have keys, as they are without the comment sign."""
    text = (ETC / f"{daemon}.toml").read_text()
    return [match[0].removeprefix("# ") for match in KEY.finditer(text)]


def values_of(daemon):
    """What a sample shows: the name and the value of each option, as often as it is shown."""
    table, values = "", []
    for line in shown_of(daemon):
        if line.startswith("["):
            table = TABLES[line.strip("[]")]
        else:
            ((key, value),) = tomllib.loads(line).items()
            values.append((table + key, value))
    return values


def options_of(daemon):
    return namedAny(f"cim.{PACKAGES.get(daemon, daemon)}.tap.Options")(environ={})


def known(options):
    long = {name.rstrip("=") for name in options.longOpt}
    return {options.synonyms.get(name, name).replace("_", "-") for name in long} - NO_KEYS


class TOMLTests(SynchronousTestCase):
    def test_every_option_once(self):
        for daemon in DAEMONS:
            keys = [name for name, _ in values_of(daemon)]
            self.assertEqual(sorted(keys), sorted(known(options_of(daemon))), daemon)

    def test_the_values_shown_are_the_defaults(self):
        for daemon in DAEMONS:
            shown = dict(values_of(daemon))
            options = options_of(daemon)
            for key, value in shown.items():
                if key not in EXAMPLES[daemon]:
                    self.assertEqual(str(value), str(_typed(options[key], value)), f"{daemon}: {key}")
            for key in EXAMPLES[daemon]:
                self.assertIn(key, shown, daemon)

    def test_what_is_shown_is_accepted(self):
        for daemon in DAEMONS:
            # Files that only the real machine has, and a class of the user's.
            lines = [
                line
                for line in shown_of(daemon)
                if "-file = " not in line and "vapid-key" not in line and not line.startswith("listener")
            ]
            path = self.mktemp()
            Path(path).write_text("\n".join(lines))
            options_of(daemon).parseOptions(["--config", path])

    def test_as_they_are_they_change_nothing(self):
        for daemon in DAEMONS:
            self.assertEqual(tomllib.loads((ETC / f"{daemon}.toml").read_text()), {})


class LimitsTests(SynchronousTestCase):
    def test_the_page_of_limits_has_each_with_its_default(self):
        page = (ETC.parent / "docs" / "limits.md").read_text(encoding="utf-8")
        told = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (\S+) \|$", page, re.MULTILINE))
        found = {}
        for daemon in ("server", "route", "suite"):
            options = options_of(daemon)
            names = [name for name in known(options) if name.startswith("limit-")]
            found.update({name.removeprefix("limit-"): str(options[name]) for name in names})
        self.assertEqual(told, found)


def _typed(default, shown):
    return bool(default) if isinstance(shown, bool) else default


class ProgramTests(ProgramCase):
    def test_units(self):
        """systemd accepts the units, with paths and a user that exist on this machine."""
        analyze = self.program("systemd-analyze")
        twistd = Path(sys.executable).parent / "twistd"
        for unit in sorted(ETC.glob("*.service")):
            text = unit.read_text()
            self.assertIn("/opt/cim/bin/twistd -n --pidfile= ", text)
            text = text.replace("/opt/cim/bin/twistd", str(twistd)).replace("/etc/cim/", f"{ETC}/")
            text = text.replace("User=cim", "User=daemon").replace("Group=cim", "Group=daemon")
            (self.folder / unit.name).write_text(text)
        units = [str(path) for path in sorted(self.folder.iterdir())]
        self.assertEqual(len(units), 3)
        result = self.runs(analyze, "verify", "--man=no", *units)
        # What other units of the machine have wrong is not ours.
        ours = [line for line in result.stderr.splitlines() if str(self.folder) in line or "cim" in line]
        self.assertEqual((result.returncode, ours), (0, []), result.stderr)

    def test_the_commands_of_the_units_are_accepted(self):
        for unit in sorted(ETC.glob("*.service")):
            command = re.search(r"^ExecStart=\S+ -n --pidfile= (\S+) (.*)$", unit.read_text(), re.MULTILINE)
            daemon = command[1].removeprefix("cim-") if command[1] != "cim" else "suite"
            options_of(daemon).parseOptions(command[2].replace("/etc/cim/", f"{ETC}/").split())

    def test_nginx(self):
        self.nginx_takes((ETC / "nginx.conf").read_text())

    def test_logrotate(self):
        """It moves a log, and tells the daemon whose pid file is there."""
        logrotate = self.program("logrotate")
        folder = self.folder
        (folder / "cim-server").mkdir(mode=0o700)
        log = folder / "cim-server" / "cim-server.log"
        log.write_text("a line\n")
        daemon = [sys.executable, "-c", _TOLD]
        with subprocess.Popen(daemon, stdout=subprocess.PIPE, text=True) as told:
            assert told.stdout is not None
            self.assertEqual(told.stdout.readline(), "waiting\n")
            (folder / "cim-server" / "twistd-cim-server.pid").write_text(str(told.pid))
            text = (ETC / "cim.logrotate").read_text()
            self.assertIn("    su cim cim\n", text)
            text = text.replace("    su cim cim\n", "").replace("/var/lib/cim*/", f"{folder}/cim*/")
            (folder / "conf").write_text(text)
            result = self.runs(logrotate, "--force", "--state", str(folder / "state"), str(folder / "conf"))
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(told.stdout.readline(), "told\n")
        self.assertEqual([path.name for path in sorted(log.parent.glob("*.log*"))], ["cim-server.log.1"])

    def test_redis(self):
        """A Redis with the sample accepts every line, and acknowledges only what is on disk."""
        redis = self.program("redis-server")
        # With port 0 and no socket it ends by itself as soon as the configuration was read.
        result = self.runs(redis, str(ETC / "redis.conf"), "--port", "0", "--dir", str(self.folder))
        self.assertIn("Configured to not listen anywhere", result.stdout + result.stderr)


#: A process that says when it gets SIGUSR1, and ends.
_TOLD = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("waiting", flush=True)
if signal.sigtimedwait([signal.SIGUSR1], 20): print("told", flush=True)
"""

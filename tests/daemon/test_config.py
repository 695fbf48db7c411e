"""Options from the command line, the environment, a file, and defaults."""

from __future__ import annotations

import io
import os
import subprocess
import sys

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.config import DaemonOptions, one_of, port, positive_int, read_secret_file, seconds
from cim.limits import HIGHEST, NO_LIMIT, Limit, count, limit


def colour(table):
    if set(table) != {"colour"}:
        raise ValueError("must have a colour, and nothing else")
    return table["colour"]


class Options(DaemonOptions):
    daemon = "server"
    tables = {"lamp": colour}
    repeated = ("route",)
    optFlags = [["no-guests", None, "Refuse guests."]]
    optParameters = [
        ["http", "h", "tcp:8081", "Endpoint."],
        ["idle-seconds", None, 33.0, "Silence.", seconds],
        ["max-frame", None, 65536, "Bytes.", positive_int],
        ["select", None, "random", "Choice.", one_of("random", "round-robin")],
        ["limit-sends", None, Limit(1, 2), "Limit.", limit],
        ["limit-guests", None, 5, "Count.", count],
    ]

    def opt_route(self, text):
        """A route."""
        if "!" in text:
            raise UsageError("is no route")
        self.add("route", text)


class OptionsTests(SynchronousTestCase):
    def parse(self, *arguments, environ=None, file=None):
        options = Options(environ or {})
        if file is not None:
            path = self.mktemp()
            with open(path, "w", encoding="utf-8") as out:
                out.write(file)
            arguments = ("--config", path, *arguments)
        options.parseOptions(arguments)
        return options

    def refused(self, *arguments, **keywords):
        return str(self.assertRaises(UsageError, self.parse, *arguments, **keywords))

    def test_default(self):
        options = self.parse()
        self.assertEqual((options["http"], options["idle-seconds"], options["no-guests"]), ("tcp:8081", 33.0, 0))
        self.assertEqual((options["log-level"], options["log-format"]), ("info", "text"))

    def test_file_beats_default(self):
        options = self.parse(file='http = "tcp:1"\nidle-seconds = 5\nmax-frame = 100\nno-guests = true\n')
        self.assertEqual((options["http"], options["idle-seconds"]), ("tcp:1", 5.0))
        self.assertEqual((options["max-frame"], options["no-guests"]), (100, 1))

    def test_environment_beats_file(self):
        environ = {"CIM_SERVER_IDLE_SECONDS": "7.5", "CIM_SERVER_NO_GUESTS": "off"}
        options = self.parse(file="idle-seconds = 5\nno-guests = true", environ=environ)
        self.assertEqual((options["idle-seconds"], options["no-guests"]), (7.5, 0))

    def test_under_twistd_a_mistake_is_one_line(self):
        for arguments, said in ((["--nonsense"], "nonsense"), (["--max-frame", "x"], "--max-frame must be")):
            options = Options({})
            options.parent = {}
            with self.assertRaises(SystemExit) as raised:
                options.parseOptions(arguments)
            line = str(raised.exception.code)
            self.assertTrue(line.startswith("cim-server: ") and said in line and "--help" in line, line)
            self.assertNotIn("\n", line)

    def test_a_flag_and_its_contrary_are_one_switch(self):
        class Switched(Options):
            optFlags = [["guests", None, "Serve guests."]]

        def parse(*arguments, environ=None, file="no-guests = true"):
            path = self.mktemp()
            with open(path, "w", encoding="utf-8") as out:
                out.write(file)
            options = Switched(environ or {})
            options.parseOptions(("--config", path, *arguments))
            return options["guests"], options["no-guests"]

        self.assertEqual(parse(file=""), (0, 0))
        self.assertEqual(parse(), (0, 1))
        self.assertEqual(parse(file="guests = false"), (0, 1))
        self.assertEqual(parse(file="guests = true\nno-guests = false"), (1, 0))
        self.assertEqual(parse("--guests"), (1, 0))
        self.assertEqual(parse(environ={"CIM_SERVER_GUESTS": "1"}), (1, 0))
        self.assertEqual(parse("--no-guests", environ={"CIM_SERVER_GUESTS": "1"}), (0, 1))
        # Container platforms set variables to nothing.
        self.assertEqual(parse(environ={"CIM_SERVER_NO_GUESTS": ""}, file=""), (0, 0))
        for wrong in (
            lambda: parse("--guests", "--no-guests"),
            lambda: parse(file="guests = true\nno-guests = true"),
            lambda: parse(environ={"CIM_SERVER_GUESTS": "1", "CIM_SERVER_NO_GUESTS": "1"}),
        ):
            self.assertIn("exclude each other", str(self.assertRaises(UsageError, wrong)))

    def test_command_line_beats_all(self):
        environ = {"CIM_SERVER_IDLE_SECONDS": "7", "CIM_SERVER_HTTP": "tcp:2"}
        options = self.parse("--idle-seconds=9", "-h", "tcp:3", file="idle-seconds = 5", environ=environ)
        self.assertEqual((options["idle-seconds"], options["http"]), (9.0, "tcp:3"))

    def test_what_is_no_option_is_named(self):
        self.assertEqual(self.refused("--http", "tcp:1", "more"), '"more" is no option: options begin with --')

    def test_abbreviation_counts_as_given(self):
        self.assertEqual(self.parse("--idle=9", environ={"CIM_SERVER_IDLE_SECONDS": "7"})["idle-seconds"], 9.0)

    def test_file_named_by_environment(self):
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as out:
            out.write("max-frame = 77")
        self.assertEqual(self.parse(environ={"CIM_SERVER_CONFIG": path})["max-frame"], 77)

    def test_variables_for_others(self):
        """Kubernetes sets such variables for services called cim-server and cim-server-inner, and Docker for links."""
        others = ("CIM_ROUTE_HTTP", "CIM_SERVERS_HTTP", "XCIM_SERVER_HTTPS", "CIM_SERVER")
        services = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_9000_TCP", "PORT_9000_TCP_ADDR")
        links = ("PORT_9000_UDP_PROTO", "NAME", "ENV_PATH", "INNER_PORT_9000_TCP_PORT", "INNER_SERVICE_PORT_WEB_2")
        names = [*others, *(f"CIM_SERVER_{name}" for name in services + links)]
        self.assertEqual(self.parse(environ=dict.fromkeys(names, "x"))["http"], "tcp:8081")

    def test_unknown_variable(self):
        for name in ("CIM_SERVER_MAX_FRAMES", "CIM_SERVER_HELP", "CIM_SERVER_http", "CIM_SERVER_"):
            message = self.refused(environ={name: "77", "CIM_SERVER_MAX_FRAME": "77"})
            self.assertEqual(message, f"{name}: there is no such option")

    def test_unknown_key(self):
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as out:
            out.write("max-frames = 1")
        message = self.refused("--config", path)
        self.assertIn(f'{path}: unknown key "max-frames"', message)

    def test_a_file_cannot_name_a_file_or_ask_for_help(self):
        for key in ("config", "help", "version"):
            self.assertIn(f'"{key}"', self.refused(file=f'{key} = "x"'))

    def test_wrong_types_in_file(self):
        for text, reason in (
            ('max-frame = "many"', "max-frame must be a number"),
            ("max-frame = true", "max-frame must be a number"),
            ("max-frame = -1", 'max-frame must be a positive whole number, not "-1"'),
            ("max-frame = 1.5", "max-frame must be a positive whole number"),
            ("http = 8081", "http must be a string"),
            ("[http]\nport = 1", "http must be a string"),
            ("no-guests = 1", "no-guests must be true or false"),
            ("route = 5", "route must be a string or a list of strings"),
            ("route = [5]", "route must be a list of strings"),
            ('route = ["a!"]', "route: is no route"),
            ('select = "best"', 'select must be one of random, round-robin, not "best"'),
        ):
            self.assertIn(reason, self.refused(file=text), text)

    def test_a_table(self):
        for value, expected in (('"5/10"', Limit(5, 10)), ("0", NO_LIMIT), ('"0"', NO_LIMIT)):
            options = self.parse(file=f"max-frame = 7\n[limits]\nsends = {value}")
            self.assertEqual((options["limit-sends"], options["max-frame"]), (expected, 7))
        self.assertEqual(self.parse("--limit-sends=3/4", file="[limits]\nsends = 0")["limit-sends"], Limit(3, 4))
        self.assertEqual(self.parse(environ={"CIM_SERVER_LIMIT_SENDS": "0"})["limit-sends"], NO_LIMIT)
        self.assertEqual(self.parse(file="[limits]")["limit-sends"], Limit(1, 2))

    def test_a_number_in_a_table(self):
        for value, expected in (("7", 7), ('"7"', 7), ("0", 0), (str(HIGHEST), HIGHEST)):
            self.assertEqual(self.parse(file=f"[limits]\nguests = {value}")["limit-guests"], expected)
        self.assertEqual(self.parse("--limit-guests=3", file="[limits]\nguests = 0")["limit-guests"], 3)

    def test_tables_of_one_name(self):
        options = self.parse(
            file='http = "tcp:1"\n[[lamp]]\ncolour = "red"\n[[lamp]]\ncolour = 7\n[limits]\nguests = 6'
        )
        self.assertEqual((options["lamp"], options["limit-guests"], options["http"]), (["red", 7], 6, "tcp:1"))
        self.assertNotIn("lamp", self.parse())
        for file, wrong in (
            ('lamp = "red"', "lamp must be tables, each of which begins with [[lamp]]"),
            ('[lamp]\ncolour = "red"', "lamp must be tables, each of which begins with [[lamp]]"),
            ("[[lamp]]\ncolour = 1\n[[lamp]]", "[[lamp]] 2: must have a colour, and nothing else"),
            ("[[lamps]]\ncolour = 1", 'unknown key "lamps"'),
        ):
            error = self.assertRaises(UsageError, self.parse, file=file)
            self.assertIn(wrong, str(error))
        self.assertRaises(UsageError, self.parse, "--lamp", "red")
        self.assertIn(
            "there is no such option", str(self.assertRaises(UsageError, self.parse, environ={"CIM_SERVER_LAMP": "x"}))
        )

    def test_wrong_keys_and_values_in_a_table(self):
        for text, reason in (
            ("[limits]\nsent = 0", 'unknown key "sent" of [limits]'),
            ("[limits]\nmax-frame = 7", 'unknown key "max-frame" of [limits]'),
            ("[limit]\nsends = 0", 'unknown key "limit"'),
            ("limit-sends = 0", 'unknown key "limit-sends"'),
            ("limits = 5", 'unknown key "limits"'),
            ("[limits]\nsends = -1", "[limits] sends must be 0, for no limit, or RATE/BURST with 0 < RATE <= BURST"),
            ("[limits]\nsends = nan", 'is "nan"'),
            ("[limits]\nsends = inf", 'is "inf"'),
            ("[limits]\nsends = 4294967296", 'is "4294967296"'),
            ('[limits]\nsends = "20/10"', "[limits] sends must be 0"),
            (
                "[limits]\nguests = -1",
                f"[limits] guests must be 0, for no limit, or a whole number up to {HIGHEST}, is",
            ),
            ("[limits]\nguests = nan", 'is "nan"'),
            ("[limits]\nguests = 1.5", 'is "1.5"'),
            ("[limits]\nguests = 2147483649", 'is "2147483649"'),
            ('[limits]\nguests = "5/6"', 'is "5/6"'),
            ("[limits]\nsends = true", "[limits] sends must be a string"),
            ("[limits]\nsends = [1, 2]", "[limits] sends must be a string"),
        ):
            refusal = self.refused(file=text)
            self.assertIn(reason, refusal, text)
            self.assertNotIn("\n", refusal)
        self.assertIn("--limit-sends must be 0, for no limit, or RATE/BURST", self.refused("--limit-sends", "20/10"))

    def test_wrong_values_elsewhere_name_their_source(self):
        self.assertIn('--max-frame must be a positive whole number, not "x"', self.refused("--max-frame", "x"))
        for variable, value in (("IDLE_SECONDS", "0"), ("NO_GUESTS", "maybe"), ("ROUTE", "a!"), ("SELECT", "")):
            self.assertIn(f"CIM_SERVER_{variable}", self.refused(environ={f"CIM_SERVER_{variable}": value}))

    def test_broken_files(self):
        self.assertIn("is not valid TOML", self.refused(file="= ="))
        self.assertIn("/nowhere", self.refused("--config", "/nowhere"))
        self.assertIn("cannot read /:", self.refused("--config", "/"))

    def test_repeated(self):
        for keywords in (
            {"file": 'route = ["a", "b"]'},
            {"environ": {"CIM_SERVER_ROUTE": "a, b,"}, "file": 'route = "c"'},
        ):
            self.assertEqual(self.parse(**keywords)["route"], ["a", "b"])
        self.assertEqual(self.parse("--route", "x", "--route=y", file='route = ["a"]')["route"], ["x", "y"])

    def test_the_parser_itself_refuses(self):
        self.assertIn("nonsense", self.refused("--nonsense"))

    def test_help_works_in_a_bad_environment(self):
        self.patch(sys, "stdout", io.StringIO())
        for flag in ("--help", "--version"):
            error = self.assertRaises(SystemExit, self.parse, flag, environ={"CIM_SERVER_MAX_FRAME": "x"})
            self.assertEqual(error.code, 0)

    def test_own_default_log_level(self):
        class Quiet(Options):
            default_log_level = "warn"

        options = Quiet({})
        options.parseOptions([])
        self.assertEqual(options["log-level"], "warn")
        self.assertIn("default: warn", options.getUsage())

    def test_help_imports_little(self):
        """The options import neither the reactor nor any library that only a daemon needs."""
        code = (
            "import sys, cim.daemon.config; heavy = {'twisted.internet.reactor', 'twisted.web.http', 'klein', 'treq',"
            " 'kazoo', 'txredisapi', 'prometheus_client', 'google.protobuf', 'OpenSSL'} & set(sys.modules);"
            " sys.exit(','.join(heavy) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=_environment(), timeout=60)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))


class CoercionTests(SynchronousTestCase):
    def test_bounds(self):
        self.assertEqual((seconds("1.5"), positive_int("12"), port("65535")), (1.5, 12, 65535))
        for coerce, wrong in (
            (seconds, ("0", "-1", "nan", "inf", "1e3", "", "1 ", "٣")),
            (positive_int, ("0", "-1", "1.0", "1_0", "", "9" * 16)),
            (port, ("0", "65536", "http", "-1")),
        ):
            for text in wrong:
                self.assertIn("must be", str(self.assertRaises(ValueError, coerce, text)))


class SecretFileTests(SynchronousTestCase):
    def write(self, content, mode=0o600):
        path = self.mktemp()
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, mode)
        return path

    def test_stripped(self):
        self.assertEqual(read_secret_file(self.write(b" s3cret\n"), "secret-file"), "s3cret")

    def test_refused(self):
        for path, reason in (
            ("/nowhere", "No such file"),
            ("/", "directory"),
            ("a\0b", "null"),
            (self.write(b" \n"), "is empty"),
            (self.write(b"\xff\xfe"), "UTF-8"),
            (self.write(b"x" * 70000), "longer"),
            (self.write(b"s3cret", 0o640), "is open to others than its owner (mode 0640): chmod 600 "),
        ):
            message = str(self.assertRaises(UsageError, read_secret_file, path, "secret-file"))
            self.assertTrue(message.startswith(f"--secret-file: {path}"), message)
            self.assertIn(reason, message)
            self.assertNotIn("s3cret", message)


def _environment():
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}

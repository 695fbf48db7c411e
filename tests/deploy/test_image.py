"""The Dockerfile and what it puts into the image, as far as that shows without building it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).resolve().parents[2]
START = TOP / "deploy" / "image" / "cim-start"
HEALTH = TOP / "deploy" / "image" / "cim-health"


def instructions():
    """The instructions of the Dockerfile, each with what it says on all its lines."""
    text = re.sub(r"^#.*\n", "", (TOP / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def said(word):
    return [rest for instruction, rest in instructions() if instruction == word]


def environment():
    (env,) = said("ENV")
    return dict(one.split("=", 1) for one in env.split())


class DockerfileTests(SynchronousTestCase):
    def test_who_runs_it(self):
        """A number, so that Kubernetes sees that it is not root's; and nothing makes it root again."""
        self.assertEqual(said("USER"), ["10001:10001"])
        self.assertEqual(said("VOLUME"), said("WORKDIR")[-1:])
        self.assertEqual(said("STOPSIGNAL"), ["SIGTERM"])
        self.assertEqual(len(said("HEALTHCHECK")), 1)

    def test_only_what_is_named_gets_in(self):
        lines = [line for line in (TOP / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
        self.assertEqual(lines[0], "*")
        let_in = {line[1:] for line in lines if line[0] == "!"}
        self.assertEqual([name for name in sorted(let_in) if not (TOP / name).exists()], [])
        copied = set()
        for rest in said("COPY"):
            *sources, _ = rest.split()
            if not sources[0].startswith("--from="):
                copied.update(sources)
        self.assertEqual({"/".join(name.split("/")[:2]) for name in copied}, let_in)
        self.assertEqual(said("ADD"), [])
        for unwanted in ("cim/wire/__pycache__", "web/node_modules", "twisted/plugins/dropin.cache"):
            self.assertTrue(any(fnmatch(unwanted, line) for line in lines if line.startswith("**/")), unwanted)

    def test_the_package_has_what_it_is_built_from(self):
        """setup.cfg names no file that does not get in."""
        for name in re.findall(r"file: (\S+)|license_files = (\S+)", (TOP / "setup.cfg").read_text()):
            self.assertIn("".join(name), said("COPY")[0])

    def test_what_single_options_need(self):
        """All extras of users are in, since nothing can be installed later."""
        setup = ConfigParser()
        setup.read(TOP / "setup.cfg")
        (extras,) = re.findall(r'"\.\[([\w,]+)\]"', " ".join(said("RUN")))
        self.assertEqual(set(extras.split(",")), set(setup["options.extras_require"]) - {"dev"})

    def test_options_in_the_environment(self):
        options = namedAny("cim.suite.tap.Options")(environ=environment())
        options.parseOptions([])
        self.assertEqual(options["data"], said("VOLUME")[0])
        admin = namedAny("cim.admin.tap.Admin")(environment())
        admin.parseOptions(["status"])
        self.assertEqual(admin.subOptions["api-key-file"], str(options.data.api_keys))
        admin = namedAny("cim.admin.tap.Admin")(environment())
        admin.parseOptions(["check"])
        self.assertEqual(admin.subOptions["data"], options["data"])

    def test_hadolint(self):
        hadolint = Path(sys.executable).parent / "hadolint"
        done = subprocess.run([hadolint, TOP / "Dockerfile"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_the_base_has_a_version(self):
        self.assertRegex(said("ARG")[0], r"^BASE=debian:[a-z]+-slim$")
        self.assertEqual([one.split()[0] for one in said("FROM")], ["${BASE}", "python", "python"])


class StartTests(SynchronousTestCase):
    def setUp(self):
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name in ("twistd", "cim", "cim-admin", "other"):
            stub = folder / name
            stub.write_text('#!/bin/sh\nprintf "%s|" "$(basename "$0")" "$@" $$\n')
            stub.chmod(0o755)
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def starts(self, *words):
        """What it becomes, in the same process."""
        with subprocess.Popen([START, *words], env=self.env, stdout=subprocess.PIPE, text=True) as process:
            *command, pid = process.communicate()[0].rstrip("|").split("|")
        self.assertEqual(int(pid), process.pid)
        return command

    def test_commands(self):
        self.assertEqual(self.starts(), ["twistd", "-n", "--pidfile=", "cim"])
        self.assertEqual(
            self.starts("suite", "--advertise", "a b"), ["twistd", "-n", "--pidfile=", "cim", "--advertise", "a b"]
        )
        self.assertEqual(self.starts("server", "--version"), ["twistd", "-n", "--pidfile=", "cim-server", "--version"])
        self.assertEqual(self.starts("route"), ["twistd", "-n", "--pidfile=", "cim-route"])
        self.assertEqual(self.starts("client", "--user", "alice"), ["cim", "--user", "alice"])
        self.assertEqual(self.starts("admin", "status"), ["cim-admin", "status"])
        self.assertEqual(self.starts("other", "x"), ["other", "x"])


class HealthTests(SynchronousTestCase):
    def test_what_cannot_be_asked(self):
        """It ends with 1, which is what Docker knows, and says why; also for what is no URL at all."""
        for url, why in (("file:///nowhere", "No such file"), ("nothing", "unknown url type")):
            done = subprocess.run(
                [sys.executable, HEALTH], env={"CIM_HEALTH": url}, capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertTrue(done.stderr.startswith(f"{url}: "), done.stderr)
            self.assertIn(why, done.stderr)

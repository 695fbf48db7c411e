"""The image of the Dockerfile: built here, and its suite run in a container made by hand."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.harness.image import Container, Image, unavailable
from tests.long import SKIP


class ImageTests(SynchronousTestCase):
    skip = SKIP or unavailable() or None

    def container(self, image, name, *words):
        container = Container(image, self.folder / name, *words)
        self.addCleanup(container.kill)
        return container

    def test_built_and_run(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cim-image-"))
        self.addCleanup(shutil.rmtree, self.folder)
        image = Image(self.folder)
        self.addCleanup(image.remove)
        self.what_is_in_it(image)
        self.the_suite(image)
        self.other_commands(image)

    def what_is_in_it(self, image):
        top = {path.name for path in image.root.iterdir()}
        self.assertEqual(top & {"source", "work", "cim"}, set())
        packages = image.root / "opt/cim/lib/python3.11/site-packages"
        self.assertTrue((packages / "cim/web/static/chat/index.html").is_file())
        self.assertEqual([name for name in ("ahocorasick", "opentelemetry") if not list(packages.glob(f"{name}*"))], [])
        self.assertEqual([name for name in ("pip", "setuptools", "tests", "bench") if (packages / name).exists()], [])
        self.assertEqual(list((image.root / "var/lib/cim").iterdir()), [])
        # Nothing that the daemons' user could change, and nothing that gives it rights.
        self.assertEqual([str(path) for path in (image.root / "opt/cim").rglob("*") if path.lstat().st_uid], [])

    def the_suite(self, image):
        suite = self.container(image, "suite")
        started = suite.read_until("Ctrl-C stops it")
        self.assertIn("is ready", started)
        self.assertIn("data:     /var/lib/cim", started)
        status = Path(f"/proc/{suite.pid}/status").read_text()
        self.assertIn("Uid:\t10001\t10001\t10001\t10001", status)
        self.assertRegex(status, r"NSpid:\t\d+\t1\n")
        healthy = suite.health()
        self.assertEqual(healthy.returncode, 0, healthy.stderr)
        self.assertEqual(json.loads(healthy.stdout)["parts"]["store"], "ok")
        told = suite.execute("cim-start", "admin", "status", "--json")
        self.assertEqual(json.loads(told.stdout)["ok"], True, told.stderr)
        written = suite.execute("touch", "/opt/cim/file", "/usr/local/bin/cim-start")
        self.assertIn("Read-only file system", written.stderr)
        self.assertEqual({path.stat().st_uid for path in (self.folder / "suite").iterdir()}, {10001})
        pid = suite.pid
        code, last = suite.stop()
        self.assertEqual(code, 0, last)
        self.assertIn("stopping on SIGTERM", last)
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def other_commands(self, image):
        for part in ("server", "route", "client", "admin"):
            container = self.container(image, part, part, "--version")
            self.assertRegex(container.read_until("cim-im"), r"^cim-im \d")
        silent = self.container(image, "silent", "sh", "-c", "echo asleep; exec sleep 60")
        self.assertIn("asleep", silent.read_until("asleep"))
        sick = silent.health()
        self.assertEqual(sick.returncode, 1)
        self.assertIn("http://127.0.0.1:8083/health: ", sick.stderr)

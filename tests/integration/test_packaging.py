"""The source distribution, and the wheel made of it: installed into an environment of its own, and started there."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).resolve().parent.parent.parent
FOLDERS = {
    *(".ci", "bench", "cim", "deploy", "docs", "etc", "examples", "newsfragments", "proto", "tests", "twisted", "web")
}
FILES = {
    *(".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "MANIFEST.in", "Makefile"),
    *("constraints.txt", "pyproject.toml", "setup.cfg"),
}
UNWANTED = shutil.ignore_patterns("__pycache__", "dropin.cache", "node_modules")
RUN_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
WHERE = "import cim, twisted.plugins.cim_dropin as d; print(cim.__file__); print(d.__file__)"


def run(*command, cwd):
    """Run a command without this checkout on its path; return its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CIM_", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@cache
def built() -> Path:
    """Return the folder in which both are, with the source that they were made of in `source`."""
    directory = Path(tempfile.mkdtemp(prefix="cim-dist-"))
    atexit.register(shutil.rmtree, directory)
    source = directory / "source"
    source.mkdir()
    for path in TOP.iterdir():
        if path.is_dir() and path.name in FOLDERS:
            shutil.copytree(path, source / path.name, symlinks=True, ignore=UNWANTED)
        elif path.name in FILES or path.suffix == ".md":
            shutil.copy(path, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), cwd=source)
    return directory


class PackagingTests(SynchronousTestCase):
    def setUp(self):
        (self.source,) = built().glob("*.tar.gz")
        (self.wheel,) = built().glob("*.whl")

    def test_source(self):
        """All that is in a checkout, so that whoever has it can build the image, and test."""
        source = built() / "source"
        with tarfile.open(self.source) as archive:
            (top,) = {name.split("/")[0] for name in archive.getnames()}
            names = {member.name.removeprefix(f"{top}/") for member in archive if member.isfile()}
        made = ("build/", "cim_im.egg-info/")
        here = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
        here = {name for name in here if not name.startswith(made)}
        self.assertEqual(here - names, set())
        others = {name for name in names - here if not name.startswith((*made, "cim/web/static/"))}
        self.assertEqual(others, {"PKG-INFO"})

    def test_wheel(self):
        with zipfile.ZipFile(self.wheel) as wheel:
            names = wheel.namelist()
        modules = {str(path.relative_to(TOP)) for path in (TOP / "cim").rglob("*.py")}
        scripts = {str(path.relative_to(TOP)) for path in (TOP / "cim").rglob("*.lua")}
        self.assertIn("cim/store/redis/append.lua", scripts)
        self.assertEqual((modules | scripts) - set(names), set())
        self.assertIn("cim/py.typed", names)
        self.assertIn("cim/wire/cim_pb2.pyi", names)
        pages = {
            f"cim/web/static/{path.relative_to(TOP / 'web')}"
            for folder in ("cim", "shared", "chat", "console", "docs")
            for path in (TOP / "web" / folder).glob("*")
            if path.suffix in (".html", ".js", ".css", ".svg", ".png")
        }
        self.assertIn("cim/web/static/chat/index.html", pages)
        self.assertEqual({name for name in names if name.startswith("cim/web/static/")}, pages)
        # Nothing of Twisted's own, and nothing that would hide it.
        self.assertEqual([name for name in names if name.startswith("twisted/")], ["twisted/plugins/cim_dropin.py"])
        self.assertEqual([name for name in names if name.startswith(("tests", "bench"))], [])

    def test_installed(self):
        """Each command starts from an empty environment; the libraries are those of this one."""
        directory = Path(self.mktemp()).resolve()
        environment, empty = directory / "venv", directory / "empty"
        empty.mkdir(parents=True)
        run(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=empty)
        python = str(environment / "bin" / "python")
        site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=empty).strip())
        # A path in a .pth file does not have its own .pth files read, so a checkout installed there stays unseen.
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(self.wheel), cwd=empty)
        self.assertEqual(
            [Path(line) for line in run(python, "-c", WHERE, cwd=empty).splitlines()],
            [site / "cim" / "__init__.py", site / "twisted" / "plugins" / "cim_dropin.py"],
        )
        listed = run(python, "-c", RUN_TWISTD, "--help", cwd=empty)
        for command in ("cim-server", "cim-route", "cim-client", "cim"):
            self.assertIn(f" {command} ", listed)
            told = run(python, "-c", RUN_TWISTD, command, "--help", cwd=empty)
            self.assertIn("--config=", told)
            self.assertIn("cim-im", run(python, "-c", RUN_TWISTD, command, "--version", cwd=empty))
        page = "from cim.web.pages import WebFiles; print(WebFiles(['chat']).page('chat/index.html').decode())"
        self.assertIn('src="/web-', run(python, "-c", page, cwd=empty))
        self.assertEqual(list(empty.iterdir()), [])

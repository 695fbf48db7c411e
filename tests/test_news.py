"""What newsfragments/ says becomes a release in NEWS.md, and nothing of it is lost."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cim

TOP = Path(__file__).resolve().parent.parent


class NewsTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / ".ci").mkdir(parents=True)
        shutil.copy(TOP / ".ci" / "news", self.folder / ".ci" / "news")
        (self.folder / "newsfragments").mkdir()
        self.news = self.folder / "NEWS.md"
        self.news.write_text("# News\n\nIntroduction.\n\n## 0.1.0 (2026-01-01)\n\n### New\n\n- One.\n")

    def say(self, name, text):
        (self.folder / "newsfragments" / name).write_text(text)

    def made(self, *words):
        command = [sys.executable, self.folder / ".ci" / "news", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_a_release(self):
        self.say("3.feature.two.md", "Second,\nin two lines.\n\nAnd a paragraph.\n")
        self.say("12.feature.one.md", "First.\n")
        self.say("9.removal.md", "Gone.\n")
        self.assertEqual(self.made("0.2.0", "2026-11-28").returncode, 0)
        self.assertEqual(
            self.news.read_text(),
            "# News\n\nIntroduction.\n\n## 0.2.0 (2026-11-28)\n\n"
            "### Changed or gone, so that something may be needed of you\n\n- Gone.\n\n"
            "### New\n\n- First.\n- Second,\n  in two lines.\n\n  And a paragraph.\n\n"
            "## 0.1.0 (2026-01-01)\n\n### New\n\n- One.\n",
        )
        self.assertEqual(list((self.folder / "newsfragments").iterdir()), [])
        again = self.made("0.2.0")
        self.assertEqual((again.returncode, again.stderr), (1, "NEWS.md has 0.2.0 already\n"))
        nothing = self.made("0.3.0")
        self.assertEqual((nothing.returncode, nothing.stderr), (1, "newsfragments/ has nothing to tell\n"))

    def test_what_is_no_fragment_changes_nothing(self):
        for name, text in (("12.features.md", "New."), ("feature.md", "New."), ("12.feature.x.md", "\n")):
            before = self.news.read_text()
            self.say(name, text)
            refused = self.made("0.2.0")
            self.assertEqual(refused.returncode, 1)
            self.assertIn(name, refused.stderr)
            self.assertEqual(self.news.read_text(), before)
            (self.folder / "newsfragments" / name).unlink()

    def test_ours(self):
        """The fragments of this checkout have names that say what they are, and each says something."""
        news = runpy.run_path(str(TOP / ".ci" / "news"))
        folder = TOP / "newsfragments"
        made = news["release"]("1.0", "2026-11-28", folder)
        self.assertEqual(made.count("\n- "), len(list(folder.glob("*"))))

    def test_one_version_everywhere(self):
        """What names the release names the same one."""
        (packaged,) = re.findall(r"^version = (\S+)$", (TOP / "setup.cfg").read_text(), re.MULTILINE)
        self.assertEqual(cim.__version__, packaged)
        self.assertEqual(json.loads((TOP / "web" / "cim" / "package.json").read_text())["version"], packaged)

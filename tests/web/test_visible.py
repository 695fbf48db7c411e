"""What the pages make of names and texts of others (web/shared/visible.js), held against the terminal's examples."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.test_names import SHOWN, TAKEN

MODULE = Path(__file__).parents[2] / "web" / "shared" / "visible.js"


class VisibleTests(SynchronousTestCase):
    def test_a_name_that_holds_what_nobody_sees_does_not_look_like_another(self):
        # Between Indic letters the page shows joiners, which the terminal knows to be harmless.
        names = {**SHOWN, **{name: name for name in TAKEN if "\u0d9a" not in name}}
        self.assertEqual(run("shownName", list(names)), list(names.values()))

    def test_texts_neither_steer_what_is_around_them_nor_hide_anything(self):
        flag = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
        texts = {
            f"你好 👋 {flag} שלום 葛\U000e0100": f"你好 👋 {flag} שלום 葛\U000e0100",
            "\u200f1\u061c(2)\u202e3\u2066\u206b": "<U+200F>1<U+061C>(2)<U+202E>3<U+2066><U+206B>",
            "a\U000e0041b\U000e0100\nc\x1b\r": "a<U+E0041>b<U+E0100>\nc<U+001B><U+000D>",
        }
        self.assertEqual(run("visibleText", list(texts)), list(texts.values()))


def run(function, arguments):
    """Return what one of the module's functions makes of each argument."""
    node = shutil.which("node")
    if node is None:
        raise SkipTest("scripts are only run where there is node")
    script = (
        f"import({json.dumps(MODULE.as_uri())}).then((visible) =>"
        f" console.log(JSON.stringify({json.dumps(arguments)}.map((one) => visible.{function}(one)))))"
    )
    said = subprocess.run([node, "-e", script], capture_output=True, check=True, timeout=60)
    return json.loads(said.stdout)

"""What examples/browser.html takes from whoever made the link to it: nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.harness.daemons import ROOT
from tests.test_names import SHOWN, TAKEN

PAGE = (ROOT / "examples" / "browser.html").read_text()


class PageTests(SynchronousTestCase):
    def test_it_sends_passwords_only_to_the_address_that_is_written_in_it(self):
        self.assertEqual(PAGE.count("fetch("), 1)
        self.assertIn("await fetch(api + path,", PAGE)
        self.assertIn('const api = "http://127.0.0.1:8083";', PAGE)

    def test_it_reads_nothing_that_a_link_can_set(self):
        for source in ("location", "URLSearchParams", "document.URL", "referrer", "window.name", "opener"):
            self.assertNotIn(source, PAGE)

    def test_a_name_that_holds_what_nobody_sees_does_not_look_like_another(self):
        self.assertIn("shown(senderName)", PAGE)
        self.assertIn("You are ${shown(me.name)}", PAGE)
        # Between Indic letters the page shows joiners, which the terminal knows to be harmless.
        names = {**SHOWN, **{name: name for name in TAKEN if "\u0d9a" not in name}}
        self.assertEqual(run("shown", list(names)), list(names.values()))

    def test_texts_neither_steer_what_is_around_them_nor_hide_anything(self):
        self.assertIn("line.textContent = visible(text)", PAGE)
        flag = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
        texts = {
            f"你好 👋 {flag} שלום 葛\U000e0100": f"你好 👋 {flag} שלום 葛\U000e0100",
            "\u200f1\u061c(2)\u202e3\u2066\u206b": "<U+200F>1<U+061C>(2)<U+202E>3<U+2066><U+206B>",
            "a\U000e0041b\U000e0100\nc\x1b\r": "a<U+E0041>b<U+E0100>\nc<U+001B><U+000D>",
        }
        self.assertEqual(run("visible", list(texts)), list(texts.values()))


def run(function, arguments):
    """Return what one of the page's functions makes of each argument."""
    node = shutil.which("node")
    if node is None:
        raise SkipTest("the page's script is only run where there is node")
    (show,) = re.findall(r"const byNumber =.*?\n\n", PAGE, re.DOTALL)
    (visible,) = re.findall(r"const steering =.*?\n\n", PAGE, re.DOTALL)
    (shown,) = re.findall(r"const emoji =.*?\n}\n", PAGE, re.DOTALL)
    said = f"JSON.stringify({json.dumps(arguments)}.map((one) => {function}(one)))"
    script = f"{show}{visible}{shown}; console.log({said})"
    return json.loads(subprocess.run([node, "-e", script], capture_output=True, check=True, timeout=60).stdout)

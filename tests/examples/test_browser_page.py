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
        node = shutil.which("node")
        if node is None:
            raise SkipTest("the page's script is only run where there is node")
        # Between Indic letters the page shows joiners, which the terminal knows to be harmless.
        names = {**SHOWN, **{name: name for name in TAKEN if "\u0d9a" not in name}}
        (function,) = re.findall(r"const emoji =.*?\n}\n", PAGE, re.DOTALL)
        script = f"{function}; console.log(JSON.stringify({json.dumps(list(names))}.map(shown)))"
        said = subprocess.run([node, "-e", script], capture_output=True, check=True, timeout=60).stdout
        self.assertEqual(json.loads(said), list(names.values()))

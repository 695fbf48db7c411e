"""What examples/browser.html takes from whoever made the link to it: nothing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.harness.daemons import ROOT

PAGE = (ROOT / "examples" / "browser.html").read_text()


class PageTests(SynchronousTestCase):
    def test_it_sends_passwords_only_to_the_address_that_is_written_in_it(self):
        self.assertEqual(PAGE.count("fetch("), 1)
        self.assertIn("await fetch(api + path,", PAGE)
        self.assertIn('const api = "http://127.0.0.1:8083";', PAGE)

    def test_it_reads_nothing_that_a_link_can_set(self):
        for source in ("location", "URLSearchParams", "document.URL", "referrer", "window.name", "opener"):
            self.assertNotIn(source, PAGE)

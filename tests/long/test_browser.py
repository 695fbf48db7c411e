"""A browser for minutes: hidden, offline, and with more messages."""

from __future__ import annotations

from twisted.internet.task import deferLater

from tests.integration import test_browser, test_browser_page
from tests.long import SKIP

MINUTE = 60


class LongFloodTests(test_browser_page.FloodTests):
    skip = SKIP
    timeout = 600
    before = 10_000
    seconds = 30


class LongOfflineTests(test_browser.BadMomentTests):
    skip = SKIP
    timeout = 600
    away = MINUTE


class HiddenTests(test_browser.BadMomentCase):
    skip = SKIP
    timeout = 600

    def test_hidden_for_two_minutes(self):
        """A tab behind another stays online, though browsers slow its timers down."""
        alice, bob = self.begin()
        other = self.profiles[0].tab("about:blank")
        other.show()
        self.assertTrue(alice.peek("document.hidden"))
        self.wait(deferLater, self.reactor, 2 * MINUTE)
        self.assertEqual(alice.peek("document.querySelector('[data-testid=\"state\"]').dataset.state"), "online")
        self.assertIn("online", bob.sees("presence").text.lower())
        bob.say("are you there")
        bob.is_marked("are you there", "stored")
        # It came while nobody looked, so nobody has read it.
        bob.until(lambda _: alice.peek("document.title").startswith("(1)"), "the title counts it")
        bob.is_marked("are you there", "stored")
        alice.hears("first", "are you there")
        bob.is_marked("are you there", "read")

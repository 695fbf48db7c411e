"""What the page of the chat is like: quick, light, and usable by everybody (web/chat/)."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest

from cim.client.client import Client
from cim.client.values import Password
from cim.wire import conversations
from tests.harness.daemons import ROOT, UNLIMITED, UNLIMITED_SESSIONS
from tests.integration.browser_case import PASSWORD, BrowserCase, ChatTab

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
#: What a first visit may load, compressed, bytes.
MOST = 100 * 1024
_FIRST = "return document.querySelector('[data-testid=\"message\"]').dataset.position"
_PLACE = 'return document.querySelector(`[data-position="${arguments[0]}"]`).getBoundingClientRect().top'
#: Scroll to so far from the top; return the first message, and one that is in sight and where it is.
_UP = """
const box = document.querySelector('[data-testid="messages"]');
box.scrollTop = arguments[0];
const { top } = box.getBoundingClientRect();
const [first, ...others] = [...box.querySelectorAll('[data-testid="message"]')];
const reading = others.find((one) => one.getBoundingClientRect().top > top + 20);
return [first.dataset.position, reading.dataset.position, reading.getBoundingClientRect().top];
"""
_FAULTS = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  done(violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)).join("; ")}`)));
"""


class EverybodyTests(BrowserCase):
    """axe-core finds no serious fault, in either language and look."""

    options = ("--accounts", "open")

    def test_what_programs_for_blind_people_meet(self):
        if not AXE.exists():
            raise SkipTest("axe-core is not installed: npm ci in web/")
        self.axe = AXE.read_text()
        page = self.profile().tab(kind=ChatTab)
        self.accessible(page, "login")
        page.press("to-register")
        self.accessible(page, "register")
        page.register("alice")
        bob = self.chat("bob")
        bob.find("alice")
        bob.say("hello", "see https://example.org/", "`code`", "🎉")
        bob.act("hello", "react")
        bob.press("pick")
        self.accessible(page, "chat")
        page.open_talk("bob")
        page.hears("hello", "see https://example.org/", "code", "🎉")
        self.accessible(page, "talk")
        page.press("new-group")
        self.accessible(page, "group-dialog")
        page.write("group-name", "friends")
        page.press("make-group")
        page.press("members")
        page.sees("member")
        self.accessible(page, "group-details")
        page.press("close-dialog")
        page.press("settings")
        page.sees("device")
        self.accessible(page, "settings-dialog")

    def accessible(self, page, part):
        """See that a part of the page has no serious fault, light and dark."""
        page.sees(part if part != "register" else "login")
        page.run(self.axe)
        for look in ("light", "dark"):
            page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": look}])
            self.assertEqual(page.driver.execute_async_script(_FAULTS), [], f"{part}, {look}")


class FirstVisitTests(BrowserCase):
    options = ("--accounts", "open")

    def test_little_is_loaded(self):
        page = self.profile().tab(kind=ChatTab)
        page.sees("login")
        sizes = page.run(
            "return ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
            ".map(({ name, transferSize, encodedBodySize }) => [name, transferSize, encodedBodySize])"
        )
        self.assertGreater(len(sizes), 5)
        self.assertTrue(all(url.startswith(self.page) for url, _, _ in sizes), sizes)
        self.assertLess(sum(sent for _, sent, _ in sizes), MOST, sizes)
        # The second visit asks for the page alone; all else has its name for a year.
        page.open("about:blank")
        page.open(self.page)
        page.sees("login")
        again = page.run(
            "return performance.getEntriesByType('resource').filter(({ name }) => name.includes('/web-'))"
            ".map(({ transferSize }) => transferSize)"
        )
        self.assertEqual(again, [0] * len(again))
        self.assertGreater(len(again), 5)


class FloodTests(BrowserCase):
    """A talk with many messages, and everybody's channel where people say a lot.

    :cvar before: how many messages are there
    :cvar rate: how many come a second
    :cvar seconds: for how long
    """

    options = ("--accounts", "open", *UNLIMITED, *UNLIMITED_SESSIONS)
    before = 1000
    rate = 500
    seconds = 4

    async def speaker(self, name):
        client = Client(self.reactor, self.suite.url, Password(name, PASSWORD, create=True))
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client

    async def say(self, client, talk, count):
        for start in range(0, count, 500):
            await gatherResults([client.send(talk, f"before {n}") for n in range(start, min(start + 500, count))])

    async def flood(self, client, talk):
        """Say so much a second, in step with the clock, as far as the suite keeps up; return how much was said."""
        begun, said, waiting = self.reactor.seconds(), 0, set()
        while (passed := self.reactor.seconds() - begun) < self.seconds:
            while said < passed * self.rate and len(waiting) < 500:
                sending = client.send(talk, f"flood {said} {'x' * (said % 80)}")
                waiting.add(sending)
                sending.addCallback(lambda _, one=sending: waiting.discard(one))
                said += 1
            await deferLater(self.reactor, 0.01)
        await gatherResults(list(waiting))
        return said

    def test_many_messages_and_a_flood(self):
        page = self.chat("alice")
        bob = self.wait(self.speaker, "bob")
        alice = self.wait(bob.user, "alice")
        talk = conversations.private(alice.id, bob.me.id)
        self.wait(self.say, bob, talk, self.before)
        page.until(lambda _: page.texts("talk-unread") == ["999+"], "that a lot is unread")
        page.open_talk("bob")
        page.until(lambda _: page.said()[:1] == ["before 0"], "the first one, which is unread")
        self.assertIsNotNone(page.shown("unread-line"))
        self.to_newest(page)
        self.assertEqual(page.texts("unread-line"), [], "the first unread one is not in the window")
        self.most = 0
        self.chromium.begin_trace()
        for place in (400, 0, 400, 0, 400, 0):
            self.page_back(page, place)
        self.to_newest(page)
        flooding = []
        self.reactor.callFromThread(lambda: flooding.append(Deferred.fromCoroutine(self.flood(bob, talk))))
        while not (flooding and flooding[0].called):
            self.count(page)
        said = self.wait(lambda: flooding[0])
        page.until(lambda _: page.said()[-1].startswith(f"flood {said - 1} "), "the end of the flood", 60)
        tasks = self.chromium.end_trace()
        slow = tasks[int(len(tasks) * 0.99)]
        sys.stdout.write(
            f"{said} messages: {len(tasks)} tasks, p99 {slow:.1f} ms, longest {tasks[-1]:.0f} ms; {self.most} nodes "
        )
        self.assertGreater(len(tasks), 1000)
        self.assertLess(slow, 50)
        self.assertLessEqual(self.most, 200)

    def to_newest(self, page):
        """Go to the end, whatever is being loaded."""

        def there(_):
            if page.shown("to-newest"):
                page.press("to-newest")
            return page.said()[-1] == f"before {self.before - 1}"

        page.until(there, "the last one")

    def page_back(self, page, top):
        """Scroll to the top or near it: what one reads then stays where it is while earlier messages come."""
        first, reading, place = page.run(_UP, top)
        page.until(lambda _: self.count(page) and page.run(_FIRST) != first, "an earlier page")
        moved = page.run(_PLACE, reading) - place
        self.assertLess(abs(moved), 3, f"{reading} moved")

    def count(self, page):
        """Count the messages in the page."""
        found = page.run("return document.querySelectorAll('[data-testid=\"message\"]').length")
        self.most = max(self.most, found)
        return found

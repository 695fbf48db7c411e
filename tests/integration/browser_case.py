"""The base of tests in a real Chromium: a suite of each test's own, and people with profiles of their own before it."""

from __future__ import annotations

import json
import sys
from functools import wraps
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread

from tests.harness.chromium import LAN_NAME, shared_chromium
from tests.harness.daemons import loopback
from tests.harness.processes import free_port
from tests.integration.cluster_case import ClusterCase

#: How long anything may take to be seen, seconds.
PATIENCE = 15.0
#: Nobody types a second password.
PASSWORD = "correct horse battery"


_SHOWN = """
const [selector, text] = arguments;
return [...document.querySelectorAll(selector)].find(
  (one) => one.checkVisibility({ visibilityProperty: true }) && one.innerText.includes(text),
) ?? null;
"""


def selected(selector):
    """Return a selector of CSS as it is, and make one of a data-testid."""
    return selector if "[" in selector else f'[data-testid="{selector}"]'


class Tab:
    """One tab, whose elements are named by their data-testid.

    Selenium brings a tab to the front before it does anything with it; only `peek` leaves it in the back.
    """

    def __init__(self, chromium, profile, url):
        self.chromium = chromium
        self.target = chromium.command("Target.createTarget", url="about:blank", browserContextId=profile)["targetId"]
        self.open(url)

    @property
    def driver(self):
        """Selenium's, at this tab, which it brings to the front when it was at another."""
        if self.chromium.at != self.target:
            self.chromium.driver.switch_to.window(self.target)
            self.chromium.at = self.target
        return self.chromium.driver

    # Whole pages

    def open(self, url):
        """Load a page."""
        self.driver.get(url)

    def reload(self):
        """Load the page anew."""
        self.driver.refresh()

    def close(self):
        """Close the tab, as a user does."""
        self.chromium.command("Target.closeTarget", targetId=self.target)

    def show(self):
        """Bring it before the other tabs of its window, which are hidden then."""
        self.chromium.command("Target.activateTarget", targetId=self.target)

    def peek(self, expression):
        """Return the value of an expression, without bringing the tab to the front."""
        attached = self.chromium.command("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        found = self.chromium.command("Runtime.evaluate", attached, expression=expression, returnByValue=True)
        self.chromium.command("Target.detachFromTarget", sessionId=attached)
        return found["result"].get("value")

    def run(self, script, *arguments):
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def command(self, method, **parameters):
        """Return the result of a command of the Chrome DevTools Protocol to this tab."""
        return self.driver.execute_cdp_cmd(method, parameters)

    def offline(self, yes=True):
        """Take its network away, or give it back."""
        self.command("Network.enable")
        limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.command("Network.emulateNetworkConditions", offline=yes, **limits)

    # What is on it

    def until(self, look, what, seconds=PATIENCE):
        """Return the first true value of `look(driver)`; elements that go away meanwhile are looked for again."""
        wait = WebDriverWait(self.driver, seconds, 0.03, [WebDriverException, StaleElementReferenceException])
        return wait.until(look, f"in vain: {what}")

    def all(self, selector):
        """Return the elements that a name or a selector of CSS finds, on show or not."""
        return self.driver.find_elements(By.CSS_SELECTOR, selected(selector))

    def texts(self, selector):
        """Return the texts of all that is so named, as they are shown."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selected(selector)
        )

    def shown(self, selector, text=""):
        """Return the first element on show that is so named and has this text in it, or None."""
        return self.run(_SHOWN, selected(selector), text)

    def sees(self, selector, text="", seconds=PATIENCE):
        """Return that element when there is one."""
        return self.until(lambda _: self.shown(selector, text), f"{selector} with {text!r}", seconds)

    def misses(self, selector, text="", seconds=PATIENCE):
        """Wait until there is none."""
        self.until(lambda _: self.shown(selector, text) is None, f"{selector} with {text!r} is gone", seconds)

    def press(self, selector, text=""):
        """Click on what is so named and has this text in it."""
        self.until(lambda _: self.sees(selector, text).click() or True, f"{selector} can be clicked on")

    def write(self, selector, text):
        """Replace what is in a field by a text of any characters, as pasting does; return the field."""
        field = self.sees(selector)

        def written(_):
            # The page may move the focus meanwhile.
            self.run("arguments[0].focus(); arguments[0].select()", field)
            self.command("Input.insertText", text=text)
            return self.run("return arguments[0].value === arguments[1]", field, text)

        self.until(written, f"{selector} takes a text")
        return field

    def choose(self, selector, value):
        """Choose what has this value in a list of choices."""
        self.until(
            lambda driver: driver.execute_script(
                "arguments[0].value = arguments[1];"
                "arguments[0].dispatchEvent(new Event('change', {bubbles: true}));"
                "return true",
                self.sees(selector),
                value,
            ),
            f"{selector} can be chosen from",
        )


class ChatTab(Tab):
    """A tab that shows the chat, and what people do there."""

    def register(self, name, password=PASSWORD):
        """Make an account, which logs in."""
        self.press("to-register")
        self._enter(name, password, "register")

    def log_in(self, name, password=PASSWORD):
        """Log in, and wait until the session is live."""
        self._enter(name, password, "log-in")

    def _enter(self, name, password, button):
        self.write("name", name)
        self.write("password", password)
        self.press(button)
        self.is_online()

    def is_online(self, seconds=PATIENCE):
        """Wait until it is connected."""
        self.until(lambda _: self.all('[data-testid="state"][data-state="online"]'), "it is online", seconds)

    def find(self, name):
        """Look for a person, and open the talk with them."""
        self.write("find", name)
        self.press("found", name)
        self.sees("title", name)

    def open_talk(self, title):
        """Open a talk of the list."""
        self.press("talk", title)
        self.sees("title", title)

    def say(self, *texts):
        """Send texts in the talk that is open."""
        for text in texts:
            self.write("composer", text)
            self.press("send")

    def said(self):
        """Return the texts of the messages in the page, the oldest first."""
        return self.texts("text")

    def hears(self, *texts, seconds=PATIENCE):
        """Wait until these are the last texts of the talk that is open."""
        self.until(lambda _: self.said()[-len(texts) :] == list(texts), f"{texts}, not {self.said()[-9:]},", seconds)

    def message(self, text):
        """Return the message in which this text stands."""
        return self.sees("message", text)

    def is_marked(self, text, mark):
        """Wait until a message of one's own is marked as waiting, sent, stored, read or refused."""
        self.until(lambda _: self.message(text).get_attribute("data-mark") == mark, f"{text} is {mark}")

    def act(self, text, action):
        """Press a button of the bar that a message has when it has the focus."""
        self.until(
            lambda driver: driver.execute_script("arguments[0].focus()", self.message(text)) or self.all(action),
            f"{text} can be acted on",
        )
        self.press(action)


class Profile:
    """A browser as one person has it on one device: storage of its own, and tabs."""

    def __init__(self, chromium, page):
        self.chromium = chromium
        self.page = page
        self.id = chromium.command("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]
        self.tabs = []

    def tab(self, page="", kind=Tab):
        """Return a new tab, which shows its own page or another."""
        self.tabs.append(kind(self.chromium, self.id, page or self.page))
        return self.tabs[-1]

    def end(self):
        """Close all its tabs and forget what it stored."""
        self.chromium.command("Target.disposeBrowserContext", browserContextId=self.id)


class BrowserCase(ClusterCase):
    """A suite and a browser; its tests run in a thread, since selenium blocks.

    :cvar options: further ones of the suite
    :cvar network_fails: whether failed requests may be on the console: the network does fail in the test
    """

    options = ()
    network_fails = False

    def __init_subclass__(cls):
        super().__init_subclass__()
        for name, test in list(vars(cls).items()):
            if name.startswith("test_"):
                setattr(cls, name, _in_thread(test))

    async def setUp(self):
        super().setUp()
        self.chromium = shared_chromium(self.reactor)
        self.profiles = []
        self.busy = False
        self.addCleanup(self._leave)
        http = free_port()
        self.suite = self.daemon(
            *("suite", http, "--listen", loopback(free_port()), "--http", loopback(http), "--data", "data"),
            *("--hosts", LAN_NAME, *self.options),
        )
        self.page = f"{self.suite.url}/"
        await self.started(self.suite)

    def _leave(self):
        if self.busy:
            # It timed out: what it waits for fails now, and the next test gets another browser.
            return self.chromium.end()
        return deferToThread(self._close)

    def _close(self):
        said = self.chromium.console()
        if self._troubles() > self._before:
            for tab in (tab for profile in self.profiles for tab in profile.tabs):
                sys.stdout.write(f"\n--- {tab.peek('location.href')}:\n{tab.peek('document.body.innerText')}\n")
        for profile in self.profiles:
            profile.end()
        self.assertEqual([entry["message"] for entry in said if self._is_wrong(entry)], [])

    def _is_wrong(self, entry):
        return entry["level"] == "SEVERE" and not (self.network_fails and entry["source"] == "network")

    def wait(self, function, *arguments):
        """Return the result of a function that is called in the reactor's thread, or of what it returns."""

        async def asked():
            found = function(*arguments)
            return await found if hasattr(found, "__await__") else found

        return blockingCallFromThread(self.reactor, lambda: Deferred.fromCoroutine(asked()))

    def profile(self):
        """Return a new profile."""
        self.profiles.append(Profile(self.chromium, self.page))
        return self.profiles[-1]

    def chat(self, name, profile=None):
        """Return a tab with the chat, in which somebody is logged in who had no account."""
        tab = (profile or self.profile()).tab(kind=ChatTab)
        tab.register(name)
        return tab

    def api(self, method, path, body=None, token=None):
        """Return the JSON of an answer of the suite, which is to succeed."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.suite.url + path, data, headers, method=method)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                said = answer.read()
        except HTTPError as error:
            self.fail(f"{method} {path}: {error.code} {error.read().decode()}")
        return json.loads(said) if said else None


def _in_thread(test):
    def blocking(self):
        self.busy = True
        try:
            test(self)
        finally:
            self.busy = False

    @wraps(test)
    def run(self):
        return deferToThread(blocking, self)

    return run

"""The base of tests in a real Chromium: a suite of each test's own, and people with profiles of their own before it."""

from __future__ import annotations

import json
from functools import wraps
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
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


def named(name):
    """Return the selector of what has that data-testid."""
    return f'[data-testid="{name}"]'


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
        """Selenium's, at this tab."""
        driver = self.chromium.driver
        driver.switch_to.window(self.target)
        return driver

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
        """Return the elements that a name or a selector of CSS finds now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector if "[" in selector else named(selector))

    def texts(self, name):
        """Return the texts of all that have that name, as they are shown."""
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", named(name))

    def sees(self, selector, text="", seconds=PATIENCE):
        """Return the first element on show that is so named and has this text in it, when there is one."""
        return self.until(
            lambda _: next((one for one in self.all(selector) if one.is_displayed() and text in one.text), None),
            f"{selector} with {text!r}",
            seconds,
        )

    def misses(self, selector, seconds=PATIENCE):
        """Wait until nothing so named is on show."""
        self.until(lambda _: not any(one.is_displayed() for one in self.all(selector)), f"{selector} is gone", seconds)

    def press(self, selector, text=""):
        """Click on what is so named and has this text in it."""
        self.until(lambda _: self.sees(selector, text).click() or True, f"{selector} can be clicked on")

    def write(self, selector, text):
        """Replace what is in a field by a text of any characters, as pasting does; return the field."""
        field = self.sees(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.BACKSPACE)
        self.command("Input.insertText", text=text)
        return field


class Profile:
    """A browser as one person has it on one device: storage of its own, and tabs."""

    def __init__(self, chromium, page):
        self.chromium = chromium
        self.page = page
        self.id = chromium.command("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]

    def tab(self, page=""):
        """Return a new tab, which shows its own page or another."""
        return Tab(self.chromium, self.id, page or self.page)

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

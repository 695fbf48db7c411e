"""An operator at the console (web/console/), in a real browser."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.common.keys import Keys

from cim.api_keys import Scope, line_of
from tests.harness.certificates import certified, put
from tests.harness.daemons import loopback
from tests.harness.processes import free_port
from tests.harness.spawning import private_file
from tests.integration.browser_case import PASSWORD, BrowserCase

OPS, OTHER = "ops-key-0123456789abcdef", "other-key-0123456789abcdef"
MARKUP = "<b onclick=alert(1)>bold</b>"


class ConsoleCase(BrowserCase):
    """A suite with a console.

    :cvar scheme: of the console's URL
    """

    scheme = "http"

    def endpoint(self, port):
        """Return where the console listens."""
        return loopback(port)

    async def setUp(self):
        port = free_port()
        self.console = f"{self.scheme}://127.0.0.1:{port}/"
        self.keys = self.mktemp()
        private_file(self.keys, "".join(line_of(key, key[:3], Scope) + "\n" for key in (OPS, OTHER)))
        keys = str(Path(self.keys).absolute())
        self.options = ("--console", self.endpoint(port), "--api-key-file", keys, "--accounts", "open")
        await super().setUp()


class ConsoleTests(ConsoleCase):
    # Wrong keys, and sessions that have ended, are on the browser's own console.
    network_fails = True

    def user(self, name):
        self.api("POST", "/v1/accounts", {"name": name, "password": PASSWORD})
        return self.api("POST", "/v1/sessions", {"name": name, "password": PASSWORD, "device": "phone"})

    def enter(self):
        tab = self.profile().tab(self.console)
        tab.write("key", OPS).send_keys(Keys.ENTER)
        tab.sees("health")
        return tab

    def test_a_key_for_a_cookie(self):
        tab = self.profile().tab(self.console)
        tab.write("key", "wrong-key-0123456789").send_keys(Keys.ENTER)
        tab.sees("problem", "wrong")
        tab.write("key", OPS).send_keys(Keys.ENTER)
        tab.sees('[data-testid="health"][data-ok="true"]', "All parts are well")
        tab.sees("[id=main]", "on disk (synchronous=FULL)")
        (cookie,) = tab.driver.get_cookies()
        self.assertEqual((cookie["httpOnly"], cookie["sameSite"]), (True, "Strict"))
        held = tab.run("return [document.cookie, JSON.stringify({...localStorage, ...sessionStorage}), location.href]")
        self.assertEqual(held, ["", "{}", self.console])
        self.assertNotIn(OPS, tab.driver.page_source)
        tab.press("language")
        tab.sees("health", "各部分运行正常")
        tab.press("language")
        tab.reload()
        tab.sees("health")
        private_file(self.keys, line_of(OTHER, "oth", Scope) + "\n")
        tab.sees("problem", "its key was removed", seconds=20)
        tab.sees("key")

    def test_what_operators_do(self):
        alice, bob = self.user("alice"), self.user("bob")
        group = self.api("POST", "/v1/groups", {"name": MARKUP}, alice["token"])["id"]
        said = {"to_user": alice["user_id"], "client_id": "a", "text": MARKUP}
        sent = self.api("POST", "/v1/messages", said, bob["token"])
        reported = {name: sent[name] for name in ("conversation", "position")}
        self.api("POST", "/v1/reports", {**reported, "reason": MARKUP}, alice["token"])
        tab = self.enter()
        tab.open(f"{self.console}#/reports")
        tab.press("report")
        tab.sees("copy", MARKUP)
        for action, done in (("delete-message", "is deleted"), ("mute", "is muted"), ("close-report", "is closed")):
            tab.press(action)
            tab.press("dialog-yes")
            tab.sees("notice", done)
        tab.misses("close-report")
        talk = f"/v1/conversations/{sent['conversation']}/messages"
        messages = self.api("GET", talk, token=alice["token"])["messages"]
        self.assertEqual([(one["text"], one["by_operator"]) for one in messages], [("", True)] * 2)
        tab.open(f"{self.console}#/users")
        tab.write("user-part", "bo").send_keys(Keys.ENTER)
        tab.until(lambda _: tab.texts("user") == ["bob"], "bob alone is found")
        tab.press("user")
        # Nothing is done at once, and Enter alone is a no.
        tab.press("kick")
        tab.sees("dialog", "bob")
        tab.driver.switch_to.active_element.send_keys(Keys.ENTER)
        tab.misses("dialog")
        self.assertEqual(len(self.api("GET", "/v1/sessions", token=bob["token"])["sessions"]), 1)
        tab.press("broadcast")
        tab.write("text", "stop it")
        tab.press("dialog-yes")
        tab.sees("notice", "It is said")
        talks = self.api("GET", "/v1/conversations", token=bob["token"])["conversations"]
        self.assertEqual(max(talks, key=lambda talk: talk["active"])["unread"], 1)
        for action, done in (("kick", "is logged out"), ("ban", "is banned"), ("delete", "is deleted")):
            tab.press(action)
            tab.press("dialog-yes")
            tab.sees("notice", done)
        tab.until(lambda driver: driver.current_url.endswith("#/users"), "the list of users")
        tab.open(f"{self.console}#/groups/{group}")
        tab.sees("h1[tabindex]", MARKUP)
        tab.press("broadcast")
        tab.write("text", f"{MARKUP} soon")
        tab.press("dialog-yes")
        tab.sees("notice", "It is said")
        heard = self.api("GET", f"/v1/conversations/g:{group}/messages", token=alice["token"])["messages"][-1]
        self.assertEqual((heard["sender_name"], heard["text"]), ("System", f"{MARKUP} soon"))
        tab.press("dissolve")
        tab.sees("dialog", MARKUP)
        tab.press("dialog-yes")
        tab.sees("notice", "is dissolved")
        self.assertEqual(self.api("GET", "/v1/groups", token=alice["token"])["groups"], [])
        log = "\n".join(self.suite.lines)
        for line in (
            "logout",
            "/ban",
            "/mute",
            "admin/reports",
            "admin/broadcasts",
            f"users/{bob['user_id']}",
            f"groups/{group}",
        ):
            self.assertRegex(log, rf'audit: key "ops" at the console from 127\.0\.0\.1: \w+ "[^"]*{line}')
        tab.press("log-out")
        tab.sees("key")
        self.assertEqual(tab.driver.get_cookies(), [])


class TLSTests(ConsoleCase):
    scheme = "https"

    def endpoint(self, port):
        path = Path(self.mktemp()).absolute()
        put(path, certified("127.0.0.1").pem)
        return f"tls:{path}:{port}:interface=127.0.0.1"

    def test_the_cookie_is_for_tls_alone(self):
        tab = self.profile().tab("about:blank")
        tab.command("Security.setIgnoreCertificateErrors", ignore=True)
        tab.open(self.console)
        tab.write("key", OPS).send_keys(Keys.ENTER)
        tab.sees("health")
        (cookie,) = tab.driver.get_cookies()
        self.assertEqual((cookie["name"], cookie["secure"], cookie["path"]), ("__Host-cim-console", True, "/"))

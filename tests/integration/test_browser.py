"""People who chat in a browser (web/chat/), in the usual way and in bad moments."""

from __future__ import annotations

import os

from twisted.internet.task import deferLater

from cim.api_keys import Scope, line_of
from tests.harness.chromium import LAN_NAME
from tests.harness.spawning import private_file
from tests.integration.browser_case import PASSWORD, BrowserCase, ChatTab

KEY = "moderators-key-0123456789"
EVENT = '[data-testid="event"]'


class ChatCase(BrowserCase):
    options = ("--accounts", "open")


class ReportTests(ChatCase):
    async def setUp(self):
        keys = os.path.abspath(self.mktemp())
        private_file(keys, line_of(KEY, "moderator", [Scope.MODERATE]) + "\n")
        self.options = (*self.options, "--api-key-file", keys)
        await super().setUp()

    def test_what_operators_do_about_a_report(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.find("bob")
        alice.say("buy this")
        bob.open_talk("alice")
        bob.act("buy this", "report")
        bob.write("report-reason", "spam")
        bob.press("report-send")
        bob.sees("report-said", "Operators will look at it.")
        bob.press("close-dialog")
        (report,) = self.api("GET", "/v1/admin/reports", token=KEY)["reports"]
        self.assertEqual((report["text"], report["reason"]), ("buy this", "spam"))
        user = f"/v1/admin/users/{report['sender']['id']}"
        said = f"/v1/admin/conversations/{report['conversation']}/messages/{report['position']}"
        self.api("DELETE", said, token=KEY)
        for one in (alice, bob):
            one.sees('[data-testid="message"][data-recalled]', "An operator deleted this message")
        self.api("PUT", f"{user}/mute", {"reason": "calm down"}, token=KEY)
        alice.say("buy that")
        alice.sees("refusal", "You are muted for good by an operator: calm down.")
        self.api("PUT", f"{user}/ban", {"seconds": 3600, "reason": "spam"}, token=KEY)
        alice.sees("state", "This account is banned until")
        alice.sees("state", "by an operator: spam.")


class TalkTests(ChatCase):
    def test_two_people(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.find("bob")
        alice.say("hello", "an error")
        bob.sees("talk-unread", "2")
        bob.open_talk("alice")
        bob.hears("hello", "an error")
        alice.is_marked("hello", "read")
        bob.misses("talk-unread")
        alice.act("an error", "edit")
        alice.say("as it is right")
        bob.hears("hello", "as it is right")
        bob.sees('[data-testid="message"][data-edited]', "as it is right")
        bob.act("hello", "react")
        bob.press('[data-testid="pick"][data-reaction="🎉"]')
        alice.sees('[data-testid="reaction"][data-reaction="🎉"][data-count="1"]')
        alice.act("as it is right", "recall")
        alice.press("confirm-yes")
        bob.sees('[data-testid="message"][data-recalled]')
        bob.hears("hello")
        bob.write("composer", "I am typ")
        alice.sees("typing", "bob")
        self.assertIn("online", alice.sees("presence").text.lower())
        bob.reload()
        bob.is_online()
        bob.until(lambda _: bob.sees("composer").get_attribute("value") == "I am typ", "the draft is there")

    def test_a_group(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.press("new-group")
        alice.write("group-name", "friends")
        alice.press("make-group")
        alice.sees("title", "friends")
        alice.press("members")
        alice.write("invite-name", "bob")
        alice.press("invite")
        alice.sees("problem", "bob")
        bob.sees("invitation", "friends")
        bob.press("accept")
        bob.sees("title", "friends")
        bob.say("here I am")
        alice.press("close-dialog")
        alice.hears("here I am")
        alice.sees("sender", "bob")
        alice.sees(EVENT, "bob")
        bob.press("members")
        self.assertEqual(len(bob.until(lambda _: bob.all("member"), "the members")), 2)
        bob.press("leave")
        bob.press("confirm-yes")
        alice.sees(EVENT, "left")
        alice.say("he is gone")
        alice.is_marked("he is gone", "stored")
        bob.misses("talk", "friends")

    def test_a_group_is_kept_in_order(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.press("new-group")
        alice.write("group-name", "friends")
        alice.press("group-open")
        alice.press("make-group")
        alice.sees("title", "friends")
        group = int(alice.run("return location.hash").rpartition(":")[2])
        bob.press("new-group")
        bob.write("group-id", str(group))
        bob.press("join-group")
        bob.say("here I am")
        alice.hears("here I am")
        alice.press("members")
        alice.choose('[data-role="member"] [data-testid="mute"]', "3600")
        bob.sees("muted", "You are muted in this group until")
        bob.sees(EVENT, "alice muted you until")
        bob.write("composer", "a draft")
        self.assertFalse(bob.sees("send").is_enabled())
        alice.choose('[data-role="member"] [data-testid="mute"]', "end")
        bob.misses("muted")
        bob.press("send")
        alice.hears("a draft")
        alice.press('[data-testid="moderation"] summary')
        alice.choose("mute-all", "0")
        bob.sees("muted", "Only admins can write here")
        alice.misses("muted")
        alice.press("set-open")
        alice.sees(EVENT, "You made the group one by invitation")
        bob.sees(EVENT, "alice made the group one by invitation")
        bob.until(lambda _: "2" in bob.sees("presence").text, "the members are counted")
        alice.press("ban")
        alice.press("confirm-yes")
        bob.misses("talk", "friends")
        bob.sees("problem", "alice banned you from friends")
        alice.sees("banned", "bob")
        alice.press("[data-testid='banned'] button")
        alice.sees("bans", "Nobody is banned")
        alice.press("dissolve")
        alice.press("confirm-yes")
        alice.misses("talk", "friends")

    def test_two_tabs_and_two_devices(self):
        profile = self.profile()
        one, bob = self.chat("alice", profile), self.chat("bob")
        other = profile.tab(kind=ChatTab)
        phone = self.profile().tab(kind=ChatTab)
        phone.log_in("alice")
        for tab in (other, one):
            tab.is_online()
        bob.find("alice")
        bob.say("one", "two")
        for tab in (one, other, phone):
            tab.sees("talk-unread", "2")
        other.open_talk("bob")
        other.hears("one", "two")
        other.misses("talk-unread")
        for tab in (one, phone):
            tab.misses("talk-unread")
            tab.open_talk("bob")
        other.say("from the second tab")
        for tab in (one, other, phone, bob):
            tab.hears("one", "two", "from the second tab")
        # One of the tabs had the connection.
        one.close()
        bob.say("three")
        other.hears("one", "two", "from the second tab", "three")
        other.say("four")
        phone.hears("three", "four")
        self.assertEqual(phone.said(), ["one", "two", "from the second tab", "three", "four"])


class BadMomentCase(ChatCase):
    """Somebody whom bad moments meet while they talk."""

    network_fails = True

    def begin(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.find("bob")
        alice.say("first")
        bob.open_talk("alice")
        bob.hears("first")
        return alice, bob


class BadMomentTests(BadMomentCase):
    #: How long somebody is offline, seconds.
    away = 0.0

    def test_the_suite_is_killed_and_the_page_reloaded(self):
        alice, bob = self.begin()
        self.wait(self.suite.kill)
        alice.say("one", "two", "three")
        alice.is_marked("three", "waiting")
        alice.sees("state")
        alice.reload()
        self.wait(self.suite.start)
        alice.reload()
        alice.is_online()
        alice.hears("first", "one", "two", "three")
        bob.is_online(30)
        bob.hears("first", "one", "two", "three", seconds=30)
        alice.is_marked("three", "read")
        self.assertEqual(alice.said(), ["first", "one", "two", "three"])

    def test_offline_for_a_while(self):
        alice, bob = self.begin()
        alice.offline()
        alice.until(lambda _: alice.all('[data-state="waiting"]'), "it notices")
        alice.say("into the void")
        alice.is_marked("into the void", "waiting")
        bob.say("meanwhile")
        bob.is_marked("meanwhile", "stored")
        self.wait(deferLater, self.reactor, self.away)
        alice.offline(False)
        alice.is_online()
        bob.hears("first", "meanwhile", "into the void")
        alice.hears("first", "meanwhile", "into the void")
        alice.misses("state")

    def test_a_login_that_expired(self):
        alice, bob = self.begin()
        alice.write("composer", "half a thou")
        login = {"name": "alice", "password": PASSWORD, "device": "phone"}
        token = self.api("POST", "/v1/sessions", login)["token"]
        self.api("PUT", "/v1/password", {"password": PASSWORD, "new_password": PASSWORD + "!"}, token)
        alice.until(lambda _: alice.all('[data-state="ended"]'), "the session ends")
        if not alice.all("expired"):
            alice.press("retry")
        alice.write('[data-testid="expired"] [data-testid="password"]', PASSWORD + "!")
        alice.press('[data-testid="expired"] [data-testid="log-in"]')
        alice.is_online()
        self.assertEqual(alice.sees("composer").get_attribute("value"), "half a thou")
        alice.press("send")
        bob.hears("first", "half a thou")


class LimitTests(ChatCase):
    def test_48_kib(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        alice.find("bob")
        most = "中" * (16 * 1024)
        alice.write("composer", most + "x")
        alice.sees("too-large")
        self.assertFalse(alice.sees("send").is_enabled())
        alice.write("composer", most)
        alice.misses("too-large")
        alice.press("send")
        alice.until(lambda _: alice.all('[data-mark="stored"]'), "it is stored")
        bob.open_talk("alice")
        bob.sees("text")
        if bob.all("show-all"):
            bob.press("show-all")
        bob.hears(most)

    def test_a_page_without_a_secure_context(self):
        """As on a LAN without TLS: all works but notifications, and the page says so."""
        self.page = self.page.replace("127.0.0.1", LAN_NAME)
        profile = self.profile()
        alice, bob = self.chat("alice", profile), self.chat("bob")
        self.assertFalse(alice.run("return isSecureContext"))
        alice.sees("insecure")
        other = profile.tab(kind=ChatTab)
        other.is_online()
        other.find("bob")
        other.say("over the LAN")
        bob.open_talk("alice")
        bob.hears("over the LAN")
        alice.open_talk("bob")
        alice.hears("over the LAN")
        alice.is_marked("over the LAN", "read")
        alice.press("settings")
        alice.press("log-out")
        alice.sees("login")
        other.sees("login")


class HostileTests(ChatCase):
    MARKUP = '<img src=x onerror="document.title=\'hit\'"><script>document.title="hit"</script><b>bold</b>'

    def test_names_and_texts_are_only_shown(self):
        alice, bob = self.chat("alice"), self.chat("bob")
        bob.press("new-group")
        bob.write("group-name", "<u>x</u> & 'y'")
        bob.press("make-group")
        bob.misses("problem")
        bob.sees("title", "<u>x</u>")
        bob.find("alice")
        texts = (
            self.MARKUP,
            "abc\u202egpj.exe",
            "al\u200bice\u2066",
            "javascript:alert(1) data:text/html,x https://example.org/?a=<b>&c",
            "`<i>code</i>`\nline two",
        )
        bob.say(*texts)
        alice.open_talk("bob")
        said = alice.until(lambda _: len(alice.said()) == len(texts) and alice.said(), "all of them")
        self.assertEqual(said[0], self.MARKUP)
        self.assertIn("<U+202E>", said[1])
        self.assertIn("<U+2066>", said[2])
        self.assertEqual(
            alice.run("return document.querySelectorAll('article img, article script, article b').length"), 0
        )
        links = alice.run("return [...document.querySelectorAll('article a')].map((a) => [a.href, a.rel, a.target])")
        self.assertEqual([link[0].split(":")[0] for link in links], ["https"])
        self.assertIn("noopener", links[0][1])
        self.assertNotIn("hit", alice.driver.title)
        self.assertIn("line two", said[4])

    def test_a_reset_link_of_a_stranger_logs_nobody_out(self):
        alice = self.chat("alice")
        for open_link in (
            lambda: alice.run("location.hash = '#code=1-code'"),
            lambda: (alice.open("about:blank"), alice.open(f"{self.page}#reset=1-code")),
        ):
            open_link()
            alice.sees("reset")
            self.assertNotIn("code", alice.driver.current_url)
            alice.press("cancel-reset")
            alice.is_online()
            self.assertEqual(alice.sees("me").text, "alice")
        for place in ("#/p:1:2", "#/g:00", "#/p:__proto__", "#/g:0/../..", "#reset=%ff"):
            alice.run("location.hash = arguments[0]", place)
            alice.misses("title")
        alice.press("cancel-reset")
        alice.is_online()

"""Tests of the page's service worker, in a real Chromium. What the push service would bring, the test puts in."""

from __future__ import annotations

import json

from tests.integration.browser_case import BrowserCase

#: What is shown.
SHOWN = """navigator.serviceWorker.getRegistration('/').then(async (one) => (await one.getNotifications())
  .map(({ title, body, tag }) => [title, body, tag]).sort())"""
RUNS = "return navigator.serviceWorker.ready.then((one) => one.active?.state === 'activated')"


class PushPageTests(BrowserCase):
    options = ("--accounts", "open")

    def _is_wrong(self, entry):
        # What a subscription is refused with in the profiles of tests; where there is a network, they have one.
        return super()._is_wrong(entry) and "incognito" not in entry["message"]

    def allowed(self, profile):
        """Let the page of a profile show notifications."""
        self.chromium.command(
            "Browser.grantPermissions",
            origin=self.page.rstrip("/"),
            browserContextId=profile.id,
            permissions=["notifications"],
        )

    def registration(self, tab):
        """Return the id of the service worker's registration at a tab, and a session of the protocol there."""
        attached = self.chromium.command("Target.attachToTarget", targetId=tab.target, flatten=True)["sessionId"]
        _, heard = self.chromium.events("ServiceWorker.enable", "ServiceWorker.workerRegistrationUpdated", attached)
        (found,) = (
            one["registrationId"]
            for said in heard
            if said["method"] == "ServiceWorker.workerRegistrationUpdated"
            for one in said["params"]["registrations"]
            if not one["isDeleted"]
        )
        return found, attached

    def deliver(self, where, **notice):
        """Have the browser get a notice, as from its push service."""
        found, session = where
        self.chromium.command(
            "ServiceWorker.deliverPushMessage",
            session,
            origin=self.page.rstrip("/"),
            registrationId=found,
            data=json.dumps(notice),
        )

    def shown(self, where):
        """Return the notifications that are shown, without bringing the page to the front."""
        command = {"expression": SHOWN, "awaitPromise": True, "returnByValue": True}
        return self.chromium.command("Runtime.evaluate", where[1], **command)["result"]["value"]

    def begin(self):
        """Return the service worker of a page whose user asked to be notified, and a tab beside the page."""
        profile = self.profile()
        self.allowed(profile)
        alice = self.chat("alice", profile)
        alice.press("settings")
        alice.press("notifications")
        alice.until(lambda _: alice.run(RUNS), "the service worker runs")
        return self.registration(alice), alice, profile

    def hide(self, alice, profile):
        """Bring another tab before the page; return it."""
        other = profile.tab("about:blank")
        other.show()
        other.until(lambda _: alice.peek("document.visibilityState") == "hidden", "the chat is hidden")
        return other

    def test_what_is_pushed_is_shown_unless_a_page_is_in_sight(self):
        where, alice, profile = self.begin()
        talk = "p:1700000000000:1700000000001"
        self.deliver(where, conversation=talk, sender_name="bob", text="in sight", badge=1)
        other = self.hide(alice, profile)

        def both(_):
            # Until the browser, which learns of it later than the page, knows that the page is hidden.
            self.deliver(where, conversation=talk, sender_name="bo\u202eb", text="hello", badge=2)
            self.deliver(where, conversation="g:7", sender_name="carol", group_name="friends", badge=3)
            return len(self.shown(where)) == 2

        other.until(both, "two notifications are shown")
        expected = [["bo b", "hello", talk], ["carol in friends", "New message", "g:7"]]
        self.assertEqual(self.shown(where), expected)
        # A newer one takes the place of that of the same talk; one that was read elsewhere goes.
        self.deliver(where, conversation=talk, sender_name="bob", text="again", badge=4)
        other.until(lambda _: ["bob", "again", talk] in self.shown(where), "the newest is shown")
        self.assertEqual(len(self.shown(where)), 2)
        self.deliver(where, conversation=talk, read=True, badge=0)
        other.until(lambda _: [one[2] for one in self.shown(where)] == ["g:7"], "what was read is closed")

    def test_what_is_no_notice_is_nothing(self):
        where, alice, profile = self.begin()
        other = self.hide(alice, profile)
        found, session = where
        for data in ("", "nothing", "[1", "7", '"x"', "null"):
            command = {"origin": self.page.rstrip("/"), "registrationId": found, "data": data}
            self.chromium.command("ServiceWorker.deliverPushMessage", session, **command)

        def one(_):
            self.deliver(where, conversation="g:7", sender_name={"a": 1}, badge="x")
            return self.shown(where)

        other.until(one, "it goes on")
        self.assertEqual([one[1:] for one in self.shown(where)], [["New message", "g:7"]])

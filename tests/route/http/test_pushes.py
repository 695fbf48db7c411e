"""Tests of `/v1/pushes`: who registers what, and what ends it."""

from __future__ import annotations

from cim.store.rules.pushes import MOST
from tests.harness.push_service import Browser
from tests.route.http.api_case import KEY, PASSWORD
from tests.route.push.push_case import PushCase


class RegisteringTests(PushCase):
    def listed(self, who=None):
        return self.ok("GET", "/v1/pushes", **self.by(who or self.bob))["pushes"]

    def devices(self, who=None):
        return [one["device"] for one in self.listed(who)]

    def test_registering_listing_and_unregistering(self):
        self.assertEqual(self.listed(), [])
        browser = Browser()
        made = self.ok("PUT", "/v1/pushes", browser.body(device="web-1"), **self.by(self.bob))
        self.assertEqual((made["kind"], made["device"]), ("webpush", "web-1"))
        self.assertNotIn(browser.endpoint, str(made))
        self.assertEqual(self.listed(), [made])
        self.assertEqual(self.listed(self.alice), [])
        path = f"/v1/pushes/{made['id']}"
        self.problem("DELETE", path, **self.by(self.alice), status=404, code="not-found")
        self.ok("DELETE", path, **self.by(self.bob), status=204)
        self.problem("DELETE", path, **self.by(self.bob), status=404, code="not-found")
        self.assertEqual(self.listed(), [])

    def test_doing_it_again_renews_it(self):
        browser = Browser()
        made = self.ok("PUT", "/v1/pushes", browser.body(device="web-1"), **self.by(self.bob))
        self.clock.advance(3600)
        again = self.ok("PUT", "/v1/pushes", browser.body(device="web-1"), **self.by(self.bob))
        self.assertEqual(again["at"] - made["at"], 3_600_000)
        self.assertEqual(self.listed(), [again])

    def test_another_user_takes_the_same_address_over(self):
        browser = self.subscribe(self.bob)
        self.ok("PUT", "/v1/pushes", browser.body(device="web-1"), **self.by(self.alice))
        self.assertEqual((self.devices(), self.devices(self.alice)), ([], ["web-1"]))
        self.say()
        self.wait(10)
        self.assertEqual(self.service.notices(), [])

    def test_a_thousand_devices(self):
        for number in range(MOST + 5):
            self.subscribe(self.bob, number, f"web-{number}")
            self.clock.advance(1)
        self.assertEqual(self.devices(), [f"web-{number}" for number in range(5, MOST + 5)])

    def made(self, **fields):
        return self.ok("POST", f"/v1/users/{self.bob.id}/tokens", fields, key=KEY, status=201)

    def test_one_that_a_bounded_token_made_ends_with_it(self):
        made = self.made(seconds=60, device="web-1")
        body = Browser().body(device="web-1")
        self.problem("PUT", "/v1/pushes", {**body, "device": "pc"}, token=made["token"], status=403, code="forbidden")
        del body["device"]
        self.assertEqual(self.ok("PUT", "/v1/pushes", body, token=made["token"])["device"], "web-1")
        self.clock.advance(30)
        self.assertEqual(self.devices(), ["web-1"])
        self.clock.advance(31)
        self.assertEqual(self.devices(), [])

    def test_one_that_a_token_made_ends_when_that_is_revoked(self):
        made = self.made()
        later = self.ok("POST", "/v1/sessions", {"device": "web-1"}, token=made["token"], status=201)
        for number, token in enumerate((made["token"], later["token"], self.tokens[self.bob.id])):
            self.ok("PUT", "/v1/pushes", Browser(number).body(device=f"pc-{number}"), token=token)
        self.ok("DELETE", f"/v1/users/{self.bob.id}/tokens/{made['id']}", key=KEY, status=204)
        self.assertEqual(self.devices(), ["pc-2"])

    def test_whoever_may_not_read_is_not_notified(self):
        made = self.made(scopes=["account", "send", "groups"])
        body = Browser().body(device="web-1")
        self.problem("PUT", "/v1/pushes", body, token=made["token"], status=403, code="forbidden")
        self.assertEqual(self.devices(), [])

    def test_one_that_is_made_while_its_user_is_banned_does_not_stay(self):
        register = self.store.pushes.register

        def banned(registration):
            self.ok("PUT", f"/v1/admin/users/{self.bob.id}/ban", {}, key=KEY)
            return register(registration)

        self.patch(self.store.pushes, "register", banned)
        self.problem(
            "PUT", "/v1/pushes", Browser().body(device="web-1"), **self.by(self.bob), status=401, code="unauthorized"
        )
        self.assertEqual(self.successResultOf(self.store.pushes.registrations((self.bob.id,))), {})

    def test_a_logout_of_the_device_ends_it(self):
        self.subscribe(self.bob, 1, "phone")
        self.subscribe(self.bob, 2, "web-2")
        self.online("bob", device="phone")
        self.ok("DELETE", "/v1/sessions/phone", **self.by(self.bob), status=204)
        self.assertEqual(self.devices(), ["web-2"])

    def test_so_do_voiding_all_tokens_a_ban_and_a_reset(self):
        def again():
            self.tokens[self.bob.id] = self.log_in("bob", device="api")["token"]

        self.subscribe(self.bob)
        self.ok("DELETE", "/v1/token", **self.by(self.bob), status=204)
        again()
        self.assertEqual(self.devices(), [])
        self.subscribe(self.bob)
        new = {"password": "battery staple"}
        self.ok("PUT", f"/v1/admin/users/{self.bob.id}/password", new, key=KEY, status=204)
        self.assertEqual(self.successResultOf(self.store.pushes.registrations((self.bob.id,))), {})

    def test_a_new_password_ends_those_of_other_devices(self):
        client = self.log_in("bob", device="phone")
        self.tokens[self.bob.id] = client["token"]
        self.connect_to(client)
        self.subscribe(self.bob, 1, "phone")
        self.subscribe(self.bob, 2, "lost")
        change = {"password": PASSWORD, "new_password": "battery staple"}
        self.tokens[self.bob.id] = self.ok("PUT", "/v1/password", change, **self.by(self.bob))["token"]
        self.assertEqual(self.devices(), ["phone"])

    def test_refusals(self):
        def refused(field, status=400, **change):
            body = {**Browser().body(device="web-1"), **change}
            body = {name: value for name, value in body.items() if value is not None}
            problem = self.problem("PUT", "/v1/pushes", body, **self.by(self.bob), status=status, code="invalid")
            self.assertEqual(problem.get("field"), field, problem)
            return problem["detail"]

        self.assertIn("are configured here: webpush", refused("kind", kind="fcm"))
        refused("device", device=None)
        refused("device", device="guest")
        keys = Browser().keys
        for wrong in ({}, {**keys, "auth": "AA"}, {**keys, "p256dh": keys["auth"]}, {**keys, "p256dh": "!"}):
            refused("keys", keys=wrong)
        # A point that is not on the curve.
        refused("keys", keys={**keys, "p256dh": "BA" + "A" * 85})
        refused("other", keys={**keys, "other": "x"})
        self.problem("PUT", "/v1/pushes", Browser().body(device="x"), status=401, code="unauthorized")
        self.problem("PUT", "/v1/pushes", Browser().body(device="x"), key=KEY, status=403, code="forbidden")

    def test_addresses_that_lead_elsewhere(self):
        for address in (
            "http://updates.push.services.mozilla.com/1",
            "https://updates.push.services.mozilla.com.evil.example/1",
            "https://evilpush.apple.com/1",
            "https://push.apple.com/1",
            "https://user@updates.push.services.mozilla.com/1",
            "https://updates.push.services.mozilla.com\\@evil.example/1",
            "https://127.0.0.1/1",
            "https://[::1]/1",
            "https://localhost/1",
            "https://2130706433/1",
            "ftp://updates.push.services.mozilla.com/1",
            "https://updates.push.services.mozilla.com/" + "x" * 2048,
            "https://updates.push.services.mozilla.com/\r\nHost: evil",
            "nothing",
        ):
            body = {**Browser().body(device="web-1"), "address": address}
            problem = self.problem("PUT", "/v1/pushes", body, **self.by(self.bob), status=400, code="invalid")
            self.assertEqual(problem["field"], "address", address)
        body = {**Browser().body(device="web-1"), "address": "https://web.push.apple.com/1"}
        self.ok("PUT", "/v1/pushes", body, **self.by(self.bob))

    def test_the_system_says_what_to_subscribe_with(self):
        self.assertRegex(self.push.told()["webpush"], r"\AB[A-Za-z0-9_-]{86}\Z")


class UnconfiguredTests(PushCase):
    def test_where_nothing_is_configured(self):
        self.push = None
        from tests.route.http.api_case import APICase

        APICase.setUp(self)
        bob = self.user("bob")
        problem = self.problem(
            "PUT", "/v1/pushes", Browser().body(device="x"), **self.by(bob), status=400, code="invalid"
        )
        self.assertIn("are configured here: none", problem["detail"])
        self.assertEqual(self.ok("GET", "/v1/pushes", **self.by(bob)), {"pushes": []})

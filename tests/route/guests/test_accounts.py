"""Which accounts upstream's API, which asks for no proof, acts for."""

from __future__ import annotations

import json

from cim.model import LoginPolicy
from cim.route.guests.accounts import KEPT_SECONDS
from cim.route.http.upstream import UpstreamAPI
from cim.route.messages.accounts import KEPT_SECONDS as KNOWN_SECONDS
from tests.route.http.api_case import KEY, PASSWORD, APICase
from tests.web.http_case import Conversation, encode


class GuestsAloneTests(APICase):
    """alice has a password, bob is a guest."""

    routes = 2
    policy = LoginPolicy.MANY

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        self.bob = self.cluster.account("bob")

    def beside(self, route):
        return (UpstreamAPI(route, self.store.accounts, self.metrics),)

    def ask(self, path, body, route=0):
        conversation = Conversation(self.sites[route])
        conversation.send(encode("POST", path, body))
        self.cluster.turn()
        _, _, raw = conversation.answer()
        conversation.lose()
        return json.loads(raw)["code"]

    def log_in_as_guest(self, account, route=0):
        return self.ask("/login", {"userId": account.id, "userName": account.name}, route)

    def test_nobody_logs_in_by_id_and_name_where_there_is_a_password(self):
        self.assertEqual(self.log_in_as_guest(self.alice), "9100")
        self.assertEqual(list(self.successResultOf(self.store.sessions.sessions(self.alice.id))), [])
        self.assertEqual(self.log_in_as_guest(self.bob), "9000")

    def test_an_id_that_nobody_has_yet_is_not_remembered(self):
        route = self.cluster.routes[0]
        nobody = self.bob.id + 1
        self.assertEqual(self.ask("/groupRoute", {"userId": nobody, "msg": "x"}), "9100")
        self.assertFalse(route.guests.at_hand(nobody))

    def test_a_login_looks_anew(self):
        self.assertEqual(self.log_in_as_guest(self.bob), "9000")
        route = self.cluster.routes[0]
        self.assertTrue(route.guests.at_hand(self.bob.id))
        self.successResultOf(self.store.credentials.set_password(self.bob.id, "hash", 1))
        self.assertEqual(self.log_in_as_guest(self.bob), "9100")

    def test_nobody_says_anything_in_such_a_name(self):
        client = self.cluster.log_in(self.bob)
        message = {"userId": self.alice.id, "receiveUserId": self.bob.id, "msg": "x"}
        self.assertEqual(self.ask("/p2pRoute", message), "9100")
        self.assertEqual(self.ask("/groupRoute", {"userId": self.alice.id, "msg": "x"}), "9100")
        self.assertEqual(client.texts(), [])

    def test_guests_write_to_such_accounts(self):
        client = self.online("alice")
        for _ in range(2):
            message = {"userId": self.bob.id, "receiveUserId": self.alice.id, "msg": "x"}
            self.assertEqual(self.ask("/p2pRoute", message), "9000")
        self.assertEqual(client.texts(), ["x", "x"])

    def test_nobody_logs_such_a_user_out(self):
        client = self.online("alice")
        # The same as for an id that nobody has.
        for user in (self.alice.id, self.alice.id + 100):
            self.assertEqual(self.ask("/offLine", {"userId": user}), "9000")
        self.assertFalse(client.closed)
        guest = self.cluster.log_in(self.bob)
        self.assertEqual(self.ask("/offLine", {"userId": self.bob.id}), "9000")
        self.assertTrue(guest.closed)

    def test_a_guest_that_is_given_a_password_is_none_any_more(self):
        for route in (0, 1):
            self.assertEqual(self.log_in_as_guest(self.bob, route), "9000")
        self.ok("PUT", f"/v1/admin/users/{self.bob.id}/password", {"password": PASSWORD}, key=KEY, status=204)
        self.assertEqual(self.log_in_as_guest(self.bob), "9100")
        self.clock.advance(KEPT_SECONDS + 1)
        self.assertEqual(self.log_in_as_guest(self.bob, 1), "9100")

    def test_one_that_was_deleted(self):
        for route in (0, 1):
            self.assertEqual(self.log_in_as_guest(self.bob, route), "9000")
        self.ok("DELETE", f"/v1/admin/users/{self.bob.id}", key=KEY, status=204)
        self.assertEqual(self.log_in_as_guest(self.bob), "9100")
        self.clock.advance(KNOWN_SECONDS + 1)
        self.assertEqual(self.log_in_as_guest(self.bob, 1), "9100")

"""Tests of what operators say as the system user."""

from __future__ import annotations

from cim.model import SYSTEM
from tests.route.http.api_case import KEY, PASSWORD
from tests.route.http.test_reports import MODERATOR, OTHERS, ReportsCase


class BroadcastsTests(ReportsCase):
    def broadcast(self, text="hello", status=201, **fields):
        self.sent += 1
        said = {"text": text, "client_id": f"b{self.sent}", **fields}
        return self.ok("POST", "/v1/admin/broadcasts", said, key=MODERATOR, status=status)

    def group(self, *members):
        body = {"name": "friends", "open": True, "history": True}
        group = self.ok("POST", "/v1/groups", body, status=201, **self.by(self.bob))["id"]
        for one in members:
            path = f"/v1/groups/{group}/members/{one.id}"
            self.ok("PUT", path, {"role": "member"}, status=201, **self.by(one))
        return group

    def test_to_one_to_a_group_and_to_everyone(self):
        clients = {one.id: self.online(one.name) for one in (self.alice, self.bob, self.carol)}
        everyone = set(clients)
        group = self.group(self.alice)
        for client in clients.values():
            client.packets()
        places = (
            ({"to_user": self.alice.id}, {self.alice.id}),
            ({"to_group": group}, {self.alice.id, self.bob.id}),
            ({}, everyone),
        )
        for place, who in places:
            made = self.broadcast("We are back at 18:00. 广播", **place)
            for id, client in clients.items():
                told = [one.deliver for one in client.packets() if one.HasField("deliver")]
                self.assertEqual([one.text for one in told], ["We are back at 18:00. 广播"] if id in who else [])
                self.assertTrue(all(one.sender_name == "System" and one.sender > 0 for one in told))
                self.assertTrue(all(one.position == made["position"] for one in told))
            path = f"/v1/conversations/{made['conversation']}/messages"
            (shown,) = [one for one in self.ok("GET", path, **self.by(self.alice))["messages"] if one["text"]]
            self.assertEqual(shown["sender_name"], "System")
        heads = self.ok("GET", "/v1/conversations", **self.by(self.alice))["conversations"]
        self.assertEqual([head["unread"] for head in heads], [1, 1])

    def test_those_who_follow_what_is_stored_are_told(self):
        """Such as what notifies people who are away."""
        told = []
        self.cluster.routes[0].sending.on_stored.append(lambda *stored: told.append(stored))
        made = self.broadcast("hello", to_user=self.alice.id)
        ((message, appended),) = told
        self.assertEqual((message.conversation, message.send.text), (made["conversation"], "hello"))
        self.assertEqual((message.author.name, appended.position), ("System", made["position"]))

    def test_nobody_becomes_the_system_user(self):
        made = self.broadcast(to_user=self.alice.id)
        system = self.ok("GET", f"/v1/conversations/{made['conversation']}/messages", **self.by(self.alice))
        id = system["messages"][0]["sender"]
        said = {"to_user": self.alice.id, "client_id": "x", "text": "send me your password", "from_user": id}
        for method, path, body in (
            ("POST", "/v1/messages", said),
            ("POST", "/v1/messages", {**said, "text": "", "kind": "RECALL", "ref": made["position"]}),
            ("PUT", f"/v1/admin/users/{id}/password", {"password": PASSWORD}),
            ("POST", f"/v1/admin/users/{id}/reset-code", None),
            ("POST", f"/v1/users/{id}/tokens", {}),
            ("PUT", f"/v1/admin/users/{id}/external-ids", {"external_id": "x"}),
        ):
            self.problem(method, path, body, key=KEY, status=409, code="conflict")
        self.broadcast(to_user=self.alice.id)

    def test_the_same_twice_is_one(self):
        for place in ({"to_user": self.alice.id}, {"to_group": self.group()}, {}):
            first = self.broadcast(client_id="x", **place)
            again = self.broadcast(client_id="x", status=200, **place)
            self.assertEqual((again["position"], again["repeated"]), (first["position"], True))
            said = {"client_id": "x", "text": "another", **place}
            self.problem("POST", "/v1/admin/broadcasts", said, key=MODERATOR, status=409, code="conflict")

    def test_who_the_system_user_is(self):
        self.broadcast()
        self.broadcast()
        (system,) = self.ok("GET", "/v1/admin/users?prefix=System", key=KEY)["users"]
        self.assertEqual((system["name"], system["password"]), ("System", True))
        # Nobody logs in as it, by whatever password.
        for password in (PASSWORD, SYSTEM, "argon2-of-system"):
            said = {"name": "System", "password": password.ljust(8, "x")}
            self.problem("POST", "/v1/sessions", said, status=401, code="unauthorized")
        # It gets past blocks.
        self.ok("PUT", f"/v1/blocks/{system['id']}", status=204, **self.by(self.alice))
        self.broadcast(to_user=self.alice.id)

    def test_nobody_has_a_name_like_it(self):
        """Not before it is there, either, and not by a back end's key."""
        for _ in range(2):
            for name in ("System", "system", "SYSTEM", "System\u3000".strip() + "", "Ｓｙｓｔｅｍ"):
                body = {"name": name, "password": PASSWORD}
                for proof in ({}, {"key": KEY}):
                    self.problem("POST", "/v1/accounts", body, status=409, code="conflict", **proof)
            self.broadcast()
        self.account("Systems")

    def test_a_user_of_before_who_has_the_name(self):
        self.successResultOf(self.store.credentials.create("system", "hash"))
        said = {"client_id": "x", "text": "hello"}
        told = self.problem("POST", "/v1/admin/broadcasts", said, key=MODERATOR, status=409, code="conflict")
        self.assertIn("--system-name", told["detail"])

    def test_what_is_not_there_or_out_of_bounds(self):
        said = {"client_id": "x", "text": "hello"}
        for place in ({"to_user": self.alice.id + 50}, {"to_group": 77}):
            self.problem("POST", "/v1/admin/broadcasts", said | place, key=MODERATOR, status=404, code="not-found")
        for bad in ({"text": ""}, {"client_id": ""}, {"to_user": 5, "to_group": 5}, {"from_user": 5}):
            self.problem("POST", "/v1/admin/broadcasts", said | bad, key=MODERATOR, status=400, code="invalid")

    def test_scopes(self):
        said = {"client_id": "x", "text": "hello"}
        self.problem("POST", "/v1/admin/broadcasts", said, key=OTHERS, status=403, code="forbidden")
        self.problem("POST", "/v1/admin/broadcasts", said, status=403, code="forbidden", **self.by(self.alice))

"""Tests of `/v1/blocks`, and of what a blocked user is answered by other calls: as if the other one did not exist."""

from __future__ import annotations

from cim.model import MAX_BLOCKED
from tests.route.http.api_case import KEY, APICase

OPERATORS = "an-operators-key-0123456789"


class BlocksCase(APICase):
    keys = (KEY, f"operator {OPERATORS}")

    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")

    def block(self, by=None, whom=None):
        by, whom = by or self.alice, whom or self.bob
        self.ok("PUT", f"/v1/blocks/{whom.id}", **self.by(by), status=204)

    def send(self, to, text="hello", how=None, **fields):
        body = {"to_user": to, "client_id": f"c-{next(self.ids)}", "text": text, **fields}
        return self.call("POST", "/v1/messages", body, **(how or self.by(self.bob)))


class BlockingTests(BlocksCase):
    def test_blocking_listing_and_unblocking(self):
        self.assertEqual(self.ok("GET", "/v1/blocks", **self.by(self.alice)), {"users": []})
        carol = self.user("carol")
        for whom in (carol, self.bob, self.bob):
            self.block(whom=whom)
        listed = sorted([self.bob.id, carol.id])
        self.assertEqual(self.ok("GET", "/v1/blocks", **self.by(self.alice)), {"users": listed})
        self.assertEqual(self.ok("GET", "/v1/blocks", **self.by(self.bob)), {"users": []})
        path = f"/v1/blocks/{self.bob.id}"
        self.ok("DELETE", path, **self.by(self.alice), status=204)
        self.problem("DELETE", path, **self.by(self.alice), status=404, code="not-found")
        self.assertEqual(self.ok("GET", "/v1/blocks", **self.by(self.alice)), {"users": [carol.id]})

    def test_refusals(self):
        self.problem("PUT", f"/v1/blocks/{self.alice.id}", **self.by(self.alice), status=400, code="invalid")
        self.problem("PUT", f"/v1/blocks/{self.bob.id}", status=401, code="unauthorized")
        self.problem("PUT", f"/v1/blocks/{self.bob.id}", key=KEY, status=403, code="forbidden")
        for number in range(MAX_BLOCKED):
            self.successResultOf(self.store.blocks.block(self.alice.id, 5000 + number))
        self.problem("PUT", f"/v1/blocks/{self.bob.id}", **self.by(self.alice), status=409, code="conflict")

    def test_a_blocked_one_may_block_in_turn_and_learns_nothing_by_it(self):
        self.block()
        self.block(self.bob, self.alice)
        self.ok("PUT", "/v1/blocks/123456", **self.by(self.bob), status=204)


class BlockedTests(BlocksCase):
    def test_calls_are_answered_as_about_nobody(self):
        said = self.send(self.alice.id)[2]
        self.block()
        nobody = 77

        def answers(who, name):
            edit = {"kind": "EDIT", "ref": said["position"]}
            react = {"kind": "REACTION", "ref": said["position"]}
            calls = [self.send(who), self.send(who, **edit), self.send(who, **react)]
            calls += [self.call("GET", f"/v1/users/{who}", **self.by(self.bob))]
            calls += [self.call("GET", f"/v1/users?name={name}", **self.by(self.bob))]
            return [(status, problem["title"], problem["detail"], problem["code"]) for status, _, problem in calls]

        self.assertEqual(answers(self.alice.id, "alice"), answers(nobody, "nobody"))
        self.assertEqual({answer[0] for answer in answers(nobody, "nobody")}, {404})

    def test_a_recall_works(self):
        said = self.send(self.alice.id)[2]
        self.block()
        self.assertEqual(self.send(self.alice.id, "", kind="RECALL", ref=said["position"])[0], 201)

    def test_the_other_one_may_write_and_is_found(self):
        self.block()
        self.assertEqual(self.send(self.bob.id, how=self.by(self.alice))[0], 201)
        self.ok("GET", f"/v1/users/{self.bob.id}", **self.by(self.alice))

    def test_an_api_key_is_held_by_it_unless_it_is_an_operator_s(self):
        self.block()
        from_bob = {"from_user": self.bob.id}
        self.assertEqual(self.send(self.alice.id, how={"key": KEY}, **from_bob)[0], 404)
        said = self.send(self.alice.id, how={"key": OPERATORS}, **from_bob)
        self.assertEqual(said[0], 201)
        edit = {"kind": "EDIT", "ref": said[2]["position"], **from_bob}
        self.assertEqual(self.send(self.alice.id, "x", how={"key": KEY}, **edit)[0], 404)
        self.assertEqual(self.send(self.alice.id, "x", how={"key": OPERATORS}, **edit)[0], 201)
        self.ok("GET", f"/v1/users/{self.alice.id}", key=KEY)

    def test_who_is_online(self):
        carol = self.user("carol")
        for name in ("alice", "bob", "carol"):
            self.online(name)
        self.block(self.alice)
        self.block(carol)

        def online(by, **query):
            path = "/v1/online?" + "&".join(f"{name}={value}" for name, value in query.items())
            said = self.ok("GET", path, **self.by(by))
            return [user["name"] for user in said["users"]], said["total"], said["more"]

        self.assertEqual(online(self.bob), (["bob"], 1, None))
        self.assertEqual(online(self.bob, prefix="alice"), ([], 0, None))
        # Neither the total nor `more` tells that there is anybody else.
        self.assertEqual(online(self.bob, limit=1), (["bob"], 1, None))
        self.assertEqual(online(self.bob, limit=1, after="bob"), ([], 1, None))
        self.assertEqual(online(self.bob, limit=1, after="alice"), (["bob"], 1, None))
        self.assertEqual(online(self.alice), (["alice", "bob", "carol"], 3, None))

    def test_being_online_ends_for_the_blocked_one(self):
        self.online("alice")
        client = self.online("bob")
        client.watch(self.alice.id)
        self.cluster.turn()
        self.assertTrue(client.take("presence")[0].online)
        self.block()
        (presence,) = client.take("presence")
        self.assertEqual((presence.user_id, presence.online), (self.alice.id, False))

    def test_nobody_hears_of_a_block_but_who_watches(self):
        """A packet that nobody asked for would say who is online and blocks one now."""
        self.online("alice")
        client = self.online("bob")
        self.block()
        self.ok("DELETE", f"/v1/blocks/{self.bob.id}", **self.by(self.alice), status=204)
        self.cluster.turn()
        self.assertEqual(client.packets(), [])

    def test_being_online_is_seen_again_after_the_block(self):
        self.online("alice")
        client = self.online("bob")
        self.block()
        client.watch(self.alice.id)
        self.cluster.turn()
        self.assertFalse(client.take("presence")[0].online)
        self.ok("DELETE", f"/v1/blocks/{self.bob.id}", **self.by(self.alice), status=204)
        self.cluster.turn()
        self.assertTrue(client.take("presence")[0].online)

    def test_a_recall_tells_nothing(self):
        """Of an id that blocks somebody it is said what is said of one that nobody has."""
        said = self.send(self.alice.id)[2]
        hers = self.call(
            "POST", "/v1/messages", {"to_user": self.bob.id, "client_id": "h", "text": "x"}, **self.by(self.alice)
        )[2]
        self.block()
        told = set()
        for user, ref in ((self.alice.id, "1-1"), (self.alice.id, hers["position"]), (77, said["position"])):
            status, _, problem = self.send(user, "", kind="RECALL", ref=ref)
            told.add((status, problem["code"], problem["detail"]))
        self.assertEqual(len(told), 1, told)
        self.assertEqual(self.send(self.alice.id, "", kind="RECALL", ref=said["position"])[0], 201)

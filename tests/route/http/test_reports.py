"""Tests of reports of messages."""

from __future__ import annotations

from cim.api_keys import Scope, line_of
from cim.limits import Buckets, Limit
from cim.model import LoginPolicy
from cim.route.http.reports import MAX_REASON
from cim.route.messages.reporting import MAX_COPY
from cim.store.rules import reports as rules
from tests.route.http.api_case import KEY, APICase

MODERATOR = f"{KEY}-moderator"
OTHERS = f"{KEY}-others"


class ReportsCase(APICase):
    policy = LoginPolicy.MANY
    keys = (
        KEY,
        line_of(MODERATOR, "moderator", [Scope.MODERATE]),
        line_of(OTHERS, "others", [scope for scope in Scope if scope is not Scope.MODERATE]),
    )

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.user("alice"), self.user("bob"), self.user("carol")
        self.talk = f"p:{self.alice.id}:{self.bob.id}"
        self.sent = 0

    def say(self, author, text="buy this", **fields):
        """Send a message, to alice unless it says where, and return its position."""
        self.sent += 1
        to = {} if "to_group" in fields else {"to_user": self.bob.id if author is self.alice else self.alice.id}
        message = {**to, "client_id": f"{self.sent}", "text": text, **fields}
        return self.ok("POST", "/v1/messages", message, status=201, **self.by(author))["position"]

    def report(self, who, position, *, conversation="", reason="spam", status=201):
        said = {"conversation": conversation or self.talk, "position": position, "reason": reason}
        return self.ok("POST", "/v1/reports", said, status=status, **self.by(who))

    def refused(self, who, position, *, conversation="", status, code):
        said = {"conversation": conversation or self.talk, "position": position}
        return self.problem("POST", "/v1/reports", said, status=status, code=code, **self.by(who))

    def listed(self, query=""):
        return self.ok("GET", f"/v1/admin/reports{query}", key=MODERATOR)["reports"]


class ReportsTests(ReportsCase):
    def test_what_operators_get(self):
        position = self.say(self.bob, "buy this: 广告")
        made = self.report(self.alice, position)
        self.assertEqual(made["repeated"], False)
        (shown,) = self.listed()
        self.assertEqual(self.ok("GET", f"/v1/admin/reports/{made['id']}", key=MODERATOR), shown)
        self.assertEqual(shown["reporter"], {"id": self.alice.id, "name": "alice"})
        self.assertEqual(shown["sender"], {"id": self.bob.id, "name": "bob"})
        self.assertEqual((shown["conversation"], shown["position"]), (self.talk, position))
        self.assertEqual((shown["text"], shown["cut"], shown["reason"]), ("buy this: 广告", False, "spam"))
        self.assertEqual((shown["closed"], shown["by"], shown["note"]), (None, "", ""))
        self.problem("GET", f"/v1/admin/reports/{made['id'] + 1}", key=MODERATOR, status=404, code="not-found")

    def test_a_recall_destroys_no_evidence(self):
        position = self.say(self.bob, "buy this")
        self.report(self.alice, position)
        self.say(self.bob, "", kind="RECALL", ref=position)
        self.assertEqual([one["text"] for one in self.listed()], ["buy this"])
        # But what is gone cannot be reported.
        self.refused(self.alice, self.say_and_recall(), status=404, code="not-found")

    def say_and_recall(self):
        position = self.say(self.bob)
        self.say(self.bob, "", kind="RECALL", ref=position)
        return position

    def test_an_edited_one_is_reported_as_it_stands(self):
        position = self.say(self.bob, "hello")
        self.say(self.bob, "buy this", kind="EDIT", ref=position)
        self.report(self.alice, position)
        self.say(self.bob, "hello", kind="EDIT", ref=position)
        self.assertEqual([one["text"] for one in self.listed()], ["buy this"])

    def test_what_a_reaction_says(self):
        mine = self.say(self.alice)
        self.report(self.alice, self.say(self.bob, "rude", kind="REACTION", ref=mine))
        self.assertEqual([one["text"] for one in self.listed()], ["rude"])

    def test_of_a_long_one_there_is_the_beginning(self):
        self.report(self.alice, self.say(self.bob, "广" * 5000, data="AAAA", content_type="image/png"))
        (shown,) = self.listed()
        self.assertEqual((shown["text"], shown["cut"]), ("广" * (MAX_COPY // 3), True))
        self.assertEqual((shown["size"], shown["content_type"]), (3, "image/png"))

    def test_the_same_twice_is_one(self):
        position = self.say(self.bob)
        first = self.report(self.alice, position)
        again = self.report(self.alice, position, reason="another", status=200)
        self.assertEqual(again, {"id": first["id"], "repeated": True})
        self.assertEqual([one["reason"] for one in self.listed()], ["spam"])

    def test_a_victim_whom_the_sender_blocks_can_report(self):
        position = self.say(self.bob)
        self.ok("PUT", f"/v1/blocks/{self.alice.id}", status=204, **self.by(self.bob))
        self.report(self.alice, position)

    def test_what_one_cannot_read(self):
        position = self.say(self.bob)
        self.refused(self.carol, position, status=403, code="forbidden")
        before, after = position.split("-")
        for other in (f"{before}-{int(after) + 1}", f"{before}-0", f"{int(before) - 1}-7", f"{2**63 - 1}-{2**63 - 1}"):
            self.refused(self.alice, other, status=404, code="not-found")
        for path in ("g:5", "g:99999"):
            self.refused(self.alice, position, conversation=path, status=403, code="forbidden")
        for bad in ({"position": ""}, {"position": "x"}, {"conversation": "x"}, {"reason": "x" * (MAX_REASON + 1)}, {}):
            said = {"conversation": self.talk, "position": position, "reason": "", **bad}
            if not bad:
                del said["position"]
            self.problem("POST", "/v1/reports", said, status=400, code="invalid", **self.by(self.alice))
        self.assertEqual(self.listed(), [])

    def test_what_was_said_before_one_joined(self):
        body = {"name": "friends", "open": True, "history": False}
        group = self.ok("POST", "/v1/groups", body, status=201, **self.by(self.bob))["id"]
        early = self.say(self.bob, to_group=group)
        joined = f"/v1/groups/{group}/members/{self.alice.id}"
        self.ok("PUT", joined, {"role": "member"}, status=201, **self.by(self.alice))
        late = self.say(self.bob, to_group=group)
        self.refused(self.alice, early, conversation=f"g:{group}", status=404, code="not-found")
        self.report(self.alice, late, conversation=f"g:{group}")
        self.ok("DELETE", joined, status=204, **self.by(self.alice))
        self.refused(self.alice, late, conversation=f"g:{group}", status=403, code="forbidden")

    def test_a_message_to_everyone(self):
        self.report(self.alice, self.say(self.bob, to_group=0), conversation="g:0")
        self.assertEqual([one["conversation"] for one in self.listed()], ["g:0"])

    def test_ones_own(self):
        said = self.refused(self.alice, self.say(self.alice), status=400, code="invalid")
        self.assertEqual(said["field"], "position")

    def test_a_flood(self):
        positions = [self.say(self.bob, f"{number}") for number in range(rules.MAX_OPEN_BY + 1)]
        self.cluster.routes[0].rates._buckets["user-reports"] = Buckets(Limit(10, 100))
        for position in positions[:-1]:
            self.report(self.alice, position)
        said = self.refused(self.alice, positions[-1], status=429, code="rate-limited")
        self.assertIn("wait for an operator", said["detail"])
        # Nobody else is held up.
        self.report(self.bob, self.say(self.alice))
        self.cluster.routes[0].rates._buckets["user-reports"] = Buckets(Limit(0.1, 2))
        for _ in range(2):
            self.report(self.alice, positions[0], status=200)
        self.assertEqual(self.refused(self.alice, positions[0], status=429, code="rate-limited")["retry"], "10")

    def test_closing(self):
        made = self.report(self.alice, self.say(self.bob))["id"]
        path = f"/v1/admin/reports/{made}/close"
        closed = self.ok("POST", path, {"note": "was warned"}, key=MODERATOR)
        self.assertEqual((closed["by"], closed["note"]), ("moderator", "was warned"))
        self.assertGreaterEqual(closed["closed"], closed["at"])
        self.assertEqual((self.listed(), self.listed("?state=closed")), ([], [closed]))
        self.assertEqual(self.ok("POST", path, key=KEY), closed)
        self.problem("POST", f"/v1/admin/reports/{made + 1}/close", key=KEY, status=404, code="not-found")

    def test_filters_and_pages(self):
        said = [self.say(self.bob, f"{number}") for number in range(5)]
        made = [self.report(self.alice, position)["id"] for position in said]
        other = self.report(self.bob, self.say(self.alice))["id"]
        wanted = {
            "": [*made, other],
            f"&reporter={self.alice.id}": made,
            f"&sender={self.alice.id}": [other],
            f"&conversation={self.talk}": [*made, other],
            "&conversation=g:0": [],
            "&state=closed": [],
        }
        for query, ids in wanted.items():
            for limit in (1, 4, 100):
                found, after = [], ""
                while after is not None:
                    page = self.ok("GET", f"/v1/admin/reports?limit={limit}&after={after}{query}", key=MODERATOR)
                    found += [one["id"] for one in page["reports"]]
                    after = page["more"]
                self.assertEqual(found, ids, (query, limit))
        for bad in ("state=x", "limit=0", "after=x", "reporter=0"):
            self.problem("GET", f"/v1/admin/reports?{bad}", key=MODERATOR, status=400, code="invalid")

    def test_scopes(self):
        made = self.report(self.alice, self.say(self.bob))["id"]
        for method, path in (
            ("GET", "/v1/admin/reports"),
            ("GET", f"/v1/admin/reports/{made}"),
            ("POST", f"/v1/admin/reports/{made}/close"),
        ):
            self.problem(method, path, key=OTHERS, status=403, code="forbidden")
            self.problem(method, path, status=403, code="forbidden", **self.by(self.alice))
            self.problem(method, path, status=401, code="unauthorized")
        self.problem("POST", "/v1/reports", {}, key=KEY, status=403, code="forbidden")
        self.assertIsNone(self.listed()[0]["closed"])

    def test_who_is_exported_deleted_and_erased(self):
        self.report(self.alice, self.say(self.bob, "one"))
        other = self.report(self.bob, self.say(self.alice, "two"))["id"]
        stored = self.ok("GET", f"/v1/admin/users/{self.alice.id}/stored", key=KEY)
        self.assertEqual([one["text"] for one in stored["reports"]], ["one"])
        # What a deleted user reported goes; what it said stays, as in the conversation.
        self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, status=204)
        self.assertEqual([one["id"] for one in self.listed()], [other])
        self.ok("POST", f"/v1/admin/users/{self.alice.id}/erase", {}, key=KEY)
        self.assertEqual(self.listed(), [])

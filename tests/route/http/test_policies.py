"""Tests of names, members and messages that a policy decides on, at the API."""

from __future__ import annotations

from cim.errors import Undecided
from cim.policies import About, changed, refused
from cim.route.http.groups import DIRECT
from cim.route.http.upstream import UpstreamAPI
from tests.route.http.api_case import KEY, PASSWORD, APICase
from tests.route.policy_double import PolicyDouble


class PolicyCase(APICase):
    def setUp(self):
        self.message_policy = self.policy_double = PolicyDouble()
        super().setUp()
        self.double = self.policy_double
        self.alice, self.bob = self.user("alice"), self.user("bob")
        self.double.answers = {"spam": refused("no advertising here"), "damn": changed("****")}
        self.double.asked.clear()

    def problem(self, *call, status=403, code="refused", **options):
        problem = self.ok(*call, status=status, **options)
        self.assertEqual(problem["code"], code)
        return problem["detail"]


class NamesTests(PolicyCase):
    def beside(self, route):
        return (UpstreamAPI(route, route.store.accounts, self.metrics),)

    def test_a_name_of_an_account(self):
        said = {"name": "spam", "password": PASSWORD}
        self.assertEqual(self.problem("POST", "/v1/accounts", said), "no advertising here")
        (question,) = self.double.asked
        self.assertEqual((question.about, question.text, question.user), (About.ACCOUNT, "spam", 0))
        # Operators decide themselves, and who has the name already is told so.
        self.ok("POST", "/v1/accounts", said, key=KEY, status=201)
        self.problem("POST", "/v1/accounts", said, status=409, code="conflict")

    def test_a_guest(self):
        for name, code, message in (("spam", "4000", "no advertising here"), ("guest", "9000", "Success")):
            _, _, answer = self.call("POST", "/registerAccount", {"userName": name})
            self.assertEqual((answer["code"], answer["message"]), (code, message))

    def test_a_name_of_a_group(self):
        self.assertEqual(
            self.problem("POST", "/v1/groups", {"name": "spam"}, **self.by(self.alice)), "no advertising here"
        )
        group = self.ok("POST", "/v1/groups", {"name": "damn"}, **self.by(self.alice), status=201)
        self.assertEqual(group["name"], "****")
        path = f"/v1/groups/{group['id']}"
        self.problem("PATCH", path, {"name": "spam"}, **self.by(self.alice))
        self.assertEqual(self.ok("PATCH", path, {"name": "friends"}, **self.by(self.alice))["name"], "friends")
        self.assertEqual(self.ok("PATCH", path, {"open": True}, **self.by(self.alice))["name"], "friends")
        self.assertEqual(
            [(one.about, one.text, one.user, one.conversation) for one in self.double.asked],
            [
                (About.GROUP, "spam", self.alice.id, ""),
                (About.GROUP, "damn", self.alice.id, ""),
                (About.GROUP, "spam", self.alice.id, f"g:{group['id']}"),
                (About.GROUP, "friends", self.alice.id, f"g:{group['id']}"),
            ],
        )

    def test_who_joins(self):
        group = self.ok("POST", "/v1/groups", {"name": "group", "open": True}, **self.by(self.alice), status=201)["id"]
        path = f"/v1/groups/{group}/members/{self.bob.id}"
        self.double.answers[""] = refused("not yet")
        self.assertEqual(self.problem("PUT", path, {}, **self.by(self.bob)), "not yet")
        question = self.double.asked[-1]
        self.assertEqual(
            (question.about, question.user, question.member, question.conversation),
            (About.JOIN, self.bob.id, self.bob.id, f"g:{group}"),
        )
        self.ok("PUT", path, {}, key=KEY, status=201)
        self.assertEqual(len(self.double.asked), 2)

    def test_who_accepts_an_invitation(self):
        group = self.ok("POST", "/v1/groups", {"name": "group"}, **self.by(self.alice), status=201)["id"]
        path = f"/v1/groups/{group}/members/{self.bob.id}"
        self.double.asked.clear()
        self.ok("PUT", path, {}, **self.by(self.alice), status=202)
        self.assertEqual(self.double.asked, [])
        self.ok("PUT", path, {}, **self.by(self.bob), status=201)
        self.assertEqual([one.about for one in self.double.asked], [About.JOIN])


class DirectTests(PolicyCase):
    consent = DIRECT

    def test_whom_admins_add(self):
        group = self.ok("POST", "/v1/groups", {"name": "group"}, **self.by(self.alice), status=201)["id"]
        carol = self.user("carol")
        self.double.asked.clear()
        self.double.check = lambda question: refused("no") if question.member == self.bob.id else changed("")
        self.assertEqual(
            self.problem("PUT", f"/v1/groups/{group}/members/{self.bob.id}", {}, **self.by(self.alice)), "no"
        )
        said = {"add": [self.bob.id, carol.id]}
        results = self.ok("POST", f"/v1/groups/{group}/members", said, **self.by(self.alice))["results"]
        self.assertEqual([one.get("code") or one["outcome"] for one in results], ["refused", "added"])


class MessagesTests(PolicyCase):
    def send(self, text, client_id="c1", status=201, **options):
        said = {"to_user": self.bob.id, "client_id": client_id, "text": text}
        return self.ok("POST", "/v1/messages", said, status=status, **(options or self.by(self.alice)))

    def test_what_is_stored_is_told(self):
        self.assertEqual(self.send("hello", "c1")["text"], None)
        self.assertEqual(self.send("damn", "c2")["text"], "****")
        self.assertEqual(self.send("damn", "c2", status=200)["text"], "****")
        self.assertEqual(self.double.texts, ["hello", "damn"])

    def test_what_is_refused(self):
        problem = self.send("spam", status=403)
        self.assertEqual((problem["code"], problem["detail"]), ("refused", "no advertising here"))
        self.assertEqual(self.send("spam", status=403)["detail"], "no advertising here")

    def test_what_cannot_be_decided_on_may_come_again(self):
        self.double.hold = True
        self.double.check = lambda question: (_ for _ in ()).throw(Undecided())
        problem = self.send("hello", status=503)
        self.assertEqual((problem["code"], problem["detail"]), ("unavailable", Undecided.text))
        del self.double.check
        self.double.hold = False
        self.send("hello")

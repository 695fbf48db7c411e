"""Tests of what operators delete for all."""

from __future__ import annotations

from cim.wire.cim_pb2 import RECALL
from tests.route.http.test_reports import MODERATOR, OTHERS, ReportsCase


class RemovalsTests(ReportsCase):
    def path(self, position, conversation=""):
        return f"/v1/admin/conversations/{conversation or self.talk}/messages/{position}"

    def delete(self, position, conversation=""):
        self.ok("DELETE", self.path(position, conversation), key=MODERATOR, status=204)

    def read(self, who, conversation="", **query):
        path = f"/v1/conversations/{conversation or self.talk}/messages"
        return self.ok("GET", path, **self.by(who))["messages"]

    def test_all_see_that_an_operator_did_it(self):
        clients = [self.online("alice"), self.online("bob")]
        position = self.say(self.bob, "hello")
        self.say(self.bob, "buy this", kind="EDIT", ref=position)
        for client in clients:
            client.packets()
        self.report(self.alice, position)
        self.delete(position)
        for client in clients:
            (pushed,) = client.packets()
            said = pushed.deliver
            told = said.kind, said.ref, said.by_operator, said.sender, said.text
            self.assertEqual(told, (RECALL, position, True, self.bob.id, ""))
        for who in (self.alice, self.bob):
            text, edit, recall = self.read(who)
            self.assertEqual([one["kind"] for one in (text, edit, recall)], ["TEXT", "EDIT", "RECALL"])
            self.assertEqual([one["text"] for one in (text, edit, recall)], ["", "", ""])
            self.assertEqual([one["by_operator"] for one in (text, edit, recall)], [True, False, True])
        # Reports keep what it was.
        self.assertEqual([one["text"] for one in self.listed()], ["buy this"])
        # Nobody revises it, not even its author; doing it again changes nothing.
        self.delete(position)
        for kind, text in (("EDIT", "x"), ("REACTION", "+"), ("RECALL", "")):
            message = {"to_user": self.alice.id, "client_id": kind, "text": text, "kind": kind, "ref": position}
            self.problem("POST", "/v1/messages", message, status=404, code="not-found", **self.by(self.bob))

    def test_in_a_group_and_to_everyone(self):
        body = {"name": "friends", "open": True, "history": True}
        group = self.ok("POST", "/v1/groups", body, status=201, **self.by(self.bob))["id"]
        client = self.online("bob")
        for place in (group, 0):
            position = self.say(self.bob, to_group=place)
            client.packets()
            self.delete(position, f"g:{place}")
            (pushed,) = client.packets()
            self.assertEqual((pushed.deliver.kind, pushed.deliver.by_operator), (RECALL, True))
            text, _ = self.read(self.bob, f"g:{place}")
            self.assertEqual((text["text"], text["by_operator"]), ("", True))

    def test_what_a_user_cannot_claim(self):
        """That an operator did something is not up to whoever sends."""
        position = self.say(self.bob, "hello")
        self.say(self.bob, "", kind="RECALL", ref=position)
        self.assertEqual([one["by_operator"] for one in self.read(self.alice)], [False, False])
        message = {"to_user": self.alice.id, "client_id": "x", "text": "x", "by_operator": True}
        self.problem("POST", "/v1/messages", message, status=400, code="invalid", **self.by(self.bob))

    def test_what_is_not_there(self):
        gone, mine = self.say(self.bob), self.say(self.alice)
        self.say(self.bob, "", kind="RECALL", ref=gone)
        reaction = self.say(self.bob, "+", kind="REACTION", ref=mine)
        for position in (gone, "1-1", "1-0", f"{2**63 - 1}-{2**63 - 1}"):
            self.problem("DELETE", self.path(position), key=MODERATOR, status=404, code="not-found")
        for talk in ("g:5", "p:5:6"):
            self.problem("DELETE", self.path(mine, talk), key=MODERATOR, status=404, code="not-found")
        self.problem("DELETE", self.path(reaction), key=MODERATOR, status=403, code="forbidden")
        self.problem("DELETE", self.path("x"), key=MODERATOR, status=400, code="invalid")

    def test_scopes(self):
        position = self.say(self.bob)
        self.problem("DELETE", self.path(position), key=OTHERS, status=403, code="forbidden")
        self.problem("DELETE", self.path(position), status=403, code="forbidden", **self.by(self.bob))
        self.assertEqual([one["text"] for one in self.read(self.alice)], ["buy this"])

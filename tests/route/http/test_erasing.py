"""Tests of erasing somebody: what others see of it at once, and what is left in the store."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import fail

from cim.errors import StoreUnavailable
from cim.model import Append
from cim.route.messages import erasing
from cim.wire import native
from cim.wire.cim_pb2 import RECALL, Send
from tests.route.http.api_case import KEY, APICase

SECRET = "meet me at nine"


class ErasingTests(APICase):
    routes = 2

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = (self.user(name) for name in ("alice", "bob", "carol"))
        self.talk = f"p:{self.alice.id}:{self.bob.id}"

    def say(self, account, text, **fields):
        """Say something, and return its position."""
        body = {"client_id": f"c-{next(self.ids)}", "text": text, **fields}
        return self.ok("POST", "/v1/messages", body, **self.by(account), status=201)["position"]

    def calls(self, account):
        """Erase all that somebody said, and yield how many messages each call erased."""
        body = {}
        while body.get("after", "") is not None:
            said = self.ok("POST", f"/v1/admin/users/{account.id}/erase", body, key=KEY)
            yield said["messages"]
            body = {"after": said["more"]}

    def erase(self, account):
        """Erase all that somebody said, and return how many messages that were."""
        return sum(self.calls(account))

    def page(self, account, conversation):
        """Return the texts that somebody sees, without what was recalled."""
        path = f"/v1/conversations/{conversation}/messages?revisions=false"
        return [(one["sender"], one["text"]) for one in self.ok("GET", path, **self.by(account))["messages"]]

    def stored(self):
        """Return everything that is stored, as text."""
        return "".join(self.store.database.iterdump()) + "".join(
            str(body) for (body,) in self.store.database.execute("SELECT body FROM message")
        )

    def test_what_was_said_is_recalled(self):
        bob = self.online("bob")
        text = self.say(self.alice, SECRET, to_user=self.bob.id)
        self.say(self.alice, f"{SECRET}, I mean ten", to_user=self.bob.id, kind="EDIT", ref=text)
        answer = self.say(self.bob, "fine", to_user=self.alice.id)
        self.say(self.alice, "❤", to_user=self.bob.id, kind="REACTION", ref=answer)
        bob.packets()
        self.assertEqual(self.erase(self.alice), 3)
        recalls = [one.deliver for one in bob.packets() if one.HasField("deliver")]
        self.assertEqual([(one.kind, one.ref, one.sender_name) for one in recalls], [(RECALL, text, "")])
        self.assertEqual(
            self.page(self.bob, self.talk), [(self.alice.id, ""), (self.bob.id, "fine"), (self.alice.id, "")]
        )
        kept = self.stored()
        for gone in (SECRET, "alice", "❤"):
            self.assertNotIn(gone, kept)
        self.assertIn("bob", kept)

    def test_the_account_is_gone(self):
        self.say(self.alice, SECRET, to_user=self.bob.id)
        self.erase(self.alice)
        self.problem("GET", f"/v1/users/{self.alice.id}", **self.by(self.bob), status=404, code="not-found")
        self.problem("GET", "/v1/sessions", **self.by(self.alice), status=401, code="unauthorized")
        heads = self.successResultOf(self.store.conversations.heads(self.alice.id, "phone"))
        self.assertEqual(heads.heads, ())

    def test_groups_that_were_left_and_what_everybody_heard(self):
        """Members see what is left of a text at its place; who came later hears nothing of it."""
        group = self.ok("POST", "/v1/groups", {"name": "friends", "history": False}, **self.by(self.bob), status=201)[
            "id"
        ]
        self.ok("PUT", f"/v1/groups/{group}/members/{self.alice.id}", key=KEY, status=201)
        self.say(self.alice, SECRET, to_group=group)
        self.ok("DELETE", f"/v1/groups/{group}/members/{self.alice.id}", **self.by(self.alice), status=204)
        self.ok("PUT", f"/v1/groups/{group}/members/{self.carol.id}", key=KEY, status=201)
        self.cluster.pass_seconds(5)
        self.say(self.alice, f"{SECRET}, all of you", to_group=0)
        carol = self.online("carol")
        carol.packets()
        self.erase(self.alice)
        self.assertEqual([one for one in carol.packets() if one.HasField("deliver")], [])
        self.assertEqual([text for sender, text in self.page(self.bob, f"g:{group}") if sender == self.alice.id], [""])
        self.assertNotIn(SECRET, self.stored())

    def test_somebody_who_blocks(self):
        self.say(self.alice, SECRET, to_user=self.bob.id)
        self.ok("PUT", f"/v1/blocks/{self.alice.id}", **self.by(self.bob), status=204)
        self.erase(self.alice)
        self.assertNotIn(SECRET, self.stored())

    def test_an_account_that_was_deleted_before(self):
        self.say(self.alice, SECRET, to_user=self.bob.id)
        self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, status=204)
        self.assertIn(SECRET, self.stored())
        self.assertEqual(self.erase(self.alice), 1)
        self.assertNotIn(SECRET, self.stored())

    def test_again(self):
        self.say(self.alice, SECRET, to_user=self.bob.id)
        self.assertEqual(self.erase(self.alice), 1)
        recalled = self.stored()
        self.assertEqual(self.erase(self.alice), 0)
        self.assertEqual(self.stored(), recalled)

    def both_say(self, many):
        """Have alice say two thirds of so many texts, and bob the others."""
        items = []
        for number in range(many):
            sender, receiver = (self.alice, self.bob) if number % 3 else (self.bob, self.alice)
            send = Send(client_id=f"{number}", user=receiver.id, text=f"text {number}")
            body = native.body_of(send, sender.id, sender.name, 1)
            items.append(Append(self.talk, sender.id, send.client_id, b"", body, 1_700_000_000_000, True))
        self.successResultOf(self.store.conversations.append(items))

    def test_what_others_said_stays(self):
        self.both_say(600)  # more than are read at once
        self.assertEqual(self.erase(self.alice), 400)
        page = self.successResultOf(self.store.conversations.read(self.talk, limit=2000))
        kept = self.stored()
        self.assertEqual(sum(f"text {number}" in kept for number in range(0, 600, 3)), 200)
        self.assertEqual(len(page.entries), 1000)

    def test_a_store_that_goes_away_meanwhile(self):
        """The caller is told, and calling again does what is left."""
        for number in range(3):
            self.say(self.alice, f"{SECRET} {number}", to_user=self.bob.id)

        def append(items):
            self.cluster.store.available = False
            return fail(StoreUnavailable())

        patch = self.patch(self.store.conversations, "append", append)
        path = f"/v1/admin/users/{self.alice.id}/erase"
        self.problem("POST", path, {}, key=KEY, status=503, code="unavailable")
        patch.restore()
        self.cluster.store.available = True
        self.assertEqual(self.erase(self.alice), 3)
        self.assertNotIn(SECRET, self.stored())

    def test_what_was_said_meanwhile(self):
        """Another route may not know yet that the user is being deleted."""
        for number in (0, 1):
            body = {"client_id": f"{number}", "to_user": self.bob.id, "text": f"{SECRET} {number}"}
            say = partial(self.ok, "POST", "/v1/messages", body, **self.by(self.alice), route=1, status=201)
            self.clock.callLater(number, say)
        self.clock.advance(0)
        self.assertEqual(self.erase(self.alice), 2)
        self.assertNotIn(SECRET, self.stored())
        self.problem("GET", "/v1/sessions", **self.by(self.alice), route=1, status=401, code="unauthorized")

    def test_no_call_takes_long(self):
        """However much somebody said in one conversation, a call reads only so many messages."""
        self.patch(erasing, "MOST", 1000)
        self.both_say(2400)
        self.say(self.alice, SECRET, to_user=self.carol.id)
        erased = list(self.calls(self.alice))
        self.assertLess(max(erased), 1000)
        self.assertEqual(sum(erased), 1601)
        kept = self.stored()
        self.assertFalse([number for number in range(1000, 2400) if number % 3 and f"text {number}" in kept])
        self.assertNotIn(SECRET, kept)
        self.assertEqual(self.erase(self.alice), 0)

    def test_where_to_go_on(self):
        path = f"/v1/admin/users/{self.alice.id}/erase"
        self.say(self.alice, SECRET, to_user=self.bob.id)
        for wrong in ("x", f"x@{self.talk}@", "0@@"):
            said = self.problem("POST", path, {"after": wrong}, key=KEY, status=400, code="invalid")
            self.assertIn("after", said["detail"])
        self.problem("POST", path, {"after": f"@{self.talk}@x"}, key=KEY, status=400, code="invalid")
        self.assertIn(SECRET, self.stored())
        gone_since = f"@p:{self.alice.id}:{self.alice.id + 9}@1-1"
        self.assertEqual(self.ok("POST", path, {"after": gone_since}, key=KEY), {"messages": 1, "more": None})

    def test_only_operators(self):
        path = f"/v1/admin/users/{self.alice.id}/erase"
        self.problem("POST", path, {}, status=401, code="unauthorized")
        self.problem("POST", path, {}, **self.by(self.alice), status=403, code="forbidden")

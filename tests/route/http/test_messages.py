"""Tests of `/v1`: sending, reading pages, conversations, marks."""

from __future__ import annotations

import base64
import json

from cim.model import Append
from cim.wire import conversations, native
from tests.route.http.api_case import KEY, APICase
from tests.store.looking import end_of
from tests.web.http_case import Conversation, encode


class MessagesCase(APICase):
    """A base in which alice, bob and carol have tokens."""

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = (self.user(name) for name in ("alice", "bob", "carol"))
        self.talk = conversations.private(self.alice.id, self.bob.id)

    def send(self, sender, status=201, **fields):
        return self.ok("POST", "/v1/messages", {"client_id": "1", **fields}, **self.by(sender), status=status)

    def say(self, sender, receiver, *texts):
        return [
            self.send(sender, to_user=receiver.id, client_id=f"c-{next(self.ids)}", text=text)["position"]
            for text in texts
        ]

    def page(self, reader, conversation=None, status=200, **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        path = f"/v1/conversations/{conversation or self.talk}/messages?{asked}"
        return self.ok("GET", path, **self.by(reader), status=status)

    def texts(self, page):
        return [message["text"] for message in page["messages"]]


class SendTests(MessagesCase):
    """POST /v1/messages."""

    def test_stored_and_pushed_to_both_sides(self):
        bob, alice = self.online("bob", "desk"), self.online("alice", "desk")
        said = self.send(self.alice, to_user=self.bob.id, text="hello 👋")
        self.assertEqual((said["conversation"], said["previous"], said["repeated"]), (self.talk, "", False))
        self.assertEqual((bob.texts(), alice.texts()), (["hello 👋"], ["hello 👋"]))

    def test_the_sender_is_the_user_of_the_token(self):
        bob = self.online("bob", "desk")
        self.send(self.carol, to_user=self.bob.id, text="x")
        (deliver,) = bob.bodies()
        self.assertEqual((deliver.sender, deliver.sender_name), (self.carol.id, "carol"))
        body = {"client_id": "1", "to_user": self.bob.id, "from_user": self.alice.id, "text": "x"}
        problem = self.problem("POST", "/v1/messages", body, **self.by(self.carol), status=400, code="invalid")
        self.assertEqual(problem["field"], "from_user")

    def test_the_same_client_id_is_the_same_message(self):
        first = self.send(self.alice, to_user=self.bob.id, text="x")
        again = self.send(self.alice, to_user=self.bob.id, text="x", status=200)
        self.assertEqual(again, {**first, "repeated": True})
        self.assertEqual(self.texts(self.page(self.bob)), ["x"])
        self.send(self.alice, to_user=self.carol.id, text="x")
        self.send(self.bob, to_user=self.alice.id, text="x")

    def test_the_same_client_id_with_other_content_is_a_conflict(self):
        self.send(self.alice, to_user=self.bob.id, text="x")
        for other in ({"text": "y"}, {"text": "x", "content_type": "text/plain"}, {"text": "x", "data": "eA=="}):
            body = {"client_id": "1", "to_user": self.bob.id, **other}
            self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=409, code="conflict")
        self.assertEqual(self.texts(self.page(self.bob)), ["x"])

    def test_sending_to_nobody_and_to_oneself(self):
        for user, status, code in ((77, 404, "not-found"), (self.alice.id, 400, "invalid")):
            body = {"client_id": "1", "to_user": user, "text": "x"}
            self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=status, code=code)

    def test_bad_fields_are_named(self):
        for field, body in (
            ("to_user", {}),
            ("to_user", {"to_user": self.bob.id, "to_group": 5}),
            ("to_user", {"to_user": 0}),
            ("to_user", {"to_user": 1 << 53}),
            ("to_user", {"to_user": True}),
            ("to_user", {"to_user": 1.0}),
            ("to_group", {"to_group": -1}),
            ("client_id", {"to_user": self.bob.id, "client_id": ""}),
            ("client_id", {"to_user": self.bob.id, "client_id": "x" * 65}),
            ("text", {"to_user": self.bob.id, "text": "\ud800"}),
            ("text", {"to_user": self.bob.id, "text": "x" * (native.MAX_CONTENT + 1)}),
            ("data", {"to_user": self.bob.id, "data": "x"}),
            ("data", {"to_user": self.bob.id, "data": "é"}),
            ("kind", {"to_user": self.bob.id, "kind": "SHOUT"}),
            ("ref", {"to_user": self.bob.id, "ref": "01-1"}),
            ("sender", {"to_user": self.bob.id, "sender": 1}),
        ):
            body = {"client_id": "1", **body}
            problem = self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=400, code="invalid")
            self.assertEqual(problem["field"], field)
        self.assertEqual(self.page(self.bob)["messages"], [])

    def test_text_and_data_together_are_bounded(self):
        half = native.MAX_CONTENT // 2 + 1
        body = {
            "client_id": "1",
            "to_user": self.bob.id,
            "text": "x" * half,
            "data": base64.b64encode(b"x" * half).decode(),
        }
        self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=413, code="too-large")

    def test_data_with_a_type(self):
        self.send(self.alice, to_user=self.bob.id, data="AAECAw==", content_type="application/x-thing")
        (message,) = self.page(self.bob)["messages"]
        self.assertEqual((message["data"], message["content_type"]), ("AAECAw==", "application/x-thing"))

    def test_a_text_with_nul(self):
        self.send(self.alice, to_user=self.bob.id, text="a\0b")
        self.assertEqual(self.texts(self.page(self.bob)), ["a\0b"])

    def test_an_operator_sends_for_anyone_guests_too(self):
        guest = self.cluster.account("guest-one")
        body = {"client_id": "1", "to_user": self.bob.id, "text": "from a guest"}
        problem = self.problem("POST", "/v1/messages", body, key=KEY, status=400, code="invalid")
        self.assertEqual(problem["field"], "from_user")
        self.problem("POST", "/v1/messages", {**body, "from_user": 77}, key=KEY, status=404, code="not-found")
        said = self.ok("POST", "/v1/messages", {**body, "from_user": guest.id}, key=KEY, status=201)
        (message,) = self.page(self.bob, said["conversation"])["messages"]
        self.assertEqual((message["sender"], message["sender_name"]), (guest.id, "guest-one"))

    def test_sending_without_a_token(self):
        body = {"client_id": "1", "to_user": self.bob.id, "text": "x"}
        self.problem("POST", "/v1/messages", body, status=401, code="unauthorized")
        self.problem("POST", "/v1/messages", body, key="wrong-key-0123456789", status=401, code="unauthorized")

    def test_recalling_editing_and_reacting(self):
        first, second = self.say(self.alice, self.bob, "one", "two")
        for kind, sender, status in (("EDIT", self.bob, 403), ("RECALL", self.bob, 403), ("EDIT", self.alice, 201)):
            body = {"client_id": kind, "to_user": 0, "kind": kind, "ref": second, "text": "2" * (kind == "EDIT")}
            body["to_user"] = self.bob.id if sender is self.alice else self.alice.id
            self.ok("POST", "/v1/messages", body, **self.by(sender), status=status)
        self.send(self.alice, to_user=self.bob.id, client_id="recall", kind="recall", ref=first)
        self.send(self.bob, to_user=self.alice.id, client_id="like", kind="REACTION", ref=second, text="👍")
        shown = [(message["kind"], message["text"]) for message in self.page(self.bob)["messages"]]
        self.assertEqual(shown, [("TEXT", ""), ("TEXT", "2"), ("EDIT", "2"), ("RECALL", ""), ("REACTION", "👍")])
        page = self.page(self.bob, revisions="false")["messages"]
        shown = [(one["kind"], one["text"], one["edited"]) for one in page]
        self.assertEqual(shown, [("TEXT", "", False), ("TEXT", "2", True), ("REACTION", "👍", False)])
        self.problem(
            "GET",
            f"/v1/conversations/{self.talk}/messages?revisions=0",
            **self.by(self.bob),
            status=400,
            code="invalid",
        )
        body = {"client_id": "x", "to_user": self.bob.id, "kind": "RECALL", "ref": "1-1"}
        self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=404, code="not-found")

    def test_the_store_is_away(self):
        self.page(self.alice)
        self.store.available = False
        body = {"client_id": "1", "to_user": self.bob.id, "text": "x"}
        self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=503, code="unavailable")
        self.store.available = True
        self.send(self.alice, to_user=self.bob.id, text="x")

    def test_everyone(self):
        bob = self.online("bob", "desk")
        said = self.send(self.alice, to_group=0, text="hi all")
        self.assertEqual(said["conversation"], conversations.EVERYONE)
        self.assertEqual(bob.texts(), ["hi all"])
        self.assertEqual(self.texts(self.page(self.carol, "g:0")), ["hi all"])


class ManyRoutesTests(MessagesCase):
    """The same message through two routes at once."""

    routes = 2

    def test_the_same_client_id_a_hundred_times_at_once_is_one_message(self):
        body = {"client_id": "1", "to_user": self.bob.id, "text": "once"}
        headers = [f"Authorization: Bearer {self.tokens[self.alice.id]}"]
        connections = [Conversation(self.sites[number % 2]) for number in range(100)]
        for connection in connections:
            connection.send(encode("POST", "/v1/messages", body, headers))
        self.cluster.turn()
        answers = [connection.answer() for connection in connections]
        self.assertEqual([status for status, _, _ in answers].count(201), 1)
        self.assertEqual([status for status, _, _ in answers].count(200), 99)
        self.assertEqual(len({json.loads(raw)["position"] for _, _, raw in answers}), 1)
        self.assertEqual(self.texts(self.page(self.bob)), ["once"])


class PageTests(MessagesCase):
    """GET /v1/conversations/{conversation}/messages."""

    def setUp(self):
        super().setUp()
        self.positions = self.say(self.alice, self.bob, *map(str, range(7)))

    def test_reading_forward(self):
        texts, after = [], ""
        for _ in range(3):
            page = self.page(self.bob, after=after, limit=3)
            texts.append(self.texts(page))
            after = page["more"]
        self.assertEqual(texts, [["0", "1", "2"], ["3", "4", "5"], ["6"]])
        self.assertIsNone(after)
        self.assertEqual((page["upto"], page["reset"]), (self.positions[-1], False))

    def test_reading_backward(self):
        texts, before = [], self.positions[6]
        for _ in range(2):
            page = self.page(self.alice, before=before, limit=3)
            texts.append(self.texts(page))
            before = page["more"]
        self.assertEqual(texts, [["3", "4", "5"], ["0", "1", "2"]])
        self.assertIsNone(before)

    def test_the_fields_of_a_message(self):
        first, second = self.page(self.bob, limit=2)["messages"]
        self.assertEqual(
            (first["sender"], first["sender_name"], first["kind"], first["previous"], first["position"]),
            (self.alice.id, "alice", "TEXT", "", self.positions[0]),
        )
        self.assertEqual(second["previous"], first["position"])

    def test_conversations_of_others(self):
        path = f"/v1/conversations/{self.talk}/messages"
        for query in ("", "?limit=1"):
            self.problem("GET", path + query, **self.by(self.carol), status=403, code="forbidden")
        self.problem("GET", path, key=KEY, status=403, code="forbidden")
        self.problem("GET", path, status=401, code="unauthorized")

    def test_invalid_names(self):
        a, b = self.alice.id, self.bob.id
        for name in (f"p:{b}:{a}", f"p:{a}:{a}", f"p:0{a}:{b}", f"p:{a}", "g:01", "g:1}", "g:", "x", "g:-1", "g:%00"):
            self.problem("GET", f"/v1/conversations/{name}/messages", **self.by(self.alice), status=400, code="invalid")

    def test_invalid_limits_and_positions(self):
        for query in (
            "limit=0",
            "limit=501",
            "limit=1000000000",
            "limit=99999999999999999999",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1&limit=2",
            "limit=%D9%A1",
            "after=1",
            "after=01-1",
            "before=1-1-1",
            "after=18446744073709551616-1",
            f"after={self.positions[0]}&before={self.positions[3]}",
            "after=%ff",
            "&".join(f"x{number}=1" for number in range(40)),
        ):
            path = f"/v1/conversations/{self.talk}/messages?{query}"
            self.problem("GET", path, **self.by(self.alice), status=400, code="invalid")

    def test_a_position_of_another_conversation_is_only_a_place_in_the_order(self):
        self.assertEqual(self.texts(self.page(self.bob, after="1-1")), [str(number) for number in range(7)])
        page = self.page(self.bob, after="9223372036854775807-5")
        self.assertEqual((self.texts(page), page["reset"]), ([], True))

    def test_a_conversation_without_messages(self):
        talk = conversations.private(self.alice.id, self.carol.id)
        page = self.page(self.alice, talk)
        self.assertEqual((page["messages"], page["more"], page["upto"]), ([], None, ""))

    def test_an_entry_that_cannot_be_decoded_is_skipped(self):
        item = Append(self.talk, self.alice.id, "poison", b"d", b"\xff\xff\xff", 1)
        self.successResultOf(self.store.conversations.append([item]))
        self.say(self.alice, self.bob, "after")
        page = self.page(self.bob, after=self.positions[5])
        self.assertEqual(self.texts(page), ["6", "after"])


class ConversationTests(MessagesCase):
    """GET /v1/conversations, and the read mark."""

    def listed(self, user, **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return self.ok("GET", f"/v1/conversations?{asked}", **self.by(user))

    def test_newest_first_with_unread(self):
        self.say(self.alice, self.bob, "1", "2")
        self.clock.advance(1)
        self.say(self.carol, self.bob, "3")
        self.say(self.bob, self.carol, "4")
        shown = self.listed(self.bob)["conversations"]
        talk = conversations.private(self.bob.id, self.carol.id)
        self.assertEqual([(one["conversation"], one["unread"]) for one in shown], [(talk, 1), (self.talk, 2)])
        self.assertEqual(
            [(one["conversation"], one["unread"]) for one in self.listed(self.alice)["conversations"]],
            [(self.talk, 0)],
        )

    def test_pages(self):
        others = [self.user(f"user-{number}") for number in range(7)]
        for other in others:
            self.clock.advance(1)
            self.say(other, self.alice, "x")
        found, after = [], ""
        while after is not None:
            page = self.listed(self.alice, limit=3, after=after.replace(" ", "+"))
            self.assertLessEqual(len(page["conversations"]), 3)
            found += [one["conversation"] for one in page["conversations"]]
            after = page["more"]
        self.assertEqual(found, [conversations.private(other.id, self.alice.id) for other in reversed(others)])

    def test_received_messages_are_listed_all_the_same(self):
        client = self.online("bob", "desk")
        (position,) = self.say(self.alice, self.bob, "x")
        client.received(self.talk, position)
        client.read(self.talk, position)
        self.cluster.pass_seconds(2)
        (shown,) = self.listed(self.bob)["conversations"]
        self.assertEqual((shown["latest"], shown["read"], shown["unread"]), (position, position, 0))

    def test_no_device_can_have_the_name_that_the_api_uses(self):
        for device in (" ", "\u3000", ""):
            body = {"name": "bob", "password": "correct horse battery", "device": device}
            self.problem("POST", "/v1/sessions", body, status=400, code="invalid")

    def test_invalid_cursors(self):
        for after in ("x", "1", "-1+g:1", "1+p:2:1", "99999999999999999999999+g:1", "1+g:1}"):
            self.problem("GET", f"/v1/conversations?after={after}", **self.by(self.alice), status=400, code="invalid")

    def test_anothers_cursor_reveals_nothing_of_them(self):
        self.say(self.bob, self.carol, "x")
        after = f"99999999999999+{conversations.private(self.bob.id, self.carol.id)}"
        self.assertEqual(self.listed(self.alice, after=after)["conversations"], [])

    def test_reading_only_moves_the_mark_forward_and_notifies_others(self):
        alice = self.online("alice", "desk")
        first, second, third = self.say(self.alice, self.bob, "1", "2", "3")
        alice.packets()

        def read(position):
            path = f"/v1/conversations/{self.talk}/read"
            self.ok("PUT", path, {"position": position}, **self.by(self.bob), status=204)
            (shown,) = self.listed(self.bob)["conversations"]
            return shown["read"], shown["unread"]

        self.assertEqual(read(second), (second, 1))
        self.cluster.pass_seconds(1)
        self.assertEqual([(body.position, body.reader) for body in alice.bodies()], [(second, self.bob.id)])
        self.assertEqual(read(first), (second, 1))
        self.assertEqual(read("9000000000000000000-1"), (third, 0))
        # What comes later is behind the end of that time.
        self.say(self.alice, self.bob, "4")
        (shown,) = self.listed(self.bob)["conversations"]
        self.assertEqual((shown["read"], shown["unread"]), (third, 1))

    def test_a_mark_that_is_not_stored_is_not_answered_with_204(self):
        (position,) = self.say(self.alice, self.bob, "1")
        self.store.available = False
        path = f"/v1/conversations/{self.talk}/read"
        self.problem("PUT", path, {"position": position}, **self.by(self.bob), status=503, code="unavailable")

    def test_a_mark_of_a_session_beyond_the_end_hides_nothing_that_comes_later(self):
        client = self.online("bob", "desk")
        (first,) = self.say(self.alice, self.bob, "1")
        client.read(self.talk, "9000000000000000000-1")
        self.cluster.turn()
        self.say(self.alice, self.bob, "2")
        self.cluster.pass_seconds(1)
        (shown,) = self.listed(self.bob)["conversations"]
        self.assertEqual((shown["read"], shown["unread"]), (first, 1))

    def test_marks_in_others_conversations_and_invalid_positions(self):
        (position,) = self.say(self.alice, self.bob, "1")
        for user, conversation, body, status, code in (
            (self.carol, self.talk, {"position": position}, 403, "forbidden"),
            (self.bob, "g:0", {"position": position}, 403, "forbidden"),
            (self.bob, "g:77", {"position": position}, 403, "forbidden"),
            (self.bob, self.talk, {"position": ""}, 400, "invalid"),
            (self.bob, self.talk, {"position": "1"}, 400, "invalid"),
            (self.bob, self.talk, {}, 400, "invalid"),
        ):
            path = f"/v1/conversations/{conversation}/read"
            self.problem("PUT", path, body, **self.by(user), status=status, code=code)

    def test_a_mark_in_an_empty_conversation_creates_nothing(self):
        talk = conversations.private(self.alice.id, 77)
        path = f"/v1/conversations/{talk}/read"
        self.ok("PUT", path, {"position": "5-5"}, **self.by(self.alice), status=204)
        self.cluster.pass_seconds(1)
        self.assertEqual(self.listed(self.alice)["conversations"], [])
        self.assertEqual(self.successResultOf(end_of(self.store, talk)), "")


class LimitTests(MessagesCase):
    """Tests of the API's limits."""

    def test_a_user_says_only_so_much(self):
        for number in range(400):
            self.send(self.alice, to_user=self.bob.id if number % 2 else self.carol.id, client_id=str(number), text="x")
        body = {"client_id": "one more", "to_user": self.bob.id, "text": "x"}
        refused = self.problem("POST", "/v1/messages", body, **self.by(self.alice), status=429, code="rate-limited")
        self.assertEqual(refused["retry"], "1")
        self.assertIn("messages of a user", refused["detail"])
        self.send(self.carol, to_user=self.bob.id, text="x")
        self.clock.advance(1)
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201)

    def test_a_key_counts_on_itself_alone(self):
        body = {"from_user": self.alice.id, "to_user": self.bob.id, "text": "x"}
        for number in range(410):
            self.ok("POST", "/v1/messages", {**body, "client_id": str(number)}, key=KEY, status=201)
        self.send(self.alice, to_user=self.bob.id, client_id="own", text="x")

    def test_a_page_of_large_messages_is_cut(self):
        text = "x" * 40_000
        self.say(self.alice, self.bob, *[text] * 20)
        page = self.page(self.bob, limit=500)
        self.assertTrue(0 < len(page["messages"]) < 20)
        rest = self.page(self.bob, limit=500, after=page["more"])
        self.assertEqual(len(page["messages"]) + len(rest["messages"]), 20)
        back = self.page(self.bob, limit=500, before="9000000000000000000-1")
        self.assertEqual(back["more"], back["messages"][0]["position"])

"""Tests of requests that servers forward from their clients, and of the replies."""

from __future__ import annotations

from cim.errors import StoreUnavailable
from cim.model import GUEST, Account
from cim.route.messages import appending
from cim.route.messages.receipts import FLUSH_SECONDS
from cim.wire import native
from cim.wire.cim_pb2 import RECALL, Hello, Packet, Ping, Read, Received, Send, Sync, Typing, Watch
from cim.wire.link_pb2 import HEADS, Open, Request
from tests.route.route_case import Held, RouteCase, body_of
from tests.store.looking import marks_of

BEYOND = "9999999999999-7"


class RequestsCase(RouteCase):
    def setUp(self):
        super().setUp()
        self.here, self.there = self.link(0), self.link(1)
        self.online(self.here, self.alice, "s1")
        self.online(self.there, self.bob, "s1")

    def send(self, to, text="hello", client_id="", who=None, link=None, session="s1", after="", **fields):
        """Forward a Send without waiting, and return its call number."""
        send = self.to(to, text=text, client_id=client_id or f"id-{next(self.numbers)}", **fields)
        return self.request(link or self.here, who or self.alice, Packet(send=send), session=session, after=after)

    def answers(self, link=None):
        """Return the replies so far: (call, code, client_id)."""
        answers = []
        for reply in (link or self.here).take("reply"):
            (packet,) = reply.packets
            body = body_of(packet)
            answers.append((reply.call, reply.code, body.client_id))
        return answers

    def refused(self, packet, code, who=None, **fields):
        """Check that a packet is refused with a code, and return the Failure."""
        told, (failure,) = self.ask(self.here, who or self.alice, packet, **fields)
        self.assertEqual((told, failure.code), (code, code))
        self.assertTrue(failure.message)
        return failure


class SendTests(RequestsCase):
    def test_accepted_then_delivered(self):
        call = self.send(self.bob, "hello", "c1")
        self.turn()
        (reply,) = self.here.take("reply")
        (accepted,) = [body_of(packet) for packet in reply.packets]
        (deliver,) = self.there.bodies()
        self.assertEqual((reply.call, reply.code), (call, ""))
        self.assertEqual(
            (accepted.client_id, accepted.conversation, accepted.position, accepted.previous, accepted.sent_at),
            ("c1", self.ab, deliver.position, deliver.previous, deliver.sent_at),
        )
        self.assertEqual((deliver.text, deliver.sender, deliver.sender_name), ("hello", self.alice.id, "alice"))
        # Not to the session that sent it.
        self.assertEqual(self.here.items, [])

    def test_the_sender_is_the_user_that_the_server_names(self):
        self.send(self.bob, who=Account(self.carol.id, "carol"))
        self.turn()
        (deliver,) = self.there.bodies()
        self.assertEqual((deliver.sender, deliver.sender_name), (self.carol.id, "carol"))

    def test_the_answer_goes_before_what_is_pushed_over_the_same_link(self):
        self.online(self.here, self.alice, "s2", "desk")
        self.send(self.bob)
        self.turn()
        self.assertEqual([item.WhichOneof("item") for item in self.here.items], ["reply", "deliver"])

    def test_again(self):
        for _ in range(2):
            self.send(self.bob, "hello", "c1")
            self.turn()
        first, second = self.here.take("reply")
        self.assertEqual(list(first.packets), list(second.packets))
        self.assertEqual(len({deliver.position for deliver in self.there.bodies()}), 1)
        self.send(self.bob, "other", "c1")
        self.turn()
        self.assertEqual([(code, client_id) for _, code, client_id in self.answers()], [("conflict", "c1")])

    def test_messages_that_may_not_be_sent(self):
        group = self.group(self.bob)
        huge = "x" * (native.MAX_CONTENT + 1)
        said = self.say(self.bob, self.alice, "mine").position
        for send, code in (
            (self.to(self.alice, text="x", client_id="c"), "invalid"),  # to oneself
            (Send(text="x", client_id="c"), "invalid"),  # to nobody
            (self.to(Account(4711, "?"), text="x", client_id="c"), "not-found"),
            (self.to(Account(-1, "?"), text="x", client_id="c"), "invalid"),
            (self.to(4711, text="x", client_id="c"), "not-found"),
            (self.to(group, text="x", client_id="c"), "forbidden"),
            (self.to(self.bob, text="x", client_id=""), "invalid"),
            (self.to(self.bob, text="x", client_id="c" * 65), "invalid"),
            (self.to(self.bob, text="", client_id="c"), "invalid"),
            (self.to(self.bob, text=huge, client_id="c"), "too-large"),
            (self.to(self.bob, text="x", client_id="c", kind=77), "invalid"),
            (self.to(self.bob, text="x", client_id="c", ref="1-1"), "invalid"),
            (self.to(self.bob, kind=RECALL, ref=said, client_id="c"), "forbidden"),
            (self.to(self.bob, kind=RECALL, ref="1-1", client_id="c"), "not-found"),
            (self.to(self.bob, kind=RECALL, ref="nonsense", client_id="c"), "invalid"),
        ):
            failure = self.refused(Packet(send=send), code)
            self.assertEqual(failure.client_id, send.client_id)
        self.assertEqual(self.stored(self.ab), ["mine"])

    def test_sending_to_everyone_needs_no_membership(self):
        self.send(0, "all")
        self.turn()
        self.assertEqual([code for _, code, _ in self.answers()], [""])
        self.assertEqual([d.text for d in self.there.bodies()], ["all"])
        _, (deliver, _) = self.ask(self.there, self.bob, Packet(sync=Sync(conversation="g:0", before=BEYOND)))
        self.assertEqual(deliver.text, "all")

    def test_sending_too_often(self):
        for _ in range(410):
            self.send(0, "all")
        self.turn()
        codes = [code for _, code, _ in self.answers()]
        self.assertEqual((codes.count(""), codes.count("rate-limited")), (400, 10))
        failure = self.refused(Packet(send=self.to(0, text="x", client_id="c")), "rate-limited")
        self.assertEqual((failure.client_id, failure.retry_after_seconds), ("c", 1))


class OrderTests(RequestsCase):
    """Tests while the store's appends are held."""

    held = "conversations", "append"

    def pipeline(self, *names, **fields):
        self.accounts.keep(self.bob)
        for name in names:
            self.send(self.bob, name, name, after=str(int(name) - 1) if name > "1" else "", **fields)

    def outcomes(self, link=None):
        """Return the replies: (call, code), and for those that name a client_id: (client_id, code)."""
        return [
            (body_of(reply.packets[0]).client_id if reply.packets else "", reply.code)
            for reply in (link or self.here).take("reply")
        ]

    def test_messages_behind_a_failed_one_are_answered_only_to_the_server(self):
        self.pipeline("1", "2")
        self.turn()
        self.pipeline("3")
        self.turn()
        self.hold.fail(StoreUnavailable())
        self.hold.go()
        self.assertEqual(self.outcomes(), [("1", "unavailable"), ("2", "unavailable"), ("", "out-of-order")])
        self.pipeline("1", "2", "3")
        self.turn()
        self.hold.go()
        self.assertEqual(self.outcomes(), [(name, "") for name in "123"])
        self.assertEqual(self.stored(self.ab), list("123"))

    def test_an_unexpected_error_is_answered(self):
        self.pipeline("1")
        self.turn()
        self.hold.fail(ValueError("?"))
        self.assertEqual(self.outcomes(), [("1", "unavailable")])
        self.flushLoggedErrors(ValueError)


class RunTests(RequestsCase):
    """Requests for several Sends into one conversation."""

    def setUp(self):
        super().setUp()
        self.accounts.keep(self.bob)
        self.items = []
        self.put_items = self.appender.put
        self.appender.put = self.note

    def note(self, items, done):
        self.items += [(item.client_id, item.after) for item in items]
        self.put_items(items, done)

    def forward(self, names, **fields):
        first, *more = [
            Packet(send=self.to(self.bob, text=f"text {name}", client_id=name, **fields.get(name, {})))
            for name in names
        ]
        packets = [packet.SerializeToString() for packet in (first, *more)]
        request = Request(
            call=5,
            user=self.alice.id,
            name=self.alice.name,
            session="s1",
            device="phone",
            conversation=self.ab,
            packet=packets[0],
            after="z",
            more=packets[1:],
        )
        self.requests.received(self.here, request)
        self.turn()

    def replies(self):
        return [
            (reply.call, reply.calls, reply.code, [body_of(packet).client_id for packet in reply.packets])
            for reply in self.here.take("reply")
        ]

    def before(self):
        """Have the Send stored that the first one names."""
        self.send(self.bob, "before", "z")
        self.turn()
        self.replies(), self.items.clear()

    def test_each_names_the_one_before(self):
        self.before()
        self.forward("abc")
        self.assertEqual(self.items, [("a", "z"), ("b", "a"), ("c", "b")])
        self.assertEqual(self.replies(), [(5, 3, "", ["a", "b", "c"])])

    def test_parts_are_answered_by_the_calls_that_they_are_of(self):
        self.before()
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)
        self.forward("abcde")
        self.assertEqual(self.replies(), [(5, 2, "", ["a", "b"]), (7, 2, "", ["c", "d"]), (9, 0, "", ["e"])])

    def test_of_those_of_which_one_is_invalid_each_goes_alone_and_names_the_one_before(self):
        self.before()
        self.forward("abc", b={"ref": "1-1"})
        self.assertEqual(self.items, [("a", "z"), ("c", "b")])
        self.assertEqual(
            sorted(self.replies()),
            [(5, 0, "", ["a"]), (6, 0, "invalid", ["b"]), (7, 0, native.OUT_OF_ORDER, [])],
        )

    def test_an_unexpected_error_is_answered(self):
        self.appender.put = lambda items, done: 1 / 0
        self.forward("ab")
        self.assertEqual(self.replies(), [(5, 0, "unavailable", ["a"]), (6, 0, "unavailable", ["b"])])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class PacketTests(RequestsCase):
    def test_malformed_requests(self):
        for body in (
            b"",
            b"\xff\xff",
            Packet(text="x").SerializeToString(),
            Packet(hello=Hello(ticket="t")).SerializeToString(),
            Packet(ping=Ping()).SerializeToString(),
            Packet(accepted={"client_id": "c"}).SerializeToString(),
        ):
            self.refused(body, "invalid")

    def test_an_unexpected_error_is_answered(self):
        self.requests._bodies["watch"] = lambda link, request, packet: 1 / 0
        self.refused(Packet(watch=Watch()), "unavailable")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_hint_is_not_answered(self):
        self.request(self.here, self.alice, Packet(typing=Typing(user=self.bob.id)), call=0)
        self.request(self.here, self.alice, Packet(typing=Typing(group=0)), call=0)
        self.assertEqual(self.here.items, [])
        (typing,) = self.there.bodies()
        self.assertEqual(typing.who, self.alice.id)

    # Sync

    def test_sync(self):
        first = self.say(self.alice, self.bob, "a").position
        second = self.say(self.alice, self.bob, "b").position
        code, (deliver, synced) = self.ask(
            self.there, self.bob, Packet(sync=Sync(conversation=self.ab, after=first, limit=5))
        )
        self.assertEqual((code, deliver.text, deliver.previous), ("", "b", first))
        self.assertEqual((synced.after, synced.upto, synced.more, synced.reset), (first, second, False, False))

    def test_refused_syncs(self):
        group = self.group(self.bob)
        for sync, code in (
            (Sync(conversation=f"p:{self.bob.id}:{self.carol.id}"), "forbidden"),
            (Sync(conversation=f"g:{group}"), "forbidden"),
            (Sync(conversation="g:4711"), "forbidden"),
            (Sync(conversation="nonsense"), "invalid"),
            (Sync(conversation=self.ab, after="nonsense"), "invalid"),
            (Sync(conversation=self.ab, after="1-1", before="1-2"), "invalid"),
            (Sync(after="nonsense"), "invalid"),
        ):
            self.refused(Packet(sync=sync), code)

    def test_syncs_with_any_limit_and_cursor(self):
        for _ in range(3):
            last = self.say(self.alice, self.bob, "x").position
        for limit, count in ((0, 3), (1, 1), (10**9, 3)):
            _, bodies = self.ask(self.here, self.alice, Packet(sync=Sync(conversation=self.ab, limit=limit)))
            self.assertEqual(len(bodies), count + 1)
        _, (synced,) = self.ask(self.here, self.alice, Packet(sync=Sync(conversation=self.ab, after=BEYOND)))
        self.assertEqual((synced.upto, synced.reset), (last, True))

    def test_the_next_page_of_heads(self):
        self.say(self.bob, self.alice, "x")
        _, (news,) = self.ask(self.here, self.alice, Packet(sync=Sync()))
        self.assertEqual([head.conversation for head in news.heads], [self.ab])

    def test_a_store_that_is_away(self):
        self.store.available = False
        self.refused(Packet(sync=Sync(conversation=self.ab)), "unavailable")
        self.refused(Packet(sync=Sync()), "unavailable")
        self.refused(Packet(send=self.to(self.bob, text="x", client_id="c")), "unavailable")

    # Receipts

    def test_receipts(self):
        said = self.say(self.alice, self.bob, "x").position
        received = Packet(received=Received(conversation=self.ab, position=said))
        self.assertEqual(self.ask(self.there, self.bob, received), ("", []))
        self.assertEqual(len(self.receipts), 1)
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(self.now(marks_of(self.store, self.bob.id, "phone", self.ab)), (said, ""))
        self.here.items.clear()
        self.assertEqual(
            self.ask(self.there, self.bob, Packet(read=Read(conversation=self.ab, position=said))), ("", [])
        )
        self.there.items.clear()
        self.clock.advance(0)
        self.assertEqual(self.now(marks_of(self.store, self.bob.id, "phone", self.ab)), (said, said))
        (read,) = self.here.bodies()
        self.assertEqual((read.conversation, read.position, read.reader), (self.ab, said, self.bob.id))
        # Not to the session that sent it.
        self.assertEqual(self.there.items, [])

    def test_invalid_receipts(self):
        for kind in (Received, Read):
            for conversation, position in (("nonsense", "1-1"), ("", "1-1"), (self.ab, "nonsense")):
                body = kind(conversation=conversation, position=position)
                self.refused(Packet(**{kind.__name__.lower(): body}), "invalid")

    def test_receipts_of_others_and_of_everyone_are_dropped(self):
        said = self.say(self.alice, self.bob, "x").position
        for name in (self.ab, "g:0", "g:4711"):
            packet = Packet(read=Read(conversation=name, position=said))
            self.assertEqual(self.ask(self.here, self.carol, packet), ("", []))
        self.here.items.clear()
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(self.now(marks_of(self.store, self.carol.id, "phone", self.ab)), ("", ""))
        self.assertEqual(self.here.items, [])

    # Heads

    def test_heads(self):
        self.say(self.bob, self.alice, "x")
        _, (welcome,) = self.ask(self.here, self.alice, purpose=HEADS)
        self.assertEqual([head.conversation for head in welcome.heads], [self.ab])
        self.assertEqual(welcome.as_of, str(int(self.clock.seconds() * 1000)))

    def test_heads_since(self):
        self.say(self.bob, self.alice, "x")
        self.clock.advance(3600)
        since = str(int(self.clock.seconds() * 1000))
        _, (welcome,) = self.ask(self.here, self.alice, purpose=HEADS, since=since)
        self.assertEqual(len(welcome.heads), 0)
        _, (welcome,) = self.ask(self.here, self.alice, purpose=HEADS, since="0")
        self.assertEqual(len(welcome.heads), 1)
        for nonsense in ("x", "-1", "1.5", "٣", " 1"):
            self.refused(None, "invalid", purpose=HEADS, since=nonsense)
        self.ask(self.here, self.alice, purpose=HEADS, since="9" * 300)
        self.refused(None, "invalid", purpose=HEADS, page="nonsense")

    def test_a_received_mark_counts_before_it_is_written(self):
        said = self.say(self.bob, self.alice, "x").position
        packet = Packet(received=Received(conversation=self.ab, position=said))
        self.ask(self.here, self.alice, packet, device=GUEST)
        self.ask(self.here, self.alice, Packet(read=Read(conversation=self.ab, position=said)), device=GUEST)
        _, (welcome,) = self.ask(self.here, self.alice, purpose=HEADS, device=GUEST)
        self.assertEqual(len(welcome.heads), 0)
        said = self.say(self.bob, self.alice, "y").position
        self.ask(self.here, self.alice, Packet(received=Received(conversation=self.ab, position=said)))
        self.ask(self.here, self.alice, Packet(read=Read(conversation=self.ab, position=said)))
        _, (news,) = self.ask(self.here, self.alice, Packet(sync=Sync()))
        self.assertEqual(len(news.heads), 0)

    # Typing and watching

    def test_typing_to_a_user(self):
        self.online(self.here, self.alice, "s2", "desk")
        self.assertEqual(self.ask(self.here, self.alice, Packet(typing=Typing(user=self.bob.id))), ("", []))
        (typing,) = self.there.bodies()
        self.assertEqual((typing.user, typing.who, typing.group), (self.bob.id, self.alice.id, 0))
        self.assertEqual(self.here.items, [])

    def test_typing_to_a_group(self):
        group = self.group(self.alice, self.bob)
        packet = Packet(typing=Typing(group=group))
        # Its members are not cached, and a typing note is not worth a look-up.
        self.ask(self.here, self.alice, packet)
        self.assertEqual(self.there.items, [])
        self.say(self.alice, group, "x")
        self.there.items.clear()
        self.ask(self.here, self.alice, packet)
        (typing,) = self.there.bodies()
        self.assertEqual((typing.group, typing.who), (group, self.alice.id))
        self.ask(self.here, self.carol, packet)
        self.assertEqual(self.there.items, [])

    def test_refused_typing(self):
        self.refused(Packet(typing=Typing(group=0)), "forbidden")
        self.refused(Packet(typing=Typing()), "invalid")
        self.refused(Packet(typing=Typing(user=self.alice.id)), "invalid")

    def test_watching(self):
        packet = Packet(watch=Watch(users=[self.bob.id, self.carol.id]))
        _, told = self.ask(self.here, self.alice, packet)
        self.assertEqual([(p.user_id, p.online) for p in told], [(self.bob.id, True), (self.carol.id, False)])
        self.online(self.there, self.carol, "c1")
        (presence,) = self.here.bodies()
        self.assertEqual((presence.user_id, presence.online), (self.carol.id, True))
        self.requests.session_closed(self.here, "s1")
        self.assertEqual(len(self.watching), 0)
        self.ask(self.here, self.alice, packet)
        self.requests.link_down(self.here)
        self.assertEqual(len(self.watching), 0)


class OpenTests(RequestsCase):
    def reserve(self, owner):
        self.now(self.store.sessions.reserve(self.alice.id, self.here.peer.place, owner, device="phone", seconds=30))

    def open(self, owner, link=None):
        link = link or self.here
        opening = Open(call=7, user=self.alice.id, name="alice", session="s9", owner=owner, device="phone")
        self.requests.opened(link, opening)
        (outcome,) = link.take("open_outcome")
        self.assertEqual(outcome.call, 7)
        return outcome

    def test_a_session_gets_its_record_and_its_groups(self):
        groups = [self.group(self.alice), self.group(self.bob, self.alice)]
        self.group(self.bob)
        self.reserve("mine")
        outcome = self.open("mine")
        self.assertEqual((outcome.code, sorted(outcome.groups)), ("", sorted(groups)))
        self.assertEqual(outcome.version, self.now(self.store.groups.changes(0))[1])
        (record,) = self.now(self.store.sessions.sessions(self.alice.id))
        self.assertTrue(record.live)

    def test_a_newer_login_holds_the_user(self):
        self.reserve("mine")
        self.reserve("newer")
        self.assertEqual(self.open("mine").code, "replaced")

    def test_the_store_is_away(self):
        self.store.available = False
        self.assertEqual(self.open("mine").code, "unavailable")

    def test_an_unexpected_error(self):
        self.reserve("mine")
        held = Held(self.recorder, "claim")
        self.requests._recorder = held
        self.requests.opened(self.here, Open(call=7, user=self.alice.id, owner="mine", device="phone"))
        self.assertEqual(self.here.items, [])
        held.fail(ValueError("?"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        (outcome,) = self.here.take("open_outcome")
        self.assertEqual(outcome.code, "unavailable")

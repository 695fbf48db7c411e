"""Concatenated bytes parse to the same message that protobuf itself would make from the fields."""

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.wire import native, packed
from cim.wire.cim_pb2 import Accepted, Packet, Send
from cim.wire.link_pb2 import Deliver, Item, Reply, Request

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
ids = st.integers(1, (1 << 53) - 1)
calls = st.integers(0, (1 << 63) - 1)
numbers = st.integers(0, (1 << 63) - 1)
names = st.sampled_from(["", "p:1:2", "p:1795435314963:1795435316216", "g:0", "g:9007199254740991"])
places = st.builds("{}-{}".format, numbers, numbers)
packets = st.binary(max_size=3000)
runs = st.lists(packets, max_size=5)
traces = st.one_of(st.just(b""), st.binary(min_size=24, max_size=24))


class PackedTests(SynchronousTestCase):
    @given(st.text("aé#", min_size=1, max_size=32), names, places, numbers, st.one_of(st.just(""), places))
    def test_accepted(self, client_id, conversation, position, sent_at, previous):
        found = Packet.FromString(packed.accepted(client_id, conversation, position, sent_at, previous))
        expected = Accepted(
            client_id=client_id, conversation=conversation, position=position, sent_at=sent_at, previous=previous
        )
        self.assertEqual(found, Packet(accepted=expected))

    @given(ids, texts, numbers, st.text("aé#", min_size=1, max_size=32), texts, st.one_of(st.just(0), ids))
    def test_text_body(self, sender, name, sent_at, client_id, text, group):
        send = Send(client_id=client_id, text=text, group=group) if group else Send(client_id=client_id, text=text)
        found = native.parse_body(packed.text_body(sender, name, sent_at, client_id, text, group))
        self.assertEqual(found, native.parse_body(native.body_of(send, sender, name, sent_at)))

    @given(calls, packets)
    def test_reply(self, call, packet):
        self.assertEqual(Item.FromString(packed.reply(call, packet)), Item(reply=Reply(call=call, packets=[packet])))

    @given(calls, st.lists(packets, min_size=2, max_size=200))
    def test_replies(self, call, answers):
        expected = Reply(call=call, packets=answers, calls=len(answers))
        self.assertEqual(Item.FromString(packed.replies(call, answers)), Item(reply=expected))

    @given(calls, ids, texts, st.text("0123456789", max_size=12), texts, names, packets, texts, traces, runs)
    def test_request(self, call, user, name, session, device, conversation, packet, after, trace, more):
        asker = packed.asker(user, name, session, device)
        found = Item.FromString(packed.request(call, asker, conversation, packet, after, trace, more))
        expected = Request(
            call=call,
            user=user,
            name=name,
            session=session,
            device=device,
            conversation=conversation,
            packet=packet,
            after=after,
            trace=trace,
            more=more,
        )
        self.assertEqual(found, Item(request=expected))

    @given(
        st.lists(ids, max_size=100),
        packets,
        st.integers(0, 1000),
        st.tuples(calls, st.one_of(st.just(0), ids), st.booleans(), st.one_of(st.just(0), ids), names),
        st.booleans(),
        traces,
        runs,
    )
    def test_deliver(self, users, packet, batch, to, repeated, trace, more):
        call, group, everyone, except_user, except_session = to
        common = packed.pushed(packet, repeated, batch, trace, more)
        found = packed.deliver(
            common,
            users,
            call=call,
            group=group,
            everyone=everyone,
            except_user=except_user,
            except_session=except_session,
        )
        expected = Deliver(
            call=call,
            users=users,
            group=group,
            everyone=everyone,
            except_user=except_user,
            except_session=except_session,
            packet=packet,
            repeated=repeated,
            batch=batch,
            more=more,
            trace=trace,
        )
        self.assertEqual(Item.FromString(found), Item(deliver=expected))

"""Events as webhooks get them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.model import Entry, Happened, Happening
from cim.route.events.event import Event, event_of, gap
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL, TEXT, Send

AT = 1_700_000_000_123


def entry(send, sender=7, position="5-3"):
    return Entry(position, "5-2", native.body_of(send, sender, "alice", AT))


class EventTests(SynchronousTestCase):
    def test_a_message(self):
        event = event_of("p:7:9", entry(Send(user=9, client_id="c1", text="hello é", data=b"\0\1", content_type="a/b")))
        self.assertEqual(
            json.loads(event.body()),
            {
                "type": "message.sent",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "data": {
                    "conversation": "p:7:9",
                    "position": "5-3",
                    "sender": 7,
                    "sender_name": "alice",
                    "receiver": 9,
                    "sent_at": AT,
                    "client_id": "c1",
                    "text": "hello é",
                    "data": "AAE=",
                    "content_type": "a/b",
                    "kind": "TEXT",
                    "ref": "",
                    "edited": False,
                    "by_operator": False,
                },
            },
        )
        self.assertEqual((event.type, event.conversation), ("message.sent", "p:7:9"))

    def test_what_refers_to_messages(self):
        for kind, type in ((EDIT, "message.edited"), (RECALL, "message.recalled"), (REACTION, "message.reaction")):
            event = event_of("g:4", entry(Send(group=4, client_id="c", kind=kind, ref="5-1", text="x")))
            self.assertEqual((event.type, event.data["ref"], event.data["group"]), (type, "5-1", 4))
            self.assertNotIn("receiver", event.data)

    def test_what_the_cluster_says(self):
        said = entry(Send(kind=RECALL, ref="5-1", client_id="erase-5-1"), sender=0)
        self.assertEqual(event_of("p:7:9", said).data["receiver"], 0)

    def test_groups(self):
        happened = [Happened(11, Happening.ADDED, 9, 7, "")]
        event = event_of("g:4", Entry("5-3", "5-2", native.members_body(happened, 4, "members-11", AT)))
        self.assertEqual(event.type, "group.changed")
        self.assertEqual(
            event.data,
            {
                "conversation": "g:4",
                "position": "5-3",
                "group": 4,
                "sent_at": AT,
                "changes": [{"what": "added", "user": 9, "by": 7, "text": ""}],
            },
        )

    def test_what_cannot_be_decoded(self):
        self.assertIsNone(event_of("g:4", Entry("5-3", "5-2", b"\xff")))

    def test_gaps(self):
        event = gap("g:4", "5-1", "5-9", AT)
        self.assertEqual(event.data, {"conversation": "g:4", "after": "5-1", "upto": "5-9"})

    def test_ids(self):
        """They are the same again, and different for all else."""
        one = entry(Send(user=9, client_id="c", text="a"))
        ids = [
            event_of("p:7:9", one).id("shop"),
            event_of("p:7:9", one).id("other"),
            event_of("p:7:8", one).id("shop"),
            event_of("p:7:9", entry(Send(user=9, client_id="c", text="a"), position="5-4")).id("shop"),
            gap("p:7:9", "5-1", "5-3", AT).id("shop"),
            gap("p:7:9", "5-1", "5-4", AT).id("shop"),
        ]
        self.assertEqual(len({*ids}), len(ids))
        # Its text may have been edited since.
        again = entry(Send(user=9, client_id="c", text="b"))
        self.assertEqual(event_of("p:7:9", again).id("shop"), ids[0])

    @given(*[st.text("ab\nc é", max_size=4)] * 4)
    def test_ids_are_of_both(self, webhook, key, other, other_key):
        one, two = Event("x", 0, {}, key).id(webhook), Event("x", 0, {}, other_key).id(other)
        self.assertRegex(one, "^evt_[A-Za-z0-9_-]{24}$")
        if "\n" not in webhook + other:
            self.assertEqual(one == two, (webhook, key) == (other, other_key))

    @given(st.text(max_size=100), st.binary(max_size=50))
    def test_whatever_is_said(self, text, data):
        try:
            text.encode()
        except UnicodeEncodeError:
            return
        event = event_of("p:7:9", entry(Send(user=9, client_id="c", text=text, data=data, kind=TEXT)))
        self.assertEqual(json.loads(event.body())["data"]["text"], text)

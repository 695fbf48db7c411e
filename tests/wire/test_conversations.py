"""Names of conversations: each has one, and everything else is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.model import ID_LIMIT
from cim.wire import conversations
from cim.wire.conversations import GroupConversation, PrivateConversation

IDS = st.integers(1, ID_LIMIT - 1)


class NameTests(SynchronousTestCase):
    @given(IDS, IDS)
    def test_two_people_have_one_name(self, one, other):
        if one == other:
            self.assertRaises(InvalidField, conversations.private, one, other)
            return
        name = conversations.private(one, other)
        self.assertEqual(name, conversations.private(other, one))
        parsed = conversations.parse(name)
        self.assertEqual(parsed, PrivateConversation(min(one, other), max(one, other)))
        self.assertEqual(parsed.name, name)
        self.assertEqual((parsed.other(one), parsed.other(other)), (other, one))

    @given(st.integers(0, ID_LIMIT - 1))
    def test_a_group_has_one_name(self, id):
        name = conversations.group(id)
        self.assertEqual(conversations.parse(name), GroupConversation(id))
        self.assertEqual(conversations.parse(name).name, name)

    def test_everyone(self):
        self.assertEqual(conversations.parse(conversations.EVERYONE), GroupConversation(0))

    def test_who_is_involved(self):
        parsed = conversations.parse("p:3:7")
        self.assertEqual([user for user in range(10) if parsed.involves(user)], [3, 7])

    def test_invalid_ids(self):
        for pair in ((0, 1), (1, 0), (-1, 1), (1, ID_LIMIT)):
            self.assertRaises(InvalidField, conversations.private, *pair)
        for id in (-1, ID_LIMIT):
            self.assertRaises(InvalidField, conversations.group, id)

    def test_refused(self):
        for name in (
            "", "p", "p:", "p:1", "p:1:", "p:1:1", "p:2:1", "p:01:2", "p:1:02", "p:0:1", "p:-1:2", "p:+1:2", "p:1:2 ",
            " p:1:2", "p:1:2\n", "P:1:2", "p:1:2:3", "p:1 :2", "p:1:٢", "p:1_0:20", f"p:1:{ID_LIMIT}",
            "p:1:" + "9" * 40, "g", "g:", "g:00", "g:01", "g:-0", "g:1}", "g:{1}", "g:0x1", "g:1 ", "g:1\n", "g:1\0",
            f"g:{ID_LIMIT}", "g:1:2", "p:{1}:2", "cim:p:1:2", "p:1:2}{", "g:٣",
        ):  # fmt: skip
            error = self.assertRaises(InvalidField, conversations.parse, name)
            self.assertEqual(error.field, "conversation")

    @given(st.one_of(st.text(), st.text("pg:0123456789", max_size=12)))
    def test_nothing_else_is_parsed(self, name):
        try:
            parsed = conversations.parse(name)
        except InvalidField:
            return
        self.assertEqual(parsed.name, name)

"""Tests of the index of online users by name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.model import MAX_NAME, Place
from cim.route.presence.online_names import OnlineNames
from cim.route.presence.presence import Host, Presence

NAMES = ["a", "ab", "abc", "b", "\U0010ffff", "a\U0010ffff\U0010ffff\U0010ffff", "张", "张三", "Z", "é"]


class OnlineNamesTests(SynchronousTestCase):
    """A model test against a list that is searched linearly."""

    def setUp(self):
        self.presence = Presence()
        self.names = OnlineNames(self.presence)
        self.host = self.presence.hosts["s"] = Host(Place("s", "1"), None)

    def open(self, user, name, session, device="phone"):
        self.presence.opened(self.host, user, name, session, session, True, device)

    def test_a_user_is_listed_once_until_the_last_session_ends(self):
        self.open(1, "alice", "one")
        self.open(1, "alice", "two", "desk")
        self.open(1, "alice", "one")
        self.assertEqual([user.id for user in self.names.page("", "", 9)[0]], [1])
        self.presence.closed(self.host, "one", True)
        self.assertEqual(len(self.names), 1)
        self.presence.closed(self.host, "two", True)
        self.presence.closed(self.host, "two", True)
        self.assertEqual((len(self.names), self.names.page("", "", 9)), (0, ([], 0, False)))

    def test_a_server_that_dies_takes_its_users_along(self):
        other = self.presence.hosts["t"] = Host(Place("t", "1"), None)
        self.open(1, "alice", "one")
        self.open(2, "bob", "two")
        self.presence.opened(other, 2, "bob", "one", "x", True, "desk")
        self.presence.forget(self.host)
        self.assertEqual([user.name for user in self.names.page("", "", 9)[0]], ["bob"])

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(
        st.sets(st.sampled_from(NAMES)), st.sampled_from(["", *NAMES]), st.sampled_from(["", *NAMES]), st.integers(1, 4)
    )
    def test_pages(self, there, prefix, after, limit):
        self.setUp()
        for user, name in enumerate(sorted(there), 1):
            self.open(user, name, name)
        wanted = [name for name in sorted(there) if name.startswith(prefix)]
        behind = [name for name in wanted if name > after]
        users, total, more = self.names.page(prefix, after, limit)
        self.assertEqual([user.name for user in users], behind[:limit])
        self.assertEqual((total, more), (len(wanted), len(behind) > limit))

    def test_the_longest_name_of_the_last_code_point(self):
        name = "\U0010ffff" * MAX_NAME
        self.open(1, name, "one")
        self.assertEqual(self.names.page("\U0010ffff", "", 9)[1], 1)

"""Where conversations begin, what is asked for, and what is acknowledged when."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.inbox import MAX_SYNCS, Inbox
from cim.client.values import Message, User
from cim.wire.cim_pb2 import Head, News
from cim.wire.reader import HEADS_SECONDS

TALK = "p:1:2"


class Reader:
    def __init__(self):
        self.said = []
        self.given = []
        self.kept = []
        self.wants = True

    def say(self, **body):
        ((kind, value),) = body.items()
        self.said.append((kind, value.conversation, value.after if kind == "sync" else value.position))

    def hand(self, message):
        if self.wants:
            self.given.append(message.position)
        return self.wants

    def keep(self, message, conversation, place):
        self.kept.append((message.position if message else None, conversation, place))


class InboxTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1000)
        self.reader = Reader()
        self.inbox = Inbox(self.reader, self.clock, lambda: 0.5)

    def deliver(self, position, previous="", conversation=TALK):
        message = Message(conversation, position, User(2, "bob"), 0, "text")
        self.inbox.deliver(message, previous)

    def begin(self, *heads, more="", **baseline):
        self.inbox.begin(heads, more, {name.replace("_", ":"): place for name, place in baseline.items()})

    def head(self, latest, received="", read="", conversation=TALK):
        return Head(conversation=conversation, latest=latest, received=received, read=read)

    def said(self):
        self.clock.advance(0)
        said, self.reader.said = self.reader.said, []
        return said

    def test_a_head_is_fetched_from_what_this_device_acknowledged(self):
        self.begin(self.head("1-9", received="1-4", read="1-7"))
        self.assertEqual(self.said(), [("sync", TALK, "1-4")])
        self.assertEqual(self.reader.kept, [(None, TALK, "1-4")])

    def test_on_a_new_device_from_what_was_read(self):
        self.begin(self.head("1-9", read="1-7"))
        self.assertEqual(self.said(), [("sync", TALK, "1-7")])

    def test_what_is_stored_knows_best(self):
        self.inbox.load({TALK: "1-8"})
        self.begin(self.head("1-9", received="1-4"))
        self.assertEqual(self.said(), [("sync", TALK, "1-8")])

    def test_in_no_head_it_begins_at_its_end(self):
        self.begin(p_1_2="1-5")
        self.deliver("1-6", "1-5")
        self.assertEqual((self.reader.given, self.said()), (["1-6"], []))
        self.deliver("1-8", "1-7")
        self.clock.advance(0.3)
        self.assertEqual((self.reader.given, self.said()), (["1-6"], [("sync", TALK, "1-6")]))

    def test_its_end_is_stored_so_that_a_restart_knows_it(self):
        self.begin(p_1_2="1-5")
        self.assertEqual(self.reader.kept, [(None, TALK, "1-5")])

    def test_a_new_one_begins_at_its_beginning(self):
        self.begin()
        self.deliver("1-2", "1-1")
        self.clock.advance(0.3)
        self.assertEqual((self.reader.given, self.said()), ([], [("sync", TALK, "")]))

    def test_everyone_begins_with_what_comes_and_is_asked_for_in_the_next_session(self):
        self.begin()
        self.deliver("1-5", "1-4", "g:0")
        self.assertEqual((self.reader.given, self.said()), (["1-5"], []))
        self.inbox.kept({"g:0": "1-5"})
        self.clock.advance(2)
        self.assertEqual(self.said(), [], "of what is said to everyone nothing is acknowledged")
        self.inbox.ended()
        self.begin()
        self.assertEqual(self.said(), [("sync", "g:0", "1-5")])
        self.inbox.synced("g:0", "1-5", "1-5", False, False)
        self.clock.advance(60)
        self.assertEqual(self.said(), [])

    def test_while_pages_of_heads_are_missing_what_is_unknown_waits(self):
        self.begin(more="m", p_1_2="1-5")
        self.assertEqual(self.said(), [("sync", "", "m")])
        self.assertFalse(self.inbox.complete)
        self.deliver("1-7", "1-6")
        self.assertEqual(self.reader.given, [])
        self.inbox.news(News(heads=[self.head("1-6", received="1-3")]))
        self.assertTrue(self.inbox.complete)
        self.assertEqual(self.said(), [("sync", TALK, "1-3")])
        self.inbox.ended()
        # Without a head it goes on from its end, and what came meanwhile is fetched.
        other = self.inbox = Inbox(self.reader, self.clock, lambda: 0.5)
        self.begin(more="m", p_1_2="1-5")
        self.said()
        self.deliver("1-7", "1-6")
        other.news(News())
        self.assertEqual(self.said(), [("sync", TALK, "1-5")])

    def test_pages_of_heads_that_do_not_come_are_asked_for_again(self):
        self.begin(more="m")
        self.said()
        self.clock.advance(HEADS_SECONDS)
        self.assertEqual(self.said(), [("sync", "", "m")])
        self.inbox.failed("", 3)
        self.clock.advance(2)
        self.assertEqual(self.said(), [])
        self.clock.advance(1)
        self.assertEqual(self.said(), [("sync", "", "m")])

    def test_heads_that_nobody_asked_for_end_no_list(self):
        self.begin(more="m", p_1_2="1-9")
        self.inbox.news(News(heads=[self.head("1-1", conversation="p:1:3")], unasked=True))
        self.assertFalse(self.inbox.complete)
        self.inbox.news(News(heads=[self.head("1-9", received="1-4")]))
        self.assertTrue(self.inbox.complete)
        self.assertEqual(self.inbox.held(TALK), "1-4")

    def test_a_failure_about_another_conversation_changes_nothing_for_pages_of_heads(self):
        self.begin(more="m")
        self.said()
        self.inbox.failed("p:8:9", 1)
        self.clock.advance(HEADS_SECONDS - 1)
        self.assertEqual(self.said(), [])
        self.clock.advance(1)
        self.assertEqual(self.said(), [("sync", "", "m")])

    def test_so_many_pages_are_asked_for_at_a_time(self):
        names = [f"p:1:{other}" for other in range(2, 30)]
        self.begin(*(self.head("1-9", received="1-1", conversation=name) for name in names))
        first = [name for _, name, _ in self.said()]
        self.assertEqual(len(first), MAX_SYNCS)
        self.inbox.synced(first[0], "1-1", "1-9", False, False)
        self.assertEqual(len(self.said()), 1)
        for _ in names:
            for name in first:
                self.inbox.synced(name, "1-1", "1-9", False, False)
            first = [name for _, name, _ in self.said()]
        self.clock.advance(5)
        self.assertEqual(self.said(), [])

    def test_a_page_that_was_asked_for_on_a_lost_connection_is_asked_for_in_the_next(self):
        self.begin(self.head("1-9", received="1-4"))
        self.said()
        self.inbox.ended()
        self.clock.advance(1)
        self.assertEqual(self.said(), [])
        self.begin()
        self.assertEqual(self.said(), [("sync", TALK, "1-4")])

    def test_a_failure_waits(self):
        self.begin(self.head("1-9", received="1-4"))
        self.said()
        self.inbox.failed(TALK, 5)
        self.clock.advance(4)
        self.assertEqual(self.said(), [])
        self.clock.advance(1)
        self.assertEqual(self.said(), [("sync", TALK, "1-4")])

    def test_a_place_that_moves_without_messages_is_stored(self):
        self.begin(self.head("1-9", received="1-4"))
        self.said()
        self.inbox.synced(TALK, "1-4", "1-9", False, True)
        self.assertEqual(self.reader.kept[-1], (None, TALK, "1-9"))
        self.assertEqual(self.inbox.held(TALK), "1-9")

    def test_a_store_that_lost_its_tail(self):
        self.inbox.load({TALK: "1-9"})
        self.begin(self.head("2-1"))
        self.said()
        self.inbox.synced(TALK, "1-9", "1-5", True, True)
        self.clock.advance(0.3)
        self.assertEqual((self.reader.kept[-1], self.said()), ((None, TALK, "1-5"), [("sync", TALK, "1-5")]))

    def test_nobody_wants_more(self):
        self.begin()
        self.deliver("1-1")
        self.reader.wants = False
        self.deliver("1-2", "1-1")
        self.assertEqual(self.reader.kept, [("1-1", TALK, "1-1")])

    def test_receipts_at_most_once_a_second(self):
        self.begin()
        for n in range(1, 10):
            self.deliver(f"1-{n}", f"1-{n - 1}" if n > 1 else "")
            self.inbox.kept({TALK: f"1-{n}"})
            self.clock.advance(0.25)
        self.clock.advance(1)
        self.assertEqual([place for _, _, place in self.said()], ["1-1", "1-5", "1-9"])

    def test_what_was_acknowledged_and_is_written_again_asks_for_no_receipt(self):
        self.begin()
        self.deliver("1-1")
        self.inbox.kept({TALK: "1-1"})
        self.assertEqual(self.said(), [("received", TALK, "1-1")])
        self.inbox.kept({TALK: "1-1"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_receipt_that_waited_goes_out_in_the_next_session(self):
        self.begin()
        self.deliver("1-1")
        self.inbox.ended()
        self.inbox.kept({TALK: "1-1"})
        self.clock.advance(5)
        self.assertEqual(self.said(), [])
        self.begin()
        self.assertEqual(self.said(), [("received", TALK, "1-1")])

    def test_what_is_stored_is_not_acknowledged_anew(self):
        self.inbox.load({TALK: "1-8"})
        self.begin()
        self.clock.advance(5)
        self.assertEqual((self.said(), self.clock.getDelayedCalls()), ([], []))

    def test_closed(self):
        self.begin(self.head("1-9", received="1-4"), more="m")
        self.inbox.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

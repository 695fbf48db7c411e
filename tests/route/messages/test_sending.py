"""Tests of sending messages: rights, order, and who gets them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from cim.errors import (
    AccountMismatch,
    Conflict,
    Forbidden,
    NotFound,
    StoreUnavailable,
)
from cim.model import GUEST, Account, Append, Appended, Entry
from cim.route.messages import sending
from cim.route.messages.outgoing import Outgoing
from cim.route.messages.sending import REVISION_SECONDS
from cim.wire import conversations
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL, Packet
from cim.wire.error_table import row_of
from tests.route.route_case import Held, RouteCase


class SendingTests(RouteCase):
    """Tests of rights, and of who gets a message."""

    def refused(self, result, error):
        self.assertIsInstance(result, error)

    def test_a_message_is_stored_then_acknowledged_then_pushed(self):
        link = self.link()
        self.online(link, self.bob)
        accepted = self.say(self.alice, self.bob, "hello", "c1")
        (deliver,) = link.bodies()
        self.assertEqual(
            (deliver.conversation, deliver.position, deliver.previous, deliver.sender, deliver.sender_name),
            (self.ab, accepted.position, "", self.alice.id, "alice"),
        )
        self.assertEqual((deliver.text, deliver.client_id, deliver.sent_at), ("hello", "c1", accepted.sent_at))
        self.assertEqual(self.stored(self.ab), ["hello"])
        self.assertEqual(self.metrics.messages_in, 1)

    def test_nothing_is_pushed_unless_it_was_stored(self):
        link = self.link()
        self.online(link, self.bob)
        self.accounts.keep(self.bob)
        self.store.available = False
        self.refused(self.say(self.alice, self.bob, "hello"), StoreUnavailable)
        self.assertEqual(link.items, [])

    def test_a_receiver_that_does_not_exist(self):
        self.refused(self.say(self.alice, Account(4711, "?"), "hello"), AccountMismatch)
        self.assertEqual(row_of(self.fates[-1][1]).failure, "not-found")
        self.assertEqual(self.stored(conversations.private(self.alice.id, 4711)), [])

    def test_a_group_that_does_not_exist_or_that_the_sender_is_not_in(self):
        group = self.group(self.bob)
        self.refused(self.say(self.alice, 4711, "hello"), NotFound)
        self.refused(self.say(self.alice, group, "hello"), Forbidden)
        self.assertEqual(self.stored(f"g:{group}"), [])

    def test_a_repetition_is_the_same_message_and_is_pushed_again(self):
        link = self.link()
        self.online(link, self.bob)
        first = self.say(self.alice, self.bob, "hello", "c1")
        self.say(self.alice, self.bob, "more", "c2")
        again = self.say(self.alice, self.bob, "hello", "c1")
        self.assertEqual((first.position, first.previous), (again.position, again.previous))
        self.assertEqual(self.stored(self.ab), ["hello", "more"])
        self.assertEqual(
            [(deliver.text, deliver.position) for deliver in link.bodies()][::2],
            [("hello", first.position), ("hello", first.position)],
        )

    def test_pushes_of_repetitions_are_marked(self):
        link = self.link()
        self.online(link, self.bob)
        for _ in range(2):
            self.say(self.alice, self.bob, "hello", "c1")
        self.assertEqual([deliver.repeated for deliver in link.take("deliver")], [False, True])

    def test_the_same_id_for_another_message_is_a_conflict(self):
        self.say(self.alice, self.bob, "hello", "c1")
        self.refused(self.say(self.alice, self.bob, "other", "c1"), Conflict)

    def test_rights_come_before_repetitions(self):
        group = self.group(self.bob, self.alice)
        self.assertIsInstance(self.say(self.alice, group, "hello", "c1"), Appended)
        self.now(self.store.groups.remove(group, self.alice.id, self.alice.id))
        self.refused(self.say(self.alice, group, "hello", "c1"), Forbidden)

    def test_a_message_to_a_group_goes_to_its_members(self):
        group = self.group(self.bob, self.alice)
        link = self.link()
        for number, who in enumerate((self.alice, self.bob, self.carol)):
            self.online(link, who, f"s{number}")
        self.say(self.alice, group, "hello", link=link, session="s0")
        (deliver,) = link.take("deliver")
        self.assertEqual(sorted(deliver.users), [self.bob.id])

    def test_the_senders_other_sessions_get_it(self):
        link, other = self.link(0), self.link(1)
        self.online(link, self.alice, "s1", "phone")
        self.online(link, self.alice, "s2", "desk")
        self.online(other, self.alice, "s1", "tablet")  # at another server
        self.say(self.alice, self.bob, "hello", link=link, session="s1")
        (here,), (there,) = link.take("deliver"), other.take("deliver")
        self.assertEqual((list(here.users), here.except_session), ([self.alice.id], "s1"))
        self.assertEqual((list(there.users), there.except_session), ([self.alice.id], ""))

    def test_guests_get_the_same_messages_as_everyone(self):
        """Messages that guests are not shown still advance their place."""
        link = self.link()
        self.online(link, self.bob, device=GUEST)
        first = self.say(self.alice, self.bob, "hello")
        self.react(self.alice, self.bob, first.position)
        self.edit(self.alice, self.bob, first.position, "bye")
        self.assertEqual([deliver.text for deliver in link.bodies()], ["hello", "+", "bye"])

    def test_a_repetition_says_that_it_is_one(self):
        link = self.link()
        self.online(link, self.bob)
        for _ in range(2):
            self.say(self.alice, self.bob, "hello", client_id="1")
        self.assertEqual([deliver.repeated for deliver in link.take("deliver")], [False, True])

    # RECALL, EDIT, REACTION

    def test_only_the_author_recalls_and_edits(self):
        said = self.say(self.alice, self.bob, "hello")
        self.refused(self.recall(self.bob, self.alice, said.position), Forbidden)
        self.refused(self.edit(self.bob, self.alice, said.position, "x"), Forbidden)
        self.assertIsInstance(self.react(self.bob, self.alice, said.position), Appended)
        self.assertIsInstance(self.edit(self.alice, self.bob, said.position, "x"), Appended)
        self.assertIsInstance(self.recall(self.alice, self.bob, said.position), Appended)

    def test_references_to_nothing(self):
        said = self.say(self.alice, self.bob, "hello")
        epoch = said.position.split("-")[0]
        for kind in (RECALL, EDIT, REACTION):
            text = "" if kind == RECALL else "x"
            for ref in (f"{epoch}-99", "1-1"):
                self.refused(self.say(self.alice, self.bob, text, kind=kind, ref=ref), NotFound)

    def test_references_must_name_a_text(self):
        said = self.say(self.alice, self.bob, "hello")
        for other in (
            self.edit(self.alice, self.bob, said.position, "x"),
            self.react(self.alice, self.bob, said.position),
            self.recall(self.alice, self.bob, said.position),
        ):
            self.refused(self.edit(self.alice, self.bob, other.position, "y"), Forbidden)
            self.refused(self.recall(self.alice, self.bob, other.position), Forbidden)
            self.refused(self.react(self.alice, self.bob, other.position), Forbidden)

    def test_a_recalled_text_is_gone(self):
        said = self.say(self.alice, self.bob, "hello")
        self.assertIsInstance(self.recall(self.alice, self.bob, said.position, client_id="r"), Appended)
        self.refused(self.edit(self.alice, self.bob, said.position, "x"), NotFound)
        self.refused(self.react(self.bob, self.alice, said.position), NotFound)
        # Recalling it again does no harm.
        self.assertIsInstance(self.recall(self.alice, self.bob, said.position, client_id="r"), Appended)
        self.assertEqual(self.stored(self.ab), ["", ""])

    def test_an_edit_behind_a_recall_finds_it_recalled(self):
        said = self.say(self.alice, self.bob, "hello")
        link = self.link()
        self.online(link, self.bob)
        self.put(self.alice, self.to(self.bob, kind=RECALL, ref=said.position, client_id="r"))
        self.put(self.alice, self.to(self.bob, text="x", kind=EDIT, ref=said.position, client_id="e"))
        self.put(self.alice, self.to(self.bob, text="on", client_id="o"))
        self.turn()
        self.assertEqual(
            [(name, type(result).__name__) for name, result in self.fates[1:]],
            [("r", "Appended"), ("e", "NotFound"), ("o", "Appended")],
        )
        self.assertEqual([deliver.text for deliver in link.bodies()], ["", "on"])

    def test_a_stored_revision_is_a_repetition_whatever_became_of_its_text(self):
        said = self.say(self.alice, self.bob, "hello")
        edited = self.edit(self.alice, self.bob, said.position, "x", client_id="e")
        self.recall(self.alice, self.bob, said.position)
        again = self.edit(self.alice, self.bob, said.position, "x", client_id="e")
        self.assertEqual((again.position, again.repeated), (edited.position, True))

    def test_a_trimmed_text_cannot_be_revised(self):
        """The text goes between the look-up and the append."""
        said = self.say(self.alice, self.bob, "hello")
        self.sending._store = hold = Held(self.store.conversations, "entry")
        self.put(self.alice, self.to(self.bob, text="x", kind=EDIT, ref=said.position, client_id="e"))
        hold.go()
        self.now(
            self.store.conversations.append(
                [Append(self.ab, self.alice.id, "r", b"d", b"", said.sent_at, counts=False, recalls=said.position)]
            )
        )
        self.turn()
        self.refused(self.fates[-1][1], NotFound)

    def test_a_failed_recall_does_not_hold_up_others(self):
        said = self.say(self.alice, self.bob, "hello")
        self.put(self.alice, self.to(self.bob, kind=RECALL, ref=said.position, client_id="r"))
        self.put(self.alice, self.to(self.bob, text="on", client_id="o"))
        self.store.available = False
        self.turn()
        self.store.available = True
        self.turn()
        self.assertIsInstance(self.say(self.alice, self.bob, "later"), Appended)
        self.assertEqual(self.sending._waiting, {})

    def test_a_repeated_text_that_was_recalled_is_pushed_blank(self):
        link = self.link()
        said = self.say(self.alice, self.bob, "hello", "c1")
        self.recall(self.alice, self.bob, said.position)
        self.online(link, self.bob)
        again = self.say(self.alice, self.bob, "hello", "c1")
        (deliver,) = link.bodies()
        self.assertEqual((again.position, deliver.text), (said.position, ""))

    def test_revisions_are_refused_after_a_day(self):
        said = self.say(self.alice, self.bob, "hello")
        self.clock.advance(REVISION_SECONDS - 1)
        self.assertIsInstance(self.edit(self.alice, self.bob, said.position, "x"), Appended)
        self.clock.advance(2)
        self.refused(self.edit(self.alice, self.bob, said.position, "y"), Forbidden)
        self.refused(self.recall(self.alice, self.bob, said.position), Forbidden)
        self.assertIsInstance(self.react(self.bob, self.alice, said.position), Appended)

    # Everyone

    def test_sending_to_everyone_needs_no_membership(self):
        link, other = self.link(0), self.link(1)
        said = self.say(self.alice, 0, "hello", link=link, session="s1")
        self.assertIsInstance(said, Appended)
        (here,), (there,) = link.take("deliver"), other.take("deliver")
        self.assertTrue(here.everyone and there.everyone)
        self.assertEqual((here.except_session, there.except_session), ("s1", ""))
        told = Packet.FromString(here.packet).deliver
        self.assertEqual((told.conversation, told.position), ("g:0", said.position))

    def test_messages_to_everyone_cannot_be_revised(self):
        said = self.say(self.alice, 0, "hello")
        for kind in (RECALL, EDIT, REACTION):
            result = self.say(self.alice, 0, "" if kind == RECALL else "x", kind=kind, ref=said.position)
            self.refused(result, Forbidden)

    # Waiting callers

    def test_send(self):
        message = Outgoing(self.alice, self.to(self.bob, text="x", client_id="1"), self.ab, 1)
        sent = self.sending.send(message)
        self.turn()
        self.assertEqual(self.stored(self.ab), ["x"])
        self.assertEqual(self.successResultOf(sent).previous, "")
        group = self.group(self.bob)
        message = Outgoing(self.alice, self.to(group, text="x", client_id="1"), f"g:{group}", 1)
        sent = self.sending.send(message)
        self.turn()
        self.failureResultOf(sent, Forbidden)

    def test_cancelling_the_caller_does_not_end_the_send(self):
        link = self.link()
        self.online(link, self.bob)
        message = Outgoing(self.alice, self.to(self.bob, text="x", client_id="1"), self.ab, 1)
        sent = self.sending.send(message)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.turn()
        self.assertEqual(self.stored(self.ab), ["x"])
        self.assertEqual([deliver.text for deliver in link.bodies()], ["x"])


class OrderTests(RouteCase):
    """Messages that wait for a look-up keep the order of their conversation."""

    def setUp(self):
        super().setUp()
        self.here = self.link()

    def hold_entries(self):
        self.hold = self.sending._store = Held(self.store.conversations, "entry")

    def names(self):
        return [name for name, _ in self.fates]

    def outcomes(self):
        return [(name, type(result).__name__) for name, result in self.fates]

    def test_nothing_overtakes_a_waiting_message(self):
        said = self.say(self.alice, self.bob, "hello", "0")
        self.hold_entries()
        self.put(self.alice, self.to(self.bob, text="+", kind=EDIT, ref=said.position, client_id="1"))
        self.put(self.alice, self.to(self.bob, text="after", client_id="2"))
        self.put(self.alice, self.to(self.carol, text="elsewhere", client_id="3"))
        self.turn()
        self.assertEqual(self.names(), ["0", "3"])
        self.hold.go()
        self.turn()
        self.assertEqual(self.names(), ["0", "3", "1", "2"])
        self.assertEqual(self.stored(self.ab), ["+", "+", "after"])
        self.assertEqual(self.sending._waiting, {})

    def wait(self):
        """Set up an edit that waits, and two messages of its author behind it; another user's does not wait."""
        said = self.say(self.alice, self.bob, "hello", "0")
        self.hold_entries()
        self.put(self.alice, self.to(self.bob, text="+", kind=EDIT, ref=said.position, client_id="1"))
        for name in "23":
            self.put(self.alice, self.to(self.bob, text=name, client_id=name), after=str(int(name) - 1))
        self.put(self.bob, self.to(self.alice, text="another's", client_id="4"))
        self.turn()
        self.assertEqual(self.outcomes(), [("0", "Appended"), ("4", "Appended")])
        self.fates.clear()

    def test_messages_behind_a_failed_look_up_are_out_of_order(self):
        self.wait()
        self.hold.fail(StoreUnavailable())
        self.turn()
        self.assertEqual(self.outcomes(), [("1", "StoreUnavailable"), ("2", "OutOfOrder"), ("3", "OutOfOrder")])
        self.assertEqual(self.stored(self.ab), ["hello", "another's"])
        self.assertEqual(self.sending._waiting, {})

    def test_an_unexpected_error_fails_only_that_message(self):
        self.wait()
        self.hold.fail(ValueError("?"))
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.outcomes(), [("1", "Unavailable"), ("2", "OutOfOrder"), ("3", "OutOfOrder")])
        self.assertEqual(self.sending._waiting, {})
        self.assertIsInstance(self.say(self.alice, self.bob, "on"), Appended)

    def test_messages_without_a_predecessor_fail_alone(self):
        said = self.say(self.alice, self.bob, "hello", "0")
        self.hold_entries()
        self.put(self.alice, self.to(self.bob, text="+", kind=EDIT, ref=said.position, client_id="1"))
        self.put(self.alice, self.to(self.bob, text="2", client_id="2"))
        self.fates.clear()
        self.hold.fail(StoreUnavailable())
        self.turn()
        self.assertEqual(self.outcomes(), [("1", "StoreUnavailable"), ("2", "Appended")])

    def test_a_callback_that_raises_does_not_stall_it(self):
        said = self.say(self.alice, self.bob, "hello", "0")
        self.hold_entries()
        send = self.to(self.bob, text="+", kind=EDIT, ref="1-1", client_id="1")
        self.sending.submit(Outgoing(self.bob, send, self.ab, 1), lambda result: 1 / 0)
        self.put(self.alice, self.to(self.bob, text="2", client_id="2"))
        self.fates.clear()
        self.hold.answer(Entry(said.position, "", said.body))
        self.turn()
        self.assertEqual(self.outcomes(), [("2", "Appended")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.sending._waiting, {})

    def test_the_look_ups_that_wait_of_one_author_are_bounded(self):
        said = self.say(self.alice, self.bob, "hello", "0")
        self.hold_entries()
        self.fates.clear()
        for number in range(sending.MAX_LOOKED_UP + 5):
            self.put(self.alice, self.to(self.bob, text="+", kind=EDIT, ref=said.position, client_id=f"r{number}"))
        self.assertEqual([outcome for _, outcome in self.outcomes()], ["RateLimited"] * 5)

    def test_strangers_to_a_group_make_nobody_wait(self):
        group = self.group(self.alice, self.bob)
        self.hold_entries()
        for number in range(10):
            send = self.to(group, text="+", kind=EDIT, ref="1-1", client_id=f"r{number}")
            self.put(self.carol, send)
        self.put(self.bob, self.to(group, text="hello", client_id="t"))
        self.turn()
        self.assertEqual(self.outcomes(), [("t", "Appended")])
        self.hold.fail(Forbidden())
        self.turn()

    def test_waiting_messages_are_bounded(self):
        self.patch(sending, "MAX_WAITING", 3)
        self.wait()
        self.put(self.alice, self.to(self.bob, text="x", client_id="6"))
        self.assertEqual(self.outcomes(), [("6", "RateLimited")])
        self.hold.go()
        self.turn()

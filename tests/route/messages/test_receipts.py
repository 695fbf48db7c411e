"""Tests of writing Received and Read marks, and of who is notified."""

from __future__ import annotations

from cim.errors import Forbidden, InvalidField, StoreUnavailable
from cim.route.messages import receipts
from cim.route.messages.receipts import FLUSH_ITEMS, FLUSH_SECONDS
from cim.wire.cim_pb2 import Packet
from tests.route.route_case import RouteCase
from tests.store.looking import marks_of

BEYOND = "9999999999999-7"


class ReceiptsTests(RouteCase):
    held = "conversations", "mark"

    def setUp(self):
        super().setUp()
        self.receipts.startService()
        self.positions = [self.say(self.alice, self.bob, f"m{n}").position for n in range(3)]

    def flush(self):
        """Let the time pass in which receipts gather, and return how many marks were written."""
        self.clock.advance(FLUSH_SECONDS)
        return [len(args[0]) for _, args, _ in self.hold.calls]

    def marks(self, user, conversation=None, device="phone"):
        """Return (received, read) as stored."""
        return self.now(marks_of(self.store, user.id, device, conversation or self.ab))

    def write(self):
        """Write the waiting receipts."""
        self.flush()
        while self.hold.calls:
            self.hold.go()

    def reads(self, link):
        return [(body.conversation, body.position, body.reader) for body in link.bodies()]

    def test_receipts_wait_for_others_and_are_written_together(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.receipts.note(self.bob.id, None, self.ab, self.positions[1])
        self.receipts.note(self.alice.id, None, self.ab, self.positions[2])
        self.assertEqual(len(self.receipts), 3)
        self.assertEqual(self.hold.calls, [])
        self.assertEqual(self.flush(), [3])
        self.hold.go()
        self.assertEqual(self.marks(self.bob), (self.positions[0], self.positions[1]))
        self.assertEqual(len(self.receipts), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_the_newest_receipt_of_each_kind_is_written(self):
        for at in (1, 2, 0):
            self.receipts.note(self.bob.id, "phone", self.ab, self.positions[at])
        self.assertEqual(self.flush(), [1])
        self.hold.go()
        self.assertEqual(self.marks(self.bob)[0], self.positions[2])

    def test_receipts_that_arrive_during_a_write_are_written_next(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.flush()
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[1])
        self.assertEqual(self.flush(), [1])
        self.hold.go()
        self.assertEqual(self.flush(), [1])
        self.hold.go()
        self.assertEqual(self.marks(self.bob)[0], self.positions[1])

    def test_a_read_waits_for_no_others(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.receipts.note(self.bob.id, None, self.ab, self.positions[0])
        self.receipts.note(self.alice.id, None, self.ab, self.positions[1])
        self.clock.advance(0)
        self.assertEqual([len(args[0]) for _, args, _ in self.hold.calls], [3])
        self.receipts.note(self.bob.id, None, self.ab, self.positions[2])
        self.hold.go()
        self.clock.advance(0)
        self.hold.go()
        self.assertEqual(self.marks(self.bob)[1], self.positions[2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_read_of_an_http_call_is_answered_when_it_is_stored(self):
        stored = self.begin(self.receipts.read(self.bob.id, self.ab, self.positions[1]))
        self.assertNoResult(stored)
        self.hold.go()
        self.successResultOf(stored)
        self.assertEqual(self.marks(self.bob)[1], self.positions[1])
        refused = self.begin(self.receipts.read(self.bob.id, self.ab, self.positions[2]))
        self.hold.fail(StoreUnavailable())
        self.failureResultOf(refused, StoreUnavailable)
        # Nothing is written later, of which the caller was not told.
        self.assertEqual((len(self.receipts), self.flush()), (0, []))

    def test_a_read_of_what_is_not_ones_own_is_refused(self):
        for name in (self.ab, "g:4711"):
            self.failureResultOf(self.begin(self.receipts.read(self.carol.id, name, self.positions[0])), Forbidden)

    def test_many_that_wait_are_written_without_a_pause(self):
        for number in range(3 * FLUSH_ITEMS):
            self.receipts.note(10_000 + number, "phone", f"p:1:{10_000 + number}", "1-1")
        self.assertEqual(self.flush(), [FLUSH_ITEMS])
        self.hold.go()
        self.clock.advance(0)
        self.assertEqual([len(args[0]) for _, args, _ in self.hold.calls], [FLUSH_ITEMS])

    def test_beyond_the_end_is_the_end_and_backwards_is_ignored(self):
        link = self.link()
        self.online(link, self.alice)
        self.receipts.note(self.bob.id, "phone", self.ab, BEYOND)
        self.receipts.note(self.bob.id, None, self.ab, BEYOND)
        self.write()
        self.assertEqual(self.marks(self.bob), (self.positions[2], self.positions[2]))
        self.assertEqual(self.reads(link), [(self.ab, self.positions[2], self.bob.id)])
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.receipts.note(self.bob.id, None, self.ab, self.positions[0])
        self.write()
        self.assertEqual(self.marks(self.bob), (self.positions[2], self.positions[2]))
        self.assertEqual(self.reads(link), [])

    def test_invalid_positions(self):
        for position in ("x", "1-", "-1", "1-1-1"):
            self.assertRaises(InvalidField, self.receipts.note, self.bob.id, "phone", self.ab, position)
        self.assertEqual(len(self.receipts), 0)

    def test_receipts_in_others_conversations_are_dropped(self):
        group = self.group(self.alice)
        said = self.say(self.alice, group, "x").position
        for name in (self.ab, f"g:{group}", "g:4711", "nonsense"):
            self.receipts.note(self.carol.id, None, name, said)
        self.receipts.note(self.bob.id, None, self.ab, self.positions[0])
        self.assertEqual(self.flush(), [1])
        self.hold.go()
        self.assertEqual(self.marks(self.carol)[1], "")
        self.assertEqual(self.marks(self.carol, f"g:{group}")[1], "")
        self.assertEqual(self.marks(self.bob)[1], self.positions[0])
        self.assertEqual(len(self.receipts), 0)

    def test_receipts_of_messages_to_everyone_are_not_kept(self):
        said = self.say(self.alice, 0, "x").position
        self.receipts.note(self.bob.id, "phone", "g:0", said)
        self.receipts.note(self.bob.id, None, "g:0", said)
        self.assertEqual(len(self.receipts), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_other_user_and_the_readers_other_sessions_are_notified_of_a_read(self):
        link = self.link()
        self.online(link, self.alice, "a1")
        self.online(link, self.bob, "b1")
        self.online(link, self.bob, "b2", "desk")
        self.online(link, self.carol, "c1")
        self.receipts.note(self.bob.id, None, self.ab, self.positions[1], link, "b1")
        self.write()
        (deliver,) = link.take("deliver")
        self.assertEqual((sorted(deliver.users), deliver.except_session), ([self.alice.id, self.bob.id], "b1"))
        self.assertEqual(Packet.FromString(deliver.packet).WhichOneof("body"), "read")

    def test_in_a_group_only_the_readers_own_sessions_are_notified(self):
        group = self.group(self.alice, self.bob)
        said = self.say(self.alice, group, "x").position
        link = self.link()
        self.online(link, self.alice, "a1")
        self.online(link, self.bob, "b2", "desk")
        self.receipts.note(self.bob.id, None, f"g:{group}", said, link, "b1")
        self.write()
        (deliver,) = link.take("deliver")
        self.assertEqual(list(deliver.users), [self.bob.id])

    def test_nobody_is_notified_of_a_received_mark(self):
        link = self.link()
        self.online(link, self.alice)
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[1])
        self.write()
        self.assertEqual(link.items, [])

    def test_receipts_wait_while_the_store_is_away(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[1])
        self.flush()
        # A mark that moves back in the meantime must not replace the one being written.
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.hold.fail(StoreUnavailable())
        self.assertEqual(len(self.receipts), 1)
        self.assertEqual(self.flush(), [1])
        self.hold.go()
        self.assertEqual(self.marks(self.bob)[0], self.positions[1])
        self.assertEqual(len(self.receipts), 0)

    def test_an_unexpected_error_does_not_stall_it(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        self.flush()
        self.hold.fail(ValueError("?"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[1])
        self.write()
        self.assertEqual(self.marks(self.bob)[0], self.positions[1])

    def test_the_queue_is_bounded(self):
        self.patch(receipts, "WAITING", 3)
        for user in (self.alice, self.bob, self.carol):
            for device in ("phone", "desk"):
                self.receipts.note(user.id, device, self.ab, self.positions[0])
                self.assertLessEqual(len(self.receipts), 3)
        self.assertEqual(self.receipts.forgotten, 4)

    def test_many_go_in_several_writes(self):
        for user in range(1000, 1000 + FLUSH_ITEMS + 1):
            self.receipts.note(user, "phone", f"p:{user}:9999", "1-1")
        self.assertEqual(self.flush(), [FLUSH_ITEMS])
        self.hold.go()
        self.assertEqual(self.flush(), [1])
        self.hold.go()

    # Reading heads

    def test_a_user_without_waiting_receipts(self):
        self.receipts.note(self.alice.id, None, self.ab, self.positions[0])
        self.now(self.receipts.written_of(self.bob.id))
        self.assertEqual(self.hold.calls, [])

    def test_waiting_receipts_of_a_user_are_written_on_demand(self):
        self.receipts.note(self.bob.id, "guest", self.ab, self.positions[0])
        self.receipts.note(self.alice.id, None, self.ab, self.positions[0])
        written = self.begin(self.receipts.written_of(self.bob.id))
        too = self.begin(self.receipts.written_of(self.bob.id))
        self.assertNoResult(written)
        self.assertNoResult(too)
        self.hold.go()
        self.successResultOf(written)
        self.successResultOf(too)
        self.assertEqual(self.marks(self.bob, device="guest")[0], self.positions[0])
        self.assertEqual(len(self.receipts), 1)
        self.assertEqual(self.flush(), [1])
        self.hold.go()

    def test_receipts_of_a_user_that_are_being_written_count_too(self):
        self.receipts.note(self.bob.id, "guest", self.ab, self.positions[0])
        self.flush()
        self.receipts.note(self.bob.id, "guest", self.ab, self.positions[1])
        written = self.begin(self.receipts.written_of(self.bob.id))
        self.hold.go()
        self.assertNoResult(written)
        self.hold.go()
        self.successResultOf(written)
        self.assertEqual(self.marks(self.bob, device="guest")[0], self.positions[1])

    def test_a_store_that_refuses_them(self):
        self.receipts.note(self.bob.id, "guest", self.ab, self.positions[0])
        written = self.begin(self.receipts.written_of(self.bob.id))
        self.hold.fail(StoreUnavailable())
        self.successResultOf(written)
        self.assertEqual(len(self.receipts), 1)

    # Stopping

    def test_stopping_writes_all_waiting_receipts(self):
        for user in range(1000, 1000 + 2 * FLUSH_ITEMS + 1):
            self.receipts.note(user, "phone", f"p:{user}:9999", "1-1")
        self.flush()
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        stopped = self.receipts.stopService()
        for _ in range(3):
            self.assertNoResult(stopped)
            self.hold.go()
        self.successResultOf(stopped)
        self.assertEqual(self.marks(self.bob)[0], self.positions[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_does_not_wait_for_a_store_that_is_away(self):
        self.receipts.note(self.bob.id, "phone", self.ab, self.positions[0])
        stopped = self.receipts.stopService()
        self.hold.fail(StoreUnavailable())
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HeldTests(RouteCase):
    """Tests while the look-up of rights fails."""

    held = "groups", "member"

    def test_rights_in_groups_are_looked_up_together(self):
        group = f"g:{self.group(self.alice, self.bob)}"
        for user in (self.alice, self.bob):
            self.receipts.note(user.id, "desk", group, "1-1")
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(sorted(args[1] for _, args, _ in self.hold.calls), sorted((self.alice.id, self.bob.id)))

    def test_rights_that_cannot_be_looked_up_now_are_looked_up_later(self):
        group = self.group(self.alice, self.bob)
        said = self.say(self.alice, group, "x").position
        self.receipts.startService()
        self.receipts.note(self.bob.id, "phone", f"g:{group}", said)
        self.clock.advance(FLUSH_SECONDS)
        self.hold.fail(StoreUnavailable())
        self.assertEqual(len(self.receipts), 1)
        self.clock.advance(FLUSH_SECONDS)
        self.hold.go()
        self.assertEqual(self.now(marks_of(self.store, self.bob.id, "phone", f"g:{group}"))[0], said)

"""How much may be said: whose limits a message is taken from, and what comes back."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.errors import OutOfOrder, RateLimited
from cim.limits import NO_LIMIT, Limit
from cim.model import Appended
from cim.route.messages import appending, sending
from cim.route.messages.limits import MESSAGE_LIMITS, Guest, Key
from cim.route.messages.outgoing import Outgoing
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, Packet
from tests.route.route_case import RouteCase

HERE, THERE = "192.0.2.7", "198.51.100.7"


class LimitCase(RouteCase):
    def outgoing(self, author, to, text="x", payer=None, after=""):
        send = self.to(to, text=text, client_id=f"id-{next(self.numbers)}")
        conversation = native.conversation_of(Packet(send=send), author.id)
        size = len(send.text.encode()) + len(send.data)
        return Outgoing(author, send, conversation, size, after, payer=payer)

    def pay(self, author, to, text="x", payer=None, after=""):
        """Say something for a payer, and return what became of it."""
        results = []
        self.before = self.metrics._refused.copy()
        self.sending.submit(self.outgoing(author, to, text, payer, after), results.append)
        self.turn()
        return results[0]

    def stored_of(self, times, *args, **fields):
        """How many of so many are stored, each as `pay` takes it."""
        return sum(isinstance(self.pay(*args, **fields), Appended) for _ in range(times))

    def refused(self, result, name, retry_after):
        """What became of the last one: it was refused by that limit, and by that alone."""
        self.assertIsInstance(result, RateLimited)
        self.assertEqual(result.retry_after, retry_after)
        self.assertEqual(self.metrics._refused - self.before, {f"limit-{name}": 1})


class UsualTests(LimitCase):
    """As nobody said otherwise."""

    def test_a_burst_of_a_user_and_then_so_many_a_second(self):
        self.assertEqual(self.stored_of(200, self.alice, self.bob) + self.stored_of(200, self.alice, self.carol), 400)
        self.refused(self.pay(self.alice, self.bob), "user-messages", 1)
        self.clock.advance(1)
        self.assertEqual(self.stored_of(15, self.alice, self.bob) + self.stored_of(15, self.alice, self.carol), 20)
        self.assertEqual(self.stored_of(5, self.bob, self.alice), 5)

    def test_in_one_conversation(self):
        self.assertEqual(self.stored_of(400, self.alice, self.bob), 400)
        self.clock.advance(2)
        # 40 of a user, 20 of them in one conversation.
        self.assertEqual(self.stored_of(30, self.alice, self.bob), 20)
        self.assertEqual(self.stored_of(30, self.alice, self.carol), 20)

    def test_bytes(self):
        text = "x" * 48_000
        self.assertEqual(self.stored_of(100, self.alice, self.bob, text), 4194304 // 48_000)
        # 18304 are left.
        self.refused(self.pay(self.alice, self.carol, text), "user-bytes", 1)
        self.refused(self.pay(self.alice, self.bob, "x" * 64_000), "user-bytes", 1)
        self.assertIsInstance(self.pay(self.alice, self.bob, "short"), Appended)
        self.clock.advance(1)
        self.assertEqual(self.stored_of(9, self.alice, self.bob, text), 1)
        self.assertEqual(self.stored_of(9, self.alice, self.carol, text), 2)

    def test_guests(self):
        guest = Guest(self.alice.id, HERE)
        self.assertEqual(self.stored_of(310, self.alice, self.bob, payer=guest), 300)
        self.refused(self.pay(self.alice, self.bob, payer=guest), "guest-messages", 1)
        self.clock.advance(1)
        self.assertEqual(self.stored_of(20, self.alice, self.bob, payer=guest), 10)

    def test_guests_at_an_address(self):
        for number in range(5):
            author = self.account(f"guest-{number}")
            self.assertEqual(self.stored_of(310, author, self.bob, payer=Guest(author.id, HERE)), 300)
        self.refused(self.pay(self.alice, self.bob, payer=Guest(self.alice.id, HERE)), "address-messages", 1)
        # Elsewhere the same guest has its own, and a user is nobody's guest.
        self.assertIsInstance(self.pay(self.alice, self.bob, payer=Guest(self.alice.id, THERE)), Appended)
        self.assertIsInstance(self.pay(self.alice, self.bob), Appended)
        self.clock.advance(1)
        self.assertEqual(
            sum(self.stored_of(11, self.account(f"new-{n}"), self.bob, payer=Guest(1000 + n, HERE)) for n in range(6)),
            50,
        )

    def test_whoever_speaks_in_anothers_name_uses_up_nothing_of_it(self):
        self.assertEqual(self.stored_of(400, self.alice, self.bob, payer=Guest(self.alice.id, THERE)), 300)
        self.assertEqual(self.stored_of(400, self.alice, self.bob, payer=Guest(self.alice.id, HERE)), 300)

    def test_a_key_has_none(self):
        self.assertEqual(self.stored_of(600, self.alice, self.bob, payer=Key(0)), 600)
        self.assertEqual(self.stored_of(400, self.alice, self.bob), 400)

    def test_a_key_says_only_so_much_to_everyone(self):
        self.assertEqual(self.stored_of(550, self.alice, 0, payer=Key(0)), 500)
        self.refused(self.pay(self.bob, 0, payer=Key(0)), "everyone-messages", 1)
        self.assertIsInstance(self.pay(self.alice, 0, payer=Key(1)), Appended)
        self.assertEqual(self.stored_of(450, self.alice, 0), 400)


class SmallTests(LimitCase):
    """Limits that are soon reached."""

    other_limits = {
        "user-messages": Limit(1, 10),
        "user-bytes": NO_LIMIT,
        "conversation-messages": Limit(0.5, 4),
        "conversation-bytes": NO_LIMIT,
        "guest-messages": Limit(1, 5),
        "guest-bytes": Limit(10, 100),
        "key-messages": Limit(2, 6),
        "everyone-messages": Limit(0.25, 3),
    }

    def test_a_refusal_takes_nothing_of_any_limit(self):
        self.assertEqual(self.stored_of(4, self.alice, self.bob), 4)
        for _ in range(20):
            self.refused(self.pay(self.alice, self.bob), "conversation-messages", 2)
        self.assertEqual(self.stored_of(4, self.alice, self.carol), 4)
        self.assertEqual(self.stored_of(9, self.alice, 0), 2)

    def test_the_wait_is_that_of_all_limits(self):
        self.assertEqual(self.stored_of(3, self.alice, 0), 3)
        self.refused(self.pay(self.alice, 0), "everyone-messages", 4)
        self.assertEqual(self.stored_of(4, self.alice, self.bob) + self.stored_of(3, self.alice, self.carol), 7)
        # A user's is the first that refuses, and everyone's the last that will grant.
        self.refused(self.pay(self.alice, 0), "user-messages", 4)
        self.clock.advance(3)
        self.assertIsInstance(self.pay(self.alice, 0), RateLimited)
        self.clock.advance(1)
        self.assertIsInstance(self.pay(self.alice, 0), Appended)

    def test_what_is_out_of_order_gives_all_back(self):
        for _ in range(50):
            self.assertIsInstance(self.pay(self.alice, 0, after="never said"), OutOfOrder)
        self.assertEqual(self.stored_of(9, self.alice, 0), 3)

    def test_what_waits_for_too_long_a_line_gives_back(self):
        self.patch(sending, "MAX_WAITING", 1)
        looked_up, results = Deferred(), []
        self.patch(self.accounts, "get", lambda user: looked_up)
        for _ in range(50):
            self.sending.submit(self.outgoing(self.alice, self.bob), results.append)
        self.assertEqual([type(result) for result in results], [RateLimited] * 49)
        looked_up.callback(self.bob)
        self.accounts.keep(self.bob)
        self.turn()
        self.assertEqual(self.stored_of(9, self.alice, self.bob), 3)

    def test_what_the_store_has_no_room_for_gives_back(self):
        self.patch(appending, "QUEUE", 0)
        for _ in range(50):
            self.assertIsInstance(self.pay(self.alice, 0), RateLimited)
        self.patch(appending, "QUEUE", 100)
        self.assertEqual(self.stored_of(9, self.alice, 0), 3)

    def test_a_key_and_no_user(self):
        self.assertEqual(self.stored_of(9, self.alice, self.bob, payer=Key(0)), 6)
        self.refused(self.pay(self.bob, self.carol, payer=Key(0)), "key-messages", 1)
        self.assertEqual(self.stored_of(9, self.alice, self.bob, payer=Key(1)), 6)
        self.assertEqual(self.stored_of(9, self.alice, self.bob), 4)

    def together(self, guest, texts):
        """Say several things in one call."""
        messages = [self.outgoing(self.alice, self.bob, text, guest) for text in texts]
        self.sending.allow(guest, self.ab, len(messages), sum(message.size for message in messages))
        return self.sending.send_all(messages)

    def test_several_in_one_call_pass_together_or_not_at_all(self):
        def send(count, text="x"):
            return self.together(Guest(self.alice.id, HERE), [text] * count)

        sent = send(100)
        self.turn()
        self.assertEqual(len([self.successResultOf(one) for one in sent]), 100)
        # 95 are owed, and of bytes nothing: the conversation's limit has the slower rate.
        error = self.assertRaises(RateLimited, send, 1)
        self.assertEqual(error.retry_after, 194)
        self.clock.advance(199)
        self.assertEqual(self.assertRaises(RateLimited, send, 100).retry_after, 1)
        self.clock.advance(1)
        self.assertEqual(len(send(100)), 100)

    def test_bytes_of_several(self):
        guest = Guest(self.alice.id, HERE)
        self.assertEqual(len(self.together(guest, ["ü" * 30] * 2)), 2)
        self.assertRaises(RateLimited, self.together, guest, ["x" * 30] * 2)
        self.assertEqual(self.metrics._refused["limit-guest-bytes"], 1)

    def test_edits_and_what_is_refused_for_its_rights_are_counted(self):
        said = self.say(self.alice, self.bob, "x")
        for _ in range(3):
            self.edit(self.bob, self.alice, said.position, "y")
        self.assertEqual(self.stored_of(9, self.bob, self.alice), 1)
        self.assertIsInstance(self.say(self.bob, self.alice, "z", kind=EDIT, ref=said.position), RateLimited)

    def test_parties_are_counted(self):
        self.assertEqual(len(self.limits), 0)
        self.pay(self.alice, self.bob)
        self.assertEqual(len(self.limits), 2)


class NoneTests(LimitCase):
    other_limits = dict.fromkeys(MESSAGE_LIMITS, NO_LIMIT)

    def test_no_limits(self):
        for payer in (None, Guest(1, HERE), Key(0)):
            self.assertEqual(self.stored_of(600, self.alice, 0, payer=payer), 600)
        self.assertEqual(len(self.limits), 0)

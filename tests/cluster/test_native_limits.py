"""Limits of messages, as native clients meet them: refused Sends come again, and those behind them keep their order."""

from __future__ import annotations

from cim.limits import NO_LIMIT, Limit
from cim.wire import conversations
from cim.wire.cim_pb2 import Packet, Send
from tests.cluster.native_case import NativeCase


class PipelinedTests(NativeCase):
    """Sends go up without waiting, through servers and routes."""

    message_limits = {"user-messages": Limit(2, 5), "conversation-messages": NO_LIMIT}

    def say(self, client, numbers):
        client.say(*(Packet(send=Send(user=self.bob.id, text=str(n), client_id=str(n))) for n in numbers))
        self.turn()

    def outcomes(self, client):
        """Take what became of Sends: their client_ids that were accepted, and those that failed with code and wait."""
        accepted, failed = [], []
        for packet in client.packets():
            if packet.HasField("accepted"):
                accepted.append(packet.accepted.client_id)
            elif packet.HasField("failure"):
                failure = packet.failure
                failed.append((failure.client_id, failure.code, failure.retry_after_seconds))
        return accepted, failed

    def texts(self):
        return self.page(self.log_in(self.alice, "reader"), limit=500)[0]

    def test_those_behind_a_refused_one_wait_for_it(self):
        phone = self.log_in(self.alice)
        self.say(phone, range(12))
        accepted, failed = self.outcomes(phone)
        self.assertEqual(accepted, list("01234"))
        self.assertEqual(
            [(client_id, code) for client_id, code, _ in failed], [(str(n), "rate-limited") for n in range(5, 12)]
        )
        self.assertEqual(failed[0][2], 1)
        # A second later there is room, but not for those that others stand before.
        self.cluster.pass_seconds(1)
        self.say(phone, (8, 9, 12))
        self.assertEqual([code for _, code, _ in self.outcomes(phone)[1]], ["rate-limited"] * 3)
        self.say(phone, range(5, 9))
        accepted, failed = self.outcomes(phone)
        self.assertEqual((accepted, [client_id for client_id, _, _ in failed]), (["5", "6"], ["7", "8"]))
        self.assertEqual(self.texts(), [str(n) for n in range(7)])

    def test_whoever_comes_again_when_told_gets_everything_through_in_order(self):
        phone = self.log_in(self.alice)
        left = [str(n) for n in range(40)]
        for _ in range(40):
            self.say(phone, map(int, left))
            accepted, failed = self.outcomes(phone)
            self.assertEqual(accepted, left[: len(accepted)])
            left = left[len(accepted) :]
            if not left:
                break
            self.assertEqual([client_id for client_id, _, _ in failed], left)
            self.cluster.pass_seconds(failed[0][2])
        self.assertEqual(left, [])
        self.assertEqual(self.texts(), [str(n) for n in range(40)])

    def test_what_stands_behind_a_refused_one_takes_nothing(self):
        """What the time brings goes to the first that was refused, not to those that are said after it."""
        phone = self.log_in(self.alice)
        for number in range(30):
            self.say(phone, (number,))
            self.cluster.clock.advance(0.0625)
        accepted, failed = self.outcomes(phone)
        self.assertEqual(accepted, list("01234"))
        self.assertEqual({code for _, code, _ in failed}, {"rate-limited"})
        # Nobody used what the time brought: 3.75 messages.
        self.say(phone, range(5, 12))
        self.assertEqual(self.outcomes(phone)[0], list("567"))
        self.assertEqual(self.texts(), [str(n) for n in range(8)])

    def test_all_sessions_of_a_user_share(self):
        phone, desk = self.log_in(self.alice), self.log_in(self.alice, "desk")
        self.say(phone, range(3))
        self.say(desk, range(10, 20))
        accepted = self.outcomes(phone)[0], self.outcomes(desk)[0]
        self.assertEqual(accepted, (["0", "1", "2"], ["10", "11"]))

    def test_others_and_other_conversations(self):
        phone, bobs = self.log_in(self.alice), self.log_in(self.bob)
        self.say(phone, range(10))
        bobs.send(self.alice.id, "hello", "b-1")
        self.turn()
        self.assertEqual(self.outcomes(bobs)[0], ["b-1"])
        phone.send(self.carol.id, "hello", "c-1")
        self.turn()
        failed = self.outcomes(phone)[1]
        # Another route may be the conversation's, and each counts for itself.
        name = conversations.private(self.alice.id, self.carol.id)
        submissions = self.cluster.servers[0].submissions
        same = submissions.link_of(name) is submissions.link_of(self.conversation)
        self.assertEqual(("c-1", "rate-limited", 1) in failed, same)

"""Tests of runs: what a session sends into one conversation at once, as a route takes it."""

from __future__ import annotations

from cim.errors import RateLimited, StoreUnavailable
from cim.interfaces import RUNS
from cim.limits import Limit
from cim.model import Account, Appended
from cim.route.messages import appending
from cim.route.messages.outgoing import Outgoing
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, RECALL, Packet
from tests.route.route_case import RouteCase


class RunCase(RouteCase):
    def setUp(self):
        super().setUp()
        self.accounts.keep(self.bob)
        self.told = {}
        #: How many were told together.
        self.together = []

    def run_of(self, names, to=None, text="text", after="", link=None, **fields):
        """Submit a run; what becomes of each is in `told`, by its number."""
        messages = []
        for name in names:
            send = self.to(to or self.bob, text=f"{text} {name}", client_id=name, **fields)
            conversation = native.conversation_of(Packet(send=send), self.alice.id)
            messages.append(
                Outgoing(self.alice, send, conversation, native.check_send(send), after, link, "s1" if link else "")
            )
            after = name
        self.sending.submit_run(messages, self.done)

    def done(self, number, results):
        self.together.append(len(results))
        for at, result in enumerate(results, number):
            self.assertNotIn(at, self.told)
            self.told[at] = result

    def outcomes(self):
        """Take the position's last number or the error's name, by the number of the message."""
        told, self.told = self.told, {}
        return [
            result.position[-1] if isinstance(result, Appended) else type(result).__name__
            for _, result in sorted(told.items())
        ]


class SendingRunTests(RunCase):
    def test_all_are_told_and_pushed_together(self):
        link = self.link()
        link.version = RUNS
        self.online(link, self.bob)
        stored = []
        self.sending.on_stored.append(lambda message, appended: stored.append((message.send.text, appended.position)))
        self.run_of("abc")
        self.turn()
        self.assertEqual(self.together, [3])
        (deliver,) = link.take("deliver")
        texts = [Packet.FromString(packet).deliver.text for packet in (deliver.packet, *deliver.more)]
        self.assertEqual(texts, ["text a", "text b", "text c"])
        self.assertEqual(stored, [(text, self.told[at].position) for at, text in enumerate(texts)])
        self.assertEqual((self.outcomes(), self.metrics.messages_in), (["1", "2", "3"], 3))

    def test_a_listener_that_raises_keeps_nothing_from_others(self):
        heard = []

        def listen(message, appended):
            heard.append(message.send.client_id)
            if heard[-1] in "ad":
                raise ZeroDivisionError

        self.sending.on_stored.append(listen)
        self.run_of("abc")
        self.turn()
        self.assertEqual(self.outcomes(), ["1", "2", "3"])
        # As many, but not all for the first time.
        self.run_of("ade", after="c")
        self.turn()
        self.assertEqual((heard, self.outcomes()), ([*"abcade"], ["1", "4", "5"]))
        self.assertEqual(self.together, [3, 1, 1, 1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_those_behind_one_that_is_missing_are_out_of_order_and_cost_nothing(self):
        for _ in range(200):
            self.run_of("abc", after="never")
            self.turn()
            self.assertEqual(self.outcomes(), ["OutOfOrder"] * 3)

    def test_a_receiver_that_does_not_exist(self):
        self.run_of("ab", to=Account(4711, "?"))
        self.turn()
        self.assertEqual(self.outcomes(), ["AccountMismatch"] * 2)

    def test_edits_are_looked_up(self):
        said = self.say(self.bob, self.alice, "hello")
        self.run_of("ab", kind=EDIT, ref=said.position)
        self.turn()
        self.assertEqual(self.outcomes(), ["Forbidden"] * 2)


class WaitingRunTests(RunCase):
    held = ("conversations", "entry")

    def test_those_behind_one_that_waits_for_a_look_up_wait_too(self):
        said = self.say(self.alice, self.bob, "hello")
        self.put(self.alice, self.to(self.bob, kind=RECALL, ref=said.position, client_id="r"))
        self.run_of("ab")
        self.turn()
        self.assertEqual(self.told, {})
        self.hold.go()
        self.turn()
        self.assertEqual(self.outcomes(), ["3", "4"])


class SplitRunTests(RunCase):
    """Runs that several calls of the store have, which may be answered in any order."""

    held = ("conversations", "append")

    def setUp(self):
        super().setUp()
        self.patch(appending, "LEAST_OF_ONE", 2)
        self.patch(appending, "BATCH_OF_ONE", 2)

    def test_each_is_told_what_became_of_it(self):
        self.run_of("abcd")
        self.turn()
        asked = [[item.client_id for item in args[0]] for _, args, _ in self.hold.calls]
        self.assertEqual(asked, [["a", "b"], ["c", "d"]])
        (first, _, _), (second, _, _) = self.hold.calls
        answers = [Appended(f"1-{n}", f"1-{n - 1}", 5, b"\x0a\x01x") for n in (1, 2, 3, 4)]
        second.callback(answers[2:])
        self.assertEqual(self.told, {2: answers[2], 3: answers[3]})
        first.errback(StoreUnavailable())
        self.assertEqual(self.outcomes(), ["StoreUnavailable", "StoreUnavailable", "3", "4"])

    def test_of_other_members_each_is_pushed_alone(self):
        group = self.group(self.alice)
        self.run_of("ab", to=group)
        self.turn()
        ((call, (items,), _),) = self.hold.calls
        answers = [Appended(f"1-{n}", "", 5, item.body, version=n) for n, item in enumerate(items, 1)]
        call.callback(answers)
        self.assertEqual((self.together, self.told), ([1, 1], dict(enumerate(answers))))


class LimitedRunTests(RunCase):
    """No more than a burst is taken at once, though one message alone may be larger than one."""

    other_limits = {"user-messages": Limit(1, 5), "user-bytes": Limit(10, 100)}

    def limited(self):
        return [isinstance(result, RateLimited) for _, result in sorted(self.told.items())]

    def test_messages(self):
        self.run_of("abcdefgh")
        self.turn()
        self.assertEqual(self.limited(), [False] * 5 + [True] * 3)

    def test_bytes(self):
        self.run_of("abcd", text="x" * 28)
        self.turn()
        self.assertEqual(self.limited(), [False] * 3 + [True])

"""Requests on their way up, their answers, and links that die in between."""

from __future__ import annotations

from types import SimpleNamespace

from cim.errors import CallTimeout, Forbidden, Unavailable
from cim.interfaces import RUNS
from cim.server.links import send_order, submissions
from cim.server.native.session import STOP_READING, SYNC_WEIGHT
from cim.wire import native, packed
from cim.wire.cim_pb2 import Failure, Packet, Sync, Watch
from cim.wire.framing import encode_frame
from cim.wire.link_pb2 import Item, Probe, Reply, Request, StoreState
from cim.wire.native import OUT_OF_ORDER, failure_packet, synced_packet
from tests.server.native_case import ServerCase, deliver

ALICE, BOB = 7, 9
ERRORS = {"unavailable": Unavailable, "forbidden": Forbidden}


class SubmissionCase(ServerCase):
    routes_wanted = 1

    def setUp(self):
        super().setUp()
        for number in range(self.routes_wanted):
            self.link(f"127.0.0.1:{8083 + 100 * number}:{8084 + 100 * number}")
        self.turn()
        self.route = self.routes[0]
        self.alice = self.log_in(ALICE, "alice")
        for route in self.routes:
            route.items.clear()

    def accept(self, route, request, packet, n=1):
        route.reply(request, packed.accepted(packet.send.client_id, request.conversation, f"1-{n}", 5, ""))

    def failures(self, client):
        return [(f.client_id, f.code) for f in (packet.failure for packet in client.packets()) if f.code]


class RequestTests(SubmissionCase):
    """One route."""

    def test_a_send_goes_up_unchanged_with_its_sender(self):
        self.alice.send(BOB, "hello", "c1")
        [(request, packet)] = self.route.requests()
        session = next(iter(self.server.sessions))
        self.assertEqual((packet.send.text, packet.send.client_id, packet.send.user), ("hello", "c1", BOB))
        self.assertEqual(
            (request.user, request.name, request.session, request.device, request.conversation, request.after),
            (ALICE, "alice", session.id, "phone", "p:7:9", ""),
        )
        self.accept(self.route, request, packet)
        [answer] = self.alice.packets()
        self.assertEqual(answer.accepted.client_id, "c1")
        self.assertEqual(len(self.server.submissions), 0)

    def test_all_packets_of_an_answer_are_written_in_order(self):
        self.alice.sync("p:7:9", after="1-1", limit=2)
        [(request, packet)] = self.route.requests()
        self.assertEqual((packet.sync.after, packet.sync.limit), ("1-1", 2))
        packets = [deliver(text, "p:7:9", "1-2").packet for text in "abc"]
        self.route.reply(request, *packets)
        self.assertEqual(self.alice.texts(), ["a", "b", "c"])

    def test_invalid_names(self):
        self.alice.send(ALICE, "to myself", "c1")
        self.alice.send(0, "to nobody", "c2")
        self.alice.say(Packet(send={"client_id": "c3"}))
        self.alice.send(1 << 60, "far", "c4")
        self.alice.send_group(-1, "below", "c5")
        self.assertEqual(self.failures(self.alice), [(f"c{n}", "invalid") for n in range(1, 6)])
        for name in ("p:2:1", "p:01:2", "g:1}", "", "p:7:9 "):
            self.alice.received(name, "1-1")
            self.alice.read(name, "1-1")
            if name:
                self.alice.sync(name)
        self.assertEqual(self.failures(self.alice), [("", "invalid")] * 14)
        for position in ("1", "1-", "-1-1", "01-1", "1-1-1", "x"):
            self.alice.received("p:7:9", position)
        self.assertEqual(self.failures(self.alice), [("", "invalid")] * 6)
        self.pass_seconds(1)
        self.assertEqual(self.route.take("request"), [])
        self.assertFalse(self.alice.closed)

    def test_no_answer_in_time(self):
        self.alice.send(BOB, "hello", "c1")
        [(request, packet)] = self.route.requests()
        self.pass_seconds(4.8)
        self.assertEqual(self.alice.packets(), [])
        self.pass_seconds(0.3)
        self.assertEqual(self.failures(self.alice), [("c1", "timeout")])
        self.accept(self.route, request, packet)
        self.assertEqual(self.alice.packets(), [], "the late answer is nobody's")
        self.assertEqual(len(self.server.submissions), 0)

    def test_one_that_was_settled_and_fails_when_it_comes_again(self):
        """It is answered like any other, and keeps none back."""
        for code in ("unavailable", "forbidden", "unavailable"):
            self.alice.send(BOB, "one", "c1")
            [(request, _)] = self.route.requests()
            self.route.reply(request, failure_packet(ERRORS[code](), "c1", "p:7:9"), code=code)
            self.assertEqual(self.failures(self.alice), [("c1", code)])
        self.alice.send(BOB, "one", "c1")
        self.pass_seconds(5.1)
        self.assertEqual(self.failures(self.alice), [("c1", "timeout")])
        self.alice.send(BOB, "two", "c2")
        self.accept(self.route, *self.route.requests()[-1])
        self.assertEqual([packet.accepted.client_id for packet in self.alice.packets()], ["c2"])

    def test_no_route(self):
        self.unlink(self.route)
        self.alice.send(BOB, "hello", "c1")
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable")])
        self.assertEqual(self.refused("no-route"), 1)

    def test_a_route_whose_link_is_full(self):
        self.route.queued = submissions.MAX_QUEUED + 1
        self.alice.send(BOB, "one", "c1")
        self.route.queued = 0
        self.route.full = True
        self.alice.send(8, "two", "c2")
        self.route.full = False
        self.patch(submissions, "MAX_PENDING", 0)
        self.alice.send(10, "three", "c3")
        self.assertEqual(self.failures(self.alice), [(c, "unavailable") for c in ("c1", "c2", "c3")])
        self.assertEqual(self.route.take("request"), [])
        session = next(iter(self.server.sessions))
        self.assertEqual(session.unanswered, 0)

    def test_a_link_that_takes_only_the_first_of_what_is_sent_at_once(self):
        """One of an earlier release, which takes them one at a time."""
        send_packed = self.route.send_packed

        def fill(item, droppable):
            taken = send_packed(item, droppable)
            self.route.full = len(self.route.items) >= 2
            return taken

        self.route.send_packed = fill
        self.alice.say(*[Packet(send={"user": BOB, "text": "x", "client_id": name}) for name in "abcd"])
        self.assertEqual(self.failures(self.alice), [("c", "unavailable"), ("d", "unavailable")])
        for n, (request, packet) in enumerate(self.route.requests()):
            self.accept(self.route, request, packet, n)
        self.assertEqual([packet.accepted.client_id for packet in self.alice.packets()], ["a", "b"])
        self.assertEqual(next(iter(self.server.sessions)).unanswered, 0)

    def test_what_is_read_together_goes_up_in_the_order_in_which_it_was_said(self):
        sends = [Packet(send={"user": BOB, "text": "x", "client_id": name}) for name in "abc"]
        self.alice.say(sends[0], Packet(sync=Sync(conversation="p:7:9")), *sends[1:])
        said = [packet.send.client_id or "sync" for _, packet in self.route.requests()]
        self.assertEqual(said, ["a", "sync", "b", "c"])

    def test_what_comes_before_nonsense_is_answered_before_the_end(self):
        self.unlink(self.route)
        sends = [Packet(send={"user": BOB, "text": "x", "client_id": name}) for name in "ab"]
        data = b"".join(encode_frame(packet.SerializeToString()) for packet in sends)
        self.alice.connection.dataReceived(data + encode_frame(b"\xff\xff\xff"))
        *failures, last = self.alice.packets()
        self.assertEqual([packet.failure.client_id for packet in failures], ["a", "b"])
        self.assertEqual(last.goodbye.code, "protocol-error")

    def test_sixty_four_unanswered_requests_stop_the_reading(self):
        for number in range(63):
            self.alice.send(BOB, "x", f"c{number}")
        self.assertTrue(self.alice.read_from)
        self.alice.send(BOB, "x", "c63")
        self.assertFalse(self.alice.read_from)
        requests = self.route.requests()
        for request, packet in requests[:32]:
            self.accept(self.route, request, packet)
        self.assertFalse(self.alice.read_from)
        self.accept(self.route, *requests[32])
        self.assertTrue(self.alice.read_from)

    def test_packets_read_together_with_them_wait(self):
        """A client that writes everything at once has no more under way than one that waits."""
        frames = b"".join(
            encode_frame(Packet(sync=Sync(conversation=f"p:7:{100 + n}")).SerializeToString()) for n in range(500)
        )
        self.alice.connection.dataReceived(frames)
        self.turn()
        asked = self.route.requests()
        self.assertEqual(len(asked), STOP_READING // SYNC_WEIGHT)
        seen = [packet.sync.conversation for _, packet in asked]
        while asked:
            for request, said in asked:
                self.route.reply(request, synced_packet(said.sync.conversation, "", "", False))
            self.turn()
            asked = self.route.requests()
            self.assertLessEqual(len(asked), STOP_READING // SYNC_WEIGHT)
            seen += [packet.sync.conversation for _, packet in asked]
        self.assertEqual(seen, [f"p:7:{100 + n}" for n in range(500)])
        self.assertEqual(next(iter(self.server.sessions)).unanswered, 0)

    def test_client_ids_are_checked_at_the_server(self):
        for client_id in ("", "x" * 65):
            self.alice.send(BOB, "hello", client_id)
        self.turn()
        self.assertEqual([code for _, code in self.failures(self.alice)], ["invalid", "invalid"])
        self.assertEqual(self.route.requests(), [])

    def test_slow_and_held_are_separate_reasons_not_to_read(self):
        connection = self.alice.connection
        for number in range(64):
            self.alice.send(BOB, "x", f"c{number}")
        connection.pauseProducing()
        connection.resumeProducing()
        self.assertFalse(self.alice.read_from)
        connection.pauseProducing()
        for request, packet in self.route.requests():
            self.accept(self.route, request, packet)
        self.assertFalse(self.alice.read_from)
        connection.resumeProducing()
        self.assertTrue(self.alice.read_from)

    def test_answers_for_a_session_that_is_gone(self):
        self.alice.send(BOB, "x", "c1")
        [(request, packet)] = self.route.requests()
        self.alice.drop()
        self.accept(self.route, request, packet)
        self.assertEqual(len(self.server.submissions), 0)
        self.assertEqual(self.alice.packets(), [])

    def test_answers_from_another_link_are_ignored(self):
        self.alice.send(BOB, "x", "c1")
        [(request, packet)] = self.route.requests()
        other = self.link("127.0.0.1:8183:8184")
        self.accept(other, request, packet)
        self.assertEqual(self.alice.packets(), [])
        self.accept(self.route, request, packet)
        self.assertEqual(len(self.alice.packets()), 1)

    def test_questions_of_the_server_itself(self):
        fate = self.server.submissions.ask("7", Item(probe=Probe()))
        self.pass_seconds(6)
        self.failureResultOf(fate, CallTimeout)
        self.unlink(self.route)
        self.failureResultOf(self.server.submissions.ask("7", Item(request=Request())), Unavailable)


class RunTests(SubmissionCase):
    """Links that take several Sends as one item."""

    routes_wanted = 2

    def setUp(self):
        super().setUp()
        for route in self.routes:
            route.version = RUNS

    def say(self, names):
        """Say something by each name; return the route that got it and the requests."""
        self.alice.say(*[Packet(send={"user": BOB, "text": "x", "client_id": name}) for name in names])
        ((route, requests),) = [(route, said) for route in self.routes if (said := route.take("request"))]
        return route, requests

    def stored(self, route, call, names):
        packets = [packed.accepted(name, "p:7:9", f"1-{n}", 5, "") for n, name in enumerate(names, 1)]
        route.say(reply=Reply(call=call, calls=len(packets), packets=packets))

    def accepted(self):
        return [packet.accepted.client_id for packet in self.alice.packets()]

    def test_each_names_the_one_before(self):
        _, (first,) = self.say("ab")
        _, (second,) = self.say("cd")
        self.assertEqual([len(first.more), first.after, len(second.more), second.after], [1, "", 1, "b"])

    def test_what_is_said_again_is_not_behind_what_was_said_before_it(self):
        _, requests = self.say("aabc")
        self.assertEqual([(1 + len(one.more), one.after) for one in requests], [(1, ""), (3, "")])
        _, requests = self.say("bd")
        self.assertEqual([(1 + len(one.more), one.after) for one in requests], [(1, "a"), (1, "c")])

    def test_answers_count_once_and_only_those_of_its_own_link(self):
        route, (request,) = self.say("abc")
        session = next(iter(self.server.sessions))
        other = next(one for one in self.routes if one is not route)
        self.stored(other, request.call, "abc")
        self.assertEqual((self.accepted(), session.unanswered), ([], 3))
        self.stored(route, request.call, "ab")
        self.stored(route, request.call, "abc")
        self.assertEqual((self.accepted(), session.unanswered, session.orders), (["a", "b", "c"], 0, None))

    def test_no_answer_in_time(self):
        self.pass_seconds(10)  # so that nothing else is waited for
        self.say("abc")
        self.pass_seconds(5.1)
        self.assertEqual(self.failures(self.alice), [(name, "timeout") for name in "abc"])
        self.assertEqual(next(iter(self.server.sessions)).unanswered, 0)

    def test_a_session_that_is_gone_is_told_nothing(self):
        route, (request,) = self.say("ab")
        session = next(iter(self.server.sessions))
        self.alice.drop()
        self.patch(type(session), "told", self.fail)
        self.stored(route, request.call, "ab")
        self.assertEqual((session.unanswered, len(self.server.submissions)), (0, 0))

    def test_one_of_a_run_waits_for_the_one_before_it(self):
        route, (request,) = self.say("abc")
        route.say(reply=Reply(call=request.call + 2, code=OUT_OF_ORDER))
        self.assertEqual(route.take("request"), [])
        self.stored(route, request.call, "ab")
        self.assertEqual([one.call for one in route.take("request")], [request.call + 2])

    def test_nothing_goes_up_behind_what_no_link_took(self):
        for route in self.routes:
            route.taken = iter((False, True, True))
            route.send_packed = lambda item, droppable, route=route: next(route.taken)
        self.alice.say(*[Packet(send={"user": BOB, "text": "x", "client_id": name}) for name in "aabc"])
        self.assertEqual({code for _, code in self.failures(self.alice)}, {"unavailable"})
        self.assertEqual(next(iter(self.server.sessions)).unanswered, 0)

    def test_those_that_are_traced_go_alone(self):
        traced = SimpleNamespace(trace=b"t" * 24)
        spans = iter((None, None, traced, None, None))
        self.patch(self.server.submissions, "_tracer", SimpleNamespace(send=lambda conversation: next(spans)))
        _, requests = self.say("abcde")
        self.assertEqual(
            [(1 + len(one.more), one.trace, one.after) for one in requests],
            [(2, b"", ""), (1, b"t" * 24, "b"), (2, b"", "c")],
        )

    def test_one_that_waits_goes_up_when_those_before_it_are_stored(self):
        route, (request,) = self.say("ab")
        _, (behind,) = self.say("c")
        route.reply(behind, code=OUT_OF_ORDER)
        self.assertEqual(route.take("request"), [])
        self.stored(route, request.call, "ab")
        (again,) = route.take("request")
        self.assertEqual((again.call, again.after), (behind.call, ""))


class OrderTests(SubmissionCase):
    """A Send names the unanswered one before it, and a failed one holds back others."""

    def fail_send(self, request, packet, code="unavailable"):
        self.route.reply(request, native.packet(failure=Failure(code=code, client_id=packet.send.client_id)), code=code)

    def out_of_order(self, request, packet):
        self.route.reply(request, code=OUT_OF_ORDER)

    def pipeline(self, *names):
        """Send these, and return the requests by name."""
        for name in names:
            self.alice.send(BOB, "x", name)
        return self.asked()

    def asked(self):
        """Take what went up since the last call: name -> (request, packet)."""
        return {packet.send.client_id: (request, packet) for request, packet in self.route.requests()}

    def named(self, asked):
        return {name: request.after for name, (request, _) in asked.items()}

    def assert_nothing_kept(self):
        session = next(iter(self.server.sessions))
        self.assertEqual((session.orders, session.unanswered, len(self.server.submissions)), (None, 0, 0))

    def test_each_names_the_one_before_it_while_that_is_unanswered(self):
        asked = self.pipeline("a", "b", "c")
        self.assertEqual(self.named(asked), {"a": "", "b": "a", "c": "b"})
        for name in "abc":
            self.accept(self.route, *asked[name])
        self.assert_nothing_kept()
        self.assertEqual(self.named(self.pipeline("d")), {"d": ""})

    def test_answered_sends_are_not_named(self):
        asked = self.pipeline("a", "b")
        self.accept(self.route, *asked["b"])
        self.assertEqual(self.named(self.pipeline("c")), {"c": "a"})

    def test_each_conversation_has_its_own_order(self):
        self.alice.send(BOB, "x", "a")
        self.alice.send(8, "x", "b")
        self.alice.send_group(3, "x", "c")
        self.assertEqual(self.named(self.asked()), {"a": "", "b": "", "c": ""})

    def test_sends_behind_a_failed_one_fail_until_it_is_repeated(self):
        self.fail_send(*self.pipeline("c1")["c1"])
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable")])
        self.alice.send(BOB, "2", "c2")
        self.alice.send(8, "to another", "d1")
        self.assertEqual(self.failures(self.alice), [("c2", "unavailable")])
        self.assertEqual(list(self.asked()), ["d1"])
        self.assertEqual(self.named(self.pipeline("c1", "c2")), {"c1": "", "c2": "c1"})

    def test_sends_behind_a_timeout_fail_with_its_code(self):
        self.alice.send(BOB, "1", "c1")
        self.pass_seconds(5.1)
        self.alice.send(BOB, "2", "c2")
        self.assertEqual(self.failures(self.alice), [("c1", "timeout"), ("c2", "timeout")])

    def test_the_first_failed_send_must_be_repeated_first(self):
        for request, packet in self.pipeline("c1", "c2").values():
            self.fail_send(request, packet)
        self.alice.packets()
        self.alice.send(BOB, "x", "c2")
        self.assertEqual(self.failures(self.alice), [("c2", "unavailable")])
        self.assertEqual(list(self.pipeline("c1", "c2")), ["c1", "c2"])

    def test_a_final_refusal_holds_nothing_back(self):
        self.fail_send(*self.pipeline("c1")["c1"], "conflict")
        self.assertEqual(list(self.pipeline("c2")), ["c2"])

    def test_another_session_of_the_user_is_not_held_back(self):
        self.fail_send(*self.pipeline("c1")["c1"])
        tablet = self.log_in(ALICE, device="tablet", beside=True)
        tablet.send(BOB, "2", "c2")
        self.assertEqual(len(self.route.take("request")), 1)

    def test_out_of_order_behind_a_stored_send_goes_up_again_at_once(self):
        asked = self.pipeline("a", "b")
        self.accept(self.route, *asked["a"])
        self.out_of_order(*asked["b"])
        again = self.asked()
        self.assertEqual(self.named(again), {"b": ""})
        self.assertEqual(self.failures(self.alice), [])
        self.accept(self.route, *again["b"])
        self.assert_nothing_kept()

    def test_out_of_order_behind_a_refused_send_names_the_unanswered_one_before_that(self):
        asked = self.pipeline("a", "b", "c", "d")
        self.fail_send(*asked["b"], "forbidden")
        self.out_of_order(*asked["c"])
        self.out_of_order(*asked["d"])
        again = self.asked()
        self.assertEqual(self.named(again), {"c": "a", "d": "c"})
        for said in (asked["a"], *again.values()):
            self.accept(self.route, *said)
        self.assert_nothing_kept()

    def test_out_of_order_behind_a_send_under_way_waits(self):
        asked = self.pipeline("a", "b", "c")
        self.out_of_order(*asked["c"])
        self.out_of_order(*asked["b"])
        self.assertEqual(self.asked(), {})
        self.accept(self.route, *asked["a"])
        again = self.asked()
        self.assertEqual(self.named(again), {"b": "", "c": "b"})
        self.assertEqual(list(again), ["b", "c"])
        self.assertEqual(self.failures(self.alice), [])
        for said in again.values():
            self.accept(self.route, *said)
        self.assert_nothing_kept()

    def test_out_of_order_behind_a_failed_send_fails_the_same_way(self):
        asked = self.pipeline("a", "b", "c")
        self.out_of_order(*asked["c"])
        self.fail_send(*asked["a"], "rate-limited")
        self.out_of_order(*asked["b"])
        self.assertEqual([code for _, code in self.failures(self.alice)], ["rate-limited"] * 3)
        self.assertEqual(self.asked(), {})
        self.assertEqual(self.named(self.pipeline("a", "b", "c")), {"a": "", "b": "a", "c": "b"})

    def test_a_waiting_send_fails_with_the_one_that_it_waits_for(self):
        asked = self.pipeline("a", "b", "c")
        self.out_of_order(*asked["b"])
        self.out_of_order(*asked["c"])
        self.fail_send(*asked["a"])
        self.assertEqual(self.failures(self.alice), [(name, "unavailable") for name in ("a", "b", "c")])

    def test_a_waiting_send_fails_when_its_own_time_is_over(self):
        asked = self.pipeline("a")
        self.pass_seconds(2)
        asked |= self.pipeline("b")
        self.out_of_order(*asked["b"])
        self.pass_seconds(2)
        self.assertEqual(self.named(self.pipeline("a")), {"a": "", "b": "a"})
        self.pass_seconds(3.2)
        self.assertEqual(self.failures(self.alice), [("b", "timeout")], "5 s after it was said first")

    def test_out_of_order_behind_a_repeated_send_goes_up_behind_the_repetition(self):
        """A client need not wait for the second before it repeats the first."""
        asked = self.pipeline("a", "b")
        self.fail_send(*asked["a"])
        asked_again = self.pipeline("a")
        self.out_of_order(*asked["b"])
        again = self.asked()
        self.assertEqual(self.named(again), {"b": "a"})
        self.assertEqual(self.named(self.pipeline("c")), {"c": "b"})
        self.assertEqual(self.failures(self.alice), [("a", "unavailable")])
        self.accept(self.route, *asked_again["a"])
        self.accept(self.route, *again["b"])

    def test_a_repeated_send_keeps_its_place(self):
        """First q, then p, which fails before q does, then s, which stays under way."""
        asked = self.pipeline("q", "p", "s")
        self.fail_send(*asked["p"])
        self.fail_send(*asked["q"])
        self.alice.packets()
        self.assertEqual(self.pipeline("p"), {}, "the first that failed is q")
        self.assertEqual(self.named(self.pipeline("q", "p")), {"q": "", "p": "q"})
        self.out_of_order(*asked["s"])
        self.assertEqual(self.named(self.asked()), {"s": "p"})

    def test_a_send_that_fails_behind_an_unrepeated_one_waits_for_that_one(self):
        asked = self.pipeline("q", "p", "s")
        self.fail_send(*asked["p"])
        self.fail_send(*asked["q"])
        self.pipeline("q")
        self.out_of_order(*asked["s"])
        self.assertEqual(self.failures(self.alice)[-1], ("s", "unavailable"))
        self.assertEqual(self.pipeline("s"), {}, "p is before it")
        self.assertEqual(self.named(self.pipeline("p", "s")), {"p": "q", "s": "p"})

    def test_a_client_may_give_up_a_failed_send(self):
        asked = self.pipeline("a", "b")
        for said in asked.values():
            self.fail_send(*said)
        self.assertEqual(self.named(self.pipeline("a", "c")), {"a": "", "c": "a"})

    def test_a_send_twice_at_once(self):
        """The second one counts; both are answered, or the first is not needed."""
        first = self.pipeline("a")["a"]
        second = self.pipeline("a")["a"]
        behind = self.pipeline("b")["b"]
        self.assertEqual(behind[0].after, "a")
        self.fail_send(*first)
        self.accept(self.route, *second)
        self.accept(self.route, *behind)
        self.assert_nothing_kept()

    def test_a_send_twice_at_once_with_the_first_out_of_order(self):
        asked = self.pipeline("a", "b")
        again = self.pipeline("b")
        self.out_of_order(*asked["b"])
        self.assertEqual(self.asked(), {})
        self.assertEqual(again["b"][0].after, "a")
        self.accept(self.route, *asked["a"])
        self.accept(self.route, *again["b"])
        self.assert_nothing_kept()

    def test_a_send_twice_while_the_first_waits(self):
        asked = self.pipeline("a", "b")
        self.out_of_order(*asked["b"])
        again = self.pipeline("b")
        self.accept(self.route, *asked["a"])
        self.accept(self.route, *again["b"])
        self.pass_seconds(6)
        self.assertEqual(self.failures(self.alice), [])
        self.assert_nothing_kept()

    def test_out_of_order_for_a_session_that_is_gone(self):
        asked = self.pipeline("a", "b")
        self.alice.drop()
        self.out_of_order(*asked["b"])
        self.accept(self.route, *asked["a"])
        self.assertEqual(self.asked(), {})
        self.assertEqual(len(self.server.submissions), 0)

    def test_failures_are_remembered_in_a_bounded_number_of_conversations(self):
        self.patch(send_order, "MAX_KEPT_BACK", 3)
        for user in range(100, 106):
            self.alice.send(user, "x", f"c{user}")
            self.fail_send(*self.asked()[f"c{user}"])
        session = next(iter(self.server.sessions))
        self.assertEqual(list(session.orders), ["p:7:103", "p:7:104", "p:7:105"])


class LinkTests(SubmissionCase):
    """Two routes."""

    routes_wanted = 2

    def requests(self):
        return {route: route.requests() for route in self.routes if route.items}

    def test_a_conversation_has_one_route_and_conversations_share_them(self):
        for number in range(40):
            self.alice.send(100 + number, "x", f"c{number}")
        first = self.requests()
        self.assertEqual(len(first), 2)
        where = {request.conversation: route for route, said in first.items() for request, _ in said}
        for route, said in first.items():
            for request, packet in said:
                self.accept(route, request, packet)
        for number in range(40):
            self.alice.send(100 + number, "x", f"d{number}")
        for route, said in self.requests().items():
            for request, _ in said:
                self.assertIs(where[request.conversation], route)

    def test_a_conversation_keeps_its_link_while_something_is_unanswered(self):
        for number in range(40):
            self.alice.send(100 + number, "x", f"c{number}")
        pinned = self.requests()
        where = {request.conversation: route for route, said in pinned.items() for request, _ in said}
        third = self.link("127.0.0.1:8383:8384")
        for number in range(40):
            self.alice.send(100 + number, "x", f"d{number}")
        for route, said in self.requests().items():
            for request, _ in said:
                self.assertIs(where[request.conversation], route)
                route.reply(request)
        for route, said in pinned.items():
            for request, _ in said:
                route.reply(request)
        third.items.clear()
        for number in range(40):
            self.alice.send(100 + number, "x", f"e{number}")
        self.assertGreater(len(third.requests()), 5)

    def test_a_route_without_its_store_gets_nothing_new(self):
        """But a Watch goes to the home route all the same, which knows who is online."""
        away, well = self.routes

        def said(round):
            for number in range(10):
                self.alice.send(100 + number, "x", f"{round}{number}")
            self.alice.sync("")
            found = [route.requests() for route in (away, well)]
            for route, requests in zip((away, well), found, strict=True):
                for request, _ in requests:
                    route.reply(request)
            return [len(requests) for requests in found]

        before = said("a")
        self.assertEqual((min(before) > 2, sum(before)), (True, 11))
        away.say(store_state=StoreState(away=True))
        self.assertEqual(said("b"), [0, sum(before)])
        watching = [self.watchers() for _ in range(2)]
        self.assertEqual(watching[0], watching[1])
        well.say(store_state=StoreState(away=True))
        self.assertEqual(said("c"), before)  # nobody can do better
        self.assertEqual(self.watchers(), watching[0])
        for route in self.routes:
            route.say(store_state=StoreState(away=False))
        self.assertEqual(said("d"), before)

    def watchers(self):
        """Return the routes that a Watch of each of some users goes to."""
        clients = [self.log_in(user) for user in range(400, 410)]
        for route in self.routes:
            route.items.clear()
        for client in clients:
            client.say(Packet(watch=Watch(users=[ALICE])))
        self.turn()
        found = [sorted(request.user for request, _ in route.requests()) for route in self.routes]
        self.assertTrue(all(found), found)
        for client in clients:
            client.drop()
        return found

    def test_sends_behind_an_unanswered_one_leave_a_route_without_its_store(self):
        """They name the one before them, so nothing is reordered."""
        self.alice.send(100, "x", "c1")
        away = next(route for route in self.routes if route.items)
        well = next(route for route in self.routes if route is not away)
        [(first, packet)] = away.requests()
        away.say(store_state=StoreState(away=True))
        self.alice.send(100, "x", "c2")
        [(second, _)] = well.requests()
        self.assertEqual(second.after, "c1")
        well.reply(second, code=OUT_OF_ORDER)
        self.refuse(away, first, packet)
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable"), ("c2", "unavailable")])
        self.alice.send(100, "x", "c1")
        self.assertEqual([packet.send.client_id for _, packet in well.requests()], ["c1"])

    def test_a_route_that_comes_back_without_a_word_reaches_its_store(self):
        away = self.routes[0]
        away.say(store_state=StoreState(away=True))
        self.unlink(away)
        self.link(away.peer.name)
        for number in range(20):
            self.alice.send(100 + number, "x", f"a{number}")
        self.assertTrue(all(route.requests() for route in self.routes[-2:]))

    def test_requests_of_a_lost_link_go_first_and_in_order(self):
        for number in range(12):
            self.alice.send(100 + number % 3, "x", f"c{number}")
        lost = max(self.routes, key=lambda route: len(route.items))
        kept = next(route for route in self.routes if route is not lost)
        unanswered = lost.requests()
        answered, unanswered = unanswered[:2], unanswered[2:]
        for request, packet in answered:
            self.accept(lost, request, packet)
        kept.items.clear()
        self.unlink(lost)
        self.alice.send(100, "new", "c12")
        again = kept.requests()
        order = {}
        for request, packet in again:
            # Each names the unanswered one before it in its conversation.
            self.assertEqual(request.after, order.get(request.conversation, ""))
            order[request.conversation] = packet.send.client_id
        self.assertEqual(
            sorted(packet.send.client_id for _, packet in again),
            sorted([packet.send.client_id for _, packet in unanswered] + ["c12"]),
        )
        self.assertEqual(again[-1][1].send.client_id, "c12")
        self.alice.packets()
        for request, packet in again:
            self.accept(kept, request, packet)
        self.assertEqual(len(self.alice.packets()), len(again))
        self.accept(lost, *unanswered[0])
        self.assertEqual(self.alice.packets(), [])

    def refuse(self, route, request, packet):
        route.reply(request, failure_packet(Unavailable(), packet.send.client_id), code="unavailable")

    def test_sends_behind_a_failed_one_go_over_no_other_link(self):
        for number in range(3):
            self.alice.send(BOB, "x", f"c{number}")
        lost, kept = sorted(self.routes, key=lambda route: not route.items)
        self.refuse(lost, *lost.requests()[0])
        self.alice.packets()
        self.unlink(lost)
        self.assertEqual(kept.requests(), [])
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable"), ("c2", "unavailable")])
        self.alice.send(BOB, "x", "c2")
        self.assertEqual(self.failures(self.alice), [("c2", "unavailable")])
        for number in range(3):
            self.alice.send(BOB, "x", f"c{number}")
        self.assertEqual([packet.send.client_id for _, packet in kept.requests()], ["c0", "c1", "c2"])

    def test_sends_behind_a_repeated_one_go_up_behind_it(self):
        for number in range(3):
            self.alice.send(BOB, "x", f"c{number}")
        lost, kept = sorted(self.routes, key=lambda route: not route.items)
        self.refuse(lost, *lost.requests()[0])
        self.alice.send(BOB, "x", "c0")
        self.alice.packets()
        self.unlink(lost)
        self.assertEqual(
            [(packet.send.client_id, request.after) for request, packet in kept.requests()],
            [("c0", ""), ("c1", "c0"), ("c2", "c1")],
        )

    def test_sends_behind_one_that_no_other_link_has_room_for(self):
        for number in range(3):
            self.alice.send(BOB, "x", f"c{number}")
        lost, kept = sorted(self.routes, key=lambda route: not route.items)
        room = iter((False, True, True))
        self.patch(kept, "send_packed", lambda item, droppable: next(room))
        self.unlink(lost)
        self.assertEqual(self.failures(self.alice), [(f"c{number}", "unavailable") for number in range(3)])

    def test_sends_behind_a_failed_one_of_an_ended_session_go_over_no_other_link(self):
        for number in range(2):
            self.alice.send(BOB, "x", f"c{number}")
        lost, kept = sorted(self.routes, key=lambda route: not route.items)
        self.refuse(lost, *lost.requests()[0])
        self.alice.drop()
        self.unlink(lost)
        self.assertEqual(kept.requests(), [])

    def test_a_send_that_fails_again_holds_back_those_that_failed_behind_it(self):
        for number in range(3):
            self.alice.send(BOB, "x", f"c{number}")
        route = max(self.routes, key=lambda route: len(route.items))
        said = route.requests()
        self.refuse(route, *said[0])
        self.alice.send(BOB, "x", "c0")
        self.refuse(route, *said[1])
        self.refuse(route, *said[2])
        [again] = route.requests()
        self.refuse(route, *again)
        self.alice.packets()
        self.alice.send(BOB, "x", "c1")
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable")])
        self.alice.send(BOB, "x", "c0")
        self.assertEqual([packet.send.client_id for _, packet in route.requests()], ["c0"])

    def test_unanswered_requests_fail_when_the_last_link_is_lost(self):
        self.alice.send(BOB, "x", "c1")
        self.alice.send(BOB, "x", "c2")
        for route in list(self.routes):
            self.unlink(route)
        self.assertEqual(self.failures(self.alice), [("c1", "unavailable"), ("c2", "unavailable")])
        session = next(iter(self.server.sessions))
        self.assertEqual((session.unanswered, session.orders["p:7:9"].first_failed.client_id), (0, "c1"))


class ReceiptTests(SubmissionCase):
    """Received and Read."""

    def test_only_the_newest_received_goes_up(self):
        for n in (1, 3, 2):
            self.alice.received("p:7:9", f"1-{n}")
        self.alice.received("p:7:8", "2-1")
        self.assertEqual(self.route.take("request"), [])
        self.pass_seconds(0.3)
        said = {r.conversation: p.received.position for r, p in self.route.requests()}
        self.assertEqual(said, {"p:7:9": "1-3", "p:7:8": "2-1"})

    def test_a_read_goes_up_at_once(self):
        for n in (1, 3):
            self.alice.read("p:7:9", f"1-{n}")
        self.assertEqual([packet.read.position for _, packet in self.route.requests()], ["1-1", "1-3"])
        self.alice.read("p:7:9", "nonsense")
        self.assertEqual([code for _, code in self.failures(self.alice)], ["invalid"])

    def test_receipts_go_up_before_a_sync_and_when_the_session_ends(self):
        self.alice.received("p:7:9", "1-1")
        self.alice.sync()
        self.assertEqual([p.WhichOneof("body") for _, p in self.route.requests()], ["received", "sync"])
        self.alice.received("p:7:9", "1-2")
        self.alice.drop()
        self.assertEqual([p.received.position for _, p in self.route.requests()], ["1-2"])
        self.pass_seconds(1)
        self.assertEqual(self.route.requests(), [])

    def test_receipts_of_others_go_up_although_one_cannot(self):
        bob = self.log_in(BOB, "bob")
        self.alice.received("p:7:9", "1-1")
        bob.received("p:7:9", "1-2")
        self.route.send_packed = lambda item, droppable: 1 / 0
        self.pass_seconds(0.3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        del self.route.send_packed
        self.pass_seconds(0.3)
        self.assertEqual([packet.received.position for _, packet in self.route.requests()], ["1-2"])

    def test_receipts_fail_silently(self):
        self.alice.received("p:7:9", "1-1")
        self.pass_seconds(5.5)
        self.assertEqual(self.alice.packets(), [])

    def test_a_refused_receipt_is_reported(self):
        self.alice.received("p:8:9", "1-1")
        self.pass_seconds(0.3)
        [(request, _)] = self.route.requests()
        self.route.reply(request, failure_packet(Unavailable()), code="forbidden")
        self.assertEqual(len(self.failures(self.alice)), 1)

    def test_many_sessions_receipts_go_up_together(self):
        self.route.version = RUNS
        others = [self.log_in(user, f"user {user}") for user in range(20, 23)]
        for number, client in enumerate(others):
            client.received("g:5", f"1-{number + 1}")
        others[0].received("g:6", "1-9")
        self.pass_seconds(0.3)
        (batch,) = self.route.take("receipts")
        self.assertEqual(
            [(one.user, one.device, one.conversation, one.position) for one in batch.receipts],
            [
                (20, "phone", "g:5", "1-1"),
                (20, "phone", "g:6", "1-9"),
                (21, "phone", "g:5", "1-2"),
                (22, "phone", "g:5", "1-3"),
            ],
        )
        self.assertEqual(self.route.requests(), [])
        # Nobody is told when no answer comes.
        self.pass_seconds(6)
        self.assertEqual([client.packets() for client in others], [[], [], []])

    def test_many_conversations_are_bounded(self):
        for number in range(1000):
            self.alice.received(f"p:7:{100 + number}", "1-1")
        session = next(iter(self.server.sessions))
        self.assertLess(len(session.receipts or ()), 64)


class ReceiptsOfSeveralRoutesTests(SubmissionCase):
    routes_wanted = 2

    def test_what_was_not_answered_goes_over_another_link(self):
        for route in self.routes:
            route.version = RUNS
        self.alice.received("p:7:9", "1-1")
        self.pass_seconds(0.3)
        asked = next(route for route in self.routes if any(item.HasField("receipts") for item in route.items))
        self.unlink(asked)
        (other,) = [route for route in self.routes if route is not asked]
        (batch,) = other.take("receipts")
        self.assertEqual([one.position for one in batch.receipts], ["1-1"])

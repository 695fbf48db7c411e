"""Guests' conversations: backlog, order, receipts, and what pushing loses."""

from __future__ import annotations

from cim.errors import Forbidden, StoreUnavailable
from cim.wire import positions
from cim.wire.cim_pb2 import MESSAGE, OFFLINE, Deliver, Packet, Welcome
from cim.wire.error_table import row_of
from cim.wire.guests import Generation
from cim.wire.link_pb2 import HEADS, OpenOutcome, Reply
from cim.wire.link_pb2 import Deliver as Push
from cim.wire.native import FETCH, deliver_packet, failure_packet, synced_packet
from tests.server.native_case import ServerCase, head

ALICE, BOB, CAROL = 7, 9, 11
AB, BC = "p:7:9", "p:9:11"
NAMES = {ALICE: "alice", BOB: "bob", CAROL: "carol"}


class Conversations:
    """The store, as the routes of a test know it."""

    def __init__(self):
        self.logs = {}
        self.marks = {}
        self.asked = []
        self.failing = {}
        self.page = 100

    def say(self, conversation, sender, text, **fields):
        """Store a message; return (position, previous)."""
        log = self.logs.setdefault(conversation, [])
        previous = log[-1][0] if log else (0, 0)
        position = (1, previous[1] + 1)
        log.append((position, previous, Deliver(sender=sender, sender_name=NAMES[sender], text=text, **fields)))
        return position, previous

    def answer(self, route):
        """Answer what guests' sessions ask on a route; True when there was anything."""
        worked = False
        for item in list(route.items):
            if item.WhichOneof("item") == "open" and "open" not in self.failing:
                route.items.remove(item)
                route.say(open_outcome=OpenOutcome(call=item.open.call))
                worked = True
                continue
            if item.WhichOneof("item") == "receipts":
                worked = True
                route.items.remove(item)
                self.receipts(item.receipts)
                route.say(reply=Reply(call=item.receipts.call))
                continue
            if item.WhichOneof("item") != "request" or not item.request.call:
                continue
            request = item.request
            kind = "heads" if request.purpose == HEADS else Packet.FromString(request.packet).WhichOneof("body")
            error = self.failing.get(kind)
            if error == "silent":
                continue
            route.items.remove(item)
            worked = True
            self.asked.append((kind, request))
            if error is not None:
                packet = failure_packet(error, conversation=request.conversation)
                route.reply(request, packet, code=row_of(error).failure)
            else:
                route.reply(request, *getattr(self, kind)(request))
        return worked

    def heads(self, request):
        heads = []
        for conversation, log in self.logs.items():
            mark = self.marks.get(conversation, (0, 0))
            if str(request.user) in conversation.split(":") and log[-1][0] > mark:
                heads.append(head(conversation, positions.text(log[-1][0]), received=positions.text(mark)))
        return [Packet(welcome=Welcome(heads=heads))]

    def sync(self, request):
        sync = Packet.FromString(request.packet).sync
        after = positions.parse(sync.after)
        log = [entry for entry in self.logs[sync.conversation] if entry[0] > after]
        page = log[: self.page]
        packets = [
            deliver_packet(body.SerializeToString(), sync.conversation, positions.text(at), positions.text(previous))
            for at, previous, body in page
        ]
        upto = page[-1][0] if page else after
        return [
            *packets,
            synced_packet(sync.conversation, sync.after, positions.text(upto), len(log) > len(page)),
        ]

    def receipts(self, told):
        for said in told.receipts:
            mark = self.marks.get(said.conversation, (0, 0))
            self.marks[said.conversation] = max(mark, positions.parse(said.position))


class GuestCase(ServerCase):
    def setUp(self):
        super().setUp()
        self.store = Conversations()
        self.route = self.link()
        self.turn()

    def turn(self):
        for _ in range(50):
            self.clock.advance(0)
            if sum([self.store.answer(route) for route in self.routes]) == 0:
                break

    def log_in(self, generation=Generation.W2):
        client = self.guest(ALICE, "alice", generation)
        self.turn()
        return client

    def push(self, conversation, place, text, sender=BOB, route=None, **fields):
        """Push a message of `place` = (position, previous)."""
        body = Deliver(
            sender=sender, sender_name=NAMES[sender], text=text, sent_at=int(self.clock.seconds() * 1000)
        ).SerializeToString()
        packet = deliver_packet(body, conversation, *map(positions.text, place))
        (route or self.route).say(deliver=Push(users=[ALICE], packet=packet, **fields))

    def say_batch(self, *texts, sender=BOB, **fields):
        """Store and push a batch."""
        places = [self.store.say(AB, sender, text) for text in texts]
        for left, place, text in zip(range(len(texts), 0, -1), places, texts, strict=True):
            self.push(AB, place, text, sender, batch=left, **fields)
        return places

    def outcomes(self, call):
        return [outcome.sessions for outcome in self.route.take("outcome") if outcome.call == call]

    def fetch(self, call=70):
        self.route.say(deliver=Push(call=call, users=[ALICE], packet=FETCH))
        self.turn()
        return self.outcomes(call)


class BacklogTests(GuestCase):
    """What was said while the guest was away."""

    def setUp(self):
        super().setUp()
        for text in ("a", "b"):
            self.store.say(AB, BOB, text)
        self.store.say(AB, ALICE, "my own")
        self.store.say(AB, BOB, "c")

    def test_the_first_generation_gets_it_at_login_as_ordinary_messages(self):
        client = self.log_in(Generation.W1)
        self.assertEqual(client.texts(), ["bob:a", "bob:b", "bob:c"])

    def test_the_second_generation_when_it_fetches_as_offline_frames(self):
        client = self.log_in()
        self.pass_seconds(1)
        self.assertEqual(client.frames(), [])
        self.assertEqual(self.fetch(), [1])
        [frame] = client.frames()
        self.assertEqual((frame.command, frame.batch[:]), (OFFLINE, ["a", "b", "c"]))
        self.assertEqual(dict(frame.properties), {"sendUserId": "9", "sendUserName": "bob", "receiveUserId": "7"})

    def test_or_before_its_first_live_message(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "live"), "live", call=5)
        self.assertEqual(client.frames(), [])
        self.assertEqual(self.outcomes(5), [])
        self.turn()
        frames = client.frames()
        self.assertEqual([text for frame in frames for text in (frame.batch or [frame.text])], ["a", "b", "c", "live"])
        self.assertEqual(self.outcomes(5), [1])

    def test_one_frame_for_each_run_of_one_sender(self):
        self.store.say(BC.replace("9", "7", 1), CAROL, "from carol")
        client = self.log_in()
        self.fetch()
        frames = client.frames()
        self.assertEqual(
            sorted((frame.properties["sendUserName"], tuple(frame.batch)) for frame in frames),
            [("bob", ("a", "b", "c")), ("carol", ("from carol",))],
        )

    def test_a_long_one_in_frames_of_a_hundred(self):
        for number in range(250):
            self.store.say(AB, BOB, str(number))
        client = self.log_in()
        self.fetch()
        frames = client.frames()
        self.assertLessEqual(max(len(frame.batch) for frame in frames), 100)
        self.assertEqual([text for frame in frames for text in frame.batch], ["a", "b", "c", *map(str, range(250))])

    def test_nothing_comes_twice(self):
        client = self.log_in()
        self.fetch()
        self.pass_seconds(1)
        client.frames()
        self.assertEqual(self.fetch(71), [1])
        self.assertEqual(client.frames(), [])
        self.assertEqual(self.store.marks[AB], (1, 4))
        client.drop()
        client = self.log_in(Generation.W1)
        self.assertEqual(client.texts(), [])

    def test_what_was_written_just_before_the_end_is_acknowledged(self):
        client = self.log_in()
        self.fetch()
        client.drop()
        self.turn()
        self.assertEqual(self.store.marks[AB], (1, 4))

    def test_a_text_that_fits_into_no_frame_keeps_nothing_back(self):
        self.store.say(AB, BOB, "x" * 65536)
        self.store.say(AB, BOB, "d")
        client = self.log_in()
        self.fetch()
        self.assertEqual([text for frame in client.frames() for text in frame.batch], ["a", "b", "c", "d"])
        self.assertEqual(self.refused("undeliverable"), 1)

    def test_the_store_is_away_for_a_while(self):
        for kind in ("heads", "sync"):
            with self.subTest(kind):
                self.store.failing[kind] = StoreUnavailable()
                client = self.log_in(Generation.W1)
                self.pass_seconds(3)
                self.assertEqual(client.texts(), [])
                self.store.failing.clear()
                self.pass_seconds(2)
                self.assertEqual(client.texts(), ["bob:a", "bob:b", "bob:c"])
                client.drop()
                self.turn()
                self.store.marks.clear()

    def test_a_conversation_that_is_not_its_own_any_more(self):
        self.store.failing["sync"] = Forbidden()
        client = self.log_in()
        self.fetch()
        self.pass_seconds(20)
        self.assertEqual(client.frames(), [])
        self.assertEqual(len([kind for kind, _ in self.store.asked if kind == "sync"]), 1)

    def test_a_route_that_does_not_answer_whoever_fetches(self):
        self.store.failing["sync"] = "silent"
        self.log_in()
        self.assertEqual(self.fetch(), [])
        self.pass_seconds(1.6)
        self.assertEqual(self.outcomes(70), [0])

    def test_fetching_for_somebody_who_is_not_here(self):
        self.assertEqual(self.fetch(), [0])

    def test_fetching_just_before_the_login_arrives(self):
        self.server.sessions.reserve(ALICE, "alice", "owner", 30)
        self.assertEqual(self.fetch(), [])
        client = self.log_in()
        self.assertEqual((self.outcomes(70), len(client.frames())), ([1], 1))

    def test_fetching_for_somebody_who_logged_in_and_does_not_connect(self):
        self.server.sessions.reserve(ALICE, "alice", "owner", 30)
        for call in 70, 71:
            self.assertEqual(self.fetch(call), [])
        self.clock.advance(0.5)
        self.assertEqual((self.outcomes(70), self.server.deliveries._coming), ([0], {}))

    def test_nothing_to_fetch(self):
        self.store.marks[AB] = (1, 4)
        client = self.log_in()
        self.assertEqual(self.fetch(), [1])
        self.assertEqual(client.frames(), [])

    def test_the_link_dies_in_the_middle(self):
        other = self.link("127.0.0.1:8183:8184")
        self.store.failing.update(heads="silent")
        client = self.guest(ALICE, "alice", Generation.W1)
        self.clock.advance(0)
        home = next(r for r in self.routes if any(i.WhichOneof("item") == "request" for i in r.items))
        self.assertIn(home, (self.route, other))
        self.unlink(home)
        self.store.failing.clear()
        self.turn()
        self.assertEqual(client.texts(), ["bob:a", "bob:b", "bob:c"])


class LiveTests(GuestCase):
    """What is said while it is there."""

    def test_one_comes_as_it_is(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "hi"), "hi", call=5)
        self.turn()
        [frame] = client.frames()
        self.assertEqual((frame.command, frame.text, frame.properties["sendUserName"]), (MESSAGE, "hi", "bob"))
        self.assertEqual(self.outcomes(5), [1])

    def test_one_that_comes_just_before_the_login(self):
        self.server.sessions.reserve(ALICE, "alice", "owner", 30)
        self.push(AB, self.store.say(AB, BOB, "hello"), "hello", call=70)
        self.assertEqual(self.outcomes(70), [])
        client = self.log_in()
        self.assertEqual([frame.text for frame in client.frames()], ["hello"])
        self.assertEqual(self.outcomes(70), [1])

    def test_a_repeat_is_dropped(self):
        client = self.log_in()
        place = self.store.say(AB, BOB, "hi")
        self.push(AB, place, "hi")
        self.turn()
        self.push(AB, place, "hi", call=6)
        self.turn()
        self.assertEqual(client.texts(), ["hi"])

    def test_a_first_message_that_is_said_again_needs_its_mark(self):
        """An earlier session of the guest may have had it."""
        client = self.log_in()
        self.push("p:7:11", self.store.say("p:7:11", CAROL, "hi"), "hi", sender=CAROL)
        self.turn()
        place = self.store.say(AB, BOB, "again")
        self.store.marks[AB] = place[0]
        self.push(AB, place, "again", repeated=True)
        self.turn()
        self.assertEqual(client.texts(), ["hi"])

    def test_one_that_was_lost_is_fetched_and_the_order_kept(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "1"), "1")
        self.turn()
        self.store.say(AB, BOB, "2")
        self.push(AB, self.store.say(AB, BOB, "3"), "3", call=5)
        self.turn()
        self.assertEqual(client.texts(), ["1"])
        self.assertEqual(self.outcomes(5), [])
        self.pass_seconds(0.5)
        self.assertEqual(client.texts(), ["2", "3"])
        self.assertEqual(self.outcomes(5), [1])

    def test_its_own_messages_move_its_place_and_are_not_shown(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "1"), "1")
        self.push(AB, self.store.say(AB, ALICE, "mine"), "mine", sender=ALICE)
        self.push(AB, self.store.say(AB, BOB, "2"), "2")
        self.turn()
        self.assertEqual(client.texts(), ["1", "2"])
        self.assertEqual([kind for kind, _ in self.store.asked if kind == "sync"], [])

    def test_a_batch_is_one_frame(self):
        client = self.log_in()
        # Its conversation is unknown: all of it waits for the mark.
        self.say_batch("1", "2", call=5)
        self.turn()
        [frame] = client.frames()
        self.assertEqual((frame.batch[:], frame.command), (["1", "2"], MESSAGE))
        self.assertEqual(self.outcomes(5), [1, 1])
        self.say_batch("3", "4", "5", call=6)
        [frame] = client.frames()
        self.assertEqual(frame.batch[:], ["3", "4", "5"])
        self.assertEqual(self.outcomes(6), [1, 1, 1])

    def test_a_text_of_a_batch_that_fits_into_no_frame_was_not_written(self):
        client = self.log_in()
        self.fetch()
        client.frames()
        self.say_batch("1", "2", "x" * 65536, call=6)
        self.turn()
        self.assertEqual(client.texts(), ["1", "2"])
        self.assertEqual(self.outcomes(6), [1, 1, 0])
        self.assertEqual(self.refused("undeliverable"), 1)
        self.say_batch("3", "4", call=7)
        self.assertEqual([frame.batch[:] for frame in client.frames()], [["3", "4"]])

    def test_to_everyone_it_is_live_only(self):
        client = self.log_in()
        body = Deliver(sender=BOB, sender_name="bob", text="all").SerializeToString()
        packet = deliver_packet(body, "g:0", "1-9", "1-8")
        self.route.say(deliver=Push(call=3, everyone=True, except_user=BOB, packet=packet))
        self.assertEqual(client.texts(), ["all"])
        self.assertEqual(self.outcomes(3), [1])
        self.pass_seconds(1)
        self.assertEqual([kind for kind, _ in self.store.asked], [])

    def test_a_slow_guest_gets_the_rest_when_it_reads(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "1"), "1")
        self.turn()
        client.connection.pauseProducing()
        for text in ("2", "3"):
            self.push(AB, self.store.say(AB, BOB, text), text, call=5)
        self.pass_seconds(1)
        self.assertEqual(client.texts(), ["1"])
        self.assertEqual(self.outcomes(5), [0, 0])
        client.connection.resumeProducing()
        self.pass_seconds(0.2)
        self.assertEqual(client.texts(), ["2", "3"])

    def test_after_a_link_was_lost_it_is_looked_at(self):
        for fetched in (True, False):
            client = self.log_in()
            if fetched:
                self.fetch()
            self.store.say(AB, BOB, "lost")
            self.unlink(self.route)
            self.route = self.link()
            self.pass_seconds(2)
            self.assertEqual(client.texts(), ["lost"] if fetched else [])
            client.drop()

    def test_receipts_that_cannot_be_told_are_told_later(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "1"), "1")
        self.unlink(self.route)
        self.pass_seconds(1)
        self.assertEqual(self.store.marks, {})
        self.route = self.link()
        self.pass_seconds(3)
        self.assertEqual(self.store.marks, {AB: (1, 1)})
        self.assertEqual(client.texts(), ["1"])

    def test_one_that_is_quiet_costs_nothing_and_goes_on(self):
        client = self.log_in()
        self.push(AB, self.store.say(AB, BOB, "1"), "1")
        for _ in range(4):
            self.pass_seconds(25)
            client.ping(ALICE)
        self.assertEqual((len(self.server.guests), len(self.server.guests.receipts)), (0, 0))
        self.push(AB, self.store.say(AB, BOB, "2"), "2")
        self.turn()
        self.assertEqual(client.texts(), ["1", "2"])

    def test_nothing_is_left_when_it_goes(self):
        client = self.log_in()
        self.store.say(AB, BOB, "1")
        self.push(AB, self.store.say(AB, BOB, "2"), "2")
        client.drop()
        self.turn()
        self.assertEqual((len(self.server.guests), len(self.server.guests.receipts)), (0, 0))

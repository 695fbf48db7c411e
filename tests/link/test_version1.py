"""Links to ends of the first release (93fa1d3), with items recorded from that release."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cim.interfaces import ILink, ILinkUser
from cim.link.packing import Packing
from cim.link.version1 import old_routes, old_servers
from cim.wire import link1_pb2
from cim.wire.cim_pb2 import News, Packet, Typing
from cim.wire.link_pb2 import HEADS, Closed, Deliver, Item, OpenOutcome, Outcome, Reply, Request, Reserve
from cim.wire.native import OUT_OF_ORDER, failure_packet
from tests.link.network import ROUTE

ALICE, BOB = 1700000000000, 1700000000001
AB = f"p:{ALICE}:{BOB}"

# Alice, on the phone with the session "1", talks to bob, a guest.
SEND_UP = (
    "525008061080d095ffbc311a05616c6963652201312a0570686f6e653a1d703a313730303030303030303030303a31373030303030"
    "30303030303142159201120881d095ffbc311a026331220568656c6c6f"
)
MESSAGE = (
    "4aa701120681d095ffbc312a150880d095ffbc311205616c6963651a0568656c6c6f4201314a1d703a313730303030303030303030"
    "303a31373030303030303030303031520f313730303030303030303030302d316253a201502080d095ffbc312a05616c6963653080"
    "d095ffbc313a026331420568656c6c6f0a1d703a313730303030303030303030303a31373030303030303030303031120f31373030"
    "3030303030303030302d31"
)
REACTION = (
    "4ad101120681d095ffbc312a0e0880d095ffbc311205616c6963654201314a1d703a313730303030303030303030303a3137303030"
    "3030303030303031520f313730303030303030303030302d325a0f313730303030303030303030302d316273a201702080d095ffbc"
    "312a05616c6963653080d095ffbc313a02633242012b5803620f313730303030303030303030302d310a1d703a3137303030303030"
    "30303030303a31373030303030303030303031120f313730303030303030303030302d321a0f313730303030303030303030302d31"
)
EDIT = (
    "4ae701120681d095ffbc312a1f0880d095ffbc311205616c6963651a0f28656469746564292068656c6c6f214201314a1d703a3137"
    "30303030303030303030303a31373030303030303030303031520f313730303030303030303030302d335a0f313730303030303030"
    "303030302d326278a201752080d095ffbc312a05616c6963653080d095ffbc313a026333420668656c6c6f215802620f3137303030"
    "30303030303030302d310a1d703a313730303030303030303030303a31373030303030303030303031120f31373030303030303030"
    "3030302d331a0f313730303030303030303030302d32"
)
REPEATED = (
    "4aa901120681d095ffbc312a150880d095ffbc311205616c6963651a0568656c6c6f4201314a1d703a313730303030303030303030"
    "303a31373030303030303030303031520f313730303030303030303030302d316253a201502080d095ffbc312a05616c6963653080"
    "d095ffbc313a026331420568656c6c6f0a1d703a313730303030303030303030303a31373030303030303030303031120f31373030"
    "3030303030303030302d317001"
)
# Sent by /p2pRoute: to bob, with call 3, and to alice's other sessions.
PRIVATE = (
    "4acb010803120681d095ffbc312a130880d095ffbc311205616c6963651a036f6e654a1d703a313730303030303030303030303a31"
    "373030303030303030303031520f313730303030303030303030302d345a0f313730303030303030303030302d336269a201662080"
    "d095ffbc312a05616c6963653080d095ffbc313a096f776e65722d352d3142036f6e650a1d703a313730303030303030303030303a"
    "31373030303030303030303031120f313730303030303030303030302d341a0f313730303030303030303030302d33"
)
# A batch of a and b: calls 4 and 5 concern its messages, call 6 the whole; alice's sessions get it, too.
BATCH = (
    "4ab4010804120681d095ffbc314a1d703a313730303030303030303030303a31373030303030303030303031520f31373030303030"
    "3030303030302d355a0f313730303030303030303030302d346267a201642080d095ffbc312a05616c6963653080d095ffbc313a09"
    "6f776e65722d352d324201610a1d703a313730303030303030303030303a31373030303030303030303031120f3137303030303030"
    "30303030302d351a0f313730303030303030303030302d34",
    "4ab201120680d095ffbc314a1d703a313730303030303030303030303a31373030303030303030303031520f313730303030303030"
    "303030302d355a0f313730303030303030303030302d346267a201642080d095ffbc312a05616c6963653080d095ffbc313a096f77"
    "6e65722d352d324201610a1d703a313730303030303030303030303a31373030303030303030303031120f31373030303030303030"
    "3030302d351a0f313730303030303030303030302d34",
    "4ab4010805120681d095ffbc314a1d703a313730303030303030303030303a31373030303030303030303031520f31373030303030"
    "3030303030302d365a0f313730303030303030303030302d356267a201642080d095ffbc312a05616c6963653080d095ffbc313a09"
    "6f776e65722d352d334201620a1d703a313730303030303030303030303a31373030303030303030303031120f3137303030303030"
    "30303030302d361a0f313730303030303030303030302d35",
    "4ab201120680d095ffbc314a1d703a313730303030303030303030303a31373030303030303030303031520f313730303030303030"
    "303030302d365a0f313730303030303030303030302d356267a201642080d095ffbc312a05616c6963653080d095ffbc313a096f77"
    "6e65722d352d334201620a1d703a313730303030303030303030303a31373030303030303030303031120f31373030303030303030"
    "3030302d361a0f313730303030303030303030302d35",
    "4a630806120681d095ffbc312a160880d095ffbc311205616c6963651a01611a016220014a1d703a31373030303030303030303030"
    "3a31373030303030303030303031520f313730303030303030303030302d365a0f313730303030303030303030302d34",
    "4a61120680d095ffbc312a160880d095ffbc311205616c6963651a01611a016220014a1d703a313730303030303030303030303a31"
    "373030303030303030303031520f313730303030303030303030302d365a0f313730303030303030303030302d34",
)
EVERYONE = (
    "4a76080718012080d095ffbc312a130880d095ffbc311205616c6963651a03616c6c4a03673a30520f313730303030303030303030"
    "302d31623ea2013b2080d095ffbc312a05616c6963653080d095ffbc313a096f776e65722d352d344203616c6c0a03673a30120f31"
    "3730303030303030303030302d31"
)
TYPING = "4a1e120681d095ffbc314201316211d2010e0881d095ffbc311880d095ffbc31"
FETCH = "82010908081081d095ffbc31"
# A guest's server asks for heads: all, and the recently active ones.
BACKLOG = "521a08071081d095ffbc311a03626f622201322a0567756573743002"
RECENT = "522908081081d095ffbc311a03626f622201322a0567756573743002520d31363939393939393335303030"
# The store is away: both Sends fail, and then they are repeated.
FAILED = (
    "524c080e1080d095ffbc311a05616c6963652201312a0570686f6e653a1d703a313730303030303030303030303a31373030303030"
    "303030303031421192010e0881d095ffbc311a027331220178",
    "524c080f1080d095ffbc311a05616c6963652201312a0570686f6e653a1d703a313730303030303030303030303a31373030303030"
    "303030303031421192010e0881d095ffbc311a027332220179",
)
FAILED_REPLY = (
    "5a72080e120b756e617661696c61626c651a61f2015e0a0b756e617661696c61626c65122c7468652073746f7265206973206e6f74"
    "20617661696c61626c652c20706c656173652074727920616761696e1a027331221d703a313730303030303030303030303a313730"
    "30303030303030303031"
)
AGAIN = (
    "524e08121080d095ffbc311a05616c6963652201312a0570686f6e653a1d703a313730303030303030303030303a31373030303030"
    "303030303031421192010e0881d095ffbc311a0273312201784801",
    "524c08131080d095ffbc311a05616c6963652201312a0570686f6e653a1d703a313730303030303030303030303a31373030303030"
    "303030303031421192010e0881d095ffbc311a027332220179",
)
CLOSED = "221c0880d095ffbc311201311a076f776e65722d3220012a0570686f6e65"


def item(said):
    return Item.FromString(bytes.fromhex(said))


def old(said):
    """Return an item of version 1, recorded or just sent."""
    return link1_pb2.Item.FromString(bytes.fromhex(said) if isinstance(said, str) else said)


def present(said, batch=0):
    """Return a Deliver of the first release as the current release sends it."""
    deliver = item(said).deliver
    deliver.DiscardUnknownFields()
    deliver.batch = batch
    return deliver


@implementer(ILink)
class Link(Packing):
    """A link of version 1, and its user."""

    peer, version, queued = ROUTE, 1, 7

    def __init__(self):
        self.said = []
        self.heard = []
        self.full = False
        self.lost = ""

    def send(self, item):
        return self.send_packed(item.SerializeToString(), item.HasField("deliver"))

    def send_packed(self, item, droppable):
        if not self.full:
            self.said.append(item)
        return not self.full

    def lose(self, reason):
        self.lost = reason

    def take(self):
        said, self.said = self.said, []
        return said


@implementer(ILinkUser)
class User:
    def __init__(self):
        self.link = None
        self.heard = []

    def link_up(self, link):
        self.link = link

    def link_received(self, link, item):
        assert link is self.link
        self.heard.append(item)

    def link_down(self, link, reason):
        assert link is self.link
        self.link = reason

    def take(self):
        heard, self.heard = self.heard, []
        return heard


class Version1Case(SynchronousTestCase):
    def setUp(self):
        self.link, self.user = Link(), User()
        self.between = self.translate(self.user)
        self.between.link_up(self.link)

    def hear(self, *said):
        """Have the other end send items; return what the user gets."""
        for one in said:
            received = one if isinstance(one, Item) else item(one)
            before = received.SerializeToString(deterministic=True)
            self.between.link_received(self.link, received)
            self.assertEqual(received.SerializeToString(deterministic=True), before, "changed for others")
        return self.user.take()

    def say(self, **fields):
        """Have the user send an item; return what the other end gets."""
        self.assertTrue(self.user.link.send(Item(**fields)))
        return [old(said) for said in self.link.take()]


class OldRouteTests(Version1Case):
    """A current server and a route of the first release."""

    translate = staticmethod(old_routes)

    def request(self, said, **fields):
        """Return a request as a current server makes it."""
        request = item(said).request
        request.DiscardUnknownFields()
        for name, value in fields.items():
            setattr(request, name, value)
        return request

    def test_the_user_sees_an_ordinary_link(self):
        verifyObject(ILinkUser, self.between)
        verifyObject(ILink, self.user.link)
        self.assertEqual((self.user.link.peer, self.user.link.version, self.user.link.queued), (ROUTE, 1, 7))
        self.link.full = True
        self.assertFalse(self.user.link.send(Item(outcome=Outcome(call=1))))
        self.user.link.lose("enough")
        self.between.link_down(self.link, "over")
        self.assertEqual((self.link.lost, self.user.link), ("enough", "over"))

    def test_a_send_goes_up_as_it_always_did(self):
        self.assertEqual(self.say(request=self.request(SEND_UP)), [old(SEND_UP)])
        # Only the current version knows `after`.
        self.assertEqual(self.say(request=self.request(SEND_UP, after="c0")), [old(SEND_UP)])

    def test_the_first_send_after_a_failure_is_let_through(self):
        for said in FAILED:
            self.assertEqual(self.say(request=self.request(said)), [old(said)])
        self.assertEqual(self.hear(FAILED_REPLY), [item(FAILED_REPLY)])
        self.hear(Item(reply=Reply(call=15, code="unavailable")))  # as what is behind it does
        self.assertEqual(self.say(request=self.request(AGAIN[0])), [old(AGAIN[0])])
        self.assertEqual(self.say(request=self.request(AGAIN[1], after="s1")), [old(AGAIN[1])])

    def test_but_nothing_past_one_that_is_under_way_again(self):
        """As when it has failed by an answer that came too late, and its client had come again before."""
        self.say(request=self.request(FAILED[0]))
        self.say(request=self.request(FAILED[0], call=16))
        self.hear(Item(reply=Reply(call=14, code="unavailable")))
        self.assertEqual(self.say(request=self.request(FAILED[1], after="s1"))[0].request.again, False)
        self.hear(Item(reply=Reply(call=16)), Item(reply=Reply(call=15, code="unavailable")))
        self.assertEqual(self.say(request=self.request(FAILED[1], call=17))[0].request.again, True)

    def test_no_send_is_let_through_after_a_final_refusal_or_elsewhere(self):
        self.say(request=self.request(FAILED[0]))
        self.hear(Item(reply=Reply(call=14, code="forbidden")))
        self.assertEqual(self.say(request=self.request(FAILED[1])), [old(FAILED[1])])
        self.hear(Item(reply=Reply(call=15, code="unavailable")))
        self.assertEqual(self.say(request=self.request(FAILED[0], session="2"))[0].request.again, False)
        # A session with that name may be another one now.
        self.say(closed=item(CLOSED).closed)
        self.assertEqual(self.say(request=self.request(FAILED[0]))[0].request.again, False)

    def test_pushes_are_passed_on(self):
        for said in (MESSAGE, REACTION, EDIT, REPEATED, PRIVATE, EVERYONE, TYPING):
            [heard] = self.hear(said)
            heard.deliver.DiscardUnknownFields()
            self.assertEqual(heard.deliver, present(said))

    def test_a_batch_is_pushed_one_by_one_and_answered_as_its_last_message(self):
        for answered_before in (True, False):
            heard = self.hear(*BATCH[:4])
            self.assertEqual(
                [Packet.FromString(one.deliver.packet).deliver.text for one in heard], ["a", "a", "b", "b"]
            )
            self.say(outcome=Outcome(call=4, sessions=1))
            if answered_before:
                self.say(outcome=Outcome(call=5, sessions=2))
                self.assertEqual(self.hear(*BATCH[4:]), [])
                told = [Item.FromString(said).outcome for said in self.link.take()]
                self.assertEqual(told, [Outcome(call=6, sessions=2)])
            else:
                self.assertEqual((self.hear(*BATCH[4:]), self.link.take()), ([], []))
                self.user.link.send(Item(outcome=Outcome(call=5, sessions=3)))
                told = [Item.FromString(said).outcome for said in self.link.take()]
                self.assertEqual(told, [Outcome(call=6, sessions=3), Outcome(call=5, sessions=3)])

    def test_a_batch_whose_last_message_was_lost_on_the_way(self):
        self.hear(*BATCH[:2])
        self.say(outcome=Outcome(call=4, sessions=1))
        self.hear(BATCH[4])
        [said] = self.link.take()
        self.assertEqual(Item.FromString(said).outcome, Outcome(call=6))

    def test_fetching_is_the_push_of_an_empty_news(self):
        [heard] = self.hear(FETCH)
        self.assertEqual((heard.deliver.call, list(heard.deliver.users)), (8, [BOB]))
        self.assertEqual(Packet.FromString(heard.deliver.packet), Packet(news=News()))

    def test_groups_have_no_floors(self):
        for told in (
            Item(reserve=Reserve(call=9, user=BOB, grouped=True, groups=[5, 6], version=3)),
            Item(open_outcome=OpenOutcome(call=9, groups=[5, 6], version=3)),
        ):
            [heard] = self.hear(told)
            kind = heard.WhichOneof("item")
            self.assertEqual(list(getattr(heard, kind).floors), ["", ""])
            getattr(heard, kind).ClearField("floors")
            self.assertEqual(heard, told)

    def test_everything_else_is_the_same(self):
        request = Request(call=3, user=BOB, session="2", purpose=HEADS, since="5")
        self.assertEqual(self.say(request=request)[0].SerializeToString(), Item(request=request).SerializeToString())
        ended = Item(closed=Closed(user=BOB, session="2"))
        self.assertEqual(self.hear(ended), [ended])


class OldServerTests(Version1Case):
    """A current route and a server of the first release."""

    translate = staticmethod(old_servers)

    def follow(self, *said):
        """Have the server pass Sends up; return which Send each names."""
        return [heard.request.after for heard in self.hear(*said)]

    def accept(self, call):
        self.say(reply=Reply(call=call, packets=[b""]))

    def fail(self, call, code="unavailable"):
        [told] = self.link.take() if self.user.link.send(Item(reply=Reply(call=call, code=code))) else []
        return Item.FromString(told).reply

    def test_pushes_have_the_form_for_guests(self):
        for said in (MESSAGE, REACTION, EDIT, REPEATED, PRIVATE, EVERYONE, TYPING):
            self.assertEqual(self.say(deliver=present(said)), [old(said)])

    def test_an_empty_text_that_was_just_sent_is_shown(self):
        deliver = present(PRIVATE)
        packet = Packet.FromString(deliver.packet)
        packet.deliver.text = ""
        deliver.packet = packet.SerializeToString()
        [told] = self.say(deliver=deliver)
        self.assertEqual(told.deliver.guest.texts, [""])

    def test_the_last_message_of_a_batch_shows_guests_all_of_it(self):
        whole = old(BATCH[4]).deliver
        for first, last in ((BATCH[0], BATCH[2]), (BATCH[1], BATCH[3])):
            [told] = self.say(deliver=present(first, 2))
            self.assertEqual(told, old(first))
            [told] = self.say(deliver=present(last, 1))
            self.assertEqual((told.deliver.guest, told.deliver.previous), (whole.guest, whole.previous))
            told.deliver.ClearField("guest")
            told.deliver.previous = old(last).deliver.previous
            self.assertEqual(told, old(last))

    def test_a_batch_of_one_and_one_without_its_beginning(self):
        for left in (2, 1):
            told = [self.say(deliver=present(BATCH[2], n))[0].deliver for n in range(left, 0, -1)][-1]
            self.assertEqual((told.guest.batch, set(told.guest.texts)), (True, {"b"}))
        self.say(deliver=present(BATCH[0], 3))
        self.say(deliver=present(PRIVATE))
        [told] = self.say(deliver=present(BATCH[2], 1))
        self.assertEqual((told.deliver.guest.texts, told.deliver.previous), (["b"], old(BATCH[2]).deliver.previous))

    def test_fetching(self):
        deliver = Deliver(call=8, users=[BOB], packet=Packet(news=News()).SerializeToString())
        self.assertEqual(self.say(deliver=deliver), [old(FETCH)])

    def test_heads_of_guests(self):
        for said, since in ((BACKLOG, ""), (RECENT, "1699999935000")):
            [heard] = self.hear(said)
            self.assertEqual((heard.request.purpose, heard.request.since, heard.request.user), (HEADS, since, BOB))

    def test_a_send_names_the_one_before_it_until_that_is_stored(self):
        self.assertEqual(self.follow(*FAILED), ["", "s1"])
        self.accept(14)
        self.accept(15)
        self.assertEqual(self.follow(SEND_UP), [""])

    def test_a_send_names_the_one_before_it_until_that_is_refused_for_good(self):
        self.follow(*FAILED)
        self.fail(15, "forbidden")
        self.assertEqual(self.follow(SEND_UP), ["s1"])
        self.fail(14, "forbidden")
        self.fail(6, "forbidden")
        self.assertEqual(self.follow(SEND_UP), [""])

    def test_a_send_behind_a_failed_one_is_stored_behind_it_or_not_at_all(self):
        self.follow(FAILED[0])
        self.fail(14)
        # Its server had not heard of the failure.
        self.assertEqual(self.follow(FAILED[1]), ["s1"])
        told = self.fail(15, OUT_OF_ORDER)
        failure = Packet.FromString(told.packets[0]).failure
        self.assertEqual(
            (told.code, failure.code, failure.client_id, failure.conversation),
            ("unavailable", "unavailable", "s2", AB),
        )
        # And then it repeats both.
        self.assertEqual(self.follow(*AGAIN), ["", "s1"])

    def test_what_comes_again_stays_behind_what_is_under_way(self):
        """As when there was no room for it, but for the one before it."""
        self.follow(*FAILED)
        self.fail(15, "rate-limited")
        again = old(FAILED[1])
        again.request.call, again.request.again = 16, True
        self.assertEqual(self.follow(Item.FromString(again.SerializeToString())), ["s1"])
        # What failed, and does not come again, is not waited for.
        self.fail(14)
        self.fail(16)
        again.request.call = 17
        self.assertEqual(self.follow(Item.FromString(again.SerializeToString())), [""])

    def test_a_repeated_send(self):
        self.assertEqual(self.follow(*FAILED, FAILED[1]), ["", "s1", "s1"])
        self.assertEqual(self.follow(FAILED[0], FAILED[1]), ["", "s1"])

    def test_each_session_and_conversation_has_its_own_order(self):
        self.follow(FAILED[0])
        other = item(FAILED[1])
        other.request.session = "2"
        self.assertEqual(self.follow(other), [""])
        other.request.session, other.request.conversation = "1", "g:5"
        self.assertEqual(self.follow(other), [""])

    def test_nothing_is_kept_of_a_session_that_is_over(self):
        self.follow(*FAILED)
        self.hear(CLOSED)
        self.assertEqual(self.follow(FAILED[1]), [""])

    def test_other_replies_and_requests_are_the_same(self):
        reply = Reply(call=77, packets=[failure_packet(ValueError())])
        self.assertEqual(self.say(reply=reply)[0].SerializeToString(), Item(reply=reply).SerializeToString())
        typing = Packet(typing=Typing(user=BOB)).SerializeToString()
        hint = Item(request=Request(user=ALICE, session="1", packet=typing))
        self.assertEqual(self.hear(hint), [hint])

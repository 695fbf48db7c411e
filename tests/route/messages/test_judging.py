"""Tests of messages on which a policy decides before they are stored."""

from __future__ import annotations

from cim.errors import AccountMismatch, Conflict, Forbidden, NotFound, Refused, Undecided
from cim.limits import limit
from cim.model import Appended
from cim.policies import ALLOWED, About, changed, refused
from cim.route.messages import sending
from cim.route.messages.judging import KEPT_SECONDS
from cim.route.messages.outgoing import Outgoing, append_of
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, Packet
from tests.route.policy_double import PolicyDouble
from tests.route.route_case import RouteCase


class JudgingCase(RouteCase):
    at_once = False
    kinds = frozenset(About)

    def setUp(self):
        self.message_policy = self.policy = PolicyDouble(at_once=self.at_once, kinds=self.kinds)
        super().setUp()
        self.accounts.keep(self.bob)
        self.accounts.keep(self.carol)

    def put_text(self, text, client_id, after="", author=None, to=None):
        self.put(author or self.alice, self.to(to or self.bob, text=text, client_id=client_id), after=after)
        self.turn()

    def told(self):
        fates, self.fates = self.fates, []
        return [(client_id, type(fate)) for client_id, fate in fates]


class Decided:
    """What holds for policies of both kinds."""

    def test_what_is_allowed_is_stored_as_it_was_said(self):
        accepted = self.say(self.alice, self.bob, "hello", "c1")
        self.assertEqual((accepted.changed, self.stored(self.ab)), (False, ["hello"]))
        (question,) = self.policy.asked
        self.assertEqual(
            (question.about, question.text, question.user, question.name, question.conversation, question.client_id),
            (About.TEXT, "hello", self.alice.id, "alice", self.ab, "c1"),
        )

    def test_what_is_refused_is_not_stored_and_its_sender_is_told_why(self):
        link = self.link()
        self.online(link, self.bob)
        self.policy.answers["spam"] = refused("no advertising here")
        refusal = self.say(self.alice, self.bob, "spam", "c1")
        self.assertIsInstance(refusal, Refused)
        self.assertEqual(refusal.message, "no advertising here")
        self.assertEqual((self.stored(self.ab), link.bodies()), ([], []))
        self.assertEqual(native.parse_client_packet(native.failure_packet(refusal)).failure.code, "refused")

    def test_a_policy_that_changes_its_mind_about_a_refused_message(self):
        self.policy.answers["spam"] = refused("no")
        self.say(self.alice, self.bob, "spam", "c1")
        self.policy.answers.clear()
        self.clock.advance(KEPT_SECONDS + 1)
        again = self.say(self.alice, self.bob, "spam", "c1")
        self.assertEqual((type(again), again.message, self.stored(self.ab)), (Refused, "no", []))

    def test_a_policy_that_changes_its_mind_about_a_stored_message(self):
        first = self.say(self.alice, self.bob, "spam", "c1")
        self.policy.answers["spam"] = refused("no")
        self.clock.advance(KEPT_SECONDS + 1)
        again = self.say(self.alice, self.bob, "spam", "c1")
        self.assertEqual((again.position, again.repeated), (first.position, True))

    def test_a_changed_text_holds_everywhere(self):
        link = self.link()
        self.online(link, self.bob)
        self.online(link, self.alice, "a1")
        self.policy.answers["damn it"] = changed("**** it")
        code, bodies = self.ask(
            link, self.alice, Packet(send=self.to(self.bob, text="damn it", client_id="c1")), session="a1"
        )
        # By the gap rule its sender keeps the first of these or, behind a gap, the last.
        stored, accepted, again = bodies
        self.assertEqual(stored, again)
        self.assertEqual((code, stored.text, stored.client_id), ("", "**** it", "c1"))
        self.assertEqual((accepted.position, accepted.previous), (stored.position, stored.previous))
        self.assertEqual([body.text for body in link.bodies()], ["**** it"])
        self.assertEqual(self.stored(self.ab), ["**** it"])

    def test_what_is_compared_is_what_the_sender_said(self):
        link = self.link()
        self.online(link, self.alice, "a1")
        self.policy.answers["damn it"] = changed("**** it")
        packet = Packet(send=self.to(self.bob, text="damn it", client_id="c1"))
        first = self.ask(link, self.alice, packet, session="a1")
        # The policy would now leave it alone; the repetition is answered with what is stored.
        self.policy.answers.clear()
        self.clock.advance(KEPT_SECONDS + 1)
        self.assertEqual(self.ask(link, self.alice, packet, session="a1"), first)
        self.assertIsInstance(self.say(self.alice, self.bob, "**** it", "c1"), Conflict)
        self.assertEqual(self.stored(self.ab), ["**** it"])

    def test_edits_and_reactions_are_asked_about(self):
        text = self.say(self.alice, self.bob, "hello").position
        self.policy.answers.update({"damn": changed("****"), ":(": refused("be kind")})
        edited = self.edit(self.alice, self.bob, text, "damn")
        self.assertTrue(edited.changed)
        self.assertIsInstance(self.react(self.bob, self.alice, text, ":("), Refused)
        self.assertIsInstance(self.react(self.bob, self.alice, text, ""), Appended)
        self.assertIsInstance(self.recall(self.alice, self.bob, text), Appended)
        self.assertEqual(
            [(one.about, one.text, one.ref) for one in self.policy.asked],
            [(About.TEXT, "hello", ""), (About.EDIT, "damn", text), (About.REACTION, ":(", text)],
        )

    def test_an_edited_text_reads_as_the_policy_made_it(self):
        text = self.say(self.alice, self.bob, "hello").position
        self.policy.answers["damn"] = changed("****")
        self.edit(self.alice, self.bob, text, "damn")
        self.assertEqual(self.stored(self.ab), ["****", "****"])

    def test_what_may_not_be_said_anyway_is_asked_nobody(self):
        text = self.say(self.alice, self.bob, "hello").position
        self.policy.asked.clear()
        self.assertIsInstance(self.edit(self.bob, self.alice, text, "other"), Forbidden)
        self.assertIsInstance(self.say(self.alice, self.bob, "x", kind=EDIT, ref="1-1"), NotFound)
        self.assertIsInstance(self.say(self.alice, 0, "x", kind=EDIT, ref=text), Forbidden)
        self.assertEqual([one.text for one in self.policy.asked], ["x"])

    def test_operators_are_asked_nothing(self):
        self.policy.answers["spam"] = refused("no")
        send = self.to(self.bob, text="spam", client_id="c1")
        message = Outgoing(self.alice, send, self.ab, 4, operator=True)
        fate = self.sending.send(message)
        self.turn()
        self.assertIsInstance(self.successResultOf(fate), Appended)
        self.assertEqual(self.policy.asked, [])

    def test_a_refused_message_holds_back_nothing_that_names_it(self):
        self.policy.answers["b"] = refused("no")
        for client_id, text, after in (("1", "a", ""), ("2", "b", "1"), ("3", "c", "2")):
            self.put(self.alice, self.to(self.bob, text=text, client_id=client_id), after=after)
        self.turn()
        self.assertEqual(self.told(), [("1", Appended), ("2", Refused), ("3", Appended)])
        self.assertEqual(self.stored(self.ab), ["a", "c"])


class QuickTests(Decided, JudgingCase):
    """A policy in the process that answers at once."""

    at_once = True

    def test_nothing_waits_for_it(self):
        self.put(self.alice, self.to(self.bob, text="hello", client_id="c1"))
        self.assertEqual((len(self.appender), self.policy.texts), (1, ["hello"]))
        self.assertEqual(self.sending._waiting, {})


class SlowTests(Decided, JudgingCase):
    """A policy that takes time."""

    def test_a_repetition_is_not_asked_about_again(self):
        self.say(self.alice, self.bob, "hello", "c1")
        self.policy.answers["spam"] = refused("no")
        self.say(self.alice, self.bob, "spam", "c2")
        self.assertEqual(self.policy.texts, ["hello", "spam"])
        for _ in range(2):
            self.say(self.alice, self.bob, "hello", "c1")
            self.say(self.alice, self.bob, "spam", "c2")
            self.clock.advance(KEPT_SECONDS + 1)
        self.assertEqual(self.policy.texts, [])
        self.assertEqual([type(fate) for _, fate in self.fates[2:]], [Appended, Refused] * 2)

    def test_what_comes_again_out_of_order_is_not_asked_about_again(self):
        self.put_text("b", "2", after="1")
        self.assertEqual(self.policy.texts, ["b"])
        self.put_text("a", "1")
        self.put_text("b", "2", after="1")
        self.assertEqual((self.policy.texts, self.stored(self.ab)), (["a"], ["a", "b"]))

    def test_only_its_author_waits_in_this_conversation(self):
        self.policy.hold = True
        self.put_text("one", "c1")
        self.put_text("two", "c2")
        self.policy.hold = False
        self.put_text("to carol", "c3", to=self.carol)
        self.put_text("from bob", "c4", author=self.bob, to=self.alice)
        self.assertEqual(self.told(), [("c3", Appended), ("c4", Appended)])
        self.policy.answer(at=1)
        self.turn()
        self.assertEqual(self.told(), [])
        self.policy.answer()
        self.turn()
        self.assertEqual(self.told(), [("c1", Appended), ("c2", Appended)])
        self.assertEqual(self.stored(self.ab), ["from bob", "one", "two"])
        self.assertEqual(self.sending._waiting, {})

    def test_some_are_decided_at_a_time(self):
        self.policy.hold = True
        for number in range(sending.AHEAD + 3):
            self.put_text(str(number), f"c{number}")
        self.assertEqual(len(self.policy.waiting), sending.AHEAD)
        while self.policy.waiting:
            self.assertLessEqual(len(self.policy.waiting), sending.AHEAD)
            self.policy.answer()
            self.turn()
        self.assertEqual(self.stored(self.ab), [str(number) for number in range(sending.AHEAD + 3)])

    def test_kinds_that_are_not_asked_about_stay_in_order(self):
        text = self.say(self.bob, self.alice, "hello").position
        self.policy.hold = True
        self.put_text("one", "c1")
        send = self.to(self.bob, text="", client_id="c2", kind=3, ref=text)
        self.put(self.alice, send)
        self.turn()
        self.assertEqual(len(self.fates), 1)
        self.policy.answer()
        self.turn()
        self.assertEqual(self.told()[1:], [("c1", Appended), ("c2", Appended)])

    def test_a_policy_that_cannot_decide(self):
        self.policy.hold = True
        self.put_text("one", "c1")
        self.put_text("two", "c2", after="c1")
        self.policy.waiting.pop(0).errback(Undecided())
        self.policy.waiting.pop(0).errback(RuntimeError("broken"))
        self.turn()
        (_, first), (_, second) = self.fates
        self.assertIsInstance(first, Undecided)
        self.assertIsInstance(second, Exception)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        # They are asked about again when they come again.
        self.policy.hold = False
        self.put_text("one", "c1")
        self.put_text("two", "c2", after="c1")
        self.assertEqual(self.stored(self.ab), ["one", "two"])

    def test_who_may_not_write_is_asked_about_nothing(self):
        self.now(self.store.blocks.block(self.bob.id, self.alice.id))
        group = self.group(self.bob)
        self.assertIsInstance(self.say(self.alice, self.bob, "hello"), AccountMismatch)
        self.assertIsInstance(self.say(self.alice, group, "hello"), Forbidden)
        self.assertEqual(self.policy.asked, [])

    def test_two_routes_decide_once(self):
        """The other route has stored it while the policy was asked here."""
        self.policy.hold = True
        self.put_text("hello", "c1")
        send = self.to(self.bob, text="hello", client_id="c1")
        body = native.body_of(send, self.alice.id, "alice", 1)
        item = append_of(Outgoing(self.alice, send, self.ab, 5), "", body, 1)
        (there,) = self.now(self.store.conversations.append([item]))
        self.policy.answer(refused("no"))
        self.turn()
        ((_, fate),) = self.fates
        self.assertEqual((fate.position, fate.repeated), (there.position, True))


class LimitedTests(JudgingCase):
    other_limits = {"user-messages": limit("1/2")}

    def test_what_is_not_decided_costs_nothing(self):
        self.policy.hold = True
        self.put_text("one", "c1")
        self.policy.waiting.pop().errback(Undecided())
        self.turn()
        self.policy.hold = False
        self.put_text("one", "c1")
        self.put_text("two", "c2")
        self.assertEqual(self.stored(self.ab), ["one", "two"])


class UnaskedTests(JudgingCase):
    kinds = frozenset({About.ACCOUNT})

    def test_a_policy_for_names_costs_messages_nothing(self):
        self.put(self.alice, self.to(self.bob, text="hello", client_id="c1"))
        self.assertEqual((len(self.appender), self.policy.asked), (1, []))
        self.assertEqual(ALLOWED.reason, None)

"""Tests of what the library gives a program of messages that a policy changed or refused."""

from __future__ import annotations

from cim.client.values import Kind
from cim.errors import CIMError
from cim.policies import changed, refused
from tests.client.client_case import ClientCase
from tests.route.policy_double import PolicyDouble


class PolicyTests(ClientCase):
    def setUp(self):
        self.message_policy = PolicyDouble()
        self.message_policy.answers = {"damn": changed("****"), "spam": refused("no advertising here")}
        super().setUp()
        self.alice, self.bob = self.online("alice"), self.online("bob")

    def test_everybody_is_given_what_is_stored(self):
        for text in ("hello", "damn", "bye"):
            self.result(self.alice.send(self.bob.me, text))
        self.turn()
        self.assertEqual(self.alice.heard.texts, ["hello", "****", "bye"])
        self.assertEqual(self.bob.heard.texts, ["hello", "****", "bye"])
        self.assertTrue(all(message.mine for message in self.alice.heard.messages))

    def test_an_edit(self):
        sent = self.result(self.alice.send(self.bob.me, "hello"))
        self.result(self.alice.edit(sent.conversation, sent.position, "damn"))
        self.turn()
        for client in (self.alice, self.bob):
            self.assertEqual([(one.kind, one.text) for one in client.heard.messages][1:], [(Kind.EDIT, "****")])

    def test_a_refusal_has_the_reason_of_the_policy_and_holds_nothing_back(self):
        fates = [self.alice.send(self.bob.me, text) for text in ("one", "spam", "two")]
        self.turn()
        error = self.failureResultOf(fates[1], CIMError).value
        self.assertEqual((type(error).__name__, error.message), ("Refused", "no advertising here"))
        self.successResultOf(fates[2])
        self.assertEqual(self.bob.heard.texts, ["one", "two"])

"""Clients of the library at a whole cluster: what they say and hear, whatever happens to their connections."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from cim.client.iclient import IClient
from cim.client.values import State, User
from tests.client.client_case import ClientCase


class TalkingTests(ClientCase):
    def test_a_name_that_is_new_is_made_and_is_ready(self):
        alice = self.make("alice")
        verifyObject(IClient, alice)
        ready = alice.when_ready()
        alice.startService()
        self.result(ready)
        self.assertEqual(alice.me, User(alice.me.id, "alice"))
        self.assertEqual([state for state, _ in alice.heard.states], [State.CONNECTING, State.READY])

    def test_a_message_is_heard_by_both(self):
        alice, bob = self.online("alice"), self.online("bob")
        sent = self.result(alice.send(bob.me, "hello"))
        for client in (alice, bob):
            (message,) = client.heard.messages
            self.assertEqual((message.text, message.sender, message.position), ("hello", alice.me, sent.position))
            self.assertEqual(message.mine, client is alice)
            self.assertEqual((message.conversation, message.client_id), (sent.conversation, sent.client_id))

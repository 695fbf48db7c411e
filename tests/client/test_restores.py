"""Clients of the library while the store goes back: nothing twice, nothing missed of what it has, and all goes on."""

from __future__ import annotations

import random

from cim.client.values import State
from cim.errors import CIMError
from cim.wire import positions
from tests.client.test_client_reading import KeptHistory, ReadingCase


class RestoreCase(ReadingCase):
    def restore(self, go_back):
        self.wait(1)
        go_back()
        self.cluster.store.begin_epoch()
        self.wait(3)

    def heard(self, client):
        """Return what a client was given, after checking that each position came once and that they rise."""
        there = [(message.conversation, positions.parse(message.position)) for message in client.heard.messages]
        self.assertEqual(len(there), len(set(there)))
        for name in {name for name, _ in there}:
            places = [place for other, place in there if other == name]
            self.assertEqual(places, sorted(places))
        return client.heard.texts


class RestoreTests(RestoreCase):
    def test_what_both_hold_and_the_store_lost_is_followed_by_what_is_new(self):
        self.say("kept")
        self.wait(2)
        go_back = self.cluster.store.copy()
        self.say("lost", "lost, too")
        self.wait(2)
        self.restore(go_back)
        self.say("new")
        self.result(self.alice.send(self.bob.me, "newer"))
        self.wait(1)
        for client in (self.alice, self.bob):
            self.assertEqual(self.heard(client), ["kept", "lost", "lost, too", "new", "newer"])
            self.assertIs(client.state, State.READY)

    def test_a_device_that_was_away_gets_what_the_store_has(self):
        tablet = self.online("bob", device="tablet")
        self.say("kept")
        self.wait(2)
        go_back = self.cluster.store.copy()
        self.say("lost")
        self.wait(1)
        self.assertEqual(self.heard(tablet), ["kept", "lost"])
        self.wire_of(tablet).cut()
        self.restore(go_back)
        self.say("new")
        self.wait(5)
        self.assertEqual(self.heard(tablet), ["kept", "lost", "new"])

    def test_a_client_that_starts_again_from_its_history(self):
        history = KeptHistory()
        pad = self.online("bob", device="pad", history=history)
        self.say("kept")
        self.wait(2)
        go_back = self.cluster.store.copy()
        self.say("lost")
        self.wait(2)
        self.restore(go_back)
        self.result(pad.close())
        self.wait(2)
        self.say("new")
        pad = self.online("bob", device="pad", history=history)
        self.wait(2)
        self.assertEqual(self.heard(pad), ["new"])
        page = self.successResultOf(history.page(self.name))
        self.assertEqual(sorted(message.text for message in page), ["kept", "lost", "new"])

    def test_what_is_sent_meanwhile_is_stored_once(self):
        self.say("kept")
        go_back = self.cluster.store.copy()
        self.say("lost")
        self.cluster.store.available = False
        waiting = [self.alice.send(self.bob.me, f"waiting {number}") for number in range(5)]
        self.wait(1)
        go_back()
        self.cluster.store.conversations._appending.epoch += 1
        self.cluster.store.available = True
        self.cluster.store.begin_epoch()
        self.wait(15)
        for sent in waiting:
            self.successResultOf(sent)
        self.assertEqual(self.heard(self.bob), ["kept", "lost", *(f"waiting {number}" for number in range(5))])

    def test_marks_are_as_the_store_has_them(self):
        self.say("kept")
        self.wait(2)
        go_back = self.cluster.store.copy()
        (lost,) = self.say("lost")
        self.bob.mark_read(self.name, lost.position)
        self.wait(2)
        self.restore(go_back)
        # A mark beyond the end is one at the end.
        self.bob.mark_read(self.name, lost.position)
        self.wait(1)
        self.say("new")
        self.wait(1)
        (head,) = self.successResultOf(self.cluster.store.conversations.heads(self.bob.me.id, "phone")).heads
        self.assertEqual(head.unread, 1)


class RandomTests(RestoreCase):
    def test_restores_at_random(self):
        for seed in range(6):
            self.random = random.Random(seed)
            self.rage(f"seed {seed}")

    def rage(self, what):
        chance = self.random
        go_backs = [self.cluster.store.copy()]
        sent = []
        for step in range(60):
            kind = chance.choice(("say",) * 12 + ("back up",) * 2 + ("restore",) + ("lose",) * 2)
            one, other = chance.sample((self.alice, self.bob), 2)
            if kind == "say":
                sent.append(one.send(other.me, f"{what} {step}"))
            elif kind == "back up":
                go_backs.append(self.cluster.store.copy())
            elif kind == "restore":
                go_back = chance.choice(go_backs)
                go_backs = go_backs[: go_backs.index(go_back) + 1]
                go_back()
                self.cluster.store.begin_epoch()
            elif one.state is State.READY:
                self.wire_of(one).cut()
            self.wait(chance.choice((0, 0, 0.1, 0.5, 2)))
        self.wait(30)
        for one in sent:
            try:
                self.successResultOf(one)
            except CIMError as error:
                self.fail(f"{what}: {error}")
        # All was accepted, so whoever was there was given it, once and in order.
        self.heard(self.alice)
        texts = self.heard(self.bob)
        last = self.result(self.alice.send(self.bob.me, f"{what}: the end"))
        self.wait(3)
        self.assertEqual(self.heard(self.bob)[len(texts) :], [f"{what}: the end"])
        self.assertEqual(self.heard(self.alice)[-1], f"{what}: the end")
        end = self.cluster.store.conversations.read(self.name, before="9000000000000-1", limit=1)
        self.assertEqual([entry.position for entry in self.successResultOf(end).entries], [last.position])

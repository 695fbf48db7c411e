"""Tests under random faults: every accepted message reaches everyone who should get it, once and in one order."""

from __future__ import annotations

import random

from twisted.internet.defer import fail

from cim.client.values import State
from cim.errors import StoreUnavailable
from cim.wire import conversations, positions
from tests.client.client_case import ClientCase
from tests.client.test_client_reading import KeptHistory


class StormCase(ClientCase):
    servers = 2
    routes = 2
    seconds = 40

    def storm(self, seed):
        chooser = random.Random(seed)
        histories = {name: KeptHistory() for name in ("alice", "bob", "carol")}
        options = {name: {"history": history, "random": chooser.random} for name, history in histories.items()}
        people = {name: self.online(name, **options[name]) for name in histories}
        group = self.result(people["alice"].create_group("friends"))
        for name in ("bob", "carol"):
            self.result(people["alice"].invite(group.id, people[name].me.id))
            self.result(people[name].accept(group.id))
        ids = {name: person.me.id for name, person in people.items()}
        self.accepted = {}
        said = {}
        given = {name: [] for name in people}
        broken = self.break_the_store(chooser)
        for tenth in range(self.seconds * 10):
            for name, person in people.items():
                if chooser.random() < 0.4:
                    to = chooser.choice([f"g:{group.id}", *(ids[other] for other in people if other != name)])
                    number = said[name, to] = said.get((name, to), -1) + 1
                    sending = person.send(to, f"{name} {to} {number}")
                    sending.addCallbacks(self.note, lambda _: None, callbackArgs=(name, to, number))
            self.fault(chooser, tenth, people, broken)
            if chooser.random() < 0.01:
                # A program restarts.
                name = chooser.choice(list(people))
                given[name] += people[name].heard.messages
                closing = people[name].close()
                self.wait(2.5)
                self.successResultOf(closing)
                people[name] = self.make(name, **options[name])
                people[name].startService()
            self.wait(0.1)
        broken.clear()
        self.network.down.clear()
        for wire in self.network.wires:
            wire.lossy = False
            if wire.held:
                wire.cut()
        self.wait(60)
        for name, person in people.items():
            self.assertIs(person.state, State.READY, person.heard.states[-3:])
            self.assertEqual(len(person._engine._outbox), 0)
            given[name] += person.heard.messages
        self.judge(given, ids, group)

    def note(self, sent, name, to, number):
        self.accepted[name, to, number] = sent

    def break_the_store(self, chooser):
        """Make the store fail appends, done or not, while the returned list is not empty."""
        append, broken = self.cluster.store.conversations.append, set()

        def appended(items):
            if broken and chooser.random() < 0.5:
                if chooser.random() < 0.5:
                    append(items)
                return fail(StoreUnavailable())
            return append(items)

        self.cluster.store.conversations.append = appended
        return broken

    def fault(self, chooser, tenth, people, broken):
        wires = [wire for wire in self.network.wires if wire.open]
        self.network.wires[:] = wires
        dice = chooser.random()
        if dice < 0.02:
            chooser.choice(wires).cut() if wires else None
        elif dice < 0.03 and wires:
            chooser.choice(wires).held = True
        elif dice < 0.05 and wires:
            chooser.choice(wires).lossy = True
        elif dice < 0.06:
            self.network.down.add(chooser.choice((8083, 8084, 11211, 11212)))
        elif dice < 0.09:
            self.network.down.clear()
        elif dice < 0.10:
            broken.add("store")
        elif dice < 0.13:
            broken.clear()
        elif dice < 0.133:
            self.restart(chooser.randrange(2))
        for wire in wires:
            if wire.lossy and chooser.random() < 0.2:
                wire.lossy = False
            if wire.held and chooser.random() < 0.02:
                wire.release()

    def restart(self, at):
        """Let a server die silently, and come back."""
        server = self.cluster.servers[at]
        for wire in self.network.to(11211 + at):
            wire.cut()
        self.cluster.kill(server)
        self.listen(self.cluster.start_server(at))

    def judge(self, given, ids, group):
        for name, messages in given.items():
            places = [(message.conversation, message.position) for message in messages]
            self.assertEqual(len(places), len(set(places)), f"{name} was given something twice")
            order = {}
            for message in messages:
                position = positions.parse(message.position)
                self.assertLess(order.get(message.conversation, positions.ZERO), position, f"{name}: out of order")
                order[message.conversation] = position
                self.assertEqual(message.mine, message.sender.id == ids[name])
            heard = {(message.conversation, message.position): message.text for message in messages}
            said = {}
            for message in messages:
                sender, to, number = message.text.split(" ")
                self.assertGreater(int(number), said.get((sender, to), -1), f"{name}: {message.text}")
                said[sender, to] = int(number)
            for (sender, to, number), sent in self.accepted.items():
                mine = sent.conversation == f"g:{group.id}" or conversations.parse(sent.conversation).involves(
                    ids[name]
                )
                if mine:
                    text = heard.get((sent.conversation, sent.position))
                    self.assertEqual(text, f"{sender} {to} {number}", f"{name} was not given it")
        self.assertGreater(len(self.accepted), 100)


class StormTests(StormCase):
    pass


def _storm(seed):
    def test(self):
        self.storm(seed)

    return test


for _seed in range(5):
    setattr(StormTests, f"test_storm_{_seed}", _storm(_seed))

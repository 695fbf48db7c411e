"""Servers and routes of the first release beside those of the present, as in a cluster that is being upgraded."""

from __future__ import annotations

import collections
import itertools

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cim.client.client import Client
from cim.client.values import Password
from cim.wire import conversations
from cim.wire.guests import Generation
from tests.client.client_case import Listener
from tests.harness.daemons import environment
from tests.harness.releases import checkout
from tests.integration.cluster_case import SUCCESS, ClusterCase, User

FIRST_RELEASE = "93fa1d3"
OFFLINE = "7000"


class FirstReleaseTests(ClusterCase):
    """One server and one route of each, all linked to all."""

    timeout = 300

    def old(self, daemon):
        """Have a daemon run the first release."""
        daemon.env = environment({"PYTHONPATH": self.release})
        if "--limit-address-online" in daemon.argv:  # it has no limits
            at = daemon.argv.index("--limit-address-online")
            del daemon.argv[at : at + 2]
        return daemon

    async def start(self):
        self.release = self.folder("release")
        checkout(FIRST_RELEASE, self.release)
        await self.stores()
        many, unsealed = ("--login-policy", "many"), "--accept-unsealed-links"
        servers = self.old(self.server()), self.server(unsealed)
        # The first release asks nobody before it adds them to a group.
        routes = self.old(self.route(*many)), self.route(*many, unsealed, "--group-consent", "direct")
        await self.started(*servers, *routes)
        await self.linked(servers, routes)
        self.servers, self.urls = servers, [route.url for route in routes]

    async def guests(self, count):
        """Return guests, some of both generations at each server."""
        guests = [User(self, f"guest{number}") for number in range(count)]
        generations = collections.defaultdict(lambda: itertools.cycle((Generation.W2, Generation.W1)))
        for guest in guests:
            await guest.register(self.urls[0])
            place = (await guest.ask_for_a_login(self.urls[0])).result()
            guest.generation = next(generations[place["cimServerPort"]])
            await guest.connect(place)
        await self.known_to_all_routes(*guests)
        for server in self.servers:
            self.assertGreaterEqual(sum(guest.server == server.node for guest in guests), 2)
        return guests

    async def test_guests(self):
        await self.start()
        guests = await self.guests(12)
        sender, *others = guests
        await self.everyone_hears(sender, others, self.urls, "one by one")
        for url in self.urls:
            for other in others:
                batch = [f"{url} {number}" for number in range(3)]
                answer = await self.call(url, "p2pRoute", userId=sender.id, receiveUserId=other.id, batchMsg=batch)
                self.assertEqual(answer.code, SUCCESS)
                await self.until(
                    lambda heard=other.texts, batch=batch: [text for text in heard if text in batch],
                    lambda found, batch=batch: found == batch,
                    "a batch",
                )
            answer = await self.call(url, "groupRoute", userId=sender.id, msg=f"all of {url}")
            self.assertEqual(answer.code, SUCCESS)
            await self.until(
                lambda u=url: [f"all of {u}" in other.texts for other in others], lambda seen: all(seen), "everyone"
            )
        await self.in_groups(guests)
        await self.missed(sender, others)

    async def in_groups(self, guests):
        """A group that one route made is known to the other, and its messages come to guests at both servers."""
        owners = [self.client(f"owner{number}", [url]) for number, url in enumerate(self.urls)]
        await gatherResults([owner.when_ready() for owner in owners])
        for owner, other in (owners, reversed(owners)):
            group = await owner.create_group(f"group of {owner.me.name}")
            await owner.invite(group.id, other.me.id)
            for guest in guests:
                await owner.invite(group.id, guest.id)
            said = [f"{who.me.name} in {group.name}" for who in (owner, other)]
            for who, text in zip((owner, other), said, strict=True):
                await who.send(conversations.group(group.id), text)
            await self.until(
                lambda said=said: [[text for text in guest.texts if text in said] for guest in guests],
                lambda heard, said=said: heard == [said] * len(guests),
                "all members heard it",
            )
        await gatherResults([owner.close() for owner in owners])

    async def missed(self, sender, others):
        """What is said while they are away comes at login (W1) or when it is fetched (W2), once."""
        for other in others:
            other.connection.transport.loseConnection()
            await other.connection.lost
            other.texts.clear()
        await self.until(
            lambda: self.online(*self.processes[-2:]), lambda seen: seen == [[sender.name]] * 2, "they are away"
        )
        said = [f"missed {number}" for number in range(5)]
        for other in others:
            for number, text in enumerate(said):
                self.assertEqual(await sender.send(self.urls[number % 2], other, text), OFFLINE)
        for number, other in enumerate(others):
            await other.log_in(self.urls[number % 2])
        await self.known_to_all_routes(*others)
        for number, other in enumerate(others):
            if other.generation is Generation.W2:
                answer = await self.call(self.urls[(number // 2) % 2], "fetchOfflineMsgs", receiveUserId=other.id)
                self.assertEqual(answer.code, SUCCESS)
            await self.until(lambda o=other: o.texts, lambda texts: texts == said, "what was missed")
        await self.everyone_hears(sender, others, self.urls, "back")
        for other in others:
            self.assertEqual([text for text in other.texts if text in said], said)

    async def test_native_clients_while_the_store_stands_still(self):
        await self.start()
        clients = [self.client(f"user{number}") for number in range(6)]
        await gatherResults([client.when_ready() for client in clients])
        pairs = list(zip(clients, clients[1:] + clients[:1], strict=True))
        talking = gatherResults([Deferred.fromCoroutine(self.talk(*pair)) for pair in pairs])
        await deferLater(self.reactor, 1)
        self.redis.signal("STOP")
        await deferLater(self.reactor, 7)
        self.redis.signal("CONT")
        await talking
        for sender, receiver in pairs:
            texts = [f"{sender.me.name} {number}" for number in range(300)]

            def heard(receiver=receiver, sender=sender):
                return [m.text for m in receiver.heard.messages if m.sender.name == sender.me.name]

            await self.until(heard, lambda found, texts=texts: len(found) >= len(texts), "all was heard")
            self.assertEqual(heard(), texts)

    def client(self, name, urls=None):
        client = Client(self.reactor, urls or self.urls, Password(name, f"password of {name}", create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def talk(self, sender, receiver):
        """Say 300 things, without waiting for answers."""
        waiting = []
        for number in range(300):
            waiting.append(sender.send(receiver.me, f"{sender.me.name} {number}"))
            await deferLater(self.reactor, 0.01)
        await gatherResults(waiting, consumeErrors=True)

"""Tests of the client library with real processes: a suite is killed and comes back while two clients talk."""

from __future__ import annotations

import os
import socket

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cim.client.client import Client
from cim.client.history import SqliteHistory
from cim.client.values import Guest, Password, State
from cim.errors import Unreachable
from cim.wire import conversations
from tests.client.client_case import Listener
from tests.harness.daemons import UNLIMITED, loopback
from tests.harness.processes import free_port
from tests.integration.cluster_case import ClusterCase


class LibraryTests(ClusterCase):
    def suite_of(self):
        tcp, http = free_port(), free_port()
        return self.daemon(
            "suite",
            http,
            *("--data", self.folder("data"), "--listen", loopback(tcp), "--http", loopback(http)),
            *("--login-policy", "many", *UNLIMITED),
        )

    def client(self, url, name, credentials=None, **options):
        """Return a running client that remembers what it heard."""
        credentials = credentials or Password(name, f"password of {name}", create=True)
        client = Client(self.reactor, url, credentials, **options)
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def talk(self, sender, receiver, mark, count, accepted):
        """Send that many messages one after another without waiting for answers."""
        waiting = []
        for number in range(count):
            text = f"{mark} {number} 你好"
            sending = sender.send(receiver, text)
            sending.addCallback(lambda sent, text=text: accepted.append((sent.position, text)))
            waiting.append(sending)
            await deferLater(self.reactor, 0.002)
        await gatherResults(waiting, consumeErrors=True)

    def assert_once_and_in_order(self, client, accepted):
        """All that was accepted, each once, was given in one order; what one sender said in that of saying."""
        given = [(message.position, message.text) for message in client.heard.messages]
        self.assertEqual(len(given), len(set(given)))
        self.assertEqual(given, sorted(accepted, key=lambda one: [int(part) for part in one[0].split("-")]))

    async def test_a_suite_that_is_killed_again_and_again(self):
        suite = self.suite_of()
        await self.started(suite)
        alice, bob = self.client(suite.url, "alice"), self.client(suite.url, "bob")
        await gatherResults([alice.when_ready(), bob.when_ready()])
        accepted = []
        talking = gatherResults(
            [
                Deferred.fromCoroutine(self.talk(alice, bob.me, "alice", 1000, accepted)),
                Deferred.fromCoroutine(self.talk(bob, alice.me, "bob", 1000, accepted)),
            ]
        )
        for count in (200, 600):
            await self.until(lambda: len(accepted), lambda found, count=count: found >= count, f"{count} accepted")
            await suite.kill()
            await self.until(
                lambda: {alice.state, bob.state}, lambda seen: seen == {State.RECONNECTING}, "both noticed"
            )
            # What is said now is accepted when the suite is there again.
            late = alice.send(bob.me, f"while it is down {count}")
            late.addCallback(lambda sent, count=count: accepted.append((sent.position, f"while it is down {count}")))
            await suite.start()
            await late
        await talking
        for client in (alice, bob):
            await self.until(lambda c=client: len(c.heard.messages), lambda found: found >= 2002, f"{client.me} heard")
            self.assert_once_and_in_order(client, accepted)
            for mark in ("alice", "bob"):
                said = [text for text in client.heard.texts if text.startswith(f"{mark} ")]
                self.assertEqual(said, [f"{mark} {number} 你好" for number in range(1000)])

    async def test_a_client_that_ends_without_a_word_goes_on_from_its_disk(self):
        suite = self.suite_of()
        await self.started(suite)
        path = os.path.join(self.folder("alice"), "history")
        alice = self.client(suite.url, "alice", history=SqliteHistory(path, self.reactor))
        bob = self.client(suite.url, "bob")
        await gatherResults([alice.when_ready(), bob.when_ready()])
        await bob.send(alice.me, "one")
        await self.until(lambda: alice.heard.texts, lambda texts: texts == ["one"], "alice heard")
        await suite.kill()
        await self.until(lambda: alice.state, lambda state: state is State.RECONNECTING, "alice noticed")
        unsent = alice.send(bob.me, "two")
        await alice.close()
        await self.assertFailure(unsent, Exception)
        await suite.start()
        again = self.client(suite.url, "alice", history=SqliteHistory(path, self.reactor))
        await self.until(lambda: bob.heard.others, lambda texts: texts == ["two"], "bob heard what waited on disk")
        await bob.send(again.me, "three")
        await self.until(lambda: again.heard.texts, lambda texts: texts == ["two", "three"], "each once")
        found = await again.search("one")
        self.assertEqual([message.text for message in found], ["one"])

    async def test_leaving_while_nobody_answers(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        for credentials in (None, Guest("guest")):
            client = self.client(f"http://127.0.0.1:{silent.getsockname()[1]}", "alice", credentials)
            ready = client.when_ready()
            await deferLater(self.reactor, 0.1)
            await client.close().addTimeout(5, self.reactor)
            await self.assertFailure(ready, Unreachable)

    async def test_leaving_while_it_connects_to_what_is_not_there(self):
        client = self.client("https://192.0.2.1:9", "alice")
        ready = client.when_ready()
        await deferLater(self.reactor, 0.1)
        await client.close().addTimeout(5, self.reactor)
        await self.assertFailure(ready, Unreachable)

    async def test_a_suite_that_stops_and_comes_back(self):
        suite = self.suite_of()
        await self.started(suite)
        alice, bob = self.client(suite.url, "alice"), self.client(suite.url, "bob")
        await gatherResults([alice.when_ready(), bob.when_ready()])
        await suite.stop()
        await self.until(lambda: alice.state, lambda state: state is State.RECONNECTING, "alice noticed")
        sending = alice.send(bob.me, "while it is down")
        await suite.start()
        await sending
        await self.until(lambda: bob.heard.texts, lambda texts: texts == ["while it is down"], "bob heard")

    async def test_a_guest(self):
        suite = self.suite_of()
        await self.started(suite)
        guest = self.client(suite.url, "guest", Guest("guest"))
        bob = self.client(suite.url, "bob")
        await gatherResults([guest.when_ready(), bob.when_ready()])
        await guest.send(bob.me, "from a guest")
        await self.until(lambda: bob.heard.others, lambda texts: texts == ["from a guest"], "bob heard the guest")
        await bob.send(guest.me, "to a guest")
        await self.until(lambda: guest.heard.others, lambda texts: texts == ["to a guest"], "the guest heard bob")
        await guest.send(conversations.EVERYONE, "to all")
        await self.until(lambda: bob.heard.others, lambda texts: texts[-1] == "to all", "bob heard what all heard")

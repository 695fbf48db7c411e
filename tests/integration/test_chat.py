"""People who chat at terminals: every line on every right screen, once, in its sender's order."""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import filterfalse

from twisted.internet.defer import Deferred, gatherResults

from tests.harness.daemons import environment, loopback, twistd
from tests.harness.processes import HOST, DaemonProcess, free_port
from tests.integration.cluster_case import STARTED, ClusterCase

NAMES = ("alice", "bob", "陈小明", "🦊 fox", "Ünal")
#: Lines that each user says in one round.
LINES = 60
TEXTS = (
    "你好，世界",
    "the quick brown fox",
    "🎉🎊 早上好 everyone",
    "👨‍👩‍👧‍👦 mixed 混合 text ✨",
    "a \\ backslash, a \"quote\", a 'tick', <b>&amp;</b> {} %s",
    "中文" * 200,
    "𝕬𝖘𝖙𝖗𝖆𝖑 é é שלום مرحبا",
    "a; b ; c:d :olu",
)
LOGGED_IN = re.compile(r"\* logged in as .* \(id (\d+)\)")
#: A notice about a line: quotes its beginning and says what became of it.
ABOUT = re.compile(r'\* "(?:\d+;;)?(\d+-\d+-\d+) .*" (may or may not have been sent|was not \w+): ')


class TerminalClient(DaemonProcess):
    """A `twistd cim-client` whose input is held open.

    :ivar notices: its lines on standard error
    """

    def __init__(self, reactor, name, routes, directory, options=()):
        options = [*options, *(word for url in routes for word in ("--route", url))]
        super().__init__(
            reactor,
            twistd("cim-client", "--user", name, *options),
            environment({"XDG_DATA_HOME": os.path.abspath(directory)}),
            directory,
            lambda line: LOGGED_IN.match(line) is not None,
            name=f"client {name}",
            on_line=lambda line, error: self.notices.append(line) if error else None,
        )
        self.user = name
        self.notices = []

    @property
    def id(self):
        """The user's id."""
        return int(next(filter(None, map(LOGGED_IN.match, self.notices)))[1])

    def heard(self, mark):
        """The lines on the screen that begin with `mark`, by who said them."""
        said = {}
        for line in self.out:
            name, _, text = line.partition(": ")
            if text.startswith(mark):
                # A name with a space is shown as it is typed: in quotes.
                said.setdefault(name.strip('"'), []).append(text)
        return said


def is_private(text):
    """Return whether a line is said to a single other, not to everyone."""
    return int(text.split(" ")[0].rpartition("-")[2]) % 3 == 1


class Round:
    """All clients say their lines at once, to everyone and to single others.

    :ivar due: for each pair of sender and receiver the lines that belong on the receiver's screen, in order
    """

    def __init__(self, number, clients):
        self.number = number
        self.clients = clients
        self.due = {(one, other): [] for one in clients for other in clients if one is not other}
        self.mark = f"{number}-"

    def say(self):
        """Give every client all of its lines."""
        for index, client in enumerate(self.clients):
            others = [other for other in self.clients if other is not client]
            typed = []
            for line in range(LINES):
                text = f"{self.mark}{index}-{line} {TEXTS[(line + index) % len(TEXTS)]}"
                receiver = others[line % len(others)]
                if is_private(text):
                    typed.append(f"{receiver.id};;{text}")
                    self.due[client, receiver].append(text)
                else:
                    typed.append(text)
                    for other in others:
                        self.due[client, other].append(text)
            client.write("".join(f"{line}\n" for line in typed))

    def shown(self):
        """How many lines are on screens."""
        return sum(len(texts) for client in self.clients for texts in client.heard(self.mark).values())

    def fates(self):
        """What the clients said of lines that did not get through: a line's number to "may ..." or "was not ..."."""
        about = [match for client in self.clients for match in map(ABOUT.match, client.notices) if match]
        return {match[1]: match[2] for match in about if match[1].startswith(self.mark)}


class ChatCase(ClusterCase):
    options = ()

    async def clients(self, *routes):
        """Start all terminals."""
        clients = [
            self.added(TerminalClient(self.reactor, name, routes, self.folder(f"client-{index}"), self.options))
            for index, name in enumerate(NAMES)
        ]
        await gatherResults([client.start(STARTED) for client in clients], consumeErrors=True)
        return clients

    async def finished(self, chat):
        """Wait until every client has had its answers and every screen what belongs there; return doubtful lines."""
        await gatherResults([Deferred.fromCoroutine(self.all_answered(client)) for client in chat.clients])
        fates = chat.fates()

        def certain():
            return [
                (sender.user, receiver.user, text)
                for (sender, receiver), texts in chat.due.items()
                for text in texts
                if text.split(" ")[0] not in fates and text not in receiver.heard(chat.mark).get(sender.user, ())
            ]

        await self.until(certain, lambda missing: not missing, "every line that was answered is on its screens")
        # What would come a second time has come when what was said after it has.
        end = f"end of {chat.mark}"
        for client in chat.clients:
            client.write(f"{end}\n")
        await self.until(
            lambda: [len(client.heard(end)) for client in chat.clients],
            lambda heard: heard == [len(NAMES) - 1] * len(NAMES),
            "everyone hears the end",
        )
        self.check(chat, fates)
        return fates

    async def all_answered(self, client):
        """Have a client list who is online, which it does when it was given an answer to every line before."""
        everyone = f"{len(NAMES)} online"
        before = client.out.count(everyone)
        client.write(":olu\n")
        await self.until(
            lambda: client.out.count(everyone), lambda count: count > before, f"{client.user} has all answers", 60
        )

    def check(self, chat, fates):
        """Each line once, in the order of its conversation, on the right screens alone; doubtful ones at most once."""
        for client in chat.clients:
            heard = client.heard(chat.mark)
            self.assertLessEqual(set(heard), set(NAMES) - {client.user})
            for other in chat.clients:
                if other is client:
                    continue
                due = chat.due[other, client]
                seen = heard.get(other.user, [])
                twice = [text for text, count in Counter(seen).items() if count > 1]
                self.assertEqual(twice, [], f"{client.user} sees lines of {other.user} twice")
                for said in (filter, filterfalse):
                    self.assertEqual(
                        [text for text in said(is_private, seen) if text.split(" ")[0] not in fates],
                        [text for text in said(is_private, due) if text.split(" ")[0] not in fates],
                        f"what {client.user} sees of {other.user}",
                    )
                self.assertLessEqual(set(seen), set(due), f"{client.user} sees what was not for it")
        lost = {line for line, fate in fates.items() if not fate.startswith("may")}
        heard = [texts for client in chat.clients for texts in client.heard(chat.mark).values()]
        self.assertEqual([text for texts in heard for text in texts if text.split(" ")[0] in lost], [])


class ClusterChatTests(ChatCase):
    async def test_through_the_death_of_a_route_and_of_a_server(self):
        servers, routes = await self.cluster(servers=2, routes=2)
        clients = await self.clients(*(route.url for route in routes))
        sessions = [await self.fact(server, "sessions") for server in servers]
        self.assertEqual(sum(sessions), len(NAMES))
        self.assertTrue(all(sessions), f"users sit on both servers: {sessions}")

        first = Round(1, clients)
        first.say()
        whole = sum(map(len, first.due.values()))
        await self.until(first.shown, lambda shown: shown > whole // 3, "a third is said")
        # How many depends on the ids: the hash that picks a conversation's route may leave one of them a single talk.
        for route in routes:
            self.assertGreater(await self.metric(route, 'cim_messages_total{direction="in"}'), 0)
        await routes[0].kill()
        self.assertLess(first.shown(), whole, "the route died too late to meet lines on their way")
        fates = await self.finished(first)
        # Each client has one line on its way at a time; the dead route had it or not.
        self.assertLessEqual(len(fates), len(clients))

        await servers[0].kill()
        await self.until(
            lambda: self.fact(servers[1], "sessions"), lambda count: count == len(NAMES), "all are back", 60
        )
        # Those with a password are on no list that is for anybody.
        await self.until(lambda: self.fact(routes[1], "online"), lambda count: count == len(NAMES), "all are known")
        second = Round(2, clients)
        second.say()
        self.assertEqual(await self.finished(second), {})


class SuiteChatTests(ChatCase):
    async def test_a_round(self):
        tcp, http = free_port(), free_port()
        suite = self.daemon(
            "suite", http, "--data", self.folder("data"), "--listen", loopback(tcp), "--http", loopback(http)
        )
        await self.started(suite)
        clients = await self.clients(f"http://{HOST}:{http}")
        chat = Round(1, clients)
        chat.say()
        self.assertEqual(await self.finished(chat), {})


class GuestsChatTests(SuiteChatTests):
    options = ("--guest",)


class GuestsClusterChatTests(ClusterChatTests):
    options = ("--guest",)

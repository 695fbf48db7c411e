"""The members of a chaos run: who talks to whom, what they send, and whether everyone has every message."""

from __future__ import annotations

import argparse
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from attrs import evolve

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from bench import native
from bench.faults import Fault
from bench.guest_member import GuestLog, GuestMember, mark_of, marked
from bench.guests import Guest
from bench.history import Handed, History, Key, Violation
from bench.http import HTTPError, HTTPPool
from bench.library_member import LibraryMember
from bench.member import Member, number_in
from bench.owed import Owed
from cim.wire import conversations, positions
from cim.wire.cim_pb2 import Deliver
from cim.wire.websocket_frames import JSON, PROTOBUF

PASSWORD = "a password for chaos"
#: A member with this many unaccepted messages sends nothing more for now.
MOST_WAITING = 100
SAYINGS = (
    "hello",
    "你好，世界",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "שלום مرحبا",
    "a\x00b\r\n\t\x1b[31m",
    "'\"\\{}<>&%s",
)
TRIES = 10
#: How far behind what is said may be and still be caught up, in seconds.
BEHIND = 1.0
#: The WebSocket subprotocols that native members use in turn; empty for TCP.
SUBPROTOCOLS = ("", PROTOBUF, JSON)
#: One in this many native members has a second device.
TABLET_EVERY = 4


def add_crowd(
    parser: argparse.ArgumentParser, *, members: int, library: int, guests: int, groups: int, size: int, rate: float
) -> None:
    """Add the options that say who is in a crowd and how much it says; the values are their defaults."""
    for name, default, what in (
        ("members", members, "native clients"),
        ("library", library, "native clients that use the client library"),
        ("guests", guests, "clients like upstream's"),
        ("groups", groups, "number of groups"),
        ("size", size, "members of a group"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (%(default)s)")
    parser.add_argument(
        "--rate",
        type=float,
        default=rate,
        metavar="PER_SECOND",
        help="messages per second in total (%(default)s)",
    )


def saying(chooser: random.Random) -> tuple[str, bytes, str]:
    """Return a text, data and a content type, of the kinds that people and programs send."""
    kind = chooser.random()
    if kind < 0.8:
        return f"{chooser.choice(SAYINGS)} {chooser.getrandbits(32)}", b"", ""
    if kind < 0.9:
        return chooser.choice(SAYINGS) * chooser.randrange(1, 300), b"", ""
    text = chooser.choice(("", "see this"))
    return text, chooser.randbytes(chooser.randrange(1, 2000)), "application/octet-stream"


class Times:
    """When messages were sent, accepted, and delivered to the last recipient."""

    def __init__(self) -> None:
        self.sent: dict[Key, float] = {}
        self.accepted: dict[Key, float] = {}
        self.complete: dict[Key, float] = {}

    def recoveries(self, mended: Sequence[float]) -> list[float]:
        """Return for each fault how long after its end all messages sent before had reached everyone."""
        done = sorted((sent, self.complete.get(key, sent)) for key, sent in self.sent.items())
        starts = [sent for sent, _ in done]
        latest = list(accumulate((complete for _, complete in done), max))
        found = []
        for moment in mended:
            before = bisect_right(starts, moment)
            found.append(max(0.0, latest[before - 1] - moment) if before else 0.0)
        return found

    def longest(self, until: dict[Key, float]) -> float:
        """Return the longest time from sending until the given moments."""
        return max((moment - self.sent[key] for key, moment in until.items() if key in self.sent), default=0.0)


class Crowd:
    """Members in pairs and groups who talk all the time: native ones over TCP and both kinds of WebSocket, and guests.

    :param urls: the routes
    :param library: how many of the native ones are applications of the client library; of the others, who speak the
        protocol by themselves, every second repeats what failed without waiting for what is still unanswered
    :param everywhere: readers of all conversations, who are no members (see `heard`)
    :ivar members: the native ones, then the guests, then the second devices of some native ones, which only read
    """

    def __init__(
        self,
        reactor: Any,
        chooser: random.Random,
        urls: Sequence[str],
        library: int = 0,
        everywhere: Sequence[int] = (),
    ) -> None:
        self._reactor = reactor
        self._random = chooser
        self._pools = [HTTPPool(reactor, url, 16) for url in urls]
        self._urls = urls
        self._library = library
        self._everywhere = everywhere
        self._native = 0
        self._names = f"chaos-{chooser.getrandbits(32):08x}"
        self._places: dict[int, list[str]] = {}
        self._lists: dict[str, list[int]] = {}
        self._guests: set[int] = set()
        # Conversations in which guests are: texts say what they are.
        self._marked: set[str] = set()
        self._tablets: set[int] = set()
        self.history = History(self._lists)
        self._owed = Owed(self._lists)
        #: What restores of the store may have undone.
        self._undone: set[Key] = set()
        self.times = Times()
        self.members: list[Member | LibraryMember | GuestMember] = []
        self._speakers: list[Member | LibraryMember | GuestMember] = []
        self.logs: list[GuestLog] = []
        self.forgotten = 0

    # Before

    async def gather(self, count: int, groups: int, size: int, guests: int) -> None:
        """Create the accounts and groups, and bring everyone online.

        :param count: native members
        :param groups: each of `size` native members
        """
        self._native = count
        ids: list[int] = []
        for number in range(count):
            ids.append(await self._tried(partial(native.make_account, self._pools[0], self._name(number), PASSWORD)))
        for number in range(guests):
            guest = await self._tried(partial(Guest.register, self._pools[0], self._name(count + number)))
            ids.append(guest.id)
            self._guests.add(guest.id)
        self._tablets.update(ids[:count:TABLET_EVERY])
        for number, user in enumerate(ids):
            for other in (ids[(number + 1) % len(ids)], ids[(number + len(ids) // 2) % len(ids)]):
                if other != user:
                    self._meet(conversations.private(user, other), [user, other])
        for number in range(groups):
            chosen = self._random.sample(range(count), min(size, count))
            owner = self._name(chosen[0])
            place = await self._tried(partial(native.log_in, self._pools[0], owner, "bench", password=PASSWORD))
            members = [ids[one] for one in chosen]
            group = await native.make_group(self._pools[0], place.token, f"group {number}", members[1:])
            self._meet(conversations.group(group), members)
        for number, user in enumerate(ids):
            self.members.append(self._guest(number, user) if user in self._guests else self._member(number, user))
        self._speakers = list(self.members)
        for number, user in enumerate(ids):
            if user in self._tablets:
                self.members.append(self._member(number, user, "tablet"))
        for member in self.members:
            member.start()
        await self.until(lambda: all(member.live for member in self.members), 60.0, "everyone is online")

    def names(self) -> list[str]:
        """Return the names of the native members."""
        return [self._name(number) for number in range(len(self.members)) if number < self._native]

    def _name(self, number: int) -> str:
        return f"{self._names}-{number}"

    async def _tried(self, call: Callable[[], Any]) -> Any:
        for left in reversed(range(TRIES)):
            try:
                return await call()
            except HTTPError as error:
                if not left or (400 <= error.status < 500 and error.status != 429):
                    raise
                await deferLater(self._reactor, 0.5, lambda: None)
        return None

    def _meet(self, conversation: str, members: list[int]) -> None:
        if conversation not in self._lists:
            # What guests are written is judged apart.
            readers = [member for member in members if member not in self._guests]
            if len(readers) < len(members):
                self._marked.add(conversation)
            # A second device is a reader of its own.
            tablets = [-member for member in readers if member in self._tablets]
            self._lists[conversation] = [*readers, *tablets, *self._everywhere]
            for member in members:
                self._places.setdefault(member, []).append(conversation)

    def heard(self, reader: int, conversation: str, message: Handed, client_id: str, text: str) -> None:
        """Note what a reader of all conversations was handed; which number it has is in its client id or its text."""
        mark = mark_of(text) if message.author in self._guests else None
        message = evolve(message, number=mark[2] if mark else number_in(client_id))
        self.history.hand(reader, conversation, message)
        key = message.author, conversation, message.number
        self._owed.had(reader, key)
        self._complete(key, self._reactor.seconds())

    def _complete(self, key: Key, now: float) -> None:
        self.times.complete[key] = max(now, self.times.complete.get(key, 0.0))

    def _member(self, number: int, user: int, second: str = "") -> Member | LibraryMember:
        reader = -user if second else user

        def handed(conversation: str, message: Handed, now: float) -> None:
            key = message.author, conversation, message.number
            self._owed.had(reader, key)
            self._complete(key, now)

        def accepted(conversation: str, number: int, now: float) -> None:
            self._owed.due((user, conversation, number))
            self.times.accepted[user, conversation, number] = now

        def number_of(deliver: Deliver) -> int | None:
            mark = mark_of(deliver.text) if deliver.sender in self._guests else None
            return mark[2] if mark else None

        seed = self._random.getrandbits(64)
        if number < self._library and not second:
            return LibraryMember(
                self._reactor,
                self._name(number),
                PASSWORD,
                user,
                self._urls,
                self.history,
                number_of=number_of,
                handed=handed,
                accepted=accepted,
            )
        return Member(
            self._reactor,
            random.Random(seed),
            self._name(number),
            PASSWORD,
            user,
            self._pools,
            self.history,
            device=second or "bench",
            reader=reader,
            subprotocol=SUBPROTOCOLS[(number + bool(second)) % len(SUBPROTOCOLS)],
            patient=number % 2 == 0,
            number_of=number_of,
            handed=handed,
            accepted=accepted,
        )

    def _guest(self, number: int, user: int) -> GuestMember:
        def stored(conversation: str, number: int, now: float) -> None:
            self._owed.due((user, conversation, number))
            self.times.accepted[user, conversation, number] = now

        self.logs.append(GuestLog(user, self.times.sent))
        return GuestMember(
            self._reactor,
            random.Random(self._random.getrandbits(64)),
            self._name(number),
            user,
            self._pools,
            self.history,
            self.logs[-1],
            stored=stored,
            arrived=self._complete,
        )

    # Meanwhile

    async def talk(self, seconds: float, rate: float) -> None:
        """Let the members send for `seconds`, one message or a few at a time, `rate` per second in total."""
        due = self._reactor.seconds()
        end = due + seconds
        while self._reactor.seconds() < end:
            burst = self._random.choice((1, 1, 1, 1, 2, 5, 20))
            # From when the last one was due: on a busy machine each wait takes longer than it should.
            due = max(due + self._random.expovariate(rate / burst), self._reactor.seconds() - BEHIND)
            await deferLater(self._reactor, max(0.0, due - self._reactor.seconds()), lambda: None)
            member = self._random.choice(self._speakers)
            conversation = self._random.choice(self._places[member.user])
            for _ in range(burst):
                if member.waiting < MOST_WAITING:
                    # Note the time first: the message may be accepted before the call returns.
                    now = self._reactor.seconds()
                    number = self._say(member, conversation)
                    self.times.sent[member.user, conversation, number] = now

    def _say(self, member: Member | LibraryMember | GuestMember, conversation: str) -> int:
        text, data, content_type = saying(self._random)
        if conversation in self._marked:
            if not isinstance(member, GuestMember):
                text = marked(member.user, conversation, member.next_number(conversation), text)
            return member.send(conversation, text)
        return member.send(conversation, text, data, content_type)

    def afflict(self, fault: Fault) -> str:
        """Apply a fault to some member."""
        among = self._speakers if fault.action == "forget" else self.members
        member = among[int(fault.chance * len(among))]
        if fault.action == "forget":
            forgotten = member.forget()
            self.forgotten += forgotten
            return f"{member.user}, with {forgotten} messages that were not accepted"
        member.drop()
        return str(member.user)

    # After

    def missing(self) -> set[tuple[int, Key]]:
        """Return each member and message that the member should have got but did not."""
        history, logs = self._judged()
        guests = ((log.user, key) for log in logs for key in log.missing(history))
        return {*history.missing(), *guests}

    def violations(self) -> list[Violation]:
        """Return everything that is wrong."""
        history, logs = self._judged()
        return [*history.violations(), *(wrong for log in logs for wrong in log.violations(history))]

    def restored(self, began: float, ended: float) -> None:
        """The store is as it was when a backup was begun: nothing is said of what was under way or accepted since."""
        self._undone.update(
            key
            for key, sent in self.times.sent.items()
            if sent <= ended and not self.times.accepted.get(key, ended) < began
        )
        for key in self._undone:
            self._owed.forgive(key)

    def _judged(self) -> tuple[History, list[GuestLog]]:
        """Return what is to be judged: all but what restores undid."""
        if not self._undone:
            return self.history, self.logs
        return self.history.without(self._undone), [log.without(self._undone) for log in self.logs]

    async def quiet(self, patience: float) -> bool:
        """Wait until all messages are accepted and everyone has all of them; return whether that happened in time."""
        try:
            await self.until(
                lambda: not self._owed and not any(member.waiting for member in self.members),
                patience,
                "everyone has every message",
            )
            # Guests' messages are looked for, which takes a while after a long run.
            await self.until(lambda: not self.missing(), patience, "guests have what is theirs")
        except TimeoutError:
            return False
        return True

    async def read_all(self) -> None:
        """Note what is in the conversations now, as members read it who know nothing of it."""
        names = {member.user: self._name(number) for number, member in enumerate(self._speakers)}
        tokens: dict[int, str] = {}
        for conversation, readers in self._lists.items():
            reader = next((one for one in readers if one > 0), None)
            if reader is None:
                continue
            if reader not in tokens:
                place = await self._tried(
                    partial(native.log_in, self._pools[0], names[reader], "reading", password=PASSWORD)
                )
                tokens[reader] = place.token
            after: str | None = ""
            self.history.keep(conversation, ())
            while after is not None:
                path = f"/v1/conversations/{conversation}/messages?limit=500&after={after}"
                page = await self._tried(partial(native.call, self._pools[0], b"GET", path, None, tokens[reader]))
                self.history.keep(conversation, (positions.parse(one["position"]) for one in page["messages"]))
                after = page["more"]

    async def ask_everyone(self, seconds: float) -> Counter[str]:
        """Let all members fetch what they lack; return in how many cases it was there, and in how many not.

        A message that was there was stored, but its reader was not notified.
        """
        lacking = self.missing()
        for member in self.members:
            member.ask()
        await deferLater(self._reactor, seconds, lambda: None)
        still = self.missing()
        return Counter("stored, not told" if one not in still else "not stored" for one in lacking)

    async def until(self, good: Callable[[], bool], patience: float, what: str) -> None:
        """Wait until a condition holds.

        :raises TimeoutError: it did not hold within `patience` seconds
        """
        deadline = self._reactor.seconds() + patience
        while not good():
            if self._reactor.seconds() > deadline:
                raise TimeoutError(f"waited {patience:g} s in vain until {what}")
            await deferLater(self._reactor, 0.2, lambda: None)

    async def disperse(self) -> None:
        """Take everyone offline."""
        ending = [Deferred.fromCoroutine(member.stop()) for member in self.members]
        for one in ending:
            await one
        for pool in self._pools:
            pool.close()

    def accepted(self) -> dict[Key, float]:
        """Return when messages were accepted, but for guests': one at a time, these wait for each other."""
        return {key: moment for key, moment in self.times.accepted.items() if key[0] not in self._guests}

    def counts(self) -> Counter[str]:
        """Return the total counts of all members."""
        told: Iterable[Counter[str]] = (log.counts(self.history) for log in self.logs)
        return sum((*(member.counts for member in self.members), *told), Counter())

"""What clients sent and were handed, and a judgement of it: lost, doubled, reordered, out of nowhere, seen and gone.

Each client notes what its application sends, what became of it, and what it was handed, in the order in which that
happened. A message has an author and a conversation, and a number that grows with each message of that author there.
Its own messages are handed to an author, too, at the place that they have in the conversation.

The judgement knows nothing of how messages travel. It asks:

- what was accepted, or handed to anyone, was handed to every member (else it is *lost*);
- nothing was handed twice to one member, at the same position or another (*doubled*);
- a member is handed a conversation in the order of its positions, everyone sees a message at one position, that which
  its author was told, and no two messages share one: so all agree on one order; and it is the order in which each
  author sent (*reordered*);
- what was handed was sent there, in these words, by someone who was not told for certain that it was refused, and to a
  member (*out of nowhere*);
- what anyone was handed, or told that it was accepted, is still in its conversation when that is read at the end
  (*seen by somebody, later gone*).

What has an unknown outcome may be handed or not. Its author gave it up without knowing, so it may also come after what
that author sent later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum

from attrs import define, field, frozen

#: Author, conversation, number.
Key = tuple[int, str, int]
Position = tuple[int, int]
#: How many violations are shown one by one.
SHOWN = 40


class Fault(Enum):
    """What can be wrong with a message."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    NOWHERE = "out of nowhere"
    GONE = "seen by somebody, later gone"


@frozen
class Violation:
    """One thing that is wrong.

    :ivar member: who was, or was not, handed the message; 0 when it concerns nobody in particular
    """

    fault: Fault
    message: Key
    member: int
    detail: str

    def __str__(self) -> str:
        author, conversation, number = self.message
        at = f" at {self.member}" if self.member else ""
        return f"{self.fault.value}{at}: message {number} of {author} in {conversation}: {self.detail}"


@define
class Sent:
    """A message as its author knows it; while it is neither stored nor refused its outcome is unknown.

    :ivar content: what it says, or a hash of it
    :ivar position: where it was accepted
    :ivar refused: why it is certain that it was not stored
    :ivar stored: it is certain that it was
    """

    content: bytes
    position: Position | None = None
    refused: str = ""
    stored: bool = False


@frozen
class Handed:
    """A message as a member was handed it."""

    author: int
    number: int
    position: Position
    content: bytes


@define
class _Log:
    """What all members together were handed, by position and by message."""

    messages: dict[tuple[str, Position], Key] = field(factory=dict)
    positions: dict[Key, Position] = field(factory=dict)


@define
class History:
    """All that the clients of one run noted.

    :param members: for each conversation who is to be handed its messages
    """

    members: Mapping[str, Iterable[int]]
    sent: dict[Key, Sent] = field(factory=dict)
    handed: dict[tuple[int, str], list[Handed]] = field(factory=dict)
    kept: dict[str, set[Position]] = field(factory=dict)

    def send(self, author: int, conversation: str, number: int, content: bytes) -> None:
        """The application of `author` sends; to be noted before the first byte is written."""
        key = author, conversation, number
        if key in self.sent:
            raise ValueError(f"{key} was sent before")
        self.sent[key] = Sent(content)

    def accept(self, author: int, conversation: str, number: int, position: Position) -> None:
        """The author was told that the message is stored."""
        sent = self.sent[author, conversation, number]
        sent.position, sent.stored = position, True

    def store(self, author: int, conversation: str, number: int) -> None:
        """The author was told that the message is stored, and not where."""
        self.sent[author, conversation, number].stored = True

    def refuse(self, author: int, conversation: str, number: int, reason: str) -> None:
        """The author was told that the message is not stored and will not be."""
        self.sent[author, conversation, number].refused = reason

    def hand(self, member: int, conversation: str, message: Handed) -> None:
        """The application of `member` was handed a message."""
        self.handed.setdefault((member, conversation), []).append(message)

    def keep(self, conversation: str, positions: Iterable[Position]) -> None:
        """At the end there are messages at these positions of a conversation, and nowhere else."""
        self.kept.setdefault(conversation, set()).update(positions)

    def _gone(self) -> Iterator[Violation]:
        """Yield what was there once and is not at the end."""
        once: dict[tuple[str, Position], tuple[Key, int]] = {}
        for (member, conversation), messages in self.handed.items():
            for message in messages:
                once[conversation, message.position] = (message.author, conversation, message.number), member
        for key, sent in self.sent.items():
            if sent.position is not None:
                once.setdefault((key[1], sent.position), (key, key[0]))
        for (conversation, position), (key, member) in once.items():
            if conversation in self.kept and position not in self.kept[conversation]:
                yield Violation(Fault.GONE, key, member, f"was at {position}")

    def missing(self) -> Iterator[tuple[int, Key]]:
        """Yield each member and message that the member must be handed and was not."""
        got: dict[str, dict[int, set[tuple[int, int]]]] = {}
        due: dict[str, set[tuple[int, int]]] = {}
        for (member, conversation), messages in self.handed.items():
            names = {(message.author, message.number) for message in messages}
            got.setdefault(conversation, {})[member] = names
            due.setdefault(conversation, set()).update(
                name for name in names if (name[0], conversation, name[1]) in self.sent
            )
        for (author, conversation, number), sent in self.sent.items():
            if sent.stored:
                due.setdefault(conversation, set()).add((author, number))
        for conversation, names in due.items():
            for member in self.members.get(conversation, ()):
                for author, number in sorted(names - got.get(conversation, {}).get(member, set())):
                    yield member, (author, conversation, number)

    def violations(self) -> list[Violation]:
        """Return everything that is wrong."""
        found = [Violation(Fault.LOST, key, member, "was never handed") for member, key in self.missing()]
        found += self._gone()
        found += self._accepted_together()
        log = _Log()
        for (member, conversation), messages in self.handed.items():
            found += self._of_one(member, conversation, messages, log)
        return found

    def _accepted_together(self) -> Iterator[Violation]:
        """Yield what was told of positions to authors that cannot be, whoever was handed what."""
        taken: dict[tuple[str, Position], Key] = {}
        last: dict[tuple[int, str], tuple[int, Position]] = {}
        for key in sorted(self.sent):
            author, conversation, number = key
            position = self.sent[key].position
            if position is None:
                continue
            other = taken.setdefault((conversation, position), key)
            if other != key:
                yield Violation(Fault.REORDERED, key, 0, f"accepted at {position}, as {other} was")
            before = last.get((author, conversation))
            if before is not None and position < before[1]:
                detail = f"accepted at {position}, before message {before[0]} at {before[1]}"
                yield Violation(Fault.REORDERED, key, 0, detail)
            last[author, conversation] = number, position

    def _of_one(self, member: int, conversation: str, messages: list[Handed], log: _Log) -> Iterator[Violation]:
        """Yield what is wrong with what one member was handed of one conversation."""
        if member not in self.members.get(conversation, ()):
            first = messages[0]
            key = first.author, conversation, first.number
            yield Violation(Fault.NOWHERE, key, member, f"{len(messages)} handed to someone who is no member")
            return
        seen: dict[Key, Position] = {}
        newest: dict[int, int] = {}
        held: Position | None = None
        for message in messages:
            key = message.author, conversation, message.number
            known = self.sent.get(key)
            if known is None:
                yield Violation(Fault.NOWHERE, key, member, "was never sent")
            elif known.refused:
                yield Violation(Fault.NOWHERE, key, member, f"was refused: {known.refused}")
            elif known.content != message.content:
                yield Violation(Fault.NOWHERE, key, member, "says something else than was sent")
            if key in seen:
                yield Violation(Fault.DOUBLED, key, member, f"handed at {seen[key]} and again at {message.position}")
                continue
            seen[key] = message.position
            if held is not None and message.position <= held:
                yield Violation(Fault.REORDERED, key, member, f"{message.position} came after {held}")
            else:
                held = message.position
            if known is not None and known.stored:
                if known.position not in (None, message.position):
                    detail = f"accepted at {known.position}, handed at {message.position}"
                    yield Violation(Fault.REORDERED, key, member, detail)
                last = newest.get(message.author, -1)
                if message.number < last:
                    yield Violation(Fault.REORDERED, key, member, f"came after message {last} of the same author")
                newest[message.author] = max(last, message.number)
            other = log.messages.setdefault((conversation, message.position), key)
            if other != key:
                yield Violation(Fault.REORDERED, key, member, f"is at {message.position}, where others saw {other}")
            place = log.positions.setdefault(key, message.position)
            if place != message.position:
                yield Violation(Fault.REORDERED, key, member, f"is at {message.position}, others saw it at {place}")

    def without(self, keys: Container[Key]) -> History:
        """Return a history in which some messages never were."""
        return History(
            self.members,
            {key: sent for key, sent in self.sent.items() if key not in keys},
            {
                (member, conversation): [
                    message for message in messages if (message.author, conversation, message.number) not in keys
                ]
                for (member, conversation), messages in self.handed.items()
            },
            self.kept,
        )

    def outcomes(self) -> Counter[str]:
        """Return how many messages were accepted, refused, or have an unknown outcome."""
        return Counter(
            "accepted" if sent.stored else "refused" if sent.refused else "unknown" for sent in self.sent.values()
        )


def told(violations: Sequence[Violation], *, read: bool = False) -> Iterator[str]:
    """Yield lines about what went wrong: the first SHOWN of all, and how often each thing did (see `verdict`)."""
    yield from map(str, violations[:SHOWN])
    yield verdict(violations, read=read)


def verdict(violations: Iterable[Violation], *, read: bool = False) -> str:
    """Return one line that says how often each thing went wrong.

    :param read: whether the conversations were read at the end (see `History.keep`)
    """
    counts = Counter(violation.fault for violation in violations)
    return ", ".join(f"{fault.value} {counts[fault]}" for fault in Fault if read or fault is not Fault.GONE)

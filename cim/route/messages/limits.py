"""How much may be said: rates of messages and of bytes, for whoever says it (docs/limits.md, Messages).

Whatever enters by links or HTTP is asked about here once, before it is appended. What a limit refuses takes nothing of
any; what is not stored for the order's sake gives back what it took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import NO_LIMIT, Buckets, Limit, limit, whole_seconds
from cim.wire import conversations

#: Whom a limit is for, and what it is when no option says so.
MESSAGE_LIMITS: Mapping[str, tuple[str, str]] = {
    "user-messages": ("messages of a user", "20/400"),
    "user-bytes": ("bytes of a user's messages", "131072/4194304"),
    "conversation-messages": ("messages of a user or guest in one conversation", "10/400"),
    "conversation-bytes": ("bytes of a user's or guest's messages in one conversation", "65536/4194304"),
    "guest-messages": ("messages of a guest", "10/300"),
    "guest-bytes": ("bytes of a guest's messages", "65536/2097152"),
    "address-messages": ("messages of all guests at an address", "50/1500"),
    "address-bytes": ("bytes of the messages of all guests at an address", "262144/8388608"),
    "key-messages": ("messages that come with an API key", "0"),
    "key-bytes": ("bytes of messages that come with an API key", "0"),
    "everyone-messages": ("messages to everyone", "50/500"),
}


def default_limits() -> dict[str, Limit]:
    """Return the limits of messages when no option says otherwise, by name."""
    return {name: limit(text) for name, (_, text) in MESSAGE_LIMITS.items()}


class Guest(NamedTuple):
    """A guest that says something; whoever speaks in its name from elsewhere uses up nothing of what it may say.

    :param address: where it is, as `cim.addresses` counts it
    """

    user: int
    address: str


class Key(NamedTuple):
    """A back end that says something, for whatever user.

    :param number: which of the API keys it has
    """

    number: int


#: Who says something: a user, by its id, a guest or a back end.
Payer = int | Guest | Key
#: What holds for each kind of payer, by the beginnings of the limits' names, in the order of its keys.
_HOLD: Mapping[type, tuple[str, ...]] = {
    int: ("user", "conversation"),
    Guest: ("guest", "conversation", "address"),
    Key: ("key",),
}


def _keys(payer: Any, conversation: str) -> tuple[Any, ...]:
    """Return whose buckets messages are taken from."""
    kind = type(payer)
    if kind is int:
        return payer, (payer, conversation)
    if kind is Guest:
        return payer, (payer, conversation), payer.address
    return (payer,)


class _Held(NamedTuple):
    """A limit that holds.

    :ivar place: of whose it is among the keys
    """

    name: str
    buckets: Buckets
    place: int


class MessageLimits:
    """Says whether messages may be appended, whichever way they came.

    :param limits: by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, limits: Mapping[str, Limit], clock: IReactorTime, refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._buckets: dict[str, Buckets] = {}
        for name in ("user", "conversation", "guest", "address", "key", "everyone"):
            count, size = limits[f"{name}-messages"], limits.get(f"{name}-bytes", NO_LIMIT)
            if count or size:
                self._buckets[name] = Buckets(count, size)
        everyone = [_Held("everyone", self._buckets["everyone"], 0)] if "everyone" in self._buckets else []
        self._hold = {
            kind: [_Held(name, self._buckets[name], at) for at, name in enumerate(names) if name in self._buckets]
            for kind, names in _HOLD.items()
        }
        self._hold_everyone = {kind: hold + everyone for kind, hold in self._hold.items()}

    def __len__(self) -> int:
        """How many buckets are kept."""
        return sum(map(len, self._buckets.values()))

    def _holding(self, payer: Payer, conversation: str) -> list[_Held]:
        hold = self._hold if conversation != conversations.EVERYONE else self._hold_everyone
        return hold[type(payer)]

    def take(self, payer: Payer, conversation: str, messages: int, size: int) -> RateLimited | None:
        """Take messages from all limits that hold for them, or say why none of them may be appended.

        :param size: bytes of their texts and data together
        """
        keys = _keys(payer, conversation)
        now = self._clock.seconds()
        holding = self._holding(payer, conversation)
        for at, (_, buckets, place) in enumerate(holding):
            if not buckets.take(keys[place], now, messages, size):
                for _, before, whose in holding[:at]:
                    before.give_back(keys[whose], now, messages, size)
                waits = [held.buckets.wait(keys[held.place], now, messages, size) for held in holding]
                too_many = buckets.wait(keys[place], now, messages) > 0
                return self._refusal(f"{holding[at].name}-{'messages' if too_many else 'bytes'}", max(waits))
        return None

    def _refusal(self, name: str, wait: float) -> RateLimited:
        self._refused(f"limit-{name}")
        seconds = whole_seconds(wait)
        return RateLimited(f"too many {MESSAGE_LIMITS[name][0]}: try again in {seconds} s", seconds)

    def give_back(self, payer: Payer, conversation: str, messages: int, size: int) -> None:
        """Put back what messages took that were not appended."""
        keys = _keys(payer, conversation)
        now = self._clock.seconds()
        for _, buckets, place in self._holding(payer, conversation):
            buckets.give_back(keys[place], now, messages, size)

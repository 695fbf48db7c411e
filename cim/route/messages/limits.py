"""How much may be said: rates of messages and of bytes, for whoever says it (docs/limits.md, Messages).

Whatever enters by links or HTTP is asked about here once, before it is appended. What a limit refuses takes nothing of
any; what is not stored for the order's sake gives back what it took.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import NO_LIMIT, Buckets, Limit, take_all, whole_seconds
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


class Guest(NamedTuple):
    """A guest that says something; whoever speaks in its name from elsewhere uses up nothing of what it may say.

    :param address: where it is, as `cim.addresses` counts it
    """

    user: int
    address: str


class Key(NamedTuple):
    """A back end that says something, for whatever user.

    :param id: of its API key
    """

    id: str


#: Who says something: a user, by its id, a guest or a back end.
Payer = int | Guest | Key
#: What the names of the limits begin with, by whose they are.
_NAMES = ("user", "conversation", "guest", "address", "key", "everyone")


class MessageLimits:
    """Says whether messages may be appended, whichever way they came.

    :param limits: by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, limits: Mapping[str, Limit], clock: IReactorTime, refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._buckets = {
            name: Buckets(limits[f"{name}-messages"], limits.get(f"{name}-bytes", NO_LIMIT)) for name in _NAMES
        }
        self._user, self._conversation, self._guest, self._address, self._key, self._everyone = self._buckets.values()

    def __len__(self) -> int:
        """How many buckets are kept."""
        return sum(map(len, self._buckets.values()))

    def _asked(self, payer: Any, conversation: str) -> list[tuple[Buckets, Hashable]]:
        """Return the buckets of all limits that hold, and whose they are."""
        kind = type(payer)
        if kind is int:
            asked = [(self._user, payer), (self._conversation, (payer, conversation))]
        elif kind is Guest:
            whose = (payer, conversation)
            asked = [(self._guest, payer), (self._conversation, whose), (self._address, payer.address)]
        else:
            asked = [(self._key, payer)]
        if conversation == conversations.EVERYONE:
            asked.append((self._everyone, payer))
        return asked

    def takes(self, payer: Payer, conversation: str, messages: int, size: int) -> bool:
        """Take messages of a user from all limits that hold for them; False if none were taken: ask for each then.

        :param size: bytes of their texts and data together
        """
        if type(payer) is not int or conversation == conversations.EVERYONE:
            return False
        # Nearly all messages end here, so that what a limit costs is two dictionaries and some arithmetic.
        now = self._clock.seconds()
        if not self._user.take(payer, now, messages, size):
            return False
        if self._conversation.take((payer, conversation), now, messages, size):
            return True
        self._user.give_back(payer, now, messages, size)
        return False

    def takes_run(self, user: int, conversation: str, messages: int, size: int) -> bool:
        """Take messages of a user as `takes` does, but only if each would be taken for itself.

        One message that is larger than all that a limit ever allows at once is taken when nothing was said before.
        """
        fit = self._user.fits(messages, size) and self._conversation.fits(messages, size)
        return fit and self.takes(user, conversation, messages, size)

    def take(self, payer: Payer, conversation: str, messages: int, size: int) -> RateLimited | None:
        """Take messages from all limits that hold for them, or say why none of them may be appended.

        :param size: bytes of their texts and data together
        """
        if self.takes(payer, conversation, messages, size):
            return None
        now = self._clock.seconds()
        asked = self._asked(payer, conversation)
        refused = take_all(asked, now, messages, size)
        if refused is None:
            return None
        refusing = asked[refused.at][0]
        name = next(name for name, buckets in self._buckets.items() if buckets is refusing)
        name += "-messages" if refused.count else "-bytes"
        self._refused(f"limit-{name}")
        seconds = whole_seconds(refused.wait)
        return RateLimited(f"too many {MESSAGE_LIMITS[name][0]}: try again in {seconds} s", seconds)

    def give_back(self, payer: Payer, conversation: str, messages: int, size: int) -> None:
        """Put back what messages took that were not appended."""
        now = self._clock.seconds()
        for buckets, key in self._asked(payer, conversation):
            buckets.give_back(key, now, messages, size)

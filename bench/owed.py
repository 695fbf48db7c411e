"""Which messages are on their way to somebody: how far a run is, counted as it goes.

The judgement (`bench.history`) looks at everything at the end and trusts nothing of this; it takes too long to be asked
again and again whether everyone has everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.history import Key


class Owed:
    """Counts to whom messages are still to be handed.

    :param members: for each conversation who is to be handed its messages
    """

    def __init__(self, members: Mapping[str, Sequence[int]]) -> None:
        self._members = members
        self._left: dict[Key, set[int]] = {}
        self._known: set[Key] = set()

    def __len__(self) -> int:
        """Return how many messages somebody lacks."""
        return len(self._left)

    def due(self, key: Key) -> None:
        """A message is stored."""
        if key not in self._known:
            self._known.add(key)
            left = set(self._members.get(key[1], ()))
            if left:
                self._left[key] = left

    def forgive(self, key: Key) -> None:
        """A message is owed to nobody any more, and will not be."""
        self._known.add(key)
        self._left.pop(key, None)

    def had(self, member: int, key: Key) -> None:
        """A member was handed a message, so it is stored."""
        self.due(key)
        left = self._left.get(key)
        if left is not None:
            left.discard(member)
            if not left:
                del self._left[key]

"""How much a check of a store has read."""

from __future__ import annotations

from attrs import define


@define
class Counted:
    """Numbers of what there is."""

    accounts: int = 0
    groups: int = 0
    conversations: int = 0
    messages: int = 0

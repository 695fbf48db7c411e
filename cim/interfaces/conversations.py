"""The message logs, and what goes along with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.errors import CIMError
    from cim.model import (
        Append,
        Appended,
        Entry,
        Followed,
        Following,
        HeadsPage,
        Listing,
        Mark,
        Page,
        Report,
        Reported,
    )


class IConversations(Interface):
    """The message logs. Every method fails with StoreUnavailable when the store is unavailable."""

    skipped: int = Attribute("How many stored messages and names were skipped because they could not be decoded.")
    appends_at_once: int = Attribute(
        "How many calls of `append` under way serve best; what comes meanwhile goes in one."
    )
    followed: bool = Attribute("Whether each append notes, in the same step, that its conversation has changed.")

    def append(items: Sequence[Append]) -> Deferred[list[Appended | CIMError]]:
        """Append messages in the given order; each has its own result, and one that fails does not affect the others.

        Each message is checked, in this order, for its sender's rights, for being a repetition, for a mute, for
        `after`, and for the text that it refers to or recalls. Only a message that passes all checks changes anything.

        - The same client_id of the same sender in the conversation within 24 hours and the last 10,000 messages is the
          same message: it gets the same answer as the first time, whatever else is wrong with it, but Conflict if its
          digest differs.
        - Muted if its sender is muted, unless it is a recall.
        - With `after`, it is stored only if that message of the same sender is remembered as stored (for as long as
          repetitions are), or was stored earlier in this call; otherwise OutOfOrder.
        - A message that a policy refused (`fate`) is remembered in its place, as if it were stored: what names it in
          `after` goes on. Refused is the answer to it and its repetitions, unless it was stored before. The answer to
          one that is only asked about is that to its repetition, or Undecided if it is none.
        - A text that it refers to or recalls must exist: NotFound if it is gone, if its sender may not read it, or if
          it was recalled; Forbidden if it is not a text. The body of a repeated EDIT is blank once its text is so.
        - Muted if the sender may say nothing there, unless it recalls or repeats something.
        - Forbidden if the sender is not a member of the group, unless it is 0, the cluster itself; NotFound if there is
          no such group; AccountMismatch if the receiver blocks the sender, unless `past_blocks` is set.

        The same step updates the time of last activity: in both participants' indexes for a `p:` conversation, in the
        group for a `g:` one. StoreUnavailable, as one result or for the whole call, means that the outcome is unknown.
        Retention (age, count and bytes, set on the store) is applied during the write. What is protected (in a `p:`
        conversation what its receiver has not read, in a group what was said within a day) is never removed for its
        count or bytes. NoRoom, for what is no repetition and no recall, if its sender holds its share
        of a conversation that is full of such, if that is beyond all bounds, if the sender's quota is used up, or if
        the store has no space (docs/limits.md, History).
        """

    def read(conversation: str, *, after: str = "", before: str = "", limit: int, floor: str = "") -> Deferred[Page]:
        """Return the messages after a position, or with `before` the last ones before that position, oldest first.

        Messages that are at or before `floor`, refer to such a one, expired or cannot be decoded are left out. Texts
        are as they stand: recalled ones are blank, edited ones have the content of their last edit and are marked. A
        page holds at most 512 KiB of bodies, unless its first message alone is larger; it may be short or empty with
        `more` set.
        With `before`, `upto` is the last message's position, or where to go on if the page is empty with `more` set.
        """

    def heads(user: int, device: str, *, after: str = "", since: int = 0, limit: int = 100) -> Deferred[HeadsPage]:
        """Return the user's conversations, groups included, in which something is new to the device or unread.

        They come newest first, in pages; with the first page come the invitations that wait. For the guests' device,
        only those in which others said something new to it.
        Activity has a resolution of one second, within which the order is undefined. A page may be empty with `more`
        set, because each call examines at most 100 conversations.

        :param after: `more` of the previous page; anything else fails with InvalidField
        :param since: only conversations that were active at this time (or up to a second before it) or later, ms since
            1970, and invitations that were made then
        """

    def mark(marks: Sequence[Mark]) -> Deferred[list[str]]:
        """Move marks forward, never beyond the end, and return where each is now; one that stays is not an error."""

    def reached(conversation: str, devices: Mapping[int, Collection[str]]) -> Deferred[Mapping[int, str]]:
        """Return how far users have got: the farthest that they have read, or that one of some devices has received.

        :param devices: whose devices, by user
        """

    def entry(conversation: str, position: str, *, reader: int = 0) -> Deferred[Entry | None]:
        """Return the message at a position, if it still exists.

        :param reader: the user who must be allowed to read it, if it is in a group, and must not be blocked by the
            other one, if there are only two; 0 for nobody
        """

    def standing(conversation: str, texts: Sequence[str]) -> Deferred[Collection[str]]:
        """Return those of some positions at which a text still stands: it has not been recalled, trimmed or expired."""

    def spoken(user: int, cursor: str = "") -> Deferred[tuple[Sequence[str], str]]:
        """Return some conversations in which a user has said something, and the cursor of the next ones; "" at the end.

        All private conversations of the user are among them. There is no index for this: a call looks at a bounded
        number of conversations, so that many calls may return none. Groups in which the user never said a text, but
        reacted, may be missed.

        :param cursor: of the previous call; anything else fails with InvalidField
        """

    def rewrite(conversation: str, bodies: Mapping[str, bytes]) -> Deferred[None]:
        """Replace the bodies of messages by shorter ones, by their positions; those that are gone are left out.

        All of it is one step, for which a store may stand still for some ms: this is for operators, not for users.
        """


class IMutes(Interface):
    """Which conversations users mute. Every method fails with StoreUnavailable when the store is unavailable.

    When a mute is over is up to the store's clock. They go with the account.
    """

    def mute(user: int, conversation: str, until: int) -> Deferred[None]:
        """Have a user mute a conversation, or mute it for another time; Conflict if the user mutes
        MAX_MUTED_CONVERSATIONS others.

        :param until: when that is over, ms since 1970
        """

    def unmute(user: int, conversation: str) -> Deferred[bool]:
        """Have a user no longer mute a conversation; False if the user did not."""

    def muted(user: int) -> Deferred[Mapping[str, int]]:
        """Return until when which conversations of a user are muted, ms since 1970."""

    def who_mutes(conversation: str, users: Collection[int]) -> Deferred[frozenset[int]]:
        """Return those of some users who mute a conversation."""


class IReports(Interface):
    """Which messages users reported. Every method fails with StoreUnavailable when the store is unavailable.

    How many are kept, and for how long, is bounded (cim.store.rules.reports): the oldest closed ones make room.
    """

    def make(report: Report) -> Deferred[Reported]:
        """Keep a report; its `id` and `at` are made. Another one of the same message by the same user is not kept.

        Fails with RateLimited if too many are open, of the user or of all.
        """

    def report(id: int) -> Deferred[Report | None]:
        """Return a report."""

    def listed(*, open: bool, after: str = "", limit: int) -> Deferred[Listing[Report]]:
        """Return those that are open, the oldest first, or those that are closed, the newest first.

        :param after: where another call ended; anything else fails with InvalidField
        """

    def made(user: int) -> Deferred[Sequence[Report]]:
        """Return those that a user made, the oldest first."""

    def close(id: int, by: str, note: str) -> Deferred[Report | None]:
        """Close a report, and return it; one that is closed stays as it is. None if there is none.

        :param by: the name of the API key
        :param note: for operators
        """

    def forget(user: int) -> Deferred[None]:
        """Remove those that a user made, as the deletion of an account does."""

    def forget_said(user: int) -> Deferred[None]:
        """Remove those of what a user said."""


class IFollowers(Interface):
    """How far those came who follow the logs of all conversations, such as webhooks, by their names.

    An append notes that its conversation has changed, once until that is handed out to all followers
    (`IConversations.followed`). So nothing that was appended is missed, whoever dies then. Every method fails with
    StoreUnavailable when the store is unavailable; times are on the store's clock.
    """

    def follow(name: str, owner: str, *, seconds: float, most: int) -> Deferred[tuple[list[Followed], bool]]:
        """Return conversations in which something waits for a follower, which nobody else works on for some seconds.

        The follower is there from its first call on: it gets what is appended from then on. It is forgotten when no
        call names it for two days. What has changed is handed out to all followers first, some of it.

        :param owner: who works on them, unguessed by others
        :param most: how many at most
        :returns: with whether more has changed, which is not handed out yet
        """

    def settle(
        name: str, owner: str, followed: Followed, *, wait: float = 0.0, stop: bool = False, end: bool = False
    ) -> Deferred[bool]:
        """Note how far `owner` came with a conversation, on which it works no more; False if it does not any more.

        With failures, it is given again after `wait` seconds; without, at once if there is more, else when there is.

        :param stop: it is not given again until it is resumed; it must have failures
        :param end: it came to the end, wherever that is
        """

    def stop(name: str) -> Deferred[None]:
        """Give nothing to a follower until it is resumed as a whole."""

    def resume(name: str, conversation: str = "", *, position: str | None = None) -> Deferred[int]:
        """Go on in a conversation in which a follower fails or has stopped, or in all where it has; return how many.

        :param conversation: empty for all, and for the follower itself if it has stopped
        :param position: up to where it has all from now on; empty for the end, None for where it is
        """

    def place(name: str, conversation: str) -> Deferred[Followed | None]:
        """Return where a follower is in a conversation; None if nothing waits for it there."""

    def following(name: str) -> Deferred[Following]:
        """Return how a follower fares."""

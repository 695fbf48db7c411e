"""The interfaces between the packages (docs/architecture.md). Each has a real implementation and one in memory.

Every Deferred fires in the reactor thread. Times are in seconds on the injected clock unless a name says ms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from cim.model import GUEST, LoginPolicy

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.errors import CIMError
    from cim.external_ids import ExternalId, Linked
    from cim.invitation_codes import InvitationCode
    from cim.model import (
        Account,
        Append,
        Appended,
        Ban,
        Candidate,
        Credential,
        Entry,
        Followed,
        Following,
        Group,
        GroupChange,
        Happened,
        HeadsPage,
        Invitation,
        LinkPeer,
        ListedAccount,
        Listing,
        Mark,
        Member,
        Memberships,
        Notice,
        Page,
        Place,
        Pushed,
        Registration,
        Report,
        Reported,
        Reserved,
        Restrictions,
        Role,
        Sanction,
        SessionRecord,
    )
    from cim.policies import About, Question, Verdict
    from cim.reset_codes import ResetCode
    from cim.user_tokens import UserToken
    from cim.wire.link_pb2 import Item

#: The folders of the registry; `/cim` is upstream's own.
SERVERS = "cim"
ROUTES = "cim-route"


class IAccounts(Interface):
    """The accounts. Every method fails with StoreUnavailable when the store is unavailable."""

    def register(name: str) -> Deferred[Account]:
        """Return the account with that name, creating it if there is none; concurrent calls create only one.

        Fails with Conflict if there is none and the name looks like that of another account, that is, has the same
        comparison form (cim.names). The form is stored in the same step, and never computed again.
        """

    def account(user: int) -> Deferred[Account | None]:
        """Return the account with that id, if there is one."""

    def named(name: str) -> Deferred[Account | None]:
        """Return the account with that name, if there is one."""

    def known_as(name: str) -> Deferred[Account | None]:
        """Return the account with that name, or else the one that holds its comparison form, if there is one."""

    def listed(*, prefix: str = "", after: str = "", limit: int) -> Deferred[Listing[ListedAccount]]:
        """Return some accounts whose names begin with `prefix`; with `after`, where another call ended, those behind.

        One call does a bounded amount of work: there may be somewhat more than `limit` accounts, or few or none though
        there are more. An account that is there all the time comes at least once. Fails with InvalidField if `after` is
        not what a call returned.
        """

    def accounts(users: Collection[int]) -> Deferred[Mapping[int, Account]]:
        """Return those of some accounts that are there, by id."""

    def people(form: str, *, whole: bool = False, after: str = "", limit: int) -> Deferred[Listing[Account]]:
        """Return accounts with a password whose names have a comparison form that begins with `form`.

        They are sorted by the code points of their forms, then by id. An account that an earlier release makes beside
        this one is among them once its credential was read. A page may have fewer than `limit` accounts, or none, even
        if more follow.

        :param whole: those with this very form only
        :param after: where another call ended
        """

    def guests() -> Deferred[bool]:
        """Return whether there may be accounts without a password: `register` made one, or an earlier release may have.

        False for a store without accounts, and for one in which only accounts with a password were made.
        """


class ISessions(Interface):
    """Where users are logged in, for all routes to see. Every method fails with StoreUnavailable if the store is away.

    A user has at most one record per device: a reservation or a live session, identified by its owner token. A dead
    server's records stay: a record counts only while its place is leased (docs/architecture.md, Presence and leases).
    """

    def reserve(
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Deferred[Reserved]:
        """Make a reservation, or change nothing if live records are in the way.

        The reservation replaces any other of the same device, and the device's live record too, unless the device is
        GUEST. What happens to the records of other devices (for GUEST: of all devices) depends on the policy. REJECT
        replaces reservations, and live records are in the way; REPLACE replaces both; MANY leaves both. But when there
        are MAX_DEVICES others, all their live records are in the way, so that the caller can find the dead ones among
        them; if none of them is live, it fails with RateLimited.

        :param expected: owner tokens of live records that are known to be dead, which are removed silently
        :param seconds: how long the reservation lasts
        :param live: make a live record at once, for upstream's servers, which never claim
        """

    def claim(user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """Make the record live, or create a live one if there is none; False if another owner holds the device.

        Also False if there is no record and another device's was made under REJECT or REPLACE, because that login is
        the newer one, and for an owner that was expelled. Claiming again with the same owner changes nothing and
        returns True.
        """

    def release(user: int, owner: str) -> Deferred[bool]:
        """Remove the record that `owner` holds; False if there is none. Counts as an end of that user (see `end`)."""

    def end(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Remove and return the user's records, whoever holds them.

        Fails with RepeatedEnd, and removes nothing, if the newest record is under 1 s old and another end of that
        user was handled in the last 3 s, because upstream's clients send /offLine two or three times.
        """

    def expel(
        user: int, *, device: str | None = None, kept: str = "", known: Collection[str] = ()
    ) -> Deferred[Sequence[SessionRecord]]:
        """Remove and return records of the user, whose owners cannot claim one again for a day.

        So a session at a server that cannot be told ends when it is reported again, and a ticket opens nothing. Counts
        as an end of that user if it removed a record (see `end`).

        :param device: whose record; None for those of all devices
        :param kept: an owner whose record stays
        :param known: owners of sessions that may have no record, and cannot claim one either
        """

    def sessions(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Return the user's records, newest last."""

    def hold_lease(place: Place, route: str, seconds: float) -> Deferred[None]:
        """Record that `route` is linked to `place`, for that many seconds from now."""

    def drop_lease(place: Place, route: str) -> Deferred[None]:
        """Record that `route` is no longer linked to `place`."""

    def leased(place: Place) -> Deferred[bool]:
        """Return whether any route is linked to `place`."""

    def users_at(server: str) -> Deferred[Sequence[int]]:
        """Return the users whose live records were made with `live=True` at that server, which is one of upstream's."""


class IStoreClock(Interface):
    """The time of a store, in ms since 1970 (docs/architecture.md, Clocks)."""

    def now() -> int:
        """Return the steady time, by which ages are counted and things expire; 0 before the store has answered.

        It does not jump when the store's clock does, and never goes back.
        """

    def shown() -> int:
        """Return what the store's clock says, which people see; until it has answered, what this machine's says."""

    def skew() -> float:
        """Return how many seconds this machine's clock is ahead of the store's; 0 if that is unknown."""


class IStore(Interface):
    """Everything that is stored; a Service."""

    clock: IStoreClock = Attribute("Its time.")

    accounts: IAccounts = Attribute("The accounts.")
    sessions: ISessions = Attribute("The sessions.")
    conversations: IConversations = Attribute("The conversations.")
    followers: IFollowers = Attribute("How far those came who follow the conversations.")
    groups: IGroups = Attribute("The groups.")
    invitations: IInvitations = Attribute("The invitations to groups.")
    blocks: IBlocks = Attribute("Whom users block.")
    muted_users: IMutedUsers = Attribute("Whom operators mute.")
    reports: IReports = Attribute("Which messages users reported.")
    mutes: IMutes = Attribute("Which conversations users mute.")
    pushes: IPushes = Attribute("Where users are notified of messages.")
    credentials: ICredentials = Attribute("The credentials.")
    invitation_codes: IInvitationCodes = Attribute("The invitation codes, with which accounts are made.")
    reset_codes: IResetCodes = Attribute("The reset codes, with which a forgotten password is replaced.")
    page_logins: IPageLogins = Attribute("Who is logged in by a cookie.")
    external_ids: IExternalIds = Attribute("What others call accounts.")
    user_tokens: IUserTokens = Attribute("The tokens that API keys made for users.")

    def health() -> str:
        """Return "" when the store answers, else a sentence that says what is wrong."""

    def facts() -> Mapping[str, Any]:
        """Return facts for operators, such as how safe an acknowledged write is."""

    def used() -> float:
        """Return the part of its space that is used, 0 to 1; 0 if that is unknown or nothing bounds it."""

    def epoch() -> int:
        """Return the number of the epoch; 0 before the store has answered for the first time.

        A new epoch begins whenever what is stored may have gone back to an earlier state, or been replaced. Its number
        is higher than that of any before, and than the first number of every position given before.
        """

    def saw_epoch(number: int) -> None:
        """Note that a number was an epoch's: if that of the store is lower, a new epoch begins."""

    def on_epoch(listener: Callable[[], None]) -> None:
        """Call `listener` after each change of the epoch but the first; then what was read before may be wrong."""

    def on_reconnect(listener: Callable[[], None]) -> None:
        """Call `listener` each time the store is available again after it was not, or has begun a new epoch."""

    def observe(latency: Callable[[str, float], None]) -> None:
        """Call `latency(operation, seconds)` after every call."""


class IRegistry(Interface):
    """The list of living servers and routes; a Service.

    A folder is SERVERS or ROUTES; the names in it are addresses in text form.
    """

    def announce(folder: str, name: str, value: bytes) -> IAnnouncement:
        """List `name` until it is withdrawn, and again after every loss of the registry's session."""

    def watch(folder: str, listener: Callable[[Mapping[str, bytes]], None]) -> Callable[[], None]:
        """Call `listener(name -> value)` with the whole list after each change, and soon with the current one.

        :returns: a function that stops the calls
        """

    def health() -> str:
        """Return "" when the registry answers, else a sentence that says what is wrong."""


class IAnnouncement(Interface):
    """A name that is kept in the registry."""

    def change(value: bytes) -> None:
        """Keep the name with other data; do nothing once it is withdrawn."""

    def withdraw() -> Deferred[None]:
        """Remove the name; fires when it is gone or the registry's timeout is over. Never fails."""

    def listed() -> bool:
        """Return whether the registry has confirmed the name and not lost it since."""


class ILink(Interface):
    """One end of a live link between a server and a route (docs/architecture.md, Links)."""

    peer: LinkPeer = Attribute("Who is at the other end.")
    version: int = Attribute("The version of the link's items: the highest that both ends speak.")
    queued: int = Attribute("Bytes sent that wait for the peer's credit; 0 for a link in memory.")

    def send(item: Item) -> bool:
        """Send an item after all earlier ones; the items of one reactor turn go in one batch.

        :returns: False if the item was dropped because the queue to a slow peer is full
        """

    def send_packed(item: bytes, droppable: bool) -> bool:
        """Send an already serialized item (see cim.wire.packed).

        :param droppable: whether it is a Deliver, which a full queue drops
        """

    def lose(reason: str) -> None:
        """End the link, still trying to deliver what was sent. `link_down` follows in a later turn."""


class ILinkUser(Interface):
    """The server or route that uses links."""

    def link_up(link: ILink) -> None:
        """Take a new link to an authenticated peer."""

    def link_received(link: ILink, item: Item) -> None:
        """Take the next item, in the order of sending. Must not raise."""

    def link_down(link: ILink, reason: str) -> None:
        """Note that a link is gone; nothing more comes from it."""


class IServerSelection(Interface):
    """Picks the server for a login. More ways can be added as Twisted plugins (docs/operations.md)."""

    name: str = Attribute("What --select calls it.")

    def select(candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return one of the candidates, of which there is at least one, sorted by server name."""


class IMessageListener(Interface):
    """A client application's handler of messages. If it raises, other listeners are not affected."""

    def received(client: Any, message: Any) -> None:
        """Take a `cim.client.Message` that arrived at a `cim.client.Client`."""


class IConversations(Interface):
    """The message logs. Every method fails with StoreUnavailable when the store is unavailable."""

    skipped: int = Attribute("How many stored messages and names were skipped because they could not be decoded.")
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


class IGroups(Interface):
    """Groups and their members. Every method fails with StoreUnavailable when the store is unavailable.

    Methods that take an `actor` check the actor's rights in the same step and fail with Forbidden or NotFound.
    """

    def create(owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """Create a group whose only member is its owner.

        :param open: whether anyone may join
        :param history: whether members may read what was said before they joined
        """

    def group(id: int) -> Deferred[Group | None]:
        """Return the group with that id, if there is one."""

    def listed(*, after: str = "", limit: int) -> Deferred[Listing[Group]]:
        """Return some groups, as `IAccounts.listed` does accounts."""

    def edit(
        id: int, actor: int, *, name: str | None = None, open: bool | None = None, history: bool | None = None
    ) -> Deferred[Group]:
        """Change what a group is called, and who may join and read; None leaves it as it is.

        The actor must be an admin or an owner, or 0 for an operator. What a member could not read before it still
        cannot; and who joins once `history` is allowed reads what is said from then on, not what was said before.
        """

    def mute(id: int, actor: int, user: int, until: int | None) -> Deferred[None]:
        """Have `append` refuse what a member says (Muted), but for recalls; or end that.

        The actor must be an admin or an owner of a higher role than the member, or 0 for an operator; owners may end
        it for everybody. It outlasts the membership. Conflict if MAX_MUTED are muted.

        :param user: 0 for all members who are neither admins nor owners
        :param until: when it ends, ms since 1970 on the store's clock; 0 for never, None for now
        """

    def mutes(id: int) -> Deferred[Mapping[int, int]]:
        """Return which users are muted in a group, and until when, as `mute` has it."""

    def ban(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """End the membership of a user, if it is a member, and let nobody bring it back.

        Rights are those of `remove`. An invitation no longer waits then. Conflict if MAX_BANNED are banned.
        """

    def unban(id: int, actor: int, user: int) -> Deferred[bool]:
        """Let a user come back; False if it was not banned. The actor must be an admin or an owner, or 0.

        Forbidden if an operator banned it, and the actor is none.
        """

    def bans(id: int) -> Deferred[Sequence[Ban]]:
        """Return who is banned from a group, the last one first."""

    def restrictions(user: int) -> Deferred[Restrictions]:
        """Return where a user is muted or banned."""

    def dissolve(id: int, actor: int) -> Deferred[None]:
        """Let nobody come in or say anything any more; the actor must be an owner, or 0 for an operator.

        The group is gone once its members are removed, of whom nothing is told then.
        """

    def member(id: int, user: int) -> Deferred[Member | None]:
        """Return the user's membership in a group, or None if the user is not a member."""

    def members(id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """Return up to `limit` members with ids above `after`, sorted by id."""

    def memberships(user: int, version: int | None = None) -> Deferred[Memberships]:
        """Return the user's memberships by group, and the version of the change log that they reflect.

        :param version: a version that the log had before, if the caller knows one: it is returned then, without a read
        """

    def add(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """Make `user` a member; return None if they are one already. An invitation no longer waits then.

        Users may add themselves to an open group; otherwise the actor must be an admin or an owner, or 0 for an
        operator. Fails with Conflict if the group has MAX_MEMBERS members, the user is in MAX_GROUPS groups, or it is
        banned, whoever the actor is; Forbidden if it is itself.
        """

    def accept(id: int, user: int) -> Deferred[GroupChange | None]:
        """Make `user` a member by the invitation that waits; return None if they are one already.

        Forbidden if there is no invitation, it has expired, or who invites is no admin or owner any more. Otherwise it
        fails like `add`.
        """

    def remove(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """End the actor's own membership, or that of a member with a lower role; return None if there was none.

        The actor 0, an operator, may end any. A group without members is gone, with its messages. Fails with Conflict
        if the last owner would leave other members behind.
        """

    def set_role(id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """Give a member a role; the actor must be an owner, or 0 for an operator. A group may have several owners."""

    def happened(id: int, limit: int = 1000) -> Deferred[list[Happened]]:
        """Return what happened to a group and its members and is not in its log yet, in order.

        It is kept in the same step as the change itself, until `told`, and numbered in the group.
        """

    def told(id: int, number: int) -> Deferred[None]:
        """Note that what happened up to a number is in the group's log."""

    def changes(after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """Return the changes after a version, the log's current version, and whether some changes were trimmed."""


class IInvitations(Interface):
    """Invitations to groups. Every method fails with StoreUnavailable when the store is unavailable.

    They wait for INVITED_DAYS and are gone when the user becomes a member, by whatever way.
    """

    def invite(group: int, by: int, user: int) -> Deferred[Invitation | None]:
        """Invite a user; return the invitation that waits, which may be an earlier valid one, or None for a member.

        `by` must be an admin or an owner (Forbidden), whom the user does not block (AccountMismatch). Conflict if the
        user is banned, declined within DECLINED_DAYS, or MAX_INVITED_BY by the same one wait for it. Of more than
        MAX_INVITED that wait, the oldest of whoever has the most goes; Conflict if that is `by`.
        """

    def end(group: int, user: int, *, declined: bool) -> Deferred[bool]:
        """End an invitation that waits; False if none does.

        :param declined: the user declined it; otherwise it was withdrawn
        """

    def waiting(user: int) -> Deferred[Sequence[Invitation]]:
        """Return the invitations that wait for a user, the oldest first."""


class IBlocks(Interface):
    """Whom users block. Every method fails with StoreUnavailable when the store is unavailable."""

    def block(user: int, other: int) -> Deferred[None]:
        """Have a user block another one; fails with Conflict if the user blocks MAX_BLOCKED others."""

    def unblock(user: int, other: int) -> Deferred[bool]:
        """Have a user no longer block another one; False if the user did not."""

    def blocked(user: int) -> Deferred[Sequence[int]]:
        """Return whom a user blocks, sorted."""

    def blockers(other: int) -> Deferred[frozenset[int]]:
        """Return all users who block another one."""


class ICredentials(Interface):
    """Passwords and revoked tokens. Every method fails with StoreUnavailable when the store is unavailable."""

    def credential(user: int) -> Deferred[Credential | None]:
        """Return an account's credential; None for a guest account."""

    def create(name: str, password: str, invitation: str = "", external: ExternalId | None = None) -> Deferred[Account]:
        """Create an account with a credential; Conflict if the name is taken, or looks like one that is.

        :param password: the argon2 hash; empty for an account that no password opens
        :param invitation: the id of an invitation, of which the same step uses up one use; InvitationNeeded if that is
            not possible. A refusal uses up nothing.
        :param external: what it is linked to in the same step; Conflict if that leads to another account
        """

    def set_password(user: int, password: str, now: int, seen: int | None = None) -> Deferred[int | None]:
        """Replace the password's hash and void all tokens issued before `now`, and all issued so far.

        A reset code is void then.

        :param password: the argon2 hash
        :param now: ms since 1970
        :param seen: change nothing unless tokens are still valid from then, so that whoever showed the old password
            does not undo what was changed or revoked since
        :returns: from when tokens are valid now, later than ever before; None if nothing was changed: there is no such
            account, or not as it was seen
        """

    def rehash(user: int, before: str, password: str) -> Deferred[None]:
        """Replace the hash of the same password, if it is still `before`; tokens stay valid."""

    def revoke(user: int, now: int) -> Deferred[None]:
        """Void all tokens issued before `now` (ms since 1970)."""

    def ban(user: int, now: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction | None]:
        """Keep an account with a password from logging in, in the place of an earlier ban; None if there is none.

        Voids all tokens issued before `now` (ms since 1970) and all issued so far, and a reset code. A new password
        does not end it. It ends by the store's steady time.

        :param seconds: for how long; 0 for good
        :param reason: for the user
        """

    def unban(user: int) -> Deferred[bool]:
        """Let an account log in again; False if it is not banned."""

    def delete(user: int) -> Deferred[bool]:
        """Remove an account with all that is its own; False if there is no such account.

        That is its name, credential, memberships, blocks and indexes; its messages stay in their conversations.
        """


class IInvitationCodes(Interface):
    """Codes that invite people to make accounts. Every method fails with StoreUnavailable when the store is away.

    When they expire is up to the store's clock. Those that have expired are as good as gone.
    """

    def make(id: str, *, uses: int, seconds: float, note: str = "") -> Deferred[InvitationCode]:
        """Keep a new invitation; Conflict if there are MAX_CODES already, or one with that id.

        :param uses: to how many accounts it may lead, at most MAX_USES
        :param seconds: how long it is good for
        """

    def find(id: str) -> Deferred[InvitationCode | None]:
        """Return an invitation, if it exists."""

    def listed() -> Deferred[Sequence[InvitationCode]]:
        """Return all invitations, those that were made last at the end."""

    def revoke(id: str) -> Deferred[bool]:
        """Remove an invitation; False if there is none. Accounts that were made with it stay."""


class IPageLogins(Interface):
    """Which devices are logged in by a cookie, one login for each. Every method fails with StoreUnavailable likewise.

    When they end is up to the store's clock. They go with the account.
    """

    def begin(
        user: int, device: str, login: str, seconds: float, instead: tuple[str, str] | None = None
    ) -> Deferred[bool]:
        """Begin a login of a device, in the place of a former one of it; return whether it was begun.

        A user has at most `cim.store.rules.page_logins.MOST`; for one more, the one that ends first goes.

        :param login: which login it is; not empty
        :param seconds: how long it lasts
        :param instead: a device and its login, which ends now; if that is not there, nothing is begun
        :returns: False also if there is no such account
        """

    def login(user: int, device: str) -> Deferred[str]:
        """Return which login a device has; empty for none."""

    def devices(user: int) -> Deferred[dict[str, int]]:
        """Return the devices that have one, and when it ends, ms since 1970."""

    def end(user: int, device: str) -> Deferred[bool]:
        """End the login of a device; return whether it had one."""


class IResetCodes(Interface):
    """Codes with which users set a new password, one of each. Every method fails with StoreUnavailable likewise.

    When they expire is up to the store's clock. They go with the account.
    """

    def make(code: ResetCode, seconds: float) -> Deferred[int | None]:
        """Keep the code of a user, in the place of a former one; return when it expires, ms since 1970.

        :param seconds: how long it is good for
        :returns: None if there is no such account
        """

    def valid(code: ResetCode) -> Deferred[bool]:
        """Return whether a code could be used now."""

    def use(code: ResetCode, password: str, now: int) -> Deferred[int | None]:
        """Set the password by a code, once, and void all tokens; return what `ICredentials.set_password` does.

        :param password: the argon2 hash
        :param now: ms since 1970
        :returns: None if the code is not valid, and nothing was changed
        """


class IMessagePolicy(Interface):
    """Decides on what people say and call themselves before it is stored (docs/hooks.md).

    Twisted plugins that provide it are chosen by `--message-policy NAME` or `NAME:ARGUMENT`.
    """

    name: str = Attribute("What --message-policy calls it.")
    kinds: Collection[About] = Attribute("What it is asked about.")
    at_once: bool = Attribute(
        "Whether it answers at once, without a Deferred. Such a policy may be asked again about a message that is sent"
        " again, and must not take long; the first answer counts."
    )

    def configured(argument: str) -> IMessagePolicy:
        """Return a policy that does what stands behind `NAME:`; empty for nothing. Called once, at the start.

        Raises ValueError, with the end of a sentence that begins with the option's name, if that cannot be.
        """

    def check(question: Question) -> Verdict | Deferred[Verdict]:
        """Decide on something. Whatever it raises, and what takes longer than allowed, is a failure."""


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


class IExternalIds(Interface):
    """What others call accounts. Every method fails with StoreUnavailable likewise.

    An id leads to one account, and an account has one id of each issuer. They go with the account.
    """

    def find(external: ExternalId) -> Deferred[Linked]:
        """Return where an id leads.

        When it ceased to lead to an account is remembered for GONE_SECONDS, but for ids of OURS.
        """

    def link(user: int, external: ExternalId) -> Deferred[None]:
        """Have an id lead to an account with a credential; nothing changes if it does.

        Fails with NotFound if there is no such account, and with Conflict if it has another id of the issuer, or the id
        leads to another account.
        """

    def unlink(user: int, issuer: str) -> Deferred[bool]:
        """Have the id of an issuer no longer lead to an account; False if it has none."""

    def linked(user: int) -> Deferred[Sequence[ExternalId]]:
        """Return the ids of an account, sorted by their issuers."""


class IUserTokens(Interface):
    """Tokens that API keys made for users. Every method fails with StoreUnavailable likewise.

    When they end is up to the store's clock. They go with the account.
    """

    def keep(user: int, token: UserToken) -> Deferred[bool]:
        """Keep a token; False if there is no such account, or it has no credential.

        Fails with Conflict if the user has cim.user_tokens.MOST.
        """

    def find(user: int, id: str) -> Deferred[UserToken | None]:
        """Return a token, if it is there."""

    def listed(user: int) -> Deferred[Sequence[UserToken]]:
        """Return the tokens of a user, those that end last at the end."""

    def revoke(user: int, id: str) -> Deferred[bool]:
        """Remove a token; False if it is not there."""


class IMutedUsers(Interface):
    """Whom operators mute. Every method fails with StoreUnavailable when the store is unavailable.

    What a muted user says is refused by `IConversations.append`. A mute goes with the account.
    """

    def mute(user: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction]:
        """Mute a user, in the place of an earlier mute. It ends by the store's steady time.

        :param seconds: for how long; 0 for good
        :param reason: for the user
        """

    def unmute(user: int) -> Deferred[bool]:
        """End the mute of a user; False if there is none."""

    def mutes(users: Collection[int]) -> Deferred[Mapping[int, Sanction]]:
        """Return the mutes of those of some users who are muted."""


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


class IPushes(Interface):
    """Where users are notified of messages. Every method fails with StoreUnavailable when the store is unavailable.

    A registration lasts for `cim.store.rules.pushes.LASTS_MS` from when it was made or renewed, but no longer than the
    token that it was made with. They go with the account.
    """

    def register(registration: Registration) -> Deferred[int | None]:
        """Keep or renew a registration, and return when that was, ms since 1970; None if there is no such account.

        Its address is no longer any other user's. A user has at most `MOST`; for one more the oldest goes.
        """

    def unregister(user: int, id: str) -> Deferred[bool]:
        """Remove a registration of a user; False if there is none."""

    def unregister_device(user: int, device: str | None, kept: str = "") -> Deferred[int]:
        """Remove the registrations of a user's device, or with None of all of them; return how many there were.

        :param kept: a device whose registrations stay
        """

    def unregister_token(user: int, token: str) -> Deferred[int]:
        """Remove the registrations of a user that go back to a token of a back end; return how many there were."""

    def registrations(users: Collection[int]) -> Deferred[Mapping[int, Sequence[Registration]]]:
        """Return the registrations of those of some users who have any, the one that was renewed last at the end."""

    def claim(user: int, conversation: str, pause: int) -> Deferred[int]:
        """Note that a user is notified of a conversation now, unless it was within a pause and has not read it since.

        Only one of several routes that ask at the same time gets it.

        :param pause: in ms
        :returns: 0 if it was noted; else after how many ms it can be
        """

    def close(user: int, conversation: str) -> Deferred[bool]:
        """Note that a user has read a conversation; return whether it was notified of it before."""


class IPusher(Interface):
    """Notifies devices of one kind (docs/push.md). More can be added as Twisted plugins."""

    kind: str = Attribute("What registrations call it.")

    def check(address: str, keys: Mapping[str, str]) -> str:
        """Return what is to be kept of a registration's keys, as text; InvalidField if it cannot be pushed to."""

    def push(registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """Push a notice; fires with what became of it. It may fail with a CIMError: then it may be tried again."""


class IPushSelection(Interface):
    """Picks who is notified in groups that are too large to notify all; a Twisted plugin."""

    name: str = Attribute("What --push-select calls it.")

    def select(group: int, sender: int, text: str) -> Collection[int] | Deferred[Collection[int]]:
        """Return the users to notify of a message; who is no member is left out, and so are more than some hundreds."""

"""The calls of a client: each call of the routes and of the local history, documented in one place.

A call is a coroutine here; Twisted programs get a Deferred (`call`), asyncio programs a coroutine (`AwaitedCalls`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from attrs import evolve

from cim.client.awaiting import awaited
from cim.client.calling import call
from cim.client.delivered import author
from cim.client.engine import Engine
from cim.client.iclient import IHistory
from cim.client.moderation_calls import ModerationCalls
from cim.client.moment import Moment
from cim.client.names import Names
from cim.client.v1 import V1Calls, group_of, nothing, user_of
from cim.client.values import Conversation, Group, Invitation, Kind, Member, Message, User
from cim.errors import InvalidField, Unavailable
from cim.model import FOREVER, check_id
from cim.wire import conversations, positions

#: A position behind every message: the messages before it are the last ones.
END = f"{(1 << 63) - 1}-{(1 << 63) - 1}"
#: Messages per page.
MAX_PAGE = 500
#: What texts reflect already.
REVISIONS = frozenset({Kind.EDIT, Kind.RECALL})


class ClientCalls(ModerationCalls):
    """The calls of a client. At upstream's servers all of them except `online` and `search` fail with NotSupported."""

    _names: Names
    _history: IHistory
    _opened: Moment
    _engine: Engine | None

    @property
    def me(self) -> User | None:
        """See Client."""
        raise NotImplementedError

    async def _any_engine(self) -> Engine:
        """Wait for the first contact and return the engine."""
        raise NotImplementedError

    async def _v1(self) -> tuple[V1Calls, User]:
        """Wait for the first contact; return the caller of `/v1`, and the user whom it calls for."""
        v1 = (await self._any_engine()).v1()
        assert self.me is not None
        return v1, self.me

    # Conversations

    @call
    async def conversations(self) -> Sequence[Conversation]:
        """List the conversations, the latest first."""
        v1, me = await self._v1()
        lines = await v1.conversations()
        titles = await self._names.titles((line.conversation for line in lines), me.id)
        return [
            Conversation(line.conversation, title, line.unread, line.latest, line.read, line.muted_until)
            for line, title in zip(lines, titles, strict=True)
        ]

    @call
    async def history(
        self, conversation: str, before: str = "", limit: int = 50, *, after: str = "", revisions: bool = True
    ) -> Sequence[Message]:
        """Return messages before a position, or the last ones, or the first ones after a position, oldest first.

        Texts are as they stand: those that were recalled are empty, those that were edited are marked. Messages that
        the routes no longer have come from the local history; while no route is reachable, all do.

        :param revisions: whether edits and recalls are among them
        """
        conversations.parse(conversation)
        if positions.parse(before) != positions.ZERO and after:
            raise InvalidField("after", "cannot be combined with `before`")
        positions.parse(after, "after")
        found: list[Message] = []
        try:
            found = await self._page(conversation, before, after, limit, revisions)
        except Unavailable:
            if not self._opened.came:
                raise
            if after:
                return (await self._local(conversation, "", after, None, revisions))[:limit]
        if len(found) < limit and not after:
            first = found[0].position if found else before
            found[:0] = await self._local(conversation, first, "", limit - len(found), revisions)
        return found

    async def _local(
        self, conversation: str, before: str, after: str, limit: int | None, revisions: bool
    ) -> list[Message]:
        """Return messages of the local history before one position and after another.

        :param limit: how many; None for all
        """
        local = await self._written()
        start = positions.parse(after)
        found: list[Message] = []
        while limit is None or len(found) < limit:
            page = await local.page(conversation, before, MAX_PAGE if limit is None else limit - len(found))
            wanted = [one for one in page if not after or positions.parse(one.position) > start]
            found[:0] = [one for one in wanted if revisions or one.kind not in REVISIONS]
            if not wanted or len(wanted) < len(page) or not page[0].position:
                break
            before = page[0].position
        return found

    async def _written(self) -> IHistory:
        """Return the local history once all received messages are in it."""
        if not self._opened.came:
            raise Unavailable("the local history is not open yet")
        if self._engine is not None:
            await self._engine.flush()
        return self._history

    async def _page(self, conversation: str, before: str, after: str, limit: int, revisions: bool) -> list[Message]:
        """Return the routes' first messages after a position, or the last ones before one or of all, oldest first."""
        v1, me = await self._v1()
        found: list[Message] = []
        path = f"conversations/{quote(conversation)}/messages"
        more: str | None = after or before or END
        while more is not None and len(found) < limit:
            query = {"after" if after else "before": more, "limit": min(limit - len(found), MAX_PAGE)}
            if not revisions:
                query["revisions"] = "false"
            messages, more = await v1.ask(
                "GET",
                path,
                lambda said: ([_message(conversation, one, me.id) for one in said["messages"]], said["more"]),
                query=query,
            )
            # Routes of earlier releases do not know `revisions`.
            wanted = [one for one in messages if revisions or one.kind not in REVISIONS]
            if after:
                found += wanted
            else:
                found[:0] = wanted
        return found

    @call
    async def search(self, text: str, limit: int = 50) -> Sequence[Message]:
        """Return the messages of the local history that contain a text, the latest first."""
        return await (await self._written()).search(text, limit)

    # Users

    @call
    async def user(self, who: str | int) -> User:
        """Look a user up by name or id."""
        v1, _ = await self._v1()
        if isinstance(who, int):
            found = await v1.ask("GET", f"users/{who}", user_of)
        else:
            found = await v1.ask("GET", "users", user_of, query={"name": who})
        self._names.learn(found)
        return found

    @call
    async def find(self, prefix: str) -> Sequence[User]:
        """Return up to ten users whose names begin so; with fewer than three characters, who is called just so."""
        v1, _ = await self._v1()
        query = {"prefix": prefix}
        found = await v1.ask("GET", "users", lambda said: [user_of(one) for one in said["users"]], query=query)
        for user in found:
            self._names.learn(user)
        return found

    @call
    async def online(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[Sequence[User], int]:
        """Return users who are online, sorted by name, and their total number."""
        return await (await self._any_engine()).online(prefix, after, limit)

    @call
    async def change_password(self, new: str, current: str = "") -> None:
        """Give the account another password; its other sessions and all tokens end.

        :param current: the present one; without it, the one that the client logged in with
        """
        v1, _ = await self._v1()
        await v1.change_password(current or v1.password, new)
        await self._history.set_fact("token", v1.token)

    # Blocks

    @call
    async def block(self, user: int) -> None:
        """Block a user, who then cannot write to this one or see whether it is online."""
        v1, _ = await self._v1()
        await v1.ask("PUT", f"blocks/{check_id(user, 'user')}", nothing)

    @call
    async def unblock(self, user: int) -> None:
        """Unblock a user."""
        v1, _ = await self._v1()
        await v1.ask("DELETE", f"blocks/{check_id(user, 'user')}", nothing)

    @call
    async def blocks(self) -> Sequence[User]:
        """List whom the user blocks."""
        v1, _ = await self._v1()
        return await self._names.users(await v1.ask("GET", "blocks", lambda said: said["users"]))

    # Reports

    @call
    async def report(self, conversation: str, position: str, reason: str = "") -> bool:
        """Report a message of somebody else to the operators; return False if the user had reported it before."""
        v1, _ = await self._v1()
        body = {"conversation": conversation, "position": position, "reason": reason}
        repeated: bool = await v1.ask("POST", "reports", lambda said: bool(said["repeated"]), body)
        return not repeated

    # Mutes

    @call
    async def mute_conversation(self, conversation: str, until: int = FOREVER) -> None:
        """Mute a conversation, on all devices: its messages come and count, but are no reason to call the user.

        :param until: until when, ms since 1970
        """
        conversations.parse(conversation)
        v1, _ = await self._v1()
        await v1.ask("PUT", f"conversations/{quote(conversation)}/mute", nothing, {"until": until})

    @call
    async def unmute_conversation(self, conversation: str) -> None:
        """Unmute a conversation."""
        conversations.parse(conversation)
        v1, _ = await self._v1()
        await v1.ask("DELETE", f"conversations/{quote(conversation)}/mute", nothing)

    @call
    async def muted_conversations(self) -> Mapping[str, int]:
        """Return until when which conversations are muted, ms since 1970."""
        v1, _ = await self._v1()
        return await v1.ask(
            "GET", "mutes", lambda said: {one["conversation"]: one["until"] for one in said["conversations"]}
        )

    # Groups

    @call
    async def groups(self) -> Sequence[Group]:
        """List the groups that the user is in."""
        v1, _ = await self._v1()
        return await v1.pages("groups", "groups", 100, lambda said: group_of(said["group"]))

    @call
    async def create_group(self, name: str, *, open: bool = False, history: bool = False) -> Group:
        """Create a group that the user owns."""
        v1, _ = await self._v1()
        return await v1.ask("POST", "groups", group_of, {"name": name, "open": open, "history": history})

    @call
    async def rename_group(self, group: int, name: str) -> Group:
        """Rename a group, as its owners and admins may."""
        return await self.edit_group(group, name=name)

    @call
    async def join(self, group: int) -> None:
        """Join an open group."""
        v1, me = await self._v1()
        await v1.ask("PUT", _member(group, me.id), nothing, {})

    @call
    async def leave(self, group: int) -> None:
        """Leave a group."""
        v1, me = await self._v1()
        await v1.ask("DELETE", _member(group, me.id), nothing)

    @call
    async def invite(self, group: int, user: int, role: str = "member") -> bool:
        """Invite a user to a group, or change a member's role; return whether the user is a member now."""
        v1, _ = await self._v1()
        body = {"role": role} if role else {}
        return await v1.ask("PUT", _member(group, user), lambda said: said["role"] != "invited", body)

    @call
    async def invitations(self) -> Sequence[Invitation]:
        """List the invitations that wait for the user, the oldest first."""
        v1, _ = await self._v1()
        return await v1.ask("GET", "invitations", lambda said: [_invitation(one) for one in said["invitations"]])

    @call
    async def accept(self, group: int) -> None:
        """Accept an invitation to a group."""
        v1, me = await self._v1()
        await v1.ask("PUT", _member(group, me.id), nothing, {})

    @call
    async def decline(self, group: int) -> None:
        """Decline an invitation to a group."""
        v1, me = await self._v1()
        await v1.ask("DELETE", _member(group, me.id), nothing)

    @call
    async def remove(self, group: int, user: int) -> None:
        """Remove a user from a group."""
        v1, _ = await self._v1()
        await v1.ask("DELETE", _member(group, user), nothing)

    @call
    async def members(self, group: int) -> Sequence[Member]:
        """List the members of a group."""
        v1, _ = await self._v1()
        path = f"groups/{check_id(group, 'group')}/members"
        # Routes of earlier releases do not tell names.
        found = await v1.pages(
            path,
            "members",
            1000,
            lambda said: Member(User(said["user"], said.get("name", "")), said["role"], said.get("muted")),
        )
        unknown = [member.user.id for member in found if not member.user.name]
        names = {user.id: user for user in await self._names.users(unknown)}
        return [evolve(member, user=names.get(member.user.id, member.user)) for member in found]


class AwaitedCalls:
    """The same calls for asyncio programs."""

    _client: ClientCalls

    conversations = awaited(ClientCalls.conversations)
    history = awaited(ClientCalls.history)
    search = awaited(ClientCalls.search)
    user = awaited(ClientCalls.user)
    find = awaited(ClientCalls.find)
    online = awaited(ClientCalls.online)
    change_password = awaited(ClientCalls.change_password)
    block = awaited(ClientCalls.block)
    unblock = awaited(ClientCalls.unblock)
    blocks = awaited(ClientCalls.blocks)
    report = awaited(ClientCalls.report)
    mute_conversation = awaited(ClientCalls.mute_conversation)
    unmute_conversation = awaited(ClientCalls.unmute_conversation)
    muted_conversations = awaited(ClientCalls.muted_conversations)
    groups = awaited(ClientCalls.groups)
    create_group = awaited(ClientCalls.create_group)
    rename_group = awaited(ClientCalls.rename_group)
    join = awaited(ClientCalls.join)
    leave = awaited(ClientCalls.leave)
    invite = awaited(ClientCalls.invite)
    invitations = awaited(ClientCalls.invitations)
    accept = awaited(ClientCalls.accept)
    decline = awaited(ClientCalls.decline)
    remove = awaited(ClientCalls.remove)
    members = awaited(ClientCalls.members)
    edit_group = awaited(ClientCalls.edit_group)
    mute = awaited(ClientCalls.mute)
    unmute = awaited(ClientCalls.unmute)
    ban = awaited(ClientCalls.ban)
    unban = awaited(ClientCalls.unban)
    bans = awaited(ClientCalls.bans)
    change_members = awaited(ClientCalls.change_members)
    dissolve = awaited(ClientCalls.dissolve)


def _member(group: int, user: int) -> str:
    return f"groups/{check_id(group, 'group')}/members/{check_id(user, 'user')}"


def _invitation(said: Any) -> Invitation:
    return Invitation(said["group"]["id"], said["group"]["name"], user_of(said["by"]), said["at"])


def _message(conversation: str, said: Any, me: int) -> Message:
    parsed = conversations.parse(conversation)
    return Message(
        conversation,
        said["position"],
        author(said["sender"], said["sender_name"]),
        said["sent_at"],
        said["text"],
        base64.b64decode(said["data"]),
        said["content_type"],
        Kind(said["kind"]),
        said["ref"],
        said["client_id"],
        parsed.id if isinstance(parsed, conversations.GroupConversation) else 0,
        said["sender"] == me,
        said.get("edited", False),  # routes of earlier releases do not tell
        said.get("by_operator", False),
    )

"""The commands for groups."""

from __future__ import annotations

from collections.abc import Sequence

from cim.client.values import Group, Invitation
from cim.errors import NotFound
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, Misuse
from cim.terminal.console.typed_names import group_id, meant, only_name, split_name, typed_name, unquoted
from cim.terminal.iconsole import Line


class Groups(Command):
    words = (":groups",)
    summary = "list your groups"

    async def run(self, chat: Chat, rest: str) -> None:
        groups = await chat.client.groups()
        chat.learn_groups(groups)
        lines: list[Line] = [
            f"g:{group.id} {typed_name(group.name)}: {group.members} member{'s' * (group.members != 1)}{_kind(group)}"
            for group in sorted(groups, key=lambda group: group.name)
        ]
        await chat.screen.show(lines or ["you are not in any group; :create <name> makes one"])


def _kind(group: Group) -> str:
    words = [word for word, said in (("open", group.open), ("with history for new members", group.history)) if said]
    return f" ({', '.join(words)})" if words else ""


class Create(Command):
    words = (":create",)
    usage = "[open] [history] <name>"
    summary = "make a group and talk there"
    help = "open: anyone may join; history: members may read messages from before they joined."

    async def run(self, chat: Chat, rest: str) -> None:
        words = rest.split()
        flags = {"open": False, "history": False}
        while len(words) > 1 and words[0] in flags:
            flags[words.pop(0)] = True
        if not words:
            raise Misuse
        group = await chat.client.create_group(unquoted(" ".join(words)), open=flags["open"], history=flags["history"])
        chat.learn_groups([group])
        chat.go_to(chat.group_talk(group.id))
        how = f"others join with :join {group.id}" if group.open else "invite others with :invite <name>"
        chat.screen.notice(f"you are now talking to {chat.in_words(chat.current)}; {how}")


class RenameGroup(Command):
    words = (":rename",)
    usage = "<name>"
    summary = "rename the group that you are talking to"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        group = await chat.client.rename_group(await chat.group(""), unquoted(rest))
        chat.learn_groups([group])
        chat.go_to(chat.group_talk(group.id))
        chat.screen.notice(f"the group is now called {typed_name(group.name)}")


async def _enter(chat: Chat, id: int) -> None:
    """Talk in a group that the user has just come into."""
    chat.learn_groups(await chat.client.groups())
    chat.go_to(chat.group_talk(id))
    chat.screen.notice(f"you are now talking to {chat.in_words(chat.current)}")


class Join(Command):
    words = (":join",)
    usage = "<group id>"
    summary = "join an open group and talk there"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        id = await chat.group(rest)
        await chat.client.join(id)
        await _enter(chat, id)


class LeaveGroup(Command):
    words = (":leave",)
    usage = "[group]"
    summary = "leave a group"
    help = "Without a group, it means the one that you are talking to."
    completes = "groups"

    async def run(self, chat: Chat, rest: str) -> None:
        id = await chat.group(rest)
        await chat.client.leave(id)
        title = chat.title_of(f"g:{id}")
        chat.gone(id)
        chat.screen.notice(f"you left {title} and are now talking to {chat.in_words(chat.current)}")


class Invite(Command):
    words = (":invite",)
    usage = "<user> [group]"
    summary = "invite a user to a group"
    help = "Without a group, it means the one that you are talking to."
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        name, group = split_name(rest)
        user = await chat.user(name)
        id = await chat.group(group)
        title = chat.title_of(f"g:{id}")
        if await chat.client.invite(id, user.id):
            chat.screen.notice(f"{typed_name(user.name)} is now in {title}")
        else:
            chat.screen.notice(f"{typed_name(user.name)} is invited to {title}, and is in it once it accepts")


async def _invitations(chat: Chat) -> Sequence[Invitation]:
    found = await chat.client.invitations()
    chat.invitations = {one.group: typed_name(one.name) for one in found}
    return found


class Invitations(Command):
    words = (":invitations",)
    summary = "list the groups that you are invited to"

    async def run(self, chat: Chat, rest: str) -> None:
        found = await _invitations(chat)
        lines: list[Line] = [f"g:{one.group} {typed_name(one.name)}, by {typed_name(one.by.name)}" for one in found]
        await chat.screen.show(lines or ["you are not invited to any group"])


async def _invitation(chat: Chat, rest: str) -> int:
    """Return the group that a user accepts or declines to be in: the one named, or the only one."""
    typed = only_name(rest)
    if (id := group_id(typed)) is not None:
        return id
    found = await _invitations(chat)
    named = [one.group for one in found if not typed or one.name == meant(typed)]
    if len(named) != 1:
        raise NotFound("give the id of one group; :invitations lists those that you are invited to")
    return named[0]


class Accept(Command):
    words = (":accept",)
    usage = "[group]"
    summary = "accept an invitation, and talk there"
    help = "Without a group, it means the only one that you are invited to."

    async def run(self, chat: Chat, rest: str) -> None:
        id = await _invitation(chat, rest)
        await chat.client.accept(id)
        chat.invitations.pop(id, None)
        await _enter(chat, id)


class Decline(Command):
    words = (":decline",)
    usage = "[group]"
    summary = "decline an invitation to a group"
    help = "Without a group, it means the only one that you are invited to."

    async def run(self, chat: Chat, rest: str) -> None:
        id = await _invitation(chat, rest)
        await chat.client.decline(id)
        chat.screen.notice(f"you declined the invitation to {chat.invitations.pop(id, f'the group {id}')}")


class Members(Command):
    words = (":members",)
    usage = "[group]"
    summary = "list the members of a group"
    help = "Without a group, it means the one that you are talking to."
    completes = "groups"

    async def run(self, chat: Chat, rest: str) -> None:
        id = await chat.group(rest)
        members = await chat.client.members(id)
        chat.learn([member.user for member in members])
        lines: list[Line] = [
            f"{member.user.id} {typed_name(member.user.name)}"
            + (f" ({member.role})" if member.role != "member" else "")
            for member in members
        ]
        await chat.screen.show([*lines, f"{len(members)} in {chat.title_of(f'g:{id}')}"])


COMMANDS: Sequence[Command] = (
    Groups(),
    Create(),
    RenameGroup(),
    Join(),
    LeaveGroup(),
    Invite(),
    Invitations(),
    Accept(),
    Decline(),
    Members(),
)

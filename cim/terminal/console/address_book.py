"""Resolves the names, ids and titles that are typed at the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cim.client.client import Client
from cim.client.values import Group, User
from cim.errors import CIMError, NotFound
from cim.model import check_id
from cim.plain import quoted
from cim.terminal.console.typed_names import group_id, is_number, meant, only_name, typed_name


@frozen
class Talk:
    """A conversation that the user talks in.

    :param name: the conversation's name
    :param to: what `Client.send` takes
    """

    name: str
    title: str
    to: int | str


EVERYONE = Talk("g:0", "everyone", "g:0")


class AddressBook:
    """Keeps the known users and talks, and looks up the others.

    Names and titles are kept as they are typed, and shown so.

    :ivar current: the talk that typed lines go to
    :ivar titles: titles of conversations by name
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.current = EVERYONE
        self.users: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.titles: dict[str, str] = {EVERYONE.name: EVERYONE.title}

    def name_of(self, user: int) -> str:
        """Return a user's name, or its id when the name is not known."""
        if self.client.me is not None and user == self.client.me.id:
            return "me"
        return self.names.get(user, str(user))

    def title_of(self, conversation: str) -> str:
        """Return the title of a conversation."""
        other = self.other_in(conversation)
        return self.titles.get(conversation) or (self.name_of(other) if other else conversation)

    def other_in(self, conversation: str) -> int:
        """Return the other user of a private conversation, or 0."""
        kind, _, ids = conversation.partition(":")
        if kind != "p" or self.client.me is None:
            return 0
        pair = [int(id) for id in ids.split(":") if id.isdigit()]
        return next((id for id in pair if id != self.client.me.id), pair[0] if pair else 0)

    def learn(self, users: Sequence[User]) -> None:
        """Remember users, for completion and names."""
        for user in users:
            if user.id and user.name:
                typed = typed_name(user.name)
                self.users[typed] = user.id
                self.names[user.id] = typed

    def learn_groups(self, groups: Sequence[Group]) -> None:
        """Remember groups."""
        self.titles.update({f"g:{group.id}": typed_name(group.name) for group in groups})

    def private(self, user: User) -> Talk:
        """Return the talk with a user."""
        self.learn([user])
        mine = self.client.me.id if self.client.me is not None else 0
        low, high = sorted((mine, user.id))
        return Talk(f"p:{low}:{high}", typed_name(user.name), user.id)

    def group_talk(self, id: int) -> Talk:
        """Return the talk in a group."""
        name = f"g:{id}"
        return Talk(name, self.title_of(name), name)

    async def user(self, who: str) -> User:
        """Return a user, given the name or id as it was typed.

        :raises NotFound: there is no such user; the message can be shown
        :raises Misuse: it is no name
        """
        name = meant(only_name(who))
        if isinstance(name, int):
            check_id(name, "user id")
        elif typed_name(name) in self.users:
            return User(self.users[typed_name(name)], name)
        try:
            user = await self.client.user(name)
        except NotFound:
            if isinstance(name, int):
                raise NotFound(f'there is no user with the id {name}; a name of digits is typed in quotes: "{name}"')
            raise NotFound(f"there is no user {quoted(name)}")
        self.learn([user])
        return user

    async def group(self, what: str) -> int:
        """Return a group's id, given the id (`5` or `g:5`) or the name of one of the user's groups, as it was typed.

        :raises NotFound: there is no such group, or more than one; the message can be shown
        :raises Misuse: it is no name
        """
        typed = only_name(what)
        if (id := group_id(typed)) is not None:
            return id
        if not typed:
            if self.current.name.startswith("g:") and self.current != EVERYONE:
                return int(self.current.name[2:])
            raise NotFound("name a group, or go to one first with :to")
        found = await self._groups_called(typed)
        if not found:
            raise NotFound(f"you are not in a group called {quoted(typed)}; :groups lists yours")
        return _only(found, typed)

    async def _groups_called(self, typed: str) -> list[int]:
        groups = await self.client.groups()
        self.learn_groups(groups)
        return sorted(group.id for group in groups if group.name == meant(typed))

    async def talk(self, what: str) -> Talk:
        """Return the talk that a user's name, `@name`, an id, a group's name or `g:<id>` stands for.

        :raises NotFound: there is none, or a user and a group have the name; the message can be shown
        :raises Misuse: it is no name
        """
        typed = only_name(what)
        if not typed:
            return self.current
        if typed.removeprefix("@") in (EVERYONE.title, EVERYONE.name):
            return EVERYONE
        if typed.startswith("g:") and is_number(typed[2:]):
            return Talk(typed, self.titles.get(typed, typed), typed)
        if typed.startswith("@") or is_number(typed):
            return self.private(await self.user(typed))
        try:
            found = await self._groups_called(typed)
        except CIMError:
            found = []
        try:
            user = await self.user(typed)
        except NotFound as error:
            if not found:
                raise NotFound(f"{error.message}, and you are not in a group called that") from None
            return self.group_talk(_only(found, typed))
        if found:
            # Anybody may take a group's name, and anybody a user's, so neither may come before the other.
            ids = " or ".join(f"g:{id}" for id in found)
            raise NotFound(f"{quoted(typed)} is a user and a group: type @{typed_name(user.name)} or {ids}")
        return self.private(user)

    def in_words(self, talk: Talk) -> str:
        """Return a talk's title and id, and what else has that title."""
        if talk == EVERYONE:
            return talk.title
        if talk.name.startswith("g:"):
            return f"the group {talk.title} ({talk.name})"
        groups = [name for name, title in self.titles.items() if title == talk.title and name.startswith("g:")]
        also = f"; the group {talk.title} is {' or '.join(groups)}" if groups else ""
        return f"{talk.title} (id {talk.to}){also}"

    def label(self, conversation: str) -> str:
        """Return the title of a conversation, that of a group in brackets as with its messages."""
        title = self.title_of(conversation)
        return f"[{title}]" if conversation.startswith("g:") and conversation != EVERYONE.name else title


def _only(groups: Sequence[int], typed: str) -> int:
    if len(groups) > 1:
        ids = " or ".join(f"g:{id}" for id in groups)
        raise NotFound(f"you are in {len(groups)} groups called {quoted(typed)}: type {ids}")
    return groups[0]

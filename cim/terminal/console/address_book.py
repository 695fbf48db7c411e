"""Resolves the names, ids and titles that are typed at the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cim.client.client import Client
from cim.client.values import Group, User
from cim.errors import CIMError, NotFound
from cim.names import shown_name


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

    Names and titles are kept as they are shown, so that they can be typed so, too.

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
                shown = shown_name(user.name)
                self.users[shown] = user.id
                self.names[user.id] = shown

    def learn_groups(self, groups: Sequence[Group]) -> None:
        """Remember groups."""
        self.titles.update({f"g:{group.id}": shown_name(group.name) for group in groups})

    def private(self, user: User) -> Talk:
        """Return the talk with a user."""
        self.learn([user])
        mine = self.client.me.id if self.client.me is not None else 0
        low, high = sorted((mine, user.id))
        return Talk(f"p:{low}:{high}", shown_name(user.name), user.id)

    async def user(self, who: str) -> User:
        """Return a user by name or id.

        :raises NotFound: there is no such user; the message can be shown"""
        who = who.removeprefix("@")
        by_id = who.isascii() and who.isdigit() and len(who) < 19
        if who in self.users:
            if "<U+" not in who:
                return User(self.users[who], who)
            who, by_id = str(self.users[who]), True  # it is only shown so
        try:
            user = await self.client.user(int(who) if by_id else who)
        except NotFound:
            raise NotFound(f'there is no user "{who[:64]}"')
        self.learn([user])
        return user

    async def group(self, what: str) -> int:
        """Return a group's id, given the id (`5` or `g:5`) or the name of one of the user's groups."""
        number = what.removeprefix("g:")
        if number.isascii() and number.isdigit() and len(number) < 19:
            return int(number)
        if not what and self.current.name.startswith("g:") and self.current != EVERYONE:
            return int(self.current.name[2:])
        groups = await self.client.groups()
        self.learn_groups(groups)
        for group in groups:
            if what in (group.name, shown_name(group.name)):
                return group.id
        raise NotFound(
            f'you are not in a group called "{what[:64]}"; :groups lists yours'
            if what
            else "name a group, or go to one first with :to"
        )

    async def talk(self, what: str) -> Talk:
        """Return the talk that a user name, `@name`, an id, a group's name or `g:<id>` stands for."""
        if not what:
            return self.current
        if what in ("everyone", "g:0"):
            return EVERYONE
        if what.startswith("g:") and what[2:].isdigit():
            return Talk(what, self.titles.get(what, what), what)
        for name, title in self.titles.items():
            if title == what and name.startswith("g:"):
                return Talk(name, title, name)
        try:
            return self.private(await self.user(what))
        except NotFound as error:
            if what.startswith("@"):
                raise
            try:
                return Talk(f"g:{await self.group(what)}", what, f"g:{await self.group(what)}")
            except CIMError:
                raise NotFound(f"{error.message}, and you are not in a group called that") from None

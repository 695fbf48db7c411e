"""The state of the chat: the current talk, known users, unread counts and recent messages."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from cim.client.client import Client
from cim.client.data_directory import DataDirectory
from cim.client.iclient import IListener
from cim.client.values import (
    Change,
    Conversation,
    Invitation,
    Kind,
    Members,
    Message,
    Mute,
    Presence,
    Receipt,
    Removed,
    Sent,
    State,
    Typing,
)
from cim.errors import CIMError, NotFound, RateLimited, Unavailable
from cim.terminal.console.address_book import EVERYONE, AddressBook, Talk
from cim.terminal.console.question import Question
from cim.terminal.console.robot import Robot
from cim.terminal.console.typed_names import typed_name
from cim.terminal.console.unread import Unread, reaches
from cim.terminal.iconsole import IAnswerer, Screen

#: How long a typing note is shown, in seconds.
TYPING_SECONDS = 6.0
#: How long after coming online the lists are fetched, in seconds: missed messages arrive first.
SETTLE_SECONDS = 1.0
#: How long a rate-limited message is retried, in seconds.
TOO_MUCH_SECONDS = 60.0
#: How many messages, and how many of our own client ids, are remembered.
REMEMBERED = 2000
#: How many changes of a group's members are shown of those that come together.
SHOWN_CHANGES = 5
#: The most users fetched for completion and lists.
MANY_USERS = 500


@frozen
class Unsent:
    """A message that was not accepted yet."""

    talk: Talk
    text: str
    since: float


@implementer(IListener)
class Chat(AddressBook):
    """The state that commands, completion and screens share; it listens to the client.

    :param clock: an IReactorTime, for delays
    :param now: returns seconds since 1970
    :param new_id: returns a new client id
    :ivar standing: the client's state; `reason` says why
    :ivar unread: how many messages are unread, by conversation
    :ivar numbered: the messages of the last list, by the numbers shown there
    :ivar invitations: the names of groups that the user is invited to, by id
    :ivar facts: further lines for `:info`
    :ivar question: what the user is asked, if anything
    :ivar passwords: where the user's password is kept, if anywhere
    :ivar keeps: whether messages that were not accepted yet outlast the program
    """

    _log = Logger()

    def __init__(
        self,
        client: Client,
        screen: Screen,
        clock: Any,
        now: Callable[[], float],
        new_id: Callable[[], str],
        *,
        answerer: IAnswerer | None = None,
        question: Question | None = None,
        passwords: DataDirectory | None = None,
        facts: Sequence[tuple[str, str]] = (),
        keeps: bool = False,
    ) -> None:
        super().__init__(client)
        self.screen = screen
        self.clock = clock
        self.now = now
        self.answerer: Any = answerer or Robot()
        self.answering = False
        self.invitations: dict[int, str] = {}
        self.question = question if question is not None else Question()
        self.question.notice = screen.notice
        self.passwords = passwords
        self.facts = facts
        self.keeps = keeps
        self.commands: Sequence[Any] = ()
        self.unread = Unread()
        self.unsent: dict[str, Unsent] = {}
        self.numbered: list[Message] = []
        self.standing, self.reason = client.state, ""
        self.present: dict[int, bool] = {}
        self._typing: dict[tuple[str, int], IDelayedCall] = {}
        self._reads: dict[str, dict[int, str]] = {}
        self._said: deque[Message] = deque(maxlen=REMEMBERED)
        self._own: deque[str] = deque(maxlen=REMEMBERED)
        self._new_id = new_id
        self._settling: IDelayedCall | None = None
        self._later: set[IDelayedCall] = set()
        self._learning: Deferred[None] | None = None
        client.add_listener(self)

    def close(self) -> None:
        """Cancel everything that is scheduled."""
        self.client.remove_listener(self)
        for call in (self._settling, *self._typing.values(), *self._later):
            if call is not None and call.active():
                call.cancel()
        if self._learning is not None:
            self._learning.cancel()

    def later(self, seconds: float, do: Callable[[], Any]) -> None:
        """Call `do` after `seconds`, unless the program ends first."""

        def due() -> None:
            self._later.discard(call)
            do()

        call: IDelayedCall = self.clock.callLater(seconds, due)
        self._later.add(call)

    # Sending

    async def say(self, talk: Talk, text: str) -> None:
        """Send a text and show it once it is accepted; fails as Client.send does."""
        client_id = self._new_id()
        self._own.append(client_id)
        self.unsent[client_id] = Unsent(talk, text, self.now())
        self.screen.refresh()
        try:
            self._accepted(client_id, await self._send(talk, text, client_id))
        finally:
            self.unsent.pop(client_id, None)
            self.screen.refresh()

    async def _send(self, talk: Talk, text: str, client_id: str) -> Sent:
        """Send, and retry for a while when rate-limited: nothing was sent then."""
        until = self.clock.seconds() + TOO_MUCH_SECONDS
        while True:
            try:
                return await self.client.send(talk.to, text, client_id=client_id)
            except RateLimited as error:
                wait = max(1, error.retry_after)
                if self.clock.seconds() + wait > until:
                    raise
            rest: Deferred[None] = Deferred()
            self.later(wait, lambda rest=rest: rest.called or rest.callback(None))  # type: ignore[misc]  # a default
            await rest

    def say_later(self, talk: Talk, text: str) -> None:
        """Send a text in the background and show a failure."""
        saying = Deferred.fromCoroutine(self.say(talk, text))
        saying.addErrback(lambda failure: self.screen.notice(f"{text[:40]!r} was not sent: {failure.value}"))

    def _accepted(self, client_id: str, sent: Sent) -> None:
        unsent = self.unsent.pop(client_id, None)
        if unsent is None or self.client.me is None:
            return  # `received` showed it already
        group = int(sent.conversation[2:]) if sent.conversation.startswith("g:") else 0
        at = sent.sent_at or int(self.now() * 1000)
        message = Message(
            sent.conversation or unsent.talk.name,
            sent.position,
            self.client.me,
            at,
            unsent.text,
            client_id=client_id,
            group=group,
            mine=True,
        )
        if sent.conversation and unsent.talk.title:
            self.titles.setdefault(sent.conversation, unsent.talk.title)
        self._said.append(message)
        self.screen.message(message, own=True)

    def go_to(self, talk: Talk) -> None:
        """Make a talk the current one, where typed lines go."""
        self.current = talk
        self.titles.setdefault(talk.name, talk.title)
        self.attend()
        self._watch()
        self.screen.refresh()

    def attend(self) -> None:
        """Mark the current conversation as read, since the user is at the keyboard."""
        if self.unread.get(self.current.name):
            self.read(self.current.name)

    def read(self, conversation: str) -> None:
        """Mark all of a conversation as read."""
        self.unread.read(conversation)
        if conversation != EVERYONE.name:
            self.client.mark_read(conversation)
        self.screen.refresh()

    async def read_on(self, talk: Talk, most: int) -> tuple[list[Message], int]:
        """Return the first messages of a talk after the user's read mark, at most so many, and mark them as read.

        :returns: they, and about how many are unread after them
        """
        with contextlib.suppress(Unavailable):
            self._listed(await self.client.conversations())
        after = self.unread.mark(talk.name)
        found = list(await self.client.history(talk.name, limit=most + 1, after=after, revisions=False))
        if not found:
            self.read(talk.name)
            return found, 0
        more = len(found) > most
        del found[most:]
        read = sum(not one.mine and one.kind is Kind.TEXT for one in found)
        left = max(self.unread.get(talk.name, 0) - read, int(more))
        self.unread.read_to(talk.name, found[-1].position, left)
        self.client.mark_read(talk.name, found[-1].position)
        self.screen.refresh()
        return found, left

    # Recent messages

    def said(self, number: str, *, mine: bool) -> Message:
        """Return message `#n` of the last list or, without a number, the last message of the current talk.

        :param mine: look among the user's own messages instead of the others'
        """
        if number:
            index = int(number.removeprefix("#")) if number.removeprefix("#").isdigit() else 0
            if not 0 < index <= len(self.numbered):
                raise NotFound(f"there is no message {number}; :history numbers them")
            return self.numbered[index - 1]
        for message in reversed(self._said):
            if message.conversation == self.current.name and message.mine == mine and message.kind is Kind.TEXT:
                return message
        who = "you have not" if mine else "nobody else has"
        raise NotFound(f"{who} said anything here yet; :history numbers older messages")

    def seen(self, *, conversation: str = "", text: str = "") -> list[Message]:
        """Return the messages since the program started, of one conversation or containing a text, oldest first."""
        return [
            one
            for one in self._said
            if one.kind is Kind.TEXT and conversation in ("", one.conversation) and text.lower() in one.text.lower()
        ]

    def referred(self, message: Message) -> Message | None:
        """Return the message that `message` recalls, edits or reacts to, if it was seen."""
        for one in reversed(self._said):
            if one.position == message.ref and one.conversation == message.conversation:
                return one
        return None

    def is_read(self, message: Message) -> bool:
        """Return whether somebody else has read one of the user's own messages."""
        me = self.client.me.id if self.client.me is not None else 0
        reads = self._reads.get(message.conversation, {})
        return any(reader != me and reaches(mark, message.position) for reader, mark in reads.items())

    def typists(self) -> list[str]:
        """Return the names of the users who are typing in the current talk."""
        return [self.name_of(who) for conversation, who in self._typing if conversation == self.current.name]

    # Called by the client

    def received(self, client: Client, message: Message) -> None:
        """See IListener."""
        own = message.mine and message.client_id in self._own
        if own and message.kind is Kind.TEXT and message.client_id not in self.unsent:
            return  # it was shown when the send was answered
        self.unsent.pop(message.client_id, None)
        if not message.mine:
            self.learn([message.sender])
            self._stop_typing((message.conversation, message.sender.id))
            if message.kind is Kind.TEXT and message.group == 0:
                self.titles.setdefault(message.conversation, typed_name(message.sender.name))
            if message.conversation not in ("", EVERYONE.name):
                self.unread.came(message)
                self.screen.refresh()
        self._said.append(message)
        self.screen.message(message, own=own)

    def receipt(self, client: Client, receipt: Receipt) -> None:
        """See IListener."""
        if client.me is not None and receipt.reader == client.me.id:
            if not self.unread.read_elsewhere(receipt.conversation, receipt.position):
                self._learn_soon()
            return self.screen.refresh()
        marks = self._reads.setdefault(receipt.conversation, {})
        before = marks.get(receipt.reader, "")
        if reaches(before, receipt.position):
            return
        marks[receipt.reader] = receipt.position
        for message in reversed(self._said):
            if message.mine and message.conversation == receipt.conversation and message.kind is Kind.TEXT:
                if reaches(receipt.position, message.position) and not reaches(before, message.position):
                    where = "" if message.group == 0 else f" in {self.title_of(message.conversation)}"
                    self.screen.show([[("dim", f"      ✓✓ {self.name_of(receipt.reader)} has read{where}")]])
                break

    def typing(self, client: Client, typing: Typing) -> None:
        """See IListener."""
        key = (typing.conversation, typing.who)
        self._stop_typing(key)
        self._typing[key] = self.clock.callLater(TYPING_SECONDS, self._stop_typing, key)
        self.screen.refresh()

    def _stop_typing(self, key: tuple[str, int]) -> None:
        call = self._typing.pop(key, None)
        if call is not None:
            if call.active():
                call.cancel()
            self.screen.refresh()

    def presence(self, client: Client, presence: Presence) -> None:
        """See IListener."""
        before = self.present.get(presence.user)
        self.present[presence.user] = presence.online
        if before is not None and before != presence.online:
            what = "is online now" if presence.online else "has gone offline"
            self.screen.show([[("dim", f"      {self.name_of(presence.user)} {what}")]])
        self.screen.refresh()

    def members(self, client: Client, members: Members) -> None:
        """See IListener."""
        showing = Deferred.fromCoroutine(self._show_members(members))
        showing.addErrback(lambda failure: self._log.failure("What happened to a group could not be shown", failure))

    async def _show_members(self, members: Members) -> None:
        shown = members.changes[:SHOWN_CHANGES]
        for id in dict.fromkeys(user for one in shown for user in (one.user, one.by)):
            if id and id not in self.names:
                with contextlib.suppress(CIMError):
                    self.learn([await self.client.user(id)])
        for one in shown:
            if one.what == "renamed":
                self.titles[members.conversation] = typed_name(one.text)
        said = [_happening(one, self.name_of) for one in shown]
        if len(members.changes) > len(shown):
            said.append(f"and {len(members.changes) - len(shown)} more")
        self.screen.show([[("dim", f"      [{self.title_of(members.conversation)}] {', '.join(said)}")]])

    def invited(self, client: Client, invitation: Invitation) -> None:
        """See IListener."""
        self.invitations[invitation.group] = typed_name(invitation.name)
        self.learn([invitation.by])
        id, name, by = invitation.group, typed_name(invitation.name), typed_name(invitation.by.name)
        self.screen.show([[("warn", f"      {by} invites you to the group {name}: :accept {id} or :decline {id}")]])

    def gone(self, group: int) -> None:
        """Forget a group that the user is no longer in, and talk elsewhere."""
        name = f"g:{group}"
        self.titles.pop(name, None)
        self.unread.pop(name, None)
        if self.current.name == name:
            self.go_to(EVERYONE)

    def removed(self, client: Client, removed: Removed) -> None:
        """See IListener."""
        name = f"g:{removed.group}"
        if name not in self.titles:
            return
        title, by = self.title_of(name), self.name_of(removed.by) if removed.by else "an operator"
        self.gone(removed.group)
        said = {
            "left": f"you left {title} on another device",
            "banned": f"{by} banned you from {title}",
            "dissolved": f"{by} dissolved {title}",
        }.get(removed.what, f"{by} removed you from {title}")
        self.screen.show([[("warn", f"      {said}")]])
        self.screen.refresh()

    def muted(self, client: Client, mute: Mute) -> None:
        """See IListener."""
        what = "is muted now" if mute.until else "is no longer muted"
        self.screen.show([[("dim", f"      {self.title_of(mute.conversation)} {what}")]])

    def state(self, client: Client, state: State, reason: str) -> None:
        """See IListener."""
        self.standing, self.reason = state, reason
        if state is not State.READY:
            for key in tuple(self._typing):
                self._stop_typing(key)
        if state is State.READY:
            self._learn_soon()
        self.screen.refresh()

    def _learn_soon(self) -> None:
        if self._settling is None and (self._learning is None or self._learning.called):
            self._settling = self.clock.callLater(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self._learning = Deferred.fromCoroutine(self._learn()).addErrback(self._not_learned)

    def _not_learned(self, failure: Any) -> None:
        # Not fatal: only completion and counts are incomplete.
        if not failure.check(CIMError, CancelledError):
            self._log.failure("The lists of users, groups and conversations could not be fetched", failure)

    async def _learn(self) -> None:
        try:
            self._listed(await self.client.conversations())
            self.learn_groups(await self.client.groups())
        finally:
            self.screen.refresh()
            self._watch()
            users, _ = await self.client.online(limit=100)
            self.learn(users)

    def _listed(self, conversations: Sequence[Conversation]) -> None:
        titled = (one for one in conversations if one.title and one.name != EVERYONE.name)
        self.titles.update({one.name: typed_name(one.title) for one in titled})
        self.unread.listed(conversations)

    def _watch(self) -> None:
        others = [self.other_in(name) for name in [self.current.name, *self.titles]]
        self.client.watch([*dict.fromkeys(filter(None, others))][:200])


def _happening(one: Change, name_of: Callable[[int], str]) -> str:
    """Return what happened to a group in words."""
    user, by = (name_of(id) if id else "an operator" for id in (one.user, one.by))
    whom = user if one.user else "all but admins"
    yes = one.text == "yes"
    return {
        "joined": f"{user} joined",
        "accepted": f"{user} joined, invited by {by}",
        "added": f"{by} added {user}",
        "left": f"{user} left",
        "removed": f"{by} removed {user}",
        "role": f"{by} made {user} {one.text}",
        "renamed": f"{user} named it {typed_name(one.text)}",
        "open": f"{user} let anyone join" if yes else f"{user} let nobody join any more without an invitation",
        "history": f"{user} let new members {'' if yes else 'no longer '}read what is said before they join",
        "muted": f"{by} muted {whom}",
        "unmuted": f"{by} let {whom} write again",
        "banned": f"{by} banned {user}",
        "unbanned": f"{by} let {user} come back",
        "dissolved": f"{user} dissolved it",
    }.get(one.what, f"{user}: {one.what}")

"""The commands about whom the user blocks."""

from __future__ import annotations

from collections.abc import Sequence

from cim.errors import NotFound
from cim.plain import quoted
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, Misuse
from cim.terminal.console.typed_names import meant, only_name, typed_name
from cim.terminal.iconsole import Line


class Block(Command):
    words = (":block",)
    usage = "<user>"
    summary = "block a user"
    help = "For that user you seem not to exist: its messages do not reach you, and it does not see you online."
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        user = await chat.user(rest)
        await chat.client.block(user.id)
        name = typed_name(user.name)
        chat.screen.notice(f"you block {name} (id {user.id}) now; :unblock {name} ends that")


class Unblock(Command):
    words = (":unblock",)
    usage = "<user>"
    summary = "unblock a user"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        # Not looked up: one who blocks you in turn seems not to exist.
        blocked = await chat.client.blocks()
        who = meant(only_name(rest))
        user = next((user for user in blocked if who == (user.id if isinstance(who, int) else user.name)), None)
        if user is None:
            raise NotFound(f"you do not block {quoted(str(who))}; :blocks lists whom you do")
        await chat.client.unblock(user.id)
        chat.screen.notice(f"you no longer block {typed_name(user.name)} (id {user.id})")


class Blocks(Command):
    words = (":blocks",)
    summary = "list whom you block"

    async def run(self, chat: Chat, rest: str) -> None:
        users = await chat.client.blocks()
        chat.learn(users)
        lines: list[Line] = [f"{user.id} {typed_name(user.name)}" for user in sorted(users, key=lambda user: user.name)]
        await chat.screen.show(lines or ["you block nobody"])


COMMANDS: Sequence[Command] = (Block(), Unblock(), Blocks())

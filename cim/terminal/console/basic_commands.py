"""The commands of upstream's terminal, with the same names and meanings (docs/upstream.md), and a few more."""

from __future__ import annotations

from collections.abc import Sequence

from cim.errors import Forbidden
from cim.names import meant_name
from cim.terminal.console import emoji
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.chat import MANY_USERS, Chat
from cim.terminal.console.commands import Command, Misuse, number
from cim.terminal.console.listing import online_users, show_found
from cim.terminal.console.look import highlighted
from cim.terminal.console.typed_names import typed_name
from cim.terminal.iconsole import Line

#: Longest delay of a message, in seconds: a day.
MAX_DELAY = 86400
HELP = (
    "a line goes where the prompt says; @name text and id;;text go to one user; :to <name> stays there",
    'a name with spaces is shown and typed in quotes: @"Bobby T." text; digits without quotes are an id',
    "Tab completes commands, names and emoji; Up finds earlier lines; :all lists the commands",
)


class Leave(Command):
    words = (":q!",)
    summary = "leave"

    async def run(self, chat: Chat, rest: str) -> None:
        if rest:
            raise Misuse("to leave, type :q! or :q with nothing after it")
        chat.screen.leave()


class Search(Command):
    words = (":q",)
    usage = "<words>"
    summary = "search messages; :q alone leaves"
    help = "Finds messages that contain the words exactly as typed; the latest is last."

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            chat.screen.leave()
            return
        # A guest has only this run's history.
        found = list(reversed(await chat.client.search(rest, 50))) or chat.seen(text=rest)[-50:]
        await show_found(chat, found, rest)


class OnlineUsers(Command):
    words = (":olu",)
    summary = "list who is online, and how many"

    async def run(self, chat: Chat, rest: str) -> None:
        users, total = await online_users(chat, "", MANY_USERS)
        lines: list[Line] = [f"{user.id} {typed_name(user.name)}" for user in users]
        if len(users) < total:
            lines.append(f"… and {total - len(users)} more; :pu <prefix> finds them by name")
        await chat.screen.show([*lines, f"{total} online"])


class Prefix(Command):
    words = (":pu",)
    usage = "<prefix>"
    summary = "list who is online, by prefix"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        prefix = meant_name(rest.removeprefix("@").strip('"'))
        users, total = await online_users(chat, prefix, MANY_USERS)
        lines: list[Line] = []
        for user in users:
            name = typed_name(user.name)
            end = len(prefix) + name.startswith('"')
            lines.append([("", f"{user.id} "), *highlighted(name[:end], prefix), ("", name[end:])])
        await chat.screen.show([*lines, f"{total} online whose names begin with {rest}"])


class All(Command):
    words = (":all",)
    summary = "list the commands"

    async def run(self, chat: Chat, rest: str) -> None:
        heads = [f"{' '.join(command.words)} {command.usage}".rstrip() for command in chat.commands]
        width = max(map(len, heads))
        for head, command in zip(heads, chat.commands, strict=True):
            chat.screen.notice(f"{head:{width}}  {command.summary}")


class Help(Command):
    words = (":help",)
    usage = "[command]"
    summary = "explain a command"
    completes = "commands"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            for line in HELP:
                chat.screen.notice(line)
            return
        wanted = ":" + rest.removeprefix(":")
        for command in chat.commands:
            if wanted in command.words:
                chat.screen.notice(f"{' or '.join(command.words)} {command.usage}".rstrip() + f": {command.summary}")
                for line in command.help.splitlines():
                    chat.screen.notice(line)
                return
        raise Misuse(f"there is no command {wanted[:20]}; :all lists them")


class Password(Command):
    words = (":password",)
    summary = "set another password"
    help = (
        "You are asked for it, and nobody sees what you type. With it you can log in elsewhere, such as in a browser."
        " Your other sessions end."
    )

    async def run(self, chat: Chat, rest: str) -> None:
        ask = chat.question.ask_secret
        if rest:
            raise Misuse("nothing was changed: type :password alone, and then the password, which is not shown")
        if not chat.question.asks:
            raise Misuse("there is nobody to ask for a password")
        kept = chat.passwords is not None and chat.passwords.password() is not None
        # Nobody knows the one that was made for a new name.
        current = "" if kept else await ask("type the present password")
        new = await ask("type the new password")
        if not new or new != await ask("type the new password again"):
            raise Misuse("nothing was changed: " + ("they differ" if new else "no password was typed"))
        try:
            await chat.client.change_password(new, current)
        except Forbidden:
            if not kept:
                raise
            # It was changed elsewhere, and a token of the last time logged in.
            await chat.client.change_password(new, await ask("type the present password"))
        if kept and chat.passwords is not None:
            chat.passwords.keep_password(new)
        chat.screen.notice("the password is changed, and other sessions of yours have ended")


class Info(Command):
    words = (":info",)
    summary = "show who and where you are"

    async def run(self, chat: Chat, rest: str) -> None:
        me = chat.client.me
        facts = [
            ("user", f"{typed_name(me.name)} (id {me.id})" if me is not None else "not logged in yet"),
            ("state", chat.standing.value + (f": {chat.reason}" if chat.reason else "")),
            ("talking to", chat.in_words(chat.current)),
            ("not yet accepted", str(len(chat.unsent))),
            *chat.facts,
        ]
        width = max(len(name) for name, _ in facts)
        await chat.screen.show([[("dim", f"{name:{width}}  "), ("", value)] for name, value in facts])


class Emoji(Command):
    words = (":emoji",)
    usage = "<page or word>"
    summary = "list emoji and their aliases"
    help = "In a message, an alias such as :smile: becomes its emoji. With a word, lists the aliases that contain it."

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        table = emoji.table()
        pages = -(-len(table) // emoji.PAGE)
        if rest.isdigit():
            first = number(rest, "a page", pages - 1) * emoji.PAGE
            rows = table[first : first + emoji.PAGE]
        else:
            word = rest.strip(":").lower()
            rows = tuple(row for row in table if any(word in alias for alias in row[1]))[:30]
        if not rows:
            raise Misuse(f"no alias contains {rest[:20]!r}")
        await chat.screen.show([f"{shown} {' '.join(f':{alias}:' for alias in names)}" for shown, names in rows])


class Delay(Command):
    words = (":delay",)
    usage = "<text> <seconds>"
    summary = "send a message later"
    help = "The message goes to the current talk, but only if the program is still running by then."

    async def run(self, chat: Chat, rest: str) -> None:
        text, _, seconds = rest.rpartition(" ")
        text = text.strip()
        if not text:
            raise Misuse
        wait = number(seconds, "the delay", MAX_DELAY)
        talk = chat.current
        line = text if talk == EVERYONE else f"{text} (to {talk.title})"
        chat.later(wait, lambda: chat.say_later(talk, text))
        chat.screen.notice(f"in {wait} s: {line}")


class AnswererOn(Command):
    words = (":ai",)
    summary = "talk to the robot; nothing is sent"

    async def run(self, chat: Chat, rest: str) -> None:
        chat.answering = True
        await chat.screen.show([[("hit", chat.answerer.greeting)]])
        chat.screen.refresh()


class AnswererOff(Command):
    words = (":qai",)
    summary = "stop talking to the robot"

    async def run(self, chat: Chat, rest: str) -> None:
        if not chat.answering:
            raise Misuse("the robot is not on")
        chat.answering = False
        await chat.screen.show([[("hit", chat.answerer.farewell)]])
        chat.screen.refresh()


COMMANDS: Sequence[Command] = (
    All(),
    Help(),
    OnlineUsers(),
    Prefix(),
    Search(),
    Leave(),
    Password(),
    Info(),
    Emoji(),
    Delay(),
    AnswererOn(),
    AnswererOff(),
)

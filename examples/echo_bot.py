"""A bot that says back what is said to it: in private, and in groups and to everyone when it is called by its name.

    python examples/echo_bot.py --route http://127.0.0.1:8083 --user echo

Its account is made at the first run; the password and the history are kept in the user's data folder, so that it
answers what was said while it did not run.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from twisted.internet.task import react
from twisted.logger import Logger
from zope.interface import implementer

from cim.client import CIMError, Client, DataDirectory, IMessageListener, Kind, Message, SqliteHistory, data_home


@implementer(IMessageListener)
class Echo:
    """Answers messages."""

    _log = Logger()

    def received(self, client: Client, message: Message) -> None:
        """Answer a message, once: whoever sends again what has this client id sends the same message."""
        answer = self.answer(client, message)
        if answer is not None:
            client.send(
                message.conversation,
                answer,
                data=message.data,
                content_type=message.content_type,
                client_id=f"echo-{message.position}" if message.position else "",
            ).addErrback(lambda failure: self._log.warn("Not answered: {why}", why=failure.getErrorMessage()))

    def answer(self, client: Client, message: Message) -> str | None:
        """Return what to say to a message, if anything."""
        if message.mine or message.kind is not Kind.TEXT or client.me is None:
            return None
        if message.conversation.startswith("p:"):
            return message.text
        called = f"@{client.me.name} "
        # Without the call: two bots of this kind do not go on for ever.
        return message.text.removeprefix(called) if message.text.startswith(called) else None


async def main(reactor: Any, *argv: str) -> None:
    """Be online until it is ended."""
    parser = argparse.ArgumentParser(description="Say back what is said.")
    parser.add_argument("--route", default="http://127.0.0.1:8083")
    parser.add_argument("--user", default="echo")
    options = parser.parse_args(argv)
    try:
        directory = DataDirectory.of(data_home(os.environ), options.route, options.user)
        client = Client(
            reactor,
            options.route,
            directory.credentials(options.user),
            history=SqliteHistory(directory.history, reactor),
            listeners=[Echo()],
            agent="echo_bot",
        )
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        client.startService()
        await client.when_ready()
        sys.stderr.write(f"{options.user} is online\n")
        await client.when_closed()
    except CIMError as error:
        raise SystemExit(f"echo_bot: {error.message}")


if __name__ == "__main__":
    react(main, sys.argv[1:])

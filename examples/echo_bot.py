"""A bot that echoes messages: private ones, and those in groups or to everyone that call it by its name.

    python examples/echo_bot.py --route http://127.0.0.1:8083 --user echo

Its account is created on the first run; the password and the history are kept in the user's data folder, so that it
also answers messages that were sent while it was not running.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from twisted.internet.task import react
from twisted.logger import Logger
from zope.interface import implementer

from cim.client import CIMError, Client, DataDirectory, IListener, Invitation, Kind, Message, SqliteHistory, data_home


@implementer(IListener)
class Echo:
    """Answers messages, and accepts invitations to groups."""

    _log = Logger()

    def received(self, client: Client, message: Message) -> None:
        """Answer a message once: sending again with the same client id sends the same message."""
        answer = self.answer(client, message)
        if answer is not None:
            client.send(
                message.conversation,
                answer,
                data=message.data,
                content_type=message.content_type,
                client_id=f"echo-{message.position}" if message.position else "",
            ).addErrback(lambda failure: self._log.warn("Not answered: {why}", why=failure.getErrorMessage()))

    def invited(self, client: Client, invitation: Invitation) -> None:
        """Accept an invitation; those that wait come again after each login."""
        client.accept(invitation.group).addErrback(
            lambda failure: self._log.warn("Not accepted: {why}", why=failure.getErrorMessage())
        )

    def answer(self, client: Client, message: Message) -> str | None:
        """Return the answer to a message, if any."""
        if message.mine or message.kind is not Kind.TEXT or client.me is None:
            return None
        if message.conversation.startswith("p:"):
            return message.text
        called = f"@{client.me.name} "
        # Without the mention, so that two such bots do not answer each other forever.
        return message.text.removeprefix(called) if message.text.startswith(called) else None


async def main(reactor: Any, *argv: str) -> None:
    """Stay online until the program is stopped."""
    parser = argparse.ArgumentParser(description="Echo messages.")
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

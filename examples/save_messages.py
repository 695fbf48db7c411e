"""Saves messages to a file, one JSON object per line. It is a listener of the terminal client,

    twistd cim-client --user alice --listener examples.save_messages.SaveMessages

run in the folder that contains `examples` (the file is messages.jsonl in the working directory, or as CIM_MESSAGES
names it), or a program of its own:

    python examples/save_messages.py --route http://127.0.0.1:8083 --user archive --file messages.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import react
from zope.interface import implementer

from cim.client import CIMError, Client, DataDirectory, IMessageListener, Message, SqliteHistory, data_home


@implementer(IMessageListener)
class SaveMessages:
    """Appends messages to a file; readers of the file see each message at once.

    :param path: the file; if missing, it is created readable only for its owner
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = Path(path or os.environ.get("CIM_MESSAGES", "messages.jsonl"))
        # Unbuffered, so that nothing is lost when the client ends.
        self._file = open(  # noqa: SIM115
            os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0
        )

    def received(self, client: Client, message: Message) -> None:
        """Write a line; if the disk is full this raises, and the client logs that and goes on."""
        line = {
            "conversation": message.conversation,
            "position": message.position,
            "from": message.sender.id,
            "name": message.sender.name,
            "sent_at": message.sent_at,
            "kind": message.kind.value,
            "text": message.text,
        }
        self._file.write((json.dumps(line) + "\n").encode())


async def main(reactor: Any, *argv: str) -> None:
    """Stay online until the program is stopped."""
    parser = argparse.ArgumentParser(description="Save messages to a file.")
    parser.add_argument("--route", default="http://127.0.0.1:8083")
    parser.add_argument("--user", default="archive")
    parser.add_argument("--file")
    options = parser.parse_args(argv)
    try:
        directory = DataDirectory.of(data_home(os.environ), options.route, options.user)
        client = Client(
            reactor,
            options.route,
            directory.credentials(options.user),
            history=SqliteHistory(directory.history, reactor),
            listeners=[SaveMessages(options.file)],
            agent="save_messages",
        )
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        client.startService()
        await client.when_ready()
        sys.stderr.write(f"{options.user} is online\n")
        await client.when_closed()
    except CIMError as error:
        raise SystemExit(f"save_messages: {error.message}")


if __name__ == "__main__":
    react(main, sys.argv[1:])

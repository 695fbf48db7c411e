"""A saver of messages: each goes into a file, one JSON object a line. A listener of the terminal client,

    twistd cim-client --user alice --listener examples.save_messages.SaveMessages

run where `examples` lies (the file is messages.jsonl in the working directory, or what CIM_MESSAGES names), or a
program of its own:

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
    """Appends what comes to a file; whoever reads the file sees each message at once.

    :param path: the file; made, readable for its owner alone, when it is not there
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = Path(path or os.environ.get("CIM_MESSAGES", "messages.jsonl"))
        # Unbuffered: nothing is left behind when the client ends.
        self._file = open(  # noqa: SIM115
            os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0
        )

    def received(self, client: Client, message: Message) -> None:
        """Write one line. A full disk raises: the client logs that, and goes on."""
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
    """Be online until it is ended."""
    parser = argparse.ArgumentParser(description="Save what comes to a file.")
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

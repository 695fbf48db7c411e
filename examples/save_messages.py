"""A listener of one's own: every received message goes into a file as well, one JSON object a line.

    twistd cim-client --user alice --listener examples.save_messages.SaveMessages

run where `examples` lies. The file is messages.jsonl in the working directory, or what CIM_MESSAGES names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from zope.interface import implementer

from cim.client.library import Message
from cim.icim import IClient, IMessageListener


@implementer(IMessageListener)
class SaveMessages:
    """Appends what is received to a file; whoever reads the file sees each message at once.

    :param path: the file; made, readable for its owner alone, when it is not there
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = Path(path or os.environ.get("CIM_MESSAGES", "messages.jsonl"))
        # Unbuffered: nothing is left behind when the client ends.
        self._file = open(  # noqa: SIM115
            os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0
        )

    def received(self, client: IClient, message: Message) -> None:
        """Write one line. A full disk raises: the client logs that, and goes on."""
        line = {"from": message.sender, "name": message.sender_name, "text": message.text}
        self._file.write((json.dumps(line) + "\n").encode())

"""Upstream's message log: a text file for each user and day (docs/upstream.md)."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from zope.interface import implementer

from cim.client.client import Client
from cim.client.data_directory import folder_name
from cim.client.values import Kind, Message
from cim.daemon.clock import time_of_day
from cim.interfaces import IMessageListener
from cim.names import shown_name
from cim.plain import printable


@implementer(IMessageListener)
class MessageLog:
    """A listener that appends each text to `<directory>/<user>/<year><month><day>.log`, and edits as new texts.

    Months and days have no leading zero, as in upstream: 2024-9-3 is `202493.log`. A line is `name:text`, or `text` for
    the user's own messages; line breaks are written as a backslash and an n, so that nobody can write a line in
    another's name, and other control characters are made visible, so that no line controls the terminal that shows it.
    Each line is in the file when `received` returns.

    :param directory: the folder of all users' logs
    :param reactor: not needed any more
    :param time_of_day: the time in seconds since 1970, whose day in local time names the file
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        reactor: object = None,
        *,
        time_of_day: Callable[[], float] = time_of_day,
    ) -> None:
        self._directory = Path(directory)
        self._time_of_day = time_of_day
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def received(self, client: Client, message: Message) -> None:
        """Write a line; if the disk is full this raises, and the client logs that and goes on."""
        if message.kind not in (Kind.TEXT, Kind.EDIT) or client.me is None:
            return
        text = message.text if message.mine else f"{shown_name(message.sender.name) or 'nobody'}:{message.text}"
        line = "\\n".join(text.splitlines())
        # Tabs do no harm.
        shown = "\t".join(map(printable, line.split("\t"))) + "\n"
        self._opened(self.path(client.me.name)).write(shown.encode())

    def path(self, user: str) -> Path:
        """Return today's file for a user."""
        today = datetime.datetime.fromtimestamp(self._time_of_day(), datetime.UTC).astimezone()
        return self._directory / _folder(user) / f"{today.year}{today.month}{today.day}.log"

    def close(self) -> None:
        """Close the file; the next message opens it again."""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None

    def _opened(self, path: Path) -> BinaryIO:
        if self._file is None or path != self._path:
            self.close()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Unbuffered, so that nothing is lost when the client ends.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115
            self._path = path
        return self._file


def _folder(user: str) -> str:
    """Return the user's name itself, as upstream does, if it is a valid folder name, else an encoded one."""
    plain = "".join(c if c.isprintable() and c not in "/%" else quote(c, errors="surrogatepass") for c in user)
    plain = plain.replace("/", "%2F")
    return plain if not plain.startswith(".") and len(plain.encode()) <= 255 else folder_name(user)

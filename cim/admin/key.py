"""`cim-admin key` and `http-key`: API keys, and the key for `/metrics`."""

from __future__ import annotations

import os
from typing import Any

from cim.admin.command import Command, only
from cim.admin.printing import Printing
from cim.errors import CIMError
from cim.keys import derive_key, read_secret
from cim.private_files import BadFile, check_private


class Key(Command):
    """Adds a new API key to a file, which is made if it is missing."""

    synopsis = "[options] FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of a file")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        path = self["file"]
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "rb+") as file:
                check_private(file, path)
                file.seek(0, os.SEEK_END)
                apart = b""
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    apart = b"\n" if file.read(1) != b"\n" else b""
                file.write(apart + os.urandom(32).hex().encode() + b"\n")
        except OSError as error:
            raise CIMError(f"{path} cannot be written: {error.strerror}")
        except BadFile as error:
            raise CIMError(str(error))
        printing.one({"file": path}, f"{path} has a new API key: start routes with --api-key-file {path}")


class HTTPKey(Command):
    """Prints the key that `/metrics` asks for where others can reach it, made of the cluster's secret."""

    synopsis = "[options] SECRET-FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of the file with the cluster's secret")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        key = derive_key(read_secret(self["file"]), "http").hex()
        printing.one({"key": key}, key)

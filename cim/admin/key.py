"""`cim-admin key`: secrets, API keys, invitation codes, and the key for `/metrics` (docs/admin.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import Command, Group, only
from cim.admin.invitations import Invite
from cim.admin.printing import Column, Printing
from cim.api_keys import ALL, Scope, line_of, read_keys
from cim.errors import CIMError, InvalidField
from cim.keys import derive_key, make_secret_file, read_secret
from cim.plain import quoted
from cim.private_files import BadFile, check_private, replace_private

_COLUMNS = (
    Column("NAME", lambda row: row["name"] or "-"),
    Column("SCOPES", lambda row: "everything" if not row["name"] else " ".join(row["scopes"])),
    Column("BLOCKS", lambda row: "sends past them" if row["past_blocks"] else ""),
)


def _scopes(text: str) -> tuple[Scope, ...]:
    words = text.replace(",", " ").split()
    unknown = [word for word in words if word not in set(Scope)]
    if unknown or not words:
        raise ValueError(f"must be some of {', '.join(Scope)}, not {quoted(' '.join(unknown), 40)}")
    return tuple(map(Scope, words))


class APIKeyCommand(Command):
    """Adds a new API key to a file, which is made if it is missing; routes read it again by themselves.

    With a name, the file gets the hash of the key, and the key is printed, or written to a file of its own. Without
    one, the file gets the key itself, which may do everything.
    """

    synopsis = "[options] FILE"
    optParameters: Sequence[Sequence[Any]] = [
        ["name", None, "", "What the key is called in the file."],
        ["scopes", None, "", f"What it may do: some of {','.join(Scope)}.", _scopes],
        ["to", None, "", "Write the key to this file instead of printing it."],
    ]
    optFlags = [["past-blocks", None, "Let what it sends reach users who block the one whom it sends as."]]

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of a file")

    def postOptions(self) -> None:
        """Check that what belongs together is given together."""
        if bool(self["name"]) != bool(self["scopes"]):
            raise UsageError("--name and --scopes belong together")
        if self["to"] and not self["name"]:
            raise UsageError("--to needs --name and --scopes: a key without a name is kept in the file itself")
        if self["to"] and os.path.realpath(self["to"]) == os.path.realpath(self["file"]):
            raise UsageError("--to must name another file: what it names is replaced by the key")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        path, name, key = self["file"], self["name"], os.urandom(32).hex()
        past_blocks = bool(self["past-blocks"])
        line = f"{'operator ' * past_blocks}{key}"
        if name:
            try:
                line = line_of(key, name, self["scopes"], past_blocks=past_blocks)
            except InvalidField:
                raise CIMError(f"--name {quoted(name, 70)}: up to 64 letters, digits, dots, dashes and underscores")
            if os.path.exists(path) and name in {one.name for one in read_keys(path)}:
                raise CIMError(f"{path} has a key of the name {name} already: remove its line first")
        try:
            _append(path, line)
            if self["to"]:
                replace_private(Path(self["to"]), f"{key}\n".encode())
        except OSError as error:
            raise CIMError(f"{error.filename or path} cannot be written: {error.strerror}")
        except BadFile as error:
            raise CIMError(str(error))
        made = {"file": path, "name": name, "scopes": _sorted(self["scopes"] or ALL)}
        if name and not self["to"]:
            printing.one({**made, "key": key}, key)
        else:
            printing.one(made, "")
        where = f"is in {self['to']}" if self["to"] else "is shown only here" if name else "is in it"
        printing.note(f"{path} has a new API key, which {where}: start routes with --api-key-file {path}")


def _append(path: str, line: str) -> None:
    """Add a line to a file that others cannot read; its owner and mode stay as they are.

    :raises OSError: it cannot be written
    :raises BadFile: others can read it
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        check_private(file, path)
        file.seek(0, os.SEEK_END)
        apart = b""
        if file.tell():
            file.seek(-1, os.SEEK_END)
            apart = b"\n" if file.read(1) != b"\n" else b""
        # At once, so that a route never reads half of it.
        file.write(apart + line.encode() + b"\n")


class List(Command):
    """Lists the API keys of a file, and what they may do."""

    synopsis = "[options] FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of a file")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        printing.table(_COLUMNS).add(
            {"name": key.name, "scopes": _sorted(key.scopes), "past_blocks": key.past_blocks}
            for key in read_keys(self["file"])
        )


def _sorted(scopes: Iterable[Scope]) -> list[str]:
    return [scope.value for scope in Scope if scope in set(scopes)]


class Secret(Command):
    """Makes the file of a cluster's secret; one that is there stays."""

    synopsis = "[options] FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of a file")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        path = self["file"]
        if os.path.exists(path):
            raise CIMError(f"{path} is there already: daemons with different secrets do not link")
        make_secret_file(path, os.urandom)
        printing.one({"file": path}, "")
        printing.note(f"{path} has a new secret: start all servers and routes with --secret-file and a copy of it")


class MetricsKey(Command):
    """Prints the key that `/metrics` asks for where others can reach it, made of the cluster's secret."""

    synopsis = "[options] SECRET-FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = only(given, "the name of the file with the cluster's secret")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        key = derive_key(read_secret(self["file"]), "http").hex()
        printing.one({"key": key}, key)


class Key(Group):
    """Makes and shows keys; `cim-admin key FILE` is `cim-admin key api FILE`."""

    subCommands = [
        ["api", None, APIKeyCommand, "Add an API key to a file."],
        ["list", None, List, "List the API keys of a file."],
        ["secret", None, Secret, "Make the file of a cluster's secret."],
        ["metrics", None, MetricsKey, "Print the key for /metrics."],
        ["invitation", None, Invite, "Make an invitation, with which accounts can be made."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take a file's name for that of the command that it goes with."""
        words = list(options or ())
        if words and words[0] not in {"--help", "--version", *(name for name, *_ in self.subCommands)}:
            words.insert(0, "api")
        super().parseOptions(words)

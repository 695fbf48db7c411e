"""What the commands of `cim-admin` have in common: their options, and how they reach a route or a data folder."""

from __future__ import annotations

import getopt
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from inspect import getdoc
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from twisted.python.reflect import accumulateClassList
from twisted.python.usage import Options, UsageError

import cim
from cim.admin.printing import Printing
from cim.client.routes import Routes, parse_route
from cim.client.trust import Trust, Verifier
from cim.client.v1 import V1Calls
from cim.daemon.data_folder import DataFolder
from cim.errors import CIMError, InvalidField
from cim.plain import quoted
from cim.private_files import BadFile, read_private
from cim.web.calling import HTTPCalls
from cim.wire.pins import parse_pin

#: What the names of environment variables begin with.
VARIABLE = "CIM_ADMIN_"
#: The largest answer, in bytes: a page of a list may have more than was asked for.
MAX_BODY = 1 << 22


def _pin(text: str) -> str:
    return parse_pin(text) if text else ""


class Words(Options):
    """The options of `cim-admin`, of a group of commands or of one command, whose docstring is in its `--help`."""

    @property
    def longdesc(self) -> str:
        """What `--help` tells."""
        return getdoc(type(self)) or ""

    def getSynopsis(self) -> str:
        """Return how the command is written."""
        return " ".join(super().getSynopsis().split())

    def opt_version(self) -> NoReturn:
        """Display CIM's version and exit."""
        sys.stdout.write(f"cim-im {cim.__version__}\n")
        raise SystemExit(0)


class Group(Words):
    """Commands about one thing."""

    synopsis = ""
    subCommands: Sequence[Sequence[Any]] = ()

    def postOptions(self) -> None:
        """Check that there is a command."""
        if self.subCommand is None:
            *others, last = [name for name, *_ in self.subCommands]
            raise UsageError(f"give a command: {', '.join(others)} or {last}; --help tells what they do")


class Command(Words):
    """One command; its options may stand before and behind what it is about, or come from the environment.

    Subclasses have their own options, and `parseArgs` for what the command is about. The coercion of an option raises
    ValueError with the end of a sentence that begins with the option.

    :cvar from_environment: the options that may be given as CIM_ADMIN_<NAME>
    """

    synopsis = "[options]"
    optFlags: Sequence[Sequence[Any]] = [["json", None, "Print JSON for scripts, an object a line."]]
    from_environment: ClassVar[frozenset[str]] = frozenset()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take the options from wherever they stand.

        :raises UsageError: says which one cannot be used, and why
        """
        arguments = list(options or ())
        try:
            given, about = getopt.gnu_getopt(arguments, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise UsageError(str(error)) from None
        given = [*self._surroundings(), *given]
        rows: list[Sequence[Any]] = []
        accumulateClassList(type(self), "optParameters", rows)
        coercions = {f"--{row[0]}": row[4] for row in rows if len(row) > 4}
        for option, value in given:
            if option in coercions:
                _coerced(option, value, coercions[option])
        taking = {f"--{name.rstrip('=')}" for name in self.longOpt if name.endswith("=")}
        super().parseOptions([*(f"{name}={value}" if name in taking else name for name, value in given), "--", *about])

    def _surroundings(self) -> list[tuple[str, str]]:
        """Return the options that the environment gives."""
        top: Any = self
        while top.parent is not None:
            top = top.parent
        environ: Mapping[str, str] = getattr(top, "environ", {})
        found = []
        for name in sorted(self.from_environment):
            value = environ.get(VARIABLE + name.upper().replace("-", "_"), "")
            if value:
                flag = name in self.longOpt
                if flag and value not in ("0", "1"):
                    raise UsageError(f"{VARIABLE}{name.upper()} must be 0 or 1, not {quoted(value, 40)}")
                if value != "0" or not flag:
                    found.append((f"--{name}", "" if flag else value))
        return found

    async def run(self, reactor: Any, printing: Printing) -> None:
        """Do what the command is for.

        :raises CIMError: it is not done
        """
        raise NotImplementedError


class RouteCommand(Command):
    """A command that calls a route with an API key."""

    optParameters: Sequence[Sequence[Any]] = [
        ["route", None, "http://127.0.0.1:8083", "URL of a route.", parse_route],
        ["api-key-file", None, "./var/api-keys", "File with an API key; the suite makes one in its data folder."],
        ["ca", None, "", "PEM file of the certificates to trust instead of the machine's roots."],
        ["pin", None, "", "The pin of the route's key, sha256:....", _pin],
    ]
    optFlags = [["insecure", None, "Let the key go to another machine without TLS."]]
    from_environment = frozenset({"route", "api-key-file", "ca", "pin", "insecure"})

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        await self.call(self.v1(reactor), printing)

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """Do what the command is for, by calls of the route.

        :raises CIMError: it is not done
        """
        raise NotImplementedError

    def v1(self, reactor: Any) -> V1Calls:
        """Return the caller of the route.

        :raises CIMError: an option cannot be used
        """
        trust = Trust(ca=self["ca"], pins=(self["pin"],) if self["pin"] else (), insecure=bool(self["insecure"]))
        routes = Routes(reactor, [self["route"]])
        if not trust.insecure:
            routes.check_privacy()
        v1 = V1Calls(HTTPCalls(reactor, policy=Verifier(trust), max_body=MAX_BODY), routes)
        v1.token = first_key(self["api-key-file"])
        return v1


class DataCommand(Command):
    """A command that works on the data folder of a suite."""

    optParameters: Sequence[Sequence[Any]] = [["data", None, "./var", "The data folder of a suite."]]
    from_environment = frozenset({"data"})

    @property
    def folder(self) -> DataFolder:
        """The data folder.

        :raises CIMError: there is none, or it is not that of a suite
        """
        folder = DataFolder(Path(self["data"]))
        if not folder.database.is_file():
            raise CIMError(f"--data {folder.path} is no data folder of a suite: it has no {folder.database.name}")
        return folder


def only(given: Sequence[str], what: str) -> str:
    """Return what a command is about.

    :raises UsageError: none is given, or more than one
    """
    if len(given) != 1:
        raise UsageError(f"give {what}" + (", one alone" if given else ""))
    return given[0]


async def pages(
    v1: V1Calls, path: str, name: str, query: Mapping[str, Any], limit: int
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Give the pages of a list.

    :param name: the field of the list in the answers
    :param limit: the most items to ask for in one call
    """
    after: Any = None
    while True:
        asked = {**query, "limit": limit, **({} if after is None else {"after": after})}
        page, after = await v1.ask("GET", path, lambda said: (list(said[name]), said["more"]), query=asked)
        yield page
        if after is None:
            return


def first_key(path: str) -> str:
    """Return the first API key in a file.

    :raises CIMError: the file cannot be used
    """
    try:
        lines = [line.strip() for line in read_private(path).decode("ascii").splitlines()]
    except (BadFile, UnicodeDecodeError) as error:
        raise CIMError(f"--api-key-file: {error}")
    keys = [line for line in lines if line and not line.startswith("#")]
    usable = [line for line in keys if ":" not in line.split()[0] or " " not in line]
    if not usable:
        has = "holds hashes of keys alone: name a file with a key itself" if keys else "has no key"
        raise CIMError(f"--api-key-file: {path} {has}; make one with: cim-admin key api {path}")
    # What a key may do stands before it.
    return usable[0].split()[-1]


def _coerced(option: str, value: str, coerce: Callable[[str], Any]) -> None:
    try:
        coerce(value)
    except InvalidField as error:
        raise UsageError(f"{option}: {error.reason}") from None
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None

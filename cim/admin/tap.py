"""`cim-admin`: makes API keys and invitations, the latter by the calls of `/v1/admin`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.usage import Options, UsageError

from cim.client.routes import Routes, parse_route
from cim.client.trust import Trust, Verifier
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import positive_int
from cim.errors import CIMError, InvalidField
from cim.invitation_codes import MAX_DAYS
from cim.keys import derive_key, read_secret
from cim.plain import printable, quoted
from cim.private_files import BadFile, check_private, read_private
from cim.web.calling import HTTPCalls
from cim.wire.pins import parse_pin

_INVITATIONS = "admin/invitations"


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _line(one: Mapping[str, Any]) -> str:
    used = f"{one['used']} of {one['uses']} used"
    return f"{one['id']}  {used}  until {_day(one['expires'])}  {printable(one['note'])}".rstrip()


def _only(given: Sequence[str], what: str) -> str:
    if len(given) != 1:
        raise UsageError(f"give {what}" + (", one alone and behind all options" if given else ""))
    return given[0]


class Online(Options):
    """The options of commands that call a route."""

    optParameters: Sequence[Sequence[Any]] = [
        ["route", None, "http://127.0.0.1:8083", "URL of a route."],
        ["api-key-file", None, "./var/api-keys", "File with API keys; the suite makes one in its data folder."],
        ["ca", None, "", "PEM file of the certificates to trust instead of the machine's roots."],
        ["pin", None, "", "The pin of the route's key, sha256:...."],
    ]
    optFlags = [["insecure", None, "Let the key go to another machine without TLS."]]

    def v1(self, reactor: Any) -> V1Calls:
        """Return the caller of the route.

        :raises CIMError: an option cannot be used
        """
        pins = (parse_pin(self["pin"]),) if self["pin"] else ()
        trust = Trust(ca=self["ca"], pins=pins, insecure=bool(self["insecure"]))
        routes = Routes(reactor, [parse_route(self["route"])])
        if not trust.insecure:
            routes.check_privacy()
        v1 = V1Calls(HTTPCalls(reactor, policy=Verifier(trust)), routes)
        v1.token = _first_key(self["api-key-file"])
        return v1

    async def run(self, v1: V1Calls) -> str:
        """Do what the command is for, and return what to print."""
        raise NotImplementedError


class Invite(Online):
    """Makes an invitation, and prints its code."""

    synopsis = "[options]"
    optParameters: Sequence[Sequence[Any]] = [
        ["uses", None, 1, "How many accounts may be made with it.", positive_int],
        ["days", None, 7, "How many days it is good for.", positive_int],
        ["note", None, "", "What it is for."],
    ]

    def postOptions(self) -> None:
        """Check what the route would refuse in words of its own."""
        if self["days"] > MAX_DAYS:
            raise UsageError(f"--days must be at most {MAX_DAYS}")

    async def run(self, v1: V1Calls) -> str:
        """See Online."""
        body = {"uses": self["uses"], "expires_in": self["days"] * 86400, "note": self["note"]}
        made = await v1.ask("POST", _INVITATIONS, dict, body)
        sys.stderr.write(
            f"good for {made['uses']} new account{'s' * (made['uses'] > 1)} until {_day(made['expires'])}:"
            " make client NAME=... INVITATION=<code>, or --invitation <code>\n"
        )
        return f"{made['code']}\n"


class Invitations(Online):
    """Lists the invitations that have not expired."""

    async def run(self, v1: V1Calls) -> str:
        """See Online."""
        listed = await v1.ask("GET", _INVITATIONS, lambda said: said["invitations"])
        return "".join(f"{_line(one)}\n" for one in listed)


class Revoke(Online):
    """Revokes an invitation, given its id as `invitations` lists it."""

    synopsis = "[options] ID"

    def parseArgs(self, *given: str) -> None:
        """Take the id."""
        id = _only(given, "the id of an invitation")
        if not (id.isascii() and id.isalnum()):
            raise UsageError(f"{quoted(id, 40)} is not the id of an invitation; `cim-admin invitations` lists them")
        self["id"] = id

    async def run(self, v1: V1Calls) -> str:
        """See Online."""
        await v1.ask("DELETE", f"{_INVITATIONS}/{self['id']}", nothing)
        return ""


class Key(Options):
    """Adds a new API key to a file, which is made if it is missing."""

    synopsis = "FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = _only(given, "the name of a file")

    def make(self) -> str:
        """Add the key, and return what to print.

        :raises CIMError: the file cannot be written, or others can read it
        """
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
        return f"{path} has a new API key: start routes with --api-key-file {path}\n"


class HTTPKey(Options):
    """Prints the key that `/metrics` asks for where others can reach it, made of the cluster's secret."""

    synopsis = "SECRET-FILE"

    def parseArgs(self, *given: str) -> None:
        """Take the file's name."""
        self["file"] = _only(given, "the name of the file with the cluster's secret")

    def make(self) -> str:
        """Return the key.

        :raises InvalidField: the secret cannot be used
        """
        return f"{derive_key(read_secret(self['file']), 'http').hex()}\n"


class Admin(Options):
    """The options of `cim-admin`."""

    synopsis = "COMMAND [options]"
    subCommands = [
        ["invite", None, Invite, "Make an invitation, with which accounts can be made."],
        ["invitations", None, Invitations, "List the invitations."],
        ["revoke", None, Revoke, "Revoke an invitation."],
        ["key", None, Key, "Add an API key to a file."],
        ["http-key", None, HTTPKey, "Print the key for /metrics."],
    ]

    def postOptions(self) -> None:
        """Check that there is a command."""
        if self.subCommand is None:
            raise UsageError("give a command: invite, invitations, revoke, key or http-key")


def _first_key(path: str) -> str:
    """Return the first API key in a file.

    :raises CIMError: the file cannot be used
    """
    try:
        lines = [line.strip() for line in read_private(path).decode("ascii").splitlines()]
    except (BadFile, UnicodeDecodeError) as error:
        raise CIMError(f"--api-key-file: {error}")
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise CIMError(f"--api-key-file: {path} has no key; make one with: cim-admin key {path}")
    # What a key may do stands before it.
    return keys[0].split()[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `cim-admin`, and exit: with status 1 and one line if it fails."""
    options = Admin()
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)
        command: Any = options.subOptions
        said = _called(command) if isinstance(command, Online) else command.make()
    except (UsageError, CIMError) as error:
        why = error.reason if isinstance(error, InvalidField) else error
        sys.exit(f"cim-admin: {why}")
    sys.stdout.write(said)


def _called(command: Online) -> str:
    """Run a command that calls a route, and return what to print."""
    from twisted.internet import reactor

    outcome: list[Any] = []

    def finish(result: Any) -> None:
        outcome.append(result)
        reactor.stop()

    v1 = command.v1(reactor)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(command.run(v1)).addBoth(finish))
    reactor.run()
    if not outcome:
        raise CIMError("interrupted: it may or may not have been done")
    if isinstance(outcome[0], str):
        return outcome[0]
    outcome[0].raiseException()
    raise AssertionError

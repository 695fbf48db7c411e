"""`cim-admin`: runs a command, and exits with status 2 if it is misused, 1 if it fails, always with one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from cim.admin.backup import Backup, Restore
from cim.admin.check import Check
from cim.admin.command import VARIABLE, Command, DataCommand, Group, RouteCommand
from cim.admin.group_moderation import Groups
from cim.admin.invitations import Invitations, Invite, Revoke
from cim.admin.key import Key, MetricsKey
from cim.admin.moderation import Ban, Broadcast, DeleteMessage, Mute, Reports, Unban, Unmute
from cim.admin.printing import Printing
from cim.admin.status import Kick, Sessions, Status
from cim.admin.users import Users
from cim.admin.webhooks import Webhooks
from cim.daemon.clock import monotonic_reactor
from cim.errors import CIMError, InvalidField


class Admin(Group):
    """What operators do from a shell. Every command has a `--help` of its own."""

    synopsis = "cim-admin"
    subCommands = [
        ["status", None, Status, "Tell how the cluster is."],
        ["sessions", None, Sessions, "List who is online, and where."],
        ["kick", None, Kick, "End the sessions of a user."],
        ["users", None, Users, "Accounts and their passwords."],
        ["groups", None, Groups, "Any group, whoever is in it."],
        ["reports", None, Reports, "What users reported."],
        ["ban", None, Ban, "Keep a user from logging in, for a time or for good."],
        ["unban", None, Unban, "Let a banned user log in again."],
        ["mute", None, Mute, "Keep a user from saying anything, for a time or for good."],
        ["unmute", None, Unmute, "Let a muted user speak again."],
        ["delete-message", None, DeleteMessage, "Delete what somebody said, for all."],
        ["broadcast", None, Broadcast, "Say something as the system user."],
        ["webhooks", None, Webhooks, "How webhooks fare, and how they go on."],
        ["invite", None, Invite, "Make an invitation, with which accounts can be made."],
        ["invitations", None, Invitations, "List the invitations."],
        ["revoke", None, Revoke, "Revoke an invitation."],
        ["key", None, Key, "Make and show API keys, secrets, invitations and the key for /metrics."],
        ["http-key", None, MetricsKey, "Print the key for /metrics."],
        ["backup", None, Backup, "Copy a suite's data, while it runs."],
        ["restore", None, Restore, "Put a backup in the place of a suite's data."],
        ["check", None, Check, "Read all that is stored, and name what does not fit."],
    ]

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.environ = environ

    def postOptions(self) -> None:
        """Check that there is a command, and that the environment names options."""
        names = RouteCommand.from_environment | DataCommand.from_environment
        known = {VARIABLE + name.upper().replace("-", "_") for name in names}
        unknown = sorted(name for name in self.environ if name.startswith(VARIABLE) and name not in known)
        if unknown:
            raise UsageError(f"{unknown[0]}: there is no such option; the --help of a command lists them")
        super().postOptions()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `cim-admin`."""
    try:
        try:
            _main(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough; nothing more can be written when Python ends, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _main(arguments: Sequence[str]) -> None:
    options = Admin(os.environ)
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        _refuse(error, 2)
    command: Any = options
    while command.subCommand is not None:
        command = command.subOptions
    try:
        _run(command)
    except CIMError as error:
        _refuse(error, 1)


def _refuse(error: Exception, status: int) -> NoReturn:
    why = error.reason if isinstance(error, InvalidField) else error
    sys.stderr.write(f"cim-admin: {why}\n")
    sys.exit(status)


def _run(command: Command) -> None:
    """Run a command to its end, in the reactor if it waits for something."""
    reactor = monotonic_reactor()
    outcome: list[Any] = []
    printing = Printing(sys.stdout, sys.stderr, json=bool(command["json"]))
    running = Deferred.fromCoroutine(command.run(reactor, printing)).addBoth(outcome.append)
    if not outcome:
        running.addBoth(lambda _: reactor.stop())
        reactor.run()
    if not outcome:
        raise CIMError("interrupted: it may or may not have been done")
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()

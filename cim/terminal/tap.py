"""`twistd cim-client`, and `cim`: the terminal client."""

from __future__ import annotations

import getopt
import os
import random
import socket
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from twisted.application.service import IService
from twisted.internet.defer import execute
from twisted.logger import Logger
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError

from cim.client.client import Client
from cim.client.data_directory import DataDirectory, data_home
from cim.client.history import MemoryHistory, SqliteHistory
from cim.client.iclient import IHistory, IListener
from cim.client.message_log import MessageLog
from cim.client.routes import parse_route
from cim.client.trust import Trust
from cim.client.values import Credentials, Guest, Password, Token
from cim.daemon.clock import monotonic_reactor
from cim.daemon.config import DaemonOptions, read_secret_file
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit
from cim.errors import InvalidField, Unavailable
from cim.interfaces import IMessageListener
from cim.model import check_name
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import all_commands
from cim.terminal.console.question import Question
from cim.terminal.iconsole import IAnswerer
from cim.terminal.known_keys import KnownKeys
from cim.terminal.service import ErrorLines, Identity, Look, TerminalService
from cim.wire.pins import parse_pin

_log = Logger()

DEFAULT_ROUTE = "http://127.0.0.1:8083"
#: Instead of a pin: believe the first server that answers.
FIRST = "first"
#: Former and present names of the terminal's modules: configuration files may still use the former.
FORMERLY, NOW = "cim.client.console.", "cim.terminal.console."


class Options(DaemonOptions):
    """Options of the terminal client."""

    daemon = "client"
    # The log shares standard error with the terminal's notices.
    default_log_level = "error"
    repeated = ("route", "listener", "pin")
    synopsis = "[options] NAME"
    longdesc = (
        "Chat at the terminal. A typed line goes to everyone, @name text and id;;text to one user; :all lists the"
        " commands, :q! leaves. Input may be piped: lines are sent one at a time, and the client leaves at the end."
        " Standard output then has only the chat, one message per line. The exit status is 1 when the login is"
        " refused. A new name is registered with a generated password, which is kept in the data folder."
    )

    optParameters = [
        ["user", None, None, "Log in as this user; a new name is registered."],
        [
            "password-file",
            None,
            None,
            "File with the user's password; without it one is generated and kept in the data folder.",
        ],
        [
            "token-file",
            None,
            None,
            "File with a token of a back end, or a JWT, in the place of a password; read for each login that needs it.",
        ],
        [
            "invitation",
            None,
            None,
            "Code of an invitation, for a new name where one is needed; without it you are asked if you are there.",
        ],
        ["ca", None, None, "PEM file of the certificates to trust instead of the machine's roots."],
        ["device", None, None, "Name of this device; a new login with the same name ends the old one."],
        ["data", None, None, "Folder for history and passwords; empty to keep nothing. [default: ~/.local/share/cim]"],
        ["message-log", None, None, "Also append messages to <this folder>/<user>/<date>.log, like upstream's client."],
        [
            "ai",
            None,
            "cim.terminal.console.robot.Robot",
            "Dotted name of a class or function that makes the robot for :ai.",
        ],
    ]
    optFlags = [
        ["guest", None, "Log in without a password, through upstream's API: no history and no groups."],
        ["insecure", None, "Let the password and messages go to another machine without TLS."],
        ["websocket", None, "Connect by WebSocket only, not just if the TCP port cannot be reached."],
        ["stay", None, "Stay after the input ends, until a signal."],
    ]

    def opt_route(self, text: str) -> None:
        """A route's URL; may be repeated: calls are spread over all routes. [default: http://127.0.0.1:8083]"""
        try:
            self.add("route", parse_route(text))
        except InvalidField as error:
            raise UsageError(error.reason)

    def opt_pin(self, text: str) -> None:
        """The pin of a server's key, sha256:..., which is remembered; `first` believes the first server that answers.
        May be repeated."""
        try:
            self.add("pin", FIRST if text == FIRST else parse_pin(text))
        except InvalidField as error:
            raise UsageError(f"--pin {error.reason}, or {FIRST}")

    def opt_listener(self, name: str) -> None:
        """Also give messages to a listener that this class or function (a dotted name) makes; may be repeated."""
        self.add("listener", name)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """See DaemonOptions; the user's name may also come before options."""
        given = sys.argv[1:] if options is None else list(options)
        try:
            known, names = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
        except getopt.error:
            return super().parseOptions(given)  # raises the error with the right message
        named = [f"{name}={value}" if f"{name[2:]}=" in self.longOpt else name for name, value in known]
        super().parseOptions([*named, "--", *names] if names else given)

    def parseArgs(self, *names: str) -> None:
        """Accept the user's name without `--user`."""
        if len(names) > 1 or (names and self["user"]):
            raise UsageError("give only one user name")
        if names:
            self["user"] = names[0]

    def postOptions(self) -> None:
        """Check the options together, and choose the reactor that the line editor needs."""
        if not self["user"]:
            raise UsageError("give a user name: NAME or --user NAME")
        try:
            check_name(self["user"], "--user")
        except InvalidField as error:
            raise UsageError(f"{error.field} {error.reason}")
        if FIRST in self.pins and len(self.pins) > 1:
            raise UsageError(f"--pin {FIRST} cannot be combined with a pin")
        if self["token-file"] and (self["guest"] or self["password-file"] or self["invitation"]):
            raise UsageError("--token-file takes the place of --guest, --password-file and --invitation: give it alone")
        if self["data"] == "" and not (self["guest"] or self["password-file"] or self["token-file"]):
            raise UsageError("--data '' keeps no password: give one with --password-file FILE, or use --guest")
        self["listeners"] = [
            _made("listener", name, IMessageListener, IListener) for name in self.get("listener") or ()
        ]
        self["answerer"] = _made("ai", self["ai"], IAnswerer)
        self["look"] = self._look()
        chosen = self.parent is None or self.parent.get("reactor") or "twisted.internet.reactor" in sys.modules
        if self["look"].editing and not chosen:
            # twistd imports the reactor later and gets this one. Pipes keep the default one, which is faster.
            from twisted.internet import asyncioreactor

            asyncioreactor.install()

    def _look(self) -> Look:
        interactive = sys.stdin is not None and sys.stdin.isatty()
        term = self._environ.get("TERM", "")
        shown = interactive and sys.stdout is not None and sys.stdout.isatty()
        return Look(
            editing=shown and term not in ("", "dumb") and self.parent is not None,
            interactive=interactive,
            colour=not self._environ.get("NO_COLOR"),
            where=self.routes[0].partition("://")[2],
            typed=str(self.folder.path / "typed") if self.folder is not None else "",
            term=term,
        )

    @property
    def routes(self) -> list[str]:
        """The URLs of the routes."""
        return self.get("route") or [DEFAULT_ROUTE]

    @property
    def folder(self) -> DataDirectory | None:
        """The user's data folder, or None if nothing is kept."""
        return None if self["guest"] else self._any_folder

    @property
    def _any_folder(self) -> DataDirectory | None:
        if self["data"] == "":
            return None
        base = data_home(self._environ) if self["data"] is None else os.path.abspath(self["data"])
        return DataDirectory.of(base, self.routes[0], self["user"])

    @property
    def pins(self) -> list[str]:
        """What was given as the system's keys."""
        return self.get("pin") or []

    @property
    def known_keys(self) -> KnownKeys | None:
        """Where the system's keys are remembered, if anything is to be kept."""
        folder = self._any_folder
        # No folder of a user begins with a dot.
        return None if folder is None else KnownKeys(folder.path.parent / ".pins")

    def device(self, number: int = 1) -> str:
        """This device's name: by default the machine's, so that sessions on two machines do not end each other.

        :param number: which of the user's terminals on this machine it is
        """
        suffix = "" if number == 1 else f"-{number}"
        return self["device"] or f"terminal-{socket.gethostname()}"[: 64 - len(suffix)] + suffix


def _made(option: str, name: str, *interfaces: Any) -> Any:
    """Return the object that a dotted name makes; its module may be in the working directory."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        made = namedAny(NOW + name.removeprefix(FORMERLY) if name.startswith(FORMERLY) else name)()
    except Exception as error:
        raise UsageError(f"--{option} {name}: {type(error).__name__}: {error}")
    if not any(interface.providedBy(made) for interface in interfaces):
        raise UsageError(f"--{option} {name}: the object that it makes must provide {interfaces[0].__identifier__}")
    return made


def _short(path: Path) -> str:
    home = os.path.expanduser("~")
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _trust(options: Options) -> tuple[Trust, str]:
    """Return whom the client believes, and what somebody can do who knows better.

    :raises CIMError: what is remembered cannot be read
    """
    known = options.known_keys
    given = tuple(pin for pin in options.pins if pin != FIRST)
    remembered = known.read() if known is not None and not given and not options["ca"] else ()
    asked = FIRST in options.pins and not remembered
    trust = Trust(
        ca=options["ca"] or "",
        pins=given or remembered,
        first_use=(lambda pin: known.remember([pin]) if known is not None else None) if asked else None,
        insecure=bool(options["insecure"]),
    )
    if remembered and known is not None:
        return trust, f"if its operator confirms the new key, give --pin sha256:... (the old is kept in {known.path})"
    if given:
        return trust, ""
    return trust, f"--ca FILE names the signer, --pin sha256:... the key; --pin {FIRST} believes whoever answers first"


def _identity(options: Options, reactor: Any) -> Identity:
    """Make the client; reads the password, or generates it.

    :raises UsageError, CIMError: there is no usable password
    """
    trust, hint = _trust(options)
    name, folder = options["user"], options.folder
    banner: list[str] = []
    number = folder.claim() if folder is not None else 1
    facts = [("route", ", ".join(options.routes)), ("device", options.device(number))]
    history: IHistory = MemoryHistory()
    credentials: Credentials = Guest(name)
    new: DataDirectory | None = None
    question = Question(asks=options["look"].interactive)
    typed = ""

    async def ask(why: str) -> str:
        nonlocal typed
        new_name = "; if the name is new, press Enter and give an invitation" if "invitation" in why else ""
        typed = await question.ask_secret(f"{why}: type the password of {name}{new_name}")
        return typed

    if folder is not None:
        history = SqliteHistory(folder.numbered_history(number), reactor)
        facts.append(("data", _short(folder.path)))
    if options["token-file"]:
        credentials = Token(lambda: execute(_token, options["token-file"]), name)
    elif options["password-file"]:
        credentials = Password(name, read_secret_file(options["password-file"], "password-file"), create=True)
    elif folder is not None:
        new = folder if folder.password() is None else None
        credentials = folder.credentials(name)
        if new is not None:
            banner.append(f"a password for {name} was generated and is kept in {_short(folder.password_file)}")
    if isinstance(credentials, Password):
        asking = question.ask if question.asks else ""
        credentials = evolve(credentials, invitation=options["invitation"] or asking)
        if question.asks:
            credentials = evolve(credentials, ask=ask)
    listeners = list(options["listeners"])
    if options["message-log"]:
        listeners.append(MessageLog(options["message-log"]))
    client = Client(
        reactor,
        options.routes,
        credentials,
        device=options.device(number),
        history=history,
        random=random.random,
        listeners=listeners,
        agent="cim-client",
        trust=trust,
        websocket=bool(options["websocket"]),
    )

    def ready(_: object) -> None:
        if new is not None and not client.proven:
            # The account has another password, which somebody knows.
            new.drop_password()
            banner.clear()
        elif typed and folder is not None and not options["password-file"]:
            folder.keep_password(typed)

    readied = client.when_ready().addCallbacks(ready, lambda _: None)
    readied.addErrback(lambda failure: _log.error("{reason}", reason=failure.getErrorMessage()))
    known = options.known_keys
    if known is not None and options.routes[0].startswith("https:") and FIRST not in options.pins and options.pins:
        # They were right: whoever answered had one of them.
        remembering = client.when_ready().addCallbacks(lambda _: known.remember(options.pins), lambda _: None)
        remembering.addErrback(lambda failure: _log.error("{reason}", reason=failure.getErrorMessage()))
    return Identity(client, name, facts, banner, new, hint, question)


def _token(path: str) -> str:
    try:
        return read_secret_file(path, "token-file")
    except UsageError as error:
        raise Unavailable(str(error)) from None


def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the client of one user as a service, which connects when it is started."""
    reactor = reactor or monotonic_reactor()
    exit = Exit(reactor)
    root = DaemonRoot(options, "client", reactor, exit)
    look = options["look"]
    if look.editing and not hasattr(reactor, "_asyncioEventloop"):
        # Another reactor was chosen: read lines as the terminal gives them, without the editor.
        look = evolve(look, editing=False)
    if look.editing:
        # The log must disturb the input line no more than a message does.
        look = evolve(look, errors=ErrorLines(sys.stderr))
        sys.stderr = look.errors

    def chat(identity: Identity, screen: Any) -> Chat:
        return Chat(
            identity.client,
            screen,
            reactor,
            lambda: datetime.now(UTC).timestamp(),
            lambda: uuid.uuid4().hex,
            answerer=options["answerer"],
            question=identity.question,
            passwords=options.folder if not (options["password-file"] or options["token-file"]) else None,
            facts=identity.facts,
            keeps=options.folder is not None,
        )

    root.add(
        TerminalService(
            reactor,
            identity=lambda: _identity(options, reactor),
            chat=chat,
            commands=all_commands(),
            leave=exit.leave,
            stay=bool(options["stay"]),
            look=look,
        )
    )
    return root

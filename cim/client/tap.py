"""`twistd cim-client`: the terminal client."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from twisted.application.service import IService
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError

from cim.client.api import RouteAPI, parse_route
from cim.client.library import Client
from cim.client.service import TerminalService
from cim.config import DaemonOptions
from cim.ecim import InvalidField
from cim.icim import IMessageListener
from cim.model import check_name
from cim.root import DaemonRoot
from cim.runtime import Exit
from cim.web.calling import JSONCalls

DEFAULT_ROUTE = "http://127.0.0.1:8083"


class Options(DaemonOptions):
    """Options of the terminal client."""

    daemon = "client"
    # The log shares standard error with what the terminal has to say.
    default_log_level = "error"
    repeated = ("route", "listener")
    synopsis = "[options] --user NAME"
    longdesc = (
        "Chat at the terminal. A typed line goes to everyone, id;;text to one user; :olu lists who is online, :all the"
        " commands, :q! leaves. Input may be piped: lines are sent one at a time, and at its end the client leaves."
        " Standard output holds the chat alone, one message a line. The exit status is 1 when the login is refused."
    )

    optParameters = [["user", None, None, "Log in as this user; the name is registered when it is new."]]
    optFlags = [["stay", None, "Stay after the end of the input, until a signal."]]

    def opt_route(self, text: str) -> None:
        """A route's URL; may be given several times: calls are spread over all. [default: http://127.0.0.1:8083]"""
        try:
            self.add("route", parse_route(text))
        except InvalidField as error:
            raise UsageError(error.reason)

    def opt_listener(self, name: str) -> None:
        """Also give messages to what this class or function (a dotted name) makes; may be given several times."""
        self.add("listener", name)

    def postOptions(self) -> None:
        """Check what belongs together."""
        if not self["user"]:
            raise UsageError("--user NAME is missing")
        try:
            check_name(self["user"], "--user")
        except InvalidField as error:
            raise UsageError(f"{error.field} {error.reason}")
        self["listeners"] = [_listener(name) for name in self.get("listener") or ()]


def _listener(name: str) -> Any:
    """Return what the dotted name makes; its module may lie in the working directory."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        listener = namedAny(name)()
    except Exception as error:
        raise UsageError(f"--listener {name}: {type(error).__name__}: {error}")
    if not IMessageListener.providedBy(listener):
        raise UsageError(f"--listener {name}: what it makes does not provide cim.icim.IMessageListener")
    return listener


def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the client of one user as a service; it connects when it is started."""
    if reactor is None:
        from twisted.internet import reactor
    exit = Exit(reactor)
    root = DaemonRoot(options, "client", reactor, exit)
    calls = JSONCalls(reactor)
    client = Client(
        RouteAPI(calls, reactor, options.get("route") or [DEFAULT_ROUTE]), options["user"], reactor, random.random
    )
    for listener in options["listeners"]:
        client.add_listener(listener)
    interactive = sys.stdin is not None and sys.stdin.isatty()
    root.add(TerminalService(client, calls, reactor, exit.leave, stay=bool(options["stay"]), interactive=interactive))
    return root

"""The root service of a daemon, which each tap's `makeService` returns."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.usage import Options

import cim
from cim.daemon import logs
from cim.daemon.lifecycle import OrderedService
from cim.daemon.runtime import (
    Exit,
    command,
    raise_file_limit,
    refuse_in_twistd,
    sd_notify,
    spare_collector,
    start_error,
)


class DaemonRoot(OrderedService):
    """Runs a daemon's services in order and corrects twistd's behaviour around them (see cim.daemon.runtime).

    It touches the process itself (signals, log, exit status, limits, systemd) only if the options were parsed as a
    subcommand of twistd or twist, so that tests can run the same service.
    """

    _log = Logger()

    def __init__(
        self,
        options: Options,
        daemon: str,
        reactor: Any,
        exit: Exit,
        *,
        stop_timeout: float = 10.0,
        total: float = 30.0,
    ) -> None:
        """
        :param exit: ends the process
        :param stop_timeout: seconds that a child may take to stop
        :param total: seconds that all children together may take
        """
        super().__init__(reactor, stop_timeout=stop_timeout, total=total)
        self._options = options
        self._daemon = daemon
        self._reactor = reactor
        self._exit = exit
        self._process = options.parent is not None

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join the application, and install our log observer unless the user chose another."""
        twistd = self._options.parent
        if isinstance(parent, Componentized) and twistd is not None and "nodaemon" in twistd:
            if not twistd.get("syslog"):
                level, style = self._options["log-level"], self._options["log-format"]
                parent.setComponent(ILogObserver, logs.observer(self._log_writer(twistd), level, style))
            logging.getLogger().addHandler(logs.StandardLogging(logging.WARNING))
        super().setServiceParent(parent)

    def _log_writer(self, twistd: Any) -> Any:
        name = twistd.get("logfile")
        if name and name != "-":
            file = logs.LogFile(name)
            self._exit.renew_log = file.renew
            return logs.to_file(file)
        # A client's standard output is for the chat only.
        return logs.to_file(sys.stderr if self._daemon == "client" and not name else sys.stdout)

    def privilegedStartService(self) -> None:
        """Start listening on ports that need privileges."""
        self._guarded(super().privilegedStartService)

    def startService(self) -> None:
        """Start everything; tell systemd READY once the reactor runs."""
        self._log.info("starting {command} {version}", command=command(self._daemon), version=cim.__version__)
        if self._process:
            self._exit.end_process_with_status()
            self._exit.outlive_user_signals()
            if self._daemon != "client":
                raise_file_limit()
            # Not earlier, because the reactor installs its own signal handlers as it starts.
            self._reactor.callWhenRunning(self._exit.stop_on_signals)
            self._reactor.callWhenRunning(spare_collector)
            self._reactor.callWhenRunning(sd_notify, "READY=1")
        self._guarded(super().startService)

    def _guarded(self, start: Any) -> None:
        try:
            start()
        except Exception as error:
            reason = start_error(error)
            twistd: Any = self._options.parent
            if reason is None or twistd is None:
                raise
            self._log.critical("{command} cannot start: {reason}", command=command(self._daemon), reason=reason)
            refuse_in_twistd(twistd, reason, os.write)

    def stopService(self) -> Deferred[None]:
        """Stop everything in order."""
        if self._process:
            sd_notify("STOPPING=1")
        return super().stopService()

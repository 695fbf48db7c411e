"""What twistd does not do for a daemon: pid file, log, exit status, limits, systemd (docs/architecture.md).

How a daemon ends: SIGTERM, SIGINT, SIGQUIT, SIGHUP, or a rarer signal that would kill it, stops the reactor, which
stops the services in order, and the exit status is 0; a second one ends the process at once. SIGUSR1 opens the log file
anew, and SIGUSR2 does nothing. A service that must end the process calls `Exit.leave(status, reason)`, which makes the
same orderly stop and exits with that status. A busy port, or anything else that may be expected to go wrong at start,
gives one line in the log and status 1.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from twisted.logger import Logger
from twisted.python.usage import UsageError

from cim.errors import CIMError

if TYPE_CHECKING:
    from twisted.python.usage import Options

#: The signals that stop a daemon, and others that would kill it, such as that its CPU time is used up.
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_KILLING = tuple(
    signal.Signals[name]
    for name in ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGXCPU", "SIGSTKFLT")
    if name in signal.Signals.__members__
)

_M = TypeVar("_M", bound=Callable[..., Any])
_log = Logger()


def command(daemon: str) -> str:
    """Return the twistd command of a daemon."""
    return "cim" if daemon == "suite" else f"cim-{daemon}"


def prepare(options: Options, daemon: str) -> None:
    """Choose twistd's own settings where the user did not; call it while options are parsed.

    In the foreground there is no pid file; a daemon's pid and log files are named after it; a client stays in the
    foreground. Nothing changes under `twist`, or when the options are parsed on their own.
    """
    parent: MutableMapping[str, Any] | None = options.parent
    if parent is None or "nodaemon" not in parent:
        return
    if daemon == "client":
        parent["nodaemon"] = True
    if parent["pidfile"] == "twistd.pid":
        parent["pidfile"] = "" if parent["nodaemon"] else f"twistd-{command(daemon)}.pid"
    if not parent["nodaemon"] and not parent.get("syslog") and not parent["logfile"]:
        parent["logfile"] = f"{command(daemon)}.log"


def sd_notify(state: str, environ: MutableMapping[str, str] | None = None) -> None:
    """Send systemd `READY=1` or `STOPPING=1`; do nothing if it did not start this process."""
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.setblocking(False)
            notify.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        _log.warn("cannot tell systemd {state}: {error}", state=state, error=str(error))


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; log and return the limit that now holds."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            _log.warn("cannot raise the open-file limit from {limit}: {error}", limit=soft, error=str(error))
            return soft
    _log.info("open-file limit: {limit}", limit=hard)
    return hard


def spare_collector() -> None:
    """Exclude everything that exists now, mostly code, from garbage collections, and make them rarer.

    Without this a full collection examined all of it, which stopped a route for 60 to 80 ms each time. And because each
    message makes some dozens of short-lived objects, the young generation was collected several times per batch.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _no_log() -> None:
    _log.info("SIGUSR1 is for daemons that log to a file")


class Exit:
    """How the process will end; one per process, made by the tap and passed to what may end it.

    :ivar status: the exit status so far
    :ivar renew_log: what SIGUSR1 calls in the reactor's thread
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._leaving = False
        self._signals = 0
        self.status = 0
        self.renew_log: Callable[[], object] = _no_log

    def leave(self, status: int, reason: str = "") -> None:
        """End the process with `status` after an orderly stop; only the first call counts.

        :param reason: a sentence for the log
        """
        if self._leaving:
            return
        self._leaving = True
        self.status = status
        if reason:
            (_log.critical if status else _log.info)("{reason}", reason=reason)
        # stop() raises while the reactor is not running; callWhenRunning calls at once when it is.
        self._reactor.callWhenRunning(self._stop)

    def _stop(self) -> None:
        from twisted.internet.error import ReactorNotRunning

        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # it is stopping already

    def end_process_with_status(self) -> None:
        """Make the interpreter exit with the status; twistd itself always exits with 0."""
        atexit.register(self._end)

    def _end(self) -> None:
        if self.status:
            end_now(self.status)

    def outlive_user_signals(self) -> None:
        """Have SIGUSR1 renew the log, and SIGUSR2 be told there; without a handler, both end a process."""
        signal.signal(signal.SIGUSR1, lambda *_: self._reactor.callFromThread(self.renew_log))
        signal.signal(signal.SIGUSR2, lambda *_: self._reactor.callFromThread(_log.info, "SIGUSR2 does nothing here"))

    def stop_on_signals(self) -> None:
        """Replace the reactor's signal handlers, which would make twistd die by the signal: with 143 instead of 0."""
        for number in _STOPPING:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._signalled)
        for number in _KILLING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: object) -> None:
        self._signals += 1
        if self._leaving or self._signals > 1:
            end_now(128 + number)
        self._reactor.callFromThread(self.leave, 0, f"stopping on {signal.Signals(number).name}")


def end_now(status: int) -> NoReturn:
    """End the process at once; the only clean-up is to flush what was written."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)


def refuse(daemon: str, reason: str) -> NoReturn:
    """End the process before it has started, with status 1 and one line on standard error."""
    raise SystemExit(f"{command(daemon)}: {reason}")


def one_line_errors(make_service: _M) -> _M:
    """Decorate a tap's `makeService` to turn a UsageError into one line and status 1.

    twistd does so only while it parses options; later it shows a traceback. Without twistd the error is raised.
    """

    @wraps(make_service)
    def making(options: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            return make_service(options, *arguments, **keywords)
        except UsageError as error:
            if options.parent is None:
                raise
            refuse(options.daemon, str(error))

    return making  # type: ignore[return-value]  # the same signature


def start_error(error: BaseException) -> str | None:
    """Return a sentence for an error that may be expected at start; None for an unexpected one."""
    if isinstance(error, CIMError):
        return error.message
    if isinstance(error, OSError | UsageError):
        return str(error)
    return None


def refuse_in_twistd(parent: MutableMapping[str, Any], reason: str, write: Callable[[int, bytes], int]) -> NoReturn:
    """End a process that twistd is starting, with status 1.

    If twistd daemonized, its first process waits at a pipe to read what to print and which status to exit with.
    """
    pipe = parent.get("statusPipe")
    if pipe is not None:
        write(pipe, f"1 {reason}".encode("ascii", "backslashreplace")[:100])
    if parent.get("pidfile"):
        try:
            os.unlink(parent["pidfile"])
        except OSError:
            pass
    raise SystemExit(1)

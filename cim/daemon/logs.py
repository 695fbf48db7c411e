"""Log lines as text or JSON, one per event, to the screen or a file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python import logfile
from zope.interface import implementer

#: Libraries whose info lines are logged only at debug level; their warnings are always logged.
_CHATTY = ("twisted", "log_legacy", "klein", "kazoo", "txredisapi")
_OWN_KEYS = frozenset(
    ("message", "time", "level", "namespace", "failure", "format", "system", "isError", "why", "text", "printed")
)


def _when(event: LogEvent) -> str:
    return datetime.fromtimestamp(event.get("log_time", 0), UTC).astimezone().isoformat(timespec="milliseconds")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return str(level.name) if level is not None else "info"


def text_line(event: LogEvent) -> str:
    """Return an event as one line: time, level, origin, message; an unexpected failure adds its traceback, indented."""
    message = (formatEvent(event) or "").replace("\r", "\\r").replace("\n", "\\n")
    failure = event.get("log_failure")
    if failure is not None:
        message += "\n\t" + failure.getTraceback().rstrip().replace("\n", "\n\t")
    return f"{_when(event)} {_level(event)} [{event.get('log_namespace', '-')}] {message}\n"


def json_line(event: LogEvent) -> str:
    """Return an event as a JSON object: time, level, namespace, message, the event's simple fields, and any failure."""
    record: dict[str, Any] = {
        key: value
        for key, value in event.items()
        if not key.startswith("log_") and key not in _OWN_KEYS and isinstance(value, str | int | float | None)
    }
    failure = event.get("log_failure")
    if failure is not None:
        record["failure"] = failure.getTraceback()
    head = {
        "time": _when(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", "-"),
        "message": formatEvent(event) or "",
    }
    return json.dumps(head | record) + "\n"


def observer(write: Callable[[str], object], level: str, style: str) -> ILogObserver:
    """Return the observer that twistd logs through.

    :param write: called with each line
    :param level: the lowest level that is written; above debug, chatty libraries are logged only from warnings up
    :param style: text or json
    """
    line = json_line if style == "json" else text_line
    lowest = LogLevel.levelWithName(level)
    predicate = LogLevelFilterPredicate(defaultLogLevel=lowest)
    if lowest is not LogLevel.debug:
        for namespace in _CHATTY:
            predicate.setLogLevelForNamespace(namespace, max(lowest, LogLevel.warn))

    @implementer(ILogObserver)
    class Lines:
        def __call__(self, event: LogEvent) -> None:
            write(line(event))

    return FilteringLogObserver(Lines(), [predicate])


def to_file(file: IO[str] | logfile.LogFile) -> Callable[[str], object]:
    """Return a function that writes a line to a file at once; a full disk or a closed pipe is ignored."""

    def write(line: str) -> None:
        try:
            file.write(line.encode("utf-8", "backslashreplace").decode("utf-8"))
            file.flush()
        except (OSError, ValueError):
            pass

    return write


class LogFile(logfile.LogFile):
    """A log file that somebody else, such as logrotate, may move away.

    :raises OSError: it cannot be opened
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        directory, name = os.path.split(os.path.abspath(path))
        os.makedirs(directory, exist_ok=True)
        super().__init__(name, directory, rotateLength=None)

    def renew(self) -> None:
        """Go on in a new file; one that is still in its place is moved to `<name>.1` first.

        If there can be no new file, go on in the old one, and say so there.
        """
        try:
            if self._in_place():
                self.rotate()
            else:
                before = self._file
                self._openFile()
                before.close()
        except OSError as error:
            self._log.error("there can be no new log file {path}: {error}", path=self.path, error=error.strerror)

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


class StandardLogging(logging.Handler):
    """Passes the warnings of libraries that use Python's logging to Twisted's log."""

    _levels = ((logging.ERROR, LogLevel.error), (logging.WARNING, LogLevel.warn), (logging.INFO, LogLevel.info))

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        level = next((ours for theirs, ours in self._levels if record.levelno >= theirs), LogLevel.debug)
        Logger(namespace=record.name).emit(level, "{text}", text=record.getMessage())

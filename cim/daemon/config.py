"""Daemons' options, from the command line, the environment, a file and defaults (docs/architecture.md)."""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from twisted.python.reflect import accumulateClassList
from twisted.python.usage import Options, UsageError

import cim
from cim.daemon.runtime import prepare, refuse
from cim.limits import count, limit
from cim.plain import quoted
from cim.private_files import BadFile, read_private

LOG_LEVELS = ("debug", "info", "warn", "error", "critical")
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("", "0", "false", "no", "off"))


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not float(text):
        raise ValueError(f"must be a positive number of seconds, not {quoted(text, 40)}")
    return float(text)


def positive_int(text: str) -> int:
    """Read a whole number from 1 to 10^15 - 1."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or not int(text):
        raise ValueError(f"must be a positive whole number, not {quoted(text, 40)}")
    return int(text)


def port(text: str) -> int:
    """Read a port number, 1 to 65535."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"must be a port from 1 to 65535, not {quoted(text, 40)}")
    return int(text)


def ratio(text: str) -> float:
    """Read a number from 0 to 1."""
    if not re.fullmatch(r"[01](\.[0-9]{1,9})?", text) or float(text) > 1:
        raise ValueError(f"must be a number from 0 to 1, not {quoted(text, 40)}")
    return float(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a coercion that accepts one of these words."""

    def coerce(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {quoted(text, 40)}")
        return text

    return coerce


#: Environment variables of Kubernetes for services, and of Docker for links.
_PLATFORMS = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?)?|NAME|ENV_\w+)$")
#: The tables of a file, and what the names of their options begin with.
TABLES = {"limits": "limit-"}
#: Coercions whose values are numbers, not strings, in a file.
_NUMERIC: tuple[Callable[[str], Any], ...] = (seconds, positive_int, port, ratio, int, float)


def read_secret_file(path: str, option: str) -> str:
    """Return the text of a file that holds a secret, without surrounding white space.

    :param option: the option that names the file, for the message
    :raises UsageError: the file cannot be read, or others can read it too, or it is empty or not UTF-8; names the
        option, never the content
    """
    try:
        text = read_private(path).decode().strip()
    except BadFile as error:
        raise UsageError(f"--{option}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--{option}: {path} is not UTF-8 text") from None
    if not text:
        raise UsageError(f"--{option}: {path} is empty")
    return text


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class DaemonOptions(Options):
    """Options that may also come from the environment and from a file; subclasses add theirs as usual.

    An option `max-frame` of the server is `--max-frame` on the command line, `CIM_SERVER_MAX_FRAME` in the
    environment and the key `max-frame` in the file; one that begins with `limit-` is a key of the file's table
    `[limits]`, without that. All are coerced by the same function, which raises ValueError
    with the end of a sentence that starts with the option's name. A flag is a boolean in the file, and 1, true, yes,
    on or 0, false, no, off in the environment. Of two flags `x` and `no-x`, false for one is true for the other.
    Variables that container platforms set for services and links are ignored; other variables with a daemon's prefix
    must name one of its options.

    :cvar daemon: server, route, client or suite
    :cvar default_log_level: the default of `--log-level`
    :cvar repeated: further options that may be given several times; each has an `opt_x` method that takes one value,
        usually with `add`. They are lists in the file and separated by commas in the environment. A stronger source
        replaces the whole list of a weaker one.
    :cvar tables: what may stand several times in the file alone, each time as a table `[[name]]`, and how one is read,
        given as Python values: it raises ValueError with the end of a sentence. The option is the list of what was
        read. One that is `repeated`, too, may also be a list of strings
    """

    daemon: ClassVar[str] = ""
    default_log_level: ClassVar[str] = "info"
    repeated: ClassVar[Sequence[str]] = ()
    tables: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {}

    optParameters = [
        ["config", None, None, "Read options from this TOML file."],
        ["log-level", None, "info", f"Lowest level to log: {', '.join(LOG_LEVELS)}.", one_of(*LOG_LEVELS)],
        ["log-format", None, "text", "Log lines as text or json.", one_of("text", "json")],
    ]

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environ = os.environ if environ is None else environ
        rows: list[Sequence[Any]] = []
        accumulateClassList(type(self), "optParameters", rows)
        self._coercions: dict[str, Callable[[str], Any]] = {
            row[0]: row[4] if len(row) > 4 and row[4] is not None else str for row in rows
        }
        flags: list[Sequence[Any]] = []
        accumulateClassList(type(self), "optFlags", flags)
        self._flags = frozenset(flag[0] for flag in flags)
        self._repeated = frozenset(name for kind in type(self).__mro__ for name in vars(kind).get("repeated", ()))
        self._tables = {
            name: read for kind in type(self).__mro__ for name, read in vars(kind).get("tables", {}).items()
        }
        self["log-level"] = self.defaults["log-level"] = self.default_log_level

    def opt_version(self) -> NoReturn:
        """Display CIM's version and exit."""
        sys.stdout.write(f"cim-im {cim.__version__}\n")
        raise SystemExit(0)

    def parseArgs(self, *given: str) -> None:
        """Take no arguments besides options.

        :raises UsageError: names the first one
        """
        if given:
            raise UsageError(f'"{given[0]}" is no option: options begin with --')

    def add(self, option: str, value: Any) -> None:
        """Append a value to an option that may be given several times."""
        if not self.get(option):
            self[option] = []
        self[option].append(value)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take options from all sources.

        twistd would print all options before what is wrong, so under it the process ends with that line alone.

        :raises UsageError: names the option or key, its source, and what is wrong
        """
        try:
            self._parse(options)
        except UsageError as error:
            if self.parent is None:
                raise
            refuse(self.daemon, f"{error} (--help lists the options)")

    def _parse(self, options: Sequence[str] | None) -> None:
        arguments = list(sys.argv[1:] if options is None else options)
        try:
            given, _ = getopt.getopt(arguments, self.shortOpt, self.longOpt)
        except getopt.GetoptError:
            given = []  # the real parse below reports what is wrong
        named = [(self._option(argument), value) for argument, value in given]
        asked = {name for name, _ in named}
        for name in asked:
            if self._contrary(name) in asked:
                raise UsageError(f"--{name} and --{self._contrary(name)} exclude each other")
        if not asked & {"help", "version"}:
            for name, value in named:
                if name in self._coercions:
                    self._coerced(name, value, f"--{name}")
            self._take_weaker_sources(asked, dict(named).get("config"))
            prepare(self, self.daemon)
        super().parseOptions(arguments)

    def _option(self, argument: str) -> str:
        bare = argument.lstrip("-")
        return str(self.synonyms.get(bare, self.synonyms.get(bare.replace("-", "_"), bare)))

    def _contrary(self, name: str) -> str:
        """Return the flag that says the contrary, as `no-guests` does of `guests`; "" if there is none."""
        other = name.removeprefix("no-") if name.startswith("no-") else f"no-{name}"
        return other if {name, other} <= self._flags else ""

    def _with_contraries(self, names: set[str]) -> set[str]:
        return names.union(map(self._contrary, names))

    def _take_weaker_sources(self, given: set[str], config: str | None) -> None:
        taken = self._with_contraries(given)
        known = {*self._coercions, *self._flags, *self._repeated, *self._handlers()} - {"help", "version"}
        prefix = f"CIM_{self.daemon.upper()}_"
        variables = {name.upper().replace("-", "_"): name for name in sorted(known)}
        found = set()
        for bare, name in variables.items():
            if name not in taken and (variable := prefix + bare) in self._environ:
                self._take_text(name, self._environ[variable], variable)
                found.add(name)
        taken |= self._with_contraries(found)
        for variable in sorted(self._environ):
            bare = variable.removeprefix(prefix)
            if bare != variable and bare not in variables and not _PLATFORMS.search(variable):
                raise UsageError(f"{variable}: there is no such option")
        path = config or self["config"]
        if path:
            for table, key, value in self._keys(path):
                if not table and key in self._tables and not (key in self._repeated and _texts(value)):
                    if key not in taken:
                        self[key] = self._read_tables(key, value, path)
                    continue
                name = TABLES.get(table, "") + key
                if name not in known - {"config"} or (not table and name.startswith(tuple(TABLES.values()))):
                    where = f" of [{table}]" if table else ""
                    raise UsageError(f"{path}: unknown key {quoted(key)}{where}")
                if name not in taken:
                    self._take_toml(name, value, f"{path}: {f'[{table}] ' if table else ''}{key}")

    def _keys(self, path: str) -> Iterator[tuple[str, str, Any]]:
        """Yield each key of a file with its table, empty for those of none, and its value."""
        for key, value in self._load(path).items():
            if key in TABLES and isinstance(value, dict):
                for inner, of_inner in value.items():
                    yield key, inner, of_inner
            else:
                yield "", key, value

    def _read_tables(self, key: str, value: Any, path: str) -> list[Any]:
        """Return what the tables `[[key]]` of a file say."""
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise UsageError(f"{path}: {key} must be tables, each of which begins with [[{key}]]")
        read = []
        for number, table in enumerate(value, 1):
            try:
                read.append(self._tables[key](table))
            except ValueError as error:
                raise UsageError(f"{path}: [[{key}]] {number}: {error}") from None
        return read

    def _handlers(self) -> set[str]:
        return {name[4:].replace("_", "-") for name in dir(type(self)) if name.startswith("opt_") and len(name) > 5}

    def _load(self, path: str) -> dict[str, Any]:
        import tomllib

        try:
            return tomllib.loads(Path(path).read_bytes().decode())
        except OSError as error:
            raise UsageError(f"--config: cannot read {path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--config: {path} is not valid TOML: {error}") from None

    def _take_text(self, name: str, text: str, source: str) -> None:
        if name in self._flags:
            if text.lower() not in _TRUE | _FALSE:
                raise UsageError(f"{source} must be true or false, not {quoted(text, 40)}")
            if text or not self._contrary(name):
                self._set_flag(name, text.lower() in _TRUE, source)
        elif name in self._repeated:
            for item in text.split(","):
                if item.strip():
                    self._handle(name, item.strip(), source)
        elif name in self._coercions:
            self[name] = self._coerced(name, text, source)
        else:
            self._handle(name, text, source)

    def _take_toml(self, name: str, value: Any, source: str) -> None:
        if name in self._flags:
            if not isinstance(value, bool):
                raise UsageError(f"{source} must be true or false")
            self._set_flag(name, value, source)
        elif name in self._repeated and isinstance(value, list):
            for item in value:
                if not isinstance(item, str):
                    raise UsageError(f"{source} must be a list of strings")
                self._handle(name, item, source)
        elif self._coercions.get(name) in _NUMERIC:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{source} must be a number")
            self[name] = self._coerced(name, str(value), source)
        elif self._coercions.get(name) in (limit, count) and type(value) in (int, float):
            self[name] = self._coerced(name, str(value), source)
        elif not isinstance(value, str):
            raise UsageError(f"{source} must be a string" + (" or a list of strings" if name in self._repeated else ""))
        elif name in self._coercions:
            self[name] = self._coerced(name, value, source)
        else:
            self._handle(name, value, source)

    def _set_flag(self, name: str, on: bool, source: str) -> None:
        contrary = self._contrary(name)
        if contrary and not on:
            name, contrary, on = contrary, name, True
        if contrary and self[contrary]:
            raise UsageError(f"{source} contradicts another value: {contrary} and {name} exclude each other")
        self[name] = int(on)

    def _handle(self, name: str, text: str, source: str) -> None:
        try:
            getattr(self, "opt_" + name.replace("-", "_"))(text)
        except UsageError as error:
            raise UsageError(f"{source}: {error}") from None

    def _coerced(self, name: str, text: str, source: str) -> Any:
        try:
            return self._coercions[name](text)
        except ValueError as error:
            raise UsageError(f"{source} {error}") from None

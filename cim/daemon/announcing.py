"""What a daemon announces about itself, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.usage import UsageError

from cim.daemon.endpoints import Endpoint
from cim.interfaces import IAnnouncement, IRegistry
from cim.nodes import host_and_ports
from cim.plain import quoted


class Announcing(Service):
    """Keeps a name, with its data, in the registry while it runs."""

    def __init__(self, registry: IRegistry, folder: str, name: str, value: bytes) -> None:
        self._registry = registry
        self._folder = folder
        self._name = name
        self._value = value
        self._announcement: IAnnouncement | None = None

    def startService(self) -> None:
        """Announce the name."""
        super().startService()
        self._announcement = self._registry.announce(self._folder, self._name, self._value)

    def change(self, value: bytes) -> None:
        """Keep the name with other data."""
        self._value = value
        if self._announcement is not None:
            self._announcement.change(value)

    def stopService(self) -> Deferred[None]:
        """Withdraw the name; fires when it is gone from the registry."""
        super().stopService()
        announcement, self._announcement = self._announcement, None
        return succeed(None) if announcement is None else announcement.withdraw()

    def health(self) -> str:
        """Return "" while the name is listed, else a sentence that says what is wrong."""
        if self._announcement is not None and self._announcement.listed():
            return ""
        return "not listed in the registry yet"


class Caution(Service):
    """Warns at the start of the daemon that an option makes it less safe."""

    _log = Logger()

    def __init__(self, text: str) -> None:
        self._text = text

    def startService(self) -> None:
        """Log the warning."""
        super().startService()
        self._log.warn("{text}", text=self._text)


class Stopping(Service):
    """Calls a function in its turn when the daemon stops."""

    def __init__(self, name: str, stop: Callable[[], Deferred[None] | None]) -> None:
        self.name = name
        self._stop = stop

    def stopService(self) -> Deferred[None] | None:
        """Call the function; fires when its result does."""
        super().stopService()
        return self._stop()


def port_of(description: str, option: str) -> int:
    """Return the port in an endpoint description.

    :raises UsageError: there is none, or it is 0, so others could not be told where to connect; names the option
    """
    port = Endpoint.parse(description).port
    if port is None:
        raise UsageError(f"--{option} {description} has no port number; give the ports with --advertise HOST:PORT:PORT")
    return port


def advertised(advertise: str, ports: tuple[tuple[str, str], tuple[str, str]]) -> tuple[str, int, int]:
    """Return the host and the two ports at which others reach this daemon.

    :param advertise: `HOST`, or `HOST:PORT:PORT` if the ports differ from those that the daemon listens on; an IPv6
        address before ports is in brackets
    :param ports: the endpoint description and the option name of both listeners
    :raises UsageError: `advertise` cannot be used
    """
    host, given = host_and_ports(advertise)
    if not host or len(given) not in (0, 2) or not all(part.isascii() and part.isdigit() for part in given):
        raise UsageError(f"--advertise must be HOST or HOST:PORT:PORT, not {quoted(advertise)}")
    if host in ("0.0.0.0", "::", "*"):
        raise UsageError("--advertise must be an address that others can connect to")
    if given:
        first, second = (int(part) for part in given)
    else:
        first, second = (port_of(description, option) for description, option in ports)
    if not (0 < first < 65536 and 0 < second < 65536):
        raise UsageError(f"--advertise: ports must be from 1 to 65535, not {quoted(advertise)}")
    return host, first, second

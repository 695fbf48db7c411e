"""Where a client keeps what is its user's: the history and the password (docs/client.md).

One folder for each user of each system, `$XDG_DATA_HOME/cim/<route's host>-<port>/<user>/`, which that user of the
machine alone can read. Names are percent-encoded, so that any name is one folder and each folder is of one name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from cim.client.values import Password
from cim.errors import CIMError, InvalidField

_PORTS = {"http": 80, "https": 443}
#: File systems allow 255 bytes; this leaves room for endings.
_LONGEST = 200
#: Bytes of a new password; its text is a third longer.
_PASSWORD_BYTES = 24


def data_home(environment: Mapping[str, str]) -> Path:
    """Return the folder for all data of CIM's clients: `$XDG_DATA_HOME/cim`, or `~/.local/share/cim`.

    A relative `XDG_DATA_HOME` counts as none, as its specification says.
    """
    home = environment.get("XDG_DATA_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~"), ".local", "share")) / "cim"


def folder_name(name: str) -> str:
    """Return a name for a file or folder that stands for any name, and for it alone.

    One that would be too long is cut and goes on with a hash: such a one is longer than all others.
    """
    encoded = quote(name, safe="", errors="surrogatepass")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) <= _LONGEST:
        return encoded
    return f"{encoded[: _LONGEST - 63]}~{hashlib.sha256(encoded.encode()).hexdigest()}"


def system_name(route: str) -> str:
    """Return the folder's name for the system behind a route's URL.

    :raises InvalidField: when it is no URL of a route
    """
    try:
        parts = urlsplit(route)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in _PORTS:
        raise InvalidField("route", "must be a URL such as http://127.0.0.1:8083")
    return folder_name(f"{host}-{port or _PORTS[parts.scheme]}{parts.path.rstrip('/')}")


class DataDirectory:
    """The folder of one user. Nothing is made before it is needed.

    :param path: the folder itself
    :param random: returns that many random bytes, fit for secrets
    """

    def __init__(self, path: str | os.PathLike[str], random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.path = Path(path)
        self._random = random

    @classmethod
    def of(cls, base: str | os.PathLike[str], route: str, user: str) -> DataDirectory:
        """Return the folder of a user of the system behind a route.

        :param base: of all clients' data: `data_home()`, or what somebody chose instead
        :raises InvalidField: when `route` is no URL of a route
        """
        return cls(Path(base) / system_name(route) / folder_name(user))

    @property
    def history(self) -> Path:
        """The file of the history."""
        return self.path / "history.db"

    @property
    def password_file(self) -> Path:
        """The file of the password."""
        return self.path / "password"

    def password(self) -> str | None:
        """Return the password that is kept, or None when none is.

        :raises CIMError: names the file when it cannot be read, or holds none
        """
        try:
            text = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._trouble(error)
        if not text:
            raise CIMError(f"the password file {self.password_file} is empty")
        return text

    def make_password(self) -> str:
        """Return the password that is kept; when none is, make one and keep it first.

        So an account is never made with a password that nobody knows any more.

        :raises CIMError: names the file when it cannot be read or written
        """
        kept = self.password()
        if kept is not None:
            return kept
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Written aside (mode 0600): the file is whole or not there, and another process's that came first stays.
            descriptor, aside = tempfile.mkstemp(dir=self.path, prefix="password.")
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(f"{self._random(_PASSWORD_BYTES).hex()}\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.link(aside, self.password_file)
            except FileExistsError:
                pass
            finally:
                os.unlink(aside)
            _sync(self.path)
        except OSError as error:
            raise self._trouble(error)
        made = self.password()
        assert made is not None
        return made

    def credentials(self, name: str) -> Password:
        """Return what a user with that name logs in with; the account is made, with a new password, when there is none.

        :raises CIMError: as `make_password`
        """
        return Password(name, self.make_password(), create=True)

    def drop_password(self) -> None:
        """Forget a password that `make_password` made, when no account came of it."""
        self.password_file.unlink(missing_ok=True)

    def _trouble(self, error: OSError | UnicodeDecodeError) -> CIMError:
        why = getattr(error, "strerror", None) or error
        return CIMError(f"the password file {self.password_file} cannot be used: {why}")


def _sync(folder: Path) -> None:
    """Have the entries of a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

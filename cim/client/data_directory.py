"""The folder in which a client keeps its user's history and password (docs/client.md).

There is one folder for each user of each system, `$XDG_DATA_HOME/cim/<route's host>-<port>/<user>/`, which only that
user of the machine can read. Names are percent-encoded, so that folders and names correspond one to one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from cim.client.values import Password
from cim.errors import CIMError, InvalidField
from cim.private_files import replace_private

_PORTS = {"http": 80, "https": 443}
#: The longest name in bytes: file systems allow 255, and this leaves room for suffixes.
_LONGEST = 200
#: Random bytes in a new password; its text is a third longer.
_PASSWORD_BYTES = 24


def data_home(environment: Mapping[str, str]) -> Path:
    """Return the folder for all data of CIM's clients: `$XDG_DATA_HOME/cim`, or `~/.local/share/cim`.

    A relative `XDG_DATA_HOME` is ignored, as its specification says.
    """
    home = environment.get("XDG_DATA_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~"), ".local", "share")) / "cim"


def folder_name(name: str) -> str:
    """Return the file or folder name for a name, which is different for every name.

    A result that would be too long is cut and ends with a hash; it is longer than any result that is not cut.
    """
    encoded = quote(name, safe="", errors="surrogatepass")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) <= _LONGEST:
        return encoded
    return f"{encoded[: _LONGEST - 63]}~{hashlib.sha256(encoded.encode()).hexdigest()}"


def system_name(route: str) -> str:
    """Return the folder name for the system behind a route's URL.

    :raises InvalidField: it is not the URL of a route
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
    """The folder of one user. Folder and files are created when they are first needed.

    :param path: the folder itself
    :param random: returns a number of random bytes, fit for secrets
    """

    def __init__(self, path: str | os.PathLike[str], random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.path = Path(path)
        self._random = random
        #: Open while this process claims a number.
        self._claims: list[int] = []

    @classmethod
    def of(cls, base: str | os.PathLike[str], route: str, user: str) -> DataDirectory:
        """Return the folder of a user of the system behind a route.

        :param base: the folder for all clients' data: `data_home()` or another one
        :raises InvalidField: `route` is not the URL of a route
        """
        return cls(Path(base) / system_name(route) / folder_name(user))

    def claim(self) -> int:
        """Return the lowest number, from 1 on, that no other process has claimed; this one has it until it ends.

        So several programs of one user each get a history and a device of their own, the same ones each time.

        :raises CIMError: the folder cannot be written; the error names it
        """
        number = 0
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            while True:
                number += 1
                descriptor = os.open(self.path / f"claim-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                self._claims.append(descriptor)
                return number
        except OSError as error:
            raise CIMError(f"the folder {self.path} cannot be used: {error.strerror}")

    @property
    def history(self) -> Path:
        """The history file."""
        return self.numbered_history(1)

    def numbered_history(self, number: int) -> Path:
        """Return the history file of whoever claimed a number."""
        return self.path / ("history.db" if number == 1 else f"history-{number}.db")

    @property
    def password_file(self) -> Path:
        """The password file."""
        return self.path / "password"

    def password(self) -> str | None:
        """Return the stored password, or None.

        :raises CIMError: the file cannot be read or is empty; the error names it
        """
        try:
            text = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._trouble(error)
        if not text:
            raise CIMError(f"the password file {self.password_file} is empty: write the password into it, or delete it")
        return text

    def make_password(self) -> str:
        """Return the stored password; if there is none, generate and store one first.

        So no account is ever created with a password that is lost.

        :raises CIMError: the file cannot be read or written; the error names it
        """
        kept = self.password()
        if kept is not None:
            return kept
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Written to a temporary file (mode 0600) first: so the file is complete or missing, and never replaces one
            # that another process wrote first.
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

    def keep_password(self, password: str) -> None:
        """Store a password instead of the one that is stored.

        :raises CIMError: the file cannot be written, and is as before; the error names it
        """
        try:
            replace_private(self.password_file, f"{password}\n".encode())
        except OSError as error:
            raise self._trouble(error)

    def credentials(self, name: str) -> Password:
        """Return the credentials of a user; with them, a missing account is created with a new password.

        :raises CIMError: as for `make_password`
        """
        return Password(name, self.make_password(), create=True)

    def drop_password(self) -> None:
        """Delete a password that `make_password` generated if no account was created with it."""
        self.password_file.unlink(missing_ok=True)

    def _trouble(self, error: OSError | UnicodeDecodeError) -> CIMError:
        why = getattr(error, "strerror", None) or error
        return CIMError(f"the password file {self.password_file} cannot be used: {why}")


def _sync(folder: Path) -> None:
    """Sync the entries of a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

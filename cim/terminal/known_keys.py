"""The keys that the terminal remembers for a system, as ssh does for hosts (docs/terminal.md, TLS)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cim.client import CIMError, InvalidField
from cim.private_files import replace_private
from cim.wire.pins import parse_pin


class KnownKeys:
    """A file with the pins of one system, one on each line.

    :param path: the file, which need not exist yet
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[str, ...]:
        """Return the pins; none if there is no file.

        :raises CIMError: names the file if it cannot be read, or is not a file of pins
        """
        try:
            return tuple(parse_pin(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip())
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError, InvalidField) as error:
            raise CIMError(f"the pins in {self.path} cannot be read: {getattr(error, 'strerror', None) or error}")

    def remember(self, pins: Sequence[str]) -> None:
        """Replace the pins, and a file that cannot be read, too.

        :raises CIMError: names the file if it cannot be written
        """
        with suppress(CIMError):
            if tuple(pins) == self.read():
                return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_private(self.path, "".join(f"{pin}\n" for pin in pins).encode())
        except OSError as error:
            raise CIMError(f"the pins cannot be written to {self.path}: {error.strerror}")

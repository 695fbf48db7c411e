"""Which proxies say where clients are: `--trusted-proxies` (docs/limits.md, Addresses)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.python.usage import UsageError

from cim.addresses import Addresses, proxy
from cim.daemon.config import DaemonOptions


class ProxiesOptions(DaemonOptions):
    """Adds `--trusted-proxies`."""

    repeated: ClassVar[Sequence[str]] = ("trusted-proxies",)

    def opt_trusted_proxies(self, text: str) -> None:
        """Believe this proxy where clients are: an address, a network or unix; may be given several times."""
        try:
            self.add("trusted-proxies", proxy(text))
        except ValueError as error:
            raise UsageError(f"--trusted-proxies {error}")


def addresses_of(options: Any, refused: Callable[[str], None]) -> Addresses:
    """Return where clients are by a daemon's options.

    :param refused: called with a kind for each header that is not believed
    """
    return Addresses(options.get("trusted-proxies") or (), refused)

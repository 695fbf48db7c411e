"""Endpoint descriptions, the values of `--listen` and similar options: what a daemon itself must know of them.

They are Twisted's (`tcp:8083:interface=127.0.0.1`), with `haproxy:` in front if a PROXY header names the peers, and
with `tls:` as docs/operations.md describes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from attrs import frozen

_TCP = frozenset(("tcp", "tcp4", "tcp6"))
_TLS = frozenset(("tls", "ssl"))


@frozen
class Endpoint:
    """Where a daemon listens.

    :ivar kind: the word before the first colon, without `haproxy:`
    :ivar proxied: whether a PROXY header names the peers
    :ivar arguments: the positional arguments
    :ivar named: the named arguments
    """

    kind: str
    proxied: bool
    arguments: tuple[str, ...]
    named: Mapping[str, str]

    @classmethod
    def parse(cls, description: str) -> Endpoint:
        """Parse an endpoint description; its arguments are checked only when it is listened on."""
        kind, *parts = re.split(r"(?<!\\):", description)
        proxied = kind == "haproxy" and bool(parts)
        if proxied:
            kind, *parts = parts
        named = [re.split(r"(?<!\\)=", part, maxsplit=1) for part in parts]
        return cls(
            kind,
            proxied,
            tuple(_unescaped(one[0]) for one in named if len(one) == 1),
            {one[0]: _unescaped(one[1]) for one in named if len(one) == 2},
        )

    @property
    def tls(self) -> bool:
        """Whether the port speaks TLS."""
        return self.kind in _TLS

    @property
    def port(self) -> int | None:
        """The port, or None if it is not given or the kernel chooses it."""
        said = (self.named.get("port", ""), *self.arguments)
        found = (int(one) for one in said if one.isascii() and one.isdigit() and 0 < int(one) < 65536)
        return next(found, 443 if self.kind == "tls" and len(self.arguments) < 2 else None)

    @property
    def interface(self) -> str:
        """The address that it listens at; empty if none is given."""
        interface = self.named.get("interface", "")
        if not interface and self.kind in _TCP and len(self.arguments) > 1:
            interface = self.arguments[1]
        return interface

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it; False for `haproxy:` and `systemd:`, where that cannot be known."""
        if self.proxied:
            return False
        if self.kind == "unix":
            return True
        return self.kind in _TCP | _TLS and is_loopback_host(self.interface)


def is_loopback_host(host: str) -> bool:
    """Return whether a host, a name or an address, is this machine to itself alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unescaped(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)

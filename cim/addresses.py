"""Where those are who ask for something, as limits count it (docs/limits.md, Addresses)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from twisted.logger import Logger

from cim.plain import quoted

#: How a peer on a socket of this machine's files is called.
UNIX = "unix"
#: Addresses of which it is remembered what they are.
_KEPT = 10_000

Network = IPv4Network | IPv6Network


def proxy(text: str) -> Network | str:
    """Read whom to trust: an address, a network like 10.0.0.0/8, or `unix`.

    :raises ValueError: says what is wrong
    """
    if text == UNIX:
        return UNIX
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            f"must be an address, a network like 10.0.0.0/8 or fd00::/8, or {UNIX}, is {quoted(text, 60)}"
        ) from None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a header names, with or without a port; None for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(_KEPT)
def counted(host: str) -> str:
    """Return under what an address is counted: IPv6 by its first 64 bits, which belong to one customer."""
    address = _parsed(host)
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address) if address is not None else host


def _host(peer: Any) -> str:
    return getattr(peer, "host", None) or UNIX


class Addresses:
    """Says where whoever asks is: the peer of the connection, or whom a trusted proxy names.

    :param trusted: the proxies whose PROXY header and X-Forwarded-For are believed
    :param refused: called with a kind for each header that is not believed
    :ivar advice: what an operator should do; empty for nothing
    """

    _log = Logger()

    def __init__(self, trusted: Iterable[Network | str], refused: Callable[[str], None]) -> None:
        trusted = tuple(trusted)
        self._unix = UNIX in trusted
        self._networks = [network for network in trusted if not isinstance(network, str)]
        self._refused = refused
        self._trusts = lru_cache(_KEPT)(self._look)
        self.advice = ""

    def of(self, transport: Any, forwarded: Sequence[bytes] = ()) -> str:
        """Return the address of a connection's client, as it is counted.

        :param forwarded: the values of X-Forwarded-For, when it is a request's
        """
        connection = transport
        while hasattr(connection, "transport"):
            # A PROXY header's or TLS's wrapper of the connection proper.
            connection = connection.transport
        peer = connection.getPeer()
        # Without a wrapper nobody else is named; transports make an address anew each time that they are asked.
        named = peer if connection is transport else transport.getPeer()
        at = _host(peer)
        if not forwarded and named == peer:
            return counted(at)
        if not self._trusts(at):
            self._ignore(at)
            return counted(at)
        hops = b",".join(forwarded).decode("latin-1").split(",") if forwarded else []
        if named != peer:
            hops.append(_host(named))
        while hops and self._trusts(at):
            further = _parsed(hops.pop())
            if further is None:
                break
            at = str(further)
        return counted(at)

    def trusts(self, transport: Any) -> bool:
        """Return whether a connection is from a trusted proxy."""
        while hasattr(transport, "transport"):
            transport = transport.transport
        return self._trusts(_host(transport.getPeer()))

    def at(self, peer: Any) -> str:
        """Return the address of a new connection; empty for a trusted proxy, which says later for whom it connects.

        :param peer: as transports and factories have it
        """
        host = _host(peer)
        return "" if self._trusts(host) else counted(host)

    def _look(self, host: str) -> bool:
        if host == UNIX:
            return self._unix
        address = _parsed(host)
        return address is not None and any(address in network for network in self._networks)

    def _ignore(self, at: str) -> None:
        self._refused("untrusted-proxy")
        address = _parsed(at)
        # Anybody can send such a header; whoever does from a private address is most likely a proxy of ours.
        if not self.advice and (address is None or address.is_private):
            self.advice = (
                f"all clients share the limits of {at}, which names other addresses as a proxy does: if it is one, "
                f"name it in --trusted-proxies"
            )
            self._log.warn("{advice}", advice=self.advice)

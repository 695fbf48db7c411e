"""Which URLs and addresses daemons may send to: public ones, and networks that an operator allowed.

URLs come from files of the operator or, for push, from users. A name may lead anywhere, so the addresses that it leads
to are what is checked, and `cim.outgoing.client` connects to the very ones that were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import field, frozen

from cim.errors import InvalidField, OutgoingRefused

Network = IPv4Network | IPv6Network

#: The longest URL, in bytes.
MAX_URL = 2048
#: IPv4 that is not public (IANA's special-purpose registry, RFC 6890, and what is multicast or reserved).
_SPECIAL4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: All that is public of IPv6 lies in here: neither loopback, link-local, unique local nor multicast addresses do, nor
#: those with one of IPv4 in them (mapped, compatible, NAT64).
_PUBLIC6 = IPv6Network("2000::/3")
#: What of it is not: protocols' own (Teredo among them), documentation, 6to4.
_SPECIAL6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
#: Forms that lead to an address of IPv4, and how far to the right that stands in them, in bits.
_CARRIERS = ((IPv6Network("::ffff:0:0/96"), 0), (IPv6Network("64:ff9b::/96"), 0), (IPv6Network("2002::/16"), 80))

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:[/?][!-~]*)?"
)
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
#: The end of a name that resolvers may read as an address in an old spelling, such as 2130706433, 0x7f.1 or 127.1.
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9A-Fa-f]*)")


def network(text: str) -> Network:
    """Read a network, or an address for a network of one.

    :raises ValueError: with the end of a sentence that starts with the option's name
    """
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError("must be an address or a network, such as 10.1.0.0/16 (no bit set after the prefix)")


@frozen
class Guard:
    """Says what may be reached.

    :param allowed: networks that may be reached although they are not public
    """

    allowed: tuple[Network, ...] = field(default=(), converter=tuple)

    def permits(self, address: str) -> bool:
        """Return whether an address may be connected to.

        An address that leads to one of IPv4 is permitted if its own form is allowed and what it leads to is permitted.
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
            return False
        for carrier, shift in _CARRIERS:
            if parsed in carrier and not self._permits(IPv4Address(int(parsed) >> shift & 0xFFFFFFFF)):
                return False
        return self._permits(parsed)

    def _permits(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self.allowed):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _SPECIAL4)
        return address in _PUBLIC6 and not any(address in network for network in _SPECIAL6)

    def check_addresses(self, host: str, addresses: Iterable[str]) -> None:
        """Check all that a host's name leads to: one that is not permitted taints the others.

        :raises OutgoingRefused: names host and address
        """
        for address in addresses:
            if not self.permits(address):
                raise OutgoingRefused(
                    f"{host} leads to {address}, which is not a public address; if daemons are to reach it, an operator"
                    f" allows it: --allow-outgoing {address}"
                )


def check_url(url: str, *, https: bool = False) -> None:
    """Check the form of a URL; where it leads is checked whenever something is sent to it.

    :param https: whether only https will do
    :raises InvalidField: it is none that something may be sent to
    """
    if len(url) > MAX_URL:
        raise InvalidField("url", f"must have at most {MAX_URL} bytes")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise InvalidField("url", "must not hold a user or a password")
    found = _URL.fullmatch(url)
    if found is None or "\\" in url or "#" in url:
        raise InvalidField("url", "must be an http or https URL in ASCII, without a fragment")
    if https and found["scheme"] != "https":
        raise InvalidField("url", "must begin with https://")
    if found["port"] is not None and not 0 < int(found["port"]) < 65536:
        raise InvalidField("url", "must have a port from 1 to 65535")
    host = found["host"]
    if host.startswith("["):
        valid = _is_address(host[1:-1])
    else:
        valid = len(host) < 254 and bool(_NAME.fullmatch(host)) and (not _NUMBER.fullmatch(host) or _is_address(host))
    if not valid:
        raise InvalidField("url", "must name a host, or an address in its usual form, without a dot at the end")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

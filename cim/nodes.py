"""The nodes of servers and routes in the registry: their names, which are addresses, and the data of ours."""

from __future__ import annotations

import json
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, Self

from attrs import frozen

from cim.errors import InvalidField
from cim.plain import quoted


def host_and_ports(text: str) -> tuple[str, list[str]]:
    """Split `HOST` or `HOST:PORT...`; an IPv6 address is in brackets, or stands alone, and loses its brackets.

    :returns: an empty host for what is neither; nothing else is checked
    """
    try:
        return str(IPv6Address(text)), []
    except ValueError:
        pass
    if not text.startswith("["):
        host, *ports = text.split(":")
        return host, ports
    address, bracket, rest = text[1:].partition("]")
    try:
        return str(IPv6Address(address)) if bracket and rest[:1] in ("", ":") else "", rest.split(":")[1:]
    except ValueError:
        return "", []


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host


# Each login names the address of its server.
@lru_cache(maxsize=1024)
def _split_address(text: str, what: str) -> tuple[str, int, int]:
    host, ports = host_and_ports(text)
    if not host or len(ports) != 2 or not all(map(_is_port, ports)):
        raise InvalidField(what, f"must be host:port:port, not {quoted(text)}")
    return host, int(ports[0]), int(ports[1])


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


@frozen(order=True)
class ServerAddress:
    """A server's address; its text form is its name in the registry (docs/upstream.md, ZooKeeper)."""

    host: str
    tcp_port: int
    http_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:tcp:http`.

        :raises InvalidField: when it is anything else
        """
        return cls(*_split_address(text, "server address"))

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.tcp_port}:{self.http_port}"


@frozen(order=True)
class RouteAddress:
    """A route's address; its text form is its name in the registry."""

    host: str
    http_port: int
    link_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:http:link`.

        :raises InvalidField: when it is anything else
        """
        return cls(*_split_address(text, "route address"))

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.http_port}:{self.link_port}"


@frozen
class NodeData:
    """The data of our own nodes in the registry; upstream's nodes have none.

    :param websocket: the URL of a server's WebSockets; empty if it has none
    :param tls_name: the name that clients verify on a server's TCP port; empty if they do not use TLS there
    :param away: whether a route does not reach its store, so that others should be asked
    """

    version: str
    incarnation: str
    websocket: str = ""
    tls_name: str = ""
    away: bool = False

    def encode(self) -> bytes:
        """The node's value: a JSON object."""
        data = {"cim": self.version, "incarnation": self.incarnation, "websocket": self.websocket}
        away = {"away": True} if self.away else {}
        return json.dumps({**data, **away, "tls_name": self.tls_name}, sort_keys=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self | None:
        """Read a node's value; None if the node is not one of ours."""
        try:
            loaded: Any = json.loads(value)
            websocket, tls_name = (str(loaded.get(name, "")) for name in ("websocket", "tls_name"))
            away = loaded.get("away") is True
            return cls(str(loaded["cim"]), str(loaded["incarnation"]), websocket, tls_name, away)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

"""Connects to hosts by name, also by names that only container networks have, such as my_redis."""

from __future__ import annotations

import re

from twisted.internet.endpoints import HostnameEndpoint

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


class NamedHost(HostnameEndpoint):
    """A port of a host, which is named or given by its address.

    Twisted refuses a name that the DNS cannot have, such as one with an underscore. But resolvers also know those of
    containers and of /etc/hosts, so any name in ASCII is asked for as it is.
    """

    @staticmethod
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:
        invalid, name, text = HostnameEndpoint._hostAsBytesAndText(host)
        return invalid and _PLAIN.fullmatch(text) is None, name, text

"""The options of the console: where it listens, and what its requests may name as their Host."""

from __future__ import annotations

from typing import Any

from twisted.python.usage import UsageError

from cim.daemon.endpoints import Endpoint
from cim.nodes import host_and_ports
from cim.web.hosts import Hosts


def check_console(options: Any) -> None:
    """Check where a daemon's console listens: an API key goes over that port, and what it lets its owner do.

    :param options: with `console`
    :raises UsageError: others could read what crosses it
    """
    if not options["console"]:
        return
    endpoint = Endpoint.parse(options["console"])
    encrypted = endpoint.tls and endpoint.named.get("plain") != "yes"
    if not endpoint.loopback and not encrypted:
        raise UsageError(
            f"--console {options['console']} is reachable from other machines without TLS: give it"
            " :interface=127.0.0.1, and reach it by an SSH tunnel, or give tls:CERTIFICATES:PORT"
        )


def console_hosts(options: Any) -> Hosts:
    """Return the names that the console answers to: those of loopback, and others that the daemon is given.

    :param options: with `console`, `advertise` and `hosts`
    """
    names = (Endpoint.parse(options["console"]).interface, host_and_ports(options["advertise"])[0])
    return Hosts(filter(None, (*names, *(options.get("hosts") or ()))))

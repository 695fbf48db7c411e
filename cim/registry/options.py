"""The options about the registry that servers and routes have alike."""

from __future__ import annotations

from typing import Any

from cim.daemon.config import read_secret_file
from cim.interfaces import IRegistry
from cim.registry.calls import ICallsReactor
from cim.registry.choose import registry_from


class RegistryOptions:
    """Adds `--registry` and what it takes to be let in there; for a class of options."""

    optParameters: list[object] = [
        [
            "registry",
            None,
            "zookeeper:127.0.0.1:2181",
            "zookeeper:HOST:PORT[,...][/chroot], with TLS zookeeper+tls:..., static:... or memory.",
        ],
        ["registry-auth-file", None, None, "File with ZooKeeper's user:password."],
        [
            "registry-ca",
            None,
            None,
            "PEM file with those who may sign ZooKeeper's certificate [default: the system's].",
        ],
        ["registry-certificate", None, None, "PEM file with key and certificate, for a ZooKeeper that asks for one."],
    ]


def chosen_registry(options: Any, reactor: ICallsReactor) -> IRegistry:
    """Return the registry that the options name; it does nothing before it is started.

    :raises InvalidField, UsageError: name what is wrong, never what a file with a secret holds
    """
    auth = options["registry-auth-file"]
    return registry_from(
        options["registry"],
        reactor,
        auth=read_secret_file(auth, "registry-auth-file") if auth else None,
        ca=options["registry-ca"],
        certificate=options["registry-certificate"],
    )

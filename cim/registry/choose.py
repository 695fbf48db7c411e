"""The registry that `--registry` names."""

from __future__ import annotations

import re

from cim.errors import InvalidField
from cim.interfaces import IRegistry
from cim.plain import quoted
from cim.private_files import BadFile
from cim.registry.calls import ICallsReactor
from cim.registry.cluster import ZooKeeperRegistry
from cim.registry.memory import MemoryRegistry
from cim.registry.static import StaticRegistry
from cim.registry.tls import tls_context
from cim.registry.zookeeper import ZooKeeper

_OVER_TLS = "zookeeper+tls"
_HOST = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", re.ASCII)


def registry_from(
    text: str,
    reactor: ICallsReactor,
    *,
    auth: str | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    session_timeout: float = 10.0,
) -> IRegistry:
    """Return the registry that `text` names; it does nothing until it is started.

    `zookeeper:HOST:PORT[,HOST:PORT...][/chroot]`, the same with TLS as `zookeeper+tls:...`, `static:...`
    (StaticRegistry.parse says what follows) or `memory`.

    :param auth: what `--registry-auth-file` holds: `user:password`
    :param ca: for TLS, a PEM file with the certificates that may sign that of ZooKeeper; None for the system's
    :param certificate: for TLS, a PEM file with a key and its certificate, if ZooKeeper requires one
    :param session_timeout: seconds after which ZooKeeper considers a silent process dead
    :raises InvalidField: names `registry` or `registry-auth-file`, never the password
    """
    kind, _, rest = text.partition(":")
    if kind != _OVER_TLS and (ca is not None or certificate is not None):
        raise InvalidField("registry", f"does not use certificates: with TLS it is {_OVER_TLS}:HOST:PORT")
    if text == "memory":
        return MemoryRegistry(reactor)
    if kind == "static":
        return StaticRegistry.parse(rest, reactor)
    if kind in ("zookeeper", _OVER_TLS):
        hosts, root = _zookeeper_address(kind, rest)
        try:
            tls = tls_context(ca, certificate) if kind == _OVER_TLS else None
        except BadFile as error:
            raise InvalidField("registry", f"{kind}: {error}")
        zookeeper = ZooKeeper(hosts, reactor, session_timeout=session_timeout, auth=_credentials(auth), tls=tls)
        return ZooKeeperRegistry(zookeeper, reactor, root=root)
    raise InvalidField(
        "registry", f"must begin with zookeeper:, {_OVER_TLS}: or static:, or be memory, not {quoted(text)}"
    )


def _zookeeper_address(kind: str, text: str) -> tuple[str, str]:
    hosts, slash, chroot = text.partition("/")
    for host in hosts.split(","):
        match = _HOST.fullmatch(host)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise InvalidField(
                "registry", f"must be {kind}:HOST:PORT[,HOST:PORT...][/chroot]; {quoted(host)} is not HOST:PORT"
            )
    parts = chroot.removesuffix("/").split("/") if chroot else []
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise InvalidField("registry", f"has a chroot that ZooKeeper does not allow: {quoted(slash + chroot)}")
    return hosts, "".join(f"/{part}" for part in parts)


def _credentials(auth: str | None) -> tuple[str, str] | None:
    if auth is None:
        return None
    user, colon, password = auth.strip("\r\n").partition(":")
    if not (user and colon and password):
        raise InvalidField("registry-auth-file", "must hold user:password")
    return user, password

"""The store that `--store` names."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import frozen

from twisted.internet.interfaces import IStreamClientEndpoint

from cim.errors import InvalidField
from cim.interfaces import IStore
from cim.model import Retention
from cim.named_host import NamedHost
from cim.plain import quoted
from cim.private_files import BadFile
from cim.store.pages import DEFAULT
from cim.store.redis.connection import RedisConnection
from cim.store.redis.store import RedisStore
from cim.store.redis.tls import over_tls
from cim.store.sqlite.store import SqliteStore

CONNECT_TIMEOUT = 5.0


@frozen
class RedisAccess:
    """How a Redis lets a route in.

    :param user: a user of its ACL; None for the default user
    :param ca: for TLS, a PEM file with the certificates that may sign that of Redis; None for the system's
    :param certificate: for TLS, a PEM file with a key and its certificate, if Redis requires one
    """

    user: str | None = None
    password: str | None = None
    ca: str | None = None
    certificate: str | None = None


def store_from(
    text: str,
    reactor: Any,
    *,
    time_of_day: Callable[[], float],
    access: RedisAccess = RedisAccess(),
    random: Callable[[], float] | None = None,
    retention: Retention = DEFAULT,
    refuse: Callable[[str], object] = lambda reason: None,
) -> IStore:
    """Return the store that `redis:HOST:PORT[/DB]`, `rediss:HOST:PORT[/DB]` or `sqlite:FILE` names, not yet started.

    :param time_of_day: the time in seconds since 1970
    :param access: how Redis lets a route in
    :param random: returns a number from 0 to 1, for jitter and quotas
    :param retention: how long messages are kept
    :param refuse: called with a sentence if it turns out after the start that what is stored is not for this release
    :raises InvalidField: `text` or `access` is invalid; the error says why
    """
    scheme, _, rest = text.partition(":")
    random = random or Random().random

    def now() -> int:
        return int(time_of_day() * 1000)

    if scheme in ("redis", "rediss"):
        return _redis(scheme, rest, reactor, access, now, random, retention, refuse)
    if scheme == "sqlite":
        if not rest:
            raise InvalidField("store", "must name a file, sqlite:FILE")
        if access != RedisAccess():
            raise InvalidField("store", "sqlite: does not take a user, password or certificate: leave them out")
        return SqliteStore(rest, reactor, retention, now=now, random=random)
    if scheme == "redis+sentinel":
        raise InvalidField("store", "redis+sentinel: is not supported: name the master with redis:HOST:PORT")
    raise InvalidField("store", f"must be redis:HOST:PORT[/DB], rediss:... or sqlite:FILE, not {quoted(text)}")


def _number(text: str, limit: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < limit else None


def _redis(
    scheme: str,
    rest: str,
    reactor: Any,
    access: RedisAccess,
    now: Callable[[], int],
    random: Callable[[], float],
    retention: Retention,
    refuse: Callable[[str], object],
) -> IStore:
    address, slash, database_text = rest.partition("/")
    host, _, port_text = address.rpartition(":")
    port = _number(port_text, 65536)
    database = _number(database_text, 65536) if slash else 0
    if not host or not port:
        raise InvalidField("store", f"must name a host and a port, {scheme}:HOST:PORT[/DB], not {quoted(rest)}")
    if database is None:
        raise InvalidField("store", f"{scheme}: the database after the / must be a number, not {quoted(database_text)}")
    if access.user is not None and access.password is None:
        raise InvalidField("store", "has a user, which needs a password: give --store-password-file, too")
    host = host.removeprefix("[").removesuffix("]")
    endpoint: IStreamClientEndpoint = NamedHost(reactor, host, port, timeout=CONNECT_TIMEOUT)
    if scheme == "rediss":
        try:
            endpoint = over_tls(endpoint, host, access.ca, access.certificate)
        except BadFile as error:
            raise InvalidField("store", f"{scheme}: {error}")
    elif access.ca is not None or access.certificate is not None:
        raise InvalidField("store", "redis: does not use certificates: with TLS it is rediss:HOST:PORT[/DB]")
    connection = RedisConnection(
        reactor,
        endpoint,
        address,
        random=random,
        user=access.user,
        password=access.password,
        database=database,
        refuse=refuse,
    )
    return RedisStore(connection, reactor, retention, now=now, random=random)

"""The store that `--store` names."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint

from cim.errors import InvalidField
from cim.interfaces import IStore
from cim.model import Retention
from cim.plain import quoted
from cim.store.pages import DEFAULT
from cim.store.redis.connection import RedisConnection
from cim.store.redis.store import RedisStore
from cim.store.sqlite.store import SqliteStore

CONNECT_TIMEOUT = 5.0


def store_from(
    text: str,
    reactor: Any,
    *,
    password: str | None = None,
    random: Callable[[], float] | None = None,
    retention: Retention = DEFAULT,
) -> IStore:
    """Return the store that `redis:HOST:PORT[/DB]` or `sqlite:FILE` names, not yet started.

    :param password: the password of Redis; None for none
    :param random: returns a number from 0 to 1, for jitter
    :param retention: how long messages are kept
    :raises InvalidField: `text` is invalid; the error says why
    """
    scheme, _, rest = text.partition(":")
    if scheme == "redis":
        return _redis(rest, reactor, password, random or Random().random, retention)
    if scheme == "sqlite":
        if not rest:
            raise InvalidField("store", "must name a file, sqlite:FILE")
        if password is not None:
            raise InvalidField("store", "sqlite: does not take a password: leave out --store-password-file")
        return SqliteStore(rest, reactor, retention)
    if scheme == "redis+sentinel":
        raise InvalidField("store", "redis+sentinel: is not supported: name the master with redis:HOST:PORT")
    raise InvalidField("store", f"must be redis:HOST:PORT[/DB] or sqlite:FILE, not {quoted(text)}")


def _number(text: str, limit: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < limit else None


def _redis(rest: str, reactor: Any, password: str | None, random: Callable[[], float], retention: Retention) -> IStore:
    address, slash, database_text = rest.partition("/")
    host, _, port_text = address.rpartition(":")
    port = _number(port_text, 65536)
    database = _number(database_text, 65536) if slash else 0
    if not host or not port:
        raise InvalidField("store", f"redis: must name a host and a port, redis:HOST:PORT[/DB], not {quoted(rest)}")
    if database is None:
        raise InvalidField("store", f"redis: the database after the / must be a number, not {quoted(database_text)}")
    host = host.removeprefix("[").removesuffix("]")
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    connection = RedisConnection(reactor, endpoint, address, random=random, password=password, database=database)
    return RedisStore(connection, reactor, retention, random=random)

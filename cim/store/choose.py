"""The store that `--store` names."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Self

from attrs import frozen

from twisted.internet.interfaces import IStreamClientEndpoint

from cim.errors import InvalidField
from cim.interfaces import IStore
from cim.model import Retention
from cim.named_host import NamedHost
from cim.plain import quoted
from cim.private_files import BadFile
from cim.store.pages import DEFAULT
from cim.store.redis.cluster.connection import ClusterConnection
from cim.store.redis.cluster.store import ClusterStore
from cim.store.redis.connection import RedisConnection
from cim.store.redis.introducing import credentials
from cim.store.redis.sentinel import Address, Watched, number
from cim.store.redis.sentinels import Sentinels
from cim.store.redis.store import RedisStore
from cim.store.redis.tls import over_tls
from cim.store.sqlite.store import SqliteStore

CONNECT_TIMEOUT = 5.0
#: With TLS, with Sentinels that name the master, and a cluster.
REDIS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


@frozen
class RedisAccess:
    """How a Redis lets a route in.

    :param user: a user of its ACL; None for the default user
    :param ca: for TLS, a PEM file with the certificates that may sign that of Redis; None for the system's
    :param certificate: for TLS, a PEM file with a key and its certificate, if Redis requires one
    :param sentinel_user: a user of the Sentinels' ACL; None for the default user
    :param sentinel_password: the Sentinels' password; None if they need none
    """

    user: str | None = None
    password: str | None = None
    ca: str | None = None
    certificate: str | None = None
    sentinel_user: str | None = None
    sentinel_password: str | None = None


@frozen
class Acknowledge:
    """Who must have what is stored before it is acknowledged or shown.

    :param majority: whether a majority of Redis and its replicas; otherwise the store alone
    :param servers: how many these are; 0 to ask the Sentinels
    """

    majority: bool = False
    servers: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `local`, `majority` or `majority:SERVERS`.

        :raises ValueError: says what is wrong
        """
        how, colon, servers = text.partition(":")
        count = number(servers, 100) if colon else 0
        if how == "local" and not colon:
            return cls()
        if how != "majority" or count is None or (colon and count < 2):
            raise ValueError(f"must be local, majority or majority:SERVERS, such as majority:3, not {quoted(text)}")
        return cls(True, count)

    def __str__(self) -> str:
        return f"majority:{self.servers}" if self.servers else "majority" if self.majority else "local"


def store_from(
    text: str,
    reactor: Any,
    *,
    time_of_day: Callable[[], float],
    access: RedisAccess = RedisAccess(),
    acknowledge: Acknowledge = Acknowledge(),
    random: Callable[[], float] | None = None,
    retention: Retention = DEFAULT,
    refuse: Callable[[str], object] = lambda reason: None,
) -> IStore:
    """Return the store that `text` names, not yet started.

    :param text: `redis:HOST:PORT[/DB]`, `redis+sentinel:NAME@HOST:PORT[,HOST:PORT...][/DB]`,
        `redis+cluster:HOST:PORT[,HOST:PORT...]`, each with `rediss` for TLS, or `sqlite:FILE`
    :param time_of_day: the time in seconds since 1970
    :param access: how Redis lets a route in
    :param acknowledge: when what is stored is acknowledged
    :param random: returns a number from 0 to 1, for jitter and quotas
    :param retention: how long messages are kept
    :param refuse: called with a sentence if it turns out after the start that what is stored is not for this release
    :raises InvalidField: `text` or `access` is invalid; the error says why
    """
    scheme, _, rest = text.partition(":")
    random = random or Random().random
    if scheme.endswith("+cluster") and scheme in REDIS:
        cluster = _cluster(scheme, rest, reactor, access, acknowledge, time_of_day, random, refuse)
        return ClusterStore(cluster, reactor, retention, random=random)
    if scheme in REDIS:
        connection = _connection(scheme, rest, reactor, access, acknowledge, time_of_day, random, refuse)
        return RedisStore(connection, reactor, retention, random=random)
    if scheme == "sqlite":
        if not rest:
            raise InvalidField("store", "must name a file, sqlite:FILE")
        if access != RedisAccess():
            raise InvalidField("store", "sqlite: does not take a user, password or certificate: leave them out")
        if acknowledge.majority:
            raise InvalidField("acknowledge", "must be local with sqlite:, which has no replicas")
        return SqliteStore(rest, reactor, retention, time_of_day=time_of_day, random=random)
    raise InvalidField(
        "store",
        "must be redis:HOST:PORT[/DB], rediss:..., redis+sentinel:..., redis+cluster:... or sqlite:FILE, "
        f"not {quoted(text)}",
    )


def _connection(
    scheme: str,
    rest: str,
    reactor: Any,
    access: RedisAccess,
    acknowledge: Acknowledge,
    time_of_day: Callable[[], float],
    random: Callable[[], float],
    refuse: Callable[[str], object],
) -> RedisConnection:
    where, slash, database_text = rest.partition("/")
    tls, watching = scheme.startswith("rediss"), scheme.endswith("+sentinel")
    watched, address = Watched.parse(where), Address.parse(where)
    if watching and watched is None:
        form = f"{scheme}:NAME@HOST:PORT[,HOST:PORT...][/DB]"
        raise InvalidField("store", f"must name a master and its Sentinels, {form}, not {quoted(rest)}")
    if not watching and address is None:
        raise InvalidField("store", f"must name a host and a port, {scheme}:HOST:PORT[/DB], not {quoted(rest)}")
    database = number(database_text, 65536) if slash else 0
    if database is None:
        raise InvalidField("store", f"{scheme}: the database after the / must be a number, not {quoted(database_text)}")
    _check_access(scheme, access)
    reached = _reached(reactor, tls, access)
    common: dict[str, Any] = {
        "random": random,
        "time_of_day": time_of_day,
        "user": access.user,
        "password": access.password,
        "database": database,
        "refuse": refuse,
    }
    try:
        if watched is not None and watching:
            auth = credentials(access.sentinel_user, access.sentinel_password)
            sentinels = Sentinels(reactor, watched, reached, random=random, auth=auth)
            reached(watched.sentinels[0])  # says what is wrong with certificates
            servers = (lambda: acknowledge.servers or sentinels.servers()) if acknowledge.majority else None
            return RedisConnection(reactor, sentinels, str(watched), sentinels=sentinels, servers=servers, **common)
        if acknowledge.majority and not acknowledge.servers:
            raise InvalidField(
                "acknowledge",
                f"must say of how many servers, such as majority:3, with {scheme}:, which asks no Sentinels",
            )
        assert address is not None
        servers = (lambda: acknowledge.servers) if acknowledge.majority else None
        return RedisConnection(reactor, reached(address), where, servers=servers, **common)
    except BadFile as error:
        raise InvalidField("store", f"{scheme}: {error}")


def _cluster(
    scheme: str,
    rest: str,
    reactor: Any,
    access: RedisAccess,
    acknowledge: Acknowledge,
    time_of_day: Callable[[], float],
    random: Callable[[], float],
    refuse: Callable[[str], object],
) -> ClusterConnection:
    seeds = [Address.parse(place) for place in rest.split(",")]
    if None in seeds:
        form = f"{scheme}:HOST:PORT[,HOST:PORT...]"
        raise InvalidField("store", f"must name nodes of a cluster, {form}, without a database, not {quoted(rest)}")
    _check_access(scheme, access)
    reached = _reached(reactor, scheme.startswith("rediss"), access)
    places = list(dict.fromkeys(one for one in seeds if one is not None))
    try:
        reached(places[0])  # says what is wrong with certificates
    except BadFile as error:
        raise InvalidField("store", f"{scheme}: {error}")
    return ClusterConnection(
        reactor,
        places,
        reached,
        random=random,
        time_of_day=time_of_day,
        user=access.user,
        password=access.password,
        refuse=refuse,
        servers=(lambda there: acknowledge.servers or there) if acknowledge.majority else None,
    )


def _check_access(scheme: str, access: RedisAccess) -> None:
    """Refuse what does not go together.

    :raises InvalidField: says why
    """
    if access.user is not None and access.password is None:
        raise InvalidField("store", "has a user, which needs a password: give --store-password-file, too")
    if access.sentinel_user is not None and access.sentinel_password is None:
        raise InvalidField(
            "store", "has a user of Sentinels, which needs a password: give --sentinel-password-file, too"
        )
    if access.sentinel_password is not None and not scheme.endswith("+sentinel"):
        raise InvalidField("store", f"{scheme}: asks no Sentinels, which --sentinel-password-file is for")
    if not scheme.startswith("rediss") and (access.ca is not None or access.certificate is not None):
        _, plus, more = scheme.partition("+")
        where = {"sentinel": "NAME@HOST:PORT[/DB]", "cluster": "HOST:PORT"}.get(more, "HOST:PORT[/DB]")
        raise InvalidField("store", f"{scheme}: does not use certificates: with TLS it is rediss{plus}{more}:{where}")


def _reached(reactor: Any, tls: bool, access: RedisAccess) -> Callable[[Address], IStreamClientEndpoint]:
    def reached(address: Address) -> IStreamClientEndpoint:
        endpoint = NamedHost(reactor, address.host, address.port, timeout=CONNECT_TIMEOUT)
        return over_tls(endpoint, address.host, access.ca, access.certificate) if tls else endpoint

    return reached

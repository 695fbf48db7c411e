"""What is said on a new connection to Redis first: who we are, and what is there (docs/architecture.md, Stores).

And how a connection ends that is not needed any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from cim.errors import StoreUnavailable
from cim.store.redis.facts import DISPENSABLE, ServerFacts

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.scripts import Script


def credentials(user: str | None, password: str | None) -> tuple[str, ...] | None:
    """Return the arguments of AUTH, if it is needed; they have the user's name only where there is one."""
    return None if password is None else (password,) if user is None else (user, password)


async def introduce(protocol: Any, auth: tuple[str, ...] | None, database: int) -> None:
    """Say who we are and which database we use, and wait for an answer that shows that both are accepted.

    :param auth: the arguments of AUTH, if it is needed
    :raises StoreUnavailable: Redis refuses it
    :raises txredisapi.RedisError: it is lost, or loads its data
    """
    import txredisapi

    if auth is not None:
        try:
            await protocol.ask("AUTH", *auth)
        except txredisapi.ResponseError as error:
            who, options = "password", "--store-password-file"
            if len(auth) > 1:
                who, options = f"user or the {who}", f"--store-user and {options}"
            raise StoreUnavailable(f"it refuses the {who} ({error}): check {options}") from error
    if database:
        await needed(protocol, "SELECT", database)
    await protocol.ask("PING")  # refused while it loads its data, needs a password...


async def needed(protocol: Any, command: str, *args: str | int) -> Any:
    """Run a command that nothing can do without.

    :raises StoreUnavailable: Redis refuses it
    """
    import txredisapi

    try:
        return await protocol.ask(command, *args)
    except txredisapi.ResponseError as error:
        raise StoreUnavailable(f"it refuses {command}, without which nothing can be stored ({error})") from error


async def facts_of(protocol: Any) -> ServerFacts:
    """Return what Redis says of itself; what an ACL refuses to tell is missing."""
    import txredisapi

    info, settings, refused = b"", {}, {}
    try:
        info = await protocol.ask("INFO", "server") + await protocol.ask("INFO", "replication")
    except txredisapi.ResponseError as error:
        refused["INFO"] = str(error)
    if protocol.confirming is not None:
        protocol.confirming.expect(info)
    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        try:
            found = await protocol.ask("CONFIG", "GET", name)
            settings[name] = found[1].decode()
        except txredisapi.ResponseError as error:
            refused["CONFIG"] = str(error)
            break
        except IndexError:  # renamed or hidden, as in hosted Redis
            pass
    return ServerFacts.read(info, settings, refused)


async def load(protocol: Any, scripts: Iterable[Script]) -> None:
    """Load scripts, so that their calls run in the order in which they are made."""
    import txredisapi

    for script in scripts:
        try:
            await protocol.ask("SCRIPT", "LOAD", script.text)
        except txredisapi.ResponseError:  # forbidden: the first call loads the script
            pass


def tell(log: Logger, address: str, server: ServerFacts, servers: int | None) -> None:
    """Log what Redis says of itself.

    :param servers: of how many servers a majority has what is acknowledged; None if only this one has it for certain
    """
    log.info("{server} at {address}: {facts}", address=address, **server.log_fields(servers))
    if server.complaint():
        log.warn("Redis at {address}: {complaint}", address=address, complaint=server.complaint())
    for command, reason in server.refused.items():
        log.warn(
            "Redis at {address} refuses {command} ({reason}). {follows}",
            address=address,
            command=command,
            reason=reason,
            follows=DISPENSABLE[command],
        )


async def close(protocol: Any, clock: IReactorTime) -> None:
    """End a connection, if there is one, within a second; unanswered calls fail."""
    if protocol is not None and protocol.connected:
        gone = protocol.whenDisconnected()
        protocol.transport.loseConnection()
        abort = clock.callLater(1.0, protocol.transport.abortConnection)
        await gone
        if abort.active():
            abort.cancel()

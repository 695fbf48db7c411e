"""`cim-admin check`: reads a whole store and names what does not fit (docs/backup.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import asdict

from cim.admin.command import DataCommand
from cim.admin.printing import Printing
from cim.daemon.clock import time_of_day
from cim.daemon.config import read_secret_file
from cim.errors import CIMError, InvalidField, StoreUnavailable
from cim.store.choose import RedisAccess, store_from
from cim.store.counted import Counted
from cim.store.redis.store import RedisStore
from cim.store.sqlite.backup import reading
from cim.store.sqlite.checking import check, count, is_current


class Check(DataCommand):
    """Reads all that is stored and names what does not fit, a line each, while a suite or routes go on.

    It reads the store of the suite in a data folder, or Redis. The exit status is 0 if everything fits, else 1.
    """

    optParameters: Sequence[Sequence[Any]] = [
        ["store", None, "", "Redis instead of a data folder, as --store of routes names it."],
        ["store-user", None, None, "Whom Redis's ACL knows."],
        ["store-password-file", None, None, "File with Redis's password."],
        ["store-ca", None, None, "PEM file with those who may sign Redis's certificate."],
        ["store-certificate", None, None, "PEM file with key and certificate, for a Redis that asks for one."],
    ]

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        if self["store"]:
            where, found, counted = self["store"], *await self._in_redis(reactor, printing)
        else:
            where, found, counted = str(self.folder.database), *self._in_file(printing)
        if found:
            raise CIMError(f"{where} is not well: {found} thing{'s do' if found > 1 else ' does'} not fit")
        printing.one(asdict(counted), f"all fits: {things(counted)}")

    def _in_file(self, printing: Printing) -> tuple[int, Counted]:
        path = self.folder.database
        found = 0
        with reading(path) as connection:
            if not is_current(connection):
                raise CIMError(f"{path} is of an earlier release: start a suite of this one with it, which updates it")
            for wrong in check(connection):
                printing.one({"wrong": wrong}, wrong)
                found += 1
            return found, count(connection)

    async def _in_redis(self, reactor: Any, printing: Printing) -> tuple[int, Counted]:
        password = None
        if self["store-password-file"]:
            password = read_secret_file(self["store-password-file"], "store-password-file")
        access = RedisAccess(self["store-user"], password, self["store-ca"], self["store-certificate"])
        try:
            store = store_from(self["store"], reactor, time_of_day=time_of_day, access=access)
        except InvalidField as error:
            raise CIMError(f"--store {error.reason}") from None
        if not isinstance(store, RedisStore):
            raise CIMError("--store must name Redis; the store of a suite is in the folder of --data")
        checking = store.check()
        checking.start()
        found = 0
        try:
            if not await checking.is_current():
                what = f"{self['store']} is of an earlier release, or empty"
                raise CIMError(f"{what}: start a route of this one with it, which updates it")
            async for wrong in checking.wrong():
                printing.one({"wrong": wrong}, wrong)
                found += 1
        except StoreUnavailable:
            raise CIMError(store.health() or "Redis does not answer") from None
        finally:
            await checking.stop()
        return found, checking.counted


def things(counted: Counted) -> str:
    """Return how much there is, for people."""
    *others, last = (f"{many:,} {name[:-1] if many == 1 else name}" for name, many in asdict(counted).items())
    return f"{', '.join(others)} and {last}"

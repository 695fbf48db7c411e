"""`cim-admin check`: reads a whole store and names what does not fit (docs/backup.md)."""

from __future__ import annotations

from typing import Any

from attrs import asdict

from cim.admin.command import DataCommand
from cim.admin.printing import Printing
from cim.errors import CIMError
from cim.store.sqlite.backup import reading
from cim.store.sqlite.checking import Counted, check, count, is_current


class Check(DataCommand):
    """Reads all that a suite stored and names what does not fit, a line each; the suite may run meanwhile.

    The exit status is 0 if everything fits, and 1 otherwise.
    """

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        path = self.folder.database
        found = 0
        with reading(path) as connection:
            if not is_current(connection):
                raise CIMError(f"{path} is of an earlier release: start a suite of this one with it, which updates it")
            for wrong in check(connection):
                printing.one({"wrong": wrong}, wrong)
                found += 1
            counted = count(connection)
        if found:
            raise CIMError(f"{path} is not well: {found} thing{'s do' if found > 1 else ' does'} not fit")
        printing.one(asdict(counted), f"all fits: {things(counted)}")


def things(counted: Counted) -> str:
    """Return how much there is, for people."""
    *others, last = (f"{many:,} {name[:-1] if many == 1 else name}" for name, many in asdict(counted).items())
    return f"{', '.join(others)} and {last}"

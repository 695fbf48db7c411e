"""Checks the JWTs of operators' own issuers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cim.errors import Unauthorized, Unavailable
from cim.issuers.asserted import Asserted, UnknownKey, named, verified
from cim.issuers.issuer import Issuer
from cim.route.issuers.key_sources import Fetch, FetchedKeys, FileKeys, KeySource


class Issuers:
    """The issuers whose JWTs log users in.

    :param fetch: fetches the keys of those that have them at a URL
    :param shown: returns the time that people see, in ms since 1970
    :raises BadKeys: a file of keys cannot be used
    """

    def __init__(self, issuers: Sequence[Issuer], fetch: Fetch, clock: IReactorTime, shown: Callable[[], int]) -> None:
        self._shown = shown
        self._sources: dict[str, tuple[Issuer, KeySource]] = {
            issuer.issuer: (
                issuer,
                FetchedKeys(issuer, fetch, clock) if issuer.url else FileKeys(issuer, clock.seconds),
            )
            for issuer in issuers
        }

    def names_one(self, text: str) -> bool:
        """Return whether a text is a JWT that says it is of one of the issuers; nothing else of it is looked at."""
        said = named(text) if self._sources else None
        return said is not None and said.issuer in self._sources

    async def check(self, text: str) -> Asserted:
        """Return what a JWT asserts.

        :raises Unauthorized: it does not log anybody in; the message says why
        :raises Forbidden: it grants nothing
        :raises Unavailable: its issuer's keys cannot be had now
        """
        said = named(text)
        if said is None or said.issuer not in self._sources:
            raise Unauthorized()
        issuer, source = self._sources[said.issuer]
        try:
            return verified(issuer, await source.keys(), text, self._now())
        except UnknownKey:
            try:
                newer = await source.newer()
            except Unavailable:
                newer = ()
            return verified(issuer, newer, text, self._now())

    def _now(self) -> float:
        return self._shown() / 1000

    def facts(self) -> Mapping[str, Any]:
        """Return what `/health` says of them: nothing while all is well."""
        troubles = [trouble for _, source in self._sources.values() if (trouble := source.trouble())]
        return {"jwt_issuers": "; ".join(troubles)} if troubles else {}

"""The option of operators' own issuers of JWTs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.python.usage import UsageError

from cim.daemon.config import DaemonOptions
from cim.issuers.issuer import Issuer, parse_issuer, read_issuer


class IssuerOptions(DaemonOptions):
    """Adds `--jwt-issuer`, and the tables `[[jwt-issuer]]` of the file."""

    repeated: ClassVar[Sequence[str]] = ("jwt-issuer",)
    tables: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {"jwt-issuer": read_issuer}

    def opt_jwt_issuer(self, text: str) -> None:
        """Let JWTs of an issuer log users in, in words: issuer=NAME audience=NAME algorithms=RS256 keys=FILE or https
        URL; may be repeated."""
        try:
            self.add("jwt-issuer", parse_issuer(text))
        except ValueError as error:
            raise UsageError(f"--jwt-issuer {error}") from None


def issuers_of(options: Any) -> Sequence[Issuer]:
    """Return the issuers that options describe.

    :raises UsageError: two have one name
    """
    issuers: Sequence[Issuer] = options.get("jwt-issuer") or ()
    if len({issuer.issuer for issuer in issuers}) < len(issuers):
        raise UsageError("each [[jwt-issuer]] must have an issuer of its own")
    return issuers

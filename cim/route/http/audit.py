"""What operators did, in the log: which API key, what, to whom (docs/operations.md, Audit)."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from twisted.logger import Logger

from cim.api_keys import APIKey
from cim.plain import quoted

#: How much of a path is logged.
_MOST = 200


def named(key: APIKey) -> str:
    """Return what the log calls a key: its name, or the beginning of its hash."""
    return quoted(key.name) if key.name else f"without a name (sha256 {key.digest.hex()[:12]})"


@frozen
class Auditing:
    """Logs the audited calls of operators once they are answered, also those that failed.

    Users and groups are told by their ids: names of people who were deleted should be in no log.

    :param place: where the call came in: `API` or `console`
    """

    _log = Logger()
    place: str

    def __call__(self, request: Any, status: int, result: Any) -> None:
        """See cim.web.declaring.Audit."""
        caller = request.caller
        if caller is None or caller.key is None:
            return
        # What else a path has may be anything until the call has taken it.
        path = quoted((request.uri if status < 400 else request.path).decode("latin-1"), _MOST)
        self.event(caller.key, caller.address, f"{request.method.decode('latin-1')} {path}: {status}{_made(result)}")

    def event(self, key: APIKey | None, address: str, what: str) -> None:
        """Log what somebody did.

        :param key: None for somebody without one
        """
        self._log.info(
            "audit: {who} at the {place}{address}: {what}",
            who="somebody" if key is None else f"key {named(key)}",
            place=self.place,
            address=f" from {address}" if address else "",
            what=what,
        )


def _made(result: Any) -> str:
    result = getattr(result, "value", result)
    made = result.get("id") if isinstance(result, dict) else None
    return f", id {made}" if isinstance(made, (int, str)) else ""

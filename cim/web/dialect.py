"""The difference between the two families of HTTP calls; `cim.web.serving` does the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from cim.web.declaring import Call, Gate


class Dialect(Protocol):
    """How a family of calls reads bodies, checks fields, and words answers and errors.

    :ivar admit: the gate, which returns the caller of a request
    :ivar refusal: the prefix of the reason why a path or a method is refused
    """

    admit: Gate
    refusal: str

    def speaks(self, path: str) -> bool:
        """Return whether requests for a path, served or not, are answered in this dialect."""

    def begin(self, request: Any) -> None:
        """Set the headers that every answer has."""

    def read(self, request: Any, call: Call) -> dict[str, Any]:
        """Return the values of a call's body.

        :raises BadRequest: the body is not a JSON object
        :raises InvalidField: a field is invalid; the error names it
        """

    def succeed(self, request: Any, call: Call, result: Any) -> int:
        """Answer with a handler's result, and return the status."""

    def fail(self, request: Any, error: BaseException) -> int:
        """Answer with an error, and return the status; only the text of a CIMError is shown."""

    def done(self, request: Any, call: Call, status: int, result: Any = None) -> None:
        """Note that a call was answered.

        :param result: what its handler returned, None if it failed
        """

    def options(self, request: Any, methods: Iterable[bytes]) -> None:
        """Answer OPTIONS for a path that has these methods."""

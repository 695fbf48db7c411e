"""What differs between the two families of HTTP calls; all else of a call is `cim.web.serving`'s."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from cim.web.declaring import Call, Gate


class Dialect(Protocol):
    """How a family of calls reads bodies, checks fields, and words answers and errors.

    :ivar admit: says who makes a request
    :ivar refusal: what stands before the reason why a path or a method is refused
    """

    admit: Gate
    refusal: str

    def speaks(self, path: str) -> bool:
        """Whether what is asked there, a call or none, is answered in this dialect."""

    def label(self, call: Call) -> str:
        """Return under what a call is counted."""

    def begin(self, request: Any) -> None:
        """Put into the answer what goes into each."""

    def read(self, request: Any, call: Call) -> dict[str, Any]:
        """Return the values of the body of a call that has one.

        :raises BadRequest: it is no JSON object
        :raises InvalidField: names the field
        """

    def succeed(self, request: Any, call: Call, result: Any) -> int:
        """Answer what a handler returned, and return the status."""

    def fail(self, request: Any, error: BaseException) -> int:
        """Answer what went wrong, and return the status; only an error of ours is quoted."""

    def options(self, request: Any, methods: Iterable[bytes]) -> None:
        """Answer OPTIONS for a path that has these methods."""

"""Declaring HTTP calls: one declaration checks a call, documents it, and says where it is served.

A class declares its methods by `http_call`; its objects are served by `cim.web.serving.CallResource`, each class in one
of two dialects: upstream's (`cim.web.envelope`) or that of `/v1` (`cim.web.problem`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from inspect import getdoc, isclass
from typing import Any, TypeVar

from attrs import frozen

from cim.web.schema import Fields, Object, Optional, Schema

_H = TypeVar("_H", bound=Callable[..., Any])
_DONE: Mapping[int, Schema | None] = {200: None}


class Who(enum.Enum):
    """Who may make a call."""

    ANYONE = "anyone"
    #: Anyone, or a user by its token.
    MAYBE_USER = "maybe-user"
    USER = "user"
    OPERATOR = "operator"
    USER_OR_OPERATOR = "user-or-operator"
    #: The daemons themselves, by the key derived for them.
    CLUSTER = "cluster"


#: Says who makes a request, itself or by an awaitable, or raises; the handler gets what it returns.
Gate = Callable[[Any, Who], Any]


@frozen
class Call:
    """The declaration of a call.

    :ivar methods: what it is asked by; HEAD goes with GET
    :ivar path: parts in braces have names
    :ivar answers: the body of each status that means success, the usual one first; None for no body
    :ivar errors: the statuses of its problems
    :ivar example: a body, for the document
    """

    methods: tuple[str, ...]
    path: str
    who: Who
    in_path: Mapping[str, Schema]
    query: Fields
    body: Object | None
    answers: Mapping[int, Schema | None]
    errors: frozenset[int]
    name: str
    summary: str
    about: str
    example: Mapping[str, Any] | None = None

    @property
    def usual(self) -> int:
        """The status of success where the handler names none."""
        return next(iter(self.answers))

    @property
    def body_required(self) -> bool:
        """Whether there is a field that must be given."""
        fields = self.body.fields.values() if self.body is not None else ()
        return any(not isinstance(schema, Optional) for schema in fields)


@frozen
class WithStatus:
    """What a handler returns when it is not the usual status."""

    status: int
    value: Any = None


@frozen
class Content:
    """What a handler returns to be sent as it is."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200


def http_call(
    line: str,
    *,
    who: Who = Who.USER,
    path: Mapping[str, Schema] | None = None,
    query: Fields | None = None,
    body: Fields | None = None,
    answers: Mapping[int, Schema | None] = _DONE,
    errors: tuple[int, ...] = (),
    example: Mapping[str, Any] | None = None,
) -> Callable[[_H], _H]:
    """Declare a method `(self, caller, **values)` as a call; its values are those of path, query and body.

    What it returns, itself or by an awaitable, is the body of the answer; a CIMError that it raises is told as the
    dialect does. It runs to its end even when the client disconnects. The first line of its docstring is the summary.

    :param line: methods and path, such as `GET /v1/groups/{id}`
    :param errors: the statuses of its problems beside those that follow from the rest
    """
    *methods, template = line.split(" ")

    def declare(handler: _H) -> _H:
        summary, _, about = (getdoc(handler) or "").partition("\n")
        derived = {400} if path or query or body else set()
        if who is not Who.ANYONE:
            derived |= {401, 403}
        if body is not None:
            derived |= {413, 415}
        vars(handler)["http_call"] = Call(
            tuple(methods),
            template,
            who,
            path or {},
            query or {},
            Object(body) if body is not None else None,
            answers,
            frozenset({*errors, *derived, 429, 503, 504}),
            handler.__name__,
            summary.rstrip("."),
            about.strip(),
            example,
        )
        return handler

    return declare


def calls_of(api: object) -> dict[str, Call]:
    """Return the calls that the class of `api`, or `api` itself, declares, by the name of their method."""
    owner = api if isclass(api) else type(api)
    found: dict[str, Call] = {}
    for name in dir(owner):
        value = getattr(owner, name)
        call = None if isclass(value) else getattr(value, "http_call", None)
        if isinstance(call, Call):
            found[name] = call
    return found

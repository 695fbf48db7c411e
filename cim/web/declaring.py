"""Declaring HTTP calls: one declaration checks a call, documents it, and says where it is served.

A class declares its methods with `http_call`; `cim.web.serving.CallResource` serves its objects, each class in one of
two dialects: upstream's (`cim.web.envelope`) or that of `/v1` (`cim.web.problem`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from inspect import getdoc, isclass
from typing import Any, TypeVar

from attrs import frozen

from cim.api_keys import Scope
from cim.user_tokens import UserScope
from cim.web.schema import Fields, Object, Optional, Schema

_H = TypeVar("_H", bound=Callable[..., Any])
_DONE: Mapping[int, Schema | None] = {200: None}


class Who(enum.Enum):
    """Who may make a call."""

    ANYONE = "anyone"
    #: Anyone while guests are served; they prove nothing.
    GUEST = "guest"
    #: Anyone, or a user by its token.
    MAYBE_USER = "maybe-user"
    #: Anyone, or a back end by its API key.
    MAYBE_OPERATOR = "maybe-operator"
    USER = "user"
    OPERATOR = "operator"
    USER_OR_OPERATOR = "user-or-operator"
    #: The cluster's own daemons, by the key derived for them.
    CLUSTER = "cluster"


#: Whom a call is for that needs no proof of its callers.
UNPROVEN = frozenset((Who.ANYONE, Who.GUEST, Who.MAYBE_USER, Who.MAYBE_OPERATOR))
#: Whom an API key lets in.
OPERATORS = frozenset((Who.OPERATOR, Who.USER_OR_OPERATOR, Who.MAYBE_OPERATOR))
#: Whom a user's token lets in.
USERS = frozenset((Who.USER, Who.USER_OR_OPERATOR, Who.MAYBE_USER))


@frozen
class Call:
    """The declaration of a call.

    :ivar methods: its HTTP methods; HEAD goes with GET
    :ivar scope: what an API key must be allowed for it; None if it takes none
    :ivar path: its path, with named segments in braces
    :ivar answers: the schema of the body for each status of success, the usual one first; None for no body
    :ivar errors: the statuses of its problems
    :ivar example: an example of a body, for the document
    :ivar asks_whether_awaited: its handler wants to know whether the client still waits
    :ivar private: it shows an operator what users said
    :ivar watched: the log says who made it, though it changes nothing
    :ivar needs: the scope that a bounded token of a user must have for it; None if it takes none
    :ivar asks_for_trace: its handler wants to know the trace that the request belongs to
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
    asks_whether_awaited: bool = False
    scope: Scope | None = None
    private: bool = False
    watched: bool = False
    needs: UserScope | None = None
    asks_for_trace: bool = False

    @property
    def audited(self) -> bool:
        """Whether the log says which API key made it: it changes something, or shows what users said.

        Messages that back ends send are not: there are too many.
        """
        changes = self.scope not in (None, Scope.SEND) and "GET" not in self.methods
        return changes or self.private or self.watched

    @property
    def usual(self) -> int:
        """The status of success if the handler does not name one."""
        return next(iter(self.answers))

    @property
    def body_required(self) -> bool:
        """Whether any field of the body is required."""
        fields = self.body.fields.values() if self.body is not None else ()
        return any(not isinstance(schema, Optional) for schema in fields)


#: Returns the caller of a request, directly or as an awaitable, or raises; the handler gets the result.
Gate = Callable[[Any, Call], Any]


#: Notes what an operator did: the request, the status of the answer, and what the handler returned.
Audit = Callable[[Any, int, Any], None]


@frozen
class WithStatus:
    """The result of a handler with a status other than the usual one."""

    status: int
    value: Any = None


@frozen
class WithHeaders:
    """What a handler returns when the answer has headers of its own.

    :ivar value: what it would return otherwise
    """

    headers: Mapping[str, str]
    value: Any = None


@frozen
class Content:
    """The result of a handler that is to be sent as it is."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200


def http_call(
    line: str,
    *,
    who: Who = Who.USER,
    scope: Scope | None = None,
    path: Mapping[str, Schema] | None = None,
    query: Fields | None = None,
    body: Fields | None = None,
    answers: Mapping[int, Schema | None] = _DONE,
    errors: tuple[int, ...] = (),
    example: Mapping[str, Any] | None = None,
    asks_whether_awaited: bool = False,
    private: bool = False,
    watched: bool = False,
    needs: UserScope | None = None,
    asks_for_trace: bool = False,
) -> Callable[[_H], _H]:
    """Declare a method `(self, caller, **values)` as a call that gets the values of path, query and body.

    Its result, returned directly or as an awaitable, is the body of the answer; the dialect words a CIMError that it
    raises. It runs to its end even if the client disconnects. The first line of its docstring is the summary.

    :param line: methods and path, such as `GET /v1/groups/{id}`
    :param scope: what an API key must be allowed; given where one is taken
    :param errors: the statuses of its problems, except those that follow from the other arguments
    :param asks_whether_awaited: the handler also gets a function `awaited`, which returns whether the client is still
        connected
    :param private: it shows an operator what users said
    :param watched: the log is to say who made it, though it changes nothing
    :param needs: the scope that a bounded token of a user must have; where a token is taken, it is READ for a GET and
        ACCOUNT for the others if nothing else is said
    :param asks_for_trace: the handler also gets `trace`, the name of the trace that the request belongs to, if any
    """
    *methods, template = line.split(" ")
    if (scope is None) is (who in OPERATORS):
        raise ValueError(f"{line} must name the scope of an API key if it takes one, and only then")

    if needs is None and who in USERS:
        needs = UserScope.READ if "GET" in methods else UserScope.ACCOUNT

    def declare(handler: _H) -> _H:
        summary, _, about = (getdoc(handler) or "").partition("\n")
        derived = {400} if path or query or body else set()
        if who not in (Who.ANYONE, Who.GUEST):
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
            asks_whether_awaited,
            scope,
            private,
            watched,
            needs,
            asks_for_trace,
        )
        return handler

    return declare


def calls_of(api: object) -> dict[str, Call]:
    """Return the calls that `api`, a class or its object, declares, by the names of their methods."""
    owner = api if isclass(api) else type(api)
    found: dict[str, Call] = {}
    for name in dir(owner):
        value = getattr(owner, name)
        call = None if isclass(value) else getattr(value, "http_call", None)
        if isinstance(call, Call):
            found[name] = call
    return found

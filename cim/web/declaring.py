"""Declaring the calls of the `/v1` API, and serving one: the declaration checks, documents and dispatches it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from inspect import getdoc, isawaitable, isclass
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from attrs import frozen

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.ecim import BadRequest, CIMError, InvalidField
from cim.metrics import Metrics
from cim.web.fields import parse_object
from cim.web.problem import encode, respond_problem
from cim.web.schema import Fields, Object, Optional, Schema
from cim.web.serving import is_json
from cim.web.site import respond
from cim.wire.error_table import row_of

_log = Logger()
_H = TypeVar("_H", bound=Callable[..., Any])
_MAX_QUERY = 16


class Who(enum.Enum):
    """Who may make a call."""

    ANYONE = "anyone"
    #: Anyone, or a user by its token.
    MAYBE_USER = "maybe-user"
    USER = "user"
    OPERATOR = "operator"
    USER_OR_OPERATOR = "user-or-operator"


@frozen
class Declared:
    """The declaration of a call.

    :param answers: the body of each status that means success, the usual one first; None for no body
    :param errors: the statuses of its problems beside those that follow from the rest
    :param example: a body, for the document
    """

    method: str
    path: str
    who: Who
    in_path: Fields
    query: Fields
    body: Object | None
    answers: Mapping[int, Schema | None]
    errors: frozenset[int]
    name: str
    summary: str
    about: str
    example: Mapping[str, Any] | None = None

    @property
    def body_required(self) -> bool:
        """Whether there is a field that must be given."""
        fields = self.body.fields.values() if self.body is not None else ()
        return any(not isinstance(schema, Optional) for schema in fields)


@frozen
class Answer:
    """What a handler returns when it is not the usual status."""

    status: int
    value: Any = None


#: Says who makes a request, or raises Unauthorized or Forbidden; the handler gets what it returns.
Gate = Callable[[Any, Who], Any]


def api_call(
    app: Klein,
    call: str,
    *,
    who: Who = Who.USER,
    path: Fields | None = None,
    query: Fields | None = None,
    body: Fields | None = None,
    answers: Mapping[int, Schema | None],
    errors: tuple[int, ...] = (),
    example: Mapping[str, Any] | None = None,
) -> Callable[[_H], _H]:
    """Declare a method `(self, caller, **values)` as a call; its values are those of path, query and body.

    What it returns, itself or by an awaitable, is the body of the answer; a CIMError that it raises becomes a problem
    document. It runs to its end even when the client disconnects. The first line of its docstring is the summary.

    :param call: method and path, such as `GET /v1/groups/{id}`
    """
    method, _, template = call.partition(" ")

    def declare(handler: _H) -> _H:
        summary, _, about = (getdoc(handler) or "").partition("\n")
        derived = {400} if path or query or body else set()
        if who is not Who.ANYONE:
            derived |= {401, 403}
        if body is not None:
            derived |= {413, 415}
        declared = Declared(
            method,
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
        vars(handler)["api_call"] = declared

        def by_klein(api: Any, request: Any, **segments: str) -> Deferred[None]:
            finished: Deferred[None] = request.notifyFinish()
            endpoint = APIEndpoint(declared, handler.__get__(api), api.gate, getattr(api, "metrics", None))
            endpoint.serve(request, segments)
            return finished.addErrback(lambda _: None)

        by_klein.__name__ = handler.__name__
        klein_path = template.replace("{", "<").replace("}", ">")
        app.route(klein_path, methods=[method])(by_klein)
        return handler

    return declare


class APIEndpoint:
    """Serves one call."""

    def __init__(
        self, declared: Declared, handler: Callable[..., Any], gate: Gate, metrics: Metrics | None = None
    ) -> None:
        self.declared = declared
        self.label = f"{declared.method} {declared.path}"
        self._handler = handler
        self._gate = gate
        self._metrics = metrics
        self._usual = next(iter(declared.answers))

    def serve(self, request: Any, segments: Mapping[str, str]) -> None:
        """Answer a request, now or later.

        :param segments: the parts of its path that have names
        """
        # Nobody but us knows this Deferred, so that nothing cancels it when the client disconnects.
        Deferred.fromCoroutine(self._serve(request, segments))

    async def _serve(self, request: Any, segments: Mapping[str, str]) -> None:
        try:
            await self._answer(request, segments)
        except Exception as error:
            self._fail(request, error)

    async def _answer(self, request: Any, segments: Mapping[str, str]) -> None:
        caller = self._gate(request, self.declared.who)
        if isawaitable(caller):
            caller = await caller
        result = self._handler(caller, **self._values(request, segments))
        if isinstance(result, Awaitable):
            result = await result
        status, value = (result.status, result.value) if isinstance(result, Answer) else (self._usual, result)
        body = b"" if self.declared.answers[status] is None else encode(value)
        self._count(status)
        request.setHeader(b"Cache-Control", b"no-store")
        respond(request, status, body)

    def _values(self, request: Any, segments: Mapping[str, str]) -> dict[str, Any]:
        declared = self.declared
        values: dict[str, Any] = {}
        for name, schema in declared.in_path.items():
            assert isinstance(schema, Schema)
            values[name] = schema.read_text(name, segments[name])
        if declared.query:
            values.update(_read_query(request.uri, declared.query))
        if declared.body is not None:
            values.update(declared.body.read("the body", self._body(request)))
        return values

    def _body(self, request: Any) -> dict[str, Any]:
        raw = request.content.read()
        if not raw and not self.declared.body_required:
            return {}
        if not is_json(request.getHeader(b"content-type")):
            raise BadRequest(415, "invalid argument: Content-Type must be application/json")
        return parse_object(raw)

    def _fail(self, request: Any, error: Exception) -> None:
        if not isinstance(error, CIMError):
            _log.failure("{call} failed", call=self.label)
            if self._metrics is not None:
                self._metrics.internal_errors += 1
        elif self._metrics is not None and row_of(error).status in (400, 413, 415):
            self._metrics.refused("http-request")
        self._count(respond_problem(request, error))

    def _count(self, status: int) -> None:
        if self._metrics is not None:
            self._metrics.http_request(self.label, status)


def _read_query(uri: bytes, wanted: Fields) -> dict[str, Any]:
    given: dict[str, str] = {}
    query = uri.partition(b"?")[2]
    pairs = query.split(b"&") if query else []
    if len(pairs) > _MAX_QUERY:
        raise BadRequest(400, f"invalid argument: the query must have at most {_MAX_QUERY} parameters")
    for pair in pairs:
        raw_name, _, raw_value = pair.partition(b"=")
        try:
            name = unquote_to_bytes(raw_name.replace(b"+", b" ")).decode()
            value = unquote_to_bytes(raw_value.replace(b"+", b" ")).decode()
        except UnicodeDecodeError:
            raise BadRequest(400, "invalid argument: the query must be UTF-8") from None
        if name not in wanted:
            continue
        if name in given:
            raise InvalidField(name, "must be given once")
        given[name] = value
    values: dict[str, Any] = {}
    for name, schema in wanted.items():
        kind = schema.schema if isinstance(schema, Optional) else schema
        if name in given:
            values[name] = kind.read_text(name, given[name])
        elif isinstance(schema, Optional):
            values[name] = schema.default
        else:
            raise InvalidField(name, "is missing")
    return values


def declarations(api: object) -> dict[str, Declared]:
    """Return the calls that the class of `api`, or `api` itself, declares, by the name of their method."""
    owner = api if isclass(api) else type(api)
    found: dict[str, Declared] = {}
    for name in dir(owner):
        value = getattr(owner, name)
        declared = None if isclass(value) else getattr(value, "api_call", None)
        if isinstance(declared, Declared):
            found[name] = declared
    return found

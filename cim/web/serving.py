"""Serving the upstream API: one declaration per call, one way for every answer (DESIGN.md section 7).

Calls are declared on a Klein app, which can serve them by itself. `UpstreamResource` serves the same declarations
from a table of exact paths, because Klein's dispatch costs more than the rest of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from inspect import isclass
from types import CoroutineType
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from attrs import frozen

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET

from cim.ecim import BadRequest, CIMError
from cim.metrics import Metrics
from cim.web import envelope
from cim.web.fields import Fields
from cim.web.site import MAX_BODY, PathResource, respond
from cim.wire.error_table import row_of

_log = Logger()
_JSON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
_NO_FIELDS = Fields({})
_H = TypeVar("_H", bound=Callable[..., Any])


class Endpoint(Protocol):
    """What serves one path."""

    label: str
    methods: frozenset[bytes]

    def serve(self, request: Any) -> None:
        """Answer a request whose method is one of `methods`."""


@frozen
class Call:
    """The declaration of a call of the upstream API."""

    path: str
    methods: frozenset[bytes]
    body: bool
    internal: bool


def upstream_call(
    app: Klein, path: str, methods: Iterable[str] = ("POST",), *, body: bool = True, internal: bool = False
) -> Callable[[_H], _H]:
    """Declare a method `(self, fields: Fields)` as a call of the upstream API.

    What it returns, itself or by a Deferred or coroutine, becomes the envelope's `dataBody`; a CIMError that it raises
    the envelope's code and message, with HTTP status 200. It runs to its end even when the client disconnects.

    :param body: False when a request needs no JSON object: the method then gets no fields
    :param internal: whether the call is for the cluster alone and asks for the http key
    """

    def declare(handler: _H) -> _H:
        call = Call(path, frozenset(method.encode() for method in methods), body, internal)
        vars(handler)["upstream_call"] = call

        def by_klein(api: Any, request: Any) -> Deferred[None]:
            finished: Deferred[None] = request.notifyFinish()
            UpstreamEndpoint(call, handler.__get__(api), getattr(api, "metrics", None), None, MAX_BODY).serve(request)
            return finished.addErrback(lambda _: None)

        by_klein.__name__ = handler.__name__
        app.route(path, methods=sorted(method.decode() for method in call.methods))(by_klein)
        return handler

    return declare


class UpstreamEndpoint:
    """Serves one call."""

    def __init__(
        self,
        call: Call,
        handler: Callable[[Fields], Any],
        metrics: Metrics | None,
        check: Callable[[Any], None] | None,
        max_body: int,
    ) -> None:
        """
        :param check: raises when a request to an internal call may not make it
        """
        self.label = call.path
        self.methods = call.methods
        self._body = call.body
        self._check = check if call.internal else None
        self._handler = handler
        self._metrics = metrics
        self._max_body = max_body

    def serve(self, request: Any) -> None:
        """Answer a request, now or when the handler is done."""
        try:
            if self._check is not None:
                self._check(request)
            result = self._handler(self._fields(request) if self._body else _NO_FIELDS)
            kind = type(result)
            if kind is CoroutineType or isinstance(result, Coroutine):
                result = Deferred.fromCoroutine(result)
                kind = Deferred
            if kind is not Deferred and not isinstance(result, Deferred):
                self._respond(request, 200, envelope.success(result))
                return
        except Exception as error:
            self._fail(request, error)
            return
        # Nobody but us knows this Deferred, so that nothing cancels it when the client disconnects.
        result.addCallback(lambda data: self._respond(request, 200, envelope.success(data)))
        result.addErrback(lambda failure: self._fail(request, failure.value, failure))

    def _fields(self, request: Any) -> Fields:
        content_type = request.getHeader(b"content-type")
        if not is_json(content_type):
            raise BadRequest(415, "invalid argument: Content-Type must be application/json")
        body = request.content.read()
        if len(body) > self._max_body:
            raise BadRequest(413, f"invalid argument: the body must have at most {self._max_body} bytes")
        return Fields.parse(body)

    def _fail(self, request: Any, error: BaseException, failure: Failure | None = None) -> None:
        if isinstance(error, CIMError):
            status = error.status if isinstance(error, BadRequest) else 200
            if row_of(error).envelope == "3000" and self._metrics is not None:
                self._metrics.refused("http-request")
            self._respond(request, status, envelope.failure(error))
            return
        _log.failure("{path} failed", failure, path=self.label)
        if self._metrics is not None:
            self._metrics.internal_errors += 1
        self._respond(request, 500, envelope.INTERNAL_ERROR)

    def _respond(self, request: Any, status: int, body: bytes) -> None:
        if self._metrics is not None:
            self._metrics.http_request(self.label, status)
        respond(request, status, body)


def is_json(content_type: bytes | None) -> bool:
    """Whether a Content-Type says JSON in UTF-8."""
    if content_type in _JSON_TYPES:
        return True
    if content_type is None:
        return False
    kind, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = {value.strip(b'"') for name, _, value in (p.partition(b"=") for p in parameters) if name == b"charset"}
    return kind == b"application/json" and charsets <= {b"utf-8"}


def declared_calls(
    api: object, metrics: Metrics | None = None, check: Callable[[Any], None] | None = None, max_body: int = MAX_BODY
) -> dict[str, Endpoint]:
    """Return what serves each call that the class of `api` declares, by path.

    :param check: raises BadRequest when a request may not make an internal call
    """
    endpoints: dict[str, Endpoint] = {}
    for name in dir(type(api)):
        declared = getattr(type(api), name)
        call = None if isclass(declared) else getattr(declared, "upstream_call", None)
        if isinstance(call, Call):
            endpoints[call.path] = UpstreamEndpoint(call, getattr(api, name), metrics, check, max_body)
    return endpoints


class UpstreamResource(PathResource):
    """Serves every declared call of `api`, and further endpoints, each at exactly its path.

    Doubled slashes at the start of a path are one, as v1 clients of upstream need it. What no endpoint serves gets
    404, or 405 with the methods that would do, in an envelope.
    """

    def __init__(
        self,
        api: object,
        *,
        endpoints: Mapping[str, Endpoint] | None = None,
        metrics: Metrics | None = None,
        check: Callable[[Any], None] | None = None,
        max_body: int = MAX_BODY,
        fallback: IResource | None = None,
    ) -> None:
        """
        :param endpoints: further ones by path, such as those of `cim.web.operations`
        :param check: raises BadRequest when a request may not make an internal call
        :param fallback: a leaf that renders unknown paths instead of the 404
        """
        super().__init__()
        self._metrics = metrics
        self._fallback = fallback
        self._endpoints: dict[bytes, Endpoint] = {path.encode(): one for path, one in (endpoints or {}).items()}
        for path, declared in declared_calls(api, metrics, check, max_body).items():
            self._endpoints[path.encode()] = declared

    def render(self, request: Any) -> int:
        """Answer a request."""
        endpoint = self._endpoints.get(request.path) or self._endpoints.get(_plain(request.path))
        if endpoint is not None:
            method = request.method
            if method in endpoint.methods or (method == b"HEAD" and b"GET" in endpoint.methods):
                try:
                    endpoint.serve(request)
                except Exception:
                    _log.failure("{path} failed", path=endpoint.label)
                    if self._metrics is not None:
                        self._metrics.internal_errors += 1
                    respond(request, 500, envelope.INTERNAL_ERROR)
            else:
                self._refuse_method(request, endpoint)
        elif self._fallback is not None:
            request.prepath = []
            request.postpath = [unquote_to_bytes(part) for part in request.path[1:].split(b"/")]
            request.render(self._fallback)
        else:
            self._refuse(request, 404, "no such path")
        return NOT_DONE_YET

    def _refuse_method(self, request: Any, endpoint: Endpoint) -> None:
        allowed = sorted({*endpoint.methods, b"OPTIONS", *([b"HEAD"] if b"GET" in endpoint.methods else [])})
        request.setHeader(b"Allow", b", ".join(allowed))
        if request.method == b"OPTIONS":
            respond(request, 200, b"", b"text/plain")
        else:
            self._refuse(request, 405, f"use {' or '.join(sorted(m.decode() for m in endpoint.methods))}")

    def _refuse(self, request: Any, status: int, reason: str) -> None:
        if self._metrics is not None:
            self._metrics.refused("http-request")
            self._metrics.http_request("other", status)
        respond(request, status, envelope.failure(BadRequest(status, f"invalid argument: {reason}")))


def _plain(path: bytes) -> bytes:
    plain: bytes = unquote_to_bytes(path)
    return b"/" + plain.lstrip(b"/") if plain.startswith(b"/") else plain

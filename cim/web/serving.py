"""Serving declared calls: Klein's map finds them, and there is one path from a request to its answer.

`KleinResource` itself would bind the map for each request and chain Deferreds around the call, which would double its
cost, and would cancel a call whose client disconnects. So the map is bound once, its results are cached for a while,
and the endpoint is called directly and keeps its Deferred to itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.errors import BadRequest, CIMError, RateLimited
from cim.traces import UNTRACED
from cim.web.declaring import UNPROVEN, Call, Content, WithHeaders, calls_of
from cim.web.dialect import Dialect
from cim.web.inputs import read_query
from cim.web.request import PathResource, is_awaited, respond
from cim.wire.error_table import row_of

_log = Logger()
#: The statuses of requests that are refused for their content, not for their caller.
_MALFORMED = (400, 413, 415)
#: What asks for these asks all the time.
_UNTRACED = ("/health", "/health/live", "/metrics")
#: How many paths are cached, and how long one may be, so that nobody can fill the memory.
_REMEMBERED = 1024
_LONGEST = 256
_OVERRIDE = b"x-http-method-override"
#: What may come as a POST: of a GET without TLS browsers do not tell who makes it, and mini-programs know no PATCH
#: (docs/http-api.md, The page's login).
_OVERRIDDEN = (b"GET", b"PATCH")


class Endpoint:
    """Serves one call.

    :param handler: the declared method, bound to its object
    :param tracer: None if nothing is traced
    """

    def __init__(
        self, call: Call, handler: Callable[..., Any], dialect: Dialect, metrics: Metrics, tracer: Tracer | None
    ) -> None:
        self._call = call
        self._handler = handler
        self._dialect = dialect
        self._metrics = metrics
        self._tracer = tracer if call.path not in _UNTRACED else None

    def serve(self, request: Any, **segments: str) -> None:
        """Answer a request, now or later.

        :param segments: the named segments of its path
        """
        request.began = self._metrics.seconds()
        if self._tracer is not None:
            request.span = self._tracer.request(
                request.method.decode(),
                self._call.path,
                "https" if request.isSecure() else "http",
                request.requestHeaders.getRawHeaders(b"traceparent"),
            )
        try:
            caller = self._dialect.admit(request, self._call)
            result: Any
            if isinstance(caller, Awaitable):
                result = self._when_admitted(caller, request, segments)
            else:
                self._note_proof(request, caller)
                result = self._handler(caller, **self._values(request, segments))
            if isinstance(result, Awaitable):
                # Nobody else has this Deferred, so nothing cancels it when the client disconnects.
                Deferred.fromCoroutine(self._answer_later(request, result))
            else:
                self._answer(request, result)
        except Exception as error:
            self._fail(request, error)

    async def _when_admitted(self, admitted: Awaitable[Any], request: Any, segments: Mapping[str, str]) -> Any:
        caller = await admitted
        self._note_proof(request, caller)
        result = self._handler(caller, **self._values(request, segments))
        return await result if isinstance(result, Awaitable) else result

    def _note_proof(self, request: Any, caller: Any) -> None:
        """Note who makes a request; on its connection, which user has made a call, or that one was not for anyone."""
        request.caller = caller
        if request.channel is not None:
            user = getattr(caller, "user", "")
            if user:
                request.channel.whose = user
            elif self._call.who not in UNPROVEN:
                request.channel.trusted = True

    async def _answer_later(self, request: Any, result: Awaitable[Any]) -> None:
        try:
            self._answer(request, await result)
        except Exception as error:
            self._fail(request, error)

    def _values(self, request: Any, segments: Mapping[str, str]) -> dict[str, Any]:
        call = self._call
        values: dict[str, Any] = {}
        if segments:
            values = {name: schema.read_text(name, segments[name]) for name, schema in call.in_path.items()}
        if call.query:
            values |= read_query(request.uri, call.query)
        if call.body is not None:
            values |= self._dialect.read(request, call)
        if call.asks_whether_awaited:
            values["awaited"] = partial(is_awaited, request)
        if call.asks_for_trace:
            values["trace"] = request.span.trace if request.span is not None else UNTRACED
        return values

    def _answer(self, request: Any, result: Any) -> None:
        if isinstance(result, WithHeaders):
            for name, value in result.headers.items():
                request.setHeader(name, value)
            result = result.value
        if isinstance(result, Content):
            status = result.status
            respond(request, status, result.body, result.content_type)
        else:
            status = self._dialect.succeed(request, self._call, result)
        self._done(request, status, result)

    def _fail(self, request: Any, error: Exception) -> None:
        if not isinstance(error, CIMError):
            _log.failure("{methods} {path} failed", methods=" ".join(self._call.methods), path=self._call.path)
        elif row_of(error).status in _MALFORMED:
            self._metrics.refused("http-request")
        elif isinstance(error, RateLimited) and request.channel is not None:
            request.channel.hold()
        self._done(request, self._dialect.fail(request, error))

    def _done(self, request: Any, status: int, result: Any = None) -> None:
        took = self._metrics.seconds() - request.began
        self._metrics.http_request(request.method.decode(), self._call.path, status, took)
        if request.span is not None:
            request.span.answered(status)
        self._dialect.done(request, self._call, status, result)


class _Segment(BaseConverter):
    """A segment of a path in the form of `_spelled`."""

    def to_python(self, value: str) -> str:
        try:
            return unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise BadRequest(400, "invalid argument: the path must be valid UTF-8") from None


def _spelled(path: bytes) -> str:
    """Return the normal form of a path, in which %2F in a segment is not a slash.

    Several slashes at the start become one, as upstream's old clients need it.
    """
    text = path.decode("latin-1")
    if "%" in text or not text.isascii():
        text = "/".join(quote(unquote_to_bytes(part), safe="") for part in path.split(b"/"))
    return "/" + text.lstrip("/")


class CallResource(KleinResource, PathResource):
    """Serves the declared calls of several objects, and refuses all other requests in the dialect of their path.

    :ivar app: the Klein app with the map, complete from the start
    """

    def __init__(
        self, families: Mapping[Dialect, Iterable[object]], metrics: Metrics, tracer: Tracer | None = None
    ) -> None:
        """
        :param families: the objects of each dialect; a path belongs to the first dialect that speaks it
        :param tracer: None if nothing is traced
        """
        self.app = app = Klein()
        # No redirects: a path matches a call exactly or not at all.
        app.url_map.merge_slashes = False
        app.url_map.converters["default"] = _Segment
        super().__init__(app)
        self._dialects = tuple(families)
        self._metrics = metrics
        self._tracer = tracer
        for dialect, apis in families.items():
            for api in apis:
                self._add(dialect, api)
        self._mapped = app.url_map.bind("")
        self._remembered = lru_cache(_REMEMBERED)(self._find)

    def _add(self, dialect: Dialect, api: object) -> None:
        for name, call in calls_of(api).items():
            endpoint = f"{type(api).__qualname__}.{name}"
            if endpoint in self.app.endpoints or self._dialect_at(call.path) is not dialect:
                raise ValueError(f"{endpoint} is already served, or {call.path} belongs to another dialect")
            path = call.path.replace("{", "<").replace("}", ">")
            serve = Endpoint(call, getattr(api, name), dialect, self._metrics, self._tracer).serve
            self.app.route(path, methods=call.methods, endpoint=endpoint)(serve)

    def render(self, request: Any) -> Any:
        """Answer a request."""
        path = request.path
        if request.method == b"POST" and (meant := request.getHeader(_OVERRIDE)) in _OVERRIDDEN:
            request.method = meant
        find = self._remembered if len(path) <= _LONGEST else self._find
        try:
            dialect, endpoint, segments = find(request.method, path)
        except (HTTPException, BadRequest) as error:
            self._refuse_call(request, error)
        else:
            dialect.begin(request)
            self.app.execute_endpoint(endpoint, request, **segments)
        return NOT_DONE_YET

    def _find(self, method: bytes, path: bytes) -> tuple[Dialect, str, Mapping[str, str]]:
        """Return the dialect, the endpoint and the named segments of the path of a request."""
        dialect = self._dialect_at(path.decode("latin-1"))
        spelled, name = _spelled(path), method.decode("latin-1")
        # `//v1/x` is not served: a proxy in front might take it for a call of upstream's API and let it pass.
        if not path.startswith(b"/") or self._dialect_at(spelled) is not dialect:
            raise NotFound()
        rule, segments = self._mapped.match(spelled, name, return_rule=True)
        if name not in (rule.methods or ()):  # the map takes `post` for POST
            raise MethodNotAllowed(list(self._mapped.allowed_methods(spelled)))
        return dialect, rule.endpoint, segments

    def _dialect_at(self, path: str) -> Dialect:
        return next(dialect for dialect in self._dialects if dialect.speaks(path))

    def _refuse_call(self, request: Any, error: HTTPException | BadRequest) -> None:
        """Refuse a request that no call serves."""
        dialect = self._dialect_at(request.path.decode("latin-1"))
        dialect.begin(request)
        if isinstance(error, MethodNotAllowed):
            methods = sorted({*(error.valid_methods or ()), "OPTIONS"})
            request.setHeader(b"Allow", ", ".join(methods).encode())
            if request.method == b"OPTIONS":
                dialect.options(request, [method.encode() for method in methods])
                return
            usable = [method for method in methods if method not in ("HEAD", "OPTIONS")]
            error = BadRequest(405, f"{dialect.refusal}use {' or '.join(usable)}")
        elif not isinstance(error, BadRequest):
            error = BadRequest(404, f"{dialect.refusal}no such path")
        self._metrics.refused("http-request")
        self._metrics.http_request("", "other", dialect.fail(request, error))

    def refuse(self, request: Any, path: bytes, error: BadRequest) -> None:
        """See PathResource."""
        dialect = self._dialect_at(path.decode("latin-1"))
        dialect.begin(request)
        self._metrics.http_request("", "other", dialect.fail(request, error))

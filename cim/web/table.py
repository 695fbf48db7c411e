"""Which call serves a request to the `/v1` API: by method and path, with parts of the path as parameters.

Klein's dispatch costs more than the rest of a call, so the declarations are served from a tree of path segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import define, field

from twisted.web.server import NOT_DONE_YET

from cim.ecim import BadRequest, NotFound
from cim.metrics import Metrics
from cim.web.declaring import APIEndpoint, Gate, declarations
from cim.web.origins import Origins
from cim.web.problem import respond_problem
from cim.web.site import PathResource, respond

PREFIX = b"/v1/"


@define
class _Node:
    children: dict[str, _Node] = field(factory=dict)
    any: _Node | None = None
    #: By method: the endpoint, and the names of the segments that are parameters, in order.
    calls: dict[bytes, tuple[APIEndpoint, tuple[str, ...]]] = field(factory=dict)


class CallTable(PathResource):
    """Serves declared calls below `/v1/`, and documents at exact paths; all else is another resource's."""

    def __init__(
        self,
        apis: Iterable[object],
        gate: Gate,
        otherwise: PathResource,
        *,
        documents: Mapping[str, bytes] | None = None,
        origins: Origins | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """
        :param documents: JSON documents by path, such as /openapi.json
        """
        super().__init__()
        self._otherwise = otherwise
        self._documents = {path.encode(): document for path, document in (documents or {}).items()}
        self._origins = origins if origins is not None else Origins(())
        self._metrics = metrics
        self._root = _Node()
        for api in apis:
            for name, declared in declarations(api).items():
                self._add(APIEndpoint(declared, getattr(api, name), gate, metrics))

    def _add(self, endpoint: APIEndpoint) -> None:
        node = self._root
        names = []
        for segment in endpoint.declared.path[1:].split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.children.setdefault(segment, _Node())
        node.calls[endpoint.declared.method.encode()] = (endpoint, tuple(names))

    def _serves(self, path: bytes) -> bool:
        return path.startswith(PREFIX) or path in self._documents

    def render(self, request: Any) -> int:
        """Answer a request."""
        path = request.path
        if not self._serves(path):
            return self._otherwise.render(request)
        self._origins.allow(request)
        document = self._documents.get(path)
        if document is not None:
            if request.method in (b"GET", b"HEAD"):
                self._count(path.decode(), 200)
                respond(request, 200, document)
            else:
                self._other_method(request, [b"GET"])
            return NOT_DONE_YET
        node, segments = self._find(path)
        if node is None or not node.calls:
            self._refuse(request, NotFound("no such path"))
            return NOT_DONE_YET
        method = b"GET" if request.method == b"HEAD" else request.method
        called = node.calls.get(method)
        if called is None:
            self._other_method(request, list(node.calls))
            return NOT_DONE_YET
        endpoint, names = called
        try:
            values = [segment.decode() for segment in segments]
        except UnicodeDecodeError:
            self._refuse(request, BadRequest(400, "invalid argument: the path must be UTF-8"))
        else:
            endpoint.serve(request, dict(zip(names, values, strict=True)))
        return NOT_DONE_YET

    def refuse(self, request: Any, path: bytes, error: BadRequest) -> None:
        """See PathResource."""
        if self._serves(path):
            self._origins.allow(request)
            self._refuse(request, error)
        else:
            self._otherwise.refuse(request, path, error)

    def _find(self, path: bytes) -> tuple[_Node | None, list[bytes]]:
        node: _Node | None = self._root
        segments: list[bytes] = []
        for raw in path[1:].split(b"/"):
            if node is None:
                break
            segment = unquote_to_bytes(raw) if b"%" in raw else raw
            child = node.children.get(segment.decode("utf-8", "replace"))
            if child is None and segment:
                child = node.any
                segments.append(segment)
            node = child
        return node, segments

    def _other_method(self, request: Any, methods: list[bytes]) -> None:
        allowed = sorted({*methods, b"OPTIONS", *([b"HEAD"] if b"GET" in methods else [])})
        request.setHeader(b"Allow", b", ".join(allowed))
        if request.method == b"OPTIONS":
            self._origins.preflight(request, allowed)
            respond(request, 204, b"")
        else:
            self._refuse(request, BadRequest(405, f"use {' or '.join(method.decode() for method in methods)}"))

    def _refuse(self, request: Any, error: Exception) -> None:
        if self._metrics is not None:
            self._metrics.refused("http-request")
        self._count("other", respond_problem(request, error))

    def _count(self, label: str, status: int) -> None:
        if self._metrics is not None:
            self._metrics.http_request(label, status)

"""The OpenAPI document of `/v1`, made from the declarations that also check its calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cim.web.declaring import Call, Who
from cim.web.problem import TYPE
from cim.web.schema import Array, Fields, Nullable, Object, Optional, Schema

#: What proves who makes a call; nothing is "".
_SECURITY: dict[Who, tuple[str, ...]] = {
    Who.ANYONE: (),
    Who.MAYBE_USER: ("", "token", "cookie"),
    Who.MAYBE_OPERATOR: ("", "key"),
    Who.USER: ("token", "cookie"),
    Who.OPERATOR: ("key",),
    Who.USER_OR_OPERATOR: ("token", "cookie", "key"),
}
_PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": f"`{TYPE}` followed by the code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "The error, as one word for programs."},
        "detail": {"type": "string", "description": "The error, as a sentence for people."},
        "field": {"type": "string", "description": "The field that is invalid."},
    },
    "required": ["type", "title", "status", "code"],
}
_PROBLEMS = {
    400: "Something is missing, mistyped or out of bounds; `field` names it.",
    401: "The token or key is missing or not valid.",
    403: "Not allowed.",
    404: "Not found.",
    409: "It conflicts with what is already there.",
    413: "Too large.",
    415: "The body is not `application/json`.",
    429: "Too many requests; `Retry-After` says when to retry.",
    503: "A component is unavailable: the request may or may not have been carried out.",
    504: "No answer in time: the request may or may not have been carried out.",
}
_SUCCESSES = {200: "Done.", 201: "Created.", 202: "Accepted: it waits.", 204: "Done; no body."}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}


def openapi(calls: Iterable[Call], title: str, version: str, about: str = "") -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for call in sorted(calls, key=lambda call: (call.path, call.methods)):
        for method in call.methods:
            paths.setdefault(call.path, {})[method.lower()] = _operation(call)
        for schema in (*call.answers.values(), call.body):
            for found in _titled(schema):
                schemas[found.title] = found.whole()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _problem(status) for status in _PROBLEMS},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From `POST /v1/sessions`."},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-cim",
                    "description": "Of the page at `/`, for which alone it counts; without TLS `cim-` and the port.",
                },
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "For back ends. A call names the scope that the key needs.",
                },
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "tags": [call.path.split("/")[2]],
        "summary": call.summary,
        "security": [_way(proof, call) for proof in _SECURITY[call.who]],
    }
    if call.about:
        operation["description"] = call.about
    parameters = [*_parameters("path", call.in_path), *_parameters("query", call.query)]
    if parameters:
        operation["parameters"] = parameters
    if call.body is not None:
        content: dict[str, Any] = {"schema": call.body.document()}
        if call.example is not None:
            content["example"] = call.example
        operation["requestBody"] = {"required": call.body_required, "content": {"application/json": content}}
    responses: dict[str, Any] = {}
    for status, schema in call.answers.items():
        responses[str(status)] = {"description": _SUCCESSES[status]}
        if schema is not None:
            responses[str(status)]["content"] = {"application/json": {"schema": schema.document()}}
    for status in sorted(call.errors):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    operation["responses"] = responses
    return operation


def _way(proof: str, call: Call) -> dict[str, list[str]]:
    """Return a way to prove who makes a call; OpenAPI calls scopes roles here."""
    if not proof:
        return {}
    return {proof: [str(call.scope)] if proof == "key" else []}


def _parameters(place: str, fields: Fields) -> Iterator[dict[str, Any]]:
    for name, given in fields.items():
        schema = given.schema if isinstance(given, Optional) else given
        document = schema.document()
        parameter: dict[str, Any] = {"name": name, "in": place, "required": not isinstance(given, Optional)}
        if "description" in document:
            parameter["description"] = document.pop("description")
        if isinstance(given, Optional) and given.default is not None:
            document["default"] = given.default
        if document["type"] == "array":
            parameter["explode"] = False
        if place == "path" and document["type"] == "string":
            document.setdefault("minLength", 1)
        parameter["schema"] = document
        yield parameter


def _problem(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _PROBLEMS[status],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503, 504):
        response["headers"] = _RETRY
    return response


def _titled(schema: Schema | Optional | None) -> Iterator[Object]:
    if isinstance(schema, Optional):
        schema = schema.schema
    if isinstance(schema, Array | Nullable):
        yield from _titled(schema.item)
    elif isinstance(schema, Object):
        if schema.title:
            yield schema
        for inner in schema.fields.values():
            yield from _titled(inner)

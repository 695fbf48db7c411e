"""The OpenAPI document of the HTTP API, made from the declarations that also check its calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cim.web.declaring import Call, Who
from cim.web.problem import PREFIX, TITLES, TYPE
from cim.web.schema import Anything, Array, Fields, Nullable, Object, Optional, Schema, Text

#: What proves who makes a call; nothing is "".
_SECURITY: dict[Who, tuple[str, ...]] = {
    Who.ANYONE: (),
    Who.GUEST: (),
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
        "title": {"type": "string", "description": "What the code means."},
        "status": {"type": "integer", "format": "int32", "description": "The HTTP status."},
        "code": {"type": "string", "description": f"The error for programs: {', '.join(TITLES)}, or a later one."},
        "detail": {"type": "string", "description": "The error, as a sentence for people."},
        "field": {"type": "string", "description": "The field that is invalid."},
        "until": {
            "type": ["integer", "null"],
            "format": "int64",
            "description": "Of `suspended` and `muted`: when that ends, ms since 1970; null for never.",
        },
        "reason": {"type": "string", "description": "Of `suspended` and `muted`: why; empty if nobody said."},
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
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "format": "int32", "minimum": 1}}}


_REFUSED = {
    "description": "The request makes no sense.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}},
}
#: The tag of upstream's calls.
UPSTREAM = "upstream"
#: Where generators of clients find the API, unless they are told.
_SERVERS = [
    {"url": "/", "description": "Where this document comes from."},
    {
        "url": "{scheme}://{host}",
        "description": "Any route or suite.",
        "variables": {
            "scheme": {"default": "http", "enum": ["http", "https"]},
            "host": {"default": "127.0.0.1:8083", "description": "Its host, and the port of its `--http`."},
        },
    },
]
_TAGS = {
    "accounts": "Making accounts.",
    "sessions": "Logging in and out.",
    "password": "Changing a password.",
    "password-resets": "Setting a password by a code of an operator.",
    "token": "Voiding tokens.",
    "messages": "Sending.",
    "conversations": "Reading.",
    "users": "Finding people.",
    "online": "Who is online.",
    "groups": "Groups and their members.",
    "invitations": "Invitations to groups.",
    "blocks": "Whom a user blocks.",
    "mutes": "What a user mutes.",
    "pushes": "Where a user is notified.",
    "reports": "Reporting messages to the operators.",
    "admin": "For operators, who have an API key.",
    UPSTREAM: "The calls of crossoverJie/cim's clients, for guests, who have no password and prove nothing.",
}
_ENVELOPE = {
    "code": Text(8, about="`9000` if it was done; other codes are in docs/http-api.md."),
    "message": Text(1024, about="The code as a sentence for people."),
    "reqNo": Nullable(Text(64, about="Always null.")),
}


def openapi(calls: Iterable[Call], title: str, version: str, about: str = "") -> dict[str, Any]:
    """Return the OpenAPI document.

    :param calls: those of `/v1`, and of upstream's dialect
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for call in sorted(calls, key=lambda call: (call.path, call.methods)):
        answers = call.answers if call.path.startswith(PREFIX) else {200: _enveloped(call)}
        for method in call.methods:
            paths.setdefault(call.path, {})[method.lower()] = _operation(call, method, answers)
        for schema in (*answers.values(), call.body):
            for found in _titled(schema):
                schemas[found.title] = found.whole()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "servers": _SERVERS,
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {**{str(status): _problem(status) for status in _PROBLEMS}, "Refused": _REFUSED},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "From `POST /v1/sessions`, or made by a back end, which may bound it: a call names"
                    " the scope that such a token needs.",
                },
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


def _enveloped(call: Call) -> Object:
    """Return what upstream's dialect makes of a call's answer."""
    data, title = call.answers[200], "Envelope"
    body: Schema = Anything()
    if data is not None:
        body, title = data, f"{call.path[1:2].upper()}{call.path[2:]}Envelope"
    return Object({**_ENVELOPE, "dataBody": Nullable(body, "Null if it was not done, or says nothing.")}, title)


def _operation(call: Call, method: str, answers: Mapping[int, Schema | None]) -> dict[str, Any]:
    """Return the description of a call by one of its methods."""
    strict = call.path.startswith(PREFIX)
    id = call.name if strict else f"{UPSTREAM}_{call.name}"
    operation: dict[str, Any] = {
        "operationId": id if method == call.methods[-1] else f"{id}_by_{method.lower()}",
        "tags": [call.path.split("/")[2] if strict else UPSTREAM],
        "summary": call.summary,
        "security": [_way(proof, call) for proof in _SECURITY[call.who]],
    }
    if call.about:
        operation["description"] = call.about
    parameters = [*_parameters("path", call.in_path), *_parameters("query", call.query)]
    if parameters:
        operation["parameters"] = parameters
    if call.body is not None:
        body = call.body.document()
        if strict:
            body["additionalProperties"] = False
        content: dict[str, Any] = {"schema": body}
        if call.example is not None:
            content["example"] = call.example
        operation["requestBody"] = {"required": call.body_required, "content": {"application/json": content}}
    responses: dict[str, Any] = {}
    for status, schema in answers.items():
        responses[str(status)] = {"description": _SUCCESSES[status]}
        if schema is not None:
            responses[str(status)]["content"] = {"application/json": {"schema": schema.document()}}
    for status in sorted(call.errors) if strict else ():
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    if not strict:
        responses["default"] = {"$ref": "#/components/responses/Refused"}
    operation["responses"] = responses
    return operation


def _way(proof: str, call: Call) -> dict[str, list[str]]:
    """Return a way to prove who makes a call; OpenAPI calls scopes roles here."""
    if not proof:
        return {}
    scopes = {"key": [str(call.scope)], "token": [str(call.needs)] if proof else []}
    return {proof: scopes.get(proof, [])}


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

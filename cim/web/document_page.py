"""A page that shows an OpenAPI document to people, made on the server: it needs neither scripts nor the internet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

#: Where the document goes in a page.
PLACE = b"<!-- the document -->"
_CODE = re.compile(r"`([^`]+)`")
_SCHEMA = "#/components/schemas/"
#: A call: its method, its path, and its operation.
Called = tuple[str, str, Mapping[str, Any]]


def document_page(page: bytes, document: Mapping[str, Any]) -> bytes:
    """Return a page with an OpenAPI document in it.

    :param page: with PLACE where the document goes
    """
    return page.replace(PLACE, "\n".join((*_contents(document), *_main(document))).encode())


def _tagged(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Called]]]:
    """Yield the tags with their calls."""
    calls = [(method, path, one) for path, there in document["paths"].items() for method, one in there.items()]
    for tag in document["tags"]:
        yield tag, [call for call in calls if tag["name"] in call[2]["tags"]]


def _contents(document: Mapping[str, Any]) -> Iterator[str]:
    yield '<nav aria-label="Calls">'
    for tag, operations in _tagged(document):
        yield f"<h2>{escape(tag['name'])}</h2>"
        for _, _, operation in operations:
            yield f'<a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a>'
    yield '<h2><a href="#schemas">Objects</a></h2></nav>'


def _main(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f"<main><h1>{escape(info['title'])} {escape(info['version'])}: the HTTP API</h1>"
    yield _text(info["description"])
    yield '<p>For programs: <a href="/openapi.json">/openapi.json</a>, in OpenAPI 3.1.</p>'
    yield "<h2>Who calls</h2>"
    for name, scheme in document["components"]["securitySchemes"].items():
        yield _text(f"`{name}`: {_proof(scheme)} {scheme['description']}")
    for tag, operations in _tagged(document):
        yield f"<h2>{escape(tag['name'])}</h2>{_text(tag['description'])}"
        for method, path, operation in operations:
            yield from _operation(method, path, operation, document)
    yield '<h2 id="schemas">Objects</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<details><summary><code>{escape(name)}</code></summary><div id="schema-{escape(name)}">'
        yield _text(schema.get("description", ""))
        yield _fields(schema)
        yield "</div></details>"
    yield "</main>"


def _proof(scheme: Mapping[str, Any]) -> str:
    return "`Authorization: Bearer`." if scheme["type"] == "http" else f"the header `{scheme['name']}`."


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f'<details><summary><code class="method {escape(method)}">{escape(method.upper())}</code> '
        f'<code>{escape(path)}</code><span class="said">{escape(operation["summary"])}</span></summary>'
        # Whoever follows a link into it finds it open.
        f'<div id="{escape(operation["operationId"])}">'
    )
    yield _text(operation.get("description", ""))
    yield _text(f"Needs {' or '.join(map(_way, operation['security'] or [{}]))}.")
    if "parameters" in operation:
        yield "<h3>In the address</h3>"
        yield _table(
            (one["name"], one["schema"], one["required"], one["description"]) for one in operation["parameters"]
        )
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        yield "<h3>Body</h3>"
        yield _fields(content["schema"])
        if "example" in content:
            yield f"<pre><code>{escape(json.dumps(content['example'], ensure_ascii=False, indent=2))}</code></pre>"
    yield "<h3>Answers</h3>"
    yield '<div class="table"><table><thead><tr><th>Status</th><th>Body</th><th>Meaning</th></tr></thead><tbody>'
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        bodies = [_type(one["schema"]) for one in response.get("content", {}).values()]
        yield f"<tr><td>{escape(status)}</td><td>{''.join(bodies)}</td><td>{_line(response['description'])}</td></tr>"
    yield "</tbody></table></div></div></details>"


def _way(way: Mapping[str, Any]) -> str:
    """Return what a caller shows, by one of the ways of a call."""
    shown = [" with the scope ".join((f"`{name}`", *(f"`{one}`" for one in way[name]))) for name in way]
    return " and ".join(shown) or "nothing"


def _fields(schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    return _table(
        (name, field, name in needed, field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    )


def _table(fields: Iterable[tuple[str, Mapping[str, Any], bool, str]]) -> str:
    """Return fields or parameters: the name, the schema, whether it is always there, and what it is."""
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(schema)}{'' if needed else ' (optional)'}</td>"
        f"<td>{_line(said)}</td></tr>"
        for name, schema, needed, said in fields
    )
    head = "<thead><tr><th>Name</th><th>Type</th><th>Meaning</th></tr></thead>"
    return f'<div class="table"><table>{head}<tbody>{rows}</tbody></table></div>' if rows else ""


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_SCHEMA))
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(word))}</code>" for word in schema["enum"])
    kinds = schema.get("type", "anything")
    words = [kinds] if isinstance(kinds, str) else kinds
    if "items" in schema:
        words = [f"list of {_type(schema['items'])}" if word == "array" else escape(word) for word in words]
    else:
        words = [escape(word) for word in words]
    said = " or ".join(words)
    more = [str(schema[name]) for name in ("format", "contentEncoding") if name in schema]
    return f"{said} ({escape(', '.join(more))})" if more else said


def _text(text: str) -> str:
    """Return a text as paragraphs and lists."""
    parts: list[str] = []
    for paragraph in filter(None, text.split("\n\n")):
        items = re.split(r"^- ", paragraph, flags=re.MULTILINE)
        if items[0].strip():
            parts.append(f"<p>{_line(items[0])}</p>")
        if items[1:]:
            parts.append(f"<ul>{''.join(f'<li>{_line(item)}</li>' for item in items[1:])}</ul>")
    return "".join(parts)


def _line(text: str) -> str:
    """Return a text with what is code in it."""
    return _CODE.sub(r"<code>\1</code>", escape(" ".join(text.split())))

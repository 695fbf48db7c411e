"""The page that shows the OpenAPI document to people."""

from __future__ import annotations

from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from cim.route.http.api import document
from cim.web.document_page import PLACE, document_page
from cim.web.pages import WebFiles

#: Elements that have no end.
_VOID = {"meta", "link"}


class Reader(HTMLParser):
    """Reads a page, whose elements must be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.links, self.elements, self.attributes, self.texts = [], [], [], set(), set(), []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name == "href"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.texts.append(data)


class DocumentPageTests(SynchronousTestCase):
    def page(self, document):
        return Reader(document_page(b"<body>" + PLACE + b"</body>", document))

    def test_it_has_all_calls_and_all_objects_and_its_links_lead_somewhere(self):
        described = document()
        read = self.page(described)
        wanted = {one["operationId"] for path in described["paths"].values() for one in path.values()}
        wanted |= {f"schema-{name}" for name in described["components"]["schemas"]}
        self.assertEqual(sorted(read.ids), sorted({*wanted, "schemas"}))
        here = {link[1:] for link in read.links if link.startswith("#")}
        self.assertEqual(here - set(read.ids), set())
        self.assertEqual({link for link in read.links if not link.startswith("#")}, {"/openapi.json"})
        self.assertEqual(read.open, [])

    def test_no_script_and_no_style_is_in_it(self):
        read = Reader(document_page(WebFiles(("shared", "docs")).page("docs/index.html"), document()))
        self.assertEqual(read.open, [])
        self.assertEqual(read.elements & {"script", "style", "iframe", "img", "form"}, set())
        self.assertFalse({name for name in read.attributes if name.startswith("on") or name in ("style", "src")})

    def test_what_texts_say_is_shown_as_it_is(self):
        bad = "<img src=x onerror=alert(1)>\"'&"
        schema = {"$ref": f"#/components/schemas/{bad}"}
        described = {
            "info": {"title": bad, "version": bad, "description": f"{bad}\n\n- one {bad}\n- two `{bad}`"},
            "tags": [{"name": bad, "description": bad}],
            "paths": {
                f"/{bad}": {
                    bad: {
                        "operationId": bad,
                        "tags": [bad],
                        "summary": bad,
                        "description": bad,
                        "security": [{bad: [bad]}],
                        "parameters": [
                            {"name": bad, "required": True, "description": bad, "schema": {"type": bad, "format": bad}}
                        ],
                        "requestBody": {
                            "content": {"application/json": {"schema": {"properties": {bad: {}}}, "example": {bad: 1}}}
                        },
                        "responses": {bad: {"description": bad, "content": {bad: {"schema": schema}}}},
                    }
                }
            },
            "components": {
                "schemas": {bad: {"description": bad, "properties": {bad: {"enum": [bad]}}}},
                "securitySchemes": {bad: {"type": "apiKey", "name": bad, "description": bad}},
            },
        }
        read = self.page(described)
        self.assertEqual(read.elements & {"img"}, set())
        self.assertFalse({"onerror", "src"} & read.attributes)
        self.assertEqual(read.open, [])
        self.assertGreater("".join(read.texts).count(bad), 15)
        self.assertIn(f"schema-{bad}", read.ids)

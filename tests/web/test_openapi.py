"""Tests of the OpenAPI document against the OpenAPI Initiative's schema and against the declared calls."""

from __future__ import annotations

import json

import jsonschema_rs
from schemathesis.specs.openapi.definitions import OPENAPI_31

from twisted.trial.unittest import SynchronousTestCase

from cim.route.http.api import APIS, document
from cim.route.http.upstream import UpstreamAPI
from cim.web.declaring import Who, calls_of
from cim.web.openapi import _titled

CALLS = {
    f"{method} {call.path}": call
    for api in (*APIS, UpstreamAPI)
    for call in calls_of(api).values()
    for method in call.methods
}


class DocumentTests(SynchronousTestCase):
    """/openapi.json"""

    def setUp(self):
        self.document = json.loads(json.dumps(document()))

    def operations(self):
        return {
            f"{method.upper()} {path}": operation
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        }

    def schemas(self, part):
        """Yield every JSON schema in a part of the document."""
        if isinstance(part, dict):
            if "schema" in part:
                yield part["schema"]
            for inner in part.values():
                yield from self.schemas(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from self.schemas(inner)

    def test_it_is_openapi_3_1(self):
        validator = jsonschema_rs.Draft202012Validator(OPENAPI_31)
        self.assertEqual([str(error) for error in validator.iter_errors(self.document)], [])
        self.assertFalse(validator.is_valid({**self.document, "openapi": "3.0.0"}))

    def test_its_schemas_are_valid_and_their_references_resolve(self):
        found = [*self.schemas(self.document), *self.document["components"]["schemas"].values()]
        self.assertGreater(len(found), 50)
        for schema in found:
            jsonschema_rs.meta.validate(schema)
            jsonschema_rs.Draft202012Validator({**schema, "components": self.document["components"]})

    def objects(self):
        """Yield the names and the schemas of the fields of all objects."""
        for part in self.parts(self.document):
            yield from part.get("properties", {}).items()

    def parts(self, part):
        """Yield every object in a part of the document."""
        if isinstance(part, dict):
            yield part
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from self.parts(inner)

    def test_all_fields_and_parameters_are_described(self):
        for name, schema in self.objects():
            self.assertTrue(schema.get("description") or "$ref" in schema, (name, schema))
            self.assertNotRegex(schema.get("description", ""), "^At most [0-9]+ bytes", (name, schema))
        for call, operation in self.operations().items():
            for parameter in operation.get("parameters", ()):
                self.assertTrue(parameter.get("description"), (call, parameter))

    def test_numbers_say_how_wide_they_are(self):
        found = {part["format"]: part for part in self.parts(self.document) if "integer" in (part.get("type") or ())}
        self.assertEqual(set(found), {"int32", "int64"})
        schemas = self.document["components"]["schemas"]
        for title, name in (("Account", "id"), ("Message", "sent_at"), ("Members", "more"), ("Guest", "userId")):
            self.assertEqual(schemas[title]["properties"][name]["format"], "int64")
        for part in self.parts(self.document):
            if part.get("format") == "int32" and "maximum" in part:
                self.assertLess(part["maximum"], 1 << 31)

    def test_answers_are_open_to_further_fields_and_requests_are_not(self):
        for call, operation in self.operations().items():
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                self.assertEqual(schema.get("additionalProperties"), False if "/v1/" in call else None, call)
        for title, schema in self.document["components"]["schemas"].items():
            self.assertNotIn("additionalProperties", schema, title)

    def test_where_the_api_is(self):
        self.assertEqual(self.document["servers"][0]["url"], "/")
        tags = {tag for operation in self.operations().values() for tag in operation["tags"]}
        self.assertEqual(tags, {tag["name"] for tag in self.document["tags"]})

    def test_calls_of_upstream(self):
        operation = self.document["paths"]["/login"]["post"]
        self.assertEqual((operation["operationId"], operation["security"]), ("upstream_login", []))
        self.assertEqual(set(operation["responses"]), {"200", "default"})
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": self.document["components"]})
        said = {"ip": "127.0.0.1", "cimServerPort": 11211, "httpPort": 8083}
        for code, data in (("9000", said), ("9100", None)):
            self.assertTrue(validator.is_valid({"code": code, "message": "x", "reqNo": None, "dataBody": data}))
        self.assertFalse(validator.is_valid({"code": "9000", "message": "x", "reqNo": None, "dataBody": [said]}))

    def test_no_enum_and_no_schema_have_one_name_in_generated_code(self):
        """Generators call the type of a field by its object and the field: MemberRole for the role of a Member."""
        schemas = self.document["components"]["schemas"]
        fields = {
            (title + "".join(map(str.title, name.split("_")))).lower(): f"{title}.{name}"
            for title, schema in schemas.items()
            for name in schema.get("properties", ())
        }
        self.assertEqual({title: fields[title.lower()] for title in schemas if title.lower() in fields}, {})

    def test_no_two_schemas_have_one_name(self):
        found = [
            one for call in CALLS.values() for schema in (*call.answers.values(), call.body) for one in _titled(schema)
        ]
        for one in found:
            self.assertEqual(one.whole(), self.document["components"]["schemas"][one.title], one.title)

    def test_every_call_has_its_own_operation_id(self):
        self.assertEqual(set(self.operations()), set(CALLS))
        names = [operation["operationId"] for operation in self.operations().values()]
        self.assertEqual(len(set(names)), len(names))
        for call, operation in self.operations().items():
            self.assertTrue(operation["summary"], call)

    def test_who_may_call(self):
        schemes = self.document["components"]["securitySchemes"]
        self.assertEqual((schemes["token"]["scheme"], schemes["key"]["name"]), ("bearer", "X-API-Key"))
        for call, operation in self.operations().items():
            ways = {name for way in operation["security"] for name in way}
            wanted = {
                Who.ANYONE: set(),
                Who.GUEST: set(),
                Who.MAYBE_USER: {"token", "cookie"},
                Who.MAYBE_OPERATOR: {"key"},
                Who.USER: {"token", "cookie"},
                Who.OPERATOR: {"key"},
                Who.USER_OR_OPERATOR: {"token", "cookie", "key"},
            }[CALLS[call].who]
            self.assertEqual(ways, wanted, call)
            self.assertEqual("401" in operation["responses"], bool(ways), call)
            scopes = [scope for way in operation["security"] for scope in way.get("key", ())]
            self.assertEqual(scopes, [CALLS[call].scope] if "key" in ways else [], call)

    def test_every_problem_is_described(self):
        responses = self.document["components"]["responses"]
        for call, operation in self.operations().items():
            if "/v1/" not in call:
                continue
            problems = {status for status in operation["responses"] if status >= "400"}
            self.assertEqual(problems, {str(status) for status in CALLS[call].errors}, call)
            self.assertLessEqual({"429", "503", "504"}, problems)
            for status in problems:
                self.assertEqual(operation["responses"][status], {"$ref": f"#/components/responses/{status}"})
                self.assertIn("application/problem+json", responses[status]["content"])

    def test_examples_are_accepted(self):
        for call, declared in CALLS.items():
            if declared.body is not None and "/v1/" in call:
                self.assertIsNotNone(declared.example, call)
                declared.body.read("the body", dict(declared.example))
                content = self.operations()[call]["requestBody"]["content"]["application/json"]
                self.assertEqual(content["example"], declared.example)

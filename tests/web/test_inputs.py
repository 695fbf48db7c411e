"""Tests of bodies that are not JSON objects; test_declaring tests queries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadRequest, InvalidField
from cim.web.inputs import is_json, parse_object


class BodyTests(SynchronousTestCase):
    def test_refused(self):
        for body, reason in (
            (b"", "not valid JSON"),
            (b"{", "not valid JSON"),
            (b"\xff{}", "not valid JSON"),
            (b'{"a":NaN}', "not valid JSON"),
            (b'{"a":-Infinity}', "not valid JSON"),
            (b'{"a":' + b"9" * 5000 + b"}", "not valid JSON"),
            (b"[" * 100_000, "nested too deeply"),
            (b"[]", "must be a JSON object"),
            (b"null", "must be a JSON object"),
            (b'"x"', "must be a JSON object"),
        ):
            error = self.assertRaises(BadRequest, parse_object, body)
            self.assertEqual(error.status, 400)
            self.assertIn(reason, error.message)

    def test_a_name_that_occurs_twice(self):
        for body, name in (
            (b'{"to": 1, "text": "a", "to": 2}', "to"),
            (b'{"to": 1, "to": 1}', "to"),
            (b'{"a": [{"b": {"c": 1, "d": 2, "c": 3}}]}', "c"),
            (b'{"a": 1, "\\u0061": 2}', "a"),
            (b'{"": 1, "": 2}', ""),
            (b'{"%b": 1, "%b": 2}' % (b"x" * 1000, b"x" * 1000), "x" * 40),
        ):
            error = self.assertRaises(InvalidField, parse_object, body)
            self.assertEqual((error.field, error.reason), (name, "must be given only once"))
        body = b'{"a": {"c": 1}, "b": {"c": 1}, "A": 2}'
        self.assertEqual(parse_object(body), {"a": {"c": 1}, "b": {"c": 1}, "A": 2})
        # Upstream's Jackson takes the last one.
        self.assertEqual(parse_object(b'{"a": 1, "a": 2}', unique=False), {"a": 2})

    def test_content_types(self):
        for good in (b"application/json", b"application/json; charset=UTF-8", b'Application/JSON;charset="utf-8"; x=y'):
            self.assertTrue(is_json(good), good)
        for bad in (b"text/plain", b"application/jsonx", b"application/json; charset=gbk", b"", None):
            self.assertFalse(is_json(bad), bad)

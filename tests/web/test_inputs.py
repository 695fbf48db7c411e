"""Tests of bodies that are not JSON objects; test_declaring tests queries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadRequest
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

    def test_content_types(self):
        for good in (b"application/json", b"application/json; charset=UTF-8", b'Application/JSON;charset="utf-8"; x=y'):
            self.assertTrue(is_json(good), good)
        for bad in (b"text/plain", b"application/jsonx", b"application/json; charset=gbk", b"", None):
            self.assertFalse(is_json(bad), bad)

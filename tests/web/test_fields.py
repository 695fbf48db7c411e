"""Reading requests: what is let through and what is refused, with which words."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.ecim import BadRequest, CIMError, InvalidField
from cim.web.fields import Fields


class ParseTests(SynchronousTestCase):
    def test_refused(self):
        for body, reason in (
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"\xff{}", "not JSON"),
            (b'{"a":NaN}', "not JSON"),
            (b'{"a":-Infinity}', "not JSON"),
            (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
            (b"[" * 100_000, "nested too deeply"),
            (b"[]", "must be a JSON object"),
            (b"null", "must be a JSON object"),
            (b'"x"', "must be a JSON object"),
        ):
            error = self.assertRaises(BadRequest, Fields.parse, body)
            self.assertEqual(error.status, 400)
            self.assertIn(reason, error.message)

    def test_lenient(self):
        fields = Fields.parse('{"userId":1,"userId":2,"unknown":[{}],"userName":"é"}'.encode())
        self.assertEqual((fields.user_id("userId"), fields.name()), (2, "é"))


class FieldTests(SynchronousTestCase):
    def refused(self, method, value, *bounds, missing=False):
        fields = Fields({} if missing else {"f": value})
        error = self.assertRaises(InvalidField, getattr(fields, method), "f", *bounds)
        self.assertEqual(error.field, "f")
        self.assertTrue(error.message.startswith("invalid argument: f "), error.message)
        return error.reason

    def test_user_id(self):
        for value in (7, "7", " 7 ", "0007"):
            self.assertEqual(Fields({"f": value}).user_id("f"), 7)
        for value in (True, 1.0, [1], {}, "", "x", "1.0", "1e3", "٣", "9" * 5000, "0x1", "--1", "1_0"):
            self.assertEqual(self.refused("user_id", value), "must be a whole number", value)
        for value in (0, -1, "-1", 1 << 53, 10**4000):
            self.assertIn("must be between", self.refused("user_id", value))
        self.assertEqual(self.refused("user_id", None), "is missing")
        self.assertEqual(self.refused("user_id", None, missing=True), "is missing")

    def test_text(self):
        self.assertEqual(Fields({"f": "é"}).text("f", 2), "é")
        self.assertEqual(Fields({"f": ""}).text("f", 2), "")
        self.assertEqual(Fields({"f": 12}).text("f", 2), "12")
        self.assertEqual(self.refused("text", "éa", 2), "must have at most 2 bytes, has 3")
        self.assertEqual(self.refused("text", "abc", 2), "must have at most 2 bytes, has 3")
        self.assertEqual(self.refused("text", "\ud800", 9), "must not contain surrogates")
        self.assertEqual(self.refused("text", None, 9), "is missing")
        for value in (True, 1.5, ["a"], {}):
            self.assertEqual(self.refused("text", value, 9), "must be a text")

    def test_optional_text(self):
        self.assertIsNone(Fields({}).optional_text("f", 9))
        self.assertIsNone(Fields({"f": None}).optional_text("f", 9))
        self.assertEqual(Fields({"f": "a"}).optional_text("f", 9), "a")
        self.assertEqual(self.refused("optional_text", [], 9), "must be a text")

    def test_texts(self):
        self.assertEqual(Fields({}).texts("f", 2, 9), [])
        self.assertEqual(Fields({"f": ["a", "é"]}).texts("f", 2, 3), ["a", "é"])
        self.assertEqual(self.refused("texts", ["a", "é"], 2, 2), "must have at most 2 bytes together")
        self.assertEqual(self.refused("texts", ["a"] * 3, 2, 9), "must have at most 2 items, has 3")
        self.assertEqual(self.refused("texts", "a", 2, 9), "must be a list of texts")
        for item in (None, [], True, {}):
            self.assertEqual(self.refused("texts", [item], 2, 9), "must be a text")

    def test_name(self):
        self.assertEqual(Fields({"userName": "小明"}).name(), "小明")
        for value in ("", "  ", "a\n", "x" * 65, "\ud800", [], True):
            self.refused("name", value)
        self.assertEqual(self.refused("name", None), "is missing")

    def test_string_map(self):
        self.assertEqual(Fields({}).string_map("f", 2, 9), {})
        self.assertEqual(Fields({"f": {"a": 1, "b": "x", "c": None}}).string_map("f", 3, 9), {"a": "1", "b": "x"})
        self.assertEqual(self.refused("string_map", {"a": "b", "c": "d"}, 2, 3), "must have at most 3 bytes together")
        self.assertEqual(self.refused("string_map", {"a": "b", "c": "d"}, 1, 9), "must have at most 1 entries, has 2")
        self.assertEqual(self.refused("string_map", [], 1, 9), "must be an object of texts")
        self.assertEqual(self.refused("string_map", {"a": []}, 1, 9), "must be a text")
        self.assertEqual(self.refused("string_map", {"\ud800": "a"}, 1, 9), "must not contain surrogates")

    def test_choice(self):
        words = ("LOGIN", "MESSAGE")
        self.assertEqual(Fields({"f": "MESSAGE"}).choice("f", words), "MESSAGE")
        self.assertEqual(Fields({"f": 0}).choice("f", words), "LOGIN")
        self.assertIsNone(Fields({}).choice("f", words))
        for value in ("message", 2, -1, True, []):
            self.assertEqual(self.refused("choice", value, words), "must be one of LOGIN, MESSAGE")

    # Where hypothesis runs for the first time, it makes its tables of characters first.
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        )
    )
    def test_anything_gives_a_value_or_an_error_of_ours(self, value):
        try:
            fields = Fields.parse(json.dumps({"f": value}).encode())
        except BadRequest:
            return
        for method, bounds in (
            ("user_id", ()),
            ("text", (9,)),
            ("optional_text", (9,)),
            ("texts", (3, 9)),
            ("name", ()),
            ("string_map", (3, 9)),
            ("choice", (("a",),)),
        ):
            try:
                getattr(fields, method)("f", *bounds)
            except CIMError as error:
                error.message.encode()

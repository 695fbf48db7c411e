"""Tests of upstream's lenient fields: which values are accepted or refused, and in which words."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadRequest, CIMError, InvalidField
from cim.web.inputs import parse_object
from cim.web.schema import Choice, Id, Integer, Name, Object, Optional, Text, TextMap, Texts


class ObjectTests(SynchronousTestCase):
    """Objects."""

    def test_unknown_fields_are_ignored_and_the_last_duplicate_wins(self):
        body = parse_object('{"userId":1,"userId":2,"unknown":[{}],"userName":"é"}'.encode(), unique=False)
        wanted = Object({"userId": Id(), "userName": Name()})
        self.assertEqual(wanted.read_leniently(body), {"userId": 2, "userName": "é"})

    def test_null_counts_as_missing(self):
        wanted = Object({"a": Optional(Text(9)), "b": Optional(Texts(2, 9), ()), "c": Optional(Id(), 7)})
        for body in ({}, {"a": None, "b": None, "c": None}):
            self.assertEqual(wanted.read_leniently(body), {"a": None, "b": (), "c": 7})

    def test_the_first_error_is_reported(self):
        with self.assertRaises(InvalidField) as raised:
            Object({"a": Id(), "b": Id()}).read_leniently({"b": "x"})
        self.assertEqual((raised.exception.field, raised.exception.reason), ("a", "is missing"))


class FieldTests(SynchronousTestCase):
    """Tests of each kind of field."""

    def read(self, schema, value):
        return Object({"f": schema}).read_leniently({"f": value})["f"]

    def refused(self, schema, value):
        error = self.assertRaises(InvalidField, self.read, schema, value)
        self.assertEqual(error.field, "f")
        self.assertTrue(error.message.startswith("invalid argument: f "), error.message)
        return error.reason

    def test_ids(self):
        for value in (7, "7", " 7 ", "0007", "0" * 15 + "7"):
            self.assertEqual(self.read(Id(), value), 7)
        for value in (True, 1.0, [1], {}, "", "x", "1.0", "1e3", "٣", "9" * 5000, "0" * 16 + "7", "0x1", "--1", "1_0"):
            self.assertEqual(self.refused(Id(), value), "must be a whole number", value)
        for value in (0, -1, "-1", 1 << 53, 10**4000):
            self.assertIn("must be between", self.refused(Id(), value))
        self.assertEqual(self.refused(Id(), None), "is missing")
        self.assertEqual(self.read(Integer(-5, 5), "-5"), -5)

    def test_text(self):
        self.assertEqual(self.read(Text(2), "é"), "é")
        self.assertEqual(self.read(Text(2), ""), "")
        self.assertEqual(self.read(Text(2), 12), "12")
        self.assertEqual(self.refused(Text(2), "éa"), "must have at most 2 bytes, has 3")
        self.assertEqual(self.refused(Text(2), "abc"), "must have at most 2 bytes, has 3")
        self.assertEqual(self.refused(Text(2), 123), "must have at most 2 bytes, has 3")
        self.assertEqual(self.refused(Text(9), "\ud800"), "must not contain lone surrogates")
        self.assertEqual(self.refused(Text(9), None), "is missing")
        for value in (True, 1.5, ["a"], {}):
            self.assertEqual(self.refused(Text(9), value), "must be a string")

    def test_texts(self):
        self.assertEqual(self.read(Texts(2, 3), ["a", "é"]), ["a", "é"])
        self.assertEqual(self.read(Texts(2, 3), [1, "b"]), ["1", "b"])
        self.assertEqual(self.refused(Texts(2, 2), ["a", "é"]), "must have at most 2 bytes in total")
        self.assertEqual(self.refused(Texts(2, 9), ["a"] * 3), "must have at most 2 items, has 3")
        self.assertEqual(self.refused(Texts(2, 9), "a"), "must be a list of strings")
        for item in (None, [], True, {}):
            self.assertEqual(self.refused(Texts(2, 9), [item]), "must contain only strings")

    def test_names(self):
        self.assertEqual(self.read(Name(), "小明"), "小明")
        self.assertEqual(self.read(Name(), 12), "12")
        for value in ("", "  ", "a\n", "x" * 65, "\ud800", [], True):
            self.refused(Name(), value)
        self.assertEqual(self.refused(Name(), None), "is missing")

    def test_maps_of_texts(self):
        self.assertEqual(self.read(TextMap(3, 9), {"a": 1, "b": "x", "c": None}), {"a": "1", "b": "x"})
        self.assertEqual(self.refused(TextMap(2, 3), {"a": "b", "c": "d"}), "must have at most 3 bytes in total")
        self.assertEqual(self.refused(TextMap(1, 9), {"a": "b", "c": "d"}), "must have at most 1 entries, has 2")
        self.assertEqual(self.refused(TextMap(1, 9), []), "must be an object whose values are strings")
        self.assertEqual(self.refused(TextMap(1, 9), {"a": []}), "must contain only strings")
        self.assertEqual(self.refused(TextMap(1, 9), {"\ud800": "a"}), "must not contain lone surrogates")

    def test_choices(self):
        words = ("LOGIN", "MESSAGE")
        self.assertEqual(self.read(Choice(words), "MESSAGE"), "MESSAGE")
        self.assertEqual(self.read(Choice(words), 0), "LOGIN")
        for value in ("message", 2, -1, True, []):
            self.assertEqual(self.refused(Choice(words), value), "must be one of LOGIN, MESSAGE")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        )
    )
    def test_any_input_gives_a_value_or_a_cim_error(self, value):
        try:
            values = parse_object(json.dumps({"f": value}).encode())
        except BadRequest:
            return
        for schema in (Id(), Text(9), Optional(Text(9)), Texts(3, 9), Name(), TextMap(3, 9), Choice(("a",))):
            try:
                Object({"f": schema}).read_leniently(values)
            except CIMError as error:
                error.message.encode()

"""Tests of which values each schema accepts, and that its JSON schema accepts the same."""

from __future__ import annotations

import jsonschema_rs

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.model import ID_LIMIT
from cim.web.schema import Array, Base64, Boolean, Choice, Id, Integer, Name, Nullable, Object, Optional, Text

ANYTHING = (None, True, False, 0, 1, -1, 5, 1.0, 1.5, 1 << 70, "", "x", "5", [], {}, ["x"], "a\0b", "\ud800", "x" * 70)
#: Restrictions that a JSON schema cannot express.
BEYOND = {
    ("Name", "a\0b"),
    ("Base64", "x"),
    ("Base64", "5"),
    ("Base64", "a\0b"),
    ("Base64", "x" * 70),
    ("Text", "a\0b"),
}


class SchemaTests(SynchronousTestCase):
    """Reading."""

    def takes(self, schema, value):
        try:
            schema.read("field", value)
        except InvalidField as error:
            self.assertEqual(error.field, "field")
            return False
        return True

    def test_values_and_json_schemas_agree(self):
        for schema in (
            Integer(1, 5),
            Id(),
            Boolean(),
            Text(9),
            Text(9, 1, printable=True),
            Name(),
            Choice(("x", "y")),
            Base64(60),
        ):
            validator = jsonschema_rs.Draft202012Validator(schema.document())
            for value in ANYTHING:
                if value == "\ud800" or (type(value) is float and value.is_integer()):
                    self.assertFalse(self.takes(schema, value))
                elif (type(schema).__name__, value if isinstance(value, str) else "") not in BEYOND:
                    self.assertEqual(self.takes(schema, value), validator.is_valid(value), (schema, value))

    def test_bounds(self):
        for schema, good, bad in (
            (Integer(1, 5), (1, 5), (0, 6)),
            (Id(), (1, ID_LIMIT - 1), (0, -1, ID_LIMIT)),
            (Text(4, 2), ("ab", "abcd", "张"), ("a", "abcde", "张三")),
            (Base64(3), ("", "AAEC"), ("AAECAw==", "AAE", "A===", "AA EC", "_-_-")),
            (Name(), ("a", "x" * 64, "\U0001f44b" * 64), ("", " ", "x" * 65, "a\x7f")),
        ):
            for value in good:
                self.assertTrue(self.takes(schema, value), (schema, value))
            for value in bad:
                self.assertFalse(self.takes(schema, value), (schema, value))

    def test_numbers_in_paths_and_queries(self):
        for text, number in (("1", 1), ("05", 5)):
            self.assertEqual(Integer(1, 5).read_text("field", text), number)
        for text in ("", "-1", "+1", "1.0", "1e0", " 1", "٣", "0x1", "1" * 5000, "1_0"):
            with self.assertRaises(InvalidField):
                Integer(0, 10).read_text("field", text)

    def test_objects(self):
        thing = Object({"id": Id(), "name": Optional(Name()), "n": Optional(Integer(0, 9), 3)}, "Thing", "A thing.")
        self.assertEqual(thing.read("it", {"id": 1}), {"id": 1, "name": None, "n": 3})
        for value, field in (({}, "id"), ({"id": 1, "x": 1}, "x"), ({"id": 1, "name": None}, "name"), ([], "it")):
            with self.assertRaises(InvalidField) as raised:
                thing.read("it", value)
            self.assertEqual(raised.exception.field, field)
        self.assertEqual(thing.document(), {"$ref": "#/components/schemas/Thing"})
        whole = thing.whole()
        self.assertEqual(whole["required"], ["id"])
        self.assertEqual(whole["properties"]["n"]["default"], 3)

    def test_schemas_that_are_only_in_answers(self):
        validator = jsonschema_rs.Draft202012Validator(Array(Nullable(Id())).document())
        self.assertTrue(validator.is_valid([1, None]))
        self.assertFalse(validator.is_valid(["1"]))

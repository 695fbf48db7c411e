"""Tests of which problem document each error becomes."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadRequest, CIMError, InvalidField
from cim.web.problem import TITLES, encode, problem


class ProblemTests(SynchronousTestCase):
    """Tests of problem documents (RFC 9457)."""

    def test_the_document(self):
        status, raw = problem(InvalidField("naïve", "is \ud800"))
        said = json.loads(raw)
        self.assertEqual(status, 400)
        self.assertEqual(
            said,
            {
                "type": "urn:cim:problem:invalid",
                "title": said["title"],
                "status": 400,
                "code": "invalid",
                "detail": "invalid argument: naïve is ?",
                "field": "naïve",
            },
        )

    def test_a_malformed_body_has_its_own_title(self):
        titles = [json.loads(problem(BadRequest(status, "x"))[1])["title"] for status in (400, 405, 415)]
        self.assertEqual(
            titles,
            ["The request cannot be understood", TITLES["method-not-allowed"], TITLES["unsupported-media-type"]],
        )

    def test_only_the_text_of_cim_errors_is_shown(self):
        status, raw = problem(KeyError("the secret"))
        self.assertEqual((status, json.loads(raw)["code"]), (500, "internal"))
        self.assertNotIn(b"secret", raw)
        self.assertEqual(json.loads(problem(CIMError("said"))[1])["detail"], "said")

    def test_nan_is_refused(self):
        with self.assertRaises(ValueError):
            encode({"x": float("nan")})

"""Which problem document each error is."""

from __future__ import annotations

import inspect
import json

from twisted.trial.unittest import SynchronousTestCase

from cim import ecim
from cim.ecim import BadRequest, CIMError, InvalidField
from cim.web.problem import encode, kind_of, problem

STATUSES = {
    ecim.Unauthorized: 401,
    ecim.Forbidden: 403,
    ecim.NotFound: 404,
    ecim.AccountMismatch: 404,
    ecim.Conflict: 409,
    ecim.RepeatLogin: 409,
    ecim.TooLarge: 413,
    ecim.RateLimited: 429,
    ecim.Unavailable: 503,
    ecim.StoreUnavailable: 503,
    ecim.LinkLost: 503,
    ecim.NoServerAvailable: 503,
    ecim.CallTimeout: 504,
}


class ProblemTests(SynchronousTestCase):
    """RFC 9457."""

    def test_statuses(self):
        for kind, status in STATUSES.items():
            self.assertEqual(kind_of(kind())[0], status, kind)
        for status in (400, 404, 405, 413, 415):
            self.assertEqual(kind_of(BadRequest(status, "x"))[0], status)

    def test_every_error_that_names_a_part_that_is_away_may_be_tried_again(self):
        for kind in vars(ecim).values():
            if inspect.isclass(kind) and issubclass(kind, ecim.Unavailable):
                self.assertIn(kind_of(kind())[0], (503, 504), kind)

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

    def test_only_errors_of_ours_are_quoted(self):
        status, raw = problem(KeyError("the secret"))
        self.assertEqual((status, json.loads(raw)["code"]), (500, "internal"))
        self.assertNotIn(b"secret", raw)
        self.assertEqual(json.loads(problem(CIMError("said"))[1])["detail"], "said")

    def test_json_knows_no_nan(self):
        with self.assertRaises(ValueError):
            encode({"x": float("nan")})

"""How each error is sent, and which error each code stands for."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from cim import errors as ecim
from cim.errors import BadRequest, CIMError, RateLimited, Unavailable
from cim.registry.izookeeper import NoNode
from cim.web.problem import TITLES
from cim.wire.error_table import RETRYABLE, TABLE, of_envelope, of_failure, of_problem, row_of

ERRORS = [one for one in vars(ecim).values() if inspect.isclass(one) and issubclass(one, CIMError)]


class TableTests(SynchronousTestCase):
    """The rows."""

    def test_every_error_has_a_row(self):
        self.assertGreater(len(ERRORS), 25)
        self.assertEqual([kind.__name__ for kind in ERRORS if kind not in TABLE], [])

    def test_unavailability_is_retryable(self):
        for kind, row in TABLE.items():
            if issubclass(kind, Unavailable):
                self.assertIn(row.status, (503, 504), kind)
                self.assertTrue(row.retryable, kind)
            self.assertEqual(row.retry_after > 0, row.status in (429, 503, 504), kind)

    def test_the_code_alone_says_whether_to_retry(self):
        self.assertEqual(RETRYABLE, {"unavailable", "timeout", "rate-limited"})
        for kind, row in TABLE.items():
            self.assertEqual(row.retryable, row.failure in RETRYABLE, kind)

    def test_every_problem_has_a_title(self):
        self.assertEqual({row.problem for row in TABLE.values()} - set(TITLES), set())

    def test_the_row_of_an_error(self):
        for error, told in (
            (ecim.InvalidField("a", "b"), (400, "invalid", "3000", "invalid")),
            (ecim.Unauthorized(), (401, "unauthorized", "4000", "forbidden")),
            (ecim.Forbidden(), (403, "forbidden", "4000", "forbidden")),
            (ecim.NotFound(), (404, "not-found", "4000", "not-found")),
            (ecim.AccountMismatch(), (404, "not-found", "9100", "not-found")),
            (ecim.Conflict(), (409, "conflict", "4000", "conflict")),
            (ecim.RepeatLogin(), (409, "second-login", "5000", "conflict")),
            (ecim.TooLarge(), (413, "too-large", "4000", "too-large")),
            (ecim.RateLimited(), (429, "rate-limited", "6000", "rate-limited")),
            (ecim.Unavailable(), (503, "unavailable", "4000", "unavailable")),
            (ecim.StoreUnavailable(), (503, "unavailable", "4000", "unavailable")),
            (ecim.LinkLost(), (503, "unavailable", "4000", "unavailable")),
            (ecim.NoServerAvailable(), (503, "unavailable", "7100", "unavailable")),
            (ecim.UserOffline(), (503, "unavailable", "7000", "unavailable")),
            (ecim.CallTimeout(), (504, "timeout", "4000", "timeout")),
            (ecim.BadFrame("a"), (500, "internal", "4000", "invalid")),
            (ecim.FrameTooLarge("a"), (500, "internal", "4000", "too-large")),
            (CIMError("a"), (500, "internal", "4000", "unavailable")),
            (NoNode(), (500, "internal", "4000", "unavailable")),
            (ZeroDivisionError("a"), (500, "internal", "4000", "unavailable")),
        ):
            row = row_of(error)
            self.assertEqual((row.status, row.problem, row.envelope, row.failure), told, error)

    def test_a_bad_request_has_the_status_that_it_carries(self):
        for status, problem in (
            (400, "invalid"),
            (404, "not-found"),
            (405, "method-not-allowed"),
            (413, "too-large"),
            (415, "unsupported-media-type"),
        ):
            row = row_of(BadRequest(status, "x"))
            self.assertEqual((row.status, row.problem, row.envelope), (status, problem, "3000"))


class BackTests(SynchronousTestCase):
    """The errors that a client makes from answers."""

    def test_an_error_comes_back_as_one_that_is_sent_the_same(self):
        for kind, row in TABLE.items():
            if row.status < 500:
                self.assertEqual(row_of(of_problem(row.status, row.problem, "why")).problem, row.problem, kind)
            if kind is not ecim.RepeatedEnd:
                self.assertEqual(row_of(of_envelope(row.envelope, "why")).envelope, row.envelope, kind)
            self.assertEqual(row_of(of_failure(row.failure, "why")).failure, row.failure, kind)

    def test_failures(self):
        for code, kind in (
            ("invalid", BadRequest),
            ("too-large", ecim.TooLarge),
            ("forbidden", ecim.Forbidden),
            ("not-found", ecim.NotFound),
            ("conflict", ecim.Conflict),
            ("of tomorrow", CIMError),
        ):
            error = of_failure(code, "why")
            self.assertEqual((type(error), error.message), (kind, "why"))

    def test_envelopes(self):
        for code, kind in (
            ("3000", BadRequest),
            ("4000", Unavailable),
            ("5000", ecim.RepeatLogin),
            ("6000", ecim.RateLimited),
            ("7000", ecim.UserOffline),
            ("7100", ecim.NoServerAvailable),
            ("9100", ecim.AccountMismatch),
            ("9200", CIMError),
        ):
            self.assertEqual(type(of_envelope(code, "why")), kind)
            self.assertEqual(of_envelope(code, "why").message, "why")
        self.assertEqual(of_envelope("5000", None).message, ecim.RepeatLogin.text)
        self.assertEqual(of_envelope("3000", None).message, ecim.InvalidField.text)

    def test_problems(self):
        for status, code, kind in (
            (401, "unauthorized", ecim.Unauthorized),
            (403, "forbidden", ecim.Forbidden),
            (404, "not-found", ecim.NotFound),
            (409, "conflict", ecim.Conflict),
            (409, "second-login", ecim.RepeatLogin),
            (413, "too-large", ecim.TooLarge),
            (400, "invalid", BadRequest),
            (405, "method-not-allowed", BadRequest),
            (418, "of tomorrow", BadRequest),
            (429, "of tomorrow", RateLimited),
            (500, "internal", Unavailable),
            (502, "of tomorrow", Unavailable),
            (503, "unavailable", Unavailable),
            (504, "timeout", ecim.CallTimeout),
        ):
            self.assertEqual(type(of_problem(status, code, "why")), kind, code)
        self.assertEqual(of_problem(405, "method-not-allowed", "why").status, 405)

    def test_retry_after(self):
        self.assertEqual([of_problem(503, "unavailable", "why", seconds).retry_after for seconds in (0, 7)], [0, 7])
        self.assertEqual(RateLimited(retry_after=3).retry_after, 3)

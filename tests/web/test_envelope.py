"""Tests of upstream's answers, to the byte."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField, RepeatLogin, UserOffline
from cim.web import envelope


class EnvelopeTests(SynchronousTestCase):
    def test_success(self):
        self.assertEqual(envelope.success(), b'{"code":"9000","message":"Success","reqNo":null,"dataBody":null}')
        data = {"userId": 1, "userName": "小明"}
        self.assertEqual(
            envelope.success(data),
            '{"code":"9000","message":"Success","reqNo":null,"dataBody":{"userId":1,"userName":"小明"}}'.encode(),
        )

    def test_an_empty_list_is_not_nothing(self):
        self.assertTrue(envelope.success([]).endswith(b'"dataBody":[]}'))

    def test_failure(self):
        self.assertEqual(
            envelope.failure(RepeatLogin()),
            b'{"code":"5000","message":"Repeat login, log out an account please!","reqNo":null,"dataBody":null}',
        )
        self.assertIn(b'"code":"7000"', envelope.failure(UserOffline()))
        self.assertIn(b"invalid argument: userId is missing", envelope.failure(InvalidField("userId", "is missing")))

    def test_an_internal_error_does_not_reveal_its_cause(self):
        self.assertEqual(envelope.INTERNAL_ERROR, b'{"code":"4000","message":"Failure","reqNo":null,"dataBody":null}')

    def test_lone_surrogates_are_replaced(self):
        self.assertEqual(
            json.loads(envelope.envelope("3000", "bad \ud800")),
            {**json.loads(envelope.success()), "code": "3000", "message": "bad ?"},
        )

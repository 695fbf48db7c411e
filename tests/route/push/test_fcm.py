"""Tests of Firebase Cloud Messaging, against a double of Google that checks what the real one would."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.errors import InvalidField, RateLimited, Unavailable
from cim.model import Notice, Pushed, Registration
from cim.route.push.fcm import FCM, GRANT, SCOPE, ServiceAccount
from cim.web.calling import Answer

START = 1_700_000_000
PRIVATE = rsa.generate_private_key(65537, 2048)
FILE = {
    "type": "service_account",
    "project_id": "shop-1",
    "client_email": "push@shop-1.iam.gserviceaccount.com",
    "private_key": PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "token_uri": "https://oauth2.googleapis.com/token",
}
TOKEN = "dGhpcy1pcy1hLXRva2Vu:APA91bH"


def answer(status, said=None, headers=None):
    body = said if isinstance(said, bytes) else json.dumps(said or {}).encode()
    return Answer(status, Headers({name: [value] for name, value in (headers or {}).items()}), body)


def error(status, code):
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return answer(status, {"error": {"code": status, "details": details}})


class Google:
    """Issues access tokens for an hour and takes messages that have one."""

    def __init__(self, now):
        self.now = now
        self.issued = []
        self.took = []
        self.tokens = lambda: answer(200, self.issue())
        self.sends = lambda: answer(200, {"name": "projects/shop-1/messages/1"})

    def issue(self):
        self.issued.append((f"ya29.token-{len(self.issued)}", self.now() + 3600))
        return {"access_token": self.issued[-1][0], "expires_in": 3599, "token_type": "Bearer"}

    def request(self, method, url, *, headers=None, body=None, seconds=10.0, most=65536, https=False):
        assert method == "POST" and https
        if url == FILE["token_uri"]:
            assert headers["Content-Type"] == "application/x-www-form-urlencoded"
            said = {name: value for name, (value,) in parse_qs(body.decode()).items()}
            assert said["grant_type"] == GRANT
            options = {"verify_exp": False, "verify_iat": False, "require": ["iss", "scope", "aud", "iat", "exp"]}
            claims = jwt.decode(
                said["assertion"], PRIVATE.public_key(), algorithms=["RS256"], audience=url, options=options
            )
            assert claims["iss"] == FILE["client_email"] and claims["scope"] == SCOPE
            assert claims["iat"] == int(self.now()) and claims["exp"] - claims["iat"] <= 3600
            given = self.tokens()
        else:
            assert url == "https://fcm.googleapis.com/v1/projects/shop-1/messages:send", url
            assert headers["Content-Type"] == "application/json"
            scheme, _, token = headers["Authorization"].partition(" ")
            ends = dict(self.issued).get(token)
            if scheme != "Bearer" or ends is None or ends <= self.now():
                return succeed(answer(401, {"error": {"status": "UNAUTHENTICATED"}}))
            (message,) = json.loads(body).values()
            assert all(isinstance(value, str) for value in message["data"].values()), message
            assert len(json.dumps(message["data"])) <= 4096
            self.took.append(message)
            given = self.sends()
        return given if isinstance(given, Deferred) else succeed(given)


class FCMTests(SynchronousTestCase):
    def setUp(self):
        self.now = START + 0.5
        self.google = Google(lambda: self.now)
        account = ServiceAccount.parse(json.dumps(FILE))
        self.fcm = FCM(self.google, account, time_of_day=lambda: self.now)
        self.made = Registration(7, "fcm", TOKEN, "phone")

    def push(self, notice=None):
        return self.successResultOf(self.fcm.push(self.made, notice or Notice("g:1")))

    def test_what_a_device_gets(self):
        self.assertEqual(self.push(Notice("p:1:2", "5-1", 2, "bob", badge=3)), Pushed.DONE)
        (message,) = self.google.took
        self.assertEqual(message["token"], TOKEN)
        data = {"conversation": "p:1:2", "position": "5-1", "sender": "2", "sender_name": "bob", "badge": "3"}
        self.assertEqual(message["data"], data)
        self.assertEqual((message["android"]["priority"], message["android"]["ttl"]), ("HIGH", "86400s"))
        self.assertEqual(message["android"]["collapse_key"], Notice("p:1:2").topic)
        self.push(Notice("p:1:2", read=True))
        self.assertEqual(self.google.took[-1]["data"], {"conversation": "p:1:2", "read": "true", "badge": "0"})
        self.assertEqual(self.google.took[-1]["android"]["priority"], "NORMAL")

    def test_an_access_token_is_used_until_shortly_before_its_end(self):
        for _ in range(3):
            self.push()
        self.assertEqual(len(self.google.issued), 1)
        self.now += 3200
        self.push()
        self.now += 200
        self.push()
        self.assertEqual(len(self.google.issued), 2)
        # A clock that is set back proves nothing about it.
        self.now -= 7200
        self.push()
        self.assertEqual(len(self.google.issued), 3)

    def test_one_is_asked_for_at_a_time(self):
        waiting = Deferred()
        self.google.tokens = lambda: waiting
        pushing = [self.fcm.push(self.made, Notice("g:1")) for _ in range(3)]
        waiting.callback(answer(200, self.google.issue()))
        self.assertEqual([self.successResultOf(one) for one in pushing], [Pushed.DONE] * 3)
        self.assertEqual(len(self.google.issued), 1)

    def test_one_that_google_does_not_know_any_more_is_replaced(self):
        self.push()
        self.google.issued.clear()
        self.assertEqual(self.push(), Pushed.LATER)
        self.assertEqual(self.push(), Pushed.DONE)

    def test_while_google_gives_none_nothing_is_sent(self):
        wrong = (
            answer(400, {"error": "invalid_grant"}),
            answer(200, b"<html>"),
            answer(200, {"access_token": 5, "expires_in": 3599}),
            answer(200, {"access_token": "a\r\nb", "expires_in": 3599}),
            answer(200, {"access_token": "x"}),
            answer(200, b"[" * 5000),
        )
        for one in wrong:
            self.google.tokens = lambda one=one: one
            self.failureResultOf(self.fcm.push(self.made, Notice("g:1")), Unavailable)
        self.assertEqual(self.google.took, [])

    def test_what_answers_mean(self):
        for given, outcome in (
            (error(404, "UNREGISTERED"), Pushed.GONE),
            (error(403, "SENDER_ID_MISMATCH"), Pushed.GONE),
            (error(403, "THIRD_PARTY_AUTH_ERROR"), Pushed.REFUSED),
            (answer(404, b"not here"), Pushed.REFUSED),
            (answer(404, b'{"error": {"details": 5}}'), Pushed.REFUSED),
            (error(400, "INVALID_ARGUMENT"), Pushed.REFUSED),
            (error(503, "UNAVAILABLE"), Pushed.LATER),
            (error(500, "INTERNAL"), Pushed.LATER),
        ):
            self.google.sends = lambda given=given: given
            self.assertEqual(self.push(), outcome, given)
        self.google.sends = lambda: answer(429, {}, {"Retry-After": "30"})
        refused = self.failureResultOf(self.fcm.push(self.made, Notice("g:1")), RateLimited)
        self.assertEqual(refused.value.retry_after, 30)

    def test_what_can_be_registered(self):
        self.assertEqual(self.fcm.check(TOKEN, {}), "")
        for address in ("", "short", "https://example.com/token", "x" * 2049, "with space-and-more-letters"):
            self.assertRaises(InvalidField, self.fcm.check, address, {})
        self.assertRaises(InvalidField, self.fcm.check, TOKEN, {"auth": "x"})

    def test_files_that_are_none(self):
        for text in (
            "",
            "[]",
            "5",
            json.dumps({**FILE, "private_key": "nothing"}),
            json.dumps({**FILE, "project_id": "../x"}),
            json.dumps({**FILE, "project_id": 5}),
            json.dumps({**FILE, "token_uri": "http://oauth2.googleapis.com/token"}),
            json.dumps({name: value for name, value in FILE.items() if name != "client_email"}),
        ):
            error = self.assertRaises(ValueError, ServiceAccount.parse, text)
            self.assertNotIn("PRIVATE", str(error))

"""Tickets and what they are signed with."""

from __future__ import annotations

import base64
import json

import jwt

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Unauthorized
from cim.model import Place
from cim.signed import sign, verify
from cim.tickets import Ticket, make_ticket, read_ticket

KEY = b"k" * 32
NOW = 1_700_000_000.5
PLACE = Place("127.0.0.1:11211:8081", "run-1")
ALICE = Ticket(7, "alice 爱丽丝", "phone", "owner-1")


def _part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class TicketTests(SynchronousTestCase):
    def setUp(self):
        self.text = make_ticket(KEY, ALICE, PLACE, NOW, "id-1")

    def refused(self, text, place=PLACE, key=KEY):
        self.assertRaises(Unauthorized, read_ticket, key, text, place)

    def test_read(self):
        self.assertEqual(read_ticket(KEY, self.text, PLACE), ALICE)

    def test_it_says_when_it_expires_to_servers_of_earlier_releases(self):
        self.assertEqual(verify(KEY, self.text, None, str(PLACE))["exp"], int(NOW) + 30)

    def test_for_another_server_or_run(self):
        self.refused(self.text, Place("127.0.0.1:11212:8082", "run-1"))
        self.refused(self.text, Place("127.0.0.1:11211:8081", "run-2"))

    def test_of_another_key(self):
        self.refused(self.text, key=b"x" * 32)

    def test_altered(self):
        header, claims, signature = self.text.split(".")
        told = json.loads(base64.urlsafe_b64decode(claims + "=="))
        for claim, value in (("sub", "8"), ("exp", 1 << 40), ("own", "owner-2"), ("dev", "other")):
            self.refused(f"{header}.{_part({**told, claim: value})}.{signature}")
        self.refused(self.text[:-4] + ("AAAA" if self.text[-4:] != "AAAA" else "BBBB"))

    def test_algorithm_is_not_the_tokens_choice(self):
        _, claims, signature = self.text.split(".")
        for header in ({"alg": "none"}, {"alg": "None", "typ": "JWT"}, {"alg": "HS384"}, {"alg": "RS256"}, {}):
            self.refused(f"{_part(header)}.{claims}.{signature}")
            self.refused(f"{_part(header)}.{claims}.")
        told = json.loads(base64.urlsafe_b64decode(claims + "=="))
        self.refused(jwt.encode(told, "k" * 64, algorithm="HS512"))
        self.refused(jwt.encode(told, None, algorithm="none"))

    def test_those_of_earlier_releases_and_for_them(self):
        claims = {"sub": "7", "name": "爱丽丝", "exp": 9, "jti": "1", "scp": ["read"]}
        self.assertEqual(verify(KEY, jwt.encode(claims, KEY, algorithm="HS256"), 8), claims)
        ours = jwt.decode(sign(KEY, claims), KEY, algorithms=["HS256"], options={"verify_exp": False})
        self.assertEqual(ours, claims)

    def test_garbage(self):
        for text in ("", ".", "..", "a.b.c", "\x00", "ü.ü.ü", "\ud800", "a" * 5000, _part([[]] * 3) + ".a.b"):
            self.refused(text)
        deep = "[" * 1500
        self.refused(base64.urlsafe_b64encode(deep.encode()).decode() + ".a.b")

    def test_claims_of_wrong_types(self):
        good = {
            "sub": "7",
            "name": "a",
            "dev": "d",
            "own": "o",
            "aud": str(PLACE),
            "exp": int(NOW) + 9,
            "jti": "1",
        }
        read_ticket(KEY, sign(KEY, good), PLACE)
        for claim, value in (
            ("sub", "-7"),
            ("sub", "0"),
            ("sub", "٧"),
            ("sub", str(1 << 53)),
            ("name", 1),
            ("name", ""),
            ("dev", None),
            ("own", []),
            ("own", ""),
            ("aud", ["other"]),
            ("exp", "x"),
            ("exp", 1e300),
            ("exp", True),
        ):
            self.refused(sign(KEY, {**good, claim: value}))
        for claim in good:
            self.refused(sign(KEY, {name: value for name, value in good.items() if name != claim}))


class SignedTests(SynchronousTestCase):
    def test_without_audience(self):
        """A ticket is no token even under the same key: what is for someone is not for all."""
        text = sign(KEY, {"sub": "7", "exp": int(NOW) + 9, "jti": "1", "aud": "x"})
        self.assertRaises(Unauthorized, verify, KEY, text, NOW)
        text = sign(KEY, {"sub": "7", "exp": int(NOW) + 9, "jti": "1"})
        self.assertEqual(verify(KEY, text, NOW)["sub"], "7")
        self.assertRaises(Unauthorized, verify, KEY, text, NOW + 10)
        self.assertEqual(verify(KEY, text, None)["sub"], "7")
        self.assertRaises(Unauthorized, verify, KEY, text, NOW, "x")

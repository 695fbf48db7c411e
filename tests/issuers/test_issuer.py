"""Tests of how issuers are configured."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.issuers.issuer import Issuer, parse_issuer, read_issuer
from cim.user_tokens import ALL, UserScope

GOOD = {"issuer": "https://id.example.com", "audience": "chat", "algorithms": ["RS256"], "keys": "/etc/cim/id.pem"}


class IssuerTests(SynchronousTestCase):
    """Tables and words."""

    def test_a_table(self):
        found = read_issuer(GOOD)
        whole = Issuer(issuer=GOOD["issuer"], audience="chat", algorithms=("RS256",), keys="/etc/cim/id.pem")
        self.assertEqual((found, found.url, found.scopes, found.leeway, found.lifetime), (whole, "", ALL, 10, 3600))
        found = read_issuer({**GOOD, "keys": "https://id.example.com/jwks", "scopes": ["read"], "lifetime": 86400})
        self.assertEqual((found.url, found.scopes), ("https://id.example.com/jwks", {UserScope.READ}))

    def test_a_secret(self):
        table = {**GOOD, "algorithms": ["HS256"], "secret-file": "/etc/cim/s"}
        del table["keys"]
        self.assertEqual(read_issuer(table).secret_file, "/etc/cim/s")

    def test_words(self):
        words = "issuer=a=b audience=chat algorithms=RS256,EdDSA keys=k.pem leeway=0 scopes=read,send name-claim=nick"
        found = parse_issuer(words)
        self.assertEqual((found.issuer, found.algorithms, found.keys), ("a=b", ("RS256", "EdDSA"), "k.pem"))
        self.assertEqual((found.leeway, found.scopes, found.name_claim), (0, {"read", "send"}, "nick"))
        for wrong in ("issuer", "issuer=a issuer=b", "issuer=a audience=b algorithms=RS256"):
            self.assertRaises(ValueError, parse_issuer, wrong)

    def test_what_cannot_be(self):
        for change, wrong in (
            ({"issuer": ""}, "issuer must be a text"),
            ({"issuer": "a\n"}, "issuer must be a text"),
            ({"audience": 7}, "audience must be a text"),
            ({"algorithms": []}, "algorithms must be a list"),
            ({"algorithms": ["none"]}, "algorithms must be among HS256, RS256, ES256, EdDSA"),
            ({"algorithms": ["HS512"]}, "algorithms must be among"),
            ({"algorithms": ["PS256"]}, "algorithms must be among"),
            # By which a public key would be taken for a secret.
            ({"algorithms": ["RS256", "HS256"]}, "algorithms must be HS256 alone"),
            ({"algorithms": ["HS256"]}, "must have secret-file, and no keys, for HS256"),
            ({"secret-file": "/s"}, "must have keys, and no secret-file, for RS256"),
            ({"keys": "http://id.example.com/jwks"}, "keys must be a file, or a URL that begins with https://"),
            ({"keys": "file:///etc/passwd"}, "keys must be a file, or a URL that begins with https://"),
            ({"keys": ""}, "keys must name a file"),
            ({"lifetime": 86401}, "lifetime must be a number of seconds from 1 to 86400"),
            ({"lifetime": 0}, "lifetime must be"),
            ({"lifetime": True}, "lifetime must be"),
            ({"leeway": 301}, "leeway must be a number of seconds from 0 to 300"),
            ({"leeway": -1}, "leeway must be"),
            ({"scopes": ["read", "fly"]}, "scopes must be some of send, read, groups, account"),
            ({"scopes": []}, "scopes must be a list"),
            ({"jwks": "x"}, "has an unknown key jwks"),
        ):
            error = self.assertRaises(ValueError, read_issuer, {**GOOD, **change})
            self.assertIn(wrong, str(error))
        for missing in ("issuer", "audience", "algorithms"):
            table = {name: value for name, value in GOOD.items() if name != missing}
            self.assertEqual(str(self.assertRaises(ValueError, read_issuer, table)), f"{missing} is missing")

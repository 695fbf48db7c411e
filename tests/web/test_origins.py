"""Tests of the form of web origins, and of the option that lists them."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.web.origins import Origins, OriginsOptions, normal_origin, origins_of


class Options(OriginsOptions):
    """The options of a daemon."""

    daemon = "route"


class OriginTests(SynchronousTestCase):
    """Tests of origins as browsers write them."""

    def test_the_normal_form(self):
        for text, origin in (
            ("https://Chat.Example.com/", "https://chat.example.com"),
            ("https://chat.example.com:443", "https://chat.example.com"),
            ("http://chat.example.com:80", "http://chat.example.com"),
            ("http://chat.example.com:443", "http://chat.example.com:443"),
            (" http://[::1]:8080 ", "http://[::1]:8080"),
            ("*", "*"),
            ("null", "null"),
        ):
            self.assertEqual(normal_origin(text), origin)

    def test_invalid_origins(self):
        for text in (
            "",
            "chat.example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://é",
            "https://*.example.com",
            "a b://c",
        ):
            with self.assertRaises(ValueError):
                normal_origin(text)

    def test_who_may_call(self):
        origins = Origins(["https://a.example", "http://b.example:81"])
        for origin, may in (
            (b"https://a.example", True),
            (b"HTTPS://A.example", True),
            (b"http://b.example:81", True),
            (b"http://a.example", False),
            (b"https://a.example.evil", False),
            (b"https://evil-a.example", False),
            (b"null", False),
            (b"*", False),
            (b"", False),
        ):
            self.assertEqual(origins.allows(origin), may, origin)
        self.assertFalse(Origins(()).allows(b"https://a.example"))
        self.assertTrue(Origins(["*"]).allows(b"null"))

    def test_the_option(self):
        options = Options()
        options.parseOptions(["--origins", "https://a.example/", "--origins", "http://b.example:80"])
        origins = origins_of(options)
        self.assertTrue(origins.allows(b"https://a.example") and origins.allows(b"http://b.example"))
        with self.assertRaises(UsageError):
            Options().parseOptions(["--origins", "a.example"])
        nobody = Options()
        nobody.parseOptions([])
        self.assertFalse(origins_of(nobody).allows(b"https://a.example"))

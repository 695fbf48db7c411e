"""With what a client connects to the server that a login named."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.client.dialling import Dialler, Entrance
from cim.client.trust import Trust, Verifier
from cim.errors import Insecure


class Plain:
    """Stands for an endpoint without TLS."""

    def __init__(self, host, port):
        self.place = (host, port)


class DiallerCase(SynchronousTestCase):
    route = "https://chat.example"

    def to(self, host="10.0.0.1", tls_name="", route="", insecure=False):
        dialler = Dialler(None, Plain, Verifier(Trust()), insecure=insecure)
        return dialler.to(Entrance(route or self.route, host, 11211, tls_name))


class PrivacyTests(DiallerCase):
    """What came to a route by TLS goes on by TLS."""

    def test_a_server_without_tls(self):
        error = self.assertRaises(Insecure, self.to)
        for word in ("https://chat.example", "10.0.0.1:11211", "--listen tls:", "--insecure"):
            self.assertIn(word, error.message)

    def test_one_on_this_machine(self):
        self.assertEqual(self.to("127.0.0.1", route="https://localhost").place, ("127.0.0.1", 11211))

    def test_whoever_says_so(self):
        self.assertEqual(self.to(insecure=True).place, ("10.0.0.1", 11211))

    def test_a_route_without_tls(self):
        self.assertEqual(self.to(route="http://10.0.0.1:8083").place, ("10.0.0.1", 11211))

    def test_tls_is_never_left_out(self):
        for insecure in (False, True):
            for route in ("http://10.0.0.1:8083", "https://chat.example"):
                endpoint = self.to(tls_name="chat.example", route=route, insecure=insecure)
                self.assertNotIsInstance(endpoint, Plain)

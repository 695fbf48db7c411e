"""Where whoever asks is, for the limits: peers, proxies that are trusted, and what others say."""

from __future__ import annotations

from collections import Counter

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from cim.addresses import Addresses, counted, proxy


def at(host):
    """A connection from there."""
    kind = IPv6Address if ":" in host else IPv4Address
    return StringTransport(peerAddress=kind("TCP", host, 4711))


class Kept(Protocol):
    """Keeps its transport."""


def proxied(host, header):
    """A connection from there that begins with a PROXY header."""
    factory = HAProxyWrappingFactory(Factory.forProtocol(Kept))
    wrapper = factory.buildProtocol(None)
    wrapper.makeConnection(at(host))
    wrapper.dataReceived(header)
    return wrapper.wrappedProtocol.transport


class ReadingTests(SynchronousTestCase):
    def test_counted(self):
        for host, expected in (
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("unix", "unix"),
        ):
            self.assertEqual(counted(host), expected)

    def test_proxies_that_are_none(self):
        for text in ("", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "*", "1"):
            self.assertIn("must be an address, a network", str(self.assertRaises(ValueError, proxy, text)))


class AddressTests(SynchronousTestCase):
    def addresses(self, *trusted):
        self.refused = Counter()
        return Addresses(map(proxy, trusted), lambda kind: self.refused.update([kind]))

    def test_the_peer(self):
        addresses = self.addresses()
        self.assertEqual(addresses.of(at("192.0.2.7")), "192.0.2.7")
        self.assertEqual(addresses.of(at("2001:db8::1")), "2001:db8::/64")
        self.assertEqual(addresses.of(StringTransport(peerAddress=UNIXAddress("/run/x"))), "unix")
        self.assertEqual((self.refused, addresses.advice), ({}, ""))

    def test_a_header_from_anybody_is_ignored_and_counted(self):
        addresses = self.addresses("10.0.0.1")
        self.assertEqual(addresses.of(at("8.8.8.8"), [b"192.0.2.7"]), "8.8.8.8")
        self.assertEqual(addresses.of(proxied("8.8.8.8", b"PROXY TCP4 192.0.2.7 10.0.0.2 1 2\r\n")), "8.8.8.8")
        self.assertEqual((self.refused["untrusted-proxy"], addresses.advice), (2, ""))

    def test_operators_are_told_once_of_what_may_be_their_own_proxy(self):
        addresses = self.addresses()
        for host in ("127.0.0.1", "10.0.0.1"):
            self.assertEqual(addresses.of(at(host), [b"192.0.2.7"]), host)
        self.assertEqual(self.refused["untrusted-proxy"], 2)
        self.assertIn("all clients share the limits of 127.0.0.1", addresses.advice)
        self.assertIn("--trusted-proxies", addresses.advice)

    def test_whom_a_trusted_proxy_names(self):
        addresses = self.addresses("127.0.0.1", "10.0.0.0/8", "fd00::/8")
        for host, forwarded, expected in (
            ("127.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
            ("::ffff:127.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
            ("fd00::1", [b"2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
            # What the client itself says stands to the left of what the proxy saw.
            ("127.0.0.1", [b"198.51.100.1, 192.0.2.7"], "192.0.2.7"),
            ("127.0.0.1", [b"198.51.100.1", b"192.0.2.7"], "192.0.2.7"),
            ("127.0.0.1", [b"198.51.100.1,192.0.2.7,10.1.2.3 , 10.4.5.6"], "192.0.2.7"),
            ("127.0.0.1", [b"10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", [b"192.0.2.7:1234"], "192.0.2.7"),
            ("127.0.0.1", [b"[2001:db8:1:2::7]:1234"], "2001:db8:1:2::/64"),
            ("127.0.0.1", [b"[2001:db8:1:2::7]"], "2001:db8:1:2::/64"),
            # What is no address is the proxy's own fault, and counted there.
            ("127.0.0.1", [b"192.0.2.7, unknown"], "127.0.0.1"),
            ("127.0.0.1", [b""], "127.0.0.1"),
            ("127.0.0.1", [b"192.0.2.7,"], "127.0.0.1"),
            ("127.0.0.1", [b"192.0.2.7, \xff\xfe"], "127.0.0.1"),
            ("127.0.0.1", [b"192.0.2.7, 10.0.0.7, x" + b"," * 10_000], "127.0.0.1"),
            ("127.0.0.1", [], "127.0.0.1"),
        ):
            self.assertEqual(addresses.of(at(host), forwarded), expected, forwarded)
        self.assertEqual((self.refused, addresses.advice), ({}, ""))

    def test_proxy_headers(self):
        addresses = self.addresses("10.0.0.1", "10.0.0.2")
        first = proxied("10.0.0.1", b"PROXY TCP4 192.0.2.7 10.0.0.9 1 2\r\n")
        self.assertEqual(addresses.of(first), "192.0.2.7")
        # A balancer that speaks PROXY before a proxy that speaks HTTP, and the other way round.
        self.assertEqual(addresses.of(first, [b"198.51.100.1"]), "192.0.2.7")
        second = proxied("10.0.0.1", b"PROXY TCP4 10.0.0.2 10.0.0.9 1 2\r\n")
        self.assertEqual(addresses.of(second, [b"203.0.113.1, 198.51.100.1"]), "198.51.100.1")
        self.assertEqual(addresses.of(proxied("10.0.0.1", b"PROXY UNKNOWN\r\n")), "10.0.0.1")
        self.assertEqual(addresses.of(proxied("10.0.0.1", b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n")), "2001:db8::/64")

    def test_a_new_connection(self):
        """A trusted proxy has no address yet: it says later for whom it connects."""
        addresses = self.addresses("10.0.0.0/8")
        peers = ("10.0.0.1", "192.0.2.7", "2001:db8:1:2:3::4")
        found = [addresses.at(IPv4Address("TCP", host, 1)) for host in peers]
        self.assertEqual(found, ["", "192.0.2.7", "2001:db8:1:2::/64"])

    def test_sockets_of_files(self):
        transport = StringTransport(peerAddress=UNIXAddress("/run/x"))
        self.assertEqual(self.addresses("unix").of(transport, [b"192.0.2.7"]), "192.0.2.7")
        addresses = self.addresses("10.0.0.0/8")
        self.assertEqual(addresses.of(transport, [b"192.0.2.7"]), "unix")
        self.assertIn("the limits of unix", addresses.advice)

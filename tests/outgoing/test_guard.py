"""Which URLs and addresses may be sent to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField, OutgoingRefused
from cim.outgoing.guard import MAX_URL, Guard, check_url, network

PUBLIC = ("1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::5")
NOT_PUBLIC = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1"),
    *("2001:db8::1", "3fff::1", "2001::1", "2001:10::1", "64:ff9b:1::a00:1", "5f00::1", "2606:4700::1%eth0"),
    # Of IPv4 in another form, public or not: mapped, compatible, translated, NAT64, 6to4, Teredo.
    *("::ffff:127.0.0.1", "::ffff:1.1.1.1", "::7f00:1", "::ffff:0:7f00:1", "64:ff9b::127.0.0.1", "64:ff9b::1.1.1.1"),
    *("2002:7f00:1::", "2002:101:101::1", "2001:0:53aa:64c:0:5efe:a00:1"),
    *("", "localhost", "127.1", "0x7f000001"),
)


class AddressTests(SynchronousTestCase):
    def test_public(self):
        self.assertEqual([one for one in PUBLIC if not Guard().permits(one)], [])

    def test_not_public(self):
        self.assertEqual([one for one in NOT_PUBLIC if Guard().permits(one)], [])

    def test_allowed(self):
        guard = Guard([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
        self.assertEqual([guard.permits(one) for one in ("10.1.2.3", "fd00::1", "1.1.1.1")], [True] * 3)
        self.assertEqual([guard.permits(one) for one in ("10.2.0.1", "127.0.0.1", "::1", "fc00::1")], [False] * 4)

    def test_allowing_addresses_of_ipv4_does_not_allow_other_forms_of_them(self):
        guard = Guard([ip_network("127.0.0.0/8")])
        self.assertFalse(guard.permits("::ffff:127.0.0.1"))
        self.assertFalse(guard.permits("64:ff9b::127.0.0.1"))

    def test_allowing_a_form_does_not_allow_what_is_not_public_in_it(self):
        guard = Guard([ip_network("64:ff9b::/96"), ip_network("::ffff:0:0/96"), ip_network("2002::/16")])
        for public in ("64:ff9b::1.1.1.1", "::ffff:1.1.1.1", "2002:101:101::1"):
            self.assertTrue(guard.permits(public), public)
        for private in ("64:ff9b::10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::5"):
            self.assertFalse(guard.permits(private), private)

    def test_one_address_taints_the_others(self):
        error = self.assertRaises(
            OutgoingRefused, Guard().check_addresses, "evil.example", ["1.1.1.1", "169.254.169.254"]
        )
        self.assertEqual(
            error.message,
            "evil.example leads to 169.254.169.254, which is not a public address; if daemons are to reach it, an"
            " operator allows it: --allow-outgoing 169.254.169.254",
        )
        Guard().check_addresses("good.example", PUBLIC)

    @given(st.ip_addresses(v=4))
    def test_no_form_permits_more_than_the_address(self, address):
        number = int(address)
        forms = [IPv6Address(base + number) for base in (0xFFFF << 32, 0x64FF9B << 96, 0)]
        forms.append(IPv6Address((0x2002 << 112) + (number << 80)))
        everything = Guard([ip_network("::/0")])
        for form in forms[:2] + forms[3:]:
            self.assertFalse(Guard().permits(str(form)))
            self.assertEqual(everything.permits(str(form)), Guard().permits(str(address)), form)

    @given(st.ip_addresses())
    def test_what_python_takes_for_private_is_never_permitted(self, address):
        if Guard().permits(str(address)):
            self.assertTrue(address.is_global and not address.is_multicast, address)

    def test_networks(self):
        self.assertEqual(network("10.0.0.0/8"), ip_network("10.0.0.0/8"))
        self.assertEqual(network("::1"), ip_network("::1/128"))
        for wrong in ("10.0.0.1/8", "x", "", "10.0.0.0/33", "localhost"):
            self.assertRaises(ValueError, network, wrong)
        self.assertIn(IPv4Address("127.0.0.1"), network("127.0.0.1"))


class URLTests(SynchronousTestCase):
    def test_taken(self):
        for url in (
            "https://hooks.example/in?x=1&y=%20",
            "http://hooks.example",
            "https://hooks.example?x",
            "https://my_service:8443/a",
            "https://1.1.1.1/a",
            "https://[2606:4700::1]:8443/a",
            "https://xn--bcher-kva.example/",
            "https://3com.example/a@b",
        ):
            check_url(url)

    def test_refused(self):
        for url, why in (
            ("ftp://hooks.example/", "http or https"),
            ("hooks.example", "http or https"),
            ("https:///x", "http or https"),
            ("https://a b.example/", "http or https"),
            ("https://hooks.example/a b", "http or https"),
            ("https://hooks.example/\r\nX: y", "http or https"),
            ("https://hooks.example/ä", "http or https"),
            ("https://bücher.example/", "http or https"),
            ("https://hooks.example/#a", "http or https"),
            ("https://hooks.example\\@127.0.0.1/", "a user"),
            ("https://hooks.example/\\x", "http or https"),
            ("https://user@hooks.example/", "a user"),
            ("https://user:secret@hooks.example/", "a user"),
            ("https://hooks.example:0/", "a port"),
            ("https://hooks.example:65536/", "a port"),
            ("https://hooks.example:/", "http or https"),
            ("https://hooks.example./", "name a host"),
            ("https://.hooks.example/", "name a host"),
            ("https://-a.example/", "name a host"),
            ("https://" + "a" * 64 + ".example/", "name a host"),
            # Spellings of 127.0.0.1 that resolvers know.
            ("http://2130706433/", "name a host"),
            ("http://0177.0.0.1/", "name a host"),
            ("http://127.1/", "name a host"),
            ("http://0x7f.0.0.1/", "name a host"),
            ("http://0x7f000001/", "name a host"),
            ("http://127.0.0.0x1/", "name a host"),
            ("http://[::1/", "http or https"),
            ("http://[1.1.1.1]x/", "http or https"),
            ("http://[fe80::1%25eth0]/", "http or https"),
            ("http://[12345::]/", "name a host"),
            ("https://hooks.example/" + "a" * MAX_URL, "at most"),
        ):
            error = self.assertRaises(InvalidField, check_url, url)
            self.assertIn(why, error.message, url)
            self.assertNotIn("secret", error.message)

    def test_https_only(self):
        self.assertRaises(InvalidField, check_url, "http://hooks.example/", https=True)
        check_url("https://hooks.example/", https=True)

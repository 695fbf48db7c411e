"""Whom a client believes: handshakes with servers of every kind, by the real OpenSSL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from twisted.internet.ssl import CertificateOptions
from twisted.trial.unittest import SynchronousTestCase

from cim.client.trust import Trust, Verifier
from cim.errors import InvalidField, Untrusted
from tests.harness.certificates import certified, shake_hands


def showing(made, *signers):
    """Return what begins TLS for a server with a certificate."""
    return CertificateOptions(
        privateKey=PKey.from_cryptography_key(made.key),
        certificate=X509.from_cryptography(made.certificate),
        extraCertChain=[X509.from_cryptography(one.certificate) for one in signers],
    )


class Protocol:
    """Stands for Twisted's."""

    why = None

    def failVerification(self, failure):
        self.why = failure.value


def handshake(verifier, name, server):
    """Do a handshake in memory; return why the client ended it, or None, and whether it came to its end."""
    protocol = Protocol()
    client = verifier.of(name, f"{name}:443").clientConnectionForTLS(protocol)
    client.set_app_data(protocol)
    client.set_connect_state()
    server.set_accept_state()
    done = False
    for _ in range(8):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
                done = done or one is client
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return protocol.why, False
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return protocol.why, done


class TrustCase(SynchronousTestCase):
    def setUp(self):
        self.root = certified("root", ca=True)

    def ca(self, *made):
        """Return a file of certificates."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"".join(one.certificate_pem for one in made))
        return path

    def connect(self, trust, name, options):
        verifier = trust if isinstance(trust, Verifier) else Verifier(trust)
        return handshake(verifier, name, SSL.Connection(options.getContext()))

    def accepted(self, trust, name, options):
        self.assertEqual(self.connect(trust, name, options), (None, True))

    def refused(self, trust, name, options, *words):
        why, done = self.connect(trust, name, options)
        self.assertFalse(done)
        self.assertIsInstance(why, Untrusted)
        for word in words:
            self.assertIn(word, why.message)


class SignedTests(TrustCase):
    """By the certificates of a file."""

    def setUp(self):
        super().setUp()
        self.trust = Trust(ca=self.ca(self.root))

    def test_names_and_addresses(self):
        made = certified("a.example", "*.b.example", "10.0.0.1", "2001:db8::1", signer=self.root)
        for name in ("a.example", "x.b.example", "10.0.0.1", "2001:db8::1"):
            self.accepted(self.trust, name, showing(made))
        for name in ("b.example", "x.y.b.example", "a.example.evil", "10.0.0.2", "2001:db8::2"):
            self.refused(self.trust, name, showing(made), f"is not for {name}")

    def test_too_old_and_too_young(self):
        self.refused(self.trust, "a.example", showing(certified("a.example", signer=self.root, days=-2)), "expired on")
        future = certified("a.example", signer=self.root, now=datetime.now(UTC) + timedelta(days=5))
        self.refused(self.trust, "a.example", showing(future), "not valid before")

    def test_signed_by_itself_or_by_a_stranger(self):
        itself = certified("a.example")
        self.refused(self.trust, "a.example", showing(itself), "a.example:443", "self signed", itself.pin)
        stranger = certified("root", ca=True)
        self.refused(self.trust, "a.example", showing(certified("a.example", signer=stranger)), "nobody")
        self.refused(self.trust, "a.example", showing(certified("a.example", signer=stranger), stranger), "nobody")

    def test_signed_by_one_who_may_not(self):
        clerk = certified("clerk", signer=self.root)
        self.refused(self.trust, "a.example", showing(certified("a.example", signer=clerk), clerk), "nobody")

    def test_through_another(self):
        middle = certified("middle", signer=self.root, ca=True)
        made = certified("a.example", signer=middle)
        self.accepted(self.trust, "a.example", showing(made, middle))
        self.refused(self.trust, "a.example", showing(made), "nobody")

    def test_a_certificate_that_signed_itself_may_be_the_file(self):
        made = certified("a.example")
        self.accepted(Trust(ca=self.ca(made)), "a.example", showing(made))

    def test_the_machine_s_roots_do_not_count_then_and_otherwise_do(self):
        self.refused(Trust(), "a.example", showing(certified("a.example", signer=self.root)), "nobody")
        context = Verifier(Trust())._context
        self.assertIs(context, Verifier(Trust())._context, "read once")
        self.assertIsNot(Verifier(self.trust)._context, context)

    def test_a_key_as_well(self):
        made = certified("a.example", signer=self.root)
        both = Trust(ca=self.trust.ca, pins=made.pin)
        self.accepted(both, "a.example", showing(made))
        self.refused(both, "b.example", showing(made), "not for")
        self.refused(both, "a.example", showing(certified("a.example", signer=self.root)), "key")
        self.refused(both, "a.example", showing(certified("a.example", key=made.key)), "self signed")

    def test_what_is_no_file_of_certificates(self):
        path = self.mktemp()
        self.assertIn("cannot be read", self.assertRaises(InvalidField, Verifier, Trust(ca=path)).message)
        with open(path, "w") as file:
            file.write("nothing")
        self.assertIn(path, self.assertRaises(InvalidField, Verifier, Trust(ca=path)).message)


class PinTests(TrustCase):
    """By keys."""

    def test_the_key_is_all_that_counts(self):
        made = certified("a.example", days=-5)
        for name in ("a.example", "b.example", "10.0.0.1"):
            self.accepted(Trust(pins=[made.pin]), name, showing(made))
        renewed = certified("c.example", key=made.key, signer=self.root)
        self.accepted(Trust(pins=[made.pin]), "a.example", showing(renewed))

    def test_another_key(self):
        made, other = certified("a.example"), certified("a.example")
        self.refused(Trust(pins=made.pin), "a.example", showing(other), made.pin, other.pin, "ask the operator")

    def test_a_key_further_up_does_not_count(self):
        made = certified("a.example", signer=self.root)
        self.refused(Trust(pins=self.root.pin), "a.example", showing(made, self.root))

    def test_one_of_several(self):
        one, two = certified("a.example"), certified("b.example")
        trust = Trust(pins=[one.pin, two.pin.upper()])
        self.accepted(trust, "a.example", showing(one))
        self.accepted(trust, "b.example", showing(two))

    def test_what_is_no_pin(self):
        for text in ("", "sha256:", "sha256:" + "g" * 64, "a" * 64, "sha1:" + "a" * 40, "sha256:" + "a" * 63):
            self.assertRaises(InvalidField, Trust, pins=[text])

    def test_the_first_server_is_believed_and_then_it_alone(self):
        told = []
        verifier = Verifier(Trust(first_use=told.append))
        made = certified("a.example", days=-1)
        self.accepted(verifier, "a.example", showing(made))
        self.accepted(verifier, "b.example", showing(made))
        self.assertEqual(told, [made.pin])
        self.refused(verifier, "a.example", showing(certified("a.example")), made.pin)
        self.assertEqual(told, [made.pin])

    def test_of_two_servers_at_once_the_first_is_believed(self):
        """The second handshake began when nobody was known yet."""
        told, protocols, pairs = [], [Protocol(), Protocol()], []
        verifier = Verifier(Trust(first_use=told.append))
        made = certified("a.example"), certified("a.example")
        for protocol, one in zip(protocols, made, strict=True):
            client = verifier.of("a.example", "a.example:443").clientConnectionForTLS(protocol)
            client.set_app_data(protocol)
            client.set_connect_state()
            # In TLS 1.2 certificates are looked at a turn before the end.
            client.set_options(SSL.OP_NO_TLSv1_3)
            server = SSL.Connection(showing(one).getContext())
            server.set_accept_state()
            pairs.append((client, server))
        shake_hands(*pairs, turns=4)
        self.assertEqual(told, [made[0].pin])
        self.assertIsNone(protocols[0].why)
        self.assertIn("another server", protocols[1].why.message)

    def test_with_a_pin_nothing_is_believed_unseen(self):
        told = []
        made = certified("a.example")
        trust = Trust(pins=made.pin, first_use=told.append)
        self.refused(trust, "a.example", showing(certified("a.example")))
        self.accepted(trust, "a.example", showing(made))
        self.assertEqual(told, [])

    def test_nobody_is_believed_before_the_handshake_is_over(self):
        told = []
        verifier = Verifier(Trust(first_use=told.append))
        protocol = Protocol()
        client = verifier.of("a", "a:1").clientConnectionForTLS(protocol)
        client.set_app_data(protocol)
        client.set_connect_state()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        server = SSL.Connection(showing(certified("a")).getContext())
        server.set_accept_state()
        server.bio_write(client.bio_read(1 << 16))
        self.assertRaises(SSL.WantReadError, server.do_handshake)
        answer = server.bio_read(1 << 16)
        # All but the proof at its end that the key is there.
        client.bio_write(answer[: len(answer) - 60])
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        self.assertEqual(told, [])

"""What seals batches: order, nonces, the change of keys, and where keys come from. RFC vectors are the library's."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadFrame, HandshakeFailed
from cim.link.pipe import MAX_FRAME, MAX_ITEM
from cim.link.sealing import KEY_BYTES, REKEY_AFTER, TAG_BYTES, KeyPair, Sealing

A, B = b"a" * KEY_BYTES, b"b" * KEY_BYTES


def ends(**options):
    """The two ends of a link."""
    return Sealing(A, B, **options), Sealing(B, A, **options)


class SealingTests(SynchronousTestCase):
    def broken(self, end, sealed, number):
        error = self.assertRaises(BadFrame, end.open, sealed)
        self.assertIn(f"the seal of batch {number} ({len(sealed)} bytes) is broken", error.message)

    @given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=20))
    def test_what_was_sealed_is_opened_in_both_directions(self, said):
        one, other = ends(rekey_after=3)
        for forth, body in said:
            source, target = (one, other) if forth else (other, one)
            sealed = source.seal(body)
            self.assertEqual(len(sealed), len(body) + TAG_BYTES)
            self.assertEqual(target.open(sealed), body)

    def test_the_same_body_never_looks_the_same(self):
        one, other = ends(rekey_after=4)
        seen = {end.seal(b"the same" * 4) for end in (one, other) for _ in range(50)}
        self.assertEqual(len(seen), 100)

    def test_any_changed_byte_is_seen(self):
        sealed = ends()[0].seal(b"pay 100 to bob")
        for at in range(len(sealed)):
            for change in (0x01, 0x80, 0xFF):
                changed = sealed[:at] + bytes((sealed[at] ^ change,)) + sealed[at + 1 :]
                self.broken(ends()[1], changed, 1)

    def test_so_is_any_other_length(self):
        sealed = ends()[0].seal(b"pay 100 to bob")
        for length in range(len(sealed)):
            self.broken(ends()[1], sealed[:length], 1)
        self.broken(ends()[1], sealed + b"\0", 1)

    def test_dropped_repeated_and_swapped(self):
        for *in_order, wrong in ((1,), (0, 2), (0, 0), (0, 1, 0), (0, 1, 3), (0, 1, 2, 1)):
            one, other = ends(rekey_after=2)
            sealed = [one.seal(bytes((number,))) for number in range(4)]
            for at in in_order:
                self.assertEqual(other.open(sealed[at]), bytes((at,)))
            self.broken(other, sealed[wrong], len(in_order) + 1)

    def test_a_batch_sent_back_to_its_maker_does_not_open(self):
        one, _ = ends()
        self.broken(one, one.seal(b"x"), 1)

    def test_the_batch_of_another_link_does_not_open(self):
        self.broken(ends()[1], Sealing(b"c" * KEY_BYTES, B).seal(b"x"), 1)


class RekeyTests(SynchronousTestCase):
    def test_no_nonce_is_used_twice_with_a_key(self):
        one, _ = ends(rekey_after=5)
        outgoing = one._outgoing
        used = []
        for _ in range(23):
            nonce = outgoing.nonce()
            used.append((outgoing._key, nonce))
            self.assertEqual(len(nonce), 12)
        self.assertEqual(len(set(used)), 23)
        self.assertEqual(len({key for key, _ in used}), 5)
        self.assertEqual([int.from_bytes(nonce, "big") for _, nonce in used[:7]], [0, 1, 2, 3, 4, 0, 1])

    def test_the_cipher_is_that_of_the_key(self):
        one, other = ends(rekey_after=1)
        first, second = one.seal(b"x"), one.seal(b"x")
        # The key of the second batch opens nothing of the first's, whose nonce was the same.
        self.assertEqual(other.open(first), b"x")
        self.assertEqual(other.open(second), b"x")
        self.assertNotEqual(first, second)
        self.assertRaises(BadFrame, Sealing(A, one._outgoing._key).open, first)

    def test_a_key_that_is_used_up_is_forgotten(self):
        key = bytes(bytearray(b"z" * KEY_BYTES))
        sealing = Sealing(key, B, rekey_after=1)
        sealing.seal(b"x")
        self.assertIn(sealing._outgoing, gc.get_referrers(key))
        sealing.seal(b"x")
        self.assertNotIn(sealing._outgoing, gc.get_referrers(key))

    def test_it_comes_long_before_a_key_is_worn_out(self):
        # 2^32 blocks of 16 bytes, and far fewer than there are nonces.
        self.assertLessEqual(REKEY_AFTER * (MAX_ITEM + 64) // 16, 1 << 32)
        self.assertLess(REKEY_AFTER, 1 << 96)

    def test_the_largest_batch_is_a_legal_frame(self):
        self.assertLessEqual(MAX_ITEM + 64 + TAG_BYTES, MAX_FRAME)


class KeyPairTests(SynchronousTestCase):
    def agreed(self, secret=b"s" * 32, said=b"said", other_secret=b"s" * 32, other_said=b"said"):
        """Whether what one end seals opens at the other."""
        dialer, acceptor = KeyPair(b"1" * 32), KeyPair(b"2" * 32)
        one = dialer.sealing(acceptor.public, secret, said, dialer=True)
        other = acceptor.sealing(dialer.public, other_secret, other_said, dialer=False)
        try:
            return (other.open(one.seal(b"x")), one.open(other.seal(b"y"))) == (b"x", b"y")
        except BadFrame:
            return False

    def test_both_ends_come_to_the_same_keys(self):
        self.assertTrue(self.agreed())

    def test_only_with_the_same_secret_and_the_same_handshake(self):
        self.assertFalse(self.agreed(other_secret=b"t" * 32))
        self.assertFalse(self.agreed(other_said=b"sayd"))

    def test_the_secret_and_the_handshake_alone_are_not_enough(self):
        # Who learns the secret later, and has recorded all that was said, lacks the private halves.
        acceptor = KeyPair(b"2" * 32)
        first = KeyPair(b"1" * 32).sealing(acceptor.public, b"s" * 32, b"said", dialer=True)
        guess = KeyPair(b"3" * 32).sealing(acceptor.public, b"s" * 32, b"said", dialer=False)
        self.assertRaises(BadFrame, guess.open, first.seal(b"x"))

    def test_the_two_directions_have_different_keys(self):
        sealing = KeyPair(b"1" * 32).sealing(KeyPair(b"2" * 32).public, b"s" * 32, b"said", dialer=True)
        self.assertNotEqual(sealing._outgoing._key, sealing._incoming._key)

    def test_public_keys_that_are_none(self):
        for public in (b"", b"x" * 31, b"x" * 33, bytes(32), b"\1" + bytes(31)):
            error = self.assertRaises(
                HandshakeFailed, KeyPair(b"1" * 32).sealing, public, b"s" * 32, b"said", dialer=True
            )
            self.assertEqual(error.message, "the public key is not an X25519 key")

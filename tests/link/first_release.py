"""The two ends of a handshake as the first release (93fa1d3) has them: they know version 1 alone, and no sealing."""

from __future__ import annotations

import hashlib
import hmac

from cim.wire.link_pb2 import Challenge, Handshake, Hello, Proof
from tests.link.network import KEY, ROUTE, SERVER

#: What they say to each other, their nonces being 32 times "d" and 32 times "a".
HELLO = bytes.fromhex(
    "0a550801121331302e302e302e313a31313231313a383038311a0a7365727665722d72756e2220646464646464646464646464"
    "64646464646464646464646464646464646464642a0e31302e302e302e313a3131323132"
)
CHALLENGE = bytes.fromhex(
    "12430801121231302e302e302e393a383038333a383038341a09726f7574652d72756e222061616161616161616161616161616161"
    "61616161616161616161616161616161"
)
DIALERS_PROOF = bytes.fromhex("1a220a205eaf3d80bde64d7b6502a54bf7d73d1468f2cb4642a4e9b9db32896249137f90")
ACCEPTORS_PROOF = bytes.fromhex("1a220a20b30e2dcc9b188f7567f9a33a479787243c0999779ff06ac83c460e6bfb44358b")


class Refusal(Exception):
    """An end of the first release refuses what it heard."""


def proof(role, hello, challenge, key=KEY):
    """What proves that its maker knows the key."""
    said = (b"cim link handshake", role, str(hello.version).encode(), str(challenge.version).encode())
    said += (hello.name.encode(), challenge.name.encode(), hello.incarnation.encode(), challenge.incarnation.encode())
    said += (hello.nonce, challenge.nonce, hello.websocket.encode())
    body = b"".join(len(part).to_bytes(4, "big") + part for part in said)
    made = hmac.new(key, body, hashlib.sha256).digest()
    return Handshake(proof=Proof(proof=made)).SerializeToString()


def known(said):
    """A Hello or Challenge as such an end knows it: other fields are unknown to it."""
    for name in ("highest", "public_key"):
        if name in said.DESCRIPTOR.fields_by_name:
            said.ClearField(name)
    if said.version != 1:
        raise Refusal(f"version {said.version}")
    return said


def heard(body):
    """What the other end says, unless that is that it refuses."""
    said = Handshake.FromString(body)
    if said.WhichOneof("step") == "refused":
        raise Refusal(said.refused.reason)
    return said


class OldDialer:
    """A server's end."""

    sealing = None

    def __init__(self, own=SERVER, nonce=b"d" * 32):
        self.proven = False
        self.hello = Hello(version=1, name=own.name, incarnation=own.incarnation, nonce=nonce, websocket=own.websocket)
        self.challenge = None

    def begin(self):
        return Handshake(hello=self.hello).SerializeToString()

    def receive(self, body):
        said = heard(body)
        if self.challenge is None and said.WhichOneof("step") == "challenge":
            self.challenge = known(said.challenge)
            return proof(b"dialer", self.hello, self.challenge)
        if body != proof(b"acceptor", self.hello, self.challenge):
            raise Refusal("the proof is wrong")
        self.proven = True
        return b""


class OldAcceptor:
    """A route's end."""

    sealing = None

    def __init__(self, own=ROUTE, nonce=b"a" * 32):
        self.proven = False
        self.challenge = Challenge(version=1, name=own.name, incarnation=own.incarnation, nonce=nonce)
        self.hello = None

    def begin(self):
        return b""

    def receive(self, body):
        said = heard(body)
        if self.hello is None and said.WhichOneof("step") == "hello":
            self.hello = known(said.hello)
            return Handshake(challenge=self.challenge).SerializeToString()
        if body != proof(b"dialer", self.hello, self.challenge):
            raise Refusal("the proof is wrong")
        self.proven = True
        return proof(b"acceptor", self.hello, self.challenge)

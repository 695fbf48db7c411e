"""How the two ends of a link prove to each other that they know the cluster's secret (docs/architecture.md, Links).

The server dials:

    dialer                                        acceptor
    Hello(versions, name, incarnation, nonce)  ->
                                              <-  Challenge(version, name, incarnation, nonce)
    Proof("dialer", all of the above)          ->
                                              <-  Proof("acceptor", all of the above)

Either end may answer Refused instead, and then ends the connection. A proof covers everything that both ends have said
and the role of its maker, so a proof that is replayed, or sent back to its maker, proves nothing.

The ends negotiate the version of the link's items: the dialer offers a range, and the acceptor answers the highest
version that both speak. The range takes two fields, because an end that speaks only version 1 refuses a Hello or
Challenge with another `version` and does not know `highest`: for it nothing changes, nor for what its proofs cover.
Someone in between can remove `highest` and so hold both ends to version 1, for as long as that is spoken at all.
"""

from __future__ import annotations

import hmac
import typing

from google.protobuf.message import DecodeError

from cim.errors import BadFrame, FrameTooLarge, HandshakeFailed
from cim.model import LinkPeer
from cim.wire.link_pb2 import Challenge, Handshake, Hello, Proof, Refused

#: The versions of the link's items that this release speaks.
LOWEST_VERSION = 1
HIGHEST_VERSION = 2
NONCE_BYTES = 32
#: The largest frame of a handshake, bytes.
MAX_HANDSHAKE_FRAME = 4096

_LABEL = b"cim link handshake"
_MAX_NAME = 300


class LinkHandshake(typing.Protocol):
    """One end of a handshake.

    This is a typing.Protocol because both ends are internal and nothing checks it at run time.
    """

    @property
    def peer(self) -> LinkPeer | None:
        """Who is at the other end, once that end has proven it."""

    @property
    def version(self) -> int:
        """The version that both ends speak; valid once `peer` is set."""

    def begin(self) -> bytes:
        """Return what this end sends first; empty if the other end speaks first."""

    def receive(self, body: bytes) -> bytes:
        """Take what the other end sent and return the answer; empty if there is none.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """


def first_frame(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the body of the first frame in `data` and what follows it; None while the frame is incomplete.

    It takes one frame at a time, unlike FrameReader, because the batches that follow a handshake may be larger.

    :raises FrameTooLarge: the frame has more than MAX_HANDSHAKE_FRAME bytes
    :raises BadFrame: its length is not a varint32
    """
    length = 0
    for at, group in enumerate(data[:5]):
        length |= (group & 0x7F) << 7 * at
        if group < 0x80:
            if length > MAX_HANDSHAKE_FRAME:
                raise FrameTooLarge(f"a frame of {length} bytes is over the limit of {MAX_HANDSHAKE_FRAME}")
            end = at + 1 + length
            return (data[at + 1 : end], data[end:]) if end <= len(data) else None
    if len(data) >= 5:
        raise BadFrame("a frame's length prefix has more than 5 bytes")
    return None


def refusal(reason: str) -> bytes:
    """Return the body of a Refused, which ends a handshake."""
    return Handshake(refused=Refused(reason=reason)).SerializeToString()


def _proof(key: bytes, role: bytes, hello: Hello, challenge: Challenge) -> bytes:
    said: tuple[bytes, ...] = (
        _LABEL,
        role,
        str(hello.version).encode(),
        str(challenge.version).encode(),
        hello.name.encode(),
        challenge.name.encode(),
        hello.incarnation.encode(),
        challenge.incarnation.encode(),
        hello.nonce,
        challenge.nonce,
        hello.websocket.encode(),
    )
    if challenge.version > 1:  # version 1 has no such field
        said += (str(hello.highest).encode(),)
    return hmac.digest(key, b"".join(len(part).to_bytes(4, "big") + part for part in said), "sha256")


def _read(body: bytes, wanted: str) -> Handshake:
    try:
        said = Handshake.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise HandshakeFailed("not a handshake")
    step = said.WhichOneof("step")
    if step == "refused":
        raise HandshakeFailed(f"refused by the other end: {said.refused.reason[:200]!r}")
    if step != wanted:
        raise HandshakeFailed(f"expected {wanted}")
    return said


def _versions(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"


def _common_version(lowest: int, highest: int, own_highest: int) -> int:
    """Return the highest version in the other end's range that this end speaks, too."""
    version = min(highest, own_highest)
    if version < max(lowest, LOWEST_VERSION):
        here = _versions(LOWEST_VERSION, own_highest)
        raise HandshakeFailed(f"this end speaks version {here}, the other {_versions(lowest, highest)}")
    return version


def _check_introduction(said: Hello | Challenge, own_nonce: bytes) -> None:
    if not 0 < len(said.name) <= _MAX_NAME or not 0 < len(said.incarnation) <= _MAX_NAME:
        raise HandshakeFailed("a name or incarnation is missing or too long")
    if len(said.nonce) != NONCE_BYTES or said.nonce == own_nonce:
        raise HandshakeFailed("the nonce is not fresh")


def _check_proof(said: Proof, expected: bytes) -> None:
    if not hmac.compare_digest(said.proof, expected):
        raise HandshakeFailed("the proof is wrong: the two ends have different secrets")


class DialerHandshake:
    """The server's end of a handshake.

    :param nonce: 32 random bytes, used once
    :param expected: the registry name of the route that was dialed; an answer from another one is refused
    :param highest: the highest version to offer
    """

    def __init__(
        self, key: bytes, own: LinkPeer, nonce: bytes, expected: str, *, highest: int = HIGHEST_VERSION
    ) -> None:
        self.peer: LinkPeer | None = None
        self.version = LOWEST_VERSION
        self._key = key
        self._expected = expected
        self._highest = highest
        self._hello = Hello(
            version=LOWEST_VERSION,
            name=own.name,
            incarnation=own.incarnation,
            nonce=nonce,
            websocket=own.websocket,
            highest=highest if highest > LOWEST_VERSION else 0,
        )
        self._challenge: Challenge | None = None

    def begin(self) -> bytes:
        """Return the Hello."""
        return Handshake(hello=self._hello).SerializeToString()

    def receive(self, body: bytes) -> bytes:
        """Answer the Challenge, then check the Proof.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """
        if self._challenge is None:
            challenge = _read(body, "challenge").challenge
            self.version = _common_version(challenge.version, challenge.version, self._highest)
            _check_introduction(challenge, self._hello.nonce)
            if challenge.name != self._expected:
                raise HandshakeFailed(f"dialed {self._expected}, but {challenge.name!r} answered")
            self._challenge = challenge
            proof = _proof(self._key, b"dialer", self._hello, challenge)
            return Handshake(proof=Proof(proof=proof)).SerializeToString()
        expected = _proof(self._key, b"acceptor", self._hello, self._challenge)
        _check_proof(_read(body, "proof").proof, expected)
        self.peer = LinkPeer(self._challenge.name, self._challenge.incarnation)
        return b""


class AcceptorHandshake:
    """The route's end of a handshake.

    :param nonce: 32 random bytes, used once
    :param highest: the highest version to agree to
    """

    def __init__(self, key: bytes, own: LinkPeer, nonce: bytes, *, highest: int = HIGHEST_VERSION) -> None:
        self.peer: LinkPeer | None = None
        self.version = LOWEST_VERSION
        self._key = key
        self._highest = highest
        self._challenge = Challenge(name=own.name, incarnation=own.incarnation, nonce=nonce)
        self._hello: Hello | None = None

    def begin(self) -> bytes:
        """Return nothing: the dialer speaks first."""
        return b""

    def receive(self, body: bytes) -> bytes:
        """Answer the Hello, then check the Proof and answer with this end's own.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """
        if self._hello is None:
            hello = _read(body, "hello").hello
            self.version = _common_version(hello.version, hello.highest or hello.version, self._highest)
            self._challenge.version = self.version
            _check_introduction(hello, self._challenge.nonce)
            if len(hello.websocket) > _MAX_NAME:
                raise HandshakeFailed("the WebSocket address is too long")
            self._hello = hello
            return Handshake(challenge=self._challenge).SerializeToString()
        _check_proof(_read(body, "proof").proof, _proof(self._key, b"dialer", self._hello, self._challenge))
        self.peer = LinkPeer(self._hello.name, self._hello.incarnation, self._hello.websocket)
        proof = _proof(self._key, b"acceptor", self._hello, self._challenge)
        return Handshake(proof=Proof(proof=proof)).SerializeToString()

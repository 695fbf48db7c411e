"""How the two ends of a link prove to each other that they know the cluster's secret (docs/architecture.md, Links).

The server dials:

    dialer                                        acceptor
    Hello(versions, name, incarnation, nonce)  ->
                                              <-  Challenge(version, name, incarnation, nonce)
    Proof("dialer", all of the above)          ->
                                              <-  Proof("acceptor", all of the above)

Either end may answer Refused instead, and then ends the connection. A proof covers everything that both have said and
the role of who proves, so one that was seen before, or is sent back to its maker, proves nothing.

Both ends name versions of the link's items. The dialer offers a range and the acceptor answers the highest that both
speak. The range is in two fields, for an end that speaks version 1 alone refuses a Hello or Challenge of another
`version`, and knows no `highest`: what it says and hears, and what its proofs cover, are as they always were.
Whoever sits between two ends can take `highest` away and so hold them to version 1, as long as that is spoken at all.
"""

from __future__ import annotations

import hmac
import typing

from google.protobuf.message import DecodeError

from cim.errors import BadFrame, FrameTooLarge, HandshakeFailed
from cim.model import LinkPeer
from cim.wire.link_pb2 import Challenge, Handshake, Hello, Proof, Refused

#: The versions of the link's items that are spoken here.
LOWEST_VERSION = 1
HIGHEST_VERSION = 2
NONCE_BYTES = 32
#: No frame of a handshake is larger.
MAX_HANDSHAKE_FRAME = 4096

_LABEL = b"cim link handshake"
_MAX_NAME = 300


class LinkHandshake(typing.Protocol):
    """One end of a handshake.

    A typing.Protocol: both ends are internal, nobody asks at run time.
    """

    @property
    def peer(self) -> LinkPeer | None:
        """Who is at the other end, once it has proven it."""

    @property
    def version(self) -> int:
        """The version that both ends speak; holds once `peer` is there."""

    def begin(self) -> bytes:
        """Return what this end sends first; empty when it waits."""

    def receive(self, body: bytes) -> bytes:
        """Take what the other end sent and return the answer; empty when there is none.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """


def first_frame(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the body of the first frame in `data` and what follows it; None while that is not complete.

    One at a time, unlike FrameReader: what follows the last frame of a handshake is batches, which may be larger.

    :raises FrameTooLarge: the frame has more than MAX_HANDSHAKE_FRAME bytes
    :raises BadFrame: its length is no varint32
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
        raise BadFrame("a frame's length has more than 5 bytes")
    return None


def refusal(reason: str) -> bytes:
    """Return the body that ends a handshake."""
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
    if challenge.version > 1:  # before that there was no such field
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
        raise HandshakeFailed(f"{wanted} was expected")
    return said


def _versions(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"


def _common_version(lowest: int, highest: int, own_highest: int) -> int:
    """Return the highest version of the other end's range that is spoken here, too."""
    version = min(highest, own_highest)
    if version < max(lowest, LOWEST_VERSION):
        here = _versions(LOWEST_VERSION, own_highest)
        raise HandshakeFailed(f"version {here} is spoken here, not {_versions(lowest, highest)}")
    return version


def _check_introduction(said: Hello | Challenge, own_nonce: bytes) -> None:
    if not 0 < len(said.name) <= _MAX_NAME or not 0 < len(said.incarnation) <= _MAX_NAME:
        raise HandshakeFailed("a name or incarnation is missing or too long")
    if len(said.nonce) != NONCE_BYTES or said.nonce == own_nonce:
        raise HandshakeFailed("the nonce is not a fresh one")


def _check_proof(said: Proof, expected: bytes) -> None:
    if not hmac.compare_digest(said.proof, expected):
        raise HandshakeFailed("the proof is wrong")


class DialerHandshake:
    """The server's end.

    :param nonce: 32 random bytes, used once
    :param expected: the registry name of the route that was dialed; another one's answer is refused
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
                raise HandshakeFailed(f"{self._expected} was dialed, but {challenge.name!r} answered")
            self._challenge = challenge
            proof = _proof(self._key, b"dialer", self._hello, challenge)
            return Handshake(proof=Proof(proof=proof)).SerializeToString()
        expected = _proof(self._key, b"acceptor", self._hello, self._challenge)
        _check_proof(_read(body, "proof").proof, expected)
        self.peer = LinkPeer(self._challenge.name, self._challenge.incarnation)
        return b""


class AcceptorHandshake:
    """The route's end.

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
        """Answer the Hello, then check the Proof and answer it with the own one.

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

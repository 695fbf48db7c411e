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
Challenge with another `version` and does not know `highest`.

Hello and Challenge carry a public key, made for this connection, from which the keys that seal the batches are derived
(`cim.link.sealing`). Ends of older releases have none. Their links are refused unless this end was told to accept them;
then the handshake, and what the proofs cover, are as they always were. So that nobody in between can make two ends that
can seal believe that the other one is old, the nonce of an end that can seal ends with a mark: the proofs of every
release cover the nonces.
"""

from __future__ import annotations

import hmac
import typing
from collections.abc import Callable

from google.protobuf.message import DecodeError

from cim.errors import BadFrame, FrameTooLarge, HandshakeFailed
from cim.link.sealing import KEY_BYTES, KeyPair, Sealing
from cim.model import LinkPeer
from cim.plain import quoted
from cim.wire.link_pb2 import Challenge, Handshake, Hello, Proof, Refused

#: The versions of the link's items that this release speaks.
LOWEST_VERSION = 1
HIGHEST_VERSION = 3
NONCE_BYTES = 32
#: The largest frame of a handshake, bytes.
MAX_HANDSHAKE_FRAME = 4096

_LABEL = b"cim link handshake"
_SEALED_LABEL = b"cim link handshake, sealed"
_MAX_NAME = 300
#: How the nonce of an end ends that can seal.
_MARK = b"\xc1m seals"
_UNSEALED = (
    "links that are not sealed are refused here: upgrade the other end, or set --accept-unsealed-links here until it is"
)


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

    @property
    def sealing(self) -> Sealing | None:
        """What seals the batches, None if the other end cannot; valid once `peer` is set."""

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


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _unsealed_proof(key: bytes, role: bytes, hello: Hello, challenge: Challenge) -> bytes:
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
    return hmac.digest(key, _joined(*said), "sha256")


def _read(body: bytes, wanted: str) -> Handshake:
    try:
        said = Handshake.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise HandshakeFailed("not a handshake")
    step = said.WhichOneof("step")
    if step == "refused":
        raise HandshakeFailed(f"refused by the other end: {quoted(said.refused.reason, 200)}")
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


def _fresh_nonce(random_bytes: Callable[[int], bytes]) -> bytes:
    return random_bytes(NONCE_BYTES - len(_MARK)) + _MARK


def _check_introduction(said: Hello | Challenge, own_nonce: bytes) -> None:
    if not 0 < len(said.name) <= _MAX_NAME or not 0 < len(said.incarnation) <= _MAX_NAME:
        raise HandshakeFailed("a name or incarnation is missing or too long")
    if len(said.nonce) != NONCE_BYTES or said.nonce == own_nonce:
        raise HandshakeFailed("the nonce is not fresh")


class _End:
    """What both ends have in common: deciding whether the link is sealed, and proving what was said."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes], highest: int, accept_unsealed: bool) -> None:
        self.peer: LinkPeer | None = None
        self.version = LOWEST_VERSION
        self.sealing: Sealing | None = None
        self._key = key
        self._highest = highest
        self._accept_unsealed = accept_unsealed
        self._nonce = _fresh_nonce(random_bytes)
        self._pair = KeyPair(random_bytes(KEY_BYTES))
        self._hello = Hello()
        self._challenge = Challenge()
        #: Hello and Challenge as they were sent, when the link is sealed.
        self._said = b""

    def _agree(self, other: Hello | Challenge, hello: bytes, challenge: bytes) -> None:
        """Seal what follows, if the other end can; `_hello` and `_challenge` are there.

        :param hello: the Hello as it was sent, and so is `challenge`
        """
        if other.nonce.endswith(_MARK):
            if len(other.public_key) != KEY_BYTES:
                raise HandshakeFailed("someone in between removed the offer to seal the link")
            self._said = _joined(hello, challenge)
        elif not self._accept_unsealed:
            raise HandshakeFailed(_UNSEALED)

    def _proof(self, role: bytes) -> bytes:
        if self._said:
            return hmac.digest(self._key, _joined(_SEALED_LABEL, role) + self._said, "sha256")
        return _unsealed_proof(self._key, role, self._hello, self._challenge)

    def _prove(self, role: bytes) -> bytes:
        return Handshake(proof=Proof(proof=self._proof(role))).SerializeToString()

    def _check(self, body: bytes, role: bytes) -> None:
        if not hmac.compare_digest(_read(body, "proof").proof.proof, self._proof(role)):
            raise HandshakeFailed(
                "the proof is wrong: the two ends have different secrets, or what they said was changed"
            )

    def _seal(self, other: Hello | Challenge, *, dialer: bool) -> None:
        if self._said:
            self.sealing = self._pair.sealing(other.public_key, self._key, self._said, dialer=dialer)


class DialerHandshake(_End):
    """The server's end of a handshake.

    :param expected: the registry name of the route that was dialed; an answer from another one is refused
    :param highest: the highest version to offer
    :param accept_unsealed: whether a route of an older release, which cannot seal, will do
    """

    def __init__(
        self,
        key: bytes,
        own: LinkPeer,
        random_bytes: Callable[[int], bytes],
        expected: str,
        *,
        highest: int = HIGHEST_VERSION,
        accept_unsealed: bool = False,
    ) -> None:
        super().__init__(key, random_bytes, highest, accept_unsealed)
        self._expected = expected
        self._challenged = False
        self._hello = Hello(
            version=LOWEST_VERSION,
            name=own.name,
            incarnation=own.incarnation,
            nonce=self._nonce,
            websocket=own.websocket,
            tls_name=own.tls_name,
            highest=highest if highest > LOWEST_VERSION else 0,
            public_key=self._pair.public,
        )
        self._first = Handshake(hello=self._hello).SerializeToString()

    def begin(self) -> bytes:
        """Return the Hello."""
        return self._first

    def receive(self, body: bytes) -> bytes:
        """Answer the Challenge, then check the Proof.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """
        if self._challenged:
            self._check(body, b"acceptor")
            self._seal(self._challenge, dialer=True)
            self.peer = LinkPeer(self._challenge.name, self._challenge.incarnation)
            return b""
        challenge = _read(body, "challenge").challenge
        self.version = _common_version(challenge.version, challenge.version, self._highest)
        _check_introduction(challenge, self._nonce)
        if challenge.name != self._expected:
            raise HandshakeFailed(f"dialed {self._expected}, but {quoted(challenge.name)} answered")
        self._agree(challenge, self._first, body)
        self._challenge = challenge
        self._challenged = True
        return self._prove(b"dialer")


class AcceptorHandshake(_End):
    """The route's end of a handshake.

    :param highest: the highest version to agree to
    :param accept_unsealed: whether a server of an older release, which cannot seal, will do
    """

    def __init__(
        self,
        key: bytes,
        own: LinkPeer,
        random_bytes: Callable[[int], bytes],
        *,
        highest: int = HIGHEST_VERSION,
        accept_unsealed: bool = False,
    ) -> None:
        super().__init__(key, random_bytes, highest, accept_unsealed)
        self._greeted = False
        self._challenge = Challenge(
            name=own.name, incarnation=own.incarnation, nonce=self._nonce, public_key=self._pair.public
        )

    def begin(self) -> bytes:
        """Return nothing: the dialer speaks first."""
        return b""

    def receive(self, body: bytes) -> bytes:
        """Answer the Hello, then check the Proof and answer with this end's own.

        :raises HandshakeFailed: the message is fit to be sent to the other end
        """
        if self._greeted:
            self._check(body, b"dialer")
            self._seal(self._hello, dialer=False)
            self.peer = LinkPeer(self._hello.name, self._hello.incarnation, self._hello.websocket, self._hello.tls_name)
            return self._prove(b"acceptor")
        hello = _read(body, "hello").hello
        self.version = _common_version(hello.version, hello.highest or hello.version, self._highest)
        _check_introduction(hello, self._nonce)
        if len(hello.websocket) > _MAX_NAME or len(hello.tls_name) > _MAX_NAME:
            raise HandshakeFailed("an address for clients is too long")
        self._challenge.version = self.version
        answer = Handshake(challenge=self._challenge).SerializeToString()
        self._agree(hello, body, answer)
        self._hello = hello
        self._greeted = True
        return answer

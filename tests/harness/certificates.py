"""Certificates for tests, of any kind: self-signed or signed by another, of any names and age."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from cim.wire.pins import pin_of


@frozen
class Certified:
    """A key and a certificate of it."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key alone."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def pem(self) -> bytes:
        """Both."""
        return self.certificate_pem + self.key_pem

    @property
    def pin(self) -> str:
        """The pin of the key."""
        return pin_of(self.key.public_key())


def put(path: Any, content: bytes) -> None:
    """Write a file that nobody else can read, or over one."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)


def certified(
    *names: str,
    key: EllipticCurvePrivateKey | None = None,
    signer: Certified | None = None,
    now: datetime | None = None,
    days: float = 1.0,
    ca: bool = False,
) -> Certified:
    """Return a new certificate.

    :param names: DNS names and addresses, the first also its subject
    :param key: a new one without it
    :param signer: itself without it
    :param days: from now until it expires; it began a day ago or, when this is negative, a year ago
    :param ca: it may sign others
    """
    key = generate_private_key(SECP256R1()) if key is None else key
    now = datetime.now(UTC) if now is None else now
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateBuilder(
        signer.certificate.subject if signer is not None else subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1 if days >= 0 else 365),
        now + timedelta(days=days),
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return Certified(key, builder.sign(signer.key if signer is not None else key, SHA256()))


def shake_hands(*pairs: tuple[SSL.Connection, SSL.Connection], turns: int = 10) -> None:
    """Let clients and their servers go on with TLS handshakes in memory, all of them in turns."""
    for _ in range(turns):
        for one, other in (pair[::step] for step in (1, -1) for pair in pairs):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass


def _name(name: str) -> Any:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

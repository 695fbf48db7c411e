"""The certificate that a daemon makes for itself, if it has none (docs/operations.md, A certificate of its own)."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cim.daemon.certificates import read
from cim.private_files import replace_private

#: The file in the folder; an operator who has a certificate puts that there instead.
OWN = "own.pem"
#: Clients know the key by its pin, so the certificate need not expire soon.
DAYS = 3650
#: A certificate that expires sooner than this is renewed, with the same key.
RENEW_DAYS = 365


def ensure_certificate(folder: Path, name: str, now: datetime) -> None:
    """Make a certificate for `name` in a folder, unless there is one.

    If the one that the daemon made earlier is for another name, or expires soon, it is made anew with the same key, so
    that clients still know it. Any other `.pem` file in the folder is the operator's, and then nothing is made.

    :raises BadCertificates: the earlier one cannot be read
    :raises OSError: the new one cannot be written
    :raises ValueError: a certificate cannot be for that name
    """
    own = folder / OWN
    if any(path != own for path in folder.rglob("*.pem")):
        return
    key: Any = None
    if own.exists():
        (shown, *_) = read([own], now)
        if name in shown.names and shown.expires > now + timedelta(days=RENEW_DAYS):
            return
        key = shown.key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_private(own, _made(generate_private_key(SECP256R1()) if key is None else key, name, now))


def _made(key: Any, name: str, now: datetime) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CIM")])
    names = x509.SubjectAlternativeName([_general_name(name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        # Clients' clocks may be slow.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + written


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

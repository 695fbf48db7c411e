"""TLS for connections to Redis, and what a failed handshake means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cim.private_files import BadFile, read_private

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.python.failure import Failure


def over_tls(
    endpoint: IStreamClientEndpoint, host: str, ca: str | None, certificate: str | None
) -> IStreamClientEndpoint:
    """Return an endpoint that speaks TLS over another and requires a certificate for `host`.

    :param host: a name or an address
    :param ca: a PEM file with the certificates that may sign that of Redis; None for the system's
    :param certificate: a PEM file with a key and its certificate, if Redis requires one
    :raises BadFile: a file cannot be used
    """
    from OpenSSL import crypto

    from twisted.internet.endpoints import wrapClientTLS
    from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

    trust = None
    if ca is not None:
        found = _certificates(ca, _read(ca))
        trust = trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(one)) for one in found])
    shown: dict[str, Any] = {}
    if certificate is not None:
        pem = read_private(certificate)
        own, *chain = _certificates(certificate, pem)
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadFile(f"{certificate} holds no key that can be used: {error}") from None
        if key.public_key() != own.public_key():
            raise BadFile(f"{certificate} holds a certificate that is of another key")
        shown = {
            "privateKey": crypto.PKey.from_cryptography_key(key),  # type: ignore[arg-type]
            "certificate": crypto.X509.from_cryptography(own),
            "extraCertChain": [crypto.X509.from_cryptography(one) for one in chain],
        }
    return wrapClientTLS(optionsForClientTLS(host, trust, extraCertificateOptions=shown), endpoint)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _certificates(path: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise BadFile(f"{path} holds no PEM certificate") from None


def tls_complaint(why: Failure) -> str:
    """Return what was wrong with TLS if a connection was lost because of it, else ""."""
    from OpenSSL import SSL
    from service_identity import VerificationError

    error = why.value
    if isinstance(error, VerificationError):
        return "its certificate is for another host"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "TLS failed: " + ", ".join(reason for _, _, reason in error.args[0])
    return ""

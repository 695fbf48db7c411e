"""The TLS settings for connections to ZooKeeper."""

from __future__ import annotations

import ssl

from cim.private_files import BadFile, read_private


def tls_context(ca: str | None, certificate: str | None) -> ssl.SSLContext:
    """Return a context that requires a certificate for the dialed name.

    :param ca: a PEM file with the certificates that may sign it; None for the system's
    :param certificate: a PEM file with a key and its certificate, if ZooKeeper requires one
    :raises BadFile: a file cannot be used
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        raise _unusable(str(ca), error) from None
    if certificate is not None:
        read_private(certificate)
        try:
            # Without this argument OpenSSL would ask for a password at the terminal.
            context.load_cert_chain(certificate, password="")
        except (OSError, ValueError) as error:
            raise _unusable(certificate, error) from None
    return context


def _unusable(path: str, error: Exception) -> BadFile:
    if isinstance(error, ssl.SSLError):
        return BadFile(f"{path} does not hold what TLS needs in PEM: {complaint(error)}")
    return BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")


def complaint(error: ssl.SSLError) -> str:
    """Describe a failed handshake or an unusable file."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")

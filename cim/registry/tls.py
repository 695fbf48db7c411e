"""TLS to ZooKeeper: whom to trust, and what to show."""

from __future__ import annotations

import ssl

from cim.private_files import BadFile, read_private


def tls_context(ca: str | None, certificate: str | None) -> ssl.SSLContext:
    """Return what connections are made with: the other end's certificate must have the name that was dialed.

    :param ca: a PEM file with the certificates that may sign that; None: the system's
    :param certificate: a PEM file with a key and its certificate, for a ZooKeeper that wants one
    :raises BadFile: a file cannot be used
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        raise _unusable(str(ca), error) from None
    if certificate is not None:
        read_private(certificate)
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, password="")
        except (OSError, ValueError) as error:
            raise _unusable(certificate, error) from None
    return context


def _unusable(path: str, error: Exception) -> BadFile:
    if isinstance(error, ssl.SSLError):
        return BadFile(f"{path} does not hold what TLS needs in PEM: {complaint(error)}")
    return BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")


def complaint(error: ssl.SSLError) -> str:
    """Return what was wrong, for a human."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")

"""Which servers a client believes when it connects by TLS (docs/client.md, TLS)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, platformTrust, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from cim.errors import InvalidField, Untrusted
from cim.wire.pins import parse_pin, pin_of

#: What OpenSSL rejects certificates for, in a few words.
_REASONS = {
    code: name.removeprefix("ERR_").lower().replace("_", " ")
    for name, code in vars(SSL.X509VerificationCodes).items()
    if isinstance(code, int)
}


def _pins(pins: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(parse_pin(pin) for pin in ([pins] if isinstance(pins, str) else pins))


@frozen
class Trust:
    """Which servers a client believes.

    By default those that the machine believes: with a certificate for the right name that leads to one of its roots.

    :param ca: a PEM file of certificates; those of servers must lead to one of these instead of the machine's roots
    :param pins: public keys (`sha256:...`), one of which a server must have; unless `ca` is given as well, its
        certificate may then be signed by anybody, be for any name, and have expired
    :param first_use: if there is no pin, believe the first server, and only that one from then on; called with its pin
    :param insecure: let passwords and messages cross a network without TLS
    """

    ca: str | os.PathLike[str] = ""
    pins: Sequence[str] = field(default=(), converter=_pins)
    first_use: Callable[[str], object] | None = None
    insecure: bool = False


@implementer(IPolicyForHTTPS)
class Verifier:
    """Verifies servers for one client.

    :raises InvalidField: the file of certificates cannot be used
    """

    _log = Logger()

    def __init__(self, trust: Trust) -> None:
        self._pins = set(trust.pins)
        self._first_use = trust.first_use
        self._roots = trustRootFromCertificates(_certificates(trust.ca)) if trust.ca else None
        #: Whether certificates must be signed by somebody trusted, have the right name, and not have expired.
        self._signed = bool(trust.ca) or not (self._pins or trust.first_use is not None)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See IPolicyForHTTPS."""
        return self.of(hostname.decode("ascii"), f"{hostname.decode('ascii')}:{port}")

    def of(self, name: str, place: str) -> IOpenSSLClientConnectionCreator:
        """Return what starts TLS with a server.

        :param name: the name that its certificate must be for
        :param place: the server's name in errors
        """
        return _Handshakes(self, self._context, name, place)

    @cached_property
    def _context(self) -> SSL.Context:
        if self._roots is None and self._first_use is None:
            return _machine_context()
        context = CertificateOptions(trustRoot=self._roots or platformTrust()).getContext()
        if self._first_use is not None:
            context.set_info_callback(self._proven)
        return context

    def trouble(self, certificate: x509.Certificate, error: int, depth: int, name: str, place: str) -> str:
        """Return why a server is not believed, or "" if this certificate is no reason.

        :param certificate: one of those that the server showed
        :param error: OpenSSL's reason against it; 0 for none
        :param depth: 0 for the server's own certificate, more for those of its issuers
        """
        if self._signed and error:
            return _against(certificate, error, depth, place)
        if depth:
            return ""
        if self._signed and not _is_for(certificate, name):
            return f"the certificate of {place} is not for {name}"
        pin = pin_of(certificate.public_key())
        if self._pins and pin not in self._pins:
            known = " or ".join(sorted(self._pins))
            return (
                f"{place} does not have the key that it is known by: its pin is {pin} and not {known}. Either its"
                " operator has made a new key, or somebody else answers in its place: ask the operator"
            )
        return ""

    def _proven(self, connection: SSL.Connection, where: int, result: int) -> None:
        """Take the pin of the first server, which has now proven that it has the key."""
        if not where & SSL.SSL_CB_HANDSHAKE_DONE or self._first_use is None:
            return
        certificate = connection.get_peer_certificate()
        assert certificate is not None
        pin = pin_of(certificate.to_cryptography().public_key())
        if not self._pins:
            self._pins.add(pin)
            with self._log.failuresHandled("a pin was not remembered"):
                self._first_use(pin)
        elif pin not in self._pins:
            # Its handshake started before the first server was believed.
            connection.get_app_data().failVerification(Failure(Untrusted("another server was believed first")))


@implementer(IOpenSSLClientConnectionCreator)
@frozen(eq=False)
class _Handshakes:
    _log = Logger()

    verifier: Verifier
    context: SSL.Context
    name: str
    place: str

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self.context, None)
        if _address(self.name) is None:
            connection.set_tlsext_host_name(self.name.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER, self._verify)
        return connection

    def _verify(self, connection: SSL.Connection, certificate: Any, error: int, depth: int, ok: int) -> bool:
        try:
            shown = certificate.to_cryptography()
            trouble = self.verifier.trouble(shown, 0 if ok else error, depth, self.name, self.place)
        except Exception:
            # Exceptions in OpenSSL's callbacks are lost.
            self._log.failure("A certificate could not be examined")
            trouble = f"the certificate of {self.place} cannot be read"
        if trouble:
            connection.get_app_data().failVerification(Failure(Untrusted(trouble)))
        return not trouble


@cache
def _machine_context() -> SSL.Context:
    # Reading the machine's roots takes 25 ms, and keeping them takes memory.
    return CertificateOptions(trustRoot=platformTrust()).getContext()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    verify = verify_certificate_hostname if _address(name) is None else verify_certificate_ip_address
    try:
        verify(certificate, name)
    except (VerificationError, CertificateError, ValueError):
        return False
    return True


def _against(certificate: x509.Certificate, error: int, depth: int, place: str) -> str:
    whose = f"a certificate that {place} leads to" if depth else f"the certificate of {place}"
    if error == SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED:
        return f"{whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if error == SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID:
        return f"{whose} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}: is the clock right?"
    reason = _REASONS.get(error, f"error {error}")
    pin = "" if depth else f", if its operator confirms it: its pin is {pin_of(certificate.public_key())}"
    return (
        f"nobody that this client trusts has signed the certificate of {place} ({reason}). Name the signer (--ca), or"
        f" give the pin of its key (--pin){pin}"
    )


def _certificates(path: str | os.PathLike[str]) -> list[Any]:
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise InvalidField("ca", f"{os.fspath(path)} cannot be read: {error.strerror}")
    except ValueError:
        raise InvalidField("ca", f"{os.fspath(path)} is not a PEM file of certificates")
    return [Certificate.loadPEM(one.public_bytes(Encoding.PEM)) for one in found]

"""The certificates that listeners show: read from PEM files, and again when the files change (docs/operations.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from cim.private_files import BadFile, check_private, stamp
from cim.wire.pins import pin_of

#: How often the files are checked while clients connect, seconds.
LOOK_SECONDS = 10.0
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
#: The largest PEM file, bytes.
_MAX_FILE = 1 << 20


class BadCertificates(Exception):
    """Raised when certificate files cannot be used; says which, and why."""


@frozen(eq=False)
class Shown:
    """A certificate with its private key.

    :ivar chain: the certificates of its issuers, the nearest first, without the root
    """

    certificate: x509.Certificate
    key: Any
    chain: Sequence[x509.Certificate]

    @property
    def names(self) -> list[str]:
        """The DNS names and the addresses that the certificate is for."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]

    @property
    def expires(self) -> datetime:
        """When the certificate expires."""
        return self.certificate.not_valid_after_utc

    @property
    def pin(self) -> str:
        """The pin of the key."""
        return pin_of(self.certificate.public_key())

    def replaces(self, other: Shown) -> bool:
        """Return whether a client that expects the other one can be served with this one."""
        return self.pin == other.pin or not {*self.names}.isdisjoint(other.names)


def read(files: Iterable[Path], now: datetime) -> list[Shown]:
    """Return the certificates in PEM files that have a private key there, in the order of the keys.

    If there are several for one key, the one that is already valid and expires last is returned.

    :raises BadCertificates: a file cannot be read, others can read one with a key, or no certificate has its key there
    """
    keys: dict[bytes, Any] = {}
    found: dict[bytes, x509.Certificate] = {}
    for path in files:
        try:
            for kind, block in _blocks(path):
                if kind.endswith(b"PRIVATE KEY"):
                    key = load_pem_private_key(block, None)
                    keys.setdefault(_spki(key.public_key()), key)
                elif kind == b"CERTIFICATE":
                    certificate = x509.load_pem_x509_certificate(block)
                    found[certificate.fingerprint(SHA256())] = certificate
        except BadFile as error:
            raise BadCertificates(str(error))
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadCertificates(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")
    of_key: dict[bytes, list[x509.Certificate]] = {}
    for certificate in found.values():
        of_key.setdefault(_spki(certificate.public_key()), []).append(certificate)
    shown = []
    for spki, key in keys.items():
        if spki in of_key:
            best = max(of_key[spki], key=lambda one: (one.not_valid_before_utc <= now, one.not_valid_after_utc))
            shown.append(Shown(best, key, _chain(best, found.values())))
    if not shown:
        raise BadCertificates("there is no certificate with its key")
    return shown


def _blocks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with open(path, "rb") as file:
        data = file.read(_MAX_FILE + 1)
        if b"PRIVATE KEY-----" in data:
            check_private(file, path)
    if len(data) > _MAX_FILE:
        raise ValueError(f"it is longer than {_MAX_FILE} bytes")
    if data.count(b"-----BEGIN ") != data.count(b"-----END "):
        raise ValueError("it ends within a certificate or key")
    for block in _BLOCK.finditer(data):
        yield block[1], block[0]


def _spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _chain(certificate: x509.Certificate, others: Collection[x509.Certificate]) -> list[x509.Certificate]:
    chain = [certificate]
    while chain[-1].issuer != chain[-1].subject:
        issuers = (one for one in others if one.subject == chain[-1].issuer and one not in chain)
        if (issuer := next(issuers, None)) is None:
            break
        chain.append(issuer)
    return [one for one in chain[1:] if one.issuer != one.subject]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Shows the certificates in PEM files on connections: if there are several, the one for the name that is asked for.

    The files are checked again while clients connect, at most every LOOK_SECONDS. New connections get what was read
    last. Files that cannot be read, or that leave a name without a certificate, change nothing; log and health report
    them.

    :param paths: PEM files, and folders whose `.pem` files are read
    :param seconds: the monotonic clock
    :param now: the time of day
    :raises BadCertificates: there is no certificate to start with
    """

    _log = Logger()

    def __init__(self, paths: Sequence[Path], seconds: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._paths = paths
        self._place = ", ".join(map(str, paths))
        self._seconds = seconds
        self._now = now
        self._looked = seconds()
        self._files = self._stamps()
        self._trouble = ""
        self._show(read(self._files, self._now()))

    @property
    def shown(self) -> Sequence[Shown]:
        """The present certificates; clients that ask for no name get the first."""
        return self._shown

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the TLS state of a new connection."""
        self.look()
        return SSL.Connection(self._contexts[0])

    def health(self) -> str:
        """Return "" if all is well, else a sentence: the files cannot be used, or a certificate has expired."""
        self.look()
        for one in self._shown:
            if one.expires <= self._now():
                late = f"the certificate in {self._place} for {', '.join(one.names)} expired on {one.expires:%Y-%m-%d}"
                return f"{late}; {self._trouble}" if self._trouble else late
        return self._trouble

    def look(self) -> None:
        """Read the files again if they have changed, unless they were checked just now."""
        seconds = self._seconds()
        if seconds - self._looked < LOOK_SECONDS:
            return
        self._looked = seconds
        files = self._stamps()
        if files == self._files:
            return
        self._files = files
        try:
            found = read(files, self._now())
            for before in self._shown:
                if not any(one.replaces(before) for one in found):
                    raise BadCertificates(f"there is none for {', '.join(before.names)} any more")
            self._show(found)
        except BadCertificates as error:
            self._trouble = f"the certificates in {self._place} have changed and cannot be used: {error}"
            self._log.error("{trouble}; the old ones stay in use", trouble=self._trouble)
        else:
            self._trouble = ""
            names = ", ".join(name for one in self._shown for name in one.names)
            until = min(one.expires for one in self._shown)
            self._log.info("new certificates for {names}, valid until {until:%Y-%m-%d}", names=names, until=until)

    def _stamps(self) -> Mapping[Path, object]:
        """Return the files, each with what changes when it is written, replaced or closed to others."""
        stamps: dict[Path, object] = {}
        for path in (file for one in self._paths for file in (sorted(one.rglob("*.pem")) if one.is_dir() else [one])):
            if not path.is_dir():
                stamps[path] = stamp(path)
        return stamps

    def _show(self, found: Sequence[Shown]) -> None:
        contexts = [self._context(one) for one in found]
        self._shown = found
        self._contexts = contexts
        self._by_name = {
            name.lower(): context for one, context in zip(found, contexts, strict=True) for name in one.names
        }

    def _context(self, shown: Shown) -> SSL.Context:
        try:
            context = CertificateOptions(
                privateKey=PKey.from_cryptography_key(shown.key),
                certificate=X509.from_cryptography(shown.certificate),
                extraCertChain=[X509.from_cryptography(one) for one in shown.chain],
                contextForServerName=self._for_name,
            ).getContext()
            # In place of Twisted's, which ends connections that Twisted did not make. Browsers then speak HTTP/1.1.
            context.set_alpn_select_callback(lambda connection, offered: SSL.NO_OVERLAPPING_PROTOCOLS)
            return context
        except (TypeError, SSL.Error) as error:
            raise BadCertificates(f"the key for {', '.join(shown.names)} cannot be used: {error}")

    def _for_name(self, asked: bytes | None) -> SSL.Context | None:
        name = (asked or b"").decode("ascii", "replace").lower()
        return self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}")

"""The cluster's secret, and the keys derived from it, one per purpose (docs/architecture.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cim.errors import InvalidField

PURPOSES = frozenset({"link", "ticket", "token", "http"})
MIN_SECRET = 16
#: Used in place of a secret for links between processes on one machine that were given none.
NO_SECRET = b"links on loopback alone"


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return the 32-byte key for that purpose; a key reveals nothing about the others or the secret.

    :param purpose: one of PURPOSES
    """
    if purpose not in PURPOSES:
        raise ValueError(f"no key is derived for {purpose!r}")
    return HKDF(SHA256(), 32, salt=None, info=b"cim 1 " + purpose.encode()).derive(secret)


def read_secret(path: str | Path) -> bytes:
    """Return the secret in a file, without surrounding white space.

    :raises InvalidField: the file cannot be read, or holds less than 16 bytes
    """
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise InvalidField("secret file", f"{str(path)!r} cannot be read: {error.strerror}")
    if len(secret) < MIN_SECRET:
        raise InvalidField(
            "secret file",
            f"{str(path)!r} must hold at least {MIN_SECRET} bytes besides white space, but holds {len(secret)}",
        )
    return secret


def make_secret_file(path: str | Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """Return the secret in that file, creating it (mode 0600) if it is missing; concurrent calls create only one.

    :raises InvalidField: the file cannot be read or created, or holds no secret
    """
    path = Path(path)
    fresh = path.with_name(f"{path.name}.{random_bytes(8).hex()}")
    try:
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(random_bytes(32).hex().encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                # A link, not a rename, so that a second process keeps the first one's secret.
                with suppress(FileExistsError):
                    os.link(fresh, path)
            finally:
                os.unlink(fresh)
    except OSError as error:
        raise InvalidField("secret file", f"{str(path)!r} cannot be created: {error.strerror}")
    return read_secret(path)

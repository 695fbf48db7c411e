"""The cluster's secret, and the keys derived from it, one per purpose (docs/architecture.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cim.errors import InvalidField
from cim.private_files import BadFile, read_private

PURPOSES = frozenset({"link", "ticket", "token", "http"})
MIN_SECRET = 32
#: Used in place of a secret for links between processes on one machine that were given none.
NO_SECRET = b"links on loopback alone"


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return the 32-byte key for that purpose; a key reveals nothing about the others or the secret.

    :param purpose: one of PURPOSES
    """
    if purpose not in PURPOSES:
        raise ValueError(f"no key is derived for {purpose}")
    return HKDF(SHA256(), 32, salt=None, info=b"cim 1 " + purpose.encode()).derive(secret)


def weakness(secret: bytes, least: int) -> str:
    """Return why a secret is easy to guess, as the end of a sentence; "" if nothing suggests that it is.

    :param least: how many bytes it must have
    """
    if len(secret) < least:
        return f"must hold at least {least} bytes besides white space, but holds {len(secret)}"
    # 32 random hexadecimal digits have fewer than 8 different ones once in 28 million times.
    if len(set(secret)) < least // 4 or secret in (secret * 2)[1:-1]:
        return f"is too easy to guess: it has fewer than {least // 4} different characters, or repeats itself"
    return ""


def read_secret(path: str | Path) -> bytes:
    """Return the secret in a file, without surrounding white space.

    :raises InvalidField: the file cannot be read, others can read it, or what it holds is weak
    """
    try:
        secret = read_private(path).strip()
    except BadFile as error:
        raise InvalidField("secret file", str(error))
    weak = weakness(secret, MIN_SECRET)
    if weak:
        raise InvalidField("secret file", f"{path} {weak}. Make one with: openssl rand -hex 32")
    return secret


def make_secret_file(path: str | Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """Return the secret in that file, creating it (mode 0600) if it is missing; concurrent calls create only one.

    :raises InvalidField: the existing file cannot be used (see `read_secret`), or none can be created
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
        raise InvalidField("secret file", f"{path} cannot be created: {error.strerror}")
    return read_secret(path)

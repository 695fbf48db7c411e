"""Users of a cluster of one's own, made in its store without passwords, and the tokens with which they log in."""

from __future__ import annotations

import os
from pathlib import Path

from bench.pacing import closed_loop
from cim.interfaces import IStore
from cim.keys import derive_key, read_secret
from cim.model import Account
from cim.signed import sign

#: Nobody logs in with it: these users get tokens that are made here.
_NO_HASH = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"
AT_ONCE = 64


async def make_users(store: IStore, count: int, name: str) -> list[Account]:
    """Make accounts `<name>-<number>`, and return them by their ids."""
    made: list[Account] = []

    async def make(number: int) -> None:
        made.append(await store.credentials.create(f"{name}-{number}", _NO_HASH))

    await closed_loop(range(count), AT_ONCE, make)
    return sorted(made, key=lambda account: account.id)


def token_of(account: Account, secret_file: Path, now: float) -> str:
    """Return a token of a cluster's user.

    :param now: seconds since 1970
    """
    claims = {
        "sub": str(account.id),
        "name": account.name,
        "iat": int(now),
        "ims": int(now * 1000) + 1000,
        "exp": int(now) + 3600,
        "jti": os.urandom(8).hex(),
    }
    return sign(derive_key(read_secret(secret_file), "token"), claims)

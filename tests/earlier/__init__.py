"""What earlier releases stored, as `python -m tests.earlier.make` has them store it.

Of each there are, in a folder named after its commit: `cim.db.gz`, the store of a suite; `redis.json.gz`, the keys of a
Redis, each with its remaining time in ms, or -1, and what DUMP returned; `history.db.gz`, a client's history, if it had
one; `stored.json.gz`, what must be found there.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RELEASES = sorted(folder.name for folder in HERE.iterdir() if (folder / "stored.json.gz").is_file())


def stored(release: str, store: str) -> dict[str, Any]:
    """Return what a release says that it stored in a store, `sqlite` or `redis`."""
    found: dict[str, Any] = json.loads(gzip.decompress((HERE / release / "stored.json.gz").read_bytes()))[store]
    return found


def database(release: str, name: str = "cim.db") -> bytes:
    """Return the content of a SQLite file.

    :raises FileNotFoundError: the release has none of that name
    """
    return gzip.decompress((HERE / release / f"{name}.gz").read_bytes())


def keys(release: str) -> list[tuple[str, int, bytes]]:
    """Return the keys of a Redis for RESTORE: each key, its remaining time in ms or 0, and its value."""
    dumped = json.loads(gzip.decompress((HERE / release / "redis.json.gz").read_bytes()))
    return [(key, max(0, left), base64.b64decode(value)) for key, left, value in dumped]

"""Where things lie in a Redis Cluster (docs/architecture.md, Redis Cluster).

All is in *buckets*, each of which lies in one slot as a whole. A key is named as on a single Redis, behind the tag of
its bucket: `{17}cim:c:{p:1:2}`. Every script works in one bucket, that of its first key, and names further keys like
it.

- The *directory* is one bucket: accounts with all that is theirs, groups, and what there is once for all.
- A conversation's bucket has what was said in it, and what is about a user and a conversation.
- A user's bucket has the records of its sessions, and in which buckets its conversations are.

In the other buckets are copies of what the directory holds, for appends to look at (cim/store/redis/cluster/copies.py).
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from zlib import crc32

from cim.store.redis.keys import Key

SLOTS = 16384
#: How many buckets there are. It never changes; a cluster of more masters leaves some of them idle.
BUCKETS = 256
#: The bucket of what is there once for all.
DIRECTORY = 0
#: The others: of conversations, users and servers.
OTHERS = range(1, BUCKETS)

_OF_CONVERSATIONS = (Key.STREAM, Key.COUNTERS, Key.RECALLED, Key.EDITED, Key.ONCE)
_OF_USERS = (Key.SESSIONS, Key.ENDED, Key.BARRED, Key.BUCKETS, Key.PAID, Key.LEASE)
_TAGGED = re.compile(rf"({'|'.join((*_OF_CONVERSATIONS, *_OF_USERS))})\{{([^}}]*)\}}")


def slot_of(key: str) -> int:
    """Return the slot of a key of a bucket: that of its tag, as Redis Clusters choose it."""
    tag = key[1 : key.index("}")] if key[:1] == "{" else key
    return crc_hqx(tag.encode(), 0) % SLOTS


def _tags() -> tuple[str, ...]:
    """Return the tags of the buckets. Their slots are evenly spaced, so that each master has its share of them."""
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < BUCKETS:
        tags.setdefault(slot_of(str(number)) * BUCKETS // SLOTS, f"{{{number}}}")
        number += 1
    return tuple(tags[bucket] for bucket in range(BUCKETS))


TAGS = _tags()
SLOTS_OF = tuple(slot_of(tag) for tag in TAGS)
_BUCKET_OF_TAG = {tag: bucket for bucket, tag in enumerate(TAGS)}


def bucket_of(name: object) -> int:
    """Return the bucket of a conversation, a user or a server, by its name."""
    return OTHERS[crc32(str(name).encode()) % len(OTHERS)]


def home_of(key: str) -> int:
    """Return the bucket in which a key is that has no other one by what it is used for."""
    found = _TAGGED.match(key)
    return bucket_of(found[2]) if found is not None else DIRECTORY


def placed(bucket: int, key: str) -> str:
    """Return the name of a key in a bucket."""
    return TAGS[bucket] + key


def taken_apart(name: bytes) -> tuple[int, str] | None:
    """Return the bucket of a key and how it is called there; None if it is somebody else's."""
    text = name.decode(errors="replace")
    tag, brace, key = text.partition("}")
    bucket = _BUCKET_OF_TAG.get(tag + brace)
    return None if bucket is None else (bucket, key)

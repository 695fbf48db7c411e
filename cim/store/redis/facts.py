"""What a Redis server reports about itself, and how durable its acknowledged writes are (docs/reliability.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from attrs import field, frozen

from cim.store.redis.confirming import majority

NEEDED = (7, 0)
#: The commands that a route can do without, and the consequence if Redis refuses one (an ACL, a hosted Redis).
DISPENSABLE = {
    "INFO": (
        "So nobody checks that it is of version 7.0 or newer and no replica, and positions go on in a new epoch after "
        "each reconnection"
    ),
    "CONFIG": "So nobody knows what an acknowledged message has survived, or whether it may evict our keys",
}


@frozen
class ServerFacts:
    """One run of a Redis server.

    :param version: its number, with the name for another server of its kind
    :param run_id: the id of its process
    :param history: its replication id, which changes with every failover, though the process may be an old one
    :param settings: `appendonly`, `appendfsync`, `maxmemory-policy`, as far as it reports them
    :param refused: the commands of DISPENSABLE that it refuses, each with its reason
    """

    version: str = ""
    run_id: str = ""
    history: str = ""
    role: str = ""
    settings: Mapping[str, str] = field(factory=dict)
    refused: Mapping[str, str] = field(factory=dict)

    @classmethod
    def read(cls, info: bytes, settings: Mapping[str, str], refused: Mapping[str, str] | None = None) -> Self:
        """Parse the answers to `INFO server` and `INFO replication`."""
        lines = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
        # Valkey gives itself out as the Redis that it can do all of.
        version = f"Valkey {lines['valkey_version']}" if "valkey_version" in lines else lines.get("redis_version", "")
        run_id = lines.get("run_id", "")
        return cls(version, run_id, lines.get("master_replid", ""), lines.get("role", ""), settings, refused or {})

    def acknowledged(self, servers: int | None = None) -> str:
        """Return what an acknowledged write survives.

        :param servers: of how many servers a majority has it; None if only this one has it for certain
        """
        if servers is not None:
            needed = 1 + majority(servers)
            return f"{needed} of {max(servers, needed)} Redis servers have it, this one {self.acknowledged()}"
        append_only = self.settings.get("appendonly")
        if append_only is None:
            return "unknown: Redis does not report its settings (CONFIG GET)"
        if append_only != "yes":
            return "in Redis's memory: a restart of Redis loses everything after its last snapshot (appendonly no)"
        sync = self.settings.get("appendfsync", "")
        if sync == "always":
            return "on disk (appendfsync always)"
        if sync == "everysec":
            return "on disk within about a second: a crash of its machine may lose that second (appendfsync everysec)"
        return f"on disk once its operating system writes it (appendfsync {sync})"

    def version_complaint(self) -> str:
        """Return what is wrong with the version; "" if nothing."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) >= NEEDED:
            return ""
        return f"version {self.version} is too old: install {'.'.join(map(str, NEEDED))} or newer"

    def complaint(self) -> str:
        """Return what an operator should change; "" if nothing."""
        policy = self.settings.get("maxmemory-policy", "noeviction")
        evicts = "" if policy == "noeviction" else f"it may evict our keys (maxmemory-policy {policy}): set noeviction"
        return "; ".join(filter(None, (self.version_complaint(), evicts)))

    def facts(self, servers: int | None = None) -> dict[str, Any]:
        """Return the facts for `/health`."""
        known = {
            "version": self.version,
            "acknowledged": self.acknowledged(servers),
            "complaint": self.complaint(),
            "store_refuses": sorted(self.refused),
        }
        return {name: value for name, value in known.items() if value}

    def log_fields(self, servers: int | None = None) -> dict[str, str]:
        """Return the facts for the log."""
        server = self.version if self.version.startswith("V") else f"Redis {self.version or '(unknown)'}"
        return {"server": server, "facts": f"acknowledged means {self.acknowledged(servers)}"}

"""What a Redis says of itself, and what an acknowledged write is worth there (docs/reliability.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field, frozen

NEEDED = (7, 0)


@frozen
class ServerFacts:
    """One run of a Redis server.

    :param run_id: of its process
    :param history: another one after every failover, though its process may be an old one
    :param settings: `appendonly`, `appendfsync`, `maxmemory-policy`, as far as it tells
    """

    version: str = ""
    run_id: str = ""
    history: str = ""
    role: str = ""
    settings: Mapping[str, str] = field(factory=dict)

    @classmethod
    def read(cls, info: bytes, settings: Mapping[str, str]) -> Self:
        """Take what `INFO server` and `INFO replication` answered."""
        lines = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
        version, run_id = lines.get("redis_version", ""), lines.get("run_id", "")
        return cls(version, run_id, lines.get("master_replid", ""), lines.get("role", ""), settings)

    def acknowledged(self) -> str:
        """Say what an acknowledged write has survived."""
        append_only = self.settings.get("appendonly")
        if append_only is None:
            return "unknown: Redis does not tell its settings (CONFIG GET)"
        if append_only != "yes":
            return "in Redis's memory: a restart of Redis loses what came after its last snapshot (appendonly no)"
        sync = self.settings.get("appendfsync", "")
        if sync == "always":
            return "on disk (appendfsync always)"
        if sync == "everysec":
            return "on disk within about a second: a crash of its machine may lose that (appendfsync everysec)"
        return f"on disk when its operating system writes it (appendfsync {sync})"

    def version_complaint(self) -> str:
        """Say what is wrong with the version; "" when it will do."""
        numbers = tuple(int(part) for part in self.version.split(".")[:2] if part.isdigit())
        if not self.version or numbers >= NEEDED:
            return ""
        return f"version {self.version} is too old, {'.'.join(map(str, NEEDED))} or newer is needed"

    def complaint(self) -> str:
        """Say what an operator should change; "" when nothing."""
        policy = self.settings.get("maxmemory-policy", "noeviction")
        evicts = "" if policy == "noeviction" else f"it may evict our keys (maxmemory-policy {policy}): set noeviction"
        return "; ".join(filter(None, (self.version_complaint(), evicts)))

    def facts(self) -> dict[str, Any]:
        """What `/health` shows."""
        known = {"version": self.version, "acknowledged": self.acknowledged(), "complaint": self.complaint()}
        return {name: value for name, value in known.items() if value}

    def log_fields(self) -> dict[str, str]:
        """What the log shows."""
        return {"version": self.version, "facts": f"acknowledged means {self.acknowledged()}"}

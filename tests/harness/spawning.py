"""The processes that a test, a measurement or `make cluster` starts.

A process is started through a launcher that asks the kernel to kill it when its parent dies, so that a test run that
is killed leaves nothing behind, and that gives it a session of its own, so that Ctrl-C reaches only the parent.
"""

from __future__ import annotations

import fcntl
import functools
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from attrs import frozen

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

HOST = "127.0.0.1"
#: How many lines of output are kept for each process.
KEPT_LINES = 50_000
_LAUNCHER = """
import ctypes, os, signal, sys
os.setsid()
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]): os._exit(1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""
_PORT_TAKEN = re.compile(r"already in use|BindException", re.IGNORECASE)
#: Of this file each process of tests locks a byte for each port that it was given.
_PORTS = os.path.join(tempfile.gettempdir(), f"cim-test-ports-{os.getuid()}")
_given_ports: set[int] = set()


@frozen
class Machine:
    """Where a process runs, and how it is reached there.

    :ivar address: at which other processes of its cluster reach it
    :ivar control: at which whoever started it does, whatever is broken between the machines
    :ivar listens: to which it binds
    :ivar enter: words that go before a command which is to run there
    """

    address: str = HOST
    control: str = HOST
    listens: str = HOST
    enter: tuple[str, ...] = ()

    def endpoint(self, port: int) -> str:
        """Return the description of a server endpoint there."""
        return f"tcp:{port}:interface={self.listens}"


#: The loopback interface, which nobody else can reach.
THIS_MACHINE = Machine()


class ProcessFailed(Exception):
    """A process died, or did not do what was waited for in time; the message ends with its last output."""


class MissingProgram(Exception):
    """A program that is needed is not installed; the message names the Debian package."""


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens, never the same one twice.

    No other process that runs meanwhile is given it either.

    It lies below the range from which the kernel takes the ports of outgoing connections: in that range a client that
    keeps redialling a stopped daemon may take the port, or even connect to itself.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        first = int(limits.read().split()[0])
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.randrange(first // 2, first) if first > 4096 else 0
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            port = probe.getsockname()[1]
        if port not in _given_ports and _lock(port):
            _given_ports.add(port)
            return port
    raise ProcessFailed("no free port was found")


@functools.cache
def _ports() -> IO[bytes]:
    return open(_PORTS, "ab")


def _lock(port: int) -> bool:
    """Return whether this process has a port to itself from now on; the lock ends with the process."""
    try:
        fcntl.lockf(_ports(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def launched(argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` so that it dies with this process (with the thread that starts it)."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *argv]


@frozen
class _Waiter:
    matches: Callable[[str], bool]
    found: Deferred[str]


class DaemonProcess(ProcessProtocol):
    """A process whose output is read line by line; it can be started again after it ended.

    :ivar lines: the last lines of its standard output and standard error together, over all its runs
    :ivar out: those of its standard output only
    :ivar pid: None while it does not run
    :ivar status: how the last run ended: exit status, or the negative number of the signal
    :param ready_when: a string that is in the line, or a function that is true of the line, which says that the
        process is ready; None: it is ready at once
    :param on_line: called with every line and whether it came from standard error
    """

    def __init__(
        self,
        reactor: Any,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        ready_when: str | Callable[[str], bool] | None = None,
        *,
        name: str = "",
        on_line: Callable[[str, bool], None] | None = None,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        self.reactor = reactor
        self.machine = machine
        self.argv = list(argv)
        self.env = env
        self.cwd = cwd
        self.ready_when = ready_when
        self.name = name or os.path.basename(self.argv[0])
        self.on_line = on_line
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.out: deque[str] = deque(maxlen=KEPT_LINES)
        self.pid: int | None = None
        self.status: int | None = None
        self._process: Any = None
        self._partial = {1: b"", 2: b""}
        self._waiters: list[_Waiter] = []
        self._exits: list[Deferred[int]] = []
        self._paused = False

    # What callers do

    def start(self, timeout: float = 30.0) -> Deferred[None]:
        """Start the process and fire when it is ready; fail with ProcessFailed if it dies first or takes too long."""
        return Deferred.fromCoroutine(self._start(timeout))

    def stop(self, grace: float = 15.0) -> Deferred[int | None]:
        """End it with SIGTERM, after `grace` seconds with SIGKILL; fires with its status when it is gone."""
        if self.pid is None:
            return succeed(self.status)
        self.signal("TERM")
        self.resume()
        killer = self.reactor.callLater(grace, self.signal, "KILL")

        def ended(status: int) -> int:
            if killer.active():
                killer.cancel()
            return status

        return self._exit().addCallback(ended)

    def kill(self) -> Deferred[int | None]:
        """End it with SIGKILL; fires when it is gone."""
        if self.pid is None:
            return succeed(self.status)
        self.signal("KILL")
        return self._exit().addCallback(lambda status: status)

    def restart(self, timeout: float = 30.0) -> Deferred[None]:
        """Stop it and start it again with the same arguments (so the same port and data)."""
        return self.stop().addCallback(lambda _: self.start(timeout))

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers."""
        self._paused = True
        self.signal("STOP")

    def resume(self) -> None:
        """Let a frozen process continue."""
        if self._paused:
            self._paused = False
            self.signal("CONT")

    def signal(self, name: str) -> None:
        """Send it a signal, such as "INT"; nothing happens when it does not run."""
        if self.pid is not None:
            try:
                self._process.signalProcess(signal.Signals[f"SIG{name}"])
            except ProcessExitedAlready:
                pass

    def write(self, text: str) -> None:
        """Write to its standard input."""
        self._process.write(text.encode())

    def close_stdin(self) -> None:
        """End its standard input."""
        self._process.closeStdin()

    def wait_for_line(
        self, matches: str | Callable[[str], bool], timeout: float = 15.0, *, seen: bool = True
    ) -> Deferred[str]:
        """Fire with the first line that contains the string, or for which the function is true.

        Fails with ProcessFailed if none comes in time or the process ends.

        :param seen: whether to search the earlier lines, too
        """
        test = _test_of(matches)
        if seen:
            for line in self.lines:
                if test(line):
                    return succeed(line)
        if self.pid is None:
            return fail(self._failure(f"does not run, so no line will match {matches!r}"))
        waiter = _Waiter(test, Deferred())
        self._waiters.append(waiter)
        return self._bounded(waiter.found, timeout, f"printed no line that matches {matches!r}")

    def wait_for_exit(self, timeout: float | None = 15.0) -> Deferred[int]:
        """Fire with its status when it has ended; fail with ProcessFailed if it does not in time.

        :param timeout: seconds; None to wait forever
        """
        if self.pid is None:
            assert self.status is not None, "it was never started"
            return succeed(self.status)
        return self._exit() if timeout is None else self._bounded(self._exit(), timeout, "did not end")

    # How it is done

    async def _start(self, timeout: float) -> None:
        if self.pid is not None:
            raise ProcessFailed(f"{self.name} runs already")
        await self._run(timeout)

    async def _run(self, timeout: float) -> None:
        ready: Deferred[Any]
        self._before_start()
        waiter = _Waiter(_test_of(self.ready_when), Deferred()) if self.ready_when is not None else None
        if waiter is not None:
            self._waiters.append(waiter)
        self.status = None
        self._paused = False
        self.reactor.spawnProcess(
            self,
            sys.executable,
            launched([*self.machine.enter, *self.argv]),
            env=dict(os.environ if self.env is None else self.env),
            path=self.cwd,
        )
        if waiter is not None:
            ready = waiter.found
        else:
            ready = Deferred.fromCoroutine(self._probe())
        try:
            await self._bounded(ready, timeout, "was not ready")
        except BaseException:
            await self.kill()
            raise

    def _before_start(self) -> None:
        """Prepare what the process reads when it starts."""

    async def _probe(self) -> None:
        while not await self._answers():
            if self.pid is None:
                raise self._failure(f"ended with status {self.status} before it was ready")
            await deferLater(self.reactor, 0.03, lambda: None)

    async def _answers(self) -> bool:
        """Return whether the process is serving."""
        return True

    def _exit(self) -> Deferred[int]:
        exited: Deferred[int] = Deferred()
        self._exits.append(exited)
        return exited

    def _bounded(self, awaited: Deferred[Any], timeout: float, what: str) -> Deferred[Any]:
        def timed_out(failure: Failure | Any, seconds: float) -> Any:
            return Failure(self._failure(f"{what} within {seconds:g} s"))

        return awaited.addTimeout(timeout, self.reactor, timed_out)

    def _failure(self, what: str) -> ProcessFailed:
        tail = "\n".join(f"    {line}" for line in list(self.lines)[-40:])
        return ProcessFailed(f"{self.name} {what}; its last output:\n{tail or '    (none)'}")

    # What the process does

    def connectionMade(self) -> None:
        self._process = self.transport
        self.pid = self._process.pid

    def outReceived(self, data: bytes) -> None:
        self._received(1, data)

    def errReceived(self, data: bytes) -> None:
        self._received(2, data)

    def _received(self, stream: int, data: bytes) -> None:
        *lines, self._partial[stream] = (self._partial[stream] + data).split(b"\n")
        for line in lines:
            self._line(stream, line.decode(errors="replace"))

    def _line(self, stream: int, line: str) -> None:
        self.lines.append(line)
        if stream == 1:
            self.out.append(line)
        if self.on_line is not None:
            self.on_line(line, stream == 2)
        for waiter in [waiter for waiter in self._waiters if waiter.found.called or waiter.matches(line)]:
            self._waiters.remove(waiter)
            if not waiter.found.called:
                waiter.found.callback(line)

    def processEnded(self, reason: Failure) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._line(stream, rest.decode(errors="replace"))
        self._partial = {1: b"", 2: b""}
        self.pid = None
        ended: Any = reason.value
        self.status = -ended.signal if ended.signal is not None else ended.exitCode
        waiters, self._waiters = self._waiters, []
        exits, self._exits = self._exits, []
        for waiter in waiters:
            if not waiter.found.called:
                waiter.found.errback(self._failure(f"ended with status {self.status}"))
        for exited in exits:
            if not exited.called:
                exited.callback(self.status)


def _test_of(matches: str | Callable[[str], bool]) -> Callable[[str], bool]:
    if isinstance(matches, str):
        return lambda line: matches in line
    return matches


class PortProcess(DaemonProcess):
    """A process that listens on a port of its own; if another process takes that port first, it is started on another.

    :param port: a fixed port, or None for any free one
    """

    def __init__(
        self, reactor: Any, directory: str, port: int | None, name: str, machine: Machine = THIS_MACHINE
    ) -> None:
        super().__init__(reactor, [name], name=name, cwd=os.path.abspath(directory), machine=machine)
        self.directory = os.path.abspath(directory)
        self._fixed = port is not None
        self.port = port if port is not None else free_port()

    async def _run(self, timeout: float) -> None:
        for left in reversed(range(5)):
            before = len(self.lines)
            try:
                await super()._run(timeout)
            except ProcessFailed:
                output = "\n".join(list(self.lines)[before:])
                if self._fixed or not left or _PORT_TAKEN.search(output) is None:
                    raise
                self.port = free_port()
            else:
                self._fixed = True
                return

    @property
    def address(self) -> str:
        """`host:port`, at which others reach it."""
        return f"{self.machine.address}:{self.port}"

    def _before_start(self) -> None:
        os.makedirs(self.directory, exist_ok=True)
        self.argv = self._command()

    def _command(self) -> list[str]:
        raise NotImplementedError


def require(program: str, package: str) -> str:
    """Return the path of a program.

    :raises MissingProgram: names the Debian package that has it
    """
    found = program if os.path.isabs(program) and os.path.exists(program) else shutil.which(program)
    if found is None:
        raise MissingProgram(f"{program} is not installed: apt-get install {package}")
    return found


def private_file(path: str, text: str) -> None:
    """Write a file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)

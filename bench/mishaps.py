"""Faults of processes, of the connections between them, and of clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.task import deferLater

from bench.faults import Fault
from bench.proxy import Proxy
from tests.harness.processes import DaemonProcess

#: How long a process may take to be ready, beside whatever else fails meanwhile.
STARTED = 180.0


class ProcessFaults:
    """Kills processes (SIGKILL, and starts them after a while), freezes them (SIGSTOP), and restarts them (SIGTERM).

    :param processes: by what they are
    :ivar kinds: see bench.faults.Maker
    """

    every_kind = [
        (action, what)
        for action in ("kill", "freeze", "restart")
        for what in ("server", "route", "redis", "zookeeper", "sentinel")
    ]

    def __init__(self, reactor: Any, processes: Mapping[str, Sequence[DaemonProcess]]) -> None:
        self._reactor = reactor
        self._processes = processes
        self.kinds = [kind for kind in self.every_kind if kind[1] in processes]
        #: What has a fault, of any maker.
        self.busy: set[DaemonProcess] = set()

    def free(self, what: str) -> list[DaemonProcess]:
        """Return the processes of a kind that have no fault."""
        return [process for process in self._processes[what] if process not in self.busy]

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        candidates = self.free(fault.what)
        if not candidates:
            return ""
        process = candidates[int(fault.chance * len(candidates))]
        self.busy.add(process)
        try:
            if fault.action == "kill":
                await process.kill()
                await deferLater(self._reactor, fault.seconds / 3, lambda: None)
                await process.start(STARTED)
            elif fault.action == "freeze":
                process.pause()
                await deferLater(self._reactor, fault.seconds, lambda: None)
                process.resume()
            else:
                await process.stop()
                await process.start(STARTED)
        finally:
            self.busy.discard(process)
        return process.name


class ConnectionFaults:
    """Cuts connections through proxies (reset, and not made again for a while), or mutes them (nothing passes).

    :param proxies: by what the connections are
    """

    kinds = [
        (action, what) for action in ("cut", "mute") for what in ("link", "redis connection", "zookeeper connection")
    ]

    def __init__(self, reactor: Any, proxies: Mapping[str, Sequence[Proxy]]) -> None:
        self._reactor = reactor
        self._proxies = proxies
        self._refusing: set[Proxy] = set()

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker; a muted connection is reset at the end, or all that was held back passes."""
        candidates = [
            (proxy, pair)
            for proxy in self._proxies[fault.what.partition(" ")[0]]
            for pair in proxy.pairs
            if proxy not in self._refusing and not pair.muted
        ]
        if not candidates:
            return ""
        proxy, pair = candidates[int(fault.chance * len(candidates))]
        if fault.action == "cut":
            self._refusing.add(proxy)
            proxy.refusing = True
            pair.cut()
            await deferLater(self._reactor, fault.seconds / 3, lambda: None)
            proxy.refusing = False
            self._refusing.discard(proxy)
        else:
            pair.mute(True)
            await deferLater(self._reactor, fault.seconds, lambda: None)
            if fault.hard:
                pair.cut()
            else:
                pair.mute(False)
        return f"port {proxy.target}{', then reset' if fault.action == 'mute' and fault.hard else ''}"


class ClientFaults:
    """Drops a client's connection, or has a client die and forget what it sent.

    :param afflict: does it to some client
    """

    kinds = [("drop", "client"), ("forget", "client")]

    def __init__(self, afflict: Callable[[Fault], str]) -> None:
        self._afflict = afflict

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        return self._afflict(fault)

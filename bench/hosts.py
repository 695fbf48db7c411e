"""Machines of a cluster on one computer: each a network namespace, joined by a switch whose cables can be cut.

Nothing here has a name that outlives this process, and nothing leaves it: each machine's namespace belongs to a shell
that the kernel kills when this process ends, and with the last process in a namespace the kernel takes down its
interfaces, its firewall and its cables. Traffic between machines has addresses of SUBNET; that of whoever runs them,
which nothing here touches, has addresses of CONTROL.

    machine eth0 === near bridge === slow cable (`bench.switch`) === far bridge === machines that are far away
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO

from bench.switch import READY
from tests.harness.daemons import ROOT
from tests.harness.spawning import Machine, launched

SUBNET, CONTROL = "10.77.0", "10.78.0"
BRIDGES = ("near", "far")
PROGRAMS = {"ip": "iproute2", "iptables": "iptables", "unshare": "util-linux", "nsenter": "util-linux"}
TUN = "/dev/net/tun"
#: Of unshare(2).
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
#: Ends what a shell answers.
_END = "-- end of answer, status"


class NoHosts(Exception):
    """Raised if machines cannot be made here; the message says why, and what to do."""


class CommandFailed(Exception):
    """Raised if a command of a machine fails; the message has the command and its output."""


def unavailable() -> str:
    """Return why no machines can be made here, or nothing."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is not installed: apt-get install {package}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} cannot be opened"
    probe = "ip link add name probe0 type veth peer name probe1 && iptables -w -A INPUT -s 10.0.0.1 -j DROP"
    tried = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", probe], capture_output=True, text=True)
    return f"network namespaces cannot be used: {tried.stderr.strip()}" if tried.returncode else ""


class Shell:
    """A shell in which commands run one after another; it ends with this process.

    :param enter: words before it
    """

    def __init__(self, *enter: str) -> None:
        self._process = subprocess.Popen(
            launched([*enter, "sh"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.pid = self._process.pid
        # The launcher is in its own namespace only now.
        self.run("true")

    def run(self, command: str) -> str:
        """Run a command and return what it wrote.

        :raises CommandFailed: its status was not 0, or the shell is gone
        """
        said, heard = self._process.stdin, self._process.stdout
        assert said is not None and heard is not None
        lines: list[str] = []
        try:
            said.write(f"{command}\necho '{_END}' $?\n")
            said.flush()
        except BrokenPipeError:
            raise CommandFailed(f"the shell that was to run {command!r} has ended") from None
        for line in heard:
            if line.startswith(_END):
                if line.split()[-1] != "0":
                    raise CommandFailed(f"{command}: {''.join(lines).strip()}")
                return "".join(lines)
            lines.append(line)
        raise CommandFailed(f"the shell that ran {command!r} has ended: {''.join(lines).strip()}")

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Network:
    """Machines that reach one another, and the cuts between them. This process becomes the first of them.

    :param own: the name of the machine that this process becomes, for good: call this before it opens a connection
    :param names: the others
    :ivar machines: all by name
    :raises NoHosts: they cannot be made here
    """

    def __init__(self, own: str, names: Sequence[str]) -> None:
        reason = unavailable()
        if reason:
            raise NoHosts(reason)
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET):
            raise NoHosts(f"unshare: {os.strerror(ctypes.get_errno())}")
        # What is mounted from now on is seen here and in what is started here, and goes with it.
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        self._shells = {own: Shell()}
        self._wires: dict[str, str] = {}
        self.machines: dict[str, Machine] = {}
        try:
            self._lay(own, names)
        except CommandFailed as error:
            self.end()
            raise NoHosts(str(error)) from None

    def _lay(self, own: str, names: Sequence[str]) -> None:
        middle = self.middle = Shell("unshare", "--net")
        for bridge in BRIDGES:
            middle.run(f"ip link add name {bridge} type bridge && ip link set dev {bridge} up")
        for number, name in enumerate((own, *names), 1):
            shell = self._shells.get(name) or Shell("unshare", "--net")
            self._shells[name] = shell
            wire = self._wires[name] = f"wire{number}"
            middle.run(f"ip link add name {wire} type veth peer name eth0 netns {shell.pid}")
            middle.run(f"ip link set dev {wire} master near && ip link set dev {wire} up")
            address, control = f"{SUBNET}.{number}", f"{CONTROL}.{number}"
            shell.run(f"ip address add {address}/24 dev eth0 && ip address add {control}/24 dev eth0")
            shell.run("ip link set dev lo up && ip link set dev eth0 up")
            enter = () if name == own else ("nsenter", f"--net=/proc/{shell.pid}/ns/net", "--")
            self.machines[name] = Machine(address, control, "0.0.0.0", enter)

    def lay_cable(self) -> IO[str]:
        """Have a `bench.switch` carry frames between the bridges; return its input, with which it ends."""
        enter = ("nsenter", f"--net=/proc/{self.middle.pid}/ns/net", "--")
        command = [*enter, sys.executable, "-m", "bench.switch", *BRIDGES]
        switch = subprocess.Popen(
            launched(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT
        )
        said, heard = switch.stdin, switch.stdout
        assert said is not None and heard is not None
        if heard.readline().strip() != READY:
            raise CommandFailed("the switch of the slow cable does not run")
        return said

    def drop(self, source: str, target: str, share: float = 1.0) -> Callable[[], object]:
        """Have what one machine sends to another not arrive; return what ends that.

        :param share: how much of it, chosen at random, packet by packet
        """
        some = f" -m statistic --mode random --probability {share:.4f}" if share < 1 else ""
        rule = f"INPUT -s {self.machines[source].address}{some} -j DROP"
        shell = self._shells[target]
        shell.run(f"iptables -w -I {rule}")
        return lambda: shell.run(f"iptables -w -D {rule}")

    def move(self, name: str, far: bool) -> None:
        """Move a machine behind the slow cable, or back."""
        self.middle.run(f"ip link set dev {self._wires[name]} master {'far' if far else 'near'}")
        # Where machines are is learnt anew.
        for bridge in BRIDGES:
            self.middle.run(f"ip link set dev {bridge} type bridge fdb_flush")

    def end(self) -> None:
        """End all machines."""
        for shell in (*self._shells.values(), self.middle):
            shell.end()

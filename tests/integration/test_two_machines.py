"""README's example of two machines, as it is printed there: each is a network namespace, with a cable between them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

from twisted.trial.unittest import SkipTest

from tests.harness.daemons import ROOT, environment
from tests.harness.processes import DaemonProcess
from tests.harness.spawning import require
from tests.integration.cluster_case import ClusterCase

HERE, THERE = "192.168.1.5", "192.168.1.6"
RUN = f"make run ADVERTISE={HERE}"
CLIENT = re.compile(rf"make client NAME=(\w+) ROUTE=https://{re.escape(HERE)}:8083 PIN=(sha256:\S+)")
#: Holds a namespace, and says so; ends when its input does.
HOLD = "echo held; exec cat"


class TwoMachinesTests(ClusterCase):
    """A namespace for the suite and one for its clients; ports are free in both, so they are the usual ones."""

    timeout = 240

    async def setUp(self):
        super().setUp()
        require("make", "make")
        if not os.path.exists(ROOT / ".venv" / "bin" / "cim"):
            raise SkipTest("make has installed nothing in .venv")
        found = all(map(shutil.which, ("ip", "nsenter", "unshare")))
        if not found or subprocess.run(["unshare", "--map-root-user", "--net", "true"], check=False).returncode:
            raise SkipTest("network namespaces cannot be made here")
        self.here = await self.machine("here", "unshare", "--map-root-user", "--net")
        self.there = await self.machine("there", *self.inside(self.here), "unshare", "--net")
        ends = ((self.here, "cim0", HERE), (self.there, "cim1", THERE))
        self.do(self.here, f"ip link add cim0 type veth peer name cim1 netns {self.there.pid}")
        for machine, name, address in ends:
            self.do(machine, f"ip link set lo up && ip address add {address}/24 dev {name} && ip link set {name} up")

    async def machine(self, name, *command):
        process = self.added(
            DaemonProcess(
                self.reactor, [*command, "sh", "-c", HOLD], environment(), self.directory, ready_when="held", name=name
            )
        )
        os.makedirs(self.directory, exist_ok=True)
        await process.start()
        return process

    def inside(self, machine):
        """Return what runs a command on a machine."""
        return ["nsenter", f"--target={machine.pid}", "--user", "--preserve-credentials", "--net"]

    def do(self, machine, command):
        subprocess.run([*self.inside(machine), "sh", "-c", command], check=True, timeout=20)

    def process(self, machine, line, ready, options=""):
        """Return a process that runs a line as somebody types it in the checkout; what it keeps is the test's."""
        command = shlex.split(line)
        if command[0] == "make":
            # What is installed is not the matter here.
            command[1:1] = ["--no-print-directory", "--old-file=.venv/ready"]
            command.append(f"OPTIONS={options}")
        else:
            command += shlex.split(options)
        env = environment()
        # All its ports, as with people.
        del env["CIM_SUITE_WEBSOCKET"]
        process = DaemonProcess(
            self.reactor,
            [*self.inside(machine), *command],
            env,
            str(ROOT),
            ready_when=ready,
            name=" ".join(command[:3]),
        )
        self.processes.append(process)
        # In good order: make ends its children on a SIGTERM alone.
        self.addCleanup(process.stop)
        return process

    def suite(self):
        return self.process(self.here, RUN, "is ready.", f"--data {self.folder('suite')}")

    def client(self, line):
        return self.process(self.there, line, "logged in as", f"--data {self.folder('clients')}")

    async def test_as_it_is_printed(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertIn(f"\n{RUN}\n", readme)
        in_readme = CLIENT.search(readme)
        suite = self.suite()
        await suite.start(60)
        printed = CLIENT.search(await suite.wait_for_line("make client"))
        other = (await suite.wait_for_line("or from anywhere: ")).partition("or from anywhere: ")[2]
        shown = await suite.wait_for_line(lambda line: re.fullmatch("    [a-z2-7]{26}", line) is not None)
        invitation = shown.strip()
        pin = printed[2]
        self.assertRegex(pin, "^sha256:[0-9a-f]{64}$")
        # Nobody is there to be asked.
        alice = self.client(f"{printed[0]} INVITATION={invitation}")
        carol = self.client(f"{in_readme[0].replace(in_readme[2], pin)} INVITATION={invitation}")
        bob = self.client(f"{other.replace('--user alice', '--user bob')} --invitation {invitation}")
        for client in (alice, carol, bob):
            await client.start(60)
        carol.write("hello from there\n")
        for client in (alice, bob):
            await client.wait_for_line("carol: hello from there", 20)
        # Known by now: neither a pin nor an invitation is needed.
        await carol.stop()
        carol = self.client(f"make client NAME=carol ROUTE=https://{HERE}:8083")
        await carol.start(60)
        alice.write("welcome back\n")
        await carol.wait_for_line("alice: welcome back", 20)
        # Another key answers.
        await suite.stop()
        shutil.rmtree(os.path.join(self.folder("suite"), "certificates"))
        await suite.start(60)
        await bob.wait_for_line("does not have the key", 40)
        await carol.stop()
        stranger = self.client(f"make client NAME=carol ROUTE=https://{HERE}:8083")
        stranger.ready_when = "confirms the new key, give --pin"
        await stranger.start(60)
        self.assertNotEqual(await stranger.wait_for_exit(30), 0)
        self.assertIn(f"and not {pin}", "\n".join(stranger.lines))

    async def test_whoever_knows_no_pin(self):
        """Nothing is said to a suite that proves nothing, and no password goes without TLS."""
        suite = self.suite()
        await suite.start(60)
        for scheme, said in (("https", "its pin is sha256:"), ("http", "--insecure")):
            client = self.client(f"make client NAME=alice ROUTE={scheme}://{HERE}:8083")
            client.ready_when = said
            await client.start(60)
            self.assertNotEqual(await client.wait_for_exit(30), 0)
        making = self.process(self.here, "make invitation", "", f"--api-key-file {self.folder('suite')}/api-keys")
        making.ready_when = lambda line: re.fullmatch("[a-z2-7]{26}", line) is not None
        await making.start(60)
        code = next(line for line in making.lines if making.ready_when(line))
        line = f"make client NAME=alice ROUTE=http://{HERE}:8083"
        for invitation, said in (("", "give the code of an invitation"), (f" INVITATION={code}", "logged in as alice")):
            client = self.process(
                self.there, line + invitation, said, f"--data {self.folder('clients')} --insecure --pin first"
            )
            await client.start(60)

"""`twistd cim-client` as a process: its streams, its exit status, what it leaves behind. Against a suite of its own."""

from __future__ import annotations

import os

from twisted.trial.unittest import TestCase

from tests.harness.daemons import Daemon, environment, loopback, twistd
from tests.harness.spawning import DaemonProcess, free_port


class Streams(DaemonProcess):
    """A client, with its standard error apart."""

    def __init__(self, reactor, arguments, cwd, data):
        self.err = []
        # As people type it: neither -n nor --pidfile.
        argv = [*twistd()[:2], "cim-client", *arguments]
        surroundings = environment({"XDG_DATA_HOME": data})
        super().__init__(reactor, argv, surroundings, cwd, name="cim-client", on_line=self.heard)

    def heard(self, line, is_error):
        if is_error:
            self.err.append(line)


class ClientCase(TestCase):
    timeout = 120
    options = ()

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.directory = self.mktemp()
        os.makedirs(self.directory)
        self.data = os.path.abspath(self.mktemp())
        http = free_port()
        arguments = ("cim", "--data", "data", "--listen", loopback(free_port()), "--http", loopback(http))
        self.suite = Daemon(reactor, "suite", http, arguments, self.mktemp(), None)
        self.addCleanup(self.suite.stop)
        await self.suite.start()

    async def client(self, user, *options, logged_in=True):
        arguments = ("--route", self.suite.url, "--user", user, *self.options, *options)
        client = Streams(self.reactor, arguments, self.directory, self.data)
        self.addCleanup(client.stop)
        await client.start()
        if logged_in:
            await client.wait_for_line("logged in as")
        return client


class EitherTests:
    """What holds for users with passwords and for guests."""

    async def test_piped_lines_arrive_in_order_and_nothing_else_is_printed(self):
        bob = await self.client("bob", "--stay")
        alice = await self.client("alice")
        texts = [f"第 {n} line 👋" for n in range(100)]
        alice.write("\n".join(texts))
        alice.close_stdin()
        self.assertEqual(await alice.wait_for_exit(60), 0)
        await bob.wait_for_line("alice: " + texts[-1])
        self.assertEqual(list(bob.out), [f"alice: {text}" for text in texts])
        self.assertEqual(list(alice.out), [])
        self.assertEqual(len(alice.err), 1)
        self.assertEqual(os.listdir(self.directory), [])

    async def test_private_online_and_leaving(self):
        bob = await self.client("bob")
        alice = await self.client("alice")
        alice.write(":olu\n")
        await alice.wait_for_line("2 online")
        [bobs] = [line.split()[0] for line in alice.out if line.endswith(" bob")]
        alice.write(f"{bobs};;just you\nbob;;no id\n")
        await bob.wait_for_line("alice: just you")
        await alice.wait_for_line("is not a user id")
        alice.write(":q!\n")
        self.assertEqual(await alice.wait_for_exit(), 0)
        bob.write(f"{bobs};;me\n:olu\n")
        await bob.wait_for_line("1 online")
        bob.write(":q\n")
        self.assertEqual(await bob.wait_for_exit(), 0)

    async def test_signals_end_it_quietly_and_log_it_out(self):
        for signal in ("INT", "TERM", "HUP"):
            client = await self.client("bob")
            client.signal(signal)
            self.assertEqual(await client.wait_for_exit(), 0)
            self.assertEqual(len(client.lines), 1)

    async def test_bad_options_end_it_with_status_1(self):
        client = await self.client("", logged_in=False)
        self.assertEqual(await client.wait_for_exit(), 1)

    async def test_a_slow_reader_of_the_output_loses_nothing(self):
        slow = await self.client("bob", "--stay")
        process = slow._process
        process.pipes[1].stopReading()
        alice = await self.client("alice")
        count = 100
        alice.write("".join(f"{n} {'x' * 3000}\n" for n in range(count)))
        alice.close_stdin()
        self.assertEqual(await alice.wait_for_exit(60), 0)
        process.pipes[1].startReading()
        await slow.wait_for_line(f"alice: {count - 1} ")
        self.assertEqual([int(line.split()[1]) for line in slow.out], list(range(count)))


class UserTests(EitherTests, ClientCase):
    async def test_a_second_one_of_the_same_folder_is_another_device(self):
        """Both are online, and both get what is said, once."""
        first = await self.client("bob", "--stay")
        second = await self.client("bob", "--stay")
        alice = await self.client("alice")
        alice.write("@bob to all of you\n:q\n")
        self.assertEqual(await alice.wait_for_exit(), 0)
        for client in (first, second):
            await client.wait_for_line("to all of you")
            self.assertEqual(len(client.out), 1)

    async def test_a_name_that_somebody_else_has(self):
        await self.client("bob")
        self.data += "-elsewhere"
        other = await self.client("bob", logged_in=False)
        self.assertEqual(await other.wait_for_exit(), 1)
        self.assertIn("choose another", "\n".join(other.err))
        kept = [name for _, _, names in os.walk(self.data) for name in names]
        self.assertNotIn("password", kept)

    async def test_what_was_missed_comes_in_the_next_run(self):
        bob = await self.client("bob")
        bob.write(":q\n")
        await bob.wait_for_exit()
        alice = await self.client("alice")
        alice.write("@bob when you are back\n:q\n")
        self.assertEqual(await alice.wait_for_exit(), 0)
        again = await self.client("bob", "--stay")
        await again.wait_for_line("alice: when you are back")
        again.write(":q when you\n")
        await again.wait_for_line("#1 ")


class GuestTests(EitherTests, ClientCase):
    options = ("--guest",)

    async def test_a_refused_second_login_says_why_and_ends_with_status_1(self):
        await self.client("bob")
        second = await self.client("bob", logged_in=False)
        self.assertEqual(await second.wait_for_exit(), 1)
        self.assertEqual(list(second.out), [])
        self.assertEqual(len(second.err), 1)
        self.assertIn("Repeat login", second.err[0])

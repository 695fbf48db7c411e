from __future__ import annotations

import os
import stat

from twisted.internet.defer import gatherResults

from tests.examples.suite_case import SuiteCase


class EchoBotTests(SuiteCase):
    example_name = "echo_bot"

    async def test_it_answers_each_message_once(self):
        bot = self.example(self.example_name, "--user", "echo")
        await bot.start()
        alice, inbox = await self.user("alice")
        echo = await alice.user("echo")
        said = [f"第 {n} 👋\nline" for n in range(50)]
        for text in said:
            await alice.send(echo, text)
        await inbox.texts(*said)

    async def test_it_answers_what_was_said_while_it_did_not_run_and_nothing_twice(self):
        bot = self.example(self.example_name, "--user", "echo")
        await bot.start()
        alice, inbox = await self.user("alice")
        echo = await alice.user("echo")
        await alice.send(echo, "one")
        await inbox.texts("one")
        await bot.kill()
        await alice.send(echo, "two")
        await bot.start()
        await inbox.texts("one", "two")
        await alice.send(echo, "three")
        await inbox.texts("one", "two", "three")

    async def test_what_it_keeps_is_its_users_alone(self):
        bot = self.example(self.example_name, "--user", "echo")
        await bot.start()
        [system] = os.listdir(os.path.join(self.directory, "share", "cim"))
        folder = os.path.join(self.directory, "share", "cim", system, "echo")
        self.assertIn("password", os.listdir(folder))
        self.assertIn("history.db", os.listdir(folder))
        for name in os.listdir(folder):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode), 0o600)

    async def test_a_name_that_is_taken(self):
        await self.user("alice")
        bot = self.example(self.example_name, "--user", "alice", online=f"{self.example_name}: ")
        await bot.start()
        self.assertEqual(await bot.wait_for_exit(), 1)
        self.assertEqual([line for line in bot.lines if "Traceback" in line], [])

    async def test_it_ends_when_told(self):
        bot = self.example(self.example_name, "--user", "echo")
        await bot.start()
        bot.signal("INT")
        await bot.wait_for_exit()
        self.assertEqual([line for line in bot.lines if "Traceback" in line], [])


class AioEchoTests(EchoBotTests):
    example_name = "aio_echo"


class KilledTests(SuiteCase):
    async def test_it_answers_each_message_once_whatever_is_killed_when(self):
        bot = self.example("echo_bot", "--user", "echo")
        await bot.start()
        alice, inbox = await self.user("alice")
        echo = await alice.user("echo")
        said = [f"line {n}" for n in range(400)]
        sending = [alice.send(echo, text) for text in said]
        for answered in (20, 150, 300):
            await inbox.when(lambda messages, n=answered: sum(not m.mine for m in messages) >= n)
            await bot.kill()
            await bot.start()
        await gatherResults(sending)
        await alice.send(echo, "end")
        await inbox.when(lambda messages: messages[-1].text == "end" and not messages[-1].mine)
        self.assertEqual([m.text for m in inbox.messages if not m.mine], [*said, "end"])


class GroupTests(SuiteCase):
    async def test_in_groups_it_answers_to_its_name_alone(self):
        for name in ("echo", "parrot"):
            await self.example("echo_bot", "--user", name).start()
        alice, inbox = await self.user("alice")
        group = await alice.create_group("talk")
        for name in ("echo", "parrot"):
            await alice.invite(group.id, (await alice.user(name)).id)
        while len(await alice.members(group.id)) < 3:  # they accept
            pass
        await alice.send(f"g:{group.id}", "hello all")
        await alice.send(f"g:{group.id}", "@echo @parrot hello you")
        await inbox.texts("@parrot hello you", "hello you")

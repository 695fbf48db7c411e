"""Clusters that are upgraded while their members talk: every daemon is replaced, one after the other."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cim.client.client import Client
from cim.client.values import Password
from cim.errors import Forbidden
from cim.store.redis.schema import NEWEST
from cim.wire import conversations
from tests.client.client_case import Listener
from tests.harness.daemons import ROOT, environment
from tests.harness.releases import checkout
from tests.integration.cluster_case import STARTED, ClusterCase
from tests.long import SKIP

#: What only routes say that number what they store.
SCHEMA = "Redis has schema"


class UpgradeCase(ClusterCase):
    """Two servers and two routes of a release, and members who talk in pairs and in a group."""

    skip = SKIP
    timeout = 600
    #: Options of all routes, of all releases.
    routes = ("--login-policy", "many")

    async def start(self, folder, *without):
        """Start the cluster.

        :param folder: where the release's files are
        :param without: options that the release does not know, each with a value
        """
        await self.stores()
        self.daemons = [*(self.route(*self.routes) for _ in range(2)), *(self.server() for _ in range(2))]
        for daemon in self.daemons:
            daemon.env = environment({"PYTHONPATH": folder})
            self.remove(daemon, *without)
        await self.started(*self.daemons)
        await self.all_linked()
        urls = [route.url for route in self.daemons[:2]]
        self.members = [self.member(f"member{number}", urls) for number in range(6)]
        await gatherResults([member.when_ready() for member in self.members])
        owner = self.members[0]
        group = await owner.create_group("all of them", open=True)
        self.group = conversations.group(group.id)
        for member in self.members[1:]:
            await member.join(group.id)
        self.said = {}
        self.going = True
        self.talking = gatherResults([Deferred.fromCoroutine(self.talk(number)) for number in range(6)])

    @staticmethod
    def remove(daemon, *options):
        """Take options and their values away."""
        for option in options:
            if option in daemon.argv:
                at = daemon.argv.index(option)
                del daemon.argv[at : at + 2]

    async def all_linked(self):
        await self.linked(self.daemons[2:], self.daemons[:2])

    def member(self, name, urls):
        client = Client(self.reactor, urls, Password(name, f"password of {name}", create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def talk(self, number):
        """Say one thing after the other, to the next member and to the group, without waiting for answers."""
        sender, receiver = self.members[number], self.members[(number + 1) % 6]
        private = conversations.private(sender.me.id, receiver.me.id)
        said = {private: [], self.group: []}
        self.said[number] = said
        waiting = []
        while self.going:
            for conversation, texts in said.items():
                texts.append(f"{sender.me.name} {len(texts)}")
                waiting.append(sender.send(conversation, texts[-1]))
            await deferLater(self.reactor, 0.2)
        await gatherResults(waiting, consumeErrors=True)

    def release(self, commit):
        """Return the folder of the files of a release."""
        folder = self.folder("release")
        checkout(commit, folder)
        return folder

    async def replace(self, daemon, *options, remove=(), folder=ROOT, linked=True):
        """Stop a daemon, and start another release in its place.

        :param folder: where its files are; this release's by default
        """
        self.assertEqual(await daemon.stop(), 0, daemon.name)
        daemon.env = environment({"PYTHONPATH": str(folder)})
        daemon.argv += options
        for option in remove:
            daemon.argv.remove(option)
        await self.started(daemon)
        if linked:
            await self.all_linked()

    async def all_was_heard(self):
        """Stop talking once enough is said, and find that everybody has heard everything once and in order."""
        await self.until(
            lambda: min(len(texts) for said in self.said.values() for texts in said.values()),
            lambda least: least > 30,
            "they talk",
        )
        self.going = False
        await self.talking
        for number, said in self.said.items():
            sender = self.members[number]
            for conversation, texts in said.items():
                hearers = self.members if conversation == self.group else [self.members[(number + 1) % 6]]
                for hearer in hearers:

                    def heard(hearer=hearer, sender=sender, conversation=conversation):
                        return [
                            message.text
                            for message in hearer.heard.messages
                            if message.conversation == conversation and message.sender.id == sender.me.id
                        ]

                    count = len(texts)
                    await self.until(heard, lambda found, n=count: len(found) >= n, "all was heard", STARTED)
                    self.assertEqual(heard(), texts)


class RollingUpgradeTests(UpgradeCase):
    async def test_to_a_release_with_another_schema(self):
        """Routes of this release stop when the first route of the next one has changed what is in Redis."""
        folder = Path(self.folder("next"))
        for part in ("cim", "twisted"):
            shutil.copytree(ROOT / part, folder / part)
        for name, before, after in (
            ("schema.py", f"NEWEST = {NEWEST}", f"NEWEST = {NEWEST + 1}"),
            ("store.py", "(forms.index_all, ", "(forms.index_all, forms.index_all, "),
        ):
            path = folder / "cim" / "store" / "redis" / name
            self.assertIn(before, path.read_text())
            path.write_text(path.read_text().replace(before, after))
        await self.start(ROOT)
        new, old, *servers = self.daemons
        await self.replace(new, folder=folder, linked=False)

        async def trouble():
            return (await self.trouble(old))[1].get("store", "")

        complaint = f"it has schema {NEWEST + 1}, and this release knows schemas up to {NEWEST}"
        await self.until(trouble, lambda found: complaint in found, "it notices")
        await deferLater(self.reactor, 3)
        for daemon in (old, *servers):
            await self.replace(daemon, folder=folder)
        self.assertEqual(sum(complaint in line for line in old.lines), 1)
        await self.all_was_heard()

    async def test_from_the_release_before_schemas_had_numbers(self):
        await self.start(self.release("9ddba7d8"))
        self.assertFalse(any(SCHEMA in line for daemon in self.daemons for line in daemon.lines))
        new, old, *servers = self.daemons
        await self.replace(new)
        # Who comes through an old route while a new one is there is found, too.
        late = self.member("member of late", [old.url])
        await late.when_ready()
        for daemon in (old, *servers):
            await self.replace(daemon)
        self.assertTrue(any(SCHEMA in line for line in new.lines))
        await self.all_was_heard()
        await self.until(late.groups, lambda groups: groups == [], "it is back")
        found = await self.members[0].find("MEM")
        self.assertEqual([user.name for user in found], ["member of late", *(f"member{n}" for n in range(1, 6))])

    async def test_from_the_first_release(self):
        """Its links are not sealed, and it does not ask before it adds to a group."""
        await self.start(self.release("93fa1d3"), "--limit-address-online")
        unsealed = "--accept-unsealed-links"
        for daemon in self.daemons:
            await self.replace(daemon, unsealed)
            if daemon is self.daemons[1]:
                self.assertEqual(await self.metric(daemon, "cim_links_unsealed"), 2)
        for daemon in self.daemons:
            self.assertEqual(await self.metric(daemon, "cim_links_unsealed"), 0)
        for daemon in self.daemons:
            await self.replace(daemon, remove=[unsealed])
        await self.all_was_heard()

    async def test_from_the_last_release(self):
        """Its routes stop; what those of this release tell of a group is heard through its servers, too."""
        folder = self.release("72cea97d")
        await self.start(folder)
        new, old, *servers = self.daemons
        await self.replace(new, linked=False)
        leader, quiet = (self.member(f"member who {does}", [new.url]) for does in ("leads", "is quiet"))
        await gatherResults([leader.when_ready(), quiet.when_ready()])
        group = await leader.create_group("calm", open=True)
        await quiet.join(group.id)
        await leader.mute(group.id, quiet.me.id)
        await leader.edit_group(group.id, open=False)
        await leader.ban(group.id, quiet.me.id)
        for daemon in (old, *servers):
            await self.replace(daemon)
        await self.until(quiet.groups, lambda groups: groups == [], "it is back")
        with self.assertRaises(Forbidden):
            await quiet.join(group.id)
        await leader.unban(group.id, quiet.me.id)
        await leader.invite(group.id, quiet.me.id)
        await quiet.accept(group.id)
        await leader.mute(group.id)
        await self.until(
            lambda: {one.what for members in leader.heard.changes for one in members.changes},
            lambda happened: happened >= {"open", "muted", "banned", "unbanned", "accepted"},
            "all is heard",
        )
        await self.all_was_heard()

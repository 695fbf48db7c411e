"""What must be found in a store that an earlier release filled."""

from __future__ import annotations

import base64

from attrs import evolve

from cim.errors import Conflict
from cim.model import Append, Retention, Sanction
from cim.names import comparison_form
from cim.route.http.passwords import strong_hasher
from cim.wire import native
from cim.wire.cim_pb2 import TEXT, Kind, Send

#: Nothing that a release stored is too old.
RETENTION = Retention(days=36_500, count=10_000)


class EarlierContract:
    """Mix into a TestCase with `release`, the name of a release, and `store`, which is opened on what that stored.

    :ivar told: what the release says that it stored
    """

    async def finds_everything(self):
        await self.finds_accounts()
        await self.finds_conversations()
        await self.finds_groups()
        await self.finds_repetitions()
        await self.goes_on()

    async def finds_accounts(self):
        store, told = self.store, self.told
        for name, (id, password) in told["accounts"].items():
            account = await store.accounts.named(name)
            self.assertEqual((account.id, account.name), (id, name))
            self.assertEqual(await store.accounts.account(id), account)
            credential = await store.credentials.credential(id)
            self.assertTrue(strong_hasher().verify(credential.password, password))
            self.assertIn(account, (await store.accounts.people(comparison_form(name[:3]), limit=100)).items)
            self.assertIsNone(credential.ban)
        for id in told.get("suspended", ()):
            self.assertEqual(evolve((await store.credentials.credential(id)).ban, since=0), Sanction())
        for name, id in told["guests"].items():
            self.assertEqual((await store.accounts.register(name)).id, id)
            self.assertIsNone(await store.credentials.credential(id))
            people = (await store.accounts.people(comparison_form(name), limit=100)).items
            self.assertNotIn(id, [one.id for one in people])
        self.assertTrue(await store.accounts.guests())
        # No new account looks like an old one.
        for name in (*told["accounts"], *told["guests"]):
            if name.swapcase() not in (name, *told["accounts"]):
                await self.assertFailure(store.accounts.register(name.swapcase()), Conflict)
                alike = await store.accounts.known_as(name.swapcase())
                self.assertEqual(alike.name.casefold(), name.casefold())

    async def finds_conversations(self):
        for name, heads in self.told["conversations"].items():
            user = self.told["accounts"][name][0]
            found = {head.conversation: head for head in (await self.store.conversations.heads(user, "new")).heads}
            for told in heads:
                head = found[told["conversation"]]
                self.assertEqual((head.latest, head.read), (told["latest"], told["read"]))
                self.assertEqual(head.active // 1000, told["active"] // 1000)
                self.assertEqual(head.unread, unread(self.told, name, told))
        for where, messages in self.told["pages"].items():
            name, conversation = where.split(" ")
            page = await self.store.conversations.read(conversation, limit=500)
            found = {entry.position: native.parse_body(entry.body) for entry in page.entries}
            # Texts are found as they stand.
            edits = {one["ref"]: one["text"] for one in messages if one["kind"] == "EDIT"}
            for message in messages:
                said = found[message["position"]]
                self.assertEqual(
                    (said.sender, said.sender_name, said.text, Kind.Name(said.kind), said.ref, said.client_id),
                    (
                        *(message["sender"], message["sender_name"]),
                        edits.get(message["position"], message["text"]),
                        *(message["kind"], message["ref"], message["client_id"]),
                    ),
                )
                self.assertEqual(said.edited, message["position"] in edits)
                self.assertEqual(said.data, base64.b64decode(message["data"]))

    async def finds_groups(self):
        for name, groups in self.told["groups"].items():
            user = self.told["accounts"][name][0]
            joined = {member.group for member in (await self.store.groups.memberships(user)).members}
            self.assertEqual(joined, {told["group"]["id"] for told in groups})
            for told in groups:
                group = await self.store.groups.group(told["group"]["id"])
                for fact, value in told["group"].items():
                    self.assertEqual(getattr(group, fact), value)
                members = await self.store.groups.members(group.id)
                self.assertEqual(
                    [(member.user, member.role.name.lower()) for member in members],
                    [(member["user"], member["role"]) for member in told["members"]],
                )
        for name, invitations in self.told.get("invitations", {}).items():
            found = await self.store.invitations.waiting(self.told["accounts"][name][0])
            self.assertEqual(
                {(one.group, one.by) for one in found},
                {(told["group"]["id"], told["by"]["id"]) for told in invitations},
            )
        for name, blocks in self.told.get("blocks", {}).items():
            self.assertEqual(list(await self.store.blocks.blocked(self.told["accounts"][name][0])), blocks)

    def said(self):
        """Yield what users have said: the conversation, and the message."""
        for where, messages in self.told["pages"].items():
            name, conversation = where.split(" ")
            for message in messages:
                if message["sender_name"] == name and message["client_id"]:
                    yield conversation, message

    def repeated(self, conversation, message, text):
        send = Send(client_id=message["client_id"], text=text, kind=Kind.Value(message["kind"]), ref=message["ref"])
        sent_at, sender = self.now(), message["sender"]
        body = native.body_of(send, sender, message["sender_name"], sent_at)
        return Append(conversation, sender, send.client_id, native.digest(send), body, sent_at, send.kind == TEXT)

    async def finds_repetitions(self):
        edited = {message["ref"] for _, message in self.said() if message["kind"] != "TEXT"}
        for conversation, message in self.said():
            again = [self.repeated(conversation, message, text) for text in (message["text"], "something else")]
            same, other = await self.store.conversations.append(again)
            if message["position"] not in edited:
                self.assertEqual((same.repeated, same.position), (True, message["position"]))
            self.assertIsInstance(other, Conflict)

    async def goes_on(self):
        """What is said and made now comes behind what was there."""
        for told in self.told["conversations"].get("carol", ()):
            carol = self.told["accounts"]["carol"][0]
            send = Send(client_id="new", text="something new")
            body = native.body_of(send, carol, "carol", self.now())
            item = Append(told["conversation"], carol, "new", native.digest(send), body, self.now())
            [stored] = await self.store.conversations.append([item])
            self.assertEqual((stored.previous, stored.repeated), (told["latest"], False))
            page = await self.store.conversations.read(told["conversation"], after=told["latest"], limit=10)
            self.assertEqual([entry.position for entry in page.entries], [stored.position])
        made = await self.store.credentials.create("somebody new", "hash")
        self.assertGreater(made.id, max([0, *self.told["guests"].values()]))


def unread(told, name, head):
    """Return how many messages are unread: what others said after the mark and did not recall."""
    messages = told["pages"][f"{name} {head['conversation']}"]
    recalled = {message["ref"] for message in messages if message["kind"] == "RECALL"}
    return sum(
        message["kind"] == "TEXT"
        and message["sender_name"] != name
        and place(message["position"]) > place(head["read"])
        and message["position"] not in recalled
        for message in messages
    )


def place(position):
    """Return the numbers of a position."""
    return tuple(map(int, position.split("-"))) if position else (0, 0)

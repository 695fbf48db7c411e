"""Helpers for tests of stores of conversations."""

from __future__ import annotations

from cim.model import Append, Mark, Retention
from cim.wire import conversations, native
from cim.wire.cim_pb2 import EDIT, TEXT, Send

ALICE, BOB, CAROL = 1001, 1002, 1003
TALK = conversations.private(ALICE, BOB)
#: The retention that stores under these contracts are made with.
RETENTION = Retention(days=30, count=500)
DAY = 86_400


class Conversing:
    """Mix into a TestCase whose setUp makes `self.store` with RETENTION on the clock that `self.now()` tells in ms.

    `let_pass(seconds)` moves the store's clock.
    """

    numbers = 0

    @property
    def conversations(self):
        return self.store.conversations

    def item(
        self, text="hello", *, sender=ALICE, conversation=TALK, client_id="", sent_at=0, counts=True, ref="", **more
    ):
        if not client_id:
            self.numbers += 1
            client_id = f"client-{self.numbers}"
        send = Send(client_id=client_id, text=text, kind=EDIT if ref else TEXT, ref=ref)
        sent_at = sent_at or self.now()
        body = native.body_of(send, sender, f"user {sender}", sent_at)
        return Append(conversation, sender, client_id, native.digest(send), body, sent_at, counts, **more)

    async def append(self, *args, **kwargs):
        return (await self.conversations.append([self.item(*args, **kwargs)]))[0]

    async def say(self, *texts, **options):
        """Append texts, and return their positions."""
        results = await self.conversations.append([self.item(text, **options) for text in texts])
        return [result.position for result in results]

    async def chat(self, count):
        """Have ALICE say so much, of which BOB reads all, and return the positions."""
        said = []
        while len(said) < count:
            said += await self.say(*["."] * min(100, count - len(said)))
            await self.reads(said[-1], BOB)
        return said

    def texts(self, page):
        return [native.parse_body(entry.body).text for entry in page.entries]

    async def read(self, conversation=TALK, *, limit=100, **where):
        return await self.conversations.read(conversation, limit=limit, **where)

    async def head(self, user=ALICE, device="phone"):
        """Return the only head, or None."""
        page = await self.conversations.heads(user, device)
        self.assertTrue(len(page.heads) < 2, page)
        return page.heads[0] if page.heads else None

    async def unread(self, user=ALICE, conversation=TALK):
        page = await self.conversations.heads(user, "nothing")
        return {head.conversation: head.unread for head in page.heads}.get(conversation)

    async def received(self, position, user=ALICE, device="phone", conversation=TALK, floor=""):
        return (await self.conversations.mark([Mark(user, device, conversation, position, floor)]))[0]

    async def reads(self, position, user=ALICE, conversation=TALK, floor=""):
        return (await self.conversations.mark([Mark(user, None, conversation, position, floor)]))[0]

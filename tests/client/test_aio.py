"""Tests of the asyncio client over a fake client; tests.integration.test_aio runs it in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import inspect

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cim.client.aio import PAUSE_AT, RESUME_AT, AsyncClient, Stands, running_reactor
from cim.client.client import Client
from cim.client.values import (
    Change,
    Invitation,
    Members,
    Message,
    Presence,
    Receipt,
    Removed,
    Sent,
    State,
    Typing,
    User,
)
from cim.errors import Forbidden
from tests.client.surface import METHODS, arguments


def message(n):
    return Message("g:7", f"1-{n}", User(2, "bob"), n, str(n))


SENT = Sent("c", "g:7", "1-1", 1)


class Played:
    """The needed part of a Client; other methods return their arguments."""

    def __init__(self):
        self.listeners = []
        self.state = State.READY
        self.me = User(1, "alice")
        self.paused = 0
        self.pauses = 0
        self.refusal = None

    def add_listener(self, listener):
        self.listeners.append(listener)

    def remove_listener(self, listener):
        self.listeners.remove(listener)

    def pause_receiving(self):
        self.paused += 1
        self.pauses += 1

    def resume_receiving(self):
        self.paused -= 1

    def close(self):
        self.state = State.CLOSED
        self.say("state", State.CLOSED, "closed")
        return succeed(None)

    def refuse(self, error):
        self.refusal = error
        self.close()

    def when_closed(self):
        return succeed(None) if self.refusal is None else fail(self.refusal)

    def watch(self, users):
        self.watched = users

    def say(self, what, *arguments):
        for listener in list(self.listeners):
            getattr(listener, what)(self, *arguments)

    def come(self, *numbers):
        for n in numbers:
            self.say("received", message(n))

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(name)
        return lambda *args, **kwargs: succeed((name, args, kwargs))


class AsyncClientTests(SynchronousTestCase):
    def setUp(self):
        self.played = Played()
        self.client = AsyncClient(self.played)

    def run_(self, main):
        return asyncio.run(asyncio.wait_for(main(), 10))

    def test_results_and_failures(self):
        async def main():
            self.played.send = lambda *args, **kwargs: succeed(SENT)
            self.assertEqual(await self.client.send(7, "hi"), SENT)
            self.played.send = lambda *args, **kwargs: fail(Forbidden())
            with self.assertRaises(Forbidden):
                await self.client.send(7, "hi")
            waiting = Deferred()
            self.played.send = lambda *args, **kwargs: waiting
            sending = asyncio.create_task(self.client.send(7, "hi"))
            await asyncio.sleep(0)
            self.assertFalse(sending.done())
            waiting.callback(SENT)
            self.assertEqual(await sending, SENT)

        self.run_(main)

    def test_it_has_all_methods_of_a_client(self):
        # The last two are called by full streams.
        for name in METHODS.keys() - {"pause_receiving", "resume_receiving"}:
            mine, theirs = getattr(AsyncClient, name), METHODS[name]
            self.assertEqual(arguments(inspect.signature(mine)), arguments(theirs), name)
            self.assertEqual(mine.__doc__, getattr(Client, name).__doc__)
            returned = inspect.signature(mine).return_annotation
            if inspect.iscoroutinefunction(mine):
                returned = f"Deferred[{returned}]"
            self.assertEqual(returned, theirs.return_annotation, name)

    def test_calls_are_passed_on(self):
        async def main():
            c = self.client
            for called, expected in (
                (c.send("g:7", "x", client_id="a"), ("send", "g:7", "x", {"client_id": "a"})),
                (c.recall("g:7", "1-1"), ("recall", "g:7", "1-1")),
                (c.edit("g:7", "1-1", "x"), ("edit", "g:7", "1-1", "x")),
                (c.react("g:7", "1-1", "x"), ("react", "g:7", "1-1", "x")),
                (c.conversations(), ("conversations",)),
                (c.history("g:7", "1-1", 5), ("history", "g:7", "1-1", 5)),
                (c.search("x", 5), ("search", "x", 5)),
                (c.user("x"), ("user", "x")),
                (c.find("xyz"), ("find", "xyz")),
                (c.online("x", "a", 5), ("online", "x", "a", 5)),
                (c.groups(), ("groups",)),
                (c.create_group("x", open=True), ("create_group", "x", {"open": True})),
                (c.members(7), ("members", 7)),
                (c.join(7), ("join", 7)),
                (c.leave(7), ("leave", 7)),
                (c.invite(7, 2), ("invite", 7, 2)),
                (c.remove(7, 2), ("remove", 7, 2)),
                (c.when_ready(), ("when_ready",)),
            ):
                name, args, kwargs = await called
                words = [word for word in expected if not isinstance(word, dict)]
                self.assertEqual([name, *args], words)
                for key, value in next((word for word in expected if isinstance(word, dict)), {}).items():
                    self.assertEqual(kwargs[key], value)
            self.assertIsNone(await c.when_closed())
            c.watch([2, 3])
            self.assertEqual(self.played.watched, [2, 3])
            self.assertIsNone(await c.watch([4]))
            self.assertEqual(self.played.watched, [4])
            self.assertEqual((c.state, c.me), (State.READY, User(1, "alice")))

        self.run_(main)

    def test_the_first_stream_has_earlier_events(self):
        async def main():
            self.played.come(*range(PAUSE_AT + 5))
            self.played.say("receipt", Receipt("g:7", 2, "1-1"))
            messages, others = self.client.messages(), self.client.messages()
            self.assertEqual(self.played.paused, 0)
            self.played.come(9999)
            await self.client.close()
            got = [said.sent_at async for said in messages]
            self.assertEqual(got, [*range(7, PAUSE_AT + 5), 9999])
            self.assertEqual([said.sent_at async for said in others], [9999])

        self.run_(main)

    def test_the_reason_of_a_failed_client_is_raised(self):
        async def main():
            messages, left = self.client.messages(), self.client.messages()
            self.played.come(1)
            self.played.refuse(Forbidden("replaced"))
            for stream in (messages, self.client.messages()):
                with self.assertRaisesRegex(Forbidden, "replaced"):
                    async for said in stream:
                        self.assertEqual(said, message(1))
            await left.aclose()
            self.assertEqual([said async for said in left], [])
            early = AsyncClient(self.played)
            self.played.say("state", State.CLOSED, "")
            with self.assertRaises(Forbidden):
                await anext(early.messages())

        self.run_(main)

    def test_messages_from_the_call_on_until_the_client_closes(self):
        async def main():
            self.client.events()
            self.played.come(1)
            messages = self.client.messages()
            self.played.come(2, 3)
            self.played.say("receipt", Receipt("g:7", 2, "1-1"))
            got = []
            async for said in messages:
                got.append(said.text)
                if said.text == "3":
                    asyncio.get_running_loop().call_soon(self.played.come, 4)
                if said.text == "4":
                    self.played.come(5)
                    await self.client.close()
            self.assertEqual(got, ["2", "3", "4", "5"])
            self.assertEqual([said async for said in self.client.messages()], [])

        self.run_(main)

    def test_events_are_of_every_kind(self):
        async def main():
            events = self.client.events()
            self.played.come(1)
            others = {
                "receipt": Receipt("g:7", 2, "1-1"),
                "typing": Typing("g:7", 2),
                "presence": Presence(2, True),
                "members": Members(7, "g:7", "1-2", 5, (Change("joined", 2, 2),)),
                "invited": Invitation(8, "team", User(2, "bob"), 6),
                "removed": Removed(8, "banned", 2),
            }
            for what, event in others.items():
                self.played.say(what, event)
            await self.client.close()
            said = [event async for event in events]
            self.assertEqual(said, [message(1), *others.values(), Stands(State.CLOSED, "closed")])

        self.run_(main)

    def test_a_stream_without_references_is_dropped(self):
        async def main():
            self.played.come(1)
            kept = self.client.messages()
            for stream in (self.client.messages(), self.client.messages()):
                self.played.come(1)
                async for _ in stream:
                    break
            del stream
            gc.collect()
            self.assertEqual(len(self.played.listeners), 2)
            await kept.aclose()
            self.assertEqual(len(self.played.listeners), 1)
            self.assertEqual([said async for said in kept], [])

        self.run_(main)

    def test_nothing_is_read_while_a_stream_is_full(self):
        async def main():
            one, other = self.client.messages(), self.client.messages()
            self.played.come(*range(PAUSE_AT - 1))
            self.assertEqual(self.played.paused, 0)
            self.played.come(*range(PAUSE_AT - 1, PAUSE_AT + 5))
            self.assertEqual(self.played.paused, 1)
            got = [(await anext(one)).sent_at for _ in range(PAUSE_AT + 5)]
            self.assertEqual(got, list(range(PAUSE_AT + 5)))
            self.assertEqual(self.played.paused, 1)
            for _ in range(PAUSE_AT + 5 - RESUME_AT):
                self.assertEqual(self.played.paused, 1)
                await anext(other)
            self.assertEqual(self.played.paused, 0)
            self.assertEqual(self.played.pauses, 1)

        self.run_(main)

    def test_a_dropped_full_stream_does_not_hold_up_reading(self):
        async def main():
            for drop in (True, False):
                stream = self.client.messages()
                self.played.come(*range(PAUSE_AT))
                self.assertEqual(self.played.paused, 1)
                if not drop:
                    await stream.aclose()
                del stream
                gc.collect()
                self.assertEqual(self.played.paused, 0)

        self.run_(main)

    def test_another_reactor_is_installed(self):
        from twisted.internet import reactor  # noqa: F401

        async def main():
            running_reactor()

        error = self.assertRaises(RuntimeError, self.run_, main)
        self.assertIn("another reactor is installed", str(error))

from __future__ import annotations

import json

from tests.examples.suite_case import SuiteCase


class NotifierTests(SuiteCase):
    async def notify(self, *lines, end="\n"):
        """Run it once; return its status and its answers."""
        notifier = self.example("notifier", online=None)
        await notifier.start()
        notifier.write("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end)
        notifier.close_stdin()
        status = await notifier.wait_for_exit(60)
        return status, [json.loads(line) for line in notifier.out]

    async def test_each_gets_its_own(self):
        _, alices = await self.user("alice")
        _, bobs = await self.user("bob")
        texts = [f"note {n}" for n in range(300)]
        lines = [{"to": name, "text": text} for text in texts for name in ("alice", "bob")]
        status, answers = await self.notify(*lines, end="")
        self.assertEqual(status, 0)
        self.assertEqual(len(answers), 600)
        self.assertTrue(all(answer["position"] for answer in answers))
        await alices.texts(*texts)
        await bobs.texts(*texts)
        self.assertEqual({message.sender.name for message in alices.messages}, {"notifier"})

    async def test_the_same_id_is_sent_once_to_each(self):
        _, alices = await self.user("alice")
        _, bobs = await self.user("bob")
        lines = [{"to": name, "text": "disk full", "id": "db1"} for name in ("alice", "bob")]
        positions = [
            sorted((answer["to"], answer["position"]) for answer in (await self.notify(*lines, *lines))[1])
            for _ in range(2)
        ]
        self.assertEqual(len({*positions[0], *positions[1]}), 2)
        await self.notify({"to": "alice", "text": "end"}, {"to": "bob", "text": "end"})
        await alices.texts("disk full", "end")
        await bobs.texts("disk full", "end")

    async def test_what_is_refused_is_told_and_stops_nothing(self):
        _, alices = await self.user("alice")
        status, answers = await self.notify(
            *("", "nonsense", "[]", '{"to": "alice"}', '"x"', {"to": "nobody", "text": "hi"}, {"to": 7, "text": "hi"}),
            {"to": "alice", "text": "x" * 50_000},
            {"to": "notifier", "text": "to myself"},
            {"to": "alice", "text": "hi"},
        )
        self.assertEqual(status, 1)
        self.assertEqual(len(answers), 10)
        self.assertEqual([answer["text"] for answer in answers if "position" in answer], ["hi"])
        await alices.texts("hi")

    async def test_nothing_to_send(self):
        self.assertEqual(await self.notify(end=""), (0, []))

"""Tests of conversations on a real Redis through restarts, losses, failovers, foreign writes and other routes."""

from __future__ import annotations

import os
import shutil

from twisted.internet.defer import gatherResults
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver

from cim.errors import Conflict, OutOfOrder, Refused, StoreUnavailable
from cim.model import Append, Mark, Retention
from cim.store.pages import CHANGES_KEPT
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import Send
from tests.integration.redis_case import RedisCase
from tests.store.looking import end_of, marks_of

ALICE, BOB = 1001, 1002
HOUR = 3600
TALK = conversations.private(ALICE, BOB)
STREAM, COUNTERS = f"cim:c:{{{TALK}}}", f"cim:n:{{{TALK}}}"


class ConversationCase(RedisCase):
    numbers = 0

    def item(self, text, *, conversation=TALK, sender=ALICE, client_id="", **more):
        if not client_id:
            self.numbers += 1
            client_id = f"client-{self.numbers}"
        send = Send(client_id=client_id, text=text)
        body = native.body_of(send, sender, "someone", self.now())
        return Append(conversation, sender, client_id, native.digest(send), body, self.now(), **more)

    async def say(self, *texts, store=None, **options):
        """Append texts, each in a call of its own, and return their positions."""
        store = store or self.store
        calls = [store.conversations.append([self.item(text, **options)]) for text in texts]
        return [results[0].position for results in await gatherResults(calls)]

    async def texts(self, after="", store=None):
        page = await (store or self.store).conversations.read(TALK, after=after, limit=10_000)
        return [native.parse_body(entry.body).text for entry in page.entries]

    async def back(self):
        await self.until(lambda: not self.store.health() and not self.raw.health())

    def rises(self, said):
        """Check that positions only grow."""
        parsed = [positions.parse(position) for position in said]
        self.assertEqual(parsed, sorted(set(parsed)))


class RestartTests(ConversationCase):
    async def test_everything_acknowledged_is_there_after_a_kill_and_positions_go_on(self):
        said = await self.say("a", "b", sender=BOB)
        await self.store.conversations.mark([Mark(ALICE, "phone", TALK, said[1]), Mark(ALICE, None, TALK, said[0])])
        group = await self.store.groups.create(ALICE, "x", open=True, history=False)
        _, version, _ = await self.store.groups.changes(0)
        for _ in range(2):
            await self.redis.kill()
            await self.redis.start()
            await self.back()
            said += await self.say("c", sender=BOB)
        self.rises(said)
        epochs = [positions.parse(position)[0] for position in said]
        self.assertEqual(len(set(epochs)), 3)
        self.assertEqual(await self.texts(), ["a", "b", "c", "c"])
        page = await self.store.conversations.read(TALK, after=said[0], limit=10)
        self.assertEqual([entry.previous for entry in page.entries], said[:-1])
        entry = await self.store.conversations.entry(TALK, said[2])
        self.assertEqual(entry.previous, said[1])
        self.assertEqual(await marks_of(self.store, ALICE, "phone", TALK), (said[1], said[0]))
        heads = (await self.store.conversations.heads(ALICE, "phone")).heads
        self.assertEqual([(head.latest, head.unread) for head in heads], [(said[3], 3)])
        self.assertEqual(await self.store.groups.changes(version), ([], version, False))
        self.assertEqual((await self.store.groups.memberships(ALICE)).members[0].group, group.id)

    async def test_positions_that_were_lost_with_the_tail_do_not_come_again(self):
        said = await self.say("a")
        await self.store.groups.create(ALICE, "x", open=True, history=False)
        await self.redis.kill()
        copy = self.mktemp()
        shutil.copytree(self.redis.directory, copy)
        await self.redis.start()
        await self.back()
        lost = await self.say("lost", "lost", "lost")
        new = conversations.private(ALICE, 2000)
        lost_anew = await self.say("lost", conversation=new)
        await self.store.groups.create(ALICE, "lost", open=True, history=False)
        _, seen, _ = await self.store.groups.changes(0)

        await self.redis.kill()
        shutil.rmtree(os.path.join(self.redis.directory, "appendonlydir"))
        shutil.copytree(os.path.join(copy, "appendonlydir"), os.path.join(self.redis.directory, "appendonlydir"))
        await self.redis.start()
        await self.back()
        self.assertEqual(await self.texts(), ["a"])
        # Whoever holds what was lost is told where the log ends.
        page = await self.store.conversations.read(TALK, after=lost[-1], limit=10)
        self.assertEqual((page.entries, page.upto, page.reset), ((), said[0], True))
        again = await self.say("b")
        self.rises(said + lost + again)
        self.rises(lost_anew + await self.say("b", conversation=new))
        # The same with the log of groups.
        _, version, forgotten = await self.store.groups.changes(seen)
        self.assertTrue(forgotten and version < seen)
        await self.store.groups.create(BOB, "y", open=True, history=False)
        _, version, forgotten = await self.store.groups.changes(seen)
        self.assertTrue(forgotten and version > seen)

    async def test_everything_was_flushed(self):
        said = await self.say("a", "b")
        await self.command("FLUSHALL")
        page = await self.store.conversations.read(TALK, after=said[1], limit=10)
        self.assertEqual((page.entries, page.upto, page.more, page.reset), ((), "", False, True))
        again = await self.say("c", "d")
        self.rises(said + again)
        # Whoever holds what is gone takes the rest without a gap.
        self.assertEqual(await self.texts(after=said[1]), ["c", "d"])
        self.assertEqual((await self.store.conversations.entry(TALK, again[0])).previous, "")


class FailoverTests(ConversationCase):
    async def test_a_redis_that_became_a_replica_and_the_master_again_begins_an_epoch(self):
        said = await self.say("a")
        run_id = self.store._connection.server.run_id
        await self.command("REPLICAOF", "127.0.0.1", "1")
        (refused,) = await self.store.conversations.append([self.item("refused")])
        self.assertIsInstance(refused, StoreUnavailable)
        await self.until(lambda: "replica" in self.store.health())
        await self.until(lambda: not self.raw.health() or "replica" in self.raw.health())
        self.assertEqual(await self.redis.command("REPLICAOF", "NO", "ONE"), b"+OK\r\n")
        await self.back()
        said += await self.say("b")
        self.assertEqual(self.store._connection.server.run_id, run_id)
        self.rises(said)
        self.assertTrue(positions.parse(said[1])[0] > positions.parse(said[0])[0])
        self.assertEqual(await self.texts(), ["a", "b"])

    async def test_a_connection_that_was_only_lost_begins_none(self):
        said = await self.say("a")
        await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self.until(lambda: self.store.health())
        await self.back()
        said += await self.say("b")
        self.assertEqual(positions.parse(said[0])[0], positions.parse(said[1])[0])

    async def test_the_epoch_is_that_of_the_connection_that_carries_the_call(self):
        said = await self.say("a")
        await self.redis.kill()
        await self.until(lambda: self.store.health())
        waiting = self.store.conversations.append([self.item("b")])
        await self.redis.start()
        said += [(await waiting)[0].position]
        self.assertTrue(positions.parse(said[1])[0] > positions.parse(said[0])[0])


class RoutesTests(ConversationCase):
    async def test_two_routes_write_one_log(self):
        other = self.started()
        calls = []
        for number in range(100):
            for name, store in (("one", self.store), ("two", other)):
                calls.append(store.conversations.append([self.item(f"{name} {number} {part}") for part in range(3)]))
        results = [result for results in await gatherResults(calls) for result in results]
        texts = await self.texts()
        self.assertEqual(texts, await self.texts(store=other))
        for name in ("one", "two"):
            mine = [text for text in texts if text.startswith(name)]
            self.assertEqual(mine, [f"{name} {number} {part}" for number in range(100) for part in range(3)])
        chain = sorted((positions.parse(result.position), positions.parse(result.previous)) for result in results)
        self.assertEqual([position for position, _ in chain[:-1]], [previous for _, previous in chain[1:]])

    async def test_a_route_that_started_later_goes_on_with_the_epoch(self):
        said = await self.say("a")
        other = self.started()
        said += await self.say("b", store=other)
        said += await self.say("c")
        epoch, n = positions.parse(said[0])
        self.assertEqual(said[1:], [f"{epoch}-{n + 1}", f"{epoch}-{n + 2}"])
        self.assertEqual(other.epoch(), self.store.epoch())

    async def test_a_hundred_repetitions_over_two_connections_are_one_message(self):
        other = self.started()
        calls = [
            store.conversations.append([self.item("a", client_id="x")])
            for _ in range(50)
            for store in (self.store, other)
        ]
        results = [results[0] for results in await gatherResults(calls)]
        self.assertEqual(len({result.position for result in results}), 1)
        self.assertEqual([result.repeated for result in results].count(False), 1)
        self.assertEqual(await self.texts(), ["a"])
        conflicts = [
            store.conversations.append([self.item("b", client_id="x")])
            for _ in range(50)
            for store in (self.store, other)
        ]
        for (result,) in await gatherResults(conflicts):
            self.assertIsInstance(result, Conflict)


class OnceTests(ConversationCase):
    """What tells that a message repeats another one."""

    now_, earlier = f"cim:o:{{{TALK}}}", f"cim:o:{{{TALK}}}:before"

    async def is_repeated(self, text, client_id):
        [result] = await self.store.conversations.append([self.item(text, client_id=client_id)])
        return result.repeated

    async def test_a_day_later_it_begins_anew_and_remembers_what_is_younger_than_a_day(self):
        await self.say("a", client_id="a")
        await self.let_pass(20 * HOUR)
        [b] = await self.say("b", client_id="b")
        self.assertEqual(await self.command("EXISTS", self.now_, self.earlier), 1)
        await self.let_pass(5 * HOUR)
        await self.say("c", client_id="c")
        self.assertEqual(await self.command("HKEYS", self.earlier), [b"%d:a" % ALICE, b"%d:b" % ALICE])
        self.assertEqual(await self.command("HKEYS", self.now_), [b"%d:c" % ALICE])
        [again] = await self.store.conversations.append([self.item("b", client_id="b")])
        self.assertEqual((again.position, again.repeated), (b, True))
        self.assertFalse(await self.is_repeated("a", "a"))
        await self.let_pass(18 * HOUR)
        self.assertTrue(await self.is_repeated("b", "b"))
        await self.let_pass(2 * HOUR)
        self.assertTrue(await self.is_repeated("c", "c"))
        self.assertFalse(await self.is_repeated("b", "b"))
        await self.let_pass(48 * HOUR)
        self.assertEqual(await self.command("EXISTS", self.now_, self.earlier), 0)

    async def test_what_is_remembered_is_bounded_by_the_number_of_messages_too(self):
        many = [self.item(".", conversation=conversations.EVERYONE) for _ in range(25_000)]
        for at in range(0, len(many), 500):
            await self.store.conversations.append(many[at : at + 500])
        held = [await self.command("HLEN", f"cim:o:{{g:0}}{part}") for part in ("", ":before")]
        self.assertEqual(held, [5000, 10_000])
        [gone, there] = await self.store.conversations.append([many[-10_001], many[-9_990]])
        self.assertEqual((gone.repeated, there.repeated), (False, True))

    async def test_only_who_remembers_something_begins_anew(self):
        await self.say("a", client_id="a")
        await self.let_pass(25 * HOUR)
        for _ in range(2):
            [unknown] = await self.store.conversations.append([self.item("b", after="?")])
            self.assertIsInstance(unknown, OutOfOrder)
        self.assertEqual(await self.command("EXISTS", self.now_, self.earlier), 1)

    async def test_what_a_route_stores_that_did_not_know_the_time_yet_is_remembered(self):
        await self.say("a", store=self.started(), client_id="a")
        self.assertTrue(await self.is_repeated("a", "a"))

    async def test_a_day_long_it_is_noted_for_routes_of_earlier_releases_too(self):
        """They may still append when the first route of this release comes."""
        key = f"cim:d:{{{TALK}}}:{ALICE}:"
        await self.say("before", client_id="before")
        self.assertEqual(await self.command("EXISTS", f"{key}before"), 0)  # nothing was there before this release
        await self.command("HSET", "cim:epoch", "once", self.now())
        [a] = await self.say("a", client_id="a")
        position, _, _, number, digest = (await self.command("GET", f"{key}a")).split(b" ", 4)
        self.assertEqual((position, number, len(digest)), (a.encode(), b"2", 16))
        # What such a route stored is found.
        item = self.item("b", client_id="b")
        await self.command("SET", f"{key}b", b"%b = %d 2 %b" % (a.encode(), item.sent_at, item.digest), "PX", 60_000)
        [result] = await self.store.conversations.append([item])
        self.assertEqual((result.position, result.repeated), (a, True))
        refused = self.item("c", client_id="c")
        await self.command("SET", f"{key}c", b"!  %d 2 %bno" % (refused.sent_at, refused.digest), "PX", 60_000)
        [result] = await self.store.conversations.append([refused])
        self.assertEqual(str(result), str(Refused("no")))
        await self.let_pass(25 * HOUR)
        await self.say("later", client_id="later")
        self.assertEqual(await self.command("EXISTS", f"{key}later"), 0)

    async def test_it_is_known_whether_an_earlier_release_was_there(self):
        self.assertEqual(await self.command("HGET", "cim:epoch", "once"), b"0")
        await self.command("HDEL", "cim:epoch", "once")  # as an earlier release leaves it
        await self.say("a", client_id="a")
        once = int(await self.command("HGET", "cim:epoch", "once"))
        self.assertTrue(abs(once - self.now()) < 60_000, once)
        self.assertEqual(await self.command("EXISTS", f"cim:d:{{{TALK}}}:{ALICE}:a"), 1)


class PoisonTests(ConversationCase):
    def setUp(self):
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        return super().setUp()

    async def test_what_others_wrote_into_a_stream_is_passed_over_and_counted(self):
        said = await self.say("a")
        await self.command("XADD", STREAM, "*", "what", "ever")
        said += await self.say("b")
        await self.command("XADD", STREAM, "*", "b", "\xff", "s", "x", "w", "yesterday", "t", "")
        await self.command("XADD", STREAM, "*", "b", b"\xff\xff\xff", "s", "1", "w", self.now(), "t", "1")
        said += await self.say("c", "d")
        self.rises(said)
        page = await self.store.conversations.read(TALK, limit=10)
        self.assertEqual(await self.texts(), ["a", "b", "c", "d"])
        self.assertEqual([entry.previous for entry in page.entries], ["", *said[:3]])
        self.assertFalse(page.reset)
        self.assertEqual(self.store.conversations.skipped, 6)
        page = await self.store.conversations.read(TALK, before="9999999999999-1", limit=10)
        self.assertEqual([entry.position for entry in page.entries], said)
        self.assertEqual(await self.store.conversations.mark([Mark(BOB, None, TALK, said[1])]), [said[1]])
        self.assertEqual((await self.store.conversations.heads(BOB, "phone")).heads[0].unread, 2)

    async def test_poison_alone_is_passed_over_in_pages(self):
        said = await self.say("a")
        await self.command("EVAL", f"for i = 1, 3000 do redis.call('XADD', '{STREAM}', '*', 'x', 'y') end", 0)
        said += await self.say("b")
        seen, after, pages = [], "", 0
        while True:
            page = await self.store.conversations.read(TALK, after=after, limit=10)
            seen += [entry.position for entry in page.entries]
            after, pages = page.upto, pages + 1
            if not page.more:
                break
        self.assertEqual((seen, after), (said, said[1]))
        self.assertTrue(1 < pages < 10)
        self.assertEqual(self.store.conversations.skipped, 3000)

    async def test_a_stream_that_is_none_fails_alone_and_its_message_is_not_known(self):
        await self.command("SET", STREAM, "garbage")
        other = conversations.private(ALICE, 2000)
        bad = self.item("a", client_id="x")
        results = await self.store.conversations.append([bad, self.item("b", conversation=other), bad])
        self.assertIsInstance(results[0], StoreUnavailable)
        self.assertEqual(results[1].previous, "")
        self.assertIsInstance(results[2], StoreUnavailable)
        self.assertEqual(await self.texts(), [])
        await self.store.conversations.heads(ALICE, "phone")
        await self.command("DEL", STREAM)
        results = await self.store.conversations.append([bad])
        self.assertFalse(results[0].repeated)
        self.assertEqual(await self.texts(), ["a"])

    async def test_an_index_that_is_none_fails_alone_and_its_message_is_not_known(self):
        await self.command("SET", f"cim:a:{{{BOB}}}", "garbage")
        bad = self.item("a", client_id="x")
        self.assertIsInstance((await self.store.conversations.append([bad]))[0], StoreUnavailable)
        self.assertIn("WRONGTYPE", self.store.health())
        await self.command("DEL", f"cim:a:{{{BOB}}}")
        self.assertFalse((await self.store.conversations.append([bad]))[0].repeated)
        self.assertEqual(self.store.health(), "")

    async def test_changes_that_cannot_be_noted_leave_messages_that_are_known_once_they_can(self):
        self.store.conversations.followed = True
        await self.command("SET", "cim:changed", "x")
        said = [self.item("a"), self.item("b", conversation=conversations.private(ALICE, 2000)), self.item("c")]
        for result in await self.store.conversations.append(said):
            self.assertIsInstance(result, StoreUnavailable)
        await self.command("DEL", "cim:changed")
        self.assertEqual([result.repeated for result in await self.store.conversations.append(said)], [True] * 3)
        await self.say("d")
        self.assertEqual(await self.texts(), ["a", "c", "d"])

    async def test_names_in_an_index_that_are_no_conversations(self):
        await self.say("a")
        now = self.now()
        for name in ("garbage", "p:1", "g:5", "\xff"):
            await self.command("ZADD", f"cim:a:{{{BOB}}}", now, name)
        heads = await self.store.conversations.heads(BOB, "phone")
        self.assertEqual([head.conversation for head in heads.heads], [TALK])
        self.assertEqual(self.store.conversations.skipped, 4)

    async def test_counters_that_were_lost_are_begun_anew(self):
        said = await self.say("a", "b")
        await self.command("DEL", COUNTERS)
        self.assertEqual(await end_of(self.store, TALK), said[1])
        self.assertEqual(await self.texts(), ["a", "b"])
        said += await self.say("c")
        self.rises(said)
        self.assertEqual((await self.store.conversations.entry(TALK, said[2])).previous, said[1])

    async def test_a_stream_that_was_lost_goes_on_behind_its_end(self):
        said = await self.say("a", "b")
        await self.command("DEL", STREAM)
        page = await self.store.conversations.read(TALK, limit=5)
        self.assertEqual((page.entries, page.upto, page.reset), ((), said[1], True))
        said += await self.say("c")
        self.rises(said)
        self.assertEqual(await self.texts(), ["c"])


class KeysTests(ConversationCase):
    retention = Retention(days=30, count=100)

    async def test_keys_and_what_expires(self):
        said = await self.say("a")
        await self.store.conversations.mark([Mark(BOB, "phone", TALK, said[0]), Mark(BOB, None, TALK, said[0])])
        expiring = {f"cim:o:{{{TALK}}}": 2 * 86_400, f"cim:m:{{{BOB}}}:phone": 90 * 86_400}
        lasting = [STREAM, COUNTERS, f"cim:a:{{{ALICE}}}", f"cim:a:{{{BOB}}}"]
        keys = await self.keys()
        self.assertEqual(keys, sorted([*expiring, *lasting]))
        for key in keys:
            left = await self.command("PTTL", key)
            most = expiring.get(key, 0) * 1000
            self.assertTrue(most - 60_000 < left <= most if most else left == -1, (key, left))

    async def test_recalled_positions_go_with_their_messages(self):
        said = await self.say(*"abc")
        for position in said:
            item = self.item("")
            await self.store.conversations.append(
                [Append(item.conversation, ALICE, item.client_id, b"", item.body, self.now(), False, recalls=position)]
            )
        [edited] = await self.say("d")
        for _ in range(2):
            item = self.item("e", counts=False, refers=edited, edits=True)
            await self.store.conversations.append([item])
        self.assertEqual(await self.command("ZCARD", f"cim:x:{{{TALK}}}"), 3)
        self.assertEqual(await self.command("ZCARD", f"cim:e:{{{TALK}}}"), 1)
        for _ in range(5):
            said = await self.say(*["."] * 60)
            await self.store.conversations.mark([Mark(BOB, None, TALK, said[-1])])
        self.assertEqual(await self.command("EXISTS", f"cim:x:{{{TALK}}}", f"cim:e:{{{TALK}}}"), 0)
        self.assertTrue(await self.command("XLEN", STREAM) < 250)

    async def test_what_is_old_is_trimmed_as_one_writes(self):
        await self.say(*["old"] * 60)
        await self.let_pass(31 * 86_400)
        await self.say(*["young"] * 40)
        self.assertEqual(await self.command("XLEN", STREAM), 40)

    async def test_nothing_is_left_of_a_group_without_members(self):
        group = await self.store.groups.create(ALICE, "x", open=True, history=False)
        name = conversations.group(group.id)
        [said] = await self.say("a", conversation=name)
        edit = self.item("b", conversation=name, counts=False, refers=said, edits=True)
        await self.store.conversations.append([edit])
        await self.store.groups.remove(group.id, ALICE, ALICE)
        self.assertEqual({key for key in await self.keys() if "cim:o:" not in key}, {"cim:groups", "cim:last-group-id"})

    async def test_the_log_of_groups_is_bounded_and_says_what_it_forgot(self):
        groups = self.store.groups
        group = await groups.create(ALICE, "x", open=True, history=False)
        _, first, forgotten = await groups.changes(0)
        self.assertFalse(forgotten)
        # As many changes as are kept, of which no group knows; what follows them is real.
        fill = (
            "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], ARGV[1] + i .. '-0', 'g', 1, 'u', 2, 'a', 1, 'v', i) end"
        )
        await self.command("EVAL", fill, "1", "cim:groups", str(first), str(CHANGES_KEPT))
        for _ in range(2):
            await gatherResults(
                [
                    change
                    for _ in range(100)
                    for change in (groups.add(group.id, BOB, BOB), groups.remove(group.id, BOB, BOB))
                ]
            )
        self.assertTrue(CHANGES_KEPT <= await self.command("XLEN", "cim:groups") < CHANGES_KEPT + 200)
        for after in (0, first):
            changes, version, forgotten = await groups.changes(after, 10)
            self.assertTrue(forgotten)
        changes, again, forgotten = await groups.changes(version)
        self.assertEqual((changes, again, forgotten), ([], version, False))


class UpstreamNamesTests(ConversationCase):
    async def test_a_name_that_upstream_knows_is_taken(self):
        await self.command("SET", "cim-account:1545574049323", "zhangsan")
        await self.command("SET", "zhangsan", "cim-account:1545574049323")
        await self.assertFailure(self.store.credentials.create("zhangsan", "hash"), Conflict)
        self.assertTrue(await self.store.credentials.delete(1545574049323))
        self.assertEqual(await self.command("GET", "zhangsan"), b"cim-account:1545574049323")
        self.assertNotEqual((await self.store.credentials.create("zhangsan", "hash")).id, 1545574049323)

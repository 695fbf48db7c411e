"""Changes by several routes at once on a real Redis, and what comes between reading and writing."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from cim.errors import Conflict, Forbidden, NotFound, StoreUnavailable
from cim.model import GUEST, MAX_MEMBERS, GroupChange, LoginPolicy, Member, Role
from cim.store.redis.connection import RedisConnection
from tests.integration.redis_case import RedisCase
from tests.store.contract import HERE, JAVA, THERE

ALICE, BOB, CAROL = 1001, 1002, 1003


class Meddled(RedisConnection):
    """A connection on which something can be done before the next thing is written, but for the schema's number."""

    between = None

    async def evaluate(self, name, script, keys, args):
        if self.between is not None and args[0] and name != "schema":
            between, self.between = self.between, None
            await between()
        return await super().evaluate(name, script, keys, args)


class ChangeCase(RedisCase):
    settings = {"appendonly": "no"}
    connection_class = Meddled

    @property
    def sessions(self):
        return self.store.sessions

    @property
    def groups(self):
        return self.store.groups

    def meddle(self, between):
        """Have `between()` done before the store writes what it decided next."""
        self.store._connection.between = between

    async def holders(self, store=None):
        return [(record.owner, record.live) for record in await (store or self.store).sessions.sessions(1)]

    async def started_well(self):
        store = self.started()
        await self.until(lambda: not store.health())
        return store


class RoutesTests(ChangeCase):
    async def test_many_routes_joining_many_users_to_one_group(self):
        routes = [self.store] + [await self.started_well() for _ in range(7)]
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        users = range(10_000, 20_000)
        started = self.reactor.seconds()
        changes = await gatherResults([routes[user % 8].groups.add(group.id, user, user) for user in users])
        self.assertTrue(self.reactor.seconds() - started < 30)
        self.assertEqual([change.user for change in changes], list(users))
        # Each change has its own versions, and the log has them all.
        self.assertEqual(sorted(change.group_version for change in changes), list(range(2, 10_002)))
        self.assertEqual(len({change.version for change in changes}), 10_000)
        self.assertEqual((await self.groups.group(group.id)).members, 10_001)
        self.assertEqual((await self.groups.memberships(15_000)).members[0].group, group.id)
        last = max(changes, key=lambda change: change.version)
        self.assertEqual((await self.groups.changes(last.version - 1))[0], [last])

    async def test_many_routes_joining_one_user(self):
        routes = [self.store] + [await self.started_well() for _ in range(7)]
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        changes = await gatherResults([route.groups.add(group.id, BOB, BOB) for route in routes for _ in range(5)])
        self.assertEqual(len([change for change in changes if change is not None]), 1)
        self.assertEqual((await self.groups.group(group.id)).members, 2)

    async def test_two_owners_leaving_at_once(self):
        other = await self.started_well()
        for _ in range(20):
            group = await self.groups.create(ALICE, "x", open=True, history=False)
            await self.groups.add(group.id, ALICE, BOB)
            await self.groups.add(group.id, ALICE, CAROL)
            await self.groups.set_role(group.id, ALICE, BOB, Role.OWNER)
            leaving = [self.groups.remove(group.id, ALICE, ALICE), other.groups.remove(group.id, BOB, BOB)]
            results = await gatherResults([left.addErrback(lambda failure: failure.type) for left in leaving])
            self.assertEqual(results.count(Conflict), 1)
            owners = [member for member in await self.groups.members(group.id) if member.role == Role.OWNER]
            self.assertEqual(len(owners), 1)

    async def test_two_logins_of_one_user_at_once(self):
        other = await self.started_well()
        stores = {"one": self.store, "two": other}
        for policy in (LoginPolicy.REJECT, LoginPolicy.REPLACE):
            for _ in range(50):
                reserving = [
                    store.sessions.reserve(1, HERE, owner, device=owner, policy=policy, seconds=30)
                    for owner, store in stores.items()
                ]
                await gatherResults(reserving)
                # One of them has the other's place.
                ((winner, live),) = await self.holders()
                self.assertFalse(live)
                claims = [store.sessions.claim(1, owner, HERE, owner) for owner, store in stores.items()]
                claimed = dict(zip(stores, await gatherResults(claims), strict=True))
                self.assertEqual(claimed, {owner: owner == winner for owner in stores})
                self.assertEqual(await self.holders(other), [(winner, True)])
                await self.sessions.release(1, winner)

    async def test_many_devices_at_many_routes_at_once(self):
        routes = [self.store] + [await self.started_well() for _ in range(3)]
        await gatherResults(
            [
                route.sessions.reserve(
                    1, HERE, f"{at}-{one}", device=f"{at}-{one}", policy=LoginPolicy.MANY, seconds=30
                )
                for at, route in enumerate(routes)
                for one in range(4)
            ]
        )
        self.assertEqual(len(await self.holders()), 16)


class BetweenTests(ChangeCase):
    """What is written fits what is there then, not what was read."""

    async def test_a_record_that_expired_and_was_made_anew(self):
        await self.sessions.reserve(1, HERE, "old", seconds=30)
        other = await self.started_well()

        async def between():
            await self.let_pass(31)
            await other.sessions.reserve(1, THERE, "new", seconds=30)

        self.meddle(between)
        self.assertFalse(await self.sessions.claim(1, GUEST, HERE, "old"))
        self.assertEqual(await self.holders(), [("new", False)])
        self.meddle(between)
        self.assertFalse(await self.sessions.release(1, "old"))
        self.assertEqual(await self.holders(), [("new", False)])

    async def test_a_record_that_only_expired(self):
        await self.sessions.reserve(1, HERE, "old", seconds=30)
        self.meddle(lambda: self.let_pass(31))
        # As of one whose record was lost.
        self.assertTrue(await self.sessions.claim(1, GUEST, HERE, "old"))
        self.assertEqual(await self.holders(), [("old", True)])

    async def test_a_failover_that_lost_the_last_write(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        before = await self.command("DUMP", "cim:session:{1}")
        await self.sessions.claim(1, GUEST, HERE, "a")

        async def lost():
            await self.command("DEL", "cim:session:{1}")
            await self.command("RESTORE", "cim:session:{1}", 30_000, before)

        self.meddle(lost)
        # It was read as live, and in the way; what is there now is a reservation.
        reserved = await self.sessions.reserve(1, THERE, "b", policy=LoginPolicy.REPLACE, seconds=30)
        self.assertEqual(reserved.replaced, ())
        self.assertEqual(await self.holders(), [("b", False)])

        group = await self.groups.create(ALICE, "x", open=True, history=False)
        await self.groups.add(group.id, BOB, BOB)

        async def lost_too():
            await self.command("HDEL", f"cim:gm:{{g:{group.id}}}", BOB)
            await self.command("HINCRBY", f"cim:g:{{g:{group.id}}}", "version", -1)

        self.meddle(lost_too)
        await self.assertFailure(self.groups.set_role(group.id, ALICE, BOB, Role.ADMIN), NotFound)
        change = await self.groups.add(group.id, BOB, BOB)
        self.assertEqual((change.group_version, (await self.groups.group(group.id)).members), (2, 2))

    async def test_a_version_that_others_moved_is_no_reason_to_repeat(self):
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        other = await self.started_well()
        calls = []
        self.store._connection.observe(lambda name, seconds: calls.append(name))

        async def between():
            await other.groups.add(group.id, CAROL, CAROL)
            await other.groups.edit(group.id, ALICE, name="y")

        self.meddle(between)
        stats = await self.evalshas()
        change = await self.groups.add(group.id, BOB, BOB)
        self.assertEqual((change.user, change.group_version), (BOB, 3))
        # The other route read first, each time: it had not seen the group.
        self.assertEqual(await self.evalshas() - stats, 1 + 4)

    async def evalshas(self):
        for line in (await self.command("INFO", "commandstats")).decode().splitlines():
            if line.startswith("cmdstat_evalsha:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0

    async def test_a_group_that_filled_up_meanwhile(self):
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        members = f"cim:gm:{{g:{group.id}}}"
        script = "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], 'x' .. i, '0 ') end"
        self.meddle(lambda: self.command("EVAL", script, 1, members, MAX_MEMBERS - 1))
        await self.assertFailure(self.groups.add(group.id, BOB, BOB), Conflict)
        await self.command("HDEL", members, "x1")
        self.assertTrue(await self.groups.add(group.id, BOB, BOB))

    async def test_a_ban_by_another_route_that_this_one_has_not_heard_of(self):
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        other = await self.started_well()
        # What this route guesses from is what it saw last: nobody was banned.
        self.meddle(lambda: other.groups.ban(group.id, ALICE, BOB))
        await self.assertFailure(self.groups.add(group.id, BOB, BOB), Forbidden)
        await self.store.invitations.invite(group.id, ALICE, CAROL)
        self.meddle(lambda: other.groups.ban(group.id, ALICE, CAROL))
        await self.assertFailure(self.groups.accept(group.id, CAROL), Forbidden)
        self.meddle(lambda: other.groups.dissolve(group.id, ALICE))
        await self.assertFailure(self.groups.add(group.id, CAROL + 1, CAROL + 1), NotFound)
        self.assertEqual([one.user for one in await self.groups.members(group.id)], [ALICE])

    async def test_a_user_is_invited_and_banned_at_once(self):
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        other = await self.started_well()
        self.meddle(lambda: other.groups.ban(group.id, ALICE, BOB))
        await self.assertFailure(self.store.invitations.invite(group.id, ALICE, BOB), Conflict)
        self.assertEqual(list(await self.store.invitations.waiting(BOB)), [])

    async def test_somebody_who_came_before_the_last_member_left(self):
        group = await self.groups.create(ALICE, "x", open=True, history=False)
        other = await self.started_well()
        self.meddle(lambda: other.groups.add(group.id, BOB, BOB))
        await self.assertFailure(self.groups.remove(group.id, ALICE, ALICE), Conflict)
        self.assertEqual((await self.groups.group(group.id)).members, 2)

    async def test_an_heir_who_left_meanwhile(self):
        alice, bob, carol = [await self.store.credentials.create(name, "x") for name in ("alice", "bob", "carol")]
        group = await self.groups.create(alice.id, "x", open=True, history=False)
        for member in (bob, carol):
            await self.groups.add(group.id, member.id, member.id)
        other = await self.started_well()
        self.meddle(lambda: other.groups.remove(group.id, bob.id, bob.id))
        self.assertTrue(await self.store.credentials.delete(alice.id))
        members = await self.groups.members(group.id)
        self.assertEqual([(member.user, member.role) for member in members], [(carol.id, Role.OWNER)])

    async def test_when_others_are_always_faster_it_is_unavailable(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        numbers = iter(range(100))

        async def faster():
            await self.command("HSET", "cim:session:{1}", "desk", f"{next(numbers)}\t0\t0\tb\ts\tr")
            self.meddle(faster)

        self.meddle(faster)
        await self.assertFailure(self.sessions.claim(1, GUEST, HERE, "a"), StoreUnavailable)
        self.assertEqual(next(numbers), 7)  # it guessed, and tried six times
        self.store._connection.between = None


class OldRecordsTests(ChangeCase):
    """What the routes of 93fa1d3 wrote is read, and goes on."""

    async def test_sessions(self):
        now = self.now()
        await self.command(
            "HSET",
            "cim:session:{1}",
            *("phone", f"{now - 5000}\t0\t0\towner-1\t{HERE.server}\t{HERE.incarnation}"),
            *("desk", f"{now - 4000}\t{now + 20_000}\t1\towner-2\t{THERE.server}\t{THERE.incarnation}"),
            *("gone", f"{now - 40_000}\t{now - 10_000}\t1\towner-3\t{THERE.server}\t{THERE.incarnation}"),
            *(GUEST, f"{now - 3000}\t0\t0\towner-4\t{JAVA.server}\t"),
            *("garbage", "x"),
        )
        await self.command("SADD", f"cim:upstream:{{{JAVA.server}}}", 1)
        records = await self.sessions.sessions(1)
        self.assertEqual(
            [(record.device, record.owner, record.live, record.place) for record in records],
            [("phone", "owner-1", True, HERE), ("desk", "owner-2", False, THERE), (GUEST, "owner-4", True, JAVA)],
        )
        self.assertEqual(await self.sessions.users_at(JAVA.server), [1])
        self.assertFalse(await self.sessions.claim(1, "desk", THERE, "owner-9"))
        self.assertTrue(await self.sessions.claim(1, "desk", THERE, "owner-2"))
        self.assertTrue(await self.sessions.release(1, "owner-4"))
        self.assertEqual(await self.sessions.users_at(JAVA.server), [])
        self.assertEqual(await self.command("GET", "cim-route:1"), THERE.server.encode())
        await self.command("HDEL", "cim:session:{1}", "garbage")
        await self.let_pass(2)
        ended = await self.sessions.end(1)
        self.assertEqual([record.owner for record in ended], ["owner-1", "owner-2"])
        self.assertEqual(await self.command("EXISTS", "cim:session:{1}"), 0)

    async def test_records_are_still_written_as_they_read_them(self):
        await self.sessions.reserve(1, HERE, "a", device="phone", seconds=30)
        (line,) = await self.command("HVALS", "cim:session:{1}")
        since, expires, *rest = line.split(b"\t")
        self.assertEqual(int(expires) - int(since), 30_000)
        self.assertEqual(rest, [b"1", b"a", HERE.server.encode(), HERE.incarnation.encode()])

    async def test_leases(self):
        now = self.now()
        await self.command("ZADD", f"cim:lease:{{{HERE}}}", now + 10_000, "old route", now - 1, "dead route")
        self.assertTrue(await self.sessions.leased(HERE))
        await self.sessions.hold_lease(HERE, "new route", 5)
        await self.sessions.drop_lease(HERE, "old route")
        self.assertTrue(await self.sessions.leased(HERE))
        self.assertEqual(await self.command("ZRANGE", f"cim:lease:{{{HERE}}}", 0, -1), [b"new route"])

    async def test_groups(self):
        id, version = 1_600_000_000_000, 1_600_000_000_007
        tag = f"{{g:{id}}}"
        fields = ("name", "x", "open", "0", "history", "0", "version", "2", "owners", "1")
        await self.command("HSET", f"cim:g:{tag}", *fields)
        await self.command("HSET", f"cim:gm:{tag}", ALICE, "2 ", BOB, "0 5-3")
        await self.command("ZADD", f"cim:gi:{tag}", ALICE, ALICE, BOB, BOB)
        await self.command("HSET", f"cim:ug:{{{ALICE}}}", id, "2 ")
        await self.command("HSET", f"cim:ug:{{{BOB}}}", id, "0 5-3")
        await self.command("HSET", f"cim:n:{tag}", "log", "5-9 9 8 1600000000000", f"s:{ALICE}", "3 5-9")
        await self.command("XADD", "cim:groups", f"{version}-0", "g", id, "u", BOB, "a", 1, "v", 2)

        old = GroupChange(version, id, BOB, True, 2)
        self.assertEqual(await self.groups.changes(version - 1), ([old], version, True))
        self.assertEqual((await self.groups.memberships(BOB)).version, version)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        self.assertEqual(await self.groups.member(id, BOB), Member(id, BOB, Role.ADMIN, "5-3"))
        change = await self.groups.add(id, BOB, CAROL)
        self.assertEqual(change, GroupChange(change.version, id, CAROL, True, 3, "5-9"))
        self.assertTrue(change.version > version)
        # Each names the one before it, for versions are times.
        (removed,) = [await self.groups.remove(id, BOB, CAROL)]
        self.assertEqual((change.previous, removed.previous), (version, change.version))
        for after, first in ((version, version), (change.version, change.version), (version - 1, 0)):
            listed = (await self.groups.changes(after))[0]
            self.assertEqual([one.previous for one in listed], [first, *(one.version for one in listed[:-1])])
        change = await self.groups.add(id, BOB, CAROL)
        self.assertEqual(await self.groups.member(id, CAROL), Member(id, CAROL, Role.MEMBER, "5-9"))
        self.assertEqual(await self.command("HGET", f"cim:n:{tag}", f"r:{CAROL}"), b"5-9 8")
        await self.groups.edit(id, BOB, name="y")
        self.assertEqual((await self.groups.group(id)).name, "y")
        await self.assertFailure(self.groups.remove(id, ALICE, ALICE), Conflict)

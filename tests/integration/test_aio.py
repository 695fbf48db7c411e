"""asyncio programs in processes of their own, where nothing else has installed a reactor."""

from __future__ import annotations

import sys

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.harness.daemons import environment

#: The reactor inside a running loop: timers, threads, names, files, and then the process ends by itself.
REACTOR = """
import asyncio, signal, sys
from cim.client.aio import running_reactor
from cim.client.history import SqliteHistory
from tests.client.history_contract import TALK, said

assert "twisted.internet.reactor" not in sys.modules

async def main():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    reactor = running_reactor()
    assert running_reactor() is reactor
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loop = asyncio.get_running_loop()
    from twisted.internet.task import deferLater
    from twisted.internet.threads import deferToThread
    assert await deferLater(reactor, 0.01, lambda: 7).asFuture(loop) == 7
    assert await deferToThread(lambda: 8).asFuture(loop) == 8
    history = SqliteHistory(sys.argv[1], reactor)
    await history.open().asFuture(loop)
    await history.add([said("word", 1)], {}).asFuture(loop)
    assert [m.text for m in await history.page(TALK).asFuture(loop)] == ["word"]
    await history.close().asFuture(loop)

asyncio.run(main())
async def again():
    running_reactor()
try:
    asyncio.run(again())
except RuntimeError as error:
    print("once:", error)
"""

#: A program that runs the reactor itself keeps it.
OWN = """
import asyncio
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from cim.client.aio import running_reactor

async def main():
    assert running_reactor() is reactor
    print("same")

task = Deferred.fromFuture(loop.create_task(main()))
task.addBoth(lambda _: reactor.stop())
reactor.run()
loop.close()
"""


class ReactorTests(TestCase):
    timeout = 60

    async def run_(self, program, *arguments):
        from twisted.internet import reactor

        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-W", "error", "-c", program, *arguments], env=environment(), reactor=reactor
        )
        self.assertEqual((status, err.decode()), (0, ""))
        return out.decode()

    async def test_the_reactor_starts_in_a_running_loop(self):
        self.assertIn("once: cim.client.aio needs", await self.run_(REACTOR, self.mktemp()))

    async def test_a_program_that_runs_an_asyncioreactor_keeps_it(self):
        self.assertEqual(await self.run_(OWN), "same\n")

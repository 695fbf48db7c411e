"""Examples as people run them: each a process, against a suite of its own, talked to by clients of the test."""

from __future__ import annotations

import os
import sys

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from cim.client.client import Client
from cim.client.values import Password
from cim.interfaces import IMessageListener
from tests.harness.daemons import ROOT, Daemon, environment, loopback
from tests.harness.spawning import DaemonProcess, free_port

#: How long anything may take to come, seconds.
PATIENCE = 20.0


@implementer(IMessageListener)
@define(eq=False)
class Inbox:
    """What came to somebody."""

    reactor: object
    messages: list = field(factory=list)
    _waiting: list = field(factory=list)

    def received(self, client, message):
        self.messages.append(message)
        for ask in list(self._waiting):
            ask()

    def when(self, test):
        """Fire with the messages when the test is true of them."""
        found = Deferred()

        def ask():
            if test(self.messages):
                self._waiting.remove(ask)
                found.callback(self.messages)

        self._waiting.append(ask)
        ask()
        return found.addTimeout(PATIENCE, self.reactor)

    def texts(self, *expected):
        """Fire when these texts of others have come, in this order; they are all that may have come."""
        return self.when(lambda messages: len([m for m in messages if not m.mine]) >= len(expected)).addCallback(
            lambda messages: (
                [m.text for m in messages if not m.mine] == list(expected)
                or TestCase().fail(f"{[m.text for m in messages]} instead of {expected}")
            )
        )


class SuiteCase(TestCase):
    timeout = 120
    #: Further options of the suite.
    options = ()

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)
        http = free_port()
        self.data = os.path.join(self.directory, "data")
        arguments = (
            "cim",
            "--data",
            self.data,
            "--listen",
            loopback(free_port()),
            "--http",
            loopback(http),
            *self.options,
        )
        self.suite = Daemon(reactor, "suite", http, arguments, self.mktemp(), None)
        self.addCleanup(self.suite.stop)
        await self.suite.start()

    async def user(self, name, **options):
        """Return somebody who is online, and their inbox."""
        inbox = Inbox(self.reactor)
        credentials = Password(name, f"password of {name}", create=True)
        client = Client(self.reactor, self.suite.url, credentials, listeners=[inbox], **options)
        self.addCleanup(client.close)
        client.startService()
        await client.when_ready()
        return client, inbox

    def example(self, name, *arguments, online="is online"):
        """Return an example, to be started; its data and its working directory are the test's."""
        process = DaemonProcess(
            self.reactor,
            [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--route", self.suite.url, *arguments],
            environment({"XDG_DATA_HOME": os.path.join(self.directory, "share")}),
            self.directory,
            name=name,
            ready_when=online,
        )
        self.addCleanup(process.stop)
        return process

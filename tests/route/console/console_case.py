"""A base for tests of the console: a route whose console a browser, played by the test, has open."""

from __future__ import annotations

import itertools
import json

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher

from cim.addresses import Addresses, proxy
from cim.api_keys import Scope, line_of
from cim.route.console.site import console_calls
from cim.route.http.api_keys import APIKeys
from cim.web.hosts import Hosts
from cim.web.operations import located
from cim.web.site import BoundedSite
from tests.harness.spawning import private_file
from tests.route.http.api_case import APICase
from tests.web.http_case import Conversation, encode

HOST = "127.0.0.1:8085"
OPS, READER, MAKER = (f"{name}-key-0123456789" for name in ("ops", "reader", "maker"))
LINES = (
    line_of(OPS, "ops", Scope),
    line_of(READER, "reader", [Scope.ADMIN, Scope.READ]),
    line_of(MAKER, "maker", [Scope.USERS, Scope.GROUPS, Scope.READ]),
)
SESSION = "/v1/console/session"
#: What a browser says of a request by the console's own page.
OWN = ("Sec-Fetch-Site: same-origin",)


class ConsoleCase(APICase):
    """A console beside the API, and a browser's jar of cookies."""

    reads_messages = False

    def setUp(self):
        super().setUp()
        self.path = self.mktemp()
        self.write(*LINES)
        self.console_keys = APIKeys.of_file(self.path, self.clock.seconds)
        secrets = (f"secret-{number}" for number in itertools.count(1))
        resource = console_calls(
            self.v1,
            self.console_keys,
            metrics=self.metrics,
            where=located(Addresses([proxy("192.168.1.1")], self.metrics.refused)),
            seconds=self.clock.seconds,
            new_id=lambda: next(secrets),
            reads_messages=self.reads_messages,
        )
        self.console = BoundedSite(resource, self.clock, self.metrics, hosts=Hosts(()))
        self.console.startFactory()
        self.cookies = {}
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def write(self, *lines):
        """Write the file of keys."""
        private_file(self.path, "".join(f"{line}\n" for line in lines))

    def ask(self, method, path, body=None, *, headers=OWN, host=HOST, cookies=None, secure=False):
        """Make a request as the browser does; return the status, the headers and the parsed body."""
        jar = self.cookies if cookies is None else cookies
        conversation = Conversation(self.console)
        conversation.protocol.isSecure = lambda: secure
        sent = [*headers, *([f"Cookie: {'; '.join(f'{name}={value}' for name, value in jar.items())}"] if jar else [])]
        conversation.send(encode(method, path, body, sent).replace(b"Host: route.example", f"Host: {host}".encode()))
        self.cluster.turn()
        for _ in range(60):
            if conversation.transport.value():
                break
            self.cluster.pass_seconds(1)
        status, answered, raw = conversation.answer(method)
        conversation.lose()
        for line in answered.get_all("Set-Cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return status, answered, json.loads(raw) if raw else None

    def enter(self, key=OPS):
        """Log in, and return what is said of the session."""
        status, _, said = self.ask("POST", SESSION, {"key": key})
        self.assertEqual(status, 201, said)
        return said

    def audits(self):
        """Return the lines of the audit so far."""
        return [line for event in self.logged if (line := formatEvent(event)).startswith("audit: ")]

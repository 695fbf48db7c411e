"""How clients connect to the server that a login named."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.dialling import Dialler, Entrance
from cim.client.trust import Trust, Verifier
from cim.errors import Insecure, Misdirected, NotSupported, Unavailable, Untrusted

WEBSOCKET = "wss://chat.example/servers/1/v1/socket"


def entrance(host="10.0.0.1", tls_name="", route="https://chat.example", websocket=""):
    return Entrance(route, host, 11211, tls_name, websocket)


class DiallerCase(SynchronousTestCase):
    def dialler(self, **options):
        return Dialler(Clock(), self.endpoint, Verifier(Trust()), **options)

    def endpoint(self, host, port):
        raise AssertionError("nobody is to be connected to")

    def ways(self, *args, options=None, **told):
        """Return place and name to verify of each way."""
        return [(way.place, way.tls_name) for way in self.dialler(**(options or {})).ways(entrance(*args, **told))]

    def refused(self, kind, *args, **told):
        return self.assertRaises(kind, self.ways, *args, **told).message


class PrivacyTests(DiallerCase):
    """What came to a route by TLS goes on by TLS."""

    def test_a_server_without_tls(self):
        message = self.refused(Insecure)
        for word in ("https://chat.example", "10.0.0.1:11211", "--listen tls:", "--insecure"):
            self.assertIn(word, message)
        self.refused(Insecure, websocket="ws://chat.example/v1/socket")

    def test_one_that_has_it_for_websockets(self):
        self.assertEqual(self.ways(websocket=WEBSOCKET), [(WEBSOCKET, "chat.example")])

    def test_one_on_this_machine(self):
        self.assertEqual(self.ways("127.0.0.1", route="https://localhost"), [("127.0.0.1:11211", "")])

    def test_whoever_says_so(self):
        self.assertEqual(self.ways(options={"insecure": True}), [("10.0.0.1:11211", "")])

    def test_a_server_that_has_it_for_tcp_alone(self):
        told = {"route": "http://10.0.0.1:8083", "tls_name": "a.example", "websocket": "ws://10.0.0.1:11212/v1/socket"}
        self.assertEqual(self.ways(**told), [("10.0.0.1:11211", "a.example")])
        self.assertIn("ws://10.0.0.1:11212", self.refused(Insecure, **told, options={"websocket": True}))

    def test_a_route_without_tls(self):
        self.assertEqual(self.ways(route="http://10.0.0.1:8083"), [("10.0.0.1:11211", "")])


class WaysTests(DiallerCase):
    def test_both(self):
        told = {"tls_name": "a.example", "websocket": WEBSOCKET}
        self.assertEqual(self.ways(**told), [("10.0.0.1:11211", "a.example"), (WEBSOCKET, "chat.example")])
        self.assertEqual(self.ways(**told, options={"websocket": True}), [(WEBSOCKET, "chat.example")])

    def test_without_websockets(self):
        for websocket in (
            "",
            "http://a/",
            "wss://",
            "wss://a:x/",
            "wss://a:99999/",
            "wss://ä/",
            "wss://a/\r\nX: y",
            "x",
        ):
            self.assertEqual(len(self.ways(tls_name="a", websocket=websocket)), 1, websocket)
            self.refused(NotSupported, tls_name="a", websocket=websocket, options={"websocket": True})

    def test_loopback_of_another_machine(self):
        """As a server that nginx stands before may advertise itself."""
        told = {"host": "127.0.0.1", "tls_name": "a"}
        self.assertEqual(self.ways(**told, websocket=WEBSOCKET), [(WEBSOCKET, "chat.example")])
        self.assertIn("--advertise", self.refused(Misdirected, **told, websocket="wss://127.0.0.1:11212/v1/socket"))


class Connection:
    """Stands for a ServerConnection."""

    place = ""


class ConnectTests(DiallerCase):
    """What answers where is in `answers`; what was tried, in order, in `tried`."""

    def setUp(self):
        self.tried = []
        self.answers = {}

    def endpoint(self, host, port):
        self.tried.append(port)
        return Endpoint(self.answers.get(port, ConnectionRefusedError()))

    def connect(self, dialler, websocket="ws://10.0.0.1:11212/v1/socket"):
        connection = Connection()
        dialler._to = lambda way: self.endpoint(way.host, way.port)
        told = entrance(route="http://10.0.0.1", websocket=websocket)
        done = Deferred.fromCoroutine(dialler.connect(told, connection))
        return connection, done

    def test_tcp_first(self):
        self.answers = {11211: None, 11212: None}
        connection, done = self.connect(self.dialler())
        self.successResultOf(done)
        self.assertEqual((connection.place, self.tried), ("10.0.0.1:11211", [11211]))

    def test_websocket_where_tcp_cannot_be_reached(self):
        """And it is known the next time."""
        dialler = self.dialler()
        self.answers = {11212: None}
        for tried in ([11211, 11212], [11212]):
            self.tried = []
            connection, done = self.connect(dialler)
            self.successResultOf(done)
            self.assertEqual((connection.place, self.tried), ("ws://10.0.0.1:11212/v1/socket", tried))
        # TCP again, once that is what can be reached.
        self.answers = {11211: None}
        for tried in ([11212, 11211], [11211]):
            self.tried = []
            connection, done = self.connect(dialler)
            self.successResultOf(done)
            self.assertEqual((connection.place, self.tried), ("10.0.0.1:11211", tried))

    def test_what_is_known_outlasts_a_time_in_which_neither_can_be_reached(self):
        dialler = self.dialler()
        for answers, tried in (({11212: None}, [11211, 11212]), ({}, [11212, 11211]), ({11212: None}, [11212])):
            self.tried, self.answers = [], answers
            self.connect(dialler)[1].addErrback(lambda failure: failure.trap(Unavailable))
            self.assertEqual(self.tried, tried)

    def test_neither(self):
        dialler = self.dialler()
        for _ in range(2):
            self.tried = []
            self.answers = {11212: Unavailable("ws://10.0.0.1:11212/v1/socket has no WebSocket (HTTP 404)")}
            error = self.failureResultOf(self.connect(dialler)[1], Unavailable).value
            self.assertEqual(self.tried, [11211, 11212])
            for word in ("10.0.0.1:11211 cannot be reached", "HTTP 404"):
                self.assertIn(word, error.message)

    def test_a_stranger_before_the_websocket(self):
        self.answers = {11212: Untrusted("not for 10.0.0.1")}
        self.failureResultOf(self.connect(self.dialler())[1], Untrusted)


class Endpoint:
    """Stands for one that connects, or fails."""

    def __init__(self, error):
        self.error = error

    def connect(self, factory):
        return succeed(None) if self.error is None else fail(self.error)

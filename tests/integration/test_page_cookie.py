"""The page's cookie in a real Chromium: what scripts see of it, and where the browser lets it count."""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol

from tests.harness.chromium import LAN_NAME
from tests.integration.browser_case import PASSWORD, BrowserCase

#: Makes a call as the page does, and returns its status, and what it says.
CALL = """
const [method, path, body, more, done] = arguments;
const headers = { ...(body ? { 'Content-Type': 'application/json' } : {}), ...more };
fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: 'include' })
  .then(async (answer) => done([answer.status, await answer.json().catch(() => null)]))
  .catch((error) => done([0, `${error}`]));
"""
#: Opens a WebSocket, and returns the first Packet on it, or that it is not let in.
OPEN = """
const [path, login, done] = arguments;
const socket = new WebSocket(new URL(path, location.href.replace('http', 'ws')), 'cim.v1.json');
socket.onopen = () => socket.send(JSON.stringify({ hello: { ticket: login.ticket, device: login.device } }));
socket.onmessage = (event) => done(Object.keys(JSON.parse(event.data))[0]);
socket.onerror = () => done('refused');
"""
GET = {"X-HTTP-Method-Override": "GET"}


class Elsewhere(Protocol):
    """Answers whatever is asked with a blank page, once."""

    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>blank</title>")
        self.transport.loseConnection()


class CookieTests(BrowserCase):
    network_fails = True
    options = ("--accounts", "open")

    async def setUp(self):
        await super().setUp()
        self.elsewhere = self.reactor.listenTCP(0, Factory.forProtocol(Elsewhere), interface="127.0.0.1")
        self.addCleanup(self.elsewhere.stopListening)

    def _is_wrong(self, entry):
        return super()._is_wrong(entry) and "blocked by CORS policy" not in entry["message"]

    def call(self, tab, method, path, body=None, more=None):
        return tab.driver.execute_async_script(CALL, method, path, body, more or {})

    def log_in(self, tab, name):
        self.call(tab, "POST", "/v1/accounts", {"name": name, "password": PASSWORD})
        fields = {"name": name, "password": PASSWORD, "device": "web-1", "cookie": True}
        status, login = self.call(tab, "POST", "/v1/sessions", fields)
        self.assertEqual((status, "token" in login), (201, False))
        return login

    def test_at_loopback(self):
        tab = self.profile().tab()
        login = self.log_in(tab, "alice")
        self.assertEqual(tab.run("return document.cookie"), "")
        self.assertEqual(self.call(tab, "GET", "/v1/sessions")[0], 200)
        self.assertEqual(tab.driver.execute_async_script(OPEN, login["server"]["socket"], login), "welcome")
        # Another port of the same host is of the same site, so the browser sends the cookie there and from there.
        tab.open(f"http://127.0.0.1:{self.elsewhere.getHost().port}/")
        for method, body in (("GET", None), ("DELETE", None)):
            self.assertEqual(self.call(tab, method, f"{self.page}v1/sessions/web-1", body)[0], 0)
        self.assertEqual(
            tab.driver.execute_async_script(OPEN, f"{self.page}v1/socket".replace("http", "ws"), login), "refused"
        )
        tab.open(self.page)
        self.assertEqual(self.call(tab, "GET", "/v1/sessions")[0], 200)
        self.assertEqual(self.call(tab, "DELETE", "/v1/sessions/web-1")[0], 204)
        self.assertEqual(self.call(tab, "GET", "/v1/sessions")[0], 401)

    def test_at_an_address_without_tls(self):
        """The browser says nothing of who makes a GET there."""
        tab = self.profile().tab(self.page.replace("127.0.0.1", LAN_NAME))
        self.assertFalse(tab.run("return isSecureContext"))
        login = self.log_in(tab, "alice")
        self.assertEqual(self.call(tab, "GET", "/v1/sessions")[0], 401)
        status, said = self.call(tab, "POST", "/v1/sessions", None, GET)
        self.assertEqual((status, [session["device"] for session in said["sessions"]]), (200, ["web-1"]))
        self.assertEqual(tab.driver.execute_async_script(OPEN, login["server"]["socket"], login), "welcome")

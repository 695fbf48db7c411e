"""The browser that other tests stand on, before a page that does what no page of ours may."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.harness.chromium import LAN_NAME, Chromium, shared_chromium
from tests.harness.spawning import HOST
from tests.integration.browser_case import Profile

PAGE = b"<title>page</title><p style='color: red'>text</p><script>document.title = 'changed'</script>"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


class ChromiumTests(TestCase):
    timeout = 60

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor

    async def test_what_pages_do_is_seen(self):
        server = ThreadingHTTPServer((HOST, 0), Page)
        Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(deferToThread, server.shutdown)
        await deferToThread(self._look, shared_chromium(self.reactor), server.server_port)

    def _look(self, chromium, port):
        here, lan = f"http://{HOST}:{port}/", f"http://{LAN_NAME}:{port}/"
        chromium.console()
        one, other = Profile(chromium, here), Profile(chromium, here)
        first = one.tab()
        self.assertEqual(first.driver.title, "page")
        refused = [entry["message"] for entry in chromium.console() if "Content Security Policy" in entry["message"]]
        self.assertEqual(len(refused), 2, refused)
        first.run(
            "localStorage.setItem('a', 'kept'); console.error('oh', 'dear'); setTimeout(() => { throw Error('x') })"
        )
        second = one.tab()
        self.assertEqual(second.run("return [localStorage.getItem('a'), isSecureContext]"), ["kept", True])
        self.assertEqual(other.tab().run("return localStorage.getItem('a')"), None)
        self.assertFalse(other.tab(lan).run("return isSecureContext"))
        self.assertEqual([tab.peek("document.hidden") for tab in (first, second)], [True, False])
        first.show()
        self.assertEqual([tab.peek("document.hidden") for tab in (first, second)], [False, True])
        wrong = " ".join(entry["message"] for entry in chromium.console() if entry["level"] == "SEVERE")
        self.assertIn('"oh" "dear"', wrong)
        self.assertIn("Uncaught Error: x", wrong)
        first.offline()
        self.assertFalse(first.run("return navigator.onLine"))
        for profile in (one, other):
            profile.end()

    async def test_nothing_of_it_stays(self):
        chromium = Chromium()
        self.addCleanup(chromium.end)
        group = chromium.process.pid
        os.killpg(group, 0)
        chromium.end()
        # What is killed is gone soon after.
        for _ in range(500):
            if _living(group):
                await deferLater(self.reactor, 0.02)
        self.assertEqual(_living(group), [])
        self.assertFalse(os.path.exists(chromium.directory))


def _living(group):
    """Return the processes of a group; those that ended and were not yet asked for do not count."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, _, process_group = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(pid))
    return found

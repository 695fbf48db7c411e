"""The documented nginx in front of a suite that listens on loopback only."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cim.client.client import Client
from cim.client.values import Password
from tests.client.client_case import Listener
from tests.etc.test_samples import temporary
from tests.harness.asking import ask
from tests.harness.daemons import loopback
from tests.harness.processes import HOST, DaemonProcess, free_port
from tests.harness.spawning import require
from tests.integration.cluster_case import ClusterCase

NAME = "chat.example.com"
ETC = Path(__file__).resolve().parents[2] / "etc"


class NginxTests(ClusterCase):
    async def begin(self, *options):
        """Start a suite with these options, and nginx in front of it."""
        http, self.tcp = free_port(), free_port()
        self.suite = self.daemon(
            "suite", http, "--listen", loopback(self.tcp), "--http", loopback(http), "--data", "data", *options
        )
        await self.started(self.suite)
        self.port = free_port()
        text = (ETC / "nginx.conf").read_text()
        for documented, real in (
            ("listen 80;", f"listen {HOST}:{self.port};"),
            ("server 10.0.0.1:8083", f"server {HOST}:{http}"),
            ("    server 10.0.0.2:8083 max_fails=2 fail_timeout=5s;\n", ""),
            # nginx must know at its start where that is, but nobody asks for it here.
            ("http://10.0.0.11:11212", f"http://{HOST}:{free_port()}"),
        ):
            self.assertIn(documented, text)
            text = text.replace(documented, real)
        folder = self.folder("nginx")
        Path(folder, "cim.conf").write_text(text)
        path = Path(folder, "nginx.conf")
        path.write_text(
            f"daemon off; master_process off; error_log stderr; pid {folder}/pid; events {{}}\n"
            f"http {{ access_log off; {temporary(folder)} include {folder}/cim.conf; }}\n"
        )
        program = require("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else "nginx", "nginx-light")
        nginx = self.added(DaemonProcess(self.reactor, [program, "-p", folder, "-c", str(path)], name="nginx"))
        await nginx.start()
        await self.until(lambda: self.ask(NAME), lambda answer: answer[0], "nginx answers")

    async def ask(self, host, *, port=None, path="/onlineUser", header=""):
        """Return the status and the body of the answer to a request for that host."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *([header] if header else []), "", ""]
        answer = await ask(self.reactor, HOST, port or self.port, "\r\n".join(lines).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else 0), body

    async def statuses(self, *hosts, **request):
        return [(await self.ask(host, **request))[0] for host in hosts]

    async def test_the_name_that_was_given(self):
        await self.begin("--hosts", NAME)
        self.assertEqual(await self.statuses(NAME, f"{NAME}:443", "localhost", HOST), [200] * 4)
        self.assertEqual(await self.statuses("evil.example", f"{NAME}.evil.example", "10.0.0.1"), [421] * 3)
        # Directly, too; there is no other way in.
        self.assertEqual(await self.statuses(NAME, "localhost", port=self.suite.http_port), [200] * 2)
        self.assertEqual(await self.statuses("evil.example", port=self.suite.http_port, path="/metrics"), [421])

    async def test_without_it_the_answer_names_the_option(self):
        await self.begin()
        status, body = await self.ask(NAME)
        self.assertEqual(status, 421)
        answer = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        self.assertIn(f'"{NAME}" is not a name of this daemon', answer["message"])
        self.assertIn("--hosts", answer["message"])
        await self.suite.wait_for_line(f'"{NAME}", which is not a name of this daemon')

    async def test_a_page_of_a_listed_origin(self):
        await self.begin("--origins", f"https://{NAME}")
        page = f"Origin: https://{NAME}"
        self.assertEqual(await self.statuses(NAME, path="/openapi.json", header=page), [200])
        self.assertEqual(await self.statuses("evil.example", path="/openapi.json", header=page), [421])

    async def test_clients_talk_through_it(self):
        await self.begin("--hosts", NAME)
        alice, bob = (self.client(name) for name in ("alice", "bob"))
        await alice.when_ready()
        await bob.when_ready()
        await alice.send(bob.me, "hello through nginx")
        await self.until(
            lambda: [message.text for message in bob.heard.messages], lambda texts: texts == ["hello through nginx"], ""
        )

    def client(self, name):
        client = Client(
            self.reactor, [f"http://{HOST}:{self.port}"], Password(name, f"password of {name}", create=True)
        )
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

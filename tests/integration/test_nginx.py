"""Pages, clients and bots through the nginx of `etc/nginx.conf`, with and without TLS."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from cim.client.client import Client
from cim.client.trust import Trust
from cim.client.values import Password
from tests.client.client_case import Listener
from tests.etc.test_samples import ETC, temporary
from tests.harness.asking import ask
from tests.harness.certificates import certified, put
from tests.harness.daemons import ROOT, environment, loopback, twistd
from tests.harness.processes import HOST, DaemonProcess, free_port
from tests.harness.spawning import require
from tests.integration.cluster_case import ClusterCase


class NginxCase(ClusterCase):
    """A suite that listens on loopback only, and nginx in front of it.

    :cvar trust: whom clients believe
    """

    trust = Trust()

    def setUp(self):
        super().setUp()
        self.http, self.tcp, self.websocket, self.port = (free_port() for _ in range(4))

    async def begin(self, *options, **front):
        """Start both.

        :param options: further ones for the suite
        """
        self.suite = self.daemon(
            *("suite", self.http, "--listen", loopback(self.tcp), "--http", loopback(self.http)),
            *("--websocket", loopback(self.websocket), "--data", "data", *options),
        )
        await self.started(self.suite)
        await self.front([self.http], [self.websocket, self.websocket], **front)

    async def front(self, routes, servers, certificate=None):
        """Start nginx; only addresses and paths are changed in the sample.

        :param routes: the ports of one or two
        :param servers: the ports of the WebSockets of two
        :param certificate: what nginx shows at `port`; without it there is no TLS there
        """
        text = (ETC / "nginx.conf").read_text()
        second = "    server 10.0.0.2:8083 max_fails=2 fail_timeout=5s;\n"
        lines = "".join(re.findall("^ *ssl_certificate.*\n", text, re.MULTILINE))
        changes = [
            ("listen 80;", f"listen {HOST}:{free_port()};"),
            ("listen 443 ssl;", f"listen {HOST}:{self.port}{' ssl' if certificate else ''};"),
            (second, second.replace("10.0.0.2:8083", f"{HOST}:{routes[-1]}") if len(routes) > 1 else ""),
            ("10.0.0.1:8083", f"{HOST}:{routes[0]}"),
            ("10.0.0.11:11212", f"{HOST}:{servers[0]}"),
            ("10.0.0.12:11212", f"{HOST}:{servers[1]}"),
        ]
        folder = self.folder("nginx")
        if certificate:
            put(Path(folder, "cim.pem"), certificate.pem)
            put(Path(folder, "cim.key"), certificate.key_pem)
            changes.append(("/etc/cim/certificates/", f"{folder}/"))
        else:
            changes.append((lines, ""))
        for documented, real in changes:
            self.assertIn(documented, text)
            text = text.replace(documented, real)
        self.assertNotIn("10.0.0.", text)
        Path(folder, "cim.conf").write_text(text)
        path = Path(folder, "nginx.conf")
        path.write_text(
            # One process: a worker would outlive a master that is killed.
            f"daemon off; master_process off; error_log stderr; pid {folder}/pid; events {{}}\n"
            f"http {{ access_log off; {temporary(folder)} include {folder}/cim.conf; }}\n"
        )
        program = require("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else "nginx", "nginx-light")
        self.nginx = self.added(DaemonProcess(self.reactor, [program, "-p", folder, "-c", str(path)], name="nginx"))
        await self.nginx.start()
        # With TLS, too, nginx answers who does not speak it.
        await self.until(lambda: self.ask("localhost"), lambda answer: answer[0], "nginx answers")

    async def ask(self, host, *, port=None, path="/onlineUser", header=""):
        """Return the status and the body of the answer to a request for that host."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *([header] if header else []), "", ""]
        answer = await ask(self.reactor, HOST, port or self.port, "\r\n".join(lines).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else 0), body

    async def client(self, name, **options):
        """Return a client of the library that is online, with what it heard."""
        credentials = Password(name, f"password of {name}", create=True)
        client = Client(self.reactor, self.url, credentials, trust=self.trust, **options)
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client


class NamesTests(NginxCase):
    """The name that clients use has to be told to a suite on loopback."""

    NAME = "chat.example.com"

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    async def statuses(self, *hosts, **request):
        return [(await self.ask(host, **request))[0] for host in hosts]

    async def test_the_name_that_was_given(self):
        await self.begin("--hosts", self.NAME)
        self.assertEqual(await self.statuses(self.NAME, f"{self.NAME}:443", "localhost", HOST), [200] * 4)
        self.assertEqual(await self.statuses("evil.example", f"{self.NAME}.evil.example", "10.0.0.1"), [421] * 3)
        # Directly, too; there is no other way in.
        self.assertEqual(await self.statuses(self.NAME, "localhost", port=self.suite.http_port), [200] * 2)
        self.assertEqual(await self.statuses("evil.example", port=self.suite.http_port, path="/metrics"), [421])

    async def test_without_it_the_answer_names_the_option(self):
        await self.begin()
        status, body = await self.ask(self.NAME)
        self.assertEqual(status, 421)
        answer = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        self.assertIn(f'"{self.NAME}" is not a name of this daemon', answer["message"])
        self.assertIn("--hosts", answer["message"])
        await self.suite.wait_for_line(f'"{self.NAME}", which is not a name of this daemon')

    async def test_a_page_of_a_listed_origin(self):
        await self.begin("--origins", f"https://{self.NAME}")
        page = f"Origin: https://{self.NAME}"
        self.assertEqual(await self.statuses(self.NAME, path="/openapi.json", header=page), [200])
        self.assertEqual(await self.statuses("evil.example", path="/openapi.json", header=page), [421])

    async def test_clients_talk_through_it(self):
        await self.begin("--hosts", self.NAME, "--accounts", "open")
        alice, bob = await self.client("alice"), await self.client("bob")
        await alice.send(bob.me, "hello through nginx")
        await self.until(lambda: bob.heard.others, lambda heard: heard == ["hello through nginx"], "the message")


class OnePortTests(NginxCase):
    """One port with TLS, and nothing else within the clients' reach."""

    NAME = "localhost"

    async def setUp(self):
        super().setUp()
        root = certified("root", ca=True)
        made = certified(self.NAME, signer=root)
        self.ca = self.written("root.pem", root.certificate_pem)
        self.trust = Trust(ca=self.ca)
        await self.begin(
            # Where others are told to find its TCP port, nobody listens: a firewall, or an address inside.
            *("--advertise", f"{HOST}:{free_port()}:{self.http}", "--login-policy", "many"),
            *("--advertise-websocket", f"wss://{self.NAME}:{self.port}/servers/1/v1/socket"),
            certificate=made,
        )

    @property
    def url(self):
        return f"https://{self.NAME}:{self.port}"

    def written(self, name, data):
        path = Path(self.folder("files"), name)
        path.write_bytes(data)
        return str(path)

    def bot(self, name):
        """Return a program of examples/ as it is; the machine's roots are those of the test."""
        return self.added(
            DaemonProcess(
                self.reactor,
                [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--route", self.url, "--user", name],
                environment({"XDG_DATA_HOME": self.folder("share"), "SSL_CERT_FILE": self.ca}),
                self.directory,
                name=name,
                ready_when="is online",
            )
        )

    async def test_bots(self):
        """One on Twisted and one on asyncio; each answers everything once, over nginx that is restarted, too."""
        bots = [self.bot("echo_bot"), self.bot("aio_echo")]
        for bot in bots:
            await bot.start()
        alice = await self.client("alice")
        said = ["short", "你好" * 5000, *(str(number) for number in range(20))]
        for name in ("echo_bot", "aio_echo"):
            bot = await alice.user(name)
            for text in said:
                await alice.send(bot, text)
            await self.until(
                lambda: alice.heard.others[-len(said) :], lambda heard: heard == said, f"the answers of {name}"
            )
        echo = await alice.user("echo_bot")
        await self.nginx.restart()
        await alice.send(echo, "and on it goes")
        await self.until(lambda: alice.heard.others, lambda heard: heard[-1] == "and on it goes", "the answer")
        self.assertEqual(len(alice.heard.others), 2 * len(said) + 1)

    async def test_by_websocket_alone(self):
        alice, bob = await self.client("alice", websocket=True), await self.client("bob")
        await alice.send(bob.me, "hello")
        await self.until(lambda: bob.heard.others, lambda heard: heard == ["hello"], "the message")

    async def test_the_terminal(self):
        """One that trusts nobody is told the pin; with it, it is in."""

        def terminal(*options):
            argv = twistd("cim-client", "--route", self.url, "--data", self.folder("terminal"), *options, "carol")
            return self.added(DaemonProcess(self.reactor, argv, environment(), self.directory, name="terminal"))

        stranger = terminal()
        await stranger.start()
        self.assertEqual(await stranger.wait_for_exit(30), 1)
        (line,) = [line for line in stranger.lines if "sha256:" in line and "its pin is" in line]
        pin = "sha256:" + line.partition("its pin is sha256:")[2][:64]
        for options in (("--pin", pin), ()):
            carol = terminal(*options)
            await carol.start()
            await carol.wait_for_line("logged in as carol", 30)
            carol.close_stdin()
            self.assertEqual(await carol.wait_for_exit(30), 0)

"""Pages, clients and bots through the nginx of `etc/nginx.conf`, with and without TLS."""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from cim.client.client import Client
from cim.client.trust import Trust
from cim.client.values import Password
from cim.wire.websocket_frames import JSON
from tests.client.client_case import Listener
from tests.etc.program_case import temporary
from tests.etc.test_samples import ETC
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

    async def begin(self, *options, others=(), **front):
        """Start both.

        :param options: further ones for the suite
        :param others: the port of another route, if there is one
        """
        self.suite = self.daemon(
            *("suite", self.http, "--listen", loopback(self.tcp), "--http", loopback(self.http)),
            *("--websocket", loopback(self.websocket), "--data", "data", *options),
        )
        await self.started(self.suite)
        await self.front([self.http, *others], [self.websocket, self.websocket], **front)

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


class Browser:
    """What a browser does of the page at a host, with a jar of cookies. Its methods block."""

    def __init__(self, port, ca=None):
        self.context = ssl.create_default_context(cafile=ca) if ca else None
        self.place = f"localhost:{port}"
        self.origin = f"http{'s' if ca else ''}://{self.place}"
        self.jar = {}

    def ask(self, method, path, body=None, **headers):
        """Return the status, the headers and the body of an answer."""
        connection = (
            HTTPSConnection(self.place, context=self.context, timeout=30)
            if self.context is not None
            else HTTPConnection(self.place, timeout=30)
        )
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        if method != "GET":
            headers["Origin"] = self.origin
            headers["Content-Type"] = "application/json"
        else:
            headers["Sec-Fetch-Site"] = "same-origin"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.jar[name] = value
        raw = answer.read()
        connection.close()
        return answer.status, answer.headers, raw

    def log_in(self, name=None, device="web-1"):
        """Log in by the page, or go on with its cookie; return the answer and the cookie's header."""
        proof = {"name": name, "password": f"password of {name}"} if name else {}
        status, headers, raw = self.ask("POST", "/v1/sessions", {**proof, "device": device, "cookie": True})
        return status, json.loads(raw), headers["Set-Cookie"]

    def register(self, name):
        """Make an account, and log in."""
        self.ask("POST", "/v1/accounts", {"name": name, "password": f"password of {name}"})
        return self.log_in(name)

    def connect(self, url, login, origin=None):
        """Return a WebSocket with a session, and the first Packet on it."""
        socket = connect(
            url,
            subprotocols=[JSON],
            origin=origin or self.origin,
            proxy=None,
            open_timeout=30,
            **({"ssl": self.context} if url.startswith("wss:") else {}),
        )
        socket.send(json.dumps({"hello": {"ticket": login["ticket"], "device": login["device"]}}))
        return socket, json.loads(socket.recv(timeout=30))


def heard(socket):
    """Return the next text that a socket gets."""
    while True:
        packet = json.loads(socket.recv(timeout=30))
        if "deliver" in packet:
            return packet["deliver"]["text"]


class ClusterPageTests(NginxCase):
    """Two routes and two servers behind one host name."""

    async def test_a_page(self):
        root = certified("root", ca=True)
        ca = Path(self.folder("files"), "root.pem")
        ca.write_bytes(root.certificate_pem)
        await self.stores()
        sockets = [free_port(), free_port()]
        servers = [
            self.server(
                *("--websocket", loopback(port)),
                *("--advertise-websocket", f"wss://localhost:{self.port}/servers/{number}/v1/socket"),
            )
            for number, port in enumerate(sockets, 1)
        ]
        routes = [self.route("--accounts", "open", "--trusted-proxies", HOST) for _ in range(2)]
        await self.started(*servers, *routes)
        await self.linked(servers, routes)
        await self.front([route.http_port for route in routes], sockets, certified("localhost", signer=root))
        await deferToThread(self.use, str(ca), [server.node for server in servers])

    def use(self, ca, nodes):
        """Do what people do; blocks."""
        alice, bob, mallory = (Browser(self.port, ca) for _ in range(3))
        status, headers, page = alice.ask("GET", "/", Accept="text/html")
        policy = headers["Content-Security-Policy"]
        self.assertEqual((status, policy.count(f"wss://localhost:{self.port}"), policy.count("ws:")), (200, 1, 0))
        files = re.findall(rb'(?:src|href)="(/web-[^"]+)"', page)
        self.assertTrue(files)
        # From whichever route.
        self.assertEqual({alice.ask("GET", file.decode())[0] for file in files * 2}, {200})
        # Round-robin: at different servers.
        logins = [browser.register(name) for browser, name in ((alice, "alice"), (bob, "bob"))]
        for status, said, cookie in logins:
            self.assertEqual((status, "token" in said, said["server"]["socket"]), (201, False, None))
            self.assertTrue(cookie.startswith("__Host-cim="))
            self.assertIn("; Secure", cookie)
        (_, at_alice, _), (_, at_bob, _) = logins
        urls = [at_alice["server"]["websocket"], at_bob["server"]["websocket"]]
        places = [f"wss://localhost:{self.port}/servers/{number}/v1/socket" for number in (1, 2)]
        self.assertEqual(sorted(urls), places)
        for url, said in zip(urls, (at_alice, at_bob), strict=True):
            port = nodes[places.index(url)].split(":")[1]
            self.assertEqual(str(said["server"]["tcp_port"]), port)
        # A ticket is for one server, and a foreign page is let in nowhere.
        with self.assertRaises(InvalidStatus) as caught:
            mallory.connect(urls[0], at_alice, origin="https://evil.example")
        self.assertEqual(caught.exception.response.status_code, 403)
        _, packet = mallory.connect(urls[1], at_alice)
        self.assertEqual(packet["goodbye"]["code"], "unauthorized")
        first, packet = alice.connect(urls[0], at_alice)
        self.assertIn("welcome", packet)
        second, packet = bob.connect(urls[1], at_bob)
        self.assertIn("welcome", packet)
        first.send(json.dumps({"send": {"user": str(at_bob["user_id"]), "clientId": "1", "text": "hello"}}))
        self.assertEqual(heard(second), "hello")
        for path in ("/servers/3/v1/socket", "/v1/socket", "/metrics"):
            self.assertEqual(alice.ask("GET", path)[0], 404)
        # Whichever route is asked, and whoever has a copy.
        mallory.jar = dict(alice.jar)
        self.assertEqual([mallory.ask("GET", "/v1/sessions")[0] for _ in range(4)], [200] * 4)
        self.assertEqual(alice.ask("DELETE", "/v1/sessions/web-1")[0], 204)
        self.assertEqual([mallory.ask("GET", "/v1/sessions")[0] for _ in range(4)], [401] * 4)
        self.assertEqual(mallory.log_in()[0], 401)
        self.assertEqual(bob.ask("GET", "/v1/sessions")[0], 200)
        second.close()


class OtherRelease(Protocol):
    """A route that has none of the files."""

    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.transport.loseConnection()


class SuitePageTests(NginxCase):
    """A suite whose HTTP port takes connections with TLS and without it, with and without nginx before it."""

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    async def test_a_page(self):
        root = certified("root", ca=True)
        files = Path(self.folder("files"))
        (files / "root.pem").write_bytes(root.certificate_pem)
        certificates = Path(self.folder("certificates"))
        put(certificates / "a.pem", certified("localhost", signer=root).pem)
        # That port is enough.
        http = f"tls:{certificates}:{self.http}:interface={HOST}:plain=yes"
        await self.begin("--accounts", "open", "--websocket", "", "--http", http)
        await self.client("dave", websocket=True)
        direct = [Browser(self.http, str(files / "root.pem")), Browser(self.http)]
        await deferToThread(self.use, direct)
        await self.suite.restart()
        await deferToThread(self.go_on, direct)

    async def test_its_files_while_routes_of_two_releases_run(self):
        """They are found, whichever route is asked first; other answers are passed on as they are."""
        other = self.reactor.listenTCP(0, Factory.forProtocol(OtherRelease), interface=HOST)
        self.addCleanup(other.stopListening)
        await self.begin(others=[other.getHost().port])
        page = (await self.ask("localhost", port=self.http, path="/", header="Accept: text/html"))[1]
        file = re.search(rb'"(/web-[^"]+)"', page)[1].decode()
        self.assertEqual([(await self.ask("localhost", path=file))[0] for _ in range(6)], [200] * 6)
        self.assertIn(404, [(await self.ask("localhost", path="/openapi.json"))[0] for _ in range(6)])

    def use(self, direct):
        """Log in with nginx and without, and out; blocks."""
        near, other = direct
        behind = Browser(self.port)
        logins = [browser.register(name) for browser, name in ((near, "alice"), (other, "carol"), (behind, "bob"))]
        for (status, said, cookie), browser in zip(logins, (near, other, behind), strict=True):
            self.assertEqual((status, said["server"]["socket"]), (201, "/v1/socket"))
            name = "__Host-cim" if browser.context else f"cim-{browser.place.partition(':')[2]}"
            self.assertEqual((cookie.partition("=")[0], "Secure" in cookie), (name, bool(browser.context)))
        sockets = [
            browser.connect(f"{browser.origin.replace('http', 'ws')}/v1/socket", said)
            for browser, (_, said, _) in zip((near, behind), (logins[0], logins[2]), strict=True)
        ]
        self.assertEqual([list(packet) for _, packet in sockets], [["welcome"]] * 2)
        (first, _), (second, _) = sockets
        first.send(json.dumps({"send": {"user": str(logins[2][1]["user_id"]), "clientId": "1", "text": "x" * 40_000}}))
        self.assertEqual(heard(second), "x" * 40_000)
        with self.assertRaises(InvalidStatus):
            near.connect(f"wss://{near.place}/v1/socket", logins[0][1], origin=behind.origin)
        self.assertEqual([browser.ask("GET", "/v1/sessions")[0] for browser in (near, other, behind)], [200] * 3)
        near.copy = dict(near.jar)
        self.assertEqual(near.ask("DELETE", "/v1/sessions/web-1")[0], 204)
        for socket, _ in sockets:
            socket.close()

    def go_on(self, direct):
        """Who had logged out still is, and who had not is still in; blocks."""
        near, other = direct
        near.jar = near.copy
        self.assertEqual([near.ask("GET", "/v1/sessions")[0], near.log_in()[0]], [401, 401])
        self.assertEqual([other.ask("GET", "/v1/sessions")[0], other.log_in()[0]], [200, 201])

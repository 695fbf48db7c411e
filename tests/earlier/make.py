"""Has earlier releases store something, and keeps that for tests: `python -m tests.earlier.make COMMIT...`.

The daemons of each release run from its files, with the Python packages of today.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.earlier import HERE
from tests.harness.releases import checkout

KEY = secrets.token_hex(32)
CLIENT = """
import sys
from twisted.internet.task import react
from cim.client.client import Client
from cim.client.history import SqliteHistory
from cim.client.values import Password

async def main(reactor):
    route, history, name, password, peer, text = sys.argv[1:]
    client = Client(reactor, route, Password(name, password), history=SqliteHistory(history, reactor))
    client.startService()
    await client.when_ready()
    sent = await client.send(await client.user(peer), text)
    while not [m for m in await client.history(sent.conversation) if m.text == text]:
        pass
    await client.close()

react(main)
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class API:
    """Calls of a route; those that a release does not know return None.

    :param made: what is stored, as the release says it
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: dict[str, Any] = {"accounts": {}, "guests": {}, "pages": {}, "conversations": {}, "groups": {}}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the answer."""
        request = urllib.request.Request(self.url + path, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=10) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            if error.code in (400, 403, 404, 405, 409):
                return None
            raise

    def guest(self, name: str) -> int:
        """Make a guest."""
        answer = self.call("POST", "/registerAccount", {"userName": name})
        id: int = answer["dataBody"]["userId"]
        self.made["guests"][name] = id
        return id

    def account(self, name: str, password: str) -> int:
        """Make an account with a password; 0 if that is refused."""
        answer = self.call("POST", "/v1/accounts", {"name": name, "password": password})
        if answer is None:
            return 0
        self.made["accounts"][name] = [answer["id"], password]
        id: int = answer["id"]
        return id

    def as_user(self, user: int) -> dict[str, str]:
        """Return the headers of calls of a user."""
        [password] = [password for id, password in self.made["accounts"].values() if id == user]
        login = self.call("POST", "/v1/sessions", {"id": user, "password": password})
        return {"Authorization": f"Bearer {login['token']}"}


def drive(api: API) -> None:
    """Have everything stored that the release knows."""
    alice, bob = api.guest("old alice"), api.guest("老朋友")
    api.call("POST", "/p2pRoute", {"userId": alice, "receiveUserId": bob, "msg": "from a guest"})
    api.call("POST", "/p2pRoute", {"userId": alice, "receiveUserId": bob, "batchMsg": ["one", "two"]})
    api.call("POST", "/groupRoute", {"userId": alice, "msg": "to everyone, from a guest"})
    carol = api.account("carol", "correct horse")
    if not carol:
        return
    dave, erin = api.account("dave", "battery staple"), api.account("erin", "pass 密码 word")
    api.account("Carol", "looks like carol")
    mallory = api.account("mallory", "a long password")
    as_carol, as_dave = api.as_user(carol), api.as_user(dave)
    said = [
        api.call("POST", "/v1/messages", {"to_user": dave, "client_id": f"a{n}", "text": text}, **as_carol)
        for n, text in enumerate(("hello dave", "to be edited", "to be recalled", "with a reaction"))
    ]
    private = said[0]["conversation"]
    for n, change in enumerate(
        (
            {"kind": "EDIT", "ref": said[1]["position"], "text": "edited"},
            {"kind": "RECALL", "ref": said[2]["position"]},
            {"kind": "REACTION", "ref": said[3]["position"], "text": "+1"},
        )
    ):
        api.call("POST", "/v1/messages", {"to_user": dave, "client_id": f"b{n}", **change}, **as_carol)
    api.call("PUT", f"/v1/conversations/{private}/read", {"position": said[1]["position"]}, **as_dave)
    api.call("POST", "/v1/messages", {"to_user": carol, "client_id": "d0", "text": "hello carol"}, **as_dave)
    api.call("POST", "/v1/messages", {"to_group": 0, "client_id": "e0", "text": "to everyone"}, **as_carol)
    for open in (True, False):
        group = api.call("POST", "/v1/groups", {"name": f"open {open}", "open": open, "history": not open}, **as_carol)
        members = f"/v1/groups/{group['id']}/members"
        api.call("POST", "/v1/messages", {"to_group": group["id"], "client_id": "g0", "text": "before"}, **as_carol)
        api.call("PUT", f"{members}/{dave}", {}, X_API_Key=KEY)
        api.call("PUT", f"{members}/{dave}", {"role": "admin"}, **as_carol)
        api.call("PUT", f"{members}/{erin}", {}, **as_carol)  # invites, or adds
        api.call("POST", "/v1/messages", {"to_group": group["id"], "client_id": "g1", "text": "after"}, **as_dave)
    api.call("PUT", f"/v1/blocks/{mallory}", **as_carol)
    api.call("POST", "/v1/admin/invitations", {"uses": 5, "note": "for tests"}, X_API_Key=KEY)
    trudy = api.call("POST", "/v1/accounts", {"name": "trudy", "password": "yet another one"})["id"]
    if api.call("PUT", f"/v1/admin/users/{trudy}/suspension", X_API_Key=KEY) is not None:
        api.made["suspended"] = [trudy]
    time.sleep(1.5)  # what is written behind is written by then


def note(api: API) -> None:
    """Note what is stored, as the release says it."""
    made = api.made
    made["at"] = int(datetime.now(UTC).timestamp() * 1000)
    for name, (id, _) in made["accounts"].items():
        user = api.as_user(id)
        conversations = api.call("GET", "/v1/conversations", **user)["conversations"]
        groups = api.call("GET", "/v1/groups", **user)["groups"]
        made["conversations"][name], made["groups"][name] = conversations, groups
        for conversation in ("g:0", *(one["conversation"] for one in conversations)):
            page = api.call("GET", f"/v1/conversations/{conversation}/messages", **user)
            made["pages"][f"{name} {conversation}"] = page["messages"]
        for group in groups:
            id = group["group"]["id"]
            group["members"] = api.call("GET", f"/v1/groups/{id}/members", **user)["members"]
        for what, key in (("invitations", "invitations"), ("blocks", "users")):
            made.setdefault(what, {})[name] = (api.call("GET", f"/v1/{what}", **user) or {}).get(key, [])


class Release:
    """A release, laid out in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
        self.environment = {**kept, "PYTHONPATH": str(folder), "CIM_SERVER_WEBSOCKET": "", "CIM_SUITE_WEBSOCKET": ""}
        self.knows_keys = "api-key-file" in self.help("cim-route")

    def help(self, daemon: str) -> str:
        """Return what a daemon says about its options."""
        asked = subprocess.run([*self.twistd(daemon), "--help"], env=self.environment, capture_output=True, text=True)
        return asked.stdout

    def twistd(self, *arguments: str) -> list[str]:
        """Return a command."""
        return [sys.executable, str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", *arguments]

    @contextlib.contextmanager
    def runs(self, data: Path, commands: Sequence[Sequence[str]], url: str) -> Iterator[API]:
        """Run daemons until the end, and wait until they are well."""
        processes = [subprocess.Popen(self.twistd(*words), env=self.environment, cwd=data) for words in commands]
        try:
            for _ in range(200):
                time.sleep(0.1)
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()
                    break
            yield API(url)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()

    def keys(self, data: Path) -> list[str]:
        """Return the options of a daemon that knows keys of back ends."""
        path = data / "keys"
        path.write_text(f"{KEY}\n")
        path.chmod(0o600)
        return ["--api-key-file", str(path)] if self.knows_keys else []

    def sqlite(self, data: Path) -> dict[str, Any]:
        """Have a suite store it; leaves `cim.db`, and `history.db` if there are clients with one."""
        http, tcp = free_port(), free_port()
        where = ["--http", f"tcp:{http}:interface=127.0.0.1", "--listen", f"tcp:{tcp}:interface=127.0.0.1"]
        command = ["cim", "--data", str(data), *where, *self.keys(data)]
        with self.runs(data, [command], f"http://127.0.0.1:{http}") as api:
            drive(api)
            if (self.folder / "cim" / "client" / "history.py").exists():
                history, (_, password) = str(data / "history.db"), api.made["accounts"]["dave"]
                client = [sys.executable, "-c", CLIENT, api.url, history, "dave", password, "carol", "from my client"]
                subprocess.run(client, env=self.environment, check=True)
            note(api)
        return api.made

    def redis(self, data: Path) -> tuple[dict[str, Any], list[Any]]:
        """Have a server and a route store it; return what they say, and the keys."""
        http, tcp, link, admin, port = (free_port() for _ in range(5))
        registry = f"static:cim=127.0.0.1:{tcp}:{admin},cim-route=127.0.0.1:{http}:{link}"
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(data)],
            stdout=subprocess.DEVNULL,
        )
        route = ["cim-route", "--http", f"tcp:{http}:interface=127.0.0.1", "--store", f"redis:127.0.0.1:{port}"]
        route += ["--link", f"tcp:{link}:interface=127.0.0.1", "--registry", registry, *self.keys(data)]
        server = ["cim-server", "--listen", f"tcp:{tcp}:interface=127.0.0.1", "--registry", registry]
        server += ["--http", f"tcp:{admin}:interface=127.0.0.1"]
        try:
            with self.runs(data, [route, server], f"http://127.0.0.1:{http}") as api:
                drive(api)
                note(api)
            return api.made, dumped(port)
        finally:
            redis.terminate()
            redis.wait()


def dumped(port: int) -> list[Any]:
    """Return all keys of a Redis."""
    import hiredis

    import txredisapi  # noqa: F401  # with it comes hiredis

    with socket.create_connection(("127.0.0.1", port)) as connection:

        def ask(*words: str | bytes) -> Any:
            connection.sendall(hiredis.pack_command(words))
            while (reply := reader.gets()) is False:
                reader.feed(connection.recv(65536))
            return reply

        reader = hiredis.Reader()
        return [
            [key.decode(), ask("PTTL", key), base64.b64encode(ask("DUMP", key)).decode()]
            for key in sorted(ask("KEYS", "*"))
        ]


def compact(path: Path, target: Path) -> None:
    """Keep a SQLite file, with what is in its log."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(path)) as connection:
        whole = Path(folder, "whole.db")
        connection.execute("VACUUM INTO ?", (str(whole),))
        target.write_bytes(gzip.compress(whole.read_bytes(), mtime=0))


def make(commit: str) -> None:
    """Make the folder of a release."""
    target = HERE / commit
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree, sqlite, redis = (Path(folder, name) for name in ("tree", "sqlite", "redis"))
        for one in (tree, sqlite, redis):
            one.mkdir()
        checkout(commit, str(tree))
        release = Release(tree)
        in_sqlite = release.sqlite(sqlite)
        in_redis, keys = release.redis(redis)
        for name in ("cim.db", "history.db"):
            if (sqlite / name).exists():
                compact(sqlite / name, target / f"{name}.gz")
    (target / "redis.json.gz").write_bytes(gzip.compress(json.dumps(keys).encode(), mtime=0))
    told = json.dumps({"sqlite": in_sqlite, "redis": in_redis}, sort_keys=True)
    (target / "stored.json.gz").write_bytes(gzip.compress(told.encode(), mtime=0))


if __name__ == "__main__":
    for one in sys.argv[1:]:
        make(one)

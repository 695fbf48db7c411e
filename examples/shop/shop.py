"""A shop's back end: its customers chat with the shop without another password. It needs nothing but Python.

    python examples/shop/shop.py --key-file var/api-keys --secret-file shop.secret

examples/shop/README.md tells how to try it. Its own calls, which its pages make:

    POST /login {"customer": "7", "name": "Mary"}       -> {"user": ..., "token": ..., "shop": ...} for a client of CIM
    POST /devices {"customer": "7", "subscription": {}} -> the browser is notified while the customer is away
    POST /orders/17/shipped {"customer": "7"}           -> the customer is told

and those of CIM: POST /cim/events (a webhook), POST /cim/ask (a before-hook).
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: How far the time of what CIM sends may be from now, in seconds; the largest body, in bytes.
TOLERANCE, MAX_BODY = 300, 1 << 20
#: What customers may not say, how often they may try it, and for how many seconds they are muted then.
ADVERTISING, TRIES, MUTED = re.compile(r"https?://", re.IGNORECASE), 3, 3600
#: For how long a browser is notified whose page does not register it again, in seconds.
DAY = 86_400
NOTIFIED = 7 * DAY


class Refused(Exception):
    """CIM refused a call, or cannot be reached; carries the HTTP status to answer with."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Cim:
    """The API of CIM, as a back end uses it."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def call(self, method: str, path: str, said: object, token: str = "") -> Any:
        """Make a call with the shop's key, or with a user's token; return the answer, None if it has no body."""
        proof = {"Authorization": f"Bearer {token}"} if token else {"X-API-Key": self.key}
        headers = {"Content-Type": "application/json", **proof}
        request = urllib.request.Request(self.url + path, json.dumps(said).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, json.loads(error.read())["detail"]) from None
        except OSError as error:
            raise Refused(503, f"CIM cannot be reached: {error}") from None


class Shop:
    """What the shop does."""

    def __init__(self, cim: Cim, secret: bytes) -> None:
        self.cim, self.secret = cim, secret
        self.tries: Counter[int] = Counter()
        # What came already; a real shop keeps this in its database, in the transaction that handles an event.
        self.seen: set[str] = set()
        self.lock = threading.Lock()
        # When a customer's browser was registered last.
        self.notified: dict[tuple[int, str], float] = {}
        self.account = self.user("shop", "The shop")

    def user(self, id: str, name: str) -> int:
        """Return the account of one of ours; it is made when it is first asked for."""
        user: int = self.cim.call("POST", "/v1/accounts", {"name": name, "external_id": id})["id"]
        return user

    def token(self, user: int, seconds: int, *scopes: str) -> str:
        """Return a token; what it registers for push ends with it."""
        said = {"seconds": seconds, "scopes": scopes}
        token: str = self.cim.call("POST", f"/v1/users/{user}/tokens", said)["token"]
        return token

    def login(self, said: Any) -> dict[str, Any]:
        """Let a customer chat. A real shop sees by its own cookie who that is; this one believes everybody."""
        user = self.user(f"customer-{said['customer']}", f"{said['name']} ({said['customer']})")
        return {"user": user, "token": self.token(user, 3600, "read", "send"), "shop": self.account}

    def device(self, said: Any) -> Any:
        """Have a browser notified of what is said while the customer is away: it has given us its subscription."""
        user = self.user(f"customer-{said['customer']}", str(said["customer"]))
        keys, address = said["subscription"]["keys"], said["subscription"]["endpoint"]
        now = datetime.now(UTC).timestamp()
        if now - self.notified.get((user, address), 0) < DAY:
            return None  # pages ask at each start
        web = {"kind": "webpush", "address": address, "keys": keys, "device": "web"}
        made = self.cim.call("PUT", "/v1/pushes", web, self.token(user, NOTIFIED, "account", "read"))
        self.notified[user, address] = now
        return made

    def say(self, user: int, id: str, text: str) -> None:
        """Tell a customer something, once, however often this is done for the same `id`."""
        said = {"from_user": self.account, "to_user": user, "client_id": id, "text": text}
        self.cim.call("POST", "/v1/messages", said)

    def shipped(self, order: str, said: Any) -> None:
        """Tell a customer that an order is on its way."""
        user = self.user(f"customer-{said['customer']}", str(said["customer"]))
        self.say(user, f"shipped-{order}", f"Your order {order} is on its way.")

    def event(self, id: str, event: Any) -> None:
        """Answer what a customer says to the shop; what fails here comes again, and is answered once."""
        said = event["data"]
        if event["type"] != "message.sent" or said.get("receiver") != self.account or id in self.seen:
            return
        self.say(said["sender"], f"re-{said['position']}", "Thank you. Somebody will be with you in a minute.")
        with self.lock:
            self.seen.add(id)

    def decide(self, question: Any) -> dict[str, Any]:
        """Allow what a customer is about to say, or refuse it; who tries too often is muted."""
        if not ADVERTISING.search(question["text"]):
            return {"allow": True}
        user = question.get("user", {}).get("id", 0)
        with self.lock:
            self.tries[user] += 1
            often = self.tries[user] % TRIES == 0
        if often and user:
            reason = {"seconds": MUTED, "reason": "links to other shops"}
            # Not now: CIM waits for the answer.
            threading.Thread(target=self.cim.call, args=("PUT", f"/v1/admin/users/{user}/mute", reason)).start()
        return {"allow": False, "reason": "no links here, please"}

    def is_from_cim(self, headers: Any, body: bytes) -> bool:
        """Return whether CIM has sent this, lately (https://www.standardwebhooks.com)."""
        id, at = headers.get("Webhook-Id", ""), headers.get("Webhook-Timestamp", "")
        if not at.isdecimal() or abs(datetime.now(UTC).timestamp() - int(at)) > TOLERANCE:
            return False
        digest = hmac.digest(self.secret, f"{id}.{at}.".encode() + body, hashlib.sha256)
        right = "v1," + base64.b64encode(digest).decode()
        given = headers.get("Webhook-Signature", "").split()
        return any(hmac.compare_digest(one.encode(), right.encode()) for one in given)


class Door(BaseHTTPRequestHandler):
    """Takes the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    shop: Shop

    def do_POST(self) -> None:
        """Serve a call."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413, None)
        body = self.rfile.read(int(length))
        if self.path.startswith("/cim/") and not self.shop.is_from_cim(self.headers, body):
            return self.answer(401, None)
        try:
            return self.answer(200, self.served(json.loads(body)))
        except Refused as error:
            return self.answer(error.status, {"error": str(error)})
        except (KeyError, TypeError, ValueError) as error:
            return self.answer(400, {"error": f"this is not as it should be: {error!r}"})

    def served(self, said: Any) -> Any:
        """Do what is asked, and return the answer."""
        if self.path == "/cim/events":
            return self.shop.event(self.headers["Webhook-Id"], said)
        calls = {"/login": self.shop.login, "/devices": self.shop.device, "/cim/ask": self.shop.decide}
        if self.path in calls:
            return calls[self.path](said)
        if order := re.fullmatch("/orders/([0-9]{1,9})/shipped", self.path):
            return self.shop.shipped(order[1], said)
        raise Refused(404, "there is no such call")

    def answer(self, status: int, said: object) -> None:
        """Answer."""
        body = json.dumps(said).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(*argv: str) -> None:
    """Serve until the program is stopped."""
    parser = argparse.ArgumentParser(description="A shop's back end.")
    parser.add_argument("--route", default="http://127.0.0.1:8083", help="where the API of CIM is")
    parser.add_argument("--key-file", required=True, help="an API key with the scopes users, send and moderate")
    parser.add_argument("--secret-file", required=True, help="with which CIM signs what it sends")
    parser.add_argument("--port", type=int, default=8098, help="where to listen on 127.0.0.1")
    options = parser.parse_args(argv)
    key, secret = Path(options.key_file).read_text().split()[-1], Path(options.secret_file).read_text().strip()
    Door.shop = Shop(Cim(options.route, key), base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    with ThreadingHTTPServer(("127.0.0.1", options.port), Door) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stderr.write(f"the shop is open at http://127.0.0.1:{server.server_port}/\n")
        sys.stderr.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

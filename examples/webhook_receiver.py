"""Receives webhooks: verifies who sent each event, and prints it once. It needs nothing but Python.

    echo "whsec_$(openssl rand -base64 32)" | install -m 600 /dev/stdin shop.secret
    python examples/webhook_receiver.py --secret-file shop.secret

A suite on the same machine posts to it with --allow-outgoing 127.0.0.1 and, in the file that --config names,

    [[webhook]]
    name = "shop"
    url = "http://127.0.0.1:8099/"
    secret-file = "shop.secret"

It answers 200 once an event is printed, also if it came before, and 401 to whatever is not signed as it must be. A
receiver of your own stores events, with their ids, before it answers; docs/webhooks.md tells what else it can rely on.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: The largest event, in bytes, and how far its time may be from now, in seconds.
MAX_BODY = 1 << 20
TOLERANCE = 300
#: How many ids are remembered; a receiver of your own keeps them in its database.
KEPT = 100_000


class Forged(Exception):
    """An event does not come from whom it should; says why."""


def verify(secrets: Sequence[bytes], id: str, timestamp: str, signatures: str, body: bytes, now: float) -> None:
    """Check an event's signature, by the values of its three headers.

    :param secrets: one, or two while a new one takes the place of the old one
    :param now: the time of day, in seconds since 1970
    :raises Forged: it is none, or too old
    """
    if not id or not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > TOLERANCE:
        raise Forged("the headers are missing, or the time is too far from now")
    signed = b".".join((id.encode(), timestamp.encode(), body))
    for secret in secrets:
        right = "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
        for signature in signatures.split(" "):
            if hmac.compare_digest(signature.encode(), right.encode()):
                return
    raise Forged("no signature fits")


def read_secret(path: str) -> bytes:
    """Read a secret, such as whsec_..., from a file."""
    return base64.b64decode(Path(path).read_text().strip().removeprefix("whsec_"), validate=True)


class Receiver(BaseHTTPRequestHandler):
    """Takes the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    secrets: Sequence[bytes] = ()
    seen: dict[str, None] = {}  # shared by all connections
    lock = threading.Lock()

    def do_POST(self) -> None:
        """Take an event."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        said = [self.headers.get(f"Webhook-{name}", "") for name in ("Id", "Timestamp", "Signature")]
        try:
            verify(self.secrets, said[0], said[1], said[2], body, time.time())  # noqa: TID251  # it is said by those who send
        except Forged as error:
            sys.stderr.write(f"refused: {error}\n")
            return self.answer(401)
        with self.lock:
            if said[0] not in self.seen:
                sys.stdout.write(json.dumps(json.loads(body), ensure_ascii=False) + "\n")
                sys.stdout.flush()
                self.seen[said[0]] = None
                if len(self.seen) > KEPT:
                    del self.seen[next(iter(self.seen))]
        return self.answer(200)

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main(*argv: str) -> None:
    """Receive until the program is stopped."""
    parser = argparse.ArgumentParser(description="Receive webhooks.")
    parser.add_argument("--secret-file", action="append", required=True, help="may be given twice")
    parser.add_argument("--port", type=int, default=8099, help="where to listen on 127.0.0.1; 0 for any free port")
    options = parser.parse_args(argv)
    Receiver.secrets = [read_secret(path) for path in options.secret_file]
    with ThreadingHTTPServer(("127.0.0.1", options.port), Receiver) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stderr.write(f"listening at http://127.0.0.1:{server.server_port}/\n")
        sys.stderr.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

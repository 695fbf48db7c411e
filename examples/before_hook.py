"""A hook that CIM asks before it stores what people say (docs/hooks.md), with nothing but Python.

    python examples/before_hook.py PORT SECRET-FILE

refuses what says "spam", and masks "damn". For more than a few people put a real web server in its place.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: How old a question may be, in seconds.
OLDEST = 300


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def is_signed(secret: bytes, headers, body: bytes) -> bool:
    """Return whether CIM has sent this, lately."""
    id, at = headers.get("Webhook-Id", ""), headers.get("Webhook-Timestamp", "")
    if not at.isdigit() or abs(datetime.now(UTC).timestamp() - int(at)) > OLDEST:
        return False
    digest = hmac.digest(secret, f"{id}.{at}.".encode() + body, hashlib.sha256)
    expected = f"v1,{base64.b64encode(digest).decode()}"
    # There may be several, while a secret is being changed.
    return any(hmac.compare_digest(one, expected) for one in headers.get("Webhook-Signature", "").split())


def decide(question: dict) -> dict:
    """Return the answer to a question."""
    text = question["text"]
    if "spam" in text:
        return {"allow": False, "reason": "no advertising here"}
    if "damn" in text:
        return {"allow": True, "text": text.replace("damn", "****")}
    return {"allow": True}


class Hook(BaseHTTPRequestHandler):
    """Answers questions."""

    protocol_version = "HTTP/1.1"
    secret = b""

    def do_POST(self) -> None:
        """Answer one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_signed(self.secret, self.headers, body):
            self.send_error(401)
            return
        question = json.loads(body)
        answer = decide(question)
        say(f"asked about {question['kind']}: {answer}")
        said = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main(port: str, path: str) -> None:
    """Answer until the end."""
    with open(path, encoding="ascii") as file:
        Hook.secret = base64.b64decode(file.read().strip().removeprefix("whsec_"))
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Hook)
    with contextlib.suppress(KeyboardInterrupt):
        say(f"before_hook: answering at http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

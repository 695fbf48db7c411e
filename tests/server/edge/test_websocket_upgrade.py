"""The request that opens a WebSocket; wsproto is the client."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from twisted.trial.unittest import SynchronousTestCase

from cim.server.edge.websocket_upgrade import Refused, Upgrade
from cim.web.origins import Origins, normal_origin
from cim.wire.websocket_frames import JSON, PROTOBUF

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": "chat.example.com",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Protocol": PROTOBUF,
}


def request(line="GET /v1/socket HTTP/1.1", body=b"", **changed):
    """Return a request; name a changed header with _ for -; None leaves the header out."""
    headers = dict(HEADERS)
    for name, value in changed.items():
        headers[next((known for known in headers if known.replace("-", "_") == name), name.replace("_", "-"))] = value
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), "", ""]
    return "\r\n".join(lines).encode() + body


class AcceptTests(SynchronousTestCase):
    def test_wsproto_accepts_the_answer(self):
        for asked, given_ in (
            ([PROTOBUF], PROTOBUF),
            ([JSON], JSON),
            ([JSON, PROTOBUF], JSON),
            (["chat", PROTOBUF], PROTOBUF),
        ):
            client = WSConnection(ConnectionType.CLIENT)
            asking = client.send(Request(host="localhost", target="/v1/socket", subprotocols=asked))
            accepted = Upgrade(Origins(())).feed(asking)
            self.assertEqual(accepted.subprotocol, given_)
            client.receive_data(accepted.answer)
            (event,) = client.events()
            self.assertIsInstance(event, AcceptConnection)
            self.assertEqual((event.subprotocol, event.extensions), (given_, []))

    def test_the_rfc_s_own_example_of_a_key(self):
        self.assertIn(
            b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", Upgrade(Origins(())).feed(request()).answer
        )

    def test_byte_by_byte(self):
        upgrade = Upgrade(Origins(()))
        data = request()
        for at in range(len(data) - 1):
            self.assertIsNone(upgrade.feed(data[at : at + 1]))
        self.assertEqual(upgrade.feed(data[-1:]).subprotocol, PROTOBUF)

    def test_bytes_after_the_request_are_kept(self):
        self.assertEqual(Upgrade(Origins(())).feed(request(body=b"\x82\x80more")).rest, b"\x82\x80more")

    def test_a_query_and_the_case_of_tokens_do_not_matter(self):
        data = request("GET /v1/socket?from=page HTTP/1.1", Upgrade="WebSocket", Connection="UPGRADE")
        self.assertIsNotNone(Upgrade(Origins(())).feed(data))

    def test_extensions_are_not_accepted(self):
        accepted = Upgrade(Origins(())).feed(
            request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
        )
        self.assertNotIn(b"Extensions", accepted.answer)


class RefuseTests(SynchronousTestCase):
    def refused(self, data, status, *parts, origins=(), kind="no-websocket"):
        refused = self.assertRaises(Refused, Upgrade(Origins(origins)).feed, data)
        head, found, body = refused.answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.assertTrue(lines[0].startswith(f"HTTP/1.1 {status} "), lines[0])
        self.assertTrue(found)
        self.assertIn(f"Content-Length: {len(body)}", lines)
        self.assertIn("Connection: close", lines)
        for part in parts:
            self.assertIn(part, refused.answer.decode())
        self.assertEqual(refused.kind, kind)

    def test_another_path(self):
        for path in ("/", "/v1/socket/", "/v1/sockets", "/V1/socket", "//v1/socket", "http://localhost/v1/socket"):
            self.refused(request(f"GET {path} HTTP/1.1"), 404, "/v1/socket")

    def test_another_method(self):
        for method in ("POST", "HEAD", "OPTIONS", "PUT", "get"):
            self.refused(request(f"{method} /v1/socket HTTP/1.1"), 405, "\r\nAllow: GET\r\n")

    def test_no_upgrade(self):
        for changed in ({"Upgrade": None}, {"Upgrade": "h2c"}, {"Connection": "close"}, {"Connection": None}):
            self.refused(request(**changed), 426, "\r\nUpgrade: websocket\r\n")

    def test_another_version(self):
        for version in ("8", "12", "13, 8", None):
            self.refused(request(Sec_WebSocket_Version=version), 426, "\r\nSec-WebSocket-Version: 13\r\n")

    def test_no_valid_key(self):
        for key in (None, "", "x", "dGhlIHNhbXBsZSBub25jZ", "dGhlIHNhbXBsZQ==", "####"):
            self.refused(request(Sec_WebSocket_Key=key), 400, "Sec-WebSocket-Key")

    def test_no_known_subprotocol(self):
        for name in (None, "", "chat", "cim.v1", "CIM.V1.JSON", "cim.v2.json"):
            self.refused(request(Sec_WebSocket_Protocol=name), 400, PROTOBUF, JSON)

    def test_a_body(self):
        self.refused(request(Content_Length="5", body=b"hello"), 400)
        self.refused(request(Transfer_Encoding="chunked"), 400)

    def test_bytes_that_are_not_a_request(self):
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"hello\r\n\r\n",
            b"GET /v1/socket\r\n\r\n",
        ):
            self.refused(data, 400)
        self.refused(request(Host=None), 400)
        self.refused(request("GET /v1/socket HTTP/1.0"), 400)

    def test_headers_that_never_end(self):
        upgrade = Upgrade(Origins(()))
        self.assertIsNone(upgrade.feed(request()[:-2] + b"X: " + b"x" * 15_000))
        refused = self.assertRaises(Refused, upgrade.feed, b"x" * 2_000)
        self.assertTrue(refused.answer.startswith(b"HTTP/1.1 431 "))

    def test_answers_quote_no_byte_of_the_client(self):
        data = request("GET /<script> HTTP/1.1", Sec_WebSocket_Protocol="<script>", Origin="<script>")
        refused = self.assertRaises(Refused, Upgrade(Origins(())).feed, data)
        self.assertNotIn(b"script", refused.answer)

    def test_foreign_origins(self):
        ours = (normal_origin("https://Chat.example.com/"),)
        self.assertIsNotNone(Upgrade(Origins(ours)).feed(request(Origin="https://chat.example.com")))
        self.assertIsNotNone(Upgrade(Origins(ours)).feed(request()))
        self.assertIsNotNone(Upgrade(Origins(("*",))).feed(request(Origin="https://evil.example")))
        for origin in (
            "https://evil.example",
            "http://chat.example.com",
            "https://chat.example.com:8443",
            "https://chat.example.com.evil.example",
            "null",
            "",
        ):
            self.refused(request(Origin=origin), 403, "--origins", origins=ours, kind="foreign-origin")
        self.refused(request(Origin="https://chat.example.com"), 403, kind="foreign-origin")

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300))
    def test_any_bytes_are_incomplete_or_refused(self, data):
        try:
            self.assertIsNone(Upgrade(Origins(())).feed(data))
        except Refused as refused:
            self.assertTrue(refused.answer.startswith(b"HTTP/1.1 4"))

"""The session that docs/protocol.md shows, said to a cluster byte for byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

from wsproto.events import Message

from cim.wire.cim_pb2 import Packet
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.json_frames import from_json, to_json
from tests.harness.native_client import NativeClient
from tests.route.http.api_case import APICase

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
SUBPROTOCOLS = {"alice": "", "bob": "cim.v1.json"}


def block(kind):
    """Return the lines of the document's only block of that kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return found.splitlines()


def unwrapped(lines):
    """Put lines that begin with spaces behind the ones before them."""
    whole = []
    for line in lines:
        if line.startswith(" "):
            whole[-1] += line[4:]
        else:
            whole.append(line)
    return whole


def hexadecimal(packet):
    """A frame as the document writes it."""
    return encode_frame(packet.SerializeToString()).hex()


class WorkedSessionTests(APICase):
    def setUp(self):
        super().setUp()
        self.clients = {}

    def replay_calls(self, lines):
        """Make the calls; return them with their answers."""
        replayed = []
        for line in lines:
            if line.startswith("POST "):
                _, path, body = line.split(" ", 2)
                status, _, answer = self.call("POST", path, json.loads(body))
                replayed += [line, f"{status} {json.dumps(answer)}"]
        return replayed

    def replay(self, lines):
        """Say what clients say; return that with what they are told, as it comes."""
        replayed = []
        for line in unwrapped(lines):
            if line.startswith("#"):
                replayed.append(line)
            elif line == "* a second passes":
                replayed.append(line)
                self.cluster.pass_seconds(1)
                replayed += self.told()
            elif line == "* the server stops":
                replayed.append(line)
                self.cluster.servers[0].gateway.drain()
                replayed += self.told()
            elif " > " in line:
                replayed.append(line)
                who, _, said = line.split(" ", 2)
                self.say(who, said)
                replayed += self.told()
        return replayed

    def say(self, who, said):
        client = self.clients.get(who)
        if client is None:
            client = self.cluster.open_native(self.cluster.servers[0].own.name, SUBPROTOCOLS[who])
            self.clients[who] = client
        if type(client) is NativeClient:
            client.connection.dataReceived(bytes.fromhex(said))
        else:
            packet = from_json(said)
            self.assertEqual(said, to_json(packet), "written as our own library writes it")
            client.say(packet)
        self.turn()

    def turn(self):
        self.cluster.turn()

    def told(self):
        """What the clients were told since the last time."""
        lines = []
        for who, client in self.clients.items():
            data = client.transport.value()
            client.transport.clear()
            if type(client) is NativeClient:
                lines += [f"{who} < {encode_frame(body).hex()}" for body in FrameReader().feed(data)]
            elif data:
                client._websocket.receive_data(data)
                came = [event.data for event in client._websocket.events() if isinstance(event, Message)]
                lines += [f"{who} < {text}" for text in came]
        return lines

    def test_it_goes_as_the_document_says(self):
        calls, session = unwrapped(block("calls")), unwrapped(block("session"))
        self.assertEqual(self.replay_calls(calls), calls)
        self.assertEqual(self.replay(session), session)
        self.assertTrue(all(client.connection.closing for client in self.clients.values()))

    def test_it_shows_every_packet_that_matters_in_both_forms(self):
        shown = {"alice": set(), "bob": set()}
        for line in unwrapped(block("session")):
            who, _, said = line.partition(" ")
            if who in shown:
                said = said[2:]
                packet = from_json(said) if who == "bob" else Packet.FromString(_body(bytes.fromhex(said)))
                shown[who].add(packet.WhichOneof("body"))
        kinds = {"hello", "welcome", "send", "accepted", "deliver", "received", "sync", "synced", "goodbye"}
        for who, seen in shown.items():
            self.assertLessEqual(kinds, seen, who)


def _body(frame):
    at = next(at for at, byte in enumerate(frame) if byte < 0x80)
    return frame[at + 1 :]


def wrapped(line, width=110):
    """A line as the document writes it: no piece begins or ends with a space."""
    if len(line) <= width or line.startswith("#"):
        return line
    end = width
    while line[end] == " " or line[end - 1] == " ":
        end -= 1
    return "\n".join((line[:end], wrapped("    " + line[end:], width)))

"""A native connection over WebSocket; wsproto is the server."""

from __future__ import annotations

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request, TextMessage

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bench.native import PING_FRAME, NativeConnection, hello_frame
from bench.websocket import connect_websocket
from cim.wire.cim_pb2 import Packet
from cim.wire.json_frames import from_json, to_json
from cim.wire.websocket_frames import JSON, PROTOBUF


class Transport(StringTransport):
    aborting = False

    def abortConnection(self):
        self.aborting = True

    def setTcpNoDelay(self, enabled):
        pass


class WebSocketTests(SynchronousTestCase):
    def connect(self, subprotocol):
        reactor = MemoryReactorClock()
        self.heard, self.lost = [], []
        client = NativeConnection(hello_frame("t", "phone"), self.heard.extend, lambda: self.lost.append(True))
        connecting = connect_websocket(reactor, "ws://127.0.0.1:7/v1/socket", client, subprotocol=subprotocol)
        self.socket = reactor.tcpClients[0][2].buildProtocol(None)
        self.transport = Transport()
        self.socket.makeConnection(self.transport)
        self.server = WSConnection(ConnectionType.SERVER)
        return client, connecting

    def said(self):
        """Return what came at the server."""
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        return list(self.server.events())

    def tell(self, event):
        self.socket.dataReceived(self.server.send(event))

    def accept(self, subprotocol):
        [request] = self.said()
        self.assertIsInstance(request, Request)
        self.assertEqual((request.target, request.subprotocols), ("/v1/socket", [subprotocol]))
        self.tell(AcceptConnection(subprotocol=subprotocol))

    def test_packets_both_ways(self):
        for subprotocol in (PROTOBUF, JSON):
            client, connecting = self.connect(subprotocol)
            self.assertNoResult(connecting)
            self.accept(subprotocol)
            self.assertIs(self.successResultOf(connecting), client)
            client.write(PING_FRAME)
            read = from_json if subprotocol == JSON else Packet.FromString
            hello, ping = (read(event.data) for event in self.said())
            self.assertEqual((hello.hello.ticket, ping.WhichOneof("body")), ("t", "ping"))
            pong = Packet(pong={})
            if subprotocol == JSON:
                self.tell(TextMessage(to_json(pong)))
            else:
                self.tell(BytesMessage(pong.SerializeToString()))
            self.assertEqual(list(map(Packet.FromString, self.heard)), [pong])
            self.tell(CloseConnection(1000))
            self.assertTrue(self.transport.disconnecting)
            self.socket.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(self.lost, [True])

    def test_another_subprotocol_than_was_asked_for(self):
        _, connecting = self.connect(PROTOBUF)
        self.said()
        self.tell(AcceptConnection())
        self.assertTrue(self.transport.aborting)
        self.socket.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(connecting, ConnectionDone)
        self.assertEqual(self.heard, [])

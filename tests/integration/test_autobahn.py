"""The WebSocket framing against the Autobahn test suite, where there is one.

`wstest` runs on Python 2.7 alone: `python2.7 -m pip install --target DIR autobahntestsuite` (and an empty
`DIR/zope/__init__.py`), then a script with `PYTHONPATH=DIR exec python2.7 DIR/bin/wstest "$@"`; CIM_WSTEST names it.
Not run: compression (12, 13), which is not offered.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from wsproto.frame_protocol import Opcode

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from cim.daemon.metrics import Metrics
from cim.server.edge.connection import Limits
from cim.server.edge.gateway import Gateway
from cim.server.edge.websocket import WebSocketConnection, WebSocketPort
from cim.server.edge.websocket_upgrade import Upgrade
from cim.server.edge.wheel import TimerWheel
from cim.server.sessions.table import Sessions
from cim.web.origins import Origins
from cim.wire.websocket_frames import PROTOBUF, MessageReader, frame

#: Messages of the suite's limit tests have up to 16 MiB.
LIMITS = Limits(max_frame=16 << 20, login=600, write_buffer=64 << 20)
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


class EitherKind(MessageReader):
    """Takes text and binary messages, which a subprotocol of ours never mixes."""

    __slots__ = ()

    def _assembled(self, found):
        if found.opcode is not Opcode.CONTINUATION and self._messages.opcode is None:
            self.text = found.opcode is Opcode.TEXT
        return super()._assembled(found)


class Echo(WebSocketConnection):
    """Sends messages back."""

    def _read(self, reader, data):
        if type(reader) is MessageReader:
            reader = self._reader = EitherKind(False, LIMITS.max_frame)
        super()._read(reader, data)

    def _message(self, payload):
        if isinstance(payload, str):
            self.transport.write(frame(Opcode.TEXT, payload.encode()))
        else:
            self.transport.write(frame(Opcode.BINARY, payload))


class EchoPort(WebSocketPort):
    def buildProtocol(self, addr):
        return Echo(self.gateway, Upgrade(self.origins))


class AutobahnTests(TestCase):
    timeout = 1800

    async def test_every_case(self):
        wstest = os.environ.get("CIM_WSTEST")
        if not wstest:
            raise SkipTest("CIM_WSTEST names no wstest of the Autobahn test suite")
        from twisted.internet import reactor

        wheel = TimerWheel(reactor)
        wheel.startService()
        self.addCleanup(wheel.stopService)
        gateway = Gateway(
            sessions=Sessions(reactor),
            native=None,
            clock=reactor,
            wheel=wheel,
            refused=Metrics("test").refused,
            limits=LIMITS,
            guest=None,
        )
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(EchoPort(gateway, Origins(())))
        self.addCleanup(port.stopListening)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        url = f"ws://127.0.0.1:{port.getHost().port}/v1/socket"
        (folder / "spec.json").write_text(
            json.dumps(
                {
                    "outdir": str(folder),
                    "servers": [{"agent": "cim", "url": url, "protocols": [PROTOBUF]}],
                    "cases": os.environ.get("CIM_WSTEST_CASES", "*").split(","),
                    "exclude-cases": ["12.*", "13.*"],
                    "exclude-agent-cases": {},
                }
            )
        )
        out, err, status = await getProcessOutputAndValue(
            wstest, ["-m", "fuzzingclient", "-s", str(folder / "spec.json")], env=os.environ, reactor=reactor
        )
        self.assertEqual(status, 0, (out + err)[-2000:])
        results = json.loads((folder / "index.json").read_text())["cim"]
        bad = {
            case: (result["behavior"], result["behaviorClose"])
            for case, result in results.items()
            if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD
        }
        self.assertEqual(bad, {})
        self.assertEqual({case for case, result in results.items() if result["behavior"] == "NON-STRICT"}, set())

"""What twistd finds of CIM. Each daemon's code is imported only when it is chosen."""

from twisted.application.service import ServiceMaker

server = ServiceMaker("CIM server", "cim.server.tap", "Hold the connections of users (CIM).", "cim-server")
route = ServiceMaker("CIM route", "cim.route.tap", "Serve CIM's HTTP API and pass its messages on.", "cim-route")
client = ServiceMaker("CIM client", "cim.terminal.tap", "Chat through CIM at a terminal.", "cim-client")
suite = ServiceMaker("CIM suite", "cim.suite.tap", "Run all of CIM in one process, on nothing else.", "cim")

"""Who may import whom (docs/architecture.md), by the syntax trees; imports for type checking alone do not count."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).resolve().parent.parent
PURE = {
    *("addresses", "api_keys", "cache", "errors", "external_ids", "ids", "interfaces", "invitation_codes", "issuers"),
    *("keys", "limits", "model", "names", "nodes", "plain", "policies", "private_files", "reset_codes", "selection"),
    *("signed", "standard_webhooks", "strict_json", "tickets", "traces", "user_tokens"),
    "wire",
    # The names of errors and interfaces in the first releases.
    *("ecim", "icim"),
}
LAYERS = {"outgoing", "registry", "store", "link", "web"}
DAEMONS = {"server", "route", "client", "suite", "terminal", "admin"}
BASE = {"daemon", "named_host", "supervision"}
#: The rooms of a daemon: each may import those of the lines above its own, and itself.
ROOMS = {
    "server": (("sessions",), ("links",), ("native", "guests", "edge"), ("service",), ("tap",)),
    "route": (
        ("presence",),
        ("messages",),
        ("push",),
        ("guests",),
        ("front",),
        ("policy",),
        ("events",),
        ("issuers",),
        ("service",),
        ("http",),
        ("console",),
        ("options",),
        ("tap",),
    ),
}
#: What is HTTP: the libraries, and what we make of them.
HTTP = ("klein", "werkzeug", "treq", "twisted.web", "cim.web", "cim.route.http")
#: Who sees what of it, by the beginning of the module's path; tap modules see all, others nothing.
SEES = {
    "web/": HTTP[:-1],
    "outgoing/": ("twisted.web", "cim.web.calling"),
    "route/http/": HTTP,
    "route/console/": HTTP,
    "route/options.py": ("cim.route.http", "cim.web.origins"),
    "server/edge/http_": HTTP[:-1],
    # WebSockets begin as HTTP, which wsproto reads.
    "server/edge/websocket": ("cim.web.origins",),
    "client/": ("cim.web.calling", "twisted.web.iweb"),
    "admin/": ("cim.web.calling",),
}


class Found(ast.NodeVisitor):
    """What a module imports and reads of the process."""

    def __init__(self, tree):
        self.imports = []  # (module name, whether at module level)
        self.environment = False
        self._depth = 0
        self.visit(tree)

    def visit_If(self, node):
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
        for other in node.orelse if ast.unparse(node.test).endswith("TYPE_CHECKING") else ():
            self.visit(other)

    def visit_FunctionDef(self, node):
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Import(self, node):
        self.imports += [(name.name, not self._depth) for name in node.names]

    def visit_ImportFrom(self, node):
        self.imports.append((node.module or ".", not self._depth))
        self.imports += [(f"{node.module}.{name.name}", not self._depth) for name in node.names]

    def visit_Attribute(self, node):
        if ast.unparse(node) in ("os.environ", "os.getenv"):
            self.environment = True
        self.generic_visit(node)


def part(module):
    """`cim.store.redis` is of the part `store`; None for what is not ours, and for the bare package."""
    words = module.split(".")
    return words[1] if words[0] == "cim" and len(words) > 1 and words[1] != "__version__" else None


def allowed(owner, tap):
    """The parts that a module of the part `owner` may import."""
    if owner in PURE:
        return PURE
    if owner in BASE:
        return PURE | BASE
    if owner == "outgoing":
        return PURE | BASE | {"web", owner}
    if owner in LAYERS:
        return PURE | BASE | {owner}
    if owner == "suite":
        return PURE | BASE | LAYERS | DAEMONS
    if owner == "terminal":
        return PURE | BASE | {"client", owner}
    if owner == "admin":
        return PURE | BASE | {"client", "store", "web", owner}
    if owner in DAEMONS:
        return PURE | BASE | {"web", owner} | (LAYERS if tap else set())
    return PURE


def open_rooms(path):
    """The rooms of its own daemon that a module may import, given its path below `cim`; None when it has no rooms."""
    rooms = ROOMS.get(path.parts[0])
    if rooms is None or len(path.parts) < 2 or path.name == "__init__.py":
        return None
    own = path.parts[1].removesuffix(".py")
    before = set()
    for line in rooms:
        if own in line:
            return before | {own}
        before.update(line)
    return set()


def below(module, names):
    """Whether a module is one of `names` or within one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def sees(path):
    """What a module may see of HTTP, given its path below `cim`."""
    if path.name == "tap.py":
        return HTTP
    return next((seen for start, seen in SEES.items() if path.as_posix().startswith(start)), ())


def complaints(path, source):
    """What is wrong with the imports of a module, given its path below `cim`."""
    owner, tap = path.parts[0].removesuffix(".py"), path.name == "tap.py"
    found = Found(ast.parse(source))
    wrong = []
    rooms = open_rooms(path)
    if owner not in PURE | BASE | LAYERS | DAEMONS | {"__init__"}:
        wrong.append("is of no known part")
    for module, at_top in found.imports:
        other = part(module)
        if other is not None and other not in allowed(owner, tap):
            wrong.append(f"imports {module}")
        words = module.split(".")
        if rooms is not None and words[:2] == ["cim", owner] and len(words) > 2 and words[2] not in rooms:
            wrong.append(f"imports {module}")
        if below(module, HTTP) and not below(module, sees(path)):
            wrong.append(f"imports {module} and is not of HTTP")
        if module == "." or module.startswith("tests"):
            wrong.append(f"imports {module}")
        if owner in PURE and (module + ".").startswith("twisted.internet."):
            wrong.append(f"is pure and imports {module}")
        if module == "twisted.internet.reactor" and (at_top or path.as_posix() != "daemon/clock.py"):
            wrong.append("imports the global reactor")
    if found.environment and not tap and path.as_posix() not in ("daemon/config.py", "daemon/runtime.py"):
        wrong.append("reads the environment")
    return wrong


class LayerTests(SynchronousTestCase):
    def test_every_module(self):
        modules = sorted((TOP / "cim").rglob("*.py"))
        self.assertGreater(len(modules), 50)
        wrong = [
            f"{module.relative_to(TOP)} {complaint}"
            for module in modules
            for complaint in complaints(module.relative_to(TOP / "cim"), module.read_text(encoding="utf-8"))
        ]
        self.assertEqual(wrong, [])

    def test_dropin_imports_nothing_of_ours(self):
        source = (TOP / "twisted" / "plugins" / "cim_dropin.py").read_text(encoding="utf-8")
        self.assertEqual([m for m, _ in Found(ast.parse(source)).imports if m.split(".")[0] == "cim"], [])

    def test_no_package_shadows_twisted(self):
        self.assertEqual(list((TOP / "twisted").rglob("__init__.py")), [])


class RuleTests(SynchronousTestCase):
    """The rules catch what they are for."""

    def test_caught(self):
        for path, source in (
            ("wire/framing.py", "from twisted.internet.defer import Deferred"),
            ("model.py", "import twisted.internet"),
            ("model.py", "from cim.daemon.metrics import Metrics"),
            ("store/a.py", "from cim.link import pipe"),
            ("link/a.py", "from cim import web"),
            ("outgoing/a.py", "from cim.route.service import Route"),
            ("outgoing/a.py", "from cim.web.serving import CallResource"),
            ("route/front/login.py", "from cim.outgoing.client import Outgoing"),
            ("web/a.py", "def f():\n    import cim.registry.memory"),
            ("server/links/a.py", "from cim.route.front.login import Login"),
            ("server/links/a.py", "from cim.server.native.session import NativeSession"),
            ("server/links/a.py", "from cim.server import native"),
            ("server/guests/a.py", "def f():\n    from cim.server.native import receipts"),
            ("server/edge/a.py", "from cim.server.service import Server"),
            ("server/novelty/a.py", "from cim.server.sessions.table import Sessions"),
            ("route/presence/a.py", "from cim.route.messages.reading import Reading"),
            ("route/front/login.py", "from cim.route.service import Route"),
            ("server/service.py", "from cim.store.choose import store_from"),
            ("route/tap.py", "from cim.server.tap import Options"),
            ("route/tap.py", "from twisted.internet import reactor"),
            ("daemon/clock.py", "from twisted.internet import reactor"),
            ("route/tap.py", "def makeService():\n    from twisted.internet import reactor"),
            ("route/service.py", "def f():\n    from twisted.internet import reactor"),
            ("route/service.py", "import os\nos.environ['X']"),
            ("route/service.py", "from tests.harness.store import MemoryStore"),
            ("route/service.py", "from . import login"),
            ("client/client.py", "def f():\n    from cim.terminal.lines import LineReader"),
            ("terminal/tap.py", "from cim.web.calling import HTTPCalls"),
            ("daemon/lifecycle.py", "from cim.web.site import BoundedSite"),
            ("route/service.py", "from cim.web.serving import CallResource"),
            ("route/service.py", "from cim.route.http.tokens import Tokens"),
            ("route/front/login.py", "from twisted.web.iweb import IRequest"),
            ("route/front/requests.py", "from cim.web import problem"),
            ("server/edge/gateway.py", "import klein"),
            ("server/edge/websocket.py", "from cim.web.serving import CallResource"),
            ("client/client.py", "from cim.web.serving import CallResource"),
            ("web/serving.py", "from cim.route.http.access import Access"),
            ("novelty.py", ""),
        ):
            self.assertNotEqual(complaints(Path(path), source), [], f"{path}: {source}")

    def test_let_through(self):
        for path, source in (
            ("wire/framing.py", "from cim.errors import BadFrame"),
            (
                "model.py",
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from twisted.internet.defer import Deferred",
            ),
            ("route/tap.py", "from cim.outgoing.client import Outgoing"),
            ("route/tap.py", "from cim.daemon.clock import monotonic_reactor\nfrom cim.store import choose"),
            ("suite/tap.py", "from cim.server.tap import add_server"),
            ("suite/tap.py", "from cim.route.http.upstream import UpstreamAPI"),
            (
                "route/http/groups.py",
                "from cim.web.declaring import http_call\nfrom cim.route.http.access import Caller",
            ),
            ("server/edge/http_api.py", "from cim.web.declaring import http_call"),
            ("server/edge/websocket.py", "from cim.web.origins import Origins"),
            ("client/v1.py", "from cim.web.calling import HTTPCalls"),
            ("terminal/console/chat.py", "from cim.client import Client"),
            ("server/links/uplink.py", "from cim.server.sessions.table import Sessions"),
            ("route/front/login.py", "from cim.route.presence.recorder import SessionRecorder"),
            ("daemon/config.py", "import os\nos.environ['X']"),
            ("link/tcp.py", "import cim\nfrom cim import __version__"),
        ):
            self.assertEqual(complaints(Path(path), source), [], f"{path}: {source}")

"""What repeats is a `cim.supervision.Loop`, so that no exception ends it (docs/architecture.md, Loops).

Found by how it is written are: LoopingCall and TimerService; functions that have a timer call them again, themselves or
through others of their class or module; coroutines that pause within `while` without a deadline, or have no way out.
"""

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).parent.parent
OWN = "supervision.py"
TIMERS = {"callLater", "deferLater"}
FORBIDDEN = {"LoopingCall", "TimerService"}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _inner(node):
    """Yield what is within a function or loop, but not within functions that it defines."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _Function):
            yield from _inner(child)


def _name(node):
    """Return how `self.name` or `name` is known within its module; None for what else there is."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _called(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)


def _passes_on(function):
    """Return whether a function has a timer call what it was given."""
    given = {argument.arg for argument in function.args.args} - {"self"}
    return any(
        isinstance(argument, ast.Name) and argument.id in given
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and _called(node) == "callLater"
        for argument in node.args[1:2]
    )


class _Scope:
    """The functions of a class, or those of a module that are in none: who calls whom, and who by a timer."""

    def __init__(self, functions):
        self.functions = {function.name: function for function in functions}
        # Those that have what they are given called by a timer are timers, too.
        self.timers = TIMERS | {function.name for function in functions if _passes_on(function)}
        self.calls = {name: set() for name in self.functions}
        self.timed = {name: set() for name in self.functions}
        for function in functions:
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    self._note(function.name, node)

    def _note(self, caller, call):
        # As an argument, a function may be in a partial or a lambda, and will be called.
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        given = {_name(node) for argument in arguments for node in ast.walk(argument)} & set(self.functions)
        (self.timed if _called(call) in self.timers else self.calls)[caller].update(given)
        if (name := _name(call.func)) in self.functions:
            self.calls[caller].add(name)

    def again(self):
        """Yield the functions that come to be called again by a timer of their own making."""
        for name in self.functions:
            seen, ahead = set(), [(called, True) for called in self.timed[name]]
            ahead += [(called, False) for called in self.calls[name]]
            while ahead:
                at, timed = ahead.pop()
                if at == name and timed:
                    yield self.functions[name]
                    break
                if (at, timed) not in seen:
                    seen.add((at, timed))
                    ahead += [(called, True) for called in self.timed[at]]
                    ahead += [(called, timed) for called in self.calls[at]]


def _reads_the_clock(test):
    return any(isinstance(node, ast.Attribute) and node.attr == "seconds" for node in ast.walk(test))


def _has_deadline(loop, nodes):
    leaving = (ast.Return, ast.Break, ast.Raise)
    tests = [node.test for node in nodes if isinstance(node, ast.If) and isinstance(node.body[-1], leaving)]
    return any(map(_reads_the_clock, [loop.test, *tests]))


def _endless(function):
    """Yield the loops of a coroutine that go on for ever, or pause for as long as something lasts."""
    for loop in _inner(function):
        if not isinstance(loop, ast.While):
            continue
        nodes = [found for part in loop.body for found in (part, *_inner(part))]
        if not any(isinstance(node, ast.Await) for node in nodes):
            continue
        pauses = any(isinstance(node, ast.Call) and _called(node) in TIMERS for node in nodes)
        leaves = any(isinstance(node, ast.Return | ast.Break) for node in nodes)
        forever = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
        if ((forever and not leaves) or pauses) and not _has_deadline(loop, nodes):
            yield loop


def complaints(source):
    """Return what repeats in a module although no Loop takes care of it, by line."""
    tree = ast.parse(source)
    found = {}
    for node in ast.walk(tree):
        named = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.Attribute):
            named = {node.attr}
        if named & FORBIDDEN:
            found[node.lineno] = f"uses {', '.join(named & FORBIDDEN)}"
        if isinstance(node, ast.AsyncFunctionDef):
            found |= {loop.lineno: f"{node.name} goes on without a deadline" for loop in _endless(node)}
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.Module)]
    for scope in scopes:
        functions = [node for node in scope.body if isinstance(node, _Function)]
        found |= {function.lineno: f"{function.name} has itself called later" for function in _Scope(functions).again()}
    # Functions within functions.
    for outer in ast.walk(tree):
        if isinstance(outer, _Function):
            functions = [node for node in _inner(outer) if isinstance(node, _Function)]
            found |= {one.lineno: f"{one.name} has itself called later" for one in _Scope(functions).again()}
    return sorted(found.items())


class LoopTests(SynchronousTestCase):
    def test_every_module(self):
        modules = sorted((TOP / "cim").rglob("*.py"))
        self.assertGreater(len(modules), 50)
        wrong = [
            f"{module.relative_to(TOP)}:{line} {complaint}"
            for module in modules
            if module.relative_to(TOP / "cim").as_posix() != OWN
            for line, complaint in complaints(module.read_text(encoding="utf-8"))
        ]
        self.assertEqual(wrong, [])


class RuleTests(SynchronousTestCase):
    """The rule catches what it is for."""

    def test_caught(self):
        for source in (
            "from twisted.internet.task import LoopingCall",
            "from twisted.internet import task\ntask.LoopingCall(f)",
            "from twisted.application.internet import TimerService",
            "class A:\n def f(self):\n  self.t = self.c.callLater(1, self.f)",
            "class A:\n def f(self):\n  self.c.callLater(1, partial(self.f, 1))",
            "class A:\n def f(self):\n  self.c.callLater(1, lambda: self.f())",
            "class A:\n def f(self):\n  self.g()\n def g(self):\n  self.c.callLater(1, self.h)\n def h(s):\n  self.f()",
            "class A:\n def f(self):\n  g().addCallback(self.h)\n def h(self, r):\n  self.c.callLater(1, self.f)",
            "class A:\n def f(self):\n  self.g(1, self.f)\n def g(self, s, act):\n  self.c.callLater(s, act)",
            "def f(clock):\n clock.callLater(1, f, clock)",
            "def f(clock):\n def g():\n  clock.callLater(1, g)\n g()",
            "async def f(self):\n while True:\n  await self.g()",
            "async def f(self):\n while 1:\n  try:\n   await self.g()\n  except OSError:\n   pass",
            "async def f(self):\n while True:\n  if self.done:\n   return\n  await deferLater(self.c, 1)",
            "async def f(self):\n while not self.done:\n  d = Deferred()\n  self.c.callLater(1, d.callback)\n  await d",
        ):
            self.assertNotEqual(complaints(source), [], source)

    def test_let_through(self):
        for source in (
            "class A:\n def f(self):\n  self.c.callLater(1, self.g)\n def g(self):\n  pass",
            "class A:\n def f(self):\n  self.g()\n def g(s):\n  self.f()\n  self.c.callLater(1, h)\n def h(s):\n  pass",
            "class A:\n def f(self):\n  self.loop = Loop('a', self.g, self.c)\n def g(self):\n  self.loop.wake(1)",
            "async def f(self):\n while True:\n  page = await self.g()\n  if not page.more:\n   return page",
            "async def f(self):\n while self.c.seconds() < end:\n  await deferLater(self.c, 1)",
            "async def f(self):\n while True:\n  if self.c.seconds() > end:\n   raise E\n  await deferLater(self.c, 1)",
            "def f(self):\n while True:\n  if not self.g():\n   break",
        ):
            self.assertEqual(complaints(source), [], source)

"""A real Chromium without a screen, which all tests of a run share: each has profiles of its own in it.

What is called here blocks: tests call it in a thread (`tests.integration.browser_case`).
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.remote.client_config import ClientConfig
from websockets.sync.client import connect

from tests.harness.spawning import HOST, ProcessFailed, free_port, launched, require

#: How long one command may take, seconds.
PATIENCE = 30.0
#: This machine, by a name that the browser does not take for it: http there is no secure context, as on a LAN.
LAN_NAME = "chat.lan"
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--mute-audio"),
    # Nothing is asked of anybody but the pages under test.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--disable-breakpad", "--no-default-browser-check", "--disable-default-apps", "--lang=en-US"),
    *("--disable-component-extensions-with-background-pages", "--disable-client-side-phishing-detection"),
    # Pages of the browser's own, two for each window, which took half of its time.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,Translate,MediaRouter",
    f"--host-resolver-rules=MAP {LAN_NAME} {HOST}, MAP * ~NOTFOUND, EXCLUDE {HOST}, EXCLUDE localhost",
)
#: It dies with the driver, and that with the tests.
_BROWSER = """#!{python} -IS
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


class Chromium:
    """The browser and its driver; it is started when it is made.

    :ivar driver: selenium's, which is at one tab at a time
    :ivar at: the target of that tab
    :raises MissingProgram: names the Debian package
    :raises ProcessFailed: it did not start
    """

    def __init__(self) -> None:
        program, driver = require("chromium", "chromium"), require("chromedriver", "chromium-driver")
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self.directory = tempfile.mkdtemp(prefix="cim-chromium-")
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(
                launched([driver, f"--port={free_port()}"]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": self.directory},
            )
        self._stack.callback(self._kill)
        try:
            self._begin(f"http://{HOST}:{self._port()}", program)
        except BaseException:
            self.end()
            raise

    def _port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(rb"started successfully on port (\d+)", line):
                return int(found[1])
        raise ProcessFailed(f"chromedriver ended with status {self.process.wait()} before it was ready")

    def _begin(self, url: str, program: str) -> None:
        path = os.path.join(self.directory, "browser")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
            file.write(_BROWSER.format(python=sys.executable, program=program))
        options = ChromeOptions()
        options.binary_location = path
        for argument in (*ARGUMENTS, f"--user-data-dir={self.directory}/profile"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.at = ""
        self.driver = Remote(url, options=options, client_config=ClientConfig(url, timeout=int(PATIENCE)))
        where = self.driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
        with urlopen(f"http://{where}/json/version", timeout=PATIENCE) as answer:
            socket = json.load(answer)["webSocketDebuggerUrl"]
        self._socket = self._stack.enter_context(connect(socket, max_size=None, proxy=None, ping_interval=None))

    def _kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def end(self) -> None:
        """End it, whatever it does, and remove its files; nothing happens when it has ended."""
        self._stack.close()

    def command(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Return the result of a command of the Chrome DevTools Protocol.

        :param session: of a target that it is for (`Target.attachToTarget`); by default it is for the whole browser
        """
        return self.events(method, "", session, **parameters)[0]

    def events(self, method: str, until: str, session: str = "", **parameters: Any) -> tuple[Any, list[Any]]:
        """Return the result of a command, and the events that came up to the one with that name."""
        number = next(self._numbers)
        what = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        self._socket.send(json.dumps(what))
        result, heard = None, []
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                if "error" in said:
                    raise ProcessFailed(f"{method}: {said['error']['message']}")
                result = said["result"]
            elif "method" in said:
                heard.append(said)
            if result is not None and (not until or any(one["method"] == until for one in heard)):
                return result, heard

    def begin_trace(self) -> None:
        """Have all tasks of all tabs noted from now on."""
        self.command("Tracing.start", categories="toplevel", transferMode="ReportEvents")

    def end_trace(self) -> list[float]:
        """Return how long each task took of the busiest page since then, in ms of processor time, the shortest first.

        What other processes do meanwhile does not count.
        """
        _, heard = self.events("Tracing.end", "Tracing.tracingComplete")
        events = [one for said in heard if said["method"] == "Tracing.dataCollected" for one in said["params"]["value"]]
        tasks: dict[tuple[int, int], list[float]] = {
            (one["pid"], one["tid"]): []
            for one in events
            if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
        }
        for one in events:
            if one["name"] == "ThreadControllerImpl::RunTask" and (one["pid"], one["tid"]) in tasks:
                tasks[one["pid"], one["tid"]].append(one.get("tdur", 0) / 1000)
        return sorted(max(tasks.values(), key=sum, default=[]))

    def console(self) -> list[dict[str, Any]]:
        """Return what has come to the consoles of all tabs since the last call."""
        said: list[dict[str, Any]] = self.driver.execute("getLog", {"type": "browser"})["value"]
        return said


_shared: Chromium | None = None


def shared_chromium(reactor: Any) -> Chromium:
    """Return the browser of this run, which the first call starts; it ends with the run.

    Call it in the reactor's thread: the browser dies with the thread that started it.
    """
    global _shared
    if _shared is None or _shared.process.poll() is not None:
        _shared = Chromium()
        atexit.register(_shared.end)
    return _shared

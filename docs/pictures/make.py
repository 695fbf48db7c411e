"""Makes the pictures of docs/terminal.md: real screens of the terminal client, as SVG.

    python docs/pictures/make.py

It starts a suite of its own and clients on pseudo-terminals, types what is written below, and draws what they show.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from wcwidth import wcwidth

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.harness.daemons import Daemon, environment, loopback, twistd
from tests.harness.screens import ScreenProcess
from tests.harness.spawning import free_port

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 80, 20
#: Size of a cell, pixels.
WIDTH, HEIGHT = 8.4, 18
COLOURS = {
    "default": "#d0d0d0",
    "black": "#1c1c1c",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#56d4dd",
    "white": "#f0f0f0",
    "brightblack": "#6e7681",
    "brightcyan": "#76e3ea",
}
PAPER = "#14181d"
FONTS = "DejaVu Sans Mono, Noto Sans Mono CJK SC, Noto Color Emoji, monospace"


def colour(name: str, default: str) -> str:
    """Return a colour of pyte's in SVG."""
    if name == "default":
        return default
    return COLOURS.get(name) or (f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else default)


def runs(screen: Any, row: int) -> list[tuple[int, int, Any, str]]:
    """Return pieces of a row that look the same: column, number of cells, a cell, text. Wide characters are alone."""
    found: list[tuple[int, int, Any, str]] = []
    column = 0
    while column < screen.columns:
        cell = screen.buffer[row][column]
        wide = max(1, wcwidth(cell.data[0]) if cell.data else 1)
        at, length, last, text = found[-1] if found else (0, 0, None, "")
        if last is not None and text.isascii() and cell.data.isascii() and cell[1:] == last[1:]:
            found[-1] = (at, length + 1, last, text + cell.data)
        else:
            found.append((column, wide, cell, cell.data))
        column += wide
    return found


def svg(screen: Any) -> str:
    """Draw a screen."""
    shapes, texts = [], []
    for row in range(screen.lines):
        for column, length, cell, text in runs(screen, row):
            ink, paper = colour(cell.fg, COLOURS["default"]), colour(cell.bg, PAPER)
            if cell.reverse:
                ink, paper = paper, ink
            x, y, width = 10 + column * WIDTH, 10 + row * HEIGHT, length * WIDTH
            if paper != PAPER:
                shapes.append(f'<rect x="{x:.1f}" y="{y}" width="{width + 0.5:.1f}" height="{HEIGHT}" fill="{paper}"/>')
            style = ' font-weight="bold"' * cell.bold + ' text-decoration="underline"' * cell.underscore
            # Words one by one, each as wide as its cells, whatever font is there and whatever it does with spaces.
            for word in re.finditer(r"\S+", text):
                x, size = 10 + (column + word.start()) * WIDTH, len(word[0]) * WIDTH
                fit = f' textLength="{size:.1f}"' if word[0].isascii() else ""
                texts.append(f'<text x="{x:.1f}" y="{y + 13}" fill="{ink}"{style}{fit}>{escape(word[0])}</text>')
    x, y = 10 + screen.cursor.x * WIDTH, 10 + screen.cursor.y * HEIGHT
    shapes.append(f'<rect x="{x:.1f}" y="{y + 2}" width="2" height="{HEIGHT - 4}" fill="#f0f0f0"/>')
    width, height = screen.columns * WIDTH + 20, screen.lines * HEIGHT + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' font-size="14" font-family="{FONTS}">\n'
        f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>\n' + "\n".join(shapes + texts) + "\n</svg>\n"
    )


async def draw(reactor: Any) -> None:
    """Play the scenes."""
    folder = Path(tempfile.mkdtemp())
    http = free_port()
    arguments = ("cim", "--data", "data", "--listen", loopback(free_port()), "--http", loopback(http))
    suite = Daemon(reactor, "suite", http, arguments, str(folder / "suite"), None)
    await suite.start()
    people: list[ScreenProcess] = []

    async def terminal(user: str) -> ScreenProcess:
        screen = ScreenProcess(reactor, COLUMNS, ROWS)
        home = folder / user
        home.mkdir()
        surroundings = environment({"HOME": str(home), "XDG_DATA_HOME": "", "TERM": "xterm-256color"})
        screen.start([*twistd()[:2], "cim-client", "--route", suite.url, user], surroundings, str(home))
        people.append(screen)
        await screen.wait_for(f"you are {user}", "●")
        return screen

    def keep(name: str, screen: ScreenProcess) -> None:
        (HERE / f"{name}.svg").write_text(svg(screen.screen), encoding="utf-8")
        print(f"-- {name}", *screen.lines, sep="\n")  # noqa: T201  # a script that is watched

    try:
        alice, bob, chen = [await terminal(user) for user in ("alice", "bob", "陈小明")]
        bob.type("good morning everyone :sunny:\r")
        await alice.wait_for("good morning everyone")
        chen.type("大家早上好！🎉\r")
        await alice.wait_for("大家早上好")
        alice.type("good morning! :smile:\r")
        await bob.wait_for("alice: good morning!")
        bob.type("@alice are you coming to lunch?\r")
        await alice.wait_for("coming to lunch", "unread: bob 1")
        alice.type("I am just typ")
        await alice.wait_for("just typ")
        keep("chat", alice)

        alice.type("\x15:to bob\r")
        await alice.wait_for("bob>")
        alice.type("yes, at twelve\r")
        await bob.wait_for("at twelve")
        bob.type(":to alice\r")
        await alice.wait_for("bob has read")
        bob.type("see you")
        await alice.wait_for("bob typing")
        keep("private", alice)

        alice.type(":re")
        await alice.wait_for(":react")
        keep("completion", alice)

        alice.type("\x15:q morning\r")
        await alice.wait_for("#1 ")
        keep("search", alice)

        alice.type("\x15")
        await suite.kill()
        await alice.wait_for("reconnecting")
        alice.type("said while the server is away\r")
        await alice.wait_for("… me")
        keep("away", alice)
    finally:
        for person in people:
            await person.stop()
        await suite.stop()


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    react(lambda reactor: Deferred.fromCoroutine(draw(reactor)))

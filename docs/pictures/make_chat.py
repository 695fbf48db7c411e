"""Makes the pictures of docs/chat.md: the page as Chromium shows it, as WebP.

    python docs/pictures/make_chat.py              # those that the documentation has
    python docs/pictures/make_chat.py FOLDER       # all widths, light and dark, in both languages, to look at

It starts a suite of its own, and people who talk. Chinese and emoji need fonts-wqy-microhei and fonts-noto-color-emoji.
"""

from __future__ import annotations

import base64
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from tests.harness.chromium import Chromium
from tests.harness.daemons import Daemon, loopback
from tests.harness.spawning import free_port
from tests.integration.browser_case import ChatTab, Profile

HERE = Path(__file__).resolve().parent
SIZES = {320: 640, 768: 720, 1440: 860}
LOOKS = ("light", "dark")
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
#: What the documentation has: the part of the page, its width, how it looks, and its language.
KEPT = (
    ("talk", 1440, "light", "en"),
    ("talk", 768, "dark", "zh"),
    ("talk", 320, "light", "en"),
    ("talks", 320, "dark", "zh"),
    ("members", 768, "light", "en"),
)


class Person(ChatTab):
    """Somebody who says what is told, and is pictured."""

    def looks(self, width: int, look: str, language: str) -> None:
        """Show the page so, from its beginning."""
        size = {"width": width, "height": SIZES[width], "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": look}])
        agent = self.run("return navigator.userAgent")
        self.command("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=LANGUAGES[language])
        self.reload()

    def picture(self, path: Path) -> None:
        """Write what is on show."""
        found = self.command("Page.captureScreenshot", format="webp", quality=60)
        path.write_bytes(base64.b64decode(found["data"]))


def talk(chromium: Chromium, url: str) -> tuple[Person, str, str]:
    """Have people talk; return one of them, and the conversations in English and in Chinese."""

    def person(name: str) -> Any:
        tab = Profile(chromium, url).tab(kind=Person)
        tab.register(name)
        return tab

    alice, bob, ming = person("alice"), person("bob"), person("陈小明")
    bob.find("alice")
    bob.say("Good morning! Is the release still for today?", "The notes are at https://example.org/notes")
    alice.open_talk("bob")
    alice.hears("Good morning! Is the release still for today?", "The notes are at https://example.org/notes")
    alice.say("Yes, at noon.", "Start it with `make run`, then open the address that it prints.")
    bob.act("Yes, at noon.", "react")
    bob.press('[data-testid="pick"][data-reaction="👍"]')
    alice.sees("reaction")
    bob.say("שלום to all who read from the right", "See you there 👋")
    private = alice.run("return location.hash")
    ming.press("new-group")
    ming.write("group-name", "周末登山")
    ming.press("make-group")
    ming.sees("title", "周末登山")
    for name in ("alice", "bob"):
        ming.press("members")
        ming.write("invite-name", name)
        ming.press("invite")
        ming.sees("problem", name)
        ming.press("close-dialog")
    for tab in (alice, bob):
        tab.press("accept")
        tab.sees("title", "周末登山")
    ming.say("星期六早上七点在东门集合，大家带好水和午饭。", "天气预报说是晴天 ☀️")
    alice.say("好的，我开车，可以带三个人。")
    bob.say("太好了，谢谢！")
    ming.act("好的，我开车", "react")
    ming.press('[data-testid="pick"][data-reaction="🎉"]')
    group = alice.run("return location.hash")
    ming.find("alice")
    ming.say("照片我晚上发给你。", "还有地图。")
    alice.sees("talk-unread", "2")
    return alice, private, group


def pictures(chromium: Chromium, url: str, folder: Path, wanted: list[tuple[str, int, str, str]]) -> None:
    """Write the pictures that are wanted."""
    if any(part == "log-in" for part, *_ in wanted):
        visitor = Profile(chromium, url).tab(kind=Person)
    alice, private, group = talk(chromium, url)
    for part, width, look, language in wanted:
        who = visitor if part == "log-in" else alice
        # A new page: what was open before is not.
        place = {"talk": group if language == "zh" else private, "members": group}.get(part, "")
        who.open("about:blank")
        who.open(url + place)
        who.looks(width, look, language)
        if part == "log-in":
            who.sees("login")
        else:
            who.is_online()
        if part in ("talk", "members"):
            who.sees("text", "谢谢" if place == group else "👋")
        if part == "members":
            who.press("members")
            who.sees("member", "bob")
        # The caret blinks, and a scroll may still be under way.
        who.run("document.activeElement.blur()")
        who.until(lambda driver: driver.execute_script("return document.fonts.status") == "loaded", "the fonts")
        who.picture(folder / f"chat-{part}-{width}-{look}-{language}.webp")


async def draw(reactor: Any, folder: Path, wanted: list[tuple[str, int, str, str]]) -> None:
    """Start what is needed, and draw."""
    http = free_port()
    with tempfile.TemporaryDirectory() as data:
        arguments = ["cim", "--data", data, "--listen", loopback(free_port()), "--http", loopback(http)]
        suite = Daemon(reactor, "suite", http, [*arguments, "--accounts", "open"], data, None)
        await suite.start()
        chromium = Chromium()
        try:
            await deferToThread(pictures, chromium, f"{suite.url}/", folder, wanted)
        finally:
            chromium.end()
            await suite.stop()


def main(words: list[str]) -> None:
    """Draw what the documentation has, or all of it into a folder."""
    folder, wanted = HERE, list(KEPT)
    if words:
        folder = Path(words[0])
        folder.mkdir(exist_ok=True)
        wanted = list(itertools.product(("log-in", "talks", "talk", "members"), SIZES, LOOKS, LANGUAGES))
    react(lambda reactor: Deferred.fromCoroutine(draw(reactor, folder, wanted)))


main(sys.argv[1:])

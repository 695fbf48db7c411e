"""What code and docs cite is there: files by their paths, and sections of docs by their headings."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).resolve().parent.parent
PAGES = [*sorted(TOP.glob("README*.md")), TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
SOURCES = [
    path
    for folder in ("cim", "bench", "tests", "proto", "examples", "twisted")
    for path in sorted((TOP / folder).rglob("*"))
    if path.suffix in (".py", ".proto", ".lua")
]
#: A file of ours, as docs name it.
FILE = re.compile(
    r"(?<![\w/.])(?:cim|tests|bench|proto|docs|examples|etc|deploy)(?:/[\w-]+)*/[\w-]+\.(?:py|md|proto|lua|conf|toml|ya?ml|json)\b"
)
#: A page of docs/, and the heading of what is meant there.
SECTION = re.compile(r"(docs/[\w-]+\.md)(?:,\s+(?:#\s+)?([A-Z][\w' /-]*[\w]))?")


def headings(page):
    return re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


class CitationTests(SynchronousTestCase):
    def test_files_that_docs_name(self):
        named = {(page.name, name) for page in PAGES for name in FILE.findall(page.read_text(encoding="utf-8"))}
        self.assertGreater(len(named), 30)
        self.assertEqual([one for one in sorted(named) if not (TOP / one[1]).exists()], [])

    def test_the_same_commands_and_pages_in_each_language(self):
        english, *others = (path.read_text(encoding="utf-8") for path in sorted(TOP.glob("README*.md")))
        self.assertEqual(len(others), 1)
        commands = re.findall(r"^```$.+?^```$", english, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(commands), 4)
        for other in others:
            self.assertEqual(re.findall(r"^```$.+?^```$", other, re.MULTILINE | re.DOTALL), commands)
            self.assertEqual(set(FILE.findall(other)), set(FILE.findall(english)))

    def test_sections_that_sources_cite(self):
        cited = {
            (source.relative_to(TOP).as_posix(), page, section)
            for source in SOURCES
            for page, section in SECTION.findall(source.read_text(encoding="utf-8"))
        }
        self.assertGreater(len(cited), 30)
        wrong = [
            (source, page, section)
            for source, page, section in sorted(cited)
            if not (TOP / page).exists() or (section and section not in headings(TOP / page))
        ]
        self.assertEqual(wrong, [])

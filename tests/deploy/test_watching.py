"""What watches CIM: each metric that alerts and dashboards name exists, and Prometheus understands what they ask."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml

from twisted.internet.testing import MemoryReactorClock
from twisted.python.reflect import namedAny

import cim.errors
from cim.daemon.metrics import Metrics
from tests.etc.program_case import ProgramCase

TOP = Path(__file__).resolve().parents[2]
PROMETHEUS, GRAFANA = TOP / "deploy" / "prometheus", TOP / "deploy" / "grafana"
NAME = re.compile(r"\b(?:cim|process)_[a-z_]+\b")
#: What a family of a kind is called by in queries.
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
STARTS = {
    "server": ("--registry", "memory"),
    "route": ("--registry", "memory", "--store", "sqlite:x"),
    "suite": (),
}


def alerts():
    return [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]


def dashboards():
    found = {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}
    assert found
    return found


def queries():
    """What all panels ask, as Grafana sends it."""
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")


class MetricsCase(ProgramCase):
    def names(self):
        """The names of all metrics of all daemons, and those of their processes."""
        made = []

        class Recorded(Metrics):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                made.append(self)

        for daemon, words in STARTS.items():
            tap = namedAny(f"cim.{daemon}.tap")
            self.patch(tap, "Metrics", Recorded)
            options = tap.Options(environ={})
            options.parseOptions([*words, *(("--data", self.mktemp()) if daemon == "suite" else ())])
            tap.makeService(options, MemoryReactorClock())
        self.assertEqual([one.daemon for one in made], list(STARTS))
        return {
            family.name + ending
            for metrics in made
            for family in metrics.registry.collect()
            for ending in SAMPLES[family.type]
        }

    def promtool(self, *words, cwd):
        done = self.runs(self.program("promtool"), *words, cwd=cwd)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class NamesTests(MetricsCase):
    def test_what_is_asked_for_exists(self):
        known = self.names()
        asked = {name for rule in alerts() for name in NAME.findall(rule["expr"])}
        shown = {name for query in queries() for name in NAME.findall(query)}
        self.assertGreater(len(asked), 15)
        self.assertGreater(len(shown), 20)
        self.assertEqual((asked - known, shown - known), (set(), set()))

    def test_what_exists_is_in_the_docs(self):
        page = (TOP / "docs" / "operations.md").read_text()
        told = set(re.findall(r"`(cim_[a-z_]+)[`{]", page))
        ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in self.names() if name.startswith("cim_")}
        self.assertEqual(ours - told, set())

    def test_outcomes_of_logins(self):
        (rule,) = [rule["expr"] for rule in alerts() if rule["alert"] == "CIMLoginsFail"]
        (words,) = re.findall(r'outcome=~"([^"]+)"', rule)
        for word in words.split("|"):
            self.assertTrue([name for name in vars(cim.errors) if re.fullmatch(word, name)], word)


class AlertsTests(MetricsCase):
    def test_each_says_what_to_do(self):
        """And names a heading of the page for operators, and has a test of its own."""
        page = (TOP / "docs" / "operations.md").read_text()
        tests = (PROMETHEUS / "alerts_test.yml").read_text()
        for rule in alerts():
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"), rule["alert"])
            self.assertEqual(sorted(rule["annotations"]), ["do", "see", "summary"], rule["alert"])
            self.assertIn(f"# {rule['annotations']['see']}\n", page)
            self.assertIn(rule["alert"], tests)

    def test_they_fire_when_they_should(self):
        self.promtool("test", "rules", "alerts_test.yml", cwd=PROMETHEUS)

    def test_prometheus_takes_its_configuration(self):
        folder = self.folder / "prometheus"
        shutil.copytree(PROMETHEUS, folder)
        (folder / "key").mkdir()
        (folder / "key" / "metrics").write_text("a key\n")
        # Debian's is built without Kubernetes.
        found = folder / "kubernetes.yml"
        text, changed = re.subn(r"kubernetes_sd_configs:\n(      .*\n)+", "static_configs: []\n", found.read_text())
        self.assertEqual(changed, 1)
        found.write_text(text)
        for name in ("prometheus.yml", "kubernetes.yml"):
            self.assertIn(f"{len(alerts())} rules found", self.promtool("check", "config", name, cwd=folder))


class DashboardsTests(MetricsCase):
    def test_queries(self):
        """Prometheus can read them all, and answers them by these labels."""
        rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
        (self.folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        self.assertIn(f"{len(rules)} rules found", self.promtool("check", "rules", "rules.yml", cwd=self.folder))

    def test_panels(self):
        """Each has a place of its own, a title, and what it asks the source that is chosen."""
        for name, dashboard in dashboards().items():
            panels = dashboard["panels"]
            self.assertEqual(len({panel["id"] for panel in panels}), len(panels), name)
            taken = set()
            for panel in panels:
                place = panel["gridPos"]
                cells = {
                    (x, y)
                    for x in range(place["x"], place["x"] + place["w"])
                    for y in range(place["y"], place["y"] + place["h"])
                }
                self.assertEqual((cells & taken, max(x for x, _ in cells) < 24), (set(), True), panel["title"])
                taken |= cells
                for target in panel.get("targets", ()):
                    self.assertEqual(target["datasource"], {"type": "prometheus", "uid": "${datasource}"})
                    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                        self.assertRegex(target["expr"], rf"\b{label}\b|^(?!.*\bby\b)")

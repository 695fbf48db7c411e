"""deploy/compose.yaml: what it mounts is there, and every daemon and program takes what it is started with."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import yaml

from twisted.internet.testing import MemoryReactorClock
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from tests.etc.program_case import ProgramCase

TOP = Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
HOST = "chat.example.com"


def composed():
    """The file as Compose reads it, for that host."""
    text = (DEPLOY / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{CIM_HOST(:\?[^}]*)?\}", HOST, text))


SERVICES = composed()["services"]


def options_of(service):
    """The options of a service that runs the image, as its daemon reads them."""
    daemon, *words = service["command"]
    options = namedAny(f"cim.{daemon}.tap.Options")(environ=service.get("environment", {}))
    options.parseOptions(words)
    return options


def names(service):
    return {address.split(":")[0] for address in re.findall(r"[a-z]+\d:\d+", " ".join(service["command"]))}


class ServicesTests(SynchronousTestCase):
    def test_what_runs(self):
        parts = {name.rstrip("123") for name in SERVICES}
        self.assertEqual(
            parts,
            {
                *("suite", "setup", "server", "route", "redis", "sentinel"),
                *("zookeeper", "nginx", "prometheus", "grafana"),
            },
        )
        self.assertEqual([name for name, one in SERVICES.items() if one["profiles"] == ["suite"]], ["suite"])
        for name, service in SERVICES.items():
            self.assertIn(service["profiles"], (["suite"], ["cluster"]), name)
            # A version that stays what it was; ours is built here.
            self.assertTrue(service["image"] == "cim" or re.search(r":v?\d", service["image"]), name)

    def test_files_are_there(self):
        declared = set(composed()["volumes"])
        used = set()
        for name, service in SERVICES.items():
            for mount in service.get("volumes", ()):
                source = mount.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DEPLOY / source).exists(), f"{name}: {source}")
                    self.assertTrue(mount.endswith(":ro"), mount)
                else:
                    used.add(source)
        self.assertEqual(used, declared)

    def test_ours(self):
        """No rights, no root but once without a network, and nothing that can be written but volumes."""
        for name, service in SERVICES.items():
            if service["image"] == "cim":
                self.assertEqual(service["cap_drop"], ["ALL"], name)
                self.assertEqual(service["read_only"], True, name)
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)
                self.assertEqual("user" in service, name == "setup")
                self.assertEqual(service["stop_grace_period"], "40s")
        self.assertEqual(SERVICES["setup"]["network_mode"], "none")

    def test_options(self):
        for name, service in SERVICES.items():
            if service["image"] == "cim" and name != "setup":
                options_of(service)

    def test_who_is_named(self):
        """Each is in a network with those whose names it is given, and these listen there."""
        reached = {}
        for name, service in SERVICES.items():
            if service["image"] != "cim" or name in ("setup", "suite"):
                continue
            for other in names(service):
                reached.setdefault(other, set()).add(name)
                self.assertTrue(set(service["networks"]) & set(SERVICES[other]["networks"]), f"{name} to {other}")
        self.assertEqual(len(reached), 6)
        self.assertEqual(options_of(SERVICES["route1"])["advertise"], "route1")
        self.assertEqual(options_of(SERVICES["route2"])["advertise"], "route2")

    def test_ports(self):
        """A server's clients come to the port that it advertises, and only nginx, servers and the suite have any."""
        for number, port in ((1, 11211), (2, 11221)):
            service = SERVICES[f"server{number}"]
            options = options_of(service)
            self.assertEqual(options["advertise"].split(":")[:2], [HOST, str(port)])
            self.assertEqual(service["ports"], [f"{port}:11211"])
            self.assertEqual(options["advertise-websocket"], f"wss://{HOST}/servers/{number}/v1/socket")
        opened = {name for name, one in SERVICES.items() for port in one.get("ports", ()) if "127.0.0.1" not in port}
        self.assertEqual(opened, {"nginx", "server1", "server2", "suite"})
        self.assertEqual(composed()["networks"]["store"]["internal"], True)

    def test_nginx_is_whom_they_trust(self):
        nginx = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
        for name in ("server1", "server2", "route1", "route2"):
            self.assertIn(f"--trusted-proxies={nginx}", SERVICES[name]["command"])

    def test_prometheus_asks_them_all(self):
        asked = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        targets = {target for job in asked for group in job["static_configs"] for target in group["targets"]}
        self.assertEqual(targets, {"server1:8081", "server2:8081", "route1:8083", "route2:8083"})
        for target in targets:
            name, port = target.split(":")
            self.assertIn(f"--http=tcp:{port}", SERVICES[name]["command"])
            self.assertIn("front", SERVICES[name]["networks"])


class ComposeTests(ProgramCase):
    def test_compose_reads_it(self):
        command = [self.program("docker"), "compose"]
        if self.runs(*command, "version").returncode:
            command = [self.program("docker-compose")]
        command += [
            "--file",
            str(DEPLOY / "compose.yaml"),
            "--profile",
            "suite",
            "--profile",
            "cluster",
            "config",
            "-q",
        ]
        done = self.runs(*command, env={**os.environ, "CIM_HOST": HOST})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("the name or the address of this machine", self.runs(*command).stderr)


class ScriptsCase(ProgramCase):
    """The scripts that containers start with, on this machine: with folders of the test's own."""

    def run_script(self, name, *words, paths=(), stubs=()):
        text = (DEPLOY / "compose" / name).read_text()
        for documented, real in paths:
            self.assertIn(documented, text)
            text = text.replace(documented, str(real))
        bin = self.folder / "bin"
        bin.mkdir(exist_ok=True)
        for stub in stubs:
            (bin / stub).write_text(f'#!/bin/sh\necho {stub} "$@"\n')
            (bin / stub).chmod(0o755)
        path = f"{bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = self.runs("sh", "-c", text, name, *words, env={"PATH": path})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class SetupTests(ScriptsCase):
    def setup(self, host):
        for name in ("secrets", "certificates", "watching"):
            (self.folder / name).mkdir(exist_ok=True)
        told = self.run_script("setup", host, paths=[("/setup/", f"{self.folder}/")], stubs=["chown"])
        self.assertIn(f"chown -R 10001:10001 {self.folder}/secrets {self.folder}/certificates", told)
        return {
            path.relative_to(self.folder).as_posix(): (path.stat().st_mode & 0o777, path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.parent.name != "bin"
        }

    def test_files(self):
        self.program("openssl")
        made = self.setup(HOST)
        self.assertEqual(
            {name: oct(mode) for name, (mode, _) in made.items()},
            {
                "secrets/secret": "0o600",
                "secrets/api-keys": "0o600",
                "secrets/vapid-key.pem": "0o600",
                "certificates/cim.pem": "0o600",
                "certificates/cim-key.pem": "0o600",
                "certificates/cim.key": "0o600",
                "watching/metrics": "0o444",
                "watching/grafana-password": "0o444",
            },
        )
        self.assertEqual(self.setup(HOST), made)
        made = str(self.folder / "certificates" / "cim.pem")
        shown = self.runs("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", made)
        self.assertIn(f"DNS:{HOST}", shown.stdout)

    def test_daemons_take_them(self):
        """A server reads its secret and its certificate, for an address, too."""
        self.program("openssl")
        self.setup("192.168.1.5")
        service = SERVICES["server1"]
        words = [word.replace("/etc/cim/", f"{self.folder}/") for word in service["command"][1:]]
        tap = namedAny("cim.server.tap")
        options = tap.Options(environ=service["environment"])
        options.parseOptions([*words, "--registry=memory"])
        tap.makeService(options, MemoryReactorClock())


class RedisTests(ScriptsCase):
    def conf(self, name):
        """The configuration that the script makes for a service, in a folder of its own."""
        service = SERVICES[name]
        kind = service["command"][0]
        data = self.folder / name
        data.mkdir()
        how = {"paths": [("/etc/cim/", f"{TOP}/etc/"), ("/data", data)], "stubs": ["redis-server"]}
        told = self.run_script("redis", *service["command"], **how)
        conf = data / f"{kind}.conf"
        self.assertEqual(told, f"redis-server {conf}{' --sentinel' * (kind == 'sentinel')}\n")
        made = conf.read_text()
        # What Sentinels changed stays.
        conf.write_text(made + "# changed\n")
        self.run_script("redis", *service["command"], **how)
        self.assertEqual(conf.read_text(), made + "# changed\n")
        return conf

    def test_redis(self):
        redis = self.program("redis-server")
        master = SERVICES["redis1"]["networks"]["store"]["ipv4_address"]
        for name in ("redis1", "redis2", "redis3"):
            conf = self.conf(name)
            self.assertEqual(f"\nreplicaof {master} 6379\n" in conf.read_text(), name != "redis1")
        # With port 0 and no socket it ends by itself as soon as the configuration was read.
        done = self.runs(redis, str(conf), "--port", "0")
        self.assertIn("Configured to not listen anywhere", done.stdout + done.stderr)

    def test_sentinel(self):
        master = SERVICES["redis1"]["networks"]["store"]["ipv4_address"]
        self.assertIn(f"sentinel monitor main {master} 6379 2\n", self.conf("sentinel1").read_text())


class NginxTests(ScriptsCase):
    def test_configuration(self):
        conf = self.folder / "cim.conf"
        paths = [("/etc/cim/nginx.conf", TOP / "etc" / "nginx.conf"), ("/etc/nginx/conf.d/default.conf", conf)]
        self.assertEqual(self.run_script("nginx", HOST, paths=paths, stubs=["nginx"]), "nginx -g daemon off;\n")
        text = conf.read_text()
        self.assertNotIn("10.0.0.", text)
        for name in ("route1", "route2", "server1", "server2"):
            address = SERVICES[name]["networks"]["front"]["ipv4_address"]
            self.assertIn(f"{address}:{8083 if name.startswith('route') else 11212}", text)
        self.nginx_takes(text)

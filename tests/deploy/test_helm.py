"""The chart of deploy/helm: what it makes is what Kubernetes takes, and what the daemons take."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

import cim
from cim.nodes import ServerAddress
from tests.deploy.test_compose import options_of
from tests.etc.program_case import ProgramCase

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "cim"
MINE = {
    "host": "chat.example.com",
    "registry": "zookeeper:zookeeper-0.zookeeper:2181",
    "store": "redis+sentinel:main@sentinel-0.sentinel:26379",
    "secretName": "cim",
    "tls": {"secretName": "cim-tls"},
    "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
    "route": {"options": ["--acknowledge=majority"]},
}
#: What the kubelet puts into the environment for a field of a pod.
FIELDS = {"metadata.name": "chat-server-1", "status.podIP": "fd00::7"}


class ChartTests(ProgramCase):
    def test_what_it_is_of(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (cim.__version__, cim.__version__))

    def template(self, values, kubernetes="1.31"):
        """What `helm template` prints, or what it refuses with."""
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(values))
        mine = str(self.folder / "mine.yaml")
        command = ["template", "chat", str(CHART), "--kube-version", kubernetes, "--values", mine]
        return self.runs(self.program("helm"), *command)

    def made(self, **changed):
        done = self.template({**MINE, **changed})
        self.assertEqual(done.returncode, 0, done.stderr)
        found = {}
        for one in yaml.safe_load_all(done.stdout):
            found[one["kind"], one["metadata"]["name"]] = one
        return found

    def test_kubernetes_takes_it(self):
        outside = {**MINE, "server": {"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}}}
        for values, version in ((MINE, "1.27"), (MINE, "1.37"), (outside, "1.37")):
            done = self.template(values, version)
            self.assertEqual(done.returncode, 0, done.stderr)
            (self.folder / "made.yaml").write_text(done.stdout)
            validate = str(Path(sys.executable).parent / "kubernetes-validate")
            done = self.runs(validate, "--strict", "--kubernetes-version", version, str(self.folder / "made.yaml"))
            self.assertEqual((done.returncode, done.stdout.count("passed")), (0, 9), done.stdout + done.stderr)

    def test_what_must_be_said(self):
        for name in ("host", "registry", "store", "secretName", "tls"):
            done = self.template({key: value for key, value in MINE.items() if key != name})
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(f"): {name}", done.stderr)

    def test_daemons_take_their_options(self):
        made = self.made()
        for kind, name in (("StatefulSet", "chat-server"), ("Deployment", "chat-route")):
            (container,) = made[kind, name]["spec"]["template"]["spec"]["containers"]
            environment = {}
            for one in container["env"]:
                value = one.get("value") or FIELDS[one["valueFrom"]["fieldRef"]["fieldPath"]]
                environment[one["name"]] = value.replace("$(POD_NAME)", FIELDS["metadata.name"])
            options = options_of({"command": container["args"], "environment": environment})
            ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
            for option, port in (("listen", "tcp"), ("websocket", "websocket"), ("http", "http"), ("link", "link")):
                if option in options:
                    self.assertEqual(options[option].split(":")[-1], ports[port])
            self.assertEqual(len(options["trusted-proxies"]), 2)
            if name == "chat-server":
                address = ServerAddress.parse(options["advertise"])
                self.assertEqual(address.host, "chat-server-1.chat-server.default.svc")
                self.assertEqual(options["advertise-websocket"], "wss://chat-server-1.chat.example.com/v1/socket")
            else:
                self.assertEqual(options["advertise"], "fd00::7")
                self.assertEqual(str(options["acknowledge"]), "majority")

    def test_each_server_is_reached(self):
        """By a Service and a name of its own, as many as there are."""
        made = self.made(server={"replicas": 3, "service": {"type": "LoadBalancer"}})
        rules = {rule["host"]: rule["http"]["paths"] for rule in made["Ingress", "chat"]["spec"]["rules"]}
        for number in range(3):
            name = f"chat-server-{number}"
            service = made["Service", name]["spec"]
            self.assertEqual(service["selector"]["statefulset.kubernetes.io/pod-name"], name)
            self.assertEqual([port["port"] for port in service["ports"]], [11211, 11212])
            (path,) = rules[f"{name}.chat.example.com"]
            self.assertEqual(path["backend"]["service"]["name"], name)
        self.assertEqual(len(rules), 4)
        (container,) = made["StatefulSet", "chat-server"]["spec"]["template"]["spec"]["containers"]
        self.assertIn("$(POD_NAME)-tcp.chat.example.com:11211:8081", [one.get("value") for one in container["env"]])

    def test_pods(self):
        """No rights, a drain before the signal, time for an orderly stop, and never all of them at once."""
        made = self.made()
        for kind, name in (("StatefulSet", "chat-server"), ("Deployment", "chat-route")):
            template = made[kind, name]["spec"]["template"]
            pod = template["spec"]
            (container,) = pod["containers"]
            self.assertEqual(pod["securityContext"]["runAsUser"], 10001)
            self.assertEqual(container["securityContext"]["readOnlyRootFilesystem"], True)
            self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
            self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], 5 + 30)
            self.assertEqual(container["lifecycle"]["preStop"]["exec"]["command"], ["sleep", "5"])
            # A store that is away must not take all of them out of service.
            self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/health/live")
            self.assertEqual(container["startupProbe"]["httpGet"]["path"], "/health")
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            self.assertEqual(mounts, {volume["name"] for volume in pod["volumes"]})
            budget = made["PodDisruptionBudget", name]["spec"]
            self.assertEqual(budget["maxUnavailable"], 1)
            labels = template["metadata"]["labels"]
            self.assertEqual(budget["selector"], made[kind, name]["spec"]["selector"])
            self.assertTrue(budget["selector"]["matchLabels"].items() <= labels.items())

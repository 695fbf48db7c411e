"""Tests of health and metrics, and of who may read them."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from cim.daemon.metrics import Metrics
from cim.errors import BadRequest
from cim.keys import derive_key
from cim.model import Health
from cim.web.declaring import Who
from cim.web.envelope import Envelopes
from cim.web.operations import Operations, cluster_only, internal_only, is_loopback
from cim.web.serving import CallResource
from tests.web.http_case import HTTPCase


class LoopbackTests(SynchronousTestCase):
    def test_loopback(self):
        for description in (
            "tcp:8081:interface=127.0.0.1",
            "tcp:8081:127.0.0.1",
            "tcp:port=8081:interface=127.9.9.9",
            r"tcp6:8081:interface=\:\:1",
            "tcp:interface=localhost:port=8081",
            "unix:/run/cim.sock",
            "unix:address=/run/cim.sock:mode=660",
            "tls:/etc/tls:443:interface=127.0.0.1",
        ):
            self.assertTrue(is_loopback(description), description)

    def test_endpoints_that_others_may_reach(self):
        for description in (
            "tcp:8081",
            "tcp:8081:interface=0.0.0.0",
            r"tcp6:8081:interface=\:\:",
            "tcp:8081:interface=",
            "tcp:8081:interface=10.0.0.1",
            "tcp:8081:interface=127.0.0.1.evil.example",
            "tls:/etc/127.0.0.1:443",
            "haproxy:tcp:8081:interface=127.0.0.1",
            "systemd:domain=INET:name=cim",
            "",
        ):
            self.assertFalse(is_loopback(description), description)


class OperationsTests(HTTPCase):
    def setUp(self):
        self.health = Health()
        self.counted = Metrics("route")

    def start(self, key=None):
        gate = internal_only(key, self.counted)
        self.serve(CallResource({Envelopes(gate): [Operations(lambda: self.health, self.counted)]}, self.counted))

    def test_all_parts_are_well(self):
        self.health = Health({"store": ""}, {"fsync": "always"})
        self.start()
        status, headers, body = self.request("GET", "/health")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(json.loads(body), {"status": "ok", "parts": {"store": "ok"}, "facts": {"fsync": "always"}})

    def test_a_part_is_away(self):
        self.health = Health({"store": "", "registry": "no connection for 5 s"})
        self.start()
        status, _, body = self.request("GET", "/health")
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body)["parts"], {"store": "ok", "registry": "no connection for 5 s"})
        self.assertEqual(self.request("GET", "/health/live")[0], 200)

    def test_a_health_check_that_raises(self):
        self.health = None
        self.start()
        self.assertEqual(self.request("GET", "/health")[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_metrics(self):
        self.counted.messages_in = 7
        self.start()
        status, headers, body = self.request("GET", "/metrics")
        self.assertEqual((status, headers["Content-Type"].split(";")[0]), (200, "text/plain"))
        self.assertIn(b'cim_messages_total{direction="in"} 7.0', body)

    def test_metrics_are_only_for_the_cluster(self):
        self.start("s3cret")
        status, headers, body = self.request("GET", "/metrics")
        self.assertEqual((status, headers["WWW-Authenticate"]), (401, "Bearer"))
        self.assertEqual(json.loads(body)["code"], "3000")
        for wrong in ("Bearer s3cre", "Bearer s3cret1", "Bearer", "Bearer é"):
            self.assertEqual(self.request("GET", "/metrics", headers=[f"Authorization: {wrong}"])[0], 403, wrong)
        self.assertEqual(self.request("GET", "/metrics", headers=["Authorization: Basic s3cret"])[0], 401)
        for right in ("Bearer s3cret", "bearer  s3cret"):
            self.assertEqual(self.request("GET", "/metrics", headers=[f"Authorization: {right}"])[0], 200)
        self.assertEqual(self.request("GET", "/health")[0], 200)
        self.assertIn('cim_refused_total{kind="http-key"} 6.0', self.counted.render().decode())

    def test_a_cookie_opens_nothing(self):
        self.start("the key")
        for headers in (["Cookie: cim=x", "Sec-Fetch-Site: same-origin"], ["Cookie: cim-console=x; __Host-cim=y"]):
            self.assertEqual(self.request("GET", "/metrics", headers=headers)[0], 401)

    def test_which_daemons_require_the_key(self):
        secret = self.mktemp()
        with open(secret, "w") as file:
            file.write("a secret of the cluster, long enough")
        os.chmod(secret, 0o600)
        key = derive_key(b"a secret of the cluster, long enough", "http").hex()
        for http, secret_file, keys in (
            ("tcp:1:interface=127.0.0.1", None, (None, key)),
            ("tcp:1:interface=127.0.0.1", secret, (None, key)),
            ("tcp:1", secret, (key,)),
            ("tcp:1", None, ()),
        ):
            gate = cluster_only({"http": http, "secret-file": secret_file}, self.counted)
            self.serve(CallResource({Envelopes(gate): [Operations(Health, self.counted)]}, self.counted))
            for given in (None, key):
                headers = [f"Authorization: Bearer {given}"] if given else []
                status = self.request("GET", "/metrics", headers=headers)[0]
                self.assertEqual(status == 200, given in keys, (http, secret_file, given))

    def test_the_key_does_not_open_other_calls(self):
        for key, status in ((None, 403), ("key", 403)):
            request = DummyRequest([b""])
            request.requestHeaders.addRawHeader(b"authorization", b"Bearer key")
            with self.assertRaises(BadRequest) as raised:
                internal_only(key, self.counted)(request, SimpleNamespace(who=Who.OPERATOR))
            self.assertEqual(raised.exception.status, status)

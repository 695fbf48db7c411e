"""The `/v1` API of a running suite against its own document: schemathesis invents calls, and judges the answers."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from cim.route.http.api import APIS
from cim.web.declaring import calls_of
from cim.wire import conversations
from tests.harness.daemons import Daemon, environment, loopback
from tests.harness.spawning import free_port, private_file

SEED = 20240229
EXAMPLES = 12
PHASES = ("examples", "coverage", "fuzzing")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
KEY = "operators-key-0123456789"
PASSWORD = "of no example"
#: It voids the token that the others need.
LEFT_OUT = "revoke"
#: Nothing invented is the present password; a reservation may have ended before somebody names it.
MAYBE_NEVER_DONE = {
    *("PUT /v1/password", "DELETE /v1/sessions/{device}", "DELETE /v1/admin/sessions/{user}/{device}"),
    # What they end may have been ended before: as a ban, or by a time that is past.
    *("DELETE /v1/admin/users/{id}/suspension", "DELETE /v1/conversations/{conversation}/mute"),
    # They need a webhook that fails.
    *("POST /v1/admin/webhooks/{name}/replay", "POST /v1/admin/webhooks/{name}/skip"),
    # They need a service that notifies.
    *("PUT /v1/pushes", "DELETE /v1/pushes/{id}"),
}


class OpenAPITests(TestCase):
    """`twistd cim`."""

    timeout = 300

    def setUp(self):
        from twisted.internet import reactor

        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)
        keys = os.path.join(self.directory, "keys")
        private_file(keys, f"{KEY}\n")
        http, tcp = free_port(), free_port()
        arguments = ["cim", "--data", "data", "--http", loopback(http), "--listen", loopback(tcp)]
        self.suite = Daemon(reactor, "suite", http, [*arguments, "--api-key-file", keys], self.directory, None)
        self.addCleanup(self.suite.kill)
        return self.suite.start()

    async def call(self, method, path, body=None, **headers):
        answer = await treq.request(
            method, self.suite.url + path, json=body, headers=headers, persistent=False, timeout=10
        )
        raw = await answer.content()
        self.assertLess(answer.code, 300, raw)
        return json.loads(raw) if raw else None

    async def there(self):
        """Make users, a group and a message for invented calls to meet."""
        names = ("user", "friend", "victim", "condemned", "erased", "forgetful")
        there = {"key": KEY}
        for name in names:
            account = await self.call("POST", "/v1/accounts", {"name": name, "password": PASSWORD})
            there[name] = account["id"]
        logins = [
            await self.call("POST", "/v1/sessions", {"name": name, "password": PASSWORD, "device": "phone"})
            for name in names
        ]
        there["token"] = logins[0]["token"]
        proof = {"Authorization": f"Bearer {there['token']}"}
        there["group"] = (await self.call("POST", "/v1/groups", {"name": "group"}, **proof))["id"]
        await self.call("PUT", f"/v1/groups/{there['group']}/members/{there['friend']}", {}, **{"X-API-Key": KEY})
        for name in ("moderated", "dissolved"):
            there[name] = (await self.call("POST", "/v1/groups", {"name": name}, **proof))["id"]
            path = f"/v1/groups/{there[name]}/members/{there['friend']}"
            await self.call("PUT", path, {}, **{"X-API-Key": KEY})
        for name in ("changed", "doomed"):  # by operators
            there[name] = (await self.call("POST", "/v1/groups", {"name": name}, **proof))["id"]
            path = f"/v1/groups/{there[name]}/members/{there['victim']}"
            await self.call("PUT", path, {}, **{"X-API-Key": KEY})
        path = f"/v1/admin/users/{there['forgetful']}/reset-code"
        there["code"] = (await self.call("POST", path, **{"X-API-Key": KEY}))["code"]
        message = {"to_user": there["friend"], "client_id": "first", "text": "hello"}
        await self.call("POST", "/v1/messages", message, **proof)
        there["conversation"] = conversations.private(there["user"], there["friend"])
        message = {"to_user": there["user"], "client_id": "first", "text": "hello"}
        by_friend = {"Authorization": f"Bearer {logins[1]['token']}"}
        there["position"] = (await self.call("POST", "/v1/messages", message, **by_friend))["position"]
        report = {"conversation": there["conversation"], "position": there["position"], "reason": "spam"}
        path = f"/v1/users/{there['friend']}/tokens"
        there["users_token"] = (await self.call("POST", path, {}, **{"X-API-Key": KEY}))["id"]
        there["report"] = (await self.call("POST", "/v1/reports", report, **proof))["id"]
        return there

    async def schemathesis(self, there):
        """Run it; return its exit status and what it says."""
        hooks = Path(__file__).with_name("openapi_hooks.py")
        env = environment({"THERE": json.dumps(there), "SCHEMATHESIS_HOOKS": hooks.stem, "NO_COLOR": "1"})
        env["PYTHONPATH"] = os.pathsep.join((str(hooks.parent), env["PYTHONPATH"]))
        out, err, status = await getProcessOutputAndValue(
            str(Path(sys.executable).parent / "schemathesis"),
            [
                "run",
                f"{self.suite.url}/openapi.json",
                f"--seed={SEED}",
                f"--max-examples={EXAMPLES}",
                f"--phases={','.join(PHASES)}",
                f"--checks={','.join(CHECKS)}",
                f"--exclude-operation-id={LEFT_OUT}",
                "--generation-database=none",
                "--continue-on-failure",
                "--warnings=off",
                "--request-timeout=10",
                "--no-color",
            ],
            env=env,
            path=self.directory,
        )
        return status, (out + err).decode(errors="replace")

    async def answered(self):
        """Which statuses each call was answered with, as the suite counted them."""
        answer = await treq.get(f"{self.suite.url}/metrics", persistent=False, timeout=10)
        found = {}
        counted = r'cim_http_requests_total{method="([A-Z]+)",path="(/v1/[^"]*)",status="(\d+)"'
        for method, path, status in re.findall(counted, await answer.text()):
            found.setdefault(f"{method} {path}", set()).add(int(status))
        return found

    async def test_no_call_fails_or_is_answered_in_a_way_that_is_not_documented(self):
        status, said = await self.schemathesis(await self.there())
        self.assertEqual(status, 0, said)
        self.assertNotIn("Traceback", "\n".join(self.suite.lines))
        calls = {
            f"{' '.join(call.methods)} {call.path}"
            for api in APIS
            for name, call in calls_of(api).items()
            if name != LEFT_OUT
        }
        answered = await self.answered()
        done = {call for call, statuses in answered.items() if any(status < 300 for status in statuses)}
        self.assertEqual(calls - done - MAYBE_NEVER_DONE, set(), said)
        self.assertTrue(all(status < 500 for statuses in answered.values() for status in statuses), answered)

    async def test_calls_at_once_all_end(self):
        there = await self.there()
        page = await treq.get(f"{self.suite.url}/docs", persistent=False, timeout=10)
        self.assertIn("default-src 'none'", page.headers.getRawHeaders("Content-Security-Policy")[0])
        self.assertIn("/v1/conversations/{conversation}/read", await page.text())
        proof = {"Authorization": f"Bearer {there['token']}"}
        body = {"to_user": there["friend"], "client_id": "the same", "text": "once"}
        said = await gatherResults([self._send(body, proof) for _ in range(50)])
        self.assertEqual(len({one["position"] for one in said}), 1)
        self.assertEqual([one["repeated"] for one in said].count(False), 1)

    def _send(self, body, proof):
        return Deferred.fromCoroutine(self.call("POST", "/v1/messages", body, **proof))

"""`cim-admin webhooks`, on a route in memory."""

from __future__ import annotations

from twisted.python.usage import UsageError

from cim.admin.tap import Admin
from tests.admin.test_commands import CommandCase
from tests.route.http.test_webhooks import WebhooksCase


class WebhooksTests(WebhooksCase, CommandCase):
    def test_list(self):
        self.stop()
        out, _ = self.run_command("webhooks", "list")
        self.assertEqual(
            out.splitlines(),
            [
                "WEBHOOK  LATE  STOPPED  LAST ERROR",
                "shop     0     1        it answered with status 500",
                "moments  0     0        none",
            ],
        )
        [stopped] = self.rows("webhooks", "list", "--stopped")
        self.assertEqual((stopped["name"], stopped["conversation"]), ("shop", self.conversation))

    def test_replay(self):
        self.stop()
        self.assertEqual(self.run_command("webhooks", "replay", "shop")[0], "shop goes on in 1 conversation\n")
        self.cluster.pass_seconds(3)
        self.assertEqual(self.texts(), ["one", "two", "three"])
        self.assertEqual(self.run_command("webhooks", "replay", "shop")[0], "shop goes on in 0 conversations\n")
        self.assertIn("it does not fail", self.failing("webhooks", "replay", "shop", self.conversation))

    def test_skip(self):
        self.stop()
        self.assertEqual(self.rows("webhooks", "skip", "shop", self.conversation), [{"resumed": 1}])
        self.cluster.pass_seconds(3)
        self.assertEqual(self.texts(), ["two", "three"])

    def test_skip_all(self):
        self.stop()
        self.run_command("webhooks", "skip", "shop", self.conversation, "--all")
        self.cluster.pass_seconds(3)
        self.assertEqual(self.taken, [])

    def test_refused(self):
        self.assertIn("there is no such webhook", self.failing("webhooks", "replay", "nobody/x"))
        for words, why in (
            (("replay",), "give the name of a webhook"),
            (("skip", "shop"), "give the name of a webhook"),
            (("replay", "shop", "p:1:2", "more"), "give the name of a webhook"),
            (("replay", "shop", "p:2:1"), '"p:2:1" must be p:'),
        ):
            error = self.assertRaises(UsageError, Admin({}).parseOptions, ["webhooks", *words])
            self.assertIn(why, str(error))

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis.facts import ServerFacts

INFO = b"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nos:Linux: 6.1\r\n"


class ServerFactsTests(SynchronousTestCase):
    def test_reads_what_info_answers(self):
        facts = ServerFacts.read(INFO, {})
        self.assertEqual((facts.version, facts.run_id), ("7.0.15", "abc"))

    def test_valkey_is_called_by_its_name(self):
        info = b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nrun_id:abc\r\n"
        facts = ServerFacts.read(info, {})
        self.assertEqual((facts.facts()["version"], facts.version_complaint()), ("Valkey 9.1.2", ""))
        self.assertEqual(facts.log_fields()["server"], "Valkey 9.1.2")
        self.assertEqual(ServerFacts.read(INFO, {}).log_fields()["server"], "Redis 7.0.15")
        self.assertEqual(ServerFacts().log_fields()["server"], "Redis (unknown)")

    def test_reads_nonsense(self):
        self.assertEqual(ServerFacts.read(b"\xff\r\n\r\n", {}).version, "")

    def acknowledged(self, **settings):
        return ServerFacts(settings=settings).acknowledged()

    def test_acknowledged(self):
        self.assertIn("unknown", self.acknowledged())
        self.assertIn("memory", self.acknowledged(appendonly="no", appendfsync="always"))
        self.assertTrue(self.acknowledged(appendonly="yes", appendfsync="always").startswith("on disk ("))
        self.assertIn("second", self.acknowledged(appendonly="yes", appendfsync="everysec"))
        self.assertIn("operating system", self.acknowledged(appendonly="yes", appendfsync="no"))

    def test_acknowledged_by_majorities(self):
        facts = ServerFacts(settings={"appendonly": "yes", "appendfsync": "always"})
        for servers, words in [(1, "2 of 2"), (2, "2 of 2"), (3, "2 of 3"), (5, "3 of 5")]:
            self.assertEqual(
                facts.facts(servers)["acknowledged"],
                f"{words} Redis servers have it, this one on disk (appendfsync always)",
            )

    def test_versions(self):
        for version in ("7.0.0", "7.2.5", "8.0.1", "10.0", "255.255.255", ""):
            self.assertEqual(ServerFacts(version).version_complaint(), "", version)
        for version in ("6.2.14", "5.0", "2.8.24"):
            self.assertIn(version, ServerFacts(version).version_complaint())

    def test_a_policy_that_evicts_is_a_complaint(self):
        self.assertEqual(ServerFacts("7.0.0", settings={"maxmemory-policy": "noeviction"}).complaint(), "")
        self.assertIn("volatile-ttl", ServerFacts("7.0.0", settings={"maxmemory-policy": "volatile-ttl"}).complaint())

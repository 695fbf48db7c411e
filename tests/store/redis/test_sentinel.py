"""Tests of what Sentinels are asked, what their answers mean, and whom to believe."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis.sentinel import Address, Told, UselessAnswer, Watched, believed

A, B = Address("10.0.0.1", 6379), Address("10.0.0.2", 6379)
#: As Redis 7.0 answers, shortened.
FACTS = b"name main ip 10.0.0.1 port 6379 flags master,o_down num-slaves 2 config-epoch 7 quorum 2".split()


class AddressTests(SynchronousTestCase):
    def test_hosts(self):
        for text, host, port, shown in [
            ("10.0.0.1:26379", "10.0.0.1", 26379, "10.0.0.1:26379"),
            ("my_redis:1", "my_redis", 1, "my_redis:1"),
            ("[fd00::1]:6379", "fd00::1", 6379, "[fd00::1]:6379"),
            ("::1:6379", "::1", 6379, "[::1]:6379"),
        ]:
            address = Address.parse(text)
            self.assertEqual((address.host, address.port, str(address)), (host, port, shown))

    def test_others(self):
        for text in ("", ":", "host", "host:", ":6379", "[]:6379", "host:0", "host:65536", "host:-1", "host:\u0663"):
            self.assertIsNone(Address.parse(text), text)


class WatchedTests(SynchronousTestCase):
    def test_names_and_sentinels(self):
        watched = Watched.parse("my_master.1@one:26379,[fd00::1]:26380,one:26379")
        self.assertEqual(watched.name, "my_master.1")
        self.assertEqual(watched.sentinels, (Address("one", 26379), Address("fd00::1", 26380)))
        self.assertEqual(str(watched), "my_master.1@one:26379,[fd00::1]:26380")

    def test_others(self):
        for text in ("", "main", "main@", "@one:26379", "main@one", "main@one:1,", "ma in@one:1", "one:26379/main"):
            self.assertIsNone(Watched.parse(text), text)

    def test_questions(self):
        self.assertEqual(
            Watched("main", [A]).questions(),
            (("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"), ("SENTINEL", "MASTER", "main")),
        )


class ToldTests(SynchronousTestCase):
    def test_reads_the_answers(self):
        told = Told.read([b"10.0.0.2", b"6379"], FACTS)
        self.assertEqual((told.master, told.epoch, told.replicas), (B, 7, 2))
        self.assertEqual(told.state, ("master", "o_down"))

    def test_an_unknown_name(self):
        error = self.assertRaises(UselessAnswer, Told.read, None, ValueError("ERR No such master with that name"))
        self.assertEqual(str(error), "it watches no master of that name")

    def test_nonsense(self):
        for address, facts in [
            (b"10.0.0.2", FACTS),
            ([b"10.0.0.2"], FACTS),
            ([b"\xff", b"1"], FACTS),
            ([b"10.0.0.2", b"6379"], None),
            ([b"10.0.0.2", b"6379"], [b"odd"]),
            ([b"10.0.0.2", b"6379"], [b"config-epoch", b"x"]),
            ([b"10.0.0.2", b"6379"], ValueError("NOPERM")),
        ]:
            error = self.assertRaises(UselessAnswer, Told.read, address, facts)
            self.assertIn("does not answer like a Sentinel", str(error))
        error = self.assertRaises(UselessAnswer, Told.read, [b"?", b"0"], FACTS)
        self.assertIn('no address of the master, but "?:0"', str(error))


class BelievedTests(SynchronousTestCase):
    def believed(self, *told, current=None, sentinels=3):
        return believed([Told(*one) for one in told], sentinels, current and Told(*current))

    def test_the_latest_configuration_counts(self):
        self.assertEqual(self.believed((A, 1), (B, 2), (A, 1)), Told(B, 2))
        self.assertEqual(self.believed((A, 1), (B, 2), current=(A, 1)), Told(B, 2))

    def test_without_answers_nothing_changes(self):
        self.assertIsNone(self.believed())
        self.assertEqual(self.believed(current=(A, 1)), Told(A, 1))

    def test_one_that_lags_does_not_lead_back(self):
        self.assertEqual(self.believed((A, 1), current=(B, 2)), Told(B, 2))

    def test_most_of_them_do(self):
        self.assertEqual(self.believed((A, 0), (A, 0), current=(B, 2)), Told(A, 0))
        self.assertEqual(self.believed((A, 0), (A, 0), current=(B, 2), sentinels=4), Told(B, 2))

    def test_two_names_of_the_same_address_do_not_alternate(self):
        self.assertEqual(self.believed((A, 1), (B, 1), current=(B, 1)), Told(B, 1))
        self.assertEqual(self.believed((A, 1), current=(B, 1)), Told(B, 1))

    def test_what_nobody_says_any_more_is_not_believed_for_ever(self):
        """The address of before a failover beside the number of after it."""
        self.assertEqual(self.believed((B, 2), (B, 2), (A, 2), current=(A, 2)), Told(A, 2))
        self.assertEqual(self.believed((B, 2), (B, 2), (B, 2), current=(A, 2)), Told(B, 2))
        self.assertEqual(self.believed((B, 2), current=(A, 2)), Told(A, 2))

    def test_what_else_is_new_is_taken(self):
        self.assertEqual(self.believed((A, 1, 2), current=(A, 1, 1)), Told(A, 1, 2))

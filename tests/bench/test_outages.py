"""How long people waited because of each kind of fault."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.outages import Mended, Outage, outages, table


def keys(moments):
    return {(1, "p:1:2", number): moment for number, moment in enumerate(moments)}


class OutageTests(SynchronousTestCase):
    def test_the_longest_wait_of_what_was_sent_meanwhile(self):
        sent = keys([1.0, 9.0, 10.0, 12.0, 20.0])
        accepted = keys([2.5, 9.25, 11.0, 16.0, 20.25])
        faults = [Mended("kill redis", 10.5, 14.0), Mended("drop client", 20.0, 20.0)]
        found = outages(sent, accepted, faults)
        self.assertEqual(found["kill redis"], Outage(1, 3.5, 4.0, 4.0, 5.0))
        self.assertEqual(found["drop client"], Outage(1, 0.0, 0.25, 0.25, 4.25))

    def test_of_several_of_a_kind_the_longest(self):
        sent, accepted = keys([10.0, 30.0, 50.0]), keys([11.0, 37.0, 52.0])
        found = outages(sent, accepted, [Mended("part route", start, start + 1) for start in (10.0, 30.0, 50.0)])
        self.assertEqual((found["part route"].count, found["part route"].wait), (3, 7.0))

    def test_faults_beside_each_other_are_not_told_as_alone(self):
        sent, accepted = keys([10.0, 40.0]), keys([18.0, 43.0])
        faults = [Mended("kill redis", 10.0, 12.0), Mended("kill route", 16.0, 17.0), Mended("kill redis", 40.0, 41.0)]
        found = outages(sent, accepted, faults)
        self.assertEqual((found["kill redis"].wait, found["kill redis"].wait_alone), (8.0, 3.0))
        self.assertEqual(found["kill route"].wait_alone, 0.0)

    def test_what_was_never_accepted_does_not_count(self):
        self.assertEqual(outages(keys([10.0]), {}, [Mended("kill redis", 10.0, 12.0)])["kill redis"].wait, 0.0)

    def test_the_worst_comes_first(self):
        _, first, second = table({"a": Outage(wait=1.0), "b": Outage(wait=2.0)})
        self.assertEqual([first.split()[0], second.split()[0]], ["b", "a"])

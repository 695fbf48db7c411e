"""Names of traces."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.traces import read_traceparent, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NAMED = bytes.fromhex(TRACE + SPAN)
GOOD = f"00-{TRACE}-{SPAN}-01"


class TraceparentTests(SynchronousTestCase):
    def test_read(self):
        self.assertEqual(read_traceparent(GOOD.encode()), (NAMED, True))
        self.assertEqual(read_traceparent(f"00-{TRACE}-{SPAN}-00".encode()), (NAMED, False))

    def test_only_one_flag_says_whether_it_is_traced(self):
        self.assertEqual(read_traceparent(f"00-{TRACE}-{SPAN}-fe".encode()), (NAMED, False))
        self.assertEqual(read_traceparent(f"00-{TRACE}-{SPAN}-03".encode()), (NAMED, True))

    def test_later_versions_as_far_as_they_are_known(self):
        self.assertEqual(read_traceparent(f"01-{TRACE}-{SPAN}-01".encode()), (NAMED, True))
        self.assertEqual(read_traceparent(f"cc-{TRACE}-{SPAN}-01-what-comes".encode()), (NAMED, True))
        self.assertIsNone(read_traceparent(f"cc-{TRACE}-{SPAN}-01.what-comes".encode()))

    def test_names_nothing(self):
        for header in (
            "",
            "00",
            GOOD[:-1],
            GOOD + "0",
            GOOD + "-",
            GOOD + "-more",
            GOOD + " ",
            " " + GOOD,
            GOOD + "\n",
            GOOD.upper(),
            f"ff-{TRACE}-{SPAN}-01",
            f"0-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE[:-1]}g-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-0x",
            f"00_{TRACE}_{SPAN}_01",
            f"{GOOD}, {GOOD}",
            f"00-{TRACE}-{SPAN}-" + "1" * 10_000,
            f"00-{'４' * 32}-{SPAN}-01",
        ):
            self.assertIsNone(read_traceparent(header.encode()), header)
        self.assertIsNone(read_traceparent(b"\xff" * 55))

    def test_written(self):
        self.assertEqual(traceparent(NAMED), GOOD)

"""What a slow cable does to frames."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from bench.switch import MOST_HELD, Cable


class CableTests(SynchronousTestCase):
    def test_each_frame_takes_its_time_and_no_longer(self):
        cable = Cable(random.Random(1), delay=0.1, jitter=0.2)
        for _ in range(200):
            cable.put(b"frame", 10.0)
        self.assertEqual(cable.take(10.0999), [])
        half = len(cable.take(10.2))
        self.assertTrue(60 < half < 140, half)
        self.assertEqual(len(cable.take(10.3)), 200 - half)
        self.assertIsNone(cable.next_arrival())

    def test_with_jitter_they_overtake_one_another_and_without_they_do_not(self):
        frames = [bytes([number]) for number in range(100)]
        for jitter, ordered in ((0.0, True), (0.05, False)):
            cable = Cable(random.Random(1), delay=0.1, jitter=jitter)
            for number, frame in enumerate(frames):
                cable.put(frame, number / 1000)
            arrived = cable.take(1.0)
            self.assertEqual(sorted(arrived), frames)
            self.assertEqual(arrived == frames, ordered)

    def test_the_next_arrival_is_the_earliest(self):
        cable = Cable(random.Random(1), delay=0.5)
        cable.put(b"first", 1.0)
        cable.delay = 0.1
        cable.put(b"second", 1.0)
        self.assertEqual(cable.next_arrival(), 1.1)
        self.assertEqual(cable.take(2.0), [b"second", b"first"])

    def test_a_share_is_lost(self):
        cable = Cable(random.Random(1), loss=0.25)
        for _ in range(1000):
            cable.put(b"frame", 0.0)
        arrived = len(cable.take(0.0))
        self.assertTrue(700 < arrived < 800, arrived)

    def test_what_is_too_much_is_dropped(self):
        cable = Cable(random.Random(1), delay=1.0)
        for _ in range(MOST_HELD + 7):
            cable.put(b"frame", 0.0)
        self.assertEqual(len(cable.take(1.0)), MOST_HELD)

"""The examples in CONTRIBUTING.md, run as the tests that they are."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import TestResult

from twisted.trial.unittest import SynchronousTestCase, TestSuite

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


class ExampleTests(SynchronousTestCase):
    def test_every_example_passes(self):
        self.assertGreater(len(EXAMPLES), 5)
        for example in EXAMPLES:
            names = {"__name__": __name__}
            exec(example, names)
            case = next(made for name, made in names.items() if name.endswith("Example"))
            tests = TestSuite(case(name) for name in vars(case) if name.startswith("test_"))
            self.assertEqual(tests.countTestCases(), 1, example)
            result = TestResult()
            tests.run(result)
            self.assertTrue(result.wasSuccessful(), result.failures + result.errors)

"""twistd's view of CIM."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin, getPlugins
from twisted.plugins import cim_dropin
from twisted.python.usage import Options
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

OURS = ("cim", "cim-client", "cim-route", "cim-server")


class DropinTests(SynchronousTestCase):
    def setUp(self):
        self.makers = [value for value in vars(cim_dropin).values() if IServiceMaker.providedBy(value)]

    def test_all_there(self):
        self.assertEqual(tuple(sorted(maker.tapname for maker in self.makers)), OURS)
        found = {plugin.tapname for plugin in getPlugins(IServiceMaker)}
        self.assertLessEqual(set(OURS), found)

    def test_makers(self):
        for maker in self.makers:
            verifyObject(IServiceMaker, maker)
            verifyObject(IPlugin, maker)
            self.assertTrue(issubclass(maker.options, Options), maker.tapname)
            self.assertTrue(callable(maker.makeService))
            self.assertIn("--config=", maker.options().getUsage())

    def test_listing_plugins_imports_nothing_of_ours(self):
        code = "import sys, twisted.plugins.cim_dropin; sys.exit(int('cim' in sys.modules))"
        top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": top}, timeout=60)
        self.assertEqual(done.returncode, 0)

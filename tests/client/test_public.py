"""Tests of the names that programs import from the library, and of former names in its modules."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

import cim.client

#: The imports that the documentation and the examples have shown.
FORMERLY = {
    "cim.client.aio": {"connect", "running_reactor"},
    "cim.client.client": {"Client"},
    "cim.client.data_directory": {"DataDirectory", "data_home"},
    "cim.client.history": {"MemoryHistory", "SqliteHistory"},
    "cim.client.iclient": {"IClient", "IHistory", "IListener"},
    "cim.client.message_log": {"MessageLog"},
    "cim.client.values": {"Group", "Guest", "Kind", "Message", "Password", "State", "User"},
}


class PublicTests(SynchronousTestCase):
    def test_all_names_can_be_imported(self):
        self.assertEqual(cim.client.__all__, sorted(cim.client.__all__))
        for name in cim.client.__all__:
            self.assertTrue(hasattr(cim.client, name), name)

    def test_former_names_still_exist(self):
        for module, names in FORMERLY.items():
            for name in names:
                there = getattr(import_module(module), name)
                self.assertIs(there, getattr(cim.client, name, there))

    def test_importing_it_installs_no_reactor(self):
        asked = "import sys, cim.client, cim.client.aio; sys.exit('twisted.internet.reactor' in sys.modules)"
        subprocess.run([sys.executable, "-c", asked], check=True)

    def test_kinds_are_called_as_in_the_http_api_too(self):
        for kind in cim.client.Kind:
            self.assertIs(cim.client.Kind(kind.name), kind)
            self.assertIs(cim.client.Kind(kind.value), kind)
        with self.assertRaises(ValueError):
            cim.client.Kind("Text")

"""Tests of how scripts are assembled; their effects are tested on a real Redis."""

from __future__ import annotations

import re
from importlib.resources import files

from lupa.lua51 import LuaRuntime

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis import accounts, conversations, credentials, groups, sessions
from cim.store.redis.keys import Key
from cim.store.redis.scripts import Script

MODULES = (accounts, conversations, credentials, groups, sessions)


class ScriptTests(SynchronousTestCase):
    def test_each_script_parses_with_its_preludes(self):
        """Lua has limits per script that single parts do not reach, such as 200 local names."""
        scripts = [value for module in MODULES for value in vars(module).values() if isinstance(value, Script)]
        self.assertGreater(len(scripts), 5)
        for script in scripts:
            LuaRuntime().compile(script.text, name=script.name)

    def test_scripts_have_the_names_of_keys(self):
        text = conversations.APPEND.text
        self.assertIn(f"call('HSETNX', '{Key.CHANGED}',", text)
        self.assertIn(f"string.sub(stream, #'{Key.STREAM}' + 1)", text)
        self.assertIn("2 * ONCE_MS", text)
        self.assertIn("call('XINFO', 'STREAM', 'cim:c:' ..", text)  # a word of Redis' is none
        names = rf"(?<!')\b({'|'.join(Key.__members__)})\b(?!')"
        self.assertNotRegex(re.sub("--.*", "", text), names)
        self.assertIn("HSETNX', CHANGED,", conversations.APPEND.source)
        self.assertEqual(Key.STREAM.of("p:1:2"), "cim:c:{p:1:2}")

    def test_no_script_spells_out_a_key(self):
        for file in files("cim.store.redis").iterdir():
            if file.name.endswith((".lua", ".py")) and file.name != "keys.py":
                for line in file.read_text().splitlines():
                    self.assertNotRegex(line, r"['\"](cim:|cim-route|cim-account|login-status)", file.name)

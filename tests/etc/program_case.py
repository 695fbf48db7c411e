"""Samples for programs that are not ours, shown to these."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.harness.certificates import certified, put


def temporary(folder):
    """Return the lines with which nginx keeps what it must keep for a while in a folder of its own."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


class ProgramCase(SynchronousTestCase):
    """Has a folder of its own."""

    def setUp(self):
        # Its path is short: those of sockets have at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="cim"))
        self.addCleanup(shutil.rmtree, self.folder)

    def program(self, name):
        """Return the path of a program; the test is skipped without it."""
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if found is None:
            raise SkipTest(f"{name} is not installed")
        return found

    def runs(self, *command, **how):
        """Return what a command did, with its output as text."""
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **how)

    def nginx_takes(self, text):
        """nginx accepts etc/nginx.conf, or what was made of it."""
        nginx = self.program("nginx")
        # Sockets that need no rights, and a certificate; the rest is taken as it is.
        made = certified("chat.example.com")
        put(self.folder / "cim.pem", made.certificate_pem)
        put(self.folder / "cim.key", made.key_pem)
        for documented, real in (
            ("listen 80;", f"listen unix:{self.folder}/80;"),
            ("listen 443 ssl;", f"listen unix:{self.folder}/443 ssl;"),
            ("/etc/cim/certificates/", f"{self.folder}/"),
        ):
            self.assertIn(documented, text)
            text = text.replace(documented, real)
        (self.folder / "cim.conf").write_text(text)
        (self.folder / "nginx.conf").write_text(
            f"error_log stderr; pid {self.folder}/pid; events {{}}\n"
            f"http {{ access_log off; {temporary(self.folder)} include {self.folder}/cim.conf; }}\n"
        )
        done = self.runs(nginx, "-t", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("[warn]", done.stderr)

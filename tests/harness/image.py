"""The image of the Dockerfile, built and run without a container engine: buildah on a base that debootstrap makes.

A container is what the kernel makes of one: namespaces of its own for files, processes and the network, a read-only
root, a volume, and the user, environment and command that the image names. All this needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.daemons import ROOT

#: As the Dockerfile calls its base, and of which Debian that is.
BASE, SUITE = "debian:bookworm-slim", "bookworm"
_NAME = "localhost/cim-tested"
#: What the file system of a container is made of; then its command runs, as the user of the image.
_ENTER = """
set -eu
root=$1 data=$2 directory=$3
shift 3
ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$data" "$root$directory"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,ro,bind "$root"
exec env -i "$@"
"""


def unavailable() -> str:
    """Return why no image can be built here; "" if it can."""
    if os.getuid():
        return "containers are made by root"
    missing = [name for name in ("buildah", "debootstrap", "unshare", "nsenter", "ip") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (make test-image installs them)" if missing else ""


def _run(*command: str, timeout: float = 540) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise AssertionError(
            f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
        )
    return done.stdout


class Image:
    """The image, built in a folder.

    :ivar config: how containers of it are run, as Docker stores it
    :ivar root: its file system
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base()
        self._buildah("bud", "--isolation", "chroot", "--pull-never", "--format", "docker", "--tag", _NAME, ".")
        described = json.loads(self._buildah("inspect", "--type", "image", _NAME))
        self.config: dict[str, Any] = described["Docker"]["config"]
        container = self._buildah("from", "--pull-never", _NAME).strip()
        self.root = Path(self._buildah("mount", container).strip())

    def _buildah(self, *words: str) -> str:
        where = ("--root", str(self._folder / "images"), "--runroot", str(self._folder / "run"))
        return _run("buildah", *where, "--storage-driver", "vfs", *words)

    def _base(self) -> None:
        root = self._folder / "base"
        _run("debootstrap", "--variant=minbase", SUITE, str(root))
        if authorities := os.environ.get("PIP_CERT"):
            # Where packages come through a proxy with an authority of its own.
            shutil.copy(authorities, root / "usr/local/share/authorities.pem")
            (root / "etc/pip.conf").write_text("[global]\ncert = /usr/local/share/authorities.pem\n")
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", "--quiet", container, str(root), "/")
        self._buildah("commit", "--quiet", container, f"docker.io/library/{BASE}")
        self._buildah("rm", container)
        shutil.rmtree(root)

    def remove(self) -> None:
        """Delete all images and containers of the folder."""
        self._buildah("umount", "--all")
        self._buildah("rm", "--all")
        self._buildah("rmi", "--all", "--force")


class Container:
    """A container of an image, with a folder as its volume, and no network but its own loopback.

    :param words: what stands behind the name of the image in `docker run`
    """

    def __init__(self, image: Image, data: Path, *words: str) -> None:
        config = image.config
        (directory,) = config["Volumes"]
        data.mkdir(mode=0o700)
        os.chown(data, *map(int, config["User"].split(":")))
        self._config = config
        self._process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"),
                *("sh", "-c", _ENTER, "sh", str(image.root), str(data), directory, *config["Env"]),
                *(shutil.which("chroot") or "chroot", f"--userspec={config['User']}", str(image.root)),
                *("env", "-C", config["WorkingDir"], *config["Entrypoint"], *(words or config["Cmd"])),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, part: str) -> str:
        """Return what it has written, up to the first line with some text, or to its end."""
        assert self._process.stdout is not None
        lines: list[str] = []
        for line in self._process.stdout:
            lines.append(line)
            if part in line:
                break
        return "".join(lines)

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        (pid,) = map(int, children.split())
        return pid

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command in it, as `docker exec` does."""
        uid, gid = self._config["User"].split(":")
        enter = [f"--target={self.pid}", "--mount", "--pid", "--net", "--root", "--wd", f"--setuid={uid}"]
        command = ["nsenter", *enter, f"--setgid={gid}", "env", "-i", *self._config["Env"], *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check in it."""
        kind, *words = self._config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.execute(*words)

    def stop(self) -> tuple[int, str]:
        """Send it the signal that the image names; return its status, and what it wrote at last."""
        os.kill(self.pid, signal.Signals[self._config["StopSignal"]])
        output, _ = self._process.communicate(timeout=60)
        return self._process.returncode, output

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

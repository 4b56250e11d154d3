"""Sandboxes: the process that holds a pod's namespaces."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import disk, linux
from tools.clusters.kubernetes_stand_ins.api import Object

JOB_LABEL = "training.kubeflow.org/job-name"
PATIENCE = 10.0
#: Two pods of a job must not each make its network.
_lock = threading.Lock()


class SandboxError(Exception):
    """It could not be made."""


class Sandbox:
    """That of one pod."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def pid(self) -> int | None:
        """Who holds it; None where nobody does."""
        words = disk.read(self._folder / "sandbox")
        return linux.find(words) if words else None

    def start(
        self, hostname: str, memory: list[Object], network: str | None, peers: Iterable[Sandbox]
    ) -> int:
        """Make it; pods of the same job share their network, others have the host's."""
        with _lock:
            wanted: int | str = "host"
            if network is not None:
                wanted = next((pid for pid in (one.pid() for one in peers) if pid), "new")
            disk.write_json(
                self._folder / "sandbox.json",
                {"hostname": hostname[:63], "memory": memory, "network": wanted},
            )
            with open(self._folder / "sandbox.log", "ab") as log:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-S",
                        "-E",
                        "-m",
                        "tools.clusters.kubernetes_stand_ins.sandbox",
                        str(self._folder),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            return self._await()

    def stop(self) -> None:
        """End it."""
        if words := disk.read(self._folder / "sandbox"):
            linux.send(words, signal.SIGKILL)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _await(self) -> int:
        """Its holder, once there is one."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            pid = self.pid()
            if pid == self._process.pid:
                return pid
            time.sleep(0.003)
        self._process.kill()
        self._process.wait()
        raise SandboxError((disk.read(self._folder / "sandbox.log") or "no answer").strip())


def network_of(pod: Object) -> str | None:
    """Whose network a pod shares; None: the host's."""
    meta = pod["metadata"]
    job = meta.get("labels", {}).get(JOB_LABEL)
    if job is None or pod["spec"].get("hostNetwork"):
        return None
    return f"{meta['namespace']}/{job}"

"""Start and end the process that holds a pod's namespaces (sandbox_process.py)."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import system_calls, whole_files
from tools.clusters.kubernetes_stand_ins.api import Object

JOB_LABEL = "training.kubeflow.org/job-name"
PATIENCE = 10.0
#: Held while a network is made, because two pods of a job must not each make one.
_lock = threading.Lock()


class SandboxError(Exception):
    """A sandbox could not be made."""


class Sandbox:
    """The sandbox of a pod."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def pid(self) -> int | None:
        """The id of the process that holds the namespaces; None if there is none."""
        words = whole_files.read(self._folder / "sandbox")
        return system_calls.find(words) if words else None

    def start(
        self, hostname: str, memory: list[Object], network: str | None, peers: Iterable[Sandbox]
    ) -> int:
        """Make the sandbox. Pods of a job share a network; other pods have this machine's."""
        with _lock:
            wanted: int | str = "host"
            if network is not None:
                wanted = next((pid for pid in (one.pid() for one in peers) if pid), "new")
            whole_files.write_json(
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
                        "tools.clusters.kubernetes_stand_ins.sandbox_process",
                        str(self._folder),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            return self._await()

    def stop(self) -> None:
        """End the sandbox's process."""
        if words := whole_files.read(self._folder / "sandbox"):
            system_calls.send(words, signal.SIGKILL)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _await(self) -> int:
        """Wait until the namespaces are there; the id of their process."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            pid = self.pid()
            if pid == self._process.pid:
                return pid
            time.sleep(0.003)
        self._process.kill()
        self._process.wait()
        raise SandboxError((whole_files.read(self._folder / "sandbox.log") or "no answer").strip())


def network_of(pod: Object) -> str | None:
    """The name of the network that a pod shares with others; None: this machine's network."""
    meta = pod["metadata"]
    job = meta.get("labels", {}).get(JOB_LABEL)
    if job is None or pod["spec"].get("hostNetwork"):
        return None
    return f"{meta['namespace']}/{job}"

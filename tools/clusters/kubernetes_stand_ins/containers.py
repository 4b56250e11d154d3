"""Containers of pods: each attempt to run one is a folder with a shim that outlives us."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.clusters.kubernetes_stand_ins import disk, linux
from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.times import stamp

#: Seconds in which a shim that was started says so.
PATIENCE = 10.0
LONGEST_MESSAGE = 4096
LONGEST_LOG_MESSAGE = 2048
LINES_OF_LOG_MESSAGE = 80


class Ended(NamedTuple):
    """How an attempt ended."""

    code: int
    reason: str
    message: str
    started: float
    finished: float

    def state(self, container_id: str) -> Object:
        """As it stands in a container's status."""
        return {
            "exitCode": self.code,
            "reason": self.reason,
            "startedAt": stamp(self.started),
            "finishedAt": stamp(self.finished),
            "containerID": container_id,
        } | ({"message": self.message} if self.message else {})


class Attempt:
    """One run of a container."""

    def __init__(self, folder: Path, number: int, *, changed: Callable[[], None]) -> None:
        self.folder = folder
        self.number = number
        self.log = folder / "log"
        self.spec: Any = disk.read_json(folder / "spec.json")
        self.ended: Ended | None = None
        #: Set when it is over and everything it wrote is in its log.
        self.is_over = threading.Event()
        self._changed = changed

    @property
    def container_id(self) -> str:
        """As in statuses."""
        return str(self.spec["id"])

    def start(self) -> None:
        """Start the shim; return when the container runs or could not be started."""
        with open(self.folder / "shim.log", "ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-S",
                    "-E",
                    "-m",
                    "tools.clusters.kubernetes_stand_ins.shim",
                    str(self.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=self._follow, args=[process], daemon=True).start()
        self._await_start()

    def adopt(self) -> bool:
        """Follow one that somebody else started; whether its shim ever lived."""
        if disk.claim(self.folder / "shim", "given up"):
            return False
        threading.Thread(target=self._follow, args=[None], daemon=True).start()
        if self._process_words() is None:
            self._await_start()
        return True

    def started(self) -> float | None:
        """Since when it runs."""
        words = (disk.read(self.folder / "started") or "").split()
        return float(words[2]) if words else None

    def pid(self) -> int | None:
        """Its first process, if that lives."""
        words = self._process_words()
        return None if words is None else linux.find(words)

    def signal(self, number: signal.Signals) -> None:
        """To its first process."""
        if words := self._process_words():
            linux.send(words, number)

    def kill(self) -> None:
        """Its first process, with which all others of it end."""
        while not self.is_over.is_set():
            self.signal(signal.SIGKILL)
            if self.is_over.wait(0.02):
                return

    def _process_words(self) -> str | None:
        """Who its first process is."""
        words = (disk.read(self.folder / "started") or "").split()
        return " ".join(words[:2]) if words else None

    def _await_start(self) -> None:
        """Until it runs, or has ended without."""
        deadline = time.monotonic() + PATIENCE
        while self.started() is None and not self.is_over.wait(0.005):
            if time.monotonic() > deadline:
                return

    def _follow(self, process: subprocess.Popen[bytes] | None) -> None:
        """Wait for the shim's end."""
        if process is not None:
            process.wait()
        elif pid := linux.find(disk.read(self.folder / "shim") or ""):
            with contextlib.suppress(OSError):
                file = os.pidfd_open(pid)
                poll = select.poll()
                poll.register(file, select.POLLIN)
                poll.poll()
                os.close(file)
        self.ended = self._read_end()
        self.is_over.set()
        self._changed()

    def _read_end(self) -> Ended:
        """What the shim wrote down; where it was killed, nobody knows more."""
        result: Any = disk.read_json(self.folder / "exit.json")
        if result is None:
            self.signal(signal.SIGKILL)
            now = time.time()
            text = "The container could not be located when the pod was terminated"
            return Ended(137, "ContainerStatusUnknown", text, self.started() or now, now)
        code, failure = result["exitCode"], result["failure"]
        if failure is not None:
            text = (
                "failed to create containerd task: OCI runtime create failed: "
                f"container_linux.go:370: starting container process caused: {failure}"
            )
            return Ended(code, "StartError", text, 0, result["finishedAt"])
        reason = "Completed" if code == 0 else "Error"
        if result["outOfMemory"]:
            reason = "OOMKilled"
        started = self.started() or result["startedAt"]
        return Ended(code, reason, self._message(code), started, result["finishedAt"])

    def _message(self, code: int) -> str:
        """What it left as its last words."""
        data = b""
        with contextlib.suppress(OSError), open(self.folder / "termination-log", "rb") as file:
            data = file.read(LONGEST_MESSAGE)
        if data or code == 0 or self.spec["messagePolicy"] != "FallbackToLogsOnError":
            return data.decode(errors="replace")
        return self._end_of_log().decode(errors="replace")

    def _end_of_log(self) -> bytes:
        """The last lines of its log."""
        text = b""
        with contextlib.suppress(OSError):
            lines = self.log.read_bytes().splitlines()[-2 * LINES_OF_LOG_MESSAGE :]
            for line in lines:
                _, flag, content = line.split(b" ", 2)
                text += content + (b"\n" if flag == b"F" else b"")
        kept = b"".join(text.splitlines(keepends=True)[-LINES_OF_LOG_MESSAGE:])
        return kept[-LONGEST_LOG_MESSAGE:]


class Container:
    """A container of a pod: its attempts, and what it waits for between them."""

    def __init__(self, spec: Object, folder: Path, *, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.folder = folder
        self.attempts: list[Attempt] = []
        #: Reason and message while it waits.
        self.waiting = ("ContainerCreating", "")
        #: Not before this time, on the monotonic clock.
        self.due = 0.0
        self._changed = changed

    @property
    def latest(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def is_running(self) -> bool:
        """Whether an attempt runs."""
        return self.latest is not None and not self.latest.is_over.is_set()

    @property
    def ended(self) -> Ended | None:
        """How the latest attempt ended, if it did."""
        return self.latest.ended if self.latest else None

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return self.ended is not None and self.ended.code == 0

    def adopt(self) -> None:
        """What an earlier kubelet started."""
        with contextlib.suppress(FileNotFoundError):
            for number in sorted(int(one.name) for one in self.folder.iterdir()):
                folder = self.folder / str(number)
                if not (folder / "spec.json").exists():
                    continue
                attempt = Attempt(folder, number, changed=self._changed)
                if attempt.adopt():
                    if (folder / "exit.json").exists():
                        attempt.is_over.wait(PATIENCE)
                    self.attempts.append(attempt)

    def new_attempt(self, spec_in: Callable[[Path], Object]) -> Attempt:
        """The next one, not started yet; `spec_in` says what a shim needs in its folder."""
        number = self.attempts[-1].number + 1 if self.attempts else 0
        folder = self.folder / str(number)
        shutil.rmtree(folder, ignore_errors=True)  # of a start that was given up
        folder.mkdir(parents=True)
        (folder / "log").touch()
        disk.write_json(folder / "spec.json", spec_in(folder))
        attempt = Attempt(folder, number, changed=self._changed)
        self.attempts.append(attempt)
        return attempt

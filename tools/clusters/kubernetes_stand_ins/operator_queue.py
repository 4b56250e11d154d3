"""The training operator's work queue. It holds each job once at most, with the time when it is due."""

from __future__ import annotations

import threading
import time

from tools.clusters.kubernetes_stand_ins.api import Key

FIRST_PAUSE = 0.005
#: The training operator waits up to 1000 seconds; tests cannot wait so long.
LONGEST_PAUSE = 2.0


class WorkQueue:
    """The jobs that must be looked at, and when."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._changed = threading.Condition()

    def add(self, key: Key, after: float = 0) -> None:
        """Make the job due in so many seconds; if it is due sooner already, that stays."""
        due = time.monotonic() + after
        with self._changed:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def get(self) -> Key:
        """The next job. Waits until it is due."""
        with self._changed:
            while True:
                key = min(self._due, key=lambda one: self._due[one], default=None)
                rest = None if key is None else self._due[key] - time.monotonic()
                if key is not None and rest is not None and rest <= 0:
                    del self._due[key]
                    return key
                self._changed.wait(rest)

    def succeeded(self, key: Key) -> None:
        """The job was handled: its pause after a failure begins small again."""
        self._failures.pop(key, None)

    def failed(self, key: Key) -> None:
        """Make the job due again, after a pause that doubles with each failure."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self.add(key, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(count, 20)))

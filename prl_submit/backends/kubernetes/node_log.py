"""logs/nodeN.log, into which prl-submit copies the logs of a node's pods, one after the other.

How far it has come is stored beside the log, so that each line is copied once, even if another
`prl-submit logs` continues later or this one is killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from prl_submit.backends.kubernetes.log_lines import CopyProgress, Line, with_line
from prl_submit.backends.kubernetes.objects import Pod
from prl_submit.runs.layout import kept_file, node_log
from prl_submit.system.files import open_inside, write_inside
from prl_submit.system.reading import decode_json, open_regular, read_record


class NodeLog:
    """A node's log file and how far it has been copied. Threads may share one."""

    def __init__(self, logs: Path, node: int) -> None:
        self._run = logs.parent
        self._path = node_log(logs, node)
        self._progress_file = kept_file(logs, node)
        self._lock = threading.Lock()
        self.progress = self._read_progress()

    def _read_progress(self) -> CopyProgress:
        try:
            progress: CopyProgress = decode_json(read_record(self._progress_file), CopyProgress)
        except (OSError, ValueError):
            return CopyProgress()
        return progress

    def begin(self, pod: Pod, start: int) -> CopyProgress | None:
        """How far a pod's container has been copied; None if a later container's turn has come."""
        key = (pod.metadata.uid, start)
        with self._lock:
            if self.progress.key == key:
                return self.progress
            if key in self.progress.earlier:
                return None
            return CopyProgress(pod=pod.metadata.uid, start=start)

    def append_new(self, progress: CopyProgress, ordinal: int, lines: list[Line]) -> None:
        """Append the lines that no other thread has appended meanwhile.

        `progress`: what `begin` returned. `ordinal`: number of lines of that container before these.
        """
        with self._lock:
            if not self._turn_to(progress):
                return
            new = lines[max(self.progress.total - ordinal, 0) :]
            if new:
                self._append(new)

    def mark_written_by_pod(self, progress: CopyProgress) -> None:
        """Note that the pod itself writes this log, so that nothing is copied."""
        with self._lock:
            if self._turn_to(progress):
                self.progress = msgspec.structs.replace(self.progress, here=True)
                self._save()

    def mark_complete(self, pods: Iterable[Pod]) -> None:
        """Note that `collect` has replaced the log by the one that these pods wrote on their volume.

        That log has everything, so nothing is copied into it any more.
        """
        keys = [(pod.metadata.uid, start) for pod in pods for start, _ in container_starts(pod)]
        with self._lock:
            finished = (key for key in keys if key != self.progress.key)
            self.progress = msgspec.structs.replace(
                self.progress,
                here=True,
                size=self._size(),
                earlier=(*self.progress.earlier, *finished),
            )
            self._save()

    def _turn_to(self, progress: CopyProgress) -> bool:
        """Make the log that container's; False if a later container's turn has come."""
        if self.progress.key == progress.key:
            return True
        if progress.key in self.progress.earlier:
            return False
        earlier = (*self.progress.earlier, self.progress.key) if self.progress.pod else ()
        # The size is taken now, because the container before may have written since `begin`.
        self.progress = msgspec.structs.replace(progress, size=self._size(), earlier=earlier)
        # Saved before the first line is appended: everything after this size is not noted yet.
        self._save()
        return True

    def _append(self, lines: list[Line]) -> None:
        data = b"".join(text for _, text in lines)
        name = f"{self._path.parent.name}/{self._path.name}"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with os.fdopen(open_inside(self._run, name, flags), "ab") as file:
            if self._size() > self.progress.size:
                # A process was killed after it had appended lines and before it had noted them.
                file.truncate(self.progress.size)
                file.seek(0, os.SEEK_END)
            if self.progress.total == 0 and file.tell() and not self._ends_with_newline():
                data = b"\n" + data
            file.write(data)
            size = file.tell()
        for time, _ in lines:
            self.progress = with_line(self.progress, time)
        self.progress = msgspec.structs.replace(self.progress, size=size)
        self._save()

    def _ends_with_newline(self) -> bool:
        with open_regular(self._path, follow=False) as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _save(self) -> None:
        data = msgspec.json.encode(self.progress)
        name = f"{self._path.parent.name}/{self._progress_file.name}"
        write_inside(self._run, name, data, durable=False)


def container_starts(pod: Pod) -> Iterator[tuple[int, bool]]:
    """The starts of a pod's container whose logs the kubelet still has, oldest first.

    Each with True if it is the start before the present one (`previous=true` in the API).
    """
    status = pod.container
    if status is None:
        return
    if status.restart_count and status.last_state.terminated:
        yield status.restart_count - 1, True
    if status.state.running or status.state.terminated:
        yield status.restart_count, False

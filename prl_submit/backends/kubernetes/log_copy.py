"""Copy pods' logs into the run's logs/, if the pods do not write them there themselves.

The pods do so if their output volume is mounted on this machine too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.labels import CONTAINER
from prl_submit.backends.kubernetes.log_lines import CopyProgress, Line, new_lines, since_time
from prl_submit.backends.kubernetes.node_log import NodeLog, container_starts
from prl_submit.backends.kubernetes.objects import Pod
from prl_submit.backends.kubernetes.refusals import as_error, not_allowed
from prl_submit.backends.kubernetes.states import list_pods
from prl_submit.errors import BackendUnreachableError
from prl_submit.runs.layout import LOGS
from prl_submit.runs.logs import writes_here
from prl_submit.system.files import open_inside

#: Seconds between two lists of the pods. After LONG_S they are listed less often, unless a container has
#: ended, because then the operator may start another one soon.
LOOK_S, LOOK_SELDOM_S, LONG_S = 1.0, 5.0, 60.0
#: Seconds until a broken connection to a log is opened again.
AGAIN_S = 0.3
#: Among the first lines of its output in a pod, launch.sh prints a line that begins with _POD_LINE. It
#: ends with _WRITTEN_HERE if the pod writes into the submitter's run directory.
_POD_LINE = b"prl-submit: pod "
_WRITTEN_HERE = b", which is here too\n"
#: Bytes within which that line must come. bash may print a warning about the locale before it.
_POD_LINE_WITHIN = 4096


class PodLogs:
    """Copies the logs of a run's pods: `start` in the background, `finish` once."""

    def __init__(self, run: Path, token: str, api: Api, tell: Callable[[str], None]) -> None:
        self._logs = run / LOGS
        self._token = token
        self._api = api
        self._tell = tell
        self._messages: set[str] = set()
        self._nodes: dict[int, NodeLog] = {}
        #: Nodes of which a thread follows a container.
        self._busy: set[int | None] = set()
        #: Containers (pod's uid, start) whose logs are copied to their end.
        self._ended: set[tuple[str, int]] = set()
        #: The pods as they were listed last, by uid.
        self._pods: dict[str, Pod] = {}
        self._over = threading.Event()
        self._lock: int | None = None

    def start(self) -> None:
        """Copy lines in the background until `finish` or `stop`."""
        threading.Thread(target=self._watch, daemon=True).start()

    def finish(self) -> None:
        """Copy what the pods have written until now, and end. Raises as Api.get, and PrlSubmitError."""
        self._over.set()
        if not self._hold_lock():
            return
        with self._explained():
            for pod in self._list_begun():
                for start, previous in container_starts(pod):
                    self._copy(pod, start, previous=previous, follow=False)
        self._release_lock()

    def stop(self) -> None:
        """End without asking for more. Waits LOOK_S for the threads to write what they have received."""
        deadline = time.monotonic() + LOOK_S
        while self._busy and time.monotonic() < deadline:
            self._over.wait(AGAIN_S)
        self._over.set()
        self._release_lock()

    def _list_begun(self) -> list[Pod]:
        """The pods whose container has started, oldest first."""
        pods = list_pods(self._api, [self._token])
        self._pods = {pod.metadata.uid: pod for pod in pods}
        begun = [pod for pod in pods if pod.node is not None and any(container_starts(pod))]
        return sorted(begun, key=lambda pod: pod.metadata.creation_timestamp or "")

    def _watch(self) -> None:
        """List the pods again and again, and start a thread for each container that runs."""
        pause, began = 0.0, time.monotonic()
        while not self._over.wait(pause):
            is_long = time.monotonic() - began > LONG_S
            pause = LOOK_SELDOM_S if is_long and not self._ended else LOOK_S
            if not self._hold_lock():
                continue
            try:
                with self._explained():
                    for pod in self._list_begun():
                        self._follow_containers(pod)
            except (
                Exception
            ) as error:  # the API server is away or refuses; the next round tries again
                self._report(error)

    def _follow_containers(self, pod: Pod) -> None:
        """Copy the log of the pod's previous container, then follow the present one in a thread."""
        for start, previous in container_starts(pod):
            key = (pod.metadata.uid, start)
            if key in self._ended:
                continue
            if pod.node in self._busy:  # an earlier container of that node must be finished first
                return
            if previous:
                self._copy(pod, start, previous=True, follow=False)
                self._ended.add(key)
                continue
            self._busy.add(pod.node)
            threading.Thread(target=self._follow, args=(pod, start), daemon=True).start()

    def _follow(self, pod: Pod, start: int) -> None:
        """Copy one container's log until the container ends. Opens broken connections again."""
        while not self._over.is_set():
            pause = AGAIN_S
            try:
                if self._copy(pod, start, previous=False, follow=True):
                    break
                if self._has_ended(pod, start):
                    break
            except BackendUnreachableError:
                pass  # `_watch` reports it
            except RefusedStatusError as error:
                self._report(error)
                pause = LOOK_S
            if self._pods.get(pod.metadata.uid) is None:
                break  # the pod is gone, and its log with it
            self._over.wait(pause)
        self._ended.add((pod.metadata.uid, start))
        self._busy.discard(pod.node)

    def _has_ended(self, pod: Pod, start: int) -> bool:
        """True if that start of the container has ended; then the rest of its log is copied."""
        listed = self._pods.get(pod.metadata.uid)
        if listed is None or listed.container is None:
            return False
        was_restarted = listed.container.restart_count > start
        if not was_restarted and listed.terminated is None:
            return False
        self._copy(listed, start, previous=was_restarted, follow=False)
        return True

    def _copy(self, pod: Pod, start: int, *, previous: bool, follow: bool) -> bool:
        """Copy the new lines of a container's log. True if nothing more is to be copied from it."""
        if pod.node is None or writes_here(self._logs, pod.node, pod.metadata.name):
            return True
        log = self._nodes.setdefault(pod.node, NodeLog(self._logs, pod.node))
        progress = log.begin(pod, start)
        if progress is None or progress.here:
            return True
        params = {"container": CONTAINER, "timestamps": "true"}
        if follow:
            params["follow"] = "true"
        if previous:
            params["previous"] = "true"
        since = since_time(progress)
        if since is not None:
            params["sinceTime"] = since
        with self._api.log_batches(pod.metadata.name, **params) as batches:
            if not self._is_still(pod, start + previous):
                return False
            # While the container may still write, or if the connection may break, a last line without
            # line end is incomplete.
            whole = follow or not (previous or pod.terminated)
            return self._append_all(log, progress, batches, whole=whole)

    def _is_still(self, pod: Pod, start: int) -> bool:
        """True if the log just opened is of that pod and start.

        The API names a pod by its name, and the operator gives a new pod the name of the one before.
        """
        self._list_begun()
        seen = self._pods.get(pod.metadata.uid)
        return (
            seen is not None
            and seen.container is not None
            and seen.container.restart_count == start
        )

    def _append_all(
        self, log: NodeLog, progress: CopyProgress, batches: Iterable[list[bytes]], *, whole: bool
    ) -> bool:
        """Append the new lines to the log. True if the container's first lines say that the pod does so.

        Until these lines have come, all lines are held back.
        """
        ordinal = progress.total
        held: list[Line] | None = [] if progress.total == 0 else None
        for new in new_lines(progress, batches, whole=whole):
            lines = new
            if held is not None:
                held += lines
                pod_lines = [text for _, text in held if text.startswith(_POD_LINE)]
                if pod_lines and pod_lines[0].endswith(_WRITTEN_HERE):
                    log.mark_written_by_pod(progress)
                    return True
                if not pod_lines and sum(len(text) for _, text in held) < _POD_LINE_WITHIN:
                    continue
                lines, held = held, None
            log.append_new(progress, ordinal, lines)
            ordinal += len(lines)
        if held:  # the container ended before launch.sh printed the line
            log.append_new(progress, ordinal, held)
        return False

    def _hold_lock(self) -> bool:
        """True if this process may write the logs; False while another `prl-submit` writes them."""
        if self._lock is not None:
            return True
        try:
            self._logs.mkdir(exist_ok=True)
            lock = open_inside(self._logs.parent, f"{LOGS}/.keeping.lock", os.O_RDWR | os.O_CREAT)
        except OSError:
            return False  # another user's run; `logs` then shows what that user has copied
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:
            pass  # the file system has no locks; write without one
        self._lock = lock
        self._nodes.clear()  # another process may have copied more since we read the progress
        return True

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RefusedStatusError as error:
            raise as_error(error, self._api.namespace, "show the log") from None

    def _report(self, error: Exception) -> None:
        """Tell the user why the log cannot be followed, each reason once."""
        words = f"the log cannot be followed just now: {error}"
        if isinstance(error, RefusedStatusError):
            if error.status.code in (400, 404):
                return  # the kubelet has not created the container yet, or the pod is gone
            lacking = not_allowed(error.status, self._api.namespace)
            words = f"the log cannot be followed: {lacking.message if lacking else error}"
        if words not in self._messages:
            self._messages.add(words)
            self._tell(words)

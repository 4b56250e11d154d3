"""Pods' logs, brought into the run's `logs/` where the pods do not write them there themselves.

Each node's log is one file, into which one pod after another goes. What has been taken is noted
beside it, so that a reader that comes later, or comes again, takes each line once: it asks for the
log from the second before the newest line's, and passes over as many lines as it has of these two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.labels import CONTAINER
from prl_submit.backends.kubernetes.objects import Pod
from prl_submit.backends.kubernetes.refusals import as_error, not_allowed
from prl_submit.backends.kubernetes.states import list_pods
from prl_submit.errors import BackendUnreachableError
from prl_submit.runs.directory import LOGS, kept_file, writes_here
from prl_submit.system.files import open_inside, write_inside
from prl_submit.system.reading import decode_json, open_regular, read_record

#: Seconds between two looks at the pods, the second where nothing has happened for LONG_S; and until
#: a lost connection is tried again.
LOOK_S, LOOK_SELDOM_S, LONG_S = 1.0, 5.0, 60.0
AGAIN_S = 0.3
#: Among its first lines launch.sh says in a pod's log where the pod's output volume is; before it,
#: bash may have a word about the locale.
_HERE = b", which is here too\n"
_WHERE = b"prl-submit: pod "
_BEFORE_WHERE = 4096


class Progress(Struct, frozen=True, kw_only=True):
    """What has been taken of a node's newest pod.

    `pod`: its uid; `start`: of which start of its container; `newest`: the newest line's time, as
    the kubelet writes it; `count`, `before`: lines of that second and of the one before; `total`:
    lines in all; `size`: bytes of the node's log with them; `here`: the pod writes that log itself; `earlier`: the pods and starts
    before, to which there is no way back.
    """

    pod: str = ""
    start: int = 0
    newest: str = ""
    count: int = 0
    before: int = 0
    total: int = 0
    size: int = 0
    here: bool = False
    earlier: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """Which start of which pod."""
        return self.pod, self.start


class NodeLog:
    """One node's log file and how far it has come. Threads may share it."""

    def __init__(self, logs: Path, node: int) -> None:
        self._run = logs.parent
        self._path = logs / f"node{node}.log"
        self._note = kept_file(logs, node)
        self._lock = threading.Lock()
        self.kept = self._read()

    def _read(self) -> Progress:
        try:
            kept: Progress = decode_json(read_record(self._note), Progress)
        except (OSError, ValueError):
            return Progress()
        return kept

    def begin(self, pod: Pod, start: int) -> Progress | None:
        """What has been taken of a pod's container; None where a later one's turn has come."""
        key = (pod.metadata.uid, start)
        with self._lock:
            if self.kept.key == key:
                return self.kept
            if key in self.kept.earlier:
                return None
            return Progress(pod=key[0], start=start)

    def take(self, kept: Progress, ordinal: int, lines: list[tuple[str, bytes]]) -> None:
        """Append lines, without those that another thread has taken meanwhile.

        `ordinal`: how many lines of that container came before these.
        """
        with self._lock:
            if not self._turn_to(kept):
                return
            new = lines[max(self.kept.total - ordinal, 0) :]
            if new:
                self._append(new)

    def set_here(self, kept: Progress) -> None:
        """The pod writes this log itself."""
        with self._lock:
            if self._turn_to(kept):
                self.kept = msgspec.structs.replace(self.kept, here=True)
                self._save()

    def set_whole(self, pods: Iterable[Pod]) -> None:
        """The log has been replaced by these pods' own, which has all: nothing is to be added."""
        keys = [(pod.metadata.uid, start) for pod in pods for start, _ in _starts(pod)]
        with self._lock:
            earlier = (*self.kept.earlier, *(key for key in keys if key != self.kept.key))
            self.kept = msgspec.structs.replace(
                self.kept, here=True, size=self._size(), earlier=earlier
            )
            self._save()

    def _turn_to(self, kept: Progress) -> bool:
        """Make it that container's turn; False where a later one's has come."""
        if self.kept.key == kept.key:
            return True
        if kept.key in self.kept.earlier:
            return False
        earlier = (*self.kept.earlier, self.kept.key) if self.kept.pod else ()
        # The size is of now: the one before may have written since this one was begun.
        self.kept = msgspec.structs.replace(kept, size=self._size(), earlier=earlier)
        self._save()  # before its first lines: what follows this size is not noted yet
        return True

    def _append(self, lines: list[tuple[str, bytes]]) -> None:
        data = b"".join(line for _, line in lines)
        name = f"{self._path.parent.name}/{self._path.name}"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with os.fdopen(open_inside(self._run, name, flags), "ab") as file:
            if self._size() > self.kept.size:  # written by one who was killed before it was noted
                file.truncate(self.kept.size)
                file.seek(0, os.SEEK_END)
            if self.kept.total == 0 and file.tell() and not self._ends_a_line():
                data = b"\n" + data
            file.write(data)
            size = file.tell()
        for moment, _ in lines:
            self.kept = _counted(self.kept, moment)
        self.kept = msgspec.structs.replace(self.kept, size=size)
        self._save()

    def _ends_a_line(self) -> bool:
        with open_regular(self._path, follow=False) as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _save(self) -> None:
        data = msgspec.json.encode(self.kept)
        name = f"{self._path.parent.name}/{self._note.name}"
        write_inside(self._run, name, data, durable=False)


def _counted(kept: Progress, time: str) -> Progress:
    """One line more."""
    second, known = _second(time), _second(kept.newest)
    # The streams of a container may be a little out of order, over a second's end too.
    count, before = kept.count + (second == known), kept.before
    if second > known:
        count, before = 1, kept.count if known == _second_before(second) else 0
    elif second == _second_before(known):
        before += 1
    return msgspec.structs.replace(
        kept, newest=max(time, kept.newest), count=count, before=before, total=kept.total + 1
    )


def _second(time: str) -> str:
    return time[:19]


def _second_before(second: str) -> str:
    """The second before; empty for none."""
    if not second:
        return ""
    return (datetime.fromisoformat(second) - timedelta(seconds=1)).isoformat()


def _utc(stamp: bytes) -> str | None:
    """A line's time in UTC, since nodes write their own zone and such times sort as text.

    None where it is no time: the kubelet's own words, or the end of a long line that began before.
    """
    time = stamp.decode("ascii", "replace").rstrip("\n")
    try:
        if time.endswith("Z"):
            return time if datetime.fromisoformat(time[:19]) else None
        at = datetime.fromisoformat(time[:19] + time[-6:]).astimezone(timezone.utc)
    except ValueError:
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S}{time[19:-6]}Z"


class PodLogs:
    """Keeps the logs of a run's pods; `start` does so in the background, `finish` once."""

    def __init__(self, run: Path, token: str, api: Api, tell: Callable[[str], None]) -> None:
        self._logs = run / LOGS
        self._token = token
        self._api = api
        self._tell = tell
        self._told: set[str] = set()
        self._nodes: dict[int, NodeLog] = {}
        self._busy: set[int | None] = set()
        self._ended: set[tuple[str, int]] = set()
        self._pods: dict[str, Pod] = {}
        self._over = threading.Event()
        self._lock: int | None = None

    def start(self) -> None:
        """Keep on bringing lines until `finish`."""
        threading.Thread(target=self._watch, daemon=True).start()

    def finish(self) -> None:
        """Bring what the pods have written until now. Raises as Api.get, and PrlSubmitError."""
        self._over.set()
        if not self._is_ours():
            return
        with self._explained():
            for pod in self._list():
                for start, previous in _starts(pod):
                    self._read(pod, start, previous=previous, follow=False)
        self._release()

    def stop(self) -> None:
        """Bring nothing more than what has come already."""
        deadline = time.monotonic() + LOOK_S
        while self._busy and time.monotonic() < deadline:
            self._over.wait(AGAIN_S)
        self._over.set()
        self._release()

    def _list(self) -> list[Pod]:
        """The pods whose container has begun, each node's oldest first."""
        pods = list_pods(self._api, [self._token])
        self._pods = {pod.metadata.uid: pod for pod in pods}
        begun = [pod for pod in pods if pod.node is not None and any(_starts(pod))]
        return sorted(begun, key=lambda pod: pod.metadata.creation_timestamp or "")

    def _watch(self) -> None:
        """Look for pods again and again; one thread for each container that runs."""
        pause, began = 0.0, time.monotonic()
        while not self._over.wait(pause):
            is_long = time.monotonic() - began > LONG_S
            pause = LOOK_SELDOM_S if is_long and not self._ended else LOOK_S
            if not self._is_ours():
                continue
            try:
                with self._explained():
                    for pod in self._list():
                        self._follow_all(pod)
            except Exception as error:  # the API is away, or says no: asked again
                self._say_refusal(error)

    def _follow_all(self, pod: Pod) -> None:
        for start, previous in _starts(pod):
            key = (pod.metadata.uid, start)
            if key in self._ended:
                continue
            if pod.node in self._busy:  # an earlier one of that node comes first
                return
            if previous:
                self._read(pod, start, previous=True, follow=False)
                self._ended.add(key)
                continue
            self._busy.add(pod.node)
            threading.Thread(target=self._follow, args=(pod, start), daemon=True).start()

    def _follow(self, pod: Pod, start: int) -> None:
        """One container to its end, over broken connections."""
        while not self._over.is_set():
            pause = AGAIN_S
            try:
                if self._read(pod, start, previous=False, follow=True) or self._has_ended(
                    pod, start
                ):
                    break
            except BackendUnreachableError:
                pass  # the watcher says so
            except RefusedStatusError as error:
                self._say_refusal(error)
                pause = LOOK_S
            if self._pods.get(pod.metadata.uid) is None:
                break  # gone, and its log with it
            self._over.wait(pause)
        self._ended.add((pod.metadata.uid, start))
        self._busy.discard(pod.node)

    def _has_ended(self, pod: Pod, start: int) -> bool:
        """Whether that start of the container is over; then the rest of its log has been taken."""
        seen = self._pods.get(pod.metadata.uid)
        if seen is None or seen.container is None:
            return False
        again = seen.container.restart_count > start
        if not again and seen.terminated is None:
            return False
        self._read(seen, start, previous=again, follow=False)
        return True

    def _read(self, pod: Pod, start: int, *, previous: bool, follow: bool) -> bool:
        """Take what is new of a container's log; True where there is nothing more to take."""
        if pod.node is None:
            return True
        if writes_here(self._logs, pod.node, pod.metadata.name):
            return True
        log = self._nodes.setdefault(pod.node, NodeLog(self._logs, pod.node))
        kept = log.begin(pod, start)
        if kept is None or kept.here:
            return True
        params = {"container": CONTAINER, "timestamps": "true"}
        params |= {"follow": "true"} if follow else {}
        params |= {"previous": "true"} if previous else {}
        if kept.newest:
            params["sinceTime"] = f"{_second_before(_second(kept.newest))}Z"
        with self._api.log_batches(pod.metadata.name, **params) as batches:
            if not self._is_still(pod, start + previous):
                return False
            # The last line of what may still write, or of a connection that was cut, is half of one.
            whole = follow or not (previous or pod.terminated)
            return self._take_all(log, kept, batches, whole=whole)

    def _is_still(self, pod: Pod, start: int) -> bool:
        """Whether the log just opened is that pod's: a pod made anew has the name of the one before."""
        self._list()
        seen = self._pods.get(pod.metadata.uid)
        return (
            seen is not None
            and seen.container is not None
            and seen.container.restart_count == start
        )

    def _take_all(
        self, log: NodeLog, kept: Progress, batches: Iterable[list[bytes]], *, whole: bool
    ) -> bool:
        ordinal = kept.total
        held: list[tuple[str, bytes]] | None = [] if kept.total == 0 else None
        for new in _new(kept, batches, whole=whole):
            lines = new
            if held is not None:
                held += lines
                said = [line for _, line in held if line.startswith(_WHERE)]
                if said and said[0].endswith(_HERE):
                    log.set_here(kept)
                    return True
                if not said and sum(len(line) for _, line in held) < _BEFORE_WHERE:
                    continue
                lines, held = held, None
            log.take(kept, ordinal, lines)
            ordinal += len(lines)
        if held:  # it ended before launch.sh could say
            log.take(kept, ordinal, held)
        return False

    def _is_ours(self) -> bool:
        """Whether we are the one who writes; another follower may be."""
        if self._lock is not None:
            return True
        try:
            self._logs.mkdir(exist_ok=True)
            lock = open_inside(self._logs.parent, f"{LOGS}/.keeping.lock", os.O_RDWR | os.O_CREAT)
        except OSError:
            return False  # somebody else's run: what is there is shown
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:
            pass  # a file system without locks
        self._lock = lock
        self._nodes.clear()  # another's notes may be newer than ours
        return True

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RefusedStatusError as error:
            raise as_error(error, self._api.namespace, "show the log") from None

    def _say_refusal(self, error: Exception) -> None:
        words = f"the log cannot be followed just now: {error}"
        if isinstance(error, RefusedStatusError):
            if error.status.code in (400, 404):
                return  # the container is being made, or went
            lacking = not_allowed(error.status, self._api.namespace)
            words = f"the log cannot be followed: {lacking.message if lacking else error}"
        if words not in self._told:
            self._told.add(words)
            self._tell(words)


def _starts(pod: Pod) -> Iterator[tuple[int, bool]]:
    """The starts of its container whose log is there, oldest first, and if that is the previous."""
    status = pod.container
    if status is None:
        return
    if status.restart_count and status.last_state.terminated:
        yield status.restart_count - 1, True
    if status.state.running or status.state.terminated:
        yield status.restart_count, False


def _new(
    kept: Progress, batches: Iterable[list[bytes]], *, whole: bool
) -> Iterator[list[tuple[str, bytes]]]:
    """The lines that come after what is kept, each with its time.

    `whole`: a last line without an end is left for later.
    """
    to_skip = kept.count + kept.before
    for batch in batches:
        lines = []
        for raw in batch:
            if whole and not raw.endswith(b"\n"):
                continue
            stamp, _, line = raw.partition(b" ")
            time = _utc(stamp)
            if time is None:
                continue
            if to_skip and time <= kept.newest:
                to_skip -= 1
                continue
            to_skip = 0
            lines.append((time, line))
        if lines:
            yield lines

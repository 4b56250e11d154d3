"""Real processes that do as `prl-submit SPEC --backend platform` on the nodes of a job, but many times faster.

`PastedNodes` starts a server, which forks a process for each node. Such a process finds its run as the real
command does. Only launch.sh is a stand-in: it writes down that its node has joined the run, gives signs of life,
and ends when the test says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from prl_submit.backends.platform.handshake import Pace
from prl_submit.backends.platform.pasted_node import NodePlace, PastedNode
from prl_submit.errors import PrlSubmitError, format_error
from prl_submit.runs.directory import Run, allocate, list_runs
from prl_submit.runs.record import Limits, PlatformJob, Record, directory_of, write_record

PROJECT = Path(__file__).resolve().parents[2]
PACE = Pace(poll=0.05, hold=0.4, differs=1.0, watch=0.8, calm=0.1)
KEYS = {"name": "11", "swift.beta": "22"}
LAUNCH = """\
run=${0%/*}
[[ $FAKE_RANK != 0 ]] || : >>"$run/logs/node0.log"
[[ $FAKE_RANK != 0 ]] || echo 0 >>"$run/logs/.trainings.$(sed -n 's/.*"token": "\\(.*\\)",/\\1/p' "$run/run.json")"
attempt=$(cat "$run"/attempt 2>/dev/null || echo 0)
echo "$FAKE_RANK $$ $FAKE_HOST" >>"$run/joined"
while [[ ! -e $run/stop ]]; do
  beat=$((${beat:-0} + 1))
  printf '{"token": "t", "attempt": %d, "beat": %d, "node": %d, "host": "%s", "nodes": 2, "nproc_per_node": 1}' \\
    "$attempt" "$beat" "$FAKE_RANK" "$FAKE_HOST" >"$run/logs/.alive$FAKE_RANK.part"
  mv "$run/logs/.alive$FAKE_RANK.part" "$run/logs/.alive$FAKE_RANK"
  for file in "$run"/logs/node*.exit.json; do [[ ! -e $file ]] || { cat "$file" >&2; exit 1; }; done
  sleep 0.05
done
exit "$(cat "$run/stop")"
"""


class PastedNodes:
    """Starts nodes of jobs in an output root, and knows how they ended."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.support.pasted_nodes"]
        self._server = subprocess.Popen(
            words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started: list[int] = []
        self._ends: dict[int, int] = {}

    def __enter__(self) -> PastedNodes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ask({"do": "ends"})
        for pid in self._started:
            if pid not in self._ends:
                self.kill(pid)
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(timeout=20)
        assert self._server.stdout
        self._server.stdout.close()

    def start(self, root: Path, rank: int, *, nodes: int = 2, **more: Any) -> int:
        """Start a node of a job: its process id. `more`: host, keys, job, wait, new_run, max_restarts."""
        told = {"do": "start", "root": str(root), "rank": rank, "nodes": nodes} | more
        pid = int(self._ask(told)["pid"])
        self._started.append(pid)
        return pid

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to a node's process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def code(self, pid: int) -> int | None:
        """The exit code of a node's process; minus a signal's number; None while it runs."""
        self._ask({"do": "ends"})
        return self._ends.get(pid)

    def wait(self, pid: int, timeout: float = 20) -> int:
        """Wait for the end of a node's process: its exit code."""
        deadline = time.monotonic() + timeout
        while (code := self.code(pid)) is None:
            assert time.monotonic() < deadline, f"process {pid} does not end"
            time.sleep(0.02)
        return code

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        self._ends |= {int(pid): code for pid, code in answer.get("ends", {}).items()}
        return answer


def joined(run: Path) -> dict[int, int]:
    """The process that joined the run last, for each rank."""
    try:
        lines = (run / "joined").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {int(line.split()[0]): int(line.split()[1]) for line in lines if len(line.split()) == 3}


def runs_in(root: Path) -> list[Path]:
    """The runs that have a record."""
    return [run.path for run in list_runs(root)]


def messages(root: Path, pid: int) -> str:
    """What a node's process has printed on stderr."""
    return (root / "messages" / str(pid)).read_text(encoding="utf-8")


def companions(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", name, "stat").read_text()
                if int(stat.rpartition(")")[2].split()[1]) == pid:
                    found.append(int(name))
    return found


# ------------------------------------------------------------------ in the server
def serve() -> None:
    """Obey the lines of stdin until it is closed."""
    ends: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request.pop("do") == "start":
            answer["pid"] = _fork(**request)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                ends[found[0]] = os.waitstatus_to_exitcode(found[1])
        sys.stdout.write(json.dumps(answer | {"ends": ends}) + "\n")
        sys.stdout.flush()


def _fork(**node: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = _be_node(**node)
    finally:
        os._exit(code)


def _be_node(
    root: str,
    rank: int,
    nodes: int,
    host: str = "",
    keys: dict[str, str] | None = None,
    job: str | None = None,
    wait: float = 60,
    new_run: bool = False,
    max_restarts: int = 99,
) -> int:
    folder = Path(root)
    (folder / "messages").mkdir(parents=True, exist_ok=True)
    errors = os.open(folder / "messages" / str(os.getpid()), os.O_WRONLY | os.O_CREAT)
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    host = host or f"n{rank}"
    os.environ |= {"FAKE_RANK": str(rank), "FAKE_HOST": host}
    place = NodePlace(rank=rank, nodes=nodes, master_addr="n0", job=job, host=host)
    node = PastedNode(place, folder, keys or KEYS, wait, PACE)

    def tell(words: str) -> None:
        os.write(2, f"{words}\n".encode())

    try:
        ended = node.start(lambda it: make(folder, it, max_restarts), new_run=new_run, tell=tell)
    except PrlSubmitError as error:
        tell(format_error(error))
        return error.exit_code
    tell(f"{ended.words} {ended.hint or ''}")
    return ended.code


def make(root: Path, place: Any, max_restarts: int = 99) -> Run:
    """A run whose launch.sh is the stand-in."""
    assert isinstance(place, PlatformJob)
    path = allocate(root)
    (path / "logs").mkdir()
    (path / "launch.sh").write_text(LAUNCH)
    record = Record(
        name="x",
        backend="platform",
        job_id=place.job,
        submitted_at="2026-11-22T21:00:00+08:00",
        token=os.urandom(8).hex(),
        directory=directory_of(path),
        limits=Limits(2, 120, max_restarts),
        place=place,
    )
    write_record(path, record)
    return Run(path, 0, record)


if __name__ == "__main__":
    serve()

"""What tests of real processes share: a World, with a training environment that only pretends to train."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.rendered import write_files

PROJECT = Path(__file__).resolve().parents[1]
#: A variable of every process that a world starts: by it the world finds them at its end.
MARK = "PRL_EVALUATOR_TEST_WORLD"  # a PRL_ name that is passed on to the job untouched


def _training_lacks(*, everything: bool) -> str | None:
    if all(importlib.util.find_spec(name) for name in ("torch", "swift")):
        return None
    return "torch and ms-swift are not installed: make test-env"


def _slurm_lacks(*, everything: bool) -> str | None:
    from tools.clusters.slurm_configuration import available

    return available(accounting=everything)


def _kubernetes_lacks(*, everything: bool) -> str | None:
    from tools.clusters.kubernetes import available

    return available()


def _platform_lacks(*, everything: bool) -> str | None:
    from tools.clusters.platform_nodes import available

    return available()


def _browser_lacks(*, everything: bool) -> str | None:
    from tools.chromium import available

    return available()


#: Each says in a sentence what is missing on this machine, or None. With `everything` it also names
#: what only some tests of the kind need, such as MariaDB for Slurm's accounting.
KINDS: dict[str, Callable[..., str | None]] = {
    "training": _training_lacks,
    "slurm": _slurm_lacks,
    "kubernetes": _kubernetes_lacks,
    "platform": _platform_lacks,
    "browser": _browser_lacks,
}


def pytest_configure() -> None:
    """Tests in the background of a shell ignore SIGINT, and their children would too: undo that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=[],
        choices=list(KINDS),
        help="fail, where tests of this kind would be skipped because something is missing",
    )


#: The groups of tests/training: one process of ms-swift that answers questions; a checkout with a model.
SHARED = {
    **dict.fromkeys(["test_differential.py", "test_ignored.py", "test_specs.py"], "questions"),
    **dict.fromkeys(
        ["test_real_training.py", "test_scaling.py", "test_platform_training.py"], "checkout"
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2` all tests of Slurm run in one worker, so that they share a cluster; other kinds likewise.

    The nodes of platforms are made for each test, and the trainings of one file run two at a time. The
    tests of real trainings make some groups, of which each shares what takes long to make. Groups with many
    tests begin first, and single tests fill the workers at the end.
    """
    if config.getoption("dist") == "worksteal":
        return None  # the unit tests, which share nothing

    from xdist.scheduler import LoadScopeScheduling

    class ByKind(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.split("/")[-2]
            if folder == "platform":
                return file
            if folder == "training":
                return SHARED.get(file.split("/")[-1], file)
            return folder if folder in KINDS else nodeid

    return ByKind(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for kind, lacks in KINDS.items():
        marked = [item for item in items if item.get_closest_marker(kind)]
        if not marked:
            continue
        required = kind in config.getoption("--require")
        if (lack := lacks(everything=required)) is None:
            continue
        if required:
            raise pytest.UsageError(f"--require {kind}: {lack}")
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=lack))


#: A torchrun that writes its arguments into the run directory and then runs the bash lines in FAKE. In them
#: `step` writes the log line of a training step.
TORCHRUN = r"""#!/bin/bash
run= last=
for word in "$@"; do [[ $last != --output_dir ]] || run=$word; last=$word; done
printf '%s\0' "$@" >"$run/argv"
step() {
  printf '{"learning_rate": 1e-6, "global_step/max_steps": "%s/%s"}\n' "$1" "$2" >>"$run/logging.jsonl"
}
checkpoint() { # STEP MAX: complete, for one process
  local folder=$run/checkpoint-$1
  mkdir "$folder"
  printf '{"global_step": %d, "max_steps": %d}' "$1" "$2" >"$folder/trainer_state.json"
  for file in model.safetensors optimizer.pt scheduler.pt rng_state.pth; do echo x >"$folder/$file"; done
}
ended() { echo "[INFO:swift] End time of running main: now"; } # ms-swift's last line
crash() { # EXITCODE SIGNAL...: torchrun 2.13's last words on ranks that ended so
  while (($#)); do
    printf '  rank      : 1 (local_rank: 1)\n  exitcode  : %s (pid: 77)\n' "$1"
    printf '  traceback : Signal %d (%s) received by PID 77\n' "${1#-}" "$2"; shift 2
  done
  exit 1
}
eval "${FAKE-step 1 1}"
"""
ACTIVATE = """\
VIRTUAL_ENV=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
"""


class Done(NamedTuple):
    """The end of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on its stdout."""
        return json.loads(self.out)


class Ended(NamedTuple):
    """The end of a job: launch.sh's exit code, its exit.json and its log."""

    code: int
    exit: dict[str, Any]
    log: str
    run: Path

    @property
    def reason(self) -> str:
        """The reason in exit.json."""
        return str(self.exit["reason"])


def ended(run: Path, code: int) -> Ended:
    """Read what a job left. Its exit.json must have exactly the documented keys."""
    verdict = json.loads((run / "exit.json").read_text(encoding="utf-8"))
    keys = "exit_code state started_at ended_at restarts node reason"
    assert " ".join(verdict) == keys
    assert verdict["exit_code"] == code
    assert not list(run.glob("*.part"))
    return Ended(code, verdict, (run / "logs" / "node0.log").read_text(errors="replace"), run)


def make_environment(folder: Path) -> Path:
    """Make a virtual environment whose torchrun pretends to train. Its packages torch and swift are empty."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "activate").write_text(ACTIVATE)
    (folder / "bin" / "torchrun").write_text(TORCHRUN)
    (folder / "bin" / "torchrun").chmod(0o755)
    python = Path(os.path.realpath(sys.executable))
    (folder / "bin" / "python").symlink_to(python)
    (folder / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for name in ("torch", "swift"):
        package = folder / "lib" / version / "site-packages" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    return folder


def marked(mark: str) -> list[int]:
    """The ids of all processes with the mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


class World:
    """A working directory and an environment in which prl-submit runs as users run it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "output"
        self.venv = make_environment(root / "venv")
        self.mark = secrets.token_hex(8)
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(root),
            # What is read of the installed ms-swift is kept for all worlds of a session.
            "XDG_CACHE_HOME": str(root.parent / "cache"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            MARK: self.mark,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def spec(self, file: str = "job.yaml", **over: Any) -> Path:
        """Write a spec for one process on the CPU. `over` changes keys; `__` stands for the dots in them."""
        tree: dict[str, Any] = {
            "name": "fake",
            "environment": {"venv": "venv"},
            "resources": {"accelerator": "cpu"},
            "restarts": {"grace": "2s"},
            "swift": {"rlhf_type": "grpo", "model": "org/name", "dataset": ["org/data"]}
            | {"num_generations": 2, "per_device_train_batch_size": 2}
            | {"reward_funcs": ["format"]},
        }
        for key, value in over.items():
            *sections, last = key.split("__")
            branch = tree
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[last] = value
        path = self.root / file
        path.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
        return path

    def start(self, *words: object, **environ: str) -> subprocess.Popen[bytes]:
        """Start prl-submit."""
        return self.popen([sys.executable, "-m", "prl_submit", *words], **environ)

    def popen(self, argv: list[object], **environ: str) -> subprocess.Popen[bytes]:
        """Start a program; it is killed at the end of this world."""
        process = subprocess.Popen(
            [str(word) for word in argv],
            cwd=self.root,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes], timeout: float = 60) -> Done:
        """Wait for the program's end."""
        out, err = process.communicate(timeout=timeout)
        self._started.remove(process)
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        return done

    def prl(self, *words: object, **environ: str) -> Done:
        """Run prl-submit to its end."""
        return self.finish(self.start(*words, **environ))

    def submit(self, fake: str = "step 1 1", *words: object, **over: Any) -> Path:
        """Submit a job whose torchrun runs the bash lines `fake`; its run directory."""
        done = self.prl(self.spec(**over), *words, FAKE=fake)
        assert done.code == 0, done.err
        return Path(done.out.strip())

    def run_to_end(self, fake: str = "step 1 1", **over: Any) -> tuple[Path, dict[str, Any]]:
        """Run a job to its end; its run directory and its exit.json."""
        done = self.prl(self.spec(**over), "--wait", FAKE=fake)
        assert done.out, done.err
        run = Path(done.out.strip())
        return run, json.loads((run / "exit.json").read_text())

    def script(self, **over: Any) -> Path:
        """launch.sh as `render --all` prints it, in its run directory with the other files."""
        secret = dict.fromkeys(over.get("environment__secrets", []), "x")
        done = self.prl("render", "--all", self.spec(**over), **secret)
        assert done.code == 0, done.err
        run = re.search(r"^prl_run_dir=(.*)$", done.out, re.MULTILINE)
        assert run
        folder = Path(shlex.split(run[1])[0])
        folder.mkdir(parents=True, exist_ok=True)
        return write_files(folder, done.out)

    def by_hand(self, fake: str = "step 1 1", *, env: Any = None, **over: Any) -> Ended:
        """Run `bash launch.sh` to its end."""
        script = self.script(**over)
        done = self.finish(self.popen(["bash", script], FAKE=fake, **(env or {})))
        return ended(script.parent, done.code)

    def states(self) -> dict[str, str]:
        """The state of each run by `list`."""
        listed = self.prl("list", "--json").json["runs"]
        return {run["run"]: run["state"] for run in listed}

    def alive(self, word: str = "") -> list[str]:
        """The command lines of the world's processes that hold `word`."""
        lines = []
        for pid in marked(self.mark):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if text and word in text:
                    lines.append(text)
        return lines

    def close(self) -> None:
        """Kill all processes of the world."""
        deadline = time.monotonic() + 10
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for process in self._started:
            process.communicate(timeout=10)


def eventually(check: Callable[[], object], timeout: float = 15.0) -> None:
    """Wait until `check` is true."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., None]:
    return eventually


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world for the test; its processes are killed afterwards."""
    world = World(tmp_path)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter.

    `tmp_path` is below /tmp/pytest-of-USER, and each pytest that starts closes that folder for other users.
    """
    folder = Path(tempfile.mkdtemp(prefix="prl-public-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def new_world() -> Iterator[Callable[[Path], World]]:
    """A function that makes worlds in folders that the test chooses."""
    worlds: list[World] = []

    def make(root: Path) -> World:
        worlds.append(World(root))
        return worlds[-1]

    try:
        yield make
    finally:
        for world in worlds:
            world.close()

"""Run directories: numbers, records, finding them again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prl_submit.errors import EXIT_NO_SUCH_RUN, NoSuchRunError, PrlSubmitError
from prl_submit.runs import directory
from prl_submit.runs.directory import find_run, find_runs, list_runs
from prl_submit.runs.record import ArrayTask, SweptRun, directory_of, write_record
from prl_submit.runs.states import State, finished_state, status_of
from tests.support.records import make_run, record

ROOT = Path(__file__).resolve().parents[3]
THEN = time.struct_time((2026, 11, 22, 21, 0, 0, 6, 326, 0))


def make(root: Path, number: int, **fields: Any) -> Path:
    """A run directory with its record."""
    path = root / f"v{number}-20261122-21{number % 60:02d}00"
    return make_run(path, **fields).path


# ------------------------------------------------------------------ numbers
def test_numbers_follow_the_highest(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "output"
    assert directory.allocate(root, THEN).name == "v0-20261122-210000"
    assert directory.allocate(root, THEN).name == "v1-20261122-210000"
    (root / "v9-20250101-000000").mkdir()
    (root / "v1-20261122-210000").rmdir()
    assert directory.allocate(root, THEN).name == "v10-20261122-210000"


@pytest.mark.parametrize("name", ["v41-20250101-000000", "v41", "v41-anything", "v041-x"])
def test_ms_swifts_own_directories_count(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert directory.allocate(tmp_path, THEN).name.startswith("v42-")


@pytest.mark.parametrize("name", ["x41-1", "version41", "V41", "v", "checkpoint-41", ".v41"])
def test_other_names_do_not_count(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert directory.allocate(tmp_path, THEN).name.startswith("v0-")


def test_a_number_claimed_by_a_killed_process_is_never_given_out(tmp_path: Path) -> None:
    """How old the claim is cannot tell a killed process from a slow one."""
    claim = tmp_path / ".v0.claim"
    claim.mkdir()
    os.utime(claim, (0, 0))
    assert directory.allocate(tmp_path).name.startswith("v1-")
    assert claim.exists()


def test_a_slower_process_still_makes_its_lower_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A higher number made meanwhile by a faster one must not leave a gap."""
    (tmp_path / "v4-20260101-000000").mkdir()
    monkeypatch.setattr(directory, "_next_number", lambda root: 3)
    assert directory.allocate(tmp_path).name.startswith("v3-")


def test_a_fresh_claim_is_somebody_elses_number(tmp_path: Path) -> None:
    """A number that another process is about to take is not given out."""
    (tmp_path / ".v0.claim").mkdir()
    assert directory.allocate(tmp_path).name.startswith("v1-")
    assert [p.name for p in tmp_path.glob(".*")] == [".v0.claim"]


def test_a_claim_dropped_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory made since the first look, its claim gone again: no number is shared."""
    (tmp_path / "v0-20260101-000000").mkdir()
    looks = iter([0, 1])
    monkeypatch.setattr(directory, "_next_number", lambda root: next(looks))
    assert directory.allocate(tmp_path).name.startswith("v1-")
    assert list(tmp_path.glob(".*")) == []


def test_the_claim_goes_when_the_directory_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def mkdir(self: Path, *args: object, **kwargs: object) -> None:
        if self.name.startswith("v"):
            raise OSError(28, "No space left on device")
        real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OSError, match="No space left"):
        directory.allocate(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_directories_leave_out_what_others_have(tmp_path: Path) -> None:
    """Numbers that another process claims, and its claims stay."""
    (tmp_path / "v3-20260101-000000").mkdir()
    (tmp_path / ".v5.claim").mkdir()
    made = directory.allocate_many(tmp_path, 4)
    assert [path.name.partition("-")[0] for path in made] == ["v4", "v6", "v7", "v8"]
    assert all(path.is_dir() for path in made)
    assert [path.name for path in tmp_path.glob(".*")] == [".v5.claim"]


def test_many_directories_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, renamed = os.rename, []

    def rename(source: Path, target: Path) -> None:
        renamed.append(target)
        if len(renamed) == 3:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="No space left"):
        directory.allocate_many(tmp_path, 4)
    assert list(tmp_path.iterdir()) == []


def test_many_processes_make_many_directories(tmp_path: Path) -> None:
    """No number is given out twice, to processes that make many directories or one."""
    code = (
        "import sys; from pathlib import Path; from prl_submit.runs.directory import *\n"
        "root = Path(sys.argv[1]); allocate_many(root, 50); [allocate(root) for _ in range(20)]"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    names = [path.name for path in tmp_path.iterdir()]
    numbers = {int(name[1:].partition("-")[0]) for name in names}
    assert len(numbers) == len(names) == 210


def test_an_output_root_that_is_a_file(tmp_path: Path) -> None:
    root = tmp_path / "output"
    root.write_text("x")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        directory.allocate(root)
    with pytest.raises(PrlSubmitError, match="is a file, not a folder"):
        list_runs(root)


def test_an_output_root_that_cannot_be_written(tmp_path: Path) -> None:
    """Nothing is left behind. root may write anywhere, but not into /proc."""
    tmp_path.chmod(0o555)
    root = Path("/proc/self") if os.geteuid() == 0 else tmp_path
    try:
        with pytest.raises(OSError, match=r"v0|claim"):
            directory.allocate(root)
    finally:
        tmp_path.chmod(0o755)


def test_an_output_root_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PrlSubmitError, match="cannot be read: Permission denied"):
        list_runs(tmp_path)


FIFTY = """
import os, sys
from pathlib import Path
from prl_submit.runs.directory import allocate

gate, start = os.pipe()
for _ in range(50):
    if os.fork() == 0:
        try:
            os.close(start)
            os.read(gate, 1)  # until the last writer has closed
            names = [allocate(Path(sys.argv[1])).name for _ in range(20)]
            os.write(1, "".join(f"{name}\\n" for name in names).encode())
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(0)
os.close(start)
for _ in range(50):
    os.wait()
"""


def test_a_thousand_directories_by_fifty_processes_at_once(tmp_path: Path) -> None:
    """1000 different numbers, no two in one directory, no claim left."""
    root = tmp_path / "output"
    done = subprocess.run(
        [sys.executable, "-c", FIFTY, str(root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    names = done.stdout.split()
    assert len(names) == 1000
    assert len({name.partition("-")[0] for name in names}) == 1000
    assert sorted(p.name for p in root.iterdir()) == sorted(names)


# ------------------------------------------------------------------ latest
def test_latest_points_to_the_newest(tmp_path: Path) -> None:
    for number in (1, 10, 9):
        directory.point_latest(make(tmp_path, number))
    assert os.readlink(tmp_path / "latest") == "v10-20261122-211000"
    assert [p.name for p in tmp_path.glob(".latest*")] == []


def test_latest_goes_on_after_the_newest_was_removed(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("v99-20261122-210000")
    directory.point_latest(make(tmp_path, 3))
    assert (tmp_path / "latest").resolve().name == "v3-20261122-210300"


def test_somebodys_own_latest_stays(tmp_path: Path) -> None:
    """A file or folder named `latest` that is not our link is left alone."""
    (tmp_path / "latest").mkdir()
    directory.point_latest(make(tmp_path, 3))
    assert not (tmp_path / "latest").is_symlink()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}', "\xff\xff"])
def test_a_damaged_record_is_listed_with_its_fault(tmp_path: Path, text: str) -> None:
    path = make(tmp_path, 1)
    (path / "run.json").write_bytes(text.encode("latin-1"))
    make(tmp_path, 2)
    damaged, good = list_runs(tmp_path)
    assert damaged.record is None
    assert damaged.fault is not None
    assert damaged.fault.startswith("run.json is damaged: ")
    assert good.record is not None
    assert find_run("1", tmp_path) == damaged
    assert finished_state(damaged) == State(state="LOST", reason=damaged.fault)
    assert status_of(damaged, State(state="LOST")).name is None


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    path = make(tmp_path, 1)
    (path / "run.json").unlink()
    (path / "run.json").mkdir()
    (run,) = list_runs(tmp_path)
    assert run.fault == "run.json cannot be read: Is a directory"


def test_only_runs_are_listed_newest_last(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "gone") == []
    for number in (10, 9, 2):
        make(tmp_path, number)
    (tmp_path / "v11-20250101-000000").mkdir()  # ms-swift's own
    (tmp_path / "v12-20250101-000000").write_text("a file")
    (tmp_path / "v13").mkdir()
    (tmp_path / "latest").symlink_to("v10-20261122-211000")
    (tmp_path / "v14-20250101-000000").symlink_to("nowhere")
    found = list_runs(tmp_path)
    assert [run.number for run in found] == [2, 9, 10, 12, 14]
    assert [run.fault for run in found[3:]] == [
        "it is a file, no run directory",
        "it is a link to nothing",
    ]
    assert find_run("latest", tmp_path).number == 10


@pytest.mark.parametrize(
    "text", ["v26", "26", "026", "v26-20261122-212600", "8125", "only", "latest"]
)
def test_a_run_is_found(tmp_path: Path, text: str) -> None:
    make(tmp_path, 3, job_id="27", name="mr")
    path = make(tmp_path, 26, job_id="8125", name="only")
    assert find_run(text, tmp_path).path == path


def test_a_number_that_is_a_run_and_another_ones_job(tmp_path: Path) -> None:
    """Young clusters and containers have small job ids; `cancel 26` must not end the wrong one."""
    other, path = make(tmp_path, 3, job_id="26"), make(tmp_path, 26, job_id="8125")
    with pytest.raises(PrlSubmitError) as caught:
        find_run("26", tmp_path)
    assert caught.value.message == f"'26' names 2 runs: {path.name}, {other.name}"
    assert find_run("v26", tmp_path).path == path
    mine = make(tmp_path, 5, job_id="5")
    assert find_run("5", tmp_path).path == mine


def test_a_run_is_found_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "output", 26)
    elsewhere = tmp_path / "elsewhere"
    assert find_run(str(path), elsewhere).path == path
    assert find_run(f"{path}/", elsewhere).path == path
    monkeypatch.chdir(tmp_path)
    assert find_run(f"output/{path.name}", elsewhere).path == path
    monkeypatch.chdir(path)
    assert find_run(".", elsewhere).path == path


def test_the_latest_link_is_its_target(tmp_path: Path) -> None:
    path = make(tmp_path, 26)
    directory.point_latest(path)
    run = find_run(str(tmp_path / "latest"), tmp_path)
    assert (run.name, run.number, run.path) == (path.name, 26, path)


def test_latest_is_the_highest_number(tmp_path: Path) -> None:
    make(tmp_path, 2)
    make(tmp_path, 10)
    assert find_run("latest", tmp_path).number == 10


@pytest.mark.parametrize("text", ["v7", "7", "nobody", "", "v", "latest2", "9" * 5000, "²"])
def test_no_such_run(tmp_path: Path, text: str) -> None:
    make(tmp_path, 26)
    with pytest.raises(NoSuchRunError) as caught:
        find_run(text, tmp_path)
    assert caught.value.exit_code == EXIT_NO_SUCH_RUN
    assert "prl-submit list" in (caught.value.hint or "")


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRunError, match=r"no run 'latest' under .*: it holds no runs"):
        find_run("latest", tmp_path)
    with pytest.raises(NoSuchRunError, match="is no run directory"):
        find_run(str(tmp_path), tmp_path)


def test_a_name_of_several_lists_the_candidates(tmp_path: Path) -> None:
    first, second = make(tmp_path, 1, job_id="a"), make(tmp_path, 2, job_id="b")
    with pytest.raises(PrlSubmitError) as caught:
        find_run("mr", tmp_path)
    assert caught.value.message == f"'mr' names 2 runs: {first.name}, {second.name}"
    assert find_run("a", tmp_path).path == first


def test_a_number_of_several_lists_the_candidates(tmp_path: Path) -> None:
    make(tmp_path, 1)
    other = tmp_path / "v1-20200101-000000"
    other.mkdir()
    write_record(other, record())
    with pytest.raises(PrlSubmitError, match="names 2 runs: v1-20200101-000000, v1-2026"):
        find_run("v1", tmp_path)
    assert find_run("v1-20200101-000000", tmp_path).path == other


def test_a_removed_run_is_gone(tmp_path: Path) -> None:
    path = make(tmp_path, 1)
    (path / "run.json").unlink()
    with pytest.raises(NoSuchRunError):
        find_run("1", tmp_path)


def make_sweep(root: Path, first: int, folder: str, count: int = 3) -> list[str]:
    """The names of the directories of a sweep's runs, which are numbered from the last to the first."""
    names = []
    for index in range(1, count + 1):
        swept = SweptRun(name=folder.rpartition("-2026")[0], id="5f", folder=folder, index=index)
        path = make(root, first + count - index, name=f"lr-{index}", sweep=swept)
        names.append(path.name)
    return names


def names_of(text: str, root: Path) -> list[str]:
    return [run.name for run in find_runs(text, root)]


def test_a_sweep_is_all_its_runs_by_index(tmp_path: Path) -> None:
    old = make_sweep(tmp_path, 10, "lr-20261130-120000")
    new = make_sweep(tmp_path, 20, "lr-20261130-130000")
    other = make_sweep(tmp_path, 30, "lr-b-20261130-140000", 1)
    assert names_of("lr", tmp_path) == new
    assert names_of("lr-20261130-120000", tmp_path) == old
    assert names_of(str(tmp_path / "sweeps" / "lr-20261130-120000"), tmp_path / "x") == old
    assert names_of("lr-b", tmp_path) == other
    assert names_of("v30", tmp_path) == other
    with pytest.raises(NoSuchRunError):
        find_runs("l", tmp_path)
    with pytest.raises(NoSuchRunError):
        find_runs(str(tmp_path / "sweeps" / "gone-20261130-120000"), tmp_path)


def test_one_run_is_found_as_ever(tmp_path: Path) -> None:
    path = make(tmp_path, 26, job_id="8125", name="only")
    for text in ("v26", "8125", "only", "latest", str(path)):
        assert names_of(text, tmp_path) == [path.name]


def test_a_copy_of_a_run_is_no_run_of_the_sweep(tmp_path: Path) -> None:
    """Unless the whole output root was copied or moved: then no run is where it was submitted."""
    root = tmp_path / "output"
    for number in (1, 2):
        path = root / f"v{number}-20261130-120000"
        path.mkdir(parents=True)
        swept = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=number)
        make_run(path, sweep=swept, directory=directory_of(path))
    shutil.copytree(root / "v1-20261130-120000", root / "v7-20261130-120000")
    assert [run.number for run in find_runs("lr", root)] == [1, 2]
    shutil.copytree(root, tmp_path / "elsewhere")
    assert [run.number for run in find_runs("lr", tmp_path / "elsewhere")] == [1, 7, 2]


def test_a_run_and_a_sweep_of_one_name(tmp_path: Path) -> None:
    swept = make_sweep(tmp_path, 10, "lr-20261130-120000")
    alone = make(tmp_path, 2, name="lr")
    with pytest.raises(PrlSubmitError) as caught:
        find_runs("lr", tmp_path)
    assert caught.value.message == f"'lr' names {alone.name}, a sweep with 3 runs"
    assert names_of("lr-20261130-120000", tmp_path) == swept


def test_an_array_is_all_its_tasks(tmp_path: Path) -> None:
    def task(number: int, array: int, at: int) -> str:
        place = ArrayTask(token="t", task=number)
        return make(tmp_path, at, job_id=f"{array}_{number}", place=place).name

    second, first, other = task(2, 4711, 10), task(1, 4711, 11), task(3, 4712, 12)
    assert names_of("4711", tmp_path) == [first, second]
    assert names_of("4712", tmp_path) == names_of("4712_3", tmp_path) == [other]
    with pytest.raises(NoSuchRunError):
        find_runs("471", tmp_path)
    alone = make(tmp_path, 4711)
    with pytest.raises(PrlSubmitError) as caught:
        find_runs("4711", tmp_path)
    assert caught.value.message == f"'4711' names {alone.name}, a sweep with 2 runs"


def test_one_run_is_needed_and_a_sweep_is_named(tmp_path: Path) -> None:
    """The message lists the runs, because the user means one of them."""
    for index in range(1, 8):
        sweep = SweptRun(name="lr", id="1", folder="lr-20261122-210000", index=index)
        make(tmp_path, index, name=f"lr-{index}", sweep=sweep)
    with pytest.raises(
        PrlSubmitError, match=r"'lr' is a sweep of 7 runs, and one is needed: v1-"
    ) as found:
        find_run("lr", tmp_path)
    assert found.value.message.endswith("v5-20261122-210500, …")

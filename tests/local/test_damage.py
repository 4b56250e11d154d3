"""Directories that are gone, files that are damaged, disks that are full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import World


def test_damaged_record_is_said_and_the_others_still_list(world: World) -> None:
    runs = [world.run_to_end()[0] for _ in range(4)]
    (runs[0] / "run.json").write_text("{")
    (runs[1] / "run.json").write_bytes(b"\xff\0")
    (runs[2] / "run.json").unlink()
    done = world.prl("list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", *(runs[i].name for i in (0, 1, 3))]
    assert "run.json is damaged" in lines[1]
    assert "SUCCEEDED" in lines[3]
    states = world.states()
    assert (states[runs[0].name], states[runs[3].name]) == ("LOST", "SUCCEEDED")
    for command in ("status", "cancel", "logs", "wait"):
        assert world.prl(command, runs[0].name).code in (0, 1), command
    resumed = world.prl("resume", runs[0].name)
    assert resumed.code == 2
    assert "damaged" in resumed.err


def test_record_that_is_a_folder_or_something_else(world: World) -> None:
    run, _ = world.run_to_end()
    (run / "run.json").unlink()
    (run / "run.json").mkdir()
    assert world.states() == {run.name: "LOST"}
    (run / "run.json").rmdir()
    (run / "run.json").write_text("[1, 2]")
    assert world.states() == {run.name: "LOST"}


def test_removed_directory(world: World) -> None:
    """It is no run any more; `latest` and the next number do not stumble over it."""
    first, _ = world.run_to_end()
    second, _ = world.run_to_end()
    shutil.rmtree(second)
    assert list(world.states()) == [first.name]
    done = world.prl("status", second.name)
    assert done.code == 3
    assert second.name in done.err
    third, _ = world.run_to_end()
    assert (world.output / "latest").resolve() == third


def test_removed_under_a_running_job(world: World) -> None:
    """The waiting command ends with a word."""
    fake = 'touch "$run/ready"; rm -rf "$run"; sleep 1'
    done = world.prl(world.spec(), "--wait", FAKE=fake)
    assert done.code == 1
    assert "LOST" in done.err


def test_damaged_exit_record(world: World) -> None:
    run, _ = world.run_to_end()
    (run / "exit.json").write_text("{")
    assert world.states() == {run.name: "LOST"}


def test_damaged_logging(world: World) -> None:
    """A logging.jsonl that cannot be read costs the progress only, not the state."""
    run, _ = world.run_to_end()
    (run / "logging.jsonl").write_bytes(b"\xff\0 no json")
    assert world.states() == {run.name: "SUCCEEDED"}


def test_output_root_is_a_file(world: World) -> None:
    world.output.write_text("mine")
    done = world.prl(world.spec())
    assert done.code == 2
    assert "is a file" in done.err
    assert world.output.read_text() == "mine"
    assert world.prl("list").code == 2


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(world: World, tiny_disk: Path) -> None:
    """One sentence, no job, no directory."""
    (tiny_disk / "filler").write_bytes(bytes(252 * 1024))
    done = world.prl(world.spec(), "--output-root", tiny_disk)
    assert done.code == 2
    assert "No space left on device" in done.err
    assert "nothing was submitted" in done.err
    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]
    assert world.alive() == []


def test_read_only_file_system(world: World, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    done = world.prl(world.spec(), "--output-root", tiny_disk)
    assert done.code == 2
    assert "is not a writable folder" in done.err
    assert world.alive() == []


def test_run_directory_becomes_read_only(world: World, tiny_disk: Path) -> None:
    """Preflight says so, in the log at least."""
    script = world.script(output=str(tiny_disk))
    (script.parent / "logs").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    done = world.finish(world.popen(["bash", script]))
    assert done.code != 0
    assert "Read-only file system" in done.err

"""Which checkpoint can be loaded whole, and how far a training is."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from prl_submit.runs import checkpoint_files
from prl_submit.runs import progress as metrics
from prl_submit.runs.checkpoints import Checkpoint, last_complete
from tests.support.checkpoint_files import (
    SPOILT,
    pickle_file,
    safetensors,
    torch_file,
    write_checkpoint,
)


def save(run: Path, step: int, world: int = 2) -> Path:
    """A checkpoint as ms-swift 4.6.0 leaves it."""
    path = run / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "training_args.bin"):
        (path / name).write_bytes(b"x")
    ranks = [""] if world == 1 else [f"_{rank}" for rank in range(world)]
    for rank in ranks:
        (path / f"rng_state{rank}.pth").write_bytes(b"x")
    (path / "trainer_state.json").write_text(json.dumps({"max_steps": 10, "global_step": step}))
    return path


def shard(path: Path, index: object) -> None:
    """Make a checkpoint a sharded one of two files."""
    (path / "model.safetensors").unlink()
    for number in (1, 2):
        (path / f"model-{number}.safetensors").write_bytes(b"x")
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


SHARDS = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}


def test_the_newest_by_number_not_by_name(tmp_path: Path) -> None:
    save(tmp_path, 9)
    newest = save(tmp_path, 10)
    assert last_complete(tmp_path, 2) == Checkpoint(newest, 10, 10)


def test_none(tmp_path: Path) -> None:
    """No folder, a file and names of another form are no checkpoint."""
    assert last_complete(tmp_path / "gone", 2) is None
    (tmp_path / "checkpoint-5").write_text("a file")
    (tmp_path / "last-checkpoint").symlink_to("checkpoint-1")
    save(tmp_path, 1).rename(tmp_path / "checkpoint-1-merged")
    assert last_complete(tmp_path, 2) is None


@pytest.mark.parametrize(
    "file",
    [
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state_0.pth",
        "rng_state_1.pth",
        "trainer_state.json",
    ],
)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_kill_in_the_middle_of_a_save(tmp_path: Path, file: str, how: str) -> None:
    """Any file missing or empty: the one before is taken."""
    before = save(tmp_path, 1)
    broken = save(tmp_path, 2) / file
    broken.unlink()
    if how == "empty":
        broken.touch()
    assert last_complete(tmp_path, 2) == Checkpoint(before, 1, 10)


def test_each_rank_has_its_own_random_state(tmp_path: Path) -> None:
    save(tmp_path, 1, world=2)
    assert last_complete(tmp_path, 2) is not None
    assert last_complete(tmp_path, 4) is None
    assert last_complete(tmp_path, 1) is None


def test_one_process_has_one_random_state(tmp_path: Path) -> None:
    save(tmp_path, 1, world=1)
    assert last_complete(tmp_path, 1) is not None
    assert last_complete(tmp_path, 2) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "nul"])
def test_a_broken_trainer_state(tmp_path: Path, text: str) -> None:
    (save(tmp_path, 1) / "trainer_state.json").write_bytes(text.encode("latin-1"))
    assert last_complete(tmp_path, 2) is None


@pytest.mark.parametrize("state", [{}, {"max_steps": None}, {"max_steps": "7"}])
def test_max_steps_may_be_unknown(tmp_path: Path, state: object) -> None:
    path = save(tmp_path, 1)
    (path / "trainer_state.json").write_text(json.dumps(state))
    assert last_complete(tmp_path, 2) == Checkpoint(path, 1, None)


def test_a_sharded_model_needs_every_shard(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    shard(path, SHARDS)
    assert last_complete(tmp_path, 2) is not None
    (path / "model-2.safetensors").unlink()
    assert last_complete(tmp_path, 2) is None


@pytest.mark.parametrize("index", [[], {}, {"weight_map": []}, {"weight_map": {"a": ["b"]}}, 3])
def test_a_broken_index(tmp_path: Path, index: object) -> None:
    shard(save(tmp_path, 1), index)
    assert last_complete(tmp_path, 2) is None


def test_a_shard_without_its_index(tmp_path: Path) -> None:
    """Nobody can say which other shards there are."""
    good, bad = save(tmp_path, 4), save(tmp_path, 8)
    (bad / "model.safetensors").rename(bad / "model-00001-of-00002.safetensors")
    found = last_complete(tmp_path, 2)
    assert found is not None
    assert found.path == good


@pytest.mark.parametrize("step", [10, True, 0, -1, "8"])
def test_a_folder_whose_number_is_not_its_step(tmp_path: Path, step: object) -> None:
    """A folder whose trainer_state.json names another step is no checkpoint."""
    good, bad = save(tmp_path, 4), save(tmp_path, 8)
    (bad / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": 10}))
    found = last_complete(tmp_path, 2)
    assert found is not None
    assert found.path == good


def test_an_adapter_is_a_model_too(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "model.safetensors").rename(path / "adapter_model.safetensors")
    assert last_complete(tmp_path, 2) is not None


def test_save_only_model_cannot_be_resumed(tmp_path: Path) -> None:
    """ms-swift would go on silently without the optimizer."""
    path = save(tmp_path, 1)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"):
        (path / name).unlink()
    assert last_complete(tmp_path, 2) is None


def test_deepspeed_keeps_its_own_state(tmp_path: Path) -> None:
    """A folder global_step* in place of the optimizer; `latest` is written last."""
    path = save(tmp_path, 1)
    (path / "optimizer.pt").unlink()
    (path / "scheduler.pt").unlink()
    (path / "global_step1").mkdir()
    assert last_complete(tmp_path, 2) is None
    (path / "latest").write_text("global_step1")
    assert last_complete(tmp_path, 2) is not None


# ------------------------------------------------------------------ files that are not whole
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"]
)
def test_a_file_that_is_not_whole(tmp_path: Path, file: str, how: str) -> None:
    """The checkpoint before is taken."""
    before = write_checkpoint(tmp_path, 1, ranks=2)
    damaged = write_checkpoint(tmp_path, 2, ranks=2) / file
    assert last_complete(tmp_path, 2) == Checkpoint(damaged.parent, 2, 10)
    damaged.write_bytes(SPOILT[how](damaged.read_bytes()))
    assert last_complete(tmp_path, 2) == Checkpoint(before, 1, 10)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_file_cut_at_any_byte(tmp_path: Path, file: str) -> None:
    path = write_checkpoint(tmp_path, 1) / file
    data = path.read_bytes()
    for size in [*range(200), *range(200, len(data), 97), *range(len(data) - 30, len(data))]:
        path.write_bytes(data[:size])
        assert last_complete(tmp_path, 1) is None, size


def test_a_mark_of_a_save_that_was_not_finished(tmp_path: Path) -> None:
    """A checkpoint with the mark of an unfinished save does not count."""
    before = write_checkpoint(tmp_path, 1)
    (write_checkpoint(tmp_path, 2) / "checkpoint-is-incomplete.txt").touch()
    assert last_complete(tmp_path, 1) == Checkpoint(before, 1, 10)


def test_torch_files_of_both_kinds(tmp_path: Path) -> None:
    """A pickle, as before torch 1.6, cannot be judged; it is taken."""
    path = write_checkpoint(tmp_path, 1)
    (path / "optimizer.pt").write_bytes(pickle_file())
    assert last_complete(tmp_path, 1) is not None


@pytest.mark.parametrize("shard", ["model-1.safetensors", "pytorch_model-1.bin"])
def test_a_shard_that_is_not_whole(tmp_path: Path, shard: str) -> None:
    path = write_checkpoint(tmp_path, 1)
    (path / "model.safetensors").unlink()
    data = safetensors() if shard.endswith(".safetensors") else torch_file()
    (path / shard).write_bytes(data)
    index = path / f"{shard.partition('-')[0]}.{shard.partition('.')[2]}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": shard}}))
    assert last_complete(tmp_path, 1) is not None
    (path / shard).write_bytes(data[:-8])
    assert last_complete(tmp_path, 1) is None


@pytest.mark.parametrize("name", ["global_step1", "pytorch_model_fsdp_0"])
def test_what_each_rank_wrote(tmp_path: Path, name: str) -> None:
    """DeepSpeed's and FSDP2's folders."""
    path = write_checkpoint(tmp_path, 1)
    (path / name).mkdir()
    (path / "latest").write_text("global_step1")
    if name == "global_step1":
        piece = path / name / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
        whole, cut = torch_file(), torch_file()[:-1]
    else:
        (path / name / "__0_0.distcp").write_bytes(b"of rank 0")
        piece, whole, cut = path / name / ".metadata", b"\x80\x04x.", b"\x80\x04x"
    piece.write_bytes(whole)
    assert last_complete(tmp_path, 1) is not None
    piece.write_bytes(cut)
    assert last_complete(tmp_path, 1) is None


def test_a_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    """It is not opened, for nobody would end the reading."""
    path = write_checkpoint(tmp_path, 1) / "model.safetensors"
    path.unlink()
    os.mkfifo(path)
    assert last_complete(tmp_path, 1) is None


def test_the_nodes_python_may_be_old() -> None:
    """launch.sh runs this file with the training's Python: 3.8 must read it, with nothing installed."""
    text = Path(checkpoint_files.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= {"json", "os", "re", "stat", "sys"}


# ------------------------------------------------------------------ progress
def line(step: int, more: str = "") -> str:
    """A logged line of ms-swift 4.6.0."""
    return (
        '{"loss": 0.1' + more + f', "global_step/max_steps": "{step}/100", "percentage": "1%"}}\n'
    )


def steps(run: Path) -> tuple[int | None, int | None]:
    """The last logged step, and how many there are."""
    progress = metrics.read_progress(run)
    return progress.step, progress.max_steps


@pytest.mark.parametrize(
    ("text", "progress"),
    [
        (None, (None, None)),
        ("", (None, None)),
        ('{"loss": 1}\n', (None, None)),
        (line(1) + line(27), (27, 100)),
        (line(3) + '{"last_model_checkpoint": "x"', (3, 100)),
        (line(3).replace(": ", ":"), (3, 100)),
        (line(3) + '{"global_step/max_steps": "x/y"}', (3, 100)),
    ],
)
def test_progress(
    tmp_path: Path, text: str | None, progress: tuple[int | None, int | None]
) -> None:
    """The last logged step is the progress."""
    if text is not None:
        (tmp_path / "logging.jsonl").write_text(text)
    assert steps(tmp_path) == progress


def test_progress_before_a_huge_last_line(tmp_path: Path) -> None:
    """At its end ms-swift writes its whole history on one line."""
    huge = '{"log_history": "' + "x" * 3_000_000 + '"}'
    (tmp_path / "logging.jsonl").write_text(line(99) + line(100) + huge)
    assert steps(tmp_path) == (100, 100)


def test_progress_of_a_large_file_without_any(tmp_path: Path) -> None:
    (tmp_path / "logging.jsonl").write_text("x" * 2_000_000)
    assert steps(tmp_path) == (None, None)


def test_progress_of_a_run_whose_outputs_are_elsewhere(tmp_path: Path) -> None:
    """Only its log is brought here, in which ms-swift prints the same."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "node0.log").write_text("{'loss': '1', 'global_step/max_steps': '3/9'}\n")
    assert steps(tmp_path) == (None, None)  # a log of its own proves nothing
    (tmp_path / "logs" / ".kept0.json").write_text("{}")
    assert steps(tmp_path) == (3, 9)
    (tmp_path / "logging.jsonl").write_text('{"global_step/max_steps": "5/9"}\n')
    assert steps(tmp_path) == (5, 9)
    (tmp_path / "logging.jsonl").write_text('{"global_step/max_steps": "2/9"}\n')
    assert steps(tmp_path) == (3, 9)


def test_progress_of_a_step_that_nobody_can_have_trained(tmp_path: Path) -> None:
    """Anybody may have written the file; one run must not end `list`."""
    (tmp_path / "logging.jsonl").write_text(f'{{"global_step/max_steps": "{"9" * 5000}/9"}}\n')
    assert steps(tmp_path) == (None, None)


def test_when_the_last_step_was_logged(tmp_path: Path) -> None:
    assert metrics.read_progress(tmp_path).logged_at is None
    log = tmp_path / "logging.jsonl"
    log.write_text('{"global_step/max_steps": "2/9"}\n')
    os.utime(log, (1000, 1000))
    assert metrics.read_progress(tmp_path).logged_at == 1000

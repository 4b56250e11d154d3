"""Run directories that prl-submit 0.1.0 wrote in November 2026, before a record had a place.

For each backend one run that succeeded and one that failed after checkpoint-5. The texts are as they were, but for
@…@, which stand for what a test's world has of its own. `old_runs/records` has, for each backend, the records alone of
one job, which the unit tests read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import World

FOLDER = Path(__file__).with_name("old_runs")
CHECKPOINT = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def old_runs(world: World, backend: str, **words: str) -> tuple[Path, Path]:
    """Put the two runs of a backend into a world's output root: the one that succeeded, the one that failed."""
    words = {"ROOT": str(world.root), "MARK": world.mark, **words}
    runs = []
    for source in sorted((FOLDER / backend).iterdir()):
        run = world.output / source.name
        shutil.copytree(source, run)
        for file in run.iterdir():
            text = file.read_text("utf-8")
            for name, word in words.items():
                text = text.replace(f"@{name}@", word)
            file.write_text(text, "utf-8")
        runs.append(run)
    succeeded, failed = runs
    (failed / "checkpoint-5").mkdir()
    state = {"global_step": 5, "max_steps": 10}
    (failed / "checkpoint-5" / "trainer_state.json").write_text(json.dumps(state))
    for name in CHECKPOINT:
        (failed / "checkpoint-5" / name).write_text("x\n")
    return succeeded, failed


def resumed(world: World, run: Path) -> dict[str, object]:
    """What run.json says when `resume` has started the failed run again and it has ended."""
    before = json.loads((run / "run.json").read_text())
    done = world.prl("resume", run, "--wait")
    assert "continues from checkpoint-5" in done.err, done.err
    words = (run / "argv").read_bytes().split(b"\0")
    assert words[words.index(b"--resume_from_checkpoint") + 1] == bytes(run / "checkpoint-5")
    after: dict[str, object] = json.loads((run / "run.json").read_text())
    assert set(before) <= set(after)  # keys are only ever added
    assert after["restarts"] == 1
    assert after["token"] != before["token"]
    assert json.loads((run / "exit.json").read_text())["restarts"] == 1
    return after

"""resume --set: what a resumed training takes, what is refused, and what the run's files say afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import World

#: Trains all steps that it is told, and saves the last one.
TRAINS = r"""
asked=; previous=
for word in "$@"; do [[ $previous != --max_steps ]] || asked=$word; previous=$word; done
step "$asked" "$asked"; checkpoint "$asked" "$asked"
"""


def plan(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    return found


def argv(run: Path) -> list[str]:
    return (run / "argv").read_text().split("\0")


@pytest.fixture
def ended(world: World) -> Path:
    """A run of two steps that has ended."""
    run, verdict = world.run_to_end(TRAINS, swift__max_steps=2, swift__save_steps=2)
    assert verdict["state"] == "SUCCEEDED"
    return run


def test_more_steps(world: World, ended: Path) -> None:
    before = (ended / "spec.yaml").read_text()
    done = world.prl("resume", "v0")
    assert (done.code, "at its last step already: checkpoint-2 of 2" in done.err) == (2, True)
    assert "--set swift.max_steps=N" in done.err
    words = ("--set", "swift.max_steps=5", "--set", "environment.env.NCCL_DEBUG=INFO")
    more = ("--set", "restarts.max=2", "--set", "swift.save_total_limit=3")
    done = world.prl("resume", "v0", *words, *more, "--wait", FAKE=TRAINS)
    assert done.code == 0, done.err
    assert "the schedule of the learning rate (cosine) has another length now" in done.err
    told = argv(ended)
    assert told[told.index("--max_steps") + 1] == "5"
    assert told[told.index("--resume_from_checkpoint") + 1] == str(ended / "checkpoint-2")
    assert told.count("--max_steps") == 1
    assert "export NCCL_DEBUG=INFO" in (ended / "launch.sh").read_text()
    (status,) = world.prl("status", "v0", "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 5, 5)
    (entry,) = plan(ended)["resumes"]
    assert entry["checkpoint"] == "checkpoint-2"
    changes = {item["key"]: (item["before"], item["after"]) for item in entry["changes"]}
    assert changes == {
        "swift.max_steps": (2, 5),
        "swift.save_total_limit": (None, 3),
        "environment.env.NCCL_DEBUG": (None, "INFO"),
        "restarts.max": (0, 2),
    }
    page = world.prl("status", "v0").out
    assert "changed     at checkpoint-2: " in page
    assert "swift.max_steps 2 to 5" in page
    # spec.yaml, from which `rerun` starts, has the new values and the user's own workdir and output.
    after = (ended / "spec.yaml").read_text()
    assert "max_steps: 5" in after
    assert ("workdir" in after, "output" in after) == ("workdir" in before, "output" in before)
    shown = {item["key"]: item for item in world.prl("explain", "v0", "--json").json["values"]}
    assert (shown["swift.max_steps"]["source"], shown["swift.max_steps"]["detail"]) == (
        "flag",
        "--set at resume",
    )
    assert shown["swift.save_steps"]["detail"].endswith("job.yaml:1")


REFUSED = (
    (
        "swift.learning_rate=1e-5",
        "swift.learning_rate: a resumed run cannot take it: the checkpoint has",
    ),
    ("swift.save_steps=1", "the new one would be ignored"),
    ("swift.seed=7", "trained twice or not at all"),
    ("resources.nproc_per_node=4", "number of processes"),
    ("swift.beta=0.1", "prl-submit rerun RUN --set swift.beta=…"),
    ("swift.max_stepz=4", "did you mean 'max_steps'?"),
    ("swift.max_steps=many", "swift.max_steps: expected"),
    ("swift.max_steps=2", "2 leaves nothing to train: checkpoint-2 is at step 2"),
    ("swift.num_train_epochs=4", "is ignored, because max_steps 2 says when"),
    ("max_steps", "expected KEY=VALUE"),
    ("name=other", "prl-submit rename"),
)


def test_refusals(world: World, ended: Path) -> None:
    """Each names its reason, and changes no file of the run."""
    files = {path.name: path.read_bytes() for path in ended.iterdir() if path.is_file()}
    for setting, said in REFUSED:
        done = world.prl("resume", "v0", "--set", setting)
        assert (done.code, said in done.err) == (2, True), done.err
    assert {path.name: path.read_bytes() for path in ended.iterdir() if path.is_file()} == files


def test_all_refusals_at_once(world: World, ended: Path) -> None:
    done = world.prl("resume", "v0", "--set", "swift.seed=7", "--set", "swift.model=org/other")
    assert done.err.count("a resumed run cannot take it") == 2
    assert "resumes" not in plan(ended) or plan(ended)["resumes"] == []


def test_a_refused_start_leaves_everything_as_it_was(world: World, ended: Path) -> None:
    """The template fails after the checks; neither spec.yaml nor plan.json has the new value."""
    files = {name: (ended / name).read_bytes() for name in ("spec.yaml", "plan.json", "launch.sh")}
    folder = world.root / "templates"
    folder.mkdir()
    (folder / "launch.sh").write_text("{{ nothing.at.all }}")
    words = ("--set", "swift.max_steps=5", "--templates", folder)
    assert world.prl("resume", "v0", *words).code != 0
    assert {name: (ended / name).read_bytes() for name in files} == files

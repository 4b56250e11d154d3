"""rerun: the job of a run again, with the values that it had, whatever the user's environment says now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import World


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return found


def values(run: Path) -> dict[str, Any]:
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    return {item["key"]: item["value"] for item in plan["values"]}


def test_the_same_job_again_from_another_folder(world: World) -> None:
    (world.root / "base.yaml").write_text("swift: {beta: 0.5}\n")
    spec = world.spec(extends="base.yaml", swift__seed=1)
    then = {"PRL_LEARNING_RATE": "2e-6", "PRL_EVALUATOR_MODEL": "judge"}
    done = world.prl(spec, "--wait", "--set", "swift.temperature=0.8", **then)
    first = Path(done.out.strip())
    (world.root / "base.yaml").unlink()
    home, world.root = world.root, world.root / "elsewhere"
    world.root.mkdir()
    (world.root / "prl-submit.toml").write_text("[profile.default.swift]\nepsilon = 0.3\n")
    now = {"PRL_BETA": "0.9", "PRL_LEARNING_RATE": "2e-6", "PRL_EVALUATOR_MODEL": "other"}
    words = ("rerun", first, "--set", "swift.seed=7")
    done = world.prl(*words, "--wait", **now)
    assert done.code == 0, done.err
    again = Path(done.out.strip())
    assert again.parent == first.parent
    unused = "note: PRL_BETA, PRL_EVALUATOR_MODEL, PRL_LEARNING_RATE are not used: "
    assert unused in done.err
    before, after = values(first), values(again)
    assert before.pop("extends") == "base.yaml"
    assert after.pop("workdir") == str(home)
    assert after.pop("output") == str(first.parent)
    assert (before.pop("swift.seed"), after.pop("swift.seed")) == (1, 7)
    assert {**before, "workdir": 0, "output": 0} == {**after, "workdir": 0, "output": 0}
    assert "export PRL_EVALUATOR_MODEL=judge" in (again / "launch.sh").read_text()
    assert (record(first)["rerun_of"], record(again)["rerun_of"]) == (None, str(first))
    assert f"rerun of    {first.name}\n" in world.prl("status", again).out
    # A run of a run has all values too, and a dry run creates nothing.
    dry = world.prl("rerun", again, "--dry-run")
    assert (dry.code, "--seed 7" in dry.out, dry.err) == (0, True, "")
    assert len(list(first.parent.glob("v*"))) == 2


def test_what_rerun_refuses(world: World) -> None:
    run, _ = world.run_to_end()
    assert world.prl("rerun", "v7").code == 3
    done = world.prl("rerun", "v0", "--set", "swift.num_generations=3")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"{run.name}: 1 error; nothing was created\n")
    (run / "plan.json").write_text("[]")
    assert world.prl("rerun", "v0").code == 2
    assert len(list(world.output.glob("v*"))) == 1


def test_a_secret_that_the_run_passed_on_is_needed_again(world: World) -> None:
    key = {"PRL_EVALUATOR_API_KEY": "s3cret"}
    done = world.prl(world.spec(), "--wait", **key)
    run = Path(done.out.strip())
    done = world.prl("rerun", "v0")
    assert (done.code, done.err.splitlines()[-2]) == (
        2,
        f"error: PRL_EVALUATOR_API_KEY is not set in your environment, and {run.name} had it",
    )
    assert world.prl("rerun", "v0", "--wait", **key).code == 0


def test_a_run_as_a_spec_takes_no_default_profile(world: World) -> None:
    """Its spec.yaml has what the profile said then."""
    world.run_to_end()
    (world.root / "prl-submit.toml").write_text(
        "[profile.default.swift]\nepsilon = 0.3\n[profile.low.swift]\nepsilon = 0.1\n"
    )
    for words, epsilon in (
        (("job.yaml",), 0.3),
        (("v0",), None),
        (("v0", "--profile", "low"), None),
    ):
        found = world.prl("explain", *words, "--json").json["values"]
        shown = {item["key"]: item["value"] for item in found}.get("swift.epsilon")
        assert shown == (0.1 if "--profile" in words else epsilon)


def test_a_folder_with_the_name_of_a_run(world: World) -> None:
    """A folder that is no run directory hides no run of its name."""
    world.run_to_end(name="jobs")
    (world.root / "jobs").mkdir()
    assert world.prl("check", "jobs").code == 0
    (world.root / "other").mkdir()
    assert "cannot be read: is a folder" in world.prl("check", "other").err

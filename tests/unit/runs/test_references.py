"""Which runs begin from files of other runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prl_submit.runs.plan_file import PlanFile, encode_plan
from prl_submit.runs.record import Predecessor
from prl_submit.runs.references import find_references
from tests.support.plans import plan_of
from tests.support.records import make_run

FIRST = "v1-20261122-210000"


def users(root: Path, *words: str, **fields: object) -> dict[str, dict[str, list[str]]]:
    """What a second run is found to need, whose ms-swift is told these words."""
    first = make_run(root / FIRST)
    (root / FIRST / "checkpoint-5").mkdir()
    (root / "latest").symlink_to(FIRST)
    second = make_run(root / "v2-20261122-220000", **fields)
    plan = plan_of("name: x\nswift: {rlhf_type: grpo}")
    plan = msgspec.structs.replace(plan, workdir=str(root), arguments=[list(words)])
    file = PlanFile(values=[], swift_version=None, argument_table="", git=None, plan=plan)
    for run in (first, second):
        (run.path / "plan.json").write_bytes(encode_plan(file))
    return find_references([first, second])


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--resume_from_checkpoint", "{root}/{first}/checkpoint-5"), "checkpoint-5"),
        (("--ref_adapters", "org/x", "{first}/checkpoint-5/"), "checkpoint-5"),
        (("--adapters=./{first}/checkpoint-5",), "checkpoint-5"),
        (("--model", "latest/checkpoint-5"), "checkpoint-5"),
        (("--model", "{first}/checkpoint-5/merged/deep"), "checkpoint-5"),
        (("--model", "/mnt/of/pods/{first}/checkpoint-7"), "checkpoint-7"),
        (("--dataset", "{first}/completions.jsonl"), ""),
    ],
)
def test_a_path_in_another_run(tmp_path: Path, words: tuple[str, ...], place: str) -> None:
    told = [word.format(root=tmp_path, first=FIRST) for word in words]
    assert users(tmp_path, *told) == {FIRST: {place: ["v2-20261122-220000"]}}


@pytest.mark.parametrize("word", ["org/name", "checkpoint-5", "v9-20261122-210000/x", "{first}x/y"])
def test_other_words(tmp_path: Path, word: str) -> None:
    assert users(tmp_path, "--model", word.format(first=FIRST)) == {}


@pytest.mark.parametrize("waits", [True, False])
def test_a_run_that_waits_for_another(tmp_path: Path, waits: bool) -> None:
    """It needs to see how the other one ended."""
    after = [Predecessor(run=str(tmp_path / FIRST))]
    found = users(tmp_path, "--beta", "0.1", after=after, is_waiting=waits)
    assert found == ({FIRST: {"": ["v2-20261122-220000"]}} if waits else {})

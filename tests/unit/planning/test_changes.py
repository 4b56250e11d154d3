"""What a resume with --set makes of the plan: the changed values, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from prl_submit.planning.changes import (
    Change,
    argument_of,
    changed_keys,
    changed_plan,
    changed_values,
    refusals,
)
from prl_submit.planning.plan import Plan, Resolved, resume_from
from tests.support.plans import planned

SPEC = """\
name: x
backend: slurm
environment: {env: {A: "1", B: "2"}}
slurm: {partition: gpu, qos: high}
swift: {rlhf_type: grpo, model: org/m, dataset: [a, b], max_steps: 5, save_total_limit: 2, seed: 1}
"""


def old_plan() -> Plan:
    """The plan as an earlier resume left it: with its checkpoint, and a word that no plan of now has."""
    plan = resume_from(planned(SPEC).plan, "/run/checkpoint-4")
    plan.arguments.append(["--word_of_an_older_version", "1"])
    return plan


def after(*sets: str) -> Plan:
    return changed_plan(old_plan(), planned(SPEC, sets=sets).plan, changed_keys(sets))


def differing(plan: Plan) -> dict[str, Any]:
    """The fields in which a plan differs from the old one."""
    old = old_plan()
    names = Plan.__struct_fields__
    return {
        name: getattr(plan, name) for name in names if getattr(plan, name) != getattr(old, name)
    }


def test_an_argument_changes_at_its_place() -> None:
    plan, old = after("swift.max_steps=9"), old_plan()
    expected = [["--max_steps", "9"] if g[0] == "--max_steps" else g for g in old.arguments]
    assert differing(plan) == {"arguments": expected}
    assert argument_of(plan, "max_steps") == "9"


def test_an_argument_comes_and_goes() -> None:
    assert (
        argument_of(after("swift.gradient_checkpointing=false"), "gradient_checkpointing")
        == "false"
    )
    plan = after("swift.save_total_limit=null")
    assert argument_of(plan, "save_total_limit") is None
    kept = [group for group in old_plan().arguments if group[0] != "--save_total_limit"]
    assert differing(plan) == {"arguments": kept}


def test_a_section_changes_in_one_field() -> None:
    found = differing(after("slurm.partition=long"))
    assert list(found) == ["slurm"]
    assert (found["slurm"].partition, found["slurm"].qos) == ("long", "high")


def test_the_environment_and_its_exports() -> None:
    found = differing(after("environment.env.B=3", "environment.env.C=4"))
    assert set(found) == {"environment", "exports"}
    assert found["environment"].env == {"A": "1", "B": "3", "C": "4"}
    assert found["exports"] == {"A": "1", "B": "3", "C": "4"}


def test_values_and_what_changed() -> None:
    sets = (
        "swift.max_steps=9",
        "swift.save_total_limit=null",
        "swift.seed=1",
        "slurm.extra.comment=x",
    )
    old, new = planned(SPEC), planned(SPEC, sets=sets)
    values, changes = changed_values(old.values, new.values, changed_keys(sets))
    assert changes == [
        Change("swift.max_steps", 5, 9),
        Change("swift.save_total_limit", 2, None),
        Change("slurm.extra.comment", None, "x"),
    ]
    found = {item.key: item for item in values}
    assert found["swift.max_steps"] == Resolved("swift.max_steps", 9, "flag", "--set at resume")
    assert "swift.save_total_limit" not in found
    assert found["swift.seed"] == {item.key: item for item in old.values}["swift.seed"]


def test_refusals_name_the_key_and_the_reason_once() -> None:
    problems = planned(SPEC, sets=("swift.sead=1",)).problems
    assert "swift.sead" in {problem.key for problem in problems}
    (only,) = refusals(["swift.sead", "swift.seed", "swift.max_steps"], problems)
    assert (only.key, only.severity) == ("swift.seed", "error")


@pytest.mark.parametrize(
    ("sets", "keys"),
    [
        (("swift.max-steps=1", "swift.max_steps=2"), ["swift.max_steps"]),
        (("a", "=1", "a..b=1"), []),
        ((" restarts.max =1",), ["restarts.max"]),
    ],
)
def test_keys(sets: tuple[str, ...], keys: list[str]) -> None:
    assert changed_keys(sets) == keys

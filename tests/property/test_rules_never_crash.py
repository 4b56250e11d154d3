"""No rule raises, whatever numbers a job has. Other tests check that a rule reports what it should."""

from __future__ import annotations

import contextlib
import json
from functools import lru_cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from prl_submit.backends import load_options
from prl_submit.rules import all_rules
from prl_submit.rules.job import DoubtfulError
from prl_submit.spec.traits import BACKENDS
from prl_submit.swift.table import Table, load_table
from tests.support.plans import planned

VERSIONS = ("3.0.0", "3.3.0", "3.4.1", "3.8.3", "3.12.6", "4.0.0", "4.6.0")
TYPES = ("dpo", "orpo", "simpo", "kto", "cpo", "rm", "ppo", "grpo", "gkd")
SWITCHES = ("use_vllm", "streaming", "load_best_model_at_end", "whiten_rewards", "use_liger_kernel")
#: Arguments that make batches. They are drawn more often than others.
SIZES = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps",
    "generation_batch_size", "steps_per_generation", "num_generations", "num_generations_eval",
    "vllm_tensor_parallel_size", "sequence_parallel_size", "num_mini_batches", "num_infer_workers",
    "mini_batch_size", "save_steps", "eval_steps", "logging_steps", "max_completion_length",
)  # fmt: skip
INTS = st.one_of(
    st.integers(-6, 20), st.sampled_from((0, 1, 2**31, 2**63, 10**17, -(10**17), 10**18 - 1))
)
FLOATS = st.one_of(
    st.floats(), st.integers(-3, 3), st.sampled_from((".inf", "-.inf", ".nan", "1e308", "-1e308"))
)


@lru_cache
def table_of(version: str) -> Table:
    return load_table(version)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A release of ms-swift, and a spec with random numbers."""
    version = draw(st.sampled_from(VERSIONS))
    table = table_of(version)
    kinds = {name: argument.kind for name, argument in table.items() if not argument.many}
    numbers = [name for name, kind in kinds.items() if kind in ("int", "float")]
    sizes = [name for name in SIZES if kinds.get(name) in ("int", "float")]
    names = draw(st.lists(st.one_of(st.sampled_from(sizes), st.sampled_from(numbers)), max_size=8))
    swift: dict[str, Any] = {"rlhf_type": draw(st.sampled_from(TYPES)), "dataset": ["d"]}
    swift |= {name: draw(INTS if kinds[name] == "int" else FLOATS) for name in names}
    swift |= {name: draw(st.booleans()) for name in SWITCHES if draw(st.booleans())}
    if draw(st.booleans()):
        swift |= {"val_dataset": ["v"], "eval_strategy": draw(st.sampled_from(("steps", "epoch")))}
    resources = {"nodes": draw(INTS), "nproc_per_node": draw(INTS)}
    return version, {"name": "x", "backend": "slurm", "resources": resources, "swift": swift}


@settings(max_examples=400)
@given(jobs())
@example(
    (
        "4.6.0",
        {
            "name": "x",
            "resources": {"nproc_per_node": 1},
            "swift": {
                "rlhf_type": "grpo",
                "per_device_train_batch_size": 2,
                "num_generations": 2,
                "generation_batch_size": -4,
            },
        },
    )
)
def test_no_rule_raises(job: tuple[str, dict[str, Any]]) -> None:
    version, spec = job
    job_ = planned(json.dumps(spec), table=table_of(version)).job
    for rule in all_rules():
        try:
            list(rule(job_))
        except DoubtfulError:
            continue


@given(jobs(), st.sampled_from(sorted(BACKENDS)))
def test_no_backends_own_rule_raises(job: tuple[str, dict[str, Any]], backend: str) -> None:
    version, spec = job
    made = planned(json.dumps(spec), table=table_of(version), backend=backend)
    with contextlib.suppress(DoubtfulError):
        list(load_options(backend).check_section(made.job, made.plan))

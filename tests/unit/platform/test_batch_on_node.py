"""`prl_check_batch` of launch.lib.sh says of a batch what the rules say where the spec states the processes."""

from __future__ import annotations

import random
import shlex
import subprocess
from pathlib import Path

import msgspec

from prl_submit.launch.render import render_launch, render_library
from prl_submit.rules import run_rules
from prl_submit.rules.batch import evaluation_batch, generation_batch
from prl_submit.rules.batch_on_node import batch_numbers
from prl_submit.rules.job import Job
from tests.support.plans import planned

ENDING = "; change the spec, or the number of nodes or GPUs in the platform's form"


def job_of(values: dict[str, object], nodes: int, processes: int, version: str | None) -> Job:
    lines = [f"  {name}: {value}" for name, value in values.items()]
    head = f"name: x\nbackend: platform\nresources: {{nodes: {nodes}, nproc_per_node: {processes}}}"
    job = planned("\n".join([head, "swift:", "  dataset: [d]", *lines])).job
    return msgspec.structs.replace(job, swift_version=version)


def of_rules(job: Job) -> str:
    problems = run_rules(job, [generation_batch, evaluation_batch])
    return "; ".join(f"{problem.key}: {problem.message}" for problem in problems)


def of_bash(folder: Path, jobs: list[Job]) -> list[str]:
    (folder / "launch.lib.sh").write_text(render_library(), encoding="utf-8")
    lines = ["prl_run_dir=. prl_workdir=. prl_token=t prl_node_rank=0 prl_swift_args=()"]
    lines += ["prl_nodes=1 prl_nproc_per_node=1", ". ./launch.lib.sh"]
    lines += ['prl_fail() { printf \'%s %s\' "$1" "$2"; }']
    for job in jobs:
        resources = job.spec.resources
        lines.append(f"prl_nodes={resources.nodes} prl_nproc_per_node={resources.nproc_per_node}")
        words = " ".join(map(shlex.quote, batch_numbers(job)))
        lines.append(f"prl_check_batch {words}; printf '\\0'")
    done = subprocess.run(
        ["/bin/bash", "-c", "\n".join(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\0")[:-1]


def compare(folder: Path, jobs: list[Job]) -> None:
    refused = 0
    for job, said in zip(jobs, of_bash(folder, jobs), strict=True):
        wanted = of_rules(job)
        if "are both set" in wanted:
            wanted = ""  # `check` says so, because the number of processes does not matter
        refused += bool(wanted)
        assert said == (f"78 {wanted}{ENDING}" if wanted else ""), job.swift
    assert 0 < refused < len(jobs)


def test_named_batches(tmp_path: Path) -> None:
    grpo = {"rlhf_type": "grpo", "eval_strategy": "no"}
    compare(
        tmp_path,
        [
            job_of({**grpo, "num_generations": 4}, 1, 4, None),
            job_of({**grpo, "num_generations": 3}, 2, 2, None),
            job_of({**grpo, "generation_batch_size": 12, "num_generations": 4}, 2, 4, None),
            job_of({**grpo, "generation_batch_size": 16, "steps_per_generation": 3}, 2, 4, None),
            job_of(
                {"rlhf_type": "grpo", "per_device_eval_batch_size": 3, "eval_strategy": "steps"},
                2,
                2,
                None,
            ),
            job_of({"rlhf_type": "dpo"}, 2, 2, None),
        ],
    )


def test_random_batches(tmp_path: Path) -> None:
    chance = random.Random(14)

    def some() -> Job:
        values: dict[str, object] = {"rlhf_type": chance.choice(["grpo", "grpo", "grpo", "gkd"])}
        choices: dict[str, list[object]] = {
            "num_generations": [2, 3, 4, 6, 8, 16],
            "per_device_train_batch_size": [1, 2, 3, 4, 8],
            "gradient_accumulation_steps": [1, 2, 3, 8],
            "steps_per_generation": [1, 2, 3, 4],
            "generation_batch_size": [4, 8, 12, 16, 24, 48, 64],
            "per_device_eval_batch_size": [1, 2, 4, 6],
            "num_generations_eval": [2, 3, 4],
            "eval_strategy": ["no", "steps"],
        }
        for name, numbers in choices.items():
            if chance.random() < 0.4:
                values[name] = chance.choice(numbers)
        version = chance.choice([None, "4.6.0", "4.1.0", "3.12.6", "3.8.0", "3.5.3", "3.3.1"])
        return job_of(values, chance.choice([1, 2, 3, 4]), chance.choice([1, 2, 4, 6, 8]), version)

    compare(tmp_path, [some() for _ in range(200)])


def test_a_number_that_is_wrong_already_is_not_checked_again() -> None:
    assert batch_numbers(job_of({"rlhf_type": "grpo", "num_generations": "many"}, 1, 1, None)) == []
    assert batch_numbers(job_of({"rlhf_type": "grpo", "num_generations": 10**12}, 1, 1, None)) == []


def test_launch_script_checks_what_the_spec_leaves_open() -> None:
    swift = (
        "swift: {model: m, rlhf_type: grpo, dataset: [d], num_generations: 3, eval_strategy: 'no'}"
    )
    spec = f"name: x\nbackend: platform\nrestarts: {{max: 1}}\n{swift}\n"
    line = "prl_check_batch num_generations=3 per_device_train_batch_size=1 gradient_accumulation_steps=1\n"
    made = planned(spec)
    assert [problem for problem in made.problems if problem.severity == "error"] == []
    assert line in render_launch(made.plan, token="t")
    stated = planned(f"{spec}resources: {{nodes: 2, nproc_per_node: 2}}\n")
    assert "num_generations" in str(stated.problems)
    assert "prl_check_batch" not in render_launch(stated.plan, token="t")

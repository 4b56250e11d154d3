"""check and a real ms-swift on many random GRPO jobs: where their verdicts differ, and how often.

usage: python -m tests.training.differential --folder DIR [--python PYTHON] [--count 500] [--seed 1] [--run]

PYTHON's environment says which ms-swift is asked; its parser and `__post_init__` answer
(swift_verdicts.py). With --run (4.x alone) those that it accepts are trained for a step, so that what
check refuses is seen to fail. Prints each difference as a line of JSON, then the counts.

DIR is filled by `tests.training.conftest.fill_folder`. 500 jobs take 2 to 4 minutes, with --run 10 more.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prl_submit.errors import Problem
from prl_submit.inputs import check_inputs
from prl_submit.inputs.local_files import check_presence
from prl_submit.planning.plan import Context, Planned
from prl_submit.swift.table import Table, load_table
from tests.support.plans import planned
from tests.training.configurations import SHORT, Configuration, argv, spec
from tests.training.random_jobs import random_jobs

#: Problems that check reports and that ms-swift finds only after `__post_init__`, and the code that finds
#: them.
LATER = (
    (r"\w+: must be (at least|above|from) .*", "torch's optimisers and loaders, the first step"),
    (r"max_length: .*", "ms-swift's data: no row is left"),
    (r"num_generations: must be greater than 1 .*", "the trainer, or a division by zero"),
    (r"num_generations: .* does not divide .*", "before 3.5 grpo_trainer `__init__`"),
    (r"num_labels: .*|task_type: .* is not for .*", "the first step: a classifier has no logits"),
    (r"loss_type: .* is not a loss of .*", "the first step: grpo_trainer `_compute_loss`"),
    (r"multi_turn_scheduler: .*", "rollout_mixin `_prepare_scheduler`"),
    (r"reward_(funcs|weights|model_plugin): .*", "grpo_trainer `_prepare_rewards`"),
    (r"rlhf_type: grpo has no reward.*", "before 4.4 grpo_trainer `__init__`"),
    (r"(reward|teacher)_model: .*", "pipelines/train/rlhf `_prepare_single_model`"),
    (r"(loss_scale|agent_template|attn_impl|template): .* is not known .*", "template and model"),
    (r"(lr_scheduler_\w+|optim_args|optim): .*", "the trainer's optimiser and schedule"),
    (r"streaming: needs max_steps.*", "transformers Trainer `__init__`"),
    (r"sequence_parallel_size: .* does not divide the world .*", "sequence_parallel"),
    (r"(tuner|train)_type: .* is not known", "pipelines/train/tuner `prepare_adapter`"),
    (r"(target_\w+|lora_\w+|init_weights|lisa_\w+): .*", "peft, callbacks/lisa"),
    (r"report_to: .*", "transformers `get_reporting_integration_callbacks`"),
    (r"(callbacks|optimizer): .* is not known", "trainers/mixin"),
    (r"eval_dataset: .*|split_dataset_ratio: .*", "the data and the evaluation"),
    (r"(dataset|val_dataset): .*", "the data is loaded after the arguments are read"),
    (r"vllm_(tensor_parallel_size|gpu_memory_utilization): .*", "vLLM, which is not here"),
    (r"cached_\w+: .*|adapters: .*|ref_adapters: .*", "pipelines/train"),
    (r"soft_cache_length: .*", "rewards/orm SoftOverlong"),
    (r"deepspeed: .* in the configuration is not .*", "DeepSpeed, which is not here"),
    (r"\w+: is not JSON: .*", "never: since 3.9 ms-swift guesses what was meant"),
)
#: Refusals of ms-swift because a package is missing. `inputs.packages` checks packages, but not for these
#: jobs, whose environment is not this one.
PACKAGES = r"swanlab|evalscope|jieba|No package metadata"

ASK = Path(__file__).with_name("swift_verdicts.py")


class Compared(NamedTuple):
    """One job: the problems of check, and ms-swift's error. `where`: parser, arguments or run."""

    job: Configuration
    ours: list[Problem]
    theirs: str | None
    where: str

    @property
    def is_false_alarm(self) -> bool:
        """True if check refuses a job that ms-swift accepts and does not refuse later either."""
        return self.theirs is None and any(not is_later(problem) for problem in self.ours)

    @property
    def is_missed(self) -> bool:
        """True if check accepts a job that ms-swift refuses."""
        if self.theirs is None or re.search(PACKAGES, self.theirs):
            return False
        return not self.ours

    def describe(self) -> dict[str, Any]:
        """The job and both answers, for a line of JSON."""
        return {
            "number": self.job.number,
            "world": self.job.world,
            "ours": [f"{p.key}: {p.message}" for p in self.ours],
            "theirs": self.theirs,
            "where": self.where,
            "swift": self.job.swift,
        }


def is_later(problem: Problem) -> bool:
    """True if ms-swift finds this problem only after it has read its arguments."""
    line = f"{(problem.key or '').removeprefix('swift.')}: {problem.message}"
    return any(re.match(pattern, line) for pattern, _ in LATER)


def planned_in(folder: Path, job: Configuration, table: Table) -> Planned:
    """The job's plan as `check` makes it in that folder, without a file for the spec."""
    return planned(spec(job), table=table, context=Context(cwd=str(folder), home=str(folder)))


def errors_of(made: Planned, folder: Path) -> list[Problem]:
    """The errors that `check` reports."""
    problems = [*made.problems, *check_presence(made)]
    problems += check_inputs(made.job, str(folder))
    return [problem for problem in problems if problem.severity == "error"]


def words_of(job: Configuration, made: Planned) -> list[str]:
    """The job's command line: the written values and those that prl-submit adds."""
    written = {f"--{name}" for name in job.swift}
    own = [word for group in made.plan.arguments if group[0] not in written for word in group]
    return argv(job.swift) + own


def compare(
    jobs: list[Configuration], table: Table, folder: Path, python: str, *, run: bool = False
) -> list[Compared]:
    """The answers of check and of ms-swift for each job."""
    plans = [planned_in(folder, job, table) for job in jobs]
    ours = [errors_of(made, folder) for made in plans]
    questions = [
        {"argv": words_of(job, made), "world": job.world}
        for job, made in zip(jobs, plans, strict=True)
    ]
    answers = answers_of(questions, folder, python)
    compared = [
        Compared(job, problems, answer["error"], answer.get("where", "arguments"))
        for job, problems, answer in zip(jobs, ours, answers, strict=True)
    ]
    return list(_with_runs(compared, table, folder, python)) if run else compared


def _with_runs(
    compared: list[Compared], table: Table, folder: Path, python: str
) -> Iterator[Compared]:
    """Ask again about accepted jobs, now with a training of one step in one process."""
    short = [
        Configuration(one.job.number, {**SHORT, **one.job.swift, "max_steps": "1"}, 1)
        for one in compared
        if one.theirs is None
    ]
    plans = [planned_in(folder, job, table) for job in short]
    questions = [
        {"argv": words_of(job, made), "world": 1, "run": True}
        for job, made in zip(short, plans, strict=True)
    ]
    answers = dict(
        zip((job.number for job in short), answers_of(questions, folder, python), strict=True)
    )
    changed = {job.number: (job, made) for job, made in zip(short, plans, strict=True)}
    for one in compared:
        if one.theirs is not None:
            yield one
            continue
        job, made = changed[one.job.number]
        answer = answers[job.number]
        yield Compared(job, errors_of(made, folder), answer["error"], answer.get("where", "run"))


def answers_of(questions: list[dict[str, Any]], folder: Path, python: str) -> list[dict[str, Any]]:
    """ms-swift's answers. Jobs with the same number of processes share one process of ms-swift."""
    order = sorted(range(len(questions)), key=lambda index: questions[index]["world"])
    text = "".join(json.dumps(questions[index]) + "\n" for index in order)
    with (folder / "stderr").open("wb") as stderr:
        done = subprocess.run(
            [python, str(ASK)], cwd=folder, input=text.encode(), stdout=subprocess.PIPE,
            stderr=stderr, check=False,
        )  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(questions), (folder / "stderr").read_text()[-3000:]
    answers: list[dict[str, Any]] = [{} for _ in questions]
    for index, line in zip(order, lines, strict=True):
        answers[index] = json.loads(line)
    return answers


def version_of(python: str) -> str:
    """The version of ms-swift in a Python's environment."""
    ask = "import importlib.metadata as m; print(m.version('ms-swift'))"
    done = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    """Print the jobs on which the answers differ, and their numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", action="store_true")
    options = parser.parse_args()
    version = version_of(options.python)
    table = load_table(version)
    jobs = random_jobs(table, options.count, options.seed)
    compared = compare(jobs, table, options.folder, options.python, run=options.run)
    for one in compared:
        if one.is_false_alarm or one.is_missed:
            print(json.dumps(one.describe(), ensure_ascii=False))  # noqa: T201
    refused = sum(one.theirs is not None for one in compared)
    alarms = sum(one.is_false_alarm for one in compared)
    missed = sum(one.is_missed for one in compared)
    later = sum(one.theirs is None and bool(one.ours) for one in compared) - alarms
    print(  # noqa: T201
        f"ms-swift {version}: {len(compared)} jobs, {refused} refused; by check alone {alarms}, by "
        f"ms-swift alone {missed}; {later} that ms-swift refuses later"
    )


if __name__ == "__main__":
    main()

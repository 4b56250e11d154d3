"""The numbers from which launch.sh checks GRPO's batches when only the node knows how many processes there are.

`prl_check_batch` of templates/platform_variables.lib.sh computes with them as the rules `generation_batch` and
`evaluation_batch` do. A test compares the messages.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.rules.batch import has_sizes, is_taught, two_sizes
from prl_submit.rules.evaluation import evaluates
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.rules.vllm import GENERATING

#: Bash computes with 64 bits. A number above this one is a mistake of another kind.
_MOST = 1_000_000
#: In place of a number: gradient_accumulation_steps as ms-swift chooses it, so that a step has about 16 rows.
ABOUT_16_ROWS = "about-16-rows"


def batch_numbers(job: Job) -> list[str]:
    """`NAME=NUMBER` for `prl_check_batch`. Empty if there is nothing to check, or a number is wrong already."""
    try:
        if two_sizes(job):
            return []
        found = dict([*_of_generation(job), *_of_evaluation(job)])
    except (DoubtfulError, TypeError):
        return []
    numbers = [value for value in found.values() if isinstance(value, int)]
    if not all(0 < number <= _MOST for number in numbers):
        return []
    return [f"{name}={value}" for name, value in found.items()]


def _of_generation(job: Job) -> Iterator[tuple[str, int | str]]:
    """The factors of the generation batch; see the rule `generation_batch`."""
    is_grpo = job.rlhf_type == "grpo"
    if job.rlhf_type not in GENERATING or not (is_grpo or job.since("4.2")):
        return
    group = job.get("num_generations", 8) if is_grpo else 1
    if (is_grpo and group <= 1 and not (group == 1 and is_taught(job))) or not has_sizes(job):
        return
    yield "num_generations", group
    yield "per_device_train_batch_size", job.get("per_device_train_batch_size", 1)
    total = job.get("generation_batch_size", None)
    steps = job.get("steps_per_generation", None)
    if total is not None:
        yield "generation_batch_size", total
    if steps is not None:
        yield "steps_per_generation", steps if total is not None or job.since("3.4") else 1
    elif total is None:
        yield "gradient_accumulation_steps", _accumulation(job)


def _accumulation(job: Job) -> int | str:
    """gradient_accumulation_steps; ABOUT_16_ROWS if ms-swift chooses by the number of processes."""
    if not job.since("3.4"):
        return 1  # then grpo_trainer counts one step only
    default = 1 if job.rlhf_type == "grpo" and job.since("3.7") else ABOUT_16_ROWS
    steps: int | str = job.get("gradient_accumulation_steps", default)
    return steps


def _of_evaluation(job: Job) -> Iterator[tuple[str, int | str]]:
    """The factors of the evaluation batch; see the rule `evaluation_batch`."""
    if job.rlhf_type != "grpo" or job.get("num_generations", 8) <= 1 or not evaluates(job):
        return
    yield "num_generations", job.get("num_generations", 8)
    if job.get("num_generations_eval", None):
        yield "num_generations_eval", job.get("num_generations_eval", None)
    yield "per_device_eval_batch_size", job.get("per_device_eval_batch_size", 1)

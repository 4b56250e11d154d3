"""GRPO's batch arithmetic, as ms-swift does it."""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from prl_submit.divisors import around_multiples, around_sizes, divisors, listed, nearest
from prl_submit.errors import Problem
from prl_submit.job import Job

ONE_TOO_MANY = "leave one of generation_batch_size and steps_per_generation out"


def generation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 args_mixin: generation batch divisible by num_generations, and the sizes agree."""
    if job.get("rlhf_type", None) != "grpo":
        return
    group = job.get("num_generations", 8)
    taught = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    if group == 1 and taught:
        return  # distillation compares with the teacher, not within a group
    if group <= 1:
        yield job.problem(
            "swift.num_generations",
            f"must be greater than 1 for GRPO, found {group}",
            "GRPO compares the completions of one prompt with each other; use 2 or more",
        )
        return
    device = job.get("per_device_train_batch_size", 1)
    for name in (
        "per_device_train_batch_size",
        "steps_per_generation",
        "gradient_accumulation_steps",
    ):
        value = job.get(name, None)
        if value is not None and value < 1:
            yield job.problem(
                f"swift.{name}", f"must be at least 1, found {value}", "use 1 or more"
            )
            return
    batch = device * job.world
    sizes = _batch_sizes(job, batch)
    if isinstance(sizes, Problem):
        yield sizes
    elif sizes[0] % group:
        yield _indivisible(job, device, group, *sizes)


def _batch_sizes(job: Job, batch: int) -> tuple[int, int, str] | Problem:
    """Generation batch, steps per generation, and the name the steps come from."""
    total = job.get("generation_batch_size", None)
    steps = job.get("steps_per_generation", None)
    formula = f"per_device_train_batch_size x {job.world_words} = {batch}"
    if total is None:
        name = "steps_per_generation" if steps is not None else "gradient_accumulation_steps"
        steps = steps if steps is not None else job.get("gradient_accumulation_steps", 1)
        return batch * steps, steps, name
    if steps is not None and total != batch * steps:
        return job.problem(
            "swift.generation_batch_size",
            f"{total} is not {formula} x steps_per_generation {steps} = {batch * steps}",
            ONE_TOO_MANY,
        )
    if total < 1 or total % batch:
        works = around_multiples(total, lcm(batch, job.get("num_generations", 8)))
        return job.problem(
            "swift.generation_batch_size",
            f"{total} is not a multiple of {formula}",
            f"these work: {listed(works)}",
        )
    name = "generation_batch_size" if steps is None else "steps_per_generation"
    return total, total // batch, name


def _indivisible(
    job: Job, device: int, group: int, total: int, steps: int, steps_name: str
) -> Problem:
    batch = device * job.world
    formula = (
        f"per_device_train_batch_size {device} x nproc_per_node "
        f"{job.spec.resources.nproc_per_node} x nodes {job.spec.resources.nodes} x "
        f"steps_per_generation {steps}"
    )
    if steps_name != "steps_per_generation":
        formula += f" (from {steps_name})"
    groups = [n for n in divisors(total) if n > 1]
    works = [f"num_generations {listed(nearest(groups, group))}"] if groups else []
    if job.get("generation_batch_size", None) is None:
        sizes = around_sizes(device, job.world * steps, group)
        works.append(f"per_device_train_batch_size {listed(sizes)}")
    elif steps_name == "generation_batch_size":  # it fixes the product, whatever its factors
        works.append(f"{steps_name} {listed(around_multiples(total, lcm(batch, group)))}")
    hint = f"these work: {', or '.join(works)}" if works else ONE_TOO_MANY
    return job.problem(
        "swift.num_generations",
        f"{group} does not divide the generation batch {total} = {formula}",
        hint,
    )


def evaluation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 args_mixin, the eval twin; only where there is something to evaluate on."""
    if job.get("rlhf_type", None) != "grpo" or not _evaluates(job):
        return
    name = "num_generations_eval" if job.get("num_generations_eval", None) else "num_generations"
    group = job.get(name, 8)
    device = job.get("per_device_eval_batch_size", 1)
    if group <= 1 or device < 1:
        return
    total = device * job.world
    if total % group:
        sizes = around_sizes(device, job.world, group)
        groups = nearest(divisors(total), group)
        yield job.problem(
            f"swift.{name}",
            f"{group} does not divide the evaluation batch {total} = per_device_eval_batch_size "
            f"{device} x {job.world_words}",
            f"these work: per_device_eval_batch_size {listed(sizes)}, or num_generations_eval "
            f"{listed(groups)}, or eval_strategy no",
        )


def _evaluates(job: Job) -> bool:
    strategy = job.get("eval_strategy", job.get("save_strategy", "steps"))
    has_data = job.get("val_dataset", None) or job.get("split_dataset_ratio", 0) > 0
    return strategy != "no" and bool(has_data or job.get("eval_dataset", None))

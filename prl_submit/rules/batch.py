"""Batch arithmetic, as ms-swift and trl do it."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, lcm

from prl_submit.errors import Problem
from prl_submit.rules.divisors import around_multiples, around_sizes, divisors, listed, nearest
from prl_submit.rules.evaluation import evaluates
from prl_submit.rules.job import Job
from prl_submit.rules.vllm import GENERATING

ONE_TOO_MANY = "leave one of generation_batch_size and steps_per_generation out"


#: What counts and cannot be less than one, with the types that look at it (none: all).
_SIZES = (
    ("per_device_train_batch_size", ()),
    ("gradient_accumulation_steps", ()),
    ("steps_per_generation", GENERATING),
)


def sizes(job: Job) -> Iterator[Problem]:
    """At least one of everything that is multiplied.

    ms-swift 4.6.0 trainers/arguments divides by the batch size, args_mixin refuses
    steps_per_generation 0, torch's DataLoader a batch of none; -1 accumulation steps train nothing.
    """
    for name, types in _SIZES:
        value = job.get(name, None)
        if value is not None and value < 1 and (not types or job.rlhf_type in types):
            yield job.refuse(name, f"must be at least 1, found {value}", "use 1 or more")


def generation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 args_mixin `_init_generation_batch_params` (gkd since 4.2; before 3.11 trl's).

    The sizes agree, and for GRPO num_generations divides their product; it may be 1 only with a
    teacher (rlhf_args `_check_teacher`, since 4.4).
    """
    if job.rlhf_type not in GENERATING or (job.rlhf_type == "gkd" and not job.since("4.2")):
        return
    group = job.get("num_generations", 8) if job.rlhf_type == "grpo" else 1
    if job.rlhf_type == "grpo" and group <= 1 and not (group == 1 and _taught(job)):
        yield job.refuse(
            "num_generations",
            f"must be greater than 1 for GRPO, found {group}",
            "GRPO compares the completions of one prompt with each other; use 2 or more",
        )
        return
    if any(job.get(name, 1) < 1 for name, _ in _SIZES):
        return  # said already
    device = job.get("per_device_train_batch_size", 1)
    batch = device * job.world
    parts = _batch_sizes(job, batch)
    if isinstance(parts, Problem):
        yield parts
    elif parts[0] % group:
        yield _indivisible(job, device, group, *parts)


def _taught(job: Job) -> bool:
    """Distillation compares with the teacher, not within a group."""
    named = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    return bool(named) and job.since("4.4")


def _batch_sizes(job: Job, batch: int) -> tuple[int, int, str] | Problem:
    """Generation batch, steps per generation, and the name the steps come from."""
    total = job.get("generation_batch_size", None)
    steps = job.get("steps_per_generation", None)
    formula = f"per_device_train_batch_size x {job.world_words} = {batch}"
    if total is None:
        name = "steps_per_generation" if steps is not None else "gradient_accumulation_steps"
        steps = steps if steps is not None else accumulation(job)
        if not job.since("3.4"):
            steps = 1  # grpo_trainer counted one step alone
        return batch * steps, steps, name
    if steps is not None and not job.since("3.11"):
        message = "and steps_per_generation are both set; before ms-swift 3.11 only one may be"
        return job.refuse("generation_batch_size", message, ONE_TOO_MANY)
    if steps is not None and total != batch * steps:
        return job.refuse(
            "generation_batch_size",
            f"{total} is not {formula} x steps_per_generation {steps} = {batch * steps}",
            ONE_TOO_MANY,
        )
    if total < 1 or total % batch:
        group = job.get("num_generations", 8) if job.rlhf_type == "grpo" else 1
        works = around_multiples(total, lcm(batch, group))
        return job.refuse(
            "generation_batch_size",
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
    return job.refuse(
        "num_generations",
        f"{group} does not divide the generation batch {total} = {formula}",
        hint,
    )


def accumulation(job: Job) -> int:
    """gradient_accumulation_steps; the default makes about 16 rows a step, for GRPO it is 1.

    ms-swift 4.6.0 trainers/arguments `__post_init__`; GRPO's own since 3.7, rlhf_args `_set_default`.
    """
    default = 1
    if job.rlhf_type != "grpo" or not job.since("3.7"):
        device = job.get("per_device_train_batch_size", 1)
        default = max(1, ceil(16 / max(device, 1) / job.world))
    return int(job.get("gradient_accumulation_steps", default))


def evaluation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.1.1 args_mixin (before: grpo_trainer), the eval twin, where there is data for it."""
    if job.rlhf_type != "grpo" or job.get("num_generations", 8) <= 1 or not evaluates(job):
        return
    name = "num_generations_eval" if job.get("num_generations_eval", None) else "num_generations"
    group = job.get(name, 8)
    device = job.get("per_device_eval_batch_size", 1)
    if group < 1 or device < 1:
        return
    total = device * job.world
    if total % group:
        works = around_sizes(device, job.world, group)
        groups = nearest(divisors(total), group)
        yield job.refuse(
            name,
            f"{group} does not divide the evaluation batch {total} = per_device_eval_batch_size "
            f"{device} x {job.world_words}",
            f"these work: per_device_eval_batch_size {listed(works)}, or "
            + (f"num_generations_eval {listed(groups)}, or " if job.since("3.12") else "")
            + "eval_strategy no",
        )


def kto_batch(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.0 pipelines/train/kto `prepare_kto_dataset`: its KL term needs two rows."""
    if job.rlhf_type != "kto" or "apo_zero_unpaired" in job.many("loss_type"):
        return
    if job.since("4.0") and job.get("gradient_accumulation_steps", None) is None:
        # The default is set in the trainer's own copy of the arguments, and read here before.
        yield job.refuse(
            "gradient_accumulation_steps",
            "is not set; ms-swift's kto multiplies with it before it has a default",
            "set it, 1 for none",
        )
        return
    device = job.get("per_device_train_batch_size", 1)
    steps = accumulation(job)
    if device * job.world * steps == 1:
        yield job.refuse(
            "per_device_train_batch_size",
            f"the whole batch is 1 = per_device_train_batch_size 1 x {job.world_words} x "
            "gradient_accumulation_steps 1; kto's KL term compares rows with each other",
            "these work: per_device_train_batch_size 2, or gradient_accumulation_steps 2",
        )


def ppo_batch(job: Job) -> Iterator[Problem]:
    """Source: trl 0.29 ppo_trainer: mini batches are whole, and whitening needs 8 rows in each."""
    if job.rlhf_type != "ppo":
        return
    device, steps = job.get("per_device_train_batch_size", 1), accumulation(job)
    if device < 1 or steps < 1:
        return
    parts, local = job.get("num_mini_batches", 1), device * steps
    formula = (
        f"{local} = per_device_train_batch_size {device} x gradient_accumulation_steps {steps}"
    )
    if parts < 1 or local % parts:
        yield job.refuse(
            "num_mini_batches",
            f"{parts} does not divide the batch of each process {formula}",
            f"these work: {listed(nearest(divisors(local), parts))}",
        )
    elif job.get("whiten_rewards", False) and local // parts < 8:
        yield job.refuse(
            "whiten_rewards",
            f"needs 8 rows in each mini batch, found {local // parts} = {formula} / "
            f"num_mini_batches {parts}",
            f"use gradient_accumulation_steps {8 * parts}, or set it false",
        )


RULES = (sizes, generation_batch, evaluation_batch, kto_batch, ppo_batch)

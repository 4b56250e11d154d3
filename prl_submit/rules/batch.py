"""Rules on batch sizes: the generation batch, the evaluation batch, and the batches of KTO and PPO."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, lcm

from prl_submit.errors import Problem
from prl_submit.rules.divisors import around_multiples, around_sizes, divisors, listed, nearest
from prl_submit.rules.evaluation import evaluates
from prl_submit.rules.job import Job
from prl_submit.rules.vllm import GENERATING

ONE_TOO_MANY = "remove generation_batch_size or steps_per_generation"


#: Numbers that must be at least 1, with the rlhf types that read them (empty: all types).
_SIZES = (
    ("per_device_train_batch_size", ()),
    ("gradient_accumulation_steps", ()),
    ("steps_per_generation", GENERATING),
)


def sizes(job: Job) -> Iterator[Problem]:
    """Every factor of the batch must be at least 1.

    ms-swift 4.6.0 trainers/arguments divides by the batch size, args_mixin refuses steps_per_generation 0,
    and torch's DataLoader refuses an empty batch. With -1 accumulation steps nothing is trained.
    """
    for name, types in _SIZES:
        value = job.get(name, None)
        if value is not None and value < 1 and (not types or job.rlhf_type in types):
            yield job.refuse(name, f"must be at least 1, found {value}", "use 1 or more")


def generation_batch(job: Job) -> Iterator[Problem]:
    """The sizes of the generation batch must agree, and for GRPO num_generations must divide it.

    num_generations may be 1 only with a teacher (rlhf_args `_check_teacher`, since 4.4). Source: ms-swift
    4.6.0 args_mixin `_init_generation_batch_params`, which holds for gkd since 4.2; before 3.11 trl has it.
    """
    if job.rlhf_type not in GENERATING or (job.rlhf_type == "gkd" and not job.since("4.2")):
        return
    group = job.get("num_generations", 8) if job.rlhf_type == "grpo" else 1
    if job.rlhf_type == "grpo" and group <= 1 and not (group == 1 and is_taught(job)):
        yield job.refuse(
            "num_generations",
            f"must be greater than 1 for GRPO, found {group}",
            "GRPO compares the completions of one prompt with each other; use 2 or more",
        )
        return
    if not has_sizes(job):
        return  # the rule `sizes` reports it
    if told := two_sizes(job):
        yield told
        return
    device = job.get("per_device_train_batch_size", 1)
    batch = device * job.world
    parts = generation_sizes(job, batch)
    if isinstance(parts, Problem):
        yield parts
    elif parts[0] % group:
        yield _indivisible(job, device, group, *parts)


def has_sizes(job: Job) -> bool:
    """True if no factor of the batch is below 1."""
    return all(job.get(name, 1) >= 1 for name, _ in _SIZES)


def is_taught(job: Job) -> bool:
    """True if a teacher trains the job: then a completion is compared with the teacher, not with its group."""
    named = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    return bool(named) and job.since("4.4")


def two_sizes(job: Job) -> Problem | None:
    """The problem of a job that states the generation batch twice, which old releases refuse."""
    names = ("generation_batch_size", "steps_per_generation")
    if job.since("3.11") or any(job.get(name, None) is None for name in names):
        return None
    message = "and steps_per_generation are both set; before ms-swift 3.11 only one may be"
    return job.refuse("generation_batch_size", message, ONE_TOO_MANY)


def generation_sizes(job: Job, batch: int) -> tuple[int, int, str] | Problem:
    """The generation batch, the steps per generation, and the argument that the steps come from.

    `batch`: the rows of one step on all processes. Returns a problem instead if the sizes disagree.
    """
    total = job.get("generation_batch_size", None)
    steps = job.get("steps_per_generation", None)
    formula = f"per_device_train_batch_size x {job.world_words} = {batch}"
    if total is None:
        name = "steps_per_generation" if steps is not None else "gradient_accumulation_steps"
        steps = steps if steps is not None else accumulation(job)
        if not job.since("3.4"):
            steps = 1  # before 3.4 grpo_trainer counts one step only
        return batch * steps, steps, name
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
    """The problem of a group size that does not divide the generation batch, with sizes that work."""
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
    elif steps_name == "generation_batch_size":  # then other factors do not change the product
        works.append(f"{steps_name} {listed(around_multiples(total, lcm(batch, group)))}")
    hint = f"these work: {', or '.join(works)}" if works else ONE_TOO_MANY
    return job.refuse(
        "num_generations",
        f"{group} does not divide the generation batch {total} = {formula}",
        hint,
    )


def accumulation(job: Job) -> int:
    """gradient_accumulation_steps, or ms-swift's default: 1 for GRPO, else about 16 rows a step.

    Source: ms-swift 4.6.0 trainers/arguments `__post_init__`. GRPO has its own default since 3.7
    (rlhf_args `_set_default`).
    """
    default = 1
    if job.rlhf_type != "grpo" or not job.since("3.7"):
        device = job.get("per_device_train_batch_size", 1)
        default = max(1, ceil(16 / max(device, 1) / job.world))
    return int(job.get("gradient_accumulation_steps", default))


def evaluation_batch(job: Job) -> Iterator[Problem]:
    """For GRPO with an evaluation, the number of generations must divide the evaluation batch.

    Source: ms-swift >= 3.1.1 args_mixin, before that grpo_trainer.
    """
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
    """KTO needs at least two rows in a batch, because its KL term compares rows with each other.

    Source: ms-swift >= 3.0 pipelines/train/kto `prepare_kto_dataset`. The loss apo_zero_unpaired has no KL
    term. Since 4.0 that function reads gradient_accumulation_steps before ms-swift sets its default.
    """
    if job.rlhf_type != "kto" or "apo_zero_unpaired" in job.many("loss_type"):
        return
    if job.since("4.0") and job.get("gradient_accumulation_steps", None) is None:
        yield job.refuse(
            "gradient_accumulation_steps",
            "is not set, and ms-swift's kto reads it before it has a default",
            "set gradient_accumulation_steps: 1, or more",
        )
        return
    device = job.get("per_device_train_batch_size", 1)
    steps = accumulation(job)
    if device * job.world * steps == 1:
        yield job.refuse(
            "per_device_train_batch_size",
            f"the whole batch is 1 = per_device_train_batch_size 1 x {job.world_words} x "
            "gradient_accumulation_steps 1, but kto's KL term compares rows with each other",
            "these work: per_device_train_batch_size 2, or gradient_accumulation_steps 2",
        )


def ppo_batch(job: Job) -> Iterator[Problem]:
    """num_mini_batches must divide PPO's batch, and whiten_rewards needs 8 rows in each mini batch.

    Source: trl 0.29 ppo_trainer.
    """
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
            f"use gradient_accumulation_steps {8 * parts}, or set whiten_rewards: false",
        )


RULES = (sizes, generation_batch, evaluation_batch, kto_batch, ppo_batch)

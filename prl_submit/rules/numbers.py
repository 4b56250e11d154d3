"""Numbers that argparse takes and a library refuses later, some after the model is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

_SEEDS = 2**32 - 1
#: Argument, least, most, whether the most itself is too much, and who refuses it.
_RANGES = (
    ("learning_rate", 0, None, False),  # torch.optim: Invalid learning rate
    ("adam_beta1", 0, 1, True),  # torch.optim: Invalid beta parameter
    ("adam_beta2", 0, 1, True),
    ("adam_epsilon", 0, None, False),  # torch.optim: Invalid epsilon value
    ("dataloader_num_workers", 0, None, False),  # torch DataLoader
    ("seed", 0, _SEEDS, False),  # numpy.random.seed
    ("data_seed", 0, _SEEDS, False),
    ("dataset_num_proc", 1, None, False),  # datasets divides by it
    ("max_length", 1, None, False),  # ms-swift: no row is left, and the trainer gets None
)


def positive(job: Job) -> Iterator[Problem]:
    """Source: torch 2.13, numpy; ms-swift 4.6.0 for max_length. All types meet these."""
    for name, least, most, excluded in _RANGES:
        value = job.get(name, None)
        if value is None or not _is_read(job, name):
            continue
        too_much = most is not None and (value >= most if excluded else value > most)
        if value < least or too_much:
            limits = f"at least {least}" if most is None else f"from {least} to {most}"
            limits = limits.replace("to 1", "to less than 1") if excluded else limits
            yield job.refuse(name, f"must be {limits}, found {value}", "remove it or correct it")


def _is_read(job: Job, name: str) -> bool:
    """Whether the optimiser looks at the number; what is no optimiser's is always read.

    Source: transformers trainer_optimizer, before 5 Trainer `get_optimizer_cls_and_kwargs`: Adam's
    numbers go to the adamw_* optimisers, and its own Adafactor takes any learning rate. ms-swift's
    own optimisers (optimizer, use_galore, lorap_lr_ratio) are not followed.
    """
    if not name.startswith("adam_") and name != "learning_rate":
        return True
    own = job.get("optimizer", "default") != "default" or job.get("use_galore", False)
    if own or job.get("lorap_lr_ratio", None) or job.get("adafactor", False):
        return False
    optim = str(job.get("optim", "adamw_torch"))
    return optim != "adafactor" if name == "learning_rate" else optim.startswith("adamw_")


def completion_length(job: Job) -> int:
    """ms-swift 4.6.0 rlhf_args `_init_max_completion_length`: three names, the first that is set."""
    for name in ("response_length", "max_new_tokens", "max_completion_length"):
        value = job.get(name, None)
        if value:
            return int(value)
    return int(job.get("max_completion_length", 512))


def lengths(job: Job) -> Iterator[Problem]:
    """Source: transformers GenerationConfig `validate`: all types prepare one before they train."""
    longest = completion_length(job)
    if longest < 1:
        message = f"must be at least 1, found {longest}"
        yield job.refuse("max_completion_length", message, "512 is the default")


def sampling(job: Job) -> Iterator[Problem]:
    """Source: transformers logits processors, vLLM SamplingParams: what both refuse.

    ms-swift 4.6.0 grpo_trainer divides the logits by the temperature: with 0 the first gradient is
    not a number, and the training goes on.
    """
    if job.rlhf_type != "grpo":
        return
    temperature = job.get("temperature", 0.9)
    if temperature <= 0:
        message = f"must be above 0, found {temperature}; the logits are divided by it"
        yield job.refuse("temperature", message, "0.9 is the default")
    penalty = job.get("repetition_penalty", 1.0)
    if penalty <= 0:
        message = f"must be above 0, found {penalty}"
        yield job.refuse("repetition_penalty", message, "1 is none at all")


RULES = (positive, lengths, sampling)

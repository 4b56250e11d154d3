"""Rules on numbers that ms-swift's parser accepts and a library refuses later, some after loading the model."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

_SEEDS = 2**32 - 1
#: The argument, its least and greatest value (None: no limit), and whether the greatest value itself is
#: refused. The comments say who refuses it.
_RANGES = (
    ("learning_rate", 0, None, False),  # torch.optim: Invalid learning rate
    ("adam_beta1", 0, 1, True),  # torch.optim: Invalid beta parameter
    ("adam_beta2", 0, 1, True),
    ("adam_epsilon", 0, None, False),  # torch.optim: Invalid epsilon value
    ("dataloader_num_workers", 0, None, False),  # torch DataLoader
    ("seed", 0, _SEEDS, False),  # numpy.random.seed
    ("data_seed", 0, _SEEDS, False),
    ("dataset_num_proc", 1, None, False),  # datasets divides by it
    ("max_length", 1, None, False),  # ms-swift drops all rows, and the trainer gets None
)


def positive(job: Job) -> Iterator[Problem]:
    """Numbers with limits in all rlhf types. Source: torch 2.13, numpy; ms-swift 4.6.0 for max_length."""
    for name, least, most, excluded in _RANGES:
        value = job.get(name, None)
        if value is None or not _is_read(job, name):
            continue
        if most is None:
            too_much, limits = False, f"at least {least}"
        elif excluded:
            too_much, limits = value >= most, f"from {least} to less than {most}"
        else:
            too_much, limits = value > most, f"from {least} to {most}"
        if value < least or too_much:
            hint = f"remove {name} or correct it"
            yield job.refuse(name, f"must be {limits}, found {value}", hint)


def _is_read(job: Job, name: str) -> bool:
    """True if something reads the number. Only some optimisers read the numbers of an optimiser.

    Adam's numbers are for the adamw_* optimisers, and transformers' Adafactor accepts any learning rate.
    ms-swift's own optimisers (optimizer, use_galore, lorap_lr_ratio) are not examined. Source: transformers
    trainer_optimizer; before transformers 5, Trainer `get_optimizer_cls_and_kwargs`.
    """
    if not name.startswith("adam_") and name != "learning_rate":
        return True
    own = job.get("optimizer", "default") != "default" or job.get("use_galore", False)
    if own or job.get("lorap_lr_ratio", None) or job.get("adafactor", False):
        return False
    optim = str(job.get("optim", "adamw_torch"))
    return optim != "adafactor" if name == "learning_rate" else optim.startswith("adamw_")


def completion_length(job: Job) -> int:
    """The longest completion in tokens. Three arguments can set it, and the first that is set counts.

    Source: ms-swift 4.6.0 rlhf_args `_init_max_completion_length`.
    """
    for name in ("response_length", "max_new_tokens", "max_completion_length"):
        value = job.get(name, None)
        if value:
            return int(value)
    return int(job.get("max_completion_length", 512))


def lengths(job: Job) -> Iterator[Problem]:
    """A completion must have at least one token. All types make a GenerationConfig before they train.

    Source: transformers GenerationConfig `validate`.
    """
    longest = completion_length(job)
    if longest < 1:
        message = f"must be at least 1, found {longest}"
        yield job.refuse("max_completion_length", message, "512 is the default")


def sampling(job: Job) -> Iterator[Problem]:
    """For GRPO, temperature and repetition_penalty must be above 0.

    ms-swift 4.6.0 grpo_trainer divides the logits by the temperature. With 0 the first gradient is not a
    number, and the training goes on all the same. Source of both: transformers' logits processors, vLLM
    SamplingParams.
    """
    if job.rlhf_type != "grpo":
        return
    temperature = job.get("temperature", 0.9)
    if temperature <= 0:
        message = f"must be above 0, because the logits are divided by it; found {temperature}"
        yield job.refuse("temperature", message, "0.9 is the default")
    penalty = job.get("repetition_penalty", 1.0)
    if penalty <= 0:
        message = f"must be above 0, found {penalty}"
        yield job.refuse("repetition_penalty", message, "1 means no penalty")


RULES = (positive, lengths, sampling)

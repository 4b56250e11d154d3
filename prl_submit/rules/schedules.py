"""Learning rate schedules and optimisers: the keywords that they take, and those that they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest
from prl_submit.system.reading import decode_json

#: Source: transformers 4.47-5.19 optimization `get_…_schedule…`: what lr_scheduler_kwargs may hold.
#: constant and constant_with_warmup look at none; greedy takes what its class does.
KEYWORDS = {
    "linear": "last_epoch",
    "cosine": "num_cycles last_epoch",
    "cosine_with_restarts": "num_cycles last_epoch",
    "polynomial": "lr_end power last_epoch",
    "inverse_sqrt": "timescale last_epoch",
    "cosine_with_min_lr": "num_cycles last_epoch min_lr min_lr_rate",
    "cosine_warmup_with_min_lr": "num_cycles last_epoch min_lr min_lr_rate warmup_lr_rate",
    "warmup_stable_decay": (
        "num_decay_steps num_stable_steps warmup_type decay_type min_lr_ratio num_cycles last_epoch"
    ),
    # torch.optim.lr_scheduler ReduceLROnPlateau
    "reduce_lr_on_plateau": (
        "mode factor patience threshold threshold_mode cooldown min_lr eps verbose"
    ),
}
#: Which of them stand for the least learning rate: one, and not both.
_LEAST = ("min_lr", "min_lr_rate")


def keywords(job: Job) -> Iterator[Problem]:
    """Source: transformers optimization `get_scheduler`, called when the trainer begins."""
    chosen = str(job.get("lr_scheduler_type", "cosine"))
    given = _given(job)
    known = KEYWORDS.get(chosen, "").split()
    if given is None or not known:
        return
    for name in given:
        if name not in known:
            near = closest(name, known, 0.6)
            hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
            yield job.refuse("lr_scheduler_kwargs", f"{chosen} takes no {name}", hint)
    if "min_lr_rate" in known:
        yield from _least(job, chosen, [name for name in _LEAST if given.get(name) is not None])
    if chosen == "warmup_stable_decay" and "num_decay_steps" not in given:
        yield _missing(job, chosen, "num_decay_steps", '{"num_decay_steps": 100}')
    if chosen == "polynomial":
        yield from _polynomial(job, given)


def _given(job: Job) -> dict[str, Any] | None:
    """The keywords; None where they are in a file, or nearly JSON."""
    value = job.get("lr_scheduler_kwargs", None)
    if isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else {} if not value else None


def _least(job: Job, chosen: str, found: list[str]) -> Iterator[Problem]:
    if not found:
        yield _missing(job, chosen, "min_lr or min_lr_rate", '{"min_lr_rate": 0.1}')
    elif len(found) > 1:
        message = f"{chosen} takes min_lr or min_lr_rate, found both"
        yield job.refuse("lr_scheduler_kwargs", message, "keep one")


def _missing(job: Job, chosen: str, what: str, example: str) -> Problem:
    message = f"{chosen} needs {what} in lr_scheduler_kwargs"
    return job.refuse("lr_scheduler_type", message, f"such as lr_scheduler_kwargs: {example}")


def _polynomial(job: Job, given: dict[str, Any]) -> Iterator[Problem]:
    """Source: transformers optimization `get_polynomial_decay_schedule_with_warmup`."""
    end, rate = given.get("lr_end", 1e-7), job.get("learning_rate", None)
    if rate is None or not isinstance(end, (int, float)) or rate > end:
        return
    message = f"{rate} is not above lr_end {end}, where polynomial ends"
    yield job.refuse("learning_rate", message, "use a larger one, or a smaller lr_end")


def optimizer_words(job: Job) -> Iterator[Problem]:
    """Source: transformers trainer_optimizer `_parse_optim_args`, `_setup_low_rank_optimizer`.

    Before transformers 5 both were in Trainer `get_optimizer_cls_and_kwargs`.
    """
    text = job.get("optim_args", None)
    own = job.get("optimizer", "default") != "default" or job.get("use_galore", False)
    if own:
        return
    for part in str(text).replace(" ", "").split(",") if text else ():
        if part.count("=") != 1:
            hint = "such as optim_args: rank=64,scale=0.25"
            yield job.refuse("optim_args", f"expected NAME=VALUE,NAME=VALUE, found {part!r}", hint)
            break
    optim = str(job.get("optim", ""))
    if optim.startswith(("galore_", "apollo_")) and not job.get("optim_target_modules", None):
        hint = "such as optim_target_modules: all-linear"
        yield job.refuse("optim", f"{optim} needs optim_target_modules", hint)


RULES = (keywords, optimizer_words)

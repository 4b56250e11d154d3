"""Rules on the keywords of learning rate schedules and optimisers: which they accept and which they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest
from prl_submit.system.reading import decode_json

#: The keywords in lr_scheduler_kwargs that each schedule accepts (transformers 4.47-5.19 optimization
#: `get_…_schedule…`). constant and constant_with_warmup read none. greedy is left out: its class accepts
#: many.
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
#: The keywords for the least learning rate. A schedule needs one of them and refuses both together.
_LEAST = ("min_lr", "min_lr_rate")


def keywords(job: Job) -> Iterator[Problem]:
    """lr_scheduler_kwargs must have the keywords that the schedule needs, and no others.

    Source: transformers optimization `get_scheduler`, which runs when the training begins.
    """
    chosen = str(job.get("lr_scheduler_type", "cosine"))
    given = _given(job)
    known = KEYWORDS.get(chosen, "").split()
    if given is None or not known:
        return
    for name in given:
        if name not in known:
            near = closest(name, known, 0.6)
            hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
            yield job.refuse("lr_scheduler_kwargs", f"{chosen} has no keyword {name}", hint)
    if "min_lr_rate" in known:
        yield from _least(job, chosen, [name for name in _LEAST if given.get(name) is not None])
    if chosen == "warmup_stable_decay" and "num_decay_steps" not in given:
        yield _missing(job, chosen, "num_decay_steps", '{"num_decay_steps": 100}')
    if chosen == "polynomial":
        yield from _polynomial(job, given)


def _given(job: Job) -> dict[str, Any] | None:
    """The keywords; None if they are in a file or in text that is not JSON."""
    value = job.get("lr_scheduler_kwargs", None)
    if isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return None
    if not value:
        return {}
    return value if isinstance(value, dict) else None


def _least(job: Job, chosen: str, found: list[str]) -> Iterator[Problem]:
    """Problems with the keywords for the least learning rate; `found`: those that are set."""
    if not found:
        yield _missing(job, chosen, "min_lr or min_lr_rate", '{"min_lr_rate": 0.1}')
    elif len(found) > 1:
        message = f"{chosen} takes min_lr or min_lr_rate, found both"
        yield job.refuse("lr_scheduler_kwargs", message, "keep one of the two")


def _missing(job: Job, chosen: str, what: str, example: str) -> Problem:
    message = f"{chosen} needs {what} in lr_scheduler_kwargs"
    return job.refuse("lr_scheduler_type", message, f"such as lr_scheduler_kwargs: {example}")


def _polynomial(job: Job, given: dict[str, Any]) -> Iterator[Problem]:
    """`polynomial` ends at lr_end, so the learning rate must be above lr_end.

    Source: transformers optimization `get_polynomial_decay_schedule_with_warmup`.
    """
    end, rate = given.get("lr_end", 1e-7), job.get("learning_rate", None)
    if rate is None or not isinstance(end, (int, float)) or rate > end:
        return
    message = f"{rate} must be above lr_end {end}, where polynomial ends"
    yield job.refuse("learning_rate", message, "use a larger learning_rate, or a smaller lr_end")


def optimizer_words(job: Job) -> Iterator[Problem]:
    """optim_args has pairs NAME=VALUE, and GaLore and APOLLO need optim_target_modules.

    Source: transformers trainer_optimizer `_parse_optim_args`, `_setup_low_rank_optimizer`; before
    transformers 5, Trainer `get_optimizer_cls_and_kwargs`. ms-swift's own optimisers read neither.
    """
    if job.get("optimizer", "default") != "default" or job.get("use_galore", False):
        return
    text = str(job.get("optim_args", None) or "").replace(" ", "")
    wrong = [part for part in text.split(",") if part.count("=") != 1]
    if text and wrong:
        message = f"expected NAME=VALUE,NAME=VALUE, found {wrong[0]!r}"
        yield job.refuse("optim_args", message, "such as optim_args: rank=64,scale=0.25")
    optim = str(job.get("optim", ""))
    if optim.startswith(("galore_", "apollo_")) and not job.get("optim_target_modules", None):
        hint = "such as optim_target_modules: all-linear"
        yield job.refuse("optim", f"{optim} needs optim_target_modules", hint)


RULES = (keywords, optimizer_words)

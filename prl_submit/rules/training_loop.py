"""Rules on the training loop: precision, warm-up, saving, schedules, reports, callbacks, epochs."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import CALLBACKS, OPTIMIZERS
from prl_submit.rules.evaluation import whole
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: transformers 5.19 trainer_utils SchedulerType.
SCHEDULES = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr",
    "warmup_stable_decay", "greedy",
)  # fmt: skip
#: Schedules that the transformers of older ms-swift releases lack, and the first release that has them.
_NEWER_SCHEDULES = {"cosine_warmup_with_min_lr": "3.7", "greedy": "4.1"}
#: transformers 5.19 integration_utils INTEGRATION_TO_CALLBACK; ms-swift provides swanlab's.
REPORTS = (
    "azure_ml", "comet_ml", "mlflow", "neptune", "tensorboard", "trackio", "wandb", "codecarbon",
    "clearml", "dagshub", "flyte", "dvclive", "swanlab", "kubeflow",
)  # fmt: skip
#: ms-swift 4.6.0 sft_args `_init_swanlab`.
NOTIFICATIONS = ("lark", "dingtalk", "email", "discord", "wxwork", "slack")


def precision(job: Job) -> Iterator[Problem]:
    """fp16 and bf16 exclude each other.

    If one is not set, ms-swift derives it from torch_dtype: float16 and float32 mean fp16, bfloat16 means
    bf16. Before 3.3.1 ms-swift always derived both. Source: ms-swift 4.6.0 model_args
    `_init_mixed_precision`, transformers `_validate_args`.
    """
    if job.since("3.3.1"):
        yield from _both_halves(job)
    if job.get("fp16_full_eval", False) and job.get("bf16_full_eval", False):
        message = "and bf16_full_eval exclude each other"
        yield job.refuse("fp16_full_eval", message, "keep one of the two")


def _both_halves(job: Job) -> Iterator[Problem]:
    """A problem if both fp16 and bf16 are true, after torch_dtype has set what the user did not."""
    dtype = job.get("torch_dtype", None)
    from_dtype: dict[str, bool | None] = {"fp16": None, "bf16": None}
    if dtype is not None:
        is_half = dtype in ("float16", "float32")
        from_dtype = {"fp16": is_half, "bf16": not is_half}
    if not all(job.get(name, default) for name, default in from_dtype.items()):
        return
    given = [f"{name} true" for name in ("fp16", "bf16") if job.get(name, None)]
    if len(given) < 2:
        given.append(f"torch_dtype {dtype}, which sets the other one")
    name = "bf16" if job.get("bf16", None) else "fp16"
    message = f"fp16 and bf16 exclude each other, found {' and '.join(given)}"
    hint = "set torch_dtype: bfloat16 or float16, and remove fp16 and bf16"
    yield job.refuse(name, message, hint)


def warmup(job: Job) -> Iterator[Problem]:
    """warmup_steps is not negative, and warmup_ratio is a share from 0 to 1. Since 4.5 only one may be set.

    Source: ms-swift >= 4.5 trainers/arguments `_handle_hf_removed_args`, transformers `_validate_args`.
    """
    ratio, steps = job.get("warmup_ratio", 0), job.get("warmup_steps", 0)
    if steps < 0:
        yield job.refuse("warmup_steps", f"cannot be negative, found {steps}", "0 is the default")
    elif ratio and steps and job.since("4.5"):
        message = f"{ratio} and warmup_steps {steps} are both set"
        yield job.refuse("warmup_ratio", message, "keep one of the two")
    elif ratio < 0 or ratio >= (1 if job.since("4.5") else 1.0000001):
        message = f"must be a share of the steps, from 0 to less than 1; found {ratio}"
        yield job.refuse("warmup_ratio", message, "warmup_steps takes a number of steps")


def workers(job: Job) -> Iterator[Problem]:
    """dataloader_prefetch_factor needs worker processes that load data.

    Source: transformers `_validate_args`. If the number of workers is not set, ms-swift uses 1.
    """
    ahead = job.get("dataloader_prefetch_factor", None)
    if ahead is not None and job.get("dataloader_num_workers", None) == 0:
        message = "needs dataloader_num_workers above 0, found 0"
        hint = "remove dataloader_prefetch_factor, or set dataloader_num_workers: 1"
        yield job.refuse("dataloader_prefetch_factor", message, hint)


def saving(job: Job) -> Iterator[Problem]:
    """logging_steps is not 0, and save_steps is whole or a share below 1 of all steps.

    Source: transformers `_validate_args`.
    """
    if job.get("logging_strategy", "steps") == "steps" and job.get("logging_steps", 5) == 0:
        hint = "use 1 or more, or logging_strategy: 'no'"
        yield job.refuse("logging_steps", "cannot be 0", hint)
    if job.get("save_strategy", "steps") == "steps":
        yield from whole(job, "save_steps", job.get("save_steps", 500))


def schedule(job: Job) -> Iterator[Problem]:
    """lr_scheduler_type must be a known schedule. Source: transformers trainer_utils SchedulerType."""
    chosen = str(job.get("lr_scheduler_type", "cosine"))
    known = [n for n in SCHEDULES if job.since(_NEWER_SCHEDULES.get(n, "3.0"))]
    if chosen not in known and job.has_known_names:
        near = closest(chosen, known, 0.6)
        hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
        yield job.refuse("lr_scheduler_type", f"{chosen} is not known", hint)


def reports(job: Job) -> Iterator[Problem]:
    """report_to must name known trackers. `all` and `none` must be the only value.

    Source: transformers integration_utils `get_reporting_integration_callbacks`.
    """
    names = job.many("report_to")
    if (len(names) == 1 and names[0] in ("all", "none")) or not job.has_known_names:
        return
    for name in names:
        if name not in REPORTS:
            near = closest(str(name), REPORTS, 0.6)
            hint = f"did you mean {near}?" if near else f"these work: {', '.join(REPORTS)}"
            alone = " beside others" if name in ("all", "none") else ""
            yield job.refuse("report_to", f"{name} is not known{alone}", hint)


def notifications(job: Job) -> Iterator[Problem]:
    """swanlab_notification_method must be known, and email needs four more arguments.

    Source: ms-swift >= 3.12 sft_args `_init_swanlab`.
    """
    method = job.get("swanlab_notification_method", None)
    if method is None or "swanlab" not in job.many("report_to"):
        return
    if method not in NOTIFICATIONS:
        hint = f"these work: {', '.join(NOTIFICATIONS)}"
        yield job.refuse("swanlab_notification_method", f"{method} is not known", hint)
    fields = ("sender_email", "receiver_email", "smtp_server", "smtp_port")
    missing = [f"swanlab_{name}" for name in fields if not job.get(f"swanlab_{name}", None)]
    if method == "email" and missing:
        message = f"email needs {', '.join(missing)}"
        yield job.refuse("swanlab_notification_method", message, "set these arguments too")


def plugins(job: Job) -> Iterator[Problem]:
    """`callbacks` and `optimizer` must be known names. `prl_submit.inputs.plugins` checks those of plugins.

    Source: ms-swift >= 4.0 trainers/mixin.
    """
    if not job.since("4.0") or job.may_know_more or not job.has_known_names:
        return
    for name, known in (("callbacks", CALLBACKS), ("optimizer", OPTIMIZERS)):
        for value in job.many(name):
            if value not in known:
                hint = f"known: {', '.join(known)}; a plugin in external_plugins can provide others"
                yield job.refuse(name, f"{value} is not known", hint)


def cache(job: Job) -> Iterator[Problem]:
    """torch_empty_cache_steps must be at least 1. Source: transformers `_validate_args`."""
    steps = job.get("torch_empty_cache_steps", None)
    if steps is not None and steps < 1:
        message = f"must be at least 1, found {steps}"
        yield job.refuse("torch_empty_cache_steps", message, "remove torch_empty_cache_steps")


def epochs(job: Job) -> Iterator[Problem]:
    """With 0 epochs and no max_steps nothing is trained, and ms-swift exits with 0.

    Source: transformers trainer `set_initial_training_values`.
    """
    if job.get("max_steps", -1) > 0:
        return
    count = job.get("num_train_epochs", 3)
    if count <= 0:
        message = f"{count} trains nothing, and ms-swift reports no failure"
        yield job.warn("num_train_epochs", message, "use 1 or more, or max_steps")


RULES = (
    precision,
    warmup,
    workers,
    saving,
    schedule,
    reports,
    notifications,
    plugins,
    cache,
    epochs,
)

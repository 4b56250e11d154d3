"""Numbers and names of the training loop, as transformers and ms-swift take them."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import CALLBACKS, OPTIMIZERS
from prl_submit.rules.evaluation import whole
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: transformers 5.19 trainer_utils SchedulerType.
SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr",
    "warmup_stable_decay", "greedy",
)  # fmt: skip
#: Those that older ms-swift's transformers have not, and since when they are there.
_NEWER_SCHEDULERS = {"cosine_warmup_with_min_lr": "3.7", "greedy": "4.1"}
#: transformers 5.19 integration_utils INTEGRATION_TO_CALLBACK; ms-swift provides swanlab's.
REPORTS = (
    "azure_ml", "comet_ml", "mlflow", "neptune", "tensorboard", "trackio", "wandb", "codecarbon",
    "clearml", "dagshub", "flyte", "dvclive", "swanlab", "kubeflow",
)  # fmt: skip
#: ms-swift 4.6.0 sft_args `_init_swanlab`.
NOTIFICATIONS = ("lark", "dingtalk", "email", "discord", "wxwork", "slack")


def precision(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 model_args `_init_mixed_precision`, transformers `_validate_args`.

    What is not given follows torch_dtype: float16 and float32 train with fp16, bfloat16 with bf16.
    Before 3.3.1 both always did.
    """
    if job.since("3.3.1"):
        yield from _both_halves(job)
    if job.get("fp16_full_eval", False) and job.get("bf16_full_eval", False):
        message = "and bf16_full_eval exclude each other"
        yield job.refuse("fp16_full_eval", message, "keep one")


def _both_halves(job: Job) -> Iterator[Problem]:
    dtype = job.get("torch_dtype", None)
    half = None if dtype is None else dtype in ("float16", "float32")
    fp16, bf16 = job.get("fp16", half), job.get("bf16", None if half is None else not half)
    if fp16 and bf16:
        given = [f"{name} true" for name in ("fp16", "bf16") if job.get(name, None)]
        name = "bf16" if job.get("bf16", None) else "fp16"
        if len(given) < 2:
            given.append(f"torch_dtype {dtype}, which sets the other one")
        message = f"fp16 and bf16 exclude each other, found {' and '.join(given)}"
        hint = "set torch_dtype: bfloat16 or float16 and leave fp16 and bf16 out"
        yield job.refuse(name, message, hint)


def warmup(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.5 trainers/arguments `_handle_hf_removed_args`, transformers `_validate_args`."""
    ratio, steps = job.get("warmup_ratio", 0), job.get("warmup_steps", 0)
    if steps < 0:
        yield job.refuse("warmup_steps", f"cannot be negative, found {steps}", "0 is the default")
    elif ratio and steps and job.since("4.5"):
        message = f"{ratio} and warmup_steps {steps} are both set"
        yield job.refuse("warmup_ratio", message, "keep one of the two")
    elif ratio < 0 or ratio >= (1 if job.since("4.5") else 1.0000001):
        message = f"is a share of the steps, from 0 to less than 1; found {ratio}"
        yield job.refuse("warmup_ratio", message, "warmup_steps takes a number of steps")


def workers(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`; without a number ms-swift takes 1, prl-submit 0."""
    ahead = job.get("dataloader_prefetch_factor", None)
    if ahead is not None and job.get("dataloader_num_workers", None) == 0:
        message = "needs dataloader_num_workers above 0, found 0"
        hint = "leave it out, or set dataloader_num_workers: 1"
        yield job.refuse("dataloader_prefetch_factor", message, hint)


def saving(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`: steps are whole, or shares below 1 of all steps."""
    if job.get("logging_strategy", "steps") == "steps" and job.get("logging_steps", 5) == 0:
        hint = "use 1 or more, or logging_strategy: 'no'"
        yield job.refuse("logging_steps", "cannot be 0", hint)
    if job.get("save_strategy", "steps") == "steps":
        yield from whole(job, "save_steps", job.get("save_steps", 500))


def schedule(job: Job) -> Iterator[Problem]:
    """Source: transformers trainer_utils SchedulerType."""
    chosen = str(job.get("lr_scheduler_type", "cosine"))
    known = [n for n in SCHEDULERS if job.since(_NEWER_SCHEDULERS.get(n, "3.0"))]
    if chosen not in known and job.has_known_names:
        near = closest(chosen, known, 0.6)
        hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
        yield job.refuse("lr_scheduler_type", f"{chosen} is not known", hint)


def reports(job: Job) -> Iterator[Problem]:
    """Source: transformers integration_utils `get_reporting_integration_callbacks`; all and none alone."""
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
    """ms-swift >= 3.12 sft_args `_init_swanlab`."""
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
        yield job.refuse("swanlab_notification_method", message, "set them as well")


def plugins(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.0 trainers/mixin: callbacks and optimizer by name, its own or a plugin's."""
    if not job.since("4.0") or job.may_know_more or not job.has_known_names:
        return
    for name, known in (("callbacks", CALLBACKS), ("optimizer", OPTIMIZERS)):
        for value in job.many(name):
            if value not in known:
                hint = f"known: {', '.join(known)}; external_plugins provides others"
                yield job.refuse(name, f"{value} is not known", hint)


def cache(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`."""
    steps = job.get("torch_empty_cache_steps", None)
    if steps is not None and steps < 1:
        message = f"must be at least 1, found {steps}"
        yield job.refuse("torch_empty_cache_steps", message, "leave it out")


def epochs(job: Job) -> Iterator[Problem]:
    """Source: transformers trainer `set_initial_training_values`: a training of no steps ends well."""
    if job.get("max_steps", -1) > 0:
        return
    count = job.get("num_train_epochs", 3)
    if count <= 0:
        message = f"{count} trains nothing, and the job succeeds"
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

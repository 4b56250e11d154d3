"""Rules that compare several values of a job. Each rule is a function from a job to problems.

A rule's docstring says what the rule demands, in which file and function of ms-swift, trl or transformers
its reason is found, and which versions it holds for. A rule runs on a typed spec. If a value that it needs
is wrong already, the rule stays silent. A problem is an error if ms-swift would stop, and a warning if
ms-swift would ignore the value or change it. No rule reads the disk; `prl_submit.inputs` has the checks
that need files.

Each module holds the rules of one matter. A module is imported only if the job has an argument that its
rules look at, because there are many rules and most jobs need few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

from prl_submit.errors import Problem
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.rules.job_environment import CREDENTIALS, looks_secret

__all__ = ["CREDENTIALS", "Rule", "all_rules", "check", "looks_secret", "run_rules"]

Rule = Callable[[Job], Iterator[Problem]]

#: The modules in the order of their problems, each with the rlhf types and arguments that it looks at.
#: A module with an empty text looks at every job.
MODULES: tuple[tuple[str, str], ...] = (
    ("batch", ""),
    ("evaluation", ""),
    ("vllm", "grpo gkd"),
    ("grpo", "grpo truncation_strategy"),
    ("losses", "loss_type loss_weights"),
    ("teacher", "gkd teacher_model teacher_model_server"),
    ("trained_model", "rope_scaling task_type num_labels quant_method quant_bits"),
    ("other_models", "ppo ref_model ref_adapters reward_model adapters"),
    ("rewards", "grpo"),
    (
        "tuner",
        "tuner_type train_type sft_type lora_rank lora_dropout init_weights lisa_activated_layers "
        "packing padding_free",
    ),
    (
        "training_loop",
        "torch_dtype fp16 bf16 fp16_full_eval bf16_full_eval warmup_ratio warmup_steps "
        "dataloader_prefetch_factor logging_steps save_steps lr_scheduler_type report_to "
        "swanlab_notification_method callbacks optimizer torch_empty_cache_steps num_train_epochs",
    ),
    (
        "numbers",
        "learning_rate adam_beta1 adam_beta2 adam_epsilon dataloader_num_workers seed data_seed "
        "dataset_num_proc max_length max_completion_length max_new_tokens response_length "
        "temperature repetition_penalty",
    ),
    (
        "schedules",
        "lr_scheduler_type lr_scheduler_kwargs optim_args optim optim_target_modules",
    ),
    ("dataset", "streaming lazy_tokenize split_dataset_ratio"),
    (
        "distributed",
        "fsdp deepspeed zero_hpz_partition_size deepspeed_autotp_size sequence_parallel_size "
        "use_cpu ddp_backend",
    ),
    ("json_values", "mrl_dims accelerator_config"),
    ("ignored", ""),
    ("job_environment", ""),
    ("required", ""),
)


def all_rules() -> list[Rule]:
    """All rules of all modules, in order."""
    return [rule for name, _ in MODULES for rule in _rules(name)]


def check(job: Job) -> list[Problem]:
    """The problems that the rules find, in the order of the rules."""
    about = {str(job.swift.get("rlhf_type", "dpo")), *job.swift}
    called = [name for name, words in MODULES if not words or not about.isdisjoint(words.split())]
    return run_rules(job, [rule for name in called for rule in _rules(name)])


def run_rules(job: Job, rules: Iterable[Rule]) -> list[Problem]:
    """The problems that these rules find; one that needs a doubtful value stays silent."""
    problems: list[Problem] = []
    for rule in rules:
        try:
            problems.extend(rule(job))
        except (DoubtfulError, TypeError):
            continue  # TypeError: some releases take text where the rule expects a number
    return problems


def _rules(name: str) -> tuple[Rule, ...]:
    rules: tuple[Rule, ...] = import_module(f"prl_submit.rules.{name}").RULES
    return rules

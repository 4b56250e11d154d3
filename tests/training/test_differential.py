"""Our verdict and ms-swift's own, on many configurations: an error here is a refusal there.

ms-swift is real: its parser, its `RLHFArguments`, its `__post_init__` (swift_verdicts.py says what is
not). What it refuses only later, with the model loaded, is in LATE, each with a real run that fails
so. What differs for good is in DIFFERENCES, and each must go on differing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prl_submit.inputs import Check
from prl_submit.inputs import checks as input_checks
from prl_submit.inputs.local_files import check_presence
from prl_submit.planning.plan import Context, Planned
from prl_submit.rules import all_rules, check
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.swift.table import load_table
from tests.support.plans import planned
from tests.training.configurations import (
    BASES,
    MODEL,
    REWARD_MODEL,
    Configuration,
    argv,
    configurations,
    short,
    spec,
)

pytestmark = pytest.mark.training
COUNT = 750
TABLE = load_table()
RULES = all_rules()

#: Rules and their messages whose mistakes ms-swift finds only after `__post_init__`: when it prepares the
#: model, in the trainer or at the first step. RUNS shows that it does.
LATE = (
    r"numbers\.positive: .*",
    r"batch\.sizes: .*",  # some of them at once
    r"batch\.generation_batch: swift\.num_generations: must be greater than 1 for GRPO, found (0|-.*)",
    r"batch\.(kto|ppo)_batch: .*",
    r"evaluation\.(batch|evalscope): .*",
    r"dataset\.(streaming|splitting): .*",
    r"numbers\.(lengths|sampling): .*",
    r"grpo\.scheduler: .*",
    r"grpo\.soft_overlong: swift\.soft_cache_length: .*",
    r"grpo\.truncation: .*: split is only for pre-training",
    r"losses\.names: .*",
    r"trained_model\.labels: .* (is not for|makes a classifier) .*",
    r"model_folders\.check: swift\.(reward|teacher)_model: .*",
    r"registered\.check: swift\.(loss_scale|attn_impl|reward_template|\w+_model_type): .*",
    r"schedules\.(keywords|optimizer_words): .*",
    r"distributed\.sequence_parallel: .* does not divide the world .*",
    r"targets\.check: .*",
    r"other_models\.(reference_adapters|rewarding|one_each|adapters): .*",
    r"rewards\.(weights|plugins): .*",
    r"training_loop\.(reports|plugins|notifications): .*",
    r"tuner\.(known|lora_numbers|lisa): .*",
    r"(plugins|data|checkpoint)\.check: .*",
)
#: Jobs that check refuses and ms-swift accepts, on purpose: (reason, type, changes, our message).
DIFFERENCES: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    (
        "argparse silently accepts an abbreviation, which may be ambiguous in the next release",
        "dpo",
        {"max_grad": "0.5"},
        r"values: swift\.max_grad: is short for max_grad_norm",
    ),
    (
        "JSON that is broken off is repaired by guessing",
        "dpo",
        {"columns": '{"a": "query"'},
        r"values: swift\.columns: is not JSON",
    ),
    (
        "-2 accumulation steps are taken for one",
        "dpo",
        {"gradient_accumulation_steps": "-2"},
        r"batch\.sizes: swift\.gradient_accumulation_steps: must be at least 1",
    ),
    (
        "temperature 0 makes the first gradient not a number, and the training goes on",
        "grpo",
        {"temperature": "0"},
        r"numbers\.sampling: swift\.temperature: must be above 0",
    ),
    (
        "gkd_trainer asserts it only with Liger, which is not installed here",
        "gkd",
        {"use_liger_kernel": "true", "sft_alpha": "0.5"},
        r"teacher\.gkd_liger: swift\.sft_alpha: cannot be combined with use_liger_kernel",
    ),
    (
        "vLLM checks it in the trainer, and is not installed here",
        "grpo",
        {"use_vllm": "true", "vllm_tensor_parallel_size": "3"},
        r"vllm\.colocated: swift\.vllm_tensor_parallel_size: \d+ does not divide the world",
    ),
    (
        "vLLM checks its share of memory itself, and is not installed here",
        "grpo",
        {"use_vllm": "true", "vllm_gpu_memory_utilization": "40"},
        r"vllm\.memory_share: swift\.vllm_gpu_memory_utilization",
    ),
    (
        "DeepSpeed compares its batch with the arguments in the trainer, and is not here",
        "dpo",
        {"deepspeed": "ds_other_batch.json"},
        r"parallel_configs\.check: .*train_micro_batch_size_per_gpu 64",
    ),
    (
        "too few rows for one batch: no step is trained, and ms-swift exits with 0",
        "grpo",
        {"dataset": ["rows.jsonl#1"], "per_device_train_batch_size": "8", "max_steps": "2"},
        r"data\.check: swift\.dataset: has 1 row; one batch takes 8",
    ),
)

Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


class Verdict(NamedTuple):
    """Our answer: `rule: key: message` of each error, and the names of all rules that found a problem."""

    errors: list[str]
    rules: set[str]

    @property
    def at_once(self) -> list[str]:
        """The errors that ms-swift finds while it reads its arguments."""
        listed = [*LATE, *(ours for *_, ours in DIFFERENCES)]
        return [error for error in self.errors if not any(re.match(p, error) for p in listed)]


def planned_in(folder: Path, configuration: Configuration) -> Planned:
    """The job's plan as `check` makes it in that folder, without a file for the spec."""
    return planned(spec(configuration), context=Context(cwd=str(folder), home=str(folder)))


def judge(made: Planned, folder: Path) -> Verdict:
    """All problems of a plan, each with the name of the rule or check that found it."""
    by_rule = [(name_of(rule), list(problems_of(rule, made.job))) for rule in RULES]
    of_rules = [problem for _, problems in by_rule for problem in problems]
    assert check(made.job) == of_rules  # no rule was left out by mistake
    by_rule += [
        ("values", [p for p in made.problems if p not in of_rules]),
        ("presence", check_presence(made)),
    ]
    for look in input_checks(made.job):
        found = list(problems_of(partial(_on_disk, look, str(folder)), made.job))
        by_rule.append((name_of(look), found))
    said = [(name, problem) for name, problems in by_rule for problem in problems]
    return Verdict(
        [f"{name}: {p.key}: {p.message}" for name, p in said if p.severity == "error"],
        {name for name, _ in said},
    )


def _on_disk(look: Check, workdir: str, job: Job) -> Iterator[Any]:
    return look(job, workdir)


def name_of(rule: Callable[..., Any]) -> str:
    return f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"


def problems_of(rule: Callable[[Job], Any], job: Job) -> Iterator[Any]:
    try:
        yield from rule(job)
    except DoubtfulError:
        return


def question(configuration: Configuration, made: Planned, **more: Any) -> dict[str, Any]:
    """The job's command line: the written values and those that prl-submit adds."""
    written = {f"--{name}" for name in configuration.swift}
    own = [word for group in made.plan.arguments if group[0] not in written for word in group]
    words = argv(configuration.swift) + own
    return {"argv": words, "world": configuration.world, **more}


def test_check_and_ms_swift_agree(folder: Path, ask: Ask) -> None:
    """On every configuration. And every rule finds a problem in one of them."""
    many = configurations(COUNT)
    plans = [planned_in(folder, configuration) for configuration in many]
    ours = [judge(plan, folder) for plan in plans]
    theirs = ask([question(one, plan) for one, plan in zip(many, plans, strict=True)])
    differing = []
    later = set()
    for configuration, verdict, answer in zip(many, ours, theirs, strict=True):
        refused = answer["error"] is not None
        if verdict.at_once if not refused else not verdict.errors:
            differing.append((configuration.number, verdict.errors, answer["error"]))
        if not refused:
            later |= {pattern for pattern in LATE for e in verdict.errors if re.match(pattern, e)}
    assert differing == [], (
        f"{len(differing)} of {len(many)} differ, the first ones: {differing[:5]}"
    )
    refusals = sum(answer["error"] is not None for answer in theirs)
    assert len(many) >= 300
    assert 0.25 < refusals / len(many) < 0.75
    silent = {name_of(rule) for rule in RULES} - set().union(*(v.rules for v in ours)) - NOT_HERE
    assert silent == set(), "these rules find no problem in any configuration"
    assert set(LATE) - later <= ONLY_RUN, "ms-swift refuses these at once: they are not late"


#: Rules that these configurations cannot test: on the rest of the spec, on devices, and on older releases.
NOT_HERE = {
    "job_environment.environment",
    "job_environment.credentials",
    "job_environment.one_machine",
    "job_environment.literal",
    "job_environment.search_path",
    "distributed.processors",
    # of older releases
    "distributed.fsdp_options",
    "required.reentrant",
    "vllm.workers",
    # ms-swift leaves it to vLLM: see DIFFERENCES
    "vllm.memory_share",
}
#: Shown only by RUNS, because their files would make other configurations fail too.
ONLY_RUN: set[str] = set()


@pytest.mark.parametrize(("why", "kind", "changes", "said"), DIFFERENCES)
def test_a_difference_is_still_one(
    why: str, kind: str, changes: dict[str, Any], said: str, folder: Path, ask: Ask
) -> None:
    """ms-swift accepts the job, and check refuses it."""
    one = Configuration(0, BASES[kind] | changes, 2)
    made = planned_in(folder, one)
    errors = judge(made, folder).errors
    assert len(errors) == 1
    assert re.match(said, errors[0]), (why, errors)
    (answer,) = ask([question(one, made)])
    assert answer["error"] is None, why


#: Trainings that ms-swift begins and that then fail: our rule, type, changes, words of ms-swift's error.
RUNS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("numbers.positive", "dpo", {"learning_rate": "-1"}, "Invalid learning rate"),
    ("numbers.positive", "dpo", {"max_length": "0"}, "TypeError"),
    ("numbers.positive", "rm", {"adam_beta1": "1.5"}, "Invalid beta parameter"),
    ("numbers.positive", "orpo", {"dataloader_num_workers": "-1"}, "num_workers option should be"),
    ("numbers.positive", "grpo", {"seed": "-1"}, "Seed must be between"),
    (
        "batch.sizes",
        "grpo",
        {"per_device_train_batch_size": "0"},
        "batch_size should be a positive",
    ),
    ("batch.sizes", "dpo", {"per_device_train_batch_size": "-1"}, "should return >= 0"),
    ("batch.sizes", "dpo", {"gradient_accumulation_steps": "0"}, "ZeroDivisionError"),
    ("batch.generation_batch", "grpo", {"num_generations": "0"}, "ZeroDivisionError"),
    ("batch.kto_batch", "kto", {"per_device_train_batch_size": "1"}, "Batch size is 1"),
    (
        "batch.ppo_batch",
        "ppo",
        {"num_mini_batches": "3"},
        "must be a multiple of `num_mini_batches`",
    ),
    ("batch.ppo_batch", "ppo", {"whiten_rewards": "true"}, "insufficient for whitening"),
    (
        "evaluation.batch",
        "dpo",
        {
            "val_dataset": ["rows.jsonl#4"],
            "eval_strategy": "steps",
            "eval_steps": "1",
            "per_device_eval_batch_size": "0",
        },
        "batch_size should be a positive",
    ),
    (
        "evaluation.evalscope",
        "dpo",
        {"eval_dataset": ["x"], "eval_strategy": "steps", "eval_steps": "1"},
        "not found in the evaluation metrics",
    ),
    ("dataset.streaming", "dpo", {"streaming": "true", "max_steps": "-1"}, "max_steps has to be"),
    ("dataset.streaming", "kto", {"streaming": "true"}, "KeyError"),
    ("dataset.splitting", "dpo", {"split_dataset_ratio": "-0.1"}, "AssertionError"),
    ("numbers.lengths", "grpo", {"max_completion_length": "0"}, "must be greater than 0"),
    ("numbers.sampling", "grpo", {"repetition_penalty": "0"}, "has to be a strictly positive"),
    ("grpo.scheduler", "grpo", {"multi_turn_scheduler": "mine"}, "AssertionError"),
    (
        "grpo.soft_overlong",
        "grpo",
        {"reward_funcs": ["soft_overlong"], "soft_cache_length": "8"},
        "AssertionError",
    ),
    ("grpo.truncation", "dpo", {"truncation_strategy": "split"}, "only supported for pre-training"),
    ("losses.names", "dpo", {"loss_type": ["nonsense"]}, "Unknown loss type"),
    ("losses.names", "simpo", {"loss_type": ["nonsense"]}, "Unknown loss type"),
    ("losses.names", "grpo", {"loss_type": ["nonsense"]}, "UnboundLocalError"),
    ("losses.names", "kto", {"loss_type": ["nonsense"]}, "UnboundLocalError"),
    ("trained_model.labels", "dpo", {"task_type": "seq_cls", "num_labels": "2"}, "AttributeError"),
    (
        "other_models.reference_adapters",
        "dpo",
        {"ref_adapters": ["adapter", "adapter"]},
        "AssertionError: args.ref_adapters",
    ),
    (
        "other_models.rewarding",
        "dpo",
        {"reward_model": ["./tiny-qwen2"], "reward_model_type": ["qwen2"]},
        "unexpected keyword argument 'reward_model'",
    ),
    (
        "other_models.rewarding",
        "ppo",
        dict.fromkeys(("reward_model", "reward_model_type", "reward_template")),
        "'NoneType' object has no attribute",
    ),
    ("other_models.one_each", "ppo", {"reward_model_type": ["qwen2", "qwen2"]}, "AssertionError"),
    (
        "other_models.adapters",
        "dpo",
        {"tuner_type": "lora", "adapters": ["adapter", "adapter"]},
        "AssertionError: args.adapters",
    ),
    ("rewards.weights", "grpo", {"reward_weights": ["1", "2"]}, "Number of reward weights"),
    (
        "rewards.plugins",
        "grpo",
        {**REWARD_MODEL, "reward_model_plugin": ["nonsense"]},
        "rm_plugin nonsense is not implemented",
    ),
    ("training_loop.reports", "dpo", {"report_to": ["wandbb"]}, "is not supported, only"),
    ("training_loop.plugins", "dpo", {"optimizer": "nonsense"}, "KeyError"),
    ("training_loop.plugins", "dpo", {"callbacks": ["nonsense"]}, "KeyError"),
    ("tuner.known", "dpo", {"tuner_type": "lorra"}, "Unknown tuner_type"),
    (
        "tuner.lora_numbers",
        "grpo",
        {"tuner_type": "lora", "lora_dropout": "1.5"},
        "dropout probability has to be",
    ),
    (
        "tuner.lora_numbers",
        "dpo",
        {"tuner_type": "lora", "init_weights": "nonsense"},
        "Unknown initialization",
    ),
    (
        "tuner.lisa",
        "dpo",
        {"tuner_type": "lora", "lisa_activated_layers": "1"},
        "LISA only supports full",
    ),
    (
        "plugins.check",
        "grpo",
        {"reward_funcs": ["too"], "external_plugins": ["plugin.py"]},
        "reward_function too is not",
    ),
    ("trained_model.labels", "grpo", {"num_labels": "2"}, "KeyError"),
    ("registered.check", "grpo", {"loss_scale": "nonsense"}, "KeyError: 'nonsense'"),
    ("registered.check", "grpo", {"loss_scale": "last_round+nonsense"}, "KeyError: 'nonsense'"),
    ("registered.check", "dpo", {"attn_impl": "flash"}, "is not supported"),
    (
        "registered.check",
        "grpo",
        REWARD_MODEL | {"reward_template": ["qwen25"]},
        "template_type: 'qwen25' not in",
    ),
    (
        "registered.check",
        "grpo",
        REWARD_MODEL | {"reward_model_type": ["nope"]},
        "model_type: 'nope' not in",
    ),
    (
        "model_folders.check",
        "grpo",
        REWARD_MODEL | {"reward_model": [MODEL], "reward_model_type": None},
        "Multiple possible types found",
    ),
    ("model_folders.check", "grpo", {"teacher_model": MODEL}, "Multiple possible types found"),
    (
        "schedules.keywords",
        "grpo",
        {"lr_scheduler_type": "cosine_with_min_lr"},
        "One of min_lr or min_lr_rate should be set",
    ),
    (
        "schedules.keywords",
        "dpo",
        {
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": '{"min_lr": 1e-7, "min_lr_rate": 0.1}',
        },
        "Only one of min_lr or min_lr_rate should be set",
    ),
    (
        "schedules.keywords",
        "dpo",
        {"lr_scheduler_kwargs": '{"min_lr": 1e-7}'},
        "unexpected keyword argument 'min_lr'",
    ),
    (
        "schedules.keywords",
        "dpo",
        {"lr_scheduler_type": "warmup_stable_decay"},
        "missing 1 required positional argument: 'num_decay_steps'",
    ),
    (
        "schedules.keywords",
        "dpo",
        {"lr_scheduler_type": "polynomial", "learning_rate": "1e-8"},
        "must be smaller than initial lr",
    ),
    ("schedules.optimizer_words", "grpo", {"optim_args": "rank"}, "not enough values to unpack"),
    ("distributed.sequence_parallel", "grpo", {"sequence_parallel_size": "2"}, "AssertionError"),
    (
        "targets.check",
        "grpo",
        {"tuner_type": "lora", "target_modules": ["nothere"]},
        "Target modules {'nothere'} not found",
    ),
    (
        "targets.check",
        "dpo",
        {"tuner_type": "lora", "target_regex": "*q_proj"},
        "nothing to repeat",
    ),
    ("data.check", "grpo", {"dataset": ["answers.jsonl"]}, "inputs.messages: "),
    ("data.check", "grpo", {"dataset": ["other.jsonl"]}, "ZeroDivisionError"),
    ("data.check", "dpo", {"dataset": ["chats.jsonl"]}, "TypeError"),
    ("data.check", "kto", {"dataset": ["chats.jsonl"]}, "label"),
    (
        "data.check",
        "grpo",
        {
            "dataset": ["rows.jsonl#1"],
            "per_device_train_batch_size": "4",
            "max_steps": None,
            "num_train_epochs": "1",
        },
        "max_steps must be set to a positive value",
    ),
    (
        "data.check",
        "grpo",
        {
            "val_dataset": ["rows.jsonl#2"],
            "eval_strategy": "steps",
            "per_device_eval_batch_size": "8",
        },
        "eval_dataset size 2 is smaller than",
    ),
    (
        "checkpoint.check",
        "dpo",
        {"resume_from_checkpoint": "without_weights"},
        "Can't find a valid checkpoint",
    ),
    ("checkpoint.check", "dpo", {"resume_from_checkpoint": "rows.jsonl"}, "Can't find a valid"),
    ("checkpoint.check", "dpo", {"resume_from_checkpoint": "without_state"}, "Error"),
)


def test_what_fails_later_really_fails(folder: Path, ask: Ask) -> None:
    """ms-swift really begins each of these trainings in its process, and each fails there."""
    differing: list[Any] = []
    questions = []
    for rule, kind, changes, _ in RUNS:
        one = Configuration(0, short(kind, **changes), 1)
        made = planned_in(folder, one)
        errors = judge(made, folder).errors
        if [error for error in errors if not error.startswith(f"{rule}: ")] or not errors:
            differing.append((rule, kind, changes, errors))
        questions.append(question(one, made, run=True))
    for (rule, kind, changes, words), answer in zip(RUNS, ask(questions), strict=True):
        if words not in str(answer["error"]) or answer["where"] != "run":
            differing.append((rule, kind, changes, answer))
    assert differing == []
    tried = {rule for rule, *_ in RUNS}
    late = {rule for rule in map(name_of, RULES) if any(re.match(p, f"{rule}: ") for p in LATE)}
    assert late - tried == {"training_loop.notifications"}, "needs swanlab, which is not here"


def test_temperature_zero_spoils_the_model(folder: Path, ask: Ask) -> None:
    """So check refuses it although ms-swift accepts it."""
    one = Configuration(0, short("grpo", temperature="0"), 1)
    made = planned_in(folder, one)
    (answer,) = ask([question(one, made, run=True)])
    assert answer["error"] is None
    log = next(folder.glob("output/*/logging.jsonl")).read_text().splitlines()
    assert any('"grad_norm": NaN' in line for line in log)

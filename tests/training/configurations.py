"""Configurations to judge: valid jobs of every rlhf_type, changed in up to three places.

Made from a seed, so that a configuration that once differed is found again by its number.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

TYPES = ("dpo", "orpo", "simpo", "kto", "cpo", "rm", "ppo", "grpo", "gkd")
WORLDS = (1, 2, 4, 8)

#: Paths are relative to the folder that `make_folder` fills.
MODEL = "./tiny-qwen2"
COMMON: dict[str, Any] = {
    "model": MODEL,
    "model_type": "qwen2",
    "template": "qwen2_5",
    "torch_dtype": "float32",
    "check_model": "false",
    "tuner_type": "full",
    "dataset": ["rows.jsonl"],
    "report_to": ["none"],
    "max_length": "128",
}
BASES: dict[str, dict[str, Any]] = {
    kind: COMMON | {"rlhf_type": kind, "per_device_train_batch_size": "2"} for kind in TYPES
}
BASES["grpo"] |= {"num_generations": "2", "reward_funcs": ["format"]}
BASES["ppo"] |= {"reward_model": [MODEL], "reward_model_type": ["qwen2"]}
BASES["gkd"] |= {"teacher_model": MODEL, "teacher_model_type": "qwen2"}

#: Argument -> values, valid and invalid ones. None: the argument is not set. A list: several words.
VALUES: dict[str, list[Any]] = {
    # types and choices, as argparse has them
    "num_generations": ["1", "3", "4", "8", "0", "2.5", "two", "1e1"],
    "learning_rate": ["1e-6", "-1", "abc", "0"],
    "use_vllm": ["true", "maybe", "false"],
    "bf16": ["true", "yes", "2"],
    "fp16": ["true", "false"],
    "torch_dtype": ["bfloat16", "float16", "float64", "bf16"],
    "rlhf_type": ["grpoo", "ppo2"],
    "num_generation": ["4"],
    "not_an_argument": ["1"],
    "max_steps": ["10", "1.5", "-1", "0"],
    "num_train_epochs": ["1", "0.5", "0", "one"],
    "save_strategy": ["no", "epoch", "best", "stepz"],
    "logging_strategy": ["no", "epoch", "sometimes"],
    "optim": ["adamw_torch", "sgd", "adam"],
    "hub_strategy": ["end", "never"],
    "seed": ["1", "-1", "x"],
    "packing_strategy": ["binpack", "greedy"],
    "scale_rewards": ["group", "batch", "none", "gdpo", "all"],
    "importance_sampling_level": ["token", "sequence", "sequence_token", "word"],
    "advantage_estimator": ["grpo", "rloo", "reinforce_plus_plus", "gae"],
    "vllm_server_port": [["8000"], ["8000", "8001"], ["x"]],
    "reward_weights": [["1"], ["1", "2"], ["x"]],
    "stop_words": [["a", "b"]],
    # batches
    "per_device_train_batch_size": ["1", "2", "3", "4", "8", "0", "-1"],
    "gradient_accumulation_steps": ["1", "2", "3", "0", "-2"],
    "steps_per_generation": ["1", "2", "3", "0"],
    "generation_batch_size": ["2", "4", "8", "12", "16", "0", "7"],
    "num_generations_eval": ["1", "2", "3"],
    "per_device_eval_batch_size": ["1", "2", "3", "0"],
    "num_mini_batches": ["1", "2", "3", "0"],
    "whiten_rewards": ["true"],
    # evaluation and saving
    "val_dataset": [["rows.jsonl"]],
    "split_dataset_ratio": ["0.1", "0", "-0.1"],
    "eval_strategy": ["no", "steps", "epoch", "always", "best"],
    "eval_steps": ["2", "3", "2.5", "0.2", "0"],
    "save_steps": ["2", "4", "6", "2.5", "0.1", "0"],
    "logging_steps": ["1", "0", "-1", "2.5"],
    "load_best_model_at_end": ["true"],
    "lr_scheduler_type": ["linear", "reduce_lr_on_plateau", "greedy", "cosinus"],
    "eval_dataset": [["math_500"]],
    "warmup_ratio": ["0.1", "1", "1.5", "-0.1"],
    "warmup_steps": ["3", "0.2", "-1"],
    "torch_empty_cache_steps": ["1", "0"],
    "dataloader_num_workers": ["0", "2", "-1", None],
    "dataloader_prefetch_factor": ["2"],
    "fp16_full_eval": ["true"],
    "bf16_full_eval": ["true"],
    "streaming": ["true"],
    "lazy_tokenize": ["true"],
    # vllm
    "vllm_mode": ["colocate", "server", "remote", None],
    "vllm_server_host": [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]],
    "vllm_server_base_url": [["http://127.0.0.1:8000"]],
    "vllm_server_group_port": [["51216"], ["1", "2"]],
    "vllm_tensor_parallel_size": ["1", "2", "3"],
    "vllm_gpu_memory_utilization": ["0.4", "40", "0"],
    "async_generate": ["true"],
    "vllm_reasoning_parser": ["deepseek_r1"],
    "multi_turn_scheduler": ["math_tip_trick", "my_scheduler"],
    "sleep_level": ["1"],
    # losses and the algorithms' own
    "loss_type": [["sigmoid"], ["sigmoid", "sft"], ["ipo"], ["simpo"], ["kto"], ["nonsense"],
                  ["real"], ["fipo"], ["dapo"], ["apo_zero_unpaired"]],
    "loss_weights": [["1"], ["1", "0.5"]],
    "beta": ["0", "0.1", "2", "-1"],
    "lmbda": ["0", "1", "1.5"],
    "sft_alpha": ["0", "0.1"],
    "seq_kd": ["true"],
    "gkd_logits_topk": ["20", "0", "-3"],
    "truncation_strategy": ["left", "right", "delete", "split", "middle"],
    "soft_cache_length": ["4", "600"],
    "soft_max_length": ["100"],
    "reward_funcs": [["format"], ["format", "soft_overlong"], ["accuracy", "format"], ["nonsense"],
                     None],
    "use_liger_kernel": ["true"],
    "delta": ["1.5"],
    "top_entropy_quantile": ["0.2", "1.0"],
    "log_entropy": ["true"],
    "off_policy_sequence_mask_delta": ["0.1"],
    "advantage_reweight": ["rlsd", "other"],
    "rlsd_lambda": ["0.3", "2"],
    "rlsd_reweight_clip_range": ["-1"],
    "sdar_loss_coef": ["0.1"],
    "sdar_gate_beta": ["0"],
    "dynamic_sample": ["true"],
    "num_iterations": ["2"],
    "kl_coef": ["0.1"],
    "simpo_gamma": ["1.2"],
    "rpo_alpha": ["0.1"],
    "desirable_weight": ["2"],
    "center_rewards_coefficient": ["0.01"],
    "label_smoothing": ["0.1"],
    # models
    "model": [None, MODEL],
    "dataset": [None, ["rows.jsonl#4"], ["rows.jsonl", "rows.jsonl#20"]],
    "ref_model": [MODEL],
    "ref_adapters": [["adapter"], ["adapter", "adapter"]],
    "reward_model": [[MODEL], [MODEL, MODEL], None],
    "reward_model_type": [["qwen2"], ["qwen2", "qwen2"]],
    "reward_model_plugin": [["default"], ["default", "genrm"], ["nonsense"]],
    "teacher_model": [MODEL, None],
    "teacher_model_server": [
        "http://127.0.0.1:9000",
        "[]",
        '[{"url": "http://a", "tags": ["x"]}, {"url": "http://b", "tags": ["y"]}]',
        '[{"url": "http://a", "tags": ["x"]}, {"url": "http://b", "tags": ["x"]}]',
        '[{"url": "http://a"}, {"url": "http://b"}]',
        '[{"tags": ["x"]}]',
        '["http://a"]',
    ],
    "teacher_deepspeed": ["zero3", "zero9"],
    "adapters": [["adapter"], ["adapter", "adapter"], ["no_adapter"]],
    "use_gym_env": ["true"],
    "task_type": ["causal_lm", "seq_cls"],
    "num_labels": ["1", "2"],
    "quant_method": ["bnb", "eetq", "quanto"],
    "quant_bits": ["4", "8", "3"],
    "rope_scaling": ["linear", "yarn", "cubic", '{"type": "yarn", "factor": 2}', '{"type": "yarn"}'],
    "max_model_len": ["1024"],
    # names that ms-swift registers, and how it recognises a model by its folder
    "model_type": ["qwen2", "nope", None],
    "template": ["qwen2_5", "qwen25", None],
    "loss_scale": ["default", "last_round", "last_round+react", "nonsense"],
    "agent_template": ["hermes", "hermess"],
    # schedules and optimisers
    "optim_args": ["rank=8", "rank"],
    # tuners and attention
    "tuner_type": ["lora", "full", "lorra"],
    "lora_rank": ["16", "0"],
    "lora_dropout": ["0.1", "1.5"],
    "init_weights": ["gaussian", "nonsense"],
    "lisa_activated_layers": ["1"],
    "vera_rank": ["8"],
    "galore_rank": ["8"],
    "packing": ["true"],
    "padding_free": ["true"],
    "attn_impl": ["flash_attn", "sdpa", "flash_attention_2"],
    "sequence_parallel_size": ["1", "2"],
    # distribution
    "deepspeed": ["zero2", "zero3", "zero4", "ds_good.json", "ds_other_batch.json", "ds_no_zero.json",
                  "ds_broken.json", '{"zero_optimization": {"stage": 2}}'],
    "fsdp": ["fsdp2", "fsdp3", "fsdp_whole.json", "fsdp_option.json"],
    "save_only_model": ["true"],
    "zero_hpz_partition_size": ["2"],
    "ddp_backend": ["gloo"],
    # JSON texts and files
    "columns": ['{"a": "query"}', "a:query", '{"a": "query"'],
    "model_kwargs": ['{"MAX_PIXELS": 100}', "nonsense"],
    "lr_scheduler_kwargs": ['{"num_cycles": 1}', "nonsense"],
    "gradient_checkpointing_kwargs": ['{"use_reentrant": false}', "nonsense"],
    "mrl_dims": ['{"32": 1.0}', '{"a": 1.0}'],
    "vllm_engine_kwargs": ['{"load_format": "dummy"}', "nonsense"],
    "vllm_limit_mm_per_prompt": ['{"image": 5}', "image=5"],
    "accelerator_config": ['{"split_batches": false}', '{"nonsense": 1}'],
    "resume_from_checkpoint": ["no_folder", "checkpoint-4"],
    "external_plugins": [["plugin.py"], ["no_plugin.py"]],
    "cached_dataset": [["no_cache"]],
    # values that are refused only when the training runs
    "report_to": [["tensorboard"], ["wandbb"], ["none", "tensorboard"]],
    "callbacks": [["early_stop"], ["nonsense"]],
    "optimizer": ["muon", "nonsense"],
    "max_completion_length": ["16", "0", "-1"],
    "temperature": ["0.7", "-1"],
    "repetition_penalty": ["1.1", "0"],
    "adam_beta1": ["0.8", "1.5"],
    "max_length": ["64", "0"],
    "swanlab_notification_method": ["email", "pager"],
}  # fmt: skip
#: Changes that belong together. Each counts as one change.
TOGETHER: list[dict[str, Any]] = [
    {"use_vllm": "true", "vllm_mode": "server", "vllm_server_host": ["127.0.0.1"]},
    {"use_vllm": "true", "vllm_mode": None},
    {"use_vllm": "true", "vllm_mode": "server"},
    {"use_vllm": "true", "vllm_tensor_parallel_size": "2"},
    {"use_vllm": "true", "vllm_mode": "server", "vllm_server_host": ["127.0.0.1", "127.0.0.2"]},
    {
        "use_vllm": "true",
        "vllm_mode": "server",
        "vllm_server_host": ["127.0.0.1", "127.0.0.2"],
        "vllm_server_port": ["8000", "8001"],
    },
    {"val_dataset": ["rows.jsonl"], "eval_strategy": "steps"},
    {"val_dataset": ["rows.jsonl"], "per_device_eval_batch_size": "2"},
    {"val_dataset": ["rows.jsonl"], "load_best_model_at_end": "true", "eval_steps": "2"},
    {"val_dataset": ["rows.jsonl"], "eval_steps": "2.5"},
    {"packing": "true", "attn_impl": "flash_attn"},
    {"padding_free": "true", "attn_impl": "flash_attention_2"},
    {"advantage_reweight": "rlsd", "beta": "0"},
    {"reward_funcs": ["format", "soft_overlong"], "soft_cache_length": "10"},
    {"reward_funcs": ["format", "accuracy"], "reward_weights": ["1", "2"]},
    {"rlhf_type": "grpo", "num_generations": "2", "reward_weights": ["1", "2"]},
    {"streaming": "true", "max_steps": "4"},
    {"tuner_type": "lora", "lora_rank": "4"},
    {"fsdp": "fsdp2", "save_only_model": "true"},
    {"deepspeed": "zero3", "zero_hpz_partition_size": "2"},
    {"teacher_model": None, "teacher_model_server": "http://127.0.0.1:9000"},
    {"teacher_model": None, "use_liger_kernel": "true"},
    {"use_liger_kernel": "true", "delta": "1.5"},
    {"quant_method": "bnb", "quant_bits": "4"},
    {"quant_method": "bnb", "quant_bits": "3"},
    {"fp16_full_eval": "true", "bf16_full_eval": "true"},
    {"rope_scaling": "yarn", "max_model_len": "1024"},
    {"loss_type": ["sigmoid", "sft"], "loss_weights": ["1", "0.5"]},
    {"gkd_logits_topk": "20", "use_liger_kernel": "true"},
    {"sft_alpha": "0.5", "use_liger_kernel": "true"},
    {"advantage_reweight": "rlsd", "rlsd_lambda": "2"},
    {"advantage_reweight": "rlsd", "loss_type": ["real"]},
    {"advantage_reweight": "rlsd", "reward_funcs": None},
    {"advantage_reweight": "rlsd", "sdar_loss_coef": "0.1"},
    {"sdar_loss_coef": "0.1", "sdar_gate_beta": "0"},
    {"sdar_loss_coef": "0.1", "use_liger_kernel": "true"},
    {"sdar_loss_coef": "0.1", "teacher_model_server": "http://127.0.0.1:9000"},
    {"rlhf_type": "grpo", "num_generations": "2", "teacher_model": MODEL, "loss_type": ["real"]},
    {"rlhf_type": "grpo", "num_generations": "1", "teacher_model": MODEL},
    {
        "rlhf_type": "grpo",
        "num_generations": "2",
        "reward_funcs": None,
        "teacher_model": MODEL,
        "dynamic_sample": "true",
    },
    {
        "rlhf_type": "kto",
        "per_device_train_batch_size": "1",
        "gradient_accumulation_steps": "1",
    },
    {
        "rlhf_type": "grpo",
        "val_dataset": ["rows.jsonl"],
        "num_generations": "2",
        "num_generations_eval": "3",
    },
    {"rlhf_type": "grpo", "num_generations": "2", "multi_turn_scheduler": "my_scheduler"},
    {
        "rlhf_type": "grpo",
        "num_generations": "2",
        "reward_funcs": ["soft_overlong"],
        "soft_cache_length": "600",
    },
    {"rlhf_type": "dpo", "task_type": "seq_cls", "num_labels": "2"},
    {"rlhf_type": "dpo", "truncation_strategy": "split"},
    {
        "rlhf_type": "grpo",
        "num_generations": "2",
        "use_vllm": "true",
        "vllm_tensor_parallel_size": "3",
    },
    {"val_dataset": ["rows.jsonl"], "save_strategy": "best"},
    {"val_dataset": ["rows.jsonl"], "per_device_eval_batch_size": "0", "rlhf_type": "dpo"},
    {"tuner_type": "lora", "adapters": ["adapter", "adapter"]},
    {"tuner_type": "lora", "lora_dropout": "1.5"},
    {"tuner_type": "lora", "init_weights": "nonsense"},
    {"tuner_type": "lora", "lisa_activated_layers": "1"},
    {"reward_model": [MODEL], "reward_model_plugin": ["nonsense"]},
    {"report_to": ["swanlab"], "swanlab_notification_method": "pager"},
    {"lazy_tokenize": "true", "streaming": "true", "max_steps": "4"},
    {"deepspeed": "zero2", "fsdp": "fsdp2"},
    {"use_liger_kernel": "true", "importance_sampling_level": "sequence_token"},
    {"external_plugins": ["plugin.py"], "reward_funcs": ["two", "format"]},
    {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": '{"min_lr": 1e-7}'},
    {"lr_scheduler_type": "cosine_with_min_lr"},
    {
        "rlhf_type": "dpo",
        "sequence_parallel_size": "2",
        "per_device_train_batch_size": "1",
        "gradient_accumulation_steps": "1",
    },
    {"lr_scheduler_type": "polynomial", "learning_rate": "1e-8"},
    {"tuner_type": "lora", "target_modules": ["nothere"]},
    {"tuner_type": "lora", "target_modules": ["all-linear"]},
    {"optim": "sgd", "adam_beta1": "1.5"},
    {"optim": "adafactor", "learning_rate": "-1"},
    {"external_plugins": ["plugin.py"], "reward_funcs": ["too"]},
]
#: Arguments that only one rlhf type reads. They are mostly drawn for that type.
_OWN = {
    "grpo": "num_generations steps_per_generation generation_batch_size num_generations_eval "
    "reward_funcs reward_weights soft_cache_length soft_max_length delta top_entropy_quantile "
    "log_entropy off_policy_sequence_mask_delta advantage_reweight rlsd_lambda "
    "rlsd_reweight_clip_range sdar_loss_coef sdar_gate_beta dynamic_sample scale_rewards "
    "importance_sampling_level advantage_estimator async_generate vllm_reasoning_parser "
    "multi_turn_scheduler use_vllm vllm_mode vllm_server_host vllm_server_base_url "
    "vllm_server_group_port vllm_server_port vllm_tensor_parallel_size use_gym_env "
    "reward_model_plugin temperature repetition_penalty cached_dataset truncation_strategy",
    "gkd": "lmbda sft_alpha seq_kd gkd_logits_topk teacher_model teacher_model_server",
    "ppo": "num_mini_batches whiten_rewards reward_model reward_model_type",
    "dpo": "loss_weights",
}


class Configuration(NamedTuple):
    """One job to judge: its number, its `swift:` values as texts, and its number of processes."""

    number: int
    swift: dict[str, Any]
    world: int


def configurations(count: int, seed: int = 20261126) -> list[Configuration]:
    """`count` configurations: first each single change, then two or three changes at a time."""
    draw = random.Random(seed)
    made: list[tuple[str, dict[str, Any]]] = [(kind, {}) for kind in TYPES]
    for name, values in VALUES.items():
        made += [(_type_for(draw, name), {name: value}) for value in values]
    for change in TOGETHER:
        own = {_type_for(draw, name) for name in change}
        made += [(kind, change) for kind in sorted(own | {draw.choice(TYPES)})]
    while len(made) < count:
        changes: dict[str, Any] = {}
        kind = draw.choice((*TYPES, "grpo", "grpo", "dpo", "gkd"))
        for _ in range(draw.choice((2, 2, 3))):
            if draw.random() < 0.25:
                changes |= draw.choice(TOGETHER)
                continue
            name = draw.choice(list(VALUES))
            if kind in ("grpo", "gkd", "ppo") and draw.random() < 0.5:
                name = draw.choice(_OWN[kind].split())
            changes[name] = draw.choice(VALUES[name])
        made.append((kind, changes))
    return [
        Configuration(number, BASES[kind] | changes, _world(draw, changes))
        for number, (kind, changes) in enumerate(made)
    ]


def _world(draw: random.Random, changes: dict[str, Any]) -> int:
    """A random number of processes; 1 for the change that needs a batch of one row."""
    world = draw.choice(WORLDS)
    sizes = ("per_device_train_batch_size", "gradient_accumulation_steps")
    return 1 if all(changes.get(name) == "1" for name in sizes) else world


def _type_for(draw: random.Random, name: str) -> str:
    for kind, names in _OWN.items():
        if name in names.split() and draw.random() < 0.85:
            return kind
    return draw.choice(TYPES)


def argv(swift: dict[str, Any]) -> list[str]:
    """The command line that ms-swift gets, also with wrong values."""
    words = []
    for name, value in swift.items():
        if isinstance(value, list):
            words += [f"--{name}", *value]
        elif value is not None:
            words += [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
    return words


def spec(configuration: Configuration) -> str:
    """The job's spec. It is written as JSON, which is YAML too."""
    tree = {
        "name": "differential",
        "resources": {"nproc_per_node": configuration.world},
        "swift": configuration.swift,
    }
    return json.dumps(tree)


#: A training of one process on the CPU that ends in a second.
SHORT: dict[str, Any] = {
    "dataset": ["rows.jsonl#8"],
    "max_steps": "1",
    "max_completion_length": "8",
    "gradient_accumulation_steps": "1",
    "save_strategy": "no",
    "logging_steps": "1",
    "dataloader_num_workers": "0",
}
REWARD_MODEL: dict[str, Any] = {
    "reward_model": ["./tiny-reward"],
    "reward_model_type": ["qwen2"],
    "reward_template": ["qwen2_5"],
}


def short(kind: str, **changes: Any) -> dict[str, Any]:
    """The swift values of a training that really runs."""
    # PPO counts epochs, not steps.
    own = REWARD_MODEL | {"num_train_epochs": "0.25"} if kind == "ppo" else {}
    return BASES[kind] | SHORT | own | changes


PLUGIN = """
try:
    from swift.rewards import ORM, orms
except ImportError:  # before ms-swift 4.0
    from swift.plugin import ORM, orms


class Two(ORM):
    def __call__(self, completions, **kwargs):
        return [float("two" in text) for text in completions]


orms["two"] = Two
"""
FILES: dict[str, Any] = {
    "ds_good.json": {
        "zero_optimization": {"stage": 2},
        "train_micro_batch_size_per_gpu": "auto",
    },
    "ds_other_batch.json": {
        "zero_optimization": {"stage": 2},
        "train_micro_batch_size_per_gpu": 64,
    },
    "ds_no_zero.json": {"train_micro_batch_size_per_gpu": "auto"},
    "ds_broken.json": '{"zero_optimization": ',
    "fsdp_whole.json": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {"fsdp_version": 2, "state_dict_type": "FULL_STATE_DICT"},
    },
    "fsdp_option.json": {"fsdp": "full_shard sideways", "fsdp_config": {"fsdp_version": 2}},
    "plugin.py": PLUGIN,
    "adapter/adapter_config.json": {"peft_type": "LORA"},
    "other.jsonl": '{"foo": "bar"}\n' * 8,
    "answers.jsonl": '{"text": "Two."}\n' * 8,
    "chats.jsonl": json.dumps(
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    )
    + "\n",
    "without_state/model.safetensors": "x",
    "without_weights/trainer_state.json": {"global_step": 1, "max_steps": 3},
    "no_adapter/config.json": {},
    "checkpoint-4/trainer_state.json": {"global_step": 4, "max_steps": 10},
    "checkpoint-4/model.safetensors": "x",
    "checkpoint-4/optimizer.pt": "x",
}


def rows(count: int) -> str:
    """Rows that every type can train on. All differ, because kto compares each row with the one before."""
    made = []
    for number in range(count):
        asked = {"role": "user", "content": f"What is {number} plus one?"}
        said = {"role": "assistant", "content": f"It is {number + 1}."}
        row = {"messages": [asked, said], "rejected_response": "No.", "label": number % 2 == 0}
        made.append(json.dumps(row) + "\n")
    return "".join(made)

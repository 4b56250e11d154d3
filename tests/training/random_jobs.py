"""Random GRPO jobs of one ms-swift, made from a seed: what `differential.py` asks both sides about.

A valid job is changed in one to four places. What is changed comes from `configurations.VALUES`, where
somebody has thought of it, and from the argument table of that ms-swift, where nobody has.
"""

from __future__ import annotations

import random
from typing import Any

from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table
from tests.training.configurations import _OWN, BASES, MODEL, VALUES, WORLDS, Configuration

#: Arguments that are never drawn: those that prl-submit sets, credentials, and those that act on other
#: machines or on this process.
LEFT_OUT = {
    "output_dir", "add_version", "hub_token", "swanlab_token", "swanlab_secret", "push_to_hub",
    "use_hf", "load_args", "use_ray", "device_groups", "ray_exp_name", "ignore_args_error", "use_cpu",
    "ddp_backend", "local_rank", "rlhf_type", "debug", "tpu_num_cores", "tpu_metrics_debug",
    "use_ipex", "jit_mode_eval", "torchdynamo", "tf32", "full_determinism", "mp_parameters",
    "use_mps_device", "no_cuda", "past_index", "fp16_opt_level", "half_precision_backend",
    "fp16_backend", "data_seed", "model", "dataset", "use_chat_template", "logging_dir",
    "resume_from_checkpoint", "vllm_server_timeout", "skip_memory_metrics", "use_flash_ckpt",
    "enable_dft_loss", "sagemaker", "custom_register_path", "lora_modules", "push_to_hub_model_id",
    "push_to_hub_organization", "push_to_hub_token",
}  # fmt: skip
_WORDS = ("x", "none", "default", "auto", "1", "all-linear", "qwen2_5", "hermes", "nofile.txt")
_INTS = ("-1", "0", "1", "2", "3", "8", "64", "1000000")
_FLOATS = ("-1", "0", "0.1", "0.5", "1", "1.5", "100", "1e-9", "nan")
_JSON = ("{}", '{"a": 1}', "nonsense", "[1, 2]", "'x'", "{'a': 1}", "0.5", "nofile.json")
#: Values for arguments whose text has a meaning.
MORE: dict[str, list[Any]] = {
    "model_type": ["qwen2", "qwen2_5", "qwen", "nope", None],
    "template": ["qwen2_5", "qwen", "qwen25", "chatml", None],
    "loss_scale": ["default", "last_round", "all", "react", "last_round+react", "nonsense"],
    "agent_template": ["hermes", "react_en", "hermess"],
    "attn_impl": ["sdpa", "eager", "flash", "flash_attn", "flash_attention_2"],
    "fsdp": ["full_shard", "full_shard auto_wrap", "offload", "default", "fsdp2", ""],
    "optim": ["adamw_torch", "sgd", "adafactor", "adamw_8bit", "galore_adamw", "lion_8bit"],
    "lr_scheduler_type": ["cosine_with_min_lr", "warmup_stable_decay", "polynomial", "greedy"],
    "lr_scheduler_kwargs": ['{"min_lr": 1e-7}', "{'min_lr': 1e-7}", '{"num_cycles": 2}'],
    "optim_args": ["rank=8", "rank", "a=1,b=2"],
    "report_to": [["swanlab"], ["wandb"], ["tensorboard"], ["none"], ["all"]],
    "max_memory": ['{0: "20GB"}', '{"0": "20GB"}', "20GB"],
    "train_type": ["full", "lora", "lorra"],
    "num_infer_workers": ["1", "2", "4", "8"],
    "tensor_parallel_size": ["1", "2"],
    "system": ["You are.", "nofile.txt"],
    "new_special_tokens": [["<a>"], ["nofile.txt"]],
    "dataset": [["rows.jsonl#x"], ["rows.jsonl#4"], ["rows.jsonl", "rows.jsonl"]],
    "accelerator_config": ['{"split_batches": true}', "nofile.json", '{"nonsense": 1}'],
    "target_modules": [["all-linear"], ["q_proj"], ["nothere"]],
    "columns": ['{"a": "query"}', "{'a': 'query'}", "nonsense"],
    "quant_method": ["bnb", "hqq", "quanto"],
    "val_dataset": [["rows.jsonl"], ["nofile.jsonl"]],
    "deepspeed": ["zero2", "zero3", "zero4", "ds_good.json", "nofile.json"],
}


def random_jobs(table: Table, count: int, seed: int) -> list[Configuration]:
    """`count` jobs for the ms-swift of the table."""
    draw = random.Random(f"{seed} {table.version}")
    base = {name: value for name, value in BASES["grpo"].items() if name in table}
    base["per_device_eval_batch_size"] = "2"  # before 3.6 ms-swift evaluates on 1% of the rows
    if "tuner_type" not in table:
        base["train_type"] = "full"
    names = sorted(set(table) - LEFT_OUT)
    thought = sorted(name for name in {*VALUES, *MORE} if name in table and name not in LEFT_OUT)
    own = sorted(name for name in _OWN["grpo"].split() if name in table)
    jobs = []
    for number in range(count):
        changes: dict[str, Any] = {}
        for _ in range(draw.choice((1, 1, 2, 2, 3, 4))):
            name = draw.choice(draw.choice((names, thought, thought, own)))
            changes[name] = draw.choice(values_of(name, table[name]))
        if draw.random() < 0.05:
            changes["model"] = draw.choice((MODEL, None, "./no_model", "rows.jsonl"))
        jobs.append(Configuration(number, base | changes, draw.choice(WORLDS)))
    return jobs


def values_of(name: str, argument: Argument) -> list[Any]:
    """Values for an argument, valid and invalid ones."""
    thought = [*MORE.get(name, ()), *VALUES.get(name, ())]
    if thought:
        return [_shaped(value, argument) for value in thought]
    pools = {
        "int": _INTS,
        "float": _FLOATS,
        "bool": ("true", "false", "maybe"),
        "json": _JSON,
        "none": ("x",),
    }
    words: tuple[str, ...] = pools.get(argument.kind, _WORDS)
    if argument.choices:
        words = (*argument.choices, "none_of_them")
    return [_shaped(word, argument) for word in words]


def _shaped(value: Any, argument: Argument) -> Any:
    """The value as a list if the argument takes several words."""
    if value is None or isinstance(value, list) == argument.many:
        return value
    return [value] if argument.many else value[0]

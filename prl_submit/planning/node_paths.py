"""Which of ms-swift's arguments name files or folders, and the paths that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from prl_submit.planning.plan import NodePath
from prl_submit.rules.ignored import READERS
from prl_submit.system.user_paths import absolute

#: Arguments that name files or folders, and the kind of each.
PATH_ARGUMENTS = {
    "model": "model",
    "ref_model": "model",
    "teacher_model": "model",
    "reward_model": "model",
    "adapters": "adapter",
    "ref_adapters": "adapter",
    "reward_adapters": "adapter",
    "teacher_adapters": "adapter",
    "dataset": "dataset",
    "val_dataset": "dataset",
    "chord_sft_dataset": "dataset",
    "external_plugins": "plugin",
    "custom_register_path": "plugin",
    "deepspeed": "deepspeed configuration",
    "resume_from_checkpoint": "checkpoint",
    "ckpt_dir": "checkpoint",
    "system": "prompt file",
    "new_special_tokens": "special tokens file",
    "custom_dataset_info": "data set list",
    # ms-swift 4.6.0 utils `json_parse_to_dict`, transformers AcceleratorConfig: JSON text, or the name of a JSON file.
    "accelerator_config": "JSON file",
    "columns": "JSON file",
    "device_map": "JSON file",
    "gradient_checkpointing_kwargs": "JSON file",
    "lr_scheduler_kwargs": "JSON file",
    "max_memory": "JSON file",
    "model_kwargs": "JSON file",
    "mrl_dims": "JSON file",
    "rope_scaling": "JSON file",
    "vllm_engine_kwargs": "JSON file",
    "vllm_limit_mm_per_prompt": "JSON file",
    "vllm_speculative_config": "JSON file",
}
#: ms-swift 4.6.0 dataset_syntax.py: `PATH:subset1/subset2#ROWS`.
_DATASET_SUFFIX = re.compile(r"(:[^/#][^#]*)?(#[0-9]+)?$")
_DATA_ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet")
#: The ending by which ms-swift takes a value of this kind for a file; any other value is the text itself.
_ENDINGS = {
    "prompt file": ".txt",
    "special tokens file": ".txt",
    "deepspeed configuration": ".json",
}
#: Kinds whose values are always paths.
_ALWAYS = ("plugin", "checkpoint")


def node_paths(swift: dict[str, Any], workdir: str, home: str) -> list[NodePath]:
    """The files and folders that the arguments name. They must exist on the node."""
    return [
        NodePath(kind, f"swift.{name}", absolute(path, workdir, home))
        for name, kind, value in named_values(swift)
        if (path := local_path(kind, value))
    ]


def named_values(swift: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Argument, kind and value of each text that may name a file or folder, if this job reads the argument."""
    algorithm = str(swift.get("rlhf_type", "dpo"))
    for name, kind in PATH_ARGUMENTS.items():
        values = swift.get(name)
        if values is None or not _is_read(name, algorithm, swift):
            continue
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str):
                yield name, kind, value


def _is_read(name: str, algorithm: str, swift: dict[str, Any]) -> bool:
    """True if this rlhf_type reads the argument. If it does not, the file need not exist."""
    if name == "ref_model" and algorithm == "grpo" and swift.get("beta") == 0:
        return False  # ms-swift 4.6.0 rlhf_args `__post_init__` ignores it then
    if name == "reward_adapters":
        return bool(swift.get("reward_model"))
    if name == "teacher_adapters":
        return bool(swift.get("teacher_model"))
    return algorithm in READERS.get(name, (algorithm,))


def local_path(kind: str, value: str) -> str | None:
    """The path that a value names. None if the value is a hub's id, a preset or JSON text.

    ms-swift's data sets may end in `:SUBSET` and `#ROWS`. `org/name` is a hub's id unless it begins
    with `./`.
    """
    if kind in _ALWAYS:
        return value
    if kind in _ENDINGS:
        return value if value.endswith(_ENDINGS[kind]) else None
    if kind == "dataset":
        value = _DATASET_SUFFIX.sub("", value)
        return value if value.endswith(_DATA_ENDINGS) or _is_explicit(value) else None
    if kind in ("JSON file", "data set list"):
        return value if _is_json_file(kind, value) else None
    return value if _is_explicit(value) or _has_three_parts(value) else None


def _is_json_file(kind: str, value: str) -> bool:
    """True if the value names a file, and is not JSON text."""
    if value.lstrip()[:1] in ("{", "["):
        return False
    return kind == "data set list" or value.endswith(".json") or "/" in value


def _has_three_parts(value: str) -> bool:
    """True for a path such as `out/v3/checkpoint-9`: a hub's id has two parts, and then perhaps `:FOLDER`."""
    return value.partition(":")[0].strip("/").count("/") > 1


def _is_explicit(value: str) -> bool:
    return value.startswith(("/", "./", "../", "~/"))

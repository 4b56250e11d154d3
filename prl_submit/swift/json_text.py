"""Arguments that take JSON: problems with text that ms-swift cannot read, and with text that nothing uses.

Source: ms-swift 4.6.0 utils/utils `json_parse_to_dict` (before 3.7 base_args `parse_to_dict`). ms-swift
opens the text as a file if there is one of that name; else it decodes the text; else it repairs the text.
"""

from __future__ import annotations

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, problem_at
from prl_submit.spec.scalars import parse_bool
from prl_submit.swift.history import number
from prl_submit.system.reading import decode_json

#: ms-swift 3.1-4.6 trainers/arguments `__post_init__` reads these only if eval_use_evalscope is true.
_EVALSCOPE = (
    "eval_dataset_args", "eval_datasets_args", "eval_generation_config", "extra_eval_args",
)  # fmt: skip
#: transformers TrainingArguments `__post_init__` reads these itself and repairs nothing.
_STRICT = ("accelerator_config", "fsdp_config")
#: Before ms-swift 3.9 only the configurations of these rlhf types have vLLM's arguments.
_GENERATING = ("grpo", "gkd")


def json_problems(
    name: str, node: Node, nodes: dict[str, Node], version: str | None
) -> list[Problem]:
    """The problem with one argument's text, if there is one.

    It is a warning if ms-swift never reads the argument with the job's other arguments. `nodes`: all
    arguments of the job. `version`: the ms-swift that will run, None if unknown.
    """
    text = str(node.value)
    wrong = _wrong(name, text, version)
    if wrong is None:
        return []
    unread = _unread(name, text, nodes, version)
    message = f"{wrong}; {unread}" if unread else wrong
    severity = "warning" if unread else "error"
    hint = f"remove {name}" if unread else None
    return [problem_at(node.origin, f"swift.{name}", message, hint, severity)]


def _wrong(name: str, text: str, version: str | None) -> str | None:
    """What is wrong with the text, or None if ms-swift can read it.

    Since 3.9 ms-swift repairs text that is nearly JSON.
    """
    repairs = version is None or number(version) >= (3, 9)
    if name == "max_memory" and is_literal(text):
        return None
    if text.lstrip()[:1] not in ("{", "["):
        if "/" in text or text.endswith(".json"):
            return None
        return f"expected a mapping, or a JSON file, found {shorten(text)}"
    try:
        decode_json(text.encode())
    except ValueError as error:
        if repairs and name not in _STRICT and is_literal(text):
            return None  # `{'min_lr': 1e-7}`: ms-swift repairs other quotes correctly
        return f"is not JSON: {error}; found {shorten(text)}"
    return None


def is_literal(text: str) -> bool:
    """True if a text is a Python value, such as `{0: "20GB"}`.

    ms-swift >= 3.2 model_args `_init_max_memory` reads max_memory as Python before it tries JSON.
    """
    import ast

    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _unread(name: str, text: str, nodes: dict[str, Node], version: str | None) -> str | None:
    """The reason why nothing reads the argument, or None if something reads it."""
    if name in _EVALSCOPE:
        return None if _is_true(nodes, "eval_use_evalscope") else "only eval_use_evalscope reads it"
    if name == "fsdp_config":
        return _unread_fsdp(text, nodes, version)
    if name.endswith("limit_mm_per_prompt") or name.startswith("vllm_"):
        return _unread_vllm(text, nodes, version)
    return None


def _unread_vllm(text: str, nodes: dict[str, Node], version: str | None) -> str | None:
    """Without use_vllm nothing reads vLLM's arguments, but ms-swift >= 3.9 still decodes them."""
    if _is_true(nodes, "use_vllm"):
        return None
    kind = nodes.get("rlhf_type")
    is_old = version is not None and number(version) < (3, 9)
    is_another_type = kind is None or kind.value not in _GENERATING
    if _is_json(text) or (is_old and is_another_type):
        return "only vLLM reads it, and use_vllm is false"
    return None


def _unread_fsdp(text: str, nodes: dict[str, Node], version: str | None) -> str | None:
    """Why nothing opens the file that fsdp_config names, or None if transformers opens it.

    transformers >= 5.10 (ms-swift >= 4.3) `_process_fsdp_args` opens no file without fsdp. ms-swift >= 3.12
    sft_args `_init_fsdp` replaces fsdp_config by the configuration that fsdp names. transformers decodes
    text that begins with a brace in any case (TrainingArguments `__post_init__`).
    """
    fsdp = nodes.get("fsdp")
    is_on = fsdp is not None and fsdp.value is not None
    if text.startswith("{") or (version is not None and number(version) < (4, 3)):
        return None
    return "fsdp's own configuration takes its place" if is_on else "only fsdp reads it"


def _is_json(text: str) -> bool:
    try:
        decode_json(text.encode())
    except ValueError:
        return False
    return True


def _is_true(nodes: dict[str, Node], name: str) -> bool:
    node = nodes.get(name)
    return node is not None and bool(parse_bool(str(node.value)))


def shorten(text: str) -> str:
    """A value in quotes for a message, at most 60 characters of it."""
    return repr(text if len(text) <= 60 else text[:57] + "…")

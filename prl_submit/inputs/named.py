"""Check of text and JSON files that arguments name and that ms-swift reads before it loads a model.

`local_files` checks that the files exist; this module reads them.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.planning.node_paths import PATH_ARGUMENTS, local_path
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

MAX_BYTES = 4_000_000
_TEXT = ("prompt file", "special tokens file")
_JSON = ("JSON file", "data set list")
ARGUMENTS = tuple(name for name, kind in PATH_ARGUMENTS.items() if kind in (*_TEXT, *_JSON))


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with the content of such files.

    Source: ms-swift 4.6.0 template_args, model_args `_init_new_special_tokens`, utils `json_parse_to_dict`.
    """
    yield from _fsdp_config(job, workdir)
    for name in ARGUMENTS:
        kind = PATH_ARGUMENTS[name]
        for value in map(str, job.many(name)):
            path = resolve(value, workdir)
            named = local_path(kind, value)
            if named is None or not os.path.isfile(path) or made_by_setup(job, path, workdir):
                continue
            fault = _text_fault(path) if kind in _TEXT else _json_fault(path, name)
            if fault == _EMPTY:
                yield job.warn(name, f"{value} {fault[0]}", fault[1])
            elif fault:
                yield job.refuse(name, f"{value} {fault[0]}", fault[1])


_EMPTY = ("is empty", "write the text into it")


def _fsdp_config(job: Job, workdir: str) -> Iterator[Problem]:
    """The file in fsdp_config must be JSON. transformers < 5.10 (ms-swift < 4.3) opens it even without fsdp.

    Source: transformers `_process_fsdp_args`.
    """
    value = job.get("fsdp_config", None)
    if not isinstance(value, str) or value.startswith("{") or job.since("4.3"):
        return
    path = resolve(value, workdir)
    if made_by_setup(job, path, workdir):
        return
    if not os.path.isfile(path):
        yield job.refuse(
            "fsdp_config", f"JSON file {value} is not here", "write it, or remove fsdp_config"
        )
        return
    fault = _json_fault(path, "fsdp_config")
    if fault:
        yield job.refuse("fsdp_config", f"{value} {fault[0]}", fault[1])


def _text_fault(path: str) -> tuple[str, str] | None:
    """What is wrong with a text file, and a hint; None if nothing is."""
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
    except OSError:
        return None  # local_files reports it
    except UnicodeDecodeError as error:
        if error.start > MAX_BYTES - 4:
            return None  # only a part of the last character was read
        return f"is not UTF-8 text: byte {error.start + 1}", "save the file as UTF-8"
    return None if text.strip() else _EMPTY


def _json_fault(path: str, name: str) -> tuple[str, str] | None:
    """What is wrong with a JSON file, and a hint; None if nothing is.

    An empty value such as `[]` is no mapping, but it does no harm.
    """
    try:
        text = read_regular(path, MAX_BYTES)
        value = decode_json(text)
    except OSError:
        return None
    except ValueError as error:
        return f"is not JSON: {error}{_line_of(str(error), text)}", "correct the file"
    if isinstance(value, dict) or name == "custom_dataset_info":
        return None
    if value or name == "model_kwargs":
        return "does not hold a mapping, which ms-swift needs", "correct the file"
    return None


def _line_of(message: str, text: bytes) -> str:
    """`, line 3` for a message of msgspec that ends with `(byte 12)`; empty for another message."""
    digits = message.rpartition("(byte ")[2].rstrip(")")
    if not digits.isdigit():
        return ""
    return f", line {text[: int(digits)].count(chr(10).encode()) + 1}"

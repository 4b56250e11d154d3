"""Which columns of a data file reach the reward functions, as ms-swift 3.0 to 4.6 renames and drops them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prl_submit.inputs.data import MESSAGES, QUERIES, RESPONSES
from prl_submit.inputs.paths import resolve
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: ms-swift 4.6.0 dataset/preprocessor/core, MessagesPreprocessor.
SYSTEMS = ("system", "system_prompt")
MAX_BYTES = 1_000_000


def renames(job: Job, workdir: str) -> dict[str, str] | None:
    """The argument `columns`; None where it cannot be read."""
    value = job.get("columns", None)
    if value is None:
        return {}
    if isinstance(value, str):
        try:
            if value.lstrip()[:1] != "{":
                value = read_regular(resolve(value, workdir), MAX_BYTES)
            value = decode_json(value)
        except (OSError, ValueError):
            return None
    return _texts(value)


def _texts(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {str(key): str(name) for key, name in value.items()}


def rename(keys: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """RowPreprocessor `safe_rename_columns`: the case does not count; two that would be one stay."""
    kept = list(keys)
    as_written = {key.lower(): key for key in kept}
    wanted = {as_written[k.lower()]: new for k, new in names.items() if k.lower() in as_written}
    often = Counter(wanted.values())
    return [wanted[key] if often[wanted.get(key, "")] == 1 else key for key in kept]


def reaching(keys: Iterable[str], names: Mapping[str, str], automatic: bool) -> set[str]:
    """The columns that are left beside the messages; `names`: the argument `columns`.

    AutoPreprocessor: rows without messages are made of query and response, which are used up by that;
    a solution is kept. `automatic`: disable_auto_column_mapping is not set.
    """
    left = rename(keys, names)
    solution = {"solution"} & set(left)
    if set(left) & set(MESSAGES):
        table = dict.fromkeys(MESSAGES, "messages") | dict.fromkeys(SYSTEMS, "system")
        return {*(rename(left, table) if automatic else left), "messages", *solution}
    used = {"query", "response", "system", "history"}
    if {"instruction", "input"} <= set(left):
        used |= {"instruction", "input", "output"}
    table = (
        dict.fromkeys(SYSTEMS, "system")
        | dict.fromkeys(QUERIES, "query")
        | dict.fromkeys(RESPONSES, "response")
    )
    if automatic:
        left = rename(left, table)
    return {*(set(left) - used), "messages", *solution}

"""The columns of a data file that reach the reward functions, after ms-swift has renamed and dropped some.

It holds for ms-swift 3.0 to 4.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prl_submit.inputs.paths import resolve
from prl_submit.inputs.rows import MESSAGES, QUERIES, RESPONSES
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: Names of the column with the system prompt (ms-swift 4.6.0 dataset/preprocessor/core
#: MessagesPreprocessor).
SYSTEMS = ("system", "system_prompt")
MAX_BYTES = 1_000_000


def renames(job: Job, workdir: str) -> dict[str, str] | None:
    """The argument `columns` as a mapping from old to new names; None if it cannot be read."""
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
    """The columns after ms-swift has renamed them by the mapping `names`.

    Upper and lower case count as the same. If two columns would get one name, both keep their names.
    Source: ms-swift RowPreprocessor `safe_rename_columns`.
    """
    kept = list(keys)
    as_written = {key.lower(): key for key in kept}
    new_names = {}
    for old, new in names.items():
        if old.lower() in as_written:
            new_names[as_written[old.lower()]] = new
    often = Counter(new_names.values())
    return [new_names[key] if often[new_names.get(key, "")] == 1 else key for key in kept]


def reaching(keys: Iterable[str], names: Mapping[str, str], automatic: bool) -> set[str]:
    """The columns of a row that a reward function gets.

    `keys`: the columns in the file. `names`: the argument `columns`. `automatic`: ms-swift also renames
    columns by itself (disable_auto_column_mapping is not set). If the rows have no messages, ms-swift makes
    messages from query and response and drops those columns; it keeps a column `solution`. Source: ms-swift
    AutoPreprocessor.
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

"""JSON Schema of the job spec, from the same types that check it."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from prl_submit.scalars import resolve
from prl_submit.spec import Duration, JobSpec
from prl_submit.swift.table import Argument, load_table
from prl_submit.swift.values import OWNED

_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}


def job_schema() -> dict[str, Any]:
    """Draft 2020-12. `extends` may supply any key, so none but the shape is required."""
    schema = msgspec.json.schema(JobSpec)
    _as_written(schema["$defs"])
    job = schema["$defs"]["JobSpec"]
    job["properties"]["swift"] = {
        "type": "object",
        "description": "ms-swift's own arguments",
        "properties": {
            name: _argument(argument)
            for name, argument in load_table().items()
            if name not in OWNED
        },
        "additionalProperties": False,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _as_written(sections: dict[str, Any]) -> None:
    """Durations are seconds only once they are read, and variables are text of any look."""
    sections["Environment"]["properties"]["env"]["additionalProperties"] = {
        "type": ["string", "number", "boolean", "null"]
    }
    duration = {"type": "string", "description": get_args(Duration)[1].description}
    for section, key in (("Resources", "time_limit"), ("Restarts", "grace")):
        properties = sections[section]["properties"]
        properties[key] = {"anyOf": [duration, {"type": "null"}]}


def _argument(argument: Argument) -> dict[str, Any]:
    one: dict[str, Any] = {}
    if argument.choices:
        # As text and, where a choice looks like one, as the number: `quant_bits: 4`.
        one["enum"] = list(dict.fromkeys([*argument.choices, *map(resolve, argument.choices)]))
    elif argument.kind in _TYPES:
        one["type"] = _TYPES[argument.kind]
    else:
        one["type"] = ["string", "number", "boolean", "object"]
    choices = [one, {"type": "array", "items": one, "minItems": 1}] if argument.many else [one]
    return {"anyOf": [*choices, {"type": "null"}]}

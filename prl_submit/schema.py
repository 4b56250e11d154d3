"""JSON Schema of the job spec, from the same types that check it."""

from __future__ import annotations

from typing import Any

import msgspec

from prl_submit.spec import JobSpec
from prl_submit.swift.table import Argument, load_table
from prl_submit.swift.values import OWNED

_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}


def job_schema() -> dict[str, Any]:
    """Draft 2020-12. `extends` may supply any key, so none but the shape is required."""
    schema = msgspec.json.schema(JobSpec)
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


def _argument(argument: Argument) -> dict[str, Any]:
    one: dict[str, Any] = {}
    if argument.choices:
        one["enum"] = list(argument.choices)
    elif argument.kind in _TYPES:
        one["type"] = _TYPES[argument.kind]
    else:
        one["type"] = ["string", "number", "boolean", "object"]
    choices = [one, {"type": "array", "items": one, "minItems": 1}] if argument.many else [one]
    return {"anyOf": [*choices, {"type": "null"}]}

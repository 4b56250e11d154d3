"""JSON Schema of the job spec, from the same types that check it."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
from msgspec import UNSET

from prl_submit.spec.scalars import ALL_MEMORY, resolve
from prl_submit.spec.sections import Duration, JobSpec
from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table
from prl_submit.swift.values import OWNED

_WIDTH = 120  # columns of the printed schema
_TYPES = {
    "int": ["integer"],
    "float": ["number"],
    "bool": ["boolean", "string"],
    "json": ["object", "string"],
}
_TEXT = ["string", "number", "boolean"]
#: Words that are booleans here and text for an editor, which reads YAML 1.2.
_BOOLEAN_WORDS = (
    "^([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[YyNnTtFf01])$"
)


def job_schema(table: Table) -> dict[str, Any]:
    """Draft 2020-12, with the arguments of one ms-swift, their types, choices and defaults.

    `extends` may supply any key, so none is required.
    """
    schema = msgspec.json.schema(JobSpec)
    _as_written(schema["$defs"])
    job = schema["$defs"]["JobSpec"]
    del job["required"]  # a base, or what stands on one, need not have the name
    job["description"] = "one job: what to train, on what, and where"
    job["properties"]["swift"] = {
        "type": "object",
        "description": f"the arguments of ms-swift {table.version}",
        "properties": {
            name: _argument(argument)
            for name, argument in table.items()
            if name not in OWNED and argument.kind != "none"
        },
        "additionalProperties": not table.is_certain,
    }
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"prl-submit job spec, ms-swift {table.version}",
    }
    return {**head, **schema}


def _as_written(sections: dict[str, Any]) -> None:
    """Durations are seconds only once they are read, variables are text of any look, and no memory is a 0."""
    sections["Environment"]["properties"]["env"]["additionalProperties"] = {
        "type": ["string", "number", "boolean", "null"]
    }
    duration = {"type": "string", "description": get_args(Duration)[1].description}
    for section, key in (("Resources", "time_limit"), ("Restarts", "grace")):
        properties = sections[section]["properties"]
        properties[key] = {"anyOf": [duration, {"type": "null"}]}
    memory = sections["Resources"]["properties"]["memory"]["anyOf"]
    memory.insert(1, {"enum": [int(ALL_MEMORY)]})


def _argument(argument: Argument) -> dict[str, Any]:
    """One argument; no `anyOf`, for which editors complete and explain badly."""
    one = _word(argument)
    shape: dict[str, Any] = one
    if argument.many:
        shape = {"type": ["array", *one.get("type", _TEXT)], "minItems": 1, "items": one}
        if "enum" in one:  # of several words each is one of the choices; one alone is not checked
            shape["type"] = ["array", "string"]
    if "enum" in shape:
        shape = {"enum": [*shape["enum"], None]}
    else:
        shape = {**shape, "type": [*shape["type"], "null"]}
    if argument.default is not UNSET and argument.default is not None:
        shape["default"] = argument.default
    return shape


def _word(argument: Argument) -> dict[str, Any]:
    if argument.choices:
        # As text and, where a choice looks like one, as the number: `quant_bits: 4`.
        return {"enum": list(dict.fromkeys([*argument.choices, *map(resolve, argument.choices)]))}
    if argument.kind == "bool":
        return {"type": _TYPES["bool"], "pattern": _BOOLEAN_WORDS}
    if argument.many:
        return {"type": _TYPES.get(argument.kind, _TEXT)}
    return {"type": _TYPES.get(argument.kind, [*_TEXT, "object"])}


def schema_text(value: Any, indent: str = "") -> str:
    """JSON with what fits on a line on one: a third of the lines, and a diff that says which argument."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(indent) + len(short) <= _WIDTH:
        return short
    deeper = indent + " "
    if isinstance(value, list):
        rows = [schema_text(item, deeper) for item in value]
    else:
        rows = [f"{json.dumps(key)}: {schema_text(item, deeper)}" for key, item in value.items()]
    first, last = ("[", "]") if isinstance(value, list) else ("{", "}")
    inside = f",\n{deeper}".join(rows)
    return f"{first}\n{deeper}{inside}\n{indent}{last}"

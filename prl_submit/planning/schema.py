"""The JSON Schema of the job spec, made from the types with which `check` reads it."""

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
#: Words that prl-submit takes for booleans. An editor follows YAML 1.2 and takes most of them for text.
_BOOLEAN_WORDS = (
    "^([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[YyNnTtFf01])$"
)


def job_schema(table: Table) -> dict[str, Any]:
    """Draft 2020-12, with the arguments of one ms-swift, their types, choices and defaults.

    No key is required, because a base (`extends`) may have it.
    """
    schema = msgspec.json.schema(JobSpec)
    _as_written(schema["$defs"])
    job = schema["$defs"]["JobSpec"]
    del job["required"]  # a base, or a spec that extends one, need not have the name
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
    """Adapt the sections to what users write.

    A duration is a text (`12h`), although its type is a number of seconds. A variable may look like a number.
    `memory` may be 0.
    """
    sections["Environment"]["properties"]["env"]["additionalProperties"] = {
        "type": ["string", "number", "boolean", "null"]
    }
    duration = {"type": "string", "description": get_args(Duration)[1].description}
    for section, key in (
        ("Resources", "time_limit"),
        ("Restarts", "grace"),
        ("Platform", "wait"),
        ("Platform", "silence"),
    ):
        properties = sections[section]["properties"]
        properties[key] = {"anyOf": [duration, {"type": "null"}]}
    # An object: keys that are nested, or the limits of a random value.
    values = {"type": ["array", "object"]}
    for key in ("grid", "zip", "random"):
        sections["Sweep"]["properties"][key]["additionalProperties"] = values
    memory = sections["Resources"]["properties"]["memory"]["anyOf"]
    memory.insert(1, {"enum": [int(ALL_MEMORY)]})


def _argument(argument: Argument) -> dict[str, Any]:
    """The schema of one argument, without `anyOf`, because editors handle that badly."""
    one = _word(argument)
    shape: dict[str, Any] = one
    if argument.many:
        shape = {"type": ["array", *one.get("type", _TEXT)], "minItems": 1, "items": one}
        if "enum" in one:  # each item of a list must be a choice; a single word is not checked
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
        # Each choice as text, and as a number too if it looks like one: `quant_bits: 4`.
        return {"enum": list(dict.fromkeys([*argument.choices, *map(resolve, argument.choices)]))}
    if argument.kind == "bool":
        return {"type": _TYPES["bool"], "pattern": _BOOLEAN_WORDS}
    if argument.many:
        return {"type": _TYPES.get(argument.kind, _TEXT)}
    return {"type": _TYPES.get(argument.kind, [*_TEXT, "object"])}


def schema_text(value: Any, indent: str = "") -> str:
    """The value as JSON in which each part stands on one line if it fits. So a diff shows the argument's name."""
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

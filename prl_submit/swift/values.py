"""`swift:` nodes -> typed values -> words of the command line."""

from __future__ import annotations

from typing import Any

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, problem_at
from prl_submit.spec.scalars import format_number, parse_bool, parse_float, parse_int
from prl_submit.spec.typed import plain
from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table

#: Linux: one argument with its NUL is at most 128 KiB (binfmts.h MAX_ARG_STRLEN).
MAX_WORD_BYTES = 131_071
#: Linux gives arguments and environment together a quarter of the stack limit: 2 MiB of 8.
MAX_TOTAL_BYTES = 1_500_000

OWNED = {
    "output_dir": "it is the run directory; `output:` says where run directories live",
    "add_version": "prl-submit numbers the run directories",
}
#: ms-swift 3.0-4.6 pipelines/base SwiftPipeline `_parse_args`: true makes unknown arguments a warning.
IGNORING = "ignore_args_error"


def type_arguments(nodes: dict[str, Node], table: Table) -> tuple[dict[str, Any], list[Problem]]:
    """Values by argument name, as ms-swift would understand them, and what is wrong.

    Null means: not passed, also where only another ms-swift knows the name. A wrong value is left out, so that later rules do not trip over it.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, given in nodes.items():
        node = _only_item(given, table.get(name))
        key = f"swift.{name}"
        if node.origin.layer != "default" and name in OWNED:
            problems.append(problem_at(node.origin, key, "is set by prl-submit", OWNED[name]))
        elif name not in table:
            from prl_submit.swift.unknown_names import (
                is_of_another_version,
                unknown_name,
            )  # rarely needed

            if node.value is None and is_of_another_version(name):
                continue  # one spec for several versions leaves it out where it is unknown
            problems.append(unknown_name(name, node.origin, table, is_true(nodes, IGNORING)))
        elif node.value is not None:
            try:
                values[name] = _typed(table[name], node)
                if table[name].kind == "json" and isinstance(node.value, str):
                    from prl_submit.swift.json_text import json_problems  # few write it as text

                    problems += json_problems(name, node, nodes, table.known_version)
            except ValueError as error:
                problems.append(problem_at(node.origin, key, str(error)))
    for problem in problems:
        if problem.severity == "error" and problem.key:
            values.pop(problem.key.removeprefix("swift."), None)
    return values, problems


def is_true(nodes: dict[str, Node], name: str) -> bool:
    """Whether an argument is written and true."""
    node = nodes.get(name)
    return node is not None and bool(parse_bool(str(node.value)))


def _only_item(node: Node, argument: Argument | None) -> Node:
    """`[1e-6]` for an argument of one value is that value: on the command line both are one word."""
    if argument is None or argument.many or not isinstance(node.value, list):
        return node
    return node.value[0] if len(node.value) == 1 else node


def _typed(argument: Argument, node: Node) -> Any:
    if isinstance(node.value, list):
        if not argument.many:
            raise ValueError(
                f"expected {_noun(argument.kind)}, found a list; this argument takes one value"
            )
        return _many(argument, node.value)
    return _one(argument, node)


def _many(argument: Argument, items: list[Node]) -> list[Any]:
    if not items:
        raise ValueError("is an empty list; leave the key out or write null")
    values = [_one(argument, item) for item in items]
    for value in values:
        if isinstance(value, str) and value.startswith("-") and parse_float(value) is None:
            raise ValueError(
                f"list item {value!r} begins with '-': ms-swift would read it as an argument"
            )
    return values


def _one(argument: Argument, node: Node) -> Any:
    if argument.kind == "none":
        raise ValueError("cannot be set from the command line of this ms-swift")
    if isinstance(node.value, (dict, list)):
        if argument.kind not in ("str", "json"):
            raise ValueError(f"expected {_noun(argument.kind)}, found {_shape(node)}")
        return plain(node)
    text = node.value
    if text is None:
        raise ValueError("is empty")
    parse = {"int": parse_int, "float": parse_float, "bool": parse_bool}.get(argument.kind)
    value = parse(text) if parse else text
    if value is None:
        several = "; several values are a list: [a, b]" if argument.many and " " in text else ""
        raise ValueError(f"expected {_noun(argument.kind)}, found {_shorten(text)}{several}")
    if argument.choices and text not in argument.choices:
        raise ValueError(f"expected one of {', '.join(argument.choices)}; found {_shorten(text)}")
    return value


def _noun(kind: str) -> str:
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "json": "a mapping",
    }
    return names.get(kind, "text")


def _shape(node: Node) -> str:
    return "a mapping" if isinstance(node.value, dict) else "a list"


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def word(value: Any) -> str:
    """One value as ms-swift's command line wants it; mappings as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return format_number(value)
    if isinstance(value, (dict, list)):
        import json

        return json.dumps(value, ensure_ascii=False)
    return str(value)


def words(name: str, value: Any) -> list[str]:
    """`--name value`, `--name=-value`, or `--name a b c` (contract, last line)."""
    if isinstance(value, list):
        return [f"--{name}", *(_list_word(item) for item in value)]
    text = _devices(value) if name == "max_memory" and isinstance(value, dict) else word(value)
    # argparse would take a word that begins with '-' for an option.
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _devices(value: dict[str, Any]) -> str:
    """`{0: '20GB'}`: GPUs are numbers for accelerate, and JSON's keys cannot be.

    ms-swift >= 3.2 model_args `_init_max_memory` reads a Python value.
    """
    return repr({int(key) if key.isdecimal() else key: size for key, size in value.items()})


def _list_word(value: Any) -> str:
    """Argparse knows -0.000001 for a number, but takes -1e-6 for an option."""
    if isinstance(value, float) and value < 0:
        from decimal import Decimal

        return f"{Decimal(repr(value)):f}"
    return word(value)


def check_sizes(groups: list[list[str]], nodes: dict[str, Node]) -> list[Problem]:
    """Arguments that no Linux process could be given."""
    problems = []
    for group in groups:
        name = group[0].removeprefix("--").partition("=")[0]
        longest = max(len(text.encode()) for text in group)
        if longest > MAX_WORD_BYTES and name in nodes:
            problems.append(
                problem_at(
                    nodes[name].origin,
                    f"swift.{name}",
                    f"is {longest:,} bytes; Linux passes at most {MAX_WORD_BYTES:,} per argument",
                    "put it in a file, if the argument takes one",
                )
            )
    total = sum(len(text.encode()) + 9 for group in groups for text in group)
    if total > MAX_TOTAL_BYTES and not problems:
        message = f"all arguments together are {total:,} bytes; the limit is {MAX_TOTAL_BYTES:,}"
        problems.append(
            Problem(file=None, line=None, key="swift", message=message, label="command line")
        )
    return problems

"""The `swift:` section: from nodes to typed values, and from typed values to words of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, problem_at
from prl_submit.spec.scalars import format_number, parse_bool, parse_float, parse_int
from prl_submit.spec.typed import plain
from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table

#: The longest argument that Linux passes: 128 KiB with its final NUL (binfmts.h MAX_ARG_STRLEN).
MAX_WORD_BYTES = 131_071
#: All arguments together. Linux allows arguments and environment a quarter of the stack limit, which is
#: 2 MiB with the usual stack of 8 MiB; the environment needs room too.
MAX_TOTAL_BYTES = 1_500_000

#: Arguments that prl-submit sets itself, and why.
OWNED = {
    "output_dir": "it is the run directory; `output:` says where run directories live",
    "add_version": "prl-submit numbers the run directories",
}
#: If this argument is true, ms-swift only warns of unknown arguments (ms-swift 3.0-4.6 pipelines/base
#: SwiftPipeline `_parse_args`).
IGNORING = "ignore_args_error"


def type_arguments(nodes: dict[str, Node], table: Table) -> tuple[dict[str, Any], list[Problem]]:
    """The values by argument name as ms-swift would understand them, and the problems.

    A null means that the argument is not passed; so a null is allowed for a name that only other
    releases have. A wrong value is left out, so that later rules do not report it again.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, given in nodes.items():
        node = _only_item(given, table.get(name))
        if node.origin.layer != "default" and name in OWNED:
            key = f"swift.{name}"
            problems.append(problem_at(node.origin, key, "is set by prl-submit", OWNED[name]))
        elif name not in table:
            problems += _unknown(name, node, nodes, table)
        elif node.value is not None:
            problems += _add_value(name, node, nodes, table, values)
    for problem in problems:
        if problem.severity == "error" and problem.key:
            values.pop(problem.key.removeprefix("swift."), None)
    return values, problems


def _unknown(name: str, node: Node, nodes: dict[str, Node], table: Table) -> list[Problem]:
    """The problem of a name that the table lacks."""
    # imported here because few jobs have an unknown name
    from prl_submit.swift.unknown_names import is_of_another_version, unknown_name

    if node.value is None and is_of_another_version(name):
        return []  # so one spec can be used with several releases
    return [unknown_name(name, node.origin, table, is_true(nodes, IGNORING))]


def _add_value(
    name: str, node: Node, nodes: dict[str, Node], table: Table, values: dict[str, Any]
) -> list[Problem]:
    """Add the value of one argument to `values`; return the problems with it."""
    try:
        values[name] = _typed(table[name], node)
    except ValueError as error:
        hint = _near_choice(table[name], node)
        return [problem_at(node.origin, f"swift.{name}", str(error), hint)]
    if table[name].kind == "json" and isinstance(node.value, str):
        from prl_submit.swift.json_text import json_problems

        return json_problems(name, node, nodes, table.known_version)
    return []


def _near_choice(argument: Argument, node: Node) -> str | None:
    """The hint `did you mean 'grpo'?` for a text that is similar to one of the argument's choices."""
    if not argument.choices or not isinstance(node.value, str):
        return None
    from prl_submit.spec.suggest import did_you_mean

    return did_you_mean(node.value, argument.choices)


def is_true(nodes: dict[str, Node], name: str) -> bool:
    """True if the argument is written and its value means true."""
    node = nodes.get(name)
    return node is not None and bool(parse_bool(str(node.value)))


def _only_item(node: Node, argument: Argument | None) -> Node:
    """The item of a list with one item, if the argument takes one value; else the node itself.

    On the command line `[1e-6]` and `1e-6` are the same word.
    """
    if argument is None or argument.many or not isinstance(node.value, list):
        return node
    return node.value[0] if len(node.value) == 1 else node


def _typed(argument: Argument, node: Node) -> Any:
    """The value of a node as the argument's type. Raises ValueError with what is wrong."""
    if isinstance(node.value, list):
        if not argument.many:
            raise ValueError(
                f"expected {_noun(argument.kind)}, found a list; this argument takes one value"
            )
        return _many(argument, node.value)
    return _one(argument, node)


def _many(argument: Argument, items: list[Node]) -> list[Any]:
    if not items:
        raise ValueError("is an empty list; remove the key or write null")
    values = [_one(argument, item) for item in items]
    for value in values:
        if isinstance(value, str) and value.startswith("-") and parse_float(value) is None:
            raise ValueError(
                f"list item {value!r} begins with '-': ms-swift would read it as an argument"
            )
    return values


#: How the text of each kind is parsed. The text of any other kind is its value.
_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": parse_int,
    "float": parse_float,
    "bool": parse_bool,
}


def _one(argument: Argument, node: Node) -> Any:
    """A single value, or one item of a list."""
    if argument.kind == "none":
        raise ValueError("cannot be set from the command line of this ms-swift")
    if isinstance(node.value, (dict, list)):
        if argument.kind not in ("str", "json"):
            raise ValueError(f"expected {_noun(argument.kind)}, found {_shape(node)}")
        return plain(node)
    if node.value is None:
        raise ValueError("is empty")
    return _from_text(argument, node.value)


def _from_text(argument: Argument, text: str) -> Any:
    """The value of a text as the argument's kind, if it is one of the argument's choices."""
    parse = _PARSERS.get(argument.kind)
    value = parse(text) if parse else text
    if value is None:
        several = (
            "; write several values as a list: [a, b]" if argument.many and " " in text else ""
        )
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
    """A value as one word for ms-swift's command line. A mapping or a list inside it becomes JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return format_number(value)
    if isinstance(value, (dict, list)):
        import json

        return json.dumps(value, ensure_ascii=False)
    return str(value)


def words(name: str, value: Any) -> list[str]:
    """The words that pass an argument: `--name value`, `--name=-value`, or `--name a b c` for a list."""
    if isinstance(value, list):
        return [f"--{name}", *(_list_word(item) for item in value)]
    text = _devices(value) if name == "max_memory" and isinstance(value, dict) else word(value)
    # argparse would read a separate word that begins with '-' as an option.
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _devices(value: dict[str, Any]) -> str:
    """max_memory as a Python value, such as `{0: '20GB'}`.

    accelerate needs the GPUs as numbers, and keys in JSON are always texts. ms-swift >= 3.2 model_args
    `_init_max_memory` reads Python values.
    """
    return repr({int(key) if key.isdecimal() else key: size for key, size in value.items()})


def _list_word(value: Any) -> str:
    """An item of a list as a word. A negative number has no exponent, because argparse reads -1e-6 as an option."""
    if isinstance(value, float) and value < 0:
        from decimal import Decimal

        return f"{Decimal(repr(value)):f}"
    return word(value)


def check_sizes(groups: list[list[str]], nodes: dict[str, Node]) -> list[Problem]:
    """Problems with arguments that are too long for Linux.

    `groups`: the words of each argument, as `words` makes them. `nodes`: the `swift:` nodes, for the lines.
    """
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
                    "put the text into a file, if the argument takes the name of a file",
                )
            )
    total = sum(len(text.encode()) + 9 for group in groups for text in group)
    if total > MAX_TOTAL_BYTES and not problems:
        message = f"all arguments together are {total:,} bytes; the limit is {MAX_TOTAL_BYTES:,}"
        problems.append(
            Problem(file=None, line=None, key="swift", message=message, label="command line")
        )
    return problems

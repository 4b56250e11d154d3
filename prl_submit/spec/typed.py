"""From a node tree to the typed sections of `sections`. All problems are collected, not only the first."""

from __future__ import annotations

from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, problem_at
from prl_submit.spec.scalars import (
    duration_hint,
    parse_bool,
    parse_duration,
    parse_int,
    parse_memory,
    parse_node_memory,
    resolve,
)
from prl_submit.spec.sections import Arguments, JobSpec, SweptKeys
from prl_submit.spec.suggest import did_you_mean

#: Stands for a value that is wrong; its problem has been recorded.
_BAD: Any = object()
#: How the hint begins for an unknown key of which nothing better is known than its neighbours.
KEYS_HERE = "keys here: "


def read_spec(tree: Node) -> tuple[JobSpec, list[Problem]]:
    """The typed spec and everything that is wrong with it. A wrong value is replaced by its default."""
    problems: list[Problem] = []
    spec = _struct(JobSpec, tree, "", problems)
    if spec is _BAD:  # `name`, the only required field, is missing or wrong
        spec = JobSpec(name="unnamed", **_without_name(tree))
    return spec, problems


def _without_name(tree: Node) -> dict[str, Any]:
    """The fields of a spec except `name`, without wrong values. Records no problem a second time."""
    fields = {}
    for field, kind in _hints(JobSpec).items():
        if isinstance(tree.value, dict) and field in tree.value and field != "name":
            value = _value(kind, tree.value[field], field, [])
            if value is not _BAD:
                fields[field] = value
    return fields


def plain(node: Node) -> Any:
    """A node as plain data. An unquoted scalar becomes a number or a boolean if it looks like one."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return resolve(node.value) if node.plain and node.value is not None else node.value


def _struct(kind: type[Struct], node: Node, path: str, problems: list[Problem]) -> Any:
    """A section of the type `kind`, or _BAD if the node is no mapping or a required field is missing."""
    if not isinstance(node.value, dict):
        problems.append(not_a_mapping(node, path))
        return _BAD
    hints = _hints(kind)
    values = {}
    for key, child in node.value.items():
        here = f"{path}.{key}" if path else key
        if key not in hints:
            problems.append(_unknown(child, here, key, hints))
        elif child.value is not None:
            value = _value(hints[key], child, here, problems)
            if value is not _BAD:
                values[key] = value
    missing = [name for name in _required(kind) if name not in values]
    if missing:
        problems += _missing_fields(missing, node, path)
        return _BAD
    return kind(**values)


def _missing_fields(missing: list[str], node: Node, path: str) -> list[Problem]:
    """A problem for each required field that nobody wrote. A wrong value has its problem already."""
    problems = []
    for name in missing:
        if mapping_value(node, name) is None:
            here = f"{path}.{name}" if path else name
            problems.append(problem_at(node.origin, here, "is required", f"add `{name}: …`"))
    return problems


def mapping_value(node: Node, key: str) -> Any:
    """The value under `key` of a mapping node. None if it is absent or null."""
    child = node.value.get(key) if isinstance(node.value, dict) else None
    return None if child is None else child.value


def _hints(kind: type[Struct]) -> dict[str, Any]:
    """The type of each field. They are types, not texts, because sections.py does not postpone them."""
    return kind.__annotations__


def _required(kind: type[Struct]) -> list[str]:
    """The names of the fields without a default."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    # msgspec lists the defaults of the last fields only.
    first = len(names) - len(defaults)
    late = zip(names[first:], defaults, strict=True)
    return [*names[:first], *(name for name, default in late if default is msgspec.NODEFAULT)]


def _value(kind: Any, node: Node, path: str, problems: list[Problem]) -> Any:
    """A value of the type `kind`, or _BAD with its problem added to `problems`."""
    if kind is Arguments:
        return {}  # typed later, by the table of the job's ms-swift
    if kind is SweptKeys:
        return _swept(node, path, problems)
    kind = _pick(kind, node)
    origin = get_origin(kind)
    if kind is Any:
        return plain(node)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(kind, node, path, problems)
    if origin is list:
        return _list(get_args(kind)[0], node, path, problems)
    if origin is dict:
        return _dict(get_args(kind), node, path, problems)
    return _leaf(kind, node, path, problems)


def _pick(kind: Any, node: Node) -> Any:
    """The member of a union that fits the node: a section for a mapping, else the other member.

    None is never picked, because a null never reaches this function.
    """
    if get_origin(kind) is not Union and type(kind).__name__ != "UnionType":
        return kind
    members = [member for member in get_args(kind) if member is not type(None)]
    structs = [m for m in members if isinstance(m, type) and issubclass(m, Struct)]
    others = [m for m in members if m not in structs]
    wants_struct = isinstance(node.value, dict) or not others
    return structs[0] if structs and wants_struct else others[0]


def _list(item: Any, node: Node, path: str, problems: list[Problem]) -> Any:
    if not isinstance(node.value, list):
        problems.append(_mismatch(node, path, "a list", "write [item, item]"))
        return _BAD
    values = []
    for index, child in enumerate(node.value):
        here = f"{path}[{index}]"
        if child.value is None:
            problems.append(problem_at(child.origin, here, "is empty"))
            values.append(_BAD)
        else:
            values.append(_value(item, child, here, problems))
    return _BAD if _BAD in values else values


def _dict(kinds: tuple[Any, ...], node: Node, path: str, problems: list[Problem]) -> Any:
    """A mapping whose keys and values have the two types in `kinds`. Wrong entries are left out."""
    if not isinstance(node.value, dict):
        problems.append(not_a_mapping(node, path))
        return _BAD
    found = {}
    for key, child in node.value.items():
        here = f"{path}.{key}"
        if not _fits(kinds[0], key):
            problems.append(
                problem_at(
                    child.origin, here, f"expected {_describe(kinds[0])} as a key, found {key!r}"
                )
            )
        elif child.value is not None:
            value = _value(kinds[1], child, here, problems)
            if value is not _BAD:
                found[key] = value
    return found


def _swept(node: Node, path: str, problems: list[Problem]) -> Any:
    """The values of a sweep as plain data: `sweeps.combinations` checks them, and types them in each combination."""
    if isinstance(node.value, dict):
        return plain(node)
    problems.append(not_a_mapping(node, path))
    return _BAD


def _leaf(kind: Any, node: Node, path: str, problems: list[Problem]) -> Any:
    if isinstance(node.value, str):
        value = _parse(kind, node.value)
        if value is not None and _fits(kind, value):
            return value
    ambiguous = isinstance(node.value, str) and _extra_kind(kind) == "duration"
    hint = duration_hint(str(node.value)) if ambiguous else None
    problems.append(_mismatch(node, path, _describe(kind), hint))
    return _BAD


def _parse(kind: Any, text: str) -> Any:
    """The text as a value of the type `kind`, or None. `_fits` then checks the type's limits."""
    extra = _extra_kind(kind)
    if extra == "duration":
        return parse_duration(text)
    if extra == "memory":
        return parse_memory(text)
    if extra == "node memory":
        return parse_node_memory(text)
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if base is int:
        return parse_int(text)
    return parse_bool(text) if base is bool else text


def _extra_kind(kind: Any) -> str | None:
    """`duration`, `memory` or `node memory` for the types that sections.py marks so; else None."""
    metas = _metas(kind)
    return (metas[0].extra or {}).get("kind") if metas else None


def _fits(kind: Any, value: Any) -> bool:
    """True if the value keeps the limits of the type `kind`."""
    has_pattern = any(meta.pattern for meta in _metas(kind))
    if has_pattern and isinstance(value, str) and value.endswith("\n"):
        return False  # a pattern's `$` would match before the last newline
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _metas(kind: Any) -> list[Meta]:
    """The limits and descriptions of an annotated type."""
    if get_origin(kind) is not Annotated:
        return []
    return [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]


def _describe(kind: Any) -> str:
    """What a value of the type `kind` looks like, for messages."""
    for meta in _metas(kind):
        if meta.description:
            return meta.description
    choices = [str(arg) for arg in get_args(kind)]
    return "one of " + ", ".join(choices) if choices else "text"


def _shown(node: Node) -> str:
    """A node's value for messages, at most 60 characters of it."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    text = node.value or ""
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _mismatch(node: Node, path: str, wanted: str, hint: str | None = None) -> Problem:
    found = "nothing" if node.value is None else _shown(node)
    return problem_at(node.origin, path or None, f"expected {wanted}, found {found}", hint)


def not_a_mapping(node: Node, path: str) -> Problem:
    """The problem of a section that is written as something else."""
    return _mismatch(node, path, "a mapping of keys to values")


def _unknown(node: Node, path: str, key: str, known: dict[str, Any]) -> Problem:
    hint = did_you_mean(key, known) or _meant(path, key) or f"{KEYS_HERE}{', '.join(known)}"
    return problem_at(node.origin, path, "unknown key", hint)


def _meant(path: str, key: str) -> str | None:
    """A hint for an unknown key that other tools use: our name in this section, or in another one."""
    from prl_submit.spec import meanings

    section = path.removesuffix(key)
    wanted = meanings.KEYS.get(key.lower().replace("-", "_"), ())
    for name in wanted:
        rest = name.removeprefix(section)
        if name.startswith(section) and "." not in rest:
            return f"did you mean {rest!r}?"
    if wanted:
        return meanings.did_you_mean_one_of(list(wanted))
    elsewhere = meanings.key_elsewhere(key)
    return meanings.did_you_mean_one_of([elsewhere]) if elsewhere else None

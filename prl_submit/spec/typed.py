"""Node tree -> typed sections, gathering every problem instead of stopping at the first."""

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
from prl_submit.spec.sections import JobSpec
from prl_submit.spec.suggest import did_you_mean

_BAD: Any = object()


def read_spec(tree: Node) -> tuple[JobSpec, list[Problem]]:
    """The typed spec and all that is wrong with it; a wrong value leaves its default in place."""
    problems: list[Problem] = []
    spec = _struct(JobSpec, tree, "", problems)
    if spec is _BAD:  # only `name` is required
        fields = {
            field: _value(kind, tree.value[field], field, [])
            for field, kind in _hints(JobSpec).items()
            if isinstance(tree.value, dict) and field in tree.value and field != "name"
        }
        spec = JobSpec(name="unnamed", **{k: v for k, v in fields.items() if v is not _BAD})
    return spec, problems


def plain(node: Node) -> Any:
    """Plain data of a tree, each unquoted scalar as what it looks like."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return resolve(node.value) if node.plain and node.value is not None else node.value


def _struct(kind: type[Struct], node: Node, path: str, problems: list[Problem]) -> Any:
    if not isinstance(node.value, dict):
        problems.append(_mismatch(node, path, "a mapping of keys to values"))
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
    for name in missing:
        here = f"{path}.{name}" if path else name
        if mapping_value(node, name) is None:
            problems.append(problem_at(node.origin, here, "is required", f"add `{name}: …`"))
    return _BAD if missing else kind(**values)


def mapping_value(node: Node, key: str) -> Any:
    """The value under `key`, None where it is absent or null."""
    child = node.value.get(key) if isinstance(node.value, dict) else None
    return None if child is None else child.value


def _hints(kind: type[Struct]) -> dict[str, Any]:
    return kind.__annotations__  # real types: spec.py does not postpone them


def _required(kind: type[Struct]) -> list[str]:
    """Names of the fields without a default; msgspec lists defaults for the last fields only."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    first = len(names) - len(defaults)
    late = zip(names[first:], defaults, strict=True)
    return [*names[:first], *(name for name, default in late if default is msgspec.NODEFAULT)]


def _value(kind: Any, node: Node, path: str, problems: list[Problem]) -> Any:
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
    """The member of a union that fits the node's shape; None is never wanted here."""
    if get_origin(kind) is not Union and type(kind).__name__ != "UnionType":
        return kind
    members = [member for member in get_args(kind) if member is not type(None)]
    structs = [m for m in members if isinstance(m, type) and issubclass(m, Struct)]
    others = [m for m in members if m not in structs]
    return structs[0] if structs and (isinstance(node.value, dict) or not others) else others[0]


def _list(item: Any, node: Node, path: str, problems: list[Problem]) -> Any:
    if not isinstance(node.value, list):
        problems.append(_mismatch(node, path, "a list", "write [item, item]"))
        return _BAD
    values = [
        _value(item, child, f"{path}[{i}]", problems)
        if child.value is not None
        else _null(child, f"{path}[{i}]", problems)
        for i, child in enumerate(node.value)
    ]
    return _BAD if _BAD in values else values


def _null(node: Node, path: str, problems: list[Problem]) -> Any:
    problems.append(problem_at(node.origin, path, "is empty"))
    return _BAD


def _dict(kinds: tuple[Any, ...], node: Node, path: str, problems: list[Problem]) -> Any:
    if not isinstance(node.value, dict):
        problems.append(_mismatch(node, path, "a mapping of keys to values"))
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
    """Text as the kind wants it, or None; limits are msgspec's business, in `_fits`."""
    if _extra_kind(kind) == "duration":
        return parse_duration(text)
    if _extra_kind(kind) == "memory":
        return parse_memory(text)
    if _extra_kind(kind) == "node memory":
        return parse_node_memory(text)
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if base is int:
        return parse_int(text)
    return parse_bool(text) if base is bool else text


def _extra_kind(kind: Any) -> Any:
    return next(((m.extra or {}).get("kind") for m in _metas(kind)), None)


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(value, str) and value.endswith("\n") and any(m.pattern for m in _metas(kind)):
        return False  # `$` matches before a last newline
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _metas(kind: Any) -> list[Meta]:
    return (
        [m for m in get_args(kind)[1:] if isinstance(m, Meta)]
        if get_origin(kind) is Annotated
        else []
    )


def _describe(kind: Any) -> str:
    for meta in _metas(kind):
        if meta.description:
            return meta.description
    choices = [str(arg) for arg in get_args(kind)]
    return "one of " + ", ".join(choices) if choices else "text"


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    text = node.value or ""
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _mismatch(node: Node, path: str, wanted: str, hint: str | None = None) -> Problem:
    found = "nothing" if node.value is None else _shown(node)
    return problem_at(node.origin, path or None, f"expected {wanted}, found {found}", hint)


def _unknown(node: Node, path: str, key: str, known: dict[str, Any]) -> Problem:
    hint = did_you_mean(key, known) or _meant(path, key) or f"keys here: {', '.join(known)}"
    return problem_at(node.origin, path, "unknown key", hint)


def _meant(path: str, key: str) -> str | None:
    """The hint for a key by what it means: another name here, or a key of another section."""
    from prl_submit.spec import meanings  # only where something is wrong
    from prl_submit.swift.history import load_history

    section = path.removesuffix(key)
    wanted = meanings.KEYS.get(key.lower().replace("-", "_"), ())
    here = [name for name in wanted if name.startswith(section) and "." not in name[len(section) :]]
    if here:
        return f"did you mean {here[0][len(section) :]!r}?"
    own = meanings.key_elsewhere(key)
    if elsewhere := list(wanted) or ([own] if own else []):
        return meanings.did_you_mean_one_of(elsewhere)
    arguments = [key, *meanings.ARGUMENTS.get(key, ())]
    known = [name for name in arguments if load_history().years(name) is not None]
    return f"an argument of ms-swift stands under `swift:`, as swift.{known[0]}" if known else None

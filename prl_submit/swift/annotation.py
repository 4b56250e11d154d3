"""A dataclass field's annotation -> the argument that transformers' HfArgumentParser makes of it.

transformers 4.47 to 5.19, hf_argparser.py `_parse_dataclass_field`, followed branch by branch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Union

from prl_submit.swift.argument import Argument

Enumeration = dict[str, Any]
#: An annotation as the parser sees it: `int`, `None`, a Literal's values, list[...], a union.
Type = Union[str, "Literals", "ListOf", "OneOf"]


class Literals(tuple[str, ...]):
    """The values of a Literal, or of an Enum, as the command line spells them."""


class ListOf(tuple[Type]):
    """`list[X]`."""


class OneOf(tuple[Type, ...]):
    """`X | Y | None`, flat."""


_SIMPLE = ("int", "float", "bool", "str", "dict", "None", "Any")
#: A class of accelerate whose fields are numbers: it can be made of no text.
_UNMADE = ("ParallelismConfig",)
_LISTS = ("list", "List", "Sequence")
_DICTS = ("dict", "Dict", "Mapping")


def describe(annotation: ast.expr, enumeration: Callable[[str], Enumeration | None]) -> Argument:
    """Kind, number of words and choices; `enumeration` gives an Enum's members by its name."""
    kind = _type(annotation, enumeration)
    if isinstance(kind, OneOf):
        kind = _member(kind)
    if isinstance(kind, Literals):
        return Argument("str", choices=tuple(kind))
    if isinstance(kind, ListOf):
        (item,) = kind
        if isinstance(item, Literals):
            return Argument("str", True, tuple(item))
        return Argument(item if item in ("int", "float", "bool") else "str", True)
    return Argument({"dict": "none"}.get(kind, kind) if isinstance(kind, str) else "str")


def _member(kind: OneOf) -> Type:
    """Which member of a union the parser takes.

    Of `str | dict | None` text: ms-swift sees to it since 3.9, and before `typing`, which remembers
    the first order in which a union of these was written, did by chance (measured with 3.8.0).
    """
    if set(kind) == {"str", "dict", "None"}:
        return "str"
    if "None" not in kind:
        return kind[0] if kind[1] == "str" else kind[1]
    if "bool" in kind:
        return "bool" if len(kind) == 2 else "dict"  # a union itself can read no text either
    return kind[0] if kind[1] == "None" else kind[1]


def _type(node: ast.expr, enumeration: Callable[[str], Enumeration | None]) -> Type:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):  # a forward reference
            return _type(ast.parse(node.value, mode="eval").body, enumeration)
        return "None"
    if isinstance(node, ast.BinOp):
        return _one_of([_type(node.left, enumeration), _type(node.right, enumeration)])
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if isinstance(node, ast.Subscript):
        return _subscript(node, enumeration)
    if name in _SIMPLE:
        return name
    if name in _UNMADE:
        return "dict"
    members = enumeration(name)
    return Literals(map(str, members.values())) if members else "str"


def _subscript(node: ast.Subscript, enumeration: Callable[[str], Enumeration | None]) -> Type:
    outer = getattr(node.value, "id", getattr(node.value, "attr", ""))
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return Literals(str(ast.literal_eval(item)) for item in inner)
    if outer == "Optional":
        return _one_of([_type(inner[0], enumeration), "None"])
    if outer == "Union":
        return _one_of([_type(item, enumeration) for item in inner])
    if outer in _LISTS:
        return ListOf([_type(inner[0], enumeration)])
    return "dict" if outer in _DICTS else "str"


def _one_of(kinds: list[Type]) -> Type:
    flat: list[Type] = []
    for kind in kinds:
        flat += [x for x in (kind if isinstance(kind, OneOf) else (kind,)) if x not in flat]
    return OneOf(flat) if len(flat) > 1 else flat[0]

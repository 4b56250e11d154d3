"""From a dataclass field's annotation to the argument that transformers' HfArgumentParser makes of it.

The functions follow hf_argparser.py `_parse_dataclass_field` of transformers 4.47 to 5.19 branch by branch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Union

from prl_submit.swift.argument import Argument

Enumeration = dict[str, Any]
#: An annotation as the parser sees it: a simple type such as `int` or `None`, a Literal, a list, a union.
Type = Union[str, "Literals", "ListOf", "OneOf"]


class Literals(tuple[str, ...]):
    """The values of a Literal, or of an Enum, as the command line spells them."""


class ListOf(tuple[Type]):
    """`list[X]`."""


class OneOf(tuple[Type, ...]):
    """The members of `X | Y | None`; a union inside a union is flattened."""


_SIMPLE = ("int", "float", "bool", "str", "dict", "None", "Any")
#: Classes that the parser cannot make from a text. accelerate's ParallelismConfig is one.
_UNMADE = ("ParallelismConfig",)
_LISTS = ("list", "List", "Sequence")
_DICTS = ("dict", "Dict", "Mapping")


def describe(annotation: ast.expr, enumeration: Callable[[str], Enumeration | None]) -> Argument:
    """The argument's kind, choices, and whether it takes several words.

    `enumeration`: a function that returns the members of an Enum by the Enum's name, or None.
    """
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
    """The member of a union that the parser uses.

    For `str | dict | None` the parser uses text. ms-swift arranges that since 3.9. In earlier releases it
    was so by chance: `typing` caches unions and keeps the order that was written first (measured with
    3.8.0).
    """
    if set(kind) == {"str", "dict", "None"}:
        return "str"
    if "None" not in kind:
        return kind[0] if kind[1] == "str" else kind[1]
    if "bool" in kind:
        return (
            "bool" if len(kind) == 2 else "dict"
        )  # like a dict, a longer union cannot be made from text
    return kind[0] if kind[1] == "None" else kind[1]


def _type(node: ast.expr, enumeration: Callable[[str], Enumeration | None]) -> Type:
    """The type that an annotation's syntax tree stands for. An unknown class counts as text."""
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
    """The type of an annotation with brackets, such as `Literal["a"]` or `list[int]`."""
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
    """The union of several types without duplicates; a single type if only one is left."""
    flat: list[Type] = []
    for kind in kinds:
        members = kind if isinstance(kind, OneOf) else (kind,)
        for member in members:
            if member not in flat:
                flat.append(member)
    return OneOf(flat) if len(flat) > 1 else flat[0]

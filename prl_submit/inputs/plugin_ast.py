"""All names that a plugin registers, found by following its whole text with `ast`.

If the plugin contains code that cannot be followed, the answer is None: then it may register any name.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from typing import NamedTuple

#: Packages that plugins import and that register nothing with ms-swift.
_HARMLESS = frozenset({
    "swift", "torch", "numpy", "transformers", "trl", "peft", "accelerate", "datasets", "requests",
    "httpx", "aiohttp", "openai", "anthropic", "tqdm", "json_repair", "math_verify",
    "latex2sympy2_ext", "sympy", "pandas", "scipy", "sklearn", "nltk", "rouge", "rouge_score",
    "sacrebleu", "evaluate", "PIL", "regex", "yaml", "pydantic", "jieba", "vllm", "tenacity",
    "bert_score", "sentence_transformers",
})  # fmt: skip

#: Modules of the standard library that can import or run code that the plugin's text does not show.
_HARMFUL = frozenset({"runpy", "pkgutil", "imp", "ctypes", "builtins"})
#: Functions with which code can reach a registry without writing its name.
_UNSEEN = frozenset(
    {"exec", "eval", "__import__", "getattr", "setattr", "vars", "globals", "locals"}
)


def provided(source: str, registry: str) -> set[str] | None:
    """All names that a file registers in a registry such as `orms`. None if the file cannot be followed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # `plugins.syntax` reports a syntax error
    names: set[str] = set()
    followed = _returned_mentions(tree, registry)
    for node in ast.walk(tree):
        found = None if _may_hide_names(node, tree, registry) else registers(node, registry)
        if found is None:
            return None
        names.update(found.names)
        followed |= found.mentions
    for node in ast.walk(tree):
        if name_of(node) == registry and id(node) not in followed and not _is_target(node):
            return None  # the registry is passed to a function, or gets another name
    return names


def _may_hide_names(node: ast.AST, tree: ast.Module, registry: str) -> bool:
    """True if the node can register names that the plugin's text does not show."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return not _is_harmless(node, registry)
    if isinstance(node, ast.AugAssign):
        return name_of(node.target) == registry
    if not isinstance(node, ast.Call):
        return False
    if name_of(node.func) == "import_module":
        modules = _modules(node, tree)
        return not modules or not _tops(modules) <= _HARMLESS
    return name_of(node.func) in _UNSEEN


class Registered(NamedTuple):
    """The names that one node registers, and the ids of the nodes in it that mention the registry."""

    names: list[str]
    mentions: set[int]


def registers(node: ast.AST, registry: str) -> Registered | None:
    """The names that one node registers: by a key, or by a call of a method. None if one is not a constant."""
    if isinstance(node, ast.Subscript) and name_of(node.value) == registry:
        key = node.slice
        mentions = {id(node.value)}
        return Registered([str(key.value)], mentions) if isinstance(key, ast.Constant) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return Registered([], set())
    if name_of(node.func.value) != registry:
        return Registered([], set())
    mentions = {id(node.func.value)}
    names = [key for key, _ in stored_by(node)]
    plain = [name for name in names if name is not None]
    return Registered(plain, mentions) if len(plain) == len(names) else None


def stored_by(call: ast.Call) -> list[tuple[str | None, ast.expr | None]]:
    """What a call of a registry's method stores: keys with their values; other methods only read it.

    `update({"a": A}, b=B)`, `setdefault("a", A)`. A key that is not a constant is None.
    """
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if method == "update":
        found = [(keyword.arg, keyword.value) for keyword in call.keywords]  # None: `**mapping`
        return [*found, *(pair for argument in call.args for pair in items_of(argument))]
    if method in ("setdefault", "__setitem__") and call.args:
        return [(_constant(call.args[0]), call.args[1] if len(call.args) > 1 else None)]
    return []


def items_of(node: ast.expr) -> list[tuple[str | None, ast.expr | None]]:
    """The keys and values of a written dictionary; one pair without a key for any other expression."""
    if not isinstance(node, ast.Dict):
        return [(None, None)]
    return [(_constant(key), value) for key, value in zip(node.keys, node.values, strict=True)]


def _constant(node: ast.AST | None) -> str | None:
    """The text of a constant; None for any other expression."""
    return str(node.value) if isinstance(node, ast.Constant) else None


def _returned_mentions(tree: ast.Module, registry: str) -> set[int]:
    """The ids of the nodes in the `return` of a function whose result is assigned to the registry's name.

    A plugin for several versions of ms-swift does that: `ORM, orms = find_rewards()`.
    """
    functions = _assigned_functions(tree, registry)
    calls = Counter(name_of(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    mentions = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in functions and calls[node.name] == 1:
            for part in ast.walk(node):
                if isinstance(part, ast.Return):
                    mentions |= {id(piece) for piece in ast.walk(part)}
    return mentions


def _assigned_functions(tree: ast.Module, registry: str) -> set[str | None]:
    """The names of the functions whose result is assigned to the registry's name."""
    functions = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            targets = [part for target in node.targets for part in ast.walk(target)]
            if registry in map(name_of, targets):
                functions.add(name_of(node.value.func))
    return functions


def _modules(call: ast.Call, tree: ast.Module) -> list[str]:
    """The modules that `import_module(name)` may import; none if they cannot be told.

    The argument is a constant, or the variable of a `for` loop over constants.
    """
    argument = call.args[0] if call.args else None
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if argument is None:
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and name_of(node.target) == name_of(argument):
            items = node.iter.elts if isinstance(node.iter, (ast.Tuple, ast.List)) else [None]
            constants = [_constant(item) for item in items]
            if None in constants:
                return []
            names += [name for name in constants if name is not None]
    return names


def _tops(modules: list[str]) -> set[str]:
    """The first parts of dotted module names."""
    return {module.partition(".")[0] for module in modules}


def _is_target(node: ast.AST) -> bool:
    """True for a name that is assigned, as in `orms: dict[…]` and `ORM, orms = …`."""
    return isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store)


def name_of(node: ast.AST) -> str | None:
    """The last part of a name: `orms` of `orms` and of `swift.rewards.orms`. None for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_harmless(node: ast.Import | ast.ImportFrom, registry: str) -> bool:
    """True if an import runs no code that could register names, and does not rename the registry."""
    if isinstance(node, ast.ImportFrom):
        renamed = any(alias.name == registry and alias.asname for alias in node.names)
        starred = any(alias.name == "*" for alias in node.names)
        if node.level or renamed or starred:
            return False
        modules = [node.module or ""]
    else:
        modules = [alias.name for alias in node.names]
    return _tops(modules) <= _HARMLESS | (sys.stdlib_module_names - _HARMFUL)

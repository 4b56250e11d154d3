"""All names that a plugin registers, by following its whole text with `ast`, or that this is vain."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from typing import NamedTuple

#: Imported by plugins, and none of them registers anything with ms-swift.
_HARMLESS = frozenset({
    "swift", "torch", "numpy", "transformers", "trl", "peft", "accelerate", "datasets", "requests",
    "httpx", "aiohttp", "openai", "anthropic", "tqdm", "json_repair", "math_verify",
    "latex2sympy2_ext", "sympy", "pandas", "scipy", "sklearn", "nltk", "rouge", "rouge_score",
    "sacrebleu", "evaluate", "PIL", "regex", "yaml", "pydantic", "jieba", "vllm", "tenacity",
    "bert_score", "sentence_transformers",
})  # fmt: skip

#: Of the standard library: these import or run what is written nowhere.
_HARMFUL = frozenset({"runpy", "pkgutil", "imp", "ctypes", "builtins"})
#: Through these a registry is reached without its name.
_UNSEEN = frozenset(
    {"exec", "eval", "__import__", "getattr", "setattr", "vars", "globals", "locals"}
)


def provided(source: str, registry: str) -> set[str] | None:
    """All names a file registers, by `ast`; None where that cannot be told by reading it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # ms-swift's import says more of it than we could
    names: set[str] = set()
    followed = _handed_back(tree, registry)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_harmless(node, registry):
            return None
        if isinstance(node, ast.Call) and name_of(node.func) in _UNSEEN:
            return None
        if isinstance(node, ast.Call) and name_of(node.func) == "import_module":
            modules = _modules(node, tree)
            if not modules or not _tops(modules) <= _HARMLESS:
                return None
        if isinstance(node, ast.AugAssign) and name_of(node.target) == registry:
            return None
        found = registers(node, registry)
        if found is None:
            return None
        names.update(found.names)
        followed |= found.mentions
    for node in ast.walk(tree):
        if name_of(node) == registry and id(node) not in followed and not _is_target(node):
            return None  # handed to something, or given another name
    return names


class Registered(NamedTuple):
    """Names that one statement or call registers, and the registry's mentions in it."""

    names: list[str]
    mentions: set[int]


def registers(node: ast.AST, registry: str) -> Registered | None:
    """What one node registers, or None where that is not plain."""
    if isinstance(node, ast.Subscript) and name_of(node.value) == registry:
        key = node.slice
        mentions = {id(node.value)}
        return Registered([str(key.value)], mentions) if isinstance(key, ast.Constant) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return Registered([], set())
    if name_of(node.func.value) != registry:
        return Registered([], set())
    mentions = {id(node.func.value)}
    if node.func.attr == "update":
        names = _updated(node)
    elif node.func.attr in ("setdefault", "__setitem__"):
        names = [_constant(argument) for argument in node.args[:1]]
    else:
        names = []  # reading it registers nothing
    plain = [name for name in names if name is not None]
    return Registered(plain, mentions) if len(plain) == len(names) else None


def _updated(call: ast.Call) -> list[str | None]:
    """The keys of `update({"a": A}, b=B)`; None for one that is not written out."""
    names = [keyword.arg for keyword in call.keywords]  # None: `**mapping`
    for argument in call.args:
        keys = argument.keys if isinstance(argument, ast.Dict) else [None]
        names += [_constant(key) for key in keys]
    return names


def _constant(node: ast.AST | None) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None


def _handed_back(tree: ast.Module, registry: str) -> set[int]:
    """Mentions in a `return` of functions whose results are given the registry's own name.

    As a plugin for several versions of ms-swift does: `ORM, orms = find_rewards()`.
    """
    named = set()
    calls: Counter[str | None] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls[name_of(node.func)] += 1
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            targets = [part for target in node.targets for part in ast.walk(target)]
            if registry in map(name_of, targets):
                named.add(name_of(node.value.func))
    mentions = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in named and calls[node.name] == 1:
            for part in ast.walk(node):
                if isinstance(part, ast.Return):
                    mentions |= {id(piece) for piece in ast.walk(part)}
    return mentions


def _modules(call: ast.Call, tree: ast.Module) -> list[str]:
    """The names that `import_module(name)` may be given: a constant, or those of a `for` over some."""
    (argument,) = call.args[:1] or (None,)
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    names: list[str] = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.For)
            and argument is not None
            and name_of(node.target) == name_of(argument)
        ):
            items = node.iter.elts if isinstance(node.iter, (ast.Tuple, ast.List)) else [None]
            constants = [_constant(item) for item in items]
            if None in constants:
                return []
            names += [name for name in constants if name is not None]
    return names


def _tops(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _is_target(node: ast.AST) -> bool:
    """`orms: dict[…]` and `ORM, orms = …`: the plugin's own name for what it imports itself."""
    return isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store)


def name_of(node: ast.AST) -> str | None:
    """`orms` of `orms` and of `swift.rewards.orms`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_harmless(node: ast.Import | ast.ImportFrom, registry: str) -> bool:
    if isinstance(node, ast.ImportFrom):
        renamed = any(alias.name == registry and alias.asname for alias in node.names)
        starred = any(alias.name == "*" for alias in node.names)
        if node.level or renamed or starred:
            return False
        modules = [node.module or ""]
    else:
        modules = [alias.name for alias in node.names]
    return _tops(modules) <= _HARMLESS | (sys.stdlib_module_names - _HARMFUL)

"""Reading a Python file's syntax tree: its first syntax error, or its imports and the rewards it registers.

`plugin_cache` imports this module only if it has no facts about the file.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prl_submit.inputs.plugin_ast import items_of, name_of, stored_by
from prl_submit.inputs.plugin_facts import Fault, PluginFacts, Reward

if TYPE_CHECKING:
    from typing import TypeGuard

#: The name of the registry of rewards, and the base classes whose `__init__` accepts what ms-swift passes.
_REGISTRY = "orms"
_BASES = ("ORM", "AsyncORM", "object", "ABC")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_source(text: bytes) -> PluginFacts:
    """The facts about a file. Never raises for anything in the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Python itself warns of "\d" in a text when the plugin runs
            tree = ast.parse(text)
            # compile() finds more mistakes than ast.parse(), such as `return` outside of a function.
            compile(text, "plugin", "exec", dont_inherit=True)
    except SyntaxError as error:
        return PluginFacts(
            fault=Fault(error.msg or "invalid syntax", error.lineno, error.text or "")
        )
    except (ValueError, RecursionError, MemoryError) as error:
        return PluginFacts(fault=Fault(str(error) or type(error).__name__, None, ""))
    try:
        return _facts(tree)
    except RecursionError:  # Python compiles deeper expressions than a Python function can walk
        return PluginFacts()


def _facts(tree: ast.Module) -> PluginFacts:
    names = [name for name, _ in _registered(tree)]
    relative = (n.lineno for n in tree.body if isinstance(n, ast.ImportFrom) and n.level)
    return PluginFacts(
        relative=next(relative, None),
        imports=sorted(set(_imports(tree))),
        registered=sorted(set(names)),
        rewards=_rewards(tree),
    )


def _imports(tree: ast.Module) -> Iterator[str]:
    """The modules that the file imports at its top level, without those of the standard library.

    Imports in functions are left out, because they may never run. So are imports in `try`, which may fail.
    """
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield name


def _rewards(tree: ast.Module) -> dict[str, Reward]:
    """Registered name -> its reward class, for names that are registered once with a class of the file."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found: dict[str, list[str | None]] = {}
    for name, value in _registered(tree):
        found.setdefault(name, []).append(value)
    rewards = {}
    for name, values in found.items():
        if len(values) == 1 and values[0] in classes:
            reward = _reward(classes[str(values[0])], classes)
            if reward is not None:
                rewards[name] = reward
    return rewards


def _registered(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """The registered names, each with the name of its class (None if it is not a plain name)."""
    for node in ast.walk(tree):
        for key, value in _stored(node):
            if key is not None:
                yield key, _plain(value)


def _stored(node: ast.AST) -> Iterator[tuple[str | None, ast.expr | None]]:
    """The keys and values that one node stores in the registry. A key that is not a constant is None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from stored_by(node) if name_of(node.func.value) == _REGISTRY else ()
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str | None, ast.expr | None]]:
    """The keys and values in `orms["a"] = A` and, in ms-swift's own file, `orms = {"a": A}`."""
    if isinstance(target, ast.Subscript) and name_of(target.value) == _REGISTRY:
        if isinstance(target.slice, ast.Constant):
            yield str(target.slice.value), value
    elif name_of(target) == _REGISTRY:
        yield from items_of(value)


def _plain(node: ast.AST | None) -> str | None:
    """A name without dots; None for any other expression."""
    return node.id if isinstance(node, ast.Name) else None


def _reward(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Reward | None:
    """A reward class. None if it has a decorator or a base that this file does not define."""
    chain = _chain(node, classes)
    if chain is None:
        return None
    call = _method(chain, "__call__")
    if call is None or call.decorator_list or not _first(call):
        return None
    start = _method(chain, "__init__")
    return Reward(
        line=call.lineno,
        needs=_needs(call, chain),
        takes_all=call.args.kwarg is not None,
        init_line=start.lineno if start and not _takes_args(start) else None,
    )


def _chain(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef] | None:
    """A class and its bases, in Python's order. None if a class has several bases or an unknown one."""
    chain = [node]
    while True:
        if node.decorator_list or node.keywords or len(node.bases) > 1:
            return None
        if not node.bases:
            return chain
        base = name_of(node.bases[0])
        if base in classes and classes[base] not in chain and base not in _BASES:
            node = classes[base]
            chain.append(node)
        else:
            return chain if base in _BASES else None


def _method(chain: list[ast.ClassDef], name: str) -> Function | None:
    """The method of a class, or of its nearest base that has it."""
    for node in chain:
        for item in node.body:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and item.name == name:
                return item
    return None


def _first(call: Function) -> str | None:
    """The name of the parameter after self, which gets the completions."""
    names = [item.arg for item in (*call.args.posonlyargs, *call.args.args)]
    return names[1] if len(names) > 1 else None


def _takes_args(start: Function) -> bool:
    """True if `__init__` accepts `args=…`, which ms-swift >= 4.0 passes."""
    names = [item.arg for item in (*start.args.args, *start.args.kwonlyargs)]
    return start.args.kwarg is not None or "args" in names


def _needs(call: Function, chain: list[ast.ClassDef]) -> list[str]:
    """The columns without which `__call__` raises.

    These are parameters without a default, `kwargs["x"]`, and the class attribute `columns` if the method
    raises without them.
    """
    names = [item.arg for item in (*call.args.posonlyargs, *call.args.args)]
    without = len(names) - len(call.args.defaults)
    needed = names[2:without]
    for item, default in zip(call.args.kwonlyargs, call.args.kw_defaults, strict=True):
        if default is None:
            needed.append(item.arg)
    if call.args.kwarg:
        needed += _subscripts(call, call.args.kwarg.arg)
    if any(_raises_without_columns(node) for node in ast.walk(call)):
        needed += _columns(chain)
    return list(dict.fromkeys(needed))


def _subscripts(call: Function, kwargs: str) -> Iterator[str]:
    """The x of each `kwargs["x"]` in code that certainly runs: up to the first condition, loop or `try`."""
    for statement in call.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)):
            yield from _certain(statement.value, kwargs)
            targets = [n.id for n in ast.walk(statement) if _is_stored(n)]
            if kwargs not in targets and not isinstance(statement, ast.Return):
                continue
        elif isinstance(statement, (ast.For, ast.AsyncFor)):
            yield from _certain(statement.iter, kwargs)
        elif isinstance(statement, ast.If):
            yield from _certain(statement.test, kwargs)
        return


def _is_stored(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _certain(node: ast.AST | None, kwargs: str) -> Iterator[str]:
    """The x of each `kwargs["x"]` in those parts of an expression that are certainly evaluated."""
    if node is None:
        return
    if isinstance(node, ast.Subscript) and _plain(node.value) == kwargs:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value
        return
    for part in _certain_parts(node):
        yield from _certain(part, kwargs)


def _certain_parts(node: ast.AST) -> list[ast.AST]:
    """The parts of an expression that Python evaluates whenever it evaluates the expression."""
    if isinstance(node, ast.Lambda):
        return []
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return [node.generators[0].iter]
    if isinstance(node, ast.BoolOp):
        return [node.values[0]]
    if isinstance(node, ast.IfExp):
        return [node.test]
    return list(ast.iter_child_nodes(node))


def _raises_without_columns(node: ast.AST) -> bool:
    """True for a statement such as `if … self.columns …: raise`."""
    if not isinstance(node, ast.If) or not any(isinstance(item, ast.Raise) for item in node.body):
        return False
    return any(
        name_of(part) == "columns"
        for part in ast.walk(node.test)
        if isinstance(part, ast.Attribute)
    )


def _columns(chain: list[ast.ClassDef]) -> list[str]:
    """The texts in the class attribute `columns = ("a", "b")` of the class or its nearest base that has it."""
    for node in chain:
        for item in node.body:
            if isinstance(item, ast.Assign) and any(name_of(t) == "columns" for t in item.targets):
                texts = item.value.elts if isinstance(item.value, (ast.Tuple, ast.List)) else []
                names = [text.value for text in texts if isinstance(text, ast.Constant)]
                return [name for name in names if isinstance(name, str)]
    return []

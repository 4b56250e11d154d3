"""What a Python file of the job's says by its syntax tree; imported only where it is not remembered."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prl_submit.inputs.plugin_facts import Fault, PluginFacts, Reward

if TYPE_CHECKING:
    from typing import TypeGuard

#: The registry of rewards, and the base classes whose `__init__` takes what ms-swift gives.
_REGISTRY = "orms"
_BASES = ("ORM", "AsyncORM", "object", "ABC")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_source(text: bytes) -> PluginFacts:
    """The first syntax error, or imports and rewards. Never raises for what the text says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a text: Python's matter, when it runs
            tree = ast.parse(text)
            compile(text, "plugin", "exec", dont_inherit=True)  # `return` outside of a function
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
    """Modules that are imported as the file is, but for the standard library's.

    Not those in functions, nor what `try` may miss.
    """
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        yield from (n for n in names if n.partition(".")[0] not in sys.stdlib_module_names)


def _rewards(tree: ast.Module) -> dict[str, Reward]:
    """Registered name -> what its class needs, where both are plain and the name has one class."""
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
    """Names with the class that is registered under them; None for what is no plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and _name(target.value) == _REGISTRY:
                    yield from _pair(target.slice, node.value)
                elif _name(target) == _REGISTRY and isinstance(node.value, ast.Dict):
                    for key, value in zip(node.value.keys, node.value.values, strict=True):
                        yield from _pair(key, value)  # ms-swift's own file
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _called(node) if _name(node.func.value) == _REGISTRY else ()


def _called(call: ast.Call) -> Iterator[tuple[str, str | None]]:
    """`orms.update(a=A)`, `orms.update({"a": A})`, `orms.setdefault("a", A)`."""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if method == "update":
        for keyword in call.keywords:
            if keyword.arg:
                yield keyword.arg, _plain(keyword.value)
        for argument in call.args:
            if isinstance(argument, ast.Dict):
                for key, value in zip(argument.keys, argument.values, strict=True):
                    yield from _pair(key, value)
    elif method in ("setdefault", "__setitem__") and len(call.args) == 2:
        yield from _pair(call.args[0], call.args[1])


def _pair(key: ast.AST | None, value: ast.AST) -> Iterator[tuple[str, str | None]]:
    if isinstance(key, ast.Constant):
        yield str(key.value), _plain(value)


def _plain(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _reward(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Reward | None:
    """What a reward's class needs; None where a base or a decorator is not to be seen here."""
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
    """The class and its bases of this file, in Python's order where there is one base each."""
    chain = [node]
    while True:
        if node.decorator_list or node.keywords or len(node.bases) > 1:
            return None
        if not node.bases:
            return chain
        base = _name(node.bases[0])
        if base in classes and classes[base] not in chain and base not in _BASES:
            node = classes[base]
            chain.append(node)
        else:
            return chain if base in _BASES else None


def _method(chain: list[ast.ClassDef], name: str) -> Function | None:
    for node in chain:
        for item in node.body:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and item.name == name:
                return item
    return None


def _first(call: Function) -> str | None:
    """The parameter that gets the completions: the one after self."""
    names = [item.arg for item in (*call.args.posonlyargs, *call.args.args)]
    return names[1] if len(names) > 1 else None


def _takes_args(start: Function) -> bool:
    """ms-swift >= 4.0 makes rewards with `args=…`."""
    names = [item.arg for item in (*start.args.args, *start.args.kwonlyargs)]
    return start.args.kwarg is not None or "args" in names


def _needs(call: Function, chain: list[ast.ClassDef]) -> list[str]:
    """Columns without which the call raises: parameters without default, `kwargs["x"]`, `columns`."""
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
    """`kwargs["x"]` in what runs in any case: up to the first condition, loop or `try`."""
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
    """Constant subscripts of `kwargs` in an expression, where it is evaluated in any case."""
    if isinstance(node, ast.Subscript) and _plain(node.value) == kwargs:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value
        return
    if node is None or isinstance(node, ast.Lambda):
        return
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        parts: list[ast.AST] = [node.generators[0].iter]
    elif isinstance(node, ast.BoolOp):
        parts = [node.values[0]]
    elif isinstance(node, ast.IfExp):
        parts = [node.test]
    else:
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        yield from _certain(part, kwargs)


def _raises_without_columns(node: ast.AST) -> bool:
    """`if … self.columns …: raise`."""
    if not isinstance(node, ast.If) or not any(isinstance(item, ast.Raise) for item in node.body):
        return False
    return any(
        _name(part) == "columns" for part in ast.walk(node.test) if isinstance(part, ast.Attribute)
    )


def _columns(chain: list[ast.ClassDef]) -> list[str]:
    """A class attribute `columns = ("a", "b")`, the nearest."""
    for node in chain:
        for item in node.body:
            if isinstance(item, ast.Assign) and any(_name(t) == "columns" for t in item.targets):
                texts = item.value.elts if isinstance(item.value, (ast.Tuple, ast.List)) else []
                names = [text.value for text in texts if isinstance(text, ast.Constant)]
                return [name for name in names if isinstance(name, str)]
    return []

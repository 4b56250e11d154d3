"""Names that the source of the job's ms-swift registers, those of a user's own lines among them.

Users of a checkout write `orms['mine'] = Mine` into swift/plugin/orm.py, or into another module of theirs. The
source is read where a job has a name that neither the release nor a plugin brings: two megabytes, 50 ms.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator

from prl_submit.inputs.plugin_ast import name_of, registers
from prl_submit.system.reading import read_regular

MAX_BYTES = 4_000_000
MAX_FILES = 5_000
#: Where rewards are registered: since ms-swift 4.0, and before.
REWARD_FILES = ("swift/rewards/orm.py", "swift/plugin/orm.py")


def registered(source: str, registry: str) -> set[str] | None:
    """All names in a registry of the ms-swift whose `swift/` lies in a folder; None where one is made at run time."""
    names: set[str] = set()
    for text in _mentioning(os.path.join(source, "swift"), registry):
        found = names_in(text, registry)
        if found is None:
            return None
        names |= found
    return names


def names_in(source: str, registry: str) -> set[str] | None:
    """The names that one file registers; None where one of them is not written out."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        found = _stored(node, registry)
        if found is None:
            return None
        names |= found
    return names


def _stored(node: ast.AST, registry: str) -> set[str] | None:
    """What one node puts into the registry: a dictionary of its own, a key, or a call."""
    if isinstance(node, ast.AugAssign) and name_of(node.target) == registry:
        return _keys(node.value)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if registry in map(name_of, targets) and isinstance(node.value, ast.Dict):
            return _keys(node.value)
    is_read = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
    found = None if is_read else registers(node, registry)
    if found is None:
        return set() if is_read else None
    return set(found.names)


def _keys(node: ast.AST | None) -> set[str] | None:
    """A dictionary's keys; None where one is no constant, as in `{**other}`."""
    keys = node.keys if isinstance(node, ast.Dict) else [None]
    names = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return names if all(isinstance(key, ast.Constant) for key in keys) else None


def _mentioning(folder: str, word: str) -> Iterator[str]:
    """The texts of the Python files below a folder that have the word."""
    pattern = re.compile(rf"\b{word}\b".encode())
    for path in _python_files(folder):
        try:
            content = read_regular(path, MAX_BYTES)
        except OSError:
            continue  # a module that the user may not read, ms-swift may not either
        if pattern.search(content):
            yield content.decode("utf-8", "replace")


def _python_files(folder: str) -> Iterator[str]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier())
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(place, name)
                count += 1
        if count > MAX_FILES:
            return


def reward_file(source: str) -> str | None:
    """The file of an ms-swift that registers rewards, relative to the folder with its `swift/`."""
    files = (file for file in REWARD_FILES if os.path.isfile(os.path.join(source, file)))
    return next(files, None)

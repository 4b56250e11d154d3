"""Names that the source of the job's ms-swift registers, also those that users added to their checkout.

Users of a checkout write lines such as `orms['mine'] = Mine` into swift/plugin/orm.py or another module. The
source is read only if the job has a name that neither the release nor a plugin registers, because reading
it takes 50 ms (2 MB).
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
#: The file that registers rewards: since ms-swift 4.0, and before.
REWARD_FILES = ("swift/rewards/orm.py", "swift/plugin/orm.py")


def registered(source: str, registry: str) -> set[str] | None:
    """All names that the source registers in a registry such as `orms`.

    `source`: the folder that holds `swift/`. None if a name is made at run time, or a file cannot be parsed.
    """
    names: set[str] = set()
    for text in _mentioning(os.path.join(source, "swift"), registry):
        found = names_in(text, registry)
        if found is None:
            return None
        names |= found
    return names


def names_in(source: str, registry: str) -> set[str] | None:
    """The names that one file registers. None if a name is not a constant, or the file cannot be parsed."""
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
    """The names that one node of the syntax tree registers. None if a name is not a constant.

    A node may assign a dictionary to the registry, set a key of it, or call one of its methods.
    """
    if isinstance(node, ast.AugAssign) and name_of(node.target) == registry:
        return _keys(node.value)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if registry in map(name_of, targets) and isinstance(node.value, ast.Dict):
            return _keys(node.value)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return set()  # reading a key registers nothing
    found = registers(node, registry)
    return None if found is None else set(found.names)


def _keys(node: ast.AST | None) -> set[str] | None:
    """The keys of a written dictionary. None if a key is not a constant, as in `{**other}`."""
    keys = node.keys if isinstance(node, ast.Dict) else [None]
    names = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return names if all(isinstance(key, ast.Constant) for key in keys) else None


def _mentioning(folder: str, word: str) -> Iterator[str]:
    """The texts of those Python files below a folder that hold the word."""
    pattern = re.compile(rf"\b{word}\b".encode())
    for path in _python_files(folder):
        try:
            content = read_regular(path, MAX_BYTES)
        except OSError:
            continue  # if the user cannot read the module, ms-swift cannot either
        if pattern.search(content):
            yield content.decode("utf-8", "replace")


def _python_files(folder: str) -> Iterator[str]:
    """The paths of the Python files below a folder, at most about MAX_FILES."""
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
    """The file that registers rewards, relative to the folder that holds `swift/`; None if it is missing."""
    for file in REWARD_FILES:
        if os.path.isfile(os.path.join(source, file)):
            return file
    return None

"""Copies of the files of code that a job names: plugins, rewards, templates, configurations."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator, Sequence

from prl_submit.inputs.plugins import with_imports
from prl_submit.made_of.contents import CopiedFile
from prl_submit.made_of.data_files import is_data
from prl_submit.made_of.masking import is_credentials_file
from prl_submit.made_of.new_files import size_in_words
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import CODE_RECORD, DATA_RECORD, DIFFERENCE
from prl_submit.system.credentials import masked
from prl_submit.system.reading import read_regular

#: How many files are copied, and the largest of them.
MAX_FILES = 100
MAX_BYTES = 1 << 20
#: The kinds of paths in a plan that are not code.
_NOT_CODE = frozenset({"model", "adapter", "dataset", "checkpoint"})
#: The endings of files of code. An argument may name such a file without being known for it.
_ENDINGS = (".py", ".jinja", ".jinja2", ".j2", ".txt", ".json", ".yaml", ".yml", ".toml", ".sh")
#: The copies lie beside these files, so a copy gets another name than them.
_TAKEN = frozenset({CODE_RECORD, DATA_RECORD, DIFFERENCE})


def copies(plan: Plan, values: Sequence[str]) -> tuple[list[CopiedFile], dict[str, bytes]]:
    """The files of code that the plan names, and the contents of their copies by their names in `made_of`.

    `values`: credentials that are known.
    """
    found: list[CopiedFile] = []
    contents: dict[str, bytes] = {}
    for key, path in _named(plan):
        if any(file.path == path for file in found):
            continue
        if len(found) == MAX_FILES:
            found.append(CopiedFile(key=key, path=path, why=f"only {MAX_FILES} files are copied"))
            break
        name = _free_name(os.path.basename(path), contents)
        file, content = _copy(key, path, name, values)
        found.append(file)
        if content is not None:
            contents[name] = content
    return found, contents


def _named(plan: Plan) -> Iterator[tuple[str, str]]:
    """The keys and paths of all files of code, with what plugins import from their folders."""
    known = [(item.key, item.path) for item in plan.paths if item.kind not in _NOT_CODE]
    for key, path in [*known, *_named_by_arguments(plan)]:
        if os.path.isdir(path):  # before ms-swift 4.6 a plugin may be a package
            yield from ((key, file) for file in _python_files(path))
            continue
        yield key, path
        if path.endswith(".py"):
            for file, _ in with_imports(path, plan.workdir):
                yield f"imported by {os.path.basename(path)}", file


def _named_by_arguments(plan: Plan) -> Iterator[tuple[str, str]]:
    """The files of code that are values of arguments."""
    for name, *values in plan.arguments:
        if is_data(name):
            continue
        for value in values:
            path = os.path.join(plan.workdir, os.path.expanduser(value))
            if value.endswith(_ENDINGS) and os.path.isfile(path):
                yield f"swift.{name.lstrip('-')}", os.path.normpath(path)


def _python_files(folder: str) -> Iterator[str]:
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier())
        for name in sorted(names):
            if name.endswith(".py") and count < MAX_FILES:
                count += 1
                yield os.path.join(place, name)


def _free_name(name: str, taken: Container[str]) -> str:
    """The name of a copy: that of the file, with a number if `made_of` has a file of that name."""
    stem, ending = os.path.splitext(name)
    number = 1
    while name in taken or name in _TAKEN or name.startswith(("versions.", "restart-", ".")):
        number += 1
        name = f"{stem.lstrip('.')}-{number}{ending}"
    return name


def _copy(key: str, path: str, name: str, values: Sequence[str]) -> tuple[CopiedFile, bytes | None]:
    if is_credentials_file(path):
        why = "its name is that of a file with credentials"
        return CopiedFile(key=key, path=path, why=why), None
    try:
        size = os.stat(path).st_size
        content = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        return CopiedFile(key=key, path=path, why=error.strerror or str(error)), None
    if len(content) > MAX_BYTES:
        why = f"large: {size_in_words(size)}"
        return CopiedFile(key=key, path=path, size=size, why=why), None
    digest = hashlib.sha256(content).hexdigest()
    if b"\0" in content:
        return CopiedFile(key=key, path=path, size=size, sha256=digest, why="binary"), None
    text, marks = masked(content.decode("utf-8", "replace"), values)
    file = CopiedFile(key=key, path=path, copy=name, size=size, sha256=digest, masked=marks)
    return file, text.encode("utf-8") if marks else content

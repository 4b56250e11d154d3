"""What differs in the code, the data and the versions of two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from prl_submit.made_of.code_differences import CodeDifference, code_difference
from prl_submit.made_of.code_versions import CodeOrigin
from prl_submit.made_of.contents import DataItem
from prl_submit.made_of.recorded import MadeOf, Versions
from prl_submit.system.shell import Shell


class ChangedData(Struct, frozen=True):
    """A data set that differs: the first and the second run's; None where a run has no such data set."""

    items: list[DataItem | None]


class MadeOfDifference(Struct, frozen=True):
    """What differs in code, data and versions. `versions`: by package, the value of each run."""

    code: CodeDifference
    data: list[ChangedData]
    versions: dict[str, list[Any]]
    notes: list[str]


def made_of_difference(
    one: CodeOrigin, other: CodeOrigin, shell: Shell, environ: Mapping[str, str]
) -> MadeOfDifference:
    """What differs between two runs, as far as it was recorded."""
    notes = [*_missing_parts(one), *_missing_parts(other)]
    return MadeOfDifference(
        code=code_difference(one, other, shell, environ),
        data=_data(one.made_of, other.made_of),
        versions=_versions(one.made_of, other.made_of),
        notes=[*notes, *_uneven_nodes(one), *_uneven_nodes(other)],
    )


def _missing_parts(run: CodeOrigin) -> Iterator[str]:
    """What is not known of a run, in words."""
    made_of = run.made_of
    if made_of.folder is None:
        yield f"{run.name} has no record of its code and data"
        return
    if made_of.folder.name.startswith("restart-"):
        yield f"{run.name} was resumed with other code or data; those of {made_of.folder.name} are compared"
    if made_of.code is not None and made_of.code.fault is not None:
        yield f"{run.name}: the working tree was not kept: {made_of.code.fault}"
    if not made_of.versions:
        yield f"{run.name}: no node has written its versions here"


def _data(one: MadeOf, other: MadeOf) -> list[ChangedData]:
    """The data sets that differ."""
    if one.data is None or other.data is None:
        return []
    items = [
        {(item.key, item.entry): item for item in made.items} for made in (one.data, other.data)
    ]
    pairs = [
        (items[0].get(key), items[1].get(key)) for key in dict.fromkeys([*items[0], *items[1]])
    ]
    return [ChangedData([old, new]) for old, new in pairs if not _is_same(old, new)]


def _is_same(old: DataItem | None, new: DataItem | None) -> bool:
    """True if two data sets are the same, as far as that is known."""
    if old is None or new is None:
        return False
    if old.sha256 is not None and new.sha256 is not None:
        return old.sha256 == new.sha256
    return (old.size, old.changed_at, old.files) == (new.size, new.changed_at, new.files)


def _versions(one: MadeOf, other: MadeOf) -> dict[str, list[Any]]:
    """What differs in the versions of the first nodes."""
    nodes = [made.versions.get(0) for made in (one, other)]
    if nodes[0] is None or nodes[1] is None:
        return {}
    facts = [_facts(node) for node in nodes if node is not None]
    keys = dict.fromkeys(key for found in facts for key in found)
    pairs = {key: [found.get(key) for found in facts] for key in keys}
    return {key: values for key, values in pairs.items() if values[0] != values[1]}


def _facts(node: Versions) -> dict[str, Any]:
    gpus = {name: node.gpus.count(name) for name in node.gpus}
    return {
        "python": node.python,
        **node.packages,
        "CUDA": node.cuda,
        "driver": node.driver,
        "GPUs": ", ".join(f"{count} x {name}" for name, count in gpus.items()) or None,
        "ms-swift's folder": node.swift_path,
        "ms-swift's commit": node.swift_commit,
    }


def _uneven_nodes(run: CodeOrigin) -> Iterator[str]:
    """The nodes of a run whose versions differ from those of its first node."""
    first = run.made_of.versions.get(0)
    for number, node in run.made_of.versions.items():
        if first is None or number == 0:
            continue
        packages = {*first.packages, *node.packages}
        other = sorted(
            name for name in packages if first.packages.get(name) != node.packages.get(name)
        )
        if other:
            told = ", ".join(f"{name} {node.packages.get(name, 'missing')}" for name in other)
            yield f"{run.name}: node {number} has {told}, unlike node 0"

"""Every value of a job with its source, as `explain` and plan.json show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prl_submit.planning.plan import Resolved
from prl_submit.rules import CREDENTIALS, looks_secret
from prl_submit.spec.nodes import Node, leaves
from prl_submit.spec.sections import JobSpec
from prl_submit.spec.traits import DEFAULT
from prl_submit.spec.typed import plain
from prl_submit.swift.table import Table
from prl_submit.swift.values import word

NOT_SHOWN = "(not shown)"
VERSION_KEY = "environment.swift_version"


def explained(
    tree: Node, spec: JobSpec, passed_on: dict[str, str], table: Table, unstated: Iterable[str] = ()
) -> list[Resolved]:
    """The values that were written, the important defaults, and the values that prl-submit sets itself.

    `unstated`: the keys that only the variables of a node will tell.
    """
    found = _written(tree, spec.swift)
    for key in unstated:
        found[key] = Resolved(key, None, "platform", "launch.sh reads it on each node")
    for key, value in _section_defaults(spec):
        found.setdefault(key, Resolved(key, value, "default", None))
    for name, text in passed_on.items():
        key = f"environment.env.{name}"
        value = NOT_SHOWN if looks_secret(name, text) else text
        found[key] = Resolved(key, value, "env", f"{name}, passed on to the job untouched")
    found[VERSION_KEY] = _swift_version(found.get(VERSION_KEY), table)
    found["swift.output_dir"] = Resolved("swift.output_dir", "RUN", "default", "the run directory")
    found["swift.add_version"] = Resolved("swift.add_version", False, "default", None)
    return sorted(found.values(), key=lambda item: _section_order(item.key))


def _written(tree: Node, swift: dict[str, Any]) -> dict[str, Resolved]:
    """The values in the tree by key. A valid argument has the value that ms-swift will understand."""
    found = {}
    for key, node in leaves(tree):
        if node.value is None:
            continue
        section, _, name = key.partition(".")
        value = swift[name] if section == "swift" and name in swift else plain(node)
        if _is_secret(key, str(value)):
            value = NOT_SHOWN
        layer, origin = node.origin.layer, node.origin.describe()
        # A default of prl-submit has no other origin than its layer.
        found[key] = Resolved(key, value, layer, origin if origin != layer else None)
    return found


def _swift_version(written: Resolved | None, table: Table) -> Resolved:
    """The version of the ms-swift that will run, and in words where its arguments come from."""
    if written is None:
        return Resolved(VERSION_KEY, table.known_version, "default", table.origin)
    version = table.known_version or written.value
    where = f"{written.detail}; {table.origin}" if written.detail else table.origin
    return Resolved(VERSION_KEY, version, written.source, where)


def _is_secret(key: str, value: str) -> bool:
    section, _, name = key.rpartition(".")
    if section == "swift":
        return name in CREDENTIALS
    return section == "environment.env" and looks_secret(name, value)


def _section_defaults(spec: JobSpec) -> list[tuple[str, Any]]:
    """The defaults that a user may want to know, for keys that nobody wrote."""
    return [
        ("backend", spec.backend or DEFAULT),
        ("workdir", spec.workdir),
        ("output", spec.output),
        ("resources.nodes", spec.resources.nodes),
        ("resources.nproc_per_node", spec.resources.nproc_per_node),
        ("resources.accelerator", spec.resources.accelerator),
        ("restarts.max", spec.restarts.max),
        ("restarts.grace", f"{spec.restarts.grace}s"),
    ]


_ORDER = ("name", "extends", "backend", "workdir", "output", "environment", "resources", "swift")


def _section_order(key: str) -> int:
    top = key.partition(".")[0]
    return _ORDER.index(top) if top in _ORDER else len(_ORDER)


def shown(value: Any) -> str:
    """A resolved value on one line; `-` if it is not known."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"[{', '.join(word(item) for item in value)}]"
    return word(value)

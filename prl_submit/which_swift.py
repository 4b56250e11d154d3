"""The argument table for a spec, before the spec is typed: what it says of where the job runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prl_submit import backends
from prl_submit.planning.layers import backend_of
from prl_submit.spec.nodes import Node, lookup, mapping
from prl_submit.spec.sections import Conda, Environment
from prl_submit.swift.choice import Wanted, choose_table
from prl_submit.swift.table import Table

#: The distribution, as the probe and pip name it.
DISTRIBUTION = "ms-swift"
#: Variables that say where Python looks for packages.
_PYTHON = ("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "HOME")


def choose(tree: Node, backend: str | None, environ: Mapping[str, str]) -> Table:
    """The table of the ms-swift that will run a job; `backend` is what the command line says.

    A wrong value counts as none here: it is told where the spec is typed.
    """
    name = backend or backend_of(tree, environ) or "local"
    name = backends.ALIASES.get(name, name)
    has_image = name == "kubernetes" or lookup(tree, "environment.container") is not None
    written = os.path.expanduser(_text(tree, "workdir") or ".")
    workdir = os.path.normpath(os.path.join(os.getcwd(), written))
    wanted = Wanted(
        _environment(tree), workdir, not has_image, _text(tree, "environment.swift_version")
    )

    def probed() -> str | None:
        return None if has_image else _probed(name, _text(tree, "slurm.partition"), environ)

    return choose_table(wanted, probed, environ)


def _text(tree: Node, key: str) -> str | None:
    node = lookup(tree, key)
    return node.value if node is not None and isinstance(node.value, str) else None


def _environment(tree: Node) -> Environment:
    conda = lookup(tree, "environment.conda")
    whole: str | Conda | None = _text(tree, "environment.conda")
    if mapping(conda):
        name = _text(tree, "environment.conda.name")
        root = _text(tree, "environment.conda.root")
        whole = Conda(name=name, root=root) if name else None
    texts = {name: _text(tree, f"environment.env.{name}") for name in _PYTHON}
    env = {name: text for name, text in texts.items() if text is not None}
    return Environment(conda=whole, venv=_text(tree, "environment.venv"), env=env)


def _probed(backend: str, partition: str | None, environ: Mapping[str, str]) -> str | None:
    """The version on the nodes, where all that were probed have one and the same."""
    from prl_submit.probe import load_facts

    facts = load_facts(backend, partition, environ)
    nodes = getattr(facts, "nodes", ())  # damaged facts have none; that is told elsewhere
    versions = {node.versions.get(DISTRIBUTION) for node in nodes}
    return versions.pop() if len(versions) == 1 else None

"""Translate between `vllm_mode` (ms-swift 3.5 and later) and `num_infer_workers` (ms-swift 3.2 to 3.4).

ms-swift 3.2 to 3.4 start `num_infer_workers` vLLM processes. If these are as many as the training processes,
that is what `vllm_mode: colocate` means since 3.5. Because of this translation one spec works with all
releases, and so does the variable PRL_NUM_INFER_WORKERS that users' scripts set.
"""

from __future__ import annotations

from collections.abc import Mapping

from prl_submit.errors import Problem
from prl_submit.spec.nodes import (
    Node,
    Origin,
    lookup,
    mapping,
    merge,
    nest,
    problem_at,
    scalar_node,
)
from prl_submit.spec.scalars import parse_bool, parse_int
from prl_submit.spec.traits import find_traits
from prl_submit.swift.table import Table

INFER_WORKERS = "PRL_NUM_INFER_WORKERS"


def translate_vllm_mode(
    tree: Node, variables: Mapping[str, str], table: Table
) -> tuple[Node, list[Problem]]:
    """The tree with the argument that the job's ms-swift has, and the problems with PRL_NUM_INFER_WORKERS."""
    if takes_infer_workers(table):
        return _shared_gpus(tree), []
    workers = variables.get(INFER_WORKERS)
    return _infer_workers(tree, workers, table) if workers else (tree, [])


def takes_infer_workers(table: Table) -> bool:
    """True if this ms-swift reads num_infer_workers: 3.2 to 3.4 do. 3.5 has both arguments and ignores this one."""
    return "num_infer_workers" in table and "vllm_mode" not in table


def _shared_gpus(tree: Node) -> Node:
    """The tree with num_infer_workers, one for each process, in place of `vllm_mode: colocate`.

    A num_infer_workers that the user set with a variable or --set is kept. If the files have both arguments
    and they contradict each other, or nobody knows the number of processes yet, the tree is not changed;
    `check` then reports vllm_mode as an argument that this ms-swift does not have.
    """
    swift = mapping(lookup(tree, "swift"))
    mode, workers = swift.get("vllm_mode"), swift.get("num_infer_workers")
    if mode is None or mode.value != "colocate":
        return tree
    is_open = _is_open(tree)
    if is_open and workers is None:
        return tree
    count = _processes(tree)
    if workers is None:
        workers = (
            scalar_node(count, mode.origin) if isinstance(count, str) else Node(None, mode.origin)
        )
    elif not is_open and workers.value != count and workers.origin.layer not in ("env", "flag"):
        return tree
    told = {"vllm_mode": Node(None, mode.origin), "num_infer_workers": workers}
    return merge(tree, nest(["swift"], Node(told, mode.origin)))


def _processes(tree: Node) -> object:
    """nproc_per_node as the user wrote it. Anything but a text is a mistake."""
    node = lookup(tree, "resources.nproc_per_node")
    return node.value if node is not None else "1"


def _is_open(tree: Node) -> bool:
    """True if only the platform knows nproc_per_node. Then the user's number is believed."""
    backend = lookup(tree, "backend")
    traits = find_traits(str(backend.value)) if backend is not None else None
    is_told = traits is not None and traits.nodes_tell_size
    return is_told and lookup(tree, "resources.nproc_per_node") is None


def _infer_workers(tree: Node, workers: str, table: Table) -> tuple[Node, list[Problem]]:
    """The tree with `vllm_mode: colocate` if PRL_NUM_INFER_WORKERS asks for that, for ms-swift outside 3.2 to 3.4."""
    wanted = workers if _is_open(tree) else _processes(tree)
    if not isinstance(wanted, str) or parse_int(wanted) is None:
        return tree, []  # nproc_per_node is wrong, which another check reports
    use_vllm = lookup(tree, "swift.use_vllm")
    is_used = use_vllm is not None and bool(parse_bool(str(use_vllm.value)))
    if problem := _wrong_workers(workers, wanted, table, is_used):
        return tree, [problem]
    if not is_used or "vllm_mode" not in table:
        return tree, []
    mode = mapping(lookup(tree, "swift")).get("vllm_mode")
    if mode is not None and mode.origin.layer in ("env", "flag"):
        return tree, []  # the user set vllm_mode itself with a variable or --set
    origin = Origin("env", label=INFER_WORKERS)
    return merge(tree, nest(["swift", "vllm_mode"], scalar_node("colocate", origin))), []


def _wrong_workers(workers: str, wanted: str, table: Table, is_used: bool) -> Problem | None:
    """The problem of a PRL_NUM_INFER_WORKERS that the job's ms-swift cannot follow; None if it can.

    `wanted`: nproc_per_node. `is_used`: the job uses vLLM.
    """
    hint = "today: swift.vllm_mode (server or colocate) and swift.vllm_tensor_parallel_size"
    if "vllm_mode" not in table:
        if not is_used:
            return None
        message = f"ms-swift {table.version} has neither num_infer_workers (3.2-3.4) nor vllm_mode"
        hint = f"unset {INFER_WORKERS}, or run a newer ms-swift"
    elif parse_int(workers) != parse_int(wanted):
        ignored = "num_infer_workers" in table  # 3.5
        gone = "passed over since ms-swift 3.5" if ignored else "gone since ms-swift 3.6"
        message = f"{gone}, and {workers} is not nproc_per_node ({wanted})"
    else:
        return None
    return problem_at(Origin("env", label=INFER_WORKERS), "swift.num_infer_workers", message, hint)

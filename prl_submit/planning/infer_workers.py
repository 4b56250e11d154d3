"""vLLM beside the training, in the words of each ms-swift: `vllm_mode` today, `num_infer_workers` in 3.2-3.4.

ms-swift 3.2 to 3.4 start `num_infer_workers` vLLM processes. As many as there are training processes mean
what `vllm_mode: colocate` means since 3.5. So one spec, and the scripts' PRL_NUM_INFER_WORKERS, serve all
releases.
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
from prl_submit.swift.table import Table

INFER_WORKERS = "PRL_NUM_INFER_WORKERS"


def translate_vllm_mode(
    tree: Node, variables: Mapping[str, str], table: Table
) -> tuple[Node, list[Problem]]:
    """The tree in the words of the ms-swift that will run, and what cannot be said to it."""
    if takes_infer_workers(table):
        return _shared_gpus(tree), []
    workers = variables.get(INFER_WORKERS)
    return _infer_workers(tree, workers, table) if workers else (tree, [])


def takes_infer_workers(table: Table) -> bool:
    """Whether ms-swift reads num_infer_workers: 3.2 to 3.4 do; 3.5 has vllm_mode and ignores it."""
    return "num_infer_workers" in table and "vllm_mode" not in table


def _shared_gpus(tree: Node) -> Node:
    """`vllm_mode: colocate` as num_infer_workers, one for each process.

    What is written of num_infer_workers itself counts more. Where a file says both and they differ,
    the two stay side by side, and vllm_mode is told as an argument that this ms-swift does not have.
    """
    swift = mapping(lookup(tree, "swift"))
    mode, workers = swift.get("vllm_mode"), swift.get("num_infer_workers")
    if mode is None or mode.value != "colocate":
        return tree
    count = _processes(tree)
    if workers is None:
        workers = (
            scalar_node(count, mode.origin) if isinstance(count, str) else Node(None, mode.origin)
        )
    elif workers.value != count and workers.origin.layer not in ("env", "flag"):
        return tree
    told = {"vllm_mode": Node(None, mode.origin), "num_infer_workers": workers}
    return merge(tree, nest(["swift"], Node(told, mode.origin)))


def _processes(tree: Node) -> object:
    """nproc_per_node as it was written: a text where it is right."""
    node = lookup(tree, "resources.nproc_per_node")
    return node.value if node is not None else "1"


def _infer_workers(tree: Node, workers: str, table: Table) -> tuple[Node, list[Problem]]:
    """PRL_NUM_INFER_WORKERS for an ms-swift that has vllm_mode, or neither."""
    wanted = _processes(tree)
    if not isinstance(wanted, str) or parse_int(wanted) is None:
        return tree, []  # nproc_per_node is wrong, which is told elsewhere
    use_vllm = lookup(tree, "swift.use_vllm")
    is_used = use_vllm is not None and bool(parse_bool(str(use_vllm.value)))
    if problem := _wrong_workers(workers, wanted, table, is_used):
        return tree, [problem]
    if not is_used or "vllm_mode" not in table:
        return tree, []
    mode = mapping(lookup(tree, "swift")).get("vllm_mode")
    if mode is not None and mode.origin.layer in ("env", "flag"):
        return tree, []  # today's own argument was given in the environment or on the command line
    origin = Origin("env", label=INFER_WORKERS)
    return merge(tree, nest(["swift", "vllm_mode"], scalar_node("colocate", origin))), []


def _wrong_workers(workers: str, wanted: str, table: Table, is_used: bool) -> Problem | None:
    """What cannot be said to the ms-swift that will run by PRL_NUM_INFER_WORKERS."""
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

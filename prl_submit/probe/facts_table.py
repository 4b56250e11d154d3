"""Facts as the table that `probe` prints, and the notes below it."""

from __future__ import annotations

from prl_submit.planning.plan import Plan
from prl_submit.probe.check_facts import gpu_words
from prl_submit.probe.node_facts import Facts, NodeFacts

HEADER = [
    *("PARTITION", "NODE", "GPUS", "GPU-MEM", "DRIVER", "CPUS", "MEMORY"),
    *("/DEV/SHM", "FREE"),
    *("MS-SWIFT", "TORCH", "VLLM", "PATHS"),
]


def rows_of(facts: Facts) -> list[list[str]]:
    """A row for each node that was probed; if Slurm knows several kinds of node, one for each kind."""
    rows = [_row(facts, node) for node in facts.nodes]
    total = sum(kind.nodes for kind in facts.kinds)
    if len(facts.kinds) > 1:
        for kind in facts.kinds:
            name = f"({kind.nodes} of {total}, by Slurm)"
            shown = [gpu_words([kind.gpus]), "-", "-", str(kind.cpus), _size(kind.memory_mib)]
            rows.append([facts.partition, name, *shown, *["-"] * 6])
    return rows


def _row(facts: Facts, node: NodeFacts) -> list[str]:
    gpus = node.gpus or []
    sizes = sorted({gpu.memory_mib for gpu in gpus if gpu.memory_mib is not None})
    drivers = sorted({gpu.driver for gpu in gpus if gpu.driver})
    memory = node.memory_limit_mib or node.memory_mib
    here = [item for item in facts.paths if item.node == node.node]
    return [
        facts.partition,
        node.node,
        gpu_cell(facts, node),
        _size(sizes[0]) if sizes else "-",
        ",".join(drivers) or "-",
        _text(node.cpus),
        _size(memory),
        _size(node.shm_mib),
        _size(node.disk_free_mib),
        *(_text(node.versions.get(name)) for name in ("ms-swift", "torch", "vllm")),
        f"{sum(item.exists for item in here)}/{len(here)}" if here else "-",
    ]


def gpu_cell(facts: Facts, node: NodeFacts) -> str:
    """The GPUs in one cell: `4 x NVIDIA H100`.

    Under Slurm the number is the configured one, because the probe's job was given only one GPU.
    """
    names = sorted({gpu.name for gpu in node.gpus or [] if gpu.name})
    counts = sorted({sum(kind.gpus.values()) for kind in facts.kinds})
    if facts.kinds:
        count = "-".join(str(number) for number in (counts[:1] + counts[1:][-1:]))
        types = sorted({name for kind in facts.kinds for name in kind.gpus if name})
        names = names or types
    else:
        count = "?" if node.gpus is None else str(len(node.gpus))
    return f"{count} x {'/'.join(names)}" if names else count


def notes_of(facts: Facts, plan: Plan | None) -> list[str]:
    """What no column has room for: missing paths, and what could not be found out."""
    keys = {item.path: f"{item.kind}, {item.key}" for item in plan.paths} if plan else {}
    found = []
    for node in facts.nodes:
        for item in facts.paths:
            if not item.exists:
                found.append(f"{node.node}: {item.path} is not there ({keys.get(item.path, '?')})")
        found += [f"{node.node}: {text}" for text in node.notes]
    return found


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _size(mib: int | None) -> str:
    """A size in MiB as `503G` or `1.8T`; null as `-`."""
    if mib is None:
        return "-"
    if mib < 1024:
        return f"{mib}M"
    gib = mib / 1024
    return f"{gib:.0f}G" if gib < 1024 else f"{gib / 1024:.1f}T"

"""Facts about nodes, and the JSON files that keep them: one for each cluster and partition."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Union

import msgspec
from msgspec import Struct

from prl_submit.backends.slurm.partitions import NodeKind
from prl_submit.spec.traits import find_traits
from prl_submit.system.files import write_atomic
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_regular
from prl_submit.system.shared_results import shared

#: Stands for the partition in the facts of a single machine, which `probe --backend local` looks at.
NO_PARTITION = "-"
#: So many paths are remembered for a partition; the oldest answers are dropped.
MAX_PATHS = 1000
_CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf")
_CLUSTER_NAME = re.compile(r"^\s*ClusterName\s*=\s*([^\s#]+)", re.IGNORECASE | re.MULTILINE)


class Gpu(Struct, frozen=True):
    """One GPU; null is what nvidia-smi does not say, or that it is missing."""

    name: Union[str, None] = None
    memory_mib: Union[int, None] = None
    driver: Union[str, None] = None
    uuid: Union[str, None] = None


class NodeFacts(Struct, frozen=True, kw_only=True):
    """What one node has. Null: it could not be found out, and `notes` say why.

    `gpus`: those that the probe saw; under Slurm perhaps only the one that its job was given.
    `memory_limit_mib`: the limit of the container the probe ran in, if below the machine's memory.
    `versions`: the versions in the training environment, by distribution name.
    """

    node: str
    hostname: Union[str, None] = None
    gpus: Union[list[Gpu], None] = None
    memory_mib: Union[int, None] = None
    memory_limit_mib: Union[int, None] = None
    cpu: Union[str, None] = None
    cpus: Union[int, None] = None
    shm_mib: Union[int, None] = None
    output_root: Union[str, None] = None
    disk_free_mib: Union[int, None] = None
    os: Union[str, None] = None
    kernel: Union[str, None] = None
    versions: dict[str, Union[str, None]] = {}
    notes: list[str] = []


class PathFact(Struct, frozen=True):
    """Whether a path exists on a node: which node, and when that was seen (ISO 8601 with zone)."""

    path: str
    exists: bool
    probed_at: str
    node: str


class Facts(Struct, frozen=True, kw_only=True):
    """The nodes of a partition. `kinds`: the kinds of node in Slurm's configuration; local has none."""

    backend: str
    cluster: str
    partition: str
    default: bool = False
    probed_at: str
    nodes: list[NodeFacts]
    kinds: list[NodeKind] = []
    paths: list[PathFact] = []


class Damaged(Struct, frozen=True):
    """A file of facts that cannot be used, and why."""

    path: str
    reason: str


def facts_path(folder: str, cluster: str, partition: str) -> Path:
    """`<cluster>--<partition>.json`; characters that do not belong in a file name become %XX."""
    return Path(folder, f"{_file_word(cluster)}--{_file_word(partition)}.json")


def _file_word(text: str) -> str:
    return "".join(
        char if char.isalnum() or char in "_.-" else "".join(f"%{b:02X}" for b in char.encode())
        for char in text
    )


def read_facts(path: Path) -> Facts | Damaged | None:
    """The facts in a file; None if there is no such file."""
    try:
        facts: Facts = decode_json(read_regular(path, PLAN_BYTES), Facts)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Damaged(str(path), f"cannot be read: {error.strerror}")
    except ValueError as error:  # msgspec's DecodeError, and UnicodeDecodeError
        return Damaged(str(path), f"is damaged: {error}")
    return facts


def save_facts(folder: str, facts: Facts) -> Path:
    """Write the facts; answers of earlier probes about other paths are kept. Raises OSError."""
    path = facts_path(folder, facts.cluster, facts.partition)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = read_facts(path)
    if isinstance(before, Facts):
        seen = {item.path for item in facts.paths}
        older = [item for item in before.paths if item.path not in seen]
        kept = [*facts.paths, *older][:MAX_PATHS]
        facts = msgspec.structs.replace(facts, paths=kept)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    return path


def missing_paths(folder: str, cluster: str, partitions: Iterable[str]) -> list[str]:
    """The paths that an earlier probe did not find: the next probe looks again, whatever its SPEC."""
    found = [read_facts(facts_path(folder, cluster, partition)) for partition in partitions]
    known = [item for facts in found if isinstance(facts, Facts) for item in facts.paths]
    return [item.path for item in known if not item.exists]


def find_facts(
    folder: str, backend: str, partition: str | None, environ: Mapping[str, str]
) -> Facts | Damaged | None:
    """The facts about a job's partition; None if it was never probed or the job names several."""
    traits = find_traits(backend)
    if traits is not None and traits.runs_here:
        return read_facts(facts_path(folder, os.uname().nodename, NO_PARTITION))
    partition = partition or environ.get("SBATCH_PARTITION")
    cluster = cluster_name(environ) or _only_cluster(folder)
    if cluster is None or (partition and "," in partition):
        return None
    return _facts_of(folder, cluster, partition)


@shared
def _facts_of(folder: str, cluster: str, partition: str | None) -> Facts | Damaged | None:
    """The facts about a partition of a cluster; None: its default partition."""
    if partition:
        return read_facts(facts_path(folder, cluster, partition))
    files = sorted(Path(folder).glob(f"{_file_word(cluster)}--*.json"))
    defaults = [found for path in files if _is_default(found := read_facts(path), cluster)]
    return max(defaults, key=lambda found: found.probed_at, default=None)  # type: ignore[union-attr]


def _is_default(facts: Facts | Damaged | None, cluster: str) -> bool:
    return isinstance(facts, Facts) and facts.default and facts.cluster == cluster


def cluster_name(environ: Mapping[str, str]) -> str | None:
    """ClusterName in this machine's slurm.conf, in lower case as Slurm has it; None if it has none."""
    named = environ.get("SLURM_CONF")
    for path in [named] if named else _CONFIGURATIONS:
        if name := _cluster_of(path):
            return name
    return None


@shared
def _cluster_of(configuration: str) -> str | None:
    """ClusterName in a slurm.conf, in lower case."""
    try:
        text = Path(configuration).read_text("utf-8", "replace")
    except OSError:
        return None
    match = _CLUSTER_NAME.search(text)
    return match[1].lower() if match else None


def _only_cluster(folder: str) -> str | None:
    """The only cluster that was ever probed, for machines without slurm.conf (Slurm's `configless`)."""
    files = (name for name in os.listdir(folder) if name.endswith(".json"))
    names = {
        name.partition("--")[0] for name in files if not name.endswith(f"--{NO_PARTITION}.json")
    }
    return names.pop() if len(names) == 1 else None

"""Parsing sinfo, and refusing jobs that could never start. A job that might fit is not refused."""

from __future__ import annotations

import pytest

from prl_submit.backends.slurm.partitions import (
    SINFO,
    SINFO_STATES,
    NodeKind,
    Partition,
    chosen,
    hopeless,
    in_words,
    parse_gres,
    parse_limit,
    parse_sinfo,
    unavailable,
)
from prl_submit.errors import Refusal
from prl_submit.planning.plan import Plan
from tests.support.plans import planned, slurm_plan

CLUSTER = """\
gpu|gpu*|2-00:00:00|4|64|500000|gpu:h100:8(S:0-1)
gpu|gpu*|2-00:00:00|2|32|250000|gpu:a100:4(S:0)
low|low|infinite|1|16|64000|gpu:2
cpu|cpu|30:00|8|128|1000000|(null)
"""


def plan_with(resources: str = "", slurm: str = "") -> Plan:
    """The plan of a Slurm job; each text is the content of the section of its name."""
    return slurm_plan(f"resources: {{{resources}}}\nslurm: {{{slurm}}}")


def refusal(resources: str, slurm: str = "") -> Refusal | None:
    """The one reason why the job could never start on that cluster."""
    plan = plan_with(resources, slurm)
    found = hopeless(plan, chosen(plan, parse_sinfo(CLUSTER), None))
    assert len(found) <= 1
    return found[0] if found else None


# ------------------------------------------------------------------ reading
def test_the_question_has_as_many_fields_as_the_answer_needs() -> None:
    assert SINFO[-1].count("|") == CLUSTER.splitlines()[0].count("|")


def test_the_answer() -> None:
    """sinfo's lines become partitions with their kinds of node."""
    found = parse_sinfo(CLUSTER)
    assert list(found) == ["gpu", "low", "cpu"]
    assert found["gpu"] == Partition(
        "gpu",
        True,
        2 * 86400,
        [NodeKind(4, 64, 500000, {"h100": 8}), NodeKind(2, 32, 250000, {"a100": 4})],
    )
    assert found["low"] == Partition("low", False, None, [NodeKind(1, 16, 64000, {"": 2})])
    assert found["cpu"] == Partition("cpu", False, 1800, [NodeKind(8, 128, 1000000, {})])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "slurm_load_partitions: Unable to contact slurm controller (connect failure)",
        "a|a|1:00|x|8|1000|gpu:4",
        "a|a|1:00|1|8+|1000|gpu:4",
        "a|a|1:00|1|8|1000",
        "a|a|1:00|1|8|1000|gpu:4|more",
        "CLUSTER: other",
        "a|a|1:00||8|1000|gpu:4",
        "a|a|1:00|1||1000|gpu:4",
        "a|a|1:00|1|8|N/A|gpu:4",
        "a|a|1:00|1|²|1000|gpu:4",
    ],
)
def test_odd_lines_are_skipped(line: str) -> None:
    assert list(parse_sinfo(f"{line}\n{CLUSTER}")) == ["gpu", "low", "cpu"]


@pytest.mark.parametrize(("text", "mib"), [("1000", 1000), ("1000+", 1000), ("", 0)])
def test_memory(text: str, mib: int) -> None:
    """sinfo's memory is read, also with a + behind it."""
    assert parse_sinfo(f"a|a|1:00|1|8|{text}|")["a"].kinds[0].memory_mib == mib


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:4", {"": 4}),
        ("gpu:h100:8(S:0-1)", {"h100": 8}),
        ("gpu:4(S:0)", {"": 4}),
        ("gpu:a100:4,gpu:v100:2", {"a100": 4, "v100": 2}),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:1)", {"a100": 4, "v100": 2}),
        ("gpu:a100:2,gpu:a100:2", {"a100": 4}),
        ("gpu:nvidia_a100_3g.39gb:2(S:0)", {"nvidia_a100_3g.39gb": 2}),
        ("gpu:nvidia_h100_80gb_hbm3:8(S:0-1),nic:mlx5:8", {"nvidia_h100_80gb_hbm3": 8}),
        ("gpu:8,tmpfs:100G", {"": 8}),
        ("tmpfs:100G,gpu:8", {"": 8}),
        ("craynetwork:4,gpu:a:1", {"a": 1}),
        ("gpu", {"": 1}),
        ("gpu(S:0)", {"": 1}),
        ("gpu:h100", {"h100": 1}),
        ("gpu:0", {"": 0}),
        ("gres:gpu:2", {"": 2}),  # squeue
        ("gres/gpu:h100:4", {"h100": 4}),  # squeue of newer versions
        ("gres:gpu:1,gres:nvme:2", {"": 1}),
        ("(null)", {}),
        ("N/A", {}),
        ("", {}),
        ("tmpfs:100G", {}),
        ("mps:400", {}),
    ],
)
def test_gres_of_real_clusters(text: str, gpus: dict[str, int]) -> None:
    assert parse_gres(text) == gpus


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30:00", 1800),
        ("1:30", 90),
        ("12:00:00", 43200),
        ("1-00:00:00", 86400),
        ("365-00:00:00", 365 * 86400),
        ("infinite", None),
        ("UNLIMITED", None),
        ("n/a", None),
        ("30", None),
        ("", None),
        ("x12:00:00", None),
    ],
)
def test_limits(text: str, seconds: int | None) -> None:
    """Slurm's time limits become seconds."""
    assert parse_limit(text) == seconds


# ------------------------------------------------------------------ which partitions
@pytest.mark.parametrize(
    ("partition", "default", "names"),
    [
        ("low", None, ["low"]),
        ("gpu,low", None, ["gpu", "low"]),
        ("low,cpu", "gpu", ["low", "cpu"]),  # the spec's partition counts before the variable's
        (None, None, ["gpu"]),
        (None, "cpu", ["cpu"]),
        (None, "", ["gpu"]),
        ("typo", None, []),
        ("gpu,typo", None, ["gpu"]),
    ],
)
def test_the_partitions_of_a_job(
    partition: str | None, default: str | None, names: list[str]
) -> None:
    plan = plan_with(slurm=f"partition: '{partition}'" if partition else "")
    assert [p.name for p in chosen(plan, parse_sinfo(CLUSTER), default)] == names


# ------------------------------------------------------------------ jobs that could never start
@pytest.mark.parametrize(
    ("resources", "slurm"),
    [
        ("", ""),
        ("nproc_per_node: 8", ""),
        ("nproc_per_node: 8, gpu_type: h100", ""),
        ("nproc_per_node: 4, gpu_type: a100, nodes: 2", ""),
        ("nodes: 6", ""),
        ("nodes: 7", "partition: 'gpu,low'"),
        ("nproc_per_node: 8, cpus_per_proc: 8", ""),
        ("memory: 500000M", ""),
        ("memory: 488G", ""),
        ("memory: 0.4T", ""),
        ("memory: 512000000K", ""),
        ("time_limit: 2d", ""),
        ("time_limit: 300d", "partition: low"),
        ("time_limit: 300d", "partition: 'gpu,low'"),  # one of them has no limit
        ("time_limit: 3d", "qos: long"),  # which may allow more
        ("accelerator: cpu, nproc_per_node: 16", "partition: cpu"),
        ("accelerator: cpu, nproc_per_node: 16, gpu_type: h100", "partition: cpu"),
        (
            "nproc_per_node: 64, gpu_type: none-such",
            "partition: typo",
        ),  # Slurm's own refusal is clearer
    ],
)
def test_a_job_that_fits_is_accepted(resources: str, slurm: str) -> None:
    assert refusal(resources, slurm) is None


@pytest.mark.parametrize(
    ("resources", "slurm", "key", "message", "hint"),
    [
        (
            "nproc_per_node: 9",
            "",
            "resources.nproc_per_node",
            "9 GPUs per node are asked for; no node of partition gpu has more than 8",
            "nproc_per_node up to 8, on more nodes",
        ),
        (
            "nproc_per_node: 8, gpu_type: a100",
            "partition: 'gpu,low'",
            "resources.nproc_per_node",
            "8 a100 GPUs per node are asked for; no node of partition gpu, low has more than 4",
            "nproc_per_node up to 4, on more nodes",
        ),
        (
            "",
            "partition: cpu",
            "resources.nproc_per_node",
            "1 GPU per node is asked for; no node of partition cpu has more than 0",
            "take another partition",
        ),
        (
            "gpu_type: h100",
            "partition: cpu",
            "resources.nproc_per_node",
            "1 h100 GPU per node is asked for; no node of partition cpu has more than 0",
            "take another partition",
        ),
        (
            "gpu_type: h200",
            "",
            "resources.gpu_type",
            "'h200' is no GPU type of partition gpu",
            "did you mean 'h100'? it has: a100, h100",
        ),
        (
            "gpu_type: xyz",
            "",
            "resources.gpu_type",
            "'xyz' is no GPU type of partition gpu",
            "it has: a100, h100",
        ),
        (
            "gpu_type: h100",
            "partition: low",
            "resources.gpu_type",
            "'h100' is no GPU type of partition low",
            "its GPUs have no type: remove gpu_type",
        ),
        (
            "nproc_per_node: 8, cpus_per_proc: 9",
            "",
            "resources.cpus_per_proc",
            "72 CPUs per node (9 x 8 processes) are asked for; no node of partition gpu has more than 64",
            "up to 8",
        ),
        (
            "memory: 489G",
            "",
            "resources.memory",
            "489G per node are asked for; no node of partition gpu has more than 500000 MiB",
            "up to 500000M",
        ),
        (
            "nodes: 7",
            "",
            "resources.nodes",
            "7 nodes are asked for; partition gpu has 6",
            None,
        ),
        (
            "time_limit: 49h",
            "",
            "resources.time_limit",
            "2-01:00:00 is more than partition gpu allows, 2-00:00:00; it would wait forever",
            "a shorter time, or another partition",
        ),
        (
            "time_limit: 49h, accelerator: cpu",
            "partition: 'cpu,gpu'",
            "resources.time_limit",
            "2-01:00:00 is more than partition cpu, gpu allows, 2-00:00:00; it would wait forever",
            "a shorter time, or another partition",
        ),
    ],
)
def test_what_could_never_start(
    resources: str, slurm: str, key: str, message: str, hint: str | None
) -> None:
    assert refusal(resources, slurm) == Refusal(key, message, hint)


def test_a_partition_whose_nodes_are_made_on_demand_refuses_nothing() -> None:
    plan = planned("resources: {nproc_per_node: 8, memory: 8G}").plan
    found = parse_sinfo("cloud|cloud*|infinite|0|0|0|(null)\n")
    assert hopeless(plan, chosen(plan, found, None)) == []
    assert in_words(found["cloud"]) == "cloud (default): no nodes yet"


def test_a_cluster_that_does_not_answer_refuses_nothing() -> None:
    plan = plan_with("nproc_per_node: 1000")
    assert hopeless(plan, chosen(plan, parse_sinfo(""), None)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "gpu (default): 4 nodes with 8 h100 GPUs, 2 nodes with 4 a100 GPUs, up to 2-00:00:00"),
        ("low", "low: 1 node with 2 GPUs"),
        ("cpu", "cpu: 8 nodes with no GPU, up to 00:30:00"),
    ],
)  # fmt: skip
def test_partitions_in_words(name: str, words: str) -> None:
    assert in_words(parse_sinfo(CLUSTER)[name]) == words


def test_a_node_with_two_kinds() -> None:
    kind = NodeKind(1, 8, 1000, {"a100": 1, "v100": 2})
    assert in_words(Partition("p", False, None, [kind])) == (
        "p: 1 node with 1 a100 GPU and 2 v100 GPUs"
    )


# ------------------------------------------------------------------ nodes that are drained or down
STATES = """\
gpu|gpu*|2|64|500000|gpu:h100:8(S:0-1)|drained|disk failure | rack 3
gpu|gpu*|1|64|500000|gpu:h100:8(S:0-1)|down*|Not responding
gpu|gpu*|1|64|500000|gpu:h100:8(S:0-1)|mixed|none
gpu|gpu*|9|128|900000|(null)|idle|none
low|low|1|16|64000|gpu:2|drained|none
"""


def test_the_question_for_states_has_as_many_fields() -> None:
    assert SINFO_STATES[-1].count("|") == STATES.splitlines()[1].count("|")


@pytest.mark.parametrize(
    ("resources", "slurm", "words"),
    [
        ("nproc_per_node: 8", "", None),  # one node is available, and only busy
        ("nproc_per_node: 8, nodes: 2", "", "of the 4 nodes of partition gpu that could run it, 2 drained (disk failure | rack 3), 1 down (Not responding)"),
        ("accelerator: cpu, nodes: 10", "", None),
        ("nproc_per_node: 2", "partition: low", "of the 1 nodes of partition low that could run it, 1 drained"),
        ("nproc_per_node: 2", "partition: 'low,gpu'", None),
        ("nproc_per_node: 2", "partition: other", None),
        ("nproc_per_node: 8, memory: 0, nodes: 3", "", "2 drained"),
        ("nproc_per_node: 8, memory: 900G, nodes: 3", "", None),  # too many nodes is the real fault
    ],
)  # fmt: skip
def test_nodes_that_are_drained_or_down(resources: str, slurm: str, words: str | None) -> None:
    found = unavailable(plan_with(resources, slurm), STATES, None)
    assert (found is None) is (words is None), found
    assert found is None or (words or "") in found.message


@pytest.mark.parametrize("text", ["", "nonsense", "gpu|gpu*|x|1|1|(null)|down|none\n"])
def test_states_that_do_not_read(text: str) -> None:
    assert unavailable(plan_with(), text, None) is None


def test_all_the_memory_of_a_node_fits_every_node() -> None:
    assert refusal("memory: 0") is None
    assert refusal("memory: all") is None

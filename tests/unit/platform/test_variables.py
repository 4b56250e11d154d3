"""The variables of platforms: every row of the table and every trap, by Python and by bash."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from prl_submit.backends.platform.variables import Seen, see_platform
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.platforms import COLUMNS, platform_rows
from tests.support.platform_variables import ROWS, Case, OfBash, seen_by_bash

NO_NAMES = ("",) * len(COLUMNS)


def see(environ: Mapping[str, str], **names: str) -> Seen:
    """The place, which these variables must state."""
    found = see_platform(environ, SimpleNamespace(**names))
    assert found is not None
    return found


def place(environ: Mapping[str, str], **names: str) -> tuple[object, ...]:
    """The values without the job, where nothing is wrong."""
    found = see(environ, **names)
    assert found.faults == ()
    return tuple(getattr(found, column) for column in COLUMNS[:-1])


#: What each of ROWS says: the address, the port (None: prl-submit chooses one) and the job's id.
SAID = {
    "PAI-DLC": ("dlc18isgeayd-master-0", 23456, None),
    "AIHC": ("job-x-master-0", 23456, "job-x"),
    "TI-ONE": ("10.0.0.4", 23456, None),
    "Taiji": ("10.0.0.4", None, None),
    "Volcengine": ("10.128.97.74", 2222, "t-20210924211641-nznsh"),
    "ModelArts": ("job-worker-0.job", None, "ma-job-1"),
    "Arnold": ("10.1.2.3", 9100, None),
    "SenseCore": ("pt-x-master-0", 29500, None),
    "Kubeflow": ("tj-node-0-0.tj", 29400, None),
    "SkyPilot": ("10.0.0.4", None, "sky-2026-11-30-12-00-00-000000_train_1"),
    "dstack": ("10.0.0.4", None, None),
    "NNODES": ("10.0.0.4", 29500, None),
}


@pytest.mark.parametrize("platform", ROWS)
def test_each_platform_says_its_place(platform: str) -> None:
    address, port, job = SAID[platform]
    assert place(ROWS[platform]) == (2, 1, address, port, 8)
    found = see(ROWS[platform])
    assert found.job == job
    assert platform in found.platform
    assert all(ROWS[platform][variable] for variable in found.variables.values())


@pytest.mark.parametrize("platform", sorted(set(ROWS) - {"NNODES", "PAI-DLC", "AIHC", "TI-ONE"}))
def test_a_platforms_own_names_come_before_the_general_ones(platform: str) -> None:
    general = {"NNODES": "5", "NODE_RANK": "4", "WORLD_SIZE": "40", "RANK": "33"}
    assert place({**general, **ROWS[platform]})[:2] == (2, 1)


def test_ms_swifts_names_come_before_world_size() -> None:
    assert place({**ROWS["NNODES"], "WORLD_SIZE": "16", "RANK": "9"})[:2] == (2, 1)


@pytest.mark.parametrize("mark", ["LOCAL_RANK", "TORCHELASTIC_RUN_ID"])
def test_inside_torchrun_the_general_names_count_processes(mark: str) -> None:
    assert see_platform({**ROWS["PAI-DLC"], mark: "0"}) is None
    assert see_platform({**ROWS["NNODES"], mark: "0"}) is None
    assert place({**ROWS["Volcengine"], "WORLD_SIZE": "16", "RANK": "9", mark: "0"})[:2] == (2, 1)
    assert see_platform({**ROWS["PAI-DLC"], mark: ""}) is not None


def test_the_training_operators_world_size_counts_processes() -> None:
    operator = {"WORLD_SIZE": "16", "RANK": "1", "PET_NNODES": "2", "PET_NPROC_PER_NODE": "8"}
    addresses = {"MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456"}
    assert place({**operator, **addresses}) == (2, 1, "job-master-0", 23456, 8)


def test_volcanos_workers_are_not_all_nodes_where_there_is_a_master() -> None:
    volcano = {"VC_WORKER_NUM": "1", "VC_TASK_INDEX": "0", "VC_WORKER_HOSTS": "j-worker-0.j"}
    assert place(volcano)[:2] == (1, 0)
    pytorch = {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "j-master-0.j",
        "MASTER_PORT": "23456",
    }
    both = {**volcano, **pytorch, "VC_MASTER_HOSTS": "j-master-0.j", "VC_MASTER_NUM": "1"}
    assert place(both)[:3] == (2, 1, "j-master-0.j")


def test_modelarts_without_ma_num_hosts() -> None:
    rest = {name: value for name, value in ROWS["ModelArts"].items() if name != "MA_NUM_HOSTS"}
    assert place(rest) == (2, 1, "job-worker-0.job", None, 8)


def test_volcengines_other_address() -> None:
    assert place({**ROWS["Volcengine"], "MLP_WORKER_0_HOST": ""})[2] == "192.168.0.4"


def test_one_node_needs_neither_rank_nor_address() -> None:
    assert place({"NNODES": "1"}) == (1, 0, None, None, None)
    assert place({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "localhost"})[:3] == (1, 0, None)


def test_a_complete_row_comes_before_an_incomplete_one() -> None:
    assert place({"HOST_NUM": "1", **ROWS["PAI-DLC"]})[:2] == (2, 1)
    assert place({"HOST_NUM": "3", **ROWS["PAI-DLC"]})[:2] == (2, 1)
    assert place({"MLP_WORKER_NUM": "3", "MLP_ROLE_INDEX": "2", **ROWS["NNODES"]})[:2] == (2, 1)
    assert see({"HOST_NUM": "1", "NNODES": "2"}).faults


def test_nothing_is_seen_without_a_number_of_nodes() -> None:
    assert see_platform({}) is None
    assert see_platform({"RANK": "0", "INDEX": "3", "MASTER_PORT": "23456"}) is None
    assert see_platform({"RANK": "0", "MASTER_ADDR": "localhost"}) is None
    assert see_platform({"NNODES": "", "WORLD_SIZE": ""}) is None


def changed(row: str, **values: str) -> dict[str, str]:
    return {name: value for name, value in {**ROWS[row], **values}.items() if value}


FAULTS = [
    (changed("NNODES", NNODES="abc"), "NNODES=abc is not a number of nodes"),
    (changed("NNODES", NNODES="0"), "NNODES=0 is not a number of nodes"),
    (changed("NNODES", NNODES="-2"), "NNODES=-2 is not a number of nodes"),
    (changed("NNODES", NNODES="9" * 20), f"NNODES={'9' * 20} is not a number of nodes"),
    (
        changed("Kubeflow", PET_NNODES="1:4"),
        "PET_NNODES=1:4 is a range, and the number of nodes must be fixed",
    ),
    (
        changed("PAI-DLC", RANK="2"),
        "RANK=2 is not a node of 2 (WORLD_SIZE=2): the nodes are counted from 0",
    ),
    (
        changed("PAI-DLC", RANK="-1"),
        "RANK=-1 is not a node of 2 (WORLD_SIZE=2): the nodes are counted from 0",
    ),
    (
        changed("PAI-DLC", RANK=""),
        "there are 2 nodes (WORLD_SIZE=2), but which of them this one is, is not known: RANK is not set",
    ),
    (
        changed("Volcengine", MLP_WORKER_0_HOST="", MLP_WORKER_0_PRIMARY_HOST=""),
        "there are 2 nodes (MLP_WORKER_NUM=2), but the address of node 0 is not known: "
        "MLP_WORKER_0_HOST or MLP_WORKER_0_PRIMARY_HOST is not set",
    ),
    (
        changed("PAI-DLC", MASTER_ADDR="127.0.0.1"),
        "MASTER_ADDR=127.0.0.1 is each node itself, so the 2 nodes (WORLD_SIZE=2) cannot find node 0",
    ),
    (
        changed("PAI-DLC", MASTER_PORT="tcp://10.3.4.5:23456"),
        "MASTER_PORT=tcp://10.3.4.5:23456 is not a port",
    ),
    (changed("PAI-DLC", MASTER_PORT="65536"), "MASTER_PORT=65536 is not a port"),
    (
        changed("PAI-DLC", NPROC_PER_NODE="0,1"),
        "NPROC_PER_NODE=0,1 is not a number of processes",
    ),
    (
        changed("PAI-DLC", MASTER_ADDR="$(touch pwned)"),
        "MASTER_ADDR=$(touch pwned) is not a host name or an address",
    ),
    (
        changed("PAI-DLC", WORLD_SIZE=""),
        "RANK=1 and MASTER_ADDR=dlc18isgeayd-master-0, but the number of nodes is not known: "
        "WORLD_SIZE is not set",
    ),
]


@pytest.mark.parametrize(("environ", "fault"), FAULTS)
def test_what_is_wrong_is_told_with_variable_and_value(environ: dict[str, str], fault: str) -> None:
    assert see(environ).faults == (fault,)


@pytest.mark.parametrize(
    "address", ["localhost", "127.0.1.1", "::1", "[::1]", "0.0.0.0", "localhost.localdomain"]
)
def test_no_node_is_found_at_an_address_of_its_own(address: str) -> None:
    assert "is each node itself" in see(changed("PAI-DLC", MASTER_ADDR=address)).faults[0]


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "[2001:db8::7]", "node_0", "10.0.0.4", "a.b-c"]
)
def test_addresses(address: str) -> None:
    assert place(changed("PAI-DLC", MASTER_ADDR=address))[2] == address


@pytest.mark.parametrize("words", ["auto", "gpu", "cpu", "AUTO", "0", "00", ""])
def test_a_number_of_processes_that_is_not_stated(words: str) -> None:
    assert place(changed("Kubeflow", PET_NPROC_PER_NODE=words))[4] is None


def test_leading_zeros_are_decimal() -> None:
    zeros = changed("PAI-DLC", WORLD_SIZE="012", RANK="010", NPROC_PER_NODE="08")
    assert place(zeros)[:2] + place(zeros)[4:] == (12, 10, 8)


def test_the_specs_names_win() -> None:
    own = {"MY_N": "3", "MY_R": "2", "MY_M": "head", "MY_P": "7000", "MY_G": "4", "MY_J": "j7"}
    names = {
        "nodes": "MY_N",
        "node_rank": "MY_R",
        "master_addr": "MY_M",
        "master_port": "MY_P",
        "nproc_per_node": "MY_G",
        "job": "MY_J",
    }
    everything = {**ROWS["Volcengine"], **ROWS["PAI-DLC"], **own}
    assert place(everything, **names) == (3, 2, "head", 7000, 4)
    assert see(everything, **names).job == "j7"
    assert see_platform(ROWS["Volcengine"], SimpleNamespace(**names)) is None


def test_a_name_of_the_spec_for_one_value_leaves_the_others_to_the_table() -> None:
    assert place({**ROWS["Volcengine"], "MY_G": "4"}, nproc_per_node="MY_G")[4] == 4
    assert place({**ROWS["PAI-DLC"], "MY_N": "5"}, nodes="MY_N") == (
        5,
        1,
        "dlc18isgeayd-master-0",
        23456,
        8,
    )
    missing = see({"MY_N": "5", "MASTER_ADDR": "a"}, nodes="MY_N").faults
    assert missing[0].endswith("no known variable is set; platform.node_rank can name another")
    missing = see({"MY_N": "5", "MASTER_ADDR": "a"}, nodes="MY_N", node_rank="MY_R").faults
    assert missing[0].endswith("not known: MY_R is not set")


def test_the_spec_may_name_a_list_of_hosts() -> None:
    hosts = {"NNODES": "2", "NODE_RANK": "1", "MY_HOSTS": "a-0.a, a-1.a", "MY_PORTS": "7,8"}
    found = place(hosts, master_addr="MY_HOSTS", master_port="MY_PORTS")
    assert found == (2, 1, "a-0.a", 7, None)


@pytest.mark.parametrize(
    "row",
    [
        "x A B C D E F",
        "x A B C D E F - -",
        "x A[1] B C D E F -",
        "x A| B C D E F -",
        "x 'A' B C D E F -",
    ],
)
def test_a_damaged_table_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, row: str) -> None:
    (tmp_path / "platforms.txt").write_text(f"# a comment\n{row}\n")
    monkeypatch.setattr("prl_submit.launch.render.TEMPLATES", str(tmp_path))
    with pytest.raises(PrlSubmitError, match="is no row of the table"):
        platform_rows.__wrapped__()
    (tmp_path / "platforms.txt").unlink()
    with pytest.raises(PrlSubmitError, match="cannot be read"):
        platform_rows.__wrapped__()


def test_the_words_of_a_value() -> None:
    assert see(ROWS["PAI-DLC"]).said("node_rank") == "RANK=1"
    assert see({"NNODES": "1", "NODE_RANK": "0"}).said("node_rank") == "NODE_RANK=0"
    assert see({"NNODES": "1"}).said("node_rank") == "-"


# ------------------------------------------------------------------ bash
def of_python(case: Case) -> OfBash:
    """What Python sees, as bash says it."""
    environ, names = case
    found = see_platform(environ, SimpleNamespace(**dict(zip(COLUMNS, names, strict=True))))
    if found is None:
        return OfBash("", NO_NAMES, NO_NAMES, ())
    values = ["" if not found.nodes else str(found.nodes)]
    values += ["" if found.node_rank is None else str(found.node_rank)]
    values += [str(getattr(found, column) or "") for column in COLUMNS[2:]]
    variables = [found.variables.get(column, "") for column in COLUMNS]
    return OfBash(found.platform, tuple(values), tuple(variables), found.faults)


def compare(folder: Path, cases: list[Case]) -> None:
    for case, bash in zip(cases, seen_by_bash(folder, cases), strict=True):
        assert bash == of_python(case), case
    assert not (folder / "pwned").exists()


def test_bash_says_the_same_of_every_row_and_trap(tmp_path: Path) -> None:
    cases: list[Case] = [(environ, NO_NAMES) for environ in ROWS.values()]
    cases += [({**environ, "LOCAL_RANK": "0"}, NO_NAMES) for environ in ROWS.values()]
    cases += [(environ, NO_NAMES) for environ, _ in FAULTS]
    cases += [
        ({**ROWS["PAI-DLC"], name: value}, NO_NAMES)
        for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "NPROC_PER_NODE")
        for value in HOSTILE
    ]
    cases += [
        ({**ROWS["Volcengine"], "MLP_TASK_ID": value, "MY_N": value}, names)
        for value in HOSTILE
        for names in (
            NO_NAMES,
            ("MY_N", "", "", "", "", ""),
            ("MLP_WORKER_NUM", "", "", "", "", "MY_N"),
        )
    ]
    compare(tmp_path, cases)


HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "a[$(touch pwned)]",
    "1; touch pwned",
    "2\n3",
    "'\"",
    "*",
    "~",
    "-e",
    "--",
    "%s%n",
    "\\0",
    "0x10",
    "1e3",
    "2 ",
    " 2",
    "+2",
    "9" * 400,
    "主节点",
    "主" * 50,
    "bad\udcff\udcfe",
    "\t\x1b[31m",
    "é" * 31,
    "1:4",
    "::::",
    "a:1",
    ",",
    "x" * 61,
]


def test_bash_says_the_same_of_random_variables(tmp_path: Path) -> None:
    chance = random.Random(14)
    rows = platform_rows()
    variables = sorted(
        {name.removesuffix("[0]") for row in rows for cell in row.cells for name in cell}
        | {name for row in rows for name in row.not_with}
    )
    inside = ["LOCAL_RANK", "TORCHELASTIC_RUN_ID"]
    values = ["", "0", "1", "2", "2", "3", "08", "auto", "1:4", "abc", "127.0.0.1", "::1"]
    values += ["10.0.0.4", "a,b", " a;b", "a\nb", "23456", "99999", "head-0.svc", *HOSTILE]
    own = ["MY_A", "MY_B", "MY_LIST[0]"]

    def environ() -> dict[str, str]:
        row = chance.choice(rows)
        some = {name.removesuffix("[0]") for cell in row.cells for name in cell[:1]}
        some |= set(chance.sample(variables, chance.randrange(12)))
        some |= {"MY_A", "MY_B", "MY_LIST"} if chance.random() < 0.4 else set()
        some |= {chance.choice(inside)} if chance.random() < 0.1 else set()
        plain = values[:19] if chance.random() < 0.7 else values
        numbers = ["1", "2", "3", "0"]
        return {
            name: chance.choice(numbers if chance.random() < 0.5 else plain)
            for name in sorted(some)
        }

    def names() -> tuple[str, ...]:
        if chance.random() < 0.6:
            return NO_NAMES
        return tuple(chance.choice(["", "", *own, *variables]) for _ in COLUMNS)

    compare(tmp_path, [(environ(), names()) for _ in range(300)])

"""Nodes that find one run: real processes on one folder, killed and restarted at any instant."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from prl_submit.backends.platform.handshake import NodeAnswer, NodeAsk, NodeHello, spec_digest
from prl_submit.backends.platform.node_folder import NodeFolder
from prl_submit.backends.platform.pasted_node import NodePlace
from prl_submit.runs.directory import Run
from prl_submit.runs.record import PlatformJob, write_record
from tests.conftest import eventually
from tests.support.pasted_nodes import (
    KEYS,
    PastedNodes,
    companions,
    joined,
    make,
    messages,
    runs_in,
)


@pytest.fixture
def nodes() -> Iterator[PastedNodes]:
    """Starts nodes; those that are left at the end of the test are killed."""
    with PastedNodes() as started:
        yield started


def folder_of(root: Path, count: int = 2, job: str | None = None) -> NodeFolder:
    """The folder in which the nodes of a job meet."""
    place = NodePlace(rank=0, nodes=count, master_addr="n0", job=job)
    return NodeFolder(root, place.key)


def end(root: Path, code: int = 0) -> None:
    """Let launch.sh of every node end."""
    for run in runs_in(root):
        (run / "stop.part").write_text(str(code))
        (run / "stop.part").rename(run / "stop")


def only_run(root: Path) -> Path:
    (run,) = runs_in(root)
    return run


# ------------------------------------------------------------------ fifty repetitions
class Event(NamedTuple):
    """A rank of a job is started or killed at some time."""

    at: float
    do: str
    root: Path
    rank: int


def random_events(chance: random.Random, root: Path, count: int) -> list[Event]:
    """Each node begins at any time; some are killed at any time after that, and started again."""
    events = []
    for rank in range(count):
        at = chance.choice([0.0, chance.uniform(0, 1.5)])
        events.append(Event(at, "start", root, rank))
        while chance.random() < 0.5:
            at += chance.uniform(0, 1.2)
            events.append(Event(at, chance.choice(["kill", "kill all"]), root, rank))
            at += chance.uniform(0, 0.4)
            events.append(Event(at, "start", root, rank))
    return events


def leave_old_job(root: Path, count: int, chance: random.Random) -> None:
    """What an earlier job with the same variables can leave, wherever it was killed; it leads to an old run."""
    folder, spec = folder_of(root, count), spec_digest(KEYS)
    old = root / "v0-20260101-000000"
    (old / "logs").mkdir(parents=True)
    left: list[NodeHello | NodeAsk | NodeAnswer] = [
        NodeHello(nonce="old", host="n0", spec=spec, beat=9)
    ]
    for rank in range(1, count):
        me = f"{rank}" * 32
        left.append(NodeAsk(nonce=me, rank=rank, host="x", keys=KEYS, to=["old"], beat=7))
        left.append(NodeAnswer(sender="old", to=me, run=str(old), token="t"))
    for said in left:
        if chance.random() < 0.8:
            folder.write(said)
    if folder.path.exists():
        (folder.path / "node0.half.json").write_text('{"nonce": "ol')
        for file in folder.path.iterdir():  # years ago, or in the future: nobody looks at that
            when = chance.choice([0, 1 << 31])
            os.utime(file, (when, when))


def is_joined(root: Path, pids: dict[int, int]) -> bool:
    runs = runs_in(root)
    return len(runs) == 1 and joined(runs[0]) == pids


def kill(nodes: PastedNodes, pid: int, *, everything: bool) -> None:
    """kill -9 of a node's process; with `everything` also of what it started, as when a container goes."""
    children = companions(pid) if everything else []
    for one in [pid, *children]:
        nodes.kill(one)
    nodes.wait(pid)


@pytest.mark.parametrize("batch", range(5))
def test_whatever_the_order_all_nodes_find_one_run(
    nodes: PastedNodes, tmp_path: Path, batch: int
) -> None:
    """Ten jobs at a time, of 2 and of 4 nodes, over what earlier jobs left: 50 repetitions in all."""
    chance = random.Random(batch)
    counts = {tmp_path / str(number): 2 + 2 * (number % 2) for number in range(10)}
    events = []
    for root, count in counts.items():
        leave_old_job(root, count, chance)
        events += random_events(chance, root, count)
    pids: dict[Path, dict[int, int]] = {root: {} for root in counts}
    began = time.monotonic()
    for event in sorted(events):
        time.sleep(max(0.0, began + event.at - time.monotonic()))
        mine = pids[event.root]
        if event.do == "start":
            mine[event.rank] = nodes.start(event.root, event.rank, nodes=counts[event.root])
        else:
            kill(nodes, mine[event.rank], everything=event.do == "kill all")
    for root in counts:
        eventually(partial(is_joined, root, pids[root]), timeout=60)
        end(root)
    for root, mine in pids.items():
        codes = {rank: nodes.wait(pid) for rank, pid in mine.items()}
        assert codes == dict.fromkeys(mine, 0), messages(root, mine[0])


# ------------------------------------------------------------------ order, restarts
def test_the_others_come_long_before_node_0(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = {rank: nodes.start(tmp_path, rank, nodes=3) for rank in (2, 1)}
    time.sleep(3)
    assert runs_in(tmp_path) == []
    pids[0] = nodes.start(tmp_path, 0, nodes=3)
    eventually(lambda: is_joined(tmp_path, pids))


def test_nothing_is_left_of_the_meeting(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = {rank: nodes.start(tmp_path, rank) for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))
    end(tmp_path)
    assert [nodes.wait(pid) for pid in pids.values()] == [0, 0]
    eventually(lambda: not (tmp_path / ".nodes").exists())


def test_the_same_command_again_goes_on_in_the_run(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = {rank: nodes.start(tmp_path, rank, job="j1") for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))
    for pid in pids.values():
        kill(nodes, pid, everything=True)
    again = {rank: nodes.start(tmp_path, rank, job="j1", host=f"m{rank}") for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, again))
    assert "goes on in v0" in messages(tmp_path, again[0])


def test_the_next_job_of_the_platform_makes_a_run_of_its_own(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    """With an id of the platform by that id; without one by the host name of node 0."""
    for number, more in enumerate([{"job": "j1"}, {"job": "j2"}, {"host": "a"}, {"host": "b"}], 1):
        pid = nodes.start(tmp_path, 0, nodes=1, **more)
        eventually(partial(has_runs, tmp_path, number))
        kill(nodes, pid, everything=True)


def has_runs(root: Path, count: int) -> bool:
    return len(runs_in(root)) == count


def test_new_run_makes_a_new_run(nodes: PastedNodes, tmp_path: Path) -> None:
    kill(nodes, begun(nodes, tmp_path, 1), everything=True)
    begun(nodes, tmp_path, 2, new_run=True)


def begun(nodes: PastedNodes, root: Path, count: int, **more: Any) -> int:
    """Start a job of one node; it is the run number `count`."""
    pid = nodes.start(root, 0, nodes=1, **more)
    eventually(lambda: len(runs_in(root)) == count and joined(runs_in(root)[-1]))
    return pid


def test_two_jobs_at_once_in_one_output_root(nodes: PastedNodes, tmp_path: Path) -> None:
    """By an id of the platform, and by another spec with the very same variables."""
    others = {"name": "33", "swift.beta": "22"}
    jobs: list[dict[str, Any]] = [{"job": "j1"}, {"job": "j2"}, {}, {"keys": others}]
    started = [{rank: nodes.start(tmp_path, rank, **job) for rank in (1, 0)} for job in jobs]
    eventually(lambda: len(runs_in(tmp_path)) == 4)
    eventually(lambda: all(len(joined(run)) == 2 for run in runs_in(tmp_path)))
    found = sorted(sorted(joined(run).values()) for run in runs_in(tmp_path))
    assert found == sorted(sorted(pids.values()) for pids in started)
    time.sleep(2)
    assert [nodes.code(pid) for pids in started for pid in pids.values()] == [None] * 8


def test_a_run_that_becomes_visible_late(nodes: PastedNodes, tmp_path: Path) -> None:
    """As on NFS: the answer is there, and the run directory, or the new run.json, is not yet."""
    pid, hello = asking_node(nodes, tmp_path)
    answer(tmp_path, hello, run="v0-20261122-210000", token="t1")
    time.sleep(0.5)
    run = make(tmp_path, PlatformJob())
    run.path.rename(tmp_path / "v0-20261122-210000")
    run = Run(tmp_path / "v0-20261122-210000", 0, run.record)
    time.sleep(0.5)
    assert joined(run.path) == {}  # it has another token
    run_of_answer(run, "t1")
    eventually(lambda: joined(run.path) == {1: pid})


def test_a_run_that_never_becomes_visible(nodes: PastedNodes, tmp_path: Path) -> None:
    pid, hello = asking_node(nodes, tmp_path, wait=2)
    answer(tmp_path, hello, run="v0-20261122-210000", token="t1")
    assert nodes.wait(pid) == 1
    words = messages(tmp_path, pid)
    assert f"node 0 says that the run is {tmp_path}/v0-20261122-210000" in words
    assert "it is not there on n1" in words


def asking_node(nodes: PastedNodes, root: Path, **more: Any) -> tuple[int, NodeHello]:
    """A node 1 that asks, and the hello of a node 0 that this test plays."""
    hello = NodeHello(nonce="h", host="n0", spec=spec_digest(KEYS))
    folder_of(root).write(hello)
    pid = nodes.start(root, 1, **more)
    eventually(lambda: any("h" in ask.to for ask in folder_of(root).asks()))
    return pid, hello


def answer(root: Path, hello: NodeHello, *, run: str, token: str) -> None:
    (ask,) = folder_of(root).asks()
    said = NodeAnswer(sender=hello.nonce, to=ask.nonce, run=str(root / run), token=token)
    folder_of(root).write(said)


def run_of_answer(run: Run, token: str) -> None:
    assert run.record
    write_record(run.path, msgspec.structs.replace(run.record, token=token))


@pytest.mark.parametrize("place", ["elsewhere/v0-20261122-210000", "output/sub/v0-20261122-210000"])
def test_no_launch_script_outside_the_output_root(
    nodes: PastedNodes, tmp_path: Path, place: str
) -> None:
    """Somebody who may write into the folder of the nodes chooses no program."""
    root = tmp_path / "output"
    run = make((tmp_path / place).parent, PlatformJob())
    run.path.rename(tmp_path / place)
    pid, hello = asking_node(nodes, root)
    assert run.record
    answer(root, hello, run=str(tmp_path / place), token=run.record.token)
    assert nodes.wait(pid) == 2
    assert f"which is no run in {root}" in messages(root, pid)
    assert joined(tmp_path / place) == {}


def test_no_link_to_a_launch_script(nodes: PastedNodes, tmp_path: Path) -> None:
    root = tmp_path / "output"
    run = make(tmp_path / "elsewhere", PlatformJob())
    pid, hello = asking_node(nodes, root)
    (root / run.path.name).symlink_to(run.path)
    assert run.record
    answer(root, hello, run=run.path.name, token=run.record.token)
    assert nodes.wait(pid) == 2
    assert joined(run.path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["", "run.json", "launch.sh"])
def test_no_launch_script_of_another_user(nodes: PastedNodes, tmp_path: Path, name: str) -> None:
    """As an answer, and as the earlier run of a job that is started again."""
    pid, hello = asking_node(nodes, tmp_path)
    run = make(tmp_path, PlatformJob())
    os.chown(run.path / name, 4242, 4242)
    assert run.record
    answer(tmp_path, hello, run=run.path.name, token=run.record.token)
    assert nodes.wait(pid) == 2
    assert "that is uid 4242's, and this is root" in messages(tmp_path, pid)
    assert joined(run.path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_run_of_the_same_job_is_not_gone_on_in(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    first = begun(nodes, tmp_path, 1)
    (run,) = runs_in(tmp_path)
    kill(nodes, first, everything=True)
    os.chown(run, 4242, 4242)
    begun(nodes, tmp_path, 2)


# ------------------------------------------------------------------ runs that have ended
def write_exit(run: Path, **exit_json: object) -> None:
    record = {"exit_code": 0, "restarts": 0, "node": "n0"} | exit_json
    (run / "exit.json").write_text(json.dumps(record))


def ended_run(nodes: PastedNodes, root: Path, **more: Any) -> Path:
    """A run of two nodes whose job is over."""
    pids = {rank: nodes.start(root, rank, **more) for rank in (0, 1)}
    eventually(lambda: is_joined(root, pids))
    for pid in pids.values():
        kill(nodes, pid, everything=True)
    return only_run(root)


def again(nodes: PastedNodes, root: Path, **more: Any) -> list[tuple[int, str]]:
    """The same command again, on node 1 first: exit codes and messages."""
    pids = [nodes.start(root, 1, **more), nodes.start(root, 0, **more)]
    return [(nodes.wait(pid), messages(root, pid)) for pid in pids]


def test_a_run_that_succeeded_is_not_trained_again(nodes: PastedNodes, tmp_path: Path) -> None:
    run = ended_run(nodes, tmp_path)
    write_exit(run, exit_code=0)
    before = (run / "joined").read_bytes()
    for code, words in again(nodes, tmp_path):
        assert (code, f"{run.name} SUCCEEDED" in words, "--new-run" in words) == (0, True, True), (
            words
        )
    assert (run / "joined").read_bytes() == before
    eventually(lambda: not (tmp_path / ".nodes").exists())


def test_each_node_alone_knows_by_the_platforms_id_that_its_job_has_ended(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    """A platform may start again one node that was killed at its very end; nobody is there to answer."""
    run = ended_run(nodes, tmp_path, job="j1")
    write_exit(run, exit_code=0)
    for rank in (1, 0):
        pid = nodes.start(tmp_path, rank, job="j1")
        assert nodes.wait(pid) == 0
        assert f"{run.name} SUCCEEDED" in messages(tmp_path, pid)


def test_without_an_id_a_node_knows_it_when_node_0_does_not_come(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    write_exit(ended_run(nodes, tmp_path), exit_code=0, node="n0")
    assert nodes.wait(nodes.start(tmp_path, 1, wait=1)) == 0
    assert nodes.wait(nodes.start(tmp_path, 1, wait=1, host="another")) == 1
    assert nodes.wait(nodes.start(tmp_path, 1, wait=1, keys={"name": "another"})) == 1


def test_a_node_that_goes_on_without_asking_is_there(nodes: PastedNodes, tmp_path: Path) -> None:
    """Node 0 was started again; launch.sh of node 1 began the next attempt by itself, without asking."""
    pids = {rank: nodes.start(tmp_path, rank) for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))
    run = only_run(tmp_path)
    for pid in pids.values():
        kill(nodes, pid, everything=True)
    (run / "attempt").write_text("1")
    launch = ["bash", str(run / "launch.sh")]
    with subprocess.Popen(launch, env=os.environ | {"FAKE_RANK": "1", "FAKE_HOST": "n1"}) as other:
        again = nodes.start(tmp_path, 0)
        eventually(lambda: joined(run).get(0) == again)
        time.sleep(1)
        second = nodes.start(tmp_path, 1, host="nB")  # it is refused, and the job goes on
        assert nodes.wait(second) == 75
        assert "a process on n1 and a process on nB" in messages(tmp_path, second)
        assert (nodes.code(again), other.poll()) == (None, None)
        end(tmp_path)


def test_a_cancelled_run_is_not_started_again(nodes: PastedNodes, tmp_path: Path) -> None:
    run = ended_run(nodes, tmp_path)
    (run / "cancel.json").write_text('{"reason": "cancelled by me"}')
    for code, words in again(nodes, tmp_path):
        assert (code, "cancelled by me" in words, "--new-run" in words) == (143, True, True), words


def test_a_run_whose_restarts_are_used_up_is_not_started_again(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    run = ended_run(nodes, tmp_path, max_restarts=0)
    write_exit(run, exit_code=1, reason="out of memory")
    for code, words in again(nodes, tmp_path):
        assert (code, "out of memory" in words, "restarts.max is 0" in words) == (1, True, True), (
            words
        )


def test_node_0_tells_the_others_only_as_long_as_they_may_come(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    write_exit(ended_run(nodes, tmp_path), exit_code=0)
    pid = nodes.start(tmp_path, 0, wait=1)
    assert nodes.wait(pid) == 0


# ------------------------------------------------------------------ what is wrong, in words
def test_no_node_0(nodes: PastedNodes, tmp_path: Path) -> None:
    """As also where the output root is not shared: each node looks into a folder of its own."""
    pid = nodes.start(tmp_path, 1, wait=1)
    assert nodes.wait(pid) == 1
    words = messages(tmp_path, pid)
    assert "node 1 of 2 (n1) waited 1s (platform.wait) for node 0 (n0)" in words
    assert str(folder_of(tmp_path).path) in words
    assert "on a disk that all nodes share" in words
    assert not (tmp_path / ".nodes").exists()


def test_only_a_leftover_of_node_0(nodes: PastedNodes, tmp_path: Path) -> None:
    folder_of(tmp_path).write(NodeHello(nonce="old", host="gone", spec=spec_digest(KEYS)))
    pid = nodes.start(tmp_path, 1, wait=1)
    assert nodes.wait(pid) == 1
    assert "a node 0 was there on gone (that process has ended" in messages(tmp_path, pid)


def test_a_spec_that_differs_is_told_to_both(nodes: PastedNodes, tmp_path: Path) -> None:
    other = KEYS | {"swift.beta": "23", "swift.top_k": "1"}
    pids = [nodes.start(tmp_path, 0), nodes.start(tmp_path, 1, keys=other)]
    assert [nodes.wait(pid) for pid in pids] == [1, 78]
    for pid in pids:
        assert "the spec on node 1 (n1) is not the one on node 0 (n0)" in messages(tmp_path, pid)
        assert "swift.beta, swift.top_k" in messages(tmp_path, pid)
    assert "22" not in "".join(messages(tmp_path, pid) for pid in pids)  # no value


@pytest.mark.parametrize("count", [2, 3])
def test_two_nodes_of_one_rank_before_node_0(
    nodes: PastedNodes, tmp_path: Path, count: int
) -> None:
    pids = [nodes.start(tmp_path, 1, nodes=count, host=host) for host in ("nA", "nB")]
    time.sleep(0.5)
    pids.append(nodes.start(tmp_path, 0, nodes=count))
    assert [nodes.wait(pid) for pid in pids] == [75, 75, 1]
    for pid in pids:
        assert "nA and a process on nB say that they are node 1" in messages(tmp_path, pid)


def test_a_second_node_of_one_rank_later(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = {rank: nodes.start(tmp_path, rank) for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))
    second = nodes.start(tmp_path, 1, host="nB")
    assert nodes.wait(second) == 75
    assert "a process on n1 and a process on nB say" in messages(tmp_path, second)
    assert [nodes.code(pid) for pid in pids.values()] == [None, None]  # the job goes on


def test_two_nodes_0(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = [nodes.start(tmp_path, 0, host=host) for host in ("nA", "nB")]
    assert [nodes.wait(pid) for pid in pids] == [75, 75]
    for pid in pids:
        words = messages(tmp_path, pid)
        assert "nA" in words
        assert "nB" in words
        assert "say that they are node 0" in words
    assert runs_in(tmp_path) == []


def test_a_second_node_0_later(nodes: PastedNodes, tmp_path: Path) -> None:
    pids = {rank: nodes.start(tmp_path, rank) for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))
    second = nodes.start(tmp_path, 0, host="nB", new_run=True)
    assert nodes.wait(second) == 75
    assert "say that they are node 0" in messages(tmp_path, second)
    assert is_joined(tmp_path, pids)
    assert [nodes.code(pid) for pid in pids.values()] == [None, None]


# ------------------------------------------------------------------ signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_while_waiting(
    nodes: PastedNodes, tmp_path: Path, rank: int, number: int, code: int
) -> None:
    """Node 0 is still listening for another node 0; node 1 waits for node 0."""
    pid = nodes.start(tmp_path, rank, nodes=2)
    eventually(lambda: list((tmp_path / ".nodes").glob("*/*.json")))
    nodes.kill(pid, number)
    assert nodes.wait(pid) == code
    assert "before the job began on this node" in messages(tmp_path, pid)
    assert not (tmp_path / ".nodes").exists()
    assert runs_in(tmp_path) == []


def test_a_signal_at_any_instant_leaves_no_run_that_waits_for_ever(
    nodes: PastedNodes, tmp_path: Path
) -> None:
    """A run that was made and never began is gone, or its exit.json says so."""
    for number in range(30):
        root = tmp_path / str(number)
        pid = nodes.start(root, 0, nodes=1)
        time.sleep(number * 0.0015)
        nodes.kill(pid, signal.SIGTERM)
        nodes.wait(pid)
        for run in runs_in(root):
            eventually(partial(has_begun_or_ended, run))


def test_a_signal_at_the_last_instant_ends_this_process() -> None:
    """It comes after the last look at what was heard, and before launch.sh has replaced the process."""
    program = """if True:
        import os, signal
        from prl_submit.backends.platform.stop_signals import StopSignals, hand_over_signals, stop_signals
        StopSignals.check = lambda stop: os.kill(os.getpid(), signal.SIGTERM)
        with stop_signals() as stop:
            hand_over_signals(stop)
            os.execvp("sleep", ["sleep", "0"])
        """
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGTERM


def has_begun_or_ended(run: Path) -> bool:
    return any((run / name).exists() for name in ("exit.json", "joined", "logs/node0.log"))


# ------------------------------------------------------------------ the folder
def test_a_file_stands_where_the_folder_should_be(nodes: PastedNodes, tmp_path: Path) -> None:
    (tmp_path / ".nodes").write_text("")
    pid = nodes.start(tmp_path, 1)
    assert nodes.wait(pid) == 2
    assert "cannot write in" in messages(tmp_path, pid)


def test_a_folder_stands_where_a_file_should_be(nodes: PastedNodes, tmp_path: Path) -> None:
    name = f"node0.{spec_digest(KEYS)}.json"
    (folder_of(tmp_path).path / name).mkdir(parents=True)
    pid = nodes.start(tmp_path, 0)
    assert nodes.wait(pid) == 2
    assert name in messages(tmp_path, pid)


def test_a_leftover_that_is_read_only(nodes: PastedNodes, tmp_path: Path) -> None:
    folder_of(tmp_path).write(NodeHello(nonce="old", host="gone", spec=spec_digest(KEYS)))
    for file in folder_of(tmp_path).path.iterdir():
        file.chmod(0o444)
    pids = {rank: nodes.start(tmp_path, rank) for rank in (0, 1)}
    eventually(lambda: is_joined(tmp_path, pids))


def test_an_output_root_in_chinese(nodes: PastedNodes, tmp_path: Path) -> None:
    root = tmp_path / "输出 目录"
    pids = {rank: nodes.start(root, rank, host=f"节点{rank}") for rank in (0, 1)}
    eventually(lambda: is_joined(root, pids))
    assert "节点1" in messages(root, pids[1])


def test_the_folder_may_be_removed_meanwhile(nodes: PastedNodes, tmp_path: Path) -> None:
    first = nodes.start(tmp_path, 1)
    eventually((tmp_path / ".nodes").exists)
    shutil.rmtree(tmp_path / ".nodes", ignore_errors=True)
    pids = {1: first, 0: nodes.start(tmp_path, 0)}
    eventually(lambda: is_joined(tmp_path, pids))

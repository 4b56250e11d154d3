"""launch.sh as a platform starts it: two nodes that are two processes here, with a torchrun that pretends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import marked
from tests.support.launching import launch

if TYPE_CHECKING:
    from tests.conftest import Done, World

Eventually = Callable[..., None]
#: Node 0 listens as torchrun does, until the other node has come.
MEET = """
node=0; [[ " $* " != *" --node_rank=1 "* ]] || node=1
port=" $* "; port=${port#* --master_port=}; port=${port%% *}
attempt=$PRL_SUBMIT_RESTARTS
printf '%s\\n' "$@" >"$run/argv$node.$attempt"
if ((node)); then
  echo here >"$run/came1.$attempt"
else
  "$VIRTUAL_ENV/bin/python" -c 'import socket, sys, time
listener = socket.create_server(("", int(sys.argv[1])))
time.sleep(300)' "$port" & listener=$!
  until [[ -e $run/came1.$attempt ]]; do sleep 0.1; done
  touch "$run/met.$attempt"
fi
"""
#: torchrun of a training that lasts until it is told to stop; it saves and fails then, as torchrun does.
TRAINS = (
    f"{MEET} trap 'echo told to stop; kill $listener 2>/dev/null; exit 1' TERM; sleep 300 & wait $!"
)
#: One step; node 1 ends when node 0 does.
ENDS = f"{MEET} ((node)) || {{ kill $listener; step 1 1; }}; ended"


class Nodes:
    """The nodes of one run, started as a platform starts them."""

    def __init__(self, world: World, *, run: str = "run", **over: Any) -> None:
        self.world = world
        over = {"resources__nodes": 2, "resources__nproc_per_node": 1} | over
        self.run = launch(world, backend="platform", run=run, **over)
        self._bin = world.root / "node"
        self._bin.mkdir(exist_ok=True)
        self.program("uname", 'echo "$FAKE_HOST"')
        self.program("getent", "exit 0")
        self.variables: dict[str, str] = {"NNODES": "2", "MASTER_ADDR": socket.gethostname()}

    def program(self, name: str, line: str) -> None:
        """A program that comes first on the PATH of each node."""
        (self._bin / name).write_text(f"#!/bin/bash\n{line}\n")
        (self._bin / name).chmod(0o755)

    def start(self, rank: int, fake: str, **environ: str) -> subprocess.Popen[bytes]:
        """launch.sh of one node."""
        path = f"{self._bin}:{self.world.environ['PATH']}"
        told = {"PATH": path, "FAKE_HOST": f"n{rank}", "NODE_RANK": str(rank)}
        words: list[object] = ["bash", self.run / "launch.sh"]
        return self.world.popen(words, FAKE=fake, **{**told, **self.variables, **environ})

    def both(self, fake: str, **environ: str) -> list[subprocess.Popen[bytes]]:
        """Node 0 and node 1."""
        return [self.start(rank, fake, **environ) for rank in (0, 1)]

    def end(self, processes: list[subprocess.Popen[bytes]], timeout: float = 60) -> list[Done]:
        """Wait for the end of all."""
        done = [self.world.finish(process, timeout) for process in processes]
        assert self.world.alive() == []
        return done

    def exit(self, rank: int) -> Any:
        """exit.json of a node."""
        name = f"logs/node{rank}.exit.json" if rank else "exit.json"
        return json.loads((self.run / name).read_text(encoding="utf-8"))

    def log(self, rank: int) -> str:
        """The log of a node."""
        return (self.run / "logs" / f"node{rank}.log").read_text(errors="replace")

    def sign(self, rank: int) -> Any:
        """The sign of life of a node."""
        try:
            return json.loads((self.run / "logs" / f".alive{rank}").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"doing": None}


@pytest.fixture
def nodes(world: World) -> Nodes:
    return Nodes(world)


def codes(done: list[Done]) -> list[int]:
    return [each.code for each in done]


# --- two nodes meet -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_nodes_that_start_apart(nodes: Nodes, first: int, eventually: Eventually) -> None:
    """Whichever comes first waits and says for whom; both end with 0."""
    early = nodes.start(first, ENDS)
    words = "waiting for node 0" if first else "waiting for node 1"
    eventually(lambda: nodes.sign(first)["doing"] == words, 10)
    late = nodes.start(1 - first, ENDS)
    done = nodes.end([early, late])
    assert codes(done) == [0, 0]
    assert [nodes.exit(rank)["state"] for rank in (0, 1)] == ["SUCCEEDED", "SUCCEEDED"]
    words0, words1 = ((nodes.run / f"argv{i}.0").read_text().splitlines() for i in (0, 1))
    assert words0[:4] == ["--nnodes=2", "--nproc_per_node=1", "--node_rank=0", words0[3]]
    assert words0[3:5] == words1[3:5]  # address and port
    assert nodes.sign(0)["ended"] is True


def begun(nodes: Nodes, eventually: Eventually, attempt: int = 0) -> None:
    """Wait until both nodes train."""
    eventually(lambda: (nodes.run / f"met.{attempt}").exists(), 40)
    eventually(lambda: [nodes.sign(rank)["doing"] for rank in (0, 1)] == ["training"] * 2)


# --- a node is lost or fails ----------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0, 1])
def test_a_node_that_is_killed(nodes: Nodes, lost: int, eventually: Eventually) -> None:
    """The other node ends within 30 seconds and names it. Nothing is left of the killed one."""
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    began = time.monotonic()
    processes[lost].kill()
    other = nodes.world.finish(processes[1 - lost], 40)
    assert time.monotonic() - began < 30
    nodes.world.finish(processes[lost])
    eventually(lambda: nodes.world.alive() == [])
    assert other.code == 200
    ended = nodes.exit(1 - lost)
    assert (ended["state"], ended["exit_code"]) == ("FAILED", 200)
    assert ended["reason"] == f"node {lost} (n{lost}) was lost: no sign of life"
    assert ended["reason"] in other.out


def test_a_node_that_fails(nodes: Nodes, eventually: Eventually) -> None:
    """Node 0 says why node 1 failed, with file and line, and both end with its exit code."""
    (nodes.world.root / "error").write_text(
        "Traceback (most recent call last):\n"
        '  File "/data/it\'s/rewards.py", line 7, in score\n    x\n'
        'ValueError: "雨" \\n\n'
    )
    error = "if ((node)); then cat error; exit 3; fi"
    done = nodes.end(nodes.both(f"{MEET} {error}; {TRAINS.removeprefix(MEET)}"))
    assert codes(done) == [3, 3]
    ours, theirs = (nodes.exit(rank)["reason"] for rank in (0, 1))
    assert theirs == (
        'torchrun exited with 3: ValueError: "雨" \\n (/data/it\'s/rewards.py, line 7)'
    )
    assert ours == f"node 1 (n1) failed: {theirs}"
    assert "雨" in done[0].out


def test_a_node_that_fails_before_the_training(world: World) -> None:
    """Node 0 waits for it, and hears of it."""
    nodes = Nodes(world, environment__setup=["[[ $FAKE_HOST != n1 ]] || cat /nowhere"])
    began = time.monotonic()
    done = nodes.end(nodes.both(TRAINS))
    assert time.monotonic() - began < 20
    assert codes(done) == [1, 1]
    assert nodes.exit(0)["reason"].startswith("node 1 (n1) failed: failed while running environ")


def test_a_connection_error_waits_for_the_cause(nodes: Nodes) -> None:
    """torchrun of node 0 ends at once, and node 1 says a little later why."""
    fake = (
        f"{MEET} if ((node)); then sleep 4; echo 'KeyError: 1'; exit 5; fi\n"
        "echo 'RuntimeError: Connection closed by peer'; exit 1"
    )
    done = nodes.end(nodes.both(fake))
    assert codes(done) == [5, 5]
    assert nodes.exit(0)["reason"] == "node 1 (n1) failed: torchrun exited with 5: KeyError: 1"


def test_a_node_that_crashes_after_the_end(nodes: Nodes) -> None:
    fake = f"{MEET} ((node)) || {{ kill $listener; step 1 1; sleep 3; ended; exit; }}; ended; crash -6 SIGABRT"
    done = nodes.end(nodes.both(fake))
    assert codes(done) == [0, 0]
    assert nodes.exit(0)["state"] == "SUCCEEDED"


def test_a_torchrun_that_waits_for_one_that_crashed(nodes: Nodes) -> None:
    """All ranks of node 0 have ended; its torchrun waits for that of node 1, whose rank crashed on its way out."""
    wait = "LOCAL_RANK=0 sleep 12; ended; exec sleep 300"
    fake = f"{MEET} ((node)) || {{ kill $listener; step 1 1; {wait}; }}; ended; crash -6 SIGABRT"
    began = time.monotonic()
    done = nodes.end(nodes.both(fake))
    assert 12 < time.monotonic() - began < 50
    assert codes(done) == [0, 0]
    assert nodes.exit(0)["state"] == "SUCCEEDED"
    assert nodes.exit(0)["reason"] == (
        "the training came to its end; a process crashed on its way out: "
        "Signal 6 (SIGABRT) received by PID 77 (node 1, n1)"
    )


def test_a_finished_training_is_no_failure(world: World) -> None:
    """All steps are saved when node 1 fails, and the torchrun of node 0 does not end."""
    nodes = Nodes(world)
    save = (
        "step 1 1; checkpoint 1 1; cd $run/checkpoint-1; "
        "cp rng_state.pth rng_state_0.pth; mv rng_state.pth rng_state_1.pth"
    )
    fake = f"{MEET} ((node)) || {{ {save}; sleep 300; }}; sleep 3; echo 'OSError: 5'; exit 1"
    done = nodes.end(nodes.both(fake))
    assert codes(done) == [0, 0]
    assert nodes.exit(0)["state"] == "SUCCEEDED"
    assert nodes.exit(0)["reason"].startswith("all 1 steps are trained and saved; then: node 1")


def environ_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_a_node_that_is_slow_is_not_lost(nodes: Nodes, eventually: Eventually) -> None:
    """All its processes stand still for ten seconds."""
    fake = f"{MEET} ((node)) || {{ sleep 20; kill $listener; step 1 1; ended; exit; }}; sleep 18; ended"
    processes = nodes.both(fake)
    begun(nodes, eventually)
    everybody = marked(nodes.world.mark)
    stopped = [pid for pid in everybody if b"FAKE_HOST=n1\0" in environ_of(pid)]
    assert len(stopped) >= 3
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):  # a `sleep` of launch.sh may have ended since
            os.kill(pid, signal.SIGSTOP)
    time.sleep(10)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert codes(nodes.end(processes)) == [0, 0]


# --- told to stop ---------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [(0, 1), (0,), (1,)])
def test_sigterm(nodes: Nodes, told: tuple[int, ...], eventually: Eventually) -> None:
    """Whichever node gets it: all of them save together, and end with one exit code."""
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    for rank in told:
        processes[rank].terminate()
    done = nodes.end(processes, 25)
    assert codes(done) == [143, 143]
    for rank in (0, 1):
        assert "told to stop" in nodes.log(rank)
        assert nodes.exit(rank)["state"] == "FAILED"
    own, of_node_1 = "stopped by signal 15 while training", "node 1 (n1) got SIGTERM while training"
    # If both are told at once, node 0 may first hear its own signal or that of node 1.
    reasons = {(0,): {own}, (1,): {of_node_1}, (0, 1): {own, of_node_1}}
    assert nodes.exit(0)["reason"] in reasons[told]


def test_the_time_limit_ends_all_nodes(world: World, eventually: Eventually) -> None:
    nodes = Nodes(world, resources__time_limit="8s")
    processes = [nodes.start(0, TRAINS)]
    time.sleep(3)
    processes.append(nodes.start(1, TRAINS))
    assert codes(nodes.end(processes, 40)) == [124, 124]
    assert nodes.exit(0)["state"] == "TIMEOUT"
    assert nodes.exit(1)["reason"].startswith("node 0 (n0) reached the time limit while ")


def cancel(nodes: Nodes) -> None:
    (nodes.run / "cancel.json").write_text('{\n "reason": "cancelled by ann"\n}')


@pytest.mark.parametrize("where", ["waiting", "setup", "training"])
def test_cancel(world: World, where: str, eventually: Eventually) -> None:
    line = "sleep 300" if where == "setup" else "true"
    nodes = Nodes(world, environment__setup=[line])
    processes = [nodes.start(0, TRAINS)]
    if where == "training":
        processes.append(nodes.start(1, TRAINS))
        begun(nodes, eventually)
    else:
        words = "waiting for node 1" if where == "waiting" else "running environment.setup line 1"
        eventually(lambda: (nodes.sign(0)["doing"] or "").startswith(words))
    cancel(nodes)
    began = time.monotonic()
    done = nodes.end(processes, 25)
    assert time.monotonic() - began < 15
    assert codes(done) == [143] * len(processes)
    assert (nodes.exit(0)["state"], nodes.exit(0)["reason"]) == ("CANCELLED", "cancelled by ann")
    again = nodes.end([nodes.start(0, TRAINS)])[0]
    assert again.code == 143
    assert "was cancelled by ann: it is not trained" in again.err


# --- started again --------------------------------------------------------------------------------

#: The first attempt trains until it is told to stop, the second comes to its end.
TWICE = f"""{MEET}
if ((attempt == 0)); then
  ((node)) || {{ step 1 2; checkpoint 1 2; cp "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_0.pth
    mv "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_1.pth; touch "$run/saved"; }}
  trap 'exit 1' TERM; sleep 300 & wait $!
else
  ((node)) || {{ kill $listener; step 2 2; }}
  ended
fi
"""


def steps(nodes: Nodes) -> list[str]:
    text = (nodes.run / "logging.jsonl").read_text()
    return [json.loads(line)["global_step/max_steps"] for line in text.splitlines()]


def test_the_same_command_again(world: World, eventually: Eventually) -> None:
    """The run goes on from its checkpoint on both nodes, and is not trained a third time."""
    nodes = Nodes(world, restarts__max=1)
    processes = nodes.both(TWICE)
    begun(nodes, eventually)
    eventually(lambda: (nodes.run / "saved").exists())
    for process in processes:
        process.terminate()
    assert codes(nodes.end(processes)) == [143, 143]
    done = nodes.end(nodes.both(TWICE))
    assert codes(done) == [0, 0]
    assert steps(nodes) == ["1/2", "2/2"]
    for rank in (0, 1):
        assert str(nodes.run / "checkpoint-1") in (nodes.run / f"argv{rank}.1").read_text()
    assert nodes.exit(0)["restarts"] == 1
    before = (nodes.run / "exit.json").read_bytes()
    third = nodes.end(nodes.both(TWICE))
    assert codes(third) == [0, 0]
    assert "has ended well (SUCCEEDED)" in third[1].out
    assert (nodes.run / "exit.json").read_bytes() == before
    assert not (nodes.run / "argv0.2").exists()


@pytest.mark.parametrize("again", [0, 1])
def test_one_node_is_started_again(world: World, again: int, eventually: Eventually) -> None:
    """The other one lives, and begins the next attempt with it."""
    nodes = Nodes(world, restarts__max=1)
    processes = nodes.both(TWICE, SECRET_OF_ANN="xyzzy")
    begun(nodes, eventually)
    eventually(lambda: (nodes.run / "saved").exists())
    processes[again].kill()
    nodes.world.finish(processes[again])
    processes[again] = nodes.start(again, TWICE)
    assert codes(nodes.end(processes)) == [0, 0]
    assert steps(nodes) == ["1/2", "2/2"]
    assert nodes.exit(0)["restarts"] == 1
    assert "another node was started again: this node begins the next attempt" in nodes.log(
        1 - again
    )


def stop_node(nodes: Nodes, rank: int) -> list[int]:
    """Let all processes of a node stand still."""
    mine = [
        pid
        for pid in marked(nodes.world.mark)
        if f"FAKE_HOST=n{rank}\0".encode() in environ_of(pid)
    ]
    for pid in mine:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    return mine


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_node_that_comes_back_after_the_next_attempt(
    world: World, frozen: int, eventually: Eventually
) -> None:
    """It stood still for so long that it was started again elsewhere. It changes nothing of what that start wrote."""
    nodes = Nodes(world, restarts__max=1)
    nodes.program("flock", "exit 0")
    processes = nodes.both(TWICE)
    begun(nodes, eventually)
    eventually(lambda: (nodes.run / "saved").exists())
    stopped = stop_node(nodes, frozen)
    assert nodes.world.finish(processes[1 - frozen], 60).code == 200
    again = [nodes.world.finish(process, 60) for process in nodes.both(TWICE)]
    assert codes(again) == [0, 0]
    files = [
        nodes.run / name for name in ("exit.json", "logs/node1.exit.json", f"logs/.alive{frozen}")
    ]
    before = [file.read_bytes() for file in files]
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    late = nodes.end([processes[frozen]], 60)[0]
    assert [file.read_bytes() for file in files] == before, late.out
    assert steps(nodes) == ["1/2", "2/2"]


def test_a_node_that_comes_back_after_the_run_was_resumed(
    world: World, eventually: Eventually
) -> None:
    """Its training ends, because another one goes on in the same directory."""
    nodes = Nodes(world, resources__nodes=1)
    nodes.variables = {"NNODES": "1"}
    nodes.program("flock", "exit 0")
    trains = (
        "step 1 9; touch $run/trains.$PRL_SUBMIT_TOKEN; until [[ -e $run/go ]]; do sleep 0.1; done"
    )
    (nodes.run / "run.json").write_text(json.dumps({"token": world.mark}))
    old = nodes.start(0, trains)
    eventually(lambda: list(nodes.run.glob("trains.*")))
    stopped = stop_node(nodes, 0)
    script = (nodes.run / "launch.sh").read_text()
    (nodes.run / "launch.sh").unlink()
    script = script.replace(f"prl_token={world.mark}", "prl_token=new").replace(
        "prl_resumed=0", "prl_resumed=1"
    )
    (nodes.run / "launch.sh").write_text(script)
    (nodes.run / "run.json").write_text(json.dumps({"token": "new"}))
    new = nodes.start(0, trains)
    eventually(lambda: len(list(nodes.run.glob("trains.*"))) == 2, 30)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert nodes.world.finish(old, 30).code == 200
    assert new.poll() is None
    assert not (nodes.run / "exit.json").exists()
    (nodes.run / "go").touch()
    nodes.end([new])
    assert nodes.exit(0)["restarts"] == 1
    assert nodes.sign(0)["token"] == "new"


def test_more_restarts_than_allowed(world: World) -> None:
    nodes = Nodes(world)
    fake = f"{MEET} echo 'KeyError: 1'; exit 4"
    assert codes(nodes.end(nodes.both(fake))) == [4, 4]
    done = nodes.end(nodes.both(fake))
    assert codes(done) == [1, 1]
    words = (
        "torchrun exited with 4: KeyError: 1; restarts.max is 0, and used up: "
        "`prl-submit resume run` continues from its last checkpoint; if it has none, make a new run"
    )
    assert (nodes.exit(0)["restarts"], nodes.exit(0)["reason"]) == (0, words)
    nodes.end(nodes.both(fake))
    assert nodes.exit(0)["reason"] == words


SETUP = "[[ ! -e $FAKE_RUN/fails || $FAKE_HOST != n1 ]]"
#: What ends an attempt before its training: variables of the form, and how both nodes end then.
BEFORE: dict[str, tuple[dict[str, str], int]] = {
    "nodes": ({"NNODES": "3"}, 78),
    "gpus": ({"NPROC_PER_NODE": "4"}, 78),
    "setup": ({}, 1),
    "port": ({}, 78),
    "preflight": ({"FAKE_LACKS": "1"}, 78),
}


@pytest.mark.parametrize("what", BEFORE)
def test_an_attempt_that_did_not_train_uses_up_no_restart(world: World, what: str) -> None:
    """The same line trains when the form is right."""
    lacks = '[[ -z ${FAKE_LACKS:-} ]] || prl_need "file" /nowhere dataset'
    nodes = Nodes(world, environment__setup=[SETUP, lacks])
    wrong, code = BEFORE[what]
    (nodes.run / "fails").touch() if what == "setup" else None
    holder = socket.create_server(("", 0)) if what == "port" else None
    port = {"MASTER_PORT": str(holder.getsockname()[1])} if holder else {}
    told = {"FAKE_RUN": str(nodes.run)}
    done = nodes.end(nodes.both(ENDS, **told, **port, **wrong))
    assert codes(done) == [code, code]
    if holder:
        holder.close()
    (nodes.run / "fails").unlink(missing_ok=True)
    assert codes(nodes.end(nodes.both(ENDS, **told, **port))) == [0, 0]
    assert nodes.exit(0)["state"] == "SUCCEEDED"


def test_the_first_start_of_one_node_alone_uses_up_no_restart(
    nodes: Nodes, eventually: Eventually
) -> None:
    """Node 0 was refused while node 1 waited for it, and both are started again."""
    late = nodes.start(1, ENDS)
    eventually(lambda: nodes.sign(1)["doing"] == "waiting for node 0", 10)
    wrong = nodes.start(0, ENDS, NPROC_PER_NODE="4")
    assert codes(nodes.end([wrong, late])) == [78, 78]
    assert codes(nodes.end(nodes.both(ENDS))) == [0, 0]


def test_a_node_that_is_started_again_before_the_training(
    nodes: Nodes, eventually: Eventually
) -> None:
    """The other one goes on with it, though restarts.max is 0; after the training has begun it does not."""
    first = nodes.start(0, ENDS)
    eventually(lambda: nodes.sign(0)["doing"] == "waiting for node 1", 10)
    first.kill()
    nodes.world.finish(first)
    assert codes(nodes.end(nodes.both(ENDS))) == [0, 0]


def test_more_nodes_at_first(world: World) -> None:
    """The nodes that are not there any more do not count."""
    nodes = Nodes(world)
    (nodes.run / "logs").mkdir()
    (nodes.run / "logs" / f".starts2.{world.mark}").write_text("n2\nn2\n")
    assert codes(nodes.end(nodes.both(ENDS))) == [0, 0]
    assert nodes.exit(0)["restarts"] == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_second_job_with_the_same_line(nodes: Nodes, rank: int, eventually: Eventually) -> None:
    """It is refused, and the first one trains on."""
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    second = nodes.world.finish(nodes.start(rank, TRAINS), 20)
    assert second.code == 75
    assert f"node {rank} of its job still runs on n{rank}" in second.err
    time.sleep(4)
    assert [process.poll() for process in processes] == [None, None]
    cancel(nodes)
    assert codes(nodes.end(processes)) == [143, 143]
    assert nodes.exit(0)["restarts"] == 0


def test_a_second_job_where_the_disk_has_no_locks(nodes: Nodes, eventually: Eventually) -> None:
    """Then the sign of life tells of the first job."""
    nodes.program("flock", "exit 0")
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    assert nodes.world.finish(nodes.start(1, TRAINS), 20).code == 75
    cancel(nodes)
    assert codes(nodes.end(processes)) == [143, 143]


# --- what is missing ------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0, 1])
def test_a_node_that_does_not_come(world: World, missing: int) -> None:
    nodes = Nodes(world, platform__wait="3s")
    done = nodes.end([nodes.start(1 - missing, TRAINS)], 90)
    assert codes(done) == [1]
    reason = nodes.exit(1 - missing)["reason"]
    assert reason.startswith(f"node {missing} of 2 did not start within 3s (platform.wait): ")
    assert f"nothing in {nodes.run}/logs is from there" in reason


def test_a_name_that_resolves_late(nodes: Nodes, eventually: Eventually) -> None:
    nodes.program("getent", f"[[ $2 != {socket.gethostname()} || -e $FAKE_RUN/resolves ]]")
    processes = nodes.both(ENDS, FAKE_RUN=str(nodes.run))
    words = f"waiting until the name of node 0, {socket.gethostname()}, resolves"
    eventually(lambda: nodes.sign(1)["doing"] == words)
    time.sleep(2)
    assert not (nodes.run / "argv0.0").exists()
    (nodes.run / "resolves").touch()
    assert codes(nodes.end(processes)) == [0, 0]


def test_a_name_that_never_resolves(world: World) -> None:
    nodes = Nodes(world, platform__wait="2s")
    nodes.program("getent", "[[ $2 == n[01] ]]")
    done = nodes.end(nodes.both(ENDS))
    assert codes(done) == [78, 78]
    assert "did not resolve on n0 within 2s (platform.wait)" in nodes.exit(0)["reason"]


def port_of(nodes: Nodes) -> int:
    words = (nodes.run / "argv0.0").read_text()
    return int(words.partition("--master_port=")[2].split()[0])


def test_the_port_follows_from_the_run(world: World, new_world: Any) -> None:
    """If it is taken, node 0 takes the next one, and node 1 hears of it."""
    nodes = Nodes(world, restarts__max=1)
    assert codes(nodes.end(nodes.both(f"{MEET} exit 4"))) == [4, 4]
    first = port_of(nodes)
    with socket.create_server(("", first)):
        assert codes(nodes.end(nodes.both(ENDS.replace("argv$node.$attempt", "argv$node.0")))) == [
            0,
            0,
        ]
    assert port_of(nodes) == first + 1
    assert f"port {first} is taken on this node" in nodes.log(0)


def test_a_port_of_the_platform_that_is_taken(nodes: Nodes) -> None:
    with socket.create_server(("", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = nodes.end(nodes.both(ENDS, MASTER_PORT=port))
    assert codes(done) == [78, 78]
    assert f"port {port} is taken on this node, and NNODES says" in nodes.exit(0)["reason"]


def test_a_node_that_the_platform_describes_wrongly(nodes: Nodes) -> None:
    """It ends the others."""
    done = nodes.end([nodes.start(0, ENDS), nodes.start(1, ENDS, NNODES="2", NPROC_PER_NODE="4")])
    assert codes(done) == [78, 78]
    assert "node 1 (n1) failed: resources.nproc_per_node" in nodes.exit(0)["reason"]
    assert "NPROC_PER_NODE=4" in done[1].err


# --- standard output ------------------------------------------------------------------------------


def test_standard_output_has_the_log(nodes: Nodes) -> None:
    """Whole lines, in order, with every byte; of a progress bar a line each 30 seconds."""
    fake = f"""{MEET}
    printf 'half'; sleep 1.5; printf ' a line 雨\\n\\n  indented\\r\\n'
    for ((i = 0; i < 30; i++)); do printf '\\rTrain: %d%%|###| %d/30' $i $i; sleep 0.1; done
    printf '\\r            \\nafter the bar\\nlast'
    ((node)) || {{ kill $listener; step 1 1; }}"""
    done = nodes.end(nodes.both(fake))
    assert codes(done) == [0, 0]
    out = done[0].out
    assert "half a line 雨\n\n  indented\n" in out
    assert out.count("%|") == 1
    assert not [line for line in out.splitlines() if line and not line.strip()]
    assert "after the bar\nlastprl-submit: torchrun" not in out
    assert "after the bar\nlast" in out
    assert out.rstrip().endswith("prl-submit: SUCCEEDED")


def test_the_last_lines_of_a_log_that_is_copied_slowly(world: World) -> None:
    """The training ends while the loop copies what was there before."""
    nodes = Nodes(world, resources__nodes=1)
    nodes.variables = {"NNODES": "1"}
    nodes.program("awk", 'sleep 2; exec /usr/bin/awk "$@"')
    done = nodes.end(
        [
            nodes.start(
                0, "step 1 1; sleep 2; for ((i = 0; i < 9; i++)); do echo w$i; sleep 0.3; done"
            )
        ]
    )[0]
    assert [line for line in done.out.splitlines() if line.startswith("w")] == [
        f"w{i}" for i in range(9)
    ]
    assert done.out.endswith("prl-submit: SUCCEEDED\n")


def test_many_lines_are_all_there(nodes: Nodes) -> None:
    fake = f"{MEET} ((node)) || {{ seq 200000; kill $listener; step 1 1; }}"
    done = nodes.end(nodes.both(fake))
    numbers = [int(line) for line in done[0].out.splitlines() if line.isdecimal()]
    assert numbers == list(range(1, 200001))


@pytest.mark.parametrize("how", ["closed", "gone", "blocked"])
def test_a_reader_that_does_not_read(nodes: Nodes, how: str) -> None:
    """The training does not mind, and nothing is left behind."""
    script = nodes.run / "launch.sh"
    line = {"closed": 'exec bash "$0" >&-', "gone": 'exec bash "$0"', "blocked": 'exec bash "$0"'}[
        how
    ]
    fake = f"{MEET} ((node)) || {{ seq 100000; sleep 2; kill $listener; step 1 1; }}"
    reader, writer = os.pipe()
    environ = nodes.world.environ | nodes.variables | {"FAKE": fake, "NODE_RANK": "0"}
    environ |= {"FAKE_HOST": "n0", "PATH": f"{nodes.world.root}/node:{environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-c", line, str(script)],
        env=environ,
        cwd=nodes.world.root,
        stdout=writer,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    if how == "gone":
        os.close(reader)
    other = nodes.start(1, fake)
    assert process.wait(60) == 0
    if how != "gone":
        os.close(reader)
    assert codes(nodes.end([other])) == [0]
    assert nodes.log(0).count("\n") > 100000


# --- nothing is left ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["setup", "waiting"])
def test_killed_before_the_training(world: World, where: str, eventually: Eventually) -> None:
    """Neither the loop nor the pump, whose reader does not read, nor a setup line outlives launch.sh."""
    line = "seq 400000; sleep 300" if where == "setup" else "seq 400000"
    nodes = Nodes(world, environment__setup=[line])
    process = nodes.start(0, TRAINS)
    words = "running environment.setup line 1" if where == "setup" else "waiting for node 1"
    eventually(lambda: (nodes.sign(0)["doing"] or "").startswith(words))
    time.sleep(3)
    process.kill()
    eventually(lambda: [pid for pid in marked(world.mark) if pid != process.pid] == [], 15)


def test_cancelled_after_it_began_anew(world: World, eventually: Eventually) -> None:
    """The launch.sh that took its own place hears signals and ends as any other."""
    nodes = Nodes(world, restarts__max=1)
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    processes[1].kill()
    nodes.world.finish(processes[1])
    processes[1] = nodes.start(1, TRAINS)
    begun(nodes, eventually, 1)
    processes[0].terminate()
    assert codes(nodes.end(processes)) == [143, 143]
    assert nodes.exit(0)["reason"] == "stopped by signal 15 while training"
    assert nodes.exit(0)["restarts"] == 1


def test_one_node_alone(world: World, eventually: Eventually) -> None:
    """No other node, and no variable: as a local job, but with a sign of life."""
    nodes = Nodes(world, resources__nodes=1)
    nodes.variables = {}
    fake = "touch $run/ready; sleep 5; step 1 1"
    process = nodes.start(0, fake)
    eventually(lambda: nodes.sign(0)["doing"] == "training")
    assert nodes.sign(0)["platform"] is None
    assert nodes.world.finish(nodes.start(0, fake), 20).code == 75
    assert codes(nodes.end([process])) == [0]
    words = (nodes.run / "argv").read_bytes().decode().split("\0")
    assert words[:3] == ["--nnodes=1", "--standalone", "--local-addr=localhost"]

"""Runs that wait in a queue on this machine: real processes of the queue, real launch.sh, real kills."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.backends.local.processes import command_line
from prl_submit.backends.waiting.queue_file import read_queue
from tests.conftest import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World

    Eventually = Callable[..., None]

#: In how many turns everybody is killed, each at a later moment.
TURNS = int(os.environ.get("PRL_TEST_TURNS", "5"))
#: A training that goes on until the test makes a file.
UNTIL_TOLD = "step 1 1; until [[ -e $run/../go ]]; do sleep 0.05; done; ended"


def after(world: World, *names: str, fake: str = "step 1 1; ended", **over: Any) -> Path:
    """Submit a run that waits for others; its run directory."""
    words = [word for name in names for word in ("--after", name)]
    return world.submit(fake, *words, **over)


def queue_of(run: Path) -> int:
    """The process of the queue of a run that was submitted alone."""
    queue = read_queue(run / "logs")
    assert queue is not None
    return queue.process.pid


def status(world: World, run: Path) -> dict[str, Any]:
    (found,) = world.prl("status", run, "--json").json["runs"]
    assert isinstance(found, dict)
    return found


def told(world: World, run: Path) -> str:
    """`STATE reason`."""
    found = status(world, run)
    return f"{found['state']} {found['reason']}"


def trainings(world: World) -> dict[str, int]:
    """How often the training of each run was started, by its log."""
    logs = {path.parent.parent.name: path for path in world.output.glob("v*/logs/node0.log")}
    return {name: path.read_text().count(", node 0 of 1, restarts ") for name, path in logs.items()}


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_run_starts_when_its_predecessor_has_succeeded(world: World) -> None:
    first = world.submit(UNTIL_TOLD)
    done = world.prl(world.spec(name="second"), "--after", "v0", FAKE="step 1 1; ended")
    second = Path(done.out.strip())
    assert done.err.splitlines() == [
        f"submitted {second.name}: it waits in a queue on this machine, which must stay up",
        f"  queue:  {second}/logs/queue.log",
        f"  status: prl-submit status {second.name}",
        f"  follow: prl-submit logs {second.name} -f",
    ]
    assert told(world, second) == "QUEUED waiting for v0"
    third = after(world, "v0", "second")
    assert told(world, third) == "QUEUED waiting for v0 and v1"
    waiter, follower = world.start("wait", third), world.start("logs", second, "-f")
    assert follower.stderr is not None
    assert follower.stderr.readline().decode() == f"{second.name} QUEUED: waiting for v0\n"
    (world.output / "go").touch()
    waited = world.finish(waiter)
    assert waited.code == 0
    assert waited.err.splitlines()[-1] == f"{third.name} SUCCEEDED, step 1/1"
    followed = world.finish(follower)
    assert "End time of running main" in followed.out
    assert set(world.states().values()) == {"SUCCEEDED"}
    record = json.loads((second / "run.json").read_text())
    assert record["after"] == [{"run": str(first), "job_id": status(world, first)["job_id"]}]
    assert not record["is_waiting"]
    assert world.alive("queue_process") == []


def test_a_predecessor_that_fails_later(world: World) -> None:
    first = world.submit("until [[ -e $run/../go ]]; do sleep 0.05; done; exit 3")
    second = after(world, "v0")
    third = after(world, "v1")
    (world.output / "go").touch()
    done = world.prl("wait", third)
    assert done.code == 1
    assert told(world, first).startswith("FAILED")
    assert told(world, second) == "CANCELLED v0 FAILED, so it never started"
    assert told(world, third) == "CANCELLED v1 CANCELLED, so it never started"
    assert not (second / "logs" / "node0.log").exists()
    refused = world.prl("resume", second)
    assert refused.code == 0, "the same again: it waits, and its queue says why it never starts"
    assert world.prl("wait", second).code == 1
    assert told(world, second) == "CANCELLED v0 FAILED, so it never started"


def test_a_predecessor_that_has_ended_already(world: World) -> None:
    world.run_to_end("step 1 1; ended")
    done = world.prl(world.spec(), "--after", "v0", "--wait", FAKE="step 1 1; ended")
    assert done.code == 0
    assert "queue" not in done.err
    world.run_to_end("exit 1")
    before = sorted(world.output.iterdir())
    for words in ([], ["--dry-run"]):
        refused = world.prl(world.spec(), "--after", "v2", *words)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.splitlines() == [
            "error: --after v2: v2 FAILED, so a job after it would never start; nothing was created",
            "hint: `prl-submit status v2` says why; resume v2 first, or leave --after out",
        ]
    assert world.prl(world.spec(), "--after", "v9").code == 3
    elsewhere = world.root / "elsewhere" / "v7-20261130-120000"
    failed = next(world.output.glob("v2-*"))
    shutil.copytree(failed, elsewhere)
    copied = world.prl(world.spec(), "--after", elsewhere)
    assert copied.err.splitlines() == [
        f"error: --after {elsewhere}: {elsewhere} is a copy of {failed}, to which the job belongs; nothing was created",
        f"hint: --after {failed}",
    ]
    assert sorted(world.output.iterdir()) == before
    explained = world.prl("explain", world.spec(), "--after", "v1").out.splitlines()[-1]
    assert explained.split(maxsplit=3)[:3] == ["after", "[v1]", "flag"]


def test_sigterm_to_a_command_that_waits_for_a_waiting_run(world: World) -> None:
    """A container ends so: the run must not start in it any more."""
    world.submit(UNTIL_TOLD)
    shown = world.prl(world.spec(), "--after", "v0", "--dry-run")
    assert shown.out.startswith("#!/usr/bin/env bash")
    (first,) = world.output.glob("v0-*")
    words = f"it would wait for {first.name} in a queue on this machine, which must stay up"
    assert words in shown.err
    process = world.start(world.spec(), "--after", "v0", "--wait", FAKE="step 1 1; ended")
    assert process.stderr is not None
    while b"QUEUED" not in process.stderr.readline():
        pass
    process.terminate()
    done = world.finish(process)
    assert done.code == 1
    assert "got SIGTERM: the run waited, and is cancelled" in done.err
    (run,) = world.output.glob("v1-*")
    assert told(world, run).startswith("CANCELLED cancelled by ")


def test_a_predecessor_in_another_output_root(world: World) -> None:
    elsewhere = world.root / "elsewhere"
    world.submit(UNTIL_TOLD, "--output-root", elsewhere)
    (first,) = elsewhere.glob("v0-*")
    run = after(world, str(first))
    assert told(world, run) == f"QUEUED waiting for {first}"
    (elsewhere / "go").touch()
    assert world.prl("wait", run).code == 0


def test_a_platform_cannot_wait(world: World) -> None:
    world.submit(UNTIL_TOLD)
    done = world.prl(world.spec("p.yaml", backend="platform"), "--after", "v0")
    assert done.code == 2
    assert "a platform starts the job when its command is pasted there" in done.err
    assert len(list(world.output.glob("v*"))) == 1


def test_a_waiting_run_is_cancelled_and_never_starts(world: World, eventually: Eventually) -> None:
    first = world.submit(UNTIL_TOLD)
    second = after(world, "v0")
    queue = queue_of(second)
    done = world.prl("cancel", second)
    assert (done.code, done.out.split(":")[0]) == (0, f"{second.name} CANCELLED")
    eventually(lambda: is_gone(queue))
    (world.output / "go").touch()
    assert world.prl("wait", first).code == 0
    assert not (second / "logs" / "node0.log").exists()
    assert world.prl("cancel", second).code == 0, "once more is no error"
    assert world.prl("resume", second, "--wait").code == 0, "now it may start"
    assert trainings(world)[second.name] == 1


def test_the_queue_outlives_the_terminal_and_hears_no_hangup(
    world: World, eventually: Eventually
) -> None:
    world.submit(UNTIL_TOLD)
    inner = f"{sys.executable} -m prl_submit {world.spec()} --after v0"
    done = world.finish(world.popen(["script", "-qec", inner, "/dev/null"], FAKE="step 1 1; ended"))
    assert done.code == 0
    (run,) = world.output.glob("v1-*")
    queue = queue_of(run)
    for number in (signal.SIGHUP, signal.SIGINT):
        kill(queue, number if number == signal.SIGHUP else 0)
    time.sleep(0.2)
    assert told(world, run) == "QUEUED waiting for v0"
    assert os.readlink(f"/proc/{queue}/cwd") == str(run / "logs")
    open_files = {os.readlink(f"/proc/{queue}/fd/{n}") for n in os.listdir(f"/proc/{queue}/fd")}
    assert not any(name.startswith(("/dev/pts", "/dev/tty", "pipe:")) for name in open_files)
    (world.output / "go").touch()
    assert world.prl("wait", run).code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_queue_that_is_gone_is_told_and_resumed(
    world: World, eventually: Eventually, number: int
) -> None:
    world.submit(UNTIL_TOLD)
    run = after(world, "v0")
    kill(queue_of(run), number)
    eventually(lambda: is_gone(queue_of(run)))
    host = os.uname().nodename
    assert told(world, run) == (
        f"LOST the queue on {host} has ended: `prl-submit resume v1` goes on"
    )
    assert world.prl("wait", run).code == 1
    assert world.prl("resume", "v1").code == 0
    assert told(world, run) == "QUEUED waiting for v0"
    again = world.prl("resume", "v1")
    assert (again.code, again.err.splitlines()[0]) == (2, f"error: {run.name} is QUEUED")
    (world.output / "go").touch()
    assert world.prl("wait", run).code == 0
    assert trainings(world)[run.name] == 1


def edit_queue(run: Path, **changes: Any) -> None:
    """Change the process that queue.json names."""
    file = run / "logs" / "queue.json"
    queue = json.loads(file.read_text())
    queue["process"] |= changes
    file.write_text(json.dumps(queue))


def test_a_queue_of_another_host_and_of_before_a_restart(world: World) -> None:
    world.submit(UNTIL_TOLD)
    run = after(world, "v0")
    queue = queue_of(run)
    edit_queue(run, host="n7", namespace="pid:[1]")
    assert told(world, run) == "QUEUED as last known: its queue runs on n7, ask there"
    edit_queue(run, host=os.uname().nodename, boot="another")
    assert told(world, run).startswith("LOST the queue on ")
    assert "because the machine was restarted" in told(world, run)
    # A queue.json that names somebody else's process never leads to a signal.
    victim = subprocess.Popen(["sleep", "60"])
    kill(queue)
    fields = Path(f"/proc/{victim.pid}/stat").read_text().rpartition(")")[2].split()
    mine = json.loads((run / "logs" / "queue.json").read_text())["process"]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.readlink("/proc/self/ns/pid")
    edit_queue(
        run,
        **mine | {"pid": victim.pid, "started": int(fields[19]), "boot": boot, "namespace": space},
    )
    assert world.prl("cancel", run).code == 0
    assert world.prl("resume", run).code == 0
    assert victim.poll() is None
    victim.kill()
    victim.wait()


def test_whoever_is_killed_at_whatever_moment_no_run_is_lost_or_started_twice(world: World) -> None:
    """The submitter and the queue are killed at moments that move on by some milliseconds."""
    world.run_to_end("step 1 1; ended")
    (world.output / "go").touch()
    for turn in range(0, 20, 20 // TURNS):
        (world.output / "go").unlink(missing_ok=True)
        first = world.submit(UNTIL_TOLD)
        number = first.name.partition("-")[0]
        submitter = world.start(world.spec(), "--after", number, FAKE="step 1 1; ended")
        time.sleep(0.13 + turn * 0.006)
        submitter.kill()
        world.finish(submitter)
        (world.output / "go").touch()
        for pid in marked(world.mark):
            if any("queue_process" in word for word in command_line(pid)):
                time.sleep(turn * 0.06)
                with contextlib.suppress(ProcessLookupError):
                    kill(pid)
    for run in sorted(
        world.output.glob("v*"), key=lambda path: int(path.name[1:].partition("-")[0])
    ):
        if not (run / "run.json").exists():
            continue  # the submitter was killed before the run was there
        for _ in range(3):
            world.prl("wait", run)
            if status(world, run)["state"] == "SUCCEEDED":
                break
            assert status(world, run)["state"] == "LOST"
            assert world.prl("resume", run).code == 0
        assert status(world, run)["state"] == "SUCCEEDED", told(world, run)
    assert set(trainings(world).values()) == {1}

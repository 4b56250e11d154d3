"""A run that is prepared for a platform: what the user types and sees. No node is started here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import CANCEL, LOGS
from prl_submit.runs.record import PlatformJob
from tests.conftest import World
from tests.support.checkpoint_files import write_checkpoint
from tests.support.platform_runs import alive, ended

WAITING = "waiting for the platform to start it"


def prepare(world: World, *words: str, **over: Any) -> Path:
    """Prepare a run; its directory."""
    resources = {"accelerator": "cpu"} | over.pop("resources", {})
    done = world.prl(world.spec(backend="platform", resources=resources, **over), *words)
    assert done.code == 0, done.err
    return Path(done.out.strip())


def status(world: World, run: Path) -> dict[str, Any]:
    """The run as `status --json` prints it."""
    (found,) = world.prl("status", run, "--json").json["runs"]
    assert isinstance(found, dict)
    return found


def test_submit_says_what_to_paste(world: World) -> None:
    done = world.prl(world.spec(backend="platform"))
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    lines = done.err.splitlines()
    place = lines.index("paste this as the command of every node:")
    assert lines[place - 1] == f"prepared {run.name}"
    assert lines[place + 1] == f"bash {run}/launch.sh"
    assert f"  follow: prl-submit logs {run.name} -f" in lines
    mode = stat.S_IMODE((run / "launch.sh").stat().st_mode)
    assert mode == 0o755
    found = read_run(run)
    assert found is not None
    assert found.record is not None
    assert found.record.place == PlatformJob(silence=180)
    assert json.loads((run / "run.json").read_text())["job_id"] is None
    assert status(world, run)["state"] == "QUEUED"
    assert status(world, run)["reason"] == WAITING
    assert os.readlink(run.parent / "latest") == run.name


def test_a_path_with_blanks_is_quoted_for_the_form(world: World) -> None:
    run = prepare(world, "--output-root", "our runs 中")
    done = world.prl("submit", world.root / "job.yaml", "--output-root", "our runs 中")
    again = Path(done.out.strip())
    assert f"bash '{again}/launch.sh'" in done.err.splitlines()
    assert run.parent == again.parent


def test_json_of_a_prepared_run(world: World) -> None:
    found = world.prl(world.spec(backend="platform"), "--json").json
    assert (found["state"], found["reason"], found["job_id"]) == ("QUEUED", WAITING, None)
    assert found["command"] == f"bash {found['path']}/launch.sh"
    assert found["artefact"] is None
    local = world.prl(world.spec(), "--json", "--wait", FAKE="step 1 1; ended").json
    assert local["command"] is None


def test_secrets_are_named_and_not_needed_here(world: World) -> None:
    done = world.prl(world.spec(backend="platform", environment__secrets=["HF_TOKEN"]))
    assert done.code == 0, done.err
    assert "and set there as variables: HF_TOKEN" in done.err.splitlines()


def test_check_says_what_is_left_to_the_node(world: World) -> None:
    spec = world.spec(backend="platform")
    done = world.prl("check", spec)
    assert "note: resources.nodes and resources.nproc_per_node are not stated" in done.err
    assert "the platform's processes on each of the platform's nodes" in done.out
    assert world.prl("check", spec, "--json").json["unstated"] == [
        "resources.nodes",
        "resources.nproc_per_node",
    ]
    done = world.prl("check", spec, "--online", "--set", "resources.nodes=2")
    assert "note: resources.nproc_per_node is not stated" in done.err
    assert "on each of 2 nodes; the platform starts it" in done.out


def test_list_status_logs_and_cancel_before_it_starts(world: World) -> None:
    run = prepare(world)
    listed = world.prl("list")
    assert f"QUEUED  -     0         {WAITING}" in listed.out
    assert "has no log yet" in world.prl("logs", run).err
    assert "has no log yet" in world.prl("logs", run, "--node", "1").err
    done = world.prl("cancel", run, "--wait")
    assert done.code == 0, done.err
    assert "CANCELLED: cancelled by " in done.out
    assert "pod" not in done.err
    assert world.prl("wait", run).code == 1
    again = world.prl("cancel", run)
    assert "had already ended: CANCELLED" in again.err
    (run / CANCEL).unlink()
    assert status(world, run)["state"] == "QUEUED"


def test_wait_ends_with_the_run(world: World, eventually: Any) -> None:
    run = prepare(world)
    waiting = world.start("wait", run)
    found = read_run(run)
    assert found is not None
    token = found.require_record().token
    alive(found, 0, token=token, nodes=1, job="dlc-7")
    eventually(lambda: status(world, run)["state"] == "RUNNING")
    assert status(world, run)["reason"] == "on n0"
    assert status(world, run)["job_id"] == "dlc-7"
    ended(found, 0)
    done = world.finish(waiting)
    assert done.code == 0
    assert f"{run.name} RUNNING: on n0" in done.err
    assert f"{run.name} SUCCEEDED" in done.err
    assert world.prl("status", "dlc-7").code == 0  # the platform's own id names the run


def test_ctrl_c_while_following_says_how_to_go_on(world: World, eventually: Any) -> None:
    following = world.start(world.spec(backend="platform"), "--follow")
    eventually(lambda: world.states() != {})
    time.sleep(1)
    following.send_signal(signal.SIGINT)
    done = world.finish(following)
    assert done.code == 130
    assert "goes on" in done.err
    assert "is not known yet" not in done.err


def test_the_log_of_one_node_by_what_the_nodes_said(world: World) -> None:
    run = prepare(world)
    found = read_run(run)
    assert found is not None
    token = found.require_record().token
    for node in (0, 1):
        alive(found, node, token=token)
        (run / LOGS / f"node{node}.log").write_text(f"I am {node}\n")
    assert world.prl("logs", run, "--node", "1").out == "I am 1\n"
    assert world.prl("logs", run).out == "[node0] I am 0\n[node1] I am 1\n"
    done = world.prl("logs", run, "--node", "2")
    assert done.code == 2
    assert "has no node 2; it has 0 to 1" in done.err
    assert "has 0 to 15" in world.prl("logs", run, "--rank", "16").err


def test_resume_of_a_size_that_only_the_nodes_knew(world: World) -> None:
    run = prepare(world)
    assert "begins anew, because it never started" in _resumed(world, run, "cancel").err
    found = read_run(run)
    assert found is not None
    token = found.require_record().token
    assert not (run / CANCEL).exists()
    alive(found, 0, token=token, nodes=2, nproc_per_node=2, attempt=1, ended=True)
    ended(found, 0, code=1, restarts=1, reason="out of memory")
    folder = write_checkpoint(run, 5, ranks=2)  # of a smaller training
    assert "has no complete checkpoint" in world.prl("resume", run).err
    shutil.rmtree(folder)
    write_checkpoint(run, 5, ranks=4)
    done = world.prl("resume", run)
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    assert lines[:2] == ["continues from checkpoint-5", f"resumed {run.name}"]
    assert f"bash {run}/launch.sh" in lines
    after = read_run(run)
    assert after is not None
    record = after.require_record()
    assert record.token != token
    assert (record.restarts, record.place) == (2, PlatformJob(silence=180))
    shown = status(world, run)
    assert (shown["state"], shown["reason"], shown["restarts"]) == ("QUEUED", WAITING, 2)
    assert f"--resume_from_checkpoint {run}/checkpoint-5" in (run / "launch.sh").read_text()
    assert "is QUEUED" in world.prl("resume", run).err


def _resumed(world: World, run: Path, before: str) -> Any:
    """`resume` after another command."""
    assert world.prl(before, run).code == 0
    return world.prl("resume", run)


def test_init(world: World) -> None:
    done = world.prl("init", "--backend", "platform")
    assert done.code == 0, done.err
    assert "\nbackend: platform " in done.out
    assert "\n# resources: {nodes: 2, nproc_per_node: 8}" in done.out
    (world.root / "train.jsonl").write_text('{"messages": [{"role": "user", "content": "x"}]}\n')
    (world.root / "first.yaml").write_text(done.out)
    checked = world.prl("check", "first.yaml")
    assert checked.code == 0, checked.err
    assert "warning" not in checked.err


def test_the_containers_own_ms_swift_is_the_one_that_the_spec_states(world: World) -> None:
    """Without conda and venv the container's Python runs the job, and this machine cannot look into it."""
    (world.root / "swift").mkdir()
    (world.root / "swift" / "version.py").write_text("__version__ = '4.5.1'\n")
    spec = world.spec(backend="platform", environment={"swift_version": "3.12.6"})
    done = world.prl("explain", spec, "--json")
    values = {value["key"]: value["value"] for value in done.json["values"]}
    assert values["environment.swift_version"] == "3.12.6"
    assert "is installed there" not in done.err

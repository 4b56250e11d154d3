"""`prl-submit SPEC --backend platform` as the command of a platform: the real command and the real launch.sh."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Done, World, eventually

if TYPE_CHECKING:
    NewWorld = Callable[[Path], World]

ONE = {"NNODES": "1", "NODE_RANK": "0"}
#: Until the test says so.
WAITS = "step 1 2; until [[ -e $run/go ]]; do sleep 0.05; done; step 2 2; ended"


def pasted(world: World, fake: str = "step 1 1; ended", *words: object, **over: Any) -> Done:
    """The command on the only node of a job, to its end."""
    environ = over.pop("environ", {})
    return world.prl(world.spec(backend="platform", **over), *words, FAKE=fake, **ONE | environ)


def runs(world: World) -> list[Path]:
    return sorted(path.parent for path in world.output.glob("v*/run.json"))


def begin(world: World, fake: str = WAITS, *words: object, **environ: str) -> Any:
    """The command, once its training has begun; and its run."""
    spec = world.spec(backend="platform")
    before = len(list(world.output.glob("v*/logging.jsonl")))
    process = world.start(spec, *words, FAKE=fake, **ONE | environ)

    def has_begun() -> bool:
        return len(list(world.output.glob("v*/logging.jsonl"))) > before

    eventually(lambda: has_begun() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process, runs(world)[-1]


def exit_of(run: Path) -> dict[str, Any]:
    ended: dict[str, Any] = json.loads((run / "exit.json").read_text())
    return ended


# ------------------------------------------------------------------ one node
def test_the_exit_code_is_that_of_the_training(world: World) -> None:
    done = pasted(world)
    assert done.code == 0, done.err
    (run,) = runs(world)
    assert exit_of(run)["state"] == "SUCCEEDED"
    assert f"node 0 of 1 ({os.uname().nodename}) made {run.name}" in done.err
    assert pasted(world, "exit 3", environ={"PRL_NEW_RUN": "1"}).code != 0
    assert world.states() == {run.name: "SUCCEEDED", runs(world)[1].name: "FAILED"}


def test_a_run_that_succeeded_is_not_trained_again(world: World) -> None:
    pasted(world)
    again = pasted(world)
    assert again.code == 0
    (run,) = runs(world)
    assert f"{run.name} SUCCEEDED; it is not trained again" in again.err
    assert "--new-run" in again.err
    new = pasted(world, "step 1 1; ended", "--new-run")
    assert new.code == 0, new.err
    assert len(runs(world)) == 2


def test_a_run_that_failed_goes_on_as_often_as_the_spec_allows(world: World) -> None:
    first = pasted(world, "step 1 2; exit 3", restarts__max=1)
    second = pasted(world, "step 1 2; exit 3", restarts__max=1)
    third = pasted(world, "step 1 2; exit 3", restarts__max=1)
    (run,) = runs(world)
    assert f"goes on in {run.name}" in second.err
    assert [done.code for done in (first, second, third)] == [first.code, second.code, 1]
    assert "restarts.max is 1" in third.err
    assert "its training has begun 2 times" in third.err, third.err
    assert exit_of(run)["restarts"] == 1


def test_a_cancelled_run_is_not_started_again(world: World) -> None:
    process, run = begin(world)
    assert world.prl("cancel", run).code == 0
    assert world.finish(process).code == 143
    again = pasted(world)
    assert again.code == 143
    assert "CANCELLED" in again.err
    assert runs(world) == [run]


def test_a_resumed_run_is_gone_on_in(world: World) -> None:
    """`resume` prepares the run again; the same command finds it still."""
    saves = "step 1 2; checkpoint 1 2; exit 3"
    assert pasted(world, saves).code == 3
    (run,) = runs(world)
    resumed = world.prl("resume", run)
    assert resumed.code == 0, resumed.err
    done = pasted(world, "step 2 2; ended")
    assert f"goes on in {run.name}" in done.err
    assert (done.code, runs(world)) == (0, [run])
    assert (exit_of(run)["state"], exit_of(run)["restarts"]) == ("SUCCEEDED", 1)


def test_another_value_makes_another_run(world: World) -> None:
    """Overrides are part of what a run is found by, however they are given."""
    pasted(world)
    assert pasted(world, "step 1 1; ended", "--set", "swift.beta=0.5").code == 0
    assert pasted(world, environ={"PRL_BETA": "0.6"}).code == 0
    assert pasted(world, environ={"PRL_NUM_GENERATIONS": "1"}).code == 2  # checked as everywhere
    values = [Path(run / "argv").read_bytes().split(b"\0") for run in runs(world)]
    betas = [words[words.index(b"--beta") + 1] for words in values if b"--beta" in words]
    assert betas == [b"0.5", b"0.6"]
    assert len(values) == 3


def test_attempts_that_did_not_train_use_up_no_restart(world: World) -> None:
    """A setup line has failed twice; then the training fails, and that counts."""
    setup = ["[[ ! -e fails ]]"]
    (world.root / "fails").touch()
    spec = world.spec(backend="platform", environment__setup=setup)

    def again(fake: str) -> Done:
        words = [sys.executable, "-m", "prl_submit", spec]
        return world.finish(world.popen(words, FAKE=fake, **ONE))

    assert [again("exit 3").code for _ in range(2)] == [1, 1]
    (run,) = runs(world)
    (world.root / "fails").unlink()
    assert again("exit 3").code == 3
    refused = again("ended")
    assert refused.code == 1
    assert "its training has begun once and restarts.max is 0" in refused.err
    assert f"`prl-submit resume {run.name}` continues from" in refused.err
    assert runs(world) == [run]


def test_kill_9_and_the_same_command_again(world: World) -> None:
    process, run = begin(world)
    process.kill()
    process.communicate()
    done = pasted(world)
    assert f"goes on in {run.name}" in done.err
    assert done.code == 1  # restarts.max is 0
    assert runs(world) == [run]
    assert "restarts.max is 0, and used up" in exit_of(run)["reason"]


def test_sigterm_and_sigint_are_those_of_the_training(world: World) -> None:
    for number, code, state in ((signal.SIGTERM, 143, "FAILED"), (signal.SIGINT, 130, "CANCELLED")):
        process, run = begin(world, WAITS, "--new-run")
        process.send_signal(number)
        assert world.finish(process).code == code
        assert exit_of(run)["state"] == state


def test_after_nohup_a_hangup_ends_nothing(world: World) -> None:
    spec = world.spec(backend="platform")
    process = world.popen(["nohup", sys.executable, "-m", "prl_submit", spec], FAKE=WAITS, **ONE)
    eventually(lambda: list(world.output.glob("v*/logging.jsonl")))
    process.send_signal(signal.SIGHUP)
    (runs(world)[0] / "go").touch()
    assert world.finish(process).code == 0


def test_as_process_1_of_a_container(world: World) -> None:
    """Process 1 gets only the signals that it handles."""
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make namespaces: run the tests as root")
    spec = world.spec(backend="platform")
    command = [*words, sys.executable, "-m", "prl_submit", spec]
    process = world.popen(command, FAKE=WAITS, **ONE)
    eventually(lambda: list(world.output.glob("v*/logging.jsonl")))
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"bash\0")
    os.kill(int(child), signal.SIGTERM)
    assert world.finish(process).code == 143
    (run,) = runs(world)
    assert exit_of(run)["exit_code"] == 143


def test_nothing_is_left_when_it_ends(world: World) -> None:
    """Also the process beside launch.sh ends."""
    process, run = begin(world)
    (run / "go").touch()
    assert world.finish(process).code == 0
    eventually(lambda: world.alive() == [])
    assert not (world.output / ".nodes").exists()


def test_the_output_ends_with_the_training(world: World) -> None:
    """Nobody else holds the pipe open, so that `prl-submit … | tee log` ends."""
    spec = world.spec(backend="platform")
    command = f"{sys.executable} -m prl_submit {spec} 2>&1 | cat"
    process = world.popen(["bash", "-c", command], FAKE="step 1 1; ended", **ONE)
    assert "made v0" in world.finish(process).out


# ------------------------------------------------------------------ options
def test_prepare_only_prepares(world: World) -> None:
    done = pasted(world, "exit 9", "--prepare")
    assert done.code == 0
    (run,) = runs(world)
    assert done.out.strip() == str(run)
    assert f"bash {run}/launch.sh" in done.err.splitlines()
    assert world.states() == {run.name: "QUEUED"}
    assert pasted(world, "exit 9", "--prepare", "--json").json["state"] == "QUEUED"


def test_prepare_is_for_platforms(world: World) -> None:
    done = world.prl(world.spec(), "--prepare")
    assert done.code == 2
    assert "--prepare" in done.err
    assert runs(world) == []


def test_json_is_refused_on_a_node(world: World) -> None:
    done = pasted(world, "exit 9", "--json")
    assert (done.code, done.out) == (2, "")
    assert "--prepare --json" in done.err
    assert runs(world) == []


@pytest.mark.parametrize("option", ["--wait", "--follow"])
def test_to_wait_is_what_it_does_anyway(world: World, option: str) -> None:
    assert pasted(world, "exit 3", option).code not in (0, 2)


def test_prl_new_run_is_nothing_to_the_job(world: World) -> None:
    pasted(world, environ={"PRL_NEW_RUN": "1"})
    assert "PRL_NEW_RUN" not in (runs(world)[0] / "launch.sh").read_text()


def test_wrong_variables_start_nothing(world: World) -> None:
    spec = world.spec(backend="platform")
    for environ in ({"NNODES": "2", "NODE_RANK": "2"}, {"NNODES": "abc", "NODE_RANK": "0"}):
        done = world.prl(spec, FAKE="exit 9", MASTER_ADDR="n0", **environ)
        assert done.code == 2
        assert "NNODES" in done.err
    assert not world.output.exists()


def test_a_size_that_differs_from_the_spec(world: World) -> None:
    done = pasted(world, "exit 9", resources__nodes=2)
    assert done.code == 2
    assert "NNODES=1" in done.err
    assert runs(world) == []


# ------------------------------------------------------------------ what is written
def test_secrets_are_in_no_file(world: World) -> None:
    """Node 1 waits, so its ask is there; node 0 has said hello."""
    environ = {"PRL_API_TOKEN": "geheim-1", "HF_TOKEN": "geheim-2"}
    spec = world.spec(backend="platform", environment__secrets=["HF_TOKEN"])
    others = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "n0"} | environ
    process = world.start(spec, "--set", "swift.beta=0.123", **others)
    eventually(lambda: list(world.output.glob(".nodes/*/ask.*")))
    (ask,) = world.output.glob(".nodes/*/ask.*")
    said = ask.read_text()
    assert "swift.beta" in said
    assert not re.search(r"geheim|0\.123|org/", said)
    process.send_signal(signal.SIGTERM)
    assert world.finish(process).code == 143


def test_an_output_root_in_chinese(world: World) -> None:
    done = pasted(world, "echo 训练; step 1 1; ended", output="输出/结果")
    assert done.code == 0, done.err
    (run,) = (world.root / "输出" / "结果").glob("v*/run.json")
    assert f"{run.parent}/launch.sh" in done.err


def test_an_output_root_that_cannot_be_written(public_folder: Path, new_world: NewWorld) -> None:
    world = new_world(public_folder)
    (public_folder / "output").mkdir()
    done = as_nobody(world, NNODES="2", NODE_RANK="1", MASTER_ADDR="n0")
    assert done.code == 2
    assert "cannot write in" in done.err
    assert "nobody" in done.err


def test_a_leftover_folder_that_cannot_be_written(public_folder: Path, new_world: NewWorld) -> None:
    world = new_world(public_folder)
    other = {"NNODES": "2", "MASTER_ADDR": "n0"}
    spec = world.spec(backend="platform")
    process = world.start(spec, NODE_RANK="1", **other)
    eventually(lambda: list(world.output.glob(".nodes/*/ask.*")))
    process.kill()
    process.communicate()
    (public_folder / "output").chmod(0o777)
    done = as_nobody(world, NODE_RANK="0", **other)
    assert done.code == 2
    assert str(next(world.output.glob(".nodes/*"))) in done.err


def as_nobody(world: World, **environ: str) -> Done:
    """The command as another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    home = world.root / "home"
    home.mkdir(mode=0o777, exist_ok=True)
    home.chmod(0o777)
    shutil.chown(home, "nobody")
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
    spec = world.spec(backend="platform")
    more = {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    return world.finish(world.popen([*words, "-m", "prl_submit", spec], **environ | more))

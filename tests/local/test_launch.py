"""launch.sh in real bash, with an environment that only pretends to train."""

from __future__ import annotations

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

from tests.support.launching import launch

if TYPE_CHECKING:
    from tests.conftest import Ended, World

Eventually = Callable[..., None]
ROWS = '{"messages": []}\n' * 9  # an empty data file is refused


def fake_smi(world: World, count: int) -> dict[str, str]:
    """An environment whose nvidia-smi lists `count` GPUs."""
    folder = world.root / "smi"
    folder.mkdir(exist_ok=True)
    lines = "".join(f"echo 'GPU {i}: NVIDIA H100 (UUID: GPU-{i})'\n" for i in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/bash\n{lines}")
    (folder / "nvidia-smi").chmod(0o755)
    return {"PATH": f"{folder}:{world.environ['PATH']}"}


def assert_failed(job: Ended, *sentences: str, code: int = 78) -> None:
    assert (job.code, job.exit["state"]) == (code, "FAILED"), job
    for sentence in sentences:
        assert sentence in job.reason
        assert sentence in job.log  # the person reading the log sees it too


# --- ends -----------------------------------------------------------------------------------------


def test_success(world: World) -> None:
    """A training that ends well: exit code 0, SUCCEEDED, no reason."""
    job = world.by_hand()
    assert (job.code, job.exit["state"], job.exit["reason"]) == (0, "SUCCEEDED", None)
    assert job.exit["restarts"] == 0
    assert job.exit["started_at"][:10] == time.strftime("%Y-%m-%d")


def test_a_run_that_had_ended_is_started_again_by_hand(world: World) -> None:
    """It trains from the beginning, and says so on stderr and in the log; a scheduler's restart does not."""
    first = world.by_hand()
    assert "started by hand" not in first.log
    words = "this run had ended (SUCCEEDED); started by hand, it trains again from the beginning"
    launcher = ["bash", first.run / "launch.sh"]
    again = world.finish(world.popen(launcher, FAKE="step 1 1"))
    assert again.code == 0
    assert words in again.err
    log = (first.run / "logs/node0.log").read_text()
    assert log.count(words) == 1
    restarted = world.finish(world.popen(launcher, FAKE="step 1 1", PRL_SUBMIT_RESTARTS="1"))
    assert "started by hand" not in restarted.err
    assert (first.run / "logs/node0.log").read_text().count("started by hand") == 1


@pytest.mark.parametrize(("resumed", "count"), [(0, 1), (1, 0)])
def test_a_resumed_run_is_not_started_by_hand(world: World, resumed: int, count: int) -> None:
    """exit.json of the attempt before `resume` has fewer restarts than launch.sh counts."""
    for attempts in (0, resumed):
        run = launch(world, restarts=attempts)
        done = world.finish(world.popen(["bash", run / "launch.sh"], FAKE="step 1 1"))
        assert done.code == 0
    assert done.err.count("started by hand") == count
    assert (run / "logs/node0.log").read_text().count("started by hand") == count


def test_torchrun_fails(world: World) -> None:
    """Its exit code is ours, and the reason carries the last Python error."""
    trace = (
        'printf "Traceback (most recent call last):\\nKeyError: 1\\n'
        "[rank1]: ValueError: remaining_argv: [%s]\\n"
        'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: x\\n" \'"--x"\' >&2; exit 3'
    )
    job = world.by_hand(trace)
    assert_failed(job, "torchrun exited with 3", code=3)
    assert job.reason.endswith('[rank1]: ValueError: remaining_argv: ["--x"]')


def test_error_line_of_an_earlier_attempt_is_not_quoted(world: World) -> None:
    world.by_hand('echo "OldError: from before"; exit 1')
    job = world.by_hand("exit 1")
    assert "OldError" in job.log
    assert_failed(job, "torchrun exited with 1", code=1)
    assert "OldError" not in job.reason


def test_error_line_that_is_not_utf8(world: World) -> None:
    job = world.by_hand("printf 'ValueError: caf\\xe9 \\x01 \"q\" \\\\ 雨\\n'; exit 1")
    assert_failed(job, code=1)
    assert 'ValueError: caf   "q" \\ 雨' in job.reason


def test_killed_rank_is_explained(world: World) -> None:
    job = world.by_hand("echo 'Signal 9 (SIGKILL) received by PID 77'; exit 1")
    assert_failed(job, "out of memory is the usual cause", code=1)


def test_virtual_environment_is_missing(world: World) -> None:
    job = world.by_hand(environment__venv="nowhere")
    assert_failed(job, "virtual environment nowhere is not here: no bin/activate (in ")


def test_setup_line_fails(world: World) -> None:
    job = world.by_hand(environment__setup=["true", "ls /nowhere-at-all"])
    assert_failed(job, "running environment.setup line 2: ls /nowhere-at-all", code=2)


@pytest.mark.parametrize(
    "line",
    ["foo)", "if true; then", 'echo "open', "exit 0", "cat <<X", "exit 7", "false || return"],
)
def test_setup_line_that_ends_the_script(world: World, line: str) -> None:
    """A syntax error, an `exit 0`, a here-document nobody closed: never success."""
    job = world.by_hand(environment__setup=[line])
    assert job.code != 0
    assert_failed(job, f"environment.setup line 1: {line}", code=job.code)
    assert not (job.run / "argv").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exec sleep 0", "it ends launch.sh's shell before the training"),
        ("  exec  sleep 0 && true", "it ends launch.sh's shell before the training"),
        ("set -o noexec", "it ends launch.sh's shell before the training"),
        ("set -n", "it ends launch.sh's shell before the training"),
        ("readonly prl_code", "names that begin with prl_ are launch.sh's own"),
        ("declare -gr prl_reason=x", "names that begin with prl_ are launch.sh's own"),
        ("readonly -a prl_swift_args", "names that begin with prl_ are launch.sh's own"),
        ("enable -n local", "(exit code 127)"),
        ("prl_run() { echo mine; }", "prl_run() { echo mine; }"),
    ],
)
def test_setup_line_that_takes_the_shell_away(world: World, line: str, words: str) -> None:
    """Nothing would be left that could say how the job ended."""
    job = world.by_hand(environment__setup=["export A=1", line])
    assert_failed(job, f"environment.setup line 2: {line}", words, code=job.code)
    assert job.code != 0
    assert not (job.run / "argv").exists()


@pytest.mark.parametrize(
    "line",
    [
        "exec 3>&1; exec 3>&-",
        "exec > >(cat)",
        "exec {fd}</dev/null",
        "(exec true)",
        "x=$(exec echo)",
        "exec sleep 0 & wait",
        "echo x | exec cat >/dev/null",
        "exec_it() { :; }; exec_it",
        "set -o noglob",
        "readonly mine=1 IFS",
        "mkdir -p work && cd $_ && [[ $PWD == */work ]]",
        'readonly REWARDS="prl_format prl_accuracy"',
        "declare -a REWARDS=(prl_format prl_accuracy); [[ ${#REWARDS[@]} == 2 ]]",
        'declare -rx TEXT="my prl_run"',
        "enable -n test",
    ],
)
def test_setup_line_that_leaves_the_shell(world: World, line: str) -> None:
    job = world.by_hand(environment__setup=[line, '[[ x =~ (.) ]]; test "${BASH_REMATCH[1]}" = x'])
    assert (job.code, job.exit["state"], job.exit["reason"]) == (0, "SUCCEEDED", None), job


def test_setup_lines_are_verbatim_and_share_a_shell(world: World) -> None:
    lines = ["x='a  b'", 'if [[ $x == "a  b" ]]; then', "export SEEN=$x$UNSET_VARIABLE", "fi"]
    job = world.by_hand('echo "seen: $SEEN"; step 1 1', environment__setup=lines)
    assert job.code == 0
    assert "seen: a  b\n" in job.log


def test_zero_steps(world: World) -> None:
    """A training that ends with 0 and without a step has FAILED."""
    assert_failed(world.by_hand("exit 0"), "without one training step", "data set", code=65)


def test_zero_steps_and_an_abort_at_the_end(world: World) -> None:
    """The abort is torch's way out; the reason is the cause."""
    job = world.by_hand("ended; crash -6 SIGABRT")
    assert_failed(job, "without one training step", code=65)


def test_zero_steps_and_another_end_of_torchrun(world: World) -> None:
    """The abort is torch's way out of such a training; the reason names the cause first."""
    job = world.by_hand('echo "[INFO:swift] End time of running main: now"; exit 134')
    assert_failed(job, "without one training step", "torchrun exited with 134", code=134)


def test_abort_after_a_step_is_the_reason(world: World) -> None:
    job = world.by_hand('step 1 1; echo "[INFO:swift] End time of running main: now"; exit 134')
    assert_failed(job, "torchrun exited with 134", code=134)
    assert "without one training step" not in job.log


CRASHED = (
    "the training came to its end; a process crashed on its way out: Signal {} received by PID 77"
)


@pytest.mark.parametrize(
    ("words", "signal"),
    [
        ("-6 SIGABRT", "6 (SIGABRT)"),
        ("-11 SIGSEGV", "11 (SIGSEGV)"),
        ("-11 SIGSEGV -6 SIGABRT", "6 (SIGABRT)"),
        ("-15 SIGTERM -6 SIGABRT", "6 (SIGABRT)"),
        ("-15 SIGTERM -9 SIGKILL", "9 (SIGKILL)"),
        ("-15 SIGTERM", "15 (SIGTERM)"),
        ("-7 SIGBUS", "7 (SIGBUS)"),
    ],
)
@pytest.mark.parametrize("end", ["ended;", ""], ids=["rank 0 came to its end", "rank 0 did not"])
def test_crash_when_all_is_done_is_told_and_no_failure(
    world: World, words: str, signal: str, end: str
) -> None:
    """pytorch#190489; many a scheduler has called such a training failed.

    torchrun ends rank 0, which may not have written its last line yet: the proof is the checkpoint.
    """
    job = world.by_hand(f"step 1 1; checkpoint 1 1; {end} crash {words}")
    assert (job.code, job.exit["state"], job.reason) == (0, "SUCCEEDED", CRASHED.format(signal))
    assert f"prl-submit: SUCCEEDED: {job.reason}\n" in job.log


@pytest.mark.parametrize(
    "end",
    {
        "no checkpoint": "crash -6 SIGABRT",
        "an error": "checkpoint 1 1; ended; echo 'OSError: no space'; exit 1",
        "one failed": "checkpoint 1 1; ended; echo '  exitcode  : 1 (pid: 7)'; crash -6 SIGABRT",
        "half a save": "checkpoint 1 1; rm $run/checkpoint-1/optimizer.pt; ended; crash -6 SIGABRT",
        "nothing saved": "ended; crash -6 SIGABRT",
        "not the last step": "checkpoint 1 2; ended; crash -6 SIGABRT",
    }.items(),
    ids=lambda item: item[0],
)
def test_any_other_crash_is_a_failure(world: World, end: tuple[str, str]) -> None:
    job = world.by_hand(f"step 1 1; {end[1]}")
    assert_failed(job, "torchrun exited with 1", code=1)


@pytest.mark.parametrize(("code", "words"), [(134, "aborted (SIGABRT)"), (137, "killed (SIGKILL)")])
def test_torchrun_itself_crashes_when_all_is_done(world: World, code: int, words: str) -> None:
    job = world.by_hand(f"step 1 1; checkpoint 1 1; exit {code}")
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert f"a process crashed on its way out: torchrun exited with {code}: {words}" in job.reason


def test_a_peer_that_failed_because_another_one_crashed(world: World) -> None:
    """torchrun names the first to fail; rank 0 then lost its connection, which is a Python error."""
    report = (
        "echo '  exitcode  : 1 (pid: 7)'; echo 'RuntimeError: Connection closed by peer'; "
        "echo 'Root Cause (first observed failure):'; crash -6 SIGABRT"
    )
    job = world.by_hand(f"step 1 1; checkpoint 1 1; {report}")
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")


@pytest.mark.parametrize(
    ("over", "log", "state"),
    [
        ({"swift__push_to_hub": True, "swift__hub_model_id": "a/b"}, "", "FAILED"),
        (
            {"swift__push_to_hub": True, "swift__hub_model_id": "a/b"},
            '{"last_model_checkpoint": "x"}',
            "SUCCEEDED",
        ),
        ({"swift__eval_strategy": "epoch", "swift__save_strategy": "steps"}, "", "FAILED"),
        (
            {"swift__eval_strategy": "epoch", "swift__save_strategy": "steps"},
            '{"train_runtime": 1}',
            "SUCCEEDED",
        ),
        ({"swift__eval_strategy": "epoch", "swift__save_strategy": "epoch"}, "", "SUCCEEDED"),
    ],
)
def test_what_follows_the_last_save(
    world: World, over: dict[str, Any], log: str, state: str
) -> None:
    """Not done, it is not called done: an upload, the evaluation of the last epoch."""
    written = f"echo '{log}' >>$run/logging.jsonl; " if log else ""
    job = world.by_hand(f"step 1 1; checkpoint 1 1; {written}crash -6 SIGABRT", **over)
    assert job.exit["state"] == state, job


@pytest.mark.parametrize(
    ("last", "state"), [("2/2", "SUCCEEDED"), ("1/2", "FAILED")], ids=["at its end", "before"]
)
def test_the_last_checkpoint_is_removed_where_another_is_the_best(
    world: World, last: str, state: str
) -> None:
    """load_best_model_at_end and save_total_limit 1."""
    over = {"swift__load_best_model_at_end": True, "swift__save_total_limit": 1} | {
        "swift__eval_strategy": "steps",
        "swift__split_dataset_ratio": 0.1,
        "swift__per_device_eval_batch_size": 2,
    }
    line = f'{{"train_runtime": 1, "global_step/max_steps": "{last}"}}'
    fake = f"step 2 2; checkpoint 1 2; echo '{line}' >>$run/logging.jsonl; crash -6 SIGABRT"
    job = world.by_hand(fake, **over)
    assert job.exit["state"] == state, job


def test_where_no_checkpoint_can_prove_it(world: World) -> None:
    """save_only_model: no optimizer's state, so nothing to resume from, and no proof."""
    fake = "step 1 1; checkpoint 1 1; rm $run/checkpoint-1/optimizer.pt; crash -6 SIGABRT"
    assert_failed(world.by_hand(fake), "Signal 6 (SIGABRT)", code=1)


def test_ranks_that_trained_alone_prove_nothing_by_a_crash(world: World) -> None:
    """Rank 0 ended by itself, rank 1 crashed before its first step: no rng_state of a world of two."""
    over = {"resources__nproc_per_node": 2, "swift__eval_strategy": "no"}
    job = world.by_hand("step 1 1; checkpoint 1 1; ended; crash -15 SIGTERM -6 SIGABRT", **over)
    assert_failed(job, "torchrun exited with 1: Signal 6 (SIGABRT)", code=1)


def test_what_an_earlier_attempt_left_proves_nothing(world: World) -> None:
    assert world.by_hand("step 1 1; checkpoint 1 1; ended").code == 0
    assert_failed(world.by_hand("step 1 1; crash -6 SIGABRT"), "Signal 6 (SIGABRT)", code=1)
    job = world.by_hand("step 1 1; ended; crash -6 SIGABRT")
    assert_failed(job, "Signal 6 (SIGABRT)", code=1)


def test_last_line_of_an_earlier_attempt_is_no_step(world: World) -> None:
    assert world.by_hand("step 1 1").code == 0
    assert_failed(world.by_hand("exit 0"), "without one training step", code=65)


def test_checkpoint_without_log_line_is_a_step(world: World) -> None:
    assert world.by_hand("checkpoint 1 1").code == 0


@pytest.mark.parametrize("left", ["step 1 2; step 1 2", "step 1 2; checkpoint 1 2"])
def test_ranks_that_trained_alone(world: World, left: str) -> None:
    """Each step logged twice, or a checkpoint of a world of one."""
    job = world.by_hand(left, resources__nproc_per_node=2)
    assert_failed(job, "2 trainings of world size 1 instead of one of 2", code=65)


def test_one_process_may_have_a_world_of_one(world: World) -> None:
    assert world.by_hand("step 1 2; checkpoint 2 2").code == 0


def test_two_ranks_that_trained_together(world: World) -> None:
    assert world.by_hand("step 1 2; step 2 2", resources__nproc_per_node=2).code == 0


def test_restarted_run_may_log_a_step_again(world: World) -> None:
    world.by_hand("step 1 2", resources__nproc_per_node=2)
    assert world.by_hand("step 1 2; step 2 2", resources__nproc_per_node=2).code == 0


def test_secret_is_missing(world: World) -> None:
    job = world.by_hand(environment__secrets=["MY_KEY"])
    assert_failed(job, "secret MY_KEY is not set in the job's environment")


def test_secret_is_passed_and_not_written(world: World) -> None:
    job = world.by_hand(
        '[[ $MY_KEY == "s3cr3t value" ]] && step 1 1',
        environment__secrets=["MY_KEY"],
        env={"MY_KEY": "s3cr3t value"},
    )
    assert job.code == 0
    assert "s3cr3t" not in "".join(p.read_text() for p in job.run.rglob("*") if p.is_file())


def test_logs_folder_cannot_be_made(world: World) -> None:
    """exit.json is written even then."""
    script = world.script()
    (script.parent / "logs").write_text("a file")
    done = world.finish(world.popen(["bash", script]))
    assert done.code != 0
    assert json.loads((script.parent / "exit.json").read_text())["state"] == "FAILED"


# --- preflight ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "visible", "seen"),
    [
        (2, None, 2),
        (8, "0,1", 2),
        (8, "", 0),
        (8, "-1", 0),
        (8, "0,1,-1,2,3", 2),
        (2, "0,1,2,3", 2),
        (2, "4,5,6,7", 0),
        (8, "GPU-1,GPU-2,GPU-3", 3),
        (0, "0,1,2,3", 0),
    ],
)
def test_too_few_gpus(world: World, here: int, visible: str | None, seen: int) -> None:
    env = fake_smi(world, here)
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    job = world.by_hand(
        env=env,
        resources__accelerator="gpu",
        resources__nproc_per_node=4,
        swift__per_device_train_batch_size=2,
        swift__per_device_eval_batch_size=2,
    )
    assert_failed(job, f"preflight: {seen} GPUs are visible, 4 are needed, one per process")
    told = " is not set" if visible is None else f"={visible}"
    assert f"(CUDA_VISIBLE_DEVICES{told})" in job.reason


@pytest.mark.parametrize("visible", [None, "0,1", "3, 2", "GPU-0,GPU-1"])
def test_enough_gpus(world: World, visible: str | None) -> None:
    """Preflight passes where the node has as many GPUs as the job needs."""
    env = fake_smi(world, 4) | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    job = world.by_hand(env=env, resources__accelerator="gpu", resources__nproc_per_node=2)
    assert job.code == 0, job.reason


def test_hanging_nvidia_smi_is_not_waited_for(world: World) -> None:
    env = fake_smi(world, 0)
    (world.root / "smi" / "nvidia-smi").write_text("#!/bin/bash\nexec sleep 60\n")
    script = world.script(resources__accelerator="gpu")
    began = time.monotonic()
    world.finish(world.popen(["bash", script], **env))
    assert time.monotonic() - began < 40


def test_all_missing_paths_at_once(world: World) -> None:
    """Model, data and plugin that were there at submission, each with its key."""
    (world.root / "model dir").mkdir()
    for name, text in (("model dir/config.json", "{}"), ("rows.jsonl", ROWS), ("plugin's.py", "")):
        (world.root / name).write_text(text)
    script = world.script(
        swift__model="./model dir",
        swift__dataset=["rows.jsonl#10"],
        swift__external_plugins=["plugin's.py"],
    )
    for name in ("model dir/config.json", "rows.jsonl", "plugin's.py"):
        (world.root / name).unlink()
    (world.root / "model dir").rmdir()
    done = world.finish(world.popen(["bash", script]))
    assert done.code == 78
    reason = json.loads((script.parent / "exit.json").read_text())["reason"]
    for kind, name, key in (
        ("model", "model dir", "model"),
        ("dataset", "rows.jsonl", "dataset"),
        ("plugin", "plugin's.py", "external_plugins"),
    ):
        assert f"{kind} {world.root / name} is not on this node (swift.{key})" in reason


@pytest.mark.parametrize("name", ["torch", "swift"])
def test_package_is_missing(world: World, name: str) -> None:
    for package in world.venv.glob(f"lib/*/site-packages/{name}"):
        (package / "__init__.py").unlink()
        package.rmdir()
    job = world.by_hand()
    assert_failed(job, f"has no {name}: install ms-swift there, or activate another environment")


def test_torchrun_is_missing(world: World) -> None:
    (world.venv / "bin" / "torchrun").unlink()
    job = world.by_hand(env={"PATH": "/usr/bin:/bin"})
    assert_failed(job, "torchrun is not on PATH: the environment has no torch")


def test_packages_are_found_and_not_imported(world: World) -> None:
    for package in world.venv.glob("lib/*/site-packages/*"):
        (package / "__init__.py").write_text("import time; time.sleep(60)\n")
    assert world.by_hand().code == 0


def test_disk_is_full(world: World) -> None:
    script = world.script()
    library = script.parent / "launch.lib.sh"
    text = library.read_text()
    assert "min_free_mib=1024\n" in text
    library.write_text(text.replace("min_free_mib=1024\n", f"min_free_mib={10**12}\n"))
    done = world.finish(world.popen(["bash", script]))
    assert done.code == 78
    reason = json.loads((script.parent / "exit.json").read_text())["reason"]
    assert f"MiB are free at {script.parent}, {10**12} are needed" in reason


def test_working_directory_is_missing(world: World) -> None:
    (world.root / "work").mkdir()
    script = world.script(workdir="work", output=str(world.output))
    (world.root / "work").rmdir()
    assert world.finish(world.popen(["bash", script])).code == 78
    reason = json.loads((script.parent / "exit.json").read_text())["reason"]
    assert f"working directory {world.root / 'work'} is not on " in reason


def test_preflight_takes_less_than_two_seconds(world: World) -> None:
    """With everything to look at; the best of three, since others use the machine."""
    (world.root / "rows.jsonl").write_text(ROWS)
    script = world.script(resources__accelerator="gpu", swift__dataset=["rows.jsonl"])
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = world.finish(world.popen(["bash", script], **fake_smi(world, 1)))
        seconds.append(time.monotonic() - began)
        assert done.code == 0
    assert min(seconds) < 2


def test_preflight_can_be_turned_off(world: World) -> None:
    job = world.by_hand(
        env={"PRL_PREFLIGHT": "off"} | fake_smi(world, 0), resources__accelerator="gpu"
    )
    assert job.code == 0


# --- two nodes ------------------------------------------------------------------------------------

TWO: dict[str, Any] = {"resources__nodes": 2, "backend": "slurm"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("rank", ["0", "1"])
def test_two_nodes_get_their_flags(world: World, rank: str) -> None:
    script = two_node_script(world)
    port = str(free_port())
    env = {"NODE_RANK": rank, "MASTER_ADDR": "n0", "MASTER_PORT": port}
    done = world.finish(world.popen(["bash", script], FAKE="step 1 1", **env))
    assert done.code == 0, (script.parent / "logs" / f"node{rank}.log").read_text()
    argv = (script.parent / "argv").read_bytes().decode().split("\0")
    assert argv[:7] == [
        "--nnodes=2",
        "--nproc_per_node=1",
        f"--node_rank={rank}",
        "--master_addr=n0",
        f"--master_port={port}",
        "-m",
        "swift.cli.rlhf",
    ]
    name = "exit.json" if rank == "0" else "logs/node1.exit.json"
    assert json.loads((script.parent / name).read_text())["state"] == "SUCCEEDED"
    assert (script.parent / "exit.json").exists() == (rank == "0")


def two_node_script(world: World) -> Path:
    """launch.sh of two nodes."""
    return launch(world, **TWO) / "launch.sh"


def test_port_is_taken(world: World) -> None:
    script = two_node_script(world)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        env = {"NODE_RANK": "0", "MASTER_ADDR": "n0", "MASTER_PORT": port}
        assert world.finish(world.popen(["bash", script], **env)).code == 78
    assert f"port {port} is taken on this node" in (script.parent / "exit.json").read_text()


def test_two_nodes_without_an_address(world: World) -> None:
    script = two_node_script(world)
    assert world.finish(world.popen(["bash", script])).code == 78
    assert "MASTER_ADDR and MASTER_PORT are not set" in (script.parent / "exit.json").read_text()


def test_one_node_ignores_a_foreign_node_rank(world: World) -> None:
    job = world.by_hand(env={"NODE_RANK": "3", "MASTER_ADDR": "x", "MASTER_PORT": "1"})
    assert job.code == 0
    argv = (job.run / "argv").read_bytes().decode().split("\0")
    assert argv[:5] == [
        *("--nnodes=1", "--standalone", "--local-addr=localhost", "--nproc_per_node=1"),
        "-m",
    ]


# --- signals --------------------------------------------------------------------------------------


def begin(world: World, fake: str, eventually: Eventually, **over: Any) -> tuple[Any, Path]:
    """launch.sh, once its torchrun has written `ready`."""
    script = world.script(**over)
    process = world.popen(["bash", script], FAKE=fake)
    eventually(lambda: (script.parent / "ready").exists() or process.poll() is not None)
    assert process.poll() is None, (script.parent / "logs" / "node0.log").read_text()
    return process, script.parent


READY = "touch $run/ready"


@pytest.mark.parametrize(
    ("number", "code", "state", "words"),
    [
        (signal.SIGTERM, 143, "FAILED", "stopped by signal 15 while training"),
        (signal.SIGINT, 130, "CANCELLED", "interrupted (SIGINT) while training"),
        (signal.SIGUSR2, 140, "FAILED", "stopped by signal 12 while training"),
        (signal.SIGALRM, 142, "FAILED", "stopped by signal 14 while training"),
    ],
)
def test_signal(
    world: World, eventually: Eventually, number: int, code: int, state: str, words: str
) -> None:
    """Passed on to torchrun, which has its grace; the whole tree is gone afterwards."""
    trap = f"trap 'echo got it; sleep 0.5; echo saved; exit 1' TERM INT; {READY}; sleep 60 & wait"
    process, run = begin(world, trap, eventually, restarts__grace="20s")
    process.send_signal(number)
    assert world.finish(process, timeout=15).code == code
    verdict = json.loads((run / "exit.json").read_text())
    assert (verdict["exit_code"], verdict["state"], verdict["reason"]) == (code, state, words)
    assert "got it\nsaved\n" in (run / "logs" / "node0.log").read_text()
    assert world.alive() == []


def test_second_sigterm_does_not_cut_the_grace_short(world: World, eventually: Eventually) -> None:
    trap = f"trap 'echo got it; sleep 1; echo saved; exit 1' TERM; {READY}; sleep 60 & wait"
    process, run = begin(world, trap, eventually, restarts__grace="20s")
    process.terminate()
    time.sleep(0.3)
    process.terminate()
    assert world.finish(process, timeout=15).code == 143
    log = (run / "logs" / "node0.log").read_text()
    assert log.count("got it") == 1
    assert "saved\n" in log
    assert world.alive() == []


def test_torchrun_that_ignores_sigterm_is_killed_after_the_grace(
    world: World, eventually: Eventually
) -> None:
    loop = f"trap '' TERM INT; {READY}; while :; do sleep 1; done"
    process, run = begin(world, loop, eventually, restarts__grace="1s")
    began = time.monotonic()
    process.terminate()
    assert world.finish(process, timeout=20).code == 143
    assert 0.9 < time.monotonic() - began < 12
    assert (run / "exit.json").exists()
    assert world.alive() == []


@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 1", 1), ("kill -9 $$", 137)])
def test_no_process_is_left_behind(world: World, end: str, code: int) -> None:
    """Not one that has moved to a session of its own, nor one that ignores SIGTERM."""
    fake = (
        "setsid sleep 61 & (setsid bash -c 'sleep 62 & disown' &) ; nohup sleep 63 & "
        f"sleep 0.3; step 1 1; {end}"
    )
    if code == 1:  # it takes five seconds until the SIGKILL
        fake = f"setsid bash -c \"trap '' TERM; while :; do sleep 0.2; done\" & {fake}"
    assert world.by_hand(fake).code == code
    assert world.alive() == []


def test_scripts_that_were_only_rendered_leave_each_other_alone(
    world: World, eventually: Eventually
) -> None:
    """They have one placeholder for a token; each ends its own processes, and no other's."""
    script = world.script(output="one")
    stays = world.popen(["bash", script], FAKE="touch ready; sleep 2; step 1 1")
    eventually(lambda: (world.root / "ready").exists())
    assert world.by_hand(output="other").code == 0
    assert world.finish(stays).code == 0
    verdict = json.loads((script.parent / "exit.json").read_text())
    assert verdict["state"] == "SUCCEEDED"


@pytest.mark.parametrize("whole_group", [True, False])
def test_sigterm_during_a_setup_line(
    world: World, eventually: Eventually, whole_group: bool
) -> None:
    """bash alone hears it when the line has ended; with its group, as `cancel` does it, at once."""
    seconds = 60 if whole_group else 2
    # The process that makes the file is the one that sleeps, so the signal cannot come before it begins.
    line = f"(touch ready; exec sleep {seconds})"
    script = world.script(environment__setup=[line])
    process = world.popen(["setsid", "--wait", "bash", script])
    eventually(lambda: (world.root / "ready").exists())
    leader = next(pid for pid in children(process.pid))
    (os.killpg if whole_group else os.kill)(leader, signal.SIGTERM)
    assert world.finish(process, timeout=40).code == 143
    verdict = json.loads((script.parent / "exit.json").read_text())
    assert "stopped by signal 15 while running environment.setup line 1" in verdict["reason"]
    assert not (script.parent / "argv").exists()
    assert world.alive() == []


def children(pid: int) -> list[int]:
    """setsid forks where it leads a group; else it is bash itself."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()] if b"setsid" in command(pid) else [pid]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE])
def test_signals_that_end_nothing(world: World, eventually: Eventually, number: int) -> None:
    """The terminal has gone; a reader of the output has gone."""
    process, run = begin(world, f"{READY}; sleep 1; step 1 1", eventually)
    process.send_signal(number)
    assert world.finish(process).code == 0
    assert (run / "exit.json").exists()


# --- time limit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fake", ["sleep 60", "trap 'exit 0' TERM; sleep 60 & wait", "trap '' TERM; sleep 60; sleep 60"]
)
def test_time_limit(world: World, fake: str) -> None:
    """At its time limit a job is ended and called TIMEOUT."""
    began = time.monotonic()
    job = world.by_hand(fake, resources__time_limit="2s", restarts__grace="1s")
    assert time.monotonic() - began < 15
    assert (job.code, job.exit["state"]) == (124, "TIMEOUT")
    assert job.reason == "the time limit of 00:00:02 was reached"
    assert world.alive() == []


@pytest.mark.parametrize("line", ["sleep 60", "bash -c \"trap '' TERM; sleep 60; sleep 60\""])
def test_time_limit_during_a_setup_line(world: World, line: str) -> None:
    began = time.monotonic()
    job = world.by_hand(
        resources__time_limit="1s", restarts__grace="1s", environment__setup=[line, "sleep 60"]
    )
    assert time.monotonic() - began < 15
    assert (job.code, job.exit["state"]) == (124, "TIMEOUT")
    assert world.alive() == []


def test_time_limit_counts_the_setup(world: World) -> None:
    began = time.monotonic()
    job = world.by_hand(
        "sleep 60", resources__time_limit="3s", environment__setup=["sleep 2"], restarts__grace="1s"
    )
    assert time.monotonic() - began < 8
    assert job.exit["state"] == "TIMEOUT"


def test_time_limit_not_reached(world: World) -> None:
    job = world.by_hand(resources__time_limit="60s")
    assert job.code == 0
    assert world.alive() == []


# --- environments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["with space", "it's", "100% %s", "雨巷", "a$(touch pwned)b", "-dash", "back\\slash", "{{x}}"],
)
def test_paths_with_strange_names(
    new_world: Callable[[Path], World], tmp_path: Path, name: str
) -> None:
    """Working directory, output, environment, data: all below a folder of that name."""
    world = new_world(tmp_path / name)
    (world.root / "rows.jsonl").write_text(ROWS)
    world.venv.rename(world.root / name)
    job = world.by_hand(
        environment__venv=f"./{name}", output=f"out {name}", swift__dataset=["./rows.jsonl"]
    )
    assert job.code == 0, job.reason
    assert job.run.parent == world.root / f"out {name}"
    argv = (job.run / "argv").read_bytes().decode().split("\0")
    assert argv[argv.index("--output_dir") + 1] == str(job.run)
    assert not list(tmp_path.rglob("pwned"))


CONDA = """\
conda() {
  [[ $1 == activate && -d $FAKE_CONDA/envs/$2 ]] || { echo "EnvironmentNameNotFound: $2" >&2; return 1; }
  echo "$UNSET_AS_IN_CONDA_SCRIPTS"
  export CONDA_DEFAULT_ENV=$2 PATH=$FAKE_CONDA/envs/$2/bin:$PATH
}
"""


def make_conda(world: World, root: Path) -> None:
    (root / "etc" / "profile.d").mkdir(parents=True)
    (root / "etc" / "profile.d" / "conda.sh").write_text(CONDA)
    (root / "envs").mkdir()
    world.venv.rename(root / "envs" / "prl_clean")


@pytest.mark.parametrize("where", ["miniforge3", "somewhere else"])
def test_conda(world: World, where: str) -> None:
    """In a usual place, or where the spec says."""
    root = world.root / where  # HOME is the world
    make_conda(world, root)
    conda: Any = "prl_clean" if where == "miniforge3" else {"name": "prl_clean", "root": str(root)}
    job = world.by_hand(
        environment={"conda": conda}, env={"FAKE_CONDA": str(root), "CONDA_EXE": ""}
    )
    assert job.code == 0, job.reason


def test_conda_environment_is_missing(world: World) -> None:
    root = world.root / "miniconda3"
    make_conda(world, root)
    job = world.by_hand(environment={"conda": "prl_klean"}, env={"FAKE_CONDA": str(root)})
    assert_failed(job, f"conda environment 'prl_klean' is not in {root}; it has: base prl_clean")


def test_conda_is_missing(world: World) -> None:
    if any(Path(p).exists() for p in ("/opt/conda", "/opt/miniconda3", "/opt/miniforge3")):
        pytest.skip("this machine has a conda where the script looks")
    job = world.by_hand(environment={"conda": "prl_clean"})
    assert_failed(job, "conda is not on this node; say where it is with environment.conda")


def test_conda_environment_is_active_already(world: World) -> None:
    env = {"CONDA_DEFAULT_ENV": "prl_clean", "PATH": f"{world.venv}/bin:{world.environ['PATH']}"}
    assert world.by_hand(environment={"conda": "prl_clean"}, env=env).code == 0


def test_modules(world: World) -> None:
    """The command comes from the site's own start file, found through MODULESHOME."""
    init = world.root / "mods" / "init"
    init.mkdir(parents=True)
    (init / "bash").write_text(
        'module() { echo "$UNSET"; [[ $# == 2 && $2 == "cuda/12.8 tools" ]] || return 1; '
        f'PATH="{world.venv}/bin:$PATH"; }}\n'
    )
    env = {"MODULESHOME": str(world.root / "mods"), "LMOD_PKG": ""}
    assert world.by_hand(environment={"modules": ["cuda/12.8 tools"]}, env=env).code == 0
    (init / "bash").write_text(
        'module() { echo "$UNSET"; [[ $1 == load && $2 == "cuda/12.8" ]] || return 1; '
        f'PATH="{world.venv}/bin:$PATH"; }}\n'
    )
    assert world.by_hand(environment={"modules": ["cuda/12.8"]}, env=env).code == 0
    job = world.by_hand(environment={"modules": ["cuda/99"]}, env=env)
    assert_failed(job, "environment.modules: 'module load cuda/99' failed")


def test_no_module_command(world: World) -> None:
    if (
        subprocess.run(["bash", "-lc", "type module"], capture_output=True, check=False).returncode
        == 0
    ):
        pytest.skip("this machine has environment modules")
    job = world.by_hand(environment={"modules": ["cuda"]})
    assert_failed(job, "environment.modules: this node has no 'module' command")


def test_literal_environment(world: World) -> None:
    """environment.env reaches the training byte for byte."""
    value = "it's $(id) \\ 雨\n`x`"
    job = world.by_hand('printf "%s" "$ODD" >"$run/odd"; step 1 1', environment__env={"ODD": value})
    assert (job.run / "odd").read_text() == value


@pytest.mark.parametrize("text", [None, "", "# cut", "echo 'open\n", "prl_begin() { :; }\n"])
def test_a_damaged_library_runs_no_setup_line(world: World, text: str | None) -> None:
    """launch.sh goes on only with a launch.lib.sh that bash has read to its last line."""
    script = world.script(environment__setup=["touch setup-ran"])
    library = script.parent / "launch.lib.sh"
    if text is None:
        library.unlink()
    else:
        library.write_text(text)
    done = world.finish(world.popen(["bash", script], FAKE="step 1 1"))
    assert done.code == 78
    assert not list(world.root.rglob("setup-ran"))
    assert not (script.parent / "argv").exists()


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_linked_or_copied_launch_script_finds_its_library(world: World, how: str) -> None:
    script = world.script()
    elsewhere = world.root / "elsewhere"
    elsewhere.mkdir()
    other = elsewhere / "l.sh"
    other.symlink_to(script) if how == "link" else other.write_bytes(script.read_bytes())
    done = world.finish(world.popen(["bash", other], FAKE="step 1 1"))
    assert done.code == 0
    assert json.loads((script.parent / "exit.json").read_text())["state"] == "SUCCEEDED"

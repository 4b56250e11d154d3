"""The local backend through the real executable: jobs that start, survive, are found and end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.backends.local.processes import boot_id, identify
from tests.support.rendered import files_in

if TYPE_CHECKING:
    from tests.conftest import World

Eventually = Callable[..., None]
SLEEP = 'echo "it runs"; step 1 9; touch "$run/ready"; sleep 300'
STATUS_KEYS = (
    "run path name backend job_id state reason exit_code restarts step max_steps "
    "submitted_at started_at ended_at last_step_at attempts "
    "metrics phase phase_since hints gpus sweep tags note"
).split()


def running(world: World, eventually: Eventually, fake: str = SLEEP, **over: Any) -> Path:
    """A job in the middle of its training."""
    run = world.submit(fake, **over)
    eventually(lambda: (run / "ready").exists())
    return run


def one_status(world: World, *words: object) -> dict[str, Any]:
    done = world.prl(*words, "--json")
    (status,) = done.json["runs"]
    return dict(status)


# --- submit, wait, follow -------------------------------------------------------------------------


def test_detached_by_default(world: World, eventually: Eventually) -> None:
    """The command ends at once; the job is in a session of its own and goes on."""
    run = running(world, eventually)
    assert run.parent == world.output
    record = json.loads((run / "run.json").read_text())
    pid = record["process"]["pid"]
    assert os.getsid(pid) == pid
    assert str(pid) == record["job_id"]
    assert os.readlink(world.output / "latest") == run.name
    status = one_status(world, "status")
    assert list(status) == STATUS_KEYS
    assert (status["state"], status["step"], status["max_steps"]) == ("RUNNING", 1, 9)
    assert "fake" in world.prl("status").out


def test_survives_its_terminal(world: World, eventually: Eventually) -> None:
    """The shell that submitted is killed with its whole session."""
    spec = world.spec()
    line = f"setsid bash -c 'python -m prl_submit {spec}; kill -9 0'"
    world.finish(world.popen(["bash", "-c", line], FAKE=SLEEP))
    eventually(lambda: list(world.output.glob("v0-*/ready")))
    assert list(world.states().values()) == ["RUNNING"]


@pytest.mark.parametrize(("fake", "code"), [("echo hello; step 1 1", 0), ("echo hello; exit 3", 1)])
@pytest.mark.parametrize("flag", ["--wait", "--follow", "-f"])
def test_exit_code_is_the_jobs_result(world: World, flag: str, fake: str, code: int) -> None:
    done = world.prl(world.spec(), flag, FAKE=fake)
    assert done.code == code
    state = "SUCCEEDED" if code == 0 else "FAILED"
    assert state in done.err
    assert ("hello\n" in done.out) == (flag != "--wait")
    assert ("torchrun exited with 3" in done.err) == (code == 1)


def test_follow_shows_every_byte(world: World) -> None:
    done = world.prl(world.spec(), "--follow", FAKE="seq 20000; printf 'no newline'; step 1 1")
    numbers = [line for line in done.out.splitlines() if line.isdigit()]
    assert numbers == [str(i) for i in range(1, 20001)]
    assert "no newline" in done.out


def test_sigterm_to_the_waiting_command_ends_the_job(world: World, eventually: Eventually) -> None:
    """How a container platform stops what it started."""
    process = world.start(world.spec(), "--follow", FAKE=SLEEP)
    eventually(lambda: list(world.output.glob("v*/ready")))
    process.terminate()
    done = world.finish(process, timeout=15)
    assert done.code == 1
    assert "got SIGTERM: handed on to the job" in done.err
    assert "FAILED" in done.err
    assert world.alive() == []


def test_sigterm_to_the_waiting_command_in_a_setup_line(
    world: World, eventually: Eventually
) -> None:
    spec = world.spec(environment__setup=["touch ready; sleep 300"])
    process = world.start(spec, "--wait")
    eventually(lambda: (world.root / "ready").exists())
    eventually(lambda: world.alive("sleep 300"))
    process.terminate()
    assert world.finish(process, timeout=15).code == 1
    assert world.alive() == []


@pytest.mark.parametrize("words", [["--wait"], ["--follow"]])
def test_ctrl_c_leaves_the_job_alone(
    world: World, eventually: Eventually, words: list[str]
) -> None:
    process = world.start(world.spec(), *words, FAKE=SLEEP)
    eventually(lambda: list(world.output.glob("v*/ready")))
    process.send_signal(signal.SIGINT)
    done = world.finish(process)
    assert done.code == 130
    assert "v0-" in done.err
    assert "goes on" in done.err
    assert "prl-submit cancel v0" in done.err
    assert list(world.states().values()) == ["RUNNING"]


def test_killed_while_waiting(world: World, eventually: Eventually) -> None:
    """kill -9 of the waiting command; then status, logs -f and cancel from others."""
    process = world.start(world.spec(), "--follow", FAKE=SLEEP)
    eventually(lambda: list(world.output.glob("v*/ready")))
    process.kill()
    assert world.finish(process).code == -9
    assert one_status(world, "status", "latest")["state"] == "RUNNING"
    follower = world.start("logs", "latest", "-f")
    time.sleep(0.5)
    assert follower.poll() is None
    status = one_status(world, "cancel", "fake")
    assert (status["state"], status["exit_code"]) == ("CANCELLED", 143)
    assert "cancelled by" in status["reason"]
    done = world.finish(follower)
    assert done.code == 1
    assert "it runs\n" in done.out
    assert "CANCELLED" in done.err
    assert world.alive() == []


# --- killed at any instant ------------------------------------------------------------------------


INSTANTS = 80


def test_killed_at_80_instants_of_submission(world: World) -> None:
    """Each time either no job runs and none is listed, or exactly one ran and is listed.

    Spread over twice the real duration, since a busy machine is slower at times; two at a time, each in
    an output root of its own.
    """
    spec = world.spec()
    seconds = []
    for name in ("w1", "w2", "w3"):
        began = time.monotonic()
        assert world.prl(spec, "--output-root", name, PRL_PREFLIGHT="off").code == 0
        seconds.append(time.monotonic() - began)
    whole = sorted(seconds)[1]
    rng = random.Random(7)

    def one(number: int) -> tuple[str, float]:
        root = world.root / f"r{number}"
        after = whole * 2 * (number + rng.random()) / INSTANTS
        fake = f'echo x >>"{root}.trained"; step 1 1'
        process = world.start(spec, "--output-root", root, FAKE=fake, PRL_PREFLIGHT="off")
        time.sleep(after)
        process.kill()
        world.finish(process)
        return str(root), after

    numbers = list(range(INSTANTS))
    rng.shuffle(numbers)
    with ThreadPoolExecutor(2) as pool:
        roots = [root for root, _ in pool.map(one, numbers)]
    deadline = time.monotonic() + 20
    while world.alive("launch.sh") or world.alive("prl_submit"):
        assert time.monotonic() < deadline, world.alive()
        time.sleep(0.1)
    outcomes = {0: 0, 1: 0}
    for root in roots:
        records = list(Path(root).glob("v*/run.json"))
        trained = Path(f"{root}.trained")
        runs = len(trained.read_text().split()) if trained.exists() else 0
        assert len(records) == runs <= 1, (root, records, runs)
        outcomes[runs] += 1
        for record in records:
            assert json.loads((record.parent / "exit.json").read_text())["state"] == "SUCCEEDED"
    for root in random.sample(roots, 6):
        listed = world.prl("list", "--json", "--output-root", root).json["runs"]
        assert len(listed) == len(list(Path(root).glob("v*/run.json")))
    assert min(outcomes.values()) >= 5, outcomes  # both kinds were really met


def test_interrupted_at_12_instants_of_submission(world: World) -> None:
    """Ctrl-C: the message says whether a job was started, and it is right."""
    spec = world.spec()
    began = time.monotonic()
    world.prl(spec, "--output-root", "warm", FAKE="step 1 1", PRL_PREFLIGHT="off")
    whole = time.monotonic() - began
    for number in range(12):
        root = world.root / f"r{number}"
        process = world.start(spec, "--output-root", root, FAKE="step 1 1", PRL_PREFLIGHT="off")
        time.sleep(whole * (0.35 + 0.65 * number / 12))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        world._started.remove(process)
        records = list(root.glob("v*/run.json"))
        assert len(records) == 1 or process.returncode != 0
        said = [record.parent.name in err.decode() for record in records]
        assert all(said), err.decode()
        before_ours = process.returncode == 1 and b"prl_submit/" not in err and not records
        # Python itself ends with 1 for a SIGINT while it starts, and by SIGINT while it ends.
        assert process.returncode in (0, 130, -signal.SIGINT) or before_ours, err.decode()


def test_forty_at_once(world: World) -> None:
    """Each gets its own number and its own job."""
    spec = world.spec()

    def submit(_: int) -> str:
        done = world.prl(spec, FAKE="step 1 1", PRL_PREFLIGHT="off")
        assert done.code == 0, done.err
        return done.out.strip()

    with ThreadPoolExecutor(40) as pool:
        runs = list(pool.map(submit, range(40)))
    numbers = sorted(int(Path(run).name[1:].split("-")[0]) for run in runs)
    assert numbers == list(range(40))
    assert os.readlink(world.output / "latest").startswith("v39-")
    done = world.prl("wait")
    assert done.code == 0, done.err
    states = world.states()
    assert len(states) == 40
    assert set(states.values()) == {"SUCCEEDED"}
    assert [name for name in os.listdir(world.output) if name.startswith(".")] == []


# --- cancel ---------------------------------------------------------------------------------------


def test_cancel_ends_the_whole_tree(world: World, eventually: Eventually) -> None:
    fake = f"setsid sleep 301 & (setsid bash -c 'sleep 302 & wait' &); {SLEEP}"
    run = running(world, eventually, fake)
    eventually(lambda: len(world.alive("sleep 30")) >= 3)
    done = world.prl("cancel", run.name)
    assert done.code == 0
    assert "CANCELLED" in done.out
    assert world.alive() == []
    again = world.prl("cancel", run.name)
    assert again.code == 0
    assert f"{run.name} had already ended: CANCELLED" in again.err


def test_cancel_kills_what_ignores_it(world: World, eventually: Eventually) -> None:
    fake = f"trap '' TERM; {SLEEP}; sleep 300"
    run = running(world, eventually, fake, restarts__grace="1s")
    began = time.monotonic()
    assert world.prl("cancel", run.name).code == 0
    assert time.monotonic() - began < 60
    assert world.alive() == []
    assert one_status(world, "status", run.name)["state"] == "CANCELLED"


def test_cancel_of_a_finished_run_says_so(world: World) -> None:
    run, _ = world.run_to_end()
    done = world.prl("cancel", run.name)
    assert done.code == 0
    assert f"{run.name} had already ended: SUCCEEDED" in done.err
    assert not (run / "cancel.json").exists()


def test_cancel_works_where_nothing_can_be_written(world: World, eventually: Eventually) -> None:
    run = running(world, eventually)
    (run / "cancel.json").mkdir()  # in the way of the file
    done = world.prl("cancel", run.name)
    assert done.code == 74
    assert "cancel.json cannot be written" in done.err
    assert world.alive() == []


def forge(run: Path, **changes: object) -> None:
    record = json.loads((run / "run.json").read_text())
    record["process"] |= changes
    (run / "run.json").write_text(json.dumps(record))


def test_pid_of_another_process_cannot_fool_it(world: World) -> None:
    """A later process has the pid that run.json names: it is not ours, and it is not killed."""
    run, _ = world.run_to_end()
    (run / "exit.json").unlink()
    stranger = world.popen(["sleep", "300"])
    forge(run, pid=stranger.pid)
    status = one_status(world, "status", run.name)
    assert status["state"] == "LOST"
    done = world.prl("cancel", run.name)
    assert done.code == 0
    assert stranger.poll() is None
    assert one_status(world, "status", run.name)["state"] == "LOST"
    assert not (run / "cancel.json").exists()


def test_earlier_boot(world: World) -> None:
    """A process id from before a reboot is not taken for the job."""
    run, _ = world.run_to_end()
    (run / "exit.json").unlink()
    me = identify(os.getpid())
    forge(run, pid=me.pid, started=me.started, boot="0" * 8 + boot_id()[8:])
    status = one_status(world, "status", run.name)
    assert (status["state"], status["reason"]) == ("LOST", "the machine was restarted while it ran")


def test_job_of_another_machine(world: World) -> None:
    """It is neither called lost nor cancelled in silence."""
    run, _ = world.run_to_end()
    (run / "exit.json").unlink()
    forge(run, boot="0" * 8 + boot_id()[8:], host="n17")
    status = one_status(world, "status", run.name)
    assert status["state"] == "RUNNING"
    assert "it runs on n17" in status["reason"]
    done = world.prl("cancel", run.name)
    assert done.code == 1
    assert "runs on n17" in done.err
    assert not (run / "cancel.json").exists()


def test_lost_with_leftovers(world: World, eventually: Eventually) -> None:
    """launch.sh itself was killed with SIGKILL: LOST, what it left is named and can be ended."""
    run = running(world, eventually)
    pid = json.loads((run / "run.json").read_text())["process"]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not world.alive("launch.sh"))
    status = one_status(world, "status", run.name)
    assert status["state"] == "LOST"
    assert f"process {pid} ended without exit.json" in status["reason"]
    assert "of its processes still run" in status["reason"]
    assert world.prl("wait", run.name).code == 1
    done = world.prl("cancel", run.name)
    assert done.code == 0
    assert world.alive() == []
    assert one_status(world, "status", run.name)["state"] == "CANCELLED"


# --- resume ---------------------------------------------------------------------------------------

HALF = "step 1 4; checkpoint 2 4; exit 1"


def test_resume(world: World) -> None:
    """Same directory, one restart more, the checkpoint among the words, the old log kept."""
    run, verdict = world.run_to_end(HALF)
    assert verdict["state"] == "FAILED"
    fake = "step 3 4; step 4 4"
    done = world.prl("resume", run.name, "--wait", FAKE=fake)
    assert done.code == 0, done.err
    assert "continues from checkpoint-2" in done.err
    argv = (run / "argv").read_bytes().decode().split("\0")
    assert argv[argv.index("--resume_from_checkpoint") + 1] == str(run / "checkpoint-2")
    status = one_status(world, "status", run.name)
    assert (status["state"], status["restarts"], status["step"]) == ("SUCCEEDED", 1, 4)
    assert json.loads((run / "exit.json").read_text())["restarts"] == 1
    assert (run / "logs" / "node0.log").read_text().count("torchrun, 1 process") == 2


def test_the_times_of_every_attempt_stay(world: World) -> None:
    """submitted_at and started_at are the first attempt's, whatever came later."""
    run, _ = world.run_to_end(HALF)
    first = one_status(world, "status", run.name)
    time.sleep(1.1)  # times are whole seconds
    world.prl("resume", run.name, "--wait", FAKE="step 3 4; exit 5")
    time.sleep(1.1)
    world.prl("resume", run.name, "--wait", FAKE="step 3 4; step 4 4")
    status = one_status(world, "status", run.name)
    for key in ("submitted_at", "started_at"):
        assert status[key] == first[key]
    attempts = status["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["FAILED", "FAILED", "SUCCEEDED"]
    assert [attempt["restarts"] for attempt in attempts] == [0, 1, 2]
    assert [attempt["exit_code"] for attempt in attempts] == [1, 5, 0]
    assert attempts[0]["submitted_at"] == first["submitted_at"]
    for key in ("submitted_at", "started_at", "ended_at"):
        assert len({attempt[key] for attempt in attempts}) == 3, key
    assert attempts[-1]["ended_at"] == status["ended_at"]
    record = json.loads((run / "run.json").read_text())
    assert record["submitted_at"] == first["submitted_at"]
    assert len(record["resumed_at"]) == 2


def test_an_attempt_that_was_killed_has_no_end(world: World, eventually: Eventually) -> None:
    """It ends at its last sign of life, also after a resume, which writes into the same files."""
    run = running(world, eventually, f"step 2 4; checkpoint 2 4; {SLEEP}")
    (began,) = one_status(world, "status", run.name)["attempts"]
    assert (began["state"], began["ended_at"]) == (None, None)
    os.killpg(json.loads((run / "run.json").read_text())["process"]["pid"], signal.SIGKILL)
    eventually(lambda: one_status(world, "status", run.name)["state"] == "LOST")
    (killed,) = one_status(world, "status", run.name)["attempts"]
    assert (killed["started_at"], killed["ended_at"]) == (began["started_at"], None)
    assert killed["last_sign_at"] >= began["started_at"]
    assert (killed["nodes"], killed["gpus"]) == (1, 0)
    time.sleep(1.1)  # times are whole seconds
    assert world.prl("resume", run.name, "--wait", FAKE="step 3 4; step 4 4").code == 0
    status = one_status(world, "status", run.name)
    first, second = status["attempts"]
    assert status["started_at"] == first["started_at"] == began["started_at"]
    assert (first["ended_at"], first["last_sign_at"]) == (None, killed["last_sign_at"])
    assert first["last_sign_at"] < second["started_at"] <= second["ended_at"]


def test_partial_checkpoint_is_not_chosen(world: World) -> None:
    run, _ = world.run_to_end("step 1 9; checkpoint 2 9; checkpoint 4 9; exit 1")
    (run / "checkpoint-4" / "rng_state.pth").unlink()
    done = world.prl("resume", run.name, "--wait", FAKE="step 5 9")
    assert "continues from checkpoint-2" in done.err


def test_resume_of_a_running_run(world: World, eventually: Eventually) -> None:
    run = running(world, eventually, f"checkpoint 1 9; {SLEEP}")
    done = world.prl("resume", run.name)
    assert done.code == 2
    assert f"{run.name} is RUNNING" in done.err
    assert "cancel it first" in done.err


def test_resume_without_a_checkpoint(world: World) -> None:
    run, _ = world.run_to_end("exit 1")
    done = world.prl("resume", run.name)
    assert done.code == 2
    assert "no complete checkpoint" in done.err
    assert one_status(world, "status", run.name)["restarts"] == 0


def test_resume_of_a_run_that_never_started(world: World) -> None:
    """Its process was killed before launch.sh wrote anything, so there is no training to go on with."""
    run, _ = world.run_to_end("exit 1")
    for name in ("exit.json", "logging.jsonl", "verdict.json"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "logs")
    (run / "logs").mkdir()
    assert one_status(world, "status", run.name)["state"] == "LOST"
    refused = world.prl("resume", run.name, "--set", "swift.max_steps=9")
    assert refused.code == 2
    assert f"{run.name} never began" in refused.err
    done = world.prl("resume", run.name, "--wait", FAKE="step 1 1; ended")
    assert done.code == 0, done.err
    assert "begins anew, because it never started (LOST)\n" in done.err
    assert one_status(world, "status", run.name)["restarts"] == 0


def test_resume_at_the_last_step(world: World) -> None:
    run, _ = world.run_to_end("step 4 4; checkpoint 4 4")
    done = world.prl("resume", run.name)
    assert done.code == 2
    assert "at its last step already" in done.err


def test_resume_that_cannot_start_keeps_the_run(world: World) -> None:
    """Nothing to start it with: the run stays listed, as it was."""
    run, _ = world.run_to_end(HALF)
    before = (run / "run.json").read_bytes()
    done = world.prl("resume", run.name, PATH="/nowhere")
    assert done.code == 1
    assert "bash is not on PATH" in done.err
    assert (run / "run.json").read_bytes() == before


def test_many_resumes_at_once_start_one(world: World) -> None:
    """Of several `resume` at once one starts an attempt, and the others are refused."""
    run, _ = world.run_to_end(HALF)
    fake = 'echo x >>"$run/trainings"; step 3 4; sleep 3'
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: world.prl("resume", run.name, FAKE=fake), range(8)))
    codes = sorted(done.code for done in results)
    assert codes == [0] + [2] * 7, results
    world.prl("wait", run.name)
    assert (run / "trainings").read_text() == "x\n"


def test_resume_of_a_damaged_directory(world: World) -> None:
    """Without its plan it cannot go on, without its logs it can."""
    run, _ = world.run_to_end(HALF)
    (run / "plan.json").rename(run / "gone")
    done = world.prl("resume", run.name)
    assert done.code == 2
    assert "plan.json" in done.err
    (run / "gone").rename(run / "plan.json")
    (run / "logs").rename(run / "gone")
    assert world.prl("resume", run.name, "--wait", FAKE="step 4 4").code == 0


# --- what the job gets ----------------------------------------------------------------------------


def test_secret_is_in_the_environment_and_in_no_file(world: World) -> None:
    fake = "[[ $MY_KEY == hush-hush-1 && $PRL_API_KEY == hush-hush-2 ]] || exit 9; step 1 1"
    done = world.prl(
        world.spec(environment__secrets=["MY_KEY"]),
        "--wait",
        FAKE=fake.replace("hush-hush-", "hush${X}-hush-"),
        MY_KEY="hush-hush-1",
        PRL_API_KEY="hush-hush-2",
    )
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        assert b"hush-hush" not in path.read_bytes(), path
    assert "hush-hush" not in done.err


def test_missing_secret_stops_the_submission(world: World) -> None:
    done = world.prl(world.spec(environment__secrets=["MY_KEY"]))
    assert done.code == 2
    assert "MY_KEY is not set in your environment" in done.err
    assert not world.output.exists()


@pytest.mark.parametrize("by", ["spec", "variable", "set"])
def test_visible_devices(world: World, by: str) -> None:
    """The chosen GPUs reach the job, whoever names them."""
    over = {"local__cuda_visible_devices": "2,3"} if by == "spec" else {}
    environ = {"PRL_CUDA_VISIBLE_DEVICES": "2,3"} if by == "variable" else {}
    words = ["--set", "local.cuda_visible_devices=2,3"] if by == "set" else []
    spec = world.spec(resources__accelerator="gpu", **over)
    fake = 'echo "visible: $CUDA_VISIBLE_DEVICES"; step 1 1'
    done = world.prl(spec, "--follow", *words, FAKE=fake, PRL_PREFLIGHT="off", **environ)
    assert "visible: 2,3\n" in done.out


def test_variables_of_an_outer_job_are_not_inherited(world: World) -> None:
    fake = 'echo "rank: ${NODE_RANK-none} ${MASTER_ADDR-none}"; step 1 1'
    done = world.prl(world.spec(), "--follow", FAKE=fake, NODE_RANK="1", MASTER_ADDR="x")
    assert "rank: none none\n" in done.out


def test_prl_variables_reach_the_job(world: World) -> None:
    done = world.prl(
        world.spec(),
        "--follow",
        FAKE='echo "mine: $PRL_MY_OWN_THING"; step 1 1',
        PRL_MY_OWN_THING="a b",
    )
    assert "mine: a b\n" in done.out


def test_render_dry_run_and_submit_agree(world: World) -> None:
    """Byte for byte; the run directory's name and the token aside."""
    spec = world.spec()
    rendered = world.prl("render", spec)
    dry = world.prl(spec, "--dry-run")
    assert not world.output.exists()
    assert rendered.out == dry.out
    run = world.submit()
    token = json.loads((run / "run.json").read_text())["token"]
    sent = (run / "launch.sh").read_text()
    assert sent.replace(run.name, "vNN-YYYYMMDD-HHMMSS").replace(token, "0" * 16) == rendered.out
    files = files_in(world.prl("render", "--all", spec).out)
    assert list(files) == ["launch.sh", "launch.lib.sh"]
    assert files["launch.sh"] == rendered.out
    assert files["launch.lib.sh"] == (run / "launch.lib.sh").read_text()
    plan = json.loads((run / "plan.json").read_text())
    assert plan["argv"][:3] == ["torchrun", "--nnodes=1", "--standalone"]


# --- one job per directory ------------------------------------------------------------------------


def test_resume_with_follow_shows_the_new_output_only(world: World) -> None:
    run, _ = world.run_to_end(f"echo from-before; {HALF}")
    done = world.prl("resume", run.name, "--follow", FAKE="echo from-now; step 3 4; step 4 4")
    assert done.code == 0, done.err
    assert "from-now" in done.out
    assert "from-before" not in done.out


def test_resume_ends_what_a_killed_launcher_left(world: World, eventually: Eventually) -> None:
    """Two trainings in one directory would ruin both."""
    run = running(world, eventually, f"checkpoint 2 4; step 2 4; {SLEEP}")
    os.kill(json.loads((run / "run.json").read_text())["process"]["pid"], signal.SIGKILL)
    eventually(lambda: not world.alive("launch.sh"))
    assert world.alive("torchrun")
    done = world.prl("resume", run.name, "--wait", FAKE="step 3 4; step 4 4")
    assert done.code == 0, done.err
    assert world.alive() == []
    assert one_status(world, "status", run.name)["state"] == "SUCCEEDED"


def test_by_hand_after_a_cancel_it_is_running(world: World, eventually: Eventually) -> None:
    """`bash launch.sh` of a run that was cancelled: status and cancel know it, resume leaves it alone."""
    run = running(world, eventually)
    assert world.prl("cancel", run.name).code == 0
    (run / "ready").unlink()
    process = world.popen(["bash", run / "launch.sh"], FAKE=SLEEP)
    eventually(lambda: (run / "ready").exists())
    status = one_status(world, "status")
    assert status["state"] == "RUNNING"
    assert status["reason"] == f"launch.sh was started by hand, as process {process.pid}"
    resumed = world.prl("resume", run.name)
    assert (resumed.code, "is RUNNING" in resumed.err) == (2, True)
    assert process.poll() is None
    assert world.prl("cancel", run.name).code == 0
    process.wait(timeout=15)
    assert world.alive() == []
    assert one_status(world, "status", run.name)["state"] == "CANCELLED"


def test_by_hand_beside_a_living_job_is_refused(world: World, eventually: Eventually) -> None:
    run = running(world, eventually)
    done = world.finish(world.popen(["bash", run / "launch.sh"]))
    assert done.code == 75
    assert "is in use" in done.err
    assert not (run / "exit.json").exists()
    assert one_status(world, "status", run.name)["state"] == "RUNNING"


def test_a_run_of_a_backend_that_is_not_here_hides_no_other(world: World) -> None:
    run, _ = world.run_to_end("exit 1")
    (run / "exit.json").unlink()
    record = (run / "run.json").read_text().replace('"local"', '"of-a-later-version"')
    (run / "run.json").write_text(record)
    other, _ = world.run_to_end()
    assert world.states() == {run.name: "LOST", other.name: "SUCCEEDED"}

"""What launch.sh inherits, and what runs in its own shell: setup lines, modules, conda. None of it may change launch.sh."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import make_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World


def environ_of_torchrun(run: Path) -> dict[str, str]:
    """From `env -0 >$run/env`."""
    pairs = (run / "env").read_bytes().decode().split("\0")[:-1]
    return dict(pair.split("=", 1) for pair in pairs)


TELL = "env -0 >$run/env; pwd >$run/cwd; step 1 1"


# --- setup lines ----------------------------------------------------------------------------------

#: Every command there is, as a function that does nothing and fails.
SHADOW_ALL = (
    "for n in $(compgen -b; cd /usr/bin; compgen -G '*'; echo finish fail say arm); do "
    "[[ ! $n =~ ^[a-z._-]+$ || $n == @(eval|builtin|return|time|local) ]] || "
    'eval "$n() { return 9; }"; done'
)


@pytest.mark.parametrize(
    "lines",
    [
        ["finish() { echo bye; }; fail() { exit 9; }; say() { exit 9; }; arm() { exit 9; }"],
        ["date() { return 1; }; sed() { return 1; }; kill() { :; }; exit() { :; }; trap() { :; }"],
        ["set() { :; }; unset() { :; }; shopt() { :; }; builtin() { :; }; export() { :; }"],
        [SHADOW_ALL],
        ["set -o noclobber"],
        ["set -f"],
        ["set +eu; set +o pipefail"],
        ["set -x"],
        ["set -o posix"],
        ["set -a; set -C -f -k -v -h"],
        ["shopt -s nullglob failglob dotglob nocasematch extglob lastpipe"],
        ["IFS=,:/"],
        ["unset IFS"],
        ["shopt -s expand_aliases", "alias printf=false say=false exit=false"],
        ["trap 'exit 9' EXIT"],
        ["n=0; trap ': $((n++))' DEBUG ERR RETURN; set -ET"],
        ["builtin trap 'exit 9' EXIT"],
        ["exec >/dev/null 2>&1"],
        ["exec >&- 2>&-"],
        ["cd /"],
        ["umask 077"],
        ["PATH="],
        ["export PATH='/opt/mine/bin:$PATH'"],
        ["doing=1; readonly code=1 state=1 reason=1 run_dir=/ text=x"],
        ["unset HOME PWD TMPDIR"],
        ["export LC_ALL=tr_TR.UTF-8 POSIXLY_CORRECT=1 GREP_OPTIONS=-v"],
    ],
    ids=lambda lines: lines[0][:40],
)
def test_setup_lines_change_nothing_of_launch_sh(world: World, lines: list[str]) -> None:
    """It trains to its end and says so; then the next attempt, which has an exit.json to replace."""
    path = f"export PATH={world.venv}/bin:$PATH"
    over: dict[str, Any] = {"environment__setup": [path, *lines], "restarts__max": 1}
    if lines[0].startswith(("PATH=", "export PATH")):
        over["environment__setup"].append(f"PATH={world.venv}/bin")
    for env in ({}, {"PRL_SUBMIT_RESTARTS": "1"}):
        fake = "step 1 2; checkpoint 1 2" if not env else "step 2 2"
        job = world.by_hand(fake, env=env, **over)
        assert (job.code, job.exit["state"], job.exit["reason"]) == (0, "SUCCEEDED", None), job
        assert job.log.endswith("prl-submit: SUCCEEDED\n")
    assert "continues from checkpoint-1" in job.log
    failed = world.by_hand("exit 3", **over)
    assert (failed.code, failed.exit["state"]) == (3, "FAILED")


def test_a_trap_of_setup_runs_at_the_end_of_the_job(world: World) -> None:
    """And launch.sh's own too, also where the very line that set it ends the script."""
    made = world.root / "made"
    line = f"mkdir {made}; trap 'echo cleaned up; rmdir {made}' EXIT INT TERM"
    job = world.by_hand(f"[[ -d {made} ]] && step 1 1", environment__setup=[line])
    assert (job.code, made.exists()) == (0, False)
    assert "cleaned up\n" in job.log
    for lines in (
        [line, "exit 3"],
        [f"{line}; exit 3"],
        [line.replace("; trap", "; builtin trap"), "exit 3"],
    ):
        job = world.by_hand(environment__setup=lines)
        assert (job.code, job.exit["state"], made.exists()) == (3, "FAILED", False)
        assert f"environment.setup line {len(lines)}" in job.reason
    job = world.by_hand(environment__setup=[line, "trap - EXIT"])
    assert (job.code, made.exists()) == (0, True)


def test_a_trap_within_a_subshell_is_the_subshells(world: World) -> None:
    lines = ["(trap 'echo of the subshell' EXIT)", "echo after it"]
    job = world.by_hand(environment__setup=lines)
    assert "of the subshell\nafter it\n" in job.log


def test_a_trap_that_hangs_is_not_waited_for_long(world: World) -> None:
    job = world.by_hand(environment__setup=["trap 'while :; do sleep 1; done' EXIT"])
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert world.alive() == []


def test_set_e_is_set_again_but_for_who_says_so(world: World) -> None:
    (world.root / "lib.sh").write_text("set +e\n")
    job = world.by_hand(environment__setup=["source lib.sh", "false", "true"])
    assert "environment.setup line 2: false" in job.reason
    job = world.by_hand(environment__setup=["set +e", "false", "set -e"])
    assert job.code == 0, job.reason


def test_options_of_a_setup_line_hold_for_the_next(world: World) -> None:
    lines = [
        "shopt -s extglob expand_aliases",
        "alias hello='echo from an alias'",
        "hello",
        "x=!(a)",
    ]
    assert "from an alias\n" in world.by_hand(environment__setup=lines).log


def test_the_training_runs_in_workdir(world: World) -> None:
    """It is what every relative path of the spec is relative to."""
    (world.root / "sub").mkdir()
    job = world.by_hand(TELL, environment__setup=["cd sub", "touch here"])
    assert (job.run / "cwd").read_text() == f"{world.root}\n"
    assert (world.root / "sub" / "here").exists()
    assert f"a setup line went to {world.root}/sub; the training runs in {world.root}" in job.log


# --- what is inherited ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env",
    [
        {"BASH_FUNC_date%%": "() { echo yesterday; }", "BASH_FUNC_exit%%": "() { :; }"},
        {"BASH_FUNC_sed%%": "() { return 1; }", "BASH_FUNC_prl_fail%%": "() { :; }"},
        {"SHELLOPTS": "noclobber:noglob:xtrace"},
        {"SHELLOPTS": "errexit:nounset:posix"},
        {"BASHOPTS": "nullglob:failglob:nocasematch"},
        {"BASH_ENV": "rc.sh"},
        {"POSIXLY_CORRECT": "1"},
        {"CDPATH": "/usr"},
        {"prl_began": "/", "prl_state": "LOST", "prl_reason": "x", "prl_done": "x", "prl_out": "9"},
    ],
    ids=lambda env: ",".join(env),
)
def test_a_shell_that_was_inherited(world: World, env: dict[str, str]) -> None:
    rc = "trap 'echo gone' EXIT; set -o noclobber; date() { exit 9; }; fail() { :; }\n"
    (world.root / "rc.sh").write_text(rc)
    for _ in range(2):
        job = world.by_hand(env=env)
        assert (job.code, job.exit["state"], job.exit["reason"]) == (0, "SUCCEEDED", None), job


#: What a platform's pod or a torchrun around the job sets.
MISLEADING = dict.fromkeys(
    (
        "PET_NNODES PET_NPROC_PER_NODE PET_NODE_RANK PET_RDZV_ENDPOINT PET_RDZV_BACKEND PET_MASTER_ADDR "
        "PET_MASTER_PORT PET_STANDALONE PET_NO_PYTHON PET_MODULE PET_MAX_RESTARTS RANK WORLD_SIZE LOCAL_RANK "
        "LOCAL_WORLD_SIZE GROUP_RANK NODE_RANK MASTER_ADDR MASTER_PORT NNODES NPROC_PER_NODE "
        "TORCHELASTIC_RUN_ID TORCHELASTIC_USE_AGENT_STORE"
    ).split(),
    "1",
)


def test_a_place_in_another_training_is_not_passed_on(world: World) -> None:
    job = world.by_hand(TELL, env=MISLEADING | {"OMP_NUM_THREADS": "2"})
    seen = environ_of_torchrun(job.run)
    assert not set(MISLEADING) & set(seen)
    assert seen["OMP_NUM_THREADS"] == "2"
    argv = (job.run / "argv").read_bytes().decode().split("\0")
    assert {"--nnodes=1", "--standalone", "--local-addr=localhost"} < set(argv)


def test_what_the_spec_says_of_torchrun_is_passed_on(world: World) -> None:
    over: dict[str, Any] = {"environment__env": {"PET_MAX_RESTARTS": "2"}}
    over["environment__setup"] = ["export PET_MONITOR_INTERVAL=1"]
    job = world.by_hand(TELL, env={"PET_MAX_RESTARTS": "9"}, **over)
    seen = environ_of_torchrun(job.run)
    assert (seen["PET_MAX_RESTARTS"], seen["PET_MONITOR_INTERVAL"]) == ("2", "1")


# --- HOME and TMPDIR ------------------------------------------------------------------------------


@pytest.mark.parametrize("home", [None, "", "/nowhere/at/all"])
def test_a_home_that_is_not_there(world: World, home: str | None) -> None:
    """A systemd service has none; a container may have one of another machine."""
    script = world.script()
    environ = {k: v for k, v in world.environ.items() if k != "HOME"} | {"FAKE": TELL}
    if home is not None:
        environ["HOME"] = home
    done = subprocess.run(
        ["bash", script], env=environ, cwd=world.root, capture_output=True, check=False
    )
    assert done.returncode == 0, (script.parent / "logs" / "node0.log").read_text()
    seen = environ_of_torchrun(script.parent)["HOME"]
    assert os.access(seen, os.R_OK | os.W_OK | os.X_OK)
    assert f"this job has {seen}\n" in (script.parent / "logs" / "node0.log").read_text()


@pytest.fixture
def public_world(public_folder: Path, new_world: Callable[[Path], World]) -> World:
    """A world that other users may enter."""
    return new_world(public_folder / "world")


def as_somebody_else(world: World, home: Path) -> dict[str, str]:
    """A training of uid 4242; the environment of its torchrun."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be somebody else")
    script = world.script()
    for path in (world.root, *world.root.rglob("*")):
        if path != home and home not in path.parents:
            os.chmod(path, 0o777)
    # The tests' own Python may lie where only root may look.
    environ = world.environ | {"FAKE": TELL, "HOME": str(home), "PRL_PREFLIGHT": "off"}
    environ.pop("XDG_CACHE_HOME")
    command = [
        "setpriv",
        "--reuid",
        "4242",
        "--regid",
        "4242",
        "--clear-groups",
        "bash",
        str(script),
    ]
    subprocess.run(command, env=environ, cwd=world.root, capture_output=True, check=False)
    verdict = json.loads((script.parent / "exit.json").read_text())
    assert verdict["state"] == "SUCCEEDED", verdict
    return environ_of_torchrun(script.parent)


def test_a_home_of_another_user(public_world: World) -> None:
    home = public_world.root / "home"
    home.mkdir(mode=0o700)
    seen = Path(as_somebody_else(public_world, home)["HOME"])
    assert (seen.stat().st_uid, seen.stat().st_mode & 0o777) == (4242, 0o700)


def test_a_home_that_is_read_only(public_world: World) -> None:
    """It keeps what is read there: tokens, packages, downloaded models. What is written goes elsewhere."""
    home = public_world.root / "home"
    (home / ".cache/huggingface/hub").mkdir(parents=True)
    for path in (home, *home.rglob("*")):
        path.chmod(0o555)
    seen = as_somebody_else(public_world, home)
    assert seen["HOME"] == str(home)
    assert seen["HF_HUB_CACHE"] == f"{home}/.cache/huggingface/hub"
    cache = Path(seen["XDG_CACHE_HOME"])
    assert seen["HF_HOME"] == f"{cache}/huggingface"
    assert (cache.parent.stat().st_uid, cache.parent.stat().st_mode & 0o777) == (4242, 0o700)


def test_a_tmpdir_too_long_for_a_socket(world: World) -> None:
    """A short link to it, for its space is what somebody chose; gone afterwards."""
    long = world.root / ("x" * 100) / ("y" * 40)
    long.mkdir(parents=True)
    fake = "echo $TMPDIR >$run/short; touch $TMPDIR/of-the-training; step 1 1"
    job = world.by_hand(fake, env={"TMPDIR": str(long)})
    assert job.code == 0
    short = (job.run / "short").read_text().strip()
    assert len(short) < 30
    assert (long / "of-the-training").exists()
    assert not os.path.lexists(short)
    assert not Path(short).parent.exists()
    assert f"TMPDIR is {short} in this job, a link to {long}" in job.log


# --- conda ----------------------------------------------------------------------------------------


def conda(root: Path, *environments: str) -> Path:
    """A conda whose activation puts an environment first in PATH, unless it is there already."""
    (root / "etc/profile.d").mkdir(parents=True)
    (root / "etc/profile.d/conda.sh").write_text(
        'conda() { export CONDA_DEFAULT_ENV=$2 CONDA_PREFIX="$ROOT/envs/$2"; [[ -d $CONDA_PREFIX ]] || return 1\n'
        '  case ":$PATH:" in *":$CONDA_PREFIX/bin:"*) ;; *) PATH="$CONDA_PREFIX/bin:$PATH" ;; esac; }\n'
        f"ROOT={root}\n"
    )
    for name in environments:
        make_environment(root / "envs" / name)
    return root


@pytest.mark.parametrize("before", ["", "the same name", "a venv on top"])
def test_conda_is_always_activated(world: World, before: str) -> None:
    """CONDA_DEFAULT_ENV may have the name and another environment come first in PATH."""
    root = conda(world.root / "conda", "prl_clean")
    other = make_environment(world.root / "tools")
    right = root / "envs/prl_clean/bin"
    path = {"": "", "the same name": f"{other}/bin:", "a venv on top": f"{other}/bin:{right}:"}[
        before
    ]
    env = {"PATH": path + world.environ["PATH"]}
    if before:
        env |= {"CONDA_DEFAULT_ENV": "prl_clean", "CONDA_PREFIX": "/another/envs/prl_clean"}
    fake = "type -P torchrun >$run/which; step 1 1"
    job = world.by_hand(
        fake, env=env, environment={"conda": {"name": "prl_clean", "root": str(root)}}
    )
    assert job.code == 0, job.reason
    assert (job.run / "which").read_text() == f"{right}/torchrun\n"


def test_a_conda_environment_without_torch(world: World) -> None:
    """Another environment's torchrun must not run instead."""
    root = conda(world.root / "conda", "prl_clean")
    (root / "envs/prl_clean/bin/torchrun").unlink()
    other = make_environment(world.root / "tools")
    env = {"PATH": f"{other}/bin:{world.environ['PATH']}"}
    job = world.by_hand(env=env, environment={"conda": {"name": "prl_clean", "root": str(root)}})
    assert job.code == 78
    assert (
        f"conda environment 'prl_clean' is {root}/envs/prl_clean, but torchrun is {other}/bin/torchrun"
        in job.reason
    )


def test_a_torchrun_elsewhere_that_the_environments_python_runs(world: World) -> None:
    """As pip install --user leaves it in ~/.local/bin."""
    root = conda(world.root / "conda", "prl_clean")
    environment = root / "envs/prl_clean"
    (environment / "bin/torchrun").unlink()
    local = world.root / ".local/bin"
    local.mkdir(parents=True)
    (local / "torchrun").write_text(f"#!{environment}/bin/python\nraise SystemExit(3)\n")
    (local / "torchrun").chmod(0o755)
    env = {"PATH": f"{local}:{world.environ['PATH']}"}
    job = world.by_hand(env=env, environment={"conda": {"name": "prl_clean", "root": str(root)}})
    assert job.reason == "torchrun exited with 3"


def test_a_root_that_has_no_conda(world: World) -> None:
    """Another installation that is found by chance is not what was asked for."""
    conda(world.root / "miniconda3", "prl_clean")
    job = world.by_hand(environment={"conda": {"name": "prl_clean", "root": "/nowhere"}})
    assert job.code == 78
    assert "/nowhere has no etc/profile.d/conda.sh" in job.reason


def test_a_virtual_environment_without_torch(world: World) -> None:
    other = make_environment(world.root / "tools")
    (world.venv / "bin/torchrun").unlink()
    job = world.by_hand(env={"PATH": f"{other}/bin:{world.environ['PATH']}"})
    assert job.code == 78
    assert f"but torchrun is {other}/bin/torchrun" in job.reason


def test_a_setup_line_may_choose_another_torchrun(world: World) -> None:
    """It is the user's own word, and the later one; the log says so."""
    other = make_environment(world.root / "tools")
    fake = "type -P torchrun >$run/which; step 1 1"
    job = world.by_hand(fake, environment__setup=[f"export PATH={other}/bin:$PATH"])
    assert (job.code, (job.run / "which").read_text()) == (0, f"{other}/bin/torchrun\n")
    assert (
        f"torchrun is {other}/bin/torchrun: environment.env or a setup line put it before"
        in job.log
    )


# --- limits ---------------------------------------------------------------------------------------


def test_the_cpu_time_limit_of_the_shell(world: World) -> None:
    """`ulimit -t`, which a job inherits from where it was submitted."""
    script = world.script()
    command = f"ulimit -S -t 2; exec bash {script}"
    world.finish(world.popen(["bash", "-c", command], FAKE="while :; do :; done"))
    reason = json.loads((script.parent / "exit.json").read_text())["reason"]
    assert reason.startswith("torchrun exited with 152: ended by the CPU time limit of 2 s")
    assert "ulimit -t" in reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (137, "killed (SIGKILL); out of memory is the usual cause"),
        (139, "crashed (SIGSEGV)"),
        (135, "crashed (SIGBUS); a full /dev/shm or disk is the usual cause"),
        (153, "a file became larger than the limit"),
        (143, "ended by SIGTERM from outside"),
    ],
)
def test_codes_above_128_have_words(world: World, code: int, words: str) -> None:
    job = world.by_hand(f"exit {code}")
    assert job.reason.startswith(f"torchrun exited with {code}: {words}")
    job = world.by_hand(environment__setup=[f"bash -c 'exit {code}'"])
    assert f"(exit code {code}: {words}" in job.reason


# --- Python's errors ------------------------------------------------------------------------------

HEAD = "Traceback (most recent call last):\n"
FRAME = '  File "{}", line {}, in f\n    {}\n'
SWIFT = FRAME.format("/env/lib/python3.11/site-packages/swift/rl_core/x.py", 67, "a[:, i] = b")
PLUGIN = FRAME.format("/home/me/plugins/x.py", 8, "raise KeyError(1)")
TORCH = FRAME.format("/env/lib/python3.11/site-packages/torch/x.py", 1, "go()")
PEER = "RuntimeError: [gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:20386\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            HEAD + SWIFT + PLUGIN + "KeyError: 'answer'\n",
            "KeyError: 'answer' (/home/me/plugins/x.py, line 8)",
        ),
        (HEAD + PLUGIN + TORCH + "KeyError: 1\n", "KeyError: 1 (/home/me/plugins/x.py, line 8)"),
        (
            HEAD + SWIFT + TORCH + "RuntimeError: x\n",
            "RuntimeError: x (swift/rl_core/x.py, line 67: a[:, i] = b)",
        ),
        (HEAD + TORCH + "RuntimeError: x\n", "RuntimeError: x"),
        (HEAD + PLUGIN + "AssertionError\n", "AssertionError (/home/me/plugins/x.py, line 8)"),
        (
            HEAD
            + TORCH
            + '  File "/home/me/p.py", line 7\n    if N == 3\n             ^\n'
            + "SyntaxError: expected ':'\n",
            "SyntaxError: expected ':' (/home/me/p.py, line 7)",
        ),
        (
            HEAD + PLUGIN + "KeyError: 1\n" + DURING + HEAD + TORCH + "ValueError: y\n",
            "ValueError: y (/home/me/plugins/x.py, line 8); its cause: KeyError: 1",
        ),
        (
            HEAD
            + TORCH
            + "pyarrow.lib.ArrowInvalid: row 30\n"
            + CAUSE
            + HEAD
            + TORCH
            + "a.GenError: no\n",
            "a.GenError: no; its cause: pyarrow.lib.ArrowInvalid: row 30",
        ),
        (
            HEAD + PLUGIN + "KeyError: 1\n" + HEAD + TORCH + PEER,
            "KeyError: 1 (/home/me/plugins/x.py, line 8)",
        ),
    ],
)
@pytest.mark.parametrize("rank", ["", "[rank1]: ", "[default0]:[rank0]: "])
def test_a_python_error_with_its_place(world: World, log: str, reason: str, rank: str) -> None:
    (world.root / "said").write_text("".join(rank + line for line in log.splitlines(keepends=True)))
    job = world.by_hand(f"cat {world.root}/said; exit 1")
    shown = rank[rank.find("[rank") :] if rank else ""
    assert job.reason == f"torchrun exited with 1: {shown}{reason}"


def test_a_long_error_is_cut_in_its_middle(world: World) -> None:
    job = world.by_hand(f"echo 'ValueError: begins {'x' * 2000} ends'; exit 1")
    assert "ValueError: begins xxx" in job.reason
    assert job.reason.endswith("xxx ends")
    assert len(job.reason) < 600

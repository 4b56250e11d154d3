"""The command line through the real executable: what a person types, and what they read."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.cli import COMMANDS

if TYPE_CHECKING:
    from tests.conftest import World

STATUS_KEYS = (
    "run path name backend job_id state reason exit_code restarts step max_steps "
    "submitted_at started_at ended_at last_step_at attempts "
    "metrics phase phase_since hints gpus sweep tags note"
).split()


# --- help, completion -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(world: World, command: str, flag: str) -> None:
    """Every command prints its help on stdout, in lines of at most 80 characters."""
    done = world.prl(*([command] if command else []), flag)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: prl-submit {command}".rstrip())
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_help_names_every_command(world: World) -> None:
    out = world.prl("--help").out
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []
    assert "\n    130  interrupted" in out


def test_no_arguments(world: World) -> None:
    """Without a word the help goes to stderr, and the exit code is 2."""
    done = world.prl()
    assert (done.code, done.out) == (2, "")
    assert "Usage: prl-submit" in done.err


def test_version(world: World) -> None:
    """--version prints the name and the version."""
    assert world.prl("--version").out.startswith("prl-submit ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(world: World, shell: str) -> None:
    """completion prints a script that its shell can read."""
    done = world.prl("completion", shell)
    assert done.code == 0
    assert "_PRL_SUBMIT_COMPLETE" in done.out
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=done.out, text=True, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("prl-submit sta", "status"),
        ("prl-submit status la", "latest"),
        ("prl-submit logs v", "v0-"),
    ],
)
def test_completion_completes(world: World, words: str, expected: str) -> None:
    """Commands and runs are completed after Tab."""
    world.run_to_end()
    count = str(len(words.split()) - 1)
    environ = {"_PRL_SUBMIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    assert expected in world.prl(**environ).out


# --- JSON -----------------------------------------------------------------------------------------


def test_documents_have_the_contracts_keys(world: World) -> None:
    submitted = world.prl(world.spec(), "--wait", "--json", FAKE="step 1 1").json
    assert list(submitted) == [*STATUS_KEYS, "artefact", "command"]
    assert (submitted.pop("artefact"), submitted.pop("command")) == (None, None)
    for command in (["list"], ["status", "latest"], ["wait", "v0"], ["cancel", "0"]):
        document = world.prl(*command, "--json").json
        assert list(document) == ["runs"], command
        assert [list(run) for run in document["runs"]] == [STATUS_KEYS]
        assert submitted == document["runs"][0]
    assert world.prl("status", "--json").json == {"runs": []}
    check = world.prl("check", world.spec(), "--json").json
    assert check == {
        "ok": True, "problems": [], "online": None, "unstated": [], "estimate": None,
    }  # fmt: skip
    wrong = world.prl("check", world.spec(swift__bogus=1), "--json")
    assert wrong.code == 2
    assert not wrong.json["ok"]
    keys = "file line key message hint severity"
    assert [" ".join(problem) for problem in wrong.json["problems"]] == [keys]
    values = world.prl("explain", world.spec(), "--json").json
    assert list(values) == ["values"]
    assert {" ".join(value) for value in values["values"]} == {"key value source detail"}
    doctor = world.prl("doctor", "--json").json
    assert list(doctor) == ["ok", "checks"]
    dry = world.prl(world.spec(), "--dry-run", "--json").json
    assert list(dry) == [*STATUS_KEYS, "artefact"]
    assert dry["artefact"].startswith("#!/usr/bin/env bash")
    assert world.prl("schema").json["$ref"] == "#/$defs/JobSpec"


def test_check_and_submit_say_how_many_steps(world: World) -> None:
    """On stderr: from max_steps, and the time from the option or from the last run of the same name."""
    spec = world.spec(swift__max_steps=6000)
    assert "note: 6,000 steps\n" in world.prl("check", spec).err
    told = world.prl("check", spec, "--seconds-per-step", "36")
    assert "note: 6,000 steps; at 36 s each 2.5 days (until 20" in told.err
    assert "resources.time_limit" not in told.err
    dry = world.prl(spec, "--dry-run", "--seconds-per-step=36", "--set", "resources.time_limit=1h")
    assert "note: 6,000 steps; at 36 s each 2.5 days (until 20" in dry.err
    assert "resources.time_limit: 60 minutes is shorter than 2.5 days" in dry.err
    assert dry.out.startswith("#!/usr/bin/env bash")
    for wrong in ("0", "-1", "nan", "inf", "fast"):
        refused = world.prl("check", spec, "--seconds-per-step", wrong)
        assert (refused.code, refused.out) == (2, "")
    done = world.prl(spec, "--wait", FAKE="step 1 1")
    assert "note: 6,000 steps\n" in done.err
    lines = [
        {"global_step/max_steps": f"{n}/9", "elapsed_time": f"{n * 9}s", "train_speed(s/it)": 9.0}
        for n in range(1, 6)
    ]
    run = Path(done.out.strip())
    (run / "logging.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    estimate = world.prl("check", spec, "--json").json["estimate"]
    assert (
        abs(datetime.fromisoformat(estimate.pop("ends_at")).timestamp() - time.time() - 54_000) < 60
    )
    assert estimate == {
        "steps": 6000, "is_rough": False, "seconds_per_step": 9.0, "source": run.name,
    }  # fmt: skip


NO_TORCHRUN = "/usr/bin:/bin"  # so that nothing is known of the job's ms-swift


def test_schema_of_one_version(world: World) -> None:
    title = "prl-submit job spec, ms-swift"
    assert world.prl("schema", "--swift-version", "3.8.0").json["title"] == f"{title} 3.8.0"
    spec = world.spec(environment__swift_version="3.4.1")
    assert world.prl("schema", spec, PATH=NO_TORCHRUN).json["title"] == f"{title} 3.4.1"
    both = world.prl("schema", spec, "--swift-version", "3.8.0")
    assert both.code == 2
    assert "both say which ms-swift" in both.err
    wrong = world.prl("schema", "--swift-version", "newest")
    assert wrong.code == 2
    assert "expected a release such as 4.6.0, found 'newest'" in wrong.err
    missing = world.prl("schema", "gone.yaml")
    assert (missing.code, missing.out) == (2, "")


def test_explain_says_which_swift_it_is(world: World) -> None:
    def row(*words: object) -> dict[str, Any]:
        values = world.prl("explain", "--json", *words, PATH=NO_TORCHRUN).json["values"]
        (found,) = [value for value in values if value["key"] == "environment.swift_version"]
        return dict(found)

    assumed = row(world.spec())
    assert (assumed["value"], assumed["source"]) == (None, "default")
    assert assumed["detail"].startswith(
        "The job's ms-swift is unknown, so the newest bundled release"
    )
    stated = row(world.spec(), "--set", "environment.swift_version=3.8.0")
    assert (stated["value"], stated["source"]) == ("3.8.0", "flag")
    assert "bundled: ms-swift 3.8.0" in stated["detail"]


def test_an_argument_is_checked_for_the_version_that_runs(world: World) -> None:
    old = ("--set", "environment.swift_version=3.4.1", "--set", "swift.train_type=full")
    spec = world.spec(swift__eval_strategy="no")  # it evaluated on a hundredth of the rows
    assert world.prl("check", spec, *old, PATH=NO_TORCHRUN).code == 0
    new = world.prl("check", world.spec(), "--set", "swift.train_type=full", PATH=NO_TORCHRUN)
    assert new.code == 2
    assert "swift.train_type: is tuner_type since ms-swift 4.0\nhint: write tuner_type" in new.err


def test_what_is_installed_counts_and_is_remembered(world: World, tmp_path: Path) -> None:
    """A program called torchrun on PATH, and beside it what pip leaves of an ms-swift."""
    site = tmp_path / "env/lib/python3.11/site-packages"
    (site / "ms_swift-4.4.9.dist-info").mkdir(parents=True)
    (site / "swift/arguments").mkdir(parents=True)
    source = site / "swift/arguments/rlhf_args.py"
    names = ("model: str", "dataset: List[str]", "rlhf_type: str", "own_thing: int")
    numbers = ("per_device_train_batch_size: int", "dataloader_num_workers: int")
    fields = "".join(f"    {name} = None\n" for name in (*names, *numbers))
    source.write_text(f"@dataclass\nclass RLHFArguments:\n{fields}")
    launcher = tmp_path / "env/bin/torchrun"
    launcher.parent.mkdir()
    launcher.touch(mode=0o755)
    environ = {"PATH": f"{launcher.parent}:{NO_TORCHRUN}", "XDG_CACHE_HOME": str(tmp_path / "kept")}
    spec = world.spec(environment__venv=None, swift__own_thing="7")
    for _ in range(2):
        done = world.prl("check", spec, **environ)
        assert "swift.own_thing" not in done.err
        assert "swift.rlhf_type: is in ms-swift" not in done.err
        assert "swift.num_generations: ms-swift 4.4.9 has no such argument" in done.err
    assert [path.name[:6] for path in (tmp_path / "kept/prl-submit/swift").iterdir()] == ["4.4.9-"]
    stated = world.prl("check", spec, "--set", "environment.swift_version=4.6.0", **environ)
    assert (
        "environment.swift_version: says 4.6.0; 4.4.9 is installed there, and 4.4.9 is checked"
        in stated.err
    )


def test_times_have_a_zone(world: World) -> None:
    world.run_to_end()
    (run,) = world.prl("list", "--json").json["runs"]
    for key in ("submitted_at", "started_at", "ended_at"):
        assert run[key][-6] in "+-", run[key]


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_no_escapes_in_a_pipe(world: World, environ: dict[str, str]) -> None:
    world.run_to_end()
    for words in (["list"], ["status", "latest"], ["explain", "job.yaml"], ["doctor"], ["--help"]):
        done = world.prl(*words, **environ)
        assert "\x1b" not in done.out + done.err, words


def on_terminal(world: World, line: str, **environ: str) -> str:
    """What a terminal of 80 columns gets."""
    code = (
        "import os, pty, sys, fcntl, termios, struct\n"
        "def read(fd):\n"
        "    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n"
        "    return os.read(fd, 1024)\n"
        "pty.spawn(['bash', '-c', sys.argv[1]], read)\n"
    )
    argv: list[Any] = [sys.executable, "-c", code, line]
    return world.finish(world.popen(argv, **environ)).out


def test_colour_on_a_terminal_only(world: World) -> None:
    world.run_to_end()
    line = "sleep 0.2; python -m prl_submit list"
    colour = on_terminal(world, line, TERM="xterm")
    assert "\x1b[32mSUCCEEDED\x1b[0m" in colour
    assert "\x1b" not in on_terminal(world, line, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in on_terminal(world, line, TERM="dumb")


def test_explain_on_a_narrow_terminal_loses_nothing(world: World) -> None:
    """Source and detail of a long row stand below it, and so does a long value."""
    value = " ".join(f"word{i}" for i in range(30))
    spec = world.spec(swift__system=value)
    shown = on_terminal(world, f"echo; sleep 0.2; python -m prl_submit explain {spec.name}")
    lines = shown.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown
    below = lines[lines.index("swift.system") + 1 :]
    assert " ".join(line.strip() for line in below).startswith(f"{value} spec {spec.name}:")


# --- RUN ------------------------------------------------------------------------------------------


def test_every_way_to_name_a_run(world: World) -> None:
    run, _ = world.run_to_end()
    world.run_to_end(name="other")
    job = json.loads((run / "run.json").read_text())["job_id"]
    for name in ("v0", "0", run.name, run, f"output/{run.name}", job, "fake"):
        (found,) = world.prl("status", name, "--json").json["runs"]
        assert found["run"] == run.name, name
    for name in ("latest", "output/latest"):
        (found,) = world.prl("status", name, "--json").json["runs"]
        assert found["name"] == "other"


@pytest.mark.parametrize("command", ["status", "logs", "cancel", "wait", "resume"])
def test_unknown_run(world: World, command: str) -> None:
    """A run that does not exist: exit code 3, and nothing on stdout."""
    done = world.prl(command, "v99")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: no run 'v99' under ")


@pytest.mark.parametrize("command", ["status", "logs", "cancel", "resume"])
def test_ambiguous_run(world: World, command: str) -> None:
    """A name that several runs have is refused, and the runs are listed."""
    runs = [world.run_to_end()[0].name for _ in range(2)]
    done = world.prl(command, "fake")
    assert done.code == 2
    assert f"'fake' names 2 runs: {', '.join(runs)}" in done.err


def test_no_runs_yet(world: World) -> None:
    assert world.prl("list").err.startswith("no runs")
    assert world.prl("status").err.startswith("nothing is running")
    assert world.prl("wait").code == 0
    assert world.prl("cancel").code == 2
    assert not world.output.exists()


def test_broken_pipe(world: World) -> None:
    """`| head -1` ends it without a word."""
    world.run_to_end("seq 200000; step 1 1")
    for words in ("logs latest", "list", "explain job.yaml", "render job.yaml"):
        line = f"set -o pipefail; python -m prl_submit {words} | head -1; echo ${{PIPESTATUS[0]}}"
        done = world.finish(world.popen(["bash", "-c", line]))
        assert done.err == "", words
        assert done.out.splitlines()[-1] in ("0", "141")


def test_logs(world: World) -> None:
    """logs prints the job's lines; --tail and --node choose among them."""
    world.run_to_end("seq 1 5; step 1 1")
    lines = world.prl("logs", "latest").out.splitlines(keepends=True)
    assert [line for line in lines if line[0].isdigit()] == [f"{i}\n" for i in range(1, 6)]
    assert world.prl("logs", "latest", "--tail", "2").out == "".join(lines[-2:])
    assert world.prl("logs", "latest", "--tail", "0").out == ""
    followed = world.prl("logs", "latest", "-f")
    assert (followed.code, followed.out) == (0, "".join(lines))
    assert "SUCCEEDED" in followed.err
    assert "no node 3" in world.prl("logs", "latest", "--node", "3").err


def test_status_watch_in_a_pipe(world: World) -> None:
    """A line per change, to the end."""
    world.prl(world.spec(), FAKE="sleep 1; step 1 1")
    done = world.prl("status", "--watch")
    assert [line.split()[1].rstrip(",") for line in done.out.splitlines()] == [
        "RUNNING",
        "SUCCEEDED",
    ]


def test_status_watch_keeps_what_failed(world: World) -> None:
    """On a terminal the row stays when the run ends; its reason and the exit code tell how."""
    world.prl(world.spec(), FAKE="step 1 9; sleep 2; echo 'ValueError: no such thing'; exit 1")
    shown = on_terminal(
        world, "python -m prl_submit status --watch; echo code $?", TERM="xterm", NO_COLOR="1"
    )
    last = shown.rpartition("RUN ")[2]
    assert "nothing is running" not in shown
    assert "RUNNING" in shown
    assert " FAILED " in last
    assert "\r\n    torchrun exited with 1: ValueError: no such thing" in last
    assert "code 1" in last


def test_status_watch_of_nothing(world: World) -> None:
    done = world.prl("status", "--watch")
    assert (done.code, done.out) == (0, "")
    assert "nothing is running under" in done.err


def test_status_watch_in_a_pipe_has_the_jobs_result(world: World) -> None:
    world.prl(world.spec(), FAKE="sleep 1; exit 3")
    done = world.prl("status", "--watch")
    assert done.code == 1
    assert done.out.splitlines()[-1].endswith("FAILED: torchrun exited with 3")


def test_the_age_of_the_last_step(world: World, eventually: Callable[..., None]) -> None:
    """A training that hangs shows it, in the table, in a line and in JSON."""
    run = world.submit('step 3 9; touch -d "-12 minutes" "$run/logging.jsonl"; sleep 300')
    eventually(lambda: (run / "logging.jsonl").exists() and _is_old(run / "logging.jsonl"))
    assert " 3/9, 12m ago " in world.prl("status").out
    (status,) = world.prl("status", "--json").json["runs"]
    at = datetime.fromisoformat(status["last_step_at"])
    assert 715 <= (datetime.now().astimezone() - at).total_seconds() <= 775
    assert world.prl("cancel", run.name).out.startswith(f"{run.name} CANCELLED, step 3/9: ")


def _is_old(file: Path) -> bool:
    return time.time() - file.stat().st_mtime > 600


def test_doctor(world: World) -> None:
    """doctor succeeds here, and names what is missing where something is."""
    done = world.prl("doctor")
    assert done.code == 0, done.out
    assert "bash" in done.out
    (world.root / "file").touch()
    bad = world.prl("doctor", "--output-root", "file")
    assert bad.code == 1
    assert "MISSING output root" in bad.out


# --- bad input ------------------------------------------------------------------------------------

BIG = 50_000_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
BAD: dict[str, tuple[bytes, str]] = {
    "binary": (bytes(range(256)) * 4, "is not text"),
    "latin-1": ("name: caf\xe9\n".encode("latin-1"), "is not UTF-8: byte 0xe9"),
    "empty": (b"", "is empty"),
    "comment only": (b"# nothing\n", "is empty"),
    "a list": (b"- a\n- b\n", "job.yaml:1"),
    "text": (b"hello\n", "job.yaml:1"),
    "bomb": (BOMB.encode(), "job.yaml:"),
    "deep": (b"a: " + b"[" * 5000, "job.yaml"),
    "tabs": (b"name: x\nswift:\n\trlhf_type: grpo\n", "job.yaml:3"),
    "duplicate": (b"name: x\nname: y\n", "job.yaml:2"),
    "tag": (b"name: !!python/object/apply:os.system [touch pwned]\n", "not allowed"),
    "unknown key": (b"name: x\nresorces: {}\n", "did you mean 'resources'"),
    "wrong type": (b"name: x\nresources: 4\n", "job.yaml:2: resources"),
    "negative": (b"name: x\nresources: {nproc_per_node: -1}\n", "from 1 to 1024"),
    "huge": (b"name: x\nresources: {nodes: " + b"9" * 400 + b"}\n", "resources.nodes"),
    "huge float": (b"name: x\nswift: {beta: 1e999999}\n", "expected a number"),
    "itself": (b"name: x\nextends: job.yaml\n", "goes round in a circle"),
    "no base": (b"name: x\nextends: nowhere.yaml\n", "nowhere.yaml"),
}


@pytest.mark.parametrize("command", ["submit", "check", "render", "explain"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_spec(world: World, kind: str, command: str) -> None:
    """A spec that cannot be read gives an error, exit code 2, and creates nothing."""
    data, words = BAD[kind]
    (world.root / "job.yaml").write_bytes(data)
    before = sorted(path.name for path in world.root.iterdir())
    done = world.prl(command, "job.yaml")
    assert done.code == 2
    assert "error: " in done.err
    assert words in done.err
    assert len(done.err) < 5000
    assert sorted(path.name for path in world.root.iterdir()) == before
    assert world.alive() == []


def test_50_megabytes(world: World) -> None:
    """A spec of 50 MB is refused by its size."""
    (world.root / "job.yaml").write_bytes(b"name: x\n" + b"# long\n" * (BIG // 7))
    done = world.prl("check", "job.yaml")
    assert done.code == 2
    assert "is larger than 1,000,000 bytes" in done.err


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere.yaml", "cannot be read: No such file"),
        (".", "is a folder"),
        ("venv/pyvenv.cfg/x.yaml", "Not a directory"),
        ("jo.yaml", "did you mean job.yaml?"),
        ("", "cannot be read"),
        ("x" * 5000, "File name too long"),
        ("statsu", "did you mean 'status'?"),
        ("--bogus", "No such option"),
        ("--watch", "No such option"),
    ],
)
def test_bad_spec_argument(world: World, spec: str, words: str) -> None:
    world.spec()
    done = world.prl(spec)
    assert done.code == 2, done
    assert words in done.err
    assert not world.output.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "novalue"],
        ["--set", "swift.num_generations=3"],
        ["--set", "swift.bogus=1"],
        ["--set", "a.b.c=1"],
        ["--set", "=1"],
        ["--set", "swift.reward_funcs=[a"],
        ["--backend", "pbs"],
        ["--profile", "nope"],
        ["--templates", "nowhere"],
        ["extra"],
    ],
)
def test_bad_option(world: World, words: list[str]) -> None:
    """A wrong option: exit code 2, and no run directory."""
    done = world.prl(world.spec(), *words)
    assert done.code == 2, done
    assert "error: " in done.err
    assert not world.output.exists()


@pytest.mark.parametrize("name", ["PRL_NUM_GENERATION", "PRL_BACKND"])
def test_misspelt_variable(world: World, name: str) -> None:
    """A misspelt PRL_ variable is an error that names the right one."""
    done = world.prl(world.spec(), **{name: "2"})
    assert done.code == 2
    assert name in done.err
    assert "did you mean" in done.err


def test_all_problems_at_once(world: World) -> None:
    """Eight faults, eight messages, each with its line."""
    lines = [
        "name: Bad_Name",
        "bogus: 1",
        "resources: {nodes: 0}",
        "environment: {venv: venv, secrets: [1x]}",
        "restarts: {grace: soon}",
        "swift:",
        "  rlhf_type: gpro",
        "  model: org/name",
        "  num_generatons: 2",
        "  beta: much",
        "  dataset: org/data",
    ]
    (world.root / "job.yaml").write_text("\n".join(lines))
    done = world.prl("check", "job.yaml", "--json")
    wrong = [p for p in done.json["problems"] if p["severity"] == "error"]
    assert sorted(p["line"] for p in wrong) == [1, 2, 3, 4, 5, 7, 9, 10], wrong


def test_site_templates(world: World) -> None:
    """A site's own launch.sh is used; one that does not render is an error, and creates nothing."""
    site = world.root / "site"
    site.mkdir()
    (site / "launch.sh").write_text("#!/bin/bash\necho {{ name|bash }}\n")
    done = world.prl("render", world.spec(), "--templates", site)
    assert done.out == "#!/bin/bash\necho fake\n"
    (site / "launch.sh").write_text("echo {{ name }}\n")
    done = world.prl(world.spec(), "--templates", site)
    assert done.code == 2
    assert "launch.sh: does not render" in done.err
    assert not list(world.output.glob("v*"))


def test_a_site_says_how_the_environment_is_entered(world: World) -> None:
    """The job and the probe enter it by the same lines."""
    site = world.root / "site"
    site.mkdir()
    (site / "environment.sh").write_text(
        "echo {{ venv|bash }} >>entered; prl_fail 78 'ours alone'\n"
    )
    run = Path(world.prl(world.spec(), "--wait", "--templates", site).out.strip())
    assert json.loads((run / "exit.json").read_text())["reason"] == "ours alone"
    probe = world.prl("probe", world.spec(), "--templates", site, "--json").json["probes"][0]
    assert "environment: ours alone" in probe["nodes"][0]["notes"]
    assert (world.root / "entered").read_text() == "venv\nvenv\n"


@pytest.mark.parametrize("name", ["environment.sh", "launch.lib.sh"])
def test_a_part_of_a_site_that_cannot_be_read(world: World, name: str) -> None:
    site = world.root / "site"
    site.mkdir()
    (site / name).write_bytes(b"echo \xff")
    done = world.prl(world.spec(), "--templates", site)
    assert done.code == 2
    assert f"error: {site}/{name}: " in done.err
    assert not list(world.output.glob("v*"))


def test_a_part_of_a_site_that_does_not_render(world: World) -> None:
    (world.root / "environment.sh").write_text("one line\necho {{ venv }}\n")
    done = world.prl("check", world.spec(), "--templates", world.root)
    assert done.code == 2
    assert "/environment.sh: does not render: 'venv' is printed without" in done.out + done.err


def test_without_kubernetes_nothing_is_submitted(world: World) -> None:
    """No cluster, or not even lightkube: the reason, what to do, and no run left behind."""
    volumes = [{"hostPath": str(world.root), "mountPath": str(world.root)}]
    spec = world.spec(kubernetes__image="img", kubernetes__volumes=volumes)
    done = world.prl(spec, "--backend", "k8s", KUBECONFIG=str(world.root / "none"))
    assert (done.code, done.out) == (4, "")
    assert "no Kubernetes cluster is configured here" in done.err
    hidden = world.root / "hidden"
    hidden.mkdir()
    (hidden / "lightkube.py").write_text("raise ImportError")
    done = world.prl(spec, "--backend", "kubernetes", PYTHONPATH=str(hidden))
    assert (done.code, done.out) == (2, "")
    assert "lightkube is not installed, and Kubernetes needs it" in done.err
    assert "hint: pip install 'lightkube" in done.err
    assert list(world.output.iterdir()) == []


def test_unknown_backend(world: World) -> None:
    """A backend that does not exist: exit code 2, and no run directory."""
    done = world.prl(world.spec(), "--backend", "ray")
    assert (done.code, done.out) == (2, "")
    assert "ray" in done.err
    assert not world.output.exists()


def test_without_slurm_nothing_is_submitted(world: World) -> None:
    """Not installed, or installed and no cluster: exit 4, the reason, and no run left behind."""
    nowhere = {"SLURM_CONF": str(world.root / "none.conf")}
    for environ in ({"PATH": str(world.venv / "bin")}, nowhere):
        done = world.prl(world.spec(), "--backend", "slurm", **environ)
        assert (done.code, done.out) == (4, "")
        assert "error: " in done.err
        assert "hint: " in done.err
        assert not list(world.output.glob("*"))


def test_a_word_that_is_no_command(world: World) -> None:
    done = world.prl("xyzzy", "v1")
    assert (done.code, done.err) == (
        2,
        "error: no command and no file 'xyzzy'\nhint: `prl-submit --help` lists the commands\n",
    )


def test_a_single_word_that_is_no_command(world: World) -> None:
    """The hint names a spec of a similar name, if there is one."""
    said = "error: no command and no file 'bert'\nhint: "
    assert world.prl("bert").err == f"{said}`prl-submit --help` lists the commands\n"
    world.spec("berts.yaml")
    assert world.prl("bert").err == f"{said}did you mean berts.yaml?\n"


def test_submit_counts_the_errors_as_check_does(world: World) -> None:
    spec = world.spec(
        swift__beta="x", resources__accelerator="gpu", resources__nproc_per_node="two"
    )
    submitted, checked = world.prl(spec), world.prl("check", spec)
    assert (submitted.code, submitted.out) == (2, "")
    assert submitted.err == checked.err
    assert submitted.err.endswith(f"{spec}: 2 errors; nothing was created\n")
    assert "needed, one per process" not in submitted.err


def test_logs_of_a_run_that_ended_without_a_log(world: World) -> None:
    run = Path(world.prl(world.spec(), "--wait", FAKE="step 1 1").out.strip())
    for log in (run / "logs").iterdir():
        log.unlink()
    assert world.prl("logs", run.name).err == f"{run.name} has no log\n"


def test_explain_shows_a_dash_for_a_version_that_is_not_known(world: World) -> None:
    shown = world.prl("explain", world.spec()).out
    (line,) = [line for line in shown.splitlines() if "environment.swift_version" in line]
    assert line.split()[1] == "-"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("stauts", "did you mean 'status'?"),
        ("ls", "did you mean 'list'?"),
        ("kill", "did you mean 'cancel'?"),
        ("tail", "did you mean 'logs'?"),
        ("validate", "did you mean 'check'?"),
        ("export", "did you mean 'report'?"),
        ("tensorboard", "did you mean 'report'?"),
        ("gc", "did you mean 'prune'?"),
        ("xyzzy", "`prl-submit --help` lists the commands"),
    ],
)
def test_a_command_of_another_name(world: World, word: str, hint: str) -> None:
    done = world.prl(word, "v1", "v2")
    assert (done.code, done.err) == (
        2,
        f"error: no command and no file {word!r}\nhint: {hint}\n",
    )


def test_commands_in_messages_can_be_pasted(world: World) -> None:
    """Another output root, with a space in it."""
    done = world.prl(world.spec(), "--output-root", "我的 out", FAKE="step 1 2; exit 3")
    (line,) = [line for line in done.err.splitlines() if line.startswith("  status: ")]
    words = shlex.split(line.partition("prl-submit ")[2])
    assert world.prl("wait", words[1]).code == 1
    assert world.prl(*words).code == 0
    refused = world.prl("resume", words[1])
    hint = shlex.split(refused.err.partition("prl-submit ")[2])
    assert world.prl(*hint, "--dry-run").code == 0, refused.err


def test_options_may_stand_before_the_command(world: World) -> None:
    """As with kubectl; without a command in sight it is submit."""
    spec = world.spec()
    assert world.prl("--output-root", "a", "--backend", "local", spec, "--wait").code == 0
    (run,) = world.prl("--output-root", "a", "--json", "list").json["runs"]
    assert world.prl("--output-root=a", "status", run["run"]).code == 0
    assert world.prl("--backend", "slurm", "--set", "name=other", "check", spec).code == 0
    done = world.prl("--output-root", "a", "stauts")
    assert (done.code, "did you mean 'status'?" in done.err) == (2, True)
    assert "SPEC" in world.prl("--output-root", "list").err  # the folder's name is `list`
    assert "list: cannot be read" in world.prl("--", "list").err


def test_output_root_option(world: World, tmp_path: Path) -> None:
    """--output-root and PRL_OUTPUT_ROOT say where runs live, for every command."""
    assert world.prl(world.spec(), "--wait", "--output-root", "a").code == 0
    assert world.prl(world.spec(), "--wait", PRL_OUTPUT_ROOT="b").code == 0
    for root in ("a", "b"):
        (run,) = world.prl("list", "--json", "--output-root", root).json["runs"]
        assert run["path"].startswith(str(tmp_path / root))
        assert world.prl("status", "latest", PRL_OUTPUT_ROOT=root).code == 0
    assert not world.output.exists()


def test_what_a_person_reads_after_a_submission(
    world: World, eventually: Callable[..., None]
) -> None:
    """stdout: the run directory. stderr: what to type next."""
    done = world.prl(world.spec(), FAKE="step 1 1")
    run = done.out.strip()
    assert Path(run).is_dir()
    assert done.out == f"{run}\n"
    name = Path(run).name
    assert f"prl-submit logs {name} -f" in done.err
    eventually(lambda: set(world.states().values()) == {"SUCCEEDED"})

"""launch.lib.sh by function: bash reads the library and calls one of them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import render_library

#: The values that launch.sh assigns, for one node on this machine.
VALUES = {
    "prl_token": "0123456789abcdef",
    "prl_nodes": "1",
    "prl_node_rank": "0",
    "prl_nproc_per_node": "1",
    "prl_needs_gpus": "0",
    "prl_time_limit": "0",
    "prl_time_limit_words": "01:00:00",
    "prl_grace": "1",
    "prl_max_restarts": "0",
    "prl_resumed": "0",
}


class Library:
    """A run directory, and functions of the library called for it."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.file = folder / "launch.lib.sh"
        (self.run / "logs").mkdir(parents=True)
        self.file.write_text(render_library(), encoding="utf-8")

    def call(self, lines: str, **values: str) -> subprocess.CompletedProcess[str]:
        """Lines of bash after the library, with changed values or environment variables."""
        names = {**VALUES, "prl_run_dir": str(self.run), "prl_workdir": str(self.run)}
        own = names | {name: text for name, text in values.items() if name.startswith("prl_")}
        assign = "".join(f"{name}='{text}'\n" for name, text in own.items())
        script = (
            f"{assign}prl_swift_args=(--model m)\n. {self.file}\nPRL_SUBMIT_TOKEN=none\n{lines}\n"
        )
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.run)}
        environ |= {name: text for name, text in values.items() if not name.startswith("prl_")}
        return subprocess.run(
            ["/bin/bash", "-c", script],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def said(self, lines: str, **values: str) -> str:
        """What they print; they must succeed."""
        done = self.call(lines, **values)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def exit_json(self) -> dict[str, object]:
        """What the job said of its end."""
        found: dict[str, object] = json.loads((self.run / "exit.json").read_text())
        return found


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_what_launch_sh_leaves_out_is_0(library: Library) -> None:
    """Also where a variable of such a name is inherited."""
    show = "echo $prl_in_pods $prl_kueue $prl_leaves_children"
    assert library.said(show) == "0 0 0\n"
    assert library.said(show, prl_leaves_children="1") == "0 0 1\n"
    inherited = f"prl_in_pods=1 prl_kueue=1 bash -c '. {library.file}; {show}'"
    assert library.said(inherited) == "0 0 0\n"


def test_reading_it_does_nothing_but_define(library: Library) -> None:
    assert library.said(":") == ""
    assert sorted(path.name for path in library.run.iterdir()) == ["logs"]


# --- the lock -------------------------------------------------------------------------------------


def test_a_run_directory_is_taken_once(library: Library) -> None:
    assert library.said("prl_take_run_dir; echo taken") == "taken\n"
    with open(library.run / ".node0.lock", "wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        done = library.call("prl_take_run_dir; echo taken")
    assert (done.returncode, done.stdout) == (75, "")
    assert "is in use: its job still runs" in done.stderr


def test_nodes_have_locks_of_their_own(library: Library) -> None:
    with open(library.run / ".node0.lock", "wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert library.said("prl_take_run_dir; echo taken", prl_node_rank="1") == "taken\n"


def test_without_flock_the_job_runs(library: Library) -> None:
    hide = "type() { [[ $2 != flock ]]; }"
    with open(library.run / ".node0.lock", "wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert library.said(f"{hide}; prl_take_run_dir; echo taken") == "taken\n"


@pytest.mark.parametrize("name", ["logs", "exit.json", "logs/node0.log", "logging.jsonl"])
def test_links_are_refused(library: Library, name: str) -> None:
    path = library.run / name
    if name == "logs":
        path.rmdir()
    path.symlink_to("/nowhere")
    lines = "prl_exit_file=$prl_run_dir/exit.json prl_log_file=$prl_run_dir/logs/node0.log; prl_refuse_links"
    done = library.call(lines)
    assert done.returncode == 78
    assert f"{path} is a symbolic link" in done.stderr


# --- attempts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({}, "3 4 3"),
        ({"prl_leaves_children": "1", "prl_max_restarts": "5"}, "3 4 3"),
        ({"prl_in_pods": "1"}, "3 4 0"),  # suspended and admitted again
        ({"prl_in_pods": "1", "prl_max_restarts": "5"}, "3 4 3"),
        ({"prl_in_pods": "1", "prl_max_restarts": "5", "prl_kueue": "1"}, "3 4 1"),
    ],
)
def test_which_attempts_count(library: Library, values: dict[str, str], counted: str) -> None:
    (library.run / "logs" / f".suspended.{VALUES['prl_token']}").write_text("0\n1\n1\n")
    lines = 'prl_count_attempts; echo "$prl_again $prl_restarts $prl_counted"'
    said = library.said(lines, PRL_SUBMIT_RESTARTS="3", prl_resumed="1", **values)
    assert said == f"{counted}\n"


def test_one_restart_too_many(library: Library) -> None:
    lines = "prl_count_attempts; prl_arm; prl_exit_file=$prl_run_dir/exit.json; prl_refuse_another_restart"
    done = library.call(lines, PRL_SUBMIT_RESTARTS="2", prl_max_restarts="1")
    assert done.returncode == 1
    assert library.exit_json()["reason"] == "started again 2 times; restarts.max is 1"


def test_pods_count_their_starts_by_the_one_that_was_started_most_often(library: Library) -> None:
    starts = [library.run / "logs" / f".starts{node}.{VALUES['prl_token']}" for node in (0, 1)]
    starts[1].write_text("a\nb\nc\n")
    for again in (2, 3):
        lines = 'prl_count_starts; echo "$PRL_SUBMIT_RESTARTS"'
        values = {"prl_in_pods": "1", "prl_nodes": "2", "PRL_SUBMIT_POD": "p"}
        assert library.said(lines, **values) == f"{again}\n"
        assert starts[0].read_text() == "p\n" * (again + 1)


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", ["HUP", "INT", "SIGTERM", "15", "usr1", "USR2", "PIPE", "ALRM"])
def test_setup_lines_cannot_take_a_signal_that_launch_sh_hears(
    library: Library, signal: str
) -> None:
    lines = f"prl_arm; prl_lend_shell; trap -p >a; trap 'echo theirs' {signal}; trap -p >b; cmp a b"
    assert (
        library.said(f"cd $prl_run_dir; {lines}; prl_judge() {{ :; }}; trap - EXIT; exec true")
        == ""
    )


def test_setup_lines_keep_their_other_traps(library: Library) -> None:
    lines = "prl_lend_shell; trap 'echo heard' WINCH; kill -WINCH $$; trap 'echo ended' EXIT"
    said = library.said(
        f'prl_arm; {lines}; prl_take_back; echo "$prl_setup_exit"; builtin trap - EXIT'
    )
    assert said == "heard\necho ended\n"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9", "killed (SIGKILL); out of memory is the usual cause"),
        ("6", "aborted (SIGABRT)"),
        ("11", "crashed (SIGSEGV)"),
        ("12", "ended by SIGUSR2 from outside"),
    ],
)
def test_words_of_a_signal(library: Library, number: str, words: str) -> None:
    assert library.said(f"prl_words_of_signal {number}") == words
    assert library.said(f"prl_words_of_code {128 + int(number)}") == f": {words}"


def test_codes_that_are_no_signal_have_no_words(library: Library) -> None:
    assert library.said("prl_words_of_code 1; prl_words_of_code 128; prl_words_of_code 201") == ""


def test_a_process_is_over_when_its_parent_has_not_waited_yet(library: Library) -> None:
    lines = "sleep 0 & sleep 0.2; prl_is_over $! && echo over; prl_is_over $$ || echo alive"
    assert library.said(lines) == "over\nalive\n"


# --- exit.json ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "judged"),
    [
        ("prl_code=0 prl_trained=1", "0 SUCCEEDED "),
        (
            "prl_code=0 prl_doing='a setup line'",
            "78 FAILED ended while a setup line, before the training",
        ),
        ("prl_code=3 prl_doing=training", "3 FAILED failed while training (exit code 3)"),
        ("prl_code=3 prl_reason=known", "3 FAILED known"),
        ("prl_signalled=15 prl_doing=training", "143 FAILED stopped by signal 15 while training"),
        ("prl_signalled=12 prl_doing=training", "140 FAILED stopped by signal 12 while training"),
        ("prl_signalled=2 prl_doing=training", "130 CANCELLED interrupted (SIGINT) while training"),
        ("prl_timed_out=1 prl_signalled=15", "124 TIMEOUT the time limit of 01:00:00 was reached"),
        (
            "prl_timed_out=warned prl_signalled=15",
            "124 TIMEOUT warned by Slurm of the time limit of 01:00:00, and stopped",
        ),
        (
            "prl_timed_out=1 prl_signalled=15 prl_in_pods=1",
            "124 TIMEOUT stopped for the time limit of 01:00:00",
        ),
        (
            "prl_signalled=15 prl_began=1; prl_is_done() { prl_done='all is saved'; }; prl_doing=training",
            "0 SUCCEEDED all is saved; then: stopped by signal 15 while training",
        ),
    ],
)
def test_how_a_job_ended(library: Library, known: str, judged: str) -> None:
    assert (
        library.said(f'{known}; prl_judge; echo "$prl_code $prl_state $prl_reason"')
        == f"{judged}\n"
    )


def test_somebody_cancelled_it(library: Library) -> None:
    (library.run / "cancel.json").write_text('{"reason": "cancelled by me"}')
    lines = 'prl_signalled=15; prl_judge; echo "$prl_code $prl_state $prl_reason"'
    assert library.said(lines) == "143 CANCELLED cancelled by me\n"


@pytest.mark.parametrize("reason", ['a "quoted" \\ word', "two\nlines\tand a tab", "雨巷 é", ""])
def test_the_exit_file_is_json_whatever_the_reason(library: Library, reason: str) -> None:
    lines = "prl_exit_file=$prl_run_dir/exit.json prl_code=3 prl_state=FAILED prl_reason=$WORDS; prl_write_exit_file"
    library.said(lines, WORDS=reason)
    found = library.exit_json()
    assert found["reason"] == (reason.replace("\n", " ").replace("\t", " ") or None)
    assert (found["exit_code"], found["state"]) == (3, "FAILED")
    assert not (library.run / "exit.json.part").exists()
    attempts = (library.run / "logs" / "attempts.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in attempts] == [found]


def test_the_first_line_of_an_attempt(library: Library) -> None:
    """It has the nodes and GPUs, and the last sign of the attempt before: its log, or a step."""
    say = "prl_log_file=$prl_run_dir/logs/node0.log prl_started_at=now prl_host='a \"b'; prl_start_text"
    first = json.loads(library.said(say))
    assert first == {"started_at": "now", "restarts": 0, "node": 'a "b', "nodes": 1, "gpus": 0}
    for name, time in (("logs/node0.log", 1_800_000_000), ("logging.jsonl", 1_800_000_060)):
        (library.run / name).write_text("x")
        os.utime(library.run / name, (time, time))
        values = {"prl_nodes": "2", "prl_nproc_per_node": "8", "prl_needs_gpus": "1"}
        line = json.loads(library.said(say, **values))
        assert (line["nodes"], line["gpus"]) == (2, 16)
        assert datetime.fromisoformat(line["earlier_until"]).timestamp() == time


def test_only_node_0_keeps_the_attempts(library: Library) -> None:
    library.said("prl_note_attempt '{}'", prl_node_rank="1")
    assert not (library.run / "logs" / "attempts.jsonl").exists()


# --- checkpoints ----------------------------------------------------------------------------------


def test_a_restart_replaces_the_checkpoint_that_the_spec_names(library: Library) -> None:
    lines = (
        "prl_swift_args=(--a 1 --resume_from_checkpoint old --b=2 --resume_from_checkpoint=older)\n"
        "prl_go_on_from /run/checkpoint-7; printf '%s|' \"${prl_swift_args[@]}\""
    )
    assert library.said(lines) == (
        "prl-submit: restart 0: continues from checkpoint-7\n"
        "--a|1|--b=2|--resume_from_checkpoint|/run/checkpoint-7|"
    )


def test_the_last_value_of_an_argument_counts(library: Library) -> None:
    lines = "prl_swift_args=(--a 1 --a=2 --b); prl_argument a; echo; prl_argument b; prl_argument c"
    assert library.said(lines) == "2\n"


def test_checkpoints_are_found_by_the_same_code_as_resume_runs(library: Library) -> None:
    (library.run / "checkpoint-4").mkdir()
    done = library.said(
        f"prl_python=({sys.executable}); prl_find_checkpoint say; echo [$prl_checkpoint]"
    )
    assert done == (
        "prl-submit: not complete: checkpoint-4: has no trainer_state.json, or an empty one\n[]\n"
    )


@pytest.mark.parametrize(
    ("step", "most", "args", "whole"),
    [
        ("5", "5", "", "yes"),
        ("4", "5", "", "no"),
        ("5", "5", "--max_steps 9", "no"),  # the last of a shorter training
        ("5", "5", "--resume_from_checkpoint c", "no"),  # the job was told to begin from it
    ],
)
def test_when_nothing_is_left_to_train(
    library: Library, step: str, most: str, args: str, whole: str
) -> None:
    lines = f"prl_checkpoint=c prl_step={step} prl_max_steps={most} prl_swift_args=({args})"
    assert library.said(f"{lines}; prl_has_every_step && echo yes || echo no") == f"{whole}\n"


# --- the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "python"),
    [
        ("#!/env/bin/python3.11 -s\n", "/env/bin/python3.11 -s 1"),
        (
            '#!/bin/sh\n\'\'\'exec\' "/env with space/bin/python" "$0" "$@"\n',
            "/env with space/bin/python 1",
        ),
        ("#!/bin/bash\n", "{run}/python "),
    ],
)
def test_which_python_torchrun_uses(library: Library, first: str, python: str) -> None:
    for name, text in (("torchrun", first), ("python", "#!/bin/sh\n")):
        (library.run / name).write_text(text)
        (library.run / name).chmod(0o755)
    said = library.said(
        'prl_find_python; echo "${prl_python[*]} $prl_python_is_named"',
        PATH=f"{library.run}:/usr/bin:/bin",
    )
    assert said == python.format(run=library.run) + "\n"


def test_a_place_in_an_outer_training_is_forgotten(library: Library) -> None:
    outer = {"RANK": "3", "PET_NNODES": "9", "PET_TEE": "3", "MASTER_ADDR": "x"}
    lines = "prl_forget_outer_training; compgen -e | grep -E '^(RANK|PET_|MASTER)' || :"
    assert library.said(lines, **outer) == "PET_TEE\n"
    assert library.said(lines, prl_nodes="2", **outer).split() == ["MASTER_ADDR", "PET_TEE"]


def test_the_preflight_names_all_faults_at_once(library: Library) -> None:
    lines = (
        "prl_arm; prl_exit_file=$prl_run_dir/exit.json; prl_need model /no/model swift.model; "
        "prl_need checkpoint /no/c swift.resume_from_checkpoint; prl_min_free_mib=999999999; prl_preflight"
    )
    done = library.call(lines, TMPDIR="")
    assert done.returncode == 78
    reason = str(library.exit_json()["reason"])
    for words in (
        "model /no/model is not on this node (swift.model); ",
        "checkpoint /no/c is not on this node (swift.resume_from_checkpoint); ",
        "torchrun is not on PATH",
        "999999999 are needed",
    ):
        assert words in reason
        assert words.removesuffix("; ") in done.stdout


def test_options_and_functions_of_others_are_undone(library: Library) -> None:
    lines = (
        "date() { echo no; }; enable -n printf; set -o noclobber -f; shopt -s nullglob; IFS=,; prl_own_shell; "
        "type -t date; type -t printf; echo \"$-\"; shopt -q nullglob || echo off; [[ $IFS == $' \\t\\n' ]] && echo IFS"
    )
    said = library.said(lines).splitlines()
    assert said[:2] == ["file", "builtin"]
    assert set("eu") <= set(said[2])
    assert not set("fC") & set(said[2])
    assert said[3:] == ["off", "IFS"]


def test_a_read_only_ifs_ends_nothing(library: Library) -> None:
    assert library.said("readonly IFS; prl_own_shell; echo on") == "on\n"


def test_it_needs_no_home_and_no_path(library: Library) -> None:
    environ = {"PATH": "", "HOME": "/nowhere"}
    lines = 'prl_find_home; echo "$HOME $PATH $prl_home_note"'
    own = f"/tmp/prl-submit-home-{os.getuid()}"
    note = f"HOME is /nowhere, which is not to be read; this job has {own}"
    assert library.said(lines, **environ) == f"{own} /usr/bin:/bin {note}\n"


def test_a_library_without_its_last_line_is_refused(tmp_path: Path) -> None:
    """A site's own launch.lib.sh that was cut: launch.sh would not go on with it."""
    (tmp_path / "launch.lib.sh").write_text("prl_begin() { :; }\n")
    with pytest.raises(PrlSubmitError, match="is no whole"):
        render_library(tmp_path)

"""Texts about runs that several commands print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from prl_submit.cli.console import note
from prl_submit.errors import EXIT_INTERRUPTED, EXIT_JOB_FAILED
from prl_submit.launch.quote import bash
from prl_submit.runs.directory import Run
from prl_submit.runs.states import RUNNING, SUCCEEDED, Status
from prl_submit.runs.times import age
from prl_submit.system.untrusted_text import words
from prl_submit.system.user_paths import output_root


def result_code(statuses: Sequence[Status]) -> int:
    """The exit code for the results of runs: 0 if all succeeded, else 1."""
    return 0 if all(status.state == SUCCEEDED for status in statuses) else EXIT_JOB_FAILED


def interrupted(runs: Sequence[Run]) -> int:
    """Say after Ctrl-C that the jobs go on, and how to reach them; the exit code."""
    for run in runs:
        if run.record is not None and run.record.is_in_doubt:
            note(f"\ninterrupted: whether the job of {run.name} was submitted is not known yet")
            note(f"  ask again: prl-submit status {typed(run)}")
            continue
        note(f"\ninterrupted: {run.name} goes on")
        note(f"  follow it: prl-submit logs {typed(run)} -f")
        note(f"  end it:    prl-submit cancel {typed(run)}")
    return EXIT_INTERRUPTED


def typed(run: Run) -> str:
    """The run as the user can type it here: its name, or its path if it is under another root."""
    here = run.path.parent == output_root(None)
    return run.name if here else bash(str(run.path))


def title(run: Run) -> str:
    """The heading of what is printed of one of several runs: its directory and its name."""
    return words(f"{run.name} {run.record.name}" if run.record else run.name)


def describe(status: Status) -> str:
    """One line about one run."""
    steps = f", step {step_words(status)}" if status.step is not None else ""
    reason = f": {status.reason}" if status.reason else ""
    return words(f"{status.run} {status.state}{steps}{reason}")


def step_words(status: Status) -> str:
    """`5/60`; while the job runs, with the time since that step: `5/60, 12m ago`."""
    if status.step is None:
        return "-"
    steps = f"{status.step}/{'?' if status.max_steps is None else status.max_steps}"
    if status.state != RUNNING or status.last_step_at is None:
        return steps
    seconds = time.time() - datetime.fromisoformat(status.last_step_at).timestamp()
    return f"{steps}, {age(seconds)} ago"

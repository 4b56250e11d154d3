"""`resume` of a sweep, or of one of its runs that was never submitted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prl_submit.backends.asking import refreshed
from prl_submit.cli.console import note
from prl_submit.cli.submit_sweep import after_start, say_interrupted
from prl_submit.errors import EXIT_JOB_FAILED, PrlSubmitError
from prl_submit.runs.belonging import refuse_copies, refuse_strangers
from prl_submit.runs.directory import Run
from prl_submit.submission import World
from prl_submit.sweeps.resuming import ResumedRun, resume_sweep
from prl_submit.system import shell

#: So many runs are named one by one.
_MOST_LINES = 30


def resume_in_sweep(
    runs: Sequence[Run],
    templates: Path | None,
    *,
    is_whole: bool,
    force_owner: bool,
    has_sets: bool,
    wait: bool,
    follow: bool,
    as_json: bool,
) -> int:
    """Submit those of a sweep's runs that have not succeeded; the exit code. `is_whole`: these are all runs."""
    if has_sets:
        raise PrlSubmitError("--set changes one run that is resumed, and not a sweep")
    for run in runs:
        refuse_copies(run, "resume")
        if not force_owner:
            refuse_strangers(run, "runs that user's setup lines and plugins as you")
    world = World(os.environ, shell.run, templates, note)
    try:
        resumed = resume_sweep(runs, world, is_whole=is_whole)
    except KeyboardInterrupt as interrupt:
        return say_interrupted(interrupt.args)
    _say(resumed.outcomes)
    has_failed = any(item.has_failed for item in resumed.outcomes)
    started = {run.path for run in resumed.sweep.runs}
    left = [refreshed(run) for run in runs if run.path not in started]
    how = {"wait": wait, "follow": follow, "as_json": as_json}
    code = after_start(resumed.sweep, "resumed", left=left, **how)
    return code or (EXIT_JOB_FAILED if has_failed else 0)


def _say(outcomes: Sequence[ResumedRun]) -> None:
    """Print what was done with each run; of many only how many there were of each kind."""
    if len(outcomes) <= _MOST_LINES:
        for item in outcomes:
            note(f"{item.run}: {item.words}")
        return
    for words, count in Counter(item.words for item in outcomes).most_common():
        note(f"{count} run{'s' if count > 1 else ''}: {words}")

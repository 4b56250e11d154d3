"""What a report does not have of a run, in words: missing files, links that are not followed, lines that were damaged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from prl_submit.report.kept_completions import KeptCompletions
from prl_submit.results.run_result import RunResult
from prl_submit.results.run_settings import ARGUMENTS
from prl_submit.runs.layout import COMPLETIONS, LOGS, STEPS, kept_file

#: What it means for the report that a file is missing.
_MISSING = {
    STEPS: "no step has been logged yet, or the files are on another machine",
    ARGUMENTS: "so the number of samples is not known",
    COMPLETIONS: "ms-swift writes it with `swift.log_completions: true`",
}


def notes(run: Path, result: RunResult, completions: KeptCompletions | None) -> list[str]:
    """What is missing of a run. `completions`: None if none were asked for."""
    if not os.path.isdir(run):  # it may be a link to a folder on another disk
        return [f"the run directory is {'a link to nothing' if run.is_symlink() else 'missing'}"]
    files = [STEPS, ARGUMENTS] + ([COMPLETIONS] if completions is not None else [])
    told = [_file_note(run, name) for name in files]
    told += [_copied_note(run), *_metrics_notes(result)]
    if completions is not None:
        told += [_damaged(completions.damaged, COMPLETIONS), completions.left_out()]
    return [text for text in told if text is not None]


def file_fault(path: Path) -> str | None:
    """Why a file is not read; None if it is read. Links in a run directory are not followed."""
    try:
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return "is a symbolic link" + (" to nothing" if not os.path.exists(path) else "")
        if not stat.S_ISREG(found.st_mode):
            return "is no regular file"
        if not os.access(path, os.R_OK):
            return "may not be read by this user"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _file_note(run: Path, name: str) -> str | None:
    fault = file_fault(run / name)
    if fault == "is missing":
        return f"{name} is missing: {_MISSING[name]}"
    return None if fault is None else f"{name} {fault}, so it was not read"


def _copied_note(run: Path) -> str | None:
    if not os.path.exists(kept_file(run / LOGS, 0)):
        return None
    return (
        f"its volume is not mounted here: `prl-submit collect {run.name}` copies the files; "
        "until then steps are read from the copied log"
    )


def _metrics_notes(result: RunResult) -> list[str | None]:
    metrics = result.metrics
    stride = metrics.training.stride
    from_completions = metrics.rewards_from_completions
    return [
        _damaged(metrics.damaged, STEPS),
        f"each point of its curves is the mean of {stride} logged steps" if stride > 1 else None,
        f"the rewards of {_counted(from_completions, 'step')} are from {COMPLETIONS}"
        if from_completions
        else None,
    ]


def _damaged(count: int, name: str) -> str | None:
    return f"{_counted(count, 'line')} of {name} could not be read" if count else None


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"

"""What submit and resume do once they have started a job: print its run, wait for its end."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prl_submit import backends
from prl_submit.backends.asking import statuses_of
from prl_submit.backends.base import StartCommand
from prl_submit.backends.waiting.queue_file import queue_folder
from prl_submit.cli.console import data, document, note
from prl_submit.cli.follow import follow_run
from prl_submit.cli.forward_sigterm import ForwardSigterm
from prl_submit.cli.run_lines import describe, interrupted, result_code, typed
from prl_submit.cli.watch import wait_for
from prl_submit.errors import OutputError
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import QUEUE_LOG
from prl_submit.runs.states import Status
from prl_submit.spec.traits import traits_of


def after_start(
    run: Run,
    verb: str,
    *,
    wait: bool,
    follow: bool,
    as_json: bool,
    seen: dict[Path, int] | None = None,
) -> int:
    """Print that the job was started; with `wait` or `follow` wait for its end. The exit code.

    `seen`: how many bytes of each log the user knows from before a resume.
    """
    order = _how_to_start(run)
    _say_started(run, verb, order)
    try:
        if not wait and not follow:
            return _announce(run, as_json)
        return _stay(run, follow=follow, as_json=as_json, seen=seen)
    except KeyboardInterrupt:
        return interrupted([run])
    except OSError as error:
        # Printing failed, but the job runs: exit code 2 would say that nothing was started.
        where = f"{error.filename}: " if error.filename else ""
        raise OutputError(
            f"{run.name} was {verb} and goes on, but {where}{error.strerror or error}",
            f"prl-submit status {typed(run)}",
        ) from None


#: The verb for a run that somebody else has to start.
_PREPARED = {"submitted": "prepared"}


def _how_to_start(run: Run) -> StartCommand | None:
    """What the user has to start so that the job begins; None if it was submitted."""
    if run.record is None or run.record.is_waiting:
        return None
    return backends.load(run.record.backend).how_to_start(run)


def _say_started(run: Run, verb: str, order: StartCommand | None) -> None:
    """Print that the job was started, or what the user has to start. The command is a line of its own."""
    if run.record is not None and run.record.is_waiting:
        log = queue_folder(run.path, run.record) / QUEUE_LOG
        note(f"{verb} {run.name}: it waits in a queue on this machine, which must stay up")
        note(f"  queue:  {log}")
        return
    if order is None:
        note(f"{verb} {run.name} (job {run.record.job_id if run.record else None})")
        return
    note(f"{_PREPARED.get(verb, verb)} {run.name}")
    note(order.where)
    note(order.command)
    if order.also is not None:
        note(order.also)


def _stay(run: Run, *, follow: bool, as_json: bool, seen: dict[Path, int] | None) -> int:
    """Wait for the job's end; the exit code is the job's result."""
    with ForwardSigterm([run]):
        if follow and not as_json:
            status = follow_run(run, seen=seen)
        else:
            status = wait_for([run], lambda status: note(describe(status)))[0]
    if follow and not as_json:
        note(describe(status))  # wait_for, above, prints each change itself
    if as_json:
        _document(run, status)
    elif not follow:
        data(str(run.path))
    return result_code([status])


def _announce(run: Run, as_json: bool) -> int:
    """Print the run directory, and how to go on; the exit code."""
    if as_json:
        _document(run, statuses_of([run])[0])
    else:
        data(str(run.path))
        note(f"  status: prl-submit status {typed(run)}")
        note(f"  follow: prl-submit logs {typed(run)} -f")
    return 0


def _document(run: Run, status: Status) -> None:
    """Print the run as JSON: its status, and the path of what was sent to the backend."""
    from prl_submit.cli.views.shown_runs import detailed

    name = traits_of(run.record.backend).artefact if run.record else None
    artefact = None if name is None else str(run.path / name)
    order = _how_to_start(run)
    more = {"artefact": artefact, "command": None if order is None else order.command}
    document({**msgspec.structs.asdict(detailed([run], [status])[0]), **more})

"""submit and resume: they start jobs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from prl_submit import backends
from prl_submit.artefact import render_artefact
from prl_submit.cli.console import data, document, note, raw
from prl_submit.cli.inspection import warn_or_stop
from prl_submit.cli.options import (
    force_owner_option,
    json_option,
    output_root_option,
    run_argument,
    spec_options,
    templates_option,
)
from prl_submit.cli.options import output_root as output_root_of
from prl_submit.cli.watching import (
    POLL_S,
    ForwardSigterm,
    describe,
    follow_run,
    interrupted,
    refreshed,
    result_code,
    states_of,
    statuses_of,
    typed,
    wait_for,
)
from prl_submit.errors import EXIT_INTERRUPTED, OutputError, PrlSubmitError
from prl_submit.prepare import plan_spec
from prl_submit.runs.belonging import belonging, refuse_copies, refuse_strangers
from prl_submit.runs.checkpoints import Checkpoint
from prl_submit.runs.directory import Run, find_run
from prl_submit.runs.logs import log_sizes
from prl_submit.runs.states import FINISHED, LOST, State, Status
from prl_submit.submission import World, exclusive
from prl_submit.submission import resume as resume_run
from prl_submit.submission import submit as submit_plan
from prl_submit.system import shell

_wait = click.option("--wait", is_flag=True, help="Wait for the job; exit with its result.")
_follow = click.option("--follow", "-f", is_flag=True, help="--wait, and print the job's output.")


@click.command("submit")
@spec_options
@click.option("--dry-run", is_flag=True, help="Print what would be sent; create nothing.")
@_wait
@_follow
@json_option
def submit(
    spec: str,
    templates: Path | None,
    dry_run: bool,
    wait: bool,
    follow: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Check SPEC, make its run directory and start the job; print the run directory.

    The job is detached: it survives this command and the terminal. With --wait or --follow the exit
    code is the job's result, 0 or 1, and a SIGTERM is handed on to a local job, which is how a
    platform that gives out containers runs it.
    """
    planned = plan_spec(spec, **options)
    warn_or_stop(planned)
    backends.load(planned.plan.backend)
    if dry_run:
        artefact = render_artefact(planned.plan, templates)
        if as_json:
            document({**_nothing(planned.plan.name, planned.plan.backend), "artefact": artefact})
        else:
            raw(artefact.encode("utf-8"))
        return 0
    try:
        run = submit_plan(planned, World(os.environ, shell.run, templates, note))
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:
            note("\ninterrupted: nothing was submitted")
        return interrupted(interrupt.args)
    return _started(run, "submitted", wait=wait, follow=follow, as_json=as_json)


@click.command("resume")
@run_argument(many=False)
@force_owner_option
@output_root_option
@templates_option
@_wait
@_follow
@json_option
def resume(
    run: str,
    force_owner: bool,
    output_root: str | None,
    templates: Path | None,
    wait: bool,
    follow: bool,
    as_json: bool,
) -> int:
    """Continue a finished run from its last complete checkpoint, in the same run directory."""
    found = find_run(run, output_root_of(output_root))
    refuse_copies(found, "resume")
    if not force_owner:
        refuse_strangers(found, "runs that user's setup lines and plugins as you")
    found.require_record()
    try:
        started, checkpoint, seen = _resume(found, templates)
    except KeyboardInterrupt:
        after = refreshed(found)
        if after.record != found.record:  # the new attempt has a record, so perhaps a job
            return interrupted([after])
        note("\ninterrupted: nothing was resumed")
        return EXIT_INTERRUPTED
    note(f"continues from {checkpoint.path.name}")
    return _started(started, "resumed", wait=wait, follow=follow, as_json=as_json, seen=seen)


def _resume(found: Run, templates: Path | None) -> tuple[Run, Checkpoint, dict[Path, int]]:
    """The run with its new attempt, where that goes on, and how long its logs were before."""
    with exclusive(found):
        found = refreshed(found)  # another resume may have started it since
        state = _when_it_has_ended(found)
        if state.state not in FINISHED:
            raise PrlSubmitError(f"{found.name} is {state.state}", "cancel it first, or wait")
        if found.record is not None:
            backend = backends.load(found.record.backend)
            # What a killed launcher or a failed node left behind would train on beside the new attempt.
            if belonging(found).has_job and (state.state == LOST or backend.is_left(found)):
                backend.cancel(found, wait=True)
        seen = log_sizes(found.path)
        outside = World(os.environ, shell.run, templates, note)
        started, checkpoint = resume_run(found, outside, state)
    return started, checkpoint, seen


def _when_it_has_ended(run: Run) -> State:
    """The run's state; waited for where it has failed already and its last process is about to end."""
    state = states_of([run])[0]
    if state.is_ending:
        note(f"{run.name}: waits until its processes have ended: {state.reason}")
    while state.is_ending:
        time.sleep(POLL_S)
        state = states_of([run])[0]
    return state


def _started(
    run: Run,
    verb: str,
    *,
    wait: bool,
    follow: bool,
    as_json: bool,
    seen: dict[Path, int] | None = None,
) -> int:
    job = run.record.job_id if run.record else None
    note(f"{verb} {run.name} (job {job})")
    try:
        if not wait and not follow:
            return _announce(run, as_json)
        return _stay(run, follow=follow, as_json=as_json, seen=seen)
    except KeyboardInterrupt:
        return interrupted([run])
    except OSError as error:
        # Not exit code 2, by which nothing would have been sent.
        where = f"{error.filename}: " if error.filename else ""
        raise OutputError(
            f"{run.name} was {verb} and goes on, but {where}{error.strerror or error}",
            f"prl-submit status {typed(run)}",
        ) from None


def _stay(run: Run, *, follow: bool, as_json: bool, seen: dict[Path, int] | None) -> int:
    """Wait for the job's end; its result as exit code."""
    with ForwardSigterm(run) if run.record and run.record.process else contextlib.nullcontext():
        if follow and not as_json:
            status = follow_run(run, seen=seen)
        else:
            status = wait_for([run], lambda status: note(describe(status)))[0]
    if follow and not as_json:
        note(describe(status))  # waiting has told each change already
    if as_json:
        _document(run, status)
    elif not follow:
        data(str(run.path))
    return result_code([status])


def _announce(run: Run, as_json: bool) -> int:
    if as_json:
        _document(run, statuses_of([run])[0])
    else:
        data(str(run.path))
        note(f"  status: prl-submit status {typed(run)}")
        note(f"  follow: prl-submit logs {typed(run)} -f")
    return 0


def _document(run: Run, status: Status) -> None:
    name = backends.load(run.record.backend).artefact_name() if run.record else None
    artefact = None if name is None else str(run.path / name)
    document({**msgspec.structs.asdict(status), "artefact": artefact})


def _nothing(name: str, backend: str) -> dict[str, Any]:
    fields = dict.fromkeys(Status.__struct_fields__)
    return {**fields, "name": name, "backend": backend}


COMMANDS = {"submit": submit, "resume": resume}

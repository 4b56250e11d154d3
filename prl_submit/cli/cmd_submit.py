"""The command `submit`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from prl_submit import backends
from prl_submit.backends.artefact import first_file
from prl_submit.cli.as_node import node_here, start_node
from prl_submit.cli.console import document, note, raw
from prl_submit.cli.estimated import tell_estimate
from prl_submit.cli.problems import errors_line, warn_or_stop
from prl_submit.cli.run_lines import interrupted
from prl_submit.cli.shared_options import (
    follow_option,
    json_option,
    seconds_option,
    spec_options,
    wait_option,
)
from prl_submit.cli.started import after_start
from prl_submit.errors import SpecError, format_error
from prl_submit.planning.plan import Planned
from prl_submit.prepare import Asked, plan_asked, read_asked
from prl_submit.submission import World
from prl_submit.submission import submit as submit_plan
from prl_submit.system import shell


@click.command("submit")
@spec_options
@click.option("--dry-run", is_flag=True, help="Print the text that would be sent. Creates nothing.")
@click.option(
    "--prepare",
    is_flag=True,
    help="On a platform: only prepare the run and say what to paste, also on a machine with the variables of a node.",
)
@click.option(
    "--new-run",
    is_flag=True,
    envvar="PRL_NEW_RUN",
    help="On a platform: make a new run, even if this command has started one before. Also PRL_NEW_RUN=1.",
)
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="Of a sweep: submit the combinations without errors, although others have some.",
)
@wait_option
@follow_option
@seconds_option
@json_option
def submit(
    spec: str,
    templates: Path | None,
    dry_run: bool,
    prepare: bool,
    new_run: bool,
    skip_invalid: bool,
    wait: bool,
    follow: bool,
    seconds_per_step: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Check SPEC, make a run directory, start the job and print the run directory.

    The job goes on when this command ends or the terminal is closed. With --wait or --follow this command ends with
    the job, and its exit code is the job's result: 0 or 1. A SIGTERM that it gets meanwhile is passed on to a local
    job, or to all local runs of a sweep: so a platform's container can run it as its main process.

    With --backend platform it can be a platform's command for every node: node 0 makes the run, the other nodes find
    it, and the command becomes the training. If the platform starts it again, it goes on in the same run.

    A section `sweep` of SPEC makes many runs, one for each combination; --dry-run shows them in a table.
    """
    world = World(os.environ, shell.run, templates, note)
    try:
        asked = read_asked(spec, is_node=not prepare, **options)
        if asked.sweep:
            return _submit_sweep(asked, world)
        planned = plan_asked(asked)
        warn_or_stop(planned)
    except SpecError as error:
        return _refused(spec, error)
    backends.load(planned.plan.backend)
    if dry_run:
        return _dry_run(planned, templates, seconds_per_step, as_json)
    if node := node_here(planned, prepare=prepare, as_json=as_json):
        return start_node(node, planned, world, new_run=new_run)
    tell_estimate(planned, seconds_per_step)
    return start(planned, world, wait=wait, follow=follow, as_json=as_json)


def _dry_run(
    planned: Planned, templates: Path | None, seconds_per_step: float | None, as_json: bool
) -> int:
    """Print what would be sent, and when the job would end; the exit code."""
    tell_estimate(planned, seconds_per_step)
    if planned.plan.needs_queue:
        names = ", ".join(os.path.basename(each.run) for each in planned.plan.after)
        note(f"it would wait for {names} in a queue on this machine, which must stay up")
    return print_artefact(planned, templates, as_json)


def _refused(spec: str, error: SpecError) -> int:
    """Say what is wrong with the spec; the exit code."""
    note(format_error(error))
    note(errors_line(spec, error.problems))
    return error.exit_code


#: The options of `submit` that a sweep takes too.
_OF_SWEEPS = (
    "dry_run",
    "prepare",
    "skip_invalid",
    "wait",
    "follow",
    "seconds_per_step",
    "as_json",
)


def _submit_sweep(asked: Asked, world: World) -> int:
    from prl_submit.cli.submit_sweep import submit_or_show

    options = click.get_current_context().params
    return submit_or_show(asked, world, **{name: options[name] for name in _OF_SWEEPS})


def start(
    planned: Planned,
    world: World,
    *,
    wait: bool,
    follow: bool,
    as_json: bool,
    rerun_of: str | None = None,
) -> int:
    """Start the job; the exit code."""
    try:
        run = submit_plan(planned, world, rerun_of=rerun_of)
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:
            note("\ninterrupted: nothing was submitted")
        return interrupted(interrupt.args)
    return after_start(run, "submitted", wait=wait, follow=follow, as_json=as_json)


def print_artefact(planned: Planned, templates: Path | None, as_json: bool) -> int:
    """Print the text that would be sent; the exit code."""
    artefact = first_file(planned.plan, templates)
    if as_json:
        document({**_nothing(planned.plan.name, planned.plan.backend), "artefact": artefact})
    else:
        raw(artefact.encode("utf-8"))
    return 0


def _nothing(name: str, backend: str) -> dict[str, Any]:
    """The keys of a status for a job that was not submitted: all null but these two."""
    from prl_submit.results.run_status import RunStatus

    fields = dict.fromkeys(RunStatus.__struct_fields__)
    return {**fields, "name": name, "backend": backend}


command = submit

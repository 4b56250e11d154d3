"""The command `submit`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from prl_submit import backends
from prl_submit.backends.artefact import first_of, job_files
from prl_submit.cli.console import document, note, raw
from prl_submit.cli.problems import errors_line, warn_or_stop
from prl_submit.cli.run_lines import interrupted
from prl_submit.cli.shared_options import follow_option, json_option, spec_options, wait_option
from prl_submit.cli.started import after_start
from prl_submit.errors import SpecError, format_error
from prl_submit.prepare import plan_spec
from prl_submit.runs.states import Status
from prl_submit.submission import World
from prl_submit.submission import submit as submit_plan
from prl_submit.system import shell


@click.command("submit")
@spec_options
@click.option("--dry-run", is_flag=True, help="Print the text that would be sent. Creates nothing.")
@wait_option
@follow_option
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
    """Check SPEC, make a run directory, start the job and print the run directory.

    The job goes on when this command ends or the terminal is closed. With --wait or --follow this
    command ends with the job, and its exit code is the job's result: 0 or 1. A SIGTERM that it gets
    meanwhile is passed on to a local job: so a platform's container can run it as its main process.
    """
    try:
        planned = plan_spec(spec, **options)
        warn_or_stop(planned)
    except SpecError as error:
        note(format_error(error))
        note(errors_line(spec, error.problems))
        return error.exit_code
    backends.load(planned.plan.backend)
    if dry_run:
        artefact = first_of(job_files(planned.plan, templates))
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
    return after_start(run, "submitted", wait=wait, follow=follow, as_json=as_json)


def _nothing(name: str, backend: str) -> dict[str, Any]:
    """The keys of a status for a job that was not submitted: all null but these two."""
    fields = dict.fromkeys(Status.__struct_fields__)
    return {**fields, "name": name, "backend": backend}


command = submit

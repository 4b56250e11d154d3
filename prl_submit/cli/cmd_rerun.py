"""The command `rerun`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from prl_submit import backends
from prl_submit.cli.cmd_submit import print_artefact, start
from prl_submit.cli.console import note
from prl_submit.cli.estimated import tell_estimate
from prl_submit.cli.problems import errors_line, warn_or_stop
from prl_submit.cli.shared_options import (
    follow_option,
    job_options,
    json_option,
    run_argument,
    seconds_option,
    wait_option,
)
from prl_submit.errors import SpecError, format_error
from prl_submit.prepare import plan_again, unused_variables
from prl_submit.runs.directory import Run, find_run
from prl_submit.submission import World
from prl_submit.system import shell
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("rerun")
@run_argument(many=False)
@job_options("the run")
@click.option("--dry-run", is_flag=True, help="Print the text that would be sent. Creates nothing.")
@wait_option
@follow_option
@seconds_option
@json_option
def rerun(
    run: str,
    templates: Path | None,
    output_root: str | None,
    dry_run: bool,
    wait: bool,
    follow: bool,
    seconds_per_step: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Start a new run of a run's spec, from any folder, and print its run directory.

    The new run has the values of the old one, also its working directory and its output root. Only
    --set, --backend and a --profile that is named change them; PRL_* variables of your environment and
    the default profile do not. The code, the data and the plugins are those of now.
    """
    found = find_run(run, output_root_of(output_root))
    found.require_record()
    _say_unused(found)
    try:
        planned = plan_again(found.path, output_root=output_root, **options)
        warn_or_stop(planned)
    except SpecError as error:
        note(format_error(error))
        note(errors_line(found.name, error.problems))
        return error.exit_code
    backends.load(planned.plan.backend)
    tell_estimate(planned, seconds_per_step)
    if dry_run:
        return print_artefact(planned, templates, as_json)
    world = World(os.environ, shell.run, templates, note)
    of = str(found.path)
    return start(planned, world, wait=wait, follow=follow, as_json=as_json, rerun_of=of)


def _say_unused(found: Run) -> None:
    """Say which variables change nothing, because they would change a job that is submitted from a file."""
    names = unused_variables(found.path)
    if names:
        verb = "is" if len(names) == 1 else "are"
        note(
            f"note: {', '.join(names)} {verb} not used: the new run has the values of {found.name}, "
            "and --set changes them"
        )


command = rerun

"""The command `render`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prl_submit.cli.console import raw
from prl_submit.cli.one_job import combination_option, plan_one_job
from prl_submit.cli.problems import rendered, warn_or_stop
from prl_submit.cli.shared_options import spec_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("render")
@spec_options
@combination_option
@click.option("--all", "every", is_flag=True, help="Print every file that is sent, with its name.")
def render(spec: str, templates: Path | None, every: bool, **options: Any) -> int:
    """Print the script or manifest that `submit` would send. Creates nothing.

    That is launch.sh; for Slurm job.sbatch, for Kubernetes pytorchjob.yaml. It is the same to the byte,
    except for the run directory's name and the job's token. With --all each file of the job stands below
    a line `==> NAME <==`, as `head` prints several files. Of a sweep it prints one combination, by default
    the first.
    """
    from prl_submit.backends.artefact import first_file

    planned = plan_one_job(spec, **options)
    warn_or_stop(planned)
    if every:
        files = rendered(planned, templates)
        text = "\n".join(f"==> {name} <==\n{each}" for name, each in files.items())
    else:
        text = first_file(planned.plan, templates)
    raw(text.encode("utf-8"))
    return 0


command = render

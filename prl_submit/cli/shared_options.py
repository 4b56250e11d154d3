"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prl_submit.system.user_paths import output_root

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])


def spec_options(function: Command) -> Command:
    """The argument SPEC, and the options that change what it says."""
    return click.argument("spec", type=click.Path())(job_options("SPEC")(function))


def job_options(spec: str) -> Callable[[Command], Command]:
    """The options that change what a spec says. `spec`: whose spec it is, in the words of the help."""
    default = f"from {spec}, else PRL_BACKEND, else local" if spec == "SPEC" else f"that of {spec}"
    options = [
        click.option(
            "--backend",
            metavar="NAME",
            help=f"Where the job runs: local, slurm, kubernetes (k8s) or platform. Default: {default}.",
        ),
        click.option(
            "--set",
            "sets",
            metavar="KEY=VALUE",
            multiple=True,
            help=f"Change one value of {spec}: swift.beta=0.1 or 'swift.reward_funcs=[a, b]'. Can be given several times.",
        ),
        click.option("--profile", metavar="NAME", help="Use this profile of prl-submit.toml."),
        click.option(
            "--after",
            metavar="RUN",
            multiple=True,
            help="Start the job when RUN, or each run of a sweep, has succeeded. Can be given several times.",
        ),
        output_root_option,
        templates_option,
    ]

    def decorated(function: Command) -> Command:
        for decorate in reversed(options):
            function = decorate(function)
        return function

    return decorated


output_root_option = click.option(
    "--output-root",
    metavar="DIR",
    help="The folder of the run directories. Default: PRL_OUTPUT_ROOT, else `output`.",
)

templates_option = click.option(
    "--templates",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    callback=lambda _ctx, _param, value: None if value is None else _path(value),
    help="Use the templates in this folder instead of those of the same name that come with prl-submit.",
)


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value} is no time of a step; it takes seconds, such as 36")
    return value


seconds_option = click.option(
    "--seconds-per-step",
    type=float,
    metavar="S",
    callback=_seconds,
    help="How long a step takes, to say when the job would end. Default: as in the newest run of the same name.",
)

force_owner_option = click.option(
    "--force-owner",
    is_flag=True,
    help="Also do it to another user's run. Without this even root is refused.",
)

wait_option = click.option(
    "--wait", is_flag=True, help="Wait until the job has ended; exit 0 if it succeeded, else 1."
)
follow_option = click.option(
    "--follow", "-f", is_flag=True, help="Like --wait, and print the job's log meanwhile."
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of runs and sweeps that the shell offers after Tab."""
    from prl_submit.errors import PrlSubmitError
    from prl_submit.runs.directory import list_runs
    from prl_submit.runs.layout import LATEST

    try:
        found = list_runs(output_root(ctx.params.get("output_root")))
    except PrlSubmitError:
        return []
    swept = [run.record.sweep.name for run in found if run.record and run.record.sweep]
    names = [LATEST, *dict.fromkeys(reversed(swept)), *(run.name for run in reversed(found))]
    return [name for name in names if name.startswith(incomplete)]


def run_argument(*, many: bool, needed: bool = False) -> Callable[[Command], Command]:
    """The argument RUN; with `many` several runs, with `needed` at least one of them."""
    if many:
        metavar = "RUN..." if needed else "[RUN]..."
        return click.argument("runs", metavar=metavar, nargs=-1, shell_complete=complete_run)
    return click.argument("run", metavar="RUN", shell_complete=complete_run)

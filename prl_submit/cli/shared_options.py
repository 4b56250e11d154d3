"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prl_submit.system.user_paths import output_root

if TYPE_CHECKING:  # `check` has no use for it, and it is a twentieth of its time
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])


def spec_options(function: Command) -> Command:
    """SPEC and what changes it."""
    for decorate in reversed(
        [
            click.argument("spec", type=click.Path()),
            click.option(
                "--backend",
                metavar="NAME",
                help="local, slurm or kubernetes (k8s). Default: the spec's, PRL_BACKEND, local.",
            ),
            click.option(
                "--set",
                "sets",
                metavar="KEY=VALUE",
                multiple=True,
                help="Set one value, e.g. swift.beta=0.1 or 'swift.reward_funcs=[a, b]'. Repeatable.",
            ),
            click.option("--profile", metavar="NAME", help="A profile of prl-submit.toml."),
            output_root_option,
            templates_option,
        ]
    ):
        function = decorate(function)
    return function


output_root_option = click.option(
    "--output-root",
    metavar="DIR",
    help="Where run directories live. Default: PRL_OUTPUT_ROOT, else `output`.",
)

templates_option = click.option(
    "--templates",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    callback=lambda _ctx, _param, value: None if value is None else _path(value),
    help="A folder whose files replace the shipped templates of the same name.",
)

force_owner_option = click.option(
    "--force-owner",
    is_flag=True,
    help="Also where the run is another user's (root is refused too without it).",
)

wait_option = click.option("--wait", is_flag=True, help="Wait for the job; exit with its result.")
follow_option = click.option(
    "--follow", "-f", is_flag=True, help="--wait, and print the job's output."
)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Runs, for the shell."""
    from prl_submit.errors import PrlSubmitError
    from prl_submit.runs.directory import list_runs

    try:
        found = list_runs(output_root(ctx.params.get("output_root")))
    except PrlSubmitError:
        return []
    names = ["latest", *(run.name for run in reversed(found))]
    return [name for name in names if name.startswith(incomplete)]


def run_argument(*, many: bool, needed: bool = False) -> Callable[[Command], Command]:
    """RUN, or several; `needed`: at least one, as the usage shows."""
    if many:
        metavar = "RUN..." if needed else "[RUN]..."
        return click.argument("runs", metavar=metavar, nargs=-1, shell_complete=complete_run)
    return click.argument("run", metavar="RUN", shell_complete=complete_run)

"""The command `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from prl_submit.cli.console import document, raw
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.cli.training_folders import training_folders
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.results.comparison import Comparison

#: Metrics by which --best can order.
_METRICS = (
    "reward",
    "last_reward",
    "samples_per_second",
    "tokens_per_second",
    "efficiency",
    "kl",
    "seconds_per_step",
    "peak_memory_gib",
    "gpu_hours",
)


@click.command("compare")
@run_argument(many=True, needed=True)
@click.option(
    "--best",
    metavar="METRIC",
    type=click.Choice(_METRICS),
    help="Put the best run first: reward, samples_per_second, … ",
)
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each run.")
@output_root_option
@json_option
def compare_(
    runs: tuple[str, ...],
    best: str | None,
    markdown: bool,
    as_csv: bool,
    output_root: str | None,
    as_json: bool,
) -> int:
    """Show what differs between runs, their speed and their rewards.

    RUN may also be a directory that ms-swift made without prl-submit. Speed-up and scaling efficiency are
    those against the first RUN.
    """
    if not runs:
        raise click.UsageError("name the runs to compare: prl-submit compare v1 v2")
    if markdown + as_csv + as_json > 1:
        raise click.UsageError("--markdown, --csv and --json exclude each other")
    from prl_submit.results.comparison import compare
    from prl_submit.results.run_result import read_result

    root = output_root_of(output_root)
    comparison = compare([read_result(folder) for folder in training_folders(runs, root)])
    if best is not None:
        comparison = _ordered(comparison, best)
    form = "markdown" if markdown else "csv" if as_csv else "json" if as_json else ""
    _print(comparison, form, best)
    return 0


def _ordered(comparison: Comparison, metric: str) -> Comparison:
    """The same comparison with the best run first. Speed-ups stay those against the first RUN."""
    import msgspec

    from prl_submit.results.comparison import ranked
    from prl_submit.results.metric_names import LOW_IS_GOOD

    runs = ranked(comparison, metric, lowest_first=metric in LOW_IS_GOOD)
    before = [run.path for run in comparison.runs]
    places = [before.index(run.path) for run in runs]
    settings = {
        key: [values[place] for place in places] for key, values in comparison.settings.items()
    }
    return msgspec.structs.replace(comparison, runs=runs, settings=settings)


def _print(comparison: Comparison, form: str, best: str | None) -> None:
    from prl_submit.results import comparison_tables as tables

    if form == "json":
        document(comparison)
    elif form == "csv":
        raw(tables.csv_text(comparison).encode("utf-8", "replace"))
    elif form == "markdown":
        raw(tables.markdown(comparison).encode("utf-8", "replace"))
    else:
        from prl_submit.cli.views.comparison_view import print_comparison

        print_comparison(comparison, best)


command = compare_

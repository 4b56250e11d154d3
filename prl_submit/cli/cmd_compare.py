"""The command `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from prl_submit.cli.console import data, document, note, raw, table
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.cli.training_folders import training_folders
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.results.comparison import Comparison

#: With more runs than this the table has a row for each run, else a column.
_MOST_COLUMNS = 6
#: Metrics by which --best can order; True: the lowest value is the best.
_METRICS = {
    "reward": False,
    "last_reward": False,
    "samples_per_second": False,
    "tokens_per_second": False,
    "efficiency": False,
    "kl": True,
    "seconds_per_step": True,
    "peak_memory_gib": True,
    "gpu_hours": True,
}


@click.command("compare")
@run_argument(many=True, needed=True)
@click.option(
    "--best",
    metavar="METRIC",
    type=click.Choice(list(_METRICS)),
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
    _print(comparison, "markdown" if markdown else "csv" if as_csv else "json" if as_json else "")
    return 0


def _ordered(comparison: Comparison, metric: str) -> Comparison:
    """The same comparison with the best run first. Speed-ups stay those against the first RUN."""
    import msgspec

    from prl_submit.results.comparison import ranked

    runs = ranked(comparison, metric, lowest_first=_METRICS[metric])
    before = [run.path for run in comparison.runs]
    places = [before.index(run.path) for run in runs]
    settings = {
        key: [values[place] for place in places] for key, values in comparison.settings.items()
    }
    return msgspec.structs.replace(comparison, runs=runs, settings=settings)


def _print(comparison: Comparison, form: str) -> None:
    from prl_submit.results import comparison_tables as tables

    if form == "json":
        document(comparison)
    elif form == "csv":
        raw(tables.csv_text(comparison).encode("utf-8", "replace"))
    elif form == "markdown":
        raw(tables.markdown(comparison).encode("utf-8", "replace"))
    else:
        _print_tables(comparison)


def _print_tables(comparison: Comparison) -> None:
    from prl_submit.results import comparison_tables as tables

    if len(comparison.runs) > _MOST_COLUMNS:
        data(table(*tables.run_table(comparison)))
    else:
        header, rows = tables.setting_table(comparison)
        if rows:
            data(table(["SETTING", *header[1:]], rows))
            data("")
        else:
            note("no setting differs")
        header, rows = tables.metric_table(comparison)
        data(table(["METRIC", *header[1:]], rows))
    _note_hints(comparison)
    note(f"speed: {comparison.how}")


def _note_hints(comparison: Comparison) -> None:
    """Print what is not healthy: of a few runs each hint, of many runs each kind of hint once."""
    found = [(run.run, hint) for run in comparison.runs for hint in run.hints]
    if len(comparison.runs) > _MOST_COLUMNS:
        named: dict[str, list[str]] = {}
        for run, hint in found:
            named.setdefault(hint.name, []).append(run)
        first = {hint.name: hint for _, hint in reversed(found)}
        found = [(_listed(runs), first[name]) for name, runs in named.items()]
    for runs, hint in found:
        note(f"hint: {runs}: {hint.text}")
        note(f"  {hint.advice}; healthy is {hint.healthy} ({hint.source})")


def _listed(runs: list[str]) -> str:
    """The first run, and how many others are alike."""
    others = len(runs) - 1
    return runs[0] + (f" and {others} other{'s' if others > 1 else ''} alike" if others else "")


command = compare_

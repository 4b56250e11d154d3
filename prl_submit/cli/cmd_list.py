"""The command `list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from prl_submit.cli.console import document, note
from prl_submit.cli.shared_options import json_option, output_root_option
from prl_submit.cli.views.run_choice import (
    Choice,
    chosen_columns,
    chosen_runs,
    differences_in,
    in_order,
    known_states,
    of_choice,
)
from prl_submit.cli.views.run_table import LIST
from prl_submit.cli.views.shown_runs import ask, make_look, print_columns, print_table
from prl_submit.runs.directory import list_runs
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.cli.views.run_columns import Column, TableLook
    from prl_submit.results.run_status import RunView
    from prl_submit.runs.directory import Run


@click.command("list")
@click.option(
    "--columns",
    metavar="NAMES",
    help="Show these columns: run,state,reward,swift.learning_rate. Any setting and any metric can be one.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by a column, the largest value last; -COLUMN: the largest first.",
)
@click.option("--reverse", is_flag=True, help="Turn the order round.")
@click.option(
    "--state",
    "states",
    metavar="STATE",
    multiple=True,
    help="Only runs in this state: failed,lost.",
)
@click.option("--name", metavar="PATTERN", help="Only runs with such a name: 'mr-*'.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag.")
@click.option("--sweep", metavar="SWEEP", help="Only the runs of this sweep.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the N newest of them.")
@output_root_option
@json_option
def list_(
    columns: str | None,
    sort: str | None,
    reverse: bool,
    states: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    sweep: str | None,
    last: int | None,
    output_root: str | None,
    as_json: bool,
) -> int:
    """List the runs in the output root, the newest last, and in what the runs of one name differ."""
    root = output_root_of(output_root)
    choice = Choice(states=known_states(states), name=name, tags=list(tags), sweep=sweep, last=last)
    runs = list_runs(root)
    shown = chosen_columns(columns, runs)
    order = chosen_columns(None if sort is None else sort.removeprefix("-"), runs)
    return _show(
        chosen_runs(runs, choice),
        choice,
        shown,
        order,
        descending=reverse != (sort or "").startswith("-"),
        as_json=as_json,
        nothing=f"no runs under {root}"
        if not runs
        else f"no such run among the {len(runs)} under {root}",
    )


def _show(
    runs: list[Run],
    choice: Choice,
    columns: dict[str, Column],
    order: dict[str, Column],
    *,
    descending: bool,
    as_json: bool,
    nothing: str,
) -> int:
    """Print the runs; the exit code. `columns`, `order`: those that the user chose; empty: the usual ones."""
    answer = ask(runs, with_hints=as_json or "hints" in columns)
    views = of_choice(answer.views, choice)
    look = make_look(views, differences_in(views) if not as_json or columns else None)
    views = in_order(views, look, order, descending=descending)
    if as_json:
        document({"runs": [_document(view, look, columns) for view in views]})
    elif not views:
        note(nothing)
    elif columns:
        print_columns(views, look, list(columns.values()))
    else:
        print_table(views, look, LIST)
    return answer.say_silences()


def _document(view: RunView, look: TableLook, columns: dict[str, Column]) -> dict[str, Any]:
    """The run as JSON; `columns` has the values of the columns that the user chose."""
    told = msgspec.structs.asdict(view.status)
    if columns:
        told["columns"] = {name: column.json_value(view, look) for name, column in columns.items()}
    return told


command = list_

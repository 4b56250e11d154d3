"""The command `completions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prl_submit.cli.console import data, document, note
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import find_run
from prl_submit.runs.layout import COMPLETIONS
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.results.completions import Batch


@click.command("completions")
@run_argument(many=False)
@click.option(
    "--step", type=click.IntRange(0), metavar="N", help="Those of step N. Default: the last ones."
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(["reward", "lowest", "length"]),
    help="The best first, the worst first, or the longest first.",
)
@click.option(
    "--search", metavar="TEXT", help="Only those with TEXT in the prompt or the completion."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show N completions at most.")
@output_root_option
@json_option
def completions(
    run: str,
    step: int | None,
    order: str | None,
    search: str | None,
    limit: int | None,
    output_root: str | None,
    as_json: bool,
) -> int:
    """Show what the model wrote at a step, and how it was rewarded."""
    from prl_submit.results.completion_texts import completions_of, has_text, shown

    found = find_run(run, output_root_of(output_root))
    batch = _batch(found.path, found.name, step)
    every = completions_of(batch, order)
    told = [one for one in every if search is None or has_text(one, search)]
    number = batch.rewards.step
    if as_json:
        document({"step": number, "completions": told[:limit]})
        return 0
    for one in told[:limit]:
        data(shown(one, len(every), number))
    if not told:
        note(f"none of the {len(every)} completions of step {number} has {search!r}")
    if limit is not None and limit < len(told):
        note(f"{len(told) - limit} more; --limit shows more of them")
    return 0


def _batch(path: Path, name: str, step: int | None) -> Batch:
    """The completions of a step, or the last ones. Raises PrlSubmitError if there are none."""
    from prl_submit.results.completions import find_batch, last_batch
    from prl_submit.results.run_settings import read_run_settings

    file = path / COMPLETIONS
    weights = read_run_settings(path).reward_weights
    found = last_batch(file, weights) if step is None else find_batch(file, step, weights)
    if found is not None:
        return found
    if last_batch(file) is None:
        hint = "ms-swift writes them with `swift.log_completions: true`"
        raise PrlSubmitError(f"{name} has no completions", hint)
    raise PrlSubmitError(
        f"{name} has no completions of step {step}", "ms-swift writes them for logged steps"
    )


command = completions

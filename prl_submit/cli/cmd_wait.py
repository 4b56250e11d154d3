"""The command `wait`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from prl_submit.backends.asking import states_of
from prl_submit.cli.console import document, note
from prl_submit.cli.run_lines import describe, interrupted, result_code
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.cli.watch import wait_for
from prl_submit.runs.directory import Run, find_all, list_runs
from prl_submit.runs.states import FINISHED
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("wait")
@run_argument(many=True)
@output_root_option
@json_option
def wait(runs: tuple[str, ...], output_root: str | None, as_json: bool) -> int:
    """Wait until jobs have ended; exit 1 if one did not succeed.

    Without RUN it waits for all runs in the output root that have not ended yet.
    """
    found = _named_or_open(runs, output_root_of(output_root))
    try:
        statuses = wait_for(found, lambda status: note(describe(status)))
    except KeyboardInterrupt:
        return interrupted(found)
    if as_json:
        from prl_submit.cli.views.shown_runs import detailed

        document({"runs": detailed(found, statuses)})
    return result_code(statuses)


def _named_or_open(names: Sequence[str], root: Path) -> list[Run]:
    """The runs that are named; without a name, all that have not ended."""
    if names:
        return find_all(names, root)
    runs = list_runs(root)
    pairs = zip(runs, states_of(runs), strict=True)
    return [run for run, state in pairs if state.state not in FINISHED]


command = wait

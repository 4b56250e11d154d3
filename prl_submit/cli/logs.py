"""logs."""

from __future__ import annotations

import click

from prl_submit.cli.console import note, raw
from prl_submit.cli.options import output_root as output_root_of
from prl_submit.cli.options import output_root_option, run_argument
from prl_submit.cli.watching import describe, follow_run, interrupted, result_code
from prl_submit.errors import PrlSubmitError
from prl_submit.follow import LogReader, node_logs
from prl_submit.runs import find_run


@click.command("logs")
@run_argument(many=False)
@click.option(
    "--follow", "-f", is_flag=True, help="Go on until the job ends; exit with its result."
)
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Begin with the last N lines.")
@click.option("--node", type=click.IntRange(0), metavar="N", help="One node only.")
@output_root_option
def logs(
    run: str, follow: bool, tail: int | None, node: int | None, output_root: str | None
) -> int:
    """Print a run's log; -f follows it to the end of the job and exits with its result."""
    found = find_run(run, output_root_of(output_root))
    if follow:
        try:
            status = follow_run(found, node=node, tail=tail)
        except KeyboardInterrupt:
            return interrupted([found])
        note(describe(status))
        return result_code([status])
    here = node_logs(found.path)
    if node is not None and here and node not in [number for number, _ in here]:
        raise PrlSubmitError(f"{found.run} has no node {node}; it has 0 to {here[-1][0]}")
    if not here:
        note(f"{found.run} has no log yet")
    for data in LogReader(found.path, node, tail).read(last=True):
        raw(data)
    return 0


COMMANDS = {"logs": logs}

"""The command `collect`."""

from __future__ import annotations

import click

from prl_submit.cli.console import data, note
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.errors import EXIT_INTERRUPTED
from prl_submit.runs.directory import find_run
from prl_submit.spec.traits import find_traits
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("collect")
@run_argument(many=False)
@click.option(
    "--only",
    metavar="NAMES",
    help="Copy only these: names or patterns, separated by commas, such as 'logging.jsonl,checkpoint-*'.",
)
@output_root_option
def collect(run: str, only: str | None, output_root: str | None) -> int:
    """Copy a Kubernetes run's files from its volume into its directory on this machine.

    It is for machines on which the volume is not mounted. Files that are already here are not copied
    again, and an interrupted copy goes on where it stopped. Prints the directory.
    """
    found = find_run(run, output_root_of(output_root))
    record = found.require_record()
    if record.is_waiting:
        note(f"{found.name} has not started; there is nothing to collect")
        data(str(found.path))
        return 0
    backend = record.backend
    traits = find_traits(backend)
    if traits is None or traits.sees_our_files:
        note(f"{found.name}: {backend} jobs write here; there is nothing to collect")
        data(str(found.path))
        return 0
    from prl_submit import backends
    from prl_submit.runs.belonging import refuse_copies, refuse_strangers

    refuse_copies(found, "collect")
    refuse_strangers(found, None)

    patterns = [name.strip() for name in (only or "").split(",") if name.strip()]
    try:
        files, size = backends.load(backend).collect(found, patterns, note)
    except KeyboardInterrupt:
        note("\ninterrupted: the same command goes on where it stopped")
        return EXIT_INTERRUPTED
    note(f"{files} files, {size / 2**20:.1f} MiB brought")
    data(str(found.path))
    return 0


command = collect

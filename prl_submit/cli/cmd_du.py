"""The command `du`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from prl_submit.cli.console import data, document, note
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.cli.views.wide_tables import in_parts
from prl_submit.runs.directory import Run, find_all, list_runs
from prl_submit.runs.disk_use import DiskUse, Seen, disk_use, in_words
from prl_submit.runs.labels import read_labels
from prl_submit.system.user_paths import output_root as output_root_of

_HEADER = ["RUN", "NAME", "TOTAL", "CHECKPOINTS", "COMPLETIONS", "LOGS", "MADE OF", "REST"]


@click.command("du")
@run_argument(many=True)
@output_root_option
@json_option
def du(runs: tuple[str, ...], output_root: str | None, as_json: bool) -> int:
    """Show how much disk runs take, by default all in the output root, the largest first.

    These are the bytes on the disk, as `du` counts them. A file with several names (hard links) counts
    once, for the run that comes first.
    """
    root = output_root_of(output_root)
    found = find_all(runs, root) if runs else list_runs(root)
    seen: Seen = set()
    uses = sorted(
        ((run, disk_use(run.path, seen)) for run in found), key=lambda pair: -pair[1].total
    )
    if as_json:
        document({"runs": [_in_json(run, use) for run, use in uses]})
    elif uses:
        data(in_parts(_HEADER, [*(_row(run, use) for run, use in uses), _sum(uses)]))
    else:
        note(f"no runs under {root}")
    return 0


def _row(run: Run, use: DiskUse) -> list[str]:
    name = read_labels(run.path).name or (run.record.name if run.record else "?")
    return [run.name, name, *_sizes(use)]


def _sizes(use: DiskUse) -> list[str]:
    saved = f"{in_words(use.checkpoints)} ({use.count})" if use.count else "-"
    sizes = (use.completions, use.logs, use.made_of, use.rest)
    return [in_words(use.total), saved, *map(in_words, sizes)]


def _sum(uses: list[tuple[Run, DiskUse]]) -> list[str]:
    """The last row of the table."""
    fields = DiskUse.__struct_fields__
    total = DiskUse(**{name: sum(getattr(use, name) for _, use in uses) for name in fields})
    return ["all", "", *_sizes(total)]


def _in_json(run: Run, use: DiskUse) -> dict[str, Any]:
    sizes = msgspec.structs.asdict(use)
    count = sizes.pop("count")
    name = run.record.name if run.record else None
    sizes = {f"{key}_bytes": value for key, value in sizes.items()}
    return {
        "run": run.name,
        "path": str(run.path),
        "name": name,
        "checkpoints": count,
        **sizes,
        "total_bytes": use.total,
    }


command = du

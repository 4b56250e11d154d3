"""The command `report`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prl_submit import __version__
from prl_submit.cli.console import data, note, raw
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.cli.training_folders import training_folders
from prl_submit.errors import EXIT_INTERRUPTED
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.report.report_data import Gathered

#: While runs go on the file is written anew after so many seconds, and the page loads itself again.
_EVERY_S = 30
#: So often the runs are asked whether they have ended.
_POLL_S = 2.0
_STDOUT = "-"


def _count(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """The number of `--completions`: 0 for `none`, None if the option was not given."""
    if value is None or value == "none":
        return None if value is None else 0
    if not value.isdecimal() or len(value) > 9:
        raise click.BadParameter(f"{value!r} is neither a number nor `none`")
    return int(value)


@click.command("report")
@run_argument(many=True, needed=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="report.html",
    help="The file to write. Default: report.html. `-` prints it.",
)
@click.option("--watch", is_flag=True, help="Write it anew until all runs have ended.")
@click.option(
    "--completions",
    "most",
    metavar="N|none",
    callback=_count,
    help="Show N completions at most, evenly over the steps. Default: 50000.",
)
@output_root_option
def report(
    runs: tuple[str, ...], output: str, watch: bool, most: int | None, output_root: str | None
) -> int:
    """Write one HTML file with the curves, settings and completions of runs.

    The file needs no server and no network. RUN may also be a directory that ms-swift made without
    prl-submit. An existing file is replaced only if it is a report.
    """
    if not runs:
        raise click.UsageError("name the runs to show: prl-submit report v1 v2")
    if watch and output == _STDOUT:
        raise click.UsageError("--watch needs a file: -o FILE")
    folders = training_folders(runs, output_root_of(output_root))
    if output == _STDOUT:
        raw(b"".join(_parts(_gathered(folders, most))))
        return 0
    path = Path(output).absolute()
    return _watch(path, folders, most) if watch else _write_once(path, folders, most)


def _gathered(
    folders: Sequence[Path],
    most: int | None,
    states: Mapping[Path, str] | None = None,
    reload_s: int | None = None,
) -> Gathered:
    from prl_submit.report.report_data import MOST_COMPLETIONS, gather

    return gather(
        folders,
        most_completions=MOST_COMPLETIONS if most is None else most,
        states=states,
        written_at=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        version=__version__,
        reload_s=reload_s,
    )


def _parts(gathered: Gathered) -> list[bytes]:
    from prl_submit.report.page import page

    return list(page(gathered))


def _write_once(path: Path, folders: Sequence[Path], most: int | None) -> int:
    from prl_submit.report.write_report import refuse_other_file

    refuse_other_file(path)  # before the files are read, which may take a while
    _write(path, _gathered(folders, most), is_first=True)
    return 0


def _write(path: Path, gathered: Gathered, *, is_first: bool) -> None:
    """Write the file. The first time print its name, and what is missing of the runs."""
    from prl_submit.report.write_report import write_report

    content = b"".join(_parts(gathered))
    write_report(path, content)
    if not is_first:
        return
    reported = gathered.data
    for run in reported.runs:
        for text in run.notes:
            note(f"{run.name}: {text}")
    runs = "1 run" if len(reported.runs) == 1 else f"{len(reported.runs)} runs"
    note(f"{runs}, {len(content) / 1e6:.1f} MB")
    if reported.reload_s is not None:
        note(f"written anew every {reported.reload_s} s while the runs go on; Ctrl-C ends that")
    data(os.path.relpath(path))


def _watch(path: Path, folders: Sequence[Path], most: int | None) -> int:
    """Write the report again and again until all runs have ended, the last time as a final one."""
    from prl_submit.cli.watched_trainings import WatchedTrainings
    from prl_submit.report.write_report import refuse_other_file

    refuse_other_file(path)
    watched = WatchedTrainings(folders)
    states, has_ended = watched.look()
    due = 0.0
    try:
        while not has_ended:
            if time.monotonic() >= due and watched.is_new(states):
                _write(path, _gathered(folders, most, states, _EVERY_S), is_first=due == 0)
                due = time.monotonic() + _EVERY_S
            time.sleep(_POLL_S)
            states, has_ended = watched.look()
    except KeyboardInterrupt:
        _write(path, _gathered(folders, most, states), is_first=due == 0)
        note("\ninterrupted: the runs go on; the report stays as it is now")
        return EXIT_INTERRUPTED
    _write(path, _gathered(folders, most, states), is_first=due == 0)
    return 0


command = report

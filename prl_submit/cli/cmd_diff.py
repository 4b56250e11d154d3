"""The command `diff`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prl_submit.cli.console import data, document, has_colour, note, table
from prl_submit.cli.shared_options import complete_run, json_option, output_root_option
from prl_submit.cli.training_folders import training_folders
from prl_submit.errors import PrlSubmitError
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.made_of.code_versions import CodeOrigin
    from prl_submit.made_of.difference_text import DifferenceLine
    from prl_submit.made_of.differences import MadeOfDifference

#: How a terminal shows the kinds of lines.
_STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "name": {"bold": True},
    "place": {"fg": "cyan"},
    "added": {"fg": "green"},
    "removed": {"fg": "red"},
    "plain": {},
}


@click.command("diff")
@click.argument("one", metavar="RUN", shell_complete=complete_run)
@click.argument("other", metavar="RUN", shell_complete=complete_run)
@click.option("--stat", is_flag=True, help="Name the files that differ, without their lines.")
@output_root_option
@json_option
def diff(one: str, other: str, stat: bool, output_root: str | None, as_json: bool) -> int:
    """Show what differs between two runs: settings, code, data, and versions on the nodes.

    RUN may also be a directory that ms-swift made without prl-submit. Of code and data prl-submit knows
    what it kept at the submission; what is not known is told on stderr. The exit code is 0 whether or not
    the runs differ.
    """
    from prl_submit.made_of.differences import made_of_difference
    from prl_submit.results.run_settings import read_run_settings
    from prl_submit.results.setting_differences import differences
    from prl_submit.system import shell

    root = output_root_of(output_root)
    folders = [_folder(name, root) for name in (one, other)]
    settings = differences([read_run_settings(folder) for folder in folders])
    origins = [_origin(folder, folders) for folder in folders]
    found = made_of_difference(origins[0], origins[1], shell.run, os.environ)
    names = [origin.name for origin in origins]
    if as_json:
        document(
            {
                "runs": names,
                "paths": list(map(str, folders)),
                "settings": settings,
                "made_of": found,
            }
        )
    else:
        _print(names, settings, found, stat=stat)
    return 0


def _folder(name: str, root: Path) -> Path:
    """The directory of one run. Raises PrlSubmitError for the name of a sweep with several runs."""
    folders = training_folders([name], root)
    if len(folders) != 1:
        listed = ", ".join(folder.name for folder in folders)
        raise PrlSubmitError(f"{name!r} names {len(folders)} runs: {listed}", "say which two")
    return folders[0]


def _origin(folder: Path, folders: Sequence[Path]) -> CodeOrigin:
    """What is known of a run. Its name has the folder above it if both runs have one name."""
    from prl_submit.made_of.code_versions import CodeOrigin
    from prl_submit.made_of.recorded import read_made_of
    from prl_submit.runs.plan_file import read_plan

    names = [item.name for item in folders]
    name = folder.name
    if names[0] == names[1] and folders[0] != folders[1]:
        name = f"{folder.parent.name}/{folder.name}"
    made_of = read_made_of(folder)
    try:
        file = read_plan(folder)
    except PrlSubmitError:
        return CodeOrigin(name, made_of)
    commit, dirty = (None, True) if file.git is None else (file.git.commit, file.git.dirty)
    return CodeOrigin(name, made_of, file.plan.workdir, commit, is_clean=not dirty)


def _print(
    names: Sequence[str], settings: dict[str, list[Any]], found: MadeOfDifference, *, stat: bool
) -> None:
    from prl_submit.made_of.difference_text import (
        DifferenceLine,
        code_lines,
        data_lines,
        not_kept_lines,
    )

    lines = [*code_lines(found.code, stat=stat), *data_lines(found.data)]
    if found.versions:
        lines.append(DifferenceLine("versions on the nodes", "title"))
    if settings:
        _print_table("SETTING", names, settings)
    _print_lines(lines, is_first=not settings)
    if found.versions:
        _print_table("PACKAGE", names, found.versions)
    for text in (*found.notes, *found.code.notes):
        note(f"note: {text}")
    for text in not_kept_lines(found.code.not_kept):
        note(text)
    if not settings and not lines:
        note(f"no difference between {names[0]} and {names[1]} is known")


def _print_table(title: str, names: Sequence[str], values: dict[str, list[Any]]) -> None:
    """Print a line for each key, with the values of both runs."""
    from prl_submit.results.comparison_tables import setting_text

    rows = [[key, *map(setting_text, pair)] for key, pair in values.items()]
    data(table([title, *names], rows))


def _print_lines(lines: Iterable[DifferenceLine], *, is_first: bool) -> None:
    """Print lines, with an empty one before each title that is not the first."""
    from prl_submit.system.untrusted_text import words

    coloured = has_colour()
    for line in lines:
        if line.kind == "title" and not is_first:
            data("")
        is_first = False
        text = words(line.text.replace("\r", "^M"))
        data(click.style(text, **_STYLES[line.kind]) if coloured else text)


command = diff

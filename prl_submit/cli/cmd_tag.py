"""The command `tag`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from prl_submit.cli.console import data, note
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.runs.directory import Run, find_runs
from prl_submit.runs.labels import change_labels, read_labels, tag_fault, with_tags
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("tag")
@run_argument(many=False)
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Take these tags away.")
@output_root_option
def tag_runs(run: str, tags: tuple[str, ...], remove: bool, output_root: str | None) -> int:
    """Give tags to a run, or to all runs of a sweep; `list --tag` and `prune --tag` find runs by them.

    Without TAG the tags are printed, one on each line.
    """
    found = find_runs(run, output_root_of(output_root))
    if not tags:
        if remove:
            raise click.UsageError("Missing argument 'TAG...'.", click.get_current_context())
        for known in _tags_of(found):
            data(known)
        return 0
    _require_good(run, found, tags, remove)
    for each in found:
        labels = change_labels(each.path, lambda old: with_tags(old, list(tags), remove=remove))
        note(f"{each.name}: {', '.join(labels.tags) or 'no tags any more'}")
    return 0


def _require_good(run: str, found: Sequence[Run], tags: Sequence[str], remove: bool) -> None:
    """Raise PrlSubmitError for a word that is no tag, or that no run has and is to be removed."""
    known = _tags_of(found)
    for tag in tags:
        if not remove and (fault := tag_fault(tag)):
            raise PrlSubmitError(f"{tag!r} is no tag", f"a tag has {fault}")
        if remove and tag not in known:
            hint = f"`prl-submit tag {bash(run)}` prints the tags"
            raise PrlSubmitError(f"{run} has no tag {tag!r}", hint)


def _tags_of(runs: Sequence[Run]) -> list[str]:
    """The tags of all these runs, each once."""
    return list(dict.fromkeys(tag for run in runs for tag in read_labels(run.path).tags))


command = tag_runs

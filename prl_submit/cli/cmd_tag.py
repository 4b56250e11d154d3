"""The command `tag`."""

from __future__ import annotations

import click

from prl_submit.cli.console import data, note
from prl_submit.cli.run_lines import typed
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import find_run
from prl_submit.runs.labels import change_labels, read_labels, tag_fault, with_tags
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("tag")
@run_argument(many=False)
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Take these tags away.")
@output_root_option
def tag(run: str, tags: tuple[str, ...], remove: bool, output_root: str | None) -> int:
    """Give tags to a run; `list --tag` and `prune --tag` find runs by them.

    Without TAG the run's tags are printed, one on each line.
    """
    found = find_run(run, output_root_of(output_root))
    if not tags:
        if remove:
            raise click.UsageError("Missing argument 'TAG...'.", click.get_current_context())
        for known in read_labels(found.path).tags:
            data(known)
        return 0
    for each in tags:
        if not remove and (fault := tag_fault(each)):
            raise PrlSubmitError(f"{each!r} is no tag", f"a tag has {fault}")
    missing = [each for each in tags if remove and each not in read_labels(found.path).tags]
    if missing:
        hint = f"`prl-submit tag {typed(found)}` prints its tags"
        raise PrlSubmitError(f"{found.name} has no tag {missing[0]!r}", hint)
    labels = change_labels(found.path, lambda old: with_tags(old, list(tags), remove=remove))
    note(f"{found.name}: {', '.join(labels.tags) or 'no tags any more'}")
    return 0


command = tag

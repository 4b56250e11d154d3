"""The command `note`."""

from __future__ import annotations

import click
import msgspec

from prl_submit.cli.console import data, note
from prl_submit.cli.run_lines import typed
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.runs.directory import find_run
from prl_submit.runs.labels import change_labels, read_labels
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("note")
@run_argument(many=False)
@click.argument("text", nargs=-1)
@output_root_option
def write_note(run: str, text: tuple[str, ...], output_root: str | None) -> int:
    """Write down a line about a run: what you tried, what you saw. It replaces the run's last note.

    Without TEXT the note is printed. An empty TEXT ('') takes the note away.
    """
    found = find_run(run, output_root_of(output_root))
    if not text:
        noted = read_labels(found.path).note
        if noted is None:
            note(f"{found.name} has no note: prl-submit note {typed(found)} TEXT")
        else:
            data(noted)
        return 0
    words = " ".join(text)
    labels = change_labels(found.path, lambda labels: msgspec.structs.replace(labels, note=words))
    note(f"{found.name}: {labels.note}" if labels.note else f"{found.name} has no note any more")
    return 0


command = write_note

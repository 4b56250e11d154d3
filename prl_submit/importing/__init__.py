"""A shell script that starts `swift rlhf` -> a job spec. The script is read, never run.

bytes --bash--> statements --interpreter--> the training and what is around it --job_spec--> YAML
"""

from __future__ import annotations

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.importing.bash.scope import Place
from prl_submit.importing.bash.statements import read_script
from prl_submit.importing.interpreter.other_scripts import ReadFile
from prl_submit.importing.job_spec.spec_tree import ChooseTable
from prl_submit.importing.translate import Translation, Wishes, explore
from prl_submit.swift.table import Table


class Imported(Struct, frozen=True):
    """A spec's text with what is to be said about it; no text where something is an error."""

    text: str | None
    problems: list[Problem]


def import_script(
    data: bytes,
    place: Place,
    table: Table | ChooseTable,
    wishes: Wishes | None = None,
    read: ReadFile = lambda path: None,
) -> Imported:
    """Translate a script. `place` says where it lies; nothing is run.

    `table`: the arguments of the ms-swift that will run, or what chooses them once it is known
    where the job runs. `read` gives the files that the script reads in.
    """
    statements, wrong = read_script(data, place.script)
    if wrong and not statements:
        return Imported(None, wrong)
    translation = Translation(
        text=data.decode("utf-8"),
        statements=statements,
        problems=wrong,
        place=place,
        choose=(lambda where: table) if isinstance(table, Table) else table,
        wishes=wishes or Wishes(),
        read=read,
    )
    made = explore(translation)
    order = {place.script: 0}
    problems = sorted(
        made.problems,
        key=lambda p: (order.get(p.file or "", 1), p.file or "", p.line or 0, p.severity),
    )
    return Imported(made.text, problems)

"""What to say of a name that the job's ms-swift does not have."""

from __future__ import annotations

from prl_submit.errors import Problem
from prl_submit.spec import meanings
from prl_submit.spec.nodes import Origin, problem_at
from prl_submit.spec.suggest import closest
from prl_submit.swift.renames import RENAMED, REPLACED
from prl_submit.swift.table import Table


def unknown_name(name: str, origin: Origin, table: Table, is_passed_over: bool = False) -> Problem:
    """The problem of `swift.NAME`: of another version, an abbreviation, or a misspelling.

    `is_passed_over`: ms-swift only warns of names that it does not know.
    """
    message, hint = what_is_wrong(name, table)
    severity = "error" if table.is_certain else "warning"
    if is_passed_over:
        message, severity = f"{message}; ignore_args_error passes over it", "warning"
    return problem_at(origin, f"swift.{name}", message, hint, severity)


def what_is_wrong(name: str, table: Table) -> tuple[str, str]:
    """What to say of a name that the table lacks, and what to do; `import` and `check` say the same."""
    other = of_another_version(name, table)
    message, hint = (
        other or _abbreviation(name, table) or _by_meaning(name, table) or _else(name, table)
    )
    if other and table.is_assumed:
        hint += "; where the job's ms-swift is another one: environment.swift_version says which"
    return message, hint


def nearest(name: str, table: Table) -> str | None:
    """The argument that an unknown name probably means."""
    return closest(name.replace("-", "_"), table, cutoff=0.7)


def is_of_another_version(name: str) -> bool:
    """True if some release has the argument, or had it under this name before 3.0."""
    from prl_submit.swift.history import load_history  # only where a name is unknown

    return name in load_history().arguments or name in RENAMED or name in REPLACED


def of_another_version(name: str, table: Table) -> tuple[str, str] | None:
    """What became of an argument that other releases have, and what to do; None for any other name."""
    from prl_submit.swift.history import load_history, number  # only where something is wrong

    history = load_history()
    years = history.years(name)
    today = RENAMED.get(name)
    if years is None:
        is_renamed = today is not None and today in table
        return (f"is {today} since ms-swift 3.0", f"write {today}") if is_renamed else None
    begin, end = years
    if number(begin) > number(table.version):
        old = next((old for old, new in RENAMED.items() if new == name and old in table), None)
        hint = f"leave it out, or run a newer ms-swift than {table.version}"
        message = f"is in ms-swift since {begin}; {table.version} will run"
        return message, f"there it is {old}" if old else hint
    if end is None:
        return None  # every release has it, this environment has not
    if today is not None and today in table:
        since = (history.years(today) or ("",))[0]
        is_later = number(since) > number(begin)
        return f"is {today}{f' since ms-swift {since}' if is_later else ' today'}", f"write {today}"
    instead = REPLACED.get(name)
    hint = f"today: {instead}" if instead else "leave it out"
    return f"in ms-swift {begin if begin == end else f'{begin}-{end}'}, gone since", hint


def _abbreviation(name: str, table: Table) -> tuple[str, str] | None:
    """The parser takes a beginning for the whole name where it fits one alone, without a word."""
    beginning = name.replace("-", "_")
    whole = [known for known in table if known.startswith(beginning)]
    if not name or not whole or beginning in table:
        return None
    named = meanings.meant(name, meanings.ARGUMENTS, table)
    if len(whole) > 1 and named:
        return None  # `lr` means learning_rate, not lr_scheduler_type
    if len(whole) > 1 and closest(beginning, whole, cutoff=0.9):
        return None  # `num_generation`: a letter was forgotten
    if len(whole) == 1:
        return (
            f"is short for {whole[0]}; ms-swift would take it silently",
            meanings.did_you_mean_one_of([*dict.fromkeys([*named, *whole])])
            if set(named) - set(whole)
            else f"write {whole[0]}",
        )
    shown = ", ".join(whole[:5]) + (", …" if len(whole) > 5 else "")
    return f"is the beginning of {len(whole)} arguments", f"write one of {shown}"


def _by_meaning(name: str, table: Table) -> tuple[str, str] | None:
    """What other trainers call an argument, or a key of the job spec that stands elsewhere."""
    message = f"ms-swift {table.version} has no such argument"
    if named := meanings.meant(name, meanings.ARGUMENTS, table):
        return message, meanings.did_you_mean_one_of(named)
    if keys := meanings.key_elsewhere(name):
        return message, f"it stands outside `swift:`, as {keys}"
    return None


def _else(name: str, table: Table) -> tuple[str, str]:
    message = f"ms-swift {table.version} has no such argument"
    near = nearest(name, table)
    hint = f"did you mean {near!r}?" if near else "arguments are listed by `swift rlhf --help`"
    return message, hint

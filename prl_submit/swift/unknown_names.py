"""Messages for an argument that the job's ms-swift does not have.

The name may be one of another release, an abbreviation, another tool's word, or a misspelling.
"""

from __future__ import annotations

from prl_submit.errors import Problem
from prl_submit.spec import meanings
from prl_submit.spec.nodes import Origin, problem_at
from prl_submit.spec.suggest import closest
from prl_submit.swift.renames import RENAMED, REPLACED
from prl_submit.swift.table import Table


def unknown_name(name: str, origin: Origin, table: Table, is_passed_over: bool = False) -> Problem:
    """The problem of an unknown argument `swift.NAME`.

    It is only a warning if the table may lack a valid name (`table.is_certain` is false), or if
    `is_passed_over` is true: then the job tells ms-swift to ignore unknown arguments.
    """
    message, hint = what_is_wrong(name, table)
    severity = "error" if table.is_certain else "warning"
    if is_passed_over:
        message, severity = f"{message}; with ignore_args_error ms-swift ignores it", "warning"
    return problem_at(origin, f"swift.{name}", message, hint, severity)


def what_is_wrong(name: str, table: Table) -> tuple[str, str]:
    """The message and the hint for a name that the table lacks. `check` and `import` both use it."""
    other = of_another_version(name, table)
    if other:
        message, hint = other
        if table.is_assumed:
            hint += "; if the job's ms-swift is another release, set environment.swift_version"
        return message, hint
    return _abbreviation(name, table) or _by_meaning(name, table) or _misspelt(name, table)


def nearest(name: str, table: Table) -> str | None:
    """The argument whose spelling is most similar to an unknown name; None if none is similar."""
    return closest(name.replace("-", "_"), table, cutoff=0.7)


def is_of_another_version(name: str) -> bool:
    """True if some release since 3.0 has the argument, or ms-swift 2 had an argument of this name."""
    from prl_submit.swift.history import load_history

    return name in load_history().arguments or name in RENAMED or name in REPLACED


def of_another_version(name: str, table: Table) -> tuple[str, str] | None:
    """The message and the hint for an argument that other releases have; None for any other name."""
    from prl_submit.swift.history import load_history, number

    years = load_history().years(name)
    today = RENAMED.get(name)
    if years is None:  # no release since 3.0 has it
        if today is None or today not in table:
            return None
        return f"is {today} since ms-swift 3.0", f"write {today}"
    begin, end = years
    if number(begin) > number(table.version):
        return _too_new(name, begin, table)
    if end is None:
        return None  # every release has it, but the ms-swift of this environment does not
    if today is not None and today in table:
        return _renamed(begin, today)
    instead = REPLACED.get(name)
    hint = f"today: {instead}" if instead else f"remove {name}"
    releases = begin if begin == end else f"{begin}-{end}"
    return f"was in ms-swift {releases} and is gone since", hint


def _too_new(name: str, begin: str, table: Table) -> tuple[str, str]:
    """The message for an argument that came with a release after the one that will run."""
    message = f"is in ms-swift since {begin}; {table.version} will run"
    for old, new in RENAMED.items():
        if new == name and old in table:
            return message, f"in ms-swift {table.version} it is called {old}"
    return message, f"remove {name}, or run a newer ms-swift than {table.version}"


def _renamed(begin: str, today: str) -> tuple[str, str]:
    """The message for an argument whose name was changed to `today`. `begin`: its first release."""
    from prl_submit.swift.history import load_history, number

    years = load_history().years(today)
    since = years[0] if years else ""
    when = f"since ms-swift {since}" if number(since) > number(begin) else "today"
    return f"is {today} {when}", f"write {today}"


def _abbreviation(name: str, table: Table) -> tuple[str, str] | None:
    """The message for the beginning of one or several arguments' names.

    ms-swift's parser silently accepts the beginning of a name if only one argument begins so.
    """
    beginning = name.replace("-", "_")
    whole = [known for known in table if known.startswith(beginning)]
    if not name or not whole or beginning in table:
        return None
    named = meanings.meant(name, meanings.ARGUMENTS, table)
    if len(whole) == 1:
        return f"is short for {whole[0]}; ms-swift would accept it silently", _which(
            whole[0], named
        )
    if named:
        return None  # `lr` means learning_rate, not lr_scheduler_type
    if closest(beginning, whole, cutoff=0.9):
        return None  # `num_generation`: the user forgot one letter
    shown = ", ".join(whole[:5]) + (", …" if len(whole) > 5 else "")
    return f"is the beginning of {len(whole)} arguments", f"write one of {shown}"


def _which(whole: str, named: list[str]) -> str:
    """The hint for an abbreviation of `whole` that may also mean the arguments in `named`."""
    if not set(named) - {whole}:
        return f"write {whole}"
    return meanings.did_you_mean_one_of(list(dict.fromkeys([*named, whole])))


def _by_meaning(name: str, table: Table) -> tuple[str, str] | None:
    """The message for another trainer's word, or for a key that belongs outside of `swift:`."""
    message = f"ms-swift {table.version} has no such argument"
    named = meanings.meant(name, meanings.ARGUMENTS, table)
    if named:
        return message, meanings.did_you_mean_one_of(named)
    key = meanings.key_elsewhere(name)
    if key:
        return message, f"write it outside of `swift:`, as {key}"
    return None


def _misspelt(name: str, table: Table) -> tuple[str, str]:
    """The message for any other unknown name, with the name of the most similar spelling."""
    message = f"ms-swift {table.version} has no such argument"
    near = nearest(name, table)
    hint = f"did you mean {near!r}?" if near else "`swift rlhf --help` lists all arguments"
    return message, hint

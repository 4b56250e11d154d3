"""The ways that a script may go where only the run decides.

They count as one where all that lead to a training lead to the same one.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.interpreter.follower import Ended
from prl_submit.importing.interpreter.ways import Key, Undecided

MAX_ATTEMPTS = 24


class Attempt(Struct, frozen=True, kw_only=True):
    """A script that was followed one way: the text of the spec, if there is one, and the problems."""

    text: str | None
    problems: list[Problem]
    undecided: list[Undecided]
    ended: Ended | None


def explore(attempt: Callable[[dict[Key, int]], Attempt]) -> Attempt:
    """The attempt of a script, where all ways that lead to a training lead to the same one.

    Else the first attempt, in which only a shell knows what is undecided.
    """
    first = attempt({})
    if first.text is not None or not first.undecided:
        return first
    budget = [MAX_ATTEMPTS]
    found = _ways(attempt, {}, first, budget)
    if not found or len({made.text for made in found}) != 1:
        return first
    problems = list(found[0].problems)
    for key in dict.fromkeys(one.key for one in first.undecided):
        problems.append(_note(key, problems))
    return Attempt(text=found[0].text, problems=problems, undecided=[], ended=None)


def _ways(
    attempt: Callable[[dict[Key, int]], Attempt],
    choices: dict[Key, int],
    made: Attempt,
    budget: list[int],
) -> list[Attempt] | None:
    """All attempts that lead to a training; None where one fails, or there are too many."""
    if made.text is not None:
        return [made]
    if made.ended == "failure":
        return []  # the job would fail there, without a training
    following = next((one for one in made.undecided if one.key not in choices), None)
    if following is None:
        return None
    found: list[Attempt] = []
    for way in range(following.ways):
        budget[0] -= 1
        if budget[0] < 0:
            return None
        chosen = {**choices, following.key: way}
        inner = _ways(attempt, chosen, attempt(chosen), budget)
        if inner is None:
            return None
        found += inner
    return found


def _note(key: Key, problems: list[Problem]) -> Problem:
    file, line, text = key
    own = next((problem.file for problem in problems if problem.file), None)
    message = f"whichever way `{shown(text, 50)}` goes, the training is the same"
    return Problem(file=file or own, line=line, key=None, message=message, severity="note")

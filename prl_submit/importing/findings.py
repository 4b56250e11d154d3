"""The problems of a script: errors stop the import, notes do not."""

from __future__ import annotations

from prl_submit.errors import Problem
from prl_submit.importing.bash.scope import Default, Unknown
from prl_submit.importing.secrets import masked


def assumptions(names: tuple[str, ...]) -> str:
    """The options by which the user gives values that only the run knows."""
    return " ".join(f"--assume '{name}=VALUE'" for name in names[:4])


def advice(unknown: Unknown) -> str | None:
    """What to do about a value that cannot be known."""
    if not unknown.names:
        return unknown.hint
    assume = assumptions(unknown.names)
    return f"{unknown.hint}, or {assume}" if unknown.hint else assume


class Findings:
    """Collects the problems of a script, each once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._said: set[tuple[str | None, int | None, str, str | None, str]] = set()
        #: Values that no message may show.
        self.hidden: set[str] = set()
        #: Variables whose defaults have decided which way the script goes.
        self.deciding: set[str] = set()

    @property
    def has_errors(self) -> bool:
        """True if something was found that cannot be translated."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, line: int | None, message: str, hint: str | None = None) -> None:
        """Report what cannot be translated."""
        self._add(line, message, hint, "error")

    def note(self, line: int | None, message: str, hint: str | None = None) -> None:
        """Report what is translated in other words, or left out."""
        self._add(line, message, hint, "note")

    def take(self, problems: list[Problem]) -> None:
        """Add the problems that were found while the script was read."""
        for problem in problems:
            self._add(problem.line, problem.message, problem.hint, problem.severity)

    def unknown(self, line: int, what: str, unknown: Unknown) -> None:
        """Report a value that the spec needs and that cannot be known."""
        self.error(line, f"{what}: {unknown.why}", advice(unknown))

    def note_logs(self, line: int) -> None:
        """Note where the output is that a script sends to a file."""
        self.note(line, "the log is in the run directory: logs/node0.log")

    def decided(self, defaults: tuple[Default, ...], what: str, line: int) -> None:
        """Note that defaults, or missing arguments, have decided a condition."""
        names = list(dict.fromkeys(default.name for default in defaults))
        self.deciding.update(names)
        numbers = [name for name in names if name.isdigit()]
        others = [name for name in names if not name.isdigit()]
        parts = [f"the default of {', '.join(others)}"] if others else []
        if numbers:
            parts.append(f"that ${', $'.join(numbers)} is not given")
        message = f"{' and '.join(parts)} decides `{what}`"
        self.note(line, message, f"{assumptions(tuple(names))} decides it otherwise")

    def defaults(self, defaults: tuple[Default, ...], expected: str, use: str, line: int) -> None:
        """Note the variables that no longer change a value, because a spec has another name for it."""
        for default in defaults:
            if default.name == expected and default.whole and expected.startswith("PRL_"):
                continue
            name = f"${default.name}" if default.name.isdigit() else default.name
            part = " alone" if default.name == expected and not default.whole else ""
            message = f"the default of {name} is written down; {name}{part} no longer changes it"
            self.note(line, message, f"use {use}")

    def _add(self, line: int | None, message: str, hint: str | None, severity: str) -> None:
        problem = Problem(
            file=getattr(line, "file", self.file),
            line=None if line is None else int(line),
            key=None,
            message=masked(message, self.hidden),
            hint=hint and masked(hint, self.hidden),
            severity=severity,
        )
        key = (problem.file, problem.line, problem.message, problem.hint, severity)
        if key not in self._said:
            self._said.add(key)
            self.problems.append(problem)

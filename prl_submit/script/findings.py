"""What is to be said about a script: errors stop the import, notes do not."""

from __future__ import annotations

from prl_submit.errors import Problem
from prl_submit.script.scope import Default, Unknown


class Findings:
    """Gathers everything, by line."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def error(self, line: int | None, message: str, hint: str | None = None) -> None:
        """Something that cannot be translated."""
        self._add(line, message, hint, "error")

    def note(self, line: int | None, message: str, hint: str | None = None) -> None:
        """Something that is translated, and not word for word."""
        self._add(line, message, hint, "note")

    def unknown(self, line: int, what: str, unknown: Unknown) -> None:
        """A value that is needed and cannot be known."""
        self.error(line, f"{what}: {unknown.why}", unknown.hint)

    def defaults(self, defaults: tuple[Default, ...], expected: str, use: str, line: int) -> None:
        """What no longer changes the value, because a spec has another name for it."""
        for default in defaults:
            if default.name == expected and default.whole and expected.startswith("PRL_"):
                continue
            name = f"${default.name}" if default.name.isdigit() else default.name
            part = " alone" if default.name == expected and not default.whole else ""
            message = f"the default of {name} is written down; {name}{part} no longer changes it"
            self.note(line, message, f"use {use}")

    def _add(self, line: int | None, message: str, hint: str | None, severity: str) -> None:
        problem = Problem(
            file=self.file, line=line, key=None, message=message, hint=hint, severity=severity
        )
        if problem not in self.problems:
            self.problems.append(problem)

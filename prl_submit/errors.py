"""The errors of prl-submit, their exit codes, and how they are printed.

Exit codes, as `prl-submit --help` lists them: 1 the job failed or the backend refused it, 2 the spec or the
command line is wrong and nothing was created, 3 no such run, 4 the backend cannot be reached,
74 stdout could not be written, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

EXIT_JOB_FAILED = 1
EXIT_WRONG_INPUT = 2
EXIT_NO_SUCH_RUN = 3
EXIT_UNREACHABLE = 4
#: sysexits.h's EX_IOERR. It says nothing of a job: one that was started goes on.
EXIT_OUTPUT = 74
EXIT_INTERRUPTED = 130


class PrlSubmitError(Exception):
    """Root of every error that a user can cause or meet. `hint` says what the user can do."""

    exit_code = EXIT_WRONG_INPUT

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoSuchRunError(PrlSubmitError):
    """RUN names nothing under the output root."""

    exit_code = EXIT_NO_SUCH_RUN


class BackendRefusedError(PrlSubmitError):
    """The backend answered, and the answer was no."""

    exit_code = EXIT_JOB_FAILED


class Refusal(Struct, frozen=True):
    """Why a backend refuses a job. `key`: the key of the spec that the reason is about, where one is known."""

    key: str | None
    message: str
    hint: str | None = None


class RefusedError(BackendRefusedError):
    """The backend refused a job for a reason that lies in its spec."""

    def __init__(self, refusals: Sequence[Refusal], text: str | None = None) -> None:
        super().__init__(refusals[0].message, refusals[0].hint)
        self.refusals = list(refusals)
        #: The whole message, with the line of the spec, where that is known.
        self.text = text


class BackendUnreachableError(PrlSubmitError):
    """The backend gave no answer."""

    exit_code = EXIT_UNREACHABLE


class OutputError(PrlSubmitError):
    """The command did what the user asked for, but its result could not be written or printed."""

    exit_code = EXIT_OUTPUT


class OutcomeUnknownError(PrlSubmitError):
    """It is not known yet whether the backend took the job, so the run directory stays."""

    exit_code = EXIT_UNREACHABLE


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with a job spec, with the place that caused it.

    `file`/`line` (1-based) are null where the value came from the environment or a flag; `label`
    then names it (`PRL_NUM_GENERATIONS`, `--set swift.beta=x`) and is part of the message in JSON.
    """

    file: str | None
    line: int | None
    key: str | None
    message: str
    hint: str | None = None
    severity: str = "error"
    label: str | None = None


class SpecError(PrlSubmitError):
    """A spec cannot be used; carries all its problems, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(format_problem(p) for p in problems))
        self.problems = list(problems)


def format_problem(problem: Problem) -> str:
    """`error: FILE:LINE: dotted.key: what is wrong` and, on a second line, `hint: what to do`."""
    place = problem.label
    if problem.file is not None:
        place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
    key = None if place == f"--{problem.key}" else problem.key  # `--name` says it already
    parts = [problem.severity, place, key, problem.message]
    text = _one_line(": ".join(part for part in parts if part))
    return text if problem.hint is None else f"{text}\nhint: {problem.hint}"


def _one_line(text: str) -> str:
    """The text without escape sequences, which keys and values from files may have, and which a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def format_error(error: PrlSubmitError) -> str:
    """What is printed on stderr for any of our errors."""
    if isinstance(error, SpecError):
        return error.message
    if isinstance(error, RefusedError) and error.text is not None:
        return error.text
    text = f"error: {error.message}"
    return text if error.hint is None else f"{text}\nhint: {error.hint}"

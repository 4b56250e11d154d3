"""What several commands do with a planned job: print its problems, or render it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prl_submit.cli.console import note
from prl_submit.errors import SpecError, format_problem
from prl_submit.planning.plan import Planned
from prl_submit.prepare import errors_of

if TYPE_CHECKING:
    from pathlib import Path


def warn_or_stop(planned: Planned) -> None:
    """Print the warnings. Raises SpecError with all problems if one of them is an error."""
    if errors_of(planned):
        raise SpecError(planned.problems)
    for problem in planned.problems:
        note(format_problem(problem))


def render_bytes(planned: Planned, templates: Path | None) -> bytes:
    """The text that the backend would be sent for the job."""
    from prl_submit.backends.artefact import render_artefact  # a tenth of the time of `check`

    return render_artefact(planned.plan, templates).encode("utf-8")

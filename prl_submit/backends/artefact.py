"""The files that a job is made of: what `render` prints, and what submission writes and sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prl_submit import backends
from prl_submit.launch.render import render_launch, render_library
from prl_submit.runs.layout import LAUNCH, LIBRARY

if TYPE_CHECKING:
    from pathlib import Path

    from prl_submit.planning.plan import Plan

#: Stands for the run's token where nothing is submitted: `render` and `--dry-run`.
TOKEN_PLACEHOLDER = "0" * 16


def job_files(
    plan: Plan,
    site: Path | None = None,
    *,
    token: str = TOKEN_PLACEHOLDER,
    restarts: int = 0,
) -> dict[str, str]:
    """The text of every file that is sent, by its name in the run directory.

    The first one is what the backend is given (`Traits.artefact`, else launch.sh). `site`: the folder of
    --templates. `restarts`: how often the run was resumed. Raises PrlSubmitError if a template cannot be
    rendered.
    """
    launch = render_launch(plan, token=token, restarts=restarts, site=site)
    scripts = {LAUNCH: launch, LIBRARY: render_library(site)}
    name = plan.traits.artefact
    if name is None:
        return scripts
    artefact = backends.load_options(plan.backend).artefact(plan, scripts, token, site)
    return {name: artefact, **scripts}


def first_file(plan: Plan, site: Path | None = None) -> str:
    """The text that the backend is given, where nothing is submitted. Raises PrlSubmitError.

    If that is launch.sh, launch.lib.sh is not made, because it would take a millisecond; but a site's own
    launch.lib.sh is, so that its faults are told.
    """
    if plan.traits.artefact is None and site is None:
        return render_launch(plan, token=TOKEN_PLACEHOLDER)
    return first_of(job_files(plan, site))


def first_of(files: dict[str, str]) -> str:
    """The text that the backend is given, out of a job's files."""
    return next(iter(files.values()))

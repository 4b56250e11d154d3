"""What is sent to a backend, before there is a run directory and after: the same text."""

from __future__ import annotations

from pathlib import Path

from prl_submit import backends
from prl_submit.plan import Plan
from prl_submit.render import render_launch

#: Stands for the run's token where nothing is submitted: `render` and `--dry-run`.
TOKEN_PLACEHOLDER = "0" * 16


def render_artefact(plan: Plan, site: Path | None, token: str = TOKEN_PLACEHOLDER) -> str:
    """The text that submitting `plan` would send."""
    launch = render_launch(plan, token=token, site=site)
    return backends.load(plan.backend).render(plan, launch, token, site)

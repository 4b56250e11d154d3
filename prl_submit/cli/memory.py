"""`explain --memory`: the forecast as a table."""

from __future__ import annotations

import os

from prl_submit.cli.console import data, document, note, table
from prl_submit.memory.warning import find_forecast
from prl_submit.memory.words import document as as_document
from prl_submit.memory.words import rows, summary
from prl_submit.planning.plan import Planned
from prl_submit.probe import load_facts


def show_memory(planned: Planned, as_json: bool) -> None:
    """Print the parts, or on stderr why there is no forecast (JSON: `{"memory": null, "reason"}`)."""
    plan = planned.plan
    facts = load_facts(plan.backend, plan.slurm.partition, os.environ)
    found = find_forecast(planned, facts, os.environ)
    if isinstance(found, str):
        if as_json:
            document({"memory": None, "reason": found})
        else:
            note(f"no forecast: {found}")
        return
    if as_json:
        document({"memory": as_document(found.verdict, found.where), "reason": None})
        return
    header, lines = rows(found.verdict)
    data(table(header, lines))
    for line in summary(found.verdict, found.where):
        data(line)

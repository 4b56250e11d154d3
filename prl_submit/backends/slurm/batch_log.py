"""The log of a batch job: what Slurm's own programs say in it, and which attempt says it."""

from __future__ import annotations

import re

from prl_submit.system.excerpt import excerpt

#: slurmstepd's last words in the batch job's log (slurmstepd/req.c, 22.05).
_LAST_WORDS = re.compile(r"\*\*\* JOB (\d+) ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+))?")
#: job.sbatch's own first line: what stands before it in the log is an earlier attempt's.
_BEGINNING = re.compile(r"^prl-submit: \S+ job \d+ on .*$", re.MULTILINE)
#: slurmstepd's word on a step that ran out of memory; the job's state does not say it (facts).
OUT_OF_MEMORY = re.compile(r"oom.kill event")
#: What srun says of a task that failed (srun/libsrun, 22.05): node, task, words.
SRUN = re.compile(r"^srun: error: (\S+): tasks? (\S+): (.+)$", re.MULTILINE)


def of_this_attempt(log: str) -> str:
    """What stands behind job.sbatch's last first line."""
    found = list(_BEGINNING.finditer(log))
    return log[found[-1].end() :] if found else log


def due_to(log: str, job_id: str | None) -> str | None:
    """The cause in Slurm's last words on a job, empty where they name none; None: no such words."""
    found = [cause for job, cause in _LAST_WORDS.findall(log) if job_id in (None, job)]
    return found[-1].strip() if found else None


def last_line(log: str) -> str | None:
    """The last line that is not empty, at most 500 characters of it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return excerpt(lines[-1].removeprefix("prl-submit: "), 500) if lines else None

"""Read logs/slurm.log: the lines of slurmstepd and srun in it, and where each attempt begins."""

from __future__ import annotations

import re

from prl_submit.system.untrusted_text import excerpt

#: slurmstepd writes this line when Slurm ends a job (slurmstepd/req.c of Slurm 22.05).
_CANCELLED = re.compile(r"\*\*\* JOB (\d+) ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+))?")
#: job.sbatch prints this line first. A restarted job appends to the same log, so all lines before
#: the last such line belong to earlier attempts.
_BEGINNING = re.compile(r"^prl-submit: \S+ job [\d_]+ on .*$", re.MULTILINE)
#: slurmstepd writes this when the kernel has killed a process at the job's memory limit. The job's state
#: need not say so: Slurm 22.05.8 lists a job as COMPLETED if its batch script then exits with 0.
OUT_OF_MEMORY = re.compile(r"oom.kill event")
#: srun writes this about a failed task (srun/libsrun of Slurm 22.05): host name, task number, reason.
SRUN = re.compile(r"^srun: error: (\S+): tasks? (\S+): (.+)$", re.MULTILINE)


def of_this_attempt(log: str) -> str:
    """The part of the log that the last attempt wrote."""
    found = list(_BEGINNING.finditer(log))
    return log[found[-1].end() :] if found else log


def due_to(log: str, job_id: str | None) -> str | None:
    """Why Slurm ended the job: `TIME LIMIT`, `PREEMPTION`, …, from slurmstepd's last such line.

    Empty if the line names no cause (scancel); None if there is no such line. `job_id` None: of any
    job.
    """
    found = [cause for job, cause in _CANCELLED.findall(log) if job_id in (None, job)]
    return found[-1].strip() if found else None


def last_line(log: str) -> str | None:
    """The last line that is not empty, shortened to 500 characters."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return excerpt(lines[-1].removeprefix("prl-submit: "), 500) if lines else None

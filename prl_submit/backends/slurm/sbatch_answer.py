"""What sbatch's answer proves: that slurmctld accepted the job, that it refused it, or neither.

sbatch can fail although slurmctld has accepted the job: the network loses the answer, or a wrapper
script of the site fails after the real sbatch has succeeded. So a failure counts as a refusal only if
sbatch prints one of the known refusals.
"""

from __future__ import annotations

import re

from prl_submit.system.shell import Answer

#: The beginnings of the messages with which slurmctld refuses a job (slurm_errno.c of Slurm 22.05 to
#: 24.11). Messages of job_submit plugins and network errors are not in this list.
_REFUSALS = (
    "Access denied to requested reservation",
    "Access/permission denied",
    "Burst Buffer permission denied",
    "Burst Buffer request invalid",
    "Burst Buffer resource limit exceeded",
    "CPU count specification invalid",
    "Circular job dependency",
    "Duplicate generic resource (gres) specification",
    "Environment is missing in job",
    "Invalid --nice value",
    "Invalid account or account/partition combination specified",
    "Invalid cluster name",
    "Invalid feature specification",
    "Invalid generic resource (gres) specification",
    "Invalid group id",
    "Invalid job array specification",
    "Invalid license specification",
    "Invalid mcs_label specified",
    "Invalid node name specified",
    "Invalid partition name specified",
    "Invalid qos specification",
    "Invalid time specified",
    "Invalid user id",
    "Invalid wckey specification",
    "Job dependency problem",
    "Job script not specified",
    "Job size specification needs to be provided",
    "Job violates accounting/QOS policy",
    "Memory required by task is not available",
    "More processors requested than permitted",
    "No partition specified or system default partition",
    "Node count specification invalid",
    "Pathname of a file, directory or other parameter too long",
    "Requested node configuration is not available",
    "Requested nodes not in this partition",
    "Requested partition configuration not available now",
    "Requested reservation is invalid",
    "Requested reservation not usable now",
    "Requested time limit is invalid",
    "Required node not available",
    "Required partition not available",
    "System submissions disabled",
    "Task count specification invalid",
    "Task distribution specification invalid",
    "User's group not permitted to use this partition",
)
#: With these messages sbatch reports that it found no configuration or reached no slurmctld, so it
#: sent nothing.
_NEVER_SENT = (
    "Connection refused",
    "Could not establish a configuration source",
    "Munge encode failed",
    "Unable to contact slurm controller (connect failure)",
    "Unable to process configuration file",
)
_FAILED = re.compile(r"^(?:sbatch: )?(?:error: )?Batch job submission failed: (.*)$", re.MULTILINE)
_FATAL = re.compile(r"^sbatch: fatal: (.*)$", re.MULTILINE)
#: sbatch checks its options before it contacts slurmctld. With a bad one it prints this and exits 255.
_BAD_OPTION = re.compile(r"^sbatch: (?:unrecognized|invalid|ambiguous) option|^Try \"?sbatch --help", re.MULTILINE)  # fmt: skip
_BAD_OPTION_CODE = 255
#: prl_submit.system.shell reports with this line that it could not start sbatch.
_NOT_STARTED = re.compile(r"sbatch: [^:\n]*\n?")


def job_id_of(answer: Answer) -> str | None:
    """The id that `sbatch --parsable` printed (`77`, or `77;cluster`); None if it printed none."""
    last_line = answer.out.strip().rpartition("\n")[2]
    job_id = last_line.partition(";")[0]
    is_id = job_id.isascii() and job_id.isdecimal()
    return job_id if answer.code == 0 and is_id else None


def was_refused(answer: Answer) -> bool:
    """True if it is certain that there is no job, because sbatch or slurmctld refused it."""
    if answer.code <= 0 or answer.out.strip():
        return False
    if answer.code == _BAD_OPTION_CODE and _BAD_OPTION.search(answer.err):
        return True
    return _all_begin_with(_FAILED.findall(answer.err), _REFUSALS)


def was_never_sent(answer: Answer) -> bool:
    """True if it is certain that slurmctld never received the job."""
    if answer.code <= 0 or answer.out.strip():
        return False
    if answer.code in (126, 127) and _NOT_STARTED.fullmatch(answer.err):
        return True
    return _all_begin_with(_FAILED.findall(answer.err) + _FATAL.findall(answer.err), _NEVER_SENT)


def _all_begin_with(complaints: list[str], known: tuple[str, ...]) -> bool:
    return bool(complaints) and all(text.startswith(known) for text in complaints)

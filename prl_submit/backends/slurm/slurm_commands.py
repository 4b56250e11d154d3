"""Run Slurm's commands (squeue, sbatch, scancel, …) and recognise when slurmctld did not answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from prl_submit.backends.slurm.inherited_environment import question_environ
from prl_submit.errors import BackendUnreachableError
from prl_submit.system.shell import Answer, Shell

#: Seconds that a command may take. The limit is long because a busy slurmctld answers slowly;
#: a dead one is detected earlier, by `scontrol ping`.
QUESTION_S = 60.0
#: Seconds that `scontrol ping` may take.
_PING_S = 2.0
#: A failed command whose stderr holds one of these texts got no answer from slurmctld
#: (texts of slurm_errno.h; seen with Slurm 22.05.8).
_NO_ANSWER = (
    "Unable to contact slurm controller",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Connection refused",
    "Connection timed out",
    "Unexpected message received",
    "Message receive failure",
    "Message send failure",
    "Transport endpoint is not connected",
    "Connection reset by peer",
    "Broken pipe",
    "No route to host",
    "Network is unreachable",
    "Resource temporarily unavailable",
    "Slurm temporarily unable to accept job",
    "Slurm backup controller in standby mode",
    "Could not establish a configuration source",
    "Unable to process configuration",
    "Protocol authentication error",
    "Protocol version has incompatible versions",
)
#: Beginnings of an error line that say nothing about the error.
_PREAMBLES = (
    *("sbatch: ", "squeue: ", "sacct: ", "scancel: ", "sinfo: ", "error: ", "fatal: "),
    *("Batch job submission failed: ", "allocation failure: "),
)
#: Slurm ends its error line with these words when a job_submit plugin of the site refused the job.
#: The plugin's own message is on another line.
_REFUSED_BY_PLUGIN = ": Unspecified error"

_TIMED_OUT, _NOT_EXECUTABLE, _NOT_FOUND = 124, 126, 127


def gave_no_answer(answer: Answer) -> bool:
    """True if the command could not run or could not reach slurmctld, so nothing is known."""
    if answer.code in (_TIMED_OUT, _NOT_EXECUTABLE, _NOT_FOUND):
        return True
    return answer.code != 0 and any(text in answer.err for text in _NO_ANSWER)


def first_line(text: str) -> str:
    """The line of a command's output that says what failed, without the command's name.

    `no answer` for an empty text.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no answer"
    marks = ("failed: ", "failure: ", "fatal: ")
    failures = [line for line in lines if any(mark in line for mark in marks)]
    line = failures[0] if failures else lines[0]
    if line.endswith(_REFUSED_BY_PLUGIN) and len(lines) > 1:
        line = lines[0]
    for start in _PREAMBLES:
        line = line.removeprefix(start)
    return line


class NotInstalledError(BackendUnreachableError):
    """The command is not installed on this machine."""


class SilentError(BackendUnreachableError):
    """slurmctld runs but did not answer in time. It may still act on what it was sent."""


class SlurmCommands:
    """Slurm's commands, called without the environment variables that would change their output."""

    def __init__(self, shell: Shell, environ: Mapping[str, str]) -> None:
        self._shell = shell
        self._environ = question_environ(environ)

    def ask(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        environ: Mapping[str, str] | None = None,
        timeout: float = QUESTION_S,
    ) -> Answer:
        """Run a command that only reads, and return its answer.

        `environ` replaces the usual environment. Raises BackendUnreachableError if slurmctld does
        not answer within `timeout` seconds.

        Two shortcuts save the user from waiting (times measured with Slurm 22.05.8). While slurmctld
        is down, every command hangs for 9 s, but `scontrol ping` reports it within 20 ms: the shell
        calls `why_down` while the command runs. If the file in SLURM_CONF is missing, every command
        retries for 60 s, so the file is looked for first.
        """
        conf = self._environ.get("SLURM_CONF")
        if conf and not os.path.exists(conf):
            raise BackendUnreachableError(
                f"Slurm does not answer: SLURM_CONF={conf} is not there", "unset or correct it"
            )
        answer = self._shell(
            argv,
            timeout=timeout,
            environ=environ or self._environ,
            stdin=stdin,
            doubt=self.why_down,
        )
        if gave_no_answer(answer):
            raise unreachable(answer)
        return answer

    def order(self, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Answer:
        """Run a command that changes something (sbatch, scancel) and return its answer.

        Unlike `ask` it is never stopped early, because then nobody would know whether Slurm obeyed.
        """
        return self._shell(argv, timeout=QUESTION_S, environ=environ or self._environ)

    def why_down(self) -> str | None:
        """`scontrol ping`'s line if no slurmctld is up; None if one is up or ping was too slow."""
        answer = self._shell(["scontrol", "ping"], timeout=_PING_S, environ=self._environ)
        if answer.code in (0, _TIMED_OUT) or " is UP" in answer.out:
            return None
        return first_line(answer.out or answer.err)


def unreachable(answer: Answer) -> BackendUnreachableError:
    """The error to raise for an answer for which `gave_no_answer` is true."""
    if answer.code == _NOT_FOUND:
        return NotInstalledError(
            answer.err, "Slurm's commands are needed: submit from a login node of the cluster"
        )
    silent = "timed out" in answer.err or "no answer within" in answer.err
    kind = SilentError if silent else BackendUnreachableError
    return kind(
        f"Slurm does not answer: {first_line(answer.err)}",
        "`scontrol ping` shows its controllers; jobs that run are not touched by this",
    )

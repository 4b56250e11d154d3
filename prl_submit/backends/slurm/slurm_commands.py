"""Asking Slurm by its own commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from prl_submit.backends.slurm.inherited_environment import question_environ
from prl_submit.errors import BackendUnreachableError
from prl_submit.system.shell import Answer, Shell

#: Seconds. A busy controller takes its time; a dead one is found out by `scontrol ping`.
QUESTION_S = 60.0
_PING_S = 2.0
#: The controller gave no answer (slurm_errno.h; measured on 22.05.8).
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
#: What stands before what matters.
_PREAMBLES = (
    *("sbatch: ", "squeue: ", "sacct: ", "scancel: ", "sinfo: ", "error: ", "fatal: "),
    *("Batch job submission failed: ", "allocation failure: "),
)


#: All that Slurm itself says where a plugin of the site refuses a job.
_NOTHING = ": Unspecified error"


def gave_no_answer(answer: Answer) -> bool:
    """Whether the controller, not the command, is what failed."""
    return answer.code in (124, 126, 127) or (
        answer.code != 0 and any(text in answer.err for text in _NO_ANSWER)
    )


def first_line(text: str) -> str:
    """A command's complaint, without its name: the line that says what failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marks = ("failed: ", "failure: ", "fatal: ")
    chosen = next((line for line in lines if any(mark in line for mark in marks)), None)
    if chosen is not None and chosen.endswith(_NOTHING) and len(lines) > 1:
        chosen = None  # a plugin of the site says why
    line = chosen or (lines[0] if lines else "no answer")
    for start in _PREAMBLES:
        line = line.removeprefix(start)
    return line


class NotInstalledError(BackendUnreachableError):
    """The command is not on this machine."""


class SilentError(BackendUnreachableError):
    """A controller is there, but gave no answer in time; it may yet act on what it was sent."""


class Slurm:
    """Slurm's commands, in one environment."""

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
        """The answer to a question, asked in `environ` where one is given.

        Raises BackendUnreachableError where there is none within `timeout` seconds.

        A stopped controller lets commands hang for 9 s; ping knows in 20 ms (facts, 22.05.8). A
        missing configuration is waited for by every command, ping too, for 60 s.
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
        """An order: never cut short by doubt, for nobody could say then what became of it."""
        return self._shell(argv, timeout=QUESTION_S, environ=environ or self._environ)

    def why_down(self) -> str | None:
        """What `scontrol ping` says where no controller is up; None where one is, or may be."""
        answer = self._shell(["scontrol", "ping"], timeout=_PING_S, environ=self._environ)
        if answer.code in (0, 124) or " is UP" in answer.out:
            return None
        return first_line(answer.out or answer.err)


def unreachable(answer: Answer) -> BackendUnreachableError:
    """The error for a controller that gave no answer."""
    if answer.code == 127:
        return NotInstalledError(
            answer.err, "Slurm's commands are needed: submit from a login node of the cluster"
        )
    silent = "timed out" in answer.err or "no answer within" in answer.err
    kind = SilentError if silent else BackendUnreachableError
    return kind(
        f"Slurm does not answer: {first_line(answer.err)}",
        "`scontrol ping` shows its controllers; jobs that run are not touched by this",
    )

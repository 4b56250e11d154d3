"""Check that bash can read the lines of environment.setup.

The lines are a part of launch.sh, at its top level, so one command may go over several lines. If a quote or
bracket is not closed, bash takes the text that follows in launch.sh as a part of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.planning.plan import Planned
from prl_submit.spec.nodes import near_origin, problem_at
from prl_submit.system.shared_results import shared
from prl_submit.system.shell import Shell

#: How many seconds bash may take to read the lines.
_READ_S = 5.0
#: Words and spaces, and no character that means something to bash.
_PLAIN = r"[A-Za-z0-9_./:=,@%+ -]*"
#: At the beginning of a command these words open or close something.
_RESERVED = frozenset(
    (
        *("if", "then", "elif", "else", "fi", "for", "in", "while", "until", "do", "done"),
        *("case", "esac", "select", "function", "time", "coproc"),
    )
)


def check_setup(planned: Planned, shell: Shell) -> Iterator[Problem]:
    """A warning if bash cannot read the lines to their end. `bash -n` reads them and runs none of them.

    Most lines are plain words, which cannot be wrong: then no bash is started.
    """
    if all(is_plain(line) for line in planned.plan.environment.setup):
        return
    fault = _fault("\n".join(planned.plan.environment.setup), shell)
    if fault:
        key = "environment.setup"
        message = f"bash cannot read the lines to their end: {fault}"
        hint = "close the open quote, bracket, `if` or here-document; else the job fails or loses a line"
        yield problem_at(near_origin(planned.job.tree, key), key, message, hint, "warning")


def is_plain(line: str) -> bool:
    """True if a line is one command of plain words, such as `module load cuda/12.4`."""
    words = line.split()
    return re.fullmatch(_PLAIN, line) is not None and not (words and words[0] in _RESERVED)


@shared
def _fault(text: str, shell: Shell) -> str | None:
    """The message of bash about lines that it cannot read to their end; None if it can."""
    # extglob is on, because a line may switch it on, and without it bash refuses such patterns.
    answer = shell(["bash", "--norc", "-O", "extglob", "-n", "-c", text], timeout=_READ_S)
    words = [text for text in answer.err.splitlines() if text.startswith("bash: ")]
    if not words or not (answer.code == 2 or "here-document" in words[0]):
        return None  # bash can read the lines, or there is no bash on this machine
    return words[0].removeprefix("bash: ").removeprefix("-c: ")

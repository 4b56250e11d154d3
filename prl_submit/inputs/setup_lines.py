"""environment.setup: whether bash can read the lines together.

launch.sh has them at its top level, so a construct may go over several lines. An open quote or bracket
takes into the line what follows it, up to the next quote in launch.sh itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.planning.plan import Planned
from prl_submit.spec.nodes import near_origin, problem_at
from prl_submit.system.shell import Shell

#: Seconds for bash to read the lines.
_READ_S = 5.0


def check_setup(planned: Planned, shell: Shell) -> Iterator[Problem]:
    """A warning where bash, asked with -n, does not take the lines for whole. Runs none of them."""
    fault = _fault("\n".join(planned.plan.environment.setup), shell)
    if fault:
        key = "environment.setup"
        message = f"bash cannot read it to its end: {fault}"
        hint = "a quote, bracket, `if` or here-document is open; the job would fail, or lose a line"
        yield problem_at(near_origin(planned.job.tree, key), key, message, hint, "warning")


def _fault(text: str, shell: Shell) -> str | None:
    # extglob: a line may switch it on, and without it such patterns are errors.
    answer = shell(["bash", "--norc", "-O", "extglob", "-n", "-c", text], timeout=_READ_S)
    words = [text for text in answer.err.splitlines() if text.startswith("bash: ")]
    if not words or not (answer.code == 2 or "here-document" in words[0]):
        return None  # it can be read; or there is no bash here, and then nothing is known
    return words[0].removeprefix("bash: ").removeprefix("-c: ")

"""environment.setup: whether bash can read each line by itself.

launch.sh has the lines at its top level. An open quote or bracket would take what follows it into the line.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.plan import Planned
from prl_submit.shell import Shell
from prl_submit.tree import lookup, near_origin, problem_at

#: Seconds for bash to read a line.
_READ_S = 5.0


def check_setup(planned: Planned, shell: Shell) -> Iterator[Problem]:
    """An error for each line that bash, asked with -n, does not take for whole. Runs none of them."""
    node = lookup(planned.job.tree, "environment.setup")
    items = node.value if node is not None and isinstance(node.value, list) else []
    for at, line in enumerate(planned.plan.environment.setup):
        fault = _fault(line, shell)
        if fault:
            key = f"environment.setup[{at}]"
            whole = len(items) == len(planned.plan.environment.setup)
            origin = items[at].origin if whole else near_origin(planned.job.tree, key)
            hint = (
                "each item is whole bash by itself; one that needs several lines is written with |"
            )
            yield problem_at(origin, key, f"bash cannot read it: {fault}", hint)


def _fault(line: str, shell: Shell) -> str | None:
    # extglob: an earlier line may switch it on, and without it such patterns are errors.
    answer = shell(["bash", "--norc", "-O", "extglob", "-n", "-c", line], timeout=_READ_S)
    words = [text for text in answer.err.splitlines() if text.startswith("bash: ")]
    if not words or not (answer.code == 2 or "here-document" in words[0]):
        return None  # it can be read; or there is no bash here, and then nothing is known
    return words[0].removeprefix("bash: ").removeprefix("-c: ").removeprefix("line 1: ")

"""How the probe enters the training environment: by the very lines of launch.sh."""

from __future__ import annotations

from prl_submit.plan import Plan
from prl_submit.probe.node import ANSWER
from prl_submit.quote import bash
from prl_submit.render import render_launch

#: launch.sh's heading of the lines that make the environment; the next heading ends them.
_BEGIN = "\n# --- environment ---"
_HEADING = "\n# --- "

_HEAD = """\
set -euo pipefail
exec 3>&1 1>&2
fail() { printf '%s\\n' "$2" >&2; exit "$1"; }
"""
#: The interpreter that torchrun will use, as launch.sh's preflight finds it.
_TAIL = """\
set +e
first=
! type -P torchrun >/dev/null || read -r first <"$(type -P torchrun)"
case $first in
  '#!'*python*) read -ra python <<<"${first#'#!'}" ;;
  *) python=("$(type -P python || type -P python3)") ;;
esac
[[ -n ${python[0]} ]] || fail 78 "no python on PATH"
exec "${python[@]}" -c "$prl_code" >&3
"""
#: Metadata only: importing torch takes seconds.
_CODE = f"""\
import sys
sys.path[:] = [folder for folder in sys.path if folder]  # files of the working directory are no modules
import importlib.metadata, json, platform
found = {{"python": platform.python_version()}}
for name in ("ms-swift", "torch", "vllm"):
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = None
print({ANSWER!r} + json.dumps(found))
"""


def version_script(plan: Plan | None) -> str | None:
    """Bash that prints the versions of a plan's environment, or (None) of the one it starts in.

    None where the training runs in a container, whose inside the node cannot see.
    """
    own = ""
    if plan is not None:
        if plan.environment.container is not None:
            return None
        launch = render_launch(plan, token="")
        begin = launch.index(_BEGIN)
        section = launch[begin : launch.index(_HEADING, begin + len(_BEGIN))]
        own = f"prl_workdir={bash(plan.workdir)}\n{section}\n"
    return f"{_HEAD}{own}prl_code={bash(_CODE)}\n{_TAIL}"

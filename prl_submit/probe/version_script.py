"""The script with which the probe enters the training environment: by the lines of launch.sh."""

from __future__ import annotations

from prl_submit.launch.quote import bash
from prl_submit.launch.render import render_launch
from prl_submit.planning.plan import Plan
from prl_submit.probe.on_node import ANSWER

#: launch.sh's headings of the lines that make the environment; the next heading ends each.
_SECTIONS = ("\n# --- this shell ---", "\n# --- environment ---")
_HEADING = "\n# --- "
#: Where the values of the job begin.
_VALUES = "\nprl_run_dir="

#: What those lines need from the rest of launch.sh. A probe is never asked to save, so `prl_arm`,
#: which sets launch.sh's traps, does nothing.
_HEAD = """\
exec 3>&1 1>&2
prl_fail() { printf '%s\\n' "$2" >&2; exit "$1"; }
prl_say() { printf '%s\\n' "$*" >&2; }
prl_arm() { :; }
prl_out=2 prl_doing= prl_host=$(uname -n)
"""
#: Finds the Python that torchrun will use, in the way of launch.sh's preflight.
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
#: Reads the packages' metadata only, because importing torch takes seconds.
_CODE = f"""\
import sys
sys.path[:] = [folder for folder in sys.path if folder]  # a file of the working directory is no module
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
    """A bash script that prints the versions in the plan's environment.

    Without a plan it prints those of the environment it is started in. None if the training runs in a
    container, because the node cannot look into that.
    """
    own = ""
    if plan is not None:
        if plan.environment.container is not None:
            return None
        launch = render_launch(plan, token="")
        own = f"prl_workdir={bash(plan.workdir)}\n{''.join(_section(launch, name) for name in _SECTIONS)}\n"
    return f"{_HEAD}{own}prl_code={bash(_CODE)}\n{_TAIL}"


def _section(launch: str, heading: str) -> str:
    """The lines of launch.sh below a heading, up to the next heading or the job's own values."""
    begin = launch.index(heading)
    lines = launch[begin : launch.index(_HEADING, begin + len(heading))]
    return lines.partition(_VALUES)[0]

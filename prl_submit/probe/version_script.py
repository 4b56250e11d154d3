"""The script with which the probe enters the training environment: by the lines of launch.sh."""

from __future__ import annotations

from pathlib import Path

from prl_submit.launch.quote import bash
from prl_submit.launch.render import render_environment, render_library
from prl_submit.planning.plan import Plan
from prl_submit.probe.on_node import ANSWER

#: Stands after launch.lib.sh. A probe is never asked to save, so `prl_arm`, which sets launch.sh's traps,
#: does nothing, and a failure is a line on stderr.
_HEAD = """\
exec 3>&1 1>&2
prl_fail() { printf '%s\\n' "$2" >&2; exit "$1"; }
prl_say() { printf '%s\\n' "$*" >&2; }
prl_arm() { :; }
prl_out=2 prl_host=$(uname -n)
"""
#: Asks the Python that torchrun will use.
_TAIL = """\
prl_find_python
[[ -n ${prl_python[0]} ]] || prl_fail 78 "no python on PATH"
exec "${prl_python[@]}" -c "$prl_probe_code" >&3
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


def version_script(plan: Plan | None, site: Path | None = None) -> str | None:
    """A bash script that prints the versions in the plan's environment.

    Without a plan it prints those of the environment it is started in. None if the training runs in a
    container, because the node cannot look into that. `site`: the folder of --templates.
    """
    own = ""
    if plan is not None:
        if plan.environment.container is not None:
            return None
        own = f"prl_workdir={bash(plan.workdir)}\nprl_enter_workdir\n{render_environment(plan, site)}\n"
    return f"{render_library(site)}{_HEAD}{own}prl_probe_code={bash(_CODE)}\n{_TAIL}"

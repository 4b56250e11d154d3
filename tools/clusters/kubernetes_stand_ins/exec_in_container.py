"""Run another program inside a running container, for `kubectl exec`.

usage: python -m tools.clusters.kubernetes_stand_ins.exec_in_container PID SPEC FAILURE
PID is a process of the container. SPEC and FAILURE are open file descriptors: SPEC holds JSON that says
what to run; into FAILURE goes the reason if it cannot be started. The program gets this process's
stdin, stdout and stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import namespaces


def main() -> None:
    """Start the program, wait for its end, end with its exit code."""
    pid, spec_file, failure = (int(word) for word in sys.argv[1:])
    with open(spec_file, "rb") as file:
        spec: Any = json.load(file)
    os.set_inheritable(failure, False)
    namespaces.join(pid, "uts", "ipc", "net", "pid", "mnt")
    child = os.fork()
    if child == 0:
        _become(spec, failure)
    for number in (0, 1, 2, failure):
        os.close(number)  # so that readers see the end of the streams when the program ends
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _become(spec: Any, failure: int) -> None:
    """Become the program, in the child process. Never returns."""
    try:
        os.setsid()
        if spec["memory"]:
            Path(spec["memory"]["group"], "cgroup.procs").write_text("0")
        namespaces.become(spec["user"])
        namespaces.run(spec["argv"], spec["env"], spec["workingDir"] or "/")
    except OSError as error:
        os.write(failure, namespaces.reason(error, spec["argv"][0]).encode())
    finally:
        os._exit(128)


if __name__ == "__main__":
    main()

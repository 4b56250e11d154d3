"""The process that holds the namespaces which a pod's containers share. Kubernetes calls it `pause`.

usage: python -m tools.clusters.kubernetes_stand_ins.sandbox_process FOLDER
FOLDER/sandbox.json says what to make. When that is done, this process writes its identity to
FOLDER/sandbox.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import namespaces, system_calls, whole_files


def main() -> None:
    """Make the namespaces, then sleep."""
    folder = Path(sys.argv[1])
    wanted: Any = whole_files.read_json(folder / "sandbox.json")
    _take_network(wanted["network"])
    system_calls.unshare(system_calls.NEW_UTS | system_calls.NEW_IPC)
    system_calls.set_hostname(wanted["hostname"])
    system_calls.make_private()
    for one in wanted["memory"]:
        system_calls.mount(
            "tmpfs",
            one["path"],
            "tmpfs",
            system_calls.NO_SUID | system_calls.NO_DEV,
            one["options"],
        )
    whole_files.write(folder / "sandbox", system_calls.identity(os.getpid()))
    os.execvp("sleep", ["sleep", "infinity"])


def _take_network(wanted: int | str) -> None:
    """Use the machine's network, a new one, or that of another process."""
    if wanted == "new":
        system_calls.unshare(system_calls.NEW_NETWORK)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    elif wanted != "host":
        namespaces.join(int(wanted), "net")


if __name__ == "__main__":
    main()

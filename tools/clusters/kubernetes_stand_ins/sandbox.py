"""What holds a pod's namespaces, and what its containers share; the original is called pause.

usage: python -m tools.clusters.kubernetes_stand_ins.sandbox FOLDER
FOLDER/sandbox.json says what is wanted; FOLDER/sandbox says who holds it, once it is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import disk, linux, namespaces


def main() -> None:
    """Make them, then sleep."""
    folder = Path(sys.argv[1])
    wanted: Any = disk.read_json(folder / "sandbox.json")
    _take_network(wanted["network"])
    linux.unshare(linux.NEW_UTS | linux.NEW_IPC)
    linux.set_hostname(wanted["hostname"])
    linux.make_private()
    for one in wanted["memory"]:
        linux.mount("tmpfs", one["path"], "tmpfs", linux.NO_SUID | linux.NO_DEV, one["options"])
    disk.write(folder / "sandbox", linux.identity(os.getpid()))
    os.execvp("sleep", ["sleep", "infinity"])


def _take_network(wanted: int | str) -> None:
    """The host's, a new one, or that of a process."""
    if wanted == "new":
        linux.unshare(linux.NEW_NETWORK)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    elif wanted != "host":
        namespaces.join(int(wanted), "net")


if __name__ == "__main__":
    main()

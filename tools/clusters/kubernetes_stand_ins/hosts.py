"""A pod's /etc/hosts. It also lists the services, because a test cluster has no name server."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def hosts_text(pod: str, namespace: str, services: list[str]) -> str:
    """The text of /etc/hosts: every name has the address of this machine."""
    names = ["localhost", socket.gethostname(), pod]
    for service in sorted(services):
        full = f"{service}.{namespace}"
        names += [service, full, f"{full}.svc", f"{full}.svc.cluster.local"]
    return "".join(f"127.0.0.1\t{name}\n" for name in dict.fromkeys(names))


def write_hosts(path: Path, text: str) -> None:
    """Write the text into the same file, because containers have that file mounted."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        data = text.encode()
        os.pwrite(file, data, 0)
        os.ftruncate(file, len(data))
    finally:
        os.close(file)

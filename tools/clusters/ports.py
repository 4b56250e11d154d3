"""Free ports for the daemons of a test cluster."""

from __future__ import annotations

import contextlib
import random
import socket

from tools.clusters.processes import ClusterError

#: Below the ports that the kernel gives to outgoing connections.
PORTS = range(15000, 32000)


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens. They are random, so that two clusters seldom choose the same."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
            if len(found) == count:
                return found
    raise ClusterError(f"fewer than {count} free ports in {PORTS}")

"""Where the parts of a test cluster keep what, and how its processes are known."""

from __future__ import annotations

from pathlib import Path

#: In the environment of every process of a cluster: the cluster's folder.
MARK = "PRL_KUBERNETES_TEST_CLUSTER"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


def mark_of(root: Path) -> str:
    """NAME=value, as it stands in /proc/PID/environ."""
    return f"{MARK}={root}"


def certificates(root: Path) -> Path:
    """Keys and certificates."""
    return root / "certificates"


def pods(root: Path) -> Path:
    """A folder for each pod that the nodes know, by uid."""
    return root / "pods"


def claims(root: Path) -> Path:
    """What persistent volume claims hold, by namespace and name."""
    return root / "claims"


def memory_group(root: Path) -> Path:
    """The control group under which each container has one; cgroup v1."""
    return MEMORY_GROUPS / f"prl-{str(root).strip('/').replace('/', '-')}"

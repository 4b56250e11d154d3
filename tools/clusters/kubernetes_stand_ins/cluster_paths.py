"""The folders of a test cluster, and the mark by which its processes are known."""

from __future__ import annotations

from pathlib import Path

#: The variable with the cluster's folder, in the environment of each of its processes.
MARK = "PRL_KUBERNETES_TEST_CLUSTER"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


def mark_of(root: Path) -> str:
    """The mark as NAME=value, as it stands in /proc/PID/environ."""
    return f"{MARK}={root}"


def certificates(root: Path) -> Path:
    """The folder of keys and certificates."""
    return root / "certificates"


def pods(root: Path) -> Path:
    """The folder with a folder for each pod, named by the pod's uid."""
    return root / "pods"


def claims(root: Path) -> Path:
    """The folder with the content of persistent volume claims, by namespace and name."""
    return root / "claims"


def memory_group(root: Path) -> Path:
    """The control group (version 1) below which each container has its own."""
    return MEMORY_GROUPS / f"prl-{str(root).strip('/').replace('/', '-')}"

"""Tests on a real Slurm: two clusters for the whole session, and worlds that submit to them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import World
from tools.clusters.slurm import SlurmCluster
from tools.clusters.slurm_configuration import available, cgroups_allow

HERE = Path(__file__).parent
#: Whether jobs are killed at their memory limit: only where this machine's cgroups let us.
LIMITED = cgroups_allow() is None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one that needs Slurm."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)


class SlurmWorld(World):
    """A world whose jobs go to a Slurm cluster."""

    def __init__(self, root: Path, cluster: SlurmCluster) -> None:
        super().__init__(root)
        self.cluster = cluster
        self.environ |= cluster.environ

    def spec(self, file: str = "job.yaml", **over: Any) -> Path:
        """Write a job spec for Slurm."""
        return super().spec(file, **{"backend": "slurm"} | over)

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What `list` shows, by job name."""
        return {run["name"]: run for run in self.prl("list", "--json").json["runs"]}

    def close(self) -> None:
        """Also cancel all jobs and repair the cluster, because a test may have stopped a part of it."""
        try:
            self.cluster.heal()
        finally:
            super().close()
        self.cluster.cancel_all()  # what the world's own processes submitted until their end


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Four nodes without accounting, so sacct knows nothing. Slurm signals launch.sh only."""
    root = tmp_path_factory.mktemp("slurm")
    track = "cgroup" if LIMITED else "linuxproc"
    with SlurmCluster.start(
        root, message_timeout=3, cgroup_memory=LIMITED, proctrack=track
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def accounting_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Four nodes with slurmdbd, which refuses unknown accounts. Slurm signals every process."""
    if lack := available(accounting=True):
        pytest.skip(lack)  # with `--require slurm` no test was started at all
    root = tmp_path_factory.mktemp("slurmdb")
    with SlurmCluster.start(
        root, accounting=True, enforce=True, message_timeout=3, cgroup_memory=LIMITED
    ) as cluster:
        yield cluster


@pytest.fixture
def new_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., SlurmCluster]]:
    """Clusters for one test, which may break them. Options as of SlurmCluster.start."""
    with contextlib.ExitStack() as clusters:
        # Not in tmp_path: the test's name in it is too long for sockets.
        yield lambda **options: clusters.enter_context(
            SlurmCluster.start(tmp_path_factory.mktemp("slurm"), **options)
        )


@pytest.fixture
def slurm(tmp_path: Path, slurm_cluster: SlurmCluster) -> Iterator[SlurmWorld]:
    """A world on the cluster without accounting."""
    world = SlurmWorld(tmp_path, slurm_cluster)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def slurm_accounting(tmp_path: Path, accounting_cluster: SlurmCluster) -> Iterator[SlurmWorld]:
    """A world on the cluster with accounting."""
    world = SlurmWorld(tmp_path, accounting_cluster)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(params=["slurm", "slurm_accounting"])
def any_slurm(request: pytest.FixtureRequest) -> SlurmWorld:
    """Each test twice: without accounting, and with."""
    world = request.getfixturevalue(request.param)
    assert isinstance(world, SlurmWorld)
    return world

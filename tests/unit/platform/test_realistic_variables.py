"""The variables of real platforms, as the test nodes set them, are read as this node's place."""

from __future__ import annotations

import pytest

from prl_submit.backends.platform.variables import see_platform
from tools.clusters.platform_variables import PLATFORMS, variables

NAMES = ["job-master-0", "job-worker-0", "job-worker-1"]


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("like", PLATFORMS)
def test_every_platform(like: str, rank: int) -> None:
    seen = see_platform(variables(like, rank, NAMES, gpus=8))
    assert seen is not None
    assert seen.faults == ()
    assert (seen.nodes, seen.node_rank, seen.nproc_per_node) == (3, rank, 8)
    assert seen.master_addr == NAMES[0]


@pytest.mark.parametrize("like", PLATFORMS)
def test_a_job_of_one_node(like: str) -> None:
    seen = see_platform(variables(like, 0, NAMES[:1], gpus=2))
    assert seen is not None
    assert seen.faults == ()
    assert (seen.nodes, seen.node_rank, seen.nproc_per_node) == (1, 0, 2)

"""Which variables of the user's environment a local job gets."""

from __future__ import annotations

import pytest

from prl_submit.backends.inherited_variables import is_inherited


@pytest.mark.parametrize("name", ["PATH", "HF_TOKEN", "SLURM_JOB_ID", "MY_ENV", "NCCL_DEBUG"])
def test_a_job_gets_what_means_nothing_to_launch_sh(name: str) -> None:
    assert is_inherited(name)


@pytest.mark.parametrize(
    "name", ["BASH_ENV", "ENV", "SHELLOPTS", "CDPATH", "MASTER_PORT", "PRL_SUBMIT_TOKEN"]
)
def test_a_job_does_not_get_what_launch_sh_or_torchrun_would_obey(name: str) -> None:
    assert not is_inherited(name)

"""The line of `doctor` on platforms."""

from __future__ import annotations

import pytest

from prl_submit.backends.platform.doctor_line import doctor_line
from tests.support.platform_variables import ROWS


@pytest.mark.parametrize("row", ROWS)
def test_it_names_the_platform_and_every_value_that_it_read(row: str) -> None:
    found = doctor_line(ROWS[row])
    assert found.ok
    assert row in found.detail
    assert all(f"={value}" in found.detail for value in ("2", "1", "8"))


def test_values_and_what_is_not_told() -> None:
    assert doctor_line(ROWS["Volcengine"]).detail == (
        "Volcengine: nodes MLP_WORKER_NUM=2, this node MLP_ROLE_INDEX=1, "
        "master MLP_WORKER_0_HOST=10.128.97.74, port MLP_WORKER_0_PORT=2222, "
        "GPUs per node MLP_WORKER_GPU=8, job MLP_TASK_ID=t-20210924211641-nznsh"
    )
    assert doctor_line({"NNODES": "1"}).detail == (
        "NNODES: nodes NNODES=1, this node the only one, master not told, port launch.sh chooses one, "
        "GPUs per node launch.sh counts them, job not told"
    )


def test_none_and_wrong_values() -> None:
    assert doctor_line({}).detail.startswith("none: ")
    assert doctor_line({}).ok is None
    inside = doctor_line({**ROWS["PAI-DLC"], "LOCAL_RANK": "0"})
    assert "inside torchrun" in inside.detail
    wrong = doctor_line({**ROWS["PAI-DLC"], "RANK": "5"})
    assert (wrong.ok, "RANK=5 is not a node of 2 (WORLD_SIZE=2)" in wrong.detail) == (None, True)
    assert "platform: {nodes" in (wrong.hint or "")

"""launch.sh of any backend in its run directory, to be run here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prl_submit.launch.render import render_launch
from prl_submit.planning.layers import load_layers
from prl_submit.planning.plan import Context, make_plan, with_run_dir
from prl_submit.swift.table import load_table

if TYPE_CHECKING:
    from tests.conftest import World


def launch(world: World, *, restarts: int = 0, run: str = "run", **over: Any) -> Path:
    """The run directory of a rendered launch.sh; `restarts` attempts were made before it."""
    spec = str(world.spec(**over))
    table = load_table()
    layered = load_layers(
        spec,
        read=lambda path: Path(path).read_bytes(),
        profile=None,
        environ={},
        sets=(),
        table=table,
    )
    planned = make_plan(layered, table, spec, Context(str(world.root), str(world.root)))
    assert [problem for problem in planned.problems if problem.severity == "error"] == []
    folder = world.root / run
    folder.mkdir(exist_ok=True)
    plan = with_run_dir(planned.plan, str(folder))
    (folder / "launch.sh").write_text(render_launch(plan, token=world.mark, restarts=restarts))
    return folder

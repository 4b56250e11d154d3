"""launch.sh of any backend in its run directory, to be run here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prl_submit.launch.render import render_launch, render_library
from prl_submit.planning.plan import Context, with_run_dir
from tests.support.plans import planned

if TYPE_CHECKING:
    from tests.conftest import World


def launch(world: World, *, restarts: int = 0, run: str = "run", **over: Any) -> Path:
    """The run directory of a rendered launch.sh; `restarts` attempts were made before it."""
    made = planned(
        None,
        name=str(world.spec(**over)),
        read=lambda path: Path(path).read_bytes(),
        context=Context(str(world.root), str(world.root)),
    )
    assert [problem for problem in made.problems if problem.severity == "error"] == []
    folder = world.root / run
    folder.mkdir(exist_ok=True)
    plan = with_run_dir(made.plan, str(folder))
    (folder / "launch.sh").write_text(render_launch(plan, token=world.mark, restarts=restarts))
    (folder / "launch.lib.sh").write_text(render_library())
    return folder

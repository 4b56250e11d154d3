"""`status --watch` on a terminal: the table of runs, drawn anew until all runs have ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prl_submit.cli.views.live_runs import LiveRuns
from prl_submit.cli.views.live_screen import LiveScreen, size
from prl_submit.cli.views.run_table import HINT, STATUS, RunBlock, TableLine, lay_out
from prl_submit.cli.views.shown_runs import make_look, print_table, styled
from prl_submit.results.run_status import RunView
from prl_submit.runs.directory import Run
from prl_submit.runs.states import FINISHED, QUEUED, RUNNING, Status

#: Seconds between two looks at least.
_WATCH_S = 1.0
#: A look may take this share of a core; if looks take longer, there are fewer of them.
_SHARE = 0.04
#: The order in which runs give way where not all fit: the last ones first.
_RANKS = {RUNNING: 0, QUEUED: 1}


def watch_table(named: list[Run], root: Path) -> list[Status]:
    """Redraw the table until all runs in it have ended; their last statuses.

    A run that ends meanwhile stays in the table. At the end, also after Ctrl-C, the whole table is printed on
    the usual screen.
    """
    runs = LiveRuns(named, root)
    views: list[RunView] = []
    try:
        with LiveScreen() as screen:
            while True:
                began = time.process_time()
                views = runs.look()
                width, height = size()
                screen.draw(frame(views, width, height))
                if all(view.status.state in FINISHED for view in views):
                    break
                cost = time.process_time() - began
                screen.pause(max(_WATCH_S, runs.pause(), cost / _SHARE))
    finally:
        if views:
            print_table(views, make_look(views), STATUS)
    return [view.status for view in views]


def frame(views: Sequence[RunView], width: int, height: int) -> list[str]:
    """The lines of the table that fit a terminal. Where not all runs fit, running and newer ones are shown."""
    room = max(height - 2, 1)
    shown = _most_important(views, room)
    look = make_look(views)
    table = lay_out(shown, look, width, STATUS)
    lines = [table.header, *_that_fit(table.blocks, room)]
    left_out = [view for view in views if view not in shown]
    if left_out:
        lines.append(TableLine(f"{'...' if look.ascii_only else '…'} {_more(left_out)}", HINT))
    return [styled(line) for line in lines[:height]]


def _most_important(views: Sequence[RunView], count: int) -> list[RunView]:
    """So many runs, in their order. Running ones come first, then waiting ones, and newer ones before older ones."""
    if len(views) <= count:
        return list(views)
    ranked = sorted(range(len(views)), key=lambda at: _rank(views[at], at))
    return [views[at] for at in sorted(ranked[:count])]


def _rank(view: RunView, place: int) -> tuple[int, int]:
    return _RANKS.get(view.status.state, 2), -place


def _that_fit(blocks: Sequence[RunBlock], room: int) -> list[TableLine]:
    """The row of each run, and the lines below the rows of the most important ones, as many as fit."""
    spare = room - len(blocks)
    whole: set[int] = set()
    for at in sorted(range(len(blocks)), key=lambda at: _rank(blocks[at].view, at)):
        if len(blocks[at].below) <= spare:
            whole.add(at)
            spare -= len(blocks[at].below)
    shown = [block.lines() if at in whole else [block.row] for at, block in enumerate(blocks)]
    return [line for lines in shown for line in lines]


def _more(views: Sequence[RunView]) -> str:
    """`12 more: 9 QUEUED, 3 SUCCEEDED`."""
    counts = Counter(view.status.state for view in views)
    return f"{len(views)} more: " + ", ".join(f"{count} {state}" for state, count in counts.items())

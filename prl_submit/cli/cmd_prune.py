"""The command `prune`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from prl_submit.backends.asking import states_of
from prl_submit.cli.console import data, document, note
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.errors import EXIT_UNREACHABLE, EXIT_WRONG_INPUT
from prl_submit.pruning import Pruned, PruneOrders, prune_run
from prl_submit.runs.deleting import delete_leftovers
from prl_submit.runs.directory import Run, find_runs, list_runs, point_latest
from prl_submit.runs.disk_use import in_words
from prl_submit.runs.labels import read_labels
from prl_submit.runs.layout import LATEST, LOGS, RECORD, STEPS, node_log
from prl_submit.runs.prune_choice import Keep
from prl_submit.runs.references import find_references
from prl_submit.runs.states import FINISHED, LOST, State
from prl_submit.runs.times import seconds_of
from prl_submit.system.user_paths import output_root as output_root_of

#: So many runs that were left for one reason are named.
_SHOWN = 5


class Filters:
    """Which runs the user means. Each filter must hold."""

    def __init__(
        self,
        states: Sequence[str],
        older_than: int | None,
        tags: Sequence[str],
        not_tags: Sequence[str],
    ) -> None:
        self._states = states
        self._older_than = older_than
        self._tags = tags
        self._not_tags = not_tags

    def __bool__(self) -> bool:
        return bool(self._states or self._older_than or self._tags or self._not_tags)

    def take(self, run: Run, state: State) -> bool:
        """True if the run is meant."""
        if self._states and state.state not in self._states:
            return False
        if self._older_than is not None and not _is_older(run, state, self._older_than):
            return False
        tags = read_labels(run.path).tags if self._tags or self._not_tags else []
        return set(self._tags) <= set(tags) and not set(self._not_tags) & set(tags)


def _is_older(run: Run, state: State, seconds: int) -> bool:
    """True if the run ended so long ago. If nobody knows when, as of a LOST one, its last sign of life counts."""
    if state.state not in FINISHED:
        return False
    ended = seconds_of(state.ended_at)
    return time.time() - (_last_sign(run.path) if ended is None else ended) >= seconds


def _last_sign(run: Path) -> float:
    """When the run's log, its steps or its record were last written; now if nobody knows."""
    found = []
    for path in (node_log(run / LOGS, 0), run / STEPS, run / RECORD):
        with contextlib.suppress(OSError):
            found.append(os.lstat(path).st_mtime)
    return max(found, default=time.time())


def _duration(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """The value of --older-than in seconds."""
    if text is None:
        return None
    from prl_submit.spec.scalars import parse_duration

    seconds = parse_duration(text)
    if seconds is None:
        raise click.BadParameter(f"{text!r} is no time; for example 30d, 12h or 90m")
    return seconds


@click.command("prune")
@run_argument(many=True)
@click.option("--keep-last", type=click.IntRange(0), metavar="N", help="Keep the last N.")
@click.option("--keep-best", type=click.IntRange(1), metavar="N", help="Keep the best N.")
@click.option(
    "--keep-every", type=click.IntRange(1), metavar="N", help="Keep those of every N steps."
)
@click.option(
    "--metric",
    metavar="NAME",
    default="reward",
    show_default=True,
    help="What --keep-best goes by: a metric of docs/results.md, or eval_NAME.",
)
@click.option("--runs", "whole", is_flag=True, help="Delete whole runs instead of checkpoints.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(sorted(FINISHED), case_sensitive=False),
    help="Only runs in this state. Can be given several times.",
)
@click.option(
    "--older-than",
    metavar="TIME",
    callback=_duration,
    help="Only runs that ended so long ago, as 30d.",
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag.")
@click.option("--not-tag", "not_tags", metavar="TAG", multiple=True, help="No run with this tag.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted. Deletes nothing.")
@output_root_option
@json_option
def prune(
    runs: tuple[str, ...],
    keep_last: int | None,
    keep_best: int | None,
    keep_every: int | None,
    metric: str,
    whole: bool,
    states: tuple[str, ...],
    older_than: int | None,
    tags: tuple[str, ...],
    not_tags: tuple[str, ...],
    dry_run: bool,
    output_root: str | None,
    as_json: bool,
) -> int:
    """Delete checkpoints that no option keeps, of RUNs or of all runs; with --runs whole runs.

    A checkpoint stays if one of --keep-last, --keep-best and --keep-every keeps it, and if another run
    begins from it. The last complete one stays too, except of a SUCCEEDED run that you name. A run whose
    job has not ended, or of which the backend says nothing, is left as it is; so is a LOST one without
    --state LOST. There is no question and no way back: try --dry-run first.
    """
    from prl_submit.results.metric_names import EVALUATION, LOW_IS_GOOD

    lowest = metric.removeprefix(EVALUATION) in LOW_IS_GOOD
    keep = Keep(keep_last, keep_best, keep_every, metric, lowest)
    names = [state.upper() for state in states]
    filters = Filters(names, older_than, tags, not_tags)
    _require_orders(keep, whole, bool(runs or filters))
    orders = PruneOrders(keep, whole, LOST in names, dry_run, {} if dry_run else None)
    outcomes, named = _prune_all(runs, output_root_of(output_root), orders, filters)
    if as_json:
        document(_in_json(outcomes, dry_run))
    else:
        _print(outcomes, named, dry_run)
    if any(outcome.unreachable for outcome in outcomes):
        return EXIT_UNREACHABLE
    return EXIT_WRONG_INPUT if any(o.left and o.path in named for o in outcomes) else 0


def _require_orders(keep: Keep, whole: bool, chosen: bool) -> None:
    """Raise UsageError unless the options say what to delete."""
    context = click.get_current_context()
    if whole and not keep.is_nothing:
        raise click.UsageError("--runs deletes whole runs, so nothing of them is kept.", context)
    if whole and not chosen:
        raise click.UsageError(
            "--runs needs RUNs, or --state, --older-than, --tag or --not-tag.", context
        )
    if not whole and keep.is_nothing:
        raise click.UsageError(
            "Say which checkpoints to keep: --keep-last N, --keep-best N or --keep-every N.",
            context,
        )


def _prune_all(
    texts: Sequence[str], root: Path, orders: PruneOrders, filters: Filters
) -> tuple[list[Pruned], set[str]]:
    """Prune the runs that are meant; the outcomes, and the paths of the runs that the user named one by one."""
    groups = [find_runs(text, root) for text in texts] if texts else [list_runs(root)]
    named = {str(group[0].path) for group in groups if texts and len(group) == 1}
    found = list({run.path: run for group in groups for run in group}.values())
    states = states_of(found)
    meant = [
        (run, state)
        for run, state in zip(found, states, strict=True)
        if not filters or filters.take(run, state)
    ]
    roots = {run.path.parent for run, _ in meant}
    users = {each: find_references(list_runs(each)) for each in roots}
    outcomes: list[Pruned] = []
    for run, state in reversed(meant) if orders.whole else meant:
        # A run begins from an older one, so the newer one is deleted first and needs nothing any more.
        gone = {outcome.path for outcome in outcomes if orders.whole and outcome.left is None}
        needs = _needs(users[run.path.parent].get(run.name, {}), run.path.parent, gone)
        outcomes.append(prune_run(run, state, orders, needs, named=str(run.path) in named))
    if orders.whole and not orders.dry_run:
        for each in roots:
            delete_leftovers(each)
            _point_latest(each)
            _tidy_sweeps(each, [run for run, _ in meant], outcomes)
    return outcomes, named


def _tidy_sweeps(root: Path, runs: Sequence[Run], outcomes: Sequence[Pruned]) -> None:
    """Delete the folders of sweeps of which no run is left."""
    from prl_submit.sweeps.pruned_folders import tidy_sweeps

    gone = {outcome.path for outcome in outcomes if outcome.deleted}
    here = [run for run in runs if run.path.parent == root and str(run.path) in gone]
    for name in tidy_sweeps(root, here):
        note(f"deleted sweeps/{name} too, because no run of that sweep is left")


def _needs(users: dict[str, list[str]], root: Path, gone: set[str]) -> dict[str, list[str]]:
    """Which runs need a run or its checkpoints, without those that were just deleted."""
    left = {
        place: [name for name in names if str(root / name) not in gone]
        for place, names in users.items()
    }
    return {place: names for place, names in left.items() if names}


def _point_latest(root: Path) -> None:
    """Let `latest` point to the newest run that is left."""
    link = root / LATEST
    if os.path.exists(link) or not link.is_symlink():
        return
    left = list_runs(root)
    if left:
        point_latest(left[-1].path)
    else:
        link.unlink()


def _print(outcomes: Sequence[Pruned], named: set[str], dry_run: bool) -> None:
    """A line for each run of which something is deleted; which runs were left, and why; what that frees."""
    left: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.deleted:
            _print_deleted(outcome, dry_run)
        elif outcome.left is not None:
            left.setdefault(outcome.left, []).append(outcome.run)
        elif outcome.path in named:
            note(f"{outcome.run}: nothing to delete")
    for why, runs in left.items():
        names = ", ".join(runs[:_SHOWN])
        more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
        note(f"left as it is: {names}{more}: {why}")
    freed = sum(map(_bytes, outcomes))
    note(f"{'would free' if dry_run else 'freed'} {in_words(freed) if freed else 'nothing'}")


def _print_deleted(outcome: Pruned, dry_run: bool) -> None:
    """What is deleted of a run, and why the other checkpoints stay."""
    names = ", ".join(item.name for item in outcome.deleted)
    what = "the run" if names == outcome.run else names
    verb = "would delete" if dry_run else "deleted"
    data(f"{outcome.run}: {verb} {what} ({in_words(_bytes(outcome))})")
    kept = [f"{name} ({why})" for name, why in outcome.kept.items()]
    if kept:
        note(f"  kept: {', '.join(kept)}")
    if outcome.elsewhere is not None:
        note(f"  {outcome.elsewhere}, if it began: what is there stays")


def _bytes(outcome: Pruned) -> int:
    return sum(item.bytes for item in outcome.deleted)


def _in_json(outcomes: Sequence[Pruned], dry_run: bool) -> dict[str, object]:
    runs = [
        {
            "run": outcome.run,
            "path": outcome.path,
            "deleted": outcome.deleted,
            "kept": [{"name": name, "why": why} for name, why in outcome.kept.items()],
            "left": outcome.left,
            "elsewhere": outcome.elsewhere,
        }
        for outcome in outcomes
    ]
    return {"dry_run": dry_run, "runs": runs, "freed_bytes": sum(map(_bytes, outcomes))}


command = prune

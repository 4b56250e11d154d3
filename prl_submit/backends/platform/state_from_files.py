"""The state of a platform's run, from the files of its directory. Pure, but for `look`, which reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import ExitRecord, read_node_exits
from prl_submit.runs.layout import LOGS, alive_file, starts_file
from prl_submit.runs.record import PlatformJob, Record
from prl_submit.runs.signs_of_life import SignOfLife, alive_nodes, read_sign
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    State,
    finished_state,
)
from prl_submit.runs.times import age

_STARTS = r"\.starts(0|[1-9][0-9]{0,4})\.(.+)"
#: So many hosts are named at most.
_HOSTS = 4
#: The state of these runs does not change if the platform starts the command again: launch.sh refuses.
_FOR_GOOD = (SUCCEEDED, CANCELLED)


class Look(Struct, frozen=True, kw_only=True):
    """What the files of a run say. `signs`: those of the present token, of every attempt.

    `ended`: what exit.json says; `over`: the nodes with an exit file of the attempt of their sign of life;
    `cancelled`: the reason in cancel.json; `fault`: why logs/ cannot be listed.
    """

    record: Record
    ended: State | None
    signs: list[SignOfLife] = []
    node_exits: list[tuple[int, ExitRecord]] = []
    over: list[int] = []
    cancelled: str | None = None
    fault: str | None = None

    @property
    def present(self) -> list[SignOfLife]:
        """The signs of life of the newest attempt."""
        newest = max((sign.attempt for sign in self.signs), default=0)
        return [sign for sign in self.signs if sign.attempt == newest]

    @property
    def open_signs(self) -> list[SignOfLife]:
        """The signs of life that decide whether the run goes on: of the newest attempt, if it has no exit.json."""
        if self.ended is None:
            return self.present
        return [sign for sign in self.present if sign.attempt > self.ended.restarts]


def silence_of(record: Record) -> int:
    """For how many seconds a living node of the run may be silent."""
    place = record.place
    return place.silence if isinstance(place, PlatformJob) else PlatformJob().silence


def look(run: Run) -> Look:
    """Read the files of a run, whose record must be readable."""
    record = run.require_record()
    cancelled = cancel_reason(run.path)
    try:
        signs = _signs(run, record)
        fault = None
    except OSError as error:
        signs, fault = [], f"{run.path / LOGS} cannot be listed: {error.strerror}"
    # The exit files are read last: launch.sh writes them before its last sign of life.
    ended = finished_state(run)
    exits = read_node_exits(run.path, record.restarts) if signs else []
    return Look(
        record=record,
        ended=ended,
        signs=signs,
        node_exits=exits,
        over=_over(signs, ended, exits),
        cancelled=cancelled,
        fault=fault,
    )


def _signs(run: Run, record: Record) -> list[SignOfLife]:
    """The signs of life of this token. Raises OSError if logs/ cannot be listed.

    For a node that was started and whose sign of life is missing or damaged, the time at which that file, or
    the file with its starts, was changed takes the place of the beat.
    """
    try:
        names = os.listdir(run.path / LOGS)
    except FileNotFoundError:
        return []
    nodes = dict.fromkeys(alive_nodes(names))
    read = {node: read_sign(alive_file(run.path, node), node) for node in nodes}
    found = {n: sign for n, sign in read.items() if sign is not None and sign.token == record.token}
    for node in _started(names, record.token):
        if node not in found:
            damaged = read.get(node)
            is_ours = damaged is not None and not damaged.is_whole
            sign = damaged if is_ours else _by_starts(run, node, record)
            if sign is not None:
                found[node] = sign
    return [found[node] for node in sorted(found)]


def _over(
    signs: Sequence[SignOfLife], ended: State | None, exits: Sequence[tuple[int, ExitRecord]]
) -> list[int]:
    """The nodes that have left an exit file in the attempt of their sign of life."""
    ends = {node: end.restarts for node, end in exits if node != 0}
    if ended is not None:
        ends[0] = ended.restarts
    return [sign.node for sign in signs if ends.get(sign.node, -1) >= sign.attempt]


def _started(names: Sequence[str], token: str) -> list[int]:
    """The nodes on which launch.sh was started, by the files that count the starts."""
    matches = (re.fullmatch(_STARTS, name, re.ASCII) for name in names)
    return [int(match[1]) for match in matches if match and match[2] == token]


def _by_starts(run: Run, node: int, record: Record) -> SignOfLife | None:
    """A node that was started and that has written no sign of life; None if its file is gone by now."""
    try:
        changed = os.lstat(starts_file(run.path, node, record.token)).st_mtime_ns
    except OSError:
        return None
    return SignOfLife(node=node, beat=changed, changed_at=changed / 1e9, is_whole=False)


def is_for_good(state: State | None) -> bool:
    """True if the platform's starting the command again changes nothing, because launch.sh refuses."""
    return state is not None and state.state in _FOR_GOOD


def state_of(
    seen: Look, alive: Mapping[int, bool | None], *, clock: float, is_last: bool = False
) -> State | None:
    """The state of a run; None if it depends on a second look, which is `is_last`.

    `alive`: for each node of `seen.open_signs`, what `Pulse.is_alive` says; False for one of `seen.over`.
    `clock`: time.time(), for the words alone.
    """
    signs = seen.open_signs
    if any(alive[sign.node] for sign in signs):
        return _running(seen, signs)
    if not is_last and any(alive[sign.node] is None for sign in signs):
        return None
    if seen.ended is not None:
        return seen.ended
    if seen.cancelled is not None:
        return State(state=CANCELLED, reason=seen.cancelled, restarts=_attempt(seen, signs))
    if not signs:
        return State(state=QUEUED, reason="waiting for the platform to start it")
    return _dead(seen, signs, clock)


def _attempt(seen: Look, signs: Sequence[SignOfLife]) -> int:
    """How many attempts were before the newest one."""
    return max([seen.record.restarts, *(sign.attempt for sign in signs)])


def _running(seen: Look, signs: Sequence[SignOfLife]) -> State:
    """RUNNING, with the nodes that are missing, else with the hosts."""
    attempt = _attempt(seen, signs)
    if not any(sign.is_whole for sign in signs):
        names = _nodes([sign.node for sign in signs])
        return State(state=RUNNING, reason=f"launch.sh has started on {names}", restarts=attempt)
    size = max(sign.nodes for sign in signs)
    here = {sign.node for sign in signs}
    missing = [node for node in range(size) if node not in here]
    if missing:
        reason = f"waiting for {_nodes(missing)} of {size}"
    else:
        reason = f"on {_hosts(signs)}"
        doing = next((sign.doing for sign in signs if sign.node == 0), "")
        if doing not in ("", "training"):
            reason += f": {doing}"
    reason += _failures(seen, attempt)
    if seen.cancelled is not None:
        reason += f"; {seen.cancelled}, and is about to end"
    return State(state=RUNNING, reason=reason, restarts=attempt)


def _failures(seen: Look, attempt: int) -> str:
    """What other nodes than the first have said at their end in this attempt: `; node 1: out of memory`."""
    ends = [item for item in seen.node_exits if item[1].restarts >= attempt and item[1].exit_code]
    return "".join(f"; node {node}: {end.reason}" for node, end in ends[:_HOSTS] if end.reason)


def _nodes(nodes: Sequence[int]) -> str:
    """`node 1`, `nodes 1, 3`."""
    shown = ", ".join(map(str, nodes[:8])) + (", …" if len(nodes) > 8 else "")
    return f"{'node' if len(nodes) == 1 else 'nodes'} {shown}"


def _hosts(signs: Sequence[SignOfLife]) -> str:
    """`n0, n1`: the hosts by the rank of their nodes, each once."""
    hosts = list(dict.fromkeys(sign.host for sign in signs if sign.host))
    more = len(hosts) - _HOSTS
    return ", ".join(hosts[:_HOSTS]) + (f" and {more} more" if more > 0 else "")


def _dead(seen: Look, signs: Sequence[SignOfLife], clock: float) -> State:
    """The state of a run of which no node lives, and which left no exit.json.

    exit.json is node 0's. If node 0 was never there, the other nodes have waited for it in vain, and say so
    in their own exit files.
    """
    attempt = _attempt(seen, signs)
    first = signs[0]
    end = next((end for _, end in seen.node_exits if end.restarts >= attempt), None)
    if first.node != 0 and end is not None:
        return State(state=FAILED, reason=end.reason, exit_code=end.exit_code, restarts=attempt)
    silent = next((sign for sign in signs if sign.node not in seen.over), first)
    seconds = clock - silent.changed_at
    since = f" for {age(seconds)}" if seconds > 0 else ""
    reason = f"no sign of life of {_named(silent)}{since}{_failures(seen, attempt)}"
    return State(state=LOST, reason=reason, restarts=attempt)


def _named(sign: SignOfLife) -> str:
    """`node 0 (HOST)`."""
    return f"node {sign.node} ({sign.host})" if sign.host else f"node {sign.node}"

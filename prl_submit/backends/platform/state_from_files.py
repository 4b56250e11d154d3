"""The state of a platform's run, from the files of its directory. Pure, but for `look`, which reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import ExitRecord, read_node_exits
from prl_submit.runs.layout import EXIT, LOGS, alive_file, starts_file
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

    `ended`: what exit.json says; `cancelled`: the reason in cancel.json; `fault`: why logs/ cannot be listed.
    """

    record: Record
    ended: State | None
    signs: list[SignOfLife] = []
    node_exits: list[tuple[int, ExitRecord]] = []
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
        if is_for_good(self.ended):
            return []
        newer = [sign for sign in self.present if sign.attempt > self.ended.restarts]
        return [] if all(sign.ended for sign in newer) else newer


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
        signs=_with_ends(signs, ended, exits),
        node_exits=exits,
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


def _with_ends(
    signs: list[SignOfLife], ended: State | None, exits: list[tuple[int, ExitRecord]]
) -> list[SignOfLife]:
    """The signs of life; a node that has left an exit file of the same attempt has ended."""
    ends = {node: end.restarts for node, end in exits if node != 0}
    if ended is not None:
        ends[0] = ended.restarts
    return [
        msgspec.structs.replace(sign, ended=True)
        if ends.get(sign.node, -1) >= sign.attempt
        else sign
        for sign in signs
    ]


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

    `alive`: for each node of `seen.open_signs`, what `Pulse.is_alive` says. `clock`: time.time(), for words.
    """
    signs = seen.open_signs
    if any(alive[sign.node] for sign in signs):
        return _running(seen, signs)
    if not is_last and _is_open(seen, alive):
        return None
    if seen.ended is not None:
        return seen.ended
    if seen.cancelled is not None:
        return State(state=CANCELLED, reason=seen.cancelled, restarts=_attempt(seen, signs))
    if not signs:
        return State(state=QUEUED, reason="waiting for the platform to start it")
    return _dead(seen, signs, clock)


def _is_open(seen: Look, alive: Mapping[int, bool | None]) -> bool:
    """True if a second look may show something else: a beat that moves, or the exit file of a node that has ended."""
    signs = seen.open_signs
    if any(alive[sign.node] is None for sign in signs):
        return True
    ended_early = bool(signs) and all(sign.ended for sign in signs)
    return seen.ended is None and ended_early and not seen.node_exits


def _attempt(seen: Look, signs: Sequence[SignOfLife]) -> int:
    """How many attempts were before the newest one."""
    return max([seen.record.restarts, *(sign.attempt for sign in signs)])


def _running(seen: Look, signs: Sequence[SignOfLife]) -> State:
    """RUNNING, with the nodes that are missing, else with the hosts."""
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
    if seen.cancelled is not None:
        reason += f"; {seen.cancelled}, and is about to end"
    return State(state=RUNNING, reason=reason, restarts=_attempt(seen, signs))


def _nodes(nodes: Sequence[int]) -> str:
    """`node 1`, `nodes 1, 3`."""
    shown = ", ".join(map(str, nodes[:8])) + (", …" if len(nodes) > 8 else "")
    return f"{'node' if len(nodes) == 1 else 'nodes'} {shown}"


def _hosts(signs: Sequence[SignOfLife]) -> str:
    """`n0, n1`: the hosts by the rank of their nodes, each once."""
    hosts = list(dict.fromkeys(sign.host for sign in signs if sign.host))
    more = len(hosts) - _HOSTS
    shown = ", ".join(hosts[:_HOSTS]) + (f" and {more} more" if more > 0 else "")
    return shown or "a node that does not say its name"


def _dead(seen: Look, signs: Sequence[SignOfLife], clock: float) -> State:
    """The state of a run of which no node lives, and which left no exit.json.

    exit.json is node 0's. If node 0 was never there, the other nodes have waited for it in vain, and say so
    in their own exit files.
    """
    attempt = _attempt(seen, signs)
    first = signs[0]
    failed = next(((n, end) for n, end in seen.node_exits if end.restarts >= attempt), None)
    if first.node != 0 and failed is not None:
        end = failed[1]
        return State(state=FAILED, reason=end.reason, exit_code=end.exit_code, restarts=attempt)
    silent = next((sign for sign in signs if not sign.ended), None)
    if silent is None:
        reason = f"{_named(first)} ended without {EXIT} that can be read"
    else:
        seconds = clock - silent.changed_at
        since = f" for {age(seconds)}" if seconds > 0 else ""
        reason = f"no sign of life of {_named(silent)}{since}"
        if failed is not None and failed[1].reason:
            reason += f"; node {failed[0]}: {failed[1].reason}"
    return State(state=LOST, reason=reason, restarts=attempt)


def _named(sign: SignOfLife) -> str:
    """`node 0 (HOST)`."""
    return f"node {sign.node} ({sign.host})" if sign.host else f"node {sign.node}"

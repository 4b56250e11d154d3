"""logs/.aliveN: the sign of life of each node of a job whose backend does not tell whether it runs.

launch.sh of node N replaces the file again and again, every `beat_s` seconds, from its start to its end. Each
file has one line of JSON:

    {"token": "0f3a…", "attempt": 1, "beat": 17, "node": 0, "host": "n0", "doing": "training",
     "platform": "Volcengine", "job": "t-2026", "nodes": 2, "nproc_per_node": 8, "ended": false}

token           the token in run.json. A file with another one is of an earlier order (`submit` or `resume`).
attempt         how many attempts of the run were before this one: the number that exit.json calls `restarts`.
beat            grows with each replacement. Only a beat that moves proves life, because the clocks of the
                nodes, of the file server and of the machine that reads may differ.
node, host      the rank and the host name of the node.
doing           what launch.sh does, in words: `waiting for nodes 1, 3`, `training`, `saving after SIGTERM`.
platform, job   the platform's name in templates/platforms.txt, and its id of the job; null where it tells none.
nodes, nproc_per_node   the size of the job, as launch.sh knows it: of the spec, else of the platform.
ended           true in the last line that launch.sh writes, after its exit file. It tells the launch.sh that is
                started next that this one has ended; readers go by the exit file. The file stays, so `resume`
                still knows how many processes the last attempt had.

Anybody who may write into the directory may have written these files, so nothing in them is trusted.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from prl_submit.runs.layout import CANCEL, EXIT, LOGS
from prl_submit.system.reading import decode_json, open_regular
from prl_submit.system.untrusted_text import excerpt

_ALIVE = r"\.alive(0|[1-9][0-9]{0,4})"
#: A sign of life has some hundred bytes. Longer files are not launch.sh's.
_LIMIT = 16_384
_WORDS = 120

_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Size = Annotated[int, Meta(ge=1, le=10_000)]


class _Said(Struct, frozen=True, kw_only=True):
    """What the file says."""

    token: str
    attempt: _Count
    beat: _Count
    node: _Count
    host: str
    nodes: _Size
    nproc_per_node: _Size
    doing: str | None = None
    platform: str | None = None
    job: str | None = None


class SignOfLife(Struct, frozen=True, kw_only=True):
    """The last sign of life of a node. `changed_at`: when it was written, by the clock of the file system.

    `is_whole` is false where the file is damaged or cannot be read. Then `beat` is the time of its last
    change, so that a file that goes on changing still proves life.
    """

    node: int
    beat: int
    changed_at: float
    attempt: int = 0
    token: str | None = None
    host: str = ""
    doing: str = ""
    platform: str | None = None
    job: str | None = None
    nodes: int = 1
    nproc_per_node: int = 1
    is_whole: bool = True


def beat_s(silence: int) -> int:
    """Seconds between two signs of life of a node. launch.sh computes the same."""
    return max(1, min(3, silence // 6))


def second_look_s(silence: int) -> int:
    """Seconds after which a second look at a living node shows a new sign of life, also under load."""
    return 2 * beat_s(silence) + 1


def alive_nodes(names: list[str]) -> list[int]:
    """The nodes that have a sign of life, out of the names of the files in `logs/`."""
    found = (re.fullmatch(_ALIVE, name, re.ASCII) for name in names)
    return sorted(int(match[1]) for match in found if match)


def read_sign(file: Path, node: int) -> SignOfLife | None:
    """The sign of life of a node; None if there is no such file."""
    try:
        changed = os.lstat(file).st_mtime_ns
    except OSError:
        return None
    damaged = SignOfLife(node=node, beat=changed, changed_at=changed / 1e9, is_whole=False)
    try:
        with open_regular(file, follow=False) as stream:
            data = stream.read(_LIMIT + 1)
            changed = os.fstat(stream.fileno()).st_mtime_ns
        said: _Said = decode_json(data, _Said)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return damaged
    if len(data) > _LIMIT or said.node != node:
        return damaged
    return _clean(said, changed / 1e9)


def _clean(said: _Said, changed_at: float) -> SignOfLife:
    """The sign of life, with texts that are harmless on a terminal."""
    return SignOfLife(
        node=said.node,
        beat=said.beat,
        changed_at=changed_at,
        attempt=said.attempt,
        token=said.token,
        host=excerpt(said.host, _WORDS),
        doing=excerpt(said.doing or "", _WORDS),
        platform=excerpt(said.platform, _WORDS) if said.platform else None,
        job=excerpt(said.job, _WORDS) if said.job else None,
        nodes=said.nodes,
        nproc_per_node=said.nproc_per_node,
    )


def read_signs(run: Path) -> list[SignOfLife]:
    """The signs of life of all nodes and of any token. Raises OSError if `logs/` cannot be listed."""
    logs = run / LOGS
    try:
        names = os.listdir(logs)
    except FileNotFoundError:
        return []
    found = (read_sign(logs / f".alive{node}", node) for node in alive_nodes(names))
    return [sign for sign in found if sign is not None]


def footprint(run: Path) -> str:
    """A text that differs as soon as a node gives a sign of life, starts or ends, or somebody cancels the run.

    It has the times of the files as the file system tells them. They are compared with no clock.
    """
    try:
        names = os.listdir(run / LOGS)
    except OSError:
        names = []
    from hashlib import sha256

    told = [f"{LOGS}/{name}" for name in sorted(names) if re.match(r"\.(alive|starts)[0-9]", name)]
    text = " ".join(f"{name}={_changed(run / name)}" for name in (EXIT, CANCEL, *told))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _changed(file: Path) -> int:
    """When a file was changed, in nanoseconds; 0 if it is not there."""
    try:
        return os.lstat(file).st_mtime_ns
    except OSError:
        return 0


def last_size(run: Path) -> tuple[int, int] | None:
    """Nodes and processes per node of the last attempt, as its launch.sh wrote them; None if no file tells."""
    try:
        whole = [sign for sign in read_signs(run) if sign.is_whole]
    except OSError:
        return None
    last = max(whole, key=lambda sign: (sign.attempt, -sign.node), default=None)
    return None if last is None else (last.nodes, last.nproc_per_node)

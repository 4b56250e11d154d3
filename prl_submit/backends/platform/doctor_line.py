"""The line of `doctor` on platforms: which one this machine is a node of, by which variables."""

from __future__ import annotations

from collections.abc import Mapping

from prl_submit.backends.base import Finding
from prl_submit.backends.platform.variables import Seen, inside_torchrun, see_platform

_NAME = "platform"
#: What a value of Seen is called, and what happens where the platform does not tell it.
_WORDS = {
    "nodes": ("nodes", "not told"),
    "node_rank": ("this node", "the only one"),
    "master_addr": ("master", "not told"),
    "master_port": ("port", "launch.sh chooses one"),
    "nproc_per_node": ("GPUs per node", "launch.sh counts them"),
    "job": ("job", "not told"),
}


def doctor_line(environ: Mapping[str, str]) -> Finding:
    """Which platform's variables this machine has, with their values; or what is wrong with them."""
    seen = see_platform(environ)
    if seen is None:
        detail = "none: no variable of a platform that starts nodes is set"
        if inside_torchrun(environ):
            detail = "none: RANK and WORLD_SIZE count processes inside torchrun"
        return Finding(_NAME, None, detail)
    if seen.faults:
        hint = "platform: {nodes: VARIABLE, …} in a spec names other variables"
        return Finding(_NAME, None, f"{seen.platform}: {'; '.join(seen.faults)}", hint)
    return Finding(_NAME, True, f"{seen.platform}: {', '.join(_value(seen, c) for c in _WORDS)}")


def _value(seen: Seen, column: str) -> str:
    word, otherwise = _WORDS[column]
    said = seen.said(column)
    return f"{word} {otherwise if said == '-' else said}"

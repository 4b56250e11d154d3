"""What the variables of a platform say of this node: how many nodes there are, and which of them this one is.

`templates/platform_variables.lib.sh` does the same in bash, for launch.sh. A test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from prl_submit.launch.platforms import COLUMNS, PlatformRow, platform_rows

#: These mean processes inside torchrun, so they are not looked at there.
_TORCHRUN_SETS = ("NNODES", "NODE_RANK", "NPROC_PER_NODE", "RANK", "WORLD_SIZE")
_INSIDE_TORCHRUN = ("LOCAL_RANK", "TORCHELASTIC_RUN_ID")
#: The name of the row that is made of the spec's names.
OF_SPEC = "spec"

_NUMBER = re.compile(r"[0-9]{1,6}")
_RANGE = re.compile(r"[0-9]+:[0-9]+")
_NOT_STATED = re.compile(r"0*|auto|[gcx]pu", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_IPV6 = re.compile(r"\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*(%[A-Za-z0-9._-]+)?\]?")
_THIS_NODE = re.compile(
    r"localhost(\..*)?|ip6-localhost|127\.[0-9.]*|\[?::1?\]?|0\.0\.0\.0", re.DOTALL
)
_SEPARATORS = ",; \t\n\v\f\r"
_LONGEST_SHOWN = 60


class Seen(Struct, frozen=True, kw_only=True):
    """The place of this node. `variables`: for each of the other names, the variable that said it.

    `nodes` is 0 and `node_rank` is None where they are not known; then `faults` says why. A job with
    `faults` must not start. `is_range`: the number of nodes may change during the job.
    """

    platform: str
    nodes: int = 0
    node_rank: int | None = None
    master_addr: str | None = None
    master_port: int | None = None
    nproc_per_node: int | None = None
    job: str | None = None
    variables: dict[str, str] = {}
    faults: tuple[str, ...] = ()
    is_range: bool = False

    @property
    def has_other_nodes(self) -> bool:
        """True if there are several nodes, also if their number is a range or this one's place is not known."""
        return self.nodes > 1 or self.is_range

    def said(self, column: str) -> str:
        """A value with its variable, as `WORLD_SIZE=2`; `-` for one that is not known."""
        value = getattr(self, column)
        return (
            f"{self.variables[column]}={value}"
            if column in self.variables and value is not None
            else "-"
        )


class _Cell(NamedTuple):
    """The variables of a cell, and the value of the first one that is set, with its name; else both are empty."""

    names: tuple[str, ...]
    value: str
    variable: str

    @property
    def shown(self) -> str:
        return f"{self.variable}={shown(self.value)}"

    def not_set(self, column: str) -> str:
        names = [name.removesuffix("[0]") for name in self.names]
        if len(names) > 3:
            return f"no known variable is set; platform.{column} can name another"
        return f"{' or '.join(names)} is not set"


class _Cells(NamedTuple):
    """The cells of a row, as this node's variables fill them."""

    platform: str
    nodes: _Cell
    node_rank: _Cell
    master_addr: _Cell
    master_port: _Cell
    nproc_per_node: _Cell
    job: _Cell


def see_platform(environ: Mapping[str, str], names: object = None) -> Seen | None:
    """The place of this node; None if no variable states a number of nodes.

    `names`: has for each of COLUMNS an attribute with the variable that the spec names in place of the
    table's, or None, as the section `platform:` does. The first complete row counts; a later row counts
    only if all before it lack a variable.
    """
    named = {column: _named(getattr(names, column, None), column) for column in COLUMNS}
    rows = [_row_of_names(named)] if named["nodes"] else platform_rows()
    lacking: dict[str, _Cells] = {}
    for row in rows:
        cells = _read(row, named, environ)
        if cells is None:
            continue
        kind = _kind(cells)
        if kind in ("complete", "wrong"):
            return _judged(cells)
        if kind == "orphan":  # a later row has the more general names
            lacking[kind] = cells
        lacking.setdefault(kind, cells)
    first = next((lacking[kind] for kind in ("apart", "alone", "orphan") if kind in lacking), None)
    return None if first is None else _judged(first)


def _named(name: str | None, column: str) -> str:
    """The spec's name of a variable. A list of hosts or ports is no host and no port, so the spec may name one."""
    if not name or column not in ("master_addr", "master_port"):
        return name or ""
    return f"{name.removesuffix('[0]')}[0]"


def inside_torchrun(environ: Mapping[str, str]) -> bool:
    """True for a process that torchrun started: RANK and WORLD_SIZE count processes there."""
    return any(environ.get(name) for name in _INSIDE_TORCHRUN)


def _row_of_names(named: Mapping[str, str]) -> PlatformRow:
    """One row: for each column the spec's name, or else all names of the table, in the table's order."""
    rows = platform_rows()
    cells = [
        (named[column],) if named[column] else tuple(n for row in rows for n in row.cells[index])
        for index, column in enumerate(COLUMNS)
    ]
    return PlatformRow(OF_SPEC, tuple(cells), ())


def _read(row: PlatformRow, named: Mapping[str, str], environ: Mapping[str, str]) -> _Cells | None:
    """The row's cells with their values; None if a variable is set that the row must not be read with."""
    if _cell(row.not_with, environ).value:
        return None
    cells = [
        _cell((named[column],) if named[column] else row.cells[index], environ)
        for index, column in enumerate(COLUMNS)
    ]
    return _Cells(row.name, *cells)


def _cell(names: tuple[str, ...], environ: Mapping[str, str]) -> _Cell:
    hidden = _TORCHRUN_SETS if inside_torchrun(environ) else ()
    for name in names:
        variable = name.removesuffix("[0]")
        value = "" if variable in hidden else environ.get(variable, "")
        if name != variable:
            value = re.split(f"[{_SEPARATORS}]", value.lstrip(_SEPARATORS), maxsplit=1)[0]
        if value:
            return _Cell(names, value, variable)
    return _Cell(names, "", "")


def _kind(cells: _Cells) -> str:
    """What the row is good for.

    `absent`: the number of nodes is not stated. `orphan`: neither, but a rank and an address are. `wrong`:
    a number is wrong. `alone`: one node, without a rank. `apart`: several nodes, without a rank or an
    address. `complete`: all that is needed.
    """
    nodes, rank = _number(cells.nodes.value), _number(cells.node_rank.value)
    if not cells.nodes.value:
        address = cells.master_addr.value
        far = cells.node_rank.value and address and not _THIS_NODE.fullmatch(address)
        return "orphan" if far else "absent"
    if not nodes:
        return "wrong"
    if not cells.node_rank.value:
        return "alone" if nodes == 1 else "apart"
    if rank is None or rank >= nodes:
        return "wrong"
    return "apart" if nodes > 1 and not cells.master_addr.value else "complete"


def _judged(cells: _Cells) -> Seen | None:
    """The place that a row says, with all that is wrong in it; None for an absent row."""
    if _kind(cells) == "absent":
        return None
    nodes = _number(cells.nodes.value) or 0
    if not nodes:
        return Seen(
            platform=cells.platform,
            faults=(_wrong_nodes(cells),),
            variables=_from(cells),
            is_range=bool(_RANGE.fullmatch(cells.nodes.value)),
        )
    faults = [
        *_wrong_rank(cells, nodes),
        *(_wrong_address(cells, nodes) if nodes > 1 else ()),
        *(_wrong_port(cells) if nodes > 1 else ()),
        *_wrong_processes(cells),
    ]
    rank = _number(cells.node_rank.value) if cells.node_rank.value else (0 if nodes == 1 else None)
    address = cells.master_addr.value
    is_other = _is_address(address) and not _THIS_NODE.fullmatch(address)
    return Seen(
        platform=cells.platform,
        nodes=nodes,
        node_rank=rank if rank is not None and rank < nodes else None,
        master_addr=address if is_other else None,
        master_port=_port(cells.master_port.value),
        nproc_per_node=_number(cells.nproc_per_node.value) or None,
        job=shown(cells.job.value) or None,
        variables=_from(cells),
        faults=tuple(faults),
    )


def _from(cells: _Cells) -> dict[str, str]:
    """The variable of each column that has a value."""
    found = zip(COLUMNS, cells[1:], strict=True)
    return {column: cell.variable for column, cell in found if cell.variable}


def _wrong_nodes(cells: _Cells) -> str:
    if not cells.nodes.value:
        return (
            f"{cells.node_rank.shown} and {cells.master_addr.shown}, but the number of nodes is not "
            f"known: {cells.nodes.not_set('nodes')}"
        )
    if _RANGE.fullmatch(cells.nodes.value):
        return f"{cells.nodes.shown} is a range, and the number of nodes must be fixed"
    return f"{cells.nodes.shown} is not a number of nodes"


def _wrong_rank(cells: _Cells, nodes: int) -> Iterator[str]:
    if not cells.node_rank.value:
        if nodes > 1:
            yield (
                f"there are {nodes} nodes ({cells.nodes.shown}), but which of them this one is, is not "
                f"known: {cells.node_rank.not_set('node_rank')}"
            )
        return
    rank = _number(cells.node_rank.value)
    if rank is None or rank >= nodes:
        yield (
            f"{cells.node_rank.shown} is not a node of {nodes} ({cells.nodes.shown}): the nodes are "
            "counted from 0"
        )


def _wrong_address(cells: _Cells, nodes: int) -> Iterator[str]:
    """What is wrong with the address of node 0, where there are several nodes."""
    address = cells.master_addr.value
    if not address:
        yield (
            f"there are {nodes} nodes ({cells.nodes.shown}), but the address of node 0 is not known: "
            f"{cells.master_addr.not_set('master_addr')}"
        )
    elif not _is_address(address):
        yield f"{cells.master_addr.shown} is not a host name or an address"
    elif _THIS_NODE.fullmatch(address):
        yield (
            f"{cells.master_addr.shown} is each node itself, so the {nodes} nodes "
            f"({cells.nodes.shown}) cannot find node 0"
        )


def _wrong_port(cells: _Cells) -> Iterator[str]:
    value = cells.master_port.value
    if value.strip("0") and _port(value) is None:
        yield f"{cells.master_port.shown} is not a port"


def _wrong_processes(cells: _Cells) -> Iterator[str]:
    value = cells.nproc_per_node.value
    if not _NOT_STATED.fullmatch(value) and _number(value) is None:
        yield f"{cells.nproc_per_node.shown} is not a number of processes"


def _number(value: str) -> int | None:
    return int(value) if _NUMBER.fullmatch(value) else None


def _port(value: str) -> int | None:
    number = _number(value)
    return number if number is not None and 0 < number < 65536 else None


def _is_address(value: str) -> bool:
    return len(value) < 256 and bool(_NAME.fullmatch(value) or _IPV6.fullmatch(value))


def shown(value: str) -> str:
    """A value for a message, of at most 60 bytes, without control characters and bytes that are not UTF-8."""
    data = re.sub(rb"[\x00-\x1f\x7f]", b"?", os.fsencode(value))
    if len(data) > _LONGEST_SHOWN:
        return re.sub(rb"[^ -~]", b"?", data)[:_LONGEST_SHOWN].decode("ascii") + "…"
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return re.sub(rb"[^ -~]", b"?", data).decode("ascii")

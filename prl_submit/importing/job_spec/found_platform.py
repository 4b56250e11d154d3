"""A script whose number of nodes and node rank come from a platform's variables, as PAI-DLC's `$RANK`.

launch.sh reads these variables itself, by the table in templates/platforms.txt. So a spec only says
`backend: platform`, and names the variables that the table does not have.
"""

from __future__ import annotations

import re

from msgspec import Struct

from prl_submit.importing.bash.scope import Field, Gap, Given, Unknown, Variable
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter.follower import Followed
from prl_submit.importing.job_spec.sbatch import Header
from prl_submit.importing.known_variables import ROLES, rows_by_role, variables_of
from prl_submit.importing.training_command import Start
from prl_submit.spec.write import Tree

#: The options of torchrun and the variables of `swift rlhf` that have another name than the role.
_OPTIONS = {"nnodes": "nodes", "rdzv_endpoint": "master_addr"}
#: A host from a variable, with its port behind it.
_ENDPOINT = re.compile(r"""["']?\$(\w+|\{\w+(:?[-?][^}]*)?\})["']?:[^,; ]*""")


class _Value(Struct, frozen=True):
    """What the script gives the launcher: a value, or why it is not known. `what` it is called there."""

    what: str
    given: Given

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of the environment that the value depends on; no arguments, none of Slurm."""
        given = self.given
        if isinstance(given, Gap):
            found = given.unknown.names
        else:
            found = tuple(default.name for default in given.defaults)
        return tuple(n for n in found if not n.isdigit() and not n.startswith("SLURM_"))

    @property
    def same_as(self) -> str | None:
        """The platform's variable whose value this is; of `$HOST:29500`, the host's."""
        if not isinstance(self.given, Gap):
            return None
        unknown = self.given.unknown
        if self.what.endswith("rdzv_endpoint") and _ENDPOINT.fullmatch(self.given.written):
            return unknown.names[0] if len(unknown.names) == 1 else None
        return unknown.same_as


def _values(followed: Followed, start: Start) -> dict[str, _Value]:
    """What the script gives the launcher, by role."""
    found: dict[str, _Value] = {}
    for role in ROLES:
        names = ["PET_NNODES" if role == "nodes" else f"PET_{role.upper()}"]
        if start.launcher == "swift":
            names.append("NNODES" if role == "nodes" else role.upper())
        for name in names:
            if name in followed.environment:
                found[role] = _Value(name, _as_given(name, followed.environment[name]))
    for option, value in start.options:
        role = _OPTIONS.get(option, option)
        if role in ROLES and value is not None:
            found[role] = _Value(f"torchrun --{option}", value)
    return found


def _as_given(name: str, variable: Variable) -> Given:
    if isinstance(variable.value, Unknown):
        return Gap(name, variable.line, variable.value)
    return Field(str(variable.value), variable.line, variable.defaults)


def names_of_platform(followed: Followed, header: Header, deciding: set[str]) -> frozenset[str]:
    """The variables that the platform sets, where the script may take its nodes from them; else none.

    `deciding`: variables whose defaults have decided which way the script goes.
    """
    start = followed.start
    if start is None or header.is_there or start.is_srun or start.launcher == "python":
        return frozenset()
    values = _values(followed, start)
    nodes = values.get("nodes")
    asked = deciding | (set() if nodes is None else set(nodes.names))
    is_known = asked & variables_of("nodes")
    if nodes is None and not is_known:
        return frozenset()
    if not is_known and not _has_rank_and_nodes(values):
        return frozenset()
    own = {name for role, value in values.items() for name in _own_names(role, value)}
    return frozenset(own).union(*map(variables_of, ROLES))


def _has_rank_and_nodes(values: dict[str, _Value]) -> bool:
    """True if the node's rank comes from a variable, and there may be several nodes."""
    nodes, rank = values.get("nodes"), values.get("node_rank")
    if nodes is None or rank is None or not rank.names:
        return False
    return bool(nodes.names) or nodes.given.known not in (None, "", "0", "1")


def _own_names(role: str, value: _Value) -> tuple[str, ...]:
    """The script's variables of a role. One with a default may be the user's, if it says how many GPUs or which port."""
    has_default = isinstance(value.given, Field)
    return () if has_default and role in ("nproc_per_node", "master_port") else value.names


class FoundPlatform:
    """The section `platform:` of a script that takes its nodes from a platform's variables."""

    def __init__(self, followed: Followed, start: Start, findings: Findings) -> None:
        self._values = _values(followed, start)
        self._findings = findings
        #: True if the script goes a way that takes nodes or the node's rank from the platform.
        self.is_used = any(
            value.same_as is not None
            for role, value in self._values.items()
            if role in ("nodes", "node_rank")
        )

    def section(self) -> dict[str, Tree]:
        """The names of the variables that launch.sh would not find by itself."""
        given = {role: value.same_as for role, value in self._values.items() if value.same_as}
        if given.get("master_port") in variables_of("master_port"):
            del given["master_port"]  # launch.sh reads it, or does without
        self._refuse_computed("node_rank", "the node's rank")
        row = self._row(given)
        self._check_master(row is not None and bool(row & variables_of("master_addr")))
        if row is None:
            return dict(given) if self.is_used else {}
        return {role: name for role, name in given.items() if name not in row}

    def _row(self, given: dict[str, str]) -> frozenset[str] | None:
        """The variables of the table's row that has those of the nodes and of the rank.

        Those of all rows where no single row has both; None where one of them is in no row.
        """
        wanted = {role: given[role] for role in ("nodes", "node_rank") if role in given}
        for row in rows_by_role():
            if all(name in row[role] for role, name in wanted.items()):
                return frozenset().union(*row.values())
        if all(name in variables_of(role) for role, name in wanted.items()):
            return frozenset().union(*map(variables_of, ROLES))
        return None

    def _refuse_computed(self, role: str, words: str) -> None:
        """Report a value that the script computes: launch.sh takes a variable's value as it is."""
        value = self._values.get(role)
        if value is None or not isinstance(value.given, Gap) or value.same_as is not None:
            return
        unknown = value.given.unknown
        message = f"{value.what} is computed ({unknown.why}); launch.sh takes {words} from a variable as it is"
        go_on = assumptions(unknown.names) or "a value in its place"
        hint = f"{go_on} goes on without it; then write `platform: {{{role}: NAME}}` into the spec"
        self._findings.error(value.given.line, message, hint)

    def _check_master(self, is_known: bool) -> None:
        """Say what becomes of the master's address where the script computes it or writes it out."""
        value = self._values.get("master_addr")
        if value is None or value.same_as is not None:
            return
        if isinstance(value.given, Field) and not self.is_used:
            return
        if is_known:  # it has been noted that launch.sh sets it
            return
        if isinstance(value.given, Gap):
            self._refuse_computed("master_addr", "the master's address")
        else:
            message = f"{value.what}={value.given.text} is left out: launch.sh reads the platform's variable"
            hint = "`platform: {master_addr: NAME}` names it, or a list whose first host it is; else it is MASTER_ADDR"
            self._findings.note(value.given.line, message, hint)

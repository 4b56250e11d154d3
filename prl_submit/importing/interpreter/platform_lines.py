"""Lines before the training that deal with a platform's variables: launch.sh does that itself, or says the values."""

from __future__ import annotations

import re

from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.bash.effects import DECLARATIONS, heads
from prl_submit.importing.bash.scope import Scope, Unknown
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.kept_lines import ASKS_MORE, Past
from prl_submit.importing.interpreter.known_commands import SILENT
from prl_submit.importing.known_variables import roles_of_plain_variables

_TERMINAL = frozenset(["1", "2", "/dev/null", "/dev/stderr", "/dev/stdout"])
#: Output that goes to a file, in a construct.
_WRITES = re.compile(r">\s*[^&\s=)]")
#: Commands that only set variables, compare and print.
_COMPUTE = SILENT | DECLARATIONS | {"[", "test", "exit", "return", "read", "let", "false"}
#: What a script sets where there is no platform.
_ALONE = {"nodes": "1", "node_rank": "0"}
#: launch.sh's own variable for each role. Those of the master are not set on every backend.
_OURS = {
    "nodes": "$prl_nodes",
    "node_rank": "$prl_node_rank",
    "nproc_per_node": "$prl_nproc_per_node",
    "master_addr": "${prl_master_addr:-}",
    "master_port": "${prl_master_port:-}",
}


def leave_out_platform_lines(history: list[Past], scope: Scope, findings: Findings) -> None:
    """Keep no line that only computes from the platform's variables, and no check of them.

    A line that sets variables is kept all the same where another line needs them.
    """
    names = _platforms(scope)
    for past in history if names else []:
        statement = past.statement
        if not past.keep or not _only_computes(statement) or not statement.reads & names:
            continue
        stops = any(name in ("exit", "return") for name, _ in heads(statement.calls))
        if not stops and not (":?" in statement.text and not statement.writes):
            past.keep = False
        elif not statement.reads - names and not ASKS_MORE.search(statement.text):
            past.keep = False
            message = f"`{shown(statement.text, 50)}` is left out"
            hint = "launch.sh checks the platform's variables before it starts anything"
            findings.note(statement.line, message, hint)


def _platforms(scope: Scope) -> set[str]:
    """The platform's variables, and those of the script that depend on no others."""
    found = set(scope.from_platform)
    for name, variable in scope.variables.items():
        names = variable.value.names if isinstance(variable.value, Unknown) else ()
        if names and set(names) <= scope.from_platform:
            found.add(name)
    return found


def _only_computes(statement: Statement) -> bool:
    """True if a statement sets variables, compares and prints, and leaves no trace but the variables."""
    outputs = [r for r in statement.redirects if ">" in r.operator]
    if statement.background or any(r.target not in _TERMINAL for r in outputs):
        return False
    if _WRITES.search(statement.text):
        return False
    return {name for name, _ in heads(statement.calls)} <= _COMPUTE


def given_by_launch(scope: Scope) -> dict[str, str]:
    """Lines that set the variables of a platform, which launch.sh has read, in place of the script's own.

    launch.sh has unset those that would mislead torchrun.
    """
    if not scope.from_platform:
        return {}
    roles = roles_of_plain_variables()
    found = {name: role for name, role in roles.items() if _means(name, role, scope, roles)}
    for name, variable in scope.variables.items():
        if isinstance(variable.value, Unknown) and variable.value.same_as in roles:
            found[name] = roles[variable.value.same_as]
    return {name: f"{name}={_OURS[role]}" for name, role in found.items()}


def _means(name: str, role: str, scope: Scope, roles: dict[str, str]) -> bool:
    """True if a variable of the table means that role in the script too, when the training starts."""
    variable = scope.variables.get(name)
    if variable is None:
        return name in scope.from_platform
    if isinstance(variable.value, Unknown):
        return roles.get(variable.value.same_as or "") == role
    return variable.value == _ALONE.get(role) or role in ("master_addr", "master_port")

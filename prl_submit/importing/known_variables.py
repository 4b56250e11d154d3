"""The variables of platforms by their roles, as launch.sh reads them: templates/platforms.txt."""

from __future__ import annotations

from prl_submit.launch.platforms import COLUMNS, platform_rows

#: What a platform tells the launcher on each node.
ROLES = COLUMNS[:-1]


def rows_by_role() -> list[dict[str, frozenset[str]]]:
    """Each platform's variables; one that holds a list of hosts or ports has its plain name."""
    return [
        {
            role: frozenset(name.removesuffix("[0]") for name in cell)
            for role, cell in zip(COLUMNS, row.cells, strict=True)
            if role in ROLES
        }
        for row in platform_rows()
    ]


def variables_of(role: str) -> frozenset[str]:
    """The variables that have this role on some platform."""
    return frozenset().union(*(row[role] for row in rows_by_role()))


def roles_of_plain_variables() -> dict[str, str]:
    """The role of each variable whose whole value counts: none that holds a list."""
    return {
        name: role
        for row in platform_rows()
        for role, cell in zip(COLUMNS, row.cells, strict=True)
        for name in cell
        if role in ROLES and not name.endswith("[0]")
    }

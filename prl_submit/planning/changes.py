"""The plan of a run that goes on with some changed values (`resume --set`). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.planning.layers import parse_settings
from prl_submit.planning.plan import Plan, Planned, Resolved
from prl_submit.rules.on_resume import is_taken, why_refused
from prl_submit.spec.nodes import Node, Origin, problem_at

#: What `explain` and plan.json say of a changed value.
SOURCE, DETAIL = "flag", "--set at resume"


class Change(Struct, frozen=True):
    """A value that changed between two attempts; None if the key had, or has, no value."""

    key: str
    before: Any
    after: Any


def changed_keys(sets: Sequence[str]) -> list[str]:
    """The keys of --set options, each once. Options that are not KEY=VALUE are left out."""
    settings, _ = parse_settings(sets)
    return list(dict.fromkeys(".".join(setting.path) for setting in settings))


def refusals(keys: Sequence[str], known: Sequence[Problem]) -> list[Problem]:
    """A problem for each key that a resumed training cannot take.

    `known`: the problems of the plan. A key that is wrong anyhow, such as a misspelt one, has its problem there.
    """
    origin, told = Origin("flag", label="--set"), {problem.key for problem in known}
    hint = "a new run can: prl-submit rerun RUN --set {}=…"
    return [
        problem_at(
            origin, key, f"a resumed run cannot take it: {why_refused(key)}", hint.format(key)
        )
        for key in keys
        if not is_taken(key) and key not in told
    ]


def changed_plan(plan: Plan, new: Plan, keys: Sequence[str]) -> Plan:
    """`plan` with the values that `new` has for these keys. Everything else stays as it was submitted."""
    for key in keys:
        section, _, rest = key.partition(".")
        if section == "swift":
            plan = _with_argument(plan, new, rest.partition(".")[0])
        elif key.startswith("environment.env"):
            environment = msgspec.structs.replace(plan.environment, env=new.environment.env)
            plan = msgspec.structs.replace(plan, environment=environment, exports=new.exports)
        else:
            plan = _with_field(plan, new, section, rest.partition(".")[0])
    return plan


def _with_argument(plan: Plan, new: Plan, name: str) -> Plan:
    """The plan with the words that `new` has for an argument of ms-swift, at their old place."""
    words = [group for group in new.arguments if _name(group) == name]
    places = [place for place, group in enumerate(plan.arguments) if _name(group) == name]
    place = places[0] if places else len(plan.arguments)
    kept = [group for group in plan.arguments if _name(group) != name]
    arguments = [*kept[:place], *words, *kept[place:]]
    return msgspec.structs.replace(plan, arguments=arguments)


def _name(group: Sequence[str]) -> str:
    """The argument that a group of words is for."""
    return group[0].removeprefix("--").partition("=")[0]


def _with_field(plan: Plan, new: Plan, section: str, field: str) -> Plan:
    """The plan with one field of a section as `new` has it; without a field name the whole section."""
    there = getattr(new, section)
    if field:
        here = getattr(plan, section)
        there = msgspec.structs.replace(here, **{field: getattr(there, field)})
    return msgspec.structs.replace(plan, **{section: there})


def changed_values(
    values: Sequence[Resolved], new: Sequence[Resolved], keys: Sequence[str]
) -> tuple[list[Resolved], list[Change]]:
    """The values of a plan with those of `new` for these keys, and what changed."""
    found = {item.key: item for item in values}
    before, after = ({item.key: item.value for item in items} for items in (values, new))
    touched = [key for key in dict.fromkeys([*before, *after]) if _is_of(key, keys)]
    changes = [
        Change(key, before.get(key), after.get(key))
        for key in touched
        if before.get(key) != after.get(key)
    ]
    for change in changes:
        if change.key in after:
            found[change.key] = Resolved(change.key, change.after, SOURCE, DETAIL)
        else:
            del found[change.key]
    return list(found.values()), changes


def _is_of(key: str, keys: Sequence[str]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in keys)


def argument_of(plan: Plan, name: str) -> str | None:
    """The value that the plan passes to ms-swift for an argument with one value."""
    for group in reversed(plan.arguments):
        if _name(group) == name:
            return group[1] if len(group) > 1 else group[0].partition("=")[2]
    return None


def with_own_folders(planned: Planned, own: Node) -> Planned:
    """The plan with `workdir` and `output` in its tree as the run's spec.yaml `own` has them, or without them."""
    tree = planned.tree.value if isinstance(planned.tree.value, dict) else {}
    theirs = own.value if isinstance(own.value, dict) else {}
    kept = {}
    for key, node in tree.items():
        if key not in ("workdir", "output"):
            kept[key] = node
        elif key in theirs:
            kept[key] = theirs[key]
    return msgspec.structs.replace(planned, tree=Node(kept, planned.tree.origin))

"""MODULES names, for each module, the arguments that its rules look at; a rule without its name never runs."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module

import pytest

from prl_submit.rules import MODULES, Rule, all_rules, check, run_rules
from tests.support.plans import planned
from tests.training.configurations import configurations, spec


def texts(module: str, name: str, seen: set[str]) -> set[str]:
    """The texts in a function or constant of a module, and in all that it names of that module."""
    place = import_module(module)
    tree = ast.parse(inspect.getsource(place))
    found: set[str] = set()
    for statement in tree.body:
        if name not in names_of(statement) or name in seen:
            continue
        seen.add(name)
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.Attribute):  # job.tuner_type
                found.add(node.attr)
            elif isinstance(node, ast.Name) and node.id != name:
                found |= texts(module, node.id, seen)
    return found


def names_of(statement: ast.stmt) -> set[str]:
    """The names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def rules() -> list[tuple[str, str, Rule]]:
    """The rules of the modules that do not look at every job: module, its words, rule."""
    return [
        (name, words, rule)
        for name, words in MODULES
        if words
        for rule in import_module(f"prl_submit.rules.{name}").RULES
    ]


@pytest.mark.parametrize(
    ("name", "words", "rule"), [pytest.param(*r, id=f"{r[0]}.{r[2].__name__}") for r in rules()]
)
def test_a_rule_looks_at_a_word_of_its_module(name: str, words: str, rule: Rule) -> None:
    found = texts(rule.__module__, rule.__name__, set())
    missing = f"MODULES in prl_submit/rules/__init__.py lists no argument of {name}.{rule.__name__}"
    assert found & set(words.split()), missing


def test_modules_that_are_not_called_have_nothing_to_say() -> None:
    """The rules that `check` calls find what all rules find."""
    for configuration in configurations(400):
        job = planned(spec(configuration)).job
        called, said = check(job), run_rules(job, all_rules())
        unsaid = [problem.key for problem in said if problem not in called]
        assert not unsaid, f"MODULES in prl_submit/rules/__init__.py must list {unsaid}"

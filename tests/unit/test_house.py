"""The house keeps its shape: rooms are imported downward, names are said once, functions stay small."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prl_submit.spec.traits import BACKENDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "prl_submit"
#: From the top: a room imports rooms of a higher number alone. Rooms of one number do not know each other.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"sweeps"},
    {"resumption"},
    {"prepare", "pruning", "submission"},
    {"report"},
    {"importing", "made_of", "memory", "results"},
    {"probe"},
    {"inputs"},
    {"backends"},
    {"runs"},
    {"launch"},
    {"planning"},
    {"rules"},
    {"swift"},
    {"spec"},
    {"system", "errors"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
#: bash has a builtin `local`, which the room that reads bash compares with.
OF_BASH = "importing"
#: Names of modules that two packages have, and why.
SAME_MODULES = {
    "__init__": "a package",
    "backend": "each backend has one: what the seam calls",
    "options": "each backend has one: what `check` and `render` ask",
    "states": "Slurm and Kubernetes: from what they answer to the states, which runs/states.py has",
    "judge": "Slurm and Kubernetes: one run's state from all that was seen",
    "evidence": "Slurm and Kubernetes: all that was seen of one run",
    "ended_job": "Slurm and Kubernetes: how a job that is over has ended",
    "ownership": "each backend: whether a job, or a process, is this run's",
    "labels": "runs: what the user says about a run; Kubernetes: those of its objects",
    "reasons": "Slurm and Kubernetes: why a job waits or died, in words",
    "refusals": "Slurm and Kubernetes: why a job is refused, in words",
    "variables": "planning: the user's PRL_*; the platform backend: those that tell a node its place",
}
#: Names of classes that two modules have, and why.
SAME_CLASSES = {"Node": "of YAML, with its line; and of bash, as shfmt calls it"}
LONGEST = 40
#: Of ten functions, nine have at most this cyclomatic complexity.
COMPLEX_P90 = 7


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    """`prl_submit.cli.console` -> `cli`."""
    return module.split(".")[1] if "." in module else ""


def imported(module: str) -> set[str]:
    """The modules of the package that a module imports: also inside functions, and for types alone."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(MODULES) or {node.module or ""} & set(MODULES)
    return found - {PACKAGE.name, module}


def test_imports_go_downward() -> None:
    assert set(FLOOR_OF) == {room_of(module) for module in MODULES} - {""}
    upward = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imported(module)
        if room_of(module) != room_of(other)
        and FLOOR_OF[room_of(other)] <= FLOOR_OF[room_of(module)]
    ]
    assert upward == []


def test_no_module_imports_itself_by_a_way_round() -> None:
    graph = {module: imported(module) for module in MODULES}
    open_: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in open_, " -> ".join([*open_[open_.index(module) :], module])
        if module not in done:
            open_.append(module)
            for other in graph[module]:
                visit(other)
            done.add(open_.pop())

    for module in graph:
        visit(module)


def test_the_root_is_the_table_of_contents() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_a_list_of_modules_names_all_of_its_package() -> None:
    wrong = {}
    for package in PACKAGE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(package.read_text("utf-8"))) or ""
        listed = set(re.findall(r"(?m)^ *(\w+)\.py  +\S", text))
        named = set(re.findall(r"(\w+)\.py\b", text))
        there = {path.stem for path in package.parent.glob("*.py")} - {"__init__"}
        if listed and (listed - there or there - named):
            wrong[package.parent.name] = (listed - there, there - named)
    assert wrong == {}


def test_no_two_modules_of_one_name() -> None:
    names = Counter(path.stem for path in MODULES.values())
    assert {name for name, count in names.items() if count > 1} == set(SAME_MODULES)


def test_no_two_classes_of_one_name() -> None:
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name[0] != "_"
    )
    assert {name for name, count in names.items() if count > 1} == set(SAME_CLASSES)


def test_nothing_decides_by_the_name_of_a_backend() -> None:
    free = {"backends", "spec", OF_BASH}
    submitits_own = "prl_submit.probe.on_node"  # SUBMITIT_EXECUTOR
    compared = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Compare, ast.MatchValue)) and room_of(module) not in free
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and constant.value in BACKENDS
    ]
    assert [place for place in compared if not place.startswith(submitits_own)] == []


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function with where it stands."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node


def test_no_function_is_long() -> None:
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_functions_are_simple() -> None:
    limit = f"lint.mccabe.max-complexity={COMPLEX_P90}"
    words = ["--select", "C901", "--config", limit, "--output-format", "json", "--exit-zero"]
    words += ["--ignore-noqa"]  # those that pyproject.toml's limit excepts count here all the same
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", *words, str(PACKAGE)]
    done = subprocess.run(ruff, capture_output=True, check=True)
    assert len(json.loads(done.stdout)) <= len(list(functions())) / 10

"""The `slurm:` section: which options of sbatch a spec may set, and the messages about the others."""

from __future__ import annotations

from typing import Any

import pytest

from prl_submit.backends.slurm.option_names import OTHERS, OWNED, REFUSED
from prl_submit.errors import Problem
from tests.support.plans import planned


def found(text: str, **more: Any) -> list[Problem]:
    """The errors of a Slurm job; `text`: further lines of its spec."""
    problems = planned(f"name: x\nbackend: slurm\n{text}", **more).problems
    return [problem for problem in problems if problem.severity == "error"]


def only(text: str) -> Problem:
    """The one error."""
    problems = found(text)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    "extra",
    [
        "nice: 10",
        "nice: -5",
        "exclusive: true",
        "exclusive: user",
        "hold: false",
        "hold: null",
        "mail-type: [END, FAIL]",
        "gres: 'nvme:1'",
        "licenses: 'ansys:2'",
        "core-spec: 2",
        "comment: 'a | b; $(c)'",
        "mem-per-gpu: 40G",
        "wckey: ''",
    ],
)
def test_options_that_are_passed_on(extra: str) -> None:
    assert found(f"slurm: {{extra: {{{extra}}}}}") == []


def test_each_option_is_in_one_table() -> None:
    assert not set(OWNED) & set(REFUSED)
    assert not OTHERS & (set(OWNED) | set(REFUSED))


@pytest.mark.parametrize("option", sorted(OWNED))
def test_an_option_that_another_key_sets(option: str) -> None:
    problem = only(f"slurm: {{extra: {{{option}: 1}}}}")
    assert problem.key == f"slurm.extra.{option}"
    assert problem.message == f"is set by {OWNED[option]}"
    assert problem.hint == f"use {OWNED[option]} instead"
    assert problem.line == 3


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_an_option_that_would_change_what_a_submission_is(option: str) -> None:
    problem = only(f"slurm: {{extra: {{{option}: 1}}}}")
    assert (problem.message, problem.hint) == ("is prl-submit's own", REFUSED[option])


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("exlusive", "sbatch has no option --exlusive", "did you mean 'exclusive'?"),
        ("partitoin", "sbatch has no option --partitoin", "did you mean 'partition'?"),
        ("p", "sbatch has no option --p", "see `man sbatch`; options have long names here"),
        ("qqqq", "sbatch has no option --qqqq", "see `man sbatch`; options have long names here"),
        ("mail_type", "is written mail-type", "rename it to 'mail-type'"),
        ("--nice", "is written nice", "rename it to 'nice'"),
        ("--mem_per_gpu", "is written mem-per-gpu", "rename it to 'mem-per-gpu'"),
        # Every spelling of an option that another key sets is reported as such.
        ("--ntasks_per_node", "is set by resources.nproc_per_node", "use resources.nproc_per_node instead"),
        ("open_mode", "is prl-submit's own", "the logs of a run are kept across restarts"),
    ],
)  # fmt: skip
def test_names_that_are_not_as_sbatch_has_them(name: str, message: str, hint: str) -> None:
    problem = only(f'slurm: {{extra: {{"{name}": 1}}}}')
    assert (problem.key, problem.message, problem.hint) == (f"slurm.extra.{name}", message, hint)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{a: 1}", "takes text, a number, true or a list"),
        (r'"a\nb"', "holds a control character"),
        (r'"a\tb"', "holds a control character"),
        ('"\u3000"', None),
        (r'["a\nb"]', "holds a control character"),
    ],
)
def test_values_that_no_line_can_hold(value: str, message: str | None) -> None:
    problems = found(f"slurm: {{extra: {{wckey: {value}}}}}")
    assert [p.message for p in problems] == ([] if message is None else [message])


def test_all_problems_are_told_at_once() -> None:
    problems = found("slurm: {extra: {time: 1, array: 1, zzz: 1}}")
    assert [p.key for p in problems] == [f"slurm.extra.{n}" for n in ("time", "array", "zzz")]


@pytest.mark.parametrize("backend", ["local", "kubernetes"])
def test_other_backends_do_not_look_at_it(backend: str) -> None:
    problems = found("slurm: {extra: {array: 1-9}}", backend=backend)
    assert [problem for problem in problems if (problem.key or "").startswith("slurm")] == []


@pytest.mark.parametrize("option", ["mem-per-cpu", "mem-per-gpu"])
def test_memory_is_given_once(option: str) -> None:
    problem = only(f"resources: {{memory: 8G}}\nslurm: {{extra: {{{option}: 1G}}}}")
    assert problem.key == f"slurm.extra.{option}"
    assert problem.message == "resources.memory is given too"


@pytest.mark.parametrize(
    ("limit", "grace", "fits"),
    [
        ("5m", "299s", True),
        ("5m", "5m", False),
        ("5m", "6m", False),
        (None, "18h", True),
        (None, "19h", False),
    ],
)
def test_the_warning_fits_into_the_time(limit: str | None, grace: str, fits: bool) -> None:
    time = f"resources: {{time_limit: {limit}}}\n" if limit else ""
    problems = found(f"{time}restarts: {{grace: {grace}}}")
    assert [p.key for p in problems] == ([] if fits else ["restarts.grace"])


@pytest.mark.parametrize(
    ("mount", "good"),
    [
        ("/data:/data", True),
        ("/data:/mnt:ro", True),
        ("/data", True),
        ("/with space:/x", True),
        ("/a:", False),
        (":/a", False),
        ("/a::ro", False),
        ("/a:/b:ro:z", False),
        ("/a,b:/c", False),
    ],
)
def test_mounts(mount: str, good: bool) -> None:
    """A container's mount is SOURCE, SOURCE:TARGET or SOURCE:TARGET:OPTIONS."""
    text = f"environment: {{container: {{image: i, mounts: ['{mount}']}}}}"
    keys = [p.key for p in found(text)]
    assert keys == ([] if good else ["environment.container.mounts"])


@pytest.mark.parametrize("wckey", ["'*'", "'*mine'"])
def test_a_wckey_that_slurm_refuses(wckey: str) -> None:
    """`*` marks the default wckey in Slurm; 26.05 refuses it."""
    problem = only(f"slurm: {{extra: {{wckey: {wckey}}}}}")
    assert (problem.key, "begins with *" in problem.message) == ("slurm.extra.wckey", True)


def test_a_wckey() -> None:
    """A wckey may hold a star."""
    assert found("slurm: {extra: {wckey: 'a*'}}") == []

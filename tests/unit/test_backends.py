"""The registry of backends: traits, modules by name, and what is said of a name that nobody registered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from prl_submit import backends
from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, SweepItem, SweepOrder, ignore_message
from prl_submit.errors import BackendRefusedError, PrlSubmitError
from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import BATCH_SCRIPT, MANIFEST
from prl_submit.runs.record import Record, write_record
from prl_submit.spec.traits import BACKENDS, DEFAULT, find_traits, traits_of
from tests.support.plans import plan_of
from tests.support.records import make_run, record


@pytest.mark.parametrize("name", BACKENDS)
def test_each_backend_has_what_the_seam_calls(name: str) -> None:
    assert traits_of(name).name == name
    assert isinstance(backends.load(name), Backend)
    options = backends.load_options(name)
    assert callable(options.check_section)
    assert hasattr(options, "artefact") == (traits_of(name).artefact is not None)
    for ask in ("size_of_nodes", "is_node"):
        assert hasattr(options, ask) == traits_of(name).nodes_tell_size


def test_the_files_that_are_sent() -> None:
    sent = {name: traits.artefact for name, traits in BACKENDS.items()}
    assert sent == {
        "local": None,
        "slurm": BATCH_SCRIPT,
        "kubernetes": MANIFEST,
        "platform": None,
    }


def test_names() -> None:
    assert DEFAULT in BACKENDS
    assert traits_of("k8s").name == "kubernetes"
    assert find_traits("condor") is None
    assert backends.pause("condor") == 0.0
    with pytest.raises(PrlSubmitError) as caught:
        backends.load("condor")
    assert caught.value.message == "unknown backend 'condor'"
    assert caught.value.hint == "there are: local, slurm, kubernetes, platform"


@pytest.mark.parametrize("name", BACKENDS)
def test_check_imports_no_more_of_a_backend_than_its_options(name: str) -> None:
    package = f"prl_submit.backends.{name}"
    code = f"import {package}.options, sys; print('{package}.backend' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"False\n"


class OneByOne(Backend):
    """A backend that refuses the second job, as one with a quota would, and knows no job `v3-…`."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """Nothing."""
        return ""

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Write the record, or refuse."""
        if run.name.startswith("v2-"):
            raise BackendRefusedError("quota")
        write_record(run, record)
        return record

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """Nothing."""
        return []

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """True, False, or an error, by the run's number."""
        if run.number == 2:
            raise BackendRefusedError("not yours")
        return run.number == 1


def test_by_default_a_sweep_is_submitted_one_by_one_until_the_first_refusal(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"v{n}-x", is_waiting=True).path for n in (1, 2, 3)]
    items = [SweepItem(run, plan_of("name: x"), record()) for run in runs]
    order = SweepOrder(tmp_path / "sweeps" / "lr-1", "lr", "5f", None, items)
    with pytest.raises(BackendRefusedError, match="quota"):
        OneByOne().submit_many(order)
    left = [run.record.is_waiting for path in runs if (run := read_run(path)) and run.record]
    assert left == [False, True, True]


def test_by_default_each_run_of_a_sweep_is_cancelled(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"v{n}-x") for n in (1, 2, 3)]
    first, second, third = OneByOne().cancel_many(runs, wait=False)
    assert (first, third) == (True, False)
    assert isinstance(second, BackendRefusedError)

"""The registry of backends: traits, modules by name, and what is said of a name that nobody registered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from prl_submit import backends
from prl_submit.backends.base import Backend
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.layout import BATCH_SCRIPT, MANIFEST
from prl_submit.spec.traits import BACKENDS, DEFAULT, find_traits, traits_of


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

"""Where jobs run: how a backend is found.

A backend is an entry in `spec/traits.py` and a package with two modules: `options.py` has what `check` and
`render` need and imports quickly, `backend.py` has `BACKEND`, which talks to the backend. `base.py` has what
every backend does; `check` and `render` do not import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from prl_submit.spec.traits import find_traits, traits_of

if TYPE_CHECKING:
    from prl_submit.backends.base import Backend, Options
    from prl_submit.errors import Problem
    from prl_submit.planning.plan import Planned


def load_options(name: str) -> Options:
    """Import the options.py of a backend, and nothing else of it. Raises PrlSubmitError for an unknown one."""
    return cast("Options", import_module(f"{_package(name)}.options"))


def check_section(planned: Planned) -> list[Problem]:
    """The problems that the backend's own rules find in a plan."""
    from prl_submit.rules import run_rules

    options = load_options(planned.plan.backend)
    return run_rules(planned.job, [lambda job: options.check_section(job, planned.plan)])


def pause(name: str) -> float:
    """Seconds between two questions to a backend; 0 for one that this version does not know."""
    traits = find_traits(name)
    return 0.0 if traits is None else traits.poll_s


def load(name: str) -> Backend:
    """Import a backend. Raises PrlSubmitError for an unknown one."""
    backend: Backend = import_module(f"{_package(name)}.backend").BACKEND
    return backend


def _package(name: str) -> str:
    traits = traits_of(name)
    return traits.package or f"{__name__}.{traits.name}"

"""Planning from texts: no disk, no environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from prl_submit.planning.layers import Layered, load_layers
from prl_submit.planning.plan import Context, Planned, make_plan
from prl_submit.spec.profiles import read_profile
from prl_submit.swift.table import load_table

CONTEXT = Context(cwd="/cwd", home="/home/me")


@pytest.fixture(scope="session")
def layered() -> Callable[..., Layered]:
    """`layered(spec, files=…, environ=…, sets=…, toml=…)`: texts to one tree."""
    table = load_table()

    def load(
        spec: str | None,
        *,
        files: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        toml: str | None = None,
    ) -> Layered:
        texts = {**({} if spec is None else {"job.yaml": spec}), **(files or {})}

        def read(path: str) -> bytes:
            if path not in texts:
                raise FileNotFoundError(2, "No such file or directory", path)
            return texts[path].encode("utf-8")

        profile = None
        if toml is not None:
            profile = read_profile([("prl-submit.toml", toml.encode("utf-8"))], None)
        return load_layers(
            "job.yaml", read=read, profile=profile, environ=environ or {}, sets=sets, table=table
        )

    return load


@pytest.fixture(scope="session")
def planned(layered: Callable[..., Layered]) -> Callable[..., Planned]:
    """`planned(spec, …, backend=…)`: texts to a plan with its problems."""
    table = load_table()

    def make(spec: str, *, backend: str | None = None, **more: object) -> Planned:
        context = Context(CONTEXT.cwd, CONTEXT.home, backend)
        return make_plan(layered(spec, **more), table, "job.yaml", context)

    return make

"""The names that each release of ms-swift registers itself: model types, templates, loss scales and others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

import msgspec
from msgspec import Struct

from prl_submit.swift.history import load_history

#: tools/make_swift_tables.py makes this file from the published wheels.
FILE = os.path.join(os.path.dirname(__file__), "registries.json")


#: A loss_scale may begin with a strategy (`last_round+react`). `Registries.others` has the strategies
#: under this key.
STRATEGIES = "loss_scale+"


class ModelKind(Struct, frozen=True, array_like=True):
    """A model type: its architectures (as in config.json), its template, and the templates of its groups."""

    architectures: tuple[str, ...] = ()
    template: str | None = None
    templates: tuple[str, ...] = ()


class Registries(Struct, frozen=True):
    """The names that one release registers.

    `models`: model type -> its data, in the order in which ms-swift registers model types.
    `names`: the last part of a model's name in lower case -> its model type, and its group's template if
    the group has one. `others`: argument -> the names that it accepts.
    """

    models: dict[str, ModelKind]
    names: dict[str, tuple[str, str | None]]
    others: dict[str, tuple[str, ...]]

    def types_of(self, architecture: str) -> list[str]:
        """The model types with an architecture. `null` finds the types that have no architecture."""
        return [
            kind
            for kind, known in self.models.items()
            if architecture in (known.architectures or ("null",))
        ]


class Bundle(Struct, frozen=True):
    """The names of all releases. Each entry begins with its first and last release.

    Releases are given as indexes of `History.versions`.
    """

    kinds: dict[str, list[tuple[int, int, ModelKind]]]
    names: dict[str, list[tuple[int, int, str, str | None]]]
    others: dict[str, dict[str, list[tuple[int, int]]]]


def bundled(version: str) -> Registries:
    """The names that a release registers. For an unknown release: those of the last one before it."""
    place = load_history().place(version)
    bundle = _load()
    return Registries(
        {
            name: kind
            for name, spans in bundle.kinds.items()
            for first, last, kind in spans
            if first <= place <= last
        },
        {
            name: (kind, template)
            for name, spans in bundle.names.items()
            for first, last, kind, template in spans
            if first <= place <= last
        },
        {
            argument: tuple(name for name, spans in names.items() if _has(spans, place))
            for argument, names in bundle.others.items()
        },
    )


def _has(spans: Iterable[tuple[int, int]], place: int) -> bool:
    return any(first <= place <= last for first, last in spans)


@lru_cache(maxsize=1)
def _load() -> Bundle:
    with open(FILE, "rb") as file:
        return msgspec.json.decode(file.read(), type=Bundle)

"""The names that ms-swift registers itself: model types, templates, loss scales and the like."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

import msgspec
from msgspec import Struct

from prl_submit.swift.history import load_history

#: Made by tools/make_swift_tables.py from the published wheels.
FILE = os.path.join(os.path.dirname(__file__), "registries.json")


#: The key of the strategies, the first word of a loss_scale, among the other registries.
STRATEGIES = "loss_scale+"


class ModelKind(Struct, frozen=True, array_like=True):
    """A model type: the architectures it stands for, its template, and those of its groups of models."""

    architectures: tuple[str, ...] = ()
    template: str | None = None
    templates: tuple[str, ...] = ()


class Registries(Struct, frozen=True):
    """One release's registries.

    `models`: by model type, in the order in which ms-swift registers them. `names`: the last part of a
    model's name, in lower case -> the model type, and the template of its group where it has one.
    `others`: argument -> the names that it takes.
    """

    models: dict[str, ModelKind]
    names: dict[str, tuple[str, str | None]]
    others: dict[str, tuple[str, ...]]

    def types_of(self, architecture: str) -> list[str]:
        """The model types that an architecture may be; `null` stands for none at all."""
        return [
            kind
            for kind, known in self.models.items()
            if architecture in (known.architectures or ("null",))
        ]


class Bundle(Struct, frozen=True):
    """All releases: each entry with the releases that have it, as `[first, last, …]` places."""

    kinds: dict[str, list[tuple[int, int, ModelKind]]]
    names: dict[str, list[tuple[int, int, str, str | None]]]
    others: dict[str, dict[str, list[tuple[int, int]]]]


def bundled(version: str) -> Registries:
    """The registries of a release, or of the one before it."""
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

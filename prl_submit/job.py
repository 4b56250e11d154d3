"""A job as rules look at it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.spec import JobSpec
from prl_submit.tree import Node, near_origin, problem_at


class DoubtfulError(Exception):
    """A rule needs a value that is wrong already; its verdict would only confuse."""


class Job(Struct, frozen=True):
    """What rules look at: the typed spec, the typed `swift:` values, and the tree for the lines."""

    spec: JobSpec
    swift: dict[str, Any]
    tree: Node
    backend: str
    #: Dotted keys whose value is wrong by itself, or probably stands under a misspelt name.
    doubtful: frozenset[str] = frozenset()

    @property
    def world(self) -> int:
        """Number of processes. Raises DoubtfulError."""
        for key in ("resources", "resources.nodes", "resources.nproc_per_node"):
            self._require(key)
        return self.spec.resources.nodes * self.spec.resources.nproc_per_node

    @property
    def world_words(self) -> str:
        """The product that makes the world, for messages."""
        resources = self.spec.resources
        return f"nproc_per_node {resources.nproc_per_node} x nodes {resources.nodes}"

    def get(self, name: str, default: Any) -> Any:
        """A swift value, or ms-swift's default for it. Raises DoubtfulError."""
        self._require("swift")
        self._require(f"swift.{name}")
        return self.swift.get(name, default)

    def _require(self, key: str) -> None:
        if key in self.doubtful:
            raise DoubtfulError(key)

    def problem(self, key: str, message: str, hint: str | None, severity: str = "error") -> Problem:
        """A problem at `key`, or at the nearest key around it that was written."""
        return problem_at(near_origin(self.tree, key), key, message, hint, severity)

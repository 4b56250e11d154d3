"""The job that the rules and the checks of its files examine, with helpers to read its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, lookup, near_origin, problem_at
from prl_submit.spec.sections import JobSpec
from prl_submit.spec.traits import Traits, traits_of
from prl_submit.swift.history import number

#: The lists of names in `prl_submit.rules` (losses, tuners and others) are those of this release. Earlier
#: releases have no other names.
LISTED = (4, 6)


class DoubtfulError(Exception):
    """A rule needs a value that is wrong already, so its own problem would only confuse, or is not known yet."""


class Job(Struct, frozen=True):
    """A job: the typed spec, and the node tree with the line of each value."""

    spec: JobSpec
    tree: Node
    backend: str
    #: Dotted keys whose value is wrong by itself, was probably written under a misspelt name, or is told only
    #: on the node.
    doubtful: frozenset[str] = frozenset()
    #: The version of the ms-swift that will run, such as `3.12.6`. None if it is not known; then the rules
    #: of the newest release hold.
    swift_version: str | None = None
    #: The version of the Python that will run the job, such as `3.11`. None if it is not known.
    python: str | None = None
    #: The folders in which that ms-swift and the packages it imports are, if they are on this machine.
    folders: tuple[str, ...] = ()
    #: The folder that holds `swift/`, if it is on this machine. It can be set while `folders` is empty.
    source: str | None = None
    #: Returns the `registries.Registries` of that ms-swift, or None if they are not known.
    names: Callable[[], Any] = lambda: None

    @property
    def traits(self) -> Traits:
        """What is known of the backend that the job goes to."""
        return traits_of(self.backend)

    @property
    def swift(self) -> dict[str, Any]:
        """The values of ms-swift's arguments; wrong ones are left out."""
        return self.spec.swift

    @property
    def world(self) -> int:
        """The number of processes on all nodes. Raises DoubtfulError."""
        for key in ("resources", "resources.nodes", "resources.nproc_per_node"):
            self._require(key)
        return self.spec.resources.nodes * self.spec.resources.nproc_per_node

    @property
    def nproc_per_node(self) -> int:
        """The number of processes on each node. Raises DoubtfulError."""
        for key in ("resources", "resources.nproc_per_node"):
            self._require(key)
        return self.spec.resources.nproc_per_node

    @property
    def world_words(self) -> str:
        """The factors of the number of processes, for messages: `nproc_per_node 4 x nodes 2`."""
        resources = self.spec.resources
        return f"nproc_per_node {resources.nproc_per_node} x nodes {resources.nodes}"

    @property
    def rlhf_type(self) -> str:
        """The training algorithm. ms-swift's default is dpo. Raises DoubtfulError."""
        return str(self.get("rlhf_type", "dpo"))

    @property
    def tuner_type(self) -> str:
        """What is trained: all weights (full) or an adapter. ms-swift's default is lora.

        The argument is tuner_type since ms-swift 4.0, and train_type or sft_type before.
        """
        for name in ("tuner_type", "train_type", "sft_type"):
            value = self.get(name, None)
            if value is not None:
                return str(value)
        return "lora"

    @property
    def tuner_argument(self) -> str:
        """The name of the argument for `tuner_type` in the ms-swift that will run."""
        return "tuner_type" if self.since("4.0") else "train_type"

    @property
    def has_plugins(self) -> bool:
        """True if the job imports Python files of the user's, which may register new names."""
        return bool(self.many("external_plugins") or self.many("custom_register_path"))

    @property
    def may_know_more(self) -> bool:
        """True if a plugin, or changed source of ms-swift, may have names that our lists lack.

        Then the rules here say nothing about names; `prl_submit.inputs.plugins` reads the files and does.
        """
        return self.has_plugins or self.source is not None

    def since(self, version: str) -> bool:
        """True if the ms-swift that will run is `version` or later, or is not known."""
        return self.swift_version is None or number(self.swift_version) >= number(version)

    @property
    def has_known_names(self) -> bool:
        """True if our lists of names (losses, tuners and others) are complete for the ms-swift that will run."""
        return self.swift_version is None or number(self.swift_version)[:2] <= LISTED

    def get(self, name: str, default: Any) -> Any:
        """The value of an argument, or `default` if it is not set. Raises DoubtfulError."""
        self._require("swift")
        self._require(f"swift.{name}")
        return self.swift.get(name, default)

    def many(self, name: str) -> list[Any]:
        """The values of an argument that takes several words. Empty if it is not set."""
        value = self.get(name, None)
        if value is None:
            return []
        return list(value) if isinstance(value, list) else [value]

    def written(self, name: str) -> bool:
        """True if the user wrote the argument, and it is not one of prl-submit's defaults."""
        node = lookup(self.tree, f"swift.{name}")
        return name in self.swift and node is not None and node.origin.layer != "default"

    def _require(self, key: str) -> None:
        if key in self.doubtful:
            raise DoubtfulError(key)

    def problem(self, key: str, message: str, hint: str | None, severity: str = "error") -> Problem:
        """A problem at the line of `key`, or of the nearest section around it that was written."""
        return problem_at(near_origin(self.tree, key), key, message, hint, severity)

    def refuse(self, name: str, message: str, hint: str | None = None) -> Problem:
        """An error about an argument, because ms-swift would stop."""
        return self.problem(f"swift.{name}", message, hint)

    def warn(self, name: str, message: str, hint: str | None = None) -> Problem:
        """A warning about an argument: ms-swift would go on, but differently from what the user expects."""
        return self.problem(f"swift.{name}", message, hint, "warning")

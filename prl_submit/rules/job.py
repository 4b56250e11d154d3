"""A job as rules look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, lookup, near_origin, problem_at
from prl_submit.spec.sections import JobSpec
from prl_submit.swift.history import number

#: The ms-swift whose names are listed in `prl_submit.rules`; those before it have no others.
LISTED = (4, 6)


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
    #: Which ms-swift will run, as `3.12.6`; None where that is not known: the newest we know.
    swift_version: str | None = None
    #: The Python that will run it, as `3.11`, where that is known.
    python: str | None = None
    #: Where that ms-swift and what it imports lie, if that is on this machine.
    folders: tuple[str, ...] = ()
    #: The folder with its `swift/`, also where what it imports is not to be seen, as of a checkout.
    source: str | None = None
    #: Gives its `registries.Registries`, or None where nothing is known of them.
    names: Callable[[], Any] = lambda: None

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

    @property
    def rlhf_type(self) -> str:
        """The algorithm; ms-swift's default is dpo. Raises DoubtfulError."""
        return str(self.get("rlhf_type", "dpo"))

    @property
    def tuner_type(self) -> str:
        """The default is lora. Before ms-swift 4.0 the argument was train_type, and sft_type."""
        for name in ("tuner_type", "train_type", "sft_type"):
            if (value := self.get(name, None)) is not None:
                return str(value)
        return "lora"

    @property
    def tuner_argument(self) -> str:
        """The name of the argument in the ms-swift that will run."""
        return "tuner_type" if self.since("4.0") else "train_type"

    @property
    def has_plugins(self) -> bool:
        """Whether files of the user's are imported, which may register whatever they like."""
        return bool(self.many("external_plugins") or self.many("custom_register_path"))

    @property
    def may_know_more(self) -> bool:
        """True if the names that ms-swift registers are read elsewhere: of plugins, or of its own source.

        Rules that do not read files say nothing of names then; `inputs.plugins` does.
        """
        return self.has_plugins or self.source is not None

    def since(self, version: str) -> bool:
        """Whether the ms-swift that will run is `version` or later."""
        return self.swift_version is None or number(self.swift_version) >= number(version)

    @property
    def has_known_names(self) -> bool:
        """Whether our lists of names (losses, tuners, …) are its own: a later version may have more."""
        return self.swift_version is None or number(self.swift_version)[:2] <= LISTED

    def get(self, name: str, default: Any) -> Any:
        """A swift value, or ms-swift's default for it. Raises DoubtfulError."""
        self._require("swift")
        self._require(f"swift.{name}")
        return self.swift.get(name, default)

    def many(self, name: str) -> list[Any]:
        """The values of an argument that takes several words; empty where it is not given."""
        value = self.get(name, None)
        if value is None:
            return []
        return list(value) if isinstance(value, list) else [value]

    def written(self, name: str) -> bool:
        """Whether somebody wrote the argument, so that a word about it is a word to them."""
        node = lookup(self.tree, f"swift.{name}")
        return name in self.swift and node is not None and node.origin.layer != "default"

    def _require(self, key: str) -> None:
        if key in self.doubtful:
            raise DoubtfulError(key)

    def problem(self, key: str, message: str, hint: str | None, severity: str = "error") -> Problem:
        """A problem at `key`, or at the nearest key around it that was written."""
        return problem_at(near_origin(self.tree, key), key, message, hint, severity)

    def refuse(self, name: str, message: str, hint: str | None = None) -> Problem:
        """An error at an argument: ms-swift would stop."""
        return self.problem(f"swift.{name}", message, hint)

    def warn(self, name: str, message: str, hint: str | None = None) -> Problem:
        """A warning at an argument: ms-swift goes on, and not as one would think."""
        return self.problem(f"swift.{name}", message, hint, "warning")

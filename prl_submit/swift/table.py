"""The arguments that one ms-swift accepts, by name, and which ms-swift that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from prl_submit.swift.argument import Argument
from prl_submit.swift.history import load_history

if TYPE_CHECKING:
    from prl_submit.swift.registries import Registries


def bundled_names(version: str) -> Registries | None:
    """The names that a release registers, from the bundled file."""
    from prl_submit.swift.registries import bundled

    return bundled(version)


class Table(dict[str, Argument]):
    """The arguments of one ms-swift by name.

    `version`: the version of ms-swift. `origin`: where the arguments come from, in words.
    `is_certain`: false if that version is unknown and the last known one before it is used; then a name
    that the table lacks may still be valid. `is_assumed`: true if nothing is known about the job's
    ms-swift and the newest release is used.
    """

    def __init__(
        self,
        arguments: Mapping[str, Argument],
        version: str,
        origin: str,
        *,
        is_certain: bool = True,
        is_assumed: bool = False,
    ) -> None:
        super().__init__(arguments)
        self.version = version
        self.origin = origin
        self.is_certain = is_certain
        self.is_assumed = is_assumed
        #: The folders in which this ms-swift and the packages it imports are, if they are on this machine.
        self.folders: tuple[str, ...] = ()
        #: The folder that holds `swift/`, if it is on this machine. It can be set while `folders` is empty.
        self.source: str | None = None
        #: Reads the names that this ms-swift registers. It returns None if its source cannot be read.
        self.names: Callable[[], Registries | None] = partial(bundled_names, version)

    @property
    def known_version(self) -> str | None:
        """The version; None if it is only assumed."""
        return None if self.is_assumed else self.version


def load_table(version: str | None = None) -> Table:
    """The bundled arguments of a release. For an unknown release: those of the last one before it.

    Without `version`: those of the newest release, marked as an assumption.
    """
    history = load_history()
    place = history.place(version) if version else len(history.versions) - 1
    release, transformers = history.versions[place]
    is_known = version is None or history.knows(version)
    origin = f"bundled: ms-swift {release} with transformers {transformers}"
    if not is_known:
        origin += f", used in place of {version}"
    return Table(
        history.table(place),
        version or release,
        origin,
        is_certain=is_known,
        is_assumed=version is None,
    )

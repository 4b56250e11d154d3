"""The arguments that a job's ms-swift takes, and which ms-swift that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from prl_submit.swift.argument import Argument
from prl_submit.swift.history import load_history

if TYPE_CHECKING:
    from prl_submit.swift.registries import Registries


def bundled_names(version: str) -> Registries | None:
    """What a release registers."""
    from prl_submit.swift.registries import bundled  # for those who ask

    return bundled(version)


class Table(dict[str, Argument]):
    """Arguments by name.

    `version`: the ms-swift they are of. `origin`: where they come from, in words. `is_certain`: false
    where that version is not at hand and its neighbour stands for it; then what the table lacks may
    still be right. `is_assumed`: true where nothing is known of the job's ms-swift.
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
        #: Where that ms-swift and what it imports lie, if that is on this machine.
        self.folders: tuple[str, ...] = ()
        #: The folder with its `swift/`, also where what it imports is not to be seen, as of a checkout.
        self.source: str | None = None
        #: Its registries, read when they are asked for; None where they cannot be.
        self.names: Callable[[], Registries | None] = partial(bundled_names, version)

    @property
    def known_version(self) -> str | None:
        """The version, where it is more than an assumption."""
        return None if self.is_assumed else self.version


def load_table(version: str | None = None) -> Table:
    """The bundled table of a release, or of the one before it; without `version` of the newest."""
    history = load_history()
    place = history.place(version) if version else len(history.versions) - 1
    release, transformers = history.versions[place]
    is_known = version is None or history.knows(version)
    origin = f"bundled: ms-swift {release} with transformers {transformers}"
    if not is_known:
        origin += f", which stands for {version}"
    return Table(
        history.table(place),
        version or release,
        origin,
        is_certain=is_known,
        is_assumed=version is None,
    )

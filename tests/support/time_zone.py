"""This process in another time zone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def time_zone(name: str) -> Iterator[None]:
    """Local time is that of the zone, for example `XYZ-1`: one hour east of UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()

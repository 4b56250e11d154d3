"""Tests on nodes as a platform's queue gives them, each with its own host name, network and process ids."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.clusters.platform_nodes import PlatformNodes

HERE = Path(__file__).parent
OpenNodes = Callable[..., PlatformNodes]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one that needs namespaces."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.platform)


@pytest.fixture
def open_nodes(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNodes]:
    """Nodes for one test, which share `tmp_path`. Options as of PlatformNodes.open."""
    with contextlib.ExitStack() as opened:
        yield lambda **options: opened.enter_context(
            PlatformNodes.open(tmp_path_factory.mktemp("nodes"), **{"shared": [tmp_path]} | options)
        )

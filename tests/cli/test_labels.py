"""note, tag and rename: the user's own words about a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.records import make_run

if TYPE_CHECKING:
    from tests.conftest import World


def test_words_about_a_run(world: World) -> None:
    run = make_run(world.output / "v0-20261122-210000").path
    assert world.prl("note", "v0", "halved", "beta").code == 0
    assert world.prl("note", "v0").out == "halved beta\n"
    assert world.prl("tag", "v0", "keep", "论文").err == f"{run.name}: keep, 论文\n"
    assert world.prl("tag", "0", "--remove", "keep").code == 0
    assert world.prl("tag", "0").out == "论文\n"
    assert world.prl("rename", "v0", "baseline").code == 0
    for name in ("baseline", "mr"):
        assert world.prl("note", name).out == "halved beta\n"
    found = json.loads((run / "labels.json").read_text(encoding="utf-8"))
    assert found == {"name": "baseline", "note": "halved beta", "tags": ["论文"]}
    assert json.loads((run / "run.json").read_text())["name"] == "mr"
    assert world.prl("note", "baseline", "").err == f"{run.name} has no note any more\n"
    assert world.prl("rename", "baseline", "").err == f"{run.name} has its first name again: mr\n"
    assert world.prl("note", "baseline").code == 3


def test_what_is_refused(world: World) -> None:
    for number, name in enumerate(("mr", "other")):
        make_run(world.output / f"v{number}-20261122-210000", name=name)
    for words, said in (
        (("rename", "v0", "v5"), "'v5' is no name of a run"),
        (("rename", "v0", "other"), "'other' is the name of v1-20261122-210000"),
        (("tag", "v0", "a b"), "'a b' is no tag"),
        (("tag", "v0", "--remove", "x"), "v0 has no tag 'x'"),
        (("tag", "v0", "--remove"), "Missing argument 'TAG...'"),
    ):
        done = world.prl(*words)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not (world.output / "v0-20261122-210000" / "labels.json").exists()

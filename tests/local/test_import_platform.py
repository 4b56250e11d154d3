"""prl-submit import of platforms' scripts against bash: what a node runs is what the spec says.

Each script of tests/importing/platform is run by real bash on "node 1 of 2", that is with the
variables of its platform. The stand-in of the launcher says which place the script gave it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from prl_submit.backends.platform.variables import see_platform
from prl_submit.importing.known_variables import variables_of
from prl_submit.launch.render import render_library
from prl_submit.spec.sections import Platform
from tests.local.test_import import Place, Ran, normal, place, plan_of, training
from tests.unit.importing.test_platform_scripts import SCRIPTS, variables

__all__ = ["place"]  # a fixture


#: torchrun sets these anew for each process.
TORCHRUNS = ("RANK", "WORLD_SIZE")


def of_one_node(environ: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """The variables of a platform that has started one node. `names`: those that the spec has."""
    found = dict(environ)
    for role, value in (("nodes", "1"), ("node_rank", "0")):
        for name in {*variables_of(role), names.get(role, "")} & set(found):
            found[name] = value
    return found


def given_place(ran: Ran) -> dict[str, str]:
    """The place of the node, as the script gives it to torchrun or `swift rlhf`."""
    text = " ".join(ran.argv)
    found = {}
    for role, name in (
        ("nodes", "nnodes"),
        ("node_rank", "node_rank"),
        ("master_addr", "master_addr"),
    ):
        option = re.search(rf"--{name}[= ](\S+)", text)
        value = (
            option[1] if option else ran.env.get(f"PET_{name.upper()}", ran.env.get(name.upper()))
        )
        if value is not None:
            found[role] = value
    if endpoint := re.search(r"--rdzv_endpoint=(\S+):\d+", text):
        found["master_addr"] = endpoint[1]
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_spec_has_the_words_and_the_place_of_its_script(place: Place, path: Path) -> None:
    (place.root / "scripts").mkdir()
    script = Path(shutil.copy(path, place.root / "scripts"))
    environ = variables(path)
    ran = place.bash(script, **environ)
    said = place.prl("import", "scripts/" + path.name)
    assert said.code == 0, said.err
    (place.root / "job.yaml").write_text(said.out, encoding="utf-8")
    checked = place.prl("check", "job.yaml")
    assert checked.code == 0, checked.err
    plan = plan_of(place, "job.yaml")
    words = plan.argv[plan.argv.index("swift.cli.rlhf") + 1 :]
    processes, wanted = training(ran)
    assert normal(words, processes) == normal(wanted, processes)
    seen = see_platform(environ, Platform(**yaml.safe_load(said.out).get("platform", {})))
    assert seen is not None
    for role, value in given_place(ran).items():
        assert str(getattr(seen, role)) == value, role
    visible = plan.local.cuda_visible_devices
    ours = plan.exports | ({"CUDA_VISIBLE_DEVICES": visible} if visible else {})
    shells = {*environ, *TORCHRUNS, "PATH", "HOME", "LANG", "PWD"}
    assert {name: value for name, value in ran.own.items() if name not in shells} == ours


#: These need GPUs, which launch.sh counts.
COUNTING = ("by_hand_text_of_options.sh", "gpus_by_torchrun.sh", "gpus_counted.sh")
#: This one states two nodes.
OF_TWO = ("two_nodes_stated.sh",)


@pytest.mark.parametrize(
    "path",
    [path for path in SCRIPTS if path.name not in COUNTING + OF_TWO],
    ids=lambda path: path.name,
)
def test_launch_trains_what_the_script_trains(place: Place, path: Path) -> None:
    """On a platform's only node: launch.sh of the spec, run by bash, against the script."""
    (place.root / "scripts").mkdir()
    script = Path(shutil.copy(path, place.root / "scripts"))
    said = place.prl("import", "scripts/" + path.name)
    (place.root / "job.yaml").write_text(said.out, encoding="utf-8")
    names = yaml.safe_load(said.out).get("platform", {})
    environ = of_one_node(variables(path), names)
    ran = place.bash(script, **environ)
    shutil.rmtree(place.root / "prepared", ignore_errors=True)
    rendered = place.prl("render", "job.yaml")
    assert rendered.code == 0, rendered.err
    run = place.root / "run"
    run.mkdir()
    text = re.sub(r"^prl_run_dir=.*$", f"prl_run_dir={run}", rendered.out, flags=re.MULTILINE)
    (run / "launch.sh").write_text(text, encoding="utf-8")
    (run / "launch.lib.sh").write_text(render_library(), encoding="utf-8")
    launched = place.bash(run / "launch.sh", **environ)
    processes, wanted = training(ran)
    own, words = training(launched)
    assert normal(words, processes) == normal(wanted, processes)
    assert own == int(ran.env.get("PET_NPROC_PER_NODE", processes))
    given = {"CUDA_VISIBLE_DEVICES", *environ, *TORCHRUNS}
    ours = {name: value for name, value in launched.own.items() if name not in given}
    assert ours == {name: value for name, value in ran.own.items() if name not in given}
    assert (place.root / "prepared").is_dir() == (path.name == "dlc_rank_zero_only.sh")

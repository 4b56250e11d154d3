"""probe on this machine: submitit's real local executor, through the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Done, World, marked

Eventually = Callable[..., None]
STATE = Path(".local", "state", "prl-submit", "probe")
ROWS = '{"messages": []}\n' * 9  # an empty data file is refused
SLOW = "touch begun; sleep 321"


def install(venv: Path, **versions: str) -> None:
    """Packages as pip leaves them: what has metadata has a version."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    for name, version in versions.items():
        folder = packages / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )


def node_of(done: Done) -> dict[str, Any]:
    """The one node of `--json`."""
    assert done.code == 0, done.err
    (probe,) = done.json["probes"]
    assert done.json["failed"] == []
    (node,) = probe["nodes"]
    assert isinstance(node, dict)
    return node


def left_behind(world: World) -> list[str]:
    """Files of a probe, and processes of the world."""
    return [str(path) for path in world.root.rglob(".probe-*")] + world.alive()


def test_this_machine_without_a_spec(world: World) -> None:
    node = node_of(world.prl("probe", "--json"))
    root = os.statvfs(world.root)
    assert node["node"] == node["hostname"] == os.uname().nodename
    assert node["cpus"] == os.cpu_count()
    assert node["kernel"] == os.uname().release
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert abs(node["memory_mib"] - pages) <= 1
    shm = os.statvfs("/dev/shm")
    assert node["shm_mib"] == shm.f_blocks * shm.f_frsize // 2**20
    assert node["output_root"] == str(world.output)
    assert abs(node["disk_free_mib"] - root.f_bavail * root.f_frsize // 2**20) < 5000
    assert not world.output.exists(), "made for the probe, and gone with it"
    assert left_behind(world) == []


def test_the_table_and_what_is_remembered(world: World) -> None:
    done = world.prl("probe")
    assert done.code == 0, done.err
    header, row = done.out.splitlines()
    assert header.split()[:3] == ["PARTITION", "NODE", "GPUS"]
    assert row.split()[:2] == ["-", os.uname().nodename]
    kept = world.root / STATE / f"{os.uname().nodename}---.json"
    facts = json.loads(kept.read_text())
    assert (facts["backend"], facts["partition"]) == ("local", "-")
    moved = world.prl("probe", XDG_STATE_HOME=str(world.root / "state"))
    assert moved.code == 0, moved.err
    assert (world.root / "state" / "prl-submit" / "probe" / kept.name).exists()


def test_the_training_environment_is_the_specs(world: World) -> None:
    install(world.venv, ms_swift="4.6.0", torch="2.6.0+cu124")
    node = node_of(world.prl("probe", world.spec(), "--json"))
    python = ".".join(map(str, sys.version_info[:3]))
    assert node["versions"] == {
        "python": python,
        "ms-swift": "4.6.0",
        "torch": "2.6.0+cu124",
        "vllm": None,
    }
    assert "environment" not in " ".join(node["notes"])


def test_conda_and_what_a_setup_line_exports(world: World) -> None:
    """The same lines as launch.sh's: a conda whose `activate` puts a folder before PATH."""
    install(world.venv, torch="2.7.0")
    script = world.root / "conda" / "etc" / "profile.d" / "conda.sh"
    script.parent.mkdir(parents=True)
    script.write_text('conda() { export PATH="$HOME/$2/bin:$PATH"; }\n')
    environment = {
        "conda": {"name": "venv", "root": str(script.parents[2])},
        "env": {"FIRST": "a b"},
        "setup": ['printf "%s" "$FIRST $HF_TOKEN" >said', "echo noise; echo more noise >&2"],
        "secrets": ["HF_TOKEN"],
    }
    node = node_of(
        world.prl("probe", world.spec(environment=environment), "--json", HF_TOKEN="x y")
    )
    assert node["versions"]["torch"] == "2.7.0"
    assert (world.root / "said").read_text() == "a b x y"


def test_an_environment_that_cannot_be_entered_is_a_note(world: World) -> None:
    """The rest is known all the same."""
    node = node_of(world.prl("probe", world.spec(environment__setup=["false"]), "--json"))
    assert node["versions"] == {}
    assert [note for note in node["notes"] if note.startswith("environment: ")]
    assert node["cpus"] == os.cpu_count()
    (world.root / "venv" / "bin" / "activate").unlink()
    node = node_of(world.prl("probe", world.spec(), "--json"))
    (note,) = [note for note in node["notes"] if note.startswith("environment: ")]
    assert "virtual environment venv is not here" in note


def test_files_of_the_working_directory_are_no_modules(world: World) -> None:
    for name in ("json", "logging", "importlib", "cloudpickle"):
        (world.root / f"{name}.py").write_text("raise SystemExit('shadowed')")
    # `python -m prl_submit` itself would take them; the command that pip installs does not.
    command = Path(sys.executable).with_name("prl-submit")
    done = world.finish(world.popen([command, "probe", world.spec(), "--json"]))
    assert node_of(done)["versions"]["python"]


def test_paths_after_the_setup_lines(world: World) -> None:
    (world.root / "here.jsonl").write_text(ROWS)
    over: dict[str, Any] = {
        "swift__model": "./made",
        "swift__dataset": ["here.jsonl#5", "gone.jsonl"],
        "environment__setup": ["mkdir made"],
    }
    done = world.prl("probe", world.spec(**over), "--json")
    (probe,) = done.json["probes"]
    seen = {Path(item["path"]).name: item["exists"] for item in probe["paths"]}
    assert seen == {"here.jsonl": True, "gone.jsonl": False, "made": True}
    assert f"{world.root}/gone.jsonl is not there (dataset, swift.dataset)" in done.err


def test_a_container_is_not_looked_into(world: World) -> None:
    container = {"image": "x.sif", "runtime": "apptainer"}
    done = world.prl("probe", world.spec(environment={"container": container}), "--json")
    node = node_of(done)
    assert node["versions"] == {}
    assert "the training runs in a container" in node["notes"][0]
    assert done.json["probes"][0]["paths"] == []


def test_gpus_are_counted_whatever_is_visible(world: World) -> None:
    """A stand-in for nvidia-smi, which no test machine can be expected to have."""
    folder = world.root / "bin"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(
        "#!/bin/bash\n[[ $1 == --query-gpu=name,memory.total,driver_version,uuid ]] || exit 2\n"
        'for i in 0 1; do echo "NVIDIA H200, 143771, 570.1, GPU-$i"; done\n'
    )
    (folder / "nvidia-smi").chmod(0o755)
    path = f"{folder}:{world.environ['PATH']}"
    node = node_of(world.prl("probe", "--json", PATH=path, CUDA_VISIBLE_DEVICES="0"))
    assert [gpu["uuid"] for gpu in node["gpus"]] == ["GPU-0", "GPU-1"]
    assert node["gpus"][0]["memory_mib"] == 143771
    table = world.prl("probe", PATH=path).out
    assert "2 x NVIDIA H200  140G     570.1" in table
    (folder / "nvidia-smi").write_text("#!/bin/bash\necho no driver; exit 9\n")
    node = node_of(world.prl("probe", "--json", PATH=path))
    assert node["gpus"] is None
    assert "GPUs: nvidia-smi: exit code 9: no driver" in node["notes"]


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_probe_leaves_nothing(
    world: World, eventually: Eventually, number: signal.Signals, everywhere: bool
) -> None:
    """`everywhere`: as a terminal or `timeout` does, to each process of the group."""
    process = world.start("probe", world.spec(environment__setup=[SLOW]))
    eventually((world.root / "begun").exists)
    group = os.getpgid(process.pid)
    others = [pid for pid in marked(world.mark) if os.getpgid(pid) == group]
    assert len(others) == 3, "prl-submit, submitit's controller, and the node's function"
    for pid in others if everywhere else [process.pid]:
        os.kill(pid, number)
    done = world.finish(process)
    assert done.code == 130, done.err
    assert "the probe was cancelled" in done.err
    eventually(lambda: left_behind(world) == [])
    assert not world.output.exists()
    assert not list((world.root / STATE).glob("*")), "nothing was seen"


def test_a_time_out_leaves_nothing(world: World, eventually: Eventually) -> None:
    done = world.prl("probe", world.spec(environment__setup=[SLOW]), "--timeout", "2s")
    assert done.code == 1
    assert "error: this machine: no answer within 2 s: running; it was cancelled" in done.err
    assert "Traceback" not in done.err
    eventually(lambda: left_behind(world) == [])


def test_a_time_out_in_the_background(world: World, eventually: Eventually) -> None:
    """There SIGINT is ignored, which is how submitit ends a local job."""
    words = [sys.executable, "-m", "prl_submit", "probe", world.spec(environment__setup=[SLOW])]
    script = 'trap "" INT; exec "$@" --timeout 2s'
    done = world.finish(world.popen(["bash", "-c", script, "-", *words]))
    assert done.code == 1, done.err
    eventually(lambda: left_behind(world) == [])


def bare_python(folder: Path, *packages: str) -> Path:
    """A Python of this version that has these of our packages and no others."""
    (folder / "bin").mkdir(parents=True)
    real = Path(os.path.realpath(sys.executable))
    (folder / "bin" / "python").symlink_to(real)
    (folder / "pyvenv.cfg").write_text(f"home = {real.parent}\n")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (folder / "lib" / version / "site-packages").mkdir(parents=True)
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / "lib" / version / "site-packages" / source.name).symlink_to(source)
    return folder / "bin" / "python"


def test_the_nodes_python_needs_submitit_alone(world: World) -> None:
    python = bare_python(world.root / "bare one", "submitit", "cloudpickle", "typing_extensions")
    assert node_of(world.prl("probe", "--json", "--python", python))["cpus"] == os.cpu_count()


def test_a_node_without_submitit_is_explained(world: World) -> None:
    done = world.prl("probe", "--python", bare_python(world.root / "bare"))
    assert (done.code, done.out) == (1, "")
    assert "No module named 'submitit'" in done.err
    assert "hint: --python PATH names a Python on the nodes with submitit" in done.err
    assert left_behind(world) == []


def test_without_submitit_here(world: World) -> None:
    (world.root / "path").mkdir()
    (world.root / "path" / "submitit.py").write_text("raise ImportError")
    done = world.prl("probe", PYTHONPATH=str(world.root / "path"))
    assert done.code == 2
    assert "error: probe needs submitit, which is not installed" in done.err
    assert "pip install submitit" in done.err
    assert not world.output.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "gpu"], "--partition is for slurm, not for local"),
        (["--set", "swift.beta=1"], "--set and --profile change a SPEC"),
        (["--backend", "k8s"], "probe looks at local and slurm nodes only"),
        (["--backend", "slrm"], "unknown backend 'slrm'"),
        (["--timeout", "10"], "write the unit: 10s, 10m or 10h"),
        (["gone.yaml"], "gone.yaml: cannot be read"),
    ],
)
def test_a_wrong_command_line(world: World, words: list[str], said: str) -> None:
    done = world.prl("probe", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not world.output.exists()


def test_errors_of_the_spec_stop_only_where_they_matter(world: World) -> None:
    done = world.prl("probe", world.spec(swift__num_generations=7), "--json")
    assert done.code == 0, done.err
    assert "has an error that does not matter here" in done.err
    done = world.prl("probe", world.spec(environment__conda="x", environment__venvv="y"), "--json")
    assert (done.code, done.out) == (2, "")
    assert "environment.venvv" in done.err


def test_a_folder_that_cannot_be_written_is_no_traceback(world: World) -> None:
    (world.root / "file").touch()
    done = world.prl("probe", "--output-root", "file/below")
    assert done.code == 2, done.err
    state = world.prl("probe", "--json", XDG_STATE_HOME=str(world.root / "file"))
    assert node_of(state)["cpus"]
    assert "warning: not remembered" in state.err

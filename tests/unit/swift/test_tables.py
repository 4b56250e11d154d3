"""The bundled history, messages for unknown names, and the choice of a job's ms-swift."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from prl_submit.spec.nodes import Origin
from prl_submit.spec.sections import Conda, Environment
from prl_submit.swift import argument_source
from prl_submit.swift.argument import Argument
from prl_submit.swift.cached import read_installed
from prl_submit.swift.choice import UNKNOWN, Wanted, choose_table
from prl_submit.swift.history import FILE, is_before, is_same, load_history, number
from prl_submit.swift.installed import Installed, find_installed
from prl_submit.swift.renames import RENAMED, REPLACED
from prl_submit.swift.table import Table, load_table
from prl_submit.swift.unknown_names import nearest, unknown_name

HISTORY = load_history()
NEWEST = load_table()


# ------------------------------------------------------------------ the bundled history
def test_every_release_since_3_0_is_there() -> None:
    versions = [version for version, _ in HISTORY.versions]
    assert versions[0] == "3.0.0"
    assert versions == sorted(versions, key=number)
    assert len({version.rpartition(".")[0] for version in versions if ".post" not in version}) >= 20
    assert HISTORY.newest == versions[-1] == NEWEST.version


def test_it_is_small() -> None:
    assert os.path.getsize(FILE) < 60_000  # the whole wheel should stay below 400 kB


@pytest.mark.parametrize(
    ("version", "count", "name", "argument"),
    [  # counted and read with each version's own parser (HfArgumentParser over RLHFArguments)
        ("3.0.0", 287, "rlhf_type", Argument("str", False, ("dpo", "orpo", "simpo", "kto", "cpo", "rm"), "dpo")),
        ("3.4.1", 379, "num_infer_workers", Argument("int", default=1)),
        ("3.8.0", 432, "vllm_mode", Argument("str", False, ("server", "colocate"), "colocate")),
        ("4.6.0", 481, "num_generations", Argument("int", default=8)),
    ],
)  # fmt: skip
def test_tables(version: str, count: int, name: str, argument: Argument) -> None:
    """The bundled table of a release has its arguments with their types."""
    table = load_table(version)
    assert len(table) == count
    assert table[name] == argument
    assert table.is_certain


@pytest.mark.parametrize(
    ("version", "stands"),
    [
        ("4.6.1", "4.6.0"),
        ("99.0", HISTORY.newest),
        ("weird", HISTORY.newest),
        ("4.2.7.dev0", "4.2.3"),
        ("2.6.0", "3.0.0"),
    ],
)
def test_a_version_that_is_not_bundled(version: str, stands: str) -> None:
    table = load_table(version)
    assert not table.is_certain
    assert table.known_version == version
    assert f"ms-swift {stands} " in table.origin
    assert table.origin.endswith(f"used in place of {version}")


def test_two_parts_mean_the_newest_of_them() -> None:
    assert load_table("4.6") == load_table("4.6.0")
    assert "ms-swift 3.5.3 " in load_table("3.5").origin
    assert load_table("3.5").is_certain
    assert not load_table("4.99").is_certain


@pytest.mark.parametrize(
    ("stated", "version", "same"),
    [
        ("4.6", "4.6.0", True), ("4.6.0", "4.6.0", True), ("3.4.1", "3.4.1.post1", True),
        ("4.6.0", "4.6.0+cu126", True), ("4.6", "4.7.0", False), ("4.6.0", "4.6.1", False),
        ("4.7.0", "4.7.0.dev0", False), ("4.7.0.dev0", "4.7.0.dev0", True), ("", "4.6.0", False),
    ],
)  # fmt: skip
def test_what_a_stated_version_means(stated: str, version: str, same: bool) -> None:
    assert is_same(stated, version) is same


@pytest.mark.parametrize(
    ("version", "release", "before"),
    [
        ("3.3.0.dev0", "3.3", True),
        ("3.3.0.dev0", "3.3.0", True),
        ("3.3.0.dev0", "3", True),
        ("3.4.0.dev0", "3.3", False),
        ("3.3.0", "3.3", False),  # the release itself
        ("3.3.0.dev0", "3.3.0.dev1", False),
        ("unknown", "3.3", False),
    ],
)
def test_is_before(version: str, release: str, before: bool) -> None:
    """Users call a checkout of 3.3.0.dev0 by the name 3.3."""
    assert is_before(version, release) is before


def test_post_releases_are_their_release() -> None:
    assert load_table("3.4.1").is_certain
    assert load_table("3.4.1") == load_table("3.4.1.post1")
    assert load_table("4.6.0+local").version == "4.6.0+local"


@pytest.mark.parametrize(
    ("text", "parts"),
    [("3.4.1.post1", (3, 4, 1, 1)), ("4.6.0.dev0", (4, 6, 0)), ("4.7.0rc1", (4, 7, 0)),
     ("4.6.0+cu126", (4, 6, 0)), ("4.6", (4, 6))],
)  # fmt: skip
def test_numbers_of_versions(text: str, parts: tuple[int, ...]) -> None:
    assert number(text) == parts


@pytest.mark.parametrize(
    ("name", "years"),
    [
        ("num_infer_workers", ("3.2", "3.5")),
        ("train_type", ("3.0", "4.0")),
        ("vllm_device", ("3.1.1", "3.5")),
        ("tools_prompt", ("3.0", "3.3.0")),
        ("vllm_mode", ("3.5", None)),
        ("nothing", None),
    ],
)
def test_when_a_name_came_and_went(name: str, years: tuple[str, str | None] | None) -> None:
    assert HISTORY.years(name) == years


# ------------------------------------------------------------------ unknown names
def test_renames_lead_to_names_of_today() -> None:
    assert set(RENAMED.values()) <= set(NEWEST)
    assert not (set(RENAMED) | set(REPLACED)) & set(NEWEST)
    for instead in REPLACED.values():
        first = instead.split()[0].rstrip(":,")
        assert first in NEWEST or first == "nothing"


def told(name: str, version: str | None = None) -> tuple[str, str | None, str]:
    """Message, hint and severity for an unknown name."""
    problem = unknown_name(name, Origin("spec", "f", 3), load_table(version or HISTORY.newest))
    assert (problem.key, problem.file, problem.line) == (f"swift.{name}", "f", 3)
    return problem.message, problem.hint, problem.severity


@pytest.mark.parametrize(
    ("name", "version", "message", "hint"),
    [
        ("num_infer_workers", None, "was in ms-swift 3.2-3.5 and is gone since", "today: vllm_mode (server or colocate), vllm_tensor_parallel_size"),
        ("train_type", None, "is tuner_type since ms-swift 4.0", "write tuner_type"),
        ("sft_type", None, "is tuner_type since ms-swift 3.0", "write tuner_type"),
        ("evaluation_strategy", None, "is eval_strategy today", "write eval_strategy"),
        ("past_index", None, "was in ms-swift 3.0-3.12 and is gone since", "remove past_index"),
        ("train_sampler_random", None, "is train_dataloader_shuffle since ms-swift 3.3", "write train_dataloader_shuffle"),
        ("vllm_mode", "3.4.1", "is in ms-swift since 3.5; 3.4.1 will run", "remove vllm_mode, or run a newer ms-swift than 3.4.1"),
        ("tuner_type", "3.4.1", "is in ms-swift since 4.0; 3.4.1 will run", "in ms-swift 3.4.1 it is called train_type"),
        ("num_generation", None, f"ms-swift {NEWEST.version} has no such argument", "did you mean 'num_generations'?"),
        ("num-generations", None, f"ms-swift {NEWEST.version} has no such argument", "did you mean 'num_generations'?"),
        ("zzzzzz", "3.8.0", "ms-swift 3.8.0 has no such argument", "`swift rlhf --help` lists all arguments"),
        ("", None, f"ms-swift {NEWEST.version} has no such argument", "`swift rlhf --help` lists all arguments"),
        ("max_grad", None, "is short for max_grad_norm; ms-swift would accept it silently", "write max_grad_norm"),
        ("vllm", None, f"is the beginning of {sum(n.startswith('vllm') for n in NEWEST)} arguments", None),
        ("vllm_m", None, "", None),
    ],
)  # fmt: skip
def test_unknown_names(name: str, version: str | None, message: str, hint: str | None) -> None:
    """A name that the release does not have is told with what was meant."""
    said, tip, severity = told(name, version)
    if name == "vllm_m":
        assert said.startswith("is the beginning of")
        assert "vllm_mode" in (tip or "")
    else:
        assert said == message
        assert hint is None or tip == hint
    assert severity == "error"


def test_with_an_unknown_version_an_unknown_name_is_a_warning() -> None:
    assert told("brand_new_argument", "99.0.0")[2] == "warning"


def test_a_name_that_only_this_environment_lacks() -> None:
    """All releases have the name, but this environment has an old transformers, for example."""
    table = Table({"x": Argument("int")}, "4.6.0", "read from there")
    assert (
        unknown_name("beta", Origin("spec"), table).message == "ms-swift 4.6.0 has no such argument"
    )


def test_nearest() -> None:
    """The nearest name is found for a misspelt one, and none for nonsense."""
    assert nearest("num-generation", NEWEST) == "num_generations"
    assert nearest("zzzzzz", NEWEST) is None


# ------------------------------------------------------------------ an installed one
ARGUMENTS = """@dataclass
class RLHFArguments:
    model: str = None
    dataset: List[str] = None
    rlhf_type: str = None
    per_device_train_batch_size: int = 1
    own: int = 1
"""


def install(
    prefix: Path, version: str, text: str = ARGUMENTS, packages: str = "site-packages"
) -> Path:
    """Make an environment whose ms-swift has one argument; return the folder that holds `swift/`."""
    site = prefix / "lib/python3.11" / packages
    (site / f"ms_swift-{version}.dist-info").mkdir(parents=True)
    write(site, text)
    return site


def write(site: Path, text: str) -> None:
    """Write those files of ms-swift that are read."""
    (site / "swift/arguments").mkdir(parents=True, exist_ok=True)
    (site / "swift/arguments/rlhf_args.py").write_text(text, encoding="utf-8")


def own(table: Table | str) -> str:
    """The argument beside those that every release has."""
    assert isinstance(table, Table), table
    (name,) = set(table) - {"model", "dataset", "rlhf_type", "per_device_train_batch_size"}
    return name


def test_debian_calls_it_dist_packages(tmp_path: Path) -> None:
    install(tmp_path, "4.1.0", packages="dist-packages")
    found = find_installed(Environment(venv=str(tmp_path)), "/", {})
    assert found is not None
    assert found.version == "4.1.0"


def test_a_checkout_installed_in_place(tmp_path: Path) -> None:
    """After `pip install -e` the source is in the folder that direct_url.json names."""
    site = install(tmp_path / "env", "4.7.0.dev0")
    shutil.rmtree(site / "swift")
    checkout = tmp_path / "my swift"
    write(checkout, ARGUMENTS.replace("own", "mine"))
    info = site / "ms_swift-4.7.0.dev0.dist-info" / "direct_url.json"
    url = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    info.write_text(json.dumps(url))
    environment = Environment(venv=str(tmp_path / "env"))
    found = find_installed(environment, "/", {})
    assert found == Installed("4.7.0.dev0", [str(checkout), str(site)])
    table = read_installed(found, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert own(table) == "mine"
    for text in ('{"url": "file:///x"}', "not json", '{"url": null}', '{"url": "https://x"}', "[]"):
        info.write_text(text)
        assert find_installed(environment, "/", {}) is None


def test_what_was_read_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, "4.6.0")
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    installed = Installed("4.6.0", [str(site)])
    first = read_installed(installed, environ)
    assert isinstance(first, Table)
    assert first.origin == f"read from {site}/swift"
    assert first.known_version == "4.6.0"
    reads: list[int] = []
    real = argument_source.read_arguments

    def counted(find: argument_source.Find) -> dict[str, Argument]:
        reads.append(1)
        return real(find)

    monkeypatch.setattr(argument_source, "read_arguments", counted)
    assert read_installed(installed, environ) == first
    assert reads == []
    write(site, ARGUMENTS.replace("own", "other"))
    assert own(read_installed(installed, environ)) == "other"
    (kept,) = (tmp_path / "cache/prl-submit/swift").iterdir()
    for damage in (
        b"",
        b"{",
        b'{"format": 0}',
        kept.read_bytes().replace(b'"format":5', b'"format":1'),
    ):
        kept.write_bytes(damage)
        assert own(read_installed(installed, environ)) == "other"
    assert len(reads) == 5


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    site = install(tmp_path, "4.6.0")
    (tmp_path / "file").touch()
    installed = Installed("4.6.0", [str(site)])
    for environ in ({"XDG_CACHE_HOME": str(tmp_path / "file")},
                    {"XDG_CACHE_HOME": "relative", "HOME": str(tmp_path / "h")}):  # fmt: skip
        assert own(read_installed(installed, environ)) == "own"
    assert os.listdir(tmp_path / "h/.cache/prl-submit/swift")


def test_source_that_is_unlike_every_release(tmp_path: Path) -> None:
    for text, why in (
        ("def f(:\n", "no class RLHFArguments"),
        ("@dataclass\nclass RLHFArguments:\n    x: int = 1\n", "no model among 1 arguments"),
        ("@dataclass\nclass RLHFArguments(A, A):\n    x: int = 1\n", "no source of A"),
        ("@dataclass\nclass RLHFArguments:\n    x: Union[()] = 1\n", ""),
        (f"@dataclass\nclass RLHFArguments:\n    x: int = {'-' * 5000}1\n", ""),
    ):
        write(tmp_path, text)
        said = read_installed(Installed("5.0.0", [str(tmp_path)]), {"HOME": str(tmp_path)})
        assert isinstance(said, str)
        assert why in said


def test_a_default_that_is_not_json_is_not_cached(tmp_path: Path) -> None:
    write(tmp_path, ARGUMENTS + "    odd: str = 1j\n    more: str = ...\n")
    installed = Installed("5.0.0", [str(tmp_path)])
    for _ in range(2):
        table = read_installed(installed, {"HOME": str(tmp_path)})
        assert isinstance(table, Table)
        assert "odd" in table


# ------------------------------------------------------------------ which one runs
def chosen(
    tmp_path: Path,
    *,
    venv: str | None = None,
    is_here: bool = True,
    stated: str | None = None,
    probed: str | None = None,
) -> Table:
    environment = Environment(venv=venv, swift_version=stated)
    wanted = Wanted(environment, str(tmp_path), is_here)
    environ = {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "no-torchrun")}
    return choose_table(wanted, lambda: probed, environ)


def test_what_is_installed_runs(tmp_path: Path) -> None:
    install(tmp_path / "env", "4.2.0")
    table = chosen(tmp_path, venv="env", stated="4.1.0", probed="4.0.0")
    assert (table.known_version, own(table)) == ("4.2.0", "own")


def test_a_container_image_has_its_own_ms_swift(tmp_path: Path) -> None:
    install(tmp_path / "env", "4.2.0")
    assert chosen(tmp_path, venv="env", is_here=False, stated="4.1.0").known_version == "4.1.0"
    assert chosen(tmp_path, venv="env", is_here=False).known_version is None


def test_the_stated_version_comes_before_the_probed_one(tmp_path: Path) -> None:
    assert chosen(tmp_path, stated="3.8.0", probed="4.0.0").known_version == "3.8.0"
    table = chosen(tmp_path, probed="4.0.0")
    assert table.known_version == "4.0.0"
    assert table.origin == "probed on the nodes; bundled: ms-swift 4.0.0 with transformers 5.2.0"
    assert chosen(tmp_path, probed="none").is_assumed


def test_the_newest_release_if_nothing_is_known(tmp_path: Path) -> None:
    table = chosen(tmp_path)
    assert table.is_assumed
    assert table.version == HISTORY.newest
    assert table.origin == UNKNOWN.format(table.version)


def test_an_installed_one_that_cannot_be_read_is_known_by_its_version(tmp_path: Path) -> None:
    install(tmp_path / "env", "4.2.0", "nothing\n")
    table = chosen(tmp_path, venv="env")
    assert table.known_version == "4.2.0"
    assert "num_generations" in table
    assert table.origin.startswith(
        "installed, but its source cannot be read (no class RLHFArguments in "
    )


def test_pythons_own_order(tmp_path: Path) -> None:
    """First the working directory, then PYTHONPATH, then the environment. The version is read from the source."""
    install(tmp_path / "env", "4.2.0")
    environment = Environment(venv="env", env={"PYTHONPATH": "lib:other"})

    def found(environ: dict[str, str] | None = None, **more: object) -> Installed | None:
        return find_installed(Environment(venv="env", **more), str(tmp_path), environ or {})  # type: ignore[arg-type]

    assert (found() or environment) == Installed(
        "4.2.0", [str(tmp_path / "env/lib/python3.11/site-packages")]
    )
    write(tmp_path / "lib", ARGUMENTS)
    (tmp_path / "lib/swift/version.py").write_text("__version__ = '4.3.0.dev0'\n")
    by_path = find_installed(environment, str(tmp_path), {})
    assert by_path is not None
    assert (by_path.version, by_path.folders[0]) == ("4.3.0.dev0", str(tmp_path / "lib"))
    inherited = found({"PYTHONPATH": str(tmp_path / "lib")})
    assert inherited is not None
    assert inherited.version == "4.3.0.dev0"
    write(tmp_path, ARGUMENTS)
    (tmp_path / "swift/version.py").write_text("__version__ = '4.4.0'\n")
    here = find_installed(environment, str(tmp_path), {})
    assert here is not None
    assert (here.version, here.folders[0]) == ("4.4.0", str(tmp_path))


def test_a_link_of_an_old_pip(tmp_path: Path) -> None:
    """`setup.py develop` makes no dist-info folder, but a file with one line."""
    site = tmp_path / "env/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    checkout = tmp_path / "checkout"
    write(checkout, ARGUMENTS)
    for name in ("ms-swift.egg-link", "easy-install.pth"):
        (site / name).write_text(f"import sys\n{checkout}\n.\n")
        found = find_installed(Environment(venv="env"), str(tmp_path), {})
        assert found == Installed("unknown", [str(checkout), str(site)])
        (site / name).unlink()


def test_the_environments_own_python_of_several(tmp_path: Path) -> None:
    install(tmp_path / "env", "4.2.0")
    old = tmp_path / "env/lib/python3.10/site-packages"
    (old / "ms_swift-3.0.0.dist-info").mkdir(parents=True)
    write(old, ARGUMENTS)
    python = tmp_path / "env/bin/python3"
    python.parent.mkdir()
    (python.parent / "python3.11").touch()
    python.symlink_to("python3.11")
    found = find_installed(Environment(venv="env"), str(tmp_path), {})
    assert found is not None
    assert found.version == "4.2.0"


def test_conda_with_a_root(tmp_path: Path) -> None:
    install(tmp_path / "envs/prl", "4.5.0")
    conda = Conda(name="prl", root=str(tmp_path))
    assert find_installed(Environment(conda=conda), "/", {}) is not None


@pytest.mark.parametrize(
    ("cfg", "environ", "version"),
    [
        (None, {}, "4.5.0"),  # for conda and the system's Python ~/.local comes first
        (None, {"PYTHONNOUSERSITE": "1"}, "4.2.0"),
        (None, {"HOME": "/nowhere"}, "4.2.0"),
        ("home = /usr/bin\ninclude-system-site-packages = false\n", {}, "4.2.0"),
        ("home = /usr/bin\ninclude-system-site-packages = true\n", {}, "4.2.0"),
        (None, {"PYTHONUSERBASE": "base"}, "4.4.0"),
    ],
)
def test_the_users_own_packages(
    tmp_path: Path, cfg: str | None, environ: dict[str, str], version: str
) -> None:
    """~/.local has an ms-swift too. Python's site.py decides which one is imported."""
    install(tmp_path / "conda/envs/x", "4.2.0")
    install(tmp_path / "home/.local", "4.5.0")
    install(tmp_path / "base", "4.4.0")
    if cfg is not None:
        (tmp_path / "conda/envs/x/pyvenv.cfg").write_text(cfg)
    environment = Environment(conda=Conda(name="x", root=str(tmp_path / "conda")))
    if "PYTHONUSERBASE" in environ:
        environ = {"PYTHONUSERBASE": str(tmp_path / "base")}
    environ = {"HOME": str(tmp_path / "home"), **environ}
    found = find_installed(environment, "/", environ)
    assert found is not None
    assert found.version == version


def test_a_venv_that_sees_the_systems_packages(tmp_path: Path) -> None:
    """Its own packages come first, then ~/.local, then those of the Python that made the environment."""
    install(tmp_path / "system", "4.3.0")
    site = tmp_path / "env/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    home = tmp_path / "system/bin"
    cfg = f"home = {home}\ninclude-system-site-packages = true\n"
    (tmp_path / "env/pyvenv.cfg").write_text(cfg)
    found = find_installed(Environment(venv="env"), str(tmp_path), {})
    assert found is not None
    assert found.version == "4.3.0"
    install(tmp_path / ".local", "4.5.0")
    found = find_installed(Environment(venv="env"), str(tmp_path), {"HOME": str(tmp_path)})
    assert found is not None
    assert found.version == "4.5.0"


def test_a_torchrun_that_another_python_runs(tmp_path: Path) -> None:
    """After `pip install --user`, torchrun's first line names the Python whose packages count."""
    install(tmp_path / "system", "4.3.0")
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin/torchrun"
    launcher.write_text(f"#!{tmp_path}/system/bin/python3\nimport torch\n")
    launcher.chmod(0o755)
    found = find_installed(Environment(), "/", {"PATH": str(launcher.parent)})
    assert found is not None
    assert found.version == "4.3.0"


@pytest.mark.parametrize("place", ["miniconda3", "anaconda3"])
def test_conda_where_launch_sh_looks_for_it(tmp_path: Path, place: str) -> None:
    install(tmp_path / place / "envs/prl", "4.5.0")
    environ = {"HOME": str(tmp_path)}
    assert find_installed(Environment(conda="prl"), "/", environ) is None
    (tmp_path / place / "etc/profile.d").mkdir(parents=True)
    (tmp_path / place / "etc/profile.d/conda.sh").touch()
    found = find_installed(Environment(conda="prl"), "/", environ)
    assert found is not None
    assert found.version == "4.5.0"

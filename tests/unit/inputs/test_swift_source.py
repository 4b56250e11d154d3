"""Names that a user's own lines register in the source of the job's ms-swift. The source is never run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prl_submit.inputs import check_inputs
from prl_submit.inputs.plugins import needs
from prl_submit.inputs.swift_source import names_in, registered
from prl_submit.planning.plan import Context
from prl_submit.rules import check
from prl_submit.rules.job import Job
from prl_submit.spec.sections import Environment
from prl_submit.swift.choice import Wanted, choose_table
from tests.support.plans import planned

ORM = """
class ORM:
    def __call__(self, **kwargs): ...


class Mine(ORM):
    def __call__(self, completions, solution, **kwargs): ...


orms = {
    'accuracy': ORM,
    'format': ORM,%s
}
"""


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests use a cache of their own, not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("orms = {'a': A, 'b': B}", {"a", "b"}),
        ("orms: dict = {'a': A}", {"a"}),
        ("orms['a'] = A", {"a"}),
        ("plugin.orms['a'] = A", {"a"}),
        ("orms.update({'a': A}, b=B)", {"a", "b"}),
        ("orms.setdefault('a', A)", {"a"}),
        ("orms |= {'a': A}", {"a"}),
        ("if True:\n    orms['a'] = A", {"a"}),
        # names that ms-swift registers
        ("reward = orms[name]\nif name in orms: ...", set()),
        ("from .orm import orms", set()),
        ("norms = {'a': 1}", set()),
        # names made at run time, or source that cannot be parsed
        ("for name in NAMES: orms[name] = A", None),
        ("def register(name):\n    orms[name] = A", None),
        ("orms = {**others}", None),
        ("orms.update(others)", None),
        ("orms = {'a'", None),
    ],
)
def test_names_in(source: str, names: set[str] | None) -> None:
    """The names that a source registers are found in all ways of writing it."""
    assert names_in(source, "orms") == names


def write(folder: Path, files: dict[str, str]) -> tuple[str, ...]:
    """Write modules of a checkout into the working directory; return the environment with its packages."""
    for package in ("msgspec", "math_verify"):
        (folder / package).mkdir()
    for name, text in files.items():
        path = folder / "swift" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return (str(folder), "/nowhere")


def test_all_modules_are_read(tmp_path: Path) -> None:
    """A user's own module is read like ms-swift's modules. Hidden folders and other files are not read."""
    folders = write(
        tmp_path,
        {
            "plugin/orm.py": ORM % "",
            "plugin/mine.py": "from .orm import orms\norms['mine'] = 1",
            ".git/old.py": "orms['gone'] = 1",
            "notes.txt": "orms['noted'] = 1",
        },
    )
    assert registered(folders[0], "orms") == {"accuracy", "format", "mine"}
    assert registered(folders[0], "multi_turns") == set()


def job(folders: tuple[str, ...], swift: str, version: str = "3.3.0.dev0") -> Job:
    """A GRPO job whose ms-swift has this source."""
    own = "rlhf_type: grpo, model: m, dataset: d, num_generations: 2, eval_strategy: 'no'"
    more = "per_device_train_batch_size: 2, reward_funcs: [format]"
    spec = f"name: x\nextends: b.yaml\nswift: {{{swift}}}"
    made = planned(spec, files={"b.yaml": f"swift: {{{own}, {more}}}"}).job
    return msgspec.structs.replace(made, swift_version=version, folders=folders, source=folders[0])


def told(made: Job, workdir: Path) -> list[str]:
    """The messages and hints of the checks of files and of the rules."""
    found = [*check(made), *check_inputs(made, str(workdir))]
    return [f"{problem.message}; {problem.hint}" for problem in found]


@pytest.mark.parametrize(
    "files",
    [
        {"plugin/orm.py": ORM % "" + "orms['my_reward'] = Mine"},
        {"plugin/orm.py": ORM % "\n    'my_reward': Mine,"},
        {"plugin/orm.py": ORM % "", "plugin/mine.py": "orms['my_reward'] = 1"},
        {"plugin/orm.py": ORM % "", "trainers/odd.py": "for name in found: orms[name] = 1"},
        {"rewards/orm.py": ORM % "" + "orms['my_reward'] = Mine"},  # as since 4.0
    ],
)
def test_a_reward_of_a_checkout_is_known(tmp_path: Path, files: dict[str, str]) -> None:
    folders = write(tmp_path, files)
    assert told(job(folders, "reward_funcs: [my_reward]"), tmp_path) == []


def test_a_misspelt_name_has_the_nearest_as_hint(tmp_path: Path) -> None:
    folders = write(tmp_path, {"plugin/orm.py": ORM % "" + "orms['my_reward'] = Mine"})
    (text,) = told(job(folders, "reward_funcs: [my_rewards]"), tmp_path)
    assert text == (
        "my_rewards is not known to ms-swift, and the job has no plugin; did you mean my_reward?"
    )
    (text,) = told(job(folders, "reward_funcs: [other]"), tmp_path)
    assert "known: my_reward, toolbench, math, accuracy, format" in text


def test_the_columns_of_a_reward_of_a_checkout(tmp_path: Path) -> None:
    """They are read from its signature, like those of a plugin's reward."""
    folders = write(tmp_path, {"plugin/orm.py": ORM % "" + "orms['my_reward'] = Mine"})
    made = job(folders, "reward_funcs: [my_reward]")
    assert list(needs(made, str(tmp_path))) == [
        ("my_reward", ["solution"], "swift/plugin/orm.py:7")
    ]


@pytest.mark.parametrize(
    ("version", "swift", "file", "line"),
    [
        ("4.6.0", "multi_turn_scheduler: mine", "rollout/multi_turn.py", "multi_turns['mine'] = 1"),
        ("3.8.3", "multi_turn_scheduler: mine", "plugin/multi_turn.py", "multi_turns['mine'] = 1"),
        ("4.6.0", "callbacks: [mine]", "callbacks/mapping.py", "callbacks_map['mine'] = 1"),
        ("4.6.0", "optimizer: mine", "optimizers/mapping.py", "optimizers_map['mine'] = 1"),
        ("4.6.0", "tuner_type: mine", "tuner_plugin/mapping.py", "tuners_map['mine'] = 1"),
        (
            "4.6.0",
            "reward_model: [r], reward_model_plugin: [mine]",
            "rewards/rm_plugin.py",
            "rm_plugins['mine'] = 1",
        ),
    ],
)
def test_every_registry_of_a_checkout(
    tmp_path: Path, version: str, swift: str, file: str, line: str
) -> None:
    """A name is accepted if the source registers it, and refused if neither the source nor a plugin does."""
    folders = write(tmp_path, {"plugin/orm.py": ORM % "", file: line})
    assert told(job(folders, swift, version), tmp_path) == []
    (tmp_path / "swift" / file).write_text("")
    (text,) = told(job(folders, swift, version), tmp_path)
    assert text.startswith("mine is not known to ms-swift, and the job has no plugin; ")


def test_a_tuner_of_3_x(tmp_path: Path) -> None:
    folders = write(tmp_path, {"plugin/tuner.py": "extra_tuners = {'mine': 1}"})
    made = job(folders, "seed: 1")
    spec = msgspec.structs.replace(made.spec, swift=made.swift | {"train_type": "mine"})
    made = msgspec.structs.replace(made, spec=spec)
    assert told(made, tmp_path) == []
    spec = msgspec.structs.replace(made.spec, swift=made.swift | {"train_type": "mien"})
    made = msgspec.structs.replace(made, spec=spec)
    assert "did you mean mine?" in told(made, tmp_path)[0]


@pytest.mark.parametrize(
    ("version", "is_told"),
    [("3.3.0", False), ("3.6.4", True), ("3.7.3", False), ("3.8.3", True), ("3.9.3", True),
     ("3.10.3", False), ("4.6.0", False)],
)  # fmt: skip
def test_releases_whose_grpo_imports_math_verify(
    tmp_path: Path, version: str, is_told: bool
) -> None:
    """For all rewards (seen with 3.8.3). It is a warning, because ms-swift's parser accepts the job."""
    folders = write(tmp_path, {"plugin/orm.py": ORM % ""})
    (tmp_path / "math_verify").rmdir()
    made = job(folders, "seed: 1", version)
    found = [p for p in check_inputs(made, str(tmp_path)) if "math_verify" in p.message]
    assert [problem.severity for problem in found] == ["warning"] * is_told
    (tmp_path / "math_verify").mkdir()
    assert told(made, tmp_path) == []


def test_a_checkout_whose_environment_is_not_here(tmp_path: Path) -> None:
    """Without transformers its arguments cannot be read, so those of the release are used. Its names are read."""
    orm = ORM % "" + "orms['my_reward'] = Mine"
    write(
        tmp_path,
        {
            "version.py": "__version__ = '3.3.0.dev0'",
            "llm/argument/rlhf_args.py": "class RLHFArguments(Missing): ...",
            "plugin/orm.py": orm,
        },
    )
    wanted = Wanted(Environment(), str(tmp_path), True)
    table = choose_table(wanted, lambda: None, {"PATH": "/nowhere"})
    assert (table.version, table.source, table.folders) == ("3.3.0.dev0", str(tmp_path), ())
    assert table.origin.startswith("installed, but its source cannot be read")
    spec = """
name: x
swift: {rlhf_type: grpo, model: m, dataset: d, num_generations: 2, eval_strategy: 'no',
  per_device_train_batch_size: 2, use_vllm: true, num_infer_workers: 1, reward_funcs: [my_reward]}
"""
    made = planned(spec, table=table, context=Context(cwd=str(tmp_path), home="/nowhere"))
    assert made.problems == []
    assert told(made.job, tmp_path) == []

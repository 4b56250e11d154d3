"""Checks of a job's own files: rows, plugins, configurations, checkpoints, adapters."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.inputs import check_inputs, model_types
from prl_submit.inputs.paths import is_named
from prl_submit.inputs.plugin_ast import provided
from prl_submit.inputs.plugin_syntax import read_source
from prl_submit.inputs.plugins import says
from prl_submit.inputs.rows import Count, count_rows
from prl_submit.swift.registries import bundled
from tests.support.plans import planned


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests use a cache of their own, not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
CHAT = '{"messages": [], "label": true, "rejected_response": "x"}'


def told(folder: Path, swift: str, nproc: int = 2, kind: str = "grpo") -> list[str]:
    """`severity key: message` of the problems with files, without those of the rules."""
    own = "reward_funcs: [format], num_generations: 2, per_device_train_batch_size: 2"
    base = f"swift: {{rlhf_type: {kind}, tuner_type: full, {own if kind == 'grpo' else ''}}}"
    spec = f"name: x\nextends: b.yaml\nresources: {{nproc_per_node: {nproc}}}\nswift: {{{swift}}}"
    job = planned(spec, files={"b.yaml": base}).job
    found = check_inputs(job, str(folder))
    assert all(problem.hint for problem in found)
    return [f"{p.severity} {(p.key or '').removeprefix('swift.')}: {p.message}" for p in found]


def write(folder: Path, **files: Any) -> None:
    """Write files by name: `__` means a dot, `___` means a slash. A value that is not text is written as JSON."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))


# ------------------------------------------------------------------ rows
@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\n   \n{"a": 3}', 3),
        ("a.jsonl", '{"a": 1}\r\n{"a": 2}\r\n', 2),
        ("a.jsonl", '\ufeff{"a": 1}\n{"a": 2}', 2),
        ("a.jsonl", "", 0),
        ("a.jsonl", '[{"a": 1}, {"a": 2}]', 2),
        ("a.json", '\ufeff[{"a": 1},\n{"a": 2}\n, {"a": 3}]', 3),
        ("a.json", "[]", 0),
        ("a.json", '{"a": 1}\n{"a": 2}', 2),
        ("a.json", '{\n"a": 1\n}\n', None),  # one object over several lines
        ("a.jsonl", '{"a": 1}{"a": 2}\n', None),  # two on one line
        ("a.jsonl", '{"a": 1}\n{"a": 2}{"a": 3}\n', None),
        ("a.jsonl", "5\n6\n", None),
        ("a.jsonl", "[{", None),
        ("a.csv", "a,b\n1,x\n\n2,y", 2),
        ("a.csv", '"a",b\n1,"x\ny"\n\n2,z\n', 2),
        ("a.csv", 'a,b\n1,"x\ny"\n2,z\n', 2),
        ("a.csv", "a,b\n", 0),
        ("a.csv", "", 0),
        ("a.txt", "x\n", None),
        ("a.parquet", "x", None),
    ],
)
def test_rows_are_counted_as_datasets_does(
    tmp_path: Path, name: str, text: str, rows: int | None
) -> None:
    (tmp_path / name).write_text(text, newline="")
    found = count_rows(str(tmp_path / name), 10)
    assert (found and found.rows) == rows


def test_columns_of_the_first_row(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__jsonl='{"x": 1}\n{"x": 1, "y": 2}\n',
        b__csv="x,y\n1,2\n",
        c__csv='"x",y\n1,2\n',
    )
    write(tmp_path, d__json='[{"x": 1, "y": 2}]')
    for name in ("a.jsonl", "b.csv", "c.csv", "d.json"):
        found = count_rows(str(tmp_path / name), 5)
        assert found
        assert found.keys == ("x", "y")


def test_a_missing_file_and_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'"\xff\xfe"\n')
    assert count_rows(str(tmp_path / "a.csv"), 5) is None
    assert count_rows(str(tmp_path / "b.jsonl"), 5) is None


def test_only_the_needed_part_of_a_large_file_is_read(tmp_path: Path) -> None:
    """The sparse files have 50 GB each. An array of that size is not read at all."""
    for name, start in (("a.jsonl", '{"a": 1}\n' * 10), ("b.csv", "a\n" * 11), ("c.json", "[\n")):
        path = tmp_path / name
        path.write_text(start)
        with path.open("r+b") as file:
            file.truncate(50 * 10**9)
    assert count_rows(str(tmp_path / "a.jsonl"), 10) == Count(10, ("a",))
    assert count_rows(str(tmp_path / "b.csv"), 10) == Count(10, ("a",))
    assert count_rows(str(tmp_path / "c.json"), 10) is None


def test_a_model_is_a_folder_with_a_config(tmp_path: Path) -> None:
    write(tmp_path, m___config__json={}, empty___x="", file="")
    assert told(tmp_path, "model: m") == []
    assert told(tmp_path, "model: org/name") == []
    assert told(tmp_path, "model: empty") == ["error model: empty holds no config.json"]
    (said,) = told(tmp_path, "model: file")
    assert said.startswith("error model: file is a file; a model is a folder")


@pytest.mark.parametrize(
    ("architecture", "kind", "hint"),
    [
        ("Qwen2ForCausalLM", "qwen2", "set model_type: qwen2"),
        ("LlamaForCausalLM", "llama", "set model_type: llama"),
        ("Phi3ForCausalLM", "x", "set model_type to the type of the model that yours was trained from"),
    ],
)  # fmt: skip
def test_the_type_of_a_model_with_an_unknown_name(
    tmp_path: Path, architecture: str, kind: str, hint: str
) -> None:
    """The order in which ms-swift registers its types does not matter: `qwen2_gte` is an embedding model."""
    write(tmp_path, mine___config__json={"architectures": [architecture], "model_type": kind})
    job = planned("name: x\nswift: {rlhf_type: grpo, model: mine}").job
    backwards = bundled("4.6.0")
    models = dict(reversed(backwards.models.items()))
    registries = msgspec.structs.replace(backwards, models=models)
    job = msgspec.structs.replace(job, names=lambda: registries)
    assert [problem.hint for problem in model_types.check(job, str(tmp_path))] == [hint]


def test_data_that_is_not_json(tmp_path: Path) -> None:
    write(tmp_path, a__jsonl="import os\n")
    (said,) = told(tmp_path, "dataset: a.jsonl")
    assert said == "error dataset: a.jsonl:1: is not JSON: it begins with 'import os'"


def test_columns_that_rewards_need(tmp_path: Path) -> None:
    write(tmp_path, a__jsonl=f"{CHAT}\n" * 9, b__jsonl='{"messages": [], "solution": "1"}\n' * 9)
    (said,) = told(tmp_path, "dataset: a.jsonl, reward_funcs: [accuracy, format]")
    assert said.startswith("error dataset: a.jsonl: the first rows have no solution, which the")
    for swift in ("dataset: b.jsonl, reward_funcs: [accuracy]",
                  "dataset: a.jsonl, reward_funcs: [accuracy], columns: {label: solution}"):  # fmt: skip
        assert told(tmp_path, swift) == []


def test_a_run_directory_is_not_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, **{"v7___checkpoint-9___x": "", "v7___checkpoint-10___x": ""})
    assert told(tmp_path, "resume_from_checkpoint: v7") == [
        "error resume_from_checkpoint: is a run directory, not one of its checkpoints"
    ]


DEEP = "[" * 100_000


def test_very_deep_nesting_is_not_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"messages": {DEEP}\n')
    (tmp_path / "b.json").write_text(DEEP)
    assert count_rows(str(tmp_path / "a.jsonl"), 3) is None
    assert count_rows(str(tmp_path / "b.json"), 3) is None


def test_reading_pipes_and_devices_does_not_wait(tmp_path: Path) -> None:
    """Nobody writes to these pipes, so opening one for reading would wait for ever."""
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").touch()
    for path in (tmp_path / "plug.py", tmp_path / "ds.json", checkpoint / "trainer_state.json"):
        os.mkfifo(path)
    swift = (
        "reward_funcs: [mine], external_plugins: [plug.py], deepspeed: ds.json, "
        "resume_from_checkpoint: checkpoint-1, dataset: [/dev/zero]"
    )
    assert not [line for line in told(tmp_path, swift) if "reward" in line]


def test_odd_names_in_a_checkpoint_are_no_error(tmp_path: Path) -> None:
    write(
        tmp_path,
        c___model__safetensors="",
        c___optimizer__pt="",
        c___trainer_state__json={"global_step": 1},
        c___global_step5="a file, no folder",
    )
    assert told(tmp_path, "resume_from_checkpoint: c") == []
    write(tmp_path, c___trainer_state__json=DEEP)
    assert told(tmp_path, "resume_from_checkpoint: c") == []


# ------------------------------------------------------------------ data
@pytest.mark.parametrize(
    ("swift", "said"),
    [
        ("dataset: [two.jsonl]", ""),  # 4 / 2 prompts
        ("dataset: [one.jsonl]", "error dataset: has 1 row; one batch takes 2 = per_device_train_b"),
        ("dataset: ['one.jsonl#2']", ""),  # the same row twice
        ("dataset: ['two.jsonl#1']", "error dataset: has 1 row; one batch takes 2"),
        ("dataset: [one.jsonl, one.jsonl]", ""),
        ("dataset: [one.jsonl, org/name]", ""),
        ("dataset: [one.jsonl, 'org/name#5']", ""),
        ("dataset: [one.jsonl, 'org/name#x']", "error dataset: org/name#x: the number of rows must follow #, found 'x'"),
        ("dataset: [one.jsonl, 'one.jsonl#']", "error dataset: one.jsonl#: the number of rows must follow #, found ''"),
        ("dataset: [one.jsonl, 'one.jsonl#1k']", "error dataset: one.jsonl#1k: the number of rows must follow #, found '1k'"),
        ("dataset: ['one.jsonl#0']", "error dataset: one.jsonl#0: the number of rows must follow #, found '0'"),
        ("dataset: ['one.jsonl#²']", "error dataset: one.jsonl#²: the number of rows must follow #, found '²'"),
        ("dataset: ['one.jsonl#20']", ""),
        ("dataset: [one.jsonl], cached_dataset: [c]", ""),
        ("dataset: [one.jsonl], streaming: true", ""),
        ("dataset: [one.jsonl], interleave_prob: [0.5]", ""),
        ("dataset: [one.jsonl], sequence_parallel_size: 2", ""),
        ("dataset: [two.jsonl], steps_per_generation: 2", "error dataset: has 2 rows; one batch tak"),
        ("dataset: [two.jsonl], generation_batch_size: 8", "error dataset: has 2 rows; one batch t"),
        ("dataset: [two.jsonl], num_generations: 3", ""),  # a rule refuses it
        ("dataset: [none.jsonl]", "error dataset: none.jsonl has no rows"),
        ("dataset: [two.jsonl], split_dataset_ratio: 0.1, num_generations_eval: 2",
         "error dataset: has 1 row after the split; one batch takes 2"),
        ("dataset: [two.jsonl], split_dataset_ratio: 0.1, eval_strategy: 'no'", ""),
        ("dataset: [two.jsonl], val_dataset: [one.jsonl], per_device_eval_batch_size: 1", ""),
        ("dataset: [two.jsonl], val_dataset: [one.jsonl], per_device_eval_batch_size: 4",
         "error val_dataset: has 1 row; one batch takes 4 = per_device_eval_batch_size 4 x"),
        ("dataset: [two.jsonl], val_dataset: [one.jsonl], per_device_eval_batch_size: 4, "
         "eval_use_evalscope: true", ""),
        ("dataset: [two.jsonl], val_dataset: [one.jsonl], per_device_eval_batch_size: 0", ""),
        ("dataset: [two.jsonl], num_generations: x", ""),  # another check reports it
        ("dataset: [other.jsonl]", "error dataset: other.jsonl: the first rows have none of ms-swift"),
        ("dataset: [other.jsonl], columns: {foo: query}", ""),
        ("dataset: [other.jsonl], external_plugins: [registers.py]", ""),
        ("dataset: [other.jsonl], external_plugins: [gone.py]", ""),
        ("dataset: [answers.jsonl]", "error dataset: answers.jsonl: the first rows have none"),
        ("dataset: [lines.json]", ""),
    ],
)  # fmt: skip
def test_data_against_the_batch(tmp_path: Path, swift: str, said: str) -> None:
    write(
        tmp_path,
        one__jsonl=f"{CHAT}\n",
        two__jsonl=f"{CHAT}\n{CHAT}",
        none__jsonl="\n",
        other__jsonl='{"foo": 1}\n{"foo": 1}\n',
        answers__jsonl='{"text": 1}\n{"text": 1}\n',
        registers__py="register_dataset(1)",
        lines__json='{\n"messages": 1\n}',
    )
    found = told(tmp_path, swift)
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


@pytest.mark.parametrize(
    ("kind", "file", "said"),
    [
        (
            "dpo",
            "chats.jsonl",
            "error dataset: chats.jsonl: the first rows have no rejected_response",
        ),
        ("dpo", "pairs.csv", ""),
        ("kto", "chats.jsonl", "error dataset: chats.jsonl: the first rows have no label"),
        ("rm", "answers.jsonl", "error dataset: answers.jsonl: the first rows have no rejected"),
        ("ppo", "chats.jsonl", "error dataset: has 1 row; one batch takes 16 = per_device_train"),
        ("gkd", "chats.jsonl", "error dataset: has 1 row; one batch takes 16 = "),
    ],
)
def test_data_of_the_other_types(tmp_path: Path, kind: str, file: str, said: str) -> None:
    write(
        tmp_path,
        chats__jsonl='{"messages": []}\n',
        pairs__csv="query,response,Rejected_Response\n1,2,3\n",
        answers__jsonl='{"text": 1}\n',
    )
    found = told(tmp_path, f"dataset: [{file}]", 1, kind)
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


def test_with_max_steps_the_message_says_that_ms_swift_reports_no_failure(tmp_path: Path) -> None:
    write(tmp_path, one__jsonl=f"{CHAT}\n")
    (silent,) = told(tmp_path, "dataset: [one.jsonl], max_steps: 3")
    (heard,) = told(tmp_path, "dataset: [one.jsonl]")
    assert silent.endswith("no step would be trained, and ms-swift reports no failure")
    assert heard.endswith("no step would be trained")


def test_columns_of_the_second_row_count_too(tmp_path: Path) -> None:
    write(tmp_path, a__jsonl='{"messages": []}\n{"messages": [], "rejected_images": []}\n')
    assert told(tmp_path, "dataset: [a.jsonl]", kind="dpo") == []
    own = "dataset: [a.jsonl], custom_dataset_info: [i.json]"
    assert told(tmp_path, own, kind="kto") == []
    assert len(told(tmp_path, "dataset: [a.jsonl]", kind="kto")) == 1


@pytest.mark.parametrize(
    ("path", "line", "named"),
    [
        ("/w/b", "make b", True),
        ("/w/b", "python jobs/build.py", False),
        ("/w/b", "x -b", False),
        ("/w/b", "x a.b", False),
        ("/w/a/t.jsonl", "x --out $D/t.jsonl", True),
        ("/w/a/t.jsonl", "x --out=/w/a/t.jsonl", True),
        ("/w/a/t.jsonl", "x >'a/t.jsonl'", True),
        ("/w/a/t.jsonl", "gunzip a/t.jsonl.gz", True),
        ("/w/a/t.jsonl", "x best.jsonl", False),
        ("/v/雨", "x ../v/雨", True),
    ],
)
def test_which_paths_a_setup_line_names(path: str, line: str, named: bool) -> None:
    assert is_named(path, "/w", ["true", line]) is named


def test_files_that_setup_makes_are_not_checked(tmp_path: Path) -> None:
    """The file that exists now is one of an earlier run."""
    write(tmp_path, a__jsonl="", p__py="", d__json="{")
    setup = "environment: {setup: [make a.jsonl p.py d.json]}"
    swift = "dataset: [a.jsonl], external_plugins: [p.py], reward_funcs: [x], deepspeed: d.json"
    job = planned(f"name: x\n{setup}\nswift: {{rlhf_type: grpo, {swift}}}").job
    assert check_inputs(job, str(tmp_path)) == []


def test_nothing_is_checked_if_the_working_directory_is_elsewhere(tmp_path: Path) -> None:
    assert told(tmp_path / "none", "reward_funcs: [x], deepspeed: zero9") == []


# ------------------------------------------------------------------ plugins
PLAIN = 'from swift.rewards import ORM, orms\nclass A(ORM): ...\norms["mine"] = A\n'
#: A plugin that works with ms-swift 3 and 4.
HANDED = """
import importlib
def find():
    module = importlib.import_module("swift.rewards")
    return module.ORM, module.orms
if TYPE_CHECKING:
    orms: dict
else:
    ORM, orms = find()
orms.update(mine=1, other=2)
"""


@pytest.mark.parametrize(
    "source",
    [
        PLAIN,
        "orms['mine'] = A",
        'orms [ "mine" ] = A',
        "swift.rewards.orms['mine'] = A",
        'orms.update({"mine": A})',
        "orms.update(\n    {'other': B, 'mine': A}\n)",
        "orms.update(other=B, mine=A)",
        'orms.setdefault("mine", A)',
        "x = orms['other']\norms['mine'] = A",
        HANDED,
    ],
)
def test_names_that_are_plainly_registered(source: str) -> None:
    assert says(source, "orms", "mine")
    assert not says(source, "orms", "min")
    assert not says(source, "prms", "mine")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (PLAIN, {"mine"}),
        (HANDED, {"mine", "other"}),
        ("", set()),
        ("import json, os.path\nfrom swift.rewards import orms\norms.get('x')", set()),
        (
            "orms.update({'a': A}, b=B)\norms['c'] = C\norms.setdefault('d', D)",
            {"a", "b", "c", "d"},
        ),
        ("orms.__setitem__('a', A)", {"a"}),
        # code that could register anything
        ("orms[f'{x}_reward'] = A", None),
        ("orms.update(make())", None),
        ("orms.update(**make())", None),
        ("orms.update({**make()})", None),
        ("orms.setdefault(name, A)", None),
        ("register(orms)", None),
        ("mine = orms\nmine['x'] = A", None),
        ("def f():\n    return orms\nf()['x'] = A", None),
        ("def f():\n    return orms\norms = f()\nother = f()", None),
        ("from my_rewards import A", None),
        ("from . import rewards", None),
        ("from swift.rewards import *", None),
        ("from swift.rewards import orms as registry", None),
        ("exec(text)", None),
        ("orms |= {'mine': A}", None),
        ("orms |= dict(mine=A)", None),
        ("getattr(rewards, 'orms')['mine'] = A", None),
        ("vars(rewards)['orms'].update(mine=A)", None),
        ("import importlib\nimportlib.import_module('my_rewards')", None),
        ("import importlib\nimportlib.import_module(name)", None),
        ("import runpy\nrunpy.run_path('x.py')", None),
        (
            "import importlib\nfor n in ('swift.rewards', 'swift.plugin'):\n    importlib.import_module(n)",
            set(),
        ),
        ("for n in names:\n    importlib.import_module(n)", None),
        (f"x = {'-' * 100_000}1", None),
        ("not python at all", None),
    ],
)
def test_names_of_files_that_can_or_cannot_be_followed(source: str, names: set[str] | None) -> None:
    assert provided(source, "orms") == names


@pytest.mark.parametrize(
    ("swift", "said"),
    [
        ("reward_funcs: [format, accuracy]", ""),
        ("reward_funcs: [mine], external_plugins: [plain.py]", ""),
        ("reward_funcs: [mine], custom_register_path: [plain.py]", ""),
        ("reward_funcs: [mine]", "error reward_funcs: mine is not known to ms-swift, and the job has no plugin"),
        ("reward_funcs: [mind], external_plugins: [plain.py]",
         "error reward_funcs: mind is not known to ms-swift, and plain.py does not register it"),
        ("reward_funcs: [mind], external_plugins: [plain.py, dynamic.py]", ""),
        ("reward_funcs: [mind], external_plugins: [gone.py]", ""),
        ("reward_funcs: [mind], external_plugins: [latin.py]", ""),
        ("rlhf_type: dpo, reward_funcs: [mind]", ""),  # there is a warning
        ("multi_turn_scheduler: mine", ""),  # a rule refuses it
        ("multi_turn_scheduler: mine, external_plugins: [plain.py]",
         "error multi_turn_scheduler: mine is not known to ms-swift, and plain.py does not"),
        ("callbacks: [mine], external_plugins: [plain.py]", "error callbacks: mine is not known"),
        ("tuner_type: mine, external_plugins: [plain.py]", "error tuner_type: mine is not known"),
        ("optimizer: muon, external_plugins: [plain.py]", ""),
    ],
)  # fmt: skip
def test_names_against_plugins(tmp_path: Path, swift: str, said: str) -> None:
    write(tmp_path, plain__py=PLAIN, dynamic__py="orms[name()] = A")
    (tmp_path / "latin.py").write_bytes(b"# \xff\n")
    found = told(tmp_path, swift)
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


def test_a_later_ms_swift_may_have_more_names(tmp_path: Path) -> None:
    spec = "name: x\nswift: {rlhf_type: grpo, reward_funcs: [mine]}"
    job = planned(spec).job
    assert len(check_inputs(job, str(tmp_path))) == 1
    later = msgspec.structs.replace(job, swift_version="4.7.0")
    assert check_inputs(later, str(tmp_path)) == []


# ------------------------------------------------------------------ DeepSpeed and FSDP
GOOD = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}


@pytest.mark.parametrize(
    ("swift", "said"),
    [
        ("deepspeed: zero2", ""),
        ("deepspeed: good.json", ""),
        ("deepspeed: {zero_optimization: {stage: 2}}", ""),
        ("deepspeed: '{\"zero_optimization\": {}}'", ""),
        ("deepspeed: zero9", "error deepspeed: zero9 is neither a preset nor a file here"),
        ("deepspeed: gone.json", ""),  # local_files reports it
        ("teacher_deepspeed: gone.json", "error teacher_deepspeed: gone.json is neither"),
        ("deepspeed: broken.json", "error deepspeed: broken.json: is not JSON"),
        ("deepspeed: latin.json", "error deepspeed: latin.json: cannot be read"),
        ("deepspeed: empty.json", "error deepspeed: empty.json: is not a mapping, or is an"),
        ("deepspeed: no_zero.json", "error deepspeed: has no zero_optimization"),
        ("deepspeed: batch.json", "error deepspeed: train_micro_batch_size_per_gpu 64 in the"),
        (
            "deepspeed: whole.json",
            "error deepspeed: train_batch_size 9 in the configuration is not",
        ),
        ("fsdp: fsdp2", ""),
        ("fsdp: fsdp9", "error fsdp: fsdp9 is neither a preset nor a file here"),
        ("fsdp: sharded.json", ""),
        (
            "fsdp: sharded.json, save_only_model: true",
            "error save_only_model: cannot be combined with fsd",
        ),
        ("fsdp: whole_fsdp.json, save_only_model: true", ""),
        ("fsdp: option.json", "error fsdp: has no option sideways"),
        ("fsdp: strange.json", ""),
    ],
)
def test_configurations(tmp_path: Path, swift: str, said: str) -> None:
    """A DeepSpeed configuration that cannot be read, or contradicts the job, is a problem."""
    write(
        tmp_path,
        good__json=GOOD,
        broken__json='{"zero',
        empty__json={},
        no_zero__json={"fp16": {}},
        batch__json=GOOD | {"train_micro_batch_size_per_gpu": 64},
        whole__json=GOOD | {"train_batch_size": 9},
        sharded__json={"fsdp": "full_shard"},
        whole_fsdp__json={"fsdp_config": {"state_dict_type": "FULL_STATE_DICT"}},
        option__json={"fsdp": "sideways"},
        strange__json={"fsdp": [1], "fsdp_config": "x"},
    )
    (tmp_path / "latin.json").write_bytes(b'"\xff"')
    found = told(tmp_path, swift)
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


# ------------------------------------------------------------------ checkpoints and adapters
WHOLE = ("model.safetensors", "optimizer.pt", "rng_state_0.pth", "rng_state_1.pth")
LORA = (*WHOLE[1:], "adapter_model.safetensors", "adapter_config.json")
STATE = {"global_step": 4, "max_steps": 10}


@pytest.mark.parametrize(
    ("names", "state", "swift", "said"),
    [
        (WHOLE, STATE, "", ""),
        (WHOLE, STATE, "max_steps: 10", ""),
        (WHOLE, STATE, "max_steps: 4", "warning resume_from_checkpoint: is at step 4, and max"),
        (WHOLE, "{", "max_steps: 4", ""),
        (WHOLE, {"global_step": "x"}, "max_steps: 4", ""),
        (WHOLE, None, "", "error resume_from_checkpoint: has no trainer_state.json"),
        (WHOLE, None, "resume_only_model: true, ignore_data_skip: true", ""),
        (WHOLE, None, "resume_only_model: true", "error resume_from_checkpoint: has no trainer_"),
        (WHOLE[1:], STATE, "", "error resume_from_checkpoint: holds no weights"),
        (WHOLE[:1], STATE, "", "warning resume_from_checkpoint: holds no optimizer state"),
        (WHOLE[:1], STATE, "resume_only_model: true", ""),
        (WHOLE[:3], STATE, "", "warning resume_from_checkpoint: was made by 1 processes, and the job has"),
        ((*WHOLE[:2], "rng_state.pth"), STATE, "", "warning resume_from_checkpoint: was made by 1 proc"),
        (LORA, STATE, "", "error resume_from_checkpoint: holds an adapter, and tuner_type is full"),
        (LORA, STATE, "tuner_type: lora", ""),
        (WHOLE, STATE, "tuner_type: lora", "error resume_from_checkpoint: holds no adapter, and"),
        (("global_step4/zero_pp_rank_0_mp_rank_00_optim_states.pt",), STATE, "",
         "error resume_from_checkpoint: was made by DeepSpeed with 1 processes, and the job has 2"),
        (("pytorch_model_fsdp_0/.metadata", "optimizer_0/.metadata", *WHOLE[2:]), STATE, "", ""),
    ],
)  # fmt: skip
def test_checkpoints(
    tmp_path: Path, names: tuple[str, ...], state: Any, swift: str, said: str
) -> None:
    """A checkpoint to resume from must have the files that transformers needs for this job."""
    for name in names:
        path = tmp_path / "checkpoint-4" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    if state is not None:
        (tmp_path / "checkpoint-4").mkdir(exist_ok=True)
        write(tmp_path / "checkpoint-4", trainer_state__json=state)
    found = told(tmp_path, f"resume_from_checkpoint: checkpoint-4, {swift}")
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


def test_a_folder_that_is_not_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, file="x")
    assert told(tmp_path, "resume_from_checkpoint: none") == []
    (said,) = told(tmp_path, "resume_from_checkpoint: file")
    assert "file is a file; a checkpoint is a folder" in said


def test_adapters(tmp_path: Path) -> None:
    """An adapter folder without a usable adapter_config.json is an error."""
    write(tmp_path, good___adapter_config__json={}, bad___config__json={})
    assert told(tmp_path, "adapters: [good, org/name]") == []
    (said,) = told(tmp_path, "adapters: [good, bad]")
    assert said == "error adapters: bad holds no adapter_config.json"
    assert told(tmp_path, "tuner_type: ia3, adapters: [bad]") == []


@pytest.mark.parametrize(
    ("swift", "said"),
    [
        ("lr_scheduler_kwargs: good.json", None),
        ("lr_scheduler_kwargs: cut.json", "error lr_scheduler_kwargs: cut.json is not JSON: Input data was truncated"),
        ("accelerator_config: bad.json", "error accelerator_config: bad.json is not JSON: JSON is malformed: object keys must be strings (byte 11), line 2"),
        ("model_kwargs: list.json", "error model_kwargs: list.json does not hold a mapping, which ms-swift needs"),
        ("custom_dataset_info: [list.json]", None),
        ("custom_dataset_info: [bad.json]", "error custom_dataset_info: bad.json is not JSON: JSON is malformed: object keys must be strings (byte 11), line 2"),
        ("system: good.txt", None),
        ("system: empty.txt", "warning system: empty.txt is empty"),
        ("lr_scheduler_kwargs: list.json", None),
        ("lr_scheduler_kwargs: full.json", "error lr_scheduler_kwargs: full.json does not hold a mapping, which ms-swift needs"),
        ("system: latin.txt", "error system: latin.txt is not UTF-8 text: byte 4"),
        ("new_special_tokens: [<a>, latin.txt]", "error new_special_tokens: latin.txt is not UTF-8 text: byte 4"),
    ],
)  # fmt: skip
def test_text_and_json_files_of_arguments(tmp_path: Path, swift: str, said: str | None) -> None:
    write(
        tmp_path,
        good__json='{"min_lr": 1e-7}',
        cut__json='{"min_lr": ',
        bad__json='{"a": 1,\n  b: 2}',
        list__json="[]",
        full__json="[1]",
        good__txt="You are brief.",
        empty__txt=" \n",
    )
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    assert told(tmp_path, swift) == ([said] if said else [])


# ------------------------------------------------------------------ what is in a plugin's code
HEAD = "from swift.rewards import ORM, AsyncORM, orms\n"
SOLVED = '{"messages": [], "solution": "1", "extra": 2}\n' * 9


@pytest.mark.parametrize(
    ("plugin", "helper", "said"),
    [
        ("if x\n  pass\n", "", "error external_plugins: p.py:1: expected ':'"),
        ("x = 1\nreturn x\n", "", "error external_plugins: p.py:2: 'return' outside function"),
        ("x = (1,\n", "", "error external_plugins: p.py:1: '(' was never closed"),
        ("print 'x'\n", "", "error external_plugins: p.py:1: Missing parentheses in call to 'print'. Did you mean print(...)?"),
        ("\tx = 1\n", "", "error external_plugins: p.py:1: unexpected indent"),
        ("import helper\n", "def f(:\n", "error external_plugins: helper.py:1: invalid syntax, imported by p.py"),
        ("from helper import f\n", "=\n", "error external_plugins: helper.py:1: invalid syntax, imported by p.py"),
        ("def f():\n  import helper\n", "=\n", None),  # it may never run
        ("import helper, os, numpy\n", "import helper\n", None),
        ("x = '\\d'\n", "", None),  # Python only warns of it
    ],
)  # fmt: skip
def test_syntax_of_plugins(tmp_path: Path, plugin: str, helper: str, said: str | None) -> None:
    write(tmp_path, p__py=plugin, helper__py=helper)
    assert told(tmp_path, "external_plugins: p.py") == ([said] if said else [])
    # The cached facts are the same.
    assert told(tmp_path, "external_plugins: p.py") == ([said] if said else [])
    write(tmp_path, p__py="x = 1  # another size\n")
    assert told(tmp_path, "external_plugins: p.py") == []


@pytest.mark.parametrize(
    ("theirs", "text", "severity"),
    [
        (None, "x = =\n", "error"),
        (None, "def f[T](x): pass\n=\n", "warning"),  # syntax of Python 3.12
        ("3.99", "x = =\n", "warning"),
        (OURS, "x = =\n", "error"),
    ],
)
def test_syntax_that_another_python_may_accept(
    tmp_path: Path, theirs: str | None, text: str, severity: str
) -> None:
    if sys.version_info >= (3, 12) and "[T]" in text:
        severity = "error"
    write(tmp_path, p__py=text)
    job = planned("name: x\nswift: {external_plugins: p.py}").job
    found = check_inputs(msgspec.structs.replace(job, python=theirs), str(tmp_path))
    assert [p.severity for p in found] == [severity]


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        ("def __call__(self, completions, solution, **kwargs): ...", ["solution"]),
        ("def __call__(self, completions, **kwargs): ...", []),
        ("def __call__(self, completions, solution=None, **kwargs): ...", []),
        ("def __call__(self, completions, *, target, n=1, **kwargs): ...", ["target"]),
        ("async def __call__(self, completions, target, **kwargs): ...", ["target"]),
        ("def __call__(self, prompts, completions, **kwargs): ...", ["completions"]),
        ("def __call__(self, completions, **kw):\n    'Doc.'\n    a = kw['a']\n    return [x for x in kw['b'] if kw['c']]", ["a", "b"]),
        ("def __call__(self, completions, **kw):\n    for x in zip(completions, kw['a']): kw['b']", ["a"]),
        ("def __call__(self, completions, **kw):\n    if 'a' in kw: return kw['a']\n    return kw['b']", []),
        ("def __call__(self, completions, **kw):\n    a = kw.get('a') or kw['b']", []),
        ("def __call__(self, completions, **kw):\n    kw = dict(a=1, **kw)\n    return kw['a']", []),
        ("columns = ('a', 'b')\n  def __call__(self, completions, **kw):\n    if not all(n in kw for n in self.columns): raise ValueError", ["a", "b"]),
        ("columns = ('a', 'b')\n  def __call__(self, completions, **kw):\n    return [kw.get(n) for n in self.columns]", []),
    ],
)  # fmt: skip
def test_what_a_reward_needs(body: str, needed: list[str]) -> None:
    facts = read_source(f"{HEAD}class R(ORM):\n  {body}\norms['r'] = R\n".encode())
    assert facts.rewards["r"].needs == needed


@pytest.mark.parametrize(
    "code",
    [
        "class R(Other):\n  def __call__(self, completions, a, **kw): ...\norms['r'] = R",
        "class R(ORM):\n  @wrapped\n  def __call__(self, completions, a, **kw): ...\norms['r'] = R",
        "@wrapped\nclass R(ORM):\n  def __call__(self, completions, a, **kw): ...\norms['r'] = R",
        "class R(ORM):\n  def __call__(self, *args, **kw): ...\norms['r'] = R",
        "class R(ORM): ...\nclass S(ORM):\n  def __call__(self, c, a, **kw): ...\nif x: orms['r'] = R\nelse: orms['r'] = S",
        "def r(completions, a, **kw): ...\norms['r'] = r",
        "class R(ORM):\n  def __call__(self, c, a, **kw): ...\norms['r'] = make(R)",
    ],
)
def test_a_reward_that_cannot_be_followed_needs_no_column(code: str) -> None:
    facts = read_source(f"{HEAD}{code}\n".encode())
    assert facts.rewards == {}
    assert facts.registered == ["r"]


def test_a_base_class_of_the_plugin_is_followed() -> None:
    facts = read_source(
        f"{HEAD}class B(AsyncORM):\n  columns = ('a',)\n  async def __call__(self, c, a, **kw): ...\n"
        "class R(B): pass\norms.update(r=R, **{})\norms.update({'s': B})\n".encode()
    )
    assert {name: reward.needs for name, reward in facts.rewards.items()} == {
        "r": ["a"],
        "s": ["a"],
    }


REWARD = HEAD + "class R(ORM):\n  def __call__(self, completions, {}, **kw): ...\norms['r'] = R\n"


@pytest.mark.parametrize(
    ("rows", "needed", "more", "said"),
    [
        (SOLVED, "solution", "", None),
        (SOLVED, "extra", "", None),
        (SOLVED, "messages, trainer_state", "", None),
        (SOLVED, "gone", "", "a.jsonl: the first rows have no gone, which the reward r needs (p.py:3)"),
        (SOLVED, "gone, lost", "", "a.jsonl: the first rows have no gone and no lost, which the reward r needs (p.py:3)"),
        (SOLVED, "gone", "columns: {Extra: gone}", None),
        (SOLVED, "extra", "columns: {extra: gone}", "a.jsonl: the reward r needs extra, which columns renames to gone (p.py:3)"),
        ('{"query": "q", "answer": "a"}\n' * 9, "answer", "", "a.jsonl: the reward r needs answer, but ms-swift makes a message from it (p.py:3)"),
        ('{"query": "q", "answer": "a"}\n' * 9, "answer", "disable_auto_column_mapping: true", None),
        ('{"query": "q", "answer": "a"}\n' * 9, "solution", "columns: {answer: solution}", None),
        ('{"query": "q", "solution": "a"}\n' * 9, "solution", "", None),
        ('{"query": "q", "answer": "a", "target": "b"}\n' * 9, "answer", "", None),  # with two such columns ms-swift renames none
        ('{"messages": [], "answer": "a"}\n' * 9, "answer", "", None),
        (SOLVED, "gone", "multi_turn_scheduler: math_tip_trick", None),
        (SOLVED, "gone", "custom_dataset_info: ['[]']", None),
    ],
)  # fmt: skip
def test_columns_against_a_plugins_reward(
    tmp_path: Path, rows: str, needed: str, more: str, said: str | None
) -> None:
    write(tmp_path, a__jsonl=rows, p__py=REWARD.format(needed))
    swift = f"dataset: a.jsonl, external_plugins: p.py, reward_funcs: [r], {more}"
    assert told(tmp_path, swift) == ([f"error dataset: {said}"] if said else [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def __call__(self, completions): ...", "p.py:3: __call__ of r has no **kwargs, but ms-swift passes every column"),
        ("def __init__(self): ...\n  def __call__(self, completions, **kw): ...", "p.py:3: __init__ of r has no args, which ms-swift 4 passes"),
        ("def __init__(self, args=None): ...\n  def __call__(self, completions, **kw): ...", None),
        ("def __init__(self, **more): ...\n  def __call__(self, completions, **kw): ...", None),
    ],
)  # fmt: skip
def test_how_rewards_are_called(tmp_path: Path, body: str, said: str | None) -> None:
    write(tmp_path, p__py=f"{HEAD}class R(ORM):\n  {body}\norms['r'] = R\n")
    found = told(tmp_path, "external_plugins: p.py, reward_funcs: [r]")
    assert found == ([f"error reward_funcs: {said}"] if said else [])


def test_files_in_other_formats(tmp_path: Path) -> None:
    write(tmp_path, a__tsv="a\tb\n", plain="{}", p__py="register_dataset()", b__gz="")
    for name in ("a.tsv", "plain", "b.gz"):
        (said,) = told(tmp_path, f"dataset: {name}")
        assert said.startswith(f"error dataset: {name}: ms-swift has no reader for ")
        assert told(tmp_path, f"dataset: {name}, external_plugins: p.py") == []


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    """Validation data are checked too, and so are streamed rows."""
    write(tmp_path, a__jsonl=CHAT + "\n{'x'}\n", b__jsonl=f"{CHAT}\n" * 9)
    bad = "a.jsonl:2: is not JSON: Expecting property name enclosed in double quotes"
    assert told(tmp_path, "dataset: 'a.jsonl#5'") == [f"error dataset: {bad}"]
    assert told(tmp_path, "dataset: a.jsonl, streaming: true") == [f"error dataset: {bad}"]
    swift = "dataset: b.jsonl, val_dataset: a.jsonl"
    assert told(tmp_path, swift) == [f"error val_dataset: {bad}"]


def test_a_folder_for_data(tmp_path: Path) -> None:
    (tmp_path / "empty/deeper").mkdir(parents=True)
    write(tmp_path, full___deeper___a__jsonl=CHAT)
    (said,) = told(tmp_path, "dataset: ./empty")
    assert said == "error dataset: ./empty is a folder without a file"
    assert told(tmp_path, "dataset: ./full") == []


@pytest.mark.parametrize(
    ("version", "plugins", "said"),
    [
        ("4.6.0", "[p.py, q/p.py, json.py, my.rewards.py]", []),
        ("4.6.0", "[p.txt]", ["error: p.txt is a file that ms-swift cannot import"]),
        ("3.3.0", "[p.py, p.py]", []),
        ("4.5.0", "[p.py, q/p.py]", ["error: q/p.py: another plugin has the module name p too, and ms-swift imports only the first"]),
        ("3.8.3", "[json.py]", ["warning: json.py: Python has a module json too, which ms-swift may import instead"]),
        ("3.3.0", "[my.rewards.py]", ["error: my.rewards.py is a file that ms-swift cannot import"]),
    ],
)  # fmt: skip
def test_names_of_plugin_files(tmp_path: Path, version: str, plugins: str, said: list[str]) -> None:
    write(tmp_path, p__py="", q___p__py="", json__py="", my__rewards__py="", p__txt="")
    job = planned(f"name: x\nswift: {{external_plugins: {plugins}}}").job
    job = msgspec.structs.replace(job, swift_version=version)
    found = check_inputs(job, str(tmp_path))
    assert [f"{p.severity}: {p.message}" for p in found] == said


@pytest.mark.parametrize(
    ("plugin", "spec", "said"),
    [
        ("import gone", "", "p.py imports gone, which is neither in its folder nor in the environment"),
        ("from gone.deeper import x", "", "p.py imports gone, which is neither in its folder nor in the environment"),
        ("import there, beside, swift, torch, os", "", None),
        ("import named_otherwise", "", None),  # the name of a pip package
        ("try:\n  import gone\nexcept ImportError: pass", "", None),
        ("def f():\n  import gone", "", None),
        ("import helper", "", "helper.py, imported by p.py, imports lost, which is neither in its folder nor in the environment"),
        ("import gone", "setup: ['pip install gone']", None),
        ("import gone", "env: {PYTHONPATH: /x}", None),
        ("import gone", "modules: [gone]", None),
        ("from . import beside", "", "p.py:1: `from .` works only in a package, and a plugin is not in one"),
    ],
)  # fmt: skip
def test_what_plugins_import(tmp_path: Path, plugin: str, spec: str, said: str | None) -> None:
    write(
        tmp_path, p__py=plugin, beside__py="", helper__py="import lost", site___there__py="",
        site___named_otherwise_1__dist_info___METADATA="",
    )  # fmt: skip
    (tmp_path / "site/named_otherwise_1.dist_info").rename(
        tmp_path / "site/named_otherwise-1.dist-info"
    )
    text = f"name: x\nenvironment: {{{spec}}}\nswift: {{external_plugins: p.py}}"
    job = planned(text).job
    assert check_inputs(job, str(tmp_path))[1:] == []  # an environment elsewhere is not checked
    found = check_inputs(
        msgspec.structs.replace(job, folders=(str(tmp_path / "site"),)), str(tmp_path)
    )
    assert [p.message for p in found if p.key == "swift.external_plugins"] == (
        [said] if said else []
    )


@pytest.mark.parametrize(
    ("version", "file", "said"),
    [
        ("3.8.3", "gone.json", ["JSON file gone.json is not here"]),
        ("3.8.3", "bad.json", ["bad.json is not JSON: Input data was truncated"]),
        ("3.8.3", "good.json", []),
        ("4.6.0", "gone.json", []),  # nothing opens it
    ],
)
def test_an_fsdp_configuration_of_old_releases(
    tmp_path: Path, version: str, file: str, said: list[str]
) -> None:
    write(tmp_path, bad__json="{", good__json="{}")
    job = planned(f"name: x\nswift: {{fsdp_config: {file}}}").job
    found = check_inputs(msgspec.structs.replace(job, swift_version=version), str(tmp_path))
    assert [problem.message for problem in found] == said


@pytest.mark.parametrize("terms", [2000, 50_000])
def test_a_plugin_with_a_very_long_expression(terms: int) -> None:
    """Python compiles the first plugin. Reading either plugin must not end `check`."""
    code = "class R:\n  def __call__(self, c, **kwargs):\n    x = kwargs['a']" + "+1" * terms
    assert read_source(f"{code}\norms['r'] = R\n".encode()).rewards == {}

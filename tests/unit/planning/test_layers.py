"""The layers of a spec and their precedence; PRL_* variables; --set."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from prl_submit.errors import SpecError, format_problem
from prl_submit.planning.layers import Layered, parse_settings, setting_tree
from prl_submit.planning.make import make_plan
from prl_submit.planning.plan import Planned
from prl_submit.spec.nodes import lookup, mapping
from prl_submit.spec.sections import JobSpec
from prl_submit.spec.typed import plain
from prl_submit.swift.table import Table, load_table
from tests.support.plans import CONTEXT, layered, planned, sections


def at(found: Layered, path: str) -> object:
    """The plain value at a dotted path."""
    node = lookup(found.tree, path)
    return None if node is None else plain(node)


def from_layers(given: tuple[str, ...]) -> Planned:
    """A job whose dataloader_num_workers comes from each of the layers given."""
    line = "swift: {{dataloader_num_workers: {}}}\n"
    return planned(
        "name: x\nextends: base.yaml\n" + (line.format(3) if "spec" in given else ""),
        files={"base.yaml": line.format(2) if "base" in given else "workdir: ."},
        toml="[profile.default.swift]\ndataloader_num_workers = 1" if "profile" in given else None,
        environ={"PRL_DATALOADER_NUM_WORKERS": "4"} if "env" in given else {},
        sets=["swift.dataloader_num_workers=5"] if "flag" in given else [],
    )


ORDER = ("default", "profile", "base", "spec", "env", "flag")


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(ORDER, 2)))
def test_precedence(lower: str, higher: str) -> None:
    """Built-in < profile < extends < spec < environment < --set, pair by pair."""
    made = from_layers((lower, higher))
    plan = made.plan
    (value,) = [v for v in made.values if v.key == "swift.dataloader_num_workers"]
    assert value.source == higher
    assert value.value == ORDER.index(higher)
    assert ["--dataloader_num_workers", str(ORDER.index(higher))] in plan.arguments


def test_maps_merge_and_lists_replace() -> None:
    found = layered(
        "extends: base.yaml\nname: x\nswift: {beta: 2, dataset: [c]}\nlocal: null",
        files={"base.yaml": "swift: {beta: 1, lr: 3, dataset: [a, b]}\nlocal: {a: 1}"},
    )
    assert plain(found.tree) == {
        "extends": "base.yaml",
        "name": "x",
        "swift": {"beta": 2, "lr": 3, "dataset": ["c"]},
        "local": None,
    }


def test_a_chain_of_bases_is_relative_to_each_file() -> None:
    found = layered(
        "extends: base/a.yaml\nname: x",
        files={
            "base/a.yaml": "extends: ../other/b.yaml\nworkdir: a",
            "other/b.yaml": "workdir: b\noutput: b",
        },
    )
    assert (at(found, "workdir"), at(found, "output")) == ("a", "b")
    node = lookup(found.tree, "output")
    assert node is not None
    assert (node.origin.layer, node.origin.describe()) == ("base", "other/b.yaml:2")
    assert at(found, "extends") == "base/a.yaml"


@pytest.mark.parametrize(
    ("spec", "files", "message"),
    [
        ("name: x\nextends: job.yaml", {}, "job.yaml:2: extends: goes round in a circle: "),
        ("extends: a.yaml", {"a.yaml": "extends: ./job.yaml"}, "a.yaml:1: extends: goes round"),
        (
            "extends: a.yaml",
            {"a.yaml": "\nextends: gone.yaml"},
            "a.yaml:2: extends: cannot read gone.yaml: No such file or directory",
        ),
        ("extends: [a]", {}, "job.yaml:1: extends: expected one file name"),
        ("extends: a.yaml", {"a.yaml": "x: 1\nx: 2"}, "a.yaml:2: duplicate key 'x'"),
    ],
)
def test_a_base_that_cannot_be_used(spec: str, files: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        layered(spec, files=files)
    assert len(caught.value.problems) == 1


def test_a_circle_is_shown_whole() -> None:
    with pytest.raises(SpecError, match=r"job\.yaml -> a\.yaml -> b\.yaml -> a\.yaml"):
        layered("extends: a.yaml", files={"a.yaml": "extends: b.yaml", "b.yaml": "extends: a.yaml"})


def test_a_missing_spec_is_the_callers_business() -> None:
    """A spec that does not exist raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        layered(None)


@pytest.mark.parametrize("how", ["set", "profile"])
def test_a_base_is_named_in_files_only(how: str) -> None:
    """Elsewhere it would silently do nothing."""
    found = layered(
        "name: x",
        sets=["extends=a.yaml"] if how == "set" else [],
        toml='[profile.default]\nextends = "a.yaml"' if how == "profile" else None,
    )
    assert [(p.key, p.message) for p in found.problems] == [
        ("extends", "only a spec and its bases can name a base")
    ]


# ------------------------------------------------------------------ the environment
@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("PRL_NPROC_PER_NODE", "2", "resources.nproc_per_node", 2),
        ("PRL_NODES", "3", "resources.nodes", 3),
        ("PRL_TIME_LIMIT", "90m", "resources.time_limit", "90m"),
        ("PRL_MEMORY", "64G", "resources.memory", "64G"),
        ("PRL_NUM_GENERATIONS", "2", "swift.num_generations", 2),
        ("PRL_MODEL", "[odd]/name", "swift.model", "[odd]/name"),
        ("PRL_MODEL", "null", "swift.model", None),
        ("PRL_CUDA_VISIBLE_DEVICES", "0,1", "local.cuda_visible_devices", "0,1"),
        ("PRL_BACKEND", "slurm", "backend", "slurm"),
        ("PRL_OUTPUT_ROOT", "runs", "output", "runs"),
        ("PRL_REWARD_FUNCS", "a  b c", "swift.reward_funcs", ["a", "b", "c"]),
        ("PRL_REWARD_FUNCS", '["a b", c]', "swift.reward_funcs", ["a b", "c"]),
        ("PRL_REWARD_FUNCS", "one", "swift.reward_funcs", ["one"]),
        ("PRL_USE_VLLM", "false", "swift.use_vllm", False),
    ],
)
def test_variables_override(name: str, value: str, path: str, expected: object) -> None:
    """A PRL_ variable overrides its key, and is not passed on to the job."""
    found = layered("name: x", environ={name: value, "OTHER": "1", "MODEL": "2"})
    assert found.problems == []
    assert found.passed_on == {}
    assert at(found, path) == expected
    if expected is not None:
        node = lookup(found.tree, path)
        assert node is not None
        assert node.origin.describe() == name


@pytest.mark.parametrize("name", ["PRL_NUM_GENERATIONS", "PRL_BACKEND", "PRL_UNKNOWN_THING"])
def test_an_empty_variable_is_unset(name: str) -> None:
    found = layered("name: x", environ={name: ""})
    assert (plain(found.tree), found.passed_on, found.problems) == ({"name": "x"}, {}, [])


def test_a_misspelt_variable_is_an_error_without_its_value() -> None:
    found = layered("name: x", environ={"PRL_NUM_GENERATION": "hf_secret"})
    (problem,) = found.problems
    text = format_problem(problem)
    assert text.startswith("error: PRL_NUM_GENERATION: no such override\nhint: did you mean ")
    assert "PRL_NUM_GENERATIONS?" in text
    assert "hf_secret" not in text
    assert found.passed_on == {}


def test_a_variable_of_another_version_is_an_error() -> None:
    """Passed on, it would train a LoRA where the script of old trained all."""
    found = layered("name: x", environ={"PRL_TRAIN_TYPE": "full", "PRL_MY_THING": "7"})
    (problem,) = found.problems
    assert format_problem(problem) == (
        "error: PRL_TRAIN_TYPE: overrides nothing: train_type is tuner_type since ms-swift 4.0\n"
        "hint: write PRL_TUNER_TYPE (unset PRL_TRAIN_TYPE if it is not for prl-submit)"
    )
    assert set(found.passed_on) == {"PRL_MY_THING"}


def test_so_common_a_name_may_be_the_jobs_own() -> None:
    """PRL_BATCH_SIZE may be the job's own variable, so it is only a warning."""
    found = layered("name: x", environ={"PRL_BATCH_SIZE": "7"})
    (problem,) = found.problems
    assert format_problem(problem) == (
        "warning: PRL_BATCH_SIZE: overrides nothing: batch_size is per_device_train_batch_size "
        "since ms-swift 3.0\nhint: write PRL_PER_DEVICE_TRAIN_BATCH_SIZE"
    )
    assert found.passed_on == {"PRL_BATCH_SIZE": "7"}


def test_other_variables_are_passed_on_and_shown() -> None:
    environ = {"PRL_EVALUATOR_URL": "http://e", "PRL_MY_THING": "7", "PRL_SUBMIT_TOKEN": "no"}
    made = planned("name: x", environ=environ)
    assert made.plan.exports == {"PRL_EVALUATOR_URL": "http://e", "PRL_MY_THING": "7"}
    shown = {v.key: (v.value, v.source, v.detail) for v in made.values}
    assert shown["environment.env.PRL_MY_THING"] == (
        "7",
        "env",
        "PRL_MY_THING, passed on to the job untouched",
    )
    assert not any("PRL_SUBMIT" in key for key in shown)


def test_the_jobs_own_names_are_never_a_misspelling() -> None:
    found = layered("name: x", environ={"PRL_PREFLIGHT": "off", "PRL_EVALUATOR_MODEL": "m"})
    assert found.problems == []
    assert set(found.passed_on) == {"PRL_PREFLIGHT", "PRL_EVALUATOR_MODEL"}


def test_a_value_that_is_not_utf8() -> None:
    found = layered("name: x", environ={"PRL_MODEL": "\udcff", "PRL_ZZZZZZ": "\udcff"})
    assert [(p.label, p.message) for p in found.problems] == [
        ("PRL_MODEL", "is not UTF-8"),
        ("PRL_ZZZZZZ", "is not UTF-8"),
    ]
    assert found.passed_on == {}


def test_a_value_that_is_half_a_list() -> None:
    found = layered("name: x", environ={"PRL_REWARD_FUNCS": "[a", "PRL_NODES": "[1"})
    assert [(p.label, p.key) for p in found.problems] == [
        ("PRL_NODES", "resources.nodes"),
        ("PRL_REWARD_FUNCS", "swift.reward_funcs"),
    ]
    assert plain(found.tree) == {"name": "x"}


def test_the_specs_backend_beats_the_variable() -> None:
    environ = {"PRL_BACKEND": "kubernetes"}
    base = {"base.yaml": "backend: slurm"}
    assert at(layered("name: x\nbackend: slurm", environ=environ), "backend") == "slurm"
    assert at(layered("extends: base.yaml", files=base, environ=environ), "backend") == "slurm"


def test_the_variable_beats_a_profiles_backend() -> None:
    toml = '[profile.default]\nbackend = "slurm"'
    found = layered("name: x", toml=toml, environ={"PRL_BACKEND": "kubernetes"})
    assert at(found, "backend") == "kubernetes"


def test_a_wrong_value_names_its_variable() -> None:
    problems = planned("name: x", environ={"PRL_NPROC_PER_NODE": "four"}).problems
    (text,) = [format_problem(p) for p in problems if p.severity == "error"]
    assert text.startswith("error: PRL_NPROC_PER_NODE: resources.nproc_per_node: expected a whole")


def test_the_name_is_missed_in_the_spec_whatever_lies_over_it() -> None:
    """A variable or flag on top does not take the place out of the message."""
    more: dict[str, Any] = {
        "environ": {"PRL_BETA": "1"},
        "sets": ["swift.beta=2"],
        "toml": "[profile.default]",
    }
    problems = planned("\nbackend: local", **more).problems
    assert format_problem(problems[0]) == (
        "error: job.yaml:2: name: is required\nhint: add `name: …`"
    )


# ------------------------------------------------------------------ ms-swift 3.0's argument
WORKERS = "name: x\nresources: {nproc_per_node: 4}\nswift:\n  use_vllm: true\n"


def test_infer_workers_equal_to_the_processes_mean_colocate() -> None:
    found = layered(WORKERS, environ={"PRL_NUM_INFER_WORKERS": "4"})
    assert found.problems == []
    assert at(found, "swift.vllm_mode") == "colocate"
    assert found.passed_on == {}


def test_infer_workers_compare_with_the_overridden_processes() -> None:
    environ = {"PRL_NUM_INFER_WORKERS": "2", "PRL_NPROC_PER_NODE": "2"}
    assert at(layered(WORKERS, environ=environ), "swift.vllm_mode") == "colocate"
    found = layered("swift: {use_vllm: 1}", environ={"PRL_NUM_INFER_WORKERS": "1"})
    assert at(found, "swift.vllm_mode") == "colocate"


@pytest.mark.parametrize("workers", ["1", "5", "many", "-4"])
def test_other_infer_workers_name_todays_arguments(workers: str) -> None:
    (problem,) = layered(WORKERS, environ={"PRL_NUM_INFER_WORKERS": workers}).problems
    assert problem.label == "PRL_NUM_INFER_WORKERS"
    assert f"{workers} is not nproc_per_node (4)" in problem.message
    assert "vllm_mode" in (problem.hint or "")
    assert "vllm_tensor_parallel_size" in (problem.hint or "")


@pytest.mark.parametrize("off", ["no", "false", "null"])
def test_infer_workers_without_vllm_do_nothing(off: str) -> None:
    spec = WORKERS.replace("true", off)
    found = layered(spec, environ={"PRL_NUM_INFER_WORKERS": "4"})
    assert at(found, "swift.vllm_mode") is None
    assert found.problems == []


def test_todays_argument_wins_over_the_old_one() -> None:
    """Where both are given, today's argument counts and not ms-swift 3.0's."""
    environ = {"PRL_NUM_INFER_WORKERS": "4"}
    spec = WORKERS + "  vllm_mode: server"
    assert at(layered(spec, environ=environ), "swift.vllm_mode") == "colocate"
    found = layered(spec, environ=environ, sets=["swift.vllm_mode=server"])
    assert at(found, "swift.vllm_mode") == "server"
    found = layered(spec, environ={**environ, "PRL_VLLM_MODE": "server"})
    assert at(found, "swift.vllm_mode") == "server"


def test_infer_workers_beside_wrong_processes_stay_silent() -> None:
    spec = "name: x\nresources: {nproc_per_node: [4]}"
    assert layered(spec, environ={"PRL_NUM_INFER_WORKERS": "4"}).problems == []


@pytest.mark.parametrize(
    ("version", "workers", "value", "mode", "message"),
    [
        # 3.2 to 3.4: its own argument, whose other values mean GPUs for inference alone
        ("3.2.2", "4", 4, None, ""),
        ("3.3.0", "1", 1, None, ""),
        ("3.4.1.post1", "2", 2, None, ""),
        # 3.5: taken, and passed over
        ("3.5.3", "4", None, "colocate", ""),
        (
            "3.5.3",
            "1",
            None,
            None,
            "passed over since ms-swift 3.5, and 1 is not nproc_per_node (4)",
        ),
        ("3.6.0", "1", None, None, "gone since ms-swift 3.6, and 1 is not nproc_per_node (4)"),
        ("4.6.0", "4", None, "colocate", ""),
        # before: neither
        ("3.1.1.post1", "4", None, None, "ms-swift 3.1.1.post1 has neither num_infer_workers (3.2"),
    ],
)
def test_infer_workers_mean_what_the_version_that_runs_means(
    version: str, workers: str, value: int | None, mode: str | None, message: str
) -> None:
    found = layered(WORKERS, environ={"PRL_NUM_INFER_WORKERS": workers}, table=load_table(version))
    assert at(found, "swift.num_infer_workers") == value
    assert at(found, "swift.vllm_mode") == mode
    assert [problem.message.startswith(message) for problem in found.problems] == [True] * bool(
        message
    )
    assert found.passed_on == {}


@pytest.mark.parametrize(
    ("version", "swift", "workers", "mode"),
    [
        ("3.3.0", "vllm_mode: colocate", 4, None),
        ("3.4.1.post1", "vllm_mode: colocate", 4, None),
        ("3.3.0", "vllm_mode: colocate, num_infer_workers: 4", 4, None),
        ("3.3.0", "vllm_mode: colocate, num_infer_workers: 2", 2, "colocate"),  # told as an error
        ("3.3.0", "vllm_mode: server", None, "server"),  # likewise
        ("3.3.0", "vllm_mode: null", None, None),
        ("3.3.0", "use_vllm: true", None, None),  # ms-swift's own default: a GPU for one worker
        ("3.5.0", "vllm_mode: colocate", None, "colocate"),
        ("4.6.0", "vllm_mode: colocate", None, "colocate"),
    ],
)
def test_colocate_is_said_in_the_words_of_the_version_that_runs(
    version: str, swift: str, workers: int | None, mode: str | None
) -> None:
    """One spec for all releases; only a mode that is written is translated."""
    found = layered(
        f"resources: {{nproc_per_node: 4}}\nswift: {{{swift}}}",
        environ={},
        table=load_table(version),
    )
    assert at(found, "swift.num_infer_workers") == workers
    assert at(found, "swift.vllm_mode") == mode
    assert found.problems == []


@pytest.mark.parametrize("workers", ["4", "2"])
def test_infer_workers_of_the_environment_beside_colocate(workers: str) -> None:
    """Under 3.3 the variable is the argument itself, and comes after the spec."""
    found = layered(
        WORKERS + "  vllm_mode: colocate",
        environ={"PRL_NUM_INFER_WORKERS": workers},
        table=load_table("3.3.0"),
    )
    assert at(found, "swift.num_infer_workers") == int(workers)
    assert at(found, "swift.vllm_mode") is None


# ------------------------------------------------------------------ --set
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("swift.beta=0.1", {"swift": {"beta": 0.1}}),
        ("name=x", {"name": "x"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("a=null", {"a": None}),
        (" a =1", {"a": 1}),
        ("a.b.c=[1, x]", {"a": {"b": {"c": [1, "x"]}}}),
        ("a={b: 1}", {"a": {"b": 1}}),
        ("a=-5", {"a": -5}),
    ],
)
def test_set(text: str, expected: object) -> None:
    """The value of --set is YAML, and its key names a place in the spec."""
    settings, problems = parse_settings([text])
    assert problems == []
    node = setting_tree(settings[0], load_table())
    assert plain(node) == expected
    assert node.origin.describe() == "--set"


@pytest.mark.parametrize("text", ["", "a", "=1", ".a=1", "a..b=1", "a.=1", "a=[1", "a=\udcff"])
def test_a_bad_set_is_a_problem_and_the_rest_goes_on(text: str) -> None:
    found = layered("name: x", sets=[text, "workdir=w"])
    (problem,) = found.problems
    assert problem.label == "--set"
    assert at(found, "workdir") == "w"


def test_set_leaves_text_and_json_of_an_argument_alone() -> None:
    """`[END]` is a text for an argument that takes one word; ms-swift reads its JSON itself."""
    sets = ["swift.model=[END]", "swift.model_kwargs=[END]", "swift.dataset=[a, b]"]
    found = layered("name: x", sets=sets)
    assert (at(found, "swift.model"), at(found, "swift.model_kwargs")) == ("[END]", "[END]")
    assert at(found, "swift.dataset") == ["a", "b"]


@pytest.mark.parametrize(
    ("spec", "sets", "expected"),
    [
        ("swift: {num-generations: 4}", [], {"num_generations": "4"}),
        ("swift: {num_generations: 4}", ["swift.num-generations=2"], {"num_generations": "2"}),
        ("swift: {num-generations: 4}", ["swift.num_generations=2"], {"num_generations": "2"}),
        # a mixture is no spelling of anything, and what stands twice is told
        ("swift: {num-gener_ations: 4}", [], {"num-gener_ations": "4"}),
        ("swift: {max-length: 4, max_length: 5}", [], {"max-length": "4", "max_length": "5"}),
    ],
)
def test_dashes_are_another_spelling(spec: str, sets: list[str], expected: dict[str, str]) -> None:
    """The parser that transformers makes takes each option in both."""
    tree = layered(f"name: x\n{spec}", sets=sets).tree
    found = mapping(lookup(tree, "swift"))
    assert {name: node.value for name, node in found.items()} == expected


def test_dashes_in_a_base_and_a_profile() -> None:
    found = layered(
        "name: x\nextends: b.yaml\nswift: {max_length: 1}",
        files={"b.yaml": "swift: {max-length: 2, num-generations: 3}"},
        toml="[profile.default.swift]\nnum-generations = 5\nmax-steps = 6\n",
    )
    values = {name: node.value for name, node in mapping(lookup(found.tree, "swift")).items()}
    assert values == {"max_length": "1", "num_generations": "3", "max_steps": "6"}


def test_the_last_set_wins() -> None:
    assert at(layered("name: x", sets=["workdir=a", "workdir=b"]), "workdir") == "b"


def test_set_to_null_takes_a_value_away() -> None:
    plan = planned("name: x\nswift: {beta: 1}", sets=["swift.beta=null"]).plan
    assert not [group for group in plan.arguments if group[0] == "--beta"]


@pytest.mark.parametrize("sets", [["swift=3"], ["swift=[a]"]])
def test_swift_that_is_no_mapping_is_told_once(sets: list[str]) -> None:
    made = planned("name: x\nswift: {model: m}", sets=sets)
    (problem,) = [found for found in made.problems if found.key == "swift"]
    assert problem.message.startswith("expected a mapping of keys to values, found")
    assert problem.label == "--set"


def test_the_options_count_more_than_a_set_of_the_same() -> None:
    found = layered("name: x\nbackend: local", sets=["backend=kubernetes"], backend="slurm")
    assert at(found, "backend") == "slurm"


def test_the_arguments_are_those_of_the_job_that_all_layers_make() -> None:
    """The ms-swift is chosen by sections whose layers are all laid."""
    asked = []

    def choose(spec: JobSpec) -> Table:
        asked.append(spec)
        return load_table()

    made = make_plan(
        sections(
            "name: x\nbackend: local\nenvironment: {venv: a}\nswift: {model: m}",
            sets=["environment.swift_version=3.3.0"],
            environ={"PRL_NODES": "2"},
            backend="slurm",
        ),
        choose,
        "job.yaml",
        CONTEXT,
    )
    (spec,) = asked
    assert (spec.backend, spec.environment.venv, spec.resources.nodes) == ("slurm", "a", 2)
    assert spec.environment.swift_version == "3.3.0"
    assert spec.swift == {}
    assert made.job.spec.swift["model"] == "m"

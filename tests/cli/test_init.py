"""`prl-submit init` through the real executable: a first spec, or an error in our form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Done, World

ROWS = '{"messages": [{"role": "user", "content": "1 + 1?"}], "solution": "2"}\n' * 8
PLUGIN = """\
from swift.rewards import ORM, orms

class Short(ORM):
    def __call__(self, completions, target, **kwargs):
        return [-len(text) for text in completions]

class Polite(ORM):
    def __call__(self, completions, **kwargs):
        return ["please" in text for text in completions]

orms["short"] = Short
orms["polite"] = Polite
"""


@pytest.fixture(autouse=True)
def _here(world: World) -> None:
    """What a newcomer has in the folder: data, and perhaps a reward of their own."""
    (world.root / "train.jsonl").write_text(ROWS)
    (world.root / "rewards.py").write_text(PLUGIN)


def check(world: World, spec: str, *words: str) -> Done:
    """`check` of a spec that was printed; its environment is the world's own."""
    (world.root / "first.yaml").write_text(spec, encoding="utf-8")
    return world.prl("check", "first.yaml", "--set", "environment.venv=venv", *words)


def values(world: World, spec: str) -> dict[str, object]:
    """What `explain` reads in a spec."""
    (world.root / "first.yaml").write_text(spec, encoding="utf-8")
    done = world.prl("explain", "first.yaml", "--json", "--set", "environment.venv=venv")
    return {item["key"]: item["value"] for item in done.json["values"]}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--backend local",
        "--backend slurm",
        "--model org/other --data train.jsonl --reward accuracy --reward format",
        "--data some/dataset --reward cosine --nproc-per-node 3",
        "--reward repetition --reward soft_overlong --name my-job-2",
    ],
)
def test_what_it_prints_passes_check(world: World, words: str) -> None:
    made = world.prl("init", *words.split())
    assert (made.code, made.err) == (0, "")
    done = check(world, made.out)
    assert done.code == 0, done.err
    assert "error" not in done.err


def test_the_readmes_first_job_passes_check(world: World) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Your own first job")[2]
    spec = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert spec is not None
    done = check(world, spec[1])
    assert done.code == 0, done.err


def test_for_kubernetes_it_says_what_is_a_placeholder(world: World) -> None:
    made = world.prl("init", "--backend", "k8s")
    assert (
        made.err
        == "note: the image and the volume claim in the spec are placeholders: put yours there\n"
    )
    (world.root / "first.yaml").write_text(made.out)
    done = world.prl("check", "first.yaml")
    assert done.code == 0
    assert done.err == (
        "warning: first.yaml:11: kubernetes.image: is a placeholder, which no registry has\n"
        "hint: name an image of yours that has torch and ms-swift\n"
    )


def test_data_that_is_not_here_yet(world: World) -> None:
    made = world.prl("init", "--data", "later.jsonl")
    assert made.code == 0
    assert (
        made.err == "note: the dataset later.jsonl is not here yet; `prl-submit check` needs it\n"
    )
    found = json.loads(check(world, made.out, "--json").out)["problems"]
    errors = [problem["message"] for problem in found if problem["severity"] == "error"]
    assert errors == ["dataset later.jsonl is not here"]


@pytest.mark.parametrize(
    ("words", "rewards"),
    [
        (["--reward", "rewards.py"], ["polite", "short"]),
        (["--reward", "rewards.py", "--reward", "short"], ["short"]),
        (
            ["--reward", "short", "--reward", "format", "--reward", "./rewards.py"],
            ["short", "format"],
        ),
        (["--reward", "format", "--reward", "rewards.py"], ["format", "polite", "short"]),
    ],
)
def test_a_plugin_of_ones_own(world: World, words: list[str], rewards: list[str]) -> None:
    """All rewards that it registers, or those that are named; the data's line shows their columns."""
    made = world.prl("init", "--data", "org/data", *words)
    assert made.code == 0, made.err
    assert '"target": "…"}' in made.out
    found = values(world, made.out)
    assert sorted(found["swift.reward_funcs"]) == sorted(rewards)  # type: ignore[call-overload]
    assert found["swift.external_plugins"] == [word for word in words if word.endswith(".py")]
    assert check(world, made.out).code == 0


@pytest.mark.parametrize(("flag", "key"), [("--model", "swift.model"), ("--data", "swift.dataset")])
@pytest.mark.parametrize(
    "word",
    ["it's mine", '/a "b"/c', "模型/数据 one", "/x: y, [z]", "/a\\nb", ": /x", "1e-6", "null"],
)
def test_words_reach_the_job_as_they_were_given(
    world: World, flag: str, key: str, word: str
) -> None:
    made = world.prl("init", f"{flag}={word}")
    assert made.code == 0, made.err
    assert values(world, made.out)[key] == (word if flag == "--model" else [word])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--name", "My Job"], "--name: expected lower-case letters"),
        (["--nproc-per-node", "0"], "--nproc-per-node: resources.nproc_per_node: expected a whole"),
        (["--nproc-per-node", "x"], "Invalid value for '--nproc-per-node'"),
        (["--reward", "acuracy"], "did you mean accuracy?"),
        (["--reward", "acuracy", "--backend", "k8s"], "did you mean accuracy?"),
        (["--reward", "none.py"], "--reward none.py: no such file, or it cannot be read"),
        (["--reward", "rewards.py", "--reward", "shrt"], "did you mean short?"),
        (["--reward", "empty.py"], "--reward empty.py: the file plainly registers no reward"),
        (["--reward", "broken.py"], "--reward broken.py:1: '[' was never closed"),
        (["--reward", ""], "--reward: the value is empty"),
        (["--model", " "], "--model: the value is empty"),
        (["--model", "$HOME/model"], "--model: swift.model: "),
        (
            ["--data", "first.yaml"],
            "--data: swift.dataset: first.yaml: ms-swift has no reader for .yaml",
        ),
        (["--data", "\udcff.jsonl"], "--data b'\\xff.jsonl' is not UTF-8"),
        (["--data", "- /x"], "begins with '-': ms-swift would read it as an argument"),
        (["--backend", "sge"], "unknown backend 'sge'"),
        (["--modle", "x"], "--modle"),
        (["job.yaml"], "unexpected extra argument"),
        # The data is there, and the reward could not read it.
        (["--reward", "rewards.py"], "which the reward short needs"),
        (["--nproc-per-node", "64"], "--data: swift.dataset: "),
    ],
)
def test_wrong_flags(world: World, words: list[str], error: str) -> None:
    """Exit code 2, all on stderr, and nothing is printed that could be taken for a spec."""
    (world.root / "first.yaml").touch()
    (world.root / "empty.py").write_text("import os\n")
    (world.root / "broken.py").write_text("orms[\n")
    done = world.finish(world.popen(["prl-submit", "init", *words]))
    assert (done.code, done.out) == (2, "")
    assert error in done.err
    assert done.err.startswith("error: ")


def test_all_that_is_wrong_is_said_at_once(world: World) -> None:
    done = world.prl("init", "--name", "A B", "--nproc-per-node", "0", "--reward", "acuracy")
    assert done.err.count("error: ") == 3
    words = ("--reward", "none.py", "--model", " ", "--backend", "sge", "--nproc-per-node", "0")
    errors = [line for line in world.prl("init", *words).err.splitlines() if line[:5] == "error"]
    assert [line.split()[1] for line in errors] == [
        "--reward",
        "--model:",
        "unknown",
        "--nproc-per-node:",
    ]


def write_model(world: World, name: str, architecture: str, kind: str) -> None:
    """A model's folder whose name ms-swift does not know."""
    (world.root / name).mkdir()
    config = {"architectures": [architecture], "model_type": kind}
    (world.root / name / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("architecture", "kind"), [("Qwen2ForCausalLM", "qwen2"), ("LlamaForCausalLM", "llama")]
)
def test_a_local_model_gets_the_type_that_its_config_names(
    world: World, architecture: str, kind: str
) -> None:
    """Other types of the same architecture are embeddings and models of a special kind."""
    write_model(world, "my-sft-model", architecture, kind)
    made = world.prl("init", "--model", "my-sft-model")
    assert made.err.startswith("note: ms-swift cannot tell the template of my-sft-model; ")
    found = values(world, made.out)
    assert found["swift.model_type"] == kind
    assert check(world, made.out).code == 0


def test_a_local_model_of_no_plain_type(world: World) -> None:
    write_model(world, "mine", "Phi3ForCausalLM", "other")
    done = world.prl("init", "--model", "mine")
    assert (done.code, done.out) == (2, "")
    assert "--model mine: its type may be phi3, phi4" in done.err
    made = world.prl("init", "--model", "mine", "--model-type", "phi4")
    assert (made.code, made.err) == (0, "")
    assert values(world, made.out)["swift.model_type"] == "phi4"
    assert check(world, made.out).code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("prl-submit ini", "plain,init"),
        ("prl-submit init --rew", "plain,--reward"),
        ("prl-submit init --reward ac", "plain,accuracy"),
        ("prl-submit init --reward ./re", "file,"),
        ("prl-submit init --data tr", "file,"),
        ("prl-submit init --backend sl", "plain,slurm"),
    ],
)
def test_completion(world: World, words: str, expected: str) -> None:
    """The options' values are completed after Tab."""
    count = str(len(words.split()) - 1)
    environ = {"_PRL_SUBMIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    assert world.prl(**environ).out.splitlines()[0].startswith(expected)

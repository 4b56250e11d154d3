"""Any argument value survives from the spec's text to the process that bash starts.

2000 generated values in 50 scripts of 40 each: a value costs microseconds, a bash start does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from prl_submit.planning.plan import Context, Planned, grouped
from prl_submit.runs.plan_file import dump_spec
from prl_submit.swift.table import load_table
from tests.support.plans import planned
from tests.support.rendered import write_files

if TYPE_CHECKING:
    from tests.conftest import World

TABLE = load_table()
#: Arguments that take any text and that no rule looks at.
SCALARS = """
    adapter_act swanlab_exp_name eval_metric trackio_bucket_id galore_proj_type gym_env
    hub_model_id hub_revision swanlab_workspace length_column_name trackio_space_id swanlab_smtp_server
    trackio_static_space_id model_revision swanlab_sender_email project ray_exp_name ref_model_revision
    response_prefix run_name structured_outputs_regex swanlab_project swanlab_receiver_email teacher_tag_key
""".split()
LISTS = ["stop_words", "new_special_tokens", "model_author", "modules_to_save", "label_names"]
PIECES = (
    *("'", '"', "\\", "$(id)", "`id`", "${HOME}", "$'", "!!", "\n", "\r\n", "\t", " ", "  ", "#"),
    *("-", "--", "=", "*", "?", "~", "%", "%s", "&", "|", ";", "<<X", ">", "(", ")", "{", "}"),
    *(
        "[",
        "]",
        ",",
        ": ",
        "é",
        "雨巷",
        "😂",
        "\u2028",
        "\x85",
        "\x01",
        "\x1b[31m",
        "\x7f",
        "\ufeff",
    ),
    *("{{ x }}", "{% raw %}", "null", "no", "1e-6", "010", "EOF", "\\n", "\\'"),
)
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=12), st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
)
STYLES = st.fixed_dictionaries(
    {
        "quote": st.sampled_from([None, '"', "'"]),
        "allow_unicode": st.booleans(),
        "width": st.sampled_from([20, 80, 10**6]),
    }
)


def long_text(piece: str, size: int) -> str:
    """`piece` repeated up to `size` bytes."""
    return (piece * size).encode()[:size].decode("utf-8", "ignore")


def spec_with(swift: dict[str, Any], quote: str | None = None, **options: Any) -> str:
    """A spec's text as PyYAML writes it; `quote` is what it prefers for text."""

    class Dumper(yaml.SafeDumper):
        """Numbers are written without quotes."""

    def represent(dumper: Any, text: str) -> Any:
        # Outside of double quotes YAML 1.1 reads these as line ends, and our reader refuses them.
        style = '"' if any(char in text for char in "\x85\u2028\u2029") else quote
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, represent)
    tree = {
        "name": "any",
        "environment": {"venv": "venv"},
        "resources": {"accelerator": "cpu"},
        "swift": {
            "rlhf_type": "grpo",
            "model": "org/name",
            "dataset": ["org/data"],
            "num_generations": 2,
            "per_device_train_batch_size": 2,
            "eval_strategy": "no",
        }
        | swift,
    }
    text: str = yaml.dump(tree, Dumper=Dumper, **options)
    return text


def planned_in(root: Path, text: str) -> Planned:
    """The plan of a spec in the folder `root`."""
    return planned(text, context=Context(cwd=str(root), home=str(root)))


def given_words(swift: dict[str, Any]) -> list[list[str]]:
    """The words of the command line, as docs/reference.md defines them."""
    groups = []
    for name, value in swift.items():
        if isinstance(value, list):
            groups.append([f"--{name}", *value])
        else:
            groups.append([f"--{name}={value}"] if value[:1] == "-" else [f"--{name}", value])
    return groups


def contains(words: list[str], group: list[str]) -> bool:
    return any(words[i : i + len(group)] == group for i in range(len(words)))


@pytest.fixture(scope="module")
def argv_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """`argv_of(spec's text)`: what torchrun gets when bash runs what `prl-submit render` prints."""
    root = tmp_path_factory.mktemp("argv")
    (root / "venv" / "bin").mkdir(parents=True)
    (root / "venv" / "bin" / "activate").write_text('PATH="$PWD/venv/bin:$PATH"\n')
    recorder = root / "venv" / "bin" / "torchrun"
    recorder.write_text("#!/bin/bash\nprintf '%s\\0' \"$@\" >argv\n")
    recorder.chmod(0o755)

    def argv(text: str) -> list[str]:
        (root / "job.yaml").write_text(text, encoding="utf-8")
        environ = {**os.environ, "PRL_PREFLIGHT": "off"}
        rendered = subprocess.run(
            [sys.executable, "-m", "prl_submit", "render", "--all", "job.yaml"],
            cwd=root,
            capture_output=True,
            check=False,
        )
        assert rendered.returncode == 0, rendered.stderr.decode()[:2000]
        write_files(root, rendered.stdout.decode())
        (root / "argv").unlink(missing_ok=True)
        (root / "output" / "vNN-YYYYMMDD-HHMMSS").mkdir(parents=True, exist_ok=True)
        subprocess.run(["bash", "launch.sh"], cwd=root, env=environ, check=False, timeout=60)
        log = root / "output" / "vNN-YYYYMMDD-HHMMSS" / "logs" / "node0.log"
        assert (root / "argv").exists(), log.read_text(errors="replace")
        data = (root / "argv").read_bytes()
        return ["torchrun", *(word.decode() for word in data.split(b"\0")[:-1])]

    argv.root = root  # type: ignore[attr-defined]  # a function with its folder
    return argv


@settings(
    max_examples=50,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would run bash for minutes
    suppress_health_check=list(HealthCheck),
)
@given(
    scalars=st.lists(TEXTS, min_size=len(SCALARS), max_size=len(SCALARS)),
    items=st.lists(TEXTS.filter(lambda text: text[:1] != "-"), min_size=15, max_size=15),
    long=st.tuples(TEXTS.filter(bool), st.integers(1, 100_000)),  # short in a failure's report
    style=STYLES,
)
def test_any_value_survives(
    argv_of: Callable[[str], list[str]],
    scalars: list[str],
    items: list[str],
    long: tuple[str, int],
    style: dict[str, Any],
) -> None:
    """YAML text -> prl-submit render -> bash -> argv, byte for byte; and once more via spec.yaml."""
    swift: dict[str, Any] = dict(zip(SCALARS, scalars, strict=True))
    swift |= {name: items[3 * i : 3 * i + 3] for i, name in enumerate(LISTS)}
    swift["system"] = long_text(*long)
    assert sum(len(v) if isinstance(v, list) else 1 for v in swift.values()) == 40
    text = spec_with(swift, **style)
    argv = argv_of(text)
    for group in given_words(swift):
        assert contains(argv, group), str(group)[:2000]
    made = planned_in(argv_of.root, text)  # type: ignore[attr-defined]
    assert not [problem for problem in made.problems if problem.severity == "error"]
    assert argv == made.plan.argv  # in their order too
    words = [word for group in made.plan.arguments for word in group]
    assert grouped(words) == made.plan.arguments  # as plan.json is read
    again = planned_in(argv_of.root, dump_spec(made.tree).decode())  # type: ignore[attr-defined]
    assert again.plan.argv == made.plan.argv


def test_other_writings_of_a_value(argv_of: Callable[[str], list[str]]) -> None:
    """Block text, folded text, single quotes and bare words are what YAML says they are."""
    text = spec_with({}) + (
        '  system: |\n    it\'s "$(id)"\n      `x`\n'
        "  response_prefix: >-\n    a\n    b\n"
        "  run_name: 'it''s $HOME'\n"
        "  project: it's\n"
        "  swanlab_exp_name: -x\n"
    )
    argv = argv_of(text)
    for group in (
        ["--system", 'it\'s "$(id)"\n  `x`\n'],
        ["--response_prefix", "a b"],
        ["--run_name", "it's $HOME"],
        ["--project", "it's"],
        ["--swanlab_exp_name=-x"],
    ):
        assert contains(argv, group), argv


@pytest.mark.parametrize("value", ["", "-", "a b", "it's", "$(id)", "雨巷 😂", "x=y", "\\", "\n"])
def test_a_value_from_the_command_line_survives(world: World, value: str) -> None:
    """--set and PRL_*: text that does not begin like YAML is itself."""
    over = {"PRL_RUN_NAME": value} if value else {}
    done = world.prl(world.spec(), "--wait", "--set", f"swift.system={value}", **over)
    assert done.code == 0, done.err
    argv = (Path(done.out.strip()) / "argv").read_bytes().decode().split("\0")
    for group in given_words({"system": value} | ({"run_name": value} if value else {})):
        assert contains(argv, group), argv

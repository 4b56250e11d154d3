"""Scripts to specs, without bash: sections, notes, and that nothing makes it crash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prl_submit.importing import Imported, import_script
from prl_submit.importing.bash.scope import Place
from prl_submit.importing.bash.statements import read_script
from prl_submit.importing.translate import Wishes
from prl_submit.spec.nodes import Node
from prl_submit.spec.write import write_spec
from prl_submit.spec.yaml import parse_document
from prl_submit.swift.table import load_table

PLACE = Place(script="x.sh", cwd="/w", home="/home/me", real="/w/x.sh")
TABLE = load_table()
TRAIN = "swift rlhf --rlhf_type grpo"


def imported(text: str, **place: str) -> Imported:
    where = Place(**{"script": "x.sh", "cwd": "/w", "home": "/home/me", "real": "/w/x.sh"} | place)
    return import_script(text.encode(), where, TABLE)


def spec(text: str, **place: str) -> dict[str, Any]:
    """The spec as data, every scalar as text."""
    found = imported(text, **place)
    assert found.text is not None, found.problems
    tree: dict[str, Any] = yaml.load(found.text, yaml.BaseLoader)
    return tree


def said(text: str, severity: str) -> list[str]:
    return [
        f"{problem.line}: {problem.message}"
        for problem in imported(text).problems
        if problem.severity == severity
    ]


def texts(node: Node) -> Any:
    """A tree as the reader of specs has it, before types."""
    if isinstance(node.value, dict):
        return {key: texts(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [texts(child) for child in node.value]
    return node.value


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("scripts/Train_GRPO 7B.sh", "train-grpo-7b"),
        ("--x--.sh", "x"),
        ("训练.sh", "job"),
        (f"{'a' * 39}_b.sh", "a" * 39),
    ],
)
def test_the_name_comes_from_the_file(file: str, name: str) -> None:
    assert spec(TRAIN, script=file)["name"] == name


def test_prl_submits_own_defaults_are_not_passed_where_the_script_has_none() -> None:
    swift = spec(f"{TRAIN} --use_vllm true --use_cpu true")["swift"]
    nulls = ["dataloader_num_workers", "vllm_mode", "vllm_gpu_memory_utilization", "ddp_backend"]
    assert [name for name, value in swift.items() if value == "null"] == nulls
    assert "vllm_mode" not in spec(f"{TRAIN} --dataloader_num_workers 2")["swift"]


def test_resources_and_devices() -> None:
    text = f"CUDA_VISIBLE_DEVICES=0,1,2 NPROC_PER_NODE=2 NNODES=3 MASTER_ADDR=h {TRAIN}"
    found = spec(text)
    assert found["resources"] == {"nodes": "3", "nproc_per_node": "2"}
    assert found["local"] == {"cuda_visible_devices": "0,1,2"}
    assert "environment" not in found
    notes = said(text, "note")
    assert "1: MASTER_ADDR is set by prl-submit's launcher" in notes
    assert "1: 3 GPUs are visible, and 2 processes start" in notes
    assert "1: 3 nodes: the local backend has one" in notes


def test_one_process_is_written_down() -> None:
    assert spec(TRAIN)["resources"] == {"nproc_per_node": "1"}


def test_variables_that_are_not_exported_do_not_reach_the_training() -> None:
    text = f"NPROC_PER_NODE=4\nA=1\nexport B\nB=2\n{TRAIN}"
    assert spec(text)["resources"] == {"nproc_per_node": "1"}
    assert spec(text)["environment"] == {"env": {"B": "2"}}
    assert "1: NPROC_PER_NODE is not exported: the training does not get it" in said(text, "note")


def test_arguments_by_argparses_rules() -> None:
    text = (
        f"{TRAIN} --learning-rate=1e-6 --max_grad 0.5 --bf16 --no_padding_free --beta -1"
        " --system '- a list' --report_to none wandb --future_name x y --seed 1 --seed 2"
    )
    swift = spec(text)["swift"]
    assert swift == {
        "rlhf_type": "grpo",
        "learning_rate": "1e-6",
        "max_grad_norm": "0.5",
        "bf16": "true",
        "padding_free": "false",
        "beta": "-1",
        "system": "- a list",
        "report_to": ["none", "wandb"],
        "future_name": ["x", "y"],
        "seed": "2",
        "dataloader_num_workers": "null",
    }
    notes = said(text, "note")
    for note in (
        "1: --learning-rate is written learning_rate",
        "1: --max_grad is written max_grad_norm",
        "1: --no_padding_free is written padding_free",
        "1: --future_name: ms-swift 4.6.0 has no such argument",
        "1: --seed is given on line 1 too",
    ):
        assert note in notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("--num_generations ${PRL_NUM_GENERATIONS:-8}", None),
        ("--num_generations=${PRL_NUM_GENERATIONS:-8}", None),
        ("--num_generations=1${PRL_NUM_GENERATIONS:-8}", "PRL_NUM_GENERATIONS alone no longer"),
        ("--num_generations ${PRL_GROUP:-8}", "PRL_GROUP no longer changes it"),
        ("--num_generations ${GROUP:-8}", "GROUP no longer changes it"),
        ("--run_name mr-${PRL_RUN_NAME:-8}", "PRL_RUN_NAME alone no longer changes it"),
        ("--report_to wandb ${PRL_REPORT_TO:-none}", "PRL_REPORT_TO alone no longer changes it"),
        ("--report_to ${PRL_REPORT_TO:-none wandb}", None),
        ("--seed ${1:-5}", "$1 no longer changes it"),
        ("--output_dir ${PRL_OUTPUT_DIR:-out}", "PRL_OUTPUT_DIR no longer changes it"),
    ],
)
def test_a_default_that_nothing_overrides_any_more_is_told(text: str, note: str | None) -> None:
    notes = [line for line in said(f"{TRAIN} {text}", "note") if "no longer changes" in line]
    assert bool(notes) == (note is not None)
    assert note is None or note in notes[0]


FOLDER = Path(__file__).parents[2] / "importing"


def beside(path: str) -> bytes | None:
    """What is beside the scripts, which are in /w/scripts."""
    file = FOLDER / "beside" / path.removeprefix("/w/scripts/")
    return file.read_bytes() if file.is_file() else None


@pytest.mark.parametrize("path", sorted(FOLDER.glob("scripts/*.sh")), ids=lambda path: path.name)
def test_scripts_of_all_styles_are_translated(path: Path) -> None:
    """What bash makes of them is compared in tests/local/test_import.py."""
    place = Place(script="scripts/x.sh", cwd="/w", home="/home/me", real="/w/scripts/x.sh")
    found = import_script(path.read_bytes(), place, TABLE, None, beside)
    assert found.text is not None, found.problems
    assert "\n  rlhf_type: grpo\n" in found.text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("refused/*.sh")), ids=lambda path: path.name)
def test_what_cannot_be_translated_is_listed(path: Path) -> None:
    """`#! LINE: words`, at the end of each script."""
    text = path.read_text(encoding="utf-8")
    wanted = re.findall(r"^#! (\d+): (.*)$", text, re.MULTILINE)
    found = import_script(text.encode(), PLACE, TABLE)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    assert found.text is None
    assert sorted(str(error.line) for error in errors) == sorted(line for line, _ in wanted)
    for line, words in wanted:
        assert any(str(error.line) == line and words in error.message for error in errors), words


@pytest.mark.parametrize(
    ("head", "argument", "value"),
    [
        ("export A; A=1", "--system $A", "1"),
        ("set -f", "--system *", "*"),
        ("set -f; set +f; set -eux; set -o pipefail +o nounset", "--system a", "a"),
        ("set -- a 'b c'; shift", '--system "$1$#"', "b c1"),
        ("shift", "--system a", "a"),
        ("cd -P /a; cd ..", "--system $PWD", "/"),
        ("A=(1); A+=(2); A+=3", '--system "${A[0]}"', None),
        ("A=1; A+=2", "--system $A", "12"),
        ("A+=2", "--system $A", None),
        ("A=$(x); A+=2", "--system $A", None),
        ("A[1]=2", "--system $A", None),
        ("A=1; A+=(2)", '--system "${A[*]}"', "1 2"),
        ("declare -i A=1", "--system $A", None),
        ("declare -r A=1", "--system $A", "1"),
        ("export $A", "--system a", None),
        ("A=1; unset A", "--system ${A:-2}", "2"),
        ("unset -f f", "--system a", "a"),
        ("read -r A", "--system $A", None),
        ("printf -v A %s 1", "--system $A", None),
        ("(cd /x; A=2)", "--system ${A:-1}", "1"),
        ("true && A=2 && export B=1", "--system $A", "2"),
        ("! true", "--system a", "a"),
        ("A=1 || exit 1", "--system $A", "1"),
        ("exit 1", "--system a", None),
        ("exec python x.py", "--system a", None),
        ("source", "--system a", None),
        ("$(x) y", "--system a", None),
        ("conda install -y x", "--system a", "a"),
        ("conda activate $A", "--system a", None),
        ("source v/bin/activate; deactivate", "--system a", "a"),
        ("module load $A", "--system a", None),
        ("module list; ml purge", "--system a", "a"),
        ("{ A=1; A=2; }", "--system $A", "2"),
        ("(x) &", "--system a", None),
        ("echo a > f", "--system a", "a"),
        ("x | y | tee z", "--system a", "a"),
        ("cd a b", "--system a", None),
        ("A=$(cd /x && pwd -P)", "--system $A", "/x"),
        ("A=$(cd - && pwd)", "--system $A", None),
        ("A=$(echo -n x)", "--system $A", None),
        ("A=$(dirname /)$(dirname //a/)$(basename /)", "--system $A", "///"),
        ("export A\nA=$(pwd; x)", "--system a", "a"),
        ("local A=1", "--system $A", None),
    ],
)
def test_statements_before_the_training(head: str, argument: str, value: str | None) -> None:
    found = imported(f"{head}\n{TRAIN} {argument}\n")
    assert (found.text is None) == (value is None), found.problems
    if found.text is not None and value is not None:
        tree = yaml.load(found.text, yaml.BaseLoader)
        assert tree["swift"]["system"] == value


@pytest.mark.parametrize(
    ("tail", "is_harmless"),
    [
        ("echo done; exit $?; wait; set +x; A=1; export A", True),
        ("[ $? -eq 0 ] && echo fine || { echo bad; exit 1; }", True),
        ("echo a | tee b", True),
        ("echo a > b", False),
        ("if x; then echo a; fi", False),
        ("python eval.py", False),
        ("f() { x; }", False),
    ],
)
def test_statements_behind_the_training(tail: str, is_harmless: bool) -> None:
    assert (imported(f"{TRAIN}\n{tail}\n").text is not None) == is_harmless


@pytest.mark.parametrize(
    ("line", "is_translated"),
    [
        (f"{TRAIN} > log 2>&1 < /dev/null", True),
        (f"{TRAIN} < x", False),
        (f"{TRAIN} <<< x", False),
        (f"{TRAIN} &> log &", True),
        (f"{TRAIN} | cat | tee x", False),
        (f"/opt/env/bin/{TRAIN}", True),
        (f"stdbuf -oL {TRAIN}", True),
        (f"nohup -x {TRAIN}", False),
        (f"env A=$(x) {TRAIN}", False),
        (f"conda run --name=a {TRAIN}", True),
        (f"conda run -n $A {TRAIN}", False),
        ("python -m swift.cli.rlhf --rlhf_type grpo", True),
        ("python -m swift.cli.sft --rlhf_type grpo", False),
        ("python3.11 swift/cli/rlhf.py --rlhf_type grpo", True),
        ("torchrun --module=swift.cli.rlhf --rlhf_type grpo", True),
        ("torchrun --log_dir x --tee=3 -m swift.cli.rlhf --rlhf_type grpo", True),
        ("torchrun --nproc_per_node -m swift.cli.rlhf --rlhf_type grpo", False),
        ("torchrun --nnodes=1:1 --max_restarts 0 -m swift.cli.rlhf --rlhf_type grpo", True),
        ("torchrun -m $A swift.cli.rlhf", False),
        ("NPROC_PER_NODE=x swift rlhf --rlhf_type grpo", False),
        ("CUDA_VISIBLE_DEVICES= swift rlhf --rlhf_type grpo", False),
    ],
)
def test_ways_to_start_it(line: str, is_translated: bool) -> None:
    found = imported(line)
    assert (found.text is not None) == is_translated, found.problems


@pytest.mark.parametrize(
    "options",
    [
        "--gres=gpu:a:b:c",
        "--gpus=x",
        "--gpus 3",
        "'",
        "-D /data --gpus-per-node=a100:1",
        "-N 0",
        "-n 2",
    ],
)
def test_sbatch_options(options: str) -> None:
    found = imported(f"#SBATCH {options}\nexport NPROC_PER_NODE=1\n{TRAIN}")
    assert (found.text is not None) == (options.startswith("-D") or options == "-n 2")


@pytest.mark.parametrize(
    "data", [b"a\r\nb", b"\xff", b"\0", b"#" * 1_000_001, b"", b"echo nothing", b"# only\n"]
)
def test_what_is_no_script(data: bytes) -> None:
    found = import_script(data, PLACE, TABLE)
    assert found.text is None
    assert len(found.problems) == 1


def test_conda_venv_and_modules() -> None:
    head = "source /opt/conda/etc/profile.d/conda.sh\n"
    assert spec(f"{head}conda activate a\n{TRAIN}")["environment"] == {
        "conda": {"name": "a", "root": "/opt/conda"}
    }
    assert spec(f'eval "$(/opt/c/bin/conda shell.bash hook)"\nconda activate\n{TRAIN}')[
        "environment"
    ] == {"conda": {"name": "base", "root": "/opt/c"}}
    assert spec(f"source activate a\n{TRAIN}")["environment"] == {"conda": "a"}
    assert spec(f"source /o/miniconda3/bin/activate a\n{TRAIN}")["environment"] == {
        "conda": {"name": "a", "root": "/o/miniconda3"}
    }
    assert spec(f"conda activate a\nconda deactivate\n{TRAIN}").get("environment") is None
    assert spec(f"conda run -n a {TRAIN}")["environment"] == {"conda": "a"}
    assert spec(f". .venv/bin/activate\n{TRAIN}")["environment"] == {"venv": ".venv"}
    assert spec(f"cd a\n. ../v/bin/activate\ncd b\n{TRAIN}")["environment"] == {"venv": "../../v"}
    assert spec(f"cd /a\n. v/bin/activate\n{TRAIN}")["environment"] == {"venv": "v"}
    assert spec(f"ml cuda\nml load gcc\n{TRAIN}")["environment"] == {"modules": ["cuda", "gcc"]}


def test_setup_has_what_its_lines_need_in_their_order() -> None:
    text = (
        "A=1\nB=$A/b\nUNUSED=2\nexport C=known D=$(date)\nA=3\n"
        'show() { echo "$1"; }\nif [ -d "$B" ]; then show $C; fi\n' + TRAIN
    )
    assert spec(text)["environment"] == {
        "setup": [
            "A=1",
            "B=$A/b",
            "export C=known D=$(date)",
            'show() { echo "$1"; }',
            'if [ -d "$B" ]; then show $C; fi',
        ],
        "env": {"C": "known"},
    }


def test_set_a_exports_in_setup_too() -> None:
    text = f"set -a\nA=$(date)\nset +a\n{TRAIN}"
    assert spec(text)["environment"] == {"setup": ["export A=$(date)"]}


def test_the_scripts_own_folder_in_a_kept_line_is_written_down() -> None:
    text = f'D="$(cd "$(dirname "$0")" && pwd)"\nls "$D" | head\n{TRAIN}'
    assert spec(text, script="s/x.sh")["environment"]["setup"] == ["D=/w/s", 'ls "$D" | head']


def test_folders() -> None:
    assert "workdir" not in spec(TRAIN)
    assert spec(f"cd a/../b\n{TRAIN}")["workdir"] == "b"
    assert spec(f"cd\n{TRAIN}")["workdir"] == "/home/me"
    assert spec(f'cd "$(dirname "$0")/.."\n{TRAIN}', script="s/t/x.sh")["workdir"] == "/w/s"
    assert spec(f"cd /a && cd b && {TRAIN}")["workdir"] == "/a/b"


def test_an_sbatch_script() -> None:
    head = (
        "#!/bin/bash\n#SBATCH -J 'My Job' --time=90\n#SBATCH --gres=gpu:a100:2,nvme:1\n"
        "#SBATCH --cpus-per-task=16 --mem=64000\n#SBATCH --qos=high\n#SBATCH --mail-type END\n"
        "#SBATCH --signal=B:USR1@60\n\necho x\n#SBATCH --time=1\n"
    )
    found = spec(f"{head}export NPROC_PER_NODE=2\n{TRAIN}")
    assert found["name"] == "my-job"
    assert found["backend"] == "slurm"
    assert found["resources"] == {
        "nproc_per_node": "2",
        "gpu_type": "a100",
        "cpus_per_proc": "8",
        "memory": "64000M",
        "time_limit": "01:30:00",
    }
    assert found["slurm"] == {"qos": "high", "extra": {"gres": "nvme:1", "mail-type": "END"}}
    whole = spec(f"{head.replace('--mem=64000', '--mem=0')}export NPROC_PER_NODE=2\n{TRAIN}")
    assert whole["resources"]["memory"] == "0"


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("30", "00:30:00"),
        ("30:15", "00:30:15"),
        ("2-0", "2-00:00:00"),
        ("1-06:30", "1-06:30:00"),
        ("150:00:00", "6-06:00:00"),
        ("UNLIMITED", None),
    ],
)
def test_slurms_times(written: str, limit: str | None) -> None:
    found = spec(f"#SBATCH --time={written}\nNPROC_PER_NODE=1 {TRAIN}")
    assert found["resources"].get("time_limit") == limit


def test_srun_with_several_tasks_is_several_trainings() -> None:
    text = f"#SBATCH --ntasks=4\nNPROC_PER_NODE=4 srun {TRAIN}"
    assert said(text, "error") == ["1: srun starts 4 trainings on each node"]


@pytest.mark.parametrize(
    "value",
    [
        *("", "null", "~", "no", "1e-6", "010", "- a", "a: b", "a #b", "#a", "x:y#1", "it's", "%a"),
        *("@b", "[a]", "{a}", "a, b", "*a", "&a", "!a", "|", ">", "?", "=", "a\nb", " a", "a "),
        *("\t", "\n", "雨 巷", "😀", "\x85", "\u2028", "\x07", "a\n b\n\nc", "\ufeff", "'", '"'),
        *("\\", "12:00:00", "a\n", "\na", "a\n\tb", "a:", "-", "--", "0x1f", ".5", "1_000", "é"),
    ],
)
def test_any_text_is_read_back_as_itself(value: str) -> None:
    tree: Any = {
        "name": value,
        "environment": {"setup": [value, value], "env": {"A": value}},
        "swift": {"x": value, "many": [value, "b"], "none": None, value or "k": "v"},
    }
    text = write_spec(tree, "made by a test")
    wanted = tree | {"swift": tree["swift"] | {}}
    assert texts(parse_document(text.encode(), "x", "spec")) == wanted


LINES = st.sampled_from(
    [
        *(TRAIN, "A=1", "export A=$B", "if x; then", "fi", "for i in a; do", "done", "{", "}", "("),
        *(
            ")",
            "A=(1 2)",
            'A+=("$B")',
            "cat <<EOF",
            "EOF",
            "case x in",
            "esac",
            "f() {",
            "x | tee y",
        ),
        *("&", "# comment", "#SBATCH -N 2", "cd $A", "swift rlhf \\", "  --x y \\", "'", '"', "$("),
        *(
            "`",
            "\\",
            "${A",
            "$((1+",
            "&& b",
            "|| exit 1",
            "> x",
            "< y",
            "--z 1",
            "  ",
            "雨",
            "env A=1",
        ),
        *(
            "if [ -n $A ]; then",
            "fi",
            "else",
            "case $A in",
            "a) B=1;;",
            "esac",
            "[[ $A == b ]] && B=2",
        ),
        *(
            "f() { local C=1; $1; }",
            "f swift",
            "source o.sh",
            "bash o.sh",
            "eval $A",
            "while [ $# -gt 0 ]; do",
        ),
        *(
            "done",
            "read -ra A <<< $B",
            "A=$(echo a | tr a b)",
            "timeout 5 swift rlhf",
            "return",
            "exit 1",
        ),
        *("set -- a", "shift 2", "export", "unset A", "source", "conda activate", "module", "eval"),
        *(
            "srun",
            "torchrun",
            "exec",
            "python -m",
            "nohup",
            "${A[",
            "set -o",
            "ml",
            "#SBATCH --time",
        ),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(LINES, st.text(max_size=8)), max_size=12))
def test_no_script_makes_it_crash(lines: list[str]) -> None:
    text = "\n".join(lines)
    data = text.encode("utf-8", "replace")
    found = import_script(data, PLACE, TABLE, Wishes(assumed={"A": "(a b)"}), lambda path: data)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    assert (found.text is None) == bool(errors)
    if found.text is not None:
        parse_document(found.text.encode(), "x", "spec")


@pytest.mark.parametrize(
    "text",
    [
        "swift rlhf )",
        "swift rlhf 'open",
        "if true; then swift rlhf",
    ],
)
def test_what_bash_cannot_read_is_told(text: str) -> None:
    _, problems = read_script(text.encode(), "x.sh")
    assert problems
    assert imported(text).text is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ " * 5000 + "x; " + "} ;" * 5000, "is too long or nested too deep to be read"),
        (
            f"swift rlhf --x {'${A:-' * 3000}1{'}' * 3000}",
            "is too long or nested too deep to be read",
        ),
        ("A=" + "$(" * 5000 + "x" + ")" * 5000, "is too long or nested too deep to be read"),
        ("true && " * 20_000 + TRAIN, "is too long or nested too deep to be read"),
        (
            f"A=aaaaaaaa\n{'A=$A$A' + chr(10)}" + "A=$A$A\n" * 60 + "swift rlhf --seed $A",
            "1,000,000",
        ),
    ],
)
def test_bounds(text: str, message: str) -> None:
    """No recursion without an end, and no text that doubles for ever."""
    errors = [p for p in imported(text).problems if p.severity == "error"]
    assert len(errors) == 1
    assert message in errors[0].message


def test_many_statements() -> None:
    assert imported("A=1\n" * 19_000 + TRAIN).text is not None


# --- the ms-swift that will run -------------------------------------------------------------------


def for_swift(version: str, text: str) -> Imported:
    return import_script(text.encode(), PLACE, load_table(version), Wishes(swift_version=version))


@pytest.mark.parametrize(
    ("version", "words", "wanted"),
    [
        ("3.3", "--train_type lora", {"train_type": "lora"}),
        ("3.3", "--tuner_type lora", {"train_type": "lora"}),
        ("3.3", "--sft_type lora", {"train_type": "lora"}),
        ("3.8", "--train-type lora", {"train_type": "lora"}),
        ("4.6.0", "--train_type lora", {"tuner_type": "lora"}),
        ("3.3", "--gpu_memory_utilization 0.4", {"vllm_gpu_memory_utilization": "0.4"}),
        (
            "3.3",
            "--use_vllm true --num_infer_workers 2",
            {"use_vllm": "true", "num_infer_workers": "2"},
        ),
        ("3.3", "--use_lmdeploy false", {"use_lmdeploy": "false"}),
        ("4.6.0", "--use_lmdeploy false", {}),
    ],
)
def test_a_spec_is_written_for_the_swift_that_will_run(
    version: str, words: str, wanted: dict[str, str]
) -> None:
    made = for_swift(version, f"{TRAIN} {words}")
    assert made.text is not None, made.problems
    tree = yaml.load(made.text, yaml.BaseLoader)
    own = {name: value for name, value in tree["swift"].items() if value != "null"}
    assert own == {"rlhf_type": "grpo", **wanted}
    assert tree["environment"] == {"swift_version": version}


@pytest.mark.parametrize("version", ["3.3", "3.8", "4.6.0"])
@pytest.mark.parametrize(
    "name",
    ["gc_collect_after_offload", "multi_turn_func", "chord_mu_peak", "num_generation", "nonsense"],
)
def test_import_and_check_say_the_same_of_a_name(version: str, name: str) -> None:
    """One message, but for the name's own beginning."""
    from prl_submit.spec.nodes import Origin
    from prl_submit.swift.unknown_names import unknown_name

    table = load_table(version)
    notes = [
        (problem.message, problem.hint)
        for problem in for_swift(version, f"{TRAIN} --{name} 1").problems
        if problem.message.startswith(f"--{name}: ")
    ]
    if name in table or notes == []:  # it has it, or the abbreviation was written out
        assert name in table or name == "num_generation"
        return
    told = unknown_name(name, Origin("spec"), table)
    assert notes == [(f"--{name}: {told.message}", told.hint)]


@pytest.mark.parametrize(("mode", "is_passed"), [("colocate", True), ("server", False)])
def test_vllm_mode_for_a_release_that_has_num_infer_workers(mode: str, is_passed: bool) -> None:
    """prl-submit passes num_infer_workers for `vllm_mode: colocate`; for no other mode is there a translation."""
    made = for_swift("3.3", f"{TRAIN} --use_vllm true --vllm_mode {mode}")
    notes = [problem for problem in made.problems if problem.message.startswith("--vllm_mode: ")]
    assert bool(notes) != is_passed


@pytest.mark.parametrize("words", ["--num_infer_workers 1", "--num_infer_workers 3"])
def test_num_infer_workers_is_left_out_where_nothing_reads_it(words: str) -> None:
    assert "vllm_mode" not in spec(f"{TRAIN} {words}")["swift"]
    notes = said(f"{TRAIN} {words}", "note")
    assert "1: --num_infer_workers is left out: without use_vllm nothing reads it" in notes
    assert not any("colocate" in note for note in notes)


# --- what stands before the launcher --------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "limit"),
    [
        ("timeout 90m", "01:30:00"),
        ("timeout -s INT --kill-after=30 2d", "2-00:00:00"),
        ("timeout 1.5h", "01:30:00"),
        ("timeout 30", "00:00:30"),
        ("timeout 0", None),
        ("nohup timeout 1h nice", "01:00:00"),
    ],
)
def test_timeout_is_the_time_limit(before: str, limit: str | None) -> None:
    assert spec(f"{before} {TRAIN}")["resources"].get("time_limit") == limit


@pytest.mark.parametrize(
    "before",
    [
        "numactl --cpunodebind=0 --membind 0",
        "numactl -N 0 -m 0",
        "taskset -c 0-7",
        "nice -n10",
        "nice -10",
        "ionice -c 2 -n 0",
        "poetry run",
        "time -p",
        "exec -a name",
        "env -u A B=1",
        "command -p",
        "/usr/bin/time -v",
    ],
)
def test_what_is_passed_over(before: str) -> None:
    assert spec(f"{before} {TRAIN} --seed 1")["swift"]["seed"] == "1"


def test_uv_run_is_the_projects_environment_where_it_is_there() -> None:
    text = f"uv run --with x --project sub -m swift.cli.rlhf {TRAIN.removeprefix('swift rlhf ')}"
    assert "environment" not in spec(text)
    files = {"/w/sub/.venv/pyvenv.cfg": b""}
    made = import_script(text.encode(), PLACE, TABLE, None, files.get)
    assert made.text is not None
    assert yaml.load(made.text, yaml.BaseLoader)["environment"] == {"venv": "sub/.venv"}


def test_srun_asks_for_a_job_where_no_line_does() -> None:
    found = spec(f"export NPROC_PER_NODE=2\nsrun -p gpu --gres=gpu:a100:2 -t 60 -c 8 {TRAIN}")
    assert found["backend"] == "slurm"
    assert found["slurm"] == {"partition": "gpu"}
    assert found["resources"] == {
        "nproc_per_node": "2",
        "gpu_type": "a100",
        "cpus_per_proc": "4",
        "time_limit": "01:00:00",
    }
    assert said(f"srun --mpi=pmix {TRAIN}", "error") == ["1: srun --mpi=pmix has no key in a spec"]


# --- other files ----------------------------------------------------------------------------------


def with_files(text: str, **files: str) -> Imported:
    """Files `a.sh`, … are in the working directory."""
    there = {f"/w/{name}.sh": body.encode() for name, body in files.items()}
    return import_script(text.encode(), PLACE, TABLE, None, there.get)


def test_lines_of_other_files_are_named() -> None:
    made = with_files(f"source a.sh\n{TRAIN} --model $M --seed $S", a="S=1\n\nM=$(date)\n")
    errors = [(p.file, p.line, p.message) for p in made.problems if p.severity == "error"]
    why = "$M, line 3 of a.sh: the output of $(date) is known only when it runs"
    assert errors == [("x.sh", 2, f"--model: {why}")]
    made = with_files("bash a.sh", a=f"# none\nset -o posix\n{TRAIN}")
    errors = [(p.file, p.line, p.message) for p in made.problems if p.severity == "error"]
    assert errors == [("a.sh", 2, "set with what is not followed")]


def test_a_file_beside_the_script_is_taken_with_a_note() -> None:
    place = Place(script="d/x.sh", cwd="/w", home="/home/me", real="/w/d/x.sh")
    text = f"source a.sh\n{TRAIN} --seed $S"
    made = import_script(text.encode(), place, TABLE, None, {"/w/d/a.sh": b"S=4"}.get)
    assert made.text is not None
    assert "seed: 4" in made.text
    assert any("a.sh is taken from the script's folder" in p.message for p in made.problems)


@pytest.mark.parametrize(
    "files",
    [
        {"a": "source a.sh"},
        {"a": "source b.sh", "b": "source a.sh\n" * 30},
        {"a": "source b.sh\n" * 40, "b": "source c.sh\n" * 40, "c": "source d.sh\n" * 40, "d": ""},
        {"a": "bash a.sh swift rlhf"},
        {"a": "eval 'source b.sh'", "b": "eval 'source a.sh'"},
        {"a": "f() { f; f; f; }; f"},
        {"a": "f() { bash b.sh; }; f", "b": "source a.sh; swift rlhf --x $NOWHERE"},
        {"a": "f() { g; g; }; g() { h; h; }; h() { f; }; f"},
    ],
)
def test_what_reads_itself_comes_to_an_end(files: dict[str, str]) -> None:
    made = with_files(f"source a.sh\n{TRAIN}", **files)
    assert made.text is None
    assert len(made.problems) < 100


def test_what_is_not_exported_does_not_reach_another_script() -> None:
    made = with_files(
        "A=1\nexport B=2\nbash a.sh 7", a=f'{TRAIN} --seed "$1" --beta ${{A:-0.5}} --epsilon $B'
    )
    assert made.text is not None, made.problems
    swift = yaml.load(made.text, yaml.BaseLoader)["swift"]
    assert (swift["seed"], swift["beta"], swift["epsilon"]) == ("7", "0.5", "2")


# --- what only the run knows ----------------------------------------------------------------------


def assuming(text: str, **values: str) -> Imported:
    values = {name.lstrip("_"): value for name, value in values.items()}
    return import_script(text.encode(), PLACE, TABLE, Wishes(assumed=values))


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("{T} --seed $S", {"S": "3"}, "seed: 3"),
        ("S=$(nproc); {T} --seed $S", {"S": "3"}, "seed: 3"),
        ('if [ -n "$S" ]; then S=4; fi; {T} --seed $S', {"S": "3"}, "seed: 4"),
        ("if grep -q x f; then S=4; fi; {T} --seed $S", {"S": "3"}, "seed: 3"),
        ("{T} --seed $1 --beta $2", {"_1": "3", "_2": "0.5"}, "beta: 0.5"),
        ("[ $# -lt 1 ] && exit 1; {T} --seed $1", {"_1": "3"}, "seed: 3"),
        ('if [ -f x ]; then A=(--seed 1); fi; {T} "${{A[@]}}"', {"A": "(--seed 2)"}, "seed: 2"),
        ('if [ -f x ]; then A=(--seed 1); fi; {T} --beta 1 "${{A[@]}}"', {"A": "()"}, "beta: 1"),
        ("S=${{S:-1}}; {T} --seed $S", {"S": "3"}, "seed: 3"),
        ("{T} --run_name $USER-$RANDOM", {"USER": "me", "RANDOM": "7"}, "run_name: me-7"),
    ],
)
def test_a_value_is_taken_as_the_user_says(text: str, values: dict[str, str], words: str) -> None:
    made = assuming(text.format(T=TRAIN), **values)
    assert made.text is not None, made.problems
    assert f"  {words}\n" in made.text
    assert not any("not needed" in problem.message for problem in made.problems)


def test_an_assumption_that_changes_nothing_is_told() -> None:
    made = assuming(f"S=1\n{TRAIN} --seed $S", S="2", OTHER="3")
    notes = [problem.message for problem in made.problems]
    assert "--assume S=… is not needed: the script sets it" in notes
    assert "--assume OTHER=… is not needed: the script does not ask" in notes


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{T} --seed $S", "--assume 'S=VALUE'"),
        ("N=$(nproc)\n{T} --seed $N", "--assume 'N=VALUE'"),
        ('if [ "$A" = x ]; then S=1; else S=2; fi\n{T} --seed $S', "--assume 'A=VALUE'"),
        ('if [ "$A" = x ]; then {T} --seed 1; else {T} --seed 2; fi', "--assume 'A=VALUE'"),
        ("M=${{M:-}}\nif [ -z $M ]; then exit 1; fi\n{T} --model $M", "--assume 'M=VALUE'"),
        ("if [ $# -lt 1 ]; then exit 1; fi\n{T} --seed $1", None),
        ('if [ -z "$1" ]; then exit 1; fi\n{T} --seed $1', "--assume '1=VALUE'"),
    ],
)
def test_a_refusal_says_which_names_it_needs(text: str, names: str | None) -> None:
    made = imported(text.format(T=TRAIN))
    assert made.text is None
    errors = [problem for problem in made.problems if problem.severity == "error"]
    assert names is None or any(names in (problem.hint or "") for problem in errors), errors


@pytest.mark.parametrize(
    ("check", "is_left_out"),
    [
        ('if [ ! -f "$D" ]; then echo "no $D"; exit 1; fi', True),
        ('[[ -f "$D" ]] || { echo none >&2; exit 1; }', True),
        ("[ ! -e $D ] && exit 1", True),
        ('if [ -f "$D" ]; then exit 1; fi', False),
        ('[[ -f "$D" ]] && exit 1', False),
        ("[[ ! -f other.jsonl ]] && exit 1", False),
        ('if [ ! -f "$D" ]; then python make.py; exit 1; fi', False),
    ],
)
def test_a_check_of_a_file_that_an_argument_names_is_superfluous(
    check: str, is_left_out: bool
) -> None:
    text = f"D=rows.jsonl\n{check}\n{TRAIN} --dataset $D"
    assert ("environment" not in spec(text)) == is_left_out
    assert any("`check` looks for rows.jsonl" in n for n in said(text, "note")) == is_left_out

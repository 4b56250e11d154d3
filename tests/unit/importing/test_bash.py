"""What bash does otherwise than it looks: computed as bash does, or refused; never guessed.

tests/local/test_import.py compares what is computed here with bash itself.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prl_submit.errors import PrlSubmitError
from prl_submit.importing import Imported, import_script
from prl_submit.importing.bash.scope import Place
from prl_submit.importing.secrets import literal_secrets, masked
from prl_submit.spec.write import write_spec
from prl_submit.swift.table import load_table

PLACE = Place(script="x.sh", cwd="/w", home="/home/me", real="/w/x.sh")
TABLE = load_table()
TRAIN = "swift rlhf --rlhf_type grpo --dataset"


def imported(text: str) -> Imported:
    return import_script(text.encode(), PLACE, TABLE)


def errors(text: str) -> list[str]:
    made = imported(text)
    found = [p.message for p in made.problems if p.severity == "error"]
    assert (made.text is None) == bool(found)
    return found


def spec(text: str) -> dict[str, Any]:
    found = imported(text)
    assert found.text is not None, found.problems
    tree: dict[str, Any] = yaml.load(found.text, yaml.BaseLoader)
    return tree


# --- secrets --------------------------------------------------------------------------------------

LEAKS = [
    "export HF_TOKEN=hf_secret1\nHF_TOKEN=hf_secret2 python download.py",
    'X_TOKEN=secret5\nif grep -q "$X_TOKEN" f; then echo; fi',
    "export HF_TOKEN=secret6 LR=$(date)",
    "python x.py --token secret7",
    "python x.py --api-key=secret7",
    "pip install --index-url https://me:secret8@h/x y",
    'cat >f <<EOF\n{"api_key": "secret9"}\nEOF',
    "export B_KEY=secret10\nexport C=$B_KEY-x",
    "A_TOKEN=secret13 bash x.sh )",
    'curl -H "Authorization: Bearer secret14" http://x',
    "if x; then export HF_TOKEN=secret15; fi",
    "f() { HF_TOKEN=secret16 y; }\nif x; then f; fi",
    "export HF_TOKEN=secret17; export HF_TOKEN=secret18; pip install $HF_TOKEN",
    "HF_TOKEN='secret 19' python serve.py &",
    "python x.py hf_secretsecretsecret20",
    "X_KEY=secret21; export Y=$X_KEY",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_refused_where_it_cannot_stay_outside(text: str) -> None:
    found = imported(f"{text}\n{TRAIN} d")
    assert found.text is None
    for problem in found.problems:
        assert not re.search(r"secret ?\d", problem.message)


@pytest.mark.parametrize(
    ("text", "setup"),
    [
        (
            "HF_TOKEN=hf_secret4\nexport HF_TOKEN\npip install x $HF_TOKEN",
            ["pip install x $HF_TOKEN"],
        ),
        (
            "export HF_TOKEN=${HF_TOKEN:-hf_secret}\npip install $HF_TOKEN",
            ["pip install $HF_TOKEN"],
        ),
        ("export HF_TOKEN=hf_secret", None),
        ("HF_TOKEN=hf_secret\nexport HF_TOKEN", None),
    ],
)
def test_a_secret_is_named_where_that_is_exact(text: str, setup: list[str] | None) -> None:
    found = imported(f"{text}\n{TRAIN} d")
    assert "hf_secret" not in f"{found.text}{found.problems}"
    environment = spec(f"{text}\n{TRAIN} d")["environment"]
    assert environment["secrets"] == ["HF_TOKEN"]
    assert environment.get("setup") == setup


def test_a_secret_that_is_not_written_out_is_none() -> None:
    text = "export HF_TOKEN=$(cat ~/.token)"
    assert spec(f"{text}\n{TRAIN} d")["environment"]["setup"] == [text]
    for harmless in ("python x.py --eos_token x --token $T", 'T_KEY="$A" b', "max_tokens=5 x"):
        assert not literal_secrets(harmless)


def test_messages_hide_them() -> None:
    text = masked("'A_TOKEN=abc x' and --token 'q r' https://u:pw@h abcdef", {"abcdef"})
    assert text == "'A_TOKEN=… x' and --token … https://u:…@h …"
    assert masked("--hub_token is a credential", set()) == "--hub_token is a credential"


# --- YAML -----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("01,.eE-+[]{}: #'ab")), min_size=1, max_size=4))
def test_lists_are_read_back(items: list[str]) -> None:
    text = write_spec({"swift": {"a": list(items)}}, "made by a test")
    assert yaml.load(text, yaml.BaseLoader) == {"swift": {"a": items}}


def test_commas_in_arguments() -> None:
    found = spec(f"{TRAIN} 1,2 3,4 --reward_weights 1, 2")
    assert found["swift"]["dataset"] == ["1,2", "3,4"]
    assert found["swift"]["reward_weights"] == ["1,", "2"]


def test_a_fault_of_the_writer_is_no_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "prl_submit.importing.translate.write_spec", lambda tree, comment, comments: "name: [1,2]\n"
    )
    with pytest.raises(PrlSubmitError, match="reads back"):
        imported(f"{TRAIN} d")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # b: && assumes nothing
        ("B=1; which nosuch && B=9; T $B", "it is set inside `&&`"),
        ("B=1; test $B = $C && B=9; T $B", "it is set inside `&&`"),
        ("B=1; grep -q zzz f && B=9; T $B", "it is set inside `&&`"),
        ("command -v nvcc && export B=1; T $B", "it is set inside `&&`"),
        ("A=$(false) && B=2; T ${B:-q}", "it is set inside `&&`"),
        ("echo x > /nosuch && B=2; T ${B:-q}", "it is set inside `&&`"),
        ("false && T x", "no `swift rlhf` is started"),
        ("cd nosuch || true; T x", "cd inside"),
        # c: the background
        ("A=0; A=1 & T $A", "runs in the background"),
        ("export A=1 & T x", "runs in the background"),
        ("{ A=1; } & T x", "runs in the background"),
        ("A=1 && B=2 & T x", "runs in the background"),
        # d: arithmetic that sets
        *(
            (f"B=1; {text}; T $B", "$B, line 1")
            for text in (
                *("((B++))", "((B+=2))", "let B=B+1", "let 'B=3'", "let B++", "echo $((B++))"),
                *(": $((B=7))", "true $[B=7]", "if x; then ((B=5)); fi", ": $((--B))"),
                *("for ((B=0;B<2;B++)); do :; done", "A=(1 2); echo ${A[B++]}", "A[B++]=5"),
                *("echo $(date)${B:+x}$((B++))", "cat <<EOF\n$((B++))\nEOF\n:"),
            )
        ),
        # e: builtins in other spellings
        *(
            (f"B=0; {text}; T ${{B:-q}}", "not followed in this spelling")
            for text in (
                *("\\export B=7", '"export" B=7', "command export B=7", "builtin export B=7"),
                *("C=export; $C B=7", "\\unset B", "command unset B", "command eval B=5"),
                *("time B=5", "command cd sub", "builtin read B"),
            )
        ),
        ('B=0; "let" B=5; T $B', "let sets it"),
        ("B=0; printf -vB x; T $B", "printf sets it"),
        ('B=0; printf -v "B" x; T $B', "printf sets it"),
        ("wait -p B; T $B", "wait sets it"),
        ("read < f; T $REPLY", "read sets it"),
        ('mapfile -t < f; T "${MAPFILE[@]-n}"', "mapfile sets it"),
        ("N=B; printf -v $N x; T a", "a variable whose name is computed"),
        ("N=B; unset $N; T a", "the name of a variable is computed"),
        ("A=(a b); unset 'A[1]'; T \"${A[@]}\"", "one element of an array is unset"),
        ("if x; then \\export B=7; fi; T a", "\\export inside `if`"),
        ("C=export; if x; then $C B=7; fi; T a", "$C inside `if`"),
        ("if x; then $NOBODY B=7; fi; T a", "$NOBODY inside `if`"),
        ("if x; then command export B=7; fi; T $B", "set inside `if`"),
        ("N=B; if x; then read $N; fi; T a", "a computed name inside `if`"),
        ("if x; then set -- a; fi; T a", "set -- inside `if`"),
        ("if x; then shopt -s nocasematch; fi; T a", "shopt -s inside `if`"),
        ("coproc B=5; T a", "coproc"),
        # f: IFS
        ('IFS=,; A=(a b); T "${A[*]}"', "changes IFS"),
        ('IFS=,; set -- a b; T "$*"', "changes IFS"),
        ('IFS=,; A=(a b); B="${A[*]}"; T "$B"', "changes IFS"),
        # g: the items of an array that is not known
        ('A[1]=b; A=c; T "${A[@]}"', "the items of A are not known"),
        # i, j: functions
        ('swift() { command swift "$@" --more; }; T a', "swift is a function here"),
        ("echo() { :; }; T $(echo x)", "echo is a function here"),
        ("if x; then cd() { :; }; fi; T a", "cd is a function here"),
        ("f() { B=5; }; [ -f x ] && f; T ${B:-q}", "it is set inside `&&`"),
        ("g() { B=5; }; f() { g; }; if x; then f; fi; T ${B:-q}", "it is set inside `if`"),
        ("f() { cd /x; }; if x; then f; fi; T a", "cd inside `if`"),
        # k: unknown defaults
        ("echo $(date)${B:=3}; T ${B:-none}", "the shell computes it"),
        # l, m, n
        ("readonly A=1; A=2; T $A", "A is readonly since line 1"),
        ("declare -r A=1; unset A; T ${A:-q}", "A is readonly since line 1"),
        ("readonly A=1; A=2 T a", "A is readonly since line 1"),
        ("readonly A=1; if x; then A=2; fi; T a", "A is readonly since line 1"),
        ("local A=1; T a", "local outside a function"),
        ("set -k; T a B=1", "set with what is not followed"),
        ("set -o keyword; T a", "set with what is not followed"),
        ("set -- a; mkdir $1; T a", "reads the script's own arguments"),
        # p, q, r
        ("T $(expr 1+2)", "the output of $(expr 1+2)"),
        ("T $(expr - 3)", "the output of"),
        ("T a {fd}>log", "{NAME}> opens a file"),
        ("CDPATH=/usr; cd bin; T a", "CDPATH is set"),
        ("CDPATH=/usr cd bin; T a", "CDPATH is set"),
        ("shopt -s cdable_vars; T a", "shopt with what is not followed"),
        ("shopt -s nocasematch; T a", "shopt with what is not followed"),
        # s, t
        ("cd sub; export D=$PWD; cd ..; T a", "runs in another folder"),
        ("T \"${Z:-$'a\\tb'}\"", "in braces in double quotes"),
        # w, x, y
        ("srun --export=NONE torchrun -m swift.cli.rlhf --rlhf_type grpo", "srun --export=NONE"),
        ("srun --export=A=1 torchrun -m swift.cli.rlhf --rlhf_type grpo", "srun --export=A=1"),
        ('L=(a b); T d > "${L[@]}"', "is not one file"),
        ("A='x y'; T d 2> $A", "is not one file"),
        ("B=x; T ${B% >\\}", "without matching `${`"),
        # where the grammar and bash do not agree
        ("T a\n\\\n2 b", "runs behind the training: 2 b"),
        ("T a >\n--x", "`>` must be followed by a word"),
        ("T a\v", "holds a control character, 0x0b"),
        # 16: what ends the job quietly
        ("if [ -d out ]; then exit 0; fi\nT a", "`exit 0` inside `if`"),
        ("[ $HOSTNAME = x ] && exit 0\nT a", "`exit 0` inside"),
        ("[ -d a ] || { echo b; exit; }\nT a", "`exit` inside"),
        ("f() { exit 0; }\nif x; then f; fi\nT a", "`exit 0` inside"),
        ("cd x || exit 0\nT a", "inside"),
        ("if x; then return 1; exit $?; fi\nT a", "`exit $?` inside"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    found = errors(text.replace("T ", f"{TRAIN} "))
    assert any(why in message for message in found), found


# --- what is exact --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dataset"),
    [
        ('A=(a b); A=c; T "${A[@]}"', ["c", "b"]),
        ("echo ${B:=3} | tee /dev/null; T ${B:-none}", "none"),
        ("A=$(echo ${B:=5}); T $A ${B:-none}", ["5", "none"]),
        ("set pipefail; T $1", "pipefail"),
        ("set -e a b; T $2", "b"),
        ("set -- a; set -; T $1", "a"),
        ('A=(""); T "${A[@]:-z}"', "z"),
        ('A=(); T "${A[@]+x}" y', "y"),
        ("T ${@+w} x", "x"),
        ('set -- ""; T "${@:-z}"', "z"),
        ('A=(a "b c"); T "${A[@]:-z}" "${A[@]:+x}"', ["a", "b c", "x"]),
        ("T d >}\\%", "d"),
        ('T d >"b"\u00a0', "d"),
        ("T a\\\nb", "ab"),
        ("A=5; export A=1; LR=2 python prep.py; T $A", "1"),
        ("export LR=1\nLR=2 python prep.py\nT $LR", "1"),
        ("IFS=$' \\t\\n'; A=(a b); T \"${A[*]}\"", "a b"),
        ("mkdir -p out && B=3; T $B", "3"),
        ("T $(expr 6 / 2 '*' 3)", "9"),
        ("./set a b; T x", "x"),
        ("f() { A=2; }; unset -f f; A=1; T $A", "1"),
        ("HOME=/q; T ~/x", "/q/x"),
    ],
)
def test_what_is_computed(text: str, dataset: object) -> None:
    assert spec(text.replace("T ", f"{TRAIN} "))["swift"]["dataset"] == dataset


def test_prefix_assignments_see_each_other() -> None:
    found = spec(f"NPROC=8\nNPROC=4 NPROC_PER_NODE=$NPROC {TRAIN} d")
    assert found["resources"]["nproc_per_node"] == "4"


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("PATH=/x:$PATH\n", {"setup": ["PATH=/x:$PATH"]}),
        ("LANG=de\n", {"setup": ["LANG=de"]}),
        ("HOME=/q\n", {"env": {"HOME": "/q"}}),
        ("MY_OWN=1\n", {}),
        ("HF_TOKEN=hf_abc\n", {}),
        (
            "export B=1\nexport A=$(date)$B\nexport B=2\n",
            {"setup": ["export B=1", "export A=$(date)$B", "export B=2"], "env": {"B": "2"}},
        ),
        (
            "export A=$(date)${B:-x}\nexport B=2\n",
            {"setup": ["export A=$(date)${B:-x}", "export B=2"]},
        ),
        (
            "export A=$(date)${B:-x}\nB=2 ",
            {"setup": ["export A=$(date)${B:-x}", "export B=2"]},
        ),
        (
            "export B=1\nexport A=$(date)$B\nunset B\n",
            {"setup": ["export B=1", "export A=$(date)$B", "unset B"]},
        ),
        (": ${M:?need}\n", {"setup": [": ${M:?need}"]}),
        ("A=${M:?need}\n", {"setup": ["A=${M:?need}"]}),
        ("M=1; : ${M:?need}\n", {}),
        ("which x || exit 1\n", {"setup": ["which x || exit 1"]}),
        ("[ -d a ] || exit\n", {"setup": ["[ -d a ] || exit"]}),
        ("pip install x && ", {"setup": ["pip install x"]}),
    ],
)
def test_the_environment(text: str, environment: dict[str, object]) -> None:
    assert spec(f"{text}{TRAIN} d").get("environment", {}) == environment


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=(a b)\n" + 'A=("${A[@]}" "${A[@]}")\n' * 28 + 'T "${A[@]}"', "more than 10,000 items"),
        ("A=(a b)\n" + f"A=({'${A[@]} ' * 6_000})\n" * 2 + 'T "${A[@]}"', "more than 10,000"),
        ("A=1\n" * 20_000 + "T d", "more than 20,000"),
        ("{ " + "A=1; " * 20_001 + "}\nT d", "more than 20,000"),
        ("".join(f"f{i}() {{ :; }}\n" for i in range(101)) + "T d", "more than 100 functions"),
    ],
)
def test_what_grows_without_an_end_is_refused(text: str, why: str) -> None:
    found = errors(text.replace("T ", f"{TRAIN} "))
    assert any(why in message for message in found), found


@pytest.mark.parametrize(
    "text",
    [
        "mkdir -p $A; A=1\n" * 1500,
        "mkdir -p $A; export A=1\n" * 1500,
        "ls --" + "a-" * 100_000,
        "ls " + "{" * 100_000,
        "ls " + "a" * 300_000,
        "ls " + "${A[" * 10_000,
    ],
)
def test_time_grows_with_the_script_alone(text: str) -> None:
    begun = time.process_time()
    imported(f"{text}\n{TRAIN} d")
    assert time.process_time() - begun < 20  # it was minutes

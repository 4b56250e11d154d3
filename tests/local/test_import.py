"""prl-submit import against bash itself: what a script runs is what its spec runs.

Each script in tests/importing/scripts is run by real bash, with programs on PATH that only write
down how they were called; then it is imported, checked, and its launch.sh is run the same way.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from prl_submit.cli import main
from prl_submit.importing import import_script
from prl_submit.importing.bash.expand import expand_fields
from prl_submit.importing.bash.scope import Field, UnknownError
from prl_submit.importing.bash.scope import Place as ScriptPlace
from prl_submit.importing.bash.statements import read_script
from prl_submit.launch.render import render_library
from prl_submit.spec.scalars import parse_bool
from prl_submit.swift.renames import RENAMED
from prl_submit.swift.table import load_table
from tests.support.script_values import judged, printed, words_scope

PLUGIN = Path(__file__).parents[2] / "jobs" / "plugins" / "prl_rewards.py"
SCRIPTS = Path(__file__).parents[1] / "importing" / "scripts"
#: What some of them read in, or hand over to.
BESIDE = Path(__file__).parents[1] / "importing" / "beside"
#: The training of all stand-ins: how it was called, and in what.
RECORDER = r"""#!/bin/bash
printf '%s\0' "${0##*/}" "$@" >"$RECORD/argv"
env -0 >"$RECORD/env"
for word in "$@"; do
  [[ ${last-} != --output_dir ]] || mkdir -p "$word"
  last=$word
done
exit 0
"""
#: Programs that start the training, or get out of its way.
PROGRAMS = {
    "swift": RECORDER,
    "torchrun": RECORDER,
    "python": '#!/bin/bash\n[[ $1 == -V ]] || exec -a "$0" bash "${BASH_SOURCE%/*}/.recorder" python "$@"',
    "srun": '#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n',
    "conda": "#!/bin/bash\nwhile [[ $1 == run || $1 == -* || $1 == prl_clean ]]; do shift; done\n"
    '[[ $1 == shell.bash ]] || exec "$@"\n',
    "pip": "#!/bin/bash\n",
    "numactl": '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -m ]] && shift; shift; done\nexec "$@"\n',
    "uv": '#!/bin/bash\nwhile [[ $1 == run || $1 == -* || $1 == train ]]; do shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\necho host1\n",
}
#: What each script may find in its folder.
FILES = (
    "data/mr_train.jsonl",
    "data/mr_val.jsonl",
    "数据/训练.jsonl",
    "plugins/prl_rewards.py",
    "models/tiny/config.json",
    "模型/小模型/config.json",
    "home/models/tiny/config.json",
    "project/keep",
    "stamp.txt",
    "prompt.txt",
)
#: What `check` looks into must be what it seems.
CONTENTS = {
    ".jsonl": '{"messages": [{"role": "user", "content": "one"}], "solution": "1", '
    '"sentences": ["a"], "labels": ["b"]}\n' * 64,
    ".json": "{}\n",
}
#: Ours, the launcher's and the shell's; not the script's.
NOT_COMPARED = re.compile(
    r"_|_STDBUF_.*|LD_PRELOAD|SHLVL|OLDPWD|RECORD|BASH_FUNC_.*|CONDA_.*|VIRTUAL_ENV|PYTHONUTF8|PRL_SUBMIT_.*|PET_.*|PRL_PREFLIGHT"
    r"|TORCH_ELASTIC_SHUTDOWN_TIMEOUT|NPROC_PER_NODE|NNODES|NODE_RANK|MASTER_ADDR|MASTER_PORT|SLURM_.*"
)


class Ran(NamedTuple):
    """A training as its stand-in saw it."""

    argv: list[str]
    env: dict[str, str]

    @property
    def own(self) -> dict[str, str]:
        """The variables that the script, or the spec, gave it."""
        return {k: v for k, v in self.env.items() if not NOT_COMPARED.fullmatch(k)}


class Place:
    """A working directory with everything the scripts name, and bash in it."""

    def __init__(self, root: Path, prl: Callable[..., Any]) -> None:
        self.root = root
        self.prl = prl
        self.home = root / "home"
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(CONTENTS.get(Path(name).suffix, "one\n"))
        shutil.copy(PLUGIN, root / "plugins" / "prl_rewards.py")
        (root / "record").mkdir()
        self._write_programs()
        self.environ = {
            "PATH": f"{root}/programs:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "RECORD": str(root / "record"),
            "BASH_FUNC_module%%": "() { :; }",
            "PRL_PREFLIGHT": "off",
            "SLURM_NNODES": "2",
            "SLURM_NODEID": "0",
            "SLURM_JOB_NODELIST": "host[1-2]",
        }

    def _write_programs(self) -> None:
        folder = self.root / "programs"
        folder.mkdir()
        for name, text in {
            **PROGRAMS,
            "python3": PROGRAMS["python"],
            ".recorder": RECORDER,
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        conda = self.home / "miniconda3" / "etc" / "profile.d" / "conda.sh"
        for file in (conda, self.root / "venv" / "bin" / "activate", self.home / ".bashrc"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("conda() { :; }\n")

    def put(self, name: str) -> Path:
        """A script in a folder of its own, called from above."""
        shutil.copytree(BESIDE, self.root / "scripts", dirs_exist_ok=True)
        return Path(shutil.copy(SCRIPTS / name, self.root / "scripts" / name))

    def bash(self, file: Path, **environ: str) -> Ran:
        """What `bash file` makes the training see."""
        record = self.root / "record"
        for name in ("argv", "env"):
            (record / name).unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", file.relative_to(self.root)],
            cwd=self.root,
            env=self.environ | environ,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert (record / "argv").exists(), done.stderr.decode() + self._log()
        words = (record / "argv").read_bytes().decode().split("\0")[:-1]
        lines = (record / "env").read_bytes().decode().split("\0")[:-1]
        return Ran(words, dict(line.split("=", 1) for line in lines))

    def _log(self) -> str:
        logs = self.root.glob("**/logs/node0.log")
        return "".join(log.read_text(errors="replace") for log in logs)


class Said(NamedTuple):
    """What prl-submit printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Place:
    """A place, and prl-submit called in this process: 40 scripts are many starts of Python."""

    def prl(*words: object, **environ: str) -> Said:
        capfdbinary.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name in os.environ:
                patch.delenv(name)
            for name, value in {**here.environ, "PWD": str(tmp_path), **environ}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main([str(word) for word in words])
        said = capfdbinary.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, said.out.decode(), said.err.decode())

    here = Place(tmp_path, prl)
    return here


def plan_of(place: Place, spec: str, **environ: str) -> Any:
    """What a spec decides, in the place's environment."""
    from prl_submit.prepare import plan_spec

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        for name in list(os.environ):
            if name.startswith("PRL_"):
                patch.delenv(name)
        patch.setenv("HOME", str(place.home))
        for name, value in environ.items():
            patch.setenv(name, value)
        planned = plan_spec(spec, backend=None, sets=(), profile=None, output_root=None)
        return planned.plan


# --- what the notes announce: the only differences there may be -----------------------------------

TABLE = load_table()
NEVER_PASSED = ("output_dir", "add_version", "use_lmdeploy")


def grouped(words: list[str]) -> dict[str, list[str]]:
    """Arguments by today's name, as argparse takes them: the last of each, in their order."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word[:2] == "--" and " " not in word.partition("=")[0]:
            name, sign, value = word[2:].partition("=")
            name = RENAMED.get(name, name.replace("-", "_"))
            found.pop(name, None)
            found[name] = [value] if sign else []
        else:
            found[name].append(word)
    return found


def normal(words: list[str], processes: int) -> dict[str, list[object]]:
    """The words of a script or of a plan, in one form."""
    found = grouped(words)
    workers = found.pop("num_infer_workers", None)
    if workers == [str(processes)] and "vllm_mode" not in found:
        found["vllm_mode"] = ["colocate"]
    return {
        name: [_value(name, value) for value in values or ["true"]]
        for name, values in found.items()
        if name not in NEVER_PASSED
    }


def _value(name: str, text: str) -> object:
    """Numbers by their value, switches by their meaning; all else to the letter."""
    if name in TABLE and TABLE[name].kind == "bool":
        return parse_bool(text)
    try:
        return float(text)
    except ValueError:
        return text


def training(ran: Ran) -> tuple[int, list[str]]:
    """How many processes were started on a node, and ms-swift's own words."""
    program, *words = ran.argv
    processes = 1
    if program == "swift":
        assert words.pop(0) == "rlhf"
        processes = int(ran.env.get("NPROC_PER_NODE", "1"))
    else:
        text = " ".join(words)
        count = re.search(r"--nproc[-_]per[-_]node[= ](\d+)", text)
        processes = int(count[1]) if count else 1
        entry = next(
            i for i, word in enumerate(words) if word in ("swift.cli.rlhf", "swift/cli/rlhf.py")
        )
        words = words[entry + 1 :]
    return processes, words


def assert_same_words(script: Ran, argv: list[str]) -> None:
    """A plan's argv does what the script's training did."""
    processes, words = training(script)
    ours, own = training(Ran(argv, {}))
    assert ours == processes
    assert normal(own, processes) == normal(words, processes)
    kept = [name for name in normal(words, processes) if name != "vllm_mode"]
    assert [name for name in normal(own, processes) if name != "vllm_mode"] == kept  # in its order


def overrides(script: Path) -> dict[str, str]:
    """`# PRL: A=1 B=2`: variables that change the script, for a second comparison."""
    match = re.search(r"^# PRL: (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(pair.split("=", 1) for pair in match[1].split()) if match else {}


NAMES = sorted(path.name for path in SCRIPTS.glob("*.sh"))
OF_SLURM = [name for name in NAMES if name.startswith("slurm")]
SECRETS = {"WANDB_API_KEY": "0123456789abcdef", "HF_TOKEN": "hf_x"}


def test_there_are_many_styles() -> None:
    styles = set()
    for path in SCRIPTS.glob("*.sh"):
        match = re.search(r"^# style: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert match, path
        styles.add(match[1])
    assert len(styles) == len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_runs_what_its_script_runs(place: Place, name: str) -> None:
    """The words, the variables, the working directory; and again with PRL_* set for both."""
    script = place.put(name)
    ran = place.bash(script)
    said = place.prl("import", "scripts/" + name)
    assert said.code == 0, said.err
    (place.root / "job.yaml").write_text(said.out, encoding="utf-8")
    checked = place.prl("check", "job.yaml", **SECRETS)
    assert checked.code == 0, checked.err
    assert_same_words(ran, plan_of(place, "job.yaml").argv)
    if name not in OF_SLURM:
        compare_launch(place, ran)
    if over := overrides(script):
        again = place.bash(script, **over)
        assert again.argv != ran.argv
        assert_same_words(again, plan_of(place, "job.yaml", **over).argv)


def compare_launch(place: Place, ran: Ran) -> None:
    """launch.sh, run by bash, gives the training what the script gave it."""
    rendered = place.prl("render", "job.yaml", **SECRETS)
    assert rendered.code == 0, rendered.err
    run = place.root / "run"
    run.mkdir()
    text = re.sub(r"^prl_run_dir=.*$", f"prl_run_dir={run}", rendered.out, flags=re.MULTILINE)
    (run / "launch.sh").write_text(text, encoding="utf-8")
    (run / "launch.lib.sh").write_text(render_library(), encoding="utf-8")
    launched = place.bash(run / "launch.sh", **SECRETS)
    assert_same_words(ran, launched.argv)
    secret = set(SECRETS) - set(ran.own)
    ours = {name: value for name, value in launched.own.items() if name not in secret}
    assert ours == ran.own


def test_notes_are_on_stderr_and_the_spec_alone_on_stdout(place: Place) -> None:
    place.put("prl_variables.sh")
    said = place.prl("import", "scripts/prl_variables.sh", "--name", "mr-again")
    assert said.code == 0
    assert said.out.startswith(
        "# made by prl-submit import from prl_variables.sh\nname: mr-again\n"
    )
    notes = said.err.splitlines()
    assert "note: scripts/prl_variables.sh:39: --train_type is tuner_type today" in notes
    message = "the default of DATASET is written down; DATASET no longer changes it"
    assert f"note: scripts/prl_variables.sh:32: {message}" in notes
    assert "hint: use PRL_DATASET or --set swift.dataset=VALUE" in notes


def test_the_spec_into_a_file(place: Place) -> None:
    place.put("exports.sh")
    said = place.prl("import", "scripts/exports.sh", "-o", "exports.yaml")
    assert (said.code, said.out) == (0, "")
    assert (place.root / "exports.yaml").read_text().startswith("# made by")
    again = place.prl("import", "scripts/exports.sh", "-o", "exports.yaml")
    assert again.code == 2
    assert "is there already" in again.err


def test_no_secret_in_a_spec(place: Place) -> None:
    place.put("secrets.sh")
    said = place.prl("import", "scripts/secrets.sh")
    assert "secrets: [WANDB_API_KEY, HF_TOKEN]" in said.out
    for value in SECRETS.values():
        assert value not in said.out + said.err


@pytest.mark.parametrize("words", [["nowhere.sh"], ["data"], [], ["x.sh", "--name", "Not Valid"]])
def test_what_cannot_be_read_or_is_no_command_line(place: Place, words: list[str]) -> None:
    said = place.prl("import", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")


def test_as_a_program_of_its_own(place: Place) -> None:
    """Started as users start it, with nothing of the tests in the process."""
    place.put("chinese.sh")
    done = subprocess.run(
        [sys.executable, "-m", "prl_submit", "import", "scripts/chinese.sh"],
        cwd=place.root,
        env=place.environ | {"LANG": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "你是一位影评人：请用“中文”回答。" in done.stdout.decode()


# --- words ----------------------------------------------------------------------------------------

#: What words are made of. No `;`, `&`, `<` or `(` outside quotes: a word is to be one.
PIECES = (
    *(
        "a",
        "b c",
        "'",
        '"',
        "\\",
        "\\\n",
        "$X",
        "${X}",
        '"$X"',
        "$E",
        '"$E"',
        "${A[@]}",
        '"${A[@]}"',
    ),
    *(
        "${X:-d}",
        "${U:-d e}",
        '"${U:-d e}"',
        "${U:-'d e'}",
        "${E:-$X}",
        "${E-x}",
        "${P##*/}",
        "${P%.*}",
    ),
    *(
        "${P//\\//_}",
        "$((N*2-3))",
        "$'a\\tb'",
        "~",
        "/",
        "=",
        "x=",
        ":",
        "#",
        " ",
        "  ",
        "\t",
        "-",
        "--y",
    ),
    *(
        "雨",
        "😂",
        "{",
        "}",
        ",",
        "[",
        "]",
        "*",
        "!",
        "%",
        "^",
        "$",
        "'$X'",
        "\\$",
        "\\'",
        '\\"',
        "''",
        '""',
    ),
    *(
        "${A[1]}",
        "${#A[@]}",
        "${X:+y z}",
        '"a\\\nb"',
        "$(basename $P)",
        "$(expr 3 \\* $N)",
        "`echo a`",
    ),
)
ASKED = r"""
X='a  b'; E=; A=('one two' three ''); P=org/sub/name.gz; N=7
while IFS= read -r -d '' word; do
  set --
  if eval "set -- $word" 2>/dev/null; then printf 'ok\0%d\0' "$#"; for w in "$@"; do printf '%s\0' "$w"; done
  else printf 'bad\0'; fi
done
"""


def asked(script: str, texts: list[str], folder: Path) -> Iterator[str]:
    """What one bash says of all texts, each handed to it with a NUL behind."""
    done = subprocess.run(
        ["bash", "-c", script],
        input="".join(f"{text}\0" for text in texts).encode(),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/me", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    return iter(done.stdout.decode().split("\0"))


def test_words_are_bashs_own(tmp_path: Path) -> None:
    """1000 generated words: where both know what a word is, it is the same."""
    seeded = random.Random(20261126)
    texts = ["".join(seeded.choices(PIECES, k=seeded.randint(1, 6))) for _ in range(1000)]
    texts = [text for text in texts if not text.endswith("\\")]  # which ends in the next line
    answers = asked(ASKED, texts, tmp_path)
    compared = 0
    for text in texts:
        wanted = None
        if next(answers) == "ok":
            wanted = [next(answers) for _ in range(int(next(answers)))]
        found = ours(text)
        if wanted is not None and found is not None:
            assert found == wanted, text
            compared += 1
    assert compared > 330


def ours(text: str) -> list[str] | None:
    """The words of a command's arguments; None where they are refused."""
    scope = words_scope()
    statements, problems = read_script(f"x {text}\n".encode(), "x.sh")
    if problems or len(statements) != 1 or statements[0].command is None or statements[0].redirects:
        return None
    try:
        given = [f for word in statements[0].command.words[1:] for f in expand_fields(word, scope)]
    except UnknownError:
        return None
    return [word.text for word in given if isinstance(word, Field)]


# --- conditions -----------------------------------------------------------------------------------

OPERANDS = (
    *(
        "a",
        "b",
        "''",
        '""',
        "$X",
        '"$X"',
        "${X}",
        "$E",
        '"$E"',
        "$N",
        '"$N"',
        "7",
        "-3",
        "007",
        "x*",
    ),
    *("$P", "a*", "*b", "'a*'", "?", '"a  b"', "$U", "${U:-}", "${U:-d}", '"${A[@]}"', "${#A[@]}"),
    *(
        "${A[1]}",
        "!",
        "(",
        ")",
        "-n",
        "-a",
        "-z",
        "=",
        "$((N+1))",
        "$#",
        "$1",
        "^[0-9]+$",
        "org/.*",
    ),
    *("${P##*/}", "[a]", "\\*", "true", "$(echo a)", "-f", "~"),
)
UNARY = ("-z", "-n", "! -z", "! -n", "!", "")
BINARY = ("=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-a", "-o", "=~", "<")
JUDGED = r"""
X='a  b'; E=; A=('one two' three ''); P=org/sub/name.gz; N=7
while IFS= read -r -d '' text; do
  set --
  (  # after a syntax error in [[, bash misreads the next one
    eval "test_it() { $text
    }" 2>/dev/null || exit 9
    test_it 2>/tmp/import-said; code=$?
    [[ -s /tmp/import-said ]] && exit 9
    exit "$code"
  )
  printf '%d\0' "$?"
done
"""


def condition(seeded: random.Random) -> str:
    """A condition as one might write it, or not."""

    def simple() -> str:
        if seeded.random() < 0.4:
            return f"{seeded.choice(UNARY)} {seeded.choice(OPERANDS)}"
        return f"{seeded.choice(OPERANDS)} {seeded.choice(BINARY)} {seeded.choice(OPERANDS)}"

    kind = seeded.random()
    if kind < 0.45:
        joints = ("&&", "||", "&& !", "|| (", ") &&")
        inner = f" {seeded.choice(joints)} ".join(simple() for _ in range(seeded.randint(1, 3)))
        return f"[[ {inner} ]]"
    if kind < 0.9:
        inner = f" {seeded.choice(('-a', '-o'))} ".join(
            simple() for _ in range(seeded.randint(1, 2))
        )
        return f"[ {inner} ]" if seeded.random() < 0.8 else f"test {inner}"
    numbers = ("N", "$N", "3", "${#A[@]}", "N * 2", "(N - 7)", "0", "!N")
    operators = ("<", ">", "==", "&&", "||", "%", "!=", "<=", "?1:")
    return f"(( {seeded.choice(numbers)} {seeded.choice(operators)} {seeded.choice(numbers)} ))"


def test_conditions_are_bashs_own(tmp_path: Path) -> None:
    """1300 generated conditions: where both know the outcome, it is the same."""
    seeded = random.Random(20261130)
    texts = [condition(seeded) for _ in range(1300)]
    script = JUDGED.replace("/tmp/import-said", str(tmp_path / "said"))
    answers = asked(script, texts, tmp_path)
    compared = 0
    for text in texts:
        code, found = next(answers), judged(text)
        if found is not None:
            assert code in ("0", "1"), (text, code, found)
            assert found == (code == "0"), text
            compared += 1
    assert compared > 260


# --- `$(…)` ---------------------------------------------------------------------------------------

SOURCES = (
    *(
        "echo a,b,c",
        "echo",
        "echo 'A  b'",
        "echo $X",
        'echo "$X"',
        "printf '%s' a/b/c",
        "echo ,a,,b,",
    ),
    *("printf 'x-%s_%d\\n' a 3", "seq 3", "seq -s, 0 3", "seq 2 1", "basename $P", "dirname $P"),
    *(
        "echo 1 2 3 | tr ' ' '\\n'",
        "echo Qwen/Qwen2.5-7B",
        "expr 3 + 4",
        "echo 8 / 3 '*' 2",
        "echo a:b=c-d",
    ),
)
STEPS = (
    *(
        "tr ',' '\\n'",
        "tr , ' '",
        "tr A-Z a-z",
        "tr '[:upper:]' '[:lower:]'",
        "tr -d ,",
        "tr / _",
        "tr -d '\\n'",
    ),
    *(
        "wc -l",
        "wc -w",
        "wc -c",
        "cut -d, -f2",
        "cut -d',' -f1",
        "cut -d/ -f3",
        "cut -f 1 -d ' '",
        "cut -d- -f9",
    ),
    *(
        "awk -F, '{print NF}'",
        "awk '{print NF}'",
        "awk '{print $2}'",
        "awk -F/ '{print $NF}'",
        "awk -F: '{print $1}'",
    ),
    *(
        "grep -o ,",
        "grep -o b",
        "sed 's/,/ /g'",
        "sed 's/\\//_/g'",
        "sed 's|/|-|'",
        "sed 's/\\.//g'",
        "sed 's#-#.#'",
    ),
    *(
        "head -1",
        "head -n 2",
        "tail -1",
        "tail -n 1",
        "xargs",
        "cat",
        "rev",
        "bc",
        "tr abc xy",
        "tr -s ,",
        "sort",
    ),
)


def test_outputs_are_the_programs_own(tmp_path: Path) -> None:
    """700 generated pipes: where the output is known, it is what the programs print."""
    seeded = random.Random(20261130)
    texts = [
        " | ".join([seeded.choice(SOURCES), *seeded.choices(STEPS, k=seeded.randint(0, 3))])
        for _ in range(700)
    ]
    texts += [f"{step} <<< {text}" for step in STEPS for text in ("a,b", "'a b/c'", '"$X"', "''")]
    texts += [f"[ {a} = b ] && echo yes || echo no" for a in ("a", "b", "$E", "$X")]
    script = r"""
X='a  b'; E=; A=('one two' three ''); P=org/sub/name.gz; N=7
while IFS= read -r -d '' text; do eval "found=\$($text)" 2>/dev/null; printf '%s\0' "$found"; done
"""
    answers = asked(script, texts, tmp_path)
    compared = 0
    for text in texts:
        wanted, scope = next(answers), words_scope()
        try:
            found = printed(text, scope)
        except UnknownError:
            continue
        assert found == wanted, text
        compared += 1
    assert compared > 280


READINGS = (
    "IFS=, read -ra A <<< '0,1,2'",
    "IFS=',' read -r -a A <<< 'a,,b,'",
    "IFS=, read -ra A <<< ''",
    "read -ra A <<< ' a  b '",
    "read -r A <<< ' a  b '",
    "IFS= read -r A <<< ' a  b '",
    "IFS=: read -ra A <<< ' a : b'",
    "IFS=, read -ra A <<< $'a,b\\nc'",
    'IFS=, read -ra A <<< "$P,$X"',
    "read -r -d '' A <<'EOF' || true\n one\n $X two\nEOF\n",
    "IFS= read -r -d '' A <<'EOF' || true\n one\nEOF\n",
    "read A <<< 'a\\b'",
)


def test_read_is_bashs_own(tmp_path: Path) -> None:
    script = r"""
X='a  b'; P=org/sub/name.gz
while IFS= read -r -d '' text; do
  unset A; eval "$text" 2>/dev/null; printf '%s\x01' "${#A[@]}" "${A[@]}"; printf '\0'
done
"""
    answers = asked(script, list(READINGS), tmp_path)
    compared = 0
    for text in READINGS:
        wanted = next(answers)
        found = imported_words(
            f'X=\'a  b\'; P=org/sub/name.gz\n{text}\nB=("${{A[@]}}")\n{TRAINS} x "${{B[@]}}"'
        )
        if found is not None:
            items = found[1:-2]
            assert [str(len(items)), *items] == wanted.split("\x01")[:-1], text
            compared += 1
    assert compared >= 8


# --- what bash does otherwise than it looks -------------------------------------------------------

TRAINS = "swift rlhf --rlhf_type grpo --dataset"
#: `T` is `swift rlhf --rlhf_type grpo --dataset`. What is not refused must be what bash does.
SURPRISES = (
    "NPROC=8; NPROC=4 A=$NPROC T x",
    "A=x; A=y B=$A T $A",
    "B=1; which nosuch && B=9; T $B",
    "B=1; test $B = 2 && B=9; T $B",
    "B=1; grep -q zzz /dev/null && B=9; T $B",
    "B=1; mkdir -p made && B=9; T $B",
    "B=1; true && B=9; T $B",
    "B=1; A=$(false) && B=9; T $B",
    "A=0; A=1 & T $A",
    "export A=1 & T x",
    *(
        f"B=1; {text}; T $B"
        for text in ("((B++))", "((B+=2))", "let B=B+1", "let 'B=3'", "let B++")
    ),
    *(f"B=1; {text} >/dev/null; T $B" for text in ("echo $((B++))", ": $((B=7))", "true $[B=7]")),
    *(
        f"B=1; {text}; T ${{B:-q}}"
        for text in ("\\export B=7", '"export" B=7', "command export B=7")
    ),
    *(
        f"B=1; {text}; T ${{B:-q}}"
        for text in ("builtin export B=7", "C=export; $C B=7", "\\unset B")
    ),
    *(f"B=1; {text}; T ${{B:-q}}" for text in ("command unset B", '"let" B=5', "command eval B=5")),
    *(f"B=1; {text}; T ${{B:-q}}" for text in ("printf -vB x", 'printf -v "B" x', "N=B; unset $N")),
    "A=(a b c); unset 'A[1]'; T \"${A[@]}\"",
    'mapfile -t < <(echo x); T "${MAPFILE[@]-n}"',
    'IFS=,; A=(a b); T "${A[*]}"',
    'IFS=,; set -- a b; T "$*"',
    'IFS=,; A=(a b); B="${A[*]}"; T "$B"',
    'A=(a b); A=c; T "${A[@]}"',
    "echo() { :; }; T x$(echo x)",
    "f() { B=5; }; [ 1 = 1 ] && f; T ${B:-q}",
    "echo ${B:=3} | tee /dev/null >/dev/null; T ${B:-none}",
    "A=$(echo ${B:=5}); T $A ${B:-none}",
    "echo $(date)${B:=3} >/dev/null; T ${B:-none}",
    "readonly A=1; A=2; T $A",
    "local A=1; T ${A:-q}",
    "set pipefail; T $1",
    "set -e a b; T $2",
    "set -k; T a B=1",
    'A=(""); T "${A[@]:-z}" x',
    'A=(); T "${A[@]+x}" y',
    'A=(a "b c"); T "${A[@]:-z}" "${A[@]:+x}" ${A[@]+y}',
    'A=("" ""); T "${A[@]:-z}" "${A[@]:+x}"',
    "set --; T ${@+w} x",
    'set -- ""; T "${@:-z}" "${@+w}" x',
    "T $(expr 1+2) $(expr 1 + 2)",
    "T a {fd}>/dev/null",
    "T a 2>/dev/null b",
    "CDPATH=/usr; cd bin; T a",
    "shopt -s nocasematch; A=ABC; T ${A/b/x}",
    "T \"${Z:-$'a\\tb'}\"",
    ": ${M:=1}; T $M",
    'L=(a b); T d > "${L[@]}"',
    "A=5; A=6 true; T $A",
    "export A=1; unset A; A=2; T x",
    "for A in 1 2; do :; done; A=5; T $A",
    "if true; then B=2; fi; T ${B:-q}",
    "HOME=/q; T ~/x",
)
_TRAINED = r"""
swift() {
  shift 4
  printf 'ran\0%d\0' "$#" >&9
  (($# == 0)) || printf '%s\0' "$@" >&9
  printf '%s\0' "$(printenv A || echo none)" "$(printenv B || echo none)" >&9
}
exec 9>&1 1>/dev/null 2>&1
while IFS= read -r -d '' text; do
  (set --; eval "$text") </dev/null
  printf 'end\0' >&9
done
"""


def test_what_is_not_refused_is_what_bash_does(tmp_path: Path) -> None:
    """The words and the environment of each; all in one bash."""
    texts = [text.replace("T ", "swift rlhf --rlhf_type grpo --dataset ") for text in SURPRISES]
    answers = asked(_TRAINED, texts, tmp_path)
    compared = 0
    for text in texts:
        ran: list[str] = []
        while (answer := next(answers)) != "end":
            ran.append(answer)
        if (found := imported_words(text)) is not None:
            assert [*ran[:1], *ran[2:]] == ["ran", *found], text
            compared += 1
    assert compared >= 20


def imported_words(text: str) -> list[str] | None:
    """The training's words, and A and B of its environment; None where it is refused."""
    place = ScriptPlace(script="x.sh", cwd="/w", home="/home/me", real="/w/x.sh")
    made = import_script(text.encode(), place, TABLE)
    if made.text is None:
        return None
    tree = yaml.load(made.text, yaml.BaseLoader)
    words = tree["swift"]["dataset"]
    env = tree.get("environment", {}).get("env", {})
    given = [env.get("A", "none"), env.get("B", "none")]
    return [*([words] if isinstance(words, str) else words), *given]


# --- refusals -------------------------------------------------------------------------------------


REFUSED = Path(__file__).parents[1] / "importing" / "refused"


@pytest.mark.parametrize("path", sorted(REFUSED.glob("*.sh")), ids=lambda path: path.name)
def test_what_cannot_be_translated_is_listed_by_line(place: Place, path: Path) -> None:
    """`#! LINE: words` at the end of each script is what must be said, and nothing else is."""
    text = path.read_text(encoding="utf-8")
    wanted = [tuple(m) for m in re.findall(r"^#! (\d*): (.*)$", text, re.MULTILINE)]
    assert wanted
    shutil.copy(path, place.root / "refused.sh")
    said = place.prl("import", "refused.sh")
    assert (said.code, said.out) == (1, "")
    errors = re.findall(r"^error: refused\.sh:?(\d*): (.*)$", said.err, re.MULTILINE)
    assert [line for line, _ in errors] == [line for line, _ in wanted], said.err
    for line, words in wanted:
        assert any(at == line and words in message for at, message in errors), (line, words)
    many = "s" if len(errors) != 1 else ""
    assert said.err.endswith(f"refused.sh: {len(errors)} error{many}; no spec was made\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"swift rlhf \\\r\n  --x y\r\n", ":1: has Windows line ends (CRLF)"),
        (b"# caf\xe9\nswift rlhf --x y\n", ":1: is not UTF-8: byte 0xe9"),
        (b"swift rlhf\0", ": is not text: it holds NUL bytes"),
        (b"#" * 1_000_001, ": is larger than 1,000,000 bytes"),
        (b"", ": no `swift rlhf` is started in it"),
    ],
)
def test_files_that_are_no_scripts(place: Place, data: bytes, words: str) -> None:
    (place.root / "x.sh").write_bytes(data)
    said = place.prl("import", "x.sh")
    assert (said.code, said.out) == (1, "")
    assert f"error: x.sh{words}" in said.err


# --- the ms-swift that will run -------------------------------------------------------------------

OLD = (
    "NPROC_PER_NODE=2 swift rlhf --rlhf_type dpo --model org/m --dataset org/d --train_type lora\n"
)


def test_a_checkout_in_the_working_directory_says_which_swift_to_write_for(place: Place) -> None:
    (place.root / "old.sh").write_text(OLD)
    assert "  tuner_type: lora\n" in place.prl("import", "old.sh").out
    argument = place.root / "swift" / "llm" / "argument" / "rlhf_args.py"
    argument.parent.mkdir(parents=True)
    argument.write_text("")
    (place.root / "swift" / "version.py").write_text("__version__ = '3.3.0'\n")
    said = place.prl("import", "old.sh", "-o", "old.yaml")
    assert "  train_type: lora\n" in (place.root / "old.yaml").read_text(), said.err
    assert place.prl("check", "old.yaml").code == 0


def test_the_command_line_says_which_swift_to_write_for(place: Place) -> None:
    (place.root / "old.sh").write_text(OLD)
    said = place.prl("import", "old.sh", "--swift-version", "3.3", "-o", "old.yaml")
    text = (place.root / "old.yaml").read_text()
    assert '  swift_version: "3.3"\n' in text, said.err
    assert "  train_type: lora\n" in text
    checked = place.prl("check", "old.yaml")
    assert checked.code == 0
    assert "train_type" not in checked.err
    wrong = place.prl("import", "old.sh", "--swift-version", "new")
    assert wrong.code == 2
    assert "--swift-version: expected a release" in wrong.err

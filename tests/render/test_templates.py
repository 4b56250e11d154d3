"""The template environment: nothing is printed without its language, a site may replace files."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import TEMPLATES, render, render_launch, render_library
from tests.support.plans import plan_of

NASTY = "a'b\"c $HOME `x`\n\\ #中"


def rendered(tmp_path: Path, template: str, **variables: object) -> str:
    """A site's template with variables."""
    (tmp_path / "t.sh").write_text(template, encoding="utf-8")
    return render("t.sh", variables, tmp_path)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("x={{ a|bash }}\n", f"x={shlex.quote('it s')}\n"),
        ("{{ l|bash_words }}", "a 'b c'"),
        ("# {{ n|comment }}", "# a b"),
        ("{{ a|verbatim }}", "it s"),
        ("{{ i }}", "3"),
        ('{{ ("x " ~ a)|bash }}', "'x it s'"),
        ("{% if a %}\ny\n{% endif %}\n", "y\n"),
        ('{{ ""|verbatim }}', ""),
    ],
)
def test_what_a_template_may_print(tmp_path: Path, template: str, text: str) -> None:
    assert rendered(tmp_path, template, a="it s", l=["a", "b c"], n="a\nb", i=3) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ a }}",
        "{{ a|upper }}",
        "{{ l }}",
        "{{ d }}",
        "{{ l[0] }}",
        "{{ a|bash ~ a }}",
        "{{ a ~ a|bash }}",
        "{{ a|bash ~ a|bash }}",
        "{{ none }}",
        "{{ true }}",
        "{{ f }}",
        '{{ "" }}',
        "{% for x in l %}{{ x }}{% endfor %}",
    ],
)
def test_nothing_is_printed_without_its_language(tmp_path: Path, template: str) -> None:
    with pytest.raises(PrlSubmitError, match=r"t\.sh: does not render: .*without \|bash"):
        rendered(tmp_path, template, a="text", l=["a"], d={"a": "b"}, f=1.5)


@pytest.mark.parametrize(
    "template",
    [
        "{{ gone }}",
        "{{ gone|bash }}",
        "{{ gone|bash_words }}",
        "{{ d|comment }}",
        "{{ 1|bash }}",
        "{{ d.gone }}",
        "{% if gone %}{% endif %}",
        "{{ a|gone }}",
    ],
)
def test_what_is_not_defined_stops_the_rendering(tmp_path: Path, template: str) -> None:
    with pytest.raises(PrlSubmitError, match=r"t\.sh: does not render"):
        rendered(tmp_path, template, a="x", d={})


def test_a_template_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PrlSubmitError, match=r"t\.sh: does not render: .*syntax error"):
        rendered(tmp_path, "{{ a", a="x")
    with pytest.raises(PrlSubmitError, match=r"gone\.sh: does not render: .*No such file"):
        render("gone.sh", {})


def test_a_nul_never_reaches_a_script(tmp_path: Path) -> None:
    with pytest.raises(PrlSubmitError, match="NUL"):
        rendered(tmp_path, "{{ a|bash }}", a="a\0b")


def test_a_site_replaces_single_files(tmp_path: Path) -> None:
    plan = plan_of("name: x")
    ours = render_launch(plan, token="t")
    assert render_launch(plan, token="t", site=tmp_path) == ours
    (tmp_path / "launch.sh").write_text(
        "echo {{ name|bash }} {{ nproc }} {{ secrets|bash_words }}\n"
    )
    assert render_launch(plan, token="t", site=tmp_path) == "echo x 1 \n"
    assert (Path(TEMPLATES) / "launch.sh").is_file()


#: What templates/launch.sh was given when it held everything.
OLD_NAMES = """
    name version spec_file run_dir workdir token nodes nproc restarts max_restarts grace time_limit time_limit_words
    arguments paths entry_point gpu kubernetes kueue slurm checkpoint_code conda conda_root venv modules setup
    exports secrets visible
""".split()


def test_a_launch_script_that_a_site_made_from_an_older_one(tmp_path: Path) -> None:
    """Every variable of it is still defined: it renders, and it is complete in itself."""
    uses = "".join(f"{{% if {name} %}}{{% endif %}}" for name in OLD_NAMES)
    (tmp_path / "launch.sh").write_text(f"{uses}{{{{ checkpoint_code|verbatim }}}}\n")
    script = render_launch(plan_of("name: x"), token="t", site=tmp_path)
    assert script in render_library()


def test_every_text_of_a_spec_is_quoted() -> None:
    """One awkward text everywhere it can stand appears only as bash, or in a comment, reads it."""
    plan = msgspec.structs.replace(
        plan_of("name: x\nenvironment: {env: {A: b}}\nswift: {system: c}\n"),
        exports={"A": NASTY},
        arguments=[["--system", NASTY]],
        spec_file=f"{NASTY}.yaml",
        workdir=f"/{NASTY}",
    )
    script = render_launch(plan, token=NASTY)
    quoted = "'" + NASTY.replace("'", "'\\''") + "'"
    assert f"export A={quoted}\n" in script
    assert f"  --system {quoted}\n" in script
    assert f"prl_token={quoted} #" in script
    assert "workdir='/" in script
    assert script.replace(NASTY.replace("'", "'\\''"), "").count(NASTY) == 0
    assert script.splitlines()[1].endswith("from a'b\"c $HOME `x` \\ #中.yaml")


@pytest.mark.parametrize(
    ("spec", "there", "not_there"),
    [
        ("", "node_rank=0\n", "conda"),
        ("environment: {conda: prl}", "prl_find_conda prl ''\n", "venv/bin"),
        ("environment: {conda: {name: p, root: /c}}", "prl_find_conda p /c\n", "venv/bin"),
        ("environment: {conda: {name: p, root: ~/m c}}", "_conda p '~/m c'\n", "venv/bin"),
        ("environment: {venv: ~/v}", "prl_find_venv '~/v' #", "conda"),
        ("environment: {modules: [cuda/12]}", "module load cuda/12 ||", "conda"),
        ("environment: {secrets: [HF_TOKEN]}", "prl_require_secrets HF_TOKEN\n", "export HF_TOKEN"),
        ("environment: {setup: ['a \"$b\" | c']}", '\na "$b" | c\n', "conda"),
        ("resources: {time_limit: 90m}", "time_limit=5400 #", "conda"),
        ("resources: {time_limit: 90m}\nbackend: slurm", "time_limit=0 #", "conda"),
        ("restarts: {grace: 90s}", "grace=90 #", "conda"),
        ("resources: {accelerator: cpu}", "export CUDA_VISIBLE_DEVICES=''", "prl_needs_gpus=1"),
        ("local: {cuda_visible_devices: '0,1'}", "CUDA_VISIBLE_DEVICES=0,1\n", "conda"),
        ("local: {cuda_visible_devices: '0'}\nbackend: slurm", "=0\n", "CUDA_VISIBLE_DEVICES=0\n"),
        ("backend: slurm\nresources: {nodes: 2}", "node_rank=${NODE_RANK:-0}\n", "--standalone"),
        ("swift: {model: ./m}", "prl_need model /cwd/m swift.model\n", "conda"),
    ],
)
def test_what_a_spec_puts_into_the_script(spec: str, there: str, not_there: str) -> None:
    script = render_launch(plan_of(f"name: x\n{spec}\n"), token="t")
    assert there in script
    assert not_there not in script


def test_the_attempt_is_counted() -> None:
    assert "prl_resumed=2 #" in render_launch(plan_of("name: x"), token="t", restarts=2)

"""Values that look like shell code, although no shell reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.plans import planned


def told(text: str, **more: Any) -> list[tuple[str, str, str]]:
    """Severity, key and the part that no shell replaces, of each such problem."""
    problems = planned(f"name: x\n{text}", **more).problems
    return [
        (
            p.severity,
            p.key or "",
            p.message.partition("no shell replaces ")[2].partition(" here")[0],
        )
        for p in problems
        if "no shell replaces" in p.message
    ]


@pytest.mark.parametrize(
    ("text", "severity", "key", "sign"),
    [
        ("workdir: $HOME/x", "error", "workdir", "$HOME"),
        ("output: $SCRATCH/out", "error", "output", "$SCRATCH"),
        ("output: ${SCRATCH:-/tmp}/out", "error", "output", "${SCRATCH:-/tmp}"),
        ("output: ~bob/out", "error", "output", "~bob"),
        ("output: runs/$(date +%F)", "error", "output", "$(date +%F)"),
        ("environment: {venv: $HOME/v}", "error", "environment.venv", "$HOME"),
        ("environment: {conda: {name: x, root: $C}}", "error", "environment.conda.root", "$C"),
        ("environment: {modules: [cuda/$V]}", "error", "environment.modules", "$V"),
        ("environment: {env: {PATH: '/a:$PATH'}}", "error", "environment.env.PATH", "$PATH"),
        ("environment: {env: {PYTHONPATH: '/a:~/b'}}", "error", "environment.env.PYTHONPATH", "~"),
        (
            "environment: {env: {HF_HOME: $SCRATCH/hf}}",
            "warning",
            "environment.env.HF_HOME",
            "$SCRATCH",
        ),
        ("environment: {env: {HF_HOME: ~/hf}}", "warning", "environment.env.HF_HOME", "~"),
        (
            "environment: {env: {RUN: 'a-${USER}'}}",
            "warning",
            "environment.env.RUN",
            "${USER}",
        ),
        (
            "environment: {container: {image: ~/i.sqsh}}",
            "error",
            "environment.container.image",
            "~",
        ),
        (
            "environment: {container: {image: i, mounts: ['$S:/s']}}",
            "error",
            "environment.container.mounts",
            "$S",
        ),
        ("slurm: {account: $ACCOUNT}", "error", "slurm.account", "$ACCOUNT"),
        ("slurm: {extra: {comment: for $USER}}", "warning", "slurm.extra.comment", "$USER"),
        (
            "local: {cuda_visible_devices: $CUDA_VISIBLE_DEVICES}",
            "error",
            "local.cuda_visible_devices",
            "$CUDA_VISIBLE_DEVICES",
        ),
        ("swift: {model: $SCRATCH/models/q}", "error", "swift.model", "$SCRATCH"),
        ("swift: {model: /m/$NAME}", "error", "swift.model", "$NAME"),
        ("swift: {dataset: [a, '$D/b.jsonl']}", "error", "swift.dataset", "$D"),
        ("swift: {dataset: [~/b.jsonl]}", "error", "swift.dataset", "~"),
        ("swift: {deepspeed: ~/ds.json}", "error", "swift.deepspeed", "~"),
        ("swift: {system: ~/p.txt}", "error", "swift.system", "~"),
        ("swift: {external_plugins: ['`pwd`/p.py']}", "error", "swift.external_plugins", "`pwd`"),
        ("swift: {run_name: $RUN}", "warning", "swift.run_name", "$RUN"),
    ],
)
def test_values_that_no_shell_replaces(text: str, severity: str, key: str, sign: str) -> None:
    assert told(text) == [(severity, key, sign)]


@pytest.mark.parametrize(
    "text",
    [
        "output: ~/runs\nworkdir: ~/work",
        "environment: {venv: ~/v}",
        "environment: {conda: {name: x, root: ~/miniconda3}}",
        "environment: {conda: ~/envs/x}",
        "environment: {conda: {name: $SCRATCH/envs/x}}",
        "environment: {setup: ['export PATH=/a:$PATH', 'cd ~/x', 'X=`pwd`']}",
        "environment: {env: {MSG: 'costs $5, in ~ 3 days', RE: '^a$', MIX: 'a$b', T: '~ish'}}",
        "swift: {system: 'The price is $5. Write `x`, $x$ and ~/notes, or $HOME.'}",
        "swift: {system: 'You are ~', response_prefix: '${x}: '}",
        "swift: {structured_outputs_regex: '^a$', freeze_parameters_regex: 'lora_A$'}",
        "swift: {model: ~/m, adapters: [~bob/a], external_plugins: [~/p.py]}",
        "swift: {dataset: ['cost$usd.jsonl', 'a~b.jsonl'], columns: '{\"$A\": \"query\"}'}",
        "kubernetes: {extra: {spec: {command: [echo, $(X)]}}}",
    ],
)
def test_free_text_and_paths_with_a_known_home_are_accepted(text: str) -> None:
    assert told(text) == []


def test_the_hint_is_a_line_of_bash() -> None:
    planned_ = planned("name: x\nenvironment: {env: {PATH: '~/b:$PATH'}}")
    (problem,) = [p for p in planned_.problems if p.key == "environment.env.PATH"]
    assert problem.hint == "environment.setup is bash: ['export PATH=\"$HOME/b:$PATH\"']"


def test_an_override_is_named() -> None:
    planned_ = planned("name: x", environ={"PRL_MODEL": "$SCRATCH/m"})
    (problem,) = [p for p in planned_.problems if "no shell replaces" in p.message]
    assert (problem.key, problem.label) == ("swift.model", "PRL_MODEL")


@pytest.mark.parametrize(
    ("path", "more", "severity"),
    [
        ("/opt/mine/bin", "", "error"),
        ("/usr/bin:/opt/mine/bin", "", None),
        ("/opt/mine/bin:/bin/", ", venv: v", "warning"),
    ],
)
def test_a_path_without_the_systems_commands(path: str, more: str, severity: str | None) -> None:
    problems = planned(f"name: x\nenvironment: {{env: {{PATH: '{path}'}}{more}}}").problems
    found = [p.severity for p in problems if p.key == "environment.env.PATH"]
    assert found == ([severity] if severity else [])

"""Plan -> text. Templates come from `templates/`; a site replaces single files with its own.

Every string a template prints must say its language (`{{ name|bash }}`); one that does not stops
the rendering, because a forgotten filter is a broken script on somebody's cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prl_submit import __version__
from prl_submit.errors import PrlSubmitError
from prl_submit.launch import quote
from prl_submit.planning.plan import ENTRY_POINT, Plan
from prl_submit.spec.scalars import format_duration

# Installed: in the package. In a checkout: at the top level.
_PACKAGE = Path(__file__).parents[1]
_SHIPPED = _PACKAGE / "templates"
TEMPLATES = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent / "templates"

#: What launch.sh runs on the nodes; the same as `resume` runs here.
_CHECKPOINT_FILES = _PACKAGE / "runs" / "checkpoint_files.py"

# No value can hold a NUL (the readers refuse it), so one at each end proves that a filter made the
# whole text: `{{ a|bash ~ b }}` has only the first.
_QUOTED = "\0"


def _quoted(text: str) -> str:
    return _QUOTED + text + _QUOTED


def _text(value: Any) -> str:
    if not isinstance(value, str):  # what is not defined arrives as None
        raise ValueError(f"{value!r} is given to a filter that takes text; is it defined?")
    return value


def _bash(value: str) -> str:
    return _quoted(quote.bash(_text(value)))


def _bash_words(values: list[str]) -> str:
    if not isinstance(values, list):
        raise ValueError(f"{values!r} is given to bash_words, which takes a list; is it defined?")
    return _quoted(" ".join(quote.bash(_text(value)) for value in values))


def _comment(value: str) -> str:
    return _quoted(quote.comment(_text(value)))


def _sbatch(option: list[str | None]) -> str:
    name, value = option
    return _quoted(f"--{name}" if value is None else f"--{name}={quote.sbatch(value)}")


def _verbatim(value: str) -> str:
    return _quoted(_text(value))


def _finalize(value: Any) -> Any:
    if type(value) is int:
        return value
    text = str(value)
    if not isinstance(value, str) or text[:1] != _QUOTED or text.find(_QUOTED, 1) != len(text) - 1:
        shown = text[:40].replace(_QUOTED, "")
        raise ValueError(f"{shown!r} is printed without |bash, |comment or |verbatim")
    return text[1:-1]


def template_path(template: str, site: Path | None) -> Path:
    """The site's file of that name, where it has one, else ours."""
    if site is not None and (site / template).is_file():
        return site / template
    return TEMPLATES / template


def render(template: str, variables: dict[str, Any], site: Path | None = None) -> str:
    """The text of `template` (a file name), from the site's folder if it is there, else ours.

    Raises PrlSubmitError where the template cannot be read or does not render.
    """
    import minijinja

    path = template_path(template, site)
    environment = minijinja.Environment(
        filters={
            "bash": _bash,
            "bash_words": _bash_words,
            "comment": _comment,
            "sbatch": _sbatch,
            "verbatim": _verbatim,
        },
        finalizer=_finalize,
        undefined_behavior="strict",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Jinja's own {# is in every other bash script: ${#name}.
        comment_start_string="{##",
        comment_end_string="##}",
    )
    try:
        return environment.render_str(path.read_text("utf-8"), template, **variables)
    except (minijinja.TemplateError, ValueError, TypeError, AttributeError, OSError) as error:
        raise PrlSubmitError(f"{path}: does not render: {error}") from None


def _own_time_limit(plan: Plan) -> int:
    """Seconds after which launch.sh itself ends the training; 0: the backend warns the job in time.

    Two clocks would race where the backend does, as Slurm does. The kubelet kills without a warning: there
    launch.sh ends the training earlier, by the grace, but by a quarter of the limit at most.
    """
    limit, traits = plan.resources.time_limit or 0, plan.traits
    if traits.warns_before_end:
        return 0
    return limit - min(plan.restarts.grace, limit // 4) if traits.own_clock else limit


def render_launch(plan: Plan, *, token: str, restarts: int = 0, site: Path | None = None) -> str:
    """launch.sh of a plan. `token` marks the job's processes; `restarts` counts earlier attempts."""
    environment, limit = plan.environment, plan.resources.time_limit
    conda = environment.conda
    named = conda is not None and not isinstance(conda, str)
    variables = {
        "plan": plan,
        "version": __version__,
        "entry_point": ENTRY_POINT,
        "token": token,
        "restarts": restarts,
        "grace": plan.restarts.grace,
        "time_limit": _own_time_limit(plan),
        "time_limit_words": format_duration(limit) if limit else "the scheduler",
        "max_restarts": plan.restarts.max,
        "conda": conda.name if named else conda,  # type: ignore[union-attr]
        "conda_root": (conda.root or "") if named else "",  # type: ignore[union-attr]
        "venv": environment.venv,
        "modules": environment.modules,
        "setup": environment.setup,
        "exports": plan.exports,
        "secrets": environment.secrets,
        "arguments": plan.arguments,
        "paths": [[item.kind, item.key, item.path] for item in plan.paths],
        "gpu": plan.resources.accelerator == "gpu",
        "visible": plan.local.cuda_visible_devices if plan.traits.runs_here else None,
        "kubernetes": plan.traits.in_pods,
        "kueue": plan.kubernetes.queue is not None and plan.kubernetes.scheduler != "volcano",
        "slurm": plan.traits.leaves_children,
        "checkpoint_code": _CHECKPOINT_FILES.read_text("utf-8").rstrip("\n"),
        "nodes": plan.resources.nodes,
        "nproc": plan.resources.nproc_per_node,
    }
    return render("launch.sh", _plain(variables), site)


def _plain(variables: dict[str, Any]) -> dict[str, Any]:
    plan: Plan = variables.pop("plan")
    variables |= {
        "name": plan.name,
        "spec_file": plan.spec_file,
        "workdir": plan.workdir,
        "run_dir": plan.run_dir,
    }
    return variables

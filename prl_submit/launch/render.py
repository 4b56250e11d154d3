"""Render a plan's scripts from the templates. A site may replace single templates by its own (--templates).

Every text that a template prints needs a filter that quotes it (`{{ name|bash }}`). Rendering stops at a
text without one, because a forgotten filter would be a broken script on somebody's cluster.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from prl_submit import __version__
from prl_submit.errors import PrlSubmitError
from prl_submit.launch import quote
from prl_submit.planning.plan import ENTRY_POINT, Plan
from prl_submit.spec.scalars import format_duration
from prl_submit.system.shared_results import shared

if TYPE_CHECKING:
    from pathlib import Path

    import minijinja

# The templates are in the installed package; in a checkout they are at the top level.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SHIPPED = os.path.join(_PACKAGE, "templates")
TEMPLATES = (
    _SHIPPED if os.path.isdir(_SHIPPED) else os.path.join(os.path.dirname(_PACKAGE), "templates")
)

#: launch.sh runs this very file on nodes to find the last complete checkpoint, as `resume` does on this
#: machine. The text of the file replaces the line _CHECKPOINT_LINE of launch.lib.sh.
_CHECKPOINT_FILES = os.path.join(_PACKAGE, "runs", "checkpoint_files.py")
_CHECKPOINT_LINE = "# checkpoint_files.py stands here in a run directory.\n"
#: The same for the file that looks at a node's packages.
_NODE_VERSIONS = os.path.join(_PACKAGE, "runs", "node_versions.py")
_VERSIONS_LINE = "# node_versions.py stands here in a run directory.\n"
#: The functions for platforms replace this line of launch.lib.sh, and the rows of the table of variables this
#: line of theirs.
_PLATFORM_LINE = "# platform_variables.lib.sh stands here in a run directory.\n"
_NODES_LINE = "# platform_nodes.lib.sh stands here in a run directory.\n"
_PLATFORMS_LINE = "# platforms.txt stands here in a run directory.\n"
#: launch.sh does not go on unless bash has read this line of launch.lib.sh.
_LAST_LINE = "prl_library=whole\n"

#: The table of the variables by which platforms tell a node its place.
PLATFORMS = "platforms.txt"

# A filter puts a NUL at each end of its result. Values cannot hold a NUL, because the readers refuse it. So
# the NULs prove that a filter made the whole text; `{{ a|bash ~ b }}` has one at the beginning only.
_QUOTED = "\0"


def _quoted(text: str) -> str:
    return _QUOTED + text + _QUOTED


def _text(value: Any) -> str:
    if not isinstance(value, str):  # an undefined variable arrives as None
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


def template_path(template: str, site: Path | None) -> str:
    """The path of a template: in the site's folder if it is there, else in ours."""
    if site is not None and (site / template).is_file():
        return str(site / template)
    return os.path.join(TEMPLATES, template)


@shared
def read_template(path: str) -> str:
    """The text of a template. Raises OSError, UnicodeDecodeError."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def render(template: str, variables: dict[str, Any], site: Path | None = None) -> str:
    """The text of `template` (a file name), from the site's folder if it is there, else ours.

    Raises PrlSubmitError if the template cannot be read or rendered.
    """
    import minijinja

    path = template_path(template, site)
    try:
        return _compiled(path, template).render_template(template, **variables)
    except (minijinja.TemplateError, ValueError, TypeError, AttributeError, OSError) as error:
        raise PrlSubmitError(f"{path}: does not render: {error}") from None


@shared
def _compiled(path: str, name: str) -> minijinja.Environment:
    """An environment that has one template. Raises OSError, UnicodeDecodeError, minijinja.TemplateError."""
    import minijinja

    return minijinja.Environment(
        templates={name: read_template(path)},
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
        # Not Jinja's usual {#, because bash has ${#name}.
        comment_start_string="{##",
        comment_end_string="##}",
    )


def _own_time_limit(plan: Plan) -> int:
    """Seconds after which launch.sh itself ends the training; 0: launch.sh has no time limit of its own.

    It has none if the backend sends a warning before the limit, as Slurm does. The kubelet ends a pod at the
    limit without a warning, so there launch.sh ends the training earlier: by the grace, but at most by a
    quarter of the limit.
    """
    limit, traits = plan.resources.time_limit or 0, plan.traits
    if traits.warns_before_end:
        return 0
    return limit - min(plan.restarts.grace, limit // 4) if traits.own_clock else limit


def render_launch(plan: Plan, *, token: str, restarts: int = 0, site: Path | None = None) -> str:
    """launch.sh of a plan. `token` marks the job's processes; `restarts` counts earlier attempts."""
    limit = plan.resources.time_limit
    variables = {
        "environment": render_environment(plan, site),
        "name": plan.name,
        "version": __version__,
        "spec_file": plan.spec_file,
        "backend": plan.backend,
        "run_dir": plan.run_dir,
        "workdir": plan.workdir,
        "token": token,
        "nodes": 0 if "resources.nodes" in plan.unstated else plan.resources.nodes,
        "nproc": (
            0 if "resources.nproc_per_node" in plan.unstated else plan.resources.nproc_per_node
        ),
        "gpu": int(plan.resources.accelerator == "gpu"),
        "time_limit": _own_time_limit(plan),
        "time_limit_words": format_duration(limit) if limit else "the scheduler",
        "grace": plan.restarts.grace,
        "max_restarts": plan.restarts.max,
        "restarts": restarts,
        "in_pods": int(plan.traits.in_pods),
        **_platform_variables(plan),
        "leaves_children": int(plan.traits.leaves_children),
        "kueue": int(plan.kubernetes.queue is not None and plan.kubernetes.scheduler != "volcano"),
        "batch": plan.batch,
        "arguments": plan.arguments,
        "paths": [[item.kind, item.key, item.path] for item in plan.paths],
        "entry_point": ENTRY_POINT,
        **_variables_of_older_versions(plan),
    }
    return render("launch.sh", variables, site)


def _platform_variables(plan: Plan) -> dict[str, Any]:
    """Variables for a platform that starts launch.sh on each node and says by variables which node it is."""
    platform = plan.platform
    names = (
        platform.nodes,
        platform.node_rank,
        platform.master_addr,
        platform.master_port,
        platform.nproc_per_node,
        platform.job,
    )
    return {
        "on_platform": plan.traits.nodes_tell_size,
        "platform_names": [name or "" for name in names],
        "wait": platform.wait,
        "silence": platform.silence,
    }


def _variables_of_older_versions(plan: Plan) -> dict[str, Any]:
    """Variables for a site's own launch.sh that was copied from an older version, which had no launch.lib.sh."""
    return {
        **_environment_variables(plan),
        "kubernetes": plan.traits.in_pods,
        "slurm": plan.traits.leaves_children,
        "checkpoint_code": read_template(_CHECKPOINT_FILES).rstrip("\n"),
    }


@shared
def render_library(site: Path | None = None) -> str:
    """launch.lib.sh. It is the same for every plan. Raises PrlSubmitError if it cannot be read."""
    path, text = _read_static("launch.lib.sh", site)
    if not text.endswith(_LAST_LINE):
        raise PrlSubmitError(
            f"{path}: is no whole launch.lib.sh: its last line is not {_LAST_LINE.strip()}"
        )
    _, platform = _read_static("platform_variables.lib.sh", site)
    rows = rows_of_table(_read_static(PLATFORMS, None)[1])
    platform = platform.replace(_PLATFORMS_LINE, "".join(f"{row}\n" for row in rows))
    text = text.replace(_PLATFORM_LINE, platform)
    text = text.replace(_NODES_LINE, _read_static("platform_nodes.lib.sh", site)[1])
    text = text.replace(_VERSIONS_LINE, read_template(_NODE_VERSIONS))
    return text.replace(_CHECKPOINT_LINE, read_template(_CHECKPOINT_FILES))


def _read_static(name: str, site: Path | None) -> tuple[str, str]:
    """The path and the text of a file that is no template. Raises PrlSubmitError if it cannot be read."""
    path = template_path(name, site)
    try:
        return path, read_template(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PrlSubmitError(f"{path}: cannot be read: {error}") from None


def rows_of_table(text: str) -> list[str]:
    """The lines of platforms.txt that are rows, without comments. The blanks between cells are made one."""
    lines = text.splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]


def render_environment(plan: Plan, site: Path | None = None) -> str:
    """The part of launch.sh that enters the training environment. It calls functions of launch.lib.sh."""
    return render("environment.sh", _environment_variables(plan), site)


def _environment_variables(plan: Plan) -> dict[str, Any]:
    environment = plan.environment
    conda = environment.conda
    named = conda is not None and not isinstance(conda, str)
    return {
        "conda": conda.name if named else conda,  # type: ignore[union-attr]
        "conda_root": (conda.root or "") if named else "",  # type: ignore[union-attr]
        "venv": environment.venv,
        "modules": environment.modules,
        "setup": environment.setup,
        "exports": plan.exports,
        "secrets": environment.secrets,
        "visible": plan.local.cuda_visible_devices if _has_own_gpus(plan) else None,
    }


def _has_own_gpus(plan: Plan) -> bool:
    """True if the user has chosen the GPUs of this very job."""
    return plan.traits.chooses_gpus and not plan.shares_gpus

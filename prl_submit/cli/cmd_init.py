"""The command `init`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click
import msgspec

from prl_submit.cli.console import note, raw
from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.spec.first_spec import FirstJob, first_spec
from prl_submit.spec.traits import BACKENDS, DEFAULT, traits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from prl_submit.planning.plan import Planned

T = TypeVar("T")
#: The rewards' names, and the plugin files that register some of them.
Rewards = tuple[tuple[str, ...], tuple[str, ...]]

DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
DEFAULT_DATA = "train.jsonl"
DEFAULT_REWARD = "format"
_HOW_TO_REGISTER = "write orms['NAME'] = CLASS in it, or name the reward too: --reward NAME"

#: The flag that gave the value of a key.
_FLAGS = {
    "name": "--name",
    "backend": "--backend",
    "resources.nproc_per_node": "--nproc-per-node",
    "swift.model": "--model",
    "swift.model_type": "--model-type",
    "swift.template": "--template",
    "swift.dataset": "--data",
    "swift.reward_funcs": "--reward",
    "swift.external_plugins": "--reward",
}


def _complete_reward(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """ms-swift's own rewards, and files, for the shell."""
    from click.shell_completion import CompletionItem

    from prl_submit.rules.builtin import REWARDS

    # click's scripts drop the words as soon as one item asks for files.
    names = [name for name in REWARDS if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem("", type="file")]


def _complete_backend(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in BACKENDS if name.startswith(incomplete)]


@click.command("init")
@click.option(
    "--name", metavar="NAME", default="first-job", help="The job's name. Default: first-job."
)
@click.option(
    "--model",
    metavar="MODEL",
    type=click.Path(),
    default=DEFAULT_MODEL,
    help=f"A model hub's name or a folder. Default: {DEFAULT_MODEL}.",
)
@click.option(
    "--data",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help=f"JSON lines with messages, or a data set of the hub. Repeatable. Default: {DEFAULT_DATA}.",
)
@click.option(
    "--reward",
    "rewards",
    metavar="NAME|FILE.py",
    multiple=True,
    shell_complete=_complete_reward,
    help="A reward of ms-swift, or a Python file that registers rewards of your own: all of them, or"
    f" those that other --reward name. Repeatable. Default: {DEFAULT_REWARD}.",
)
@click.option(
    "--model-type",
    metavar="TYPE",
    help="ms-swift's model type of a local MODEL. Default: what config.json says, where that is needed.",
)
@click.option(
    "--template",
    metavar="NAME",
    help="ms-swift's template of a local MODEL. Default: the first one of its type, where one is needed.",
)
@click.option(
    "--nproc-per-node",
    metavar="N",
    type=int,
    help="Processes on the node, one GPU each. Default: 1; on a platform all GPUs that it gives.",
)
@click.option(
    "--backend",
    metavar="NAME",
    shell_complete=_complete_backend,
    help="local, slurm, kubernetes (k8s) or platform. Default: none in the spec, so local.",
)
def init(
    name: str,
    model: str,
    data: tuple[str, ...],
    rewards: tuple[str, ...],
    nproc_per_node: int | None,
    backend: str | None,
    model_type: str | None,
    template: str | None,
) -> int:
    """Print a first job spec, with a comment on each line that a newcomer would ask about.

    What it prints passes `prl-submit check`, once the data is there. Nothing is asked and no file is
    written: prl-submit init --data train.jsonl --reward accuracy > job.yaml
    """
    wrong = Wrong([])
    usual: Rewards = (DEFAULT_REWARD,), ()
    names, plugins = wrong.tried("--reward", lambda: _rewards(rewards), usual)
    job = FirstJob(
        name=wrong.tried("--name", lambda: _usable("--name", name), "first-job"),
        model=wrong.tried("--model", lambda: _usable("--model", model), DEFAULT_MODEL),
        data=wrong.tried("--data", lambda: _all_usable("--data", data), ()) or (DEFAULT_DATA,),
        rewards=names,
        plugins=plugins,
        nproc_per_node=nproc_per_node,
        backend=wrong.tried("--backend", lambda: backend and traits_of(backend).name, None),
        model_type=model_type,
        template=template,
    )
    job = msgspec.structs.replace(job, nproc_per_node=_processes(nproc_per_node, job.backend))
    planned = _plan(first_spec(job))
    job = wrong.tried("--model", lambda: _with_types(job, planned), job)
    planned = _plan(first_spec(job))
    _refuse_wrong(planned, wrong)
    raw(first_spec(msgspec.structs.replace(job, columns=_columns(planned))).encode("utf-8"))
    _say_what_is_missing(planned)
    if job.other_templates:
        hint = "change it in the spec if it is wrong"
        note(f"note: ms-swift cannot tell the template of {model}; {hint}")
    return 0


def _processes(given: int | None, backend: str | None) -> int | None:
    """The number of processes on each node; None if the user leaves it to a backend whose nodes tell it."""
    if given is None and not traits_of(backend or DEFAULT).nodes_tell_size:
        return 1
    return given


def _with_types(job: FirstJob, planned: Planned) -> FirstJob:
    """The job with the type and the template of a local model, where ms-swift cannot tell them.

    Raises PrlSubmitError if config.json names no likely type.
    """
    from prl_submit.inputs.model_types import unclear

    found = unclear(planned.job, os.getcwd())
    if found.kinds and not found.is_likely:
        message = f"--model {job.model}: its type may be {', '.join(found.kinds)}"
        hint = "give the type of the model that yours was trained from: --model-type TYPE"
        raise PrlSubmitError(f"{message}; ms-swift cannot tell which", hint)
    if found.kinds:
        kind, *others = found.kinds
        job = msgspec.structs.replace(job, model_type=kind, other_types=tuple(others))
    if found.templates:
        template, *others = found.templates
        job = msgspec.structs.replace(job, template=template, other_templates=tuple(others))
    return job


class Wrong(NamedTuple):
    """The flags with a wrong value, each with its error. `init` names all of them at once."""

    flags: list[tuple[str, PrlSubmitError]]

    def tried(self, flag: str, read: Callable[[], T], default: T) -> T:
        """What `read` returns; if the flag is wrong, its error is kept and its default returned."""
        try:
            return read()
        except PrlSubmitError as error:
            self.flags.append((flag, error))
            return default


def _usable(flag: str, value: str) -> str:
    """The value. Raises PrlSubmitError if it is empty or cannot be written into a file of UTF-8."""
    if any("\ud800" <= char <= "\udfff" for char in value):  # how Python reads other bytes
        raise PrlSubmitError(f"{flag} {os.fsencode(value)!r} is not UTF-8", "rename it")
    if not value.strip():
        raise PrlSubmitError(f"{flag}: the value is empty", "leave the flag out for its default")
    return value


def _all_usable(flag: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a repeatable flag. Raises PrlSubmitError."""
    return tuple(_usable(flag, value) for value in values)


def _rewards(given: tuple[str, ...]) -> Rewards:
    """The rewards' names, and the plugin files that register some of them. Raises PrlSubmitError."""
    given = _all_usable("--reward", given) or (DEFAULT_REWARD,)
    plugins = tuple(value for value in given if _is_file(value))
    named = [value for value in given if not _is_file(value)]
    names: list[str] = []
    for value in given:
        names += _taken_from(value, named) if value in plugins else [value]
    return tuple(names), plugins


def _is_file(reward: str) -> bool:
    return reward.endswith(".py") or os.sep in reward


def _taken_from(plugin: str, named: list[str]) -> list[str]:
    """All rewards that a plugin file registers; none if the user named those that are wanted of it.

    Raises PrlSubmitError if the file cannot be read, or no name is known that could be one of its.
    """
    from prl_submit.inputs.plugin_cache import facts_of
    from prl_submit.rules.builtin import REWARDS

    facts = facts_of(os.path.abspath(plugin))
    if facts is None:
        hint = "a reward without '/' and '.py' in its name is taken for one of ms-swift's"
        raise PrlSubmitError(f"--reward {plugin}: no such file, or it cannot be read", hint)
    registered = list(dict.fromkeys(facts.registered))
    may_be_its_own = [name for name in named if name not in REWARDS]
    if not registered and not may_be_its_own:
        if facts.fault is not None:
            raise PrlSubmitError(f"--reward {plugin}:{facts.fault.line}: {facts.fault.message}")
        message = f"--reward {plugin}: the file plainly registers no reward"
        raise PrlSubmitError(message, _HOW_TO_REGISTER)
    return registered if set(named).isdisjoint(registered) else []


def _plan(text: str) -> Planned:
    """The spec planned as `check` would do it, without the environment and the profiles."""
    from prl_submit.prepare import plan_alone
    from prl_submit.spec.yaml import parse_document

    return plan_alone(parse_document(text.encode("utf-8"), "spec", "spec"))


def _refuse_wrong(planned: Planned, wrong: Wrong) -> None:
    """Raises SpecError with the wrong flags and all that `check` has against the values, each with its flag.

    Files are looked for here, for pods too. That data or a model is not here is left to `check`: the
    user may be about to put it there.
    """
    from prl_submit.inputs import check_inputs

    problems = [*planned.problems, *check_inputs(planned.job, os.getcwd())]
    known = {flag for flag, _ in wrong.flags}
    errors = [_with_flag(problem) for problem in problems if problem.severity == "error"]
    refused = [
        Problem(file=None, line=None, key=None, message=error.message, hint=error.hint)
        for _, error in wrong.flags
    ]
    if refused or errors:
        raise SpecError([*refused, *(error for error in errors if error.label not in known)])


def _with_flag(problem: Problem) -> Problem:
    """The problem, placed at the flag instead of at a line of a file that is not there yet."""
    flag = _FLAGS.get(problem.key or "")
    return msgspec.structs.replace(problem, file=None, line=None, label=flag)


def _columns(planned: Planned) -> tuple[str, ...]:
    """The columns of the data that the rewards read, beside `messages`."""
    from prl_submit.inputs.plugins import needs

    found = [column for _, columns, _ in needs(planned.job, os.getcwd()) for column in columns]
    return tuple(column for column in dict.fromkeys(found) if column != "messages")


def _say_what_is_missing(planned: Planned) -> None:
    """Notes on what the user has to add before the job can run."""
    plan = planned.plan
    if not plan.traits.sees_our_files:
        note("note: the image and the volume claim in the spec are placeholders: put yours there")
        return
    for item in plan.paths:
        if not os.path.exists(item.path):
            shown = item.path.removeprefix(f"{plan.workdir}/")
            note(f"note: the {item.kind} {shown} is not here yet; `prl-submit check` needs it")


command = init

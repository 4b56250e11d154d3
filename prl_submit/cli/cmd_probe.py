"""The command `probe`."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

from prl_submit.cli.console import data, document, note, table
from prl_submit.cli.shared_options import json_option, output_root_option, templates_option
from prl_submit.errors import EXIT_INTERRUPTED, PrlSubmitError, SpecError, format_error
from prl_submit.spec.traits import DEFAULT, traits_of
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from pathlib import Path

    from prl_submit.planning.plan import Plan
    from prl_submit.probe.node_facts import Facts
    from prl_submit.probe.wait_for_jobs import How, Outcome

#: The sections whose errors stop a probe: they say how a node is reached and entered.
_NEEDED = ("environment", "slurm", "workdir", "output", "backend", "extends")
#: Seconds that entering the training environment may take.
_SCRIPT_S = 120.0


@click.command("probe")
@click.argument("spec", type=click.Path(), required=False)
@click.option(
    "--backend",
    metavar="NAME",
    help="Probe local or slurm nodes. Default: from SPEC, else PRL_BACKEND, else local.",
)
@click.option(
    "--partition",
    "partitions",
    metavar="NAME",
    multiple=True,
    help="Probe this partition of Slurm. Default: from SPEC, else the cluster's default. Can be given several times.",
)
@click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one value of SPEC, as with `submit`.",
)
@click.option("--profile", metavar="NAME", help="Use this profile of prl-submit.toml.")
@click.option(
    "--timeout",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="Wait so long for the nodes, time in the queue included; then the probe jobs are cancelled.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="Use this Python on the nodes; it needs submitit. Default: the Python that runs prl-submit.",
)
@output_root_option
@templates_option
@json_option
def probe(
    spec: str | None,
    backend: str | None,
    partitions: tuple[str, ...],
    sets: tuple[str, ...],
    profile: str | None,
    timeout: str,
    python: str | None,
    output_root: str | None,
    templates: Path | None,
    as_json: bool,
) -> int:
    """Find out what the nodes really have, and keep it: `check` then compares jobs with it.

    With SPEC also the job's environment and paths are looked at, on a node of the job's partition. It
    takes one small job in each partition, which leaves nothing behind.
    """
    from prl_submit.probe.wait_for_jobs import How

    plan = _plan(spec, backend, sets, profile, output_root)
    name = plan.backend if plan else _backend(backend)
    traits = traits_of(name)
    if not (traits.runs_here or traits.has_partitions):
        raise PrlSubmitError("probe looks at local and slurm nodes only", "--backend slurm")
    if partitions and not traits.has_partitions:
        raise PrlSubmitError(f"--partition is for slurm, not for {name}", "--backend slurm")
    how = How(_seconds(timeout), note, None if python is None else shlex.quote(python))
    root = plan.output_root if plan else str(output_root_of(output_root))
    try:
        with _signals_interrupt():
            request = _request(plan, root, templates)
            looked = (
                _slurm(plan, partitions, request, how)
                if traits.has_partitions
                else _local(request, how)
            )
    except KeyboardInterrupt:
        note("\ninterrupted: the probe was cancelled, and nothing of it is left")
        return EXIT_INTERRUPTED
    return _show(looked, plan, as_json=as_json)


def _plan(
    spec: str | None,
    backend: str | None,
    sets: tuple[str, ...],
    profile: str | None,
    output_root: str | None,
) -> Plan | None:
    """The plan of SPEC; None without a SPEC.

    Raises SpecError for errors that keep a probe from reaching or entering the node.
    """
    if spec is None:
        if sets or profile:
            raise PrlSubmitError("--set and --profile change a SPEC, and none is named")
        return None
    from prl_submit.cli.one_job import plan_one_job
    from prl_submit.prepare import errors_of

    planned = plan_one_job(
        spec, backend=backend, sets=sets, profile=profile, output_root=output_root
    )
    errors = errors_of(planned)
    stop = [
        problem
        for problem in errors
        if problem.key is None
        or (problem.key.partition(".")[0] in _NEEDED and problem.key != "environment.secrets")
    ]
    if stop:
        raise SpecError(stop)
    if errors:
        count = "an error that does" if len(errors) == 1 else f"{len(errors)} errors that do"
        note(f"{spec} has {count} not matter here: see `prl-submit check`")
    return planned.plan


def _backend(option: str | None) -> str:
    """The backend without a SPEC."""
    return traits_of(option or os.environ.get("PRL_BACKEND") or DEFAULT).name


def _seconds(text: str) -> int:
    """The value of --timeout in seconds. Raises PrlSubmitError."""
    from prl_submit.spec.scalars import duration_hint, parse_duration

    seconds = parse_duration(text)
    if seconds is None:
        hint = duration_hint(text) or "for example 90s, 10m or 1:00:00"
        raise PrlSubmitError(f"--timeout: {text!r} is no time", hint)
    return seconds


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the probe as Ctrl-C does, so that its jobs are cancelled."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _request(plan: Plan | None, root: str, templates: Path | None) -> dict[str, Any]:
    """The request to `on_node.look`."""
    from prl_submit.probe.version_script import version_script

    script = version_script(plan, templates)
    paths = [] if script is None or plan is None else [item.path for item in plan.paths]
    inside = "versions and paths: the training runs in a container, and the probe beside it"
    return {
        "output_root": root,
        "script": script,
        "script_s": _SCRIPT_S,
        "paths": list(dict.fromkeys(paths)),
        "notes": [inside] if script is None else [],
    }


def _local(request: dict[str, Any], how: How) -> list[Facts | PrlSubmitError]:
    """Probe this machine."""
    from prl_submit.probe.node_facts import NO_PARTITION
    from prl_submit.probe.start_jobs import probe_local

    outcome = probe_local(request, how)
    place = {"backend": "local", "cluster": os.uname().nodename, "partition": NO_PARTITION}
    return [_facts(outcome, place)]


def _slurm(
    plan: Plan | None, names: Sequence[str], request: dict[str, Any], how: How
) -> list[Facts | PrlSubmitError]:
    from prl_submit.backends.slurm.slurm_commands import SlurmCommands
    from prl_submit.probe.slurm_probe import (
        ask_name,
        ask_partitions,
        choose,
        job_environ,
        job_parameters,
    )
    from prl_submit.probe.start_jobs import probe_slurm
    from prl_submit.system import shell

    slurm = SlurmCommands(shell.run, os.environ)
    cluster, partitions = ask_name(slurm), ask_partitions(slurm)
    written = (plan.slurm.partition if plan else None) or os.environ.get("SBATCH_PARTITION")
    chosen = choose(partitions, names or (written.split(",") if written else []))
    request = _with_missing(request, cluster, [partition.name for partition in chosen])
    token = secrets.token_hex(4)
    targets = [
        job_parameters(partition, plan, f"prl-probe-{token}-{index}")
        for index, partition in enumerate(chosen)
    ]
    outcomes = probe_slurm(request, targets, how, slurm, job_environ(os.environ))
    return [
        _facts(
            outcome,
            {
                "backend": "slurm",
                "cluster": cluster,
                "partition": partition.name,
                "default": partition.default,
                "kinds": partition.kinds,
            },
        )
        for partition, outcome in zip(chosen, outcomes, strict=True)
    ]


def _with_missing(request: dict[str, Any], cluster: str, names: list[str]) -> dict[str, Any]:
    """The request with the paths that earlier probes of these partitions did not find."""
    from prl_submit.probe import state_folder
    from prl_submit.probe.node_facts import missing_paths

    again = missing_paths(state_folder(os.environ), cluster, names)
    return request | {"paths": list(dict.fromkeys([*request["paths"], *again]))}


def _facts(outcome: Outcome, place: dict[str, Any]) -> Facts | PrlSubmitError:
    """The facts of a node's answer, or the error in its place."""
    import msgspec

    from prl_submit.probe.node_facts import Facts, NodeFacts, PathFact

    if isinstance(outcome, PrlSubmitError):
        return outcome
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    node = msgspec.convert(outcome, NodeFacts)
    paths = [PathFact(path, there, now, node.node) for path, there in outcome["paths"].items()]
    return Facts(probed_at=now, nodes=[node], paths=paths, **place)


def _show(looked: Sequence[Facts | PrlSubmitError], plan: Plan | None, *, as_json: bool) -> int:
    """Keep the facts and print them; the exit code."""
    from prl_submit.probe.facts_table import HEADER, notes_of, rows_of
    from prl_submit.probe.node_facts import Facts

    facts = [found for found in looked if isinstance(found, Facts)]
    failed = [found for found in looked if isinstance(found, PrlSubmitError)]
    for found in facts:
        _keep(found)
    if as_json:
        failures = [{"message": error.message, "hint": error.hint} for error in failed]
        document({"probes": facts, "failed": failures})
    elif facts:
        data(table(HEADER, [row for found in facts for row in rows_of(found)]))
    for text in [text for found in facts for text in notes_of(found, plan)]:
        note(text)
    for failure in failed:
        note(format_error(failure))
    return max((failure.exit_code for failure in failed), default=0)


def _keep(facts: Facts) -> None:
    """Write the facts down for later checks; if that fails, a line on stderr says why."""
    from prl_submit.probe import state_folder
    from prl_submit.probe.node_facts import save_facts

    try:
        save_facts(state_folder(os.environ), facts)
    except OSError as error:
        note(f"warning: not remembered: {error.filename}: {error.strerror}")


command = probe

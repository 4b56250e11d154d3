"""From a checked plan to a started job: directory, files, record, in the order a crash forgives."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit import backends
from prl_submit.backends.artefact import job_files
from prl_submit.backends.base import ignore_message
from prl_submit.errors import PrlSubmitError, Problem, RefusedError, SpecError, format_problem
from prl_submit.planning.plan import Plan, Planned, with_run_dir
from prl_submit.runs import directory, layout
from prl_submit.runs.directory import Run
from prl_submit.runs.limits import limits_of_plan
from prl_submit.runs.plan_file import (
    Git,
    PlanFile,
    dump_spec,
    encode_plan,
    git_state,
)
from prl_submit.runs.record import Place, Predecessor, Record, ScheduledJob, directory_of
from prl_submit.runs.times import local_now
from prl_submit.spec.nodes import as_problem
from prl_submit.system.files import write_inside
from prl_submit.system.shell import Shell


class World(Struct, frozen=True):
    """What submission needs from outside: variables, a way to run programs, templates, somebody to tell."""

    environ: Mapping[str, str]
    shell: Shell
    site: Path | None = None
    tell: Callable[[str], None] = ignore_message


def submit(
    planned: Planned, world: World, place: Place | None = None, *, rerun_of: str | None = None
) -> Run:
    """Make the run directory and start the job. Raises PrlSubmitError; then nothing is left behind.

    A KeyboardInterrupt that came after the job had started carries its Run. `place`: where the job is, if
    that is known before it starts. `rerun_of`: the directory of the run whose spec this is.
    """
    # What is not installed, and a place where nothing must start, are told before a directory is made.
    refuse_place(planned.plan, world.environ)
    require_secrets(planned.plan, world.environ)
    path = _allocate(planned.plan)
    try:
        return _start(planned, path, world, place or ScheduledJob(), rerun_of)
    except BaseException as error:
        if os.path.lexists(path / layout.RECORD):  # there is a job, so its directory stays
            point_latest(path)
        else:
            remove_run(path)
        raise _failure(error, planned, path) from None


def refuse_place(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raise PrlSubmitError if the backend must start nothing from here."""
    if refusal := backends.load(plan.backend).refusal_here(environ, plan.platform):
        raise refusal


def _start(planned: Planned, path: Path, world: World, place: Place, rerun_of: str | None) -> Run:
    """Write the files of the run and start its job."""
    record = msgspec.structs.replace(
        first_record(planned.plan, path), place=place, rerun_of=rerun_of
    )
    git = git_state(planned.plan.workdir, world.shell, world.environ)
    plan = write_files(planned, path, record, world, git)
    keep_made_of([(path, plan)], world)
    record = order_job(path, plan, record, world)
    point_latest(path)
    return Run(path, int(path.name[1:].partition("-")[0]), record)


def order_job(path: Path, plan: Plan, record: Record, world: World) -> Record:
    """Give a prepared run to its backend, or to the waiting queue where the backend cannot wait itself."""
    backend = backends.load(plan.backend)
    if plan.needs_queue or backend.shared_gpus(plan) is not None:
        from prl_submit.backends.waiting.start_queue import queue_run

        return queue_run(path, record)
    return backend.submit(path, plan, record, world.tell)


def first_record(plan: Plan, path: Path) -> Record:
    """The record of a run's first attempt, before its job has started."""
    return Record(
        name=plan.name,
        backend=plan.backend,
        job_id=None,
        submitted_at=local_now(),
        token=new_token(),
        directory=directory_of(path),
        limits=limits_of_plan(plan),
        after=[Predecessor(run=each.run, job_id=each.job_id) for each in plan.after],
    )


def write_files(
    planned: Planned,
    path: Path,
    record: Record,
    world: World,
    git: Git | None,
) -> Plan:
    """Write all files of a run but run.json; the plan for its directory."""
    file = plan_file(planned, path, git)
    (path / layout.LOGS).mkdir()
    write_inside(path, layout.SPEC, dump_spec(planned.tree))
    write_plan(path, file, record, world)
    return file.plan


def plan_file(planned: Planned, path: Path, git: Git | None) -> PlanFile:
    """What plan.json of a new run says, whose directory is `path`."""
    return PlanFile(
        values=planned.values,
        swift_version=planned.job.swift_version,
        argument_table=planned.argument_table,
        git=git,
        plan=with_run_dir(planned.plan, str(path)),
    )


def keep_made_of(runs: Sequence[tuple[Path, Plan]], world: World, *, restarts: int = 0) -> None:
    """Keep the code and the data of runs that are submitted together. What cannot be kept is only told.

    `restarts`: the number of the attempt, for a run that is resumed.
    """
    from prl_submit.made_of.recording import record_made_of

    for fault in record_made_of(runs, world.shell, world.environ, restarts=restarts):
        world.tell(f"warning: {fault}")


def point_latest(path: Path) -> None:
    """Let `latest` point to the run. The job runs whether or not that can be done."""
    with contextlib.suppress(OSError):
        directory.point_latest(path)


def _failure(error: BaseException, planned: Planned, path: Path) -> BaseException:
    """What `submit` raises for an error: in words, with the spec's line, or with the run that was started."""
    if isinstance(error, OSError):
        return PrlSubmitError(explain(error, path))
    if isinstance(error, RefusedError):
        return placed(error, planned)
    if isinstance(error, KeyboardInterrupt) and (run := directory.read_run(path)):
        return KeyboardInterrupt(run)
    return error


def remove_run(path: Path) -> None:
    """Remove the directory of a run without a job. What cannot be removed at once is tried a second time."""
    for _ in range(2):
        shutil.rmtree(path, ignore_errors=True)


def file_mode(name: str) -> int:
    """The mode of a file of a run."""
    return 0o755 if name == layout.LAUNCH else 0o644


def new_token() -> str:
    """A new mark for a job, its processes and its files: 16 hexadecimal digits."""
    return os.urandom(8).hex()


def write_plan(
    path: Path, file: PlanFile, record: Record, world: World, *, durable: bool = True
) -> None:
    """Write plan.json, and the files that are sent. `durable`: as for `write_inside`."""
    write_inside(path, layout.PLAN, encode_plan(file), durable=durable)
    for name, text in sent_files(file, record, world).items():
        write_inside(path, name, text.encode("utf-8"), file_mode(name), durable=durable)


def sent_files(file: PlanFile, record: Record, world: World) -> dict[str, str]:
    """The texts of the files that are sent; launch.lib.sh before launch.sh, which reads it."""
    files = job_files(file.plan, world.site, token=record.token, restarts=record.restarts)
    return dict(reversed(files.items()))


def placed(error: RefusedError, planned: Planned) -> RefusedError:
    """The refusal with the line of the spec that it is about."""
    problems = [as_problem(refusal, planned.tree) for refusal in error.refusals]
    return RefusedError(error.refusals, "\n".join(map(format_problem, problems)))


def require_secrets(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raise SpecError where a secret that the job inherits is not in the user's environment."""
    missing = [name for name in plan.environment.secrets if name not in environ]
    if missing and plan.traits.inherits_environment:
        raise SpecError(
            [
                Problem(
                    file=plan.spec_file,
                    line=None,
                    key="environment.secrets",
                    message=f"{name} is not set in your environment",
                    hint=f"export {name}=… before you submit",
                )
                for name in missing
            ]
        )


def _allocate(plan: Plan) -> Path:
    """A new run directory. Raises PrlSubmitError where none can be made."""
    root = Path(plan.output_root)
    try:
        return directory.allocate(root)
    except OSError as error:
        raise PrlSubmitError(explain(error, root), "see `output:` or --output-root") from None


def explain(error: OSError, path: Path) -> str:
    """Why a run directory cannot be made, in words."""
    what = error.strerror or str(error)
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        what = "a file stands where a folder should be"
    return f"output: cannot make the run directory {path}: {what}; nothing was submitted"

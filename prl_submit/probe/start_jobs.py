"""Start probe jobs with submitit, wait for them, and end them when nobody waits any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prl_submit.backends.slurm.slurm_commands import (
    SlurmCommands,
    first_line,
    gave_no_answer,
    unreachable,
)
from prl_submit.errors import PrlSubmitError
from prl_submit.probe import on_node
from prl_submit.probe.wait_for_jobs import (
    LOOK_S,
    How,
    LocalJob,
    Outcome,
    ProbeFailedError,
    ProbeJob,
    SlurmJob,
    cancel_named,
    collect,
    end,
)
from prl_submit.system.shell import Answer

_SECTION = (
    "the `slurm:` section of a SPEC is used, and SBATCH_ACCOUNT, SBATCH_QOS, SBATCH_RESERVATION"
)
_INSTALL = "pip install submitit, where `prl-submit` is installed"


def probe_local(request: dict[str, Any], how: How) -> Outcome:
    """Probe this machine. Raises PrlSubmitError if the job cannot be started."""
    submitit = load_submitit()
    with _folder(request["output_root"]) as folder, contextlib.ExitStack() as stack:
        executor = submitit.LocalExecutor(folder, python=how.python)
        executor.update_parameters(timeout_min=how.timeout_s / 60 + 1, signal_delay_s=1)
        open_jobs: list[ProbeJob] = []
        stack.callback(end, open_jobs)
        with _surroundings(folder, os.environ):
            sent = {**request, "in_job": False}
            open_jobs.append(LocalJob(executor.submit(on_node.probe_node, sent)))
        return collect(open_jobs, how)[0]


def probe_slurm(
    request: dict[str, Any],
    targets: Sequence[dict[str, Any]],
    how: How,
    slurm: SlurmCommands,
    environ: Mapping[str, str],
) -> list[Outcome]:
    """Probe one node for each target, all at once. `targets`: submitit's parameters of each job.

    Raises BackendUnreachableError, and ProbeFailedError if sbatch refuses a job.
    """
    submitit = load_submitit()
    with _folder(request["output_root"]) as folder, contextlib.ExitStack() as stack:
        open_jobs: list[ProbeJob] = []
        stack.callback(end, open_jobs)
        for target in targets:
            executor = submitit.SlurmExecutor(folder, max_num_timeout=0, python=how.python)
            script_s = min(request["script_s"], target["time"] * 60 * 0.6)
            more = {
                "additional_parameters": {
                    "chdir": folder,
                    **target.get("additional_parameters", {}),
                }
            }
            executor.update_parameters(**{**target, **more})
            sent = {**request, "in_job": True, "script_s": script_s}
            with _surroundings(folder, environ), _refusals(target, slurm):
                job = executor.submit(on_node.probe_node, sent)
                open_jobs.append(SlurmJob(job, target["partition"], target["job_name"], slurm))
        return collect(open_jobs, how)


def load_submitit() -> Any:
    """The module submitit, set to send our function by value. Raises PrlSubmitError if missing."""
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise PrlSubmitError("probe needs submitit, which is not installed", _INSTALL) from None
    import logging

    logging.getLogger("submitit").handlers.clear()  # it logs to stdout, which is for results
    cloudpickle.register_pickle_by_value(on_node)
    return submitit


@contextlib.contextmanager
def _folder(root: str) -> Iterator[str]:
    """A folder for the probe in the output root, which the nodes share; it is removed afterwards."""
    made = []
    above = root
    while not os.path.isdir(above):
        made.append(above)
        above = os.path.dirname(above)
    os.makedirs(root, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=".probe-", dir=root)
    try:
        yield folder
    finally:
        for _ in range(20):  # NFS keeps a name for each file that the job still has open
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(LOOK_S)
        with contextlib.suppress(OSError):  # no longer empty: somebody put something there
            for empty in made:
                os.rmdir(empty)


@contextlib.contextmanager
def _refusals(target: dict[str, Any], slurm: SlurmCommands) -> Iterator[None]:
    """Turn submitit's error for a job that sbatch refuses into one of ours."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        answer = Answer(1, "", str(error))
        if gave_no_answer(answer) or not answer.err.strip():
            cancel_named(
                target["job_name"], slurm
            )  # Slurm may have taken the job and lost the answer
            raise unreachable(answer) from None
        where = f"partition {target['partition']}"
        message = f"{where}: sbatch refuses the probe: {first_line(answer.err)}"
        raise ProbeFailedError(message, _SECTION) from None


@contextlib.contextmanager
def _surroundings(folder: str, environ: Mapping[str, str]) -> Iterator[None]:
    """While this lasts, a started process inherits this environment, and signals are held back.

    Its stderr is a file, because submitit's controller prints a traceback at Ctrl-C. Its working
    directory is `folder`, because `python -m` would take files of the user's for modules. Signals are
    held back so that we know the process before we end.
    """
    saved, cwd, own = os.dup(2), os.getcwd(), dict(os.environ)
    log = os.open(os.path.join(folder, "controller.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with _deferred():
            os.dup2(log, 2)
            os.chdir(folder)
            _replace_environ(environ)
            try:
                yield
            finally:
                _replace_environ(own)
                os.chdir(cwd)
                os.dup2(saved, 2)
    finally:
        os.close(saved)
        os.close(log)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Hold signals back; if one came, raise KeyboardInterrupt afterwards.

    Processes that are started meanwhile do not ignore SIGINT, with which submitit ends a local job.
    A shell makes background commands of a script ignore it, and their children would inherit that.
    """
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda which, _: seen.append(which))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if any(before[signal.Signals(which)] is not signal.SIG_IGN for which in seen):
            raise KeyboardInterrupt


def _replace_environ(environ: Mapping[str, str]) -> None:
    """Make os.environ hold exactly these variables."""
    wanted = dict(environ)
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    os.environ.update(wanted)

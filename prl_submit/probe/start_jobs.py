"""The probe job through submitit: sent, waited for, and ended when nobody waits any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prl_submit.backends.slurm.slurm_commands import Slurm, first_line, gave_no_answer, unreachable
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
_INSTALL = "pip install 'prl-submit[probe]', where `prl-submit` is installed"


def probe_local(request: dict[str, Any], how: How) -> Outcome:
    """Look at this machine. Raises PrlSubmitError where the job cannot even be started."""
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
    slurm: Slurm,
    environ: Mapping[str, str],
) -> list[Outcome]:
    """Look at one node of each target (submitit's parameters), all at once.

    Raises BackendUnreachableError; ProbeFailedError where sbatch refuses one.
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
    """submitit, told to send our function by value. Raises PrlSubmitError where it is missing."""
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise PrlSubmitError("probe needs submitit, which is not installed", _INSTALL) from None
    import logging

    logging.getLogger("submitit").handlers.clear()  # stdout is for data
    cloudpickle.register_pickle_by_value(on_node)
    return submitit


@contextlib.contextmanager
def _folder(root: str) -> Iterator[str]:
    """A folder of the probe's own in the output root, which the nodes share; gone afterwards."""
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
        for _ in range(20):  # the job's last file may still be open, which NFS keeps a name for
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(LOOK_S)
        with contextlib.suppress(OSError):  # somebody has put something there
            for empty in made:
                os.rmdir(empty)


@contextlib.contextmanager
def _refusals(target: dict[str, Any], slurm: Slurm) -> Iterator[None]:
    """What sbatch refuses, as our errors."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        answer = Answer(1, "", str(error))
        if gave_no_answer(answer) or not answer.err.strip():
            cancel_named(target["job_name"], slurm)  # it may have been taken all the same
            raise unreachable(answer) from None
        where = f"partition {target['partition']}"
        message = f"{where}: sbatch refuses the probe: {first_line(answer.err)}"
        raise ProbeFailedError(message, _SECTION) from None


@contextlib.contextmanager
def _surroundings(folder: str, environ: Mapping[str, str]) -> Iterator[None]:
    """What the started process inherits, and no interruption before it is known.

    Its complaints go to a file: submitit's controller greets SIGINT with a traceback. Not the
    user's working directory, whose files `python -m` would take for modules.
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
    """Signals that end a probe raise KeyboardInterrupt afterwards, and are not ignored by children.

    SIGINT is, in the background of a script; but with it submitit ends a local job.
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
    wanted = dict(environ)
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    os.environ.update(wanted)

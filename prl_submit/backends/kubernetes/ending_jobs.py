"""Ending jobs: they are deleted in the foreground, so the API server removes each when its pods are gone.

Several jobs of a namespace need one list of them, a request for each deletion, and two lists for each look at
what is left.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prl_submit.backends.base import ignore_message
from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.http_client import NotSentError
from prl_submit.backends.kubernetes.labels import LAST_WORDS_S
from prl_submit.backends.kubernetes.log_copy import PodLogs
from prl_submit.backends.kubernetes.objects import Pod, PyTorchJob
from prl_submit.backends.kubernetes.ownership import require_own
from prl_submit.backends.kubernetes.reasons import name_of
from prl_submit.backends.kubernetes.refusals import as_error
from prl_submit.backends.kubernetes.states import keep_end, list_jobs, list_pods
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError
from prl_submit.runs.cancellation import CancelNote
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL
from prl_submit.runs.limits import limits_of
from prl_submit.runs.record import Record
from prl_submit.system.files import remove_inside
from prl_submit.system.side_by_side import side_by_side

#: What is left of a job whose pods are gone.
_NO_PODS = "the PyTorchJob itself"
_POLL_S = 0.5
_AGAIN_S = 2.0
#: Seconds beyond their grace after which pods that do not go are given up: their node is gone.
_NODE_IS_GONE_S = 60.0

Ended = bool | PrlSubmitError


def end_jobs(
    runs: Sequence[Run], connect_to: Callable[[Record], Api], *, wait: bool
) -> list[Ended]:
    """Delete the jobs of several runs; for each whether there was one, or the error."""
    found: dict[int, Ended] = {}
    by_api: dict[Api, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        try:
            by_api[connect_to(run.require_record())].append(index)
        except PrlSubmitError as error:
            found[index] = error
    for api, indices in by_api.items():
        ended = _Ending(api, [runs[index] for index in indices]).end(wait=wait)
        found |= dict(zip(indices, ended, strict=True))
    return [found[index] for index in range(len(runs))]


class _Ending:
    """The runs of one namespace that are to end."""

    def __init__(self, api: Api, runs: Sequence[Run]) -> None:
        self._api = api
        self._runs = runs
        self._tokens = [run.require_record().token for run in runs]
        self._notes: dict[str, CancelNote] = {}

    def end(self, *, wait: bool) -> list[Ended]:
        """Order the deletions; with `wait` also wait until nothing is left of the jobs."""
        try:
            jobs = {job.token: job for job in list_jobs(self._api, self._tokens)}
        except (RefusedStatusError, BackendUnreachableError) as error:
            return [self._in_words(error, run) for run in self._runs]
        answers = side_by_side(
            lambda run: self._order(run, jobs.get(run.require_record().token)), self._runs
        )
        if wait:
            told = [
                run for run, answer in zip(self._runs, answers, strict=True) if _is_told(answer)
            ]
            departure = _Departure(told, self._api)
            departure.wait()
            faults = departure.faults
            answers = [faults.get(run.path, a) for run, a in zip(self._runs, answers, strict=True)]
        return [self._closed(run, answer) for run, answer in zip(self._runs, answers, strict=True)]

    def _order(self, run: Run, job: PyTorchJob | None) -> Ended:
        """Delete the job of a run."""
        if job is None:
            return False
        record = run.require_record()
        try:
            require_own(job, record.token, run.path, "nothing was cancelled")
            if job.metadata.deletion_timestamp is None:
                if not self._end_is_kept(run, record, job):
                    self._notes[record.token] = CancelNote(run.path)
                _delete(run, self._api, job)
        except (RefusedStatusError, PrlSubmitError) as error:
            return self._in_words(error, run)
        return True

    def _end_is_kept(self, run: Run, record: Record, job: PyTorchJob) -> bool:
        """True if the job had ended, and how it ended is now written down."""
        if not (job.condition("Failed") or job.condition("Succeeded")):
            return False
        pods = list_pods(self._api, [record.token])
        return keep_end(run, record, job, pods, self._api.now())

    def _in_words(self, error: RefusedStatusError | PrlSubmitError, run: Run) -> PrlSubmitError:
        if isinstance(error, RefusedStatusError):
            return as_error(error, self._api.namespace, f"cancel {run.name}")
        return error

    def _closed(self, run: Run, answer: Ended) -> Ended:
        """The answer; cancel.json is tried again where it could not be written before."""
        note = self._notes.get(run.require_record().token)
        try:
            if note is not None and not isinstance(answer, PrlSubmitError):
                note.close()
        except PrlSubmitError as error:
            return error
        return answer


def _is_told(answer: Ended) -> bool:
    return not isinstance(answer, PrlSubmitError)


def _delete(run: Run, api: Api, job: PyTorchJob) -> None:
    try:
        _insist_on_deleting(api, job)
    except BaseException:  # Ctrl-C too: a job that goes on must not be shown as cancelled
        remove_inside(run.path, CANCEL)
        raise


def _insist_on_deleting(api: Api, job: PyTorchJob) -> None:
    """Order the deletion again if the answer to the order was lost, because the server may have heard it or not."""
    for again in (_AGAIN_S, _AGAIN_S, None):
        try:
            api.delete(api.jobs(job.metadata.name), foreground=True, uid=job.metadata.uid)
        except RefusedStatusError as error:
            if error.status.code not in (404, 409):  # it is gone by itself since
                raise
            return
        except BackendUnreachableError as error:
            if isinstance(error, NotSentError) or again is None:
                raise
            time.sleep(again)
        else:
            return


class _Departure:
    """Waiting until jobs and their pods are gone, while what the pods still log is copied."""

    def __init__(self, runs: Sequence[Run], api: Api) -> None:
        self._api = api
        self._left = {run.path: run for run in runs}
        self._deadlines = {run.path: time.monotonic() + _patience(run) for run in runs}
        self._keepers: dict[Path, PodLogs] = {}
        self.faults: dict[Path, PrlSubmitError] = {}

    def wait(self) -> None:
        """Return when nothing is left, or nobody can say so; `faults` then has the errors by run."""
        while self._left:
            try:
                self._note(_what_is_left(list(self._left.values()), self._api))
            except RefusedStatusError as error:
                fault = as_error(error, self._api.namespace, "show its pods")
                self.faults |= {path: _not_seen(run, fault) for path, run in self._left.items()}
                break
            except BackendUnreachableError as error:
                # The order was given; only its end is not known.
                self._note(dict.fromkeys(self._left, f"not known: {error.message}"))
            if self._left:
                time.sleep(_POLL_S)
        side_by_side(PodLogs.stop, list(self._keepers.values()))

    def _note(self, words: Mapping[Path, str]) -> None:
        """Note what is left of each run."""
        for path, run in list(self._left.items()):
            if path not in words:
                del self._left[path]
            elif time.monotonic() > self._deadlines[path]:
                self.faults[path] = _stuck(run, words[path])
                del self._left[path]
            elif path not in self._keepers and words[path] != _NO_PODS:
                token = run.require_record().token
                self._keepers[path] = PodLogs(run.path, token, self._api, ignore_message)
                self._keepers[path].start()


def _what_is_left(runs: Sequence[Run], api: Api) -> dict[Path, str]:
    """The pods of jobs that are being deleted, in words, by run. A run of which nothing is left is missing."""
    paths = {run.require_record().token: run.path for run in runs}
    jobs = [job.token for job in list_jobs(api, list(paths)) if job.token in paths]
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in list_pods(api, list(paths)):
        pods[pod.token].append(pod)
    found = dict.fromkeys([paths[token] for token in jobs], _NO_PODS)
    for token, several in pods.items():
        words = ", ".join(f"{name_of(pod)} on {pod.spec.node_name}" for pod in several)
        found[paths[token]] = words
    return found


def _not_seen(run: Run, fault: PrlSubmitError) -> BackendRefusedError:
    return BackendRefusedError(
        f"{run.name}: the order to end is given; {fault.message}", fault.hint
    )


def _stuck(run: Run, left: str) -> PrlSubmitError:
    return PrlSubmitError(
        f"{run.name}: the order to end is given, but its pods do not go: {left}",
        "their node may be lost: `kubectl get pods` and `kubectl get nodes` say more",
    )


def _patience(run: Run) -> float:
    """Seconds after which pods that do not end are given up."""
    grace = limits_of(run.path, run.require_record()).grace
    return grace + LAST_WORDS_S + _NODE_IS_GONE_S

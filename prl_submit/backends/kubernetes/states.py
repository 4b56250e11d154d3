"""The states of runs, from one list of jobs for all runs. Pods and events are listed only if they are needed."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.ended_job import still_running
from prl_submit.backends.kubernetes.evidence import KubernetesEvidence
from prl_submit.backends.kubernetes.judge import judge, needs_pods
from prl_submit.backends.kubernetes.labels import (
    LAST_WORDS_S,
    MANAGED_BY,
    OURS,
    TOKEN_LABEL,
    job_name,
    kueue_queue,
    replica,
)
from prl_submit.backends.kubernetes.objects import (
    Event,
    EventList,
    Pod,
    PodChange,
    PodList,
    PyTorchJob,
    PyTorchJobList,
    seconds_of,
)
from prl_submit.backends.kubernetes.ownership import belongs, owning_directory
from prl_submit.backends.kubernetes.refusals import as_error
from prl_submit.backends.kubernetes.remaining_pods import EVENTS
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import ExitRecord, read_exit, read_node_exits
from prl_submit.runs.final_state import write_verdict
from prl_submit.runs.last_known import as_last_known, last_known, missing_since
from prl_submit.runs.layout import LOGS, pod_file, starts_file, suspensions_file
from prl_submit.runs.limits import limits_of
from prl_submit.runs.logs import writes_here
from prl_submit.runs.progress import read_progress
from prl_submit.runs.record import KubernetesJob, Limits, Record
from prl_submit.runs.states import AS_LAST_KNOWN, FINISHED, LOST, QUEUED, RUNNING, State
from prl_submit.system.reading import decode_json, read_record
from prl_submit.system.untrusted_text import one_line

#: Seconds after which a job that the API server does not have is LOST. The API server is never late, but the
#: exit.json of a job that somebody deleted may appear late on a shared file system.
MISSING_S = 10.0
#: templates/pytorchjob.yaml's ttlSecondsAfterFinished.
_TTL_S = 604800.0
#: Seconds for which an API server can tell what happened to pods (etcd is compacted every 5 minutes).
_REMEMBERED_S = 300.0
_TOKEN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
#: A selector with more tokens than this would not fit into some proxies' URLs (8 KiB).
MANY = 100

#: A context of the kubeconfig, and a namespace.
Namespace = tuple[str | None, str | None]
Connect = Callable[[str | None, str | None], Api]


class Here(Struct, frozen=True):
    """What the run directory tells at one moment. `exit`: of node 0. `others`: of the other nodes, with their ranks."""

    limits: Limits
    exit: ExitRecord | None
    others: Sequence[tuple[int, ExitRecord]]

    @property
    def is_whole(self) -> bool:
        """True if the exit.json of every node is here."""
        return self.exit is not None and len(self.others) == self.limits.nodes - 1


class ClusterAnswers(Struct, frozen=True):
    """What one namespace answered: jobs and pods by the run's token.

    `gone`: deleted pods of jobs that have just failed, each as it was last. `silence`: why there is no answer.
    `untold`: why pods or events could not be listed. `server`: the URL of the API server.
    """

    jobs: Mapping[str, PyTorchJob] = {}
    pods: Mapping[str, list[Pod]] = {}
    gone: Mapping[str, list[Pod]] = {}
    events: Sequence[Event] = ()
    now: float = 0.0
    silence: str | None = None
    untold: str | None = None
    server: str | None = None
    is_denied: bool = False


def states(runs: Sequence[Run], connect: Connect) -> list[BackendAnswer]:
    """The state of each run."""
    here = [_look(run, run.record) if run.record is not None else None for run in runs]
    by_namespace: dict[Namespace, dict[str, Here]] = defaultdict(dict)
    for run, known in zip(runs, here, strict=True):
        if run.record is not None and known is not None:
            by_namespace[namespace_of(run.record)][run.record.token] = known
    answers = {where: _ask(where, several, connect) for where, several in by_namespace.items()}
    return [_state(run, known, answers) for run, known in zip(runs, here, strict=True)]


def _look(run: Run, record: Record) -> Here:
    attempt = record.restarts
    return Here(
        limits_of(run.path, record),
        read_exit(run.path, attempt),
        read_node_exits(run.path, attempt),
    )


def cluster_of(record: Record | None) -> KubernetesJob:
    """The cluster that has a run's job. All its fields are None if the record names no cluster."""
    place = record.place if record is not None else None
    return place if isinstance(place, KubernetesJob) else KubernetesJob()


def namespace_of(record: Record) -> Namespace:
    """The context and the namespace that have a run's job."""
    cluster = cluster_of(record)
    return cluster.context, cluster.namespace


def queue_of(run: Path, record: Record) -> str | None:
    """The queue of Kueue in which a run's job waits. Records of older versions lack it; plan.json then has it."""
    if record.limits is not None:
        return cluster_of(record).queue
    from prl_submit.runs.plan_file import find_plan

    plan = find_plan(run)
    return None if plan is None else kueue_queue(plan.kubernetes)


def list_jobs(api: Api, tokens: Sequence[str]) -> list[PyTorchJob]:
    """The PyTorchJobs of these runs, by one request. Raises RefusedStatusError, and as Api.get does."""
    answer = api.get(api.jobs(), labelSelector=_selector(tokens))
    return msgspec.json.decode(answer, type=PyTorchJobList).items or []


def list_pods(api: Api, tokens: Sequence[str]) -> list[Pod]:
    """The pods of these runs, by one request. Raises as `list_jobs`."""
    answer = api.get(api.core("pods"), labelSelector=_selector(tokens))
    pods = msgspec.json.decode(answer, type=PodList).items or []
    return [pod for pod in pods if pod.token in tokens]


def list_warnings(api: Api) -> list[Event]:
    """The warnings of the namespace. Raises as `list_jobs`."""
    # resourceVersion=0 lets the server answer from its memory. The answer may be some seconds old, which is enough.
    answer = api.get(api.core("events"), fieldSelector="type=Warning", resourceVersion="0")
    return msgspec.json.decode(answer, type=EventList).items or []


def list_removals(api: Api) -> list[Event]:
    """The events of the namespace on pods that the cluster removes. Raises as `list_jobs`."""
    found: list[Event] = []
    for reason in EVENTS:
        answer = api.get(api.core("events"), fieldSelector=f"reason={reason}")
        found += msgspec.json.decode(answer, type=EventList).items or []
    return found


def _selector(tokens: Sequence[str]) -> str:
    """A selector of objects with one of these tokens. A token that cannot be a label's value is left out."""
    tokens = [token for token in tokens if _TOKEN.fullmatch(token)]
    if len(tokens) > MANY:
        return f"{MANAGED_BY}={OURS}"
    return f"{TOKEN_LABEL} in ({','.join(tokens)})" if tokens else f"{TOKEN_LABEL}=none"


def _ask(where: Namespace, here: Mapping[str, Here], connect: Connect) -> ClusterAnswers:
    try:
        api = connect(*where)
        return _ask_api(api, here)
    except PrlSubmitError as error:
        denied = isinstance(error, BackendRefusedError)
        return ClusterAnswers(silence=error.message, is_denied=denied)


def _ask_api(api: Api, here: Mapping[str, Here]) -> ClusterAnswers:
    try:
        jobs = {job.token: job for job in list_jobs(api, list(here))}
    except RefusedStatusError as error:
        raise as_error(error, api.namespace, "list its jobs", of_job=True) from None
    # The pods of a job that somebody deleted exist until they have ended, so they are listed too.
    open_tokens = [
        token
        for token, known in here.items()
        if token not in jobs or needs_pods(jobs[token], known.limits.nodes, has_word=known.is_whole)
    ]
    pods: dict[str, list[Pod]] = defaultdict(list)
    gone: dict[str, list[Pod]] = {}
    events: list[Event] = []
    untold = None
    if open_tokens:
        try:
            for pod in list_pods(api, open_tokens):
                pods[pod.token].append(pod)
            gone = _pods_that_went(api, here, jobs, pods, open_tokens)
            if any(token in jobs and not jobs[token].condition("Failed") for token in open_tokens):
                events = list_warnings(api)
            if any(_is_being_removed(pods[token]) for token in open_tokens) or gone:
                events += list_removals(api)
        except RefusedStatusError as error:
            untold = as_error(error, api.namespace, "say more").message
    return ClusterAnswers(jobs, pods, gone, events, api.now(), untold=untold, server=api.server)


def _is_being_removed(pods: Sequence[Pod]) -> bool:
    return any(pod.metadata.deletion_timestamp for pod in pods)


def _pods_that_went(
    api: Api,
    here: Mapping[str, Here],
    jobs: Mapping[str, PyTorchJob],
    pods: Mapping[str, Sequence[Pod]],
    tokens: Sequence[str],
) -> dict[str, list[Pod]]:
    """Deleted pods of jobs that failed a moment ago, each as it was last."""
    found: dict[str, list[Pod]] = {}
    for token in tokens:
        failed = jobs[token].condition("Failed") if token in jobs else None
        nodes = here[token].limits.nodes
        present = {pod.node for pod in pods.get(token, ())}
        if failed is None or len(present) >= nodes:
            continue
        at = seconds_of(failed.last_transition_time)
        # The operator wrote the job last when it called the job failed. Deletions since then are of interest.
        version = jobs[token].metadata.resource_version
        recent = at is not None and api.now() - at < _REMEMBERED_S
        found[token] = last_seen(api, token, version) if recent and version else []
    return found


def last_seen(api: Api, token: str, version: str) -> list[Pod]:
    """Pods of a run that were deleted after that resource version, each as it was last.

    A pod is deleted a moment after its container has ended, and its container's termination message with it.
    A watch from that version on returns the deleted pods, for some minutes.
    """
    try:
        answer = api.get(
            api.core("pods"),
            watch="true",
            labelSelector=_selector([token]),
            resourceVersion=version,
            timeoutSeconds="1",
        )
    except (RefusedStatusError, BackendUnreachableError):
        return []  # this account may not watch pods, or the version is too old
    changes = [_read_change(line) for line in answer.splitlines()]
    return [change.object for change in changes if change.object and change.type == "DELETED"]


def _read_change(line: bytes) -> PodChange:
    try:
        change: PodChange = decode_json(line, PodChange)
    except ValueError:  # an ERROR with a Status object: the version is too old
        return PodChange()
    return change


def _state(
    run: Run, here: Here | None, answers_by_namespace: Mapping[Namespace, ClusterAnswers]
) -> BackendAnswer:
    record = run.record
    if record is None or here is None:
        return BackendAnswer(state=State(state=LOST, reason=run.fault))
    answers = answers_by_namespace[namespace_of(record)]
    job = answers.jobs.get(record.token)
    if job is not None and not belongs(job, record.token, run.path):
        return BackendAnswer(state=_not_ours(job))
    if job is None or job.condition("Failed"):
        here = _look(
            run, record
        )  # read again: its last pods may have written after the first look and before the list of jobs
    seen = gather(run, record, here, answers)
    waits = job is not None and _waits_for_a_word(run, record, seen)
    silence = answers.silence
    if job is None and silence is None:
        silence = _elsewhere(record, answers.server)
    if job is not None:
        record = msgspec.structs.replace(record, job_id=job.metadata.name)
    answer = _judged(run, record, seen, silence, waits=waits)
    is_denied = answer.state.unreachable is not None and answers.is_denied
    state = msgspec.structs.replace(answer.state, job_id=record.job_id, is_denied=is_denied)
    if job is None:
        return msgspec.structs.replace(answer, state=state)
    return msgspec.structs.replace(answer, state=state, job_id=record.job_id, is_missing=waits)


def _judged(
    run: Run, record: Record, seen: KubernetesEvidence, silence: str | None, *, waits: bool
) -> BackendAnswer:
    """The run's state. It is final if no process of the job can be alive any more.

    `waits`: an exit.json may still appear, see `_waits_for_a_word`.
    """
    state = judge(seen)
    if state is None or (silence is not None and state.state == LOST):
        return _unknown(run, record, silence)
    if state.state not in FINISHED or silence is not None:
        return BackendAnswer(state=state)
    if waits:
        reason = f"{state.reason}; its exit.json is waited for"
        state = msgspec.structs.replace(state, state=RUNNING, reason=reason, is_ending=True)
        return BackendAnswer(state=state)
    if left := still_running(seen):
        reason = f"{state.reason} ({left})" if state.reason else left
        return BackendAnswer(state=msgspec.structs.replace(state, reason=reason))
    return BackendAnswer(state=state, is_final=True)


def _not_ours(job: PyTorchJob) -> State:
    directory = owning_directory(job)
    where = f"belongs to {one_line(directory)}" if directory else "names no run directory"
    return State(
        state=LOST, reason=f"the PyTorchJob {job.metadata.name} {where}; it is not this run's"
    )


def _waits_for_a_word(run: Run, record: Record, seen: KubernetesEvidence) -> bool:
    """True if the exit.json of a failed job's node may still appear in the run directory.

    That is so if the node's pod writes into this very directory and is gone: launch.sh has written the file
    before, but a shared file system may show it late. It is so for MISSING_S seconds only, because a
    container that was killed writes no exit.json.
    """
    if seen.job is None or not seen.job.condition("Failed"):
        return False
    known = {pod.node for pod in [*seen.pods, *seen.gone]} | {node for node, _ in seen.others}
    known |= {0} if seen.exit is not None else set()
    silent = [node for node in range(seen.nodes) if node not in known]
    job = job_name(record.name, record.token)
    if not any(writes_here(run.path / LOGS, node, f"{job}-{replica(node)}") for node in silent):
        return False
    since = missing_since(run.path, record)
    return since is None or time.time() - since <= MISSING_S


def keep_end(run: Run, record: Record, job: PyTorchJob, pods: Sequence[Pod], now: float) -> bool:
    """Write how a job ended, before its pods are deleted. False if it has not ended yet."""
    answers = ClusterAnswers({record.token: job}, {record.token: list(pods)}, now=now)
    seen = gather(run, record, _look(run, record), answers)
    if job.condition("Succeeded"):  # workers that still run cannot change that
        seen = msgspec.structs.replace(seen, pods=[pod for pod in pods if not pod.is_running])
    state = judge(seen)
    if state is None or state.state not in FINISHED:
        return False
    write_verdict(run, msgspec.structs.replace(state, job_id=record.job_id))
    return True


def gather(run: Run, record: Record, here: Here, answers: ClusterAnswers) -> KubernetesEvidence:
    """Everything that is known of a run."""
    limits = here.limits
    readmitted = _readmitted(run.path, record.token, limits)
    pods = sorted(answers.pods.get(record.token, ()), key=lambda pod: pod.node or 0)
    return KubernetesEvidence(
        job=answers.jobs.get(record.token),
        pods=pods,
        gone=answers.gone.get(record.token, ()),
        events=answers.events,
        exit=here.exit,
        others=here.others,
        cancelled=cancel_reason(run.path),
        nodes=limits.nodes,
        max_restarts=limits.max_restarts,
        restarts_before=record.restarts,
        # launch.sh counts one start more than allowed, and then ends the job. Any further starts say nothing new.
        starts=min(_starts(run.path, record.token), limits.max_restarts + 1 + readmitted),
        readmitted=readmitted,
        queue=queue_of(run.path, record),
        age=_age(record),
        untold=answers.untold,
        now=answers.now,
        grace=limits.grace + LAST_WORDS_S,
    )


def _age(record: Record) -> float:
    """Seconds since the present attempt was submitted."""
    return time.time() - datetime.fromisoformat(record.ordered_at).timestamp()


def _starts(run: Path, token: str) -> int:
    """How often launch.sh has started on node 0 of this job; 0 if the job's volume is not mounted here."""
    try:
        return read_record(starts_file(run, 0, token)).count(b"\n")
    except OSError:
        return 0


def _readmitted(run: Path, token: str, limits: Limits) -> int:
    """The number of starts that followed a suspension by Kueue. restarts.max does not limit them.

    With restarts.max 0 every further start is one of these, because the operator then restarts no failed pod.
    launch.sh counts in the same way.
    """
    again = max(_starts(run, token) - 1, 0)
    if limits.max_restarts == 0:
        return again
    try:
        return min(again, len(set(read_record(suspensions_file(run, token)).split())))
    except OSError:
        return 0


def _elsewhere(record: Record, server: str | None) -> str | None:
    """Why another cluster than the job's has answered, in words; None if it was the job's.

    That happens if another kubeconfig uses the same name for a context.
    """
    cluster = cluster_of(record)
    if cluster.server in (None, server):
        return None
    return f"the context {cluster.context!r} is of {server} now, and the job is at {cluster.server}"


def _unknown(run: Run, record: Record, silence: str | None) -> BackendAnswer:
    """The answer for a job that the API server does not have and that left no exit.json.

    It is the last known state. After MISSING_S seconds it is LOST.
    """
    if silence is not None:
        return BackendAnswer(state=as_last_known(run.path, silence))
    last = last_known(run.path)
    since = missing_since(run.path, record)
    if since is not None and time.time() - since > MISSING_S:
        state = State(state=LOST, reason=_why_lost(run, record, last))
    else:
        name = record.job_id or job_name(record.name, record.token)
        missing = f"there is no PyTorchJob {name}; asked again after {MISSING_S:g} s"
        state = State(state=last, reason=f"{AS_LAST_KNOWN}: {missing}")
    return BackendAnswer(state=state, is_missing=True)


def _why_lost(run: Run, record: Record, last: str) -> str:
    if record.job_id is None:
        return (
            "it was never submitted: the submission was interrupted before Kubernetes had the job"
        )
    what = f"PyTorchJob {record.job_id} is gone: somebody deleted it"
    if _age(record) > _TTL_S:
        what += ", or it ended more than a week ago (ttlSecondsAfterFinished)"
    if last == QUEUED:
        what += "; it is not known to have begun"
        if os.path.exists(pod_file(run.path / LOGS, 0)):
            return what
        return (
            f"{what}. If it has, its volume has its exit.json, and `prl-submit collect` brings that"
        )
    progress = read_progress(run.path)
    reached = " while it ran"
    if progress.step is not None:
        reached = f" at step {progress.step} of {progress.max_steps}"
    return f"{what}{reached}; it left no exit.json"

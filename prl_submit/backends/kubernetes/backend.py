"""Kubernetes: pytorchjob.yaml is created exactly once, and the API server is asked about the job.

run.json is written before the job is created, without a job id. The job's name and a label hold the run's token. So
whenever the submitting process or the connection dies, the token finds the job, and nothing is submitted twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import (
    Backend,
    FilesBrought,
    Finding,
    LogCopier,
    NoLogCopier,
    SweepOrder,
    ignore_message,
)
from prl_submit.backends.kubernetes import collect_files, helper_pod, labels, rights
from prl_submit.backends.kubernetes import states as kubernetes_states
from prl_submit.backends.kubernetes.api import Api, connect
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.ending_jobs import end_jobs
from prl_submit.backends.kubernetes.log_copy import PodLogs
from prl_submit.backends.kubernetes.many_jobs import Creation, create_jobs
from prl_submit.backends.kubernetes.node_log import NodeLog
from prl_submit.backends.kubernetes.objects import Pod, PyTorchJob
from prl_submit.backends.kubernetes.refusals import as_error
from prl_submit.backends.kubernetes.states import cluster_of, list_jobs, list_pods
from prl_submit.backends.kubernetes.submitting import ask_first, create
from prl_submit.backends.kubernetes.yaml_text import load
from prl_submit.backends.submit_once import Entry, record_first
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import (
    HERE,
    LOGS,
    MADE_OF,
    MANIFEST,
    NOT_GIVEN,
    node_log,
    pod_file,
)
from prl_submit.runs.limits import limits_of
from prl_submit.runs.logs import writes_here
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.record import KubernetesJob, Record
from prl_submit.system import shell
from prl_submit.system.files import write_inside
from prl_submit.system.owners import give_run
from prl_submit.system.reading import PLAN_BYTES, read_record


class KubernetesBackend(Backend):
    """A Kubernetes cluster with the training operator, through its API server."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """Ask the cluster by a dry run whether it would take the job. Raises as `submit` does."""
        api = _connect(plan.kubernetes.context, plan.kubernetes.namespace)
        said: list[str] = []
        ask_first(api, artefact, said.append)
        context = api.access.context or "this pod's own account"
        words = f"Kubernetes would take it: namespace {api.namespace} of {context} ({api.server})"
        lacking = rights.missing(api, rights.TO_FOLLOW)
        if lacking:
            said.append(f"warning: you may not {rights.in_words(lacking)}")
        return "; ".join([words, *said])

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Create the PyTorchJob. Raises RefusedError, BackendUnreachableError, or OutcomeUnknownError."""
        found = _creation(run, plan, record, tell)
        ask_first(found.api, found.manifest, tell)

        def order() -> str:
            create(found.api, found.manifest, found.name, record.token)
            return found.name

        return record_first(run, found.entry.before, found.entry.record, order)

    def submit_many(
        self, sweep: SweepOrder, tell: Callable[[str], None] = ignore_message
    ) -> list[Record]:
        """Create the PyTorchJobs, several at a time; with max_parallel the waiting queue creates them.

        One job of each size is asked about first, so that a wrong spec is refused before a job is there.
        """
        if sweep.max_parallel is not None:
            from prl_submit.backends.waiting.start_queue import queue_sweep

            return queue_sweep(sweep)
        todo = [_creation(item.run, item.plan, item.record, tell) for item in sweep.items]
        asked: set[bytes] = set()
        for item, creation in zip(sweep.items, todo, strict=True):
            size = msgspec.json.encode((item.plan.resources, item.plan.kubernetes))
            if size not in asked:
                ask_first(creation.api, creation.manifest, tell)
                asked.add(size)
        return create_jobs(todo)

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """The state of each run, from one list of jobs for all runs of a namespace."""
        return kubernetes_states.states(runs, _connect)

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Delete the job in the foreground: the API server removes it when its pods are gone."""
        [ended] = end_jobs([run], _connect_to, wait=wait)
        if isinstance(ended, PrlSubmitError):
            raise ended
        return ended

    def cancel_many(self, runs: Sequence[Run], *, wait: bool) -> list[bool | PrlSubmitError]:
        """Delete the jobs of several runs, several at a time."""
        return end_jobs(runs, _connect_to, wait=wait)

    def node_name(self, node: int) -> str:
        """The name of a node of the job on Kubernetes: `master-0`, `worker-0`."""
        return labels.replica(node)

    def log_copier(self, run: Run, tell: Callable[[str], None] = ignore_message) -> LogCopier:
        """What brings the pods' logs here. Raises BackendUnreachableError, PrlSubmitError."""
        record = run.require_record()
        if _write_here(run, record):
            return NoLogCopier()
        api = _connect_to(record)
        return PodLogs(run.path, record.token, api, tell)

    def is_left(self, run: Run) -> bool:
        """True if pods of the job still run. The job ends with its first node, and the other pods may go on."""
        record = run.require_record()
        api = _connect_to(record)
        try:
            return any(pod.is_running for pod in list_pods(api, [record.token]))
        except RefusedStatusError as error:
            raise as_error(error, api.namespace, f"show the pods of {run.name}") from None

    def collect(self, run: Run, only: Sequence[str], tell: Callable[[str], None]) -> FilesBrought:
        """Bring what the job wrote into the run directory, where it is on a volume of the pods alone.

        `only`: patterns of names in the run directory; none: all of it. Raises PrlSubmitError.
        """
        record = run.require_record()
        if _write_here(run, record):
            tell(
                f"{run.name}: the pods write into this very directory; there is nothing to collect"
            )
            return FilesBrought(0, 0)
        api = _connect_to(record)
        plan = read_plan(run.path).plan
        try:
            pods = list_pods(api, [record.token])
            with _reader(run, api, [pod for pod in pods if pod.node == 0], tell) as reader:
                return _collect(run, plan, reader, only, pods, tell)
        except RefusedStatusError as error:
            raise as_error(error, api.namespace, f"collect {run.name}") from None

    def where_files_are(self, run: Run) -> str | None:
        """On the volume of the pods, unless node 0 writes into this very directory."""
        if pod_file(run.path / LOGS, 0).exists():
            return None
        return "its pods write to a volume of theirs"

    def doctor(self) -> Finding:
        """The cluster of the current context, as the account there sees it."""
        try:
            api = _connect(None, None)
            account = api.access.context or "this pod"
            where = f"namespace {api.namespace} of {account} ({api.server})"
            knows, lacks = rights.knows_pytorchjobs(api), rights.missing(api)
        except RefusedStatusError as error:
            refused = as_error(error, api.namespace, "answer")
            return Finding("Kubernetes", None, f"{where}: {refused.message}", refused.hint)
        except PrlSubmitError as error:
            return Finding("Kubernetes", None, error.message, error.hint)
        if not knows:
            hint = "install the training operator; docs/kubernetes.md shows how"
            return Finding("Kubernetes", None, f"{where}: knows no PyTorchJobs", hint)
        if lacks:
            words = f"{where}: you may not {rights.in_words(lacks)}"
            return Finding("Kubernetes", None, words, "see docs/kubernetes.md")
        detail = f"{where}: the training operator's jobs are known, and you have all rights"
        return Finding("Kubernetes", True, detail)


def _creation(run: Path, plan: Plan, record: Record, tell: Callable[[str], None]) -> Creation:
    """What creates the PyTorchJob of a prepared run, whose files are then the pods' to read and write."""
    before = read_run(run)
    api = _where_it_was(before, plan)
    manifest = read_record(run / MANIFEST, PLAN_BYTES).decode("utf-8")
    _give_to_pods(run, plan, record, tell)
    queue = labels.kueue_queue(plan.kubernetes)
    place = KubernetesJob(api.access.context, api.namespace, api.server, queue)
    entry = Entry(run, before, msgspec.structs.replace(record, place=place))
    return Creation(entry, api, manifest, labels.job_name(plan.name, record.token))


def _where_it_was(before: Run | None, plan: Plan) -> Api:
    """The cluster that the spec names, else the current one; for a resumed run, the one that has its volume."""
    context, namespace = plan.kubernetes.context, plan.kubernetes.namespace
    last = cluster_of(before.record if before is not None else None)
    context, namespace = last.context or context, last.namespace or namespace
    api = _connect(context, namespace)
    if last.server not in (None, api.server):
        raise BackendUnreachableError(
            f"the run is at {last.server}, and the context {context!r} is of {api.server} now",
            "set KUBECONFIG to the file that has its cluster",
        )
    return api


def _give_to_pods(run: Path, plan: Plan, record: Record, tell: Callable[[str], None]) -> None:
    """Let the pods write into the run directory, and let them recognize it, if they mount the same volume."""
    write_inside(run, HERE, record.token.encode("ascii"), durable=False)
    if os.geteuid() != 0:
        return
    try:
        give_run(run, plan.uid, plan.gid, kept=NOT_GIVEN, folders=(LOGS, MADE_OF))
    except OSError as error:
        tell(
            f"warning: {run} cannot be given to uid {plan.uid}, as which the pods run: {error.strerror};"
            " they write there only if the folder lets them"
        )


def _write_here(run: Run, record: Record) -> bool:
    """True if all pods of the job are known to write their logs into this very folder."""
    nodes = limits_of(run.path, record).nodes
    job = labels.job_name(record.name, record.token)
    return all(
        writes_here(run.path / LOGS, node, f"{job}-{labels.replica(node)}") for node in range(nodes)
    )


@contextlib.contextmanager
def _reader(
    run: Run, api: Api, pods: Sequence[Pod], tell: Callable[[str], None]
) -> Iterator[collect_files.PodReader]:
    """A pod that mounts the volume: the running master, else a helper pod."""
    for pod in pods:
        if pod.is_running:
            yield collect_files.PodReader(api, pod.metadata.name)
            return
    manifest = load(read_record(run.path / MANIFEST, PLAN_BYTES))
    node = pods[-1].spec.node_name if pods else None
    job = _find(api, run.require_record())
    owner = job.metadata if job is not None and job.metadata.deletion_timestamp is None else None
    with helper_pod.running(api, helper_pod.helper_pod(manifest, node, owner), tell) as name:
        yield collect_files.PodReader(api, name)


def _collect(
    run: Run,
    plan: Plan,
    reader: collect_files.PodReader,
    only: Sequence[str],
    pods: Sequence[Pod],
    tell: Callable[[str], None],
) -> FilesBrought:
    is_over = not any(pod.is_running for pod in pods)
    files = collect_files.listing(reader, plan.run_dir)
    wanted = collect_files.chosen(files, only, with_logs=is_over)
    if only and not wanted:
        there = ", ".join(dict.fromkeys(file.path.partition("/")[0] for file in files)) or "nothing"
        raise PrlSubmitError(f"no file of the run matches {','.join(only)}", f"there are: {there}")
    new = [file for file in wanted if not collect_files.is_here(file, run.path)]
    for number, file in enumerate(new, 1):
        tell(f"{number}/{len(new)} {file.path} ({file.size} bytes)")
        collect_files.fetch(reader, plan.run_dir, file, run.path, tell)
    brought = {file.path for file in new}
    for node in range(plan.resources.nodes):
        if str(node_log(Path(LOGS), node)) in brought:
            NodeLog(run.path / LOGS, node).mark_complete(pod for pod in pods if pod.node == node)
    return FilesBrought(len(new), sum(file.size for file in new))


def _find(api: Api, record: Record) -> PyTorchJob | None:
    jobs = [job for job in list_jobs(api, [record.token]) if job.token == record.token]
    return jobs[0] if jobs else None


def _connect_to(record: Record) -> Api:
    """The API server that has a run's job. Raises as `connect`."""
    cluster = cluster_of(record)
    return _connect(cluster.context, cluster.namespace)


@cache  # a connection costs more than a question
def _connect(context: str | None, namespace: str | None) -> Api:
    return connect(context, namespace, os.environ, shell.run)


BACKEND = KubernetesBackend()

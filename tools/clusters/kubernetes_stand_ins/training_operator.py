"""A stand-in for Kubeflow's training operator: it makes the pods and services of PyTorchJobs.

usage: python -m tools.clusters.kubernetes_stand_ins.training_operator ROOT API_PORT [--old]

It behaves as version 1.9.4, with --old as version 1.5. That includes their faults, because users meet
them:
- A running pod that is being deleted counts as failed at once, although its container still runs.
- Nothing wakes the operator at a job's deadline.
- Version 1.5 leaves a job restarting for ever if its pod failed for good under restartPolicy ExitCode.
- A failed job may have no completionTime; then its time to live never ends.
Elastic jobs and gang scheduling are not supported.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Key, Mirror, Object, key_of
from tools.clusters.kubernetes_stand_ins.operator_conditions import (
    is_finished,
    is_true,
    set_condition,
)
from tools.clusters.kubernetes_stand_ins.operator_events import KIND, Events, now
from tools.clusters.kubernetes_stand_ins.operator_limits import (
    is_active,
    limit_reached,
    phase_of,
    pods_of,
    seconds_since,
)
from tools.clusters.kubernetes_stand_ins.operator_pods import (
    CONTAINER,
    PREFIX,
    job_labels,
    new_pod,
    new_service,
    replica_name,
    replicas_of,
    selector,
)
from tools.clusters.kubernetes_stand_ins.operator_queue import WorkQueue

JOBS = "/apis/kubeflow.org/v1/pytorchjobs"
OWN_NAME = "kubeflow.org/training-operator"
#: Stands for the exit code of a container that has not ended; no process has it.
NO_CODE = 0xBEEF


class NoCompletionTimeError(Exception):
    """A failed job with a time to live has no completionTime. The real operator fails on it for ever too."""


@dataclass
class Work:
    """A job and its pods, read at one moment."""

    job: Object
    replicas: dict[str, Object]
    status: Object
    pods: list[Object]

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.job["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The job's namespace."""
        return str(self.job["metadata"]["namespace"])

    @property
    def policy(self) -> Object:
        """The job's runPolicy."""
        found: Object = self.job["spec"].get("runPolicy", {})
        return found

    def path(self, plural: str, name: str = "") -> str:
        """The path of a collection in the job's namespace, or of an object in it."""
        group = "/apis/kubeflow.org/v1" if plural == "pytorchjobs" else "/api/v1"
        base = f"{group}/namespaces/{self.namespace}/{plural}"
        return f"{base}/{name}" if name else base


class Operator:
    """Looks at a job whenever the job, a pod of it or a service of it changes."""

    def __init__(self, api: Api, *, old: bool) -> None:
        self._api = api
        self._old = old
        self._events = Events(api)
        self._queue = WorkQueue()

    def run(self) -> None:
        """Handle one job after the other, for ever."""
        Mirror(self._api, JOBS, self._job_changed)
        for plural in ("pods", "services"):
            Mirror(self._api, f"/api/v1/{plural}", self._part_changed)
        while True:
            key = self._queue.get()
            try:
                self._reconcile(key)
            except Exception as error:  # an error with one job must not end the others
                sys.stderr.write(f"{'/'.join(key)}: {error!r}\n")
                self._queue.failed(key)
            else:
                self._queue.succeeded(key)

    # --- what is to be looked at

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        """A job is new, was changed, or was removed."""
        if thing := new or old:
            self._queue.add(key_of(thing))

    def _part_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod or service was changed: look at the job that owns it, if one does."""
        if thing := new or old:
            for owner in thing["metadata"].get("ownerReferences", []):
                if owner["kind"] == KIND and owner.get("controller"):
                    self._queue.add((thing["metadata"]["namespace"], owner["name"]))

    def _read(self, key: Key) -> Work | None:
        """The job of that name with its pods; None where there is nothing to do for us."""
        namespace, name = key
        job = self._api.find(f"/apis/kubeflow.org/v1/namespaces/{namespace}/pytorchjobs/{name}")
        if job is None or "deletionTimestamp" in job["metadata"]:
            return None
        work = Work(job, replicas_of(job), copy.deepcopy(job.get("status", {})), [])
        if not self._old and work.policy.get("managedBy", OWN_NAME) != OWN_NAME:
            return None
        work.pods = [pod for pod in self._parts(work, "pods") if self._old or _is_owned(pod, job)]
        return work

    def _parts(self, work: Work, plural: str) -> list[Object]:
        """The pods or services with the job's labels."""
        labels = selector(job_labels(work.job))
        found: list[Object] = self._api.get(work.path(plural), labelSelector=labels)["items"]
        return found

    # --- what is done

    def _reconcile(self, key: Key) -> None:
        """Make what the job should have, and write its status."""
        work = self._read(key)
        if work is None:
            return
        text = f"{KIND} {work.name} is created."
        set_condition(work.status, "Created", f"{KIND}Created", text)
        if is_finished(work.status):
            self._clean_up(work)
        elif work.policy.get("suspend") and not self._old:
            self._suspend(work)
        else:
            self._resume(work)
            self._report_pods(work)
            message = limit_reached(work.name, work.policy, work.replicas, work.status, work.pods)
            if message:
                self._fail_at_limit(work, message)
            else:
                self._keep_running(work)
        self._write(work)

    def _write(self, work: Work) -> None:
        """Write the status if it has changed. The API refuses it if somebody changed the job meanwhile."""
        if work.status != work.job.get("status"):
            work.status.setdefault("replicaStatuses", {})
            path = work.path("pytorchjobs", work.name) + "/status"
            self._api.replace(path, work.job | {"status": work.status})

    def _clean_up(self, work: Work) -> None:
        """Clean up after a job that has ended."""
        self._remove_pods(work, work.policy.get("cleanPodPolicy", "None"))
        self._expire(work)
        if is_true(work.status, "Succeeded"):
            for one in work.status.get("replicaStatuses", {}).values():
                _count(one, "succeeded", one.pop("active", 0))

    def _expire(self, work: Work) -> None:
        """Remove the job when its time to live has ended."""
        ttl = work.policy.get("ttlSecondsAfterFinished")
        if ttl is None:
            return
        if "completionTime" not in work.status:
            raise NoCompletionTimeError("job completion time is nil, cannot cleanup")
        rest = ttl - seconds_since(work.status["completionTime"])
        if rest > 0:
            self._queue.add((work.namespace, work.name), rest)
            return
        self._api.delete(work.path("pytorchjobs", work.name))
        self._events.normal(work.job, "SuccessfulDeletePod", f"Deleted job: {work.name}")
        work.status = work.job.get("status", {})

    def _suspend(self, work: Work) -> None:
        """Remove the job's pods until somebody resumes the job."""
        self._remove_pods(work, "All")
        for one in work.status.get("replicaStatuses", {}).values():
            one.pop("active", None)
        reason, message = self._reason("Suspended"), f"{KIND} {work.name} is suspended."
        if is_true(work.status, "Running"):
            set_condition(work.status, "Running", reason, message, value="False")
        if not is_true(work.status, "Suspended"):
            set_condition(work.status, "Suspended", reason, message)
        self._events.normal(work.job, reason, message)

    def _resume(self, work: Work) -> None:
        """Note that a suspended job goes on; its running time begins anew."""
        if is_true(work.status, "Suspended"):
            reason, message = self._reason("Resumed"), f"{KIND} {work.name} is resumed."
            set_condition(work.status, "Suspended", reason, message, value="False")
            work.status["startTime"] = now()
            self._events.normal(work.job, reason, message)

    def _fail_at_limit(self, work: Work, message: str) -> None:
        """Fail the job, because it reached its deadline or its number of failures."""
        work.status.setdefault("completionTime", now())
        self._remove_pods(work, work.policy.get("cleanPodPolicy", "None"))
        self._events.normal(work.job, self._reason("Failed"), message)
        set_condition(work.status, "Failed", self._reason("Failed"), message)

    def _keep_running(self, work: Work) -> None:
        """Make missing pods and services, handle failed pods, and set the job's conditions."""
        services = {service["metadata"]["name"] for service in self._parts(work, "services")}
        for kind, spec in work.replicas.items():
            self._keep_pods(work, kind)
            for index in range(spec["replicas"]):
                if replica_name(work.job, kind, index) not in services:
                    service = new_service(work.job, work.replicas, kind, index)
                    self._create(work, "Service", service)
        work.status.setdefault("startTime", now())
        for kind in work.replicas:
            self._judge(work, kind)
            if is_true(work.status, "Succeeded"):
                return

    # --- pods

    def _keep_pods(self, work: Work, kind: str) -> None:
        """Make the missing pods of a replica type, and count its pods in the status."""
        spec: Object = work.replicas[kind]
        counts: Object = {}
        work.status.setdefault("replicaStatuses", {})[kind] = counts
        there = {
            int(pod["metadata"]["labels"][PREFIX + "replica-index"]): pod
            for pod in pods_of(work.pods, kind)
        }
        for index in range(max([spec["replicas"], *(found + 1 for found in there)])):
            pod = there.get(index)
            if pod is None:
                if spec["template"]["spec"].get("restartPolicy"):
                    self._warn_of_restart_policy(work)
                body = new_pod(work.job, work.replicas, kind, index, old=self._old)
                self._create(work, "Pod", body)
                continue
            if index >= spec["replicas"]:
                self._remove_pod(work, pod)
            self._look_at(work, kind, pod)
            self._count_pod(counts, pod)

    def _look_at(self, work: Work, kind: str, pod: Object) -> None:
        """Replace a failed pod, or fail the job."""
        policy, code = work.replicas[kind]["restartPolicy"], _exit_code(pod)
        if code != NO_CODE:
            message = f"Pod: {work.namespace}.{pod['metadata']['name']} exited with code {code}"
            self._events.normal(work.job, "ExitedWithCode", message)
        if phase_of(pod) != "Failed" or policy == "Never":
            return
        # NO_CODE, for example of an evicted pod, is above 127 too.
        again = policy != "ExitCode" or code >= 128
        if again:
            self._remove_pod(work, pod)
        if self._old:
            return
        verb = "restarting" if again else "failing"
        kinds = (work.name, kind) if again else (f'"{work.name}"', f'"{kind}"')
        message = f"job {kinds[0]} is {verb} because {kinds[1]} replica(s) failed."
        condition = "Restarting" if again else "Failed"
        self._events.warning(work.job, self._reason(condition), message)
        set_condition(work.status, condition, self._reason(condition), message)

    def _count_pod(self, counts: Object, pod: Object) -> None:
        """Count a pod for its replica type. A pending pod is not counted."""
        phase = phase_of(pod)
        if phase == "Running":
            ending = "deletionTimestamp" in pod["metadata"] and not self._old
            _count(counts, "failed" if ending else "active", 1)
        elif phase in ("Succeeded", "Failed"):
            _count(counts, phase.lower(), 1)

    def _judge(self, work: Work, kind: str) -> None:
        """Set the job's conditions by the counts of a replica type."""
        spec, counts = work.replicas[kind], work.status["replicaStatuses"][kind]
        self._select(work, kind, counts)
        active, done, failed = (counts.get(key, 0) for key in ("active", "succeeded", "failed"))
        if kind == "Master" or "Master" not in work.replicas:
            if active:
                self._set(work, "Running", f"{KIND} {work.name} is running.")
            if done == spec["replicas"]:
                message = f"{KIND} {work.name} is successfully completed."
                self._events.normal(work.job, self._reason("Succeeded"), message)
                work.status.setdefault("completionTime", now())
                self._set(work, "Succeeded", message)
                return
        if not failed or spec["replicas"] <= done + active:
            return
        what = f"because {failed} {kind} replica(s) failed."
        if spec["restartPolicy"] != "Never":
            message = f"{KIND} {work.name} is restarting {what}"
            self._events.warning(work.job, self._reason("Restarting"), message)
            self._set(work, "Restarting", message)
        else:
            message = f"{KIND} {work.name} is failed {what}"
            self._events.normal(work.job, self._reason("Failed"), message)
            if not self._old:  # 1.5 loses it
                work.status.setdefault("completionTime", now())
            self._set(work, "Failed", message)

    def _select(self, work: Work, kind: str, counts: Object) -> None:
        """Write the selector of the counted pods. That of 1.5 names a label that no pod has."""
        key = PREFIX + "replica-type"
        if self._old:
            counts["labelSelector"] = {"matchLabels": job_labels(work.job) | {key: kind}}
        else:
            counts["selector"] = selector(job_labels(work.job) | {key: kind.lower()})

    def _report_pods(self, work: Work) -> None:
        """Write events about pods that wait for something or have failed."""
        for pod in filter(is_active, work.pods):
            name, status = pod["metadata"]["name"], pod["status"]
            containers = status.get("containerStatuses") or status.get("initContainerStatuses")
            conditions = sorted(
                status.get("conditions", []), key=lambda one: str(one.get("lastTransitionTime"))
            )
            if containers:
                for container in containers:
                    self._report_container(work, name, container)
            elif conditions and conditions[-1]["status"] != "True":
                text = f"Error pod {name} condition message: {conditions[-1].get('message', '')}"
                self._events.warning(work.job, conditions[-1].get("reason", ""), text)

    def _report_container(self, work: Work, pod: str, container: Object) -> None:
        """Write an event about a container that failed, or that waits with a message."""
        where = f"Error pod {pod} container {container['name']}"
        ended = container.get("state", {}).get("terminated")
        if ended and ended["exitCode"]:
            text = f"exitCode: {ended['exitCode']} terminated message: {ended.get('message', '')}"
            self._events.warning(work.job, ended.get("reason", ""), f"{where} {text}")
        waits = container.get("state", {}).get("waiting")
        if waits and waits.get("message"):
            text = f"{where} waiting message: {waits['message']}"
            self._events.warning(work.job, waits.get("reason", ""), text)

    # --- single steps

    def _reason(self, condition: str) -> str:
        """The reason of a condition and of its event."""
        return f"{'Job' if self._old else KIND}{condition}"

    def _set(self, work: Work, condition: str, message: str) -> None:
        """Set a condition with its usual reason."""
        set_condition(work.status, condition, self._reason(condition), message)

    def _warn_of_restart_policy(self, work: Work) -> None:
        """Warn that the restart policy in the pod template does not count."""
        reason = f"{'Setted' if self._old else 'Set'}PodTemplateRestartPolicy"
        text = (
            "Restart policy in pod template will be overwritten by restart policy in replica spec"
        )
        self._events.warning(work.job, reason, text)

    def _create(self, work: Work, kind: str, body: Object) -> None:
        """Create a pod or service. If the API refuses, the job is looked at again later."""
        try:
            self._api.create(work.path(f"{kind.lower()}s"), body)
        except ApiError as error:
            self._events.warning(work.job, f"FailedCreate{kind}", f"Error creating: {error}")
            raise
        message = f"Created {kind.lower()}: {body['metadata']['name']}"
        self._events.normal(work.job, f"SuccessfulCreate{kind}", message)

    def _remove_pods(self, work: Work, policy: str) -> None:
        """Remove all pods, or those that still run, with their services."""
        if policy == "None":
            return
        for pod in work.pods:
            if policy == "All" or phase_of(pod) in ("Running", "Pending"):
                self._remove_pod(work, pod)
                self._remove(work, "Service", pod["metadata"]["name"])

    def _remove_pod(self, work: Work, pod: Object) -> None:
        """Remove a pod, unless it is being deleted already."""
        if "deletionTimestamp" not in pod["metadata"]:
            self._remove(work, "Pod", pod["metadata"]["name"])

    def _remove(self, work: Work, kind: str, name: str) -> None:
        """Remove a pod or service, if it exists."""
        try:
            self._api.delete(work.path(f"{kind.lower()}s", name))
        except ApiError as error:
            if error.code == 404:
                return
            self._events.warning(work.job, f"FailedDelete{kind}", f"Error deleting: {error}")
            raise
        message = f"Deleted {kind.lower()}: {name}"
        self._events.normal(work.job, f"SuccessfulDelete{kind}", message)


def _is_owned(pod: Object, job: Object) -> bool:
    """True if this job made the pod, not an earlier job of the same name."""
    owners = pod["metadata"].get("ownerReferences", [])
    return any(one.get("controller") and one["uid"] == job["metadata"]["uid"] for one in owners)


def _exit_code(pod: Object) -> int:
    """The exit code of the container that trains; NO_CODE if it has not ended."""
    for container in pod["status"].get("containerStatuses", []):
        ended = container.get("state", {}).get("terminated")
        if container["name"] == CONTAINER and ended:
            return int(ended["exitCode"])
    return NO_CODE


def _count(counts: Object, key: str, more: int) -> None:
    """Add to a count; a count of zero is not written."""
    if more:
        counts[key] = counts.get(key, 0) + more


def main() -> None:
    """Run until killed."""
    root, port, *words = sys.argv[1:]
    api = Api(int(port), cluster_paths.certificates(Path(root)))
    Operator(api, old="--old" in words).run()


if __name__ == "__main__":
    main()

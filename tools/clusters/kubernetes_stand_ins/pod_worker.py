"""One pod on its node: a thread looks at it again and again, from its first sight to its end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tools.clusters.kubernetes_stand_ins import cluster_paths, images, whole_files
from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object, UnreachableError
from tools.clusters.kubernetes_stand_ins.api_writes import Outbox
from tools.clusters.kubernetes_stand_ins.container_command import ConfigError
from tools.clusters.kubernetes_stand_ins.containers import Container
from tools.clusters.kubernetes_stand_ins.field_refs import FieldError
from tools.clusters.kubernetes_stand_ins.hosts import hosts_text, write_hosts
from tools.clusters.kubernetes_stand_ins.pod_status import CREATING, Verdict, phase_of, status_of
from tools.clusters.kubernetes_stand_ins.sandbox import Sandbox, SandboxError, network_of
from tools.clusters.kubernetes_stand_ins.shim_spec import CreateError, shim_spec, with_own_files
from tools.clusters.kubernetes_stand_ins.times import stamp
from tools.clusters.kubernetes_stand_ins.volumes import VolumeError, Volumes

#: Seconds until a failed step is tried again.
RETRY = 1.0
#: Seconds before a container is started again: after its first end, and after each later one.
BACK_OFF = (1.0, 2.0)
DEFAULT_GRACE = 30
EVICTED = Verdict("Evicted", "The node was low on resource: memory. ")
TOO_LATE = Verdict(
    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
)


class Node(NamedTuple):
    """What all pods of this kubelet share."""

    root: Path
    api: Api
    statuses: Outbox
    events: Outbox
    services: Callable[[str], list[str]]
    peers: Callable[[str], Iterable[PodWorker]]


class PodWorker:
    """Runs a pod."""

    def __init__(self, node: Node, pod: Object) -> None:
        self.pod = pod
        self.network = network_of(pod)
        self._node = node
        self._folder = cluster_paths.pods(node.root) / pod["metadata"]["uid"]
        self.sandbox = Sandbox(self._folder)
        self._volumes = Volumes(node.root, node.api, pod, self._folder / "volumes")
        spec = pod["spec"]
        self.initials = [self._container(one) for one in spec.get("initContainers", [])]
        self.containers = [self._container(one) for one in spec["containers"]]
        self._policy: str = spec.get("restartPolicy", "Always")
        self._wake = threading.Event()
        self._is_gone = False
        self._has_volumes = False
        self._had_sandbox = False
        self._last_told: Object | None = None
        self._told: set[str] = set()
        self._kill_at: float | None = None
        self._grace: float | None = None
        self._is_removed = False
        self._verdict: Verdict | None = None
        #: The pod had ended before this kubelet saw it.
        self._was_over = False
        #: Set when nothing is left of the pod.
        self.is_finished = threading.Event()
        self._load()
        name = pod["metadata"]["name"]
        threading.Thread(target=self._run, daemon=True, name=f"pod {name}").start()

    # --- what others say

    def update(self, pod: Object) -> None:
        """Take over the pod's new version."""
        self.pod = pod
        self._wake.set()

    def forget(self) -> None:
        """The pod was removed from the API."""
        self._is_gone = True
        self._wake.set()

    def evict(self) -> None:
        """Fail the pod, because the node has no memory left."""
        self._decide(EVICTED)
        self._wake.set()

    def write_hosts(self) -> None:
        """Write /etc/hosts of the pod's containers."""
        meta = self.pod["metadata"]
        services = self._node.services(meta["namespace"])
        with contextlib.suppress(FileNotFoundError):
            write_hosts(self._hosts, hosts_text(meta["name"], meta["namespace"], services))

    def container(self, name: str) -> Container | None:
        """A container or init container of the pod; None if there is none of that name."""
        return next((one for one in self._all if one.name == name), None)

    # --- the thread

    def _run(self) -> None:
        """Look at the pod until nothing is left of it."""
        while not self.is_finished.is_set():
            self._wake.clear()
            try:
                delay = self._step()
            except UnreachableError:
                delay = 0.2
            except Exception:
                traceback.print_exc()
                delay = RETRY
            if not self.is_finished.is_set():
                self._wake.wait(delay)

    def _step(self) -> float | None:
        """Look at the pod once; the seconds until it must be looked at again."""
        if self._is_gone:
            self._abandon()
            return None
        if self._was_over:
            return None
        self._report()
        left = self._check_deadline()
        delay = self._look()
        self._report()
        return min((one for one in (left, delay) if one is not None), default=None)

    def _look(self) -> float | None:
        """Do what the pod needs now; the seconds until it must be looked at again."""
        if "deletionTimestamp" in self.pod["metadata"]:
            return self._delete()
        if self._verdict:
            grace = self.pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)
            return self._stop(0 if self._verdict.reason == EVICTED.reason else grace)
        if phase_of(self._policy, self.initials, self.containers) in ("Succeeded", "Failed"):
            self.sandbox.stop()
            return None
        self._update_volumes()
        return self._advance()

    def _advance(self) -> float | None:
        """Start the next init container, or all containers that should run."""
        for one in self.initials:
            if not one.is_done:
                return self._bring_up(one)
        delays = [self._bring_up(one) for one in self.containers]
        return min((one for one in delays if one is not None), default=None)

    # --- starts

    def _bring_up(self, one: Container) -> float | None:
        """Start a container if it should run; the seconds until that may be tried again."""
        if one.is_running or not self._should_run(one):
            return None
        if one.ended and one.waiting[0] == CREATING:
            self._back_off(one)
        if one.due > time.monotonic():
            return one.due - time.monotonic()
        if not self._prepare():
            return RETRY
        if not self._pull(one):
            return RETRY
        return self._start(one)

    def _should_run(self, one: Container) -> bool:
        """True if the pod's restart policy wants the container to run."""
        if one.ended is None:
            return True
        if one in self.initials:
            return self._policy != "Never"
        return self._policy == "Always" or (self._policy == "OnFailure" and one.ended.code != 0)

    def _back_off(self, one: Container) -> None:
        """Make the container wait a while before it is started again."""
        seconds = BACK_OFF[min(len(one.attempts), len(BACK_OFF)) - 1]
        meta = self.pod["metadata"]
        where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        one.due = time.monotonic() + seconds
        text = f"back-off {seconds:g}s restarting failed container={one.name} pod={where}"
        one.waiting = ("CrashLoopBackOff", text)
        self._event("Warning", "BackOff", "Back-off restarting failed container")

    def _prepare(self) -> bool:
        """Set up the volumes and the sandbox; False if that failed."""
        if not self._has_volumes:
            try:
                self._volumes.set_up(self.pod)
            except VolumeError as error:
                self._tell_once("Warning", "FailedMount", str(error))
                return False
            self._has_volumes = True
            self.write_hosts()
        if self.sandbox.pid() is None:
            meta = self.pod["metadata"]
            hostname = self.pod["spec"].get("hostname", meta["name"])
            peers = self._node.peers(self.network) if self.network else []
            others = [one.sandbox for one in peers]
            try:
                self.sandbox.start(hostname, self._volumes.memory, self.network, others)
            except SandboxError as error:
                self._tell_once("Warning", "FailedCreatePodSandBox", str(error))
                return False
        self._had_sandbox = True
        return True

    def _pull(self, one: Container) -> bool:
        """True if the container's image can be pulled."""
        image = one.spec["image"]
        refused = images.refusal(image)
        if refused is None:
            self._tell_once(
                "Normal", "Pulled", f'Container image "{image}" already present on machine'
            )
            return True
        if refused.reason == "ErrImagePull" and one.waiting[0] == "ErrImagePull":
            refused = images.back_off(image)
            self._tell_once("Normal", "BackOff", refused.message)
        elif refused.reason == "ErrImagePull":
            self._event("Normal", "Pulling", f'Pulling image "{image}"')
            self._event("Warning", "Failed", f'Failed to pull image "{image}": {refused.message}')
        else:
            self._tell_once("Warning", "InspectFailed", refused.message)
        self._tell_once("Warning", "Failed", f"Error: {refused.reason}")
        one.waiting = refused
        one.due = time.monotonic() + RETRY
        return False

    def _start(self, one: Container) -> float | None:
        """Start the container's next attempt."""
        sandbox = self.sandbox.pid()
        assert sandbox is not None
        try:
            spec = shim_spec(
                self._node.root,
                self._node.api,
                self.pod,
                one.spec,
                self._volumes.places,
                sandbox=sandbox,
                number=len(one.attempts),
            )
        except (ConfigError, FieldError, ApiError) as error:
            return self._refuse(one, "CreateContainerConfigError", str(error))
        except (CreateError, OSError) as error:
            return self._refuse(one, "CreateContainerError", str(error))
        attempt = one.new_attempt(lambda folder: with_own_files(spec, folder, self._hosts))
        self._event("Normal", "Created", f"Created container {one.name}")
        attempt.start()
        one.waiting = (CREATING, "")
        if attempt.ended and attempt.ended.reason == "StartError":
            self._event("Warning", "Failed", f"Error: {attempt.ended.message}")
        else:
            self._event("Normal", "Started", f"Started container {one.name}")
        return None

    def _refuse(self, one: Container, reason: str, message: str) -> float:
        """Make the container wait, because it cannot be started now."""
        one.waiting = (reason, message)
        one.due = time.monotonic() + RETRY
        self._tell_once("Warning", "Failed", f"Error: {message}")
        return RETRY

    # --- ends

    def _check_deadline(self) -> float | None:
        """Fail the pod at its deadline; the seconds until then."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        if limit is None or self._verdict or "deletionTimestamp" in self.pod["metadata"]:
            return None
        if phase_of(self._policy, self.initials, self.containers) in ("Succeeded", "Failed"):
            return None
        left: float = self._since + limit - time.time()
        if left > 0:
            return left
        self._decide(TOO_LATE)
        return None

    def _decide(self, verdict: Verdict) -> None:
        """Fail the pod, and write that down for the next kubelet."""
        if self._verdict is None:
            whole_files.write_json(self._folder / "verdict.json", list(verdict))
            self._event("Warning", verdict.reason, verdict.message)
            self._verdict = verdict

    def _delete(self) -> float | None:
        """End the pod, then remove it from the API."""
        delay = self._stop(self.pod["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE))
        if delay is None and not self._is_removed and not self._running:
            self._report()
            self._node.statuses.remove(self.pod)
            self._is_removed = True
        return delay

    def _stop(self, grace: float) -> float | None:
        """Send SIGTERM to all containers, and kill them after their grace; the seconds until then."""
        now, running = time.monotonic(), self._running
        if not running:
            self.sandbox.stop()
            return None
        if self._grace is None or grace < self._grace:
            self._kill_at = min(self._kill_at or now + grace, now + grace)
            if self._grace is None:
                for one in running:
                    self._event("Normal", "Killing", f"Stopping container {one.name}")
                    if grace > 0 and one.latest:
                        one.latest.signal(signal.SIGTERM)
            self._grace = grace
        assert self._kill_at is not None
        if now < self._kill_at:
            return self._kill_at - now
        self._kill()
        return 0

    def _kill(self) -> None:
        """Kill all containers."""
        for one in self._running:
            if one.latest:
                one.latest.kill()

    def _abandon(self) -> None:
        """End everything of a pod that the API does not know any more."""
        self._kill()
        self.sandbox.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            (cluster_paths.memory_group(self._node.root) / self._folder.name).rmdir()
        self.is_finished.set()

    # --- what is told

    def _report(self) -> None:
        """Write the status if it has changed."""
        status = status_of(
            self.pod,
            self.initials,
            self.containers,
            since=self._since,
            verdict=self._verdict,
            has_sandbox=self._had_sandbox,
        )
        before = self._last_told or self.pod.get("status", {})
        known = {one["type"]: one for one in before.get("conditions", [])}
        for one in status["conditions"]:
            old = known.get(one["type"], {})
            same = old.get("status") == one["status"]
            one["lastTransitionTime"] = old["lastTransitionTime"] if same else stamp()
        if status != self._last_told and not self._is_removed:
            self._node.statuses.status(self.pod, status)
            self._last_told = status

    def _event(self, kind: str, reason: str, message: str) -> None:
        """Write an event about the pod."""
        self._node.events.event(self.pod, self.pod["spec"]["nodeName"], kind, reason, message)

    def _tell_once(self, kind: str, reason: str, message: str) -> None:
        """Write an event about the pod, unless one with this message was written."""
        if message not in self._told:
            self._told.add(message)
            self._event(kind, reason, message)

    # --- what is kept

    def _load(self) -> None:
        """Take over what an earlier kubelet left of the pod, or make a folder for it."""
        self._hosts = self._folder / "hosts"
        (self._folder / "containers").mkdir(parents=True, exist_ok=True)
        meta = self.pod["metadata"]
        if not (self._folder / "pod.json").exists():
            whole_files.write_json(self._folder / "since", time.time())
            whole_files.write_json(
                self._folder / "pod.json", {"metadata": meta, "spec": self.pod["spec"]}
            )
        self._since = float(whole_files.read_json(self._folder / "since"))
        found: Any = whole_files.read_json(self._folder / "verdict.json")
        self._verdict = Verdict(*found) if found else None
        for one in self._all:
            one.adopt()
        phase = self.pod.get("status", {}).get("phase")
        is_known = self._verdict or any(one.attempts for one in self._all)
        self._was_over = phase in ("Succeeded", "Failed") and not is_known
        self._had_sandbox = self.sandbox.pid() is not None
        if self._hosts.exists():
            self.write_hosts()

    def _container(self, spec: Object) -> Container:
        """A container object for a container of the pod."""
        folder = self._folder / "containers" / spec["name"]
        return Container(spec, folder, changed=self._wake_up)

    def _wake_up(self) -> None:
        """Make the thread look at the pod now."""
        self._wake.set()

    def _update_volumes(self) -> None:
        """Write the files of downwardAPI volumes anew."""
        if self._has_volumes:
            with contextlib.suppress(FieldError, OSError):
                self._volumes.update(self.pod)

    @property
    def _all(self) -> list[Container]:
        """All init containers and containers."""
        return [*self.initials, *self.containers]

    @property
    def _running(self) -> list[Container]:
        """The containers that run."""
        return [one for one in self._all if one.is_running]

"""A Kubernetes cluster on this machine for tests: all in one folder, nothing installed.

    cluster = KubernetesCluster.start(folder)
    cluster.kubectl("get", "nodes")
    cluster.stop()

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs. Two programs are
stand-ins: `kubernetes_stand_ins/kubelet.py` runs the pods of all nodes as processes of this machine, and
`kubernetes_stand_ins/training_operator.py` makes pods of PyTorchJobs. README.md says how faithful they are.

`stop` must find all processes of the cluster: each carries MARK=<the folder> in its environment.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.clusters.kubernetes_stand_ins import cleanup_guard, cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object, UnreachableError
from tools.clusters.kubernetes_stand_ins.certificates import make_certificates
from tools.clusters.ports import free_ports
from tools.clusters.processes import ClusterError, ends_of_logs, kill_all, wait_until, with_environ

PROJECT = Path(__file__).resolve().parents[2]
#: The definition of PyTorchJob, training-operator v1.9.4.
DEFINITION = PROJECT / "tools" / "pytorchjob_definition.yaml"
JOBS = "/apis/kubeflow.org/v1/pytorchjobs"
ADVICE = "sudo tools/install-kubernetes.sh"
PROGRAMS = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "openssl",
    "ip",
    "unshare",
    "nsenter",
]
START_TIMEOUT = 60.0
#: The controllers of kube-controller-manager that the tests need; the others would only take time.
CONTROLLERS = (
    "garbagecollector,namespace,resourcequota,serviceaccount,serviceaccount-token,"
    "root-ca-cert-publisher"
)


class KubernetesError(ClusterError):
    """The Kubernetes cluster did not do what it must; the message says what was seen."""


class PortTakenError(KubernetesError):
    """Another program took a port between our choice and the start of the process that needs it."""


def cache() -> Path:
    """The folder into which tools/install-kubernetes.sh builds the programs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(
        os.environ.get("HOME", "/root"), ".cache"
    )
    return Path(base, "prl-submit", "kubernetes-1.20.2")


def find_program(name: str) -> str | None:
    """The path of a program: in KUBEBUILDER_ASSETS, in the folder where we built it, or on PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    folders = [*([assets] if assets else []), str(cache()), os.environ.get("PATH", os.defpath)]
    return shutil.which(name, path=os.pathsep.join([*folders, "/usr/local/sbin:/usr/sbin:/sbin"]))


def available() -> str | None:
    """None if a cluster can be started here; else a line that says what is missing."""
    missing = [name for name in PROGRAMS if find_program(name) is None]
    if missing:
        return f"{' '.join(missing)} not installed: {ADVICE}"
    if os.geteuid() != 0:
        return "only root may give pods their own mounts: run the tests as root"
    return None


class KubernetesCluster:
    """A running cluster; `start` makes one."""

    def __init__(
        self, root: Path, *, nodes: int, gpus: int, ports: tuple[int, ...], old_operator: bool
    ) -> None:
        self.root = root
        self.nodes = tuple(f"node{number}" for number in range(1, nodes + 1))
        self.gpus = gpus
        self.old_operator = old_operator
        self.kubeconfig = root / "kubeconfig"
        #: What a program needs in its environment to talk to this cluster.
        self.environ = {"KUBECONFIG": str(self.kubeconfig)}
        self.port, self.kubelet_port, self._etcd_port, self._peer_port, *self._other_ports = ports
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._marked = cluster_paths.mark_of(root)

    @classmethod
    def start(
        cls, root: Path, *, nodes: int = 2, gpus: int = 4, old_operator: bool = False
    ) -> KubernetesCluster:
        """Start a cluster in `root` and wait until all nodes are ready. It ends with this process.

        `gpus`: the number on each node. `old_operator`: the stand-in behaves as training-operator 1.5
        instead of 1.9: variables of the pods, reasons, and how it treats failures.
        """
        root = root.resolve()
        if lack := available():
            raise KubernetesError(lack)
        for attempt in range(3):
            cluster = cls(
                root / f"try{attempt}" if attempt else root,
                nodes=nodes,
                gpus=gpus,
                ports=tuple(free_ports(6)),
                old_operator=old_operator,
            )
            try:
                cluster.bring_up()
            except PortTakenError:
                cluster.stop()
            except BaseException:
                cluster.stop()
                raise
            else:
                return cluster
        raise KubernetesError("three times in a row a port was taken while the cluster started")

    # --- what tests ask and do

    @property
    def api(self) -> Api:
        """A client of the API with the administrator's rights."""
        return Api(self.port, cluster_paths.certificates(self.root))

    def kubectl(
        self, *argv: str, check: bool = True, stdin: str | None = None, timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator. Raises KubernetesError if it fails and `check` is set."""
        done = subprocess.run(
            [_program("kubectl"), *argv],
            env=self._environment() | self.environ,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise KubernetesError(f"kubectl {' '.join(argv)}: {done.stdout}{done.stderr}".strip())
        return done

    def new_namespace(self, prefix: str = "test") -> str:
        """Make a namespace and wait until its default service account has a token."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self._token(name, "default")
        return name

    def service_account(
        self, namespace: str, name: str, rules: list[Object], *, cluster_rules: Any = ()
    ) -> Path:
        """Make a service account that may do what `rules` say; the path of its kubeconfig.

        `cluster_rules`: what it may do outside of its namespace.
        """
        api, accounts = self.api, f"/api/v1/namespaces/{namespace}/serviceaccounts"
        with _existing_is_fine():
            api.create(accounts, {"metadata": {"name": name}})
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        self._bind(f"{rbac}/namespaces/{namespace}/role", "Role", namespace, name, rules)
        if cluster_rules:
            self._bind(f"{rbac}/clusterrole", "ClusterRole", namespace, name, list(cluster_rules))
        path = self.root / "kubeconfigs" / f"{namespace}-{name}"
        path.parent.mkdir(exist_ok=True)
        self.write_kubeconfig(path, namespace, {"token": self._token(namespace, name)})
        return path

    def write_kubeconfig(
        self, path: Path, namespace: str = "default", user: Object | None = None
    ) -> None:
        """Write a kubeconfig whose context names the namespace. `user` None: the administrator."""
        folder = cluster_paths.certificates(self.root)
        admin = {
            "client-certificate": str(folder / "admin.crt"),
            "client-key": str(folder / "admin.key"),
        }
        server = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": str(folder / "ca.crt"),
        }
        context = {"cluster": "test", "user": "user", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "user", "user": user or admin}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))  # JSON is YAML
        path.chmod(0o600)

    def claim(self, namespace: str, name: str) -> Path:
        """Make a persistent volume claim that is bound; the folder of this machine that it stands for."""
        folder = cluster_paths.claims(self.root) / namespace / name
        folder.mkdir(parents=True)
        size, volume = {"storage": "1Gi"}, f"{namespace}-{name}"
        modes = ["ReadWriteMany"]
        claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        reference = {"namespace": namespace, "name": name}
        spec: Object = {"capacity": size, "accessModes": modes, "claimRef": reference}
        spec["hostPath"] = {"path": str(folder)}
        self.api.create("/api/v1/persistentvolumes", {"metadata": {"name": volume}, "spec": spec})
        # The volume binder would set this, but we do not run that controller.
        note = {"pv.kubernetes.io/bind-completed": "yes"}
        wish = {"accessModes": modes, "resources": {"requests": size}, "volumeName": volume}
        wish["storageClassName"] = ""
        self.api.create(claims, {"metadata": {"name": name, "annotations": note}, "spec": wish})
        self.api.merge(f"{claims}/{name}/status", {"status": {"phase": "Bound"}})
        self.api.merge(f"/api/v1/persistentvolumes/{volume}/status", {"status": {"phase": "Bound"}})
        return folder

    # --- what tests break

    def stop_api(self) -> None:
        """Kill kube-apiserver: connections are refused until `start_api`."""
        # The other two are ended too: they would notice a new API server only after half a minute.
        for name in ("kube-controller-manager", "kube-scheduler", "kube-apiserver"):
            self._end(name)

    def start_api(self, timeout: float = START_TIMEOUT) -> None:
        """Start kube-apiserver on the same port if it does not run, and wait until it is ready."""
        self.continue_api()
        if "kube-apiserver" in self._processes:
            self._wait(self._api_is_ready, "kube-apiserver is ready", timeout)
            return
        self._spawn_api_server()
        self._wait(self._api_is_ready, "kube-apiserver is ready", timeout)
        self._spawn_controllers()

    def pause_api(self) -> None:
        """Stop kube-apiserver with SIGSTOP: it accepts connections and never answers."""
        self._processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def continue_api(self) -> None:
        """Let kube-apiserver go on after `pause_api`."""
        if process := self._processes.get("kube-apiserver"):
            process.send_signal(signal.SIGCONT)

    def stop_operator(self) -> None:
        """Kill the training operator: nobody makes pods of PyTorchJobs until `start_operator`."""
        self._end("training-operator")

    def start_operator(self, *, old: bool | None = None) -> None:
        """Start the training operator if it does not run. `old`: as 1.5 or as 1.9; None: as before."""
        wanted = self.old_operator if old is None else old
        if old is not None and wanted != self.old_operator:
            self.stop_operator()
            self.old_operator = wanted
        if "training-operator" not in self._processes:
            self._spawn_stand_in("training-operator", *(["--old"] if wanted else []))

    def stop_kubelet(self) -> None:
        """Kill the kubelet. Containers go on, as they do on a real node whose kubelet ends."""
        self._end("kubelet")

    def start_kubelet(self, timeout: float = START_TIMEOUT) -> None:
        """Start the kubelet if it does not run, and wait until all nodes are ready."""
        if "kubelet" not in self._processes:
            self._spawn_stand_in("kubelet", str(self.kubelet_port), str(self.gpus), *self.nodes)
        self._wait(self._nodes_are_ready, "nodes are ready", timeout)

    def restart_kubelet(self) -> None:
        """Restart the kubelet, as `systemctl restart kubelet` does."""
        self.stop_kubelet()
        self.start_kubelet()

    def evict(self, namespace: str, pod: str) -> None:
        """Evict a pod as a kubelet does whose node runs out of memory: the pod fails with reason Evicted."""
        Api(self.kubelet_port, cluster_paths.certificates(self.root)).request(
            "POST", f"/evict/{namespace}/{pod}"
        )

    def preempt(self, namespace: str, pod: str) -> None:
        """Preempt a pod as kube-scheduler does for a pod of higher priority."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        found = self.api.get(path)
        message = "Preempted by kube-system/important on node " + found["spec"].get("nodeName", "?")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": _now(),
        }
        conditions = [*found["status"].get("conditions", []), condition]
        self.api.merge(f"{path}/status", {"status": {"conditions": conditions}})
        event = {
            "metadata": {"generateName": f"{pod}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": namespace,
                "name": pod,
                "uid": found["metadata"]["uid"],
            },
            "reason": "Preempted",
            "message": message,
            "type": "Normal",
            "source": {"component": "default-scheduler"},
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "count": 1,
        }
        self.api.create(f"/api/v1/namespaces/{namespace}/events", event)
        self.api.delete(path)

    def heal(self, namespaces: Iterable[str] | None = None) -> None:
        """Repair the cluster after a test: all programs run, and these namespaces (None: all) are empty."""
        self.start_api()
        self.start_operator()
        self.start_kubelet()
        self._remove_all(namespaces)

    # --- the end

    def stop(self) -> None:
        """Kill all processes of this cluster. Its folder stays. It may be called twice."""
        try:
            kill_all(lambda: with_environ(self._marked))
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            if self._guard and self._guard.stdin:
                self._guard.stdin.close()
                self._guard.wait(10)
            cleanup_guard.remove_groups(self.root)

    def __enter__(self) -> KubernetesCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- how it comes up

    def bring_up(self) -> None:
        """All parts in their order."""
        for folder in ("log", "etcd", "kubeconfigs", "controllers"):
            (self.root / folder).mkdir(parents=True)
        self._start_guard()
        self._spawn_etcd()
        make_certificates(cluster_paths.certificates(self.root))
        self.write_kubeconfig(self.kubeconfig)
        self._spawn_api_server()
        self._wait(self._api_is_ready, "kube-apiserver is ready")
        self._spawn_controllers()
        self.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition())
        self._wait(lambda: self._is_served(JOBS), "PyTorchJobs are served")
        self.start_operator()
        self.start_kubelet()
        self._wait(lambda: self._token("default", "default"), "service accounts have tokens")

    def _spawn_etcd(self) -> None:
        """Start etcd. It does not sync its data to the disk, because nobody needs the data after a crash."""
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        self._spawn(
            "etcd",
            *("--data-dir", str(self.root / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        )

    def _spawn_api_server(self) -> None:
        """Start kube-apiserver with RBAC and its default admission plugins."""
        keys = cluster_paths.certificates(self.root)
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            *(f"--secure-port={self.port}", f"--cert-dir={self.root}"),
            f"--tls-cert-file={keys}/apiserver.crt",
            f"--tls-private-key-file={keys}/apiserver.key",
            f"--client-ca-file={keys}/ca.crt",
            *("--anonymous-auth=false", "--authorization-mode=Node,RBAC"),
            *("--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"),
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={keys}/accounts.key",
            f"--service-account-key-file={keys}/accounts.pub",
            f"--kubelet-certificate-authority={keys}/ca.crt",
            f"--kubelet-client-certificate={keys}/apiserver-kubelet.crt",
            f"--kubelet-client-key={keys}/apiserver-kubelet.key",
            *("--allow-privileged=true", "--profiling=false"),
        )

    def _spawn_controllers(self) -> None:
        """Start kube-controller-manager and kube-scheduler."""
        keys = cluster_paths.certificates(self.root)
        for name, port in zip(("controller-manager", "scheduler"), self._other_ports, strict=True):
            config = self.root / "kubeconfigs" / name
            files = {"client-certificate": f"{keys}/{name}.crt", "client-key": f"{keys}/{name}.key"}
            self.write_kubeconfig(config, user=files)
            extra: tuple[str, ...] = ()
            if name == "controller-manager":
                extra = (
                    f"--controllers={CONTROLLERS}",
                    f"--service-account-private-key-file={keys}/accounts.key",
                    f"--root-ca-file={keys}/ca.crt",
                    "--resource-quota-sync-period=2s",
                    # Each controller uses a service account with the role that it needs. Without this
                    # they would share an account that has hardly any rights.
                    "--use-service-account-credentials",
                )
            self._spawn(
                f"kube-{name}",
                *(f"--kubeconfig={config}", f"--authentication-kubeconfig={config}"),
                *(f"--authorization-kubeconfig={config}", "--leader-elect=false"),
                *("--bind-address=127.0.0.1", f"--secure-port={port}", "--port=0"),
                f"--cert-dir={self.root}/controllers",
                *("--kube-api-qps=500", "--kube-api-burst=1000"),
                *extra,
            )

    def _spawn_stand_in(self, name: str, *words: str) -> None:
        """Start one of the stand-ins, with this Python."""
        module = f"tools.clusters.kubernetes_stand_ins.{name.replace('-', '_')}"
        argv = [sys.executable, "-m", module, str(self.root), str(self.port), *words]
        self._start(name, argv, cwd=PROJECT)

    def _spawn(self, name: str, *words: str) -> None:
        """Start one of Kubernetes' own programs."""
        self._start(name, [_program(name), *words], cwd=self.root)

    def _start(self, name: str, argv: list[str], *, cwd: Path) -> None:
        """Start a process. What it prints goes to log/NAME.log."""
        with open(self.root / "log" / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                argv,
                env=self._environment(),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal must not end it before the tests
            )

    def _start_guard(self) -> None:
        """Start the guard: when this process ends, however it ends, the guard kills the cluster."""
        self._guard = subprocess.Popen(
            [sys.executable, "-m", cleanup_guard.__name__, str(self.root)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end(self, name: str) -> None:
        """Kill a process, also one stopped by SIGSTOP, and wait for its end. Does nothing if it does not run."""
        if process := self._processes.pop(name, None):
            process.kill()
            process.wait()

    # --- what is seen

    def _environment(self) -> dict[str, str]:
        """The environment of all processes of the cluster. It holds nothing of the tests' own environment."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
        return {"PATH": path, "HOME": str(self.root), "LANG": "C.UTF-8", "GOGC": "200"} | dict(
            [self._marked.split("=", 1)]
        )

    def _api_is_ready(self) -> bool:
        """True if kube-apiserver is ready for requests."""
        try:
            self.api.request("GET", "/readyz", timeout=2)
        except ValueError:
            return True  # the answer is `ok`, which is not JSON
        except (UnreachableError, ApiError):
            return False
        return True

    def _is_served(self, path: str) -> bool:
        """True if the API serves this collection of objects."""
        try:
            self.api.get(path)
        except ApiError:
            return False
        return True

    def _nodes_are_ready(self) -> bool:
        """True if the kubelet answers and all nodes take pods."""
        with contextlib.suppress(UnreachableError, ApiError):
            kubelet = Api(self.kubelet_port, cluster_paths.certificates(self.root))
            kubelet.request("GET", "/ready", timeout=2)
            nodes = self.api.get("/api/v1/nodes")["items"]
            ready = [node for node in nodes if not node["spec"].get("taints")]
            return {node["metadata"]["name"] for node in ready} == set(self.nodes)
        return False

    def _token(self, namespace: str, account: str) -> str:
        """A service account's token. Waits until the token controller has made it."""
        found: list[str] = []

        def look() -> bool:
            secrets_of = self.api.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")
            for secret in (secrets_of or {}).get("secrets", []):
                name = secret["name"]
                data = self.api.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
                if data and data.get("data", {}).get("token"):
                    found.append(base64.b64decode(data["data"]["token"]).decode())
                    return True
            return False

        self._wait(look, f"{namespace}/{account} has a token")
        return found[0]

    def _bind(self, path: str, kind: str, namespace: str, name: str, rules: list[Object]) -> None:
        """Make a role and bind it to the service account of the same name."""
        role = name if kind == "Role" else f"{namespace}-{name}"
        self.api.create(f"{path}s", {"metadata": {"name": role}, "rules": rules})
        subject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
        binding = {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]}
        self.api.create(f"{path}bindings", binding)

    def _remove_all(self, namespaces: Iterable[str] | None) -> None:
        """Remove all jobs and pods in these namespaces (None: in all); containers are killed at once."""
        api = self.api
        wanted = None if namespaces is None else set(namespaces)

        def left() -> list[Object]:
            found = [
                thing
                for path in (JOBS, "/api/v1/pods")
                for thing in api.get(path)["items"]
                if wanted is None or thing["metadata"]["namespace"] in wanted
            ]
            for thing in found:
                meta = thing["metadata"]
                kind = (
                    "apis/kubeflow.org/v1" if "pytorchReplicaSpecs" in thing["spec"] else "api/v1"
                )
                plural = "pods" if kind == "api/v1" else "pytorchjobs"
                path = f"/{kind}/namespaces/{meta['namespace']}/{plural}/{meta['name']}"
                with contextlib.suppress(ApiError):
                    if meta.get("finalizers"):
                        api.merge(path, {"metadata": {"finalizers": None}})
                    api.delete(path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
            return found

        self._wait(lambda: not left(), "all jobs and pods removed")

    def _wait(self, check: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> None:
        """Wait until `check` is true. Raises KubernetesError with the ends of the processes' logs."""

        def checked() -> object:
            self._check_processes()
            return check()

        try:
            wait_until(checked, what, timeout, pause=0.05)
        except PortTakenError:
            raise
        except ClusterError as error:
            raise KubernetesError(f"{error}\n{self.logs()}") from None

    def _check_processes(self) -> None:
        """Raise KubernetesError if a process ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                text = self.logs(name)
                kind = PortTakenError if "address already in use" in text else KubernetesError
                raise kind(f"{name} ended with {process.returncode}\n{text}")

    def logs(self, name: str = "*", lines: int = 20) -> str:
        """The last lines of the processes' logs."""
        return ends_of_logs(self.root / "log", f"{name}.log", lines)


def _program(name: str) -> str:
    """The path of a program. Raises KubernetesError if it is not installed."""
    path = find_program(name)
    if path is None:
        raise KubernetesError(f"{name} is not installed: {ADVICE}")
    return path


def _definition() -> Object:
    """The custom resource definition of PyTorchJob."""
    definition: Object = yaml.load(DEFINITION.read_bytes(), Loader=yaml.CSafeLoader)
    return definition


def _now() -> str:
    """The time now, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextlib.contextmanager
def _existing_is_fine() -> Iterator[None]:
    """Ignore the API's error that the object exists already."""
    try:
        yield
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise

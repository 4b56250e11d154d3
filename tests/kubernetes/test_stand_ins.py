"""The stand-in for the kubelet behaves as a real one, as far as the other tests rely on it."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.kubeconfig import find_access
from prl_submit.errors import PrlSubmitError
from prl_submit.system import shell
from tools.clusters.kubernetes import KubernetesCluster
from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.shim_spec import limits_memory
from tools.clusters.kubernetes_stand_ins.times import SECOND, nanoseconds, precise
from tools.clusters.kubernetes_stand_ins.variable_expansion import expand
from tools.clusters.processes import with_environ

#: Odd words, none of which may change on its way.
WORDS = ["", "two\nlines\n", "中文 é", "'\"\\`$HOME ${x} *", "\t\r\x01", "--", "{'a': \"b\"}"]
JOB = "training.kubeflow.org/job-name"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    with KubernetesCluster.start(tmp_path_factory.mktemp("kubernetes")) as cluster:
        yield cluster


class Answer(NamedTuple):
    """An answer of the API server, with any status."""

    code: int
    text: str


class Pods:
    """The pods of one namespace."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self.cluster = cluster
        self.namespace = cluster.new_namespace()
        self._tls = ssl.create_default_context(
            cafile=str(cluster_paths.certificates(cluster.root) / "ca.crt")
        )
        keys = cluster_paths.certificates(cluster.root)
        self._tls.load_cert_chain(keys / "admin.crt", keys / "admin.key")

    def path(self, name: str = "", *, kind: str = "pods") -> str:
        """The URL path of a pod, or of another object."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def create(
        self,
        *command: str,
        name: str = "a",
        policy: str = "Never",
        meta: Object | None = None,
        spec: Object | None = None,
        **container: Any,
    ) -> None:
        """Create a pod with one container."""
        one = {"name": "pytorch", "image": "some/image:1", "command": [*command]} | container
        body = {"restartPolicy": policy, "containers": [one], "terminationGracePeriodSeconds": 5}
        self.cluster.api.create(
            self.path(), {"metadata": {"name": name} | (meta or {}), "spec": body | (spec or {})}
        )

    def shell(self, script: str, **options: Any) -> None:
        """A pod that runs a shell script."""
        self.create("bash", "-c", script, **options)

    def get(self, name: str = "a") -> Any:
        """The pod."""
        return self.cluster.api.get(self.path(name))

    def state(self, name: str = "a") -> Any:
        """The state of its container; empty before it has one."""
        (status,) = self.get(name).get("status", {}).get("containerStatuses") or [{}]
        return status.get("state", {})

    def wait(self, check: Callable[[Any], object], name: str = "a", timeout: float = 10) -> Any:
        """Wait until `check` holds for the pod, and return the pod."""
        deadline = time.monotonic() + timeout
        while not check(pod := self.get(name)):
            assert time.monotonic() < deadline, json.dumps(pod["status"], indent=1)
            time.sleep(0.02)
        return pod

    def wait_running(self, name: str = "a") -> None:
        """Wait until it runs."""
        self.wait(lambda _: "running" in self.state(name), name)

    def end(self, name: str = "a") -> Any:
        """Wait for the end of its container, and return how it ended."""
        self.wait(lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), name)
        return self.state(name)["terminated"]

    def output(self, name: str = "a") -> str:
        """Wait for its end, and return its whole output."""
        self.end(name)
        return self.log(name).text

    def log(self, name: str = "a", **query: Any) -> Answer:
        """Its log."""
        answer = self.open_log(name, **query)
        return Answer(answer.status, answer.read().decode())

    def open_log(self, name: str = "a", **query: Any) -> http.client.HTTPResponse:
        """Its log as a stream."""
        port = self.cluster.port
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=self._tls, timeout=20)
        words = urllib.parse.urlencode(query)
        connection.request("GET", f"{self.path(name)}/log?{words}", headers={"Connection": "close"})
        return connection.getresponse()

    def reasons(self, name: str = "a") -> dict[str, str]:
        """The reasons and messages of its events."""
        found = self.cluster.api.get(self.path(kind="events"))["items"]
        return {
            one["reason"]: one["message"] for one in found if one["involvedObject"]["name"] == name
        }

    def wait_event(self, reason: str, name: str = "a") -> str:
        """Wait for an event, and return its message."""
        self.wait(lambda _: reason in self.reasons(name), name)
        return self.reasons(name)[reason]

    def remove(self, name: str = "a", grace: int = 0) -> None:
        """Delete it."""
        self.cluster.api.delete(self.path(name), {"gracePeriodSeconds": grace})


@pytest.fixture
def pods(cluster: KubernetesCluster) -> Iterator[Pods]:
    found = Pods(cluster)
    yield found
    cluster.heal([found.namespace])


# --- what a container is started with


def test_words_and_environment_arrive_byte_for_byte(pods: Pods) -> None:
    env = [
        {"name": "PLAIN", "value": "中\n'\"$$x"},
        {"name": "LATER", "value": "$(PLAIN)$(NONE)$(AFTER)$$(PLAIN)"},
        {"name": "AFTER", "value": "x"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
    ]
    script = "import os,json,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    words = [word.replace("$", "$$") for word in WORDS] + ["$(AFTER)-$(NONE)"]
    pods.create(
        sys.executable, "-c", script, args=words, env=env, meta={"labels": {"a/b": "value"}}
    )
    argv, environment = json.loads(pods.output())
    assert argv == [*WORDS, "x-$(NONE)"]
    plain = "中\n'\"$x"
    assert environment.pop("LATER") == f"{plain}$(NONE)$(AFTER)$(PLAIN)"
    assert environment["PLAIN"] == plain
    assert (environment["POD"], environment["LABEL"]) == ("a", "value")
    assert (environment["HOSTNAME"], environment["HOME"]) == ("a", "/root")
    own = {"PATH", "HOSTNAME", "HOME", cluster_paths.MARK, "LC_CTYPE"}  # the last is Python's doing
    assert set(environment) - own == {"PLAIN", "AFTER", "POD", "LABEL"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B) $( $", "$(B) $( $"),
        ("$A ${A} $", "$A ${A} $"),
        ("$((A))", "$((A))"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    """`$(NAME)` is replaced as Kubernetes replaces it."""
    assert expand(text, {"A": "1"}) == expanded


def test_secrets_and_config_maps(pods: Pods) -> None:
    def reference(kind: str, name: str, key: str, **more: Any) -> Object:
        return {"valueFrom": {kind: {"name": name, "key": key} | more}}

    pods.cluster.api.create(
        pods.path(kind="configmaps"), {"metadata": {"name": "map"}, "data": {"k": "中"}}
    )
    env = [
        {"name": "SECRET"} | reference("secretKeyRef", "keys", "token"),
        {"name": "MAP"} | reference("configMapKeyRef", "map", "k"),
        {"name": "NONE"} | reference("secretKeyRef", "none", "k", optional=True),
    ]
    pods.shell('echo "$SECRET-$MAP-${NONE-none}"', env=env)

    def wait_message(text: str) -> None:
        pods.wait(lambda _: pods.state().get("waiting", {}).get("message") == text)

    wait_message('secret "keys" not found')
    assert pods.state()["waiting"]["reason"] == "CreateContainerConfigError"
    answer = pods.log()
    assert answer.code == 400
    assert "is waiting to start: CreateContainerConfigError" in answer.text
    secrets = pods.path(kind="secrets")
    pods.cluster.api.create(secrets, {"metadata": {"name": "keys"}, "stringData": {"other": "x"}})
    wait_message(f"couldn't find key token in Secret {pods.namespace}/keys")
    pods.cluster.api.merge(f"{secrets}/keys", {"stringData": {"token": "s3"}})
    assert pods.output() == "s3-中-none\n"


def test_user_groups_and_privileges(pods: Pods) -> None:
    context = {"runAsUser": 1000, "runAsGroup": 1001, "fsGroup": 1002, "supplementalGroups": [7]}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    volume = {"name": "v", "emptyDir": {}}
    pods.shell(
        "id -u; id -g; id -G; stat -c %a:%g /data; touch /data/x && stat -c %u:%g /data/x;"
        "grep NoNewPrivs /proc/self/status; echo $HOME; echo done >/dev/termination-log",
        securityContext=own,
        spec={"securityContext": context, "volumes": [volume]},
        volumeMounts=[{"name": "v", "mountPath": "/data"}],
    )
    lines = pods.output().splitlines()
    assert sorted(lines[2].split()) == ["1001", "1002", "7"]
    assert lines[:2] == ["1000", "1001"]
    assert lines[3:] == ["2777:1002", "1000:1002", "NoNewPrivs:\t1", "/"]
    assert pods.end()["message"] == "done\n"


def test_root_is_refused_where_it_must_not_be(pods: Pods) -> None:
    pods.shell("true", spec={"securityContext": {"runAsNonRoot": True}})
    text = "container has runAsNonRoot and image will run as root"
    pods.wait(lambda _: pods.state().get("waiting", {}).get("message") == text)


def test_program_that_is_not_there(pods: Pods) -> None:
    pods.create("/no/such/program")
    ended = pods.end()
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "/no/such/program": stat /no/such/program: no such file' in ended["message"]


# --- files


def volumes_in(tmp_path: Path) -> list[Object]:
    """A volume of each kind."""
    item = {"path": "launch.sh", "mode": 0o555}
    item |= {"fieldRef": {"fieldPath": "metadata.annotations['x/launch.sh']"}}
    return [
        {"name": "launch", "downwardAPI": {"items": [item], "defaultMode": 0o555}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "shared", "emptyDir": {}},
        {"name": "host", "hostPath": {"path": str(tmp_path / "new"), "type": "DirectoryOrCreate"}},
    ]


def test_volumes(pods: Pods, tmp_path: Path) -> None:
    """All kinds of volumes show their files in the container."""
    claim = pods.cluster.claim(pods.namespace, "claim")
    (claim / "sub").mkdir()
    (claim / "sub" / "file").write_text("claimed")
    pods.cluster.api.create(
        pods.path(kind="secrets"), {"metadata": {"name": "keys"}, "stringData": {"k": "secret"}}
    )
    launch = '#!/bin/sh\necho launched 中文 "$0"\n'
    places = {
        "launch": "/etc/prl-submit",
        "shm": "/dev/shm",
        "claim": "/data/中文",
        "keys": "/keys",
        "host": "/workspace/host",
        "shared": str(tmp_path / "inside" / "shared"),
    }
    mounts: list[Object] = [{"name": name, "mountPath": place} for name, place in places.items()]
    mounts.append({"name": "claim", "mountPath": "/sub", "subPath": "sub", "readOnly": True})
    mounts.append({"name": "keys", "mountPath": "/etc/one.conf", "subPath": "k"})
    pods.shell(
        "/etc/prl-submit/launch.sh; stat -Lc %a /etc/prl-submit/launch.sh /keys/k; cat /keys/k; echo;"
        "echo $(df --output=fstype,size /dev/shm | tail -1); cat /sub/file /etc/one.conf; echo;"
        f"echo x >{places['shared']}/x;"
        "touch /sub/x 2>/dev/null || echo read-only; echo out >/data/中文/out; pwd;"
        "echo host >/workspace/host/file; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace",
        meta={"annotations": {"x/launch.sh": launch}},
        spec={"volumes": volumes_in(tmp_path)},
        volumeMounts=mounts,
        workingDir="/data/中文",
    )
    assert pods.output().splitlines() == [
        "launched 中文 /etc/prl-submit/launch.sh",
        *("555", "400", "secret"),
        "tmpfs 8192",
        *("claimedsecret", "read-only", "/data/中文", pods.namespace),
    ]
    assert (claim / "out").read_text() == "out\n"
    assert (tmp_path / "new" / "file").read_text() == "host\n"
    assert not any(map(os.path.exists, ("/etc/prl-submit", "/data/中文", "/workspace/host")))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_volume_that_is_not_there(pods: Pods, tmp_path: Path) -> None:
    volume = {"name": "v", "hostPath": {"path": str(tmp_path / "none"), "type": "Directory"}}
    mount = {"name": "v", "mountPath": "/v"}
    pods.shell("cat /v/x", spec={"volumes": [volume]}, volumeMounts=[mount])
    message = pods.wait_event("FailedMount")
    assert message.startswith('MountVolume.SetUp failed for volume "v" : hostPath type check')
    assert pods.state()["waiting"]["reason"] == "ContainerCreating"
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x").write_text("late")
    assert pods.output() == "late"


def test_files_follow_the_pods_annotations(pods: Pods) -> None:
    item = {"path": "a", "fieldRef": {"fieldPath": "metadata.annotations['a']"}}
    volume = {"name": "v", "downwardAPI": {"items": [item]}}
    mount = {"name": "v", "mountPath": "/v"}
    pods.shell(
        "cat /v/a; until grep -q new /v/a; do sleep 0.05; done; cat /v/a",
        meta={"annotations": {"a": "old\n"}},
        spec={"volumes": [volume]},
        volumeMounts=[mount],
    )
    pods.wait_running()
    pods.cluster.api.merge(pods.path("a"), {"metadata": {"annotations": {"a": "new\n"}}})
    assert pods.output() == "old\nnew\n"


def test_pods_of_a_job_share_a_network_and_names(pods: Pods) -> None:
    listen = "import socket; s=socket.create_server(('', 23456)); print(s.accept()[0].recv(9))"
    for job in ("one", "two"):
        pods.cluster.api.create(
            pods.path(kind="services"),
            {
                "metadata": {"name": f"{job}-master-0"},
                "spec": {"clusterIP": "None", "ports": [{"port": 23456}]},
            },
        )
        pods.create(
            sys.executable, "-c", listen, name=f"{job}-master-0", meta={"labels": {JOB: job}}
        )
        talk = (
            f"until getent hosts {job}-master-0.{pods.namespace}.svc; do sleep 0.05; done;"
            f"until echo {job} >/dev/tcp/{job}-master-0/23456; do sleep 0.05; done"
        )
        pods.shell(talk, name=f"{job}-worker-0", meta={"labels": {JOB: job}})
    for job in ("one", "two"):
        assert pods.output(f"{job}-master-0") == f"b'{job}\\n'\n"


# --- logs


def test_log_is_followed_as_it_comes(pods: Pods) -> None:
    pods.shell('for i in 1 2 3; do date +%s%N; sleep 0.2; done; printf "no end"')
    pods.wait_running()
    answer = pods.open_log(follow="true")
    delays = []
    for _ in range(3):
        written = int(answer.readline())
        delays.append(time.time_ns() - written)
    assert answer.read() == b"no end"
    assert min(delays) < 0.05 * SECOND


def test_log_of_both_streams_by_time_and_lines(pods: Pods) -> None:
    long = "x" * 40000
    pods.shell(f"echo 1; sleep 0.01; echo 2 >&2; sleep 0.01; echo 中; sleep 1; echo {long}; echo 5")
    assert pods.output() == f"1\n2\n中\n{long}\n5\n"
    lines = [line.split(" ", 1) for line in pods.log(timestamps="true").text.splitlines()]
    assert [text for _, text in lines] == ["1", "2", "中", long, "5"]
    times = [nanoseconds(time) for time, _ in lines]
    assert times == sorted(times)
    assert all(precise(found) == written for found, (written, _) in zip(times, lines, strict=True))
    assert pods.log(tailLines=2).text == f"{long}\n5\n"
    assert pods.log(tailLines=0).text == ""
    assert pods.log(tailLines=99).text == pods.log().text
    assert pods.log(limitBytes=3).text == "1\n2"
    # The API server passes whole seconds on.
    assert pods.log(sinceTime=lines[3][0]).text.endswith(f"{long}\n5\n")
    assert pods.log(sinceTime=precise(times[-1] + SECOND)).text == ""
    assert pods.log(sinceSeconds=3600, tailLines=1).text == "5\n"


def test_previous_log_and_back_off(pods: Pods) -> None:
    pods.shell("echo try; exit 7", policy="OnFailure")
    pods.wait(lambda pod: "'restartCount': 1" in str(pod["status"]))
    (status,) = pods.get()["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert "try\n" in pods.log(previous="true").text
    pods.wait(lambda _: pods.state().get("waiting", {}).get("reason") == "CrashLoopBackOff")
    assert pods.get()["status"]["phase"] == "Running"
    pods.shell("sleep 60", name="b")
    pods.wait_running("b")
    answer = pods.log("b", previous="true")
    assert answer.code == 400
    text = 'previous terminated container "pytorch" in pod "b" not found'
    assert json.loads(answer.text)["message"] == text


def test_log_before_the_start(pods: Pods) -> None:
    volume = {"name": "v", "secret": {"secretName": "none"}}
    pods.shell("true", spec={"volumes": [volume]}, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    pods.wait_event("FailedMount")
    answer = pods.log()
    assert answer.code == 400
    assert json.loads(answer.text)["message"] == (
        'container "pytorch" in pod "a" is waiting to start: ContainerCreating'
    )


# --- ends


def test_last_words(pods: Pods) -> None:
    """A failed container's message comes from its file, else from the end of its log."""
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    pods.shell("echo file >/dev/termination-log; echo log; exit 1", name="file", **fallback)
    pods.shell("seq 200; exit 1", name="log", **fallback)
    pods.shell("echo log; exit 1", name="none")
    own = str(pods.cluster.root / "last-words")  # no name that somebody else may have taken
    script = f"printf '\\xff%5000s' >{own}; exit 0"
    pods.shell(script, name="own", terminationMessagePath=own)
    assert pods.end("file")["message"] == "file\n"
    assert pods.end("log")["message"] == "".join(f"{number}\n" for number in range(121, 201))
    assert "message" not in pods.end("none")
    assert pods.end("own")["message"] == "\ufffd".ljust(4096)


def test_signal(pods: Pods) -> None:
    # The first process cannot kill itself.
    """A container whose process dies of a signal ends with 128 plus its number."""
    pods.shell("kill -9 $$; sleep 9 & kill -SEGV $!; wait $!")
    assert pods.end()["exitCode"] == 139


@pytest.mark.skipif(not limits_memory(), reason="no control groups v1 here")
def test_memory_limit(pods: Pods) -> None:
    """A container over its memory limit is killed and called OOMKilled."""
    eat = "x = bytearray(200 << 20); print(len(x))"
    limits = {"limits": {"memory": "64Mi"}}
    pods.create(sys.executable, "-c", eat, name="eats", resources=limits)
    ended = pods.end("eats")
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    # One of its processes is killed; the first one lives on and says so.
    pods.shell(f"{sys.executable} -c '{eat}'; exit 5", name="child", resources=limits)
    ended = pods.end("child")
    assert (ended["exitCode"], ended["reason"]) == (5, "OOMKilled")
    assert not list(cluster_paths.memory_group(pods.cluster.root).rglob("*-0"))


def test_init_containers_in_order(pods: Pods) -> None:
    def first(name: str, script: str) -> Object:
        mount = {"name": "v", "mountPath": "/v"}
        return {
            "name": name,
            "image": "x",
            "command": ["sh", "-c", script],
            "volumeMounts": [mount],
        }

    initials = [first("one", "echo 1 >/v/x; sleep 0.3"), first("two", "echo 2 >>/v/x")]
    spec = {"initContainers": initials, "volumes": [{"name": "v", "emptyDir": {}}]}
    mounts = [{"name": "v", "mountPath": "/v"}]
    pods.shell("cat /v/x", spec=spec, volumeMounts=mounts)
    pods.wait(lambda pod: "running" in str(pod["status"].get("initContainerStatuses")))
    assert pods.state()["waiting"]["reason"] == "PodInitializing"
    assert pods.output() == "1\n2\n"
    spec["initContainers"] = [first("bad", "exit 4")]
    pods.shell("true", name="b", spec=spec, volumeMounts=mounts)
    pods.wait(lambda pod: pod["status"]["phase"] == "Failed", "b")


def test_deadline(pods: Pods) -> None:
    """A pod at its activeDeadlineSeconds fails with DeadlineExceeded."""
    pods.shell("trap 'exit 0' TERM; sleep 60 & wait", spec={"activeDeadlineSeconds": 1})
    pod = pods.wait(lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "active on the node longer" in pod["status"]["message"]
    pods.wait(lambda _: "terminated" in pods.state())


def test_graceful_deletion(pods: Pods) -> None:
    """A deleted pod's containers get SIGTERM, and SIGKILL after their grace."""
    pods.shell("trap 'echo asked; sleep 0.5; exit 3' TERM; echo up; sleep 60 & wait")
    pods.shell("trap '' TERM; echo up; sleep 60; sleep 60", name="deaf")
    pods.wait(lambda _: pods.log("a").text == pods.log("deaf").text == "up\n")
    follow = pods.open_log(follow="true")
    before = time.monotonic()
    pods.remove("a", grace=5)
    pods.remove("deaf", grace=1)
    assert "deletionTimestamp" in pods.get("a")["metadata"]
    assert follow.read() == b"up\nasked\n"
    while pods.cluster.api.find(pods.path("deaf")):
        time.sleep(0.02)
    assert 1 < time.monotonic() - before < 3
    assert pods.cluster.api.find(pods.path("a")) is None
    assert pods.reasons()["Killing"] == "Stopping container pytorch"


def test_forced_deletion_leaves_nothing(pods: Pods) -> None:
    pods.shell("trap '' TERM; sleep 61.5 & sleep 61.5")
    pods.wait_running()
    uid = pods.get()["metadata"]["uid"]
    pods.remove()
    folder = cluster_paths.pods(pods.cluster.root) / uid
    deadline = time.monotonic() + 5
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not _commands(r"sleep 61\.5")


def _commands(pattern: str) -> list[str]:
    """The command lines of processes that this regular expression matches."""
    found = subprocess.run(["pgrep", "-af", pattern], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_eviction(pods: Pods) -> None:
    """An evicted pod fails with the reason Evicted, without a grace."""
    pods.shell("trap '' TERM; sleep 60; sleep 60")
    pods.wait_running()
    pods.cluster.evict(pods.namespace, "a")
    pod = pods.wait(lambda pod: pod["status"]["phase"] == "Failed")
    assert (pod["status"]["reason"], pod["status"]["message"]) == (
        "Evicted",
        "The node was low on resource: memory. ",
    )
    pods.wait(lambda _: pods.state().get("terminated", {}).get("exitCode") == 137)
    assert pods.wait_event("Evicted")


# --- what does not start


def test_images_that_are_not_there(pods: Pods) -> None:
    pods.shell("true", image="registry/missing:1")
    pods.shell("true", image="bad image", name="b")
    seen = {}

    def both(_: Any) -> bool:
        waiting = pods.state().get("waiting", {})
        seen[waiting.get("reason")] = waiting.get("message")
        return {"ErrImagePull", "ImagePullBackOff"} <= set(seen)

    pods.wait(both)
    assert seen["ImagePullBackOff"] == 'Back-off pulling image "registry/missing:1"'
    assert seen["ErrImagePull"].startswith("rpc error: code = NotFound desc = failed to pull")
    assert "BackOff" in pods.reasons()
    assert pods.state("b")["waiting"]["reason"] == "InvalidImageName"


def test_no_room(pods: Pods) -> None:
    """A pod that no node has room for stays pending, with the scheduler's reason."""
    pods.shell("true", resources={"limits": {"nvidia.com/gpu": 5}})
    text = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    pods.wait(lambda pod: text in str(pod["status"].get("conditions")))
    assert pods.get()["status"]["phase"] == "Pending"
    assert pods.log() == (204, "")  # the API server's answer for a pod that is on no node


# --- the kubelet and the API go away and come back


def test_containers_outlive_the_kubelet(pods: Pods) -> None:
    pods.shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done; exit 9")
    pods.shell("trap 'exit 6' TERM; sleep 60 & wait", name="b")
    pods.shell("sleep 0.3; exit 4", name="c")
    for name in "abc":
        pods.wait_running(name)
    pods.cluster.stop_kubelet()
    time.sleep(0.5)
    pods.cluster.start_kubelet()
    assert pods.end("c")["exitCode"] == 4
    follow = pods.open_log(follow="true")
    assert follow.read().decode().split() == list("12345678")
    assert pods.end()["exitCode"] == 9
    assert pods.get()["status"]["containerStatuses"][0]["restartCount"] == 0
    pods.remove("b", grace=5)
    before = time.monotonic()
    while pods.cluster.api.find(pods.path("b")):
        assert time.monotonic() - before < 4
        time.sleep(0.02)


def test_pods_end_while_the_api_is_away(pods: Pods) -> None:
    pods.shell("sleep 0.3; echo bye; exit 2")
    pods.wait_running()
    pods.cluster.stop_api()
    time.sleep(0.6)
    pods.cluster.start_api()
    assert pods.end()["exitCode"] == 2
    assert pods.log().text == "bye\n"


# --- exec


def test_exec(pods: Pods, tmp_path: Path) -> None:
    """exec runs a program in the container, with its streams, variables, user and exit code."""
    lightkube = pytest.importorskip("lightkube")
    pods.shell(
        "hostname; sleep 60",
        env=[{"name": "X", "value": "中"}],
        spec={"securityContext": {"runAsUser": 1000}},
        resources={"limits": {"memory": "256Mi"}},
    )
    pods.wait_running()
    access = find_access(
        None, pods.namespace, {"KUBECONFIG": str(pods.cluster.kubeconfig)}, shell.run
    )
    api = Api(access, lambda: access)

    def run(*command: str, stdout: Any) -> None:
        api.execute("a", "pytorch", [*command], stdout)

    out = io.BytesIO()
    run("echo", "a\nb 'c'", stdout=out)
    assert out.getvalue() == b"a\nb 'c'\n"
    count = 50 << 20
    sink = _Hash()
    script = f"import os,sys; d=os.urandom(1<<20); [sys.stdout.buffer.write(d) for _ in range({count >> 20})];"
    script += "import hashlib; sys.exit(hashlib.sha256(d*50).hexdigest())"
    with pytest.raises(PrlSubmitError) as ended:
        run(sys.executable, "-c", script, stdout=sink)
    assert (sink.count, sink.hash.hexdigest()) == (count, ended.value.message.rpartition(" ")[2])
    with pytest.raises(RefusedStatusError, match="executable file not found"):
        run("nonesuch", stdout=out)
    # This comes last, because a thread of lightkube may still read from the closed socket.
    client = lightkube.Client(config=access.config)
    words = ["sh", "-c", "id -u; echo $X; hostname; echo oops >&2; exit 3"]
    done = client.exec("a", namespace=pods.namespace, command=words, stdout=True, stderr=True)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "1000\n中\na\n", "oops\n")
    client._client._client.close()


class _Hash:
    """A file that counts bytes instead of storing them."""

    def __init__(self) -> None:
        self.count = 0
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """More of it."""
        self.count += len(data)
        self.hash.update(data)
        return len(data)


def test_nothing_is_left(tmp_path: Path) -> None:
    """After the cluster's end there is no process, mount or control group of it."""
    mounts = _mounts(tmp_path)
    with KubernetesCluster.start(tmp_path / "c") as cluster:
        pods = Pods(cluster)
        pods.shell("sleep 60", resources={"limits": {"memory": "64Mi"}})
        pods.wait_running()
    assert not with_environ(cluster_paths.mark_of(cluster.root))
    assert not cluster_paths.memory_group(cluster.root).exists()
    assert _mounts(tmp_path) == mounts


def _mounts(folder: Path) -> list[str]:
    """All mounts but those in the folders of other tests, which may come and go at the same time."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if "/pytest-" not in line or str(folder) in line]

"""Logs are copied completely, in order, each line once, whatever fails meanwhile."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld
from tests.support.streams import read_until

COUNT = "for ((i = 1; i <= {lines}; i++)); do echo line $i; sleep {pause}; done; step 1 1"


def numbers(text: str, prefix: str = "") -> list[int]:
    return [int(n) for n in re.findall(rf"^{re.escape(prefix)}line (\d+)$", text, re.MULTILINE)]


def test_follow_from_the_start(any_kube: KubernetesWorld) -> None:
    fake = COUNT.format(lines=200, pause=0.005)
    done = any_kube.prl(any_kube.spec(**any_kube.faking(fake, {})), "--follow")
    assert done.code == 0, done.err
    assert numbers(done.out) == list(range(1, 201))
    [run] = any_kube.output.glob("v*")
    assert numbers((run / "logs/node0.log").read_text()) == list(range(1, 201))
    assert numbers(any_kube.prl("logs", run).out) == list(range(1, 201))
    assert numbers(any_kube.prl("logs", run, "--tail", "3").out) in ([199, 200], [200], [])


def test_all_replicas_with_their_names(any_kube: KubernetesWorld) -> None:
    fake = COUNT.format(lines=20, pause=0.01).replace("step", "((NODE_RANK)) || step")
    done = any_kube.prl(
        any_kube.spec(**any_kube.faking(fake, {}), resources__nodes=3),
        "--follow",
    )
    assert done.code == 0, done.err
    for name in ("master-0", "worker-0", "worker-1"):
        assert numbers(done.out, f"[{name}] ") == list(range(1, 21))
    [run] = any_kube.output.glob("v*")
    one = any_kube.prl("logs", run, "--node", "2").out
    assert numbers(one) == list(range(1, 21))


def test_bytes_survive(any_kube: KubernetesWorld) -> None:
    """Every byte of the pod's output arrives in the log as it was written."""
    fake = r"printf '中文 \033[1m\xff\xfe\r 50%%\rtab\t\n'; head -c 40000 /dev/zero | tr '\0' x; echo; step 1 1"
    run, _ = any_kube.run_to_end(fake)
    log = (run / "logs/node0.log").read_bytes()
    assert b"\xe4\xb8\xad\xe6\x96\x87 \x1b[1m\xff\xfe\r 50%\rtab\t\n" in log
    assert b"\n" + b"x" * 40000 + b"\n" in log


def test_api_server_goes_and_comes_back(any_kube: KubernetesWorld) -> None:
    """`logs -f` and `wait` at the same time: no line is lost or shown twice, and both continue to the end."""
    run = any_kube.submit(COUNT.format(lines=600, pause=0.01))
    any_kube.wait_for(run, "RUNNING")
    follower, waiter = any_kube.start("logs", run, "-f"), any_kube.start("wait", run, "--json")
    time.sleep(1)
    for _ in range(2):
        any_kube.cluster.stop_api()
        time.sleep(1)
        any_kube.cluster.start_api()
        time.sleep(0.5)
    followed, waited = any_kube.finish(follower), any_kube.finish(waiter)
    assert (followed.code, waited.code) == (0, 0), followed.err + waited.err
    assert numbers(followed.out) == list(range(1, 601))
    assert waited.json["runs"][0]["state"] == "SUCCEEDED"


def test_node_goes_and_comes_back(kube_apart: KubernetesWorld) -> None:
    run = kube_apart.submit(COUNT.format(lines=300, pause=0.01))
    kube_apart.wait_for(run, "RUNNING")
    follower = kube_apart.start("logs", run, "-f")
    time.sleep(1)
    kube_apart.cluster.restart_kubelet()
    done = kube_apart.finish(follower)
    assert done.code == 0, done.err
    assert numbers(done.out) == list(range(1, 301))


def test_follower_is_killed_and_another_comes(kube_apart: KubernetesWorld) -> None:
    run = kube_apart.submit(COUNT.format(lines=400, pause=0.01))
    kube_apart.wait_for(run, "RUNNING")
    for _ in range(3):
        follower = kube_apart.start("logs", run, "-f")
        time.sleep(0.8)
        follower.kill()
        follower.wait()
    done = kube_apart.prl("logs", run, "-f")
    assert done.code == 0, done.err
    assert numbers(done.out) == list(range(1, 401))
    assert numbers((run / "logs/node0.log").read_text()) == list(range(1, 401))


def test_two_followers_at_once(kube_apart: KubernetesWorld) -> None:
    run = kube_apart.submit(COUNT.format(lines=200, pause=0.01))
    followers = [kube_apart.start("logs", run, "-f") for _ in range(2)]
    for done in map(kube_apart.finish, followers):
        assert numbers(done.out) == list(range(1, 201))


def test_previous_container(kube_apart: KubernetesWorld) -> None:
    """If a site lets the kubelet restart containers, the log of the first one is copied too."""
    restart = {"spec": {"pytorchReplicaSpecs": {"Master": {"restartPolicy": "OnFailure"}}}}
    fake = "if [[ -e $run/once ]]; then echo second; step 1 1; else touch $run/once; echo first; exit 200; fi"
    run, status = kube_apart.run_to_end(fake, kubernetes__extra=restart, restarts__max=1)
    assert status["state"] == "SUCCEEDED", status
    log = (run / "logs/node0.log").read_text()
    assert [word for word in log.split() if word in ("first", "second")] == ["first", "second"]


def test_pod_that_is_made_again(any_kube: KubernetesWorld) -> None:
    seen = f"until [[ -e {any_kube.output}/seen ]]; do sleep 0.1; done"
    fake = f"if [[ -e $run/once ]]; then echo second; step 1 1; else touch $run/once; echo first; {seen}; exit 200; fi"
    run = any_kube.submit(fake, restarts__max=1)
    follower = any_kube.start("logs", run, "-f")
    out = read_until(follower.stdout, "first")
    (any_kube.volume / "seen").touch()  # the pods have the volume at the path of `output`
    done = any_kube.finish(follower)
    assert done.code == 0, done.err
    words = (out + done.out).split()
    assert [word for word in words if word in ("first", "second")] == ["first", "second"]


def test_output_before_launch_shs_first_line(kube: KubernetesWorld) -> None:
    """bash warns about an unknown locale before launch.sh prints its line; the pod still writes its log itself."""
    env = [{"name": "LC_ALL", "value": "xx_XX.UTF-8"}]
    fake = COUNT.format(lines=50, pause=0.02)
    run = kube.submit(fake, kubernetes__extra={"container": {"env": env}})
    done = kube.prl("logs", run, "-f")
    assert done.code == 0, done.err
    assert numbers(done.out) == list(range(1, 51))
    assert (run / "logs/node0.log").stat().st_uid == 1000


def test_logs_outlive_the_pods(kube_apart: KubernetesWorld) -> None:
    run, _ = kube_apart.run_to_end("echo precious; step 1 1")
    name = json.loads((run / "run.json").read_text())["job_id"]
    kube_apart.cluster.kubectl("-n", kube_apart.namespace, "delete", "pytorchjob", name)
    eventually(lambda: kube_apart.pods() == [])
    assert "precious" in kube_apart.prl("logs", run).out
    assert kube_apart.status(run)["state"] == "SUCCEEDED"


def test_waits_for_the_pod(kube: KubernetesWorld) -> None:
    kube.cluster.stop_operator()
    run = kube.submit("echo hello; step 1 1")
    follower = kube.start("logs", run, "-f")
    read_until(follower.stderr, "QUEUED: its pods are being made")
    kube.cluster.start_operator()
    done = kube.finish(follower)
    assert done.code == 0
    assert "hello" in done.out


def test_ctrl_c_leaves_the_job_alone(any_kube: KubernetesWorld) -> None:
    run = any_kube.submit("echo hello; step 1 2; sleep 60")
    any_kube.wait_for(run, "RUNNING")
    follower = any_kube.start("logs", run, "-f")
    read_until(follower.stdout, "hello")
    follower.send_signal(signal.SIGINT)
    done = any_kube.finish(follower)
    assert done.code == 130
    assert "goes on" in done.err
    assert any_kube.status(run)["state"] == "RUNNING"


@pytest.mark.parametrize("before", [0, 5])
def test_lines_are_not_shown_twice(kube_apart: KubernetesWorld, before: int) -> None:
    run: Path = kube_apart.submit(COUNT.format(lines=10, pause=0.2))
    eventually(lambda: kube_apart.status(run)["state"] != "QUEUED", 30)
    for _ in range(before):
        kube_apart.prl("logs", run)
    kube_apart.prl("wait", run)
    assert numbers((run / "logs/node0.log").read_text()) == list(range(1, 11))

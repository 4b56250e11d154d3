"""pytorchjob.yaml of example jobs, whole, and held against Kubernetes' own schemas."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from prl_submit.backends.artefact import job_files
from prl_submit.backends.kubernetes.yaml_text import dump, load
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import render_launch, render_library
from prl_submit.planning.plan import Plan
from tests.render.pytorchjob_schema import faults
from tests.render.test_golden import plan_of_job, same_as_golden

TOKEN = "0123456789abcdef"
BASE = [
    "kubernetes.image=registry.example/ms-swift:4.6.0",
    "kubernetes.volumes=[{pvc: work, mountPath: /home/me/prl}]",
]
MANIFESTS = {
    "mr_4gpu": ("mr_4gpu", [*BASE, "resources.memory=256G", "resources.shm=64G"]),
    "mr_2x8gpu": (
        "mr_2x8gpu",
        [
            *BASE,
            "restarts.max=3",
            "resources.gpu_type=h100",
            "kubernetes.queue=team-a",
            "environment.secrets=[HF_TOKEN, WANDB_API_KEY]",
            "kubernetes.secret=keys",
            "kubernetes.image_pull_secrets=[pull]",
            "kubernetes.service_account=trainer",
            "kubernetes.priority_class=high",
            "kubernetes.node_selector={pool: gpu}",
            "kubernetes.tolerations=[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]",
        ],
    ),
    "volcano": (
        "mr_2x8gpu",
        [*BASE, "kubernetes.scheduler=volcano", "kubernetes.queue=q", "kubernetes.namespace=ml"],
    ),
    "volumes": (
        "mr_cpu",
        [
            "kubernetes.image=img",
            "kubernetes.output_mount=/数据/输出",
            "kubernetes.volumes=["
            "{name: out, persistentVolumeClaim: {claimName: out}, mountPath: /数据, subPath: 我},"
            "{nfs: 'server:/export', mountPath: /nfs, readOnly: true},"
            "{hostPath: /scratch, mountPath: /scratch}, {emptyDir: 50G, mountPath: /tmp/x},"
            "{hostPath: {path: /home/me/prl, type: Directory}, mountPath: /home/me/prl}]",
        ],
    ),
    "extra": (
        "mr_4gpu",
        [
            *BASE,
            "kubernetes.extra={"
            "metadata: {annotations: {team: '007'}}, spec: {runPolicy: {ttlSecondsAfterFinished: 60}},"
            "pod: {spec: {hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet}},"
            "container: {resources: {limits: {nvidia.com/gpu: null, amd.com/gpu: '4'},"
            " requests: {nvidia.com/gpu: null, amd.com/gpu: '4'}}}}",
        ],
    ),
}


def plan_named(name: str) -> Plan:
    job, sets = MANIFESTS[name]
    return plan_of_job(job, tuple(sets), "kubernetes")


def manifest_of(plan: Plan) -> str:
    return job_files(plan, token=TOKEN)["pytorchjob.yaml"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(name: str) -> None:
    same_as_golden(without_scripts(manifest_of(plan_named(name))), f"{name}.pytorchjob.yaml")


def without_scripts(manifest: str) -> str:
    """The scripts have golden files of their own."""
    head, _, body = manifest.partition("\n")
    job = load(body)
    for replica in job["spec"]["pytorchReplicaSpecs"].values():
        annotations = replica["template"]["metadata"]["annotations"]
        for name in ("launch.sh", "launch.lib.sh"):
            annotations[f"prl-submit/{name}"] = f"{len(annotations)} annotations, this one {name}"
    return f"{head}\n{dump(job)}"


@pytest.mark.parametrize("name", ["mr_2x8gpu", "volumes"])
def test_launch_script_in_a_pod(name: str) -> None:
    text = render_launch(plan_named(name), token=TOKEN)
    same_as_golden(text, f"{name}.pod.launch.sh")


@pytest.mark.parametrize("name", MANIFESTS)
def test_schemas_take_it(name: str) -> None:
    """Kubernetes' own schemas accept every manifest."""
    assert faults(load(manifest_of(plan_named(name)))) == []


def test_schemas_refuse_what_they_do_not_know() -> None:
    job = load(manifest_of(plan_named("mr_4gpu")))
    job["spec"]["runPolicy"]["ttl"] = 1
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    template["spec"]["containers"][0]["comand"] = []
    assert len(faults(job)) == 3


@pytest.mark.parametrize("name", MANIFESTS)
def test_scripts_are_in_it_as_they_are(name: str) -> None:
    plan = plan_named(name)
    job = load(manifest_of(plan))
    for replica in job["spec"]["pytorchReplicaSpecs"].values():
        annotations = replica["template"]["metadata"]["annotations"]
        assert annotations["prl-submit/launch.sh"] == render_launch(plan, token=TOKEN)
        assert annotations["prl-submit/launch.lib.sh"] == render_library()


def test_a_reader_meets_the_pods_before_the_scripts() -> None:
    """The scripts have more than a thousand lines. Image, GPUs and command stand above them."""
    text = manifest_of(plan_named("mr_4gpu"))
    words = ["restartPolicy:", "image:", "nvidia.com/gpu:", "command:", "prl_run_dir="]
    places = [text.index(word) for word in words]
    assert max(places) == places[-1]
    assert text[: places[-1]].count("\n") < 150
    pod = load(text)["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    assert list(pod) == ["spec", "metadata"]


def test_scripts_that_are_too_long_for_annotations() -> None:
    plan = plan_named("mr_4gpu")
    setup = msgspec.structs.replace(plan.environment, setup=["# " + "x" * 100_000])
    with pytest.raises(PrlSubmitError, match=r"annotations of a pod may hold 262144"):
        manifest_of(msgspec.structs.replace(plan, environment=setup))


def pods_of(*sets: str, job: str = "mr_4gpu") -> tuple[Any, Any]:
    """The job, and the one pod template that all its replicas have."""
    made = load(manifest_of(plan_of_job(job, (*BASE, *sets), "kubernetes")))
    replicas = made["spec"]["pytorchReplicaSpecs"]
    assert all(
        replica["template"] == replicas["Master"]["template"] for replica in replicas.values()
    )
    return made, replicas["Master"]["template"]


def test_one_replica_for_each_node() -> None:
    made, _ = pods_of("resources.nodes=4")
    replicas = made["spec"]["pytorchReplicaSpecs"]
    assert {kind: each["replicas"] for kind, each in replicas.items()} == {"Master": 1, "Worker": 3}
    assert list(pods_of()[0]["spec"]["pytorchReplicaSpecs"]) == ["Master"]


def test_restarts_are_capped() -> None:
    never, _ = pods_of()
    assert never["spec"]["pytorchReplicaSpecs"]["Master"]["restartPolicy"] == "Never"
    assert never["spec"]["runPolicy"]["backoffLimit"] == 1
    thrice, _ = pods_of("restarts.max=3", "resources.nodes=2")
    assert thrice["spec"]["pytorchReplicaSpecs"]["Worker"]["restartPolicy"] == "ExitCode"
    assert thrice["spec"]["runPolicy"]["backoffLimit"] == 7


def test_time_limit() -> None:
    """The time limit is the pod's, because the job's own would count the time in a queue."""
    made, pod = pods_of("resources.time_limit=90m")
    assert "activeDeadlineSeconds" not in made["spec"]["runPolicy"]  # a queue's hours would count
    assert pod["spec"]["activeDeadlineSeconds"] == 5400


def test_secrets_are_references() -> None:
    _, pod = pods_of("environment.secrets=[HF_TOKEN]", "kubernetes.secret=keys")
    [found] = [env for env in pod["spec"]["containers"][0]["env"] if env["name"] == "HF_TOKEN"]
    assert found["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "HF_TOKEN"}}


def test_nothing_of_it_is_privileged() -> None:
    """The Pod Security Standard `restricted`, rule by rule."""
    _, pod = pods_of()
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "downwardAPI", "persistentVolumeClaim"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


def test_what_is_added_to_lists_takes_nothing_away() -> None:
    """kubernetes.extra adds to lists and removes none of our entries."""
    extra = (
        "kubernetes.extra={container: {env: [{name: NCCL_DEBUG, value: INFO}],"
        " volumeMounts: [{name: c, mountPath: /c}]},"
        " pod: {spec: {volumes: [{name: c, configMap: {name: c}}], containers: [{name: side, image: i}]}}}"
    )
    _, pod = pods_of(extra, "environment.secrets=[HF_TOKEN]", "kubernetes.secret=keys")
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert [env["name"] for env in container["env"]] == ["PRL_SUBMIT_POD", "HF_TOKEN", "NCCL_DEBUG"]
    assert [m["name"] for m in container["volumeMounts"]] == ["prl-submit", "shm", "volume-0", "c"]
    assert [v["name"] for v in spec["volumes"]] == ["shm", "prl-submit", "volume-0", "c"]
    assert [each["name"] for each in spec["containers"]] == ["pytorch", "side"]


def test_operators_since_1_5_know_all_of_it() -> None:
    """A current API server refuses what an older operator's definition does not have."""
    made, _ = pods_of("restarts.max=3", "resources.nodes=2", "resources.time_limit=1h")
    assert set(made["spec"]) == {"runPolicy", "pytorchReplicaSpecs"}
    assert set(made["spec"]["runPolicy"]) <= {
        "cleanPodPolicy",
        "ttlSecondsAfterFinished",
        "backoffLimit",
        "schedulingPolicy",
    }
    for replica in made["spec"]["pytorchReplicaSpecs"].values():
        assert set(replica) == {"replicas", "restartPolicy", "template"}


def test_kueue_label_and_volcano_policy() -> None:
    kueue, _ = pods_of("kubernetes.queue=team-a")
    assert kueue["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    volcano, pod = pods_of(
        "kubernetes.queue=q", "kubernetes.scheduler=volcano", "resources.nodes=2"
    )
    assert "kueue.x-k8s.io/queue-name" not in volcano["metadata"]["labels"]
    assert volcano["spec"]["runPolicy"]["schedulingPolicy"] == {"minAvailable": 2, "queue": "q"}
    assert pod["spec"]["schedulerName"] == "volcano"


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "1e3",
        "0x1f",
        "~",
        "",
        " x ",
        "- a",
        "a: b",
        "# c",
        "&a *a",
        "!!python/object:os.system x",
        "{{ x }}",
        "1_000",
        "012",
        "2026-11-25",
        "\x85",
        "\u2028",
        "\ufeff",
        "😀",
        "a\tb",
        "中文\n行\n",
        "\x7f",
        "a\n\n",
        "\na",
        " a\n b\n",
        "a\r\nb",
        "=",
        "<<",
        "1:30",
        "off",
        "N",
        "+.inf",
        "0o17",
    ],
)
def test_every_reader_takes_a_text_for_itself(text: str) -> None:
    written = dump({"text": text, "list": [text]})
    assert load(written) == {"text": text, "list": [text]}
    # A reader that knows no types at all sees the same text.
    assert yaml.load(written, Loader=yaml.BaseLoader) == {"text": text, "list": [text]}

"""The rules for the `kubernetes:` section."""

from __future__ import annotations

import pytest

from prl_submit.errors import Problem
from tests.support.plans import planned

#: In the fixture's world, `output` is /cwd/output and `workdir` /cwd.
GOOD = "image: img, volumes: [{pvc: work, mountPath: /cwd}]"


def found(section: str, rest: str = "") -> list[Problem]:
    """The problems of a job, except those of its training. `section`: the keys of `kubernetes:`."""
    text = f"name: x\nbackend: kubernetes\nkubernetes: {{{section}}}\n{rest}"
    return [p for p in planned(text).problems if not (p.key or "").startswith("swift")]


def only(section: str, rest: str = "") -> tuple[str | None, str, str | None]:
    """The one error: its key, message and hint."""
    problems = [p for p in found(section, rest) if p.severity == "error"]
    assert len(problems) == 1, problems
    return problems[0].key, problems[0].message, problems[0].hint


def test_a_good_section_has_no_problems() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize("memory", ["0", "all"])
def test_all_the_memory_of_a_node(memory: str) -> None:
    key, message, hint = only(GOOD, f"resources: {{memory: {memory}}}")
    assert (key, hint) == ("resources.memory", "say how much a pod needs: 256G")
    assert "only Slurm can give" in message


def test_other_backends_ignore_the_section() -> None:
    problems = planned("name: x\nbackend: local\nkubernetes: {volumes: [{}]}").problems
    assert [p.key for p in problems if (p.key or "").startswith("kubernetes.")] == []


def test_an_image() -> None:
    """A job without an image is refused, with an example."""
    assert only("volumes: [{pvc: work, mountPath: /cwd}]") == (
        "kubernetes",
        "image is not set: the pods need one with torch and ms-swift",
        "kubernetes: {image: registry.example/ms-swift:4.6}",
    )


def test_the_image_of_the_container() -> None:
    section = "volumes: [{pvc: work, mountPath: /cwd}]"
    assert found(section, "environment: {container: {image: img}}") == []
    mounts = "environment: {container: {image: img, mounts: ['/a:/b']}}"
    [problem] = found(section, mounts)
    assert (problem.severity, problem.key) == ("warning", "environment.container.mounts")
    assert problem.message == "means nothing on Kubernetes"
    assert problem.hint == "kubernetes.volumes mounts volumes into the pods"


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            "[A]",
            "needs kubernetes.secret: the name of the Secret that holds it",
            "kubectl create secret generic NAME --from-literal=A=…",
        ),
        (
            "[A, B]",
            "needs kubernetes.secret: the name of the Secret that holds them",
            "kubectl create secret generic NAME --from-literal=A=… --from-literal=B=…",
        ),
    ],
)
def test_secrets(names: str, message: str, hint: str) -> None:
    """Secret variables need a secret of the cluster."""
    rest = f"environment: {{secrets: {names}}}"
    assert only(GOOD, rest) == ("environment.secrets", message, hint)
    assert found(f"{GOOD}, secret: keys", rest) == []


def test_faulty_volumes_cause_no_further_messages() -> None:
    problems = found("image: i, volumes: [{pvc: a}, {pvc: b, mountPath: /b}, {}]")
    assert [(p.key, p.message) for p in problems] == [
        ("kubernetes.volumes.0", "needs mountPath: an absolute path in the pod; found None"),
        ("kubernetes.volumes.2", "needs mountPath: an absolute path in the pod; found None"),
    ]
    assert problems[0].line == 3


HINT = "kubernetes.volumes: [{{pvc: NAME, mountPath: {0}}}], or output_mount: where your volume is"


@pytest.mark.parametrize(
    "volumes",
    [
        "",
        "{pvc: a, mountPath: /data}",
        "{pvc: a, mountPath: /cwd/outputs}",
        "{emptyDir: 1G, mountPath: /cwd}",
    ],
)
def test_outputs_that_no_volume_holds(volumes: str) -> None:
    assert only(f"image: i, volumes: [{volumes}]") == (
        "kubernetes",
        "no volume keeps the outputs: /cwd/output in the pods is lost with them",
        HINT.format("/cwd/output"),
    )


def test_output_mount() -> None:
    """The output root must lie in a volume."""
    volumes = "image: i, volumes: [{pvc: a, mountPath: /data}, {pvc: b, mountPath: /cwd}]"
    assert found(f"{volumes}, output_mount: /data/me") == []
    assert only(f"{volumes}, output_mount: /elsewhere/") == (
        "kubernetes.output_mount",
        "no volume keeps the outputs: /elsewhere in the pods is lost with them",
        HINT.format("/elsewhere"),
    )


def test_output_mount_is_absolute() -> None:
    problems = found(f"{GOOD}, output_mount: data")
    assert ("kubernetes.output_mount", "must be absolute, found data") in [
        (p.key, p.message) for p in problems
    ]


def test_a_workdir_that_only_the_image_can_have() -> None:
    [problem] = found("image: i, volumes: [{pvc: a, mountPath: /cwd/output}]")
    assert (problem.severity, problem.key) == ("warning", "workdir")
    assert problem.message == "/cwd is on none of kubernetes.volumes, so the image must have it"
    section = "image: i, volumes: [{pvc: a, mountPath: /cwd/output}], output_mount: /cwd/output"
    assert found(section, "workdir: /") == []


def test_kueue_needs_a_queue() -> None:
    assert only(f"{GOOD}, scheduler: kueue") == (
        "kubernetes.scheduler",
        "kueue needs kubernetes.queue",
        "name the queue",
    )
    assert found(f"{GOOD}, scheduler: kueue, queue: q") == []
    assert found(f"{GOOD}, scheduler: volcano") == []


@pytest.mark.parametrize("key", ["apiVersion", "kind", "status"])
def test_what_is_not_the_specs_to_change(key: str) -> None:
    assert only(f"{GOOD}, extra: {{{key}: x, spec: {{}}}}") == (
        f"kubernetes.extra.{key}",
        "is not yours to change",
        "`pod:` and `container:` change each replica, other keys the PyTorchJob",
    )


@pytest.mark.parametrize("key", ["pod", "container"])
def test_what_is_merged_is_a_map(key: str) -> None:
    expected = (
        f"kubernetes.extra.{key}",
        "is merged into the manifest, so it must be a map",
        None,
    )
    assert only(f"{GOOD}, extra: {{{key}: [1]}}") == expected
    assert found(f"{GOOD}, extra: {{{key}: {{}}}}") == []


def test_all_at_once() -> None:
    problems = found("extra: {kind: x, pod: 1}", "environment: {secrets: [A]}")
    assert [p.key for p in problems if p.severity == "error"] == [
        "kubernetes",
        "environment.secrets",
        "kubernetes",
        "kubernetes.extra.kind",
        "kubernetes.extra.pod",
    ]


def test_output_is_here_where_only_the_pods_have_the_working_directory() -> None:
    spec = "name: x\nworkdir: /data/prl\nbackend: kubernetes\n"
    mount = "kubernetes: {output_mount: /data/out}\n"
    assert planned(f"{spec}").plan.output_root == "/data/prl/output"
    plan = planned(f"{spec}{mount}").plan
    assert plan.output_root == "/cwd/output"
    assert plan.run_dir.startswith("/data/out/")
